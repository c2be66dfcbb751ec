// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kinds of interfaces: `<mac>`, `<bridge>`, `<bond>`, `<vlan>`, and the interfaces within.
//!
//! The schema ends the recursion: a bridge has bonds, a bond has plain members.

use std::net::Ipv4Addr;

use crate::limits::VLAN_TAG_MAX;
use crate::model::address::{Family, MacAddr};
use crate::model::interface::{
    Bond, BondMember, BondMode, BondMonitor, Bridge, Ethernet, Kind, LinkStatus, Port, PortKind,
    Vlan,
};
use crate::model::name::IfName;
use crate::xml::error::{Expected, Flaw, ParseRefusal, XmlError};
use crate::xml::parse::values::{
    Radix, decimal, delay, filled, first, flaw, integer, name, unexpected, unsigned,
};
use crate::xml::tree::Element;
use crate::xml::words::{self, KINDS, KindName};

const PORT_KINDS: [KindName; 3] = [KindName::Ethernet, KindName::Bond, KindName::Vlan];
const MEMBER_KINDS: [KindName; 1] = [KindName::Ethernet];

/// An interface's type, which must be one of `allowed`, and its name.
pub(super) fn head(
    element: &Element,
    allowed: &[KindName],
) -> Result<(KindName, IfName), XmlError> {
    let text = element
        .attribute("type")
        .ok_or(XmlError::Missing { element: "interface", attribute: "type" })?;
    let kind = words::find(&KINDS, words::kind, text)
        .ok_or_else(|| unexpected("interface", "type", text, Expected::Word))?;
    if !allowed.contains(&kind) {
        return Err(XmlError::Interface(ParseRefusal::UnsupportedType(kind)));
    }
    let text = element.attribute("name").ok_or(XmlError::Interface(ParseRefusal::NoName))?;
    Ok((kind, name(text)?))
}

/// The properties of an interface of this type.
pub(super) fn kind(element: &Element, kind: KindName) -> Result<Kind, XmlError> {
    Ok(match kind {
        KindName::Ethernet => Kind::Ethernet(ethernet(element)?),
        KindName::Bridge => Kind::Bridge(bridge(element)?),
        KindName::Bond => Kind::Bond(bond(element)?),
        KindName::Vlan => Kind::Vlan(vlan(element)?),
    })
}

fn ethernet(element: &Element) -> Result<Ethernet, XmlError> {
    let link = link(element)?;
    let mac = first(element, "mac", "address").map(mac).transpose()?;
    Ok(Ethernet { link, mac })
}

/// An address of six bytes. The loopback has one of zeros, and some documents have a group address:
/// the kernel refuses to set that, but a change may not be needed.
fn mac(text: &str) -> Result<MacAddr, XmlError> {
    let mac = MacAddr::parse(text).filter(MacAddr::is_ethernet);
    mac.ok_or_else(|| flaw("mac", "address", text, Flaw::Mac))
}

/// Only live XML has it, and it is kept as it is read, as in libvirt.
fn link(element: &Element) -> Result<LinkStatus, XmlError> {
    let Some(link) = element.child("link") else { return Ok(LinkStatus::default()) };
    let state = filled(link, "state").map(|text| {
        words::find(&words::OPER_STATES, words::oper_state, text)
            .ok_or_else(|| unexpected("link", "state", text, Expected::Word))
    });
    let state = state.transpose()?;
    let speed = link.attribute("speed").map(|text| {
        unsigned(text, Radix::Ten)
            .ok_or_else(|| unexpected("link", "speed", text, Expected::Unsigned))
    });
    let speed = speed.transpose()?.filter(|speed| *speed > 0);
    Ok(LinkStatus { speed, state })
}

/// The element that an interface of this type must have.
fn body(element: &Element, kind: KindName) -> Result<&Element, XmlError> {
    let body = element.child(words::kind(kind));
    body.ok_or(XmlError::Interface(ParseRefusal::NoKindElement(kind)))
}

fn bridge(element: &Element) -> Result<Bridge, XmlError> {
    let element = body(element, KindName::Bridge)?;
    let stp = element.attribute("stp").map(|text| {
        // libvirt accepts such a bridge, without delay and members.
        words::find(&words::ON_OFF, words::on_off, text)
            .ok_or_else(|| flaw("bridge", "stp", text, Flaw::Stp))
    });
    let stp = stp.transpose()?;
    let text = element.attribute("delay");
    let refuse = |which| flaw("bridge", "delay", text.unwrap_or_default(), which);
    let delay = text.map(|text| delay(text).map_err(refuse)).transpose()?;
    let ports = element.children("interface").map(port).collect::<Result<_, _>>()?;
    Ok(Bridge { stp, delay, ports })
}

fn port(element: &Element) -> Result<Port, XmlError> {
    let (kind, name) = head(element, &PORT_KINDS)?;
    let kind = match kind {
        KindName::Ethernet => PortKind::Ethernet(ethernet(element)?),
        KindName::Bond => PortKind::Bond(bond(element)?),
        KindName::Vlan => PortKind::Vlan(vlan(element)?),
        KindName::Bridge => return Err(XmlError::Interface(ParseRefusal::UnsupportedType(kind))),
    };
    Ok(Port { name, kind })
}

