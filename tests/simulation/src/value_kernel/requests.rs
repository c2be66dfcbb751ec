// SPDX-License-Identifier: LGPL-2.1-or-later
//! Decodes requests with the kernel's own numbers (`linux/rtnetlink.h`, `linux/if_link.h`,
//! `linux/if_addr.h`), so the daemon's encoders are checked independently.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::value_kernel::apart::Apart;
use crate::value_kernel::network::PROTOCOL_RA;
use crate::value_kernel::state::{Address, FOREVER, IFA_F_PERMANENT, PVID, Route, UNTAGGED};
use crate::value_kernel::{Errno, ValueKernel};
use virtinterfaced::model::address::{Family, IpPrefix, MacAddr};
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::link::LinkIndex;
use virtinterfaced::netlink::record::route::ADD_STAND_IN;
use virtinterfaced::netlink::wire::{
    Attribute, Message, WireError, attributes, messages, take_array, take_u16, take_u32,
};

const FLAG_REPLACE: u16 = 0x100;
const FLAG_EXCLUSIVE: u16 = 0x200;
const FLAG_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const AF_BRIDGE: u8 = 7;
/// `BRIDGE_FLAGS_SELF`: the request is for the link itself, not for the bridge that it is a port
/// of.
const SELF: u16 = 2;
const RANGE_END: u16 = 16;
/// `BRIDGE_VLAN_INFO_RANGE_BEGIN` and `_END`.
const RANGE: u16 = 8 | RANGE_END;

/// The attributes of a request for a link.
#[derive(Debug, Default)]
pub(super) struct LinkRequest {
    pub(super) index: u32,
    pub(super) up: Option<bool>,
    pub(super) name: Option<IfName>,
    pub(super) mac: Option<MacAddr>,
    pub(super) mtu: Option<u32>,
    pub(super) master: Option<u32>,
    pub(super) parent: Option<u32>,
    /// The kind of link; an empty kind may be a NIC.
    pub(super) kind: String,
    /// Attributes of the kind, in the request's order.
    pub(super) data: Vec<(u16, Vec<u8>)>,
}

/// A request for the VLANs of a bridge or of its port.
#[derive(Debug, Default)]
pub(super) struct VlansRequest {
    pub(super) of_itself: bool,
    /// VLAN numbers, with the flags of each.
    pub(super) vlans: Vec<(u16, u16)>,
}

impl LinkRequest {
    /// An attribute of the kind.
    pub(super) fn bytes(&self, kind: u16) -> Option<&[u8]> {
        let (_, bytes) = self.data.iter().find(|(found, _)| *found == kind)?;
        Some(bytes)
    }

    /// A numeric attribute of the kind, of one, two or four bytes.
    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        match self.bytes(kind)? {
            [byte] => Some(u32::from(*byte)),
            [a, b] => Some(u32::from(u16::from_ne_bytes([*a, *b]))),
            [a, b, c, d] => Some(u32::from_ne_bytes([*a, *b, *c, *d])),
            _ => None,
        }
    }

    /// The IPv4 addresses in a list attribute of the kind.
    pub(super) fn addresses(&self, kind: u16) -> Option<Vec<Ipv4Addr>> {
        let bytes = self.bytes(kind)?;
        let address = |entry: Attribute<'_>| {
            take_array::<4>(&mut { entry.payload }, "address").ok().map(Ipv4Addr::from)
        };
        Some(attributes(bytes).flatten().filter_map(address).collect())
    }
}

impl ValueKernel {
    /// Handles one request.
    ///
    /// # Errors
    /// The errno with which the kernel refuses it.
    pub(super) fn handle(&mut self, request: &[u8]) -> Result<(), Errno> {
        let message = messages(request).flatten().next().ok_or(libc::EBADMSG)?;
        if let Some(asked) = Apart::asked(&message) {
            return match message.kind {
                24 | 32 => self.add_apart(asked),
                25 | 33 => self.delete_apart(&asked),
                _ => Err(libc::EOPNOTSUPP),
            };
        }
        match (message.kind, message.payload.first()) {
            (17 | 19, Some(&AF_BRIDGE)) => {
                let (link, asked) = vlans_request(message.payload)?;
                self.change_vlans(link, &asked, message.kind == 19)
            }
            (kind, _) => self.handle_of_links(kind, &message),
        }
    }

