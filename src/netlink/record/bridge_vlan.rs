// SPDX-License-Identifier: LGPL-2.1-or-later
//! The VLAN memberships of a bridge's ports and of the bridge itself (`linux/if_bridge.h`; `bridge
//! vlan` shows them).
//!
//! They belong to the bridge membership: a port that leaves its bridge loses them, and a port that
//! joins has only the bridge's default.

use std::fmt;

use crate::netlink::link::{IFLA_EXT_MASK, LinkIndex, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK};
use crate::netlink::record::link::IFLA_AF_SPEC;
use crate::netlink::wire::{
    self, FLAG_ACK, FLAG_DUMP, FLAG_REQUEST, Message, NetlinkHeader, PayloadWriter, WireError,
    attributes, take_array, take_u16, take_u32,
};

const RTM_SETLINK: u16 = 19;
/// The family of messages about a link as a port of a bridge.
const AF_BRIDGE: u8 = 7;
/// Asks for consecutive VLANs with equal properties as one range.
const RTEXT_FILTER_BRVLAN_COMPRESSED: u32 = 0x4;

const IFLA_BRIDGE_FLAGS: u16 = 0;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
/// Addresses a request to the link itself, not to the bridge that it is a port of.
const BRIDGE_FLAGS_SELF: u16 = 2;

const BRIDGE_VLAN_INFO_PVID: u16 = 1 << 1;
const BRIDGE_VLAN_INFO_UNTAGGED: u16 = 1 << 2;
const BRIDGE_VLAN_INFO_RANGE_BEGIN: u16 = 1 << 3;
const BRIDGE_VLAN_INFO_RANGE_END: u16 = 1 << 4;

/// 0 and 4095 are reserved (IEEE 802.1Q).
const VID_MAX: u16 = 4094;

/// VLANs of one port, or of a bridge itself, by their numbers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BridgeVlans {
    /// In their order. Adjacent ranges differ in their properties.
    ranges: Vec<Range>,
}

/// Consecutive VLANs with equal properties.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Range {
    first: u16,
    last: u16,
    /// Whether untagged packets belong to it, and whether its packets leave untagged
    /// (`BRIDGE_VLAN_INFO_PVID`, `BRIDGE_VLAN_INFO_UNTAGGED`).
    flags: u16,
}

/// The owner of VLAN memberships.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// Those of a port of a bridge.
    Port,
    /// Those of a bridge itself, for the host.
    Bridge,
}

impl BridgeVlans {
    /// The membership that a bridge gives to each new port, and to itself at first: the VLAN of
    /// this number (`IFLA_BR_VLAN_DEFAULT_PVID`), or none if that is 0.
    pub fn of_default(vid: u16) -> Self {
        let flags = BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED;
        Self { ranges: Vec::from_iter((vid > 0).then_some(Range { first: vid, last: vid, flags })) }
    }

    /// The VLAN of this number, for packets with its tag.
    pub(crate) fn tagged(vid: u16) -> Self {
        Self { ranges: vec![Range { first: vid, last: vid, flags: 0 }] }
    }

    /// Decodes a link's VLANs on a bridge: one message has all of them. `None` if the message is
    /// about something else, as a NIC may have a bridge of its own inside.
    pub fn decode(message: &Message<'_>) -> Result<Option<(LinkIndex, Self)>, WireError> {
        let mut rest = message.payload;
        if message.kind != RTM_NEWLINK || rest.first() != Some(&AF_BRIDGE) {
            return Ok(None);
        }
        take_array::<4>(&mut rest, "ifinfomsg")?;
        let index = take_u32(&mut rest, "ifinfomsg")?;
        take_array::<8>(&mut rest, "ifinfomsg")?;
        let mut vlans = Self::default();
        for attribute in attributes(rest) {
            let attribute = attribute?;
            if attribute.kind != IFLA_AF_SPEC {
                continue;
            }
            for part in attribute.nested() {
                let part = part?;
                match part.kind {
                    IFLA_BRIDGE_FLAGS => return Ok(None),
                    IFLA_BRIDGE_VLAN_INFO => vlans.add(part.payload)?,
                    _ => {}
                }
            }
        }
        Ok(LinkIndex::new(index).map(|index| (index, vlans)))
    }

    /// Adds one `bridge_vlan_info`. The end of a range follows its beginning.
    fn add(&mut self, mut info: &[u8]) -> Result<(), WireError> {
        let flags = take_u16(&mut info, "bridge_vlan_info")?;
        let vid = take_u16(&mut info, "bridge_vlan_info")?.min(VID_MAX);
        let kept = flags & (BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED);
        match self.ranges.last_mut() {
            Some(begun) if flags & BRIDGE_VLAN_INFO_RANGE_END != 0 => begun.last = vid,
            _ => self.push(vid, kept),
        }
        Ok(())
    }