fn bond(element: &Element) -> Result<Bond, XmlError> {
    let link = link(element)?;
    let element = body(element, KindName::Bond)?;
    let mode = filled(element, "mode").map(|text| {
        words::find(&words::BOND_MODES, words::bond_mode, text)
            .ok_or_else(|| XmlError::Interface(ParseRefusal::BondMode(text.to_owned())))
    });
    let mode = mode.transpose()?;
    let members = element.children("interface").map(member).collect::<Result<_, _>>()?;
    // Of two monitors, MII wins.
    let monitor = if element.child("miimon").is_some() {
        Some(miimon(element)?)
    } else if element.child("arpmon").is_some() {
        Some(arpmon(element, mode)?)
    } else {
        None
    };
    Ok(Bond { link, mode, monitor, members })
}

fn member(element: &Element) -> Result<BondMember, XmlError> {
    let (_, name) = head(element, &MEMBER_KINDS)?;
    Ok(BondMember { name, ethernet: ethernet(element)? })
}

fn miimon(bond: &Element) -> Result<BondMonitor, XmlError> {
    let freq = first(bond, "miimon", "freq").and_then(|text| Some((text, decimal_int(text)?)));
    let freq = freq.ok_or(XmlError::Interface(ParseRefusal::MiiFreq))?;
    let freq = milliseconds("miimon", "freq", freq)?;
    let delay = |attribute: &'static str| {
        let Some(text) = first(bond, "miimon", attribute) else { return Ok(0) };
        let value =
            decimal_int(text).ok_or(XmlError::Interface(ParseRefusal::MiiDelay(attribute)))?;
        let delay = milliseconds("miimon", attribute, (text, value))?;
        if freq == 0 && delay > 0 {
            return Err(flaw("miimon", attribute, text, Flaw::DelayUnmonitored));
        }
        Ok(delay)
    };
    let downdelay = delay("downdelay")?;
    let updelay = delay("updelay")?;
    let carrier = first(bond, "miimon", "carrier").map(|text| {
        words::find(&words::MII_CARRIERS, words::mii_carrier, text)
            .ok_or_else(|| XmlError::Interface(ParseRefusal::MiiCarrier(text.to_owned())))
    });
    Ok(BondMonitor::Mii { freq, downdelay, updelay, carrier: carrier.transpose()? })
}

fn arpmon(bond: &Element, mode: Option<BondMode>) -> Result<BondMonitor, XmlError> {
    let interval =
        first(bond, "arpmon", "interval").and_then(|text| Some((text, decimal_int(text)?)));
    let interval = interval.ok_or(XmlError::Interface(ParseRefusal::ArpInterval))?;
    let interval = milliseconds("arpmon", "interval", interval)?;
    let text =
        first(bond, "arpmon", "target").ok_or(XmlError::Interface(ParseRefusal::NoArpTarget))?;
    let target = arp_target(text)?;
    let validate = first(bond, "arpmon", "validate").map(|text| {
        words::find(&words::ARP_VALIDATES, words::arp_validate, text)
            .ok_or_else(|| XmlError::Interface(ParseRefusal::ArpValidate(text.to_owned())))
    });
    let validate = validate.transpose()?;
    match mode {
        Some(mode @ (BondMode::Ieee8023ad | BondMode::BalanceTlb | BondMode::BalanceAlb)) => {
            Err(flaw("bond", "mode", words::bond_mode(mode), Flaw::ArpMode))
        }
        Some(
            BondMode::BalanceRr
            | BondMode::ActiveBackup
            | BondMode::BalanceXor
            | BondMode::Broadcast,
        )
        | None => Ok(BondMonitor::Arp { interval, target, validate }),
    }
}

fn arp_target(text: &str) -> Result<Ipv4Addr, XmlError> {
    let refuse = |which| flaw("arpmon", "target", text, which);
    let target: Ipv4Addr = text.parse().map_err(|_| refuse(Flaw::Address(Family::Ipv4)))?;
    if target.is_unspecified() || target.is_broadcast() {
        return Err(refuse(Flaw::ArpTarget));
    }
    Ok(target)
}

fn decimal_int(text: &str) -> Option<i32> {
    integer(text, Radix::Ten)
}

/// A value that libvirt reads as an `int`, and that the kernel accepts from 0.
fn milliseconds(
    element: &'static str,
    attribute: &'static str,
    (text, value): (&str, i32),
) -> Result<u32, XmlError> {
    u32::try_from(value).map_err(|_| flaw(element, attribute, text, Flaw::Milliseconds))
}

fn vlan(element: &Element) -> Result<Vlan, XmlError> {
    let link = link(element)?;
    let element = body(element, KindName::Vlan)?;
    let tag_text = filled(element, "tag").ok_or(XmlError::Interface(ParseRefusal::NoTag))?;
    let parent =
        first(element, "interface", "name").ok_or(XmlError::Interface(ParseRefusal::NoParent))?;
    let tag = decimal(tag_text).and_then(|tag| u16::try_from(tag).ok());
    // IEEE 802.1Q reserves the last. The first is for frames with a priority and no VLAN; the
    // kernel accepts it for a link.
    let tag = tag.filter(|tag| *tag <= VLAN_TAG_MAX);
    let tag = tag.ok_or_else(|| flaw("vlan", "tag", tag_text, Flaw::Tag))?;
    Ok(Vlan { link, tag, parent: name(parent)? })
}
