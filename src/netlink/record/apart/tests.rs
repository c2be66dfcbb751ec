// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`], with messages as Linux 6.18 writes them. `tests/netns/ways.rs` has a real kernel.

use super::*;
use crate::netlink::tests::{corruptions, only_message};
use crate::netlink::wire::{PayloadWriter, write_message};

fn name_of(index: LinkIndex) -> Option<IfName> {
    (index.0 < 100).then(|| IfName::new(format!("eth{}", index.0)).unwrap())
}

fn index_of(name: &IfName) -> Result<LinkIndex, IfName> {
    let number = name.as_str().strip_prefix("eth").and_then(|it| it.parse().ok());
    number.map(LinkIndex).ok_or(*name)
}

fn message(kind: u16, header: &[u8], fill: impl FnOnce(&mut PayloadWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, NetlinkHeader { kind, flags: 0, sequence: 0 }, |payload| {
        payload.bytes(header);
        fill(payload);
    });
    out
}

/// `ip rule add pref 7 from 192.0.2.5 lookup 1000`, of a protocol, for VRFs or not.
fn rule(protocol: u8, is_of_vrfs: bool) -> Vec<u8> {
    message(RTM_NEWRULE, &[2, 0, 32, 0, 252, 0, 0, 1, 8, 0, 0, 0], |payload| {
        payload.attribute_u32(15, 1000);
        payload.attribute_u32(14, u32::MAX);
        payload.attribute(21, &[protocol]);
        payload.attribute_u32(6, 7);
        payload.attribute(2, &[192, 0, 2, 5]);
        if is_of_vrfs {
            payload.attribute(19, &[1]);
        }
    })
}

/// `ip nexthop add id 5 via 192.0.2.8 dev eth3`.
fn nexthop(link: u32) -> Vec<u8> {
    message(RTM_NEWNEXTHOP, &[2, 253, 3, 0, 0, 0, 0, 0], |payload| {
        payload.attribute_u32(1, 5);
        payload.attribute_u32(5, link);
        payload.attribute(6, &[192, 0, 2, 8]);
    })
}

/// `ip route add 10.0.0.0/8 nexthop via 192.0.2.9 dev eth3 onlink nexthop dev eth4 weight 3`, the second of
/// which is down.
fn route(second: u8) -> Vec<u8> {
    message(RTM_NEWROUTE, &[2, 8, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0], |payload| {
        payload.attribute_u32(15, 254);
        payload.attribute(1, &[10, 0, 0, 0]);
        payload.nested(9, |hops| {
            hops.bytes(&[16, 0, 4, 0]);
            hops.bytes(&3_u32.to_ne_bytes());
            hops.attribute(5, &[192, 0, 2, 9]);
            hops.bytes(&[8, 0, 17, 2]);
            hops.bytes(&u32::from(second).to_ne_bytes());
        });
    })
}

/// `ip route add 10.0.0.0/8 nhid 5`, with the object spelt out.
fn route_by_object() -> Vec<u8> {
    message(RTM_NEWROUTE, &[2, 8, 0, 0, 254, 3, 0, 1, 16, 0, 0, 0], |payload| {
        payload.attribute_u32(15, 254);
        payload.attribute(1, &[10, 0, 0, 0]);
        payload.attribute_u32(30, 5);
        payload.attribute(5, &[192, 0, 2, 8]);
        payload.attribute_u32(4, 3);
    })
}

fn decoded(bytes: &[u8]) -> Option<Apart> {
    Apart::decode(&only_message(bytes), name_of).unwrap()
}

#[test]
fn what_is_told_is_read_and_said_again() {
    let cases = [
        (rule(3, false), "ipv4 pref 7 from 192.0.2.5/32 lookup 1000"),
        (nexthop(3), "id 5 dev eth3"),
        (route(4), "10.0.0.0/8 nexthop dev eth3 nexthop dev eth4"),
        (route_by_object(), "10.0.0.0/8 nhid 5"),
    ];
    for (bytes, text) in cases {
        let apart = decoded(&bytes).unwrap();
        assert_eq!(apart.to_string(), text);
        let mut again = Vec::new();
        apart.encode(&mut again, &index_of).unwrap();
        assert_eq!(decoded(&again), Some(apart), "{text}");
    }
}

#[test]
fn what_the_kernel_does_not_take_is_not_said() {
    let said = |bytes: &[u8]| {
        let mut out = Vec::new();
        decoded(bytes).unwrap().encode_add(&mut out, 1, &index_of).unwrap();
        out
    };
    let request = said(&route(4));
    let hops = &request[16 + 12 + 8 + 8..];
    assert_eq!(&hops[4 + 16..], &[&[8, 0, 0, 2][..], &4_u32.to_ne_bytes()].concat(), "no state");
    let request = said(&route_by_object());
    assert_eq!(request.len(), 16 + 12 + 3 * 8, "the object is not spelt out");
    assert_eq!(said(&nexthop(3))[16 + 1], 0, "no scope");
}

#[test]
fn what_comes_by_itself_or_through_a_link_unknown_is_left_out() {
    let cases = [
        ("the kernel's own for all", rule(2, false), true),
        ("the kernel's own for VRFs", rule(2, true), false),
        ("an administrator's for VRFs", rule(3, true), true),
        ("a routing daemon's", rule(11, false), false),
        ("a next hop through a link unknown", nexthop(100), false),
        ("a route through a link unknown", route(100), false),
    ];
    for (label, bytes, is_kept) in cases {
        assert_eq!(decoded(&bytes).is_some(), is_kept, "{label}");
    }
}

#[test]
fn what_is_corrupt_is_refused_or_read_and_never_worse() {
    for sample in [rule(3, true), nexthop(3), route(4), route_by_object()] {
        for corrupt in corruptions(&sample) {
            for message in wire::messages(&corrupt).map_while(Result::ok) {
                if let Ok(Some(apart)) = Apart::decode(&message, name_of) {
                    let _ = apart.encode_add(&mut Vec::new(), 1, &index_of);
                    let _ = apart.to_string();
                }
            }
        }
    }
}
