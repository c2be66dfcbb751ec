// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`], with messages of a real kernel about addresses. The captures come from a
//! little-endian machine.

#![cfg(target_endian = "little")]

use super::*;
use crate::netlink::tests::{corruptions, datagrams, encoded, only_message, parts};
use crate::netlink::wire::{messages, write_message};

const ADDRESSES: [&str; 4] = [
    include_str!("../../../../tests/golden/netlink/address-ipv4.hex"),
    include_str!("../../../../tests/golden/netlink/address-ipv6.hex"),
    include_str!("../../../../tests/golden/netlink/address-autoconf.hex"),
    include_str!("../../../../tests/golden/netlink/life-dump.hex"),
];
const ELSEWHERE: LinkIndex = LinkIndex(77);

fn prefix(text: &str) -> IpPrefix {
    let (address, len) = text.split_once('/').unwrap();
    IpPrefix::new(address.parse().unwrap(), len.parse().unwrap()).unwrap()
}

#[test]
fn an_address_is_said_again_with_all_that_was_said_of_it() {
    let mut count = 0;
    for datagram in ADDRESSES.iter().flat_map(|text| datagrams(text)) {
        for message in messages(&datagram) {
            let message = message.unwrap();
            let Some(record) = AddressRecord::decode(&message).unwrap() else { continue };
            let again = encoded(|out| record.encode_add(out, 7, ELSEWHERE));
            let again = only_message(&again);
            assert_eq!((again.kind, again.flags, again.sequence), (RTM_NEWADDR, 0x605, 7));
            assert_eq!(parts(again.payload, 8), parts(message.payload, 8));
            assert_eq!(again.payload.get(..4), message.payload.get(..4));
            assert_eq!(again.payload.get(4..8).unwrap(), 77_u32.to_ne_bytes());
            // The record of the copy equals that of the original.
            let told = AddressRecord::decode(&again).unwrap().unwrap();
            assert_eq!(told.address, Address { link: ELSEWHERE, ..record.address });
            let changed = encoded(|out| record.encode_change(out, 7, ELSEWHERE));
            let changed = only_message(&changed);
            assert_eq!((changed.kind, changed.flags), (RTM_NEWADDR, 0x105), "replaced");
            let deleted = encoded(|out| record.encode_delete(out, 7, ELSEWHERE));
            let deleted = only_message(&deleted);
            assert_eq!((deleted.kind, deleted.flags), (RTM_DELADDR, 5));
            assert_eq!(deleted.payload, again.payload);
            count += 1;
        }
    }
    assert!(count > 10, "{count} addresses were captured");
}

#[test]
fn an_address_that_moves_is_not_asked_for_again() {
    for datagram in ADDRESSES.iter().flat_map(|text| datagrams(text)) {
        for message in messages(&datagram) {
            let Some(record) = AddressRecord::decode(&message.unwrap()).unwrap() else { continue };
            let moved = record.moved(&name("eth0"), &name("br0"));
            assert_eq!((moved.address, moved.scope), (record.address, record.scope));
            let flags_of = |record: &AddressRecord| {
                let mut found = attributes(&record.attributes).flatten();
                found.find(|part| part.kind == IFA_FLAGS).unwrap().u32("flags").unwrap()
            };
            let nodad = match record.address.prefix.family() {
                Family::Ipv4 => 0,
                Family::Ipv6 => 2,
            };
            assert_eq!(flags_of(&moved), flags_of(&record) | nodad);
            let kept = |record: &AddressRecord| {
                let mut kept = parts(&record.attributes, 0);
                kept.retain(|(kind, _)| ![IFA_LABEL, IFA_FLAGS].contains(kind));
                kept
            };
            assert_eq!(kept(&moved), kept(&record));
        }
    }
}

#[test]
fn a_kernel_without_wide_flags_has_those_of_the_header() {
    let told = encoded(|out| {
        write_message(out, NetlinkHeader { kind: RTM_NEWADDR, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&[10, 64, 0x80, 0, 9, 0, 0, 0]);
            payload.attribute(IFA_ADDRESS, &[0x20; 16]);
            payload.attribute(IFA_PROTO, &[2]);
        });
    });
    let record = AddressRecord::decode(&only_message(&told)).unwrap().unwrap();
    let flags = parts(&record.moved(&name("eth0"), &name("br0")).attributes, 0).pop().unwrap();
    assert_eq!(flags, (IFA_FLAGS, 0x82_u32.to_ne_bytes().to_vec()));
}

