// SPDX-License-Identifier: LGPL-2.1-or-later
//! Static entries of forwarding tables (`linux/neighbour.h`; `bridge fdb` shows them): of a
//! bridge's port, of a bridge itself, and the destinations of a VXLAN.
//!
//! Left out are the entries that the kernel makes: those that a bridge learns, a link's own
//! addresses, and those that a NIC is to receive (`self` without a destination). Entries of a
//! routing daemon (`extern_learn`) are left to that.

use std::fmt;

use crate::model::address::MacAddr;
use crate::netlink::link::{Link, LinkIndex};
use crate::netlink::wire::{
    self, Attribute, FLAG_ACK, FLAG_DUMP, FLAG_REQUEST, Message, NetlinkHeader, PayloadWriter,
    WireError, attributes, take_array, take_u16, take_u32,
};

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const AF_BRIDGE: u8 = 7;

const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;

const NTF_SELF: u8 = 0x02;
const NTF_MASTER: u8 = 0x04;
const NTF_EXT_LEARNED: u8 = 0x10;
const NTF_STICKY: u8 = 0x40;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_VLAN: u16 = 5;
const NDA_PORT: u16 = 6;
const NDA_VNI: u16 = 7;
const NDA_IFINDEX: u16 = 8;
const NDA_MASTER: u16 = 9;
const NDA_SRC_VNI: u16 = 11;
const NDA_NH_ID: u16 = 13;

const FLAG_REPLACE: u16 = 0x100;
const FLAG_CREATE: u16 = 0x400;
const FLAG_APPEND: u16 = 0x800;

/// One entry of one link.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct FdbEntry {
    state: u16,
    flags: u8,
    /// The attributes that a request accepts.
    attributes: Vec<u8>,
}

impl FdbEntry {
    /// Decodes an entry, and its link. `None` for other messages, and for entries that are not
    /// static.
    pub fn decode(message: &Message<'_>) -> Result<Option<(LinkIndex, Self)>, WireError> {
        let mut rest = message.payload;
        if message.kind != RTM_NEWNEIGH || rest.first() != Some(&AF_BRIDGE) {
            return Ok(None);
        }
        take_array::<4>(&mut rest, "ndmsg")?;
        let index = take_u32(&mut rest, "ndmsg")?;
        let state = take_u16(&mut rest, "ndmsg")?;
        let [flags, _] = take_array::<2>(&mut rest, "ndmsg")?;
        let mut entry =
            Self { state, flags: flags & (NTF_SELF | NTF_STICKY), attributes: Vec::new() };
        let mut is_sent = false;
        for attribute in attributes(rest) {
            let attribute = attribute?;
            is_sent |= matches!(attribute.kind, NDA_DST | NDA_NH_ID);
            match attribute.kind {
                NDA_DST | NDA_LLADDR | NDA_VLAN | NDA_PORT | NDA_VNI | NDA_IFINDEX
                | NDA_SRC_VNI | NDA_NH_ID => {
                    PayloadWriter::new(&mut entry.attributes)
                        .attribute(attribute.kind, attribute.payload);
                }
                _ => {}
            }
        }
        let is_set = state & (NUD_NOARP | NUD_PERMANENT) != 0
            && flags & NTF_EXT_LEARNED == 0
            && (is_sent || flags & NTF_SELF == 0);
        Ok(LinkIndex::new(index).filter(|_| is_set).map(|index| (index, entry)))
    }

    /// Whether the kernel has made it from the link's own address.
    pub fn is_of(&self, link: &Link) -> bool {
        !self.is_self() && self.state & NUD_PERMANENT != 0 && self.mac() == link.mac
    }

    /// Appends the message in which the kernel would announce it.
    pub fn encode(&self, out: &mut Vec<u8>, link: LinkIndex) {
        self.write(
            out,
            NetlinkHeader { kind: RTM_NEWNEIGH, flags: 0, sequence: 0 },
            link,
            self.flags,
        );
    }

    /// Appends the request that adds it. For a bridge's own entries it goes to the bridge, for
    /// those of a port to the port's bridge.
    pub(crate) fn encode_set(
        &self,
        out: &mut Vec<u8>,
        sequence: u32,
        link: LinkIndex,
        is_bridge: bool,
    ) {
        let is_one_of_many = self.is_self() && self.mac().is_none_or(|mac| is_of_many(&mac));
        let how = if is_one_of_many { FLAG_APPEND } else { FLAG_REPLACE };
        let flags = FLAG_REQUEST | FLAG_ACK | FLAG_CREATE | how;
        let header = NetlinkHeader { kind: RTM_NEWNEIGH, flags, sequence };
        self.write(out, header, link, self.target(is_bridge));
    }

    /// Appends the request that removes it.
    pub(crate) fn encode_delete(
        &self,
        out: &mut Vec<u8>,
        sequence: u32,
        link: LinkIndex,
        is_bridge: bool,
    ) {
        let header = NetlinkHeader { kind: RTM_DELNEIGH, flags: FLAG_REQUEST | FLAG_ACK, sequence };
        self.write(out, header, link, self.target(is_bridge));
    }

    fn write(&self, out: &mut Vec<u8>, header: NetlinkHeader, link: LinkIndex, flags: u8) {
        wire::write_message(out, header, |payload| {
            payload.bytes(&[AF_BRIDGE, 0, 0, 0]);
            payload.bytes(&link.0.to_ne_bytes());
            payload.bytes(&self.state.to_ne_bytes());
            payload.bytes(&[flags, 0]);
            payload.bytes(&self.attributes);
        });
    }

    /// Whether it belongs to the link itself, not to its bridge.
    pub(crate) fn is_self(&self) -> bool {
        self.flags & NTF_SELF != 0
    }