    /// Adds one VLAN behind all others.
    fn push(&mut self, vid: u16, flags: u16) {
        match self.ranges.last_mut() {
            // Untagged packets belong to a single VLAN, not to a range.
            Some(before)
                if before.last + 1 == vid
                    && before.flags == flags
                    && flags & BRIDGE_VLAN_INFO_PVID == 0 =>
            {
                before.last = vid;
            }
            _ => self.ranges.push(Range { first: vid, last: vid, flags }),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether this VLAN is among them.
    pub fn contains(&self, vid: u16) -> bool {
        self.flags_of(vid).is_some()
    }

    /// Whether all numbers of `self` are among those of `other`.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let is_other = |range: &Range| (range.first..=range.last).all(|vid| other.contains(vid));
        self.ranges.iter().all(is_other)
    }

    /// The VLANs of `self` that `now` lacks, or has with other properties.
    #[must_use]
    pub fn besides(&self, now: &Self) -> Self {
        self.filtered(|vid, flags| now.flags_of(vid) != Some(flags))
    }

    /// The VLANs of `self` whose numbers `then` lacks.
    #[must_use]
    pub fn without(&self, then: &Self) -> Self {
        self.filtered(|vid, _| then.flags_of(vid).is_none())
    }

    fn filtered(&self, is_kept: impl Fn(u16, u16) -> bool) -> Self {
        let mut kept = Self::default();
        for Range { first, last, flags } in &self.ranges {
            let vids = (*first..=*last).filter(|vid| is_kept(*vid, *flags));
            vids.for_each(|vid| kept.push(vid, *flags));
        }
        kept
    }

    fn flags_of(&self, vid: u16) -> Option<u16> {
        let range = self.ranges.iter().find(|range| range.last >= vid)?;
        (range.first <= vid).then_some(range.flags)
    }

    /// Appends the message in which the kernel would announce them.
    pub fn encode(&self, out: &mut Vec<u8>, index: LinkIndex) {
        wire::write_message(
            out,
            NetlinkHeader { kind: RTM_NEWLINK, flags: 0, sequence: 0 },
            |payload| {
                write_header(payload, index);
                payload.nested(IFLA_AF_SPEC, |spec| self.write(spec));
            },
        );
    }

    /// Appends the request that adds these VLANs with their properties.
    pub(crate) fn encode_set(
        &self,
        out: &mut Vec<u8>,
        sequence: u32,
        index: LinkIndex,
        side: Side,
    ) {
        self.encode_request(
            out,
            NetlinkHeader { kind: RTM_SETLINK, flags: 0, sequence },
            index,
            side,
        );
    }

    /// Appends the request that removes these VLANs. The kernel accepts it for VLANs that are not
    /// members.
    pub(crate) fn encode_delete(
        &self,
        out: &mut Vec<u8>,
        sequence: u32,
        index: LinkIndex,
        side: Side,
    ) {
        self.encode_request(
            out,
            NetlinkHeader { kind: RTM_DELLINK, flags: 0, sequence },
            index,
            side,
        );
    }

    fn encode_request(
        &self,
        out: &mut Vec<u8>,
        header: NetlinkHeader,
        index: LinkIndex,
        side: Side,
    ) {
        wire::write_message(
            out,
            NetlinkHeader { flags: FLAG_REQUEST | FLAG_ACK, ..header },
            |payload| {
                write_header(payload, index);
                payload.nested(IFLA_AF_SPEC, |spec| {
                    if side == Side::Bridge {
                        spec.attribute(IFLA_BRIDGE_FLAGS, &BRIDGE_FLAGS_SELF.to_ne_bytes());
                    }
                    self.write(spec);
                });
            },
        );
    }

    fn write(&self, spec: &mut PayloadWriter<'_>) {
        let mut write = |flags: u16, vid: u16| {
            let [flags, vid] = [flags, vid].map(u16::to_ne_bytes);
            spec.attribute(IFLA_BRIDGE_VLAN_INFO, [flags, vid].as_flattened());
        };
        for Range { first, last, flags } in &self.ranges {
            if first == last {
                write(*flags, *first);
            } else {
                write(flags | BRIDGE_VLAN_INFO_RANGE_BEGIN, *first);
                write(flags | BRIDGE_VLAN_INFO_RANGE_END, *last);
            }
        }
    }
}

/// Appends the request for the VLANs of all bridges and their ports.
pub(crate) fn encode_dump(out: &mut Vec<u8>, sequence: u32) {
    let flags = FLAG_REQUEST | FLAG_DUMP;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETLINK, flags, sequence }, |payload| {
        payload.bytes(&[AF_BRIDGE]);
        payload.bytes(&[0; 15]);
        payload.attribute_u32(IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN_COMPRESSED);
    });
}

fn write_header(payload: &mut PayloadWriter<'_>, index: LinkIndex) {
    payload.bytes(&[AF_BRIDGE, 0, 0, 0]);
    payload.bytes(&index.0.to_ne_bytes());
    payload.bytes(&[0; 8]);
}

