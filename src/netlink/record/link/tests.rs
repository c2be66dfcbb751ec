// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`], with messages of real kernels about links. The captures come from a
//! little-endian machine.

#![cfg(target_endian = "little")]

use super::kinds::IFLA_IFALIAS;
use super::sysctls::ipv6_sysctls;
use super::*;
use crate::model::ipv6::Ipv6Sysctls;
use crate::model::sysctl::Sysctl;
use crate::netlink::tests::{corruptions, datagrams, encoded, only_message};
use crate::netlink::wire::messages;

const CAPTURES: [&str; 8] = [
    include_str!("../../../../tests/golden/netlink/bridge-up.hex"),
    include_str!("../../../../tests/golden/netlink/enslave.hex"),
    include_str!("../../../../tests/golden/netlink/bond-arp.hex"),
    include_str!("../../../../tests/golden/netlink/bond-mii.hex"),
    include_str!("../../../../tests/golden/netlink/bond-in-bridge.hex"),
    include_str!("../../../../tests/golden/netlink/macvlan.hex"),
    include_str!("../../../../tests/golden/netlink/peer-elsewhere.hex"),
    include_str!("../../../../tests/golden/netlink/life-dump.hex"),
];

fn records() -> Vec<LinkRecord> {
    let mut records = Vec::new();
    for datagram in CAPTURES.iter().flat_map(|text| datagrams(text)) {
        for message in messages(&datagram) {
            records.extend(LinkRecord::decode(&message.unwrap()).unwrap());
        }
    }
    assert!(records.len() > 12, "{} links were captured", records.len());
    records
}

/// A bridge that a kernel reported.
fn bridge() -> LinkRecord {
    let is_bridge = |it: &LinkRecord| matches!(it.link.kind, LinkKind::Bridge(_));
    records().into_iter().find(is_bridge).unwrap()
}

/// The same link after one setting was changed.
fn after(record: &LinkRecord, setting: &LinkSetting) -> LinkRecord {
    let mut told = Vec::new();
    wire::write_message(
        &mut told,
        NetlinkHeader { kind: RTM_NEWLINK, flags: 0, sequence: 0 },
        |payload| {
            payload.bytes(&[0; 4]);
            payload.bytes(&record.link.index.0.to_ne_bytes());
            payload.bytes(&record.flags.to_ne_bytes());
            payload.bytes(&[0; 4]);
            payload.bytes(&record.attributes);
            setting.write(payload);
        },
    );
    LinkRecord::decode(&only_message(&told)).unwrap().unwrap()
}

#[test]
fn a_record_is_read_as_it_was_written() {
    for record in records() {
        let told = encoded(|out| record.encode(out));
        assert_eq!(LinkRecord::decode(&only_message(&told)), Ok(Some(record)));
    }
}

#[test]
fn what_is_corrupt_is_refused_or_read_and_never_worse() {
    for record in records() {
        for bytes in corruptions(&encoded(|out| record.encode(out))) {
            for message in messages(&bytes).flatten() {
                if let Ok(Some(record)) = LinkRecord::decode(&message) {
                    record.settings_besides(None).iter().for_each(|it| drop(it.to_string()));
                    encoded(|out| record.encode_add(out, 1, None));
                }
            }
        }
    }
}

#[test]
fn a_link_that_is_as_it_was_needs_no_setting() {
    for record in records() {
        assert_eq!(record.settings_besides(Some(&record)), []);
    }
}

#[test]
fn only_what_differs_is_set() {
    let then = bridge();
    let is_ageing = |it: &LinkSetting| it.name == "ageing_time";
    let ageing = then.settings_besides(None).into_iter().find(is_ageing).unwrap();
    let changed = LinkSetting { payload: 7_u32.to_ne_bytes().to_vec(), ..ageing.clone() };
    let mut now = then.clone();
    let found = [&[8, 0, 4, 0], ageing.payload.as_slice()].concat();
    let at = now.attributes.windows(found.len()).position(|bytes| bytes == found).unwrap();
    now.attributes[at + 4..at + 8].copy_from_slice(&changed.payload);
    assert_eq!(then.settings_besides(Some(&now)), [ageing]);
    assert_eq!(changed.to_string(), "type bridge ageing_time 7");
}