    fn target(&self, is_bridge: bool) -> u8 {
        let is_own = self.is_self() || is_bridge;
        self.flags | if is_own { NTF_SELF } else { NTF_MASTER }
    }

    fn mac(&self) -> Option<MacAddr> {
        MacAddr::new(self.attribute(NDA_LLADDR)?.payload)
    }

    fn attribute(&self, kind: u16) -> Option<Attribute<'_>> {
        attributes(&self.attributes).flatten().find(|it| it.kind == kind)
    }
}

/// Whether a VXLAN may send packets for this address to several destinations.
fn is_of_many(mac: &MacAddr) -> bool {
    let bytes = mac.as_bytes();
    bytes.iter().all(|byte| *byte == 0) || bytes.first().is_some_and(|byte| byte & 1 != 0)
}

/// Appends the request for the entries of a bridge and its ports, or of one link that is not a
/// port.
pub(crate) fn encode_dump(out: &mut Vec<u8>, sequence: u32, link: LinkIndex, is_bridge: bool) {
    let flags = FLAG_REQUEST | FLAG_DUMP;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETNEIGH, flags, sequence }, |payload| {
        payload.bytes(&[AF_BRIDGE, 0, 0, 0]);
        payload.bytes(&[0; 8]);
        payload.attribute_u32(if is_bridge { NDA_MASTER } else { NDA_IFINDEX }, link.0);
    });
}

/// As `bridge fdb` has it.
impl fmt::Display for FdbEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mac) = self.mac() {
            write!(f, "{mac}")?;
        }
        if let Some(vlan) = self.attribute(NDA_VLAN).and_then(|it| it.u16("NDA_VLAN").ok()) {
            write!(f, " vlan {vlan}")?;
        }
        if let Some(to) = self.attribute(NDA_DST) {
            let address: Option<std::net::IpAddr> = match to.payload.len() {
                4 => <[u8; 4]>::try_from(to.payload).ok().map(Into::into),
                _ => <[u8; 16]>::try_from(to.payload).ok().map(Into::into),
            };
            if let Some(address) = address {
                write!(f, " dst {address}")?;
            }
        }
        let is_permanent = self.state & NUD_PERMANENT != 0;
        f.write_str(if is_permanent { " permanent" } else { " static" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::tests::{corruptions, encoded, only_message};

    const INDEX: LinkIndex = LinkIndex(5);
    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
    const REACHABLE: u16 = 2;

    fn entry(state: u16, flags: u8, others: &[(u16, &[u8])]) -> FdbEntry {
        let mut entry = FdbEntry { state, flags, attributes: Vec::new() };
        let mut out = PayloadWriter::new(&mut entry.attributes);
        out.attribute(NDA_LLADDR, &MAC);
        others.iter().for_each(|(kind, payload)| out.attribute(*kind, payload));
        entry
    }

    #[test]
    fn what_somebody_has_set_is_read_as_it_was_written_and_nothing_else_is() {
        let to: (u16, &[u8]) = (NDA_DST, &[192, 0, 2, 8]);
        struct Case(&'static str, FdbEntry, bool, &'static str);
        for Case(label, entry, is_kept, text) in [
            Case("a port's", entry(NUD_NOARP, 0, &[]), true, "52:54:00:00:00:01 static"),
            Case(
                "in a VLAN",
                entry(NUD_PERMANENT, NTF_STICKY, &[(NDA_VLAN, &20_u16.to_ne_bytes())]),
                true,
                "52:54:00:00:00:01 vlan 20 permanent",
            ),
            Case(
                "a VXLAN's",
                entry(NUD_NOARP | REACHABLE, NTF_SELF, &[to]),
                true,
                "52:54:00:00:00:01 dst 192.0.2.8 static",
            ),
            Case("a NIC's", entry(NUD_PERMANENT, NTF_SELF, &[]), false, ""),
            Case("learnt", entry(REACHABLE, 0, &[]), false, ""),
            Case("a routing daemon's", entry(NUD_NOARP, NTF_EXT_LEARNED, &[]), false, ""),
        ] {
            let bytes = encoded(|out| entry.encode(out, INDEX));
            let read = FdbEntry::decode(&only_message(&bytes)).unwrap();
            assert_eq!(read.as_ref().map(|(_, it)| it.to_string()).unwrap_or_default(), text);
            assert_eq!(read, is_kept.then_some((INDEX, entry)), "{label}");
            for bytes in corruptions(&bytes) {
                for message in wire::messages(&bytes).flatten() {
                    let read = FdbEntry::decode(&message).ok().flatten();
                    let _ = read.map(|(_, entry)| entry.to_string());
                }
            }
        }
    }

    /// For multicast and unknown addresses, a VXLAN may send several copies.
    #[test]
    fn a_request_adds_where_there_may_be_several_and_says_whose_it_is() {
        let flags_of = |entry: &FdbEntry, is_bridge| {
            let bytes = encoded(|out| entry.encode_set(out, 1, INDEX, is_bridge));
            let message = only_message(&bytes);
            (message.flags & (FLAG_APPEND | FLAG_REPLACE), message.payload[10])
        };
        let one = entry(NUD_NOARP, NTF_SELF, &[(NDA_DST, &[192, 0, 2, 8])]);
        assert_eq!(flags_of(&one, false), (FLAG_REPLACE, NTF_SELF));
        let mut many = one;
        many.attributes[4..10].fill(0);
        assert_eq!(flags_of(&many, false), (FLAG_APPEND, NTF_SELF));
        let port = entry(NUD_NOARP, NTF_STICKY, &[]);
        assert_eq!(flags_of(&port, false), (FLAG_REPLACE, NTF_STICKY | NTF_MASTER));
        assert_eq!(flags_of(&port, true), (FLAG_REPLACE, NTF_STICKY | NTF_SELF));
    }
}
