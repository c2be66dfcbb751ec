// SPDX-License-Identifier: LGPL-2.1-or-later
//! `<protocol>`: an interface's addresses, and their sources.
//!
//! libvirt takes addresses as texts. Here they are addresses of their protocol's family, which the
//! kernel accepts for an interface or a gateway.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::address::{Family, Ip};
use crate::model::interface::{Dhcp, Protocol};
use crate::xml::error::{Expected, Flaw, ParseRefusal, XmlError};
use crate::xml::parse::values::{Radix, filled, flaw, integer, unexpected};
use crate::xml::tree::Element;
use crate::xml::words;

/// All protocols, in their order.
pub(super) fn protocols(root: &Element) -> Result<Vec<Protocol>, XmlError> {
    let mut protocols = Vec::<Protocol>::new();
    for element in root.children("protocol") {
        let text =
            element.attribute("family").ok_or(XmlError::Interface(ParseRefusal::NoFamily))?;
        let family = words::find(&words::FAMILIES, words::family, text)
            .ok_or_else(|| XmlError::Interface(ParseRefusal::Family(text.to_owned())))?;
        if protocols.iter().any(|earlier| earlier.family == family) {
            return Err(flaw("protocol", "family", text, Flaw::FamilyTwice));
        }
        protocols.push(protocol(element, family)?);
    }
    Ok(protocols)
}

fn protocol(element: &Element, family: Family) -> Result<Protocol, XmlError> {
    // IPv4 has no autoconf, so there the element is ignored like others.
    let autoconf = family == Family::Ipv6 && element.child("autoconf").is_some();
    let dhcp = element.child("dhcp").map(dhcp).transpose()?;
    let addresses = addresses(element, family)?;
    // Only the first route is used.
    let gateway = element.child("route").and_then(|route| filled(route, "gateway"));
    let gateway = gateway.map(|text| gateway_of(text, family)).transpose()?;
    Ok(Protocol { family, autoconf, dhcp, addresses, gateway })
}

fn dhcp(element: &Element) -> Result<Dhcp, XmlError> {
    let Some(text) = element.attribute("peerdns") else { return Ok(Dhcp { peer_dns: None }) };
    let peer_dns = words::find(&words::YES_NO, words::yes_no, text)
        .ok_or_else(|| unexpected("dhcp", "peerdns", text, Expected::Word))?;
    Ok(Dhcp { peer_dns: Some(peer_dns) })
}

fn addresses(element: &Element, family: Family) -> Result<Vec<Ip>, XmlError> {
    let mut addresses = Vec::new();
    let mut seen = BTreeSet::new();
    for ip in element.children("ip") {
        // libvirt drops an ip without an address.
        let text = ip.attribute("address").unwrap_or_default();
        let ip = address(ip, text, family)?;
        // To the kernel the prefix is part of an IPv4 address's identity.
        let prefix_len = match family {
            Family::Ipv4 => Some(ip.prefix().prefix_len()),
            Family::Ipv6 => None,
        };
        if !seen.insert((ip.address(), prefix_len)) {
            return Err(flaw("ip", "address", text, Flaw::AddressTwice));
        }
        addresses.push(ip);
    }
    Ok(addresses)
}

fn address(ip: &Element, text: &str, family: Family) -> Result<Ip, XmlError> {
    let no_address = || flaw("ip", "address", text, Flaw::NoAddress);
    // libvirt ignores the rest of one that lacks the attribute.
    ip.attribute("address").ok_or_else(no_address)?;
    let prefix = ip.attribute("prefix");
    let prefix_len = prefix.map(|prefix| {
        let len = integer(prefix, Radix::C);
        len.ok_or_else(|| unexpected("ip", "prefix", prefix, Expected::Integer))
    });
    let prefix_len = prefix_len.transpose()?;
    if text.is_empty() {
        return Err(no_address());
    }
    let address = of_family(text, family)
        .ok_or_else(|| flaw("ip", "address", text, Flaw::Address(family)))?;
    // The kernel lets an interface have nearly any IPv4 address.
    if family == Family::Ipv6 && (address.is_unspecified() || address.is_multicast()) {
        return Err(flaw("ip", "address", text, Flaw::AddressUse));
    }
    let out_of_range = || flaw("ip", "prefix", prefix.unwrap_or_default(), Flaw::Prefix(family));
    let prefix_len =
        prefix_len.map(|len| u8::try_from(len).map_err(|_| out_of_range())).transpose()?;
    Ip::new(address, prefix_len).ok_or_else(out_of_range)
}

fn gateway_of(text: &str, family: Family) -> Result<IpAddr, XmlError> {
    let address = of_family(text, family)
        .ok_or_else(|| flaw("route", "gateway", text, Flaw::Address(family)))?;
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Err(flaw("route", "gateway", text, Flaw::GatewayUse));
    }
    Ok(address)
}

fn of_family(text: &str, family: Family) -> Option<IpAddr> {
    text.parse().ok().filter(|address| Family::of(*address) == family)
}