#[test]
fn an_address_that_is_asked_for_has_the_broadcast_address_of_its_network() {
    struct Case(&'static str, Option<[u8; 4]>);
    let cases = [
        Case("192.0.2.1/24", Some([192, 0, 2, 255])),
        Case("192.0.2.1/30", Some([192, 0, 2, 3])),
        Case("192.0.2.1/31", None),
        Case("192.0.2.1/32", None),
        Case("10.1.2.3/8", Some([10, 255, 255, 255])),
        Case("10.1.2.3/0", Some([255, 255, 255, 255])),
        Case("2001:db8::1/64", None),
    ];
    for Case(text, want) in cases {
        let record = AddressRecord::permanent(prefix(text));
        let asked = encoded(|out| record.encode_add(out, 7, ELSEWHERE));
        let asked = only_message(&asked);
        let mut wanted = Vec::new();
        with_octets(prefix(text).address(), |octets| {
            wanted.extend([(IFA_LOCAL, octets.to_vec()), (IFA_ADDRESS, octets.to_vec())]);
        });
        wanted.extend(want.map(|broadcast| (IFA_BROADCAST, broadcast.to_vec())));
        assert_eq!(parts(asked.payload, 8), wanted, "{text}");
        let told = AddressRecord::decode(&asked).unwrap().unwrap();
        assert_eq!(told.address.prefix, prefix(text));
        assert_eq!(record.to_string(), text);
    }
}

#[test]
fn nothing_that_a_kernel_says_panics() {
    for text in ADDRESSES {
        for message in datagrams(text).iter().flat_map(|datagram| corruptions(datagram)) {
            for message in messages(&message).flatten() {
                if let Ok(Some(record)) = AddressRecord::decode(&message) {
                    let _ = record.moved(&name("eth0"), &name("br0"));
                    let _ = record.aged(Duration::from_secs(1));
                    let _ = record.lasting();
                }
            }
        }
    }
}

/// How long an address with these seconds left, or for ever, has a while later.
#[test]
fn an_address_that_lasts_so_long_has_less_later() {
    let lasting = |valid: u32, preferred: u32| {
        let mut record = AddressRecord::permanent(prefix("192.0.2.1/24"));
        let info = [preferred, valid, 7, 8].map(u32::to_ne_bytes).concat();
        PayloadWriter::new(&mut record.attributes).attribute(IFA_CACHEINFO, &info);
        record
    };
    struct Case(&'static str, (u32, u32), u64, Option<(u32, u32)>);
    let cases = [
        Case("a while", (100, 50), 30, Some((70, 20))),
        Case("not preferred any more", (100, 50), 60, Some((40, 0))),
        Case("expired", (100, 50), 100, None),
        Case("long expired", (100, 50), u64::MAX, None),
        Case("for ever", (u32::MAX, u32::MAX), 1_000_000, Some((u32::MAX, u32::MAX))),
    ];
    for Case(label, (valid, preferred), seconds, want) in cases {
        let aged = lasting(valid, preferred).aged(Duration::from_secs(seconds));
        assert_eq!(aged, want.map(|(valid, preferred)| lasting(valid, preferred)), "{label}");
    }
}

#[test]
fn a_label_follows_its_link() {
    struct Case(&'static str, &'static str, Option<&'static str>);
    let cases = [
        Case("eth0", "br0", Some("br0")),
        Case("eth0:1", "br0", Some("br0:1")),
        Case("eth0:1", "enx525400000001", None),
        Case("uplink", "br0", Some("uplink")),
    ];
    for Case(label, to, want) in cases {
        let mut record = AddressRecord::permanent(prefix("192.0.2.1/24"));
        PayloadWriter::new(&mut record.attributes).attribute_text(IFA_LABEL, label);
        let label_of = |record: &AddressRecord| {
            let mut found = attributes(&record.attributes).flatten();
            let found = found.find(|part| part.kind == IFA_LABEL);
            found.map(|part| String::from_utf8(part.text().to_vec()).unwrap())
        };
        assert_eq!(label_of(&record.moved(&name("eth0"), &name(to))).as_deref(), want, "{label}");
    }
}

fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}
