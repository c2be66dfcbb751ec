// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`]. Messages from real kernels are in `tests/golden/netlink`.

use super::*;
use crate::netlink::tests::{encoded, only_message};
use crate::netlink::wire::{PayloadWriter, write_message};

fn address(ip: &str, prefix_len: u8) -> Address {
    Address {
        link: LinkIndex(7),
        prefix: IpPrefix::new(ip.parse().unwrap(), prefix_len).unwrap(),
        peer: None,
        role: Role::Primary,
        scope: Scope::Global,
        lifetime: Lifetime::Permanent,
        origin: AddressOrigin::Unknown,
    }
}

fn message(kind: u16, fixed: [u8; 4], fill: impl FnOnce(&mut PayloadWriter<'_>)) -> Vec<u8> {
    encoded(|out| {
        write_message(out, NetlinkHeader { kind, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&fixed);
            payload.bytes(&7_u32.to_ne_bytes());
            fill(payload);
        });
    })
}

#[test]
fn a_message_that_makes_no_sense_is_refused() {
    let local = |payload: &mut PayloadWriter<'_>| payload.attribute(IFA_LOCAL, &[1, 2, 3, 4]);
    let cut = |payload: &mut PayloadWriter<'_>| payload.attribute(IFA_LOCAL, &[1, 2, 3]);
    let cases = [
        (
            "prefix",
            message(RTM_NEWADDR, [2, 33, 0, 0], local),
            Err(WireError::Value("ifa_prefixlen")),
        ),
        ("cut", message(RTM_NEWADDR, [2, 8, 0, 0], cut), Err(WireError::Truncated("IFA_LOCAL"))),
        (
            "bare",
            message(RTM_NEWADDR, [2, 8, 0, 0], |_| {}),
            Err(WireError::Missing("IFA_ADDRESS")),
        ),
        ("IPX", message(RTM_NEWADDR, [4, 8, 0, 0], local), Ok(None)),
        ("no address message", message(16, [2, 8, 0, 0], local), Ok(None)),
    ];
    for (label, datagram, want) in cases {
        assert_eq!(decode(&only_message(&datagram)), want, "{label}");
    }
    let numberless = Message {
        kind: 20,
        flags: 0,
        sequence: 0,
        payload: b"\x02\x08\0\0\0\0\0\0\
        \x08\0\x02\0\x01\x02\x03\x04",
    };
    assert!(decode(&numberless).is_err());
}

#[test]
fn a_lifetime_is_permanent_by_flag_or_by_its_length() {
    struct Case(&'static str, u8, Option<u32>, Option<u32>, Lifetime);
    let cases = [
        Case("flag in the header", 0x80, None, None, Lifetime::Permanent),
        Case("the attribute overrides the header", 0x80, Some(0), None, Lifetime::Finite),
        Case("flag in the attribute", 0, Some(0x280), Some(600), Lifetime::Permanent),
        Case("infinite", 0, None, Some(u32::MAX), Lifetime::Permanent),
        Case("finite", 0, None, Some(600), Lifetime::Finite),
    ];
    for Case(label, header, attribute, valid, want) in cases {
        let datagram = message(RTM_NEWADDR, [2, 24, header, 0], |payload| {
            payload.attribute(IFA_LOCAL, &[192, 0, 2, 1]);
            if let Some(valid) = valid {
                payload.nested(IFA_CACHEINFO, |info| {
                    info.bytes(&300_u32.to_ne_bytes());
                    info.bytes(&valid.to_ne_bytes());
                    info.bytes(&[0; 8]);
                });
            }
            if let Some(flags) = attribute {
                payload.attribute_u32(IFA_FLAGS, flags);
            }
        });
        let want = Address { lifetime: want, ..address("192.0.2.1", 24) };
        assert_eq!(decode(&only_message(&datagram)), Ok(Some(AddressEvent::New(want))), "{label}");
    }
}

#[test]
fn an_address_that_another_host_has_counts_as_removed() {
    let id = address("192.0.2.1", 24).id();
    for (label, kind, flags) in [("refused", RTM_NEWADDR, 0x88), ("removed", RTM_DELADDR, 0x80)] {
        let datagram = message(kind, [2, 24, flags, 0], |payload| {
            payload.attribute(IFA_LOCAL, &[192, 0, 2, 1]);
        });
        assert_eq!(
            decode(&only_message(&datagram)),
            Ok(Some(AddressEvent::Removed(id))),
            "{label}"
        );
    }
}

#[test]
fn a_tentative_address_is_kept() {
    let datagram = message(RTM_NEWADDR, [2, 24, 0xc0, 0], |payload| {
        payload.attribute(IFA_LOCAL, &[192, 0, 2, 1]);
    });
    let want = AddressEvent::New(address("192.0.2.1", 24));
    assert_eq!(decode(&only_message(&datagram)), Ok(Some(want)));
}

#[test]
fn the_dump_is_asked_for_both_families() {
    let datagram = encoded(|out| encode_dump(out, 5));
    let message = only_message(&datagram);
    assert_eq!((message.kind, message.flags, message.sequence), (22, 0x301, 5));
    assert_eq!(message.payload, [0; 8]);
}