    fn handle_of_links(&mut self, kind: u16, message: &Message<'_>) -> Result<(), Errno> {
        let invalid = |_: WireError| libc::EINVAL;
        match kind {
            16 => {
                let asked = link_request(message.payload).map_err(invalid)?;
                match message.flags & (FLAG_CREATE | FLAG_EXCLUSIVE) {
                    0 => self.set_link(&asked),
                    _ => self.add_link(&asked),
                }
            }
            17 => {
                let asked = link_request(message.payload).map_err(invalid)?;
                self.delete_link(LinkIndex(asked.index))
            }
            20 | 21 => {
                let (link, address) =
                    address_request(message.payload).map_err(invalid)?.ok_or(libc::EINVAL)?;
                if message.flags & FLAG_REPLACE != 0 && message.kind == 20 {
                    self.change_address(link, &address)
                } else if message.kind == 20 {
                    self.add_address(link, address)
                } else {
                    self.delete_address(link, &address)
                }
            }
            24 | 25 | ADD_STAND_IN => {
                let (link, mut route) =
                    route_request(message.payload).map_err(invalid)?.ok_or(libc::EINVAL)?;
                if message.kind == ADD_STAND_IN {
                    // The router's advertisement comes at once, and the kernel's own route replaces
                    // this one.
                    (route.protocol, route.metric) = (PROTOCOL_RA, 0);
                }
                if message.kind != 25 {
                    self.add_route(link, route)
                } else {
                    self.delete_route(link, &route)
                }
            }
            _ => Err(libc::EOPNOTSUPP),
        }
    }
}

/// Decodes a request for VLANs. A range with `PVID` and the numbers 0 and 4095 are refused.
fn vlans_request(mut payload: &[u8]) -> Result<(LinkIndex, VlansRequest), Errno> {
    let invalid = |_: WireError| libc::EINVAL;
    take_u32(&mut payload, "family").map_err(invalid)?;
    let index = take_u32(&mut payload, "index").map_err(invalid)?;
    take_array::<8>(&mut payload, "flags").map_err(invalid)?;
    let mut asked = VlansRequest::default();
    let specs = attributes(payload).flatten();
    for part in specs.flat_map(|spec| spec.nested().flatten()) {
        let mut info = part.payload;
        let flags = take_u16(&mut info, "flags").map_err(invalid)?;
        if part.kind == 0 {
            asked.of_itself = flags & SELF != 0;
            continue;
        }
        let vid = take_u16(&mut info, "vid").map_err(invalid)?;
        if !(1..=4094).contains(&vid) || (flags & RANGE != 0 && flags & PVID != 0) {
            return Err(libc::EINVAL);
        }
        let kept = flags & (PVID | UNTAGGED);
        match asked.vlans.last() {
            Some(&(begun, _)) if flags & RANGE_END != 0 => {
                asked.vlans.extend((begun + 1..=vid).map(|vid| (vid, kept)));
            }
            _ => asked.vlans.push((vid, kept)),
        }
    }
    Ok((LinkIndex(index), asked))
}

