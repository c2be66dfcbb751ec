// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`]. Answers from real kernels are in `tests/golden/netlink`.

use super::*;
use crate::netlink::tests::{corruptions, encoded, only_message};
use crate::netlink::wire::{PayloadWriter, write_message};

const LINK: LinkIndex = LinkIndex(7);
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn answer(prefix_len: u8, fill: impl FnOnce(&mut PayloadWriter<'_>)) -> Vec<u8> {
    encoded(|out| {
        write_message(
            out,
            NetlinkHeader { kind: RTM_NEWROUTE, flags: 0, sequence: 0 },
            |payload| {
                payload.bytes(&[2, prefix_len, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
                fill(payload);
            },
        );
    })
}

fn gateway(payload: &mut PayloadWriter<'_>) {
    payload.attribute(RTA_GATEWAY, &[192, 0, 2, 1]);
}

/// `struct rtnexthop` of `len` bytes through `link`, with a gateway.
fn hop(payload: &mut PayloadWriter<'_>, len: u16, link: u32) {
    payload.bytes(&len.to_ne_bytes());
    payload.bytes(&[0, 0]);
    payload.bytes(&link.to_ne_bytes());
    gateway(payload);
}

fn decode_ipv4(datagram: &[u8]) -> Result<Option<RouteAnswer>, WireError> {
    decode(&only_message(datagram), LINK, Family::Ipv4)
}

#[test]
fn the_default_route_is_told_from_others() {
    let default = |gateway| Ok(Some(RouteAnswer::Default { gateway, is_advertised: false }));
    let wrong = |len| Err(WireError::Length { part: "rtnexthop", len });
    let hops = |len: u16, link: u32| {
        answer(0, |payload| {
            payload.nested(RTA_MULTIPATH, |hops| {
                hop(hops, 16, 8);
                hop(hops, len, link);
            });
        })
    };
    let cases = [
        ("a gateway", answer(0, gateway), default(Some(GATEWAY))),
        ("no gateway", answer(0, |_| {}), default(None)),
        (
            "a gateway of the other family",
            answer(0, |out| out.attribute(18, &[0; 18])),
            default(None),
        ),
        ("our hop", hops(16, 7), default(Some(GATEWAY))),
        ("our hop has no gateway", hops(8, 7), default(None)),
        ("no hop of ours", hops(16, 9), default(None)),
        ("a longer prefix", answer(1, gateway), Ok(Some(RouteAnswer::Covered))),
        ("cut", answer(0, |out| out.attribute(5, &[1])), Err(WireError::Truncated("RTA_GATEWAY"))),
        ("a hop of length 0", hops(0, 7), wrong(0)),
        ("a hop of length 1", hops(1, 7), wrong(1)),
        ("a hop of length 3", hops(3, 7), wrong(3)),
        ("a hop too long", hops(0xffff, 7), wrong(0xffff)),
    ];
    for (label, datagram, want) in cases {
        assert_eq!(decode_ipv4(&datagram), want, "{label}");
    }
}

#[test]
fn the_other_family_and_other_messages_are_no_answer() {
    let datagram = answer(0, gateway);
    let message = only_message(&datagram);
    assert_eq!(decode(&message, LINK, Family::Ipv6), Ok(None));
    assert_eq!(decode(&Message { kind: 25, ..message }, LINK, Family::Ipv4), Ok(None));
}

#[test]
fn broken_messages_are_refused_without_harm() {
    let datagram = answer(0, |payload| {
        payload.nested(RTA_MULTIPATH, |hops| {
            hop(hops, 16, 8);
            hop(hops, 16, 7);
        });
    });
    let Message { kind, flags, sequence, payload } = only_message(&datagram);
    for payload in corruptions(payload) {
        // Any result will do: the call must not panic.
        let _ = decode(&Message { kind, flags, sequence, payload: &payload }, LINK, Family::Ipv4);
    }
}

#[test]
#[cfg(target_endian = "little")]
fn a_lookup_asks_for_the_route_itself_and_an_acknowledgement() {
    let datagram = encoded(|out| encode_lookup(out, 5, LINK, PROBE_ROUNDS[0][0]));
    let want = b"\x2c\0\0\0\x1a\0\x05\0\x05\0\0\0\0\0\0\0\x02\x20\0\0\0\0\0\0\0\x30\0\0\
        \x08\0\x01\0\xf0\0\0\x01\x08\0\x04\0\x07\0\0\0";
    assert_eq!(datagram, want);
}

#[test]
fn each_family_is_asked_about_in_each_round_and_no_address_twice() {
    let all = PROBE_ROUNDS.concat();
    for (position, probe) in all.iter().enumerate() {
        assert!(!probe.is_unspecified(), "the kernel takes {probe} for the loopback");
        assert!(!all[..position].contains(probe), "{probe}");
    }
    for round in PROBE_ROUNDS {
        for family in [Family::Ipv4, Family::Ipv6] {
            assert!(round.iter().any(|probe| Family::of(*probe) == family));
        }
    }
}
