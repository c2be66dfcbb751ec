// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`], with what a real kernel said of routes. The captures come from a little-endian
//! machine.

#![cfg(target_endian = "little")]

use super::*;
use crate::netlink::tests::{corruptions, datagrams, encoded, only_message, parts};
use crate::netlink::wire::{messages, write_message};

const ROUTES: [&str; 6] = [
    include_str!("../../../../tests/golden/netlink/route-gateway-ipv4.hex"),
    include_str!("../../../../tests/golden/netlink/route-gateway-ipv6.hex"),
    include_str!("../../../../tests/golden/netlink/route-on-link-ipv4.hex"),
    include_str!("../../../../tests/golden/netlink/route-on-link-ipv6.hex"),
    include_str!("../../../../tests/golden/netlink/route-via-other-family.hex"),
    include_str!("../../../../tests/golden/netlink/route-multipath-ipv4.hex"),
];
const ELSEWHERE: LinkIndex = LinkIndex(77);

#[test]
fn a_route_is_said_again_through_another_link() {
    let mut count = 0;
    for datagram in ROUTES.iter().flat_map(|text| datagrams(text)) {
        for message in messages(&datagram) {
            let message = message.unwrap();
            let Some(record) = RouteRecord::decode(&message).unwrap() else { continue };
            let again = encoded(|out| record.encode_add(out, 7, ELSEWHERE));
            let again = only_message(&again);
            assert_eq!((again.kind, again.flags, again.sequence), (RTM_NEWROUTE, 0x405, 7));
            assert_eq!(again.payload.get(..8), message.payload.get(..8));
            let mut want = parts(message.payload, 12);
            for (kind, payload) in &mut want {
                if let (RTA_CACHEINFO, Some(seconds)) = (*kind, expiry(payload)) {
                    (*kind, *payload) = (RTA_EXPIRES, seconds.to_ne_bytes().to_vec());
                }
            }
            want.retain(|(kind, _)| ![RTA_OIF, RTA_CACHEINFO, RTA_NH_ID].contains(kind));
            if record.can_move() {
                want.push((RTA_OIF, 77_u32.to_ne_bytes().to_vec()));
            }
            assert_eq!(parts(again.payload, 12), want);
            let told = RouteRecord::decode(&again).unwrap().unwrap();
            assert!(told.is_same_way(&record));
            assert_eq!(told, record);
            let deleted = encoded(|out| record.encode_delete(out, 7, ELSEWHERE));
            let deleted = only_message(&deleted);
            assert_eq!((deleted.kind, deleted.flags), (RTM_DELROUTE, 5));
            assert_eq!(deleted.payload, again.payload);
            count += 1;
        }
    }
    assert!(count > 5, "{count} routes were captured");
}

/// A route of IPv6 with these flags, ticks until it expires, and what else is said of it.
fn route(flags: u32, ticks: i32, fill: impl FnOnce(&mut PayloadWriter<'_>)) -> RouteRecord {
    let told = encoded(|out| {
        write_message(out, Header { kind: RTM_NEWROUTE, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&[10, 0, 0, 0, 254, 9, 0, 1]);
            payload.bytes(&flags.to_ne_bytes());
            payload.nested(RTA_CACHEINFO, |info| {
                info.bytes(&[0; 8]);
                info.bytes(&ticks.to_ne_bytes());
                info.bytes(&[0; 20]);
            });
            fill(payload);
        });
    });
    RouteRecord::decode(&only_message(&told)).unwrap().unwrap()
}

#[test]
fn a_route_keeps_the_time_that_it_has_left() {
    struct Case(&'static str, i32, Option<u32>);
    let cases = [
        Case("never", 0, None),
        Case("in half an hour", 180_000, Some(1800)),
        Case("in less than a second", 99, Some(0)),
        Case("has expired", -5, None),
    ];
    for Case(label, ticks, want) in cases {
        let record = route(0, ticks, |_| {});
        let want: Vec<_> =
            want.map(|s| (RTA_EXPIRES, s.to_ne_bytes().to_vec())).into_iter().collect();
        assert_eq!(parts(&record.attributes, 0), want, "{label}");
        assert_eq!(record.is_lasting(), want.is_empty(), "{label}");
    }
}

#[test]
fn of_a_routes_flags_the_kernel_takes_one() {
    assert!(!route(!RTNH_F_ONLINK, 0, |_| {}).is_on_link());
    let on_link = route(u32::MAX, 0, |_| {});
    assert!(on_link.is_on_link());
    assert_eq!(on_link.flags, RTNH_F_ONLINK);
    assert_eq!(route(0, 0, |_| {}).on_link(), on_link);
}

#[test]
fn routes_read_as_ip_writes_them() {
    let gateway = |out: &mut PayloadWriter<'_>| out.attribute(RTA_GATEWAY, &[0xfe; 16]);
    let via = "fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe";
    struct Case(RouteRecord, String);
    let cases = [
        Case(
            RouteRecord::default_over("192.0.2.1".parse().unwrap()),
            "default via 192.0.2.1".to_owned(),
        ),
        Case(route(0, 0, gateway), format!("default via {via}")),
        Case(
            route(0, 0, |out| {
                out.attribute_u32(RTA_PRIORITY, 100);
                out.attribute_u32(RTA_TABLE, 1000);
            }),
            "default metric 100 table 1000".to_owned(),
        ),
    ];
    for Case(record, want) in cases {
        assert_eq!(record.to_string(), want);
    }
}

#[test]
fn what_leads_the_same_way_differs_in_its_origin_at_most() {
    let gateway = |out: &mut PayloadWriter<'_>| out.attribute(RTA_GATEWAY, &[0xfe; 16]);
    let (one, other) = (route(0, 0, gateway), route(0, 500, gateway));
    assert!(one.is_same_way(&other) && one != other);
    assert!(!one.is_same_way(&route(0, 0, |_| {})));
    let leased = one.leased();
    assert!(leased.is_same_way(&one) && leased != one);
    assert!(one.is_default() && !one.is_automatic());
}

#[test]
fn nothing_that_a_kernel_says_panics() {
    for text in ROUTES {
        for message in datagrams(text).iter().flat_map(|datagram| corruptions(datagram)) {
            for message in messages(&message).flatten() {
                if let Ok(Some(record)) = RouteRecord::decode(&message) {
                    let _ = record.aged(Duration::from_secs(1));
                }
                let _ = leads_through(&message, ELSEWHERE);
                let _ = link_of(&message);
            }
        }
    }
}
