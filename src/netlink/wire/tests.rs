// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`].

use super::*;
use crate::netlink::tests::corruptions;

const HEADER: NetlinkHeader = NetlinkHeader { kind: 16, flags: 2, sequence: 7 };

/// Two messages; the first has two attributes, one nested in the other.
fn sample() -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, HEADER, |payload| {
        payload.bytes(&[1, 2, 3, 4]);
        payload.nested(18, |info| info.attribute_text(1, "vlan"));
        payload.attribute(3, &[9]);
    });
    write_message(&mut out, HEADER, |_| {});
    out
}

#[test]
#[cfg(target_endian = "little")]
fn a_message_is_written_behind_what_is_there_with_its_lengths_patched() {
    let mut out = vec![0xa5; 3];
    write_message(&mut out, HEADER, |payload| {
        payload.bytes(&[1, 2, 3, 4]);
        payload.nested(18, |info| info.attribute_text(1, "vlan"));
        payload.attribute_u32(4, 0x0102_0304);
    });
    let want = b"\xa5\xa5\xa5\x2c\0\0\0\x10\0\x02\0\x07\0\0\0\0\0\0\0\x01\x02\x03\x04\
        \x10\0\x12\0\x09\0\x01\0vlan\0\0\0\0\x08\0\x04\0\x04\x03\x02\x01";
    assert_eq!(out, want);
}

#[test]
fn what_is_written_is_read() {
    let sample = sample();
    let all: Vec<_> = messages(&sample).map(Result::unwrap).collect();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].kind, all[0].flags, all[0].sequence), (16, 2, 7));
    let found: Vec<_> = attributes(&all[0].payload[4..]).map(Result::unwrap).collect();
    assert_eq!(found.len(), 2);
    let inner = found[0].nested().next().unwrap().unwrap();
    assert_eq!((inner.kind, inner.text()), (1, &b"vlan"[..]));
    assert_eq!((found[1].kind, found[1].u8("x")), (3, Ok(9)));
    assert_eq!(found[1].u16("x"), Err(WireError::Truncated("x")));
}

#[test]
fn a_message_length_is_held_to_header_and_datagram() {
    struct Case(&'static str, u32, Option<WireError>);
    let wrong = |len| Some(WireError::Length { part: "netlink message", len });
    let cases = [
        Case("zero", 0, wrong(0)),
        Case("one", 1, wrong(1)),
        Case("three", 3, wrong(3)),
        Case("one under the header", 15, wrong(15)),
        Case("header alone", 16, None),
        Case("odd, with padding", 17, None),
        Case("all there is", 20, None),
        Case("one over", 21, wrong(21)),
        Case("far over", 0xffff, wrong(0xffff)),
        Case("aligning it would overflow", u32::MAX, wrong(u32::MAX)),
    ];
    for Case(label, len, want) in cases {
        let mut datagram = [0; 20];
        datagram[..4].copy_from_slice(&len.to_ne_bytes());
        let mut all = messages(&datagram);
        assert_eq!(all.next().unwrap().err(), want, "{label}");
        if want.is_some() {
            assert_eq!(all.next(), None, "{label}: nothing follows an error");
        }
    }
}

#[test]
fn an_attribute_length_is_held_to_header_and_container() {
    struct Case(&'static str, u16, Option<WireError>);
    let wrong = |len| Some(WireError::Length { part: "netlink attribute", len });
    let cases = [
        Case("zero", 0, wrong(0)),
        Case("one", 1, wrong(1)),
        Case("three", 3, wrong(3)),
        Case("header alone", 4, None),
        Case("odd, with padding", 5, None),
        Case("all there is", 8, None),
        Case("one over", 9, wrong(9)),
        Case("far over", 0xffff, wrong(0xffff)),
    ];
    for Case(label, len, want) in cases {
        let mut payload = [0; 8];
        payload[..2].copy_from_slice(&len.to_ne_bytes());
        let mut all = attributes(&payload);
        assert_eq!(all.next().unwrap().err(), want, "{label}");
        if want.is_some() {
            assert_eq!(all.next(), None, "{label}: nothing follows an error");
        }
    }
}

#[test]
fn the_last_part_needs_no_padding() {
    let mut payload = [0; 5];
    payload[..2].copy_from_slice(&5_u16.to_ne_bytes());
    assert_eq!(attributes(&payload).count(), 1);
    assert_eq!(attributes(&payload).next().unwrap().unwrap().payload, [0]);
}

#[test]
fn the_flags_in_an_attribute_type_are_masked() {
    for flags in [0, 0x4000, 0x8000, 0xc000] {
        let mut payload = [0; 4];
        payload[..2].copy_from_slice(&4_u16.to_ne_bytes());
        payload[2..].copy_from_slice(&(flags | 18_u16).to_ne_bytes());
        assert_eq!(attributes(&payload).next().unwrap().unwrap().kind, 18, "{flags:#x}");
    }
}

#[test]
fn no_input_makes_an_iterator_endless_or_fail() {
    for input in corruptions(&sample()) {
        assert!(attributes(&input).count() <= input.len() / 4 + 1);
        for message in messages(&input).take_while(Result::is_ok) {
            let nested = attributes(message.unwrap().payload).map_while(Result::ok);
            assert!(nested.flat_map(|attribute| attribute.nested()).count() <= input.len());
        }
    }
}

#[test]
fn of_a_cut_message_the_header_and_what_has_come_are_read() {
    let sample = sample();
    let cut = cut_message(&sample[..20]).unwrap();
    assert_eq!((cut.kind, cut.flags, cut.sequence, cut.payload), (16, 2, 7, &[1, 2, 3, 4][..]));
    assert_eq!(cut_message(&sample[..15]), None);
}
