// SPDX-License-Identifier: LGPL-2.1-or-later
//! Nexthop objects (`linux/nexthop.h`): routes refer to them by id, alone or in groups.

use std::fmt;
use std::net::IpAddr;

use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::netlink::wire::{
    self, Message, NetlinkHeader, PayloadWriter, WireError, attributes, take_array, take_u32,
};

pub(super) const RTM_NEWNEXTHOP: u16 = 104;
pub(super) const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_GROUP_TYPE: u16 = 3;
const NHA_BLACKHOLE: u16 = 4;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_ENCAP_TYPE: u16 = 7;
const NHA_ENCAP: u16 = 8;
const NHA_FDB: u16 = 11;
const NHA_RES_GROUP: u16 = 12;
/// How long a resilient group has been out of balance, which the kernel reports and does not
/// accept.
const NHA_RES_GROUP_UNBALANCED_TIME: u16 = 4;

const RTNH_F_ONLINK: u32 = 4;
const RTPROT_UNSPEC: u8 = 0;
const RTPROT_BOOT: u8 = 3;
const RTPROT_STATIC: u8 = 4;

/// A nexthop object with all its attributes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct NexthopRecord {
    pub id: u32,
    /// The link that it leads through, unless it is a group or a blackhole.
    pub link: Option<IfName>,
    pub is_group: bool,
    family: u8,
    protocol: u8,
    flags: u32,
    attributes: Vec<u8>,
}

impl NexthopRecord {
    /// Decodes a nexthop object. `None` if the message is about something else, about an object
    /// that a routing daemon restores, or about one through an unknown link.
    pub fn decode(
        message: &Message<'_>,
        name_of: impl Fn(LinkIndex) -> Option<IfName>,
    ) -> Result<Option<Self>, WireError> {
        const PART: &str = "nhmsg";
        if message.kind != RTM_NEWNEXTHOP {
            return Ok(None);
        }
        let mut rest = message.payload;
        let [family, _scope, protocol, _reserved] = take_array(&mut rest, PART)?;
        let flags = take_u32(&mut rest, PART)? & RTNH_F_ONLINK;
        let (mut id, mut link, mut is_known, mut is_group) = (None, None, true, false);
        let mut list = Vec::new();
        let mut kept = PayloadWriter::new(&mut list);
        for attribute in attributes(rest) {
            let attribute = attribute?;
            match attribute.kind {
                NHA_ID => id = Some(attribute.u32("NHA_ID")?),
                NHA_OIF => {
                    link = LinkIndex::new(attribute.u32("NHA_OIF")?).and_then(&name_of);
                    is_known = link.is_some();
                    continue;
                }
                NHA_GROUP => is_group = true,
                NHA_GROUP_TYPE | NHA_BLACKHOLE | NHA_GATEWAY | NHA_ENCAP_TYPE | NHA_ENCAP
                | NHA_FDB => {}
                NHA_RES_GROUP => {
                    kept.nested(NHA_RES_GROUP, |group| {
                        let is_taken = |kind| kind != NHA_RES_GROUP_UNBALANCED_TIME && kind != 0;
                        for part in attribute.nested().flatten().filter(|it| is_taken(it.kind)) {
                            group.attribute(part.kind, part.payload);
                        }
                    });
                    continue;
                }
                // Counters, and objects that other programs restore.
                _ => continue,
            }
            kept.attribute(attribute.kind, attribute.payload);
        }
        let id = id.ok_or(WireError::Missing("NHA_ID"))?;
        let is_kept = matches!(protocol, RTPROT_UNSPEC | RTPROT_BOOT | RTPROT_STATIC);
        let record = Self { id, link, is_group, family, protocol, flags, attributes: list };
        Ok((is_kept && is_known).then_some(record))
    }

    /// The same through another link.
    #[must_use]
    pub fn through(&self, link: IfName) -> Self {
        Self { link: Some(link), ..self.clone() }
    }

    /// The gateway, if it has to be on a network of the link.
    pub fn gateway(&self) -> Option<IpAddr> {
        let gateway = attributes(&self.attributes).flatten().find(|it| it.kind == NHA_GATEWAY);
        let gateway = gateway.filter(|_| self.flags & RTNH_F_ONLINK == 0)?;
        let bytes = gateway.payload;
        let ipv4 = bytes.try_into().map(|bytes: [u8; 4]| IpAddr::from(bytes));
        ipv4.or_else(|_| bytes.try_into().map(|bytes: [u8; 16]| IpAddr::from(bytes))).ok()
    }

    /// Whether it is a group that contains this one.
    pub(crate) fn has_member(&self, id: u32) -> bool {
        const ENTRY_LEN: usize = 8;
        let group = attributes(&self.attributes).flatten().find(|it| it.kind == NHA_GROUP);
        let entries = group.map(|group| group.payload.chunks_exact(ENTRY_LEN));
        entries.into_iter().flatten().any(|entry| entry.starts_with(&id.to_ne_bytes()))
    }

    /// Appends the record as a message of this header; `index` is its link's.
    pub(super) fn encode(
        &self,
        out: &mut Vec<u8>,
        header: NetlinkHeader,
        index: Option<LinkIndex>,
    ) {
        wire::write_message(out, header, |payload| {
            payload.bytes(&[self.family, 0, self.protocol, 0]);
            payload.bytes(&self.flags.to_ne_bytes());
            payload.bytes(&self.attributes);
            if let Some(LinkIndex(index)) = index {
                payload.attribute_u32(NHA_OIF, index);
            }
        });
    }

    /// Appends the request to remove it.
    pub(super) fn encode_delete(&self, out: &mut Vec<u8>, header: NetlinkHeader) {
        wire::write_message(out, header, |payload| {
            payload.bytes(&[0; 8]);
            payload.attribute_u32(NHA_ID, self.id);
        });
    }
}

impl fmt::Display for NexthopRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "id {}", self.id)?;
        match self.link {
            Some(link) => write!(f, " dev {link}"),
            None if self.is_group => f.write_str(" group"),
            None => Ok(()),
        }
    }
}

/// Appends the request for all next hops.
pub(crate) fn encode_nexthop_dump(out: &mut Vec<u8>, sequence: u32) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_DUMP;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETNEXTHOP, flags, sequence }, |payload| {
        payload.bytes(&[0; 8]);
    });
}