#[test]
fn a_flag_is_set_without_another() {
    let then = bridge();
    let now = LinkRecord { flags: then.flags ^ 0x80 ^ 0x1 ^ 0x10000, ..then.clone() };
    let [setting] = then.settings_besides(Some(&now)).try_into().unwrap();
    assert_eq!(setting.to_string(), "noarp off");
    let request = encoded(|out| setting.encode(out, 7, LinkIndex(3)));
    let request = only_message(&request);
    let want = [0_u32, 3, 0, 0x80].map(u32::to_ne_bytes).concat();
    assert_eq!((request.kind, request.payload), (RTM_NEWLINK, want.as_slice()));
    let [setting] = now.settings_besides(Some(&then)).try_into().unwrap();
    assert_eq!(setting.to_string(), "noarp on");
    let request = encoded(|out| setting.encode(out, 7, LinkIndex(3)));
    let want = [0_u32, 3, 0x80, 0x80].map(u32::to_ne_bytes).concat();
    assert_eq!(only_message(&request).payload, want.as_slice());
    let is_flag = |setting: &LinkSetting| matches!(setting.place, AttributeOwner::Flag(_));
    assert!(!then.settings_besides(None).iter().any(is_flag));
}

#[test]
fn an_alias_goes_by_an_empty_one() {
    let then = bridge();
    let payload = b"uplink\0".to_vec();
    let alias =
        LinkSetting { place: AttributeOwner::Link, kind: IFLA_IFALIAS, name: "alias", payload };
    assert_eq!(alias.to_string(), "alias \"uplink\"");
    let now = after(&then, &alias);
    assert_eq!(
        then.settings_besides(Some(&now)),
        [LinkSetting { payload: Vec::new(), ..alias.clone() }]
    );
    assert_eq!(now.settings_besides(Some(&then)), [alias]);
}

#[test]
fn a_bridge_is_made_again_with_its_address_and_what_stp_needs() {
    let record = bridge();
    let request = encoded(|out| record.encode_add(out, 7, None));
    let request = only_message(&request);
    assert_eq!((request.kind, request.flags, request.sequence), (RTM_NEWLINK, 0x605, 7));
    assert_eq!(request.payload.get(..16), Some(&[0; 16][..]), "no number, no flag");
    let Ok(Some(LinkEvent::New(link))) = link::decode(&with_index_and_mtu(&request)) else {
        panic!("no link");
    };
    assert_eq!((link.name, link.mac), (record.link.name, record.link.mac));
    assert_eq!(link.kind, record.link.kind);
}

/// The link as the kernel would report it after the request.
fn with_index_and_mtu(request: &Message<'_>) -> Message<'static> {
    let mut payload = request.payload.to_vec();
    payload[4] = 9;
    PayloadWriter::new(&mut payload).attribute_u32(IFLA_MTU, 1500);
    let payload: &'static [u8] = payload.leak();
    Message { kind: RTM_NEWLINK, flags: 0, sequence: 0, payload }
}

#[test]
fn sysctls_are_found_in_the_kernels_lists() {
    let list = |count: i32| -> Vec<u8> { (0..count).flat_map(i32::to_ne_bytes).collect() };
    let mut record = bridge();
    record.attributes.clear();
    PayloadWriter::new(&mut record.attributes).nested(IFLA_AF_SPEC, |families| {
        families.nested(AF_INET, |ipv4| ipv4.attribute(IFLA_INET_CONF, &list(33)));
        families.nested(AF_INET6, |ipv6| ipv6.attribute(IFLA_INET6_CONF, &list(60)));
    });
    let sysctls = record.sysctls();
    let (last, _) = sysctls.last().unwrap();
    assert_eq!(*last, Sysctl::DISABLE_IPV6);
    let want = Ipv6Sysctls {
        accept_ra: Some(3),
        autoconf: Some(5),
        disable_ipv6: Some(26),
        forwarding: Some(0),
    };
    assert_eq!(ipv6_sysctls(&sysctls), want);
    for (sysctl, value) in [
        (Sysctl::ipv4("rp_filter"), 7),
        (Sysctl::ipv4("arp_evict_nocarrier"), 32),
        (Sysctl::ipv6("use_tempaddr"), 10),
        (Sysctl::ipv6("accept_ra_rt_info_max_plen"), 21),
        (Sysctl::ipv6("ndisc_evict_nocarrier"), 56),
    ] {
        assert!(sysctls.contains(&(sysctl, value)), "{sysctl:?}");
    }
    // An older kernel has fewer of them.
    record.attributes.clear();
    PayloadWriter::new(&mut record.attributes).nested(IFLA_AF_SPEC, |families| {
        families.nested(AF_INET, |ipv4| ipv4.attribute(IFLA_INET_CONF, &list(2)));
    });
    assert_eq!(record.sysctls(), [(Sysctl::ipv4("forwarding"), 0)]);
    assert_eq!(ipv6_sysctls(&record.sysctls()), Ipv6Sysctls::default());
}
