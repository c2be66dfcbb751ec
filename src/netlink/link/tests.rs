// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`]. Messages from real kernels are in `tests/golden/netlink`.

use super::*;
use crate::netlink::tests::{encoded, only_message};
use crate::netlink::wire::{PayloadWriter, write_message};

fn link(name: &str, kind: LinkKind) -> Link {
    Link {
        index: LinkIndex(7),
        name: IfName::new(name).unwrap(),
        up: true,
        mtu: 1500,
        mac: MacAddr::parse("52:54:00:00:00:07"),
        carrier: true,
        oper_state: OperState::Up,
        master: None,
        parent: None,
        kind,
    }
}

fn bond() -> LinkBond {
    LinkBond {
        mode: Some(BondMode::ActiveBackup),
        miimon: 100,
        updelay: 200,
        downdelay: 300,
        carrier: MiiCarrier::Ioctl,
        arp_interval: 0,
        arp_targets: vec![Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)],
        arp_validate: Some(ArpValidate::All),
    }
}

/// A message of `kind`, its attributes written by `fill`.
fn message(kind: u16, family: u8, fill: impl FnOnce(&mut PayloadWriter<'_>)) -> Vec<u8> {
    encoded(|out| {
        write_message(out, NetlinkHeader { kind, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&[family, 0, 0, 0]);
            payload.bytes(&7_u32.to_ne_bytes());
            payload.bytes(&[0; 8]);
            fill(payload);
        });
    })
}

/// Built by hand after `linux/if_link.h`; what a kernel sent is in `tests/golden/netlink`.
#[test]
#[cfg(target_endian = "little")]
fn a_bond_is_read_as_the_kernel_writes_it() {
    let payload = b"\0\0\x01\0\x07\0\0\0\x43\x14\x01\0\0\0\0\0\
        \x0a\0\x03\0bond0\0\0\0\x08\0\x04\0\xdc\x05\0\0\x05\0\x10\0\x06\0\0\0\
        \x0a\0\x01\0\x52\x54\0\0\0\x07\0\0\
        \x70\0\x12\x80\x09\0\x01\0bond\0\0\0\0\x60\0\x02\x80\
        \x05\0\x01\0\x01\0\0\0\x08\0\x03\0\x64\0\0\0\x08\0\x04\0\xc8\0\0\0\x08\0\x05\0\x2c\x01\0\0\
        \x05\0\x06\0\0\0\0\0\x08\0\x07\0\0\0\0\0\
        \x14\0\x08\x80\x08\0\0\0\xc0\0\x02\x01\x08\0\x01\0\xc0\0\x02\x02\
        \x08\0\x09\0\x03\0\0\0\x08\0\x0a\0\0\0\0\0\x08\0\x0d\0\0\0\0\0";
    let message = Message { kind: RTM_NEWLINK, flags: 0, sequence: 0, payload };
    let want = link("bond0", LinkKind::Bond(Box::new(bond())));
    assert_eq!(decode(&message), Ok(Some(LinkEvent::New(want))));
}

/// Built by hand after `linux/if_link.h`; what a kernel sent is in `tests/golden/netlink`.
#[test]
#[cfg(target_endian = "little")]
fn a_vlan_is_read_as_the_kernel_writes_it() {
    let payload = b"\0\0\x01\0\x07\0\0\0\x43\0\x01\0\0\0\0\0\
        \x0b\0\x03\0eth0.5\0\0\x08\0\x04\0\xdc\x05\0\0\x05\0\x10\0\x06\0\0\0\
        \x0a\0\x01\0\x52\x54\0\0\0\x07\0\0\x08\0\x05\0\x02\0\0\0\
        \x30\0\x12\x80\x09\0\x01\0vlan\0\0\0\0\x20\0\x02\x80\
        \x06\0\x05\0\x81\0\0\0\x06\0\x01\0\x05\0\0\0\x0c\0\x02\0\x01\0\0\0\xff\xff\xff\xff";
    let message = Message { kind: RTM_NEWLINK, flags: 0, sequence: 0, payload };
    let want = Link { parent: Some(LinkIndex(2)), ..link("eth0.5", LinkKind::Vlan { tag: 5 }) };
    assert_eq!(decode(&message), Ok(Some(LinkEvent::New(want))));
}

