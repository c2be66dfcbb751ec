// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`PortRecord`]: a bridge's settings for a guest's port, of whose link nothing else is kept.

use crate::netlink::link::{IFLA_PROTINFO, LinkIndex, LinkKind, RTM_NEWLINK};
use crate::netlink::record::link::kinds::{OF_BRIDGE_PORT, is_settable};
use crate::netlink::record::link::setting::AttributeOwner;
use crate::netlink::record::link::{IFLA_AF_SPEC, IFLA_INFO_SLAVE_DATA, LinkRecord, LinkSetting};
use crate::netlink::wire::{
    self, Message, NetlinkHeader, PayloadWriter, WireError, attributes, take_array, take_u32,
};

const AF_BRIDGE: u8 = 7;

/// `IFLA_BRPORT_*` of a new port, where they are not 0. The cost of a port depends on its speed.
const OF_NEW_PORT: [(u16, u32); 6] = [
    // Priority, learning, flooding, and multicast routers that are found by listening.
    (2, 32),
    (8, 1),
    (9, 1),
    (25, 1),
    (27, 1),
    (30, 1),
];
const IFLA_BRPORT_COST: u16 = 3;
/// The cost of a port with a presumed speed of 10 Mb/s, and with one of 10 Gb/s.
const COST_OF_TUN: u32 = 100;
const COST_OF_VETH: u32 = 2;

/// The attributes of a bridge's port that can be set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PortRecord {
    attributes: Vec<u8>,
}

impl LinkRecord {
    /// The bridge's settings for this port. `None` if the link is not a port of a bridge.
    pub fn port(&self) -> Option<PortRecord> {
        let mut port = PortRecord::default();
        (self.master_kind()? == b"bridge").then_some(())?;
        let mut kept = PayloadWriter::new(&mut port.attributes);
        let settable =
            self.info(IFLA_INFO_SLAVE_DATA).filter(|it| is_settable(&OF_BRIDGE_PORT, it.kind));
        settable.for_each(|it| kept.attribute(it.kind, it.payload));
        Some(port)
    }

    /// The settings that a new port of a bridge or bond needs to have these attributes. The default
    /// cost of a NIC is not known, so the cost is always set.
    pub(crate) fn port_settings_of_new(&self) -> Vec<LinkSetting> {
        if let Some(port) = self.port() {
            return port.settings_of_new(&self.link.kind);
        }
        let mut settings = self.settings();
        settings.retain(|it| it.is_of_port() && it.number() != Some(0));
        settings
    }
}

impl PortRecord {
    /// Decodes a bridge's port, and its link. `None` for other messages, and for those that also
    /// have VLANs.
    pub fn decode(message: &Message<'_>) -> Result<Option<(LinkIndex, Self)>, WireError> {
        let mut rest = message.payload;
        if message.kind != RTM_NEWLINK || rest.first() != Some(&AF_BRIDGE) {
            return Ok(None);
        }
        take_u32(&mut rest, "ifinfomsg")?;
        let index = take_u32(&mut rest, "ifinfomsg")?;
        take_array::<8>(&mut rest, "ifinfomsg")?;
        let Some(index) = LinkIndex::new(index) else { return Ok(None) };
        let of_kind = |kind: u16| attributes(rest).flatten().find(|it| it.kind == kind);
        let port = of_kind(IFLA_PROTINFO).filter(|_| of_kind(IFLA_AF_SPEC).is_none());
        Ok(port.map(|port| (index, Self { attributes: port.payload.to_vec() })))
    }

    /// Appends the message in which the kernel would announce it.
    pub fn encode(&self, out: &mut Vec<u8>, link: LinkIndex) {
        wire::write_message(
            out,
            NetlinkHeader { kind: RTM_NEWLINK, flags: 0, sequence: 0 },
            |payload| {
                payload.bytes(&[AF_BRIDGE, 0, 0, 0]);
                payload.bytes(&link.0.to_ne_bytes());
                payload.bytes(&[0; 8]);
                payload.attribute(IFLA_PROTINFO, &self.attributes);
            },
        );
    }

    /// The settings that a new port of a link of this kind needs to have these attributes. The
    /// kernel derives the cost of a port from its speed, which is known for some kinds.
    pub(crate) fn settings_of_new(&self, kind: &LinkKind) -> Vec<LinkSetting> {
        let cost = match kind {
            LinkKind::Tun => Some(COST_OF_TUN),
            LinkKind::Veth => Some(COST_OF_VETH),
            LinkKind::Bond(_)
            | LinkKind::Bridge(_)
            | LinkKind::Nic
            | LinkKind::Vlan { .. }
            | LinkKind::Other => None,
        };
        let mut settings = self.settings_besides_new();
        settings.retain(|it| it.kind != IFLA_BRPORT_COST || it.number() != cost);
        settings
    }

    fn settings_besides_new(&self) -> Vec<LinkSetting> {
        let of_new = |kind: u16| {
            OF_NEW_PORT.iter().find(|(new, _)| *new == kind).map_or(0, |(_, value)| *value)
        };
        let mut settings = self.settings();
        settings.retain(|it| it.kind == IFLA_BRPORT_COST || it.number() != Some(of_new(it.kind)));
        settings
    }

    /// Whether it has the attributes of a new port, except for the cost.
    pub(crate) fn is_as_new(&self) -> bool {
        self.settings_besides_new().iter().all(|setting| setting.kind == IFLA_BRPORT_COST)
    }

    fn settings(&self) -> Vec<LinkSetting> {
        let setting = |attribute: wire::Attribute<'_>| {
            let (kind, name) = OF_BRIDGE_PORT.iter().find(|(kind, _)| *kind == attribute.kind)?;
            let payload = attribute.payload.to_vec();
            Some(LinkSetting { place: AttributeOwner::Port("bridge"), kind: *kind, name, payload })
        };
        attributes(&self.attributes).flatten().filter_map(setting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::tests::{encoded, only_message};

    /// A port of these attributes.
    fn port(attributes: &[(u16, &[u8])]) -> PortRecord {
        let mut port = PortRecord::default();
        let mut kept = PayloadWriter::new(&mut port.attributes);
        attributes.iter().for_each(|(kind, payload)| kept.attribute(*kind, payload));
        port
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let port = port(&[(8, &[0]), (33, &[1])]);
        let told = encoded(|out| port.encode(out, LinkIndex(7)));
        let message = only_message(&told);
        assert_eq!(PortRecord::decode(&message), Ok(Some((LinkIndex(7), port))));
        assert_eq!(LinkRecord::decode(&message), Ok(None));
    }

    #[test]
    fn what_a_new_port_has_is_not_set() {
        let plain = port(&[(8, &[1]), (33, &[0]), (2, &[32, 0])]);
        assert!(plain.is_as_new() && plain.settings_of_new(&LinkKind::Tun).is_empty());
        let tuned = port(&[(8, &[0]), (33, &[1]), (2, &[32, 0]), (3, &[2, 0, 0, 0])]);
        let words = |kind| {
            let settings = tuned.settings_of_new(&kind);
            settings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let want = ["learning 0", "isolated 1", "cost 2"];
        let want = want.map(|word| format!("type bridge_slave {word}"));
        assert_eq!(words(LinkKind::Tun), want);
        // The default cost.
        assert_eq!(words(LinkKind::Veth), want[..2]);
        assert!(!tuned.is_as_new());
    }
}