/// As `bridge vlan add` has it.
impl fmt::Display for BridgeVlans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Range { first, last, flags }) in self.ranges.iter().enumerate() {
            write!(f, "{}vid {first}", if at > 0 { ", " } else { "" })?;
            if last > first {
                write!(f, "-{last}")?;
            }
            if flags & BRIDGE_VLAN_INFO_PVID != 0 {
                f.write_str(" pvid")?;
            }
            if flags & BRIDGE_VLAN_INFO_UNTAGGED != 0 {
                f.write_str(" untagged")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::tests::{corruptions, encoded, only_message};

    const INDEX: LinkIndex = LinkIndex(7);
    const PVID: u16 = BRIDGE_VLAN_INFO_PVID;
    const UNTAGGED: u16 = BRIDGE_VLAN_INFO_UNTAGGED;

    fn vlans(ranges: &[(u16, u16, u16)]) -> BridgeVlans {
        let range = |&(first, last, flags): &(u16, u16, u16)| Range { first, last, flags };
        BridgeVlans { ranges: ranges.iter().map(range).collect() }
    }

    fn decoded(bytes: &[u8]) -> Option<(LinkIndex, BridgeVlans)> {
        BridgeVlans::decode(&only_message(bytes)).unwrap()
    }

    #[test]
    fn vlans_are_read_as_they_were_written() {
        let cases = [
            vlans(&[]),
            vlans(&[(1, 1, PVID | UNTAGGED)]),
            vlans(&[(1, 4094, 0)]),
            vlans(&[
                (1, 1, UNTAGGED),
                (2, 2, PVID),
                (3, 9, 0),
                (10, 11, UNTAGGED),
                (4094, 4094, 0),
            ]),
        ];
        for vlans in cases {
            let told = encoded(|out| vlans.encode(out, INDEX));
            assert_eq!(decoded(&told), Some((INDEX, vlans)));
        }
    }

    /// Older kernels report each VLAN by itself.
    #[test]
    fn what_follows_one_another_and_is_alike_is_one_range() {
        let mut told = BridgeVlans::default();
        for (vid, flags) in [(1, PVID | UNTAGGED), (2, 0), (3, 0), (4, UNTAGGED), (6, UNTAGGED)] {
            let [flags, vid]: [[u8; 2]; 2] = [flags, vid].map(u16::to_ne_bytes);
            told.add([flags, vid].as_flattened()).unwrap();
        }
        let ranges = [(1, 1, PVID | UNTAGGED), (2, 3, 0), (4, 4, UNTAGGED), (6, 6, UNTAGGED)];
        assert_eq!(told, vlans(&ranges));
    }

    #[test]
    fn a_difference_is_what_goes_and_what_comes() {
        let then = vlans(&[(1, 1, UNTAGGED), (20, 29, 0), (30, 30, PVID | UNTAGGED)]);
        let now = vlans(&[(1, 1, PVID | UNTAGGED), (22, 25, 0), (28, 32, UNTAGGED)]);
        assert_eq!(now.without(&then), vlans(&[(31, 32, UNTAGGED)]));
        let missing = [(1, 1, UNTAGGED), (20, 21, 0), (26, 29, 0), (30, 30, PVID | UNTAGGED)];
        assert_eq!(then.besides(&now), vlans(&missing));
        assert!(then.besides(&then).is_empty() && then.without(&then).is_empty());
        assert!(BridgeVlans::of_default(0).is_empty());
        assert!(vlans(&[(1, 1, 0)]).is_within(&then) && !then.is_within(&vlans(&[(1, 1, 0)])));
        assert!(!vlans(&[(19, 19, 0)]).is_within(&then) && vlans(&[]).is_within(&vlans(&[])));
        let text = "vid 1 untagged, vid 20-21, vid 26-29, vid 30 pvid untagged";
        assert_eq!(then.besides(&now).to_string(), text);
    }

    /// The message describes the NIC's own bridge, whichever bridge it is a port of.
    #[test]
    fn what_a_nic_says_of_the_bridge_inside_it_is_not_ours() {
        let vlans = BridgeVlans::of_default(1);
        let told = encoded(|out| vlans.encode_set(out, 1, INDEX, Side::Bridge));
        assert_eq!(BridgeVlans::decode(&only_message(&told)), Ok(None), "a request");
        let told = encoded(|out| {
            wire::write_message(
                out,
                NetlinkHeader { kind: RTM_NEWLINK, flags: 0, sequence: 0 },
                |it| {
                    write_header(it, INDEX);
                    it.nested(IFLA_AF_SPEC, |spec| {
                        spec.attribute(IFLA_BRIDGE_FLAGS, &BRIDGE_FLAGS_SELF.to_ne_bytes());
                    });
                },
            );
        });
        assert_eq!(decoded(&told), None);
    }

    #[test]
    fn what_is_corrupt_is_refused_or_read_and_never_worse() {
        let vlans = vlans(&[(1, 1, PVID), (3, 9, 0), (4000, 4094, UNTAGGED)]);
        let told = encoded(|out| vlans.encode(out, INDEX));
        for bytes in corruptions(&told) {
            for message in wire::messages(&bytes).flatten() {
                if let Ok(Some((_, read))) = BridgeVlans::decode(&message) {
                    let _ = read.besides(&vlans).to_string() + &vlans.without(&read).to_string();
                }
            }
        }
    }
}