#[test]
fn only_messages_about_a_link_as_such_are_news() {
    let described = |payload: &mut PayloadWriter<'_>| {
        payload.attribute_text(IFLA_IFNAME, "eth0");
        payload.attribute_u32(IFLA_MTU, 1500);
    };
    let wireless = |payload: &mut PayloadWriter<'_>| {
        payload.attribute_text(IFLA_IFNAME, "wlan0");
        payload.attribute(IFLA_WIRELESS, &[0; 16]);
    };
    let removed = Some(LinkEvent::Removed(LinkIndex(7)));
    let cases = [
        ("a link leaves", message(RTM_DELLINK, 0, described), removed),
        ("a port leaves its bridge", message(RTM_DELLINK, 7, described), None),
        ("a port joins its bridge", message(RTM_NEWLINK, 7, described), None),
        ("a wireless event", message(RTM_NEWLINK, 0, wireless), None),
        ("no link message", message(20, 0, described), None),
    ];
    for (label, datagram, want) in cases {
        assert_eq!(decode(&only_message(&datagram)), Ok(want), "{label}");
    }
}

#[test]
fn a_link_without_name_or_mtu_or_index_is_refused() {
    let unnamed = message(RTM_NEWLINK, 0, |payload| payload.attribute_u32(IFLA_MTU, 1));
    assert_eq!(decode(&only_message(&unnamed)), Err(WireError::Missing("IFLA_IFNAME")));
    let named = message(RTM_NEWLINK, 0, |payload| payload.attribute_text(IFLA_IFNAME, "a"));
    assert_eq!(decode(&only_message(&named)), Err(WireError::Missing("IFLA_MTU")));
    let numberless = Message { kind: RTM_DELLINK, flags: 0, sequence: 0, payload: &[0; 16] };
    assert_eq!(decode(&numberless), Err(WireError::Value("ifi_index")));
}

#[test]
fn a_link_that_nobody_could_name_is_told_apart() {
    for name in ["a\x01b", "a b", "1234567890123456", ""] {
        let datagram = message(RTM_NEWLINK, 0, |payload| {
            payload.attribute_text(IFLA_IFNAME, name);
            payload.attribute_u32(IFLA_MTU, 1500);
        });
        let want = LinkEvent::Unnameable(LinkIndex(7));
        assert_eq!(decode(&only_message(&datagram)), Ok(Some(want)), "{name:?}");
    }
}

#[test]
fn a_parent_in_another_namespace_is_none_of_ours() {
    let datagram = message(RTM_NEWLINK, 0, |payload| {
        payload.attribute_text(IFLA_IFNAME, "veth0");
        payload.attribute_u32(IFLA_MTU, 1500);
        payload.attribute_u32(IFLA_LINK_NETNSID, 0);
        payload.attribute_u32(IFLA_LINK, 2);
    });
    let Ok(Some(LinkEvent::New(link))) = decode(&only_message(&datagram)) else {
        panic!("a link");
    };
    assert_eq!(link.parent, None);
}

#[test]
fn a_kind_without_its_attributes_is_still_a_link() {
    let cases = [
        ("bridge", LinkKind::Bridge(LinkBridge::default())),
        ("bond", LinkKind::Bond(Box::default())),
        ("vlan", LinkKind::Other),
        ("vxlan", LinkKind::Other),
    ];
    for (name, want) in cases {
        let datagram = message(RTM_NEWLINK, 0, |payload| {
            payload.attribute_text(IFLA_IFNAME, "x");
            payload.attribute_u32(IFLA_MTU, 1500);
            payload.nested(IFLA_LINKINFO, |info| info.attribute_text(IFLA_INFO_KIND, name));
        });
        let Ok(Some(LinkEvent::New(link))) = decode(&only_message(&datagram)) else {
            panic!("{name}: a link");
        };
        assert_eq!(link.kind, want, "{name}");
    }
}

#[test]
fn requests_name_all_links_or_one() {
    let all = encoded(|out| encode_dump(out, 5));
    let one = encoded(|out| encode_lookup(out, 6, LinkIndex(7)));
    let (all, one) = (only_message(&all), only_message(&one));
    assert_eq!((all.kind, all.flags, all.sequence, all.payload.len()), (18, 0x301, 5, 24));
    assert_eq!((one.kind, one.flags, one.sequence, one.payload.len()), (18, 0x5, 6, 24));
    assert_eq!(&one.payload[4..8], 7_u32.to_ne_bytes());
}

#[test]
fn a_link_is_small() {
    assert!(size_of::<Link>() <= 96, "{}", size_of::<Link>());
}

#[test]
fn a_cut_message_tells_which_link_it_is_about() {
    let bytes = message(RTM_NEWLINK, 0, |payload| payload.attribute_u32(IFLA_MTU, 1500));
    let cut = wire::cut_message(&bytes[..24]).unwrap();
    assert_eq!(subject(&cut), Some(LinkIndex(7)));
    assert_eq!(subject(&Message { kind: 20, ..cut }), None, "an address");
    assert_eq!(subject(&Message { payload: &[7; 8], ..cut }), None, "a port");
    assert_eq!(subject(&Message { payload: &[0; 7], ..cut }), None, "too short");
}