fn link_request(mut payload: &[u8]) -> Result<LinkRequest, WireError> {
    take_u32(&mut payload, "family")?;
    let index = take_u32(&mut payload, "index")?;
    let flags = take_u32(&mut payload, "flags")?;
    let mask = take_u32(&mut payload, "mask")?;
    let up = (mask & IFF_UP != 0).then_some(flags & IFF_UP != 0);
    let mut asked = LinkRequest { index, up, ..LinkRequest::default() };
    for attribute in attributes(payload) {
        let attribute = attribute?;
        match attribute.kind {
            1 => asked.mac = MacAddr::new(attribute.payload),
            3 => asked.name = IfName::new(attribute.text()).ok(),
            4 => asked.mtu = Some(attribute.u32("mtu")?),
            5 => asked.parent = Some(attribute.u32("link")?),
            10 => asked.master = Some(attribute.u32("master")?),
            18 => {
                for part in attribute.nested() {
                    let part = part?;
                    match part.kind {
                        1 => asked.kind = String::from_utf8_lossy(part.text()).into_owned(),
                        2 => {
                            for entry in part.nested() {
                                let entry = entry?;
                                asked.data.push((entry.kind, entry.payload.to_vec()));
                            }
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(asked)
}

/// `None` for another family, or bytes that cannot be an address.
fn address_request(mut payload: &[u8]) -> Result<Option<(LinkIndex, Address)>, WireError> {
    let [family, prefix_len, flags, scope] = take_array(&mut payload, "ifaddrmsg")?;
    let index = take_u32(&mut payload, "ifa_index")?;
    let Some(family) = family_of(family) else { return Ok(None) };
    let (mut local, mut address, mut flags) = (None, None, u32::from(flags));
    let (mut label, mut broadcast, mut valid, mut origin) = (None, None, FOREVER, 0);
    for attribute in attributes(payload) {
        let attribute = attribute?;
        match attribute.kind {
            1 => address = ip(family, attribute.payload),
            2 => local = ip(family, attribute.payload),
            3 => label = Some(String::from_utf8_lossy(attribute.text()).into_owned()),
            4 => broadcast = take_array::<4>(&mut { attribute.payload }, "broadcast").ok(),
            6 => {
                let mut info = attribute.payload;
                take_u32(&mut info, "preferred")?;
                valid = take_u32(&mut info, "valid")?;
            }
            8 => flags = attribute.u32("flags")?,
            11 => origin = attribute.u8("proto")?,
            _ => {}
        }
    }
    let own = local.or(address);
    let prefix = own.and_then(|own| IpPrefix::new(own, prefix_len));
    Ok(prefix.map(|prefix| {
        let peer = address.filter(|peer| *peer != prefix.address());
        // Requests cannot set the flags for secondary and permanent addresses.
        let flags = match family {
            Family::Ipv4 => flags & !(IFA_F_PERMANENT | 1),
            Family::Ipv6 => flags & !IFA_F_PERMANENT,
        };
        let broadcast = broadcast.map(Ipv4Addr::from);
        let address = Address { prefix, peer, scope, flags, valid, label, broadcast, origin };
        (LinkIndex(index), address)
    }))
}

/// As for [`address_request`].
fn route_request(mut payload: &[u8]) -> Result<Option<(LinkIndex, Route)>, WireError> {
    let [family, prefix_len, _source_len, _tos] = take_array(&mut payload, "rtmsg")?;
    let [table, protocol, scope, _kind] = take_array(&mut payload, "rtmsg")?;
    let on_link = take_u32(&mut payload, "rtmsg")? & 4 != 0;
    let Some(family) = family_of(family) else { return Ok(None) };
    let mut destination = Some(IpPrefix::everything(family).address());
    let mut index = 0;
    let mut route = Route {
        family,
        destination: IpPrefix::everything(family),
        gateway: None,
        source: None,
        metric: 0,
        table: u32::from(table),
        protocol,
        scope,
        on_link,
        expires: None,
    };
    for attribute in attributes(payload) {
        let attribute = attribute?;
        match attribute.kind {
            1 => destination = ip(family, attribute.payload),
            4 => index = attribute.u32("oif")?,
            5 => route.gateway = ip(family, attribute.payload),
            6 => route.metric = attribute.u32("priority")?,
            7 => route.source = ip(family, attribute.payload),
            15 => route.table = attribute.u32("table")?,
            23 => route.expires = Some(attribute.u32("expires")?),
            _ => {}
        }
    }
    let destination = destination.and_then(|address| IpPrefix::new(address, prefix_len));
    Ok(destination.map(|destination| (LinkIndex(index), Route { destination, ..route })))
}

fn family_of(number: u8) -> Option<Family> {
    match number {
        2 => Some(Family::Ipv4),
        10 => Some(Family::Ipv6),
        _ => None,
    }
}

fn ip(family: Family, mut bytes: &[u8]) -> Option<IpAddr> {
    match family {
        Family::Ipv4 => take_array::<4>(&mut bytes, "ip").ok().map(|it| Ipv4Addr::from(it).into()),
        Family::Ipv6 => take_array::<16>(&mut bytes, "ip").ok().map(|it| Ipv6Addr::from(it).into()),
    }
}
