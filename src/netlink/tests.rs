// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`], and helpers that the tests of its modules share.

use super::*;
use crate::netlink::wire::messages;

/// The captured datagrams of a golden file.
pub(super) fn datagrams(text: &str) -> Vec<Vec<u8>> {
    let (_, body) = text.split_once("\n\n").unwrap();
    let datagram = |text: &str| {
        let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
    };
    body.split("\n\n").map(datagram).collect()
}

/// Kind and payload of each attribute behind a fixed part.
pub(super) fn parts(payload: &[u8], fixed_len: usize) -> Vec<(u16, Vec<u8>)> {
    let list = wire::attributes(payload.get(fixed_len..).unwrap());
    list.map(|part| part.map(|part| (part.kind, part.payload.to_vec())).unwrap()).collect()
}

/// The messages that a broken or hostile kernel could send in place of `message`: every prefix of
/// it, and every word that might be a length changed to a wrong one.
pub(super) fn corruptions(message: &[u8]) -> Vec<Vec<u8>> {
    let mut inputs: Vec<_> = (0..message.len()).map(|len| message[..len].to_vec()).collect();
    for offset in (0..message.len() - 1).step_by(2) {
        for length in [0_u16, 1, 3, 4, 5, 0x7fff, 0xffff] {
            let mut input = message.to_vec();
            input[offset..offset + 2].copy_from_slice(&length.to_ne_bytes());
            inputs.push(input);
        }
    }
    inputs
}

/// The one message in `datagram`.
pub(super) fn only_message(datagram: &[u8]) -> Message<'_> {
    let mut all = messages(datagram);
    let message = all.next().unwrap().unwrap();
    assert_eq!(all.next(), None, "one message alone");
    message
}

/// Encodes one message behind other bytes, which must not change.
pub(super) fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0xa5; 3];
    encode(&mut out);
    let message = out.split_off(3);
    assert_eq!(out, [0xa5; 3]);
    message
}

#[test]
fn a_broken_message_does_not_hide_the_next() {
    const DELETED: [u8; 16] = [0, 0, 0, 0, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut datagram = Vec::new();
    for (kind, payload) in [
        (RTM_NEWLINK, &DELETED[..]),
        (RTM_NEWADDR, b"\x02"),
        (99, b"whatever"),
        (RTM_DELLINK, &DELETED),
    ] {
        let header = wire::NetlinkHeader { kind, flags: 0, sequence: 0 };
        wire::write_message(&mut datagram, header, |out| out.bytes(payload));
        datagram.resize(datagram.len().next_multiple_of(4), 0);
    }
    let index = link::LinkIndex(0x0707_0707);
    let want = [
        Ok(Event::Link(LinkEvent::Unreadable(index, WireError::Missing("IFLA_IFNAME")))),
        Err(WireError::Truncated("ifaddrmsg")),
        Ok(Event::Link(LinkEvent::Removed(index))),
    ];
    let events = wire::messages(&datagram)
        .filter_map(|message| message.and_then(|it| Event::decode(&it)).transpose());
    assert_eq!(events.collect::<Vec<_>>(), want);
}
