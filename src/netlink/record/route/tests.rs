// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`], with messages of a real kernel about routes. The captures come from a
//! little-endian machine.

#![cfg(target_endian = "little")]

use std::net::Ipv4Addr;

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

/// A route of IPv6 with these flags, ticks until it expires, and further attributes.
fn route(flags: u32, ticks: i32, fill: impl FnOnce(&mut PayloadWriter<'_>)) -> RouteRecord {
    let told = encoded(|out| {
        write_message(
            out,
            NetlinkHeader { kind: RTM_NEWROUTE, flags: 0, sequence: 0 },
            |payload| {
                payload.bytes(&[10, 0, 0, 0, 254, 9, 0, 1]);
                payload.bytes(&flags.to_ne_bytes());
                payload.nested(RTA_CACHEINFO, |info| {
                    info.bytes(&[0; 8]);
                    info.bytes(&ticks.to_ne_bytes());
                    info.bytes(&[0; 20]);
                });
                fill(payload);
            },
        );
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
    assert!(one.is_default() && !one.comes_with(&[]));
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

/// A route of IPv4's as the kernel makes it for an address.
fn kernels(to: &str, metric: u32, source: &str) -> RouteRecord {
    let (network, len) = to.split_once('/').unwrap();
    let (network, source): (Ipv4Addr, Ipv4Addr) =
        (network.parse().unwrap(), source.parse().unwrap());
    let told = encoded(|out| {
        write_message(
            out,
            NetlinkHeader { kind: RTM_NEWROUTE, flags: 0, sequence: 0 },
            |payload| {
                payload.bytes(&[2, len.parse().unwrap(), 0, 0, 254, RTPROT_KERNEL, 253, 1]);
                payload.bytes(&[0; 4]);
                payload.attribute(RTA_DST, &network.octets());
                payload.attribute_u32(RTA_PRIORITY, metric);
                payload.attribute(RTA_PREFSRC, &source.octets());
            },
        );
    });
    RouteRecord::decode(&only_message(&told)).unwrap().unwrap()
}

#[test]
fn a_route_of_the_kernels_protocol_is_its_own_where_an_address_brings_it() {
    struct Case(&'static str, RouteRecord, bool);
    let address =
        AddressRecord::permanent(IpPrefix::new("192.0.2.10".parse().unwrap(), 24).unwrap());
    let cases = [
        Case("its network", kernels("192.0.2.0/24", 0, "192.0.2.10"), true),
        Case("with a metric", kernels("192.0.2.0/24", 100, "192.0.2.10"), false),
        Case("another source", kernels("192.0.2.0/24", 0, "192.0.2.11"), false),
        Case("another network", kernels("192.0.2.0/25", 0, "192.0.2.10"), false),
    ];
    for Case(label, route, want) in cases {
        assert_eq!(route.comes_with(std::slice::from_ref(&address)), want, "{label}");
        assert_eq!(route.goes_with(std::slice::from_ref(&address)), want, "{label}");
        assert_eq!(route.is_kept(std::slice::from_ref(&address)), !want, "{label}");
        assert!(!route.comes_with(&[]), "{label}");
    }
}

/// The kernel leaves the route to an advertised prefix behind when the address is removed.
#[test]
fn an_advertised_prefix_comes_with_its_address_and_does_not_go_with_it() {
    let prefix = IpPrefix::new("2001:db8::".parse().unwrap(), 64).unwrap();
    let address =
        AddressRecord::permanent(IpPrefix::new("2001:db8::5".parse().unwrap(), 64).unwrap());
    let lasting = RouteRecord {
        destination: prefix,
        gateway: None,
        metric: 256,
        protocol: RTPROT_KERNEL,
        ..RouteRecord::default_over("2001:db8::1".parse().unwrap())
    };
    let expiring = RouteRecord { lifetime: Lifetime::Finite, ..lasting.clone() };
    let addresses = [address];
    // An address may be an advertised one until the kernel reports it as permanent.
    assert!(lasting.comes_with(&addresses) && !lasting.goes_with(&addresses));
    assert!(expiring.comes_with(&addresses) && !expiring.goes_with(&addresses));
    assert!(expiring.is_advertised() && !lasting.is_advertised());
}

#[test]
fn a_default_route_of_a_definition_is_one_without_a_say_of_its_own() {
    for (gateway, metric, others) in [("192.0.2.1", 0, 100), ("2001:db8::1", 1024, 100)] {
        let made = RouteRecord::default_over(gateway.parse().unwrap());
        assert_eq!(made.metric_in_force(), metric);
        let told = RouteRecord { metric, ..made.clone() };
        assert!(told.is_as_defined() && told.on_link().is_as_defined(), "{gateway}");
        assert!(!RouteRecord { metric: others, ..made.clone() }.is_as_defined(), "{gateway}");
        assert!(!made.leased().is_as_defined(), "{gateway}");
    }
}

#[test]
fn a_routers_route_is_added_as_one_that_the_kernel_replaces() {
    let router: [u8; 16] = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets();
    let of_metric = |metric: u32| {
        route(0, 60 * 100, |payload| {
            payload.attribute(RTA_GATEWAY, &router);
            payload.attribute_u32(RTA_PRIORITY, metric);
            payload.attribute(20, &[1]);
        })
    };
    let had = of_metric(1024);
    let added = had.to_add();
    assert!(added.is_stand_in() && added.is_advertised() && !had.is_stand_in());
    assert_eq!((added.metric, added.to_add()), (1025, added.clone()));
    assert!(
        added.is_same(&had)
            && had.is_same_way(&added)
            && !of_metric(1024).is_same(&kernels("192.0.2.0/24", 0, "192.0.2.10"))
    );
    let request = encoded(|out| added.encode_add(out, 7, ELSEWHERE));
    let request = only_message(&request);
    assert_eq!((request.kind, request.flags, request.sequence), (ADD_STAND_IN, 0x405, 7));
    let asked = StandIn::decode(&request).unwrap();
    let want = StandIn {
        link: ELSEWHERE,
        router: router.into(),
        metric: 1025,
        lifetime: 60,
        preference: 1,
    };
    assert_eq!(asked, want);
    let deleted = encoded(|out| added.encode_delete(out, 7, ELSEWHERE));
    let deleted = only_message(&deleted);
    // The kernel may have replaced it, so the request has neither origin nor metric.
    let want = vec![(RTA_GATEWAY, router.to_vec()), (RTA_OIF, 77_u32.to_ne_bytes().to_vec())];
    assert_eq!((deleted.kind, deleted.payload[5]), (RTM_DELROUTE, 0));
    assert_eq!(parts(deleted.payload, 12), want);
    // A route without a lifetime belongs to a program that listens in the kernel's place.
    let lasting = route(0, 0, |payload| payload.attribute(RTA_GATEWAY, &router));
    assert_eq!(lasting.to_add(), lasting);
}
