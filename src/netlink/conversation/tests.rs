// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`].

use super::*;
use crate::netlink::wire::{NetlinkHeader, write_message};

/// A message of an answer: type, flags, sequence number, payload.
struct Part(u16, u16, u32, &'static [u8]);

const ITEM: u16 = 16;
const SUCCESS: &[u8] = &[0; 4];

fn datagram(parts: &[Part]) -> Vec<u8> {
    let mut out = Vec::new();
    for Part(kind, flags, sequence, payload) in parts {
        let header = NetlinkHeader { kind: *kind, flags: *flags, sequence: *sequence };
        write_message(&mut out, header, |message| message.bytes(payload));
    }
    out
}

/// The state of the first request when `parts` arrive, and the number of its items.
fn heard(parts: &[Part]) -> (AnswerState, usize) {
    let mut conversation = Conversation::default();
    assert_eq!(conversation.begin(), 1);
    let mut count = 0;
    let answer = conversation.handle_datagram(&datagram(parts), |_| count += 1);
    (answer, count)
}

#[test]
fn an_answer_ends_as_the_kernel_says() {
    let no_entry: &[u8] =
        if cfg!(target_endian = "little") { b"\xfe\xff\xff\xff" } else { b"\xff\xff\xff\xfe" };
    let truncated = AnswerState::Malformed(WireError::Truncated("nlmsgerr"));
    type Case<'a> = (&'a str, &'a [Part], (AnswerState, usize));
    let cases: [Case<'_>; 13] = [
        ("nothing yet", &[], (AnswerState::Pending, 0)),
        ("more to come", &[Part(ITEM, 2, 1, b"")], (AnswerState::Pending, 1)),
        ("a dump", &[Part(ITEM, 2, 1, b""), Part(3, 2, 1, SUCCESS)], (AnswerState::Complete, 1)),
        ("an end without result", &[Part(3, 2, 1, b"")], (AnswerState::Complete, 0)),
        ("a dump that failed", &[Part(3, 2, 1, no_entry)], (AnswerState::Refused(2), 0)),
        ("acknowledged", &[Part(2, 0, 1, SUCCESS)], (AnswerState::Complete, 0)),
        ("refused", &[Part(2, 0, 1, no_entry)], (AnswerState::Refused(2), 0)),
        ("an error cut short", &[Part(2, 0, 1, b"")], (truncated, 0)),
        (
            "interrupted at an item",
            &[Part(ITEM, 0x12, 1, b""), Part(ITEM, 2, 1, b""), Part(3, 2, 1, SUCCESS)],
            (AnswerState::Interrupted, 2),
        ),
        ("interrupted at the end", &[Part(3, 0x12, 1, SUCCESS)], (AnswerState::Interrupted, 0)),
        ("lost", &[Part(4, 0, 0, b""), Part(3, 2, 1, SUCCESS)], (AnswerState::Interrupted, 0)),
        ("nothing meant", &[Part(1, 0, 1, b"")], (AnswerState::Pending, 0)),
        (
            "of other requests",
            &[Part(ITEM, 0x12, 2, b""), Part(2, 0, 0, no_entry), Part(3, 2, 1, SUCCESS)],
            (AnswerState::Complete, 0),
        ),
    ];
    for (label, parts, want) in cases {
        assert_eq!(heard(parts), want, "{label}");
    }
}

#[test]
fn what_follows_the_end_belongs_to_nobody() {
    let done = datagram(&[Part(3, 2, 1, SUCCESS), Part(ITEM, 2, 1, b"")]);
    let mut conversation = Conversation::default();
    assert_eq!(conversation.handle_datagram(&done, |_| panic!("unasked")), AnswerState::Pending);
    conversation.begin();
    assert_eq!(conversation.handle_datagram(&done, |_| panic!("behind")), AnswerState::Complete);
    assert_eq!(conversation.handle_datagram(&done, |_| panic!("again")), AnswerState::Pending);
}

#[test]
fn a_new_request_starts_clean() {
    let mut conversation = Conversation::default();
    conversation.begin();
    conversation.handle_datagram(&datagram(&[Part(ITEM, 0x12, 1, b"")]), |_| {});
    assert_eq!(conversation.begin(), 2);
    let answer = conversation.handle_datagram(&datagram(&[Part(3, 2, 2, SUCCESS)]), |_| {});
    assert_eq!(answer, AnswerState::Complete);
}

#[test]
fn requests_of_one_datagram_are_answered_until_the_last_one_is() {
    let mut conversation = Conversation::default();
    assert_eq!((conversation.begin(), conversation.join()), (1, 2));
    let mut items = Vec::new();
    let mut hear = |parts: &[Part]| {
        conversation.handle_datagram(&datagram(parts), |message| items.push(message.sequence))
    };
    assert_eq!(hear(&[Part(ITEM, 0, 9, b""), Part(ITEM, 0, 1, b"")]), AnswerState::Pending);
    assert_eq!(
        hear(&[Part(2, 0, 1, &[0xff; 4])]),
        AnswerState::Pending,
        "the first one is refused"
    );
    assert_eq!(hear(&[Part(ITEM, 0, 2, b"")]), AnswerState::Pending);
    assert_eq!(hear(&[Part(2, 0, 2, SUCCESS)]), AnswerState::Complete);
    assert_eq!(items, [1, 2]);
}

#[test]
fn broken_framing_ends_the_answer() {
    let mut conversation = Conversation::default();
    conversation.begin();
    let answer = conversation.handle_datagram(&[0; 16], |_| {});
    let wrong = WireError::Length { part: "netlink message", len: 0 };
    assert_eq!(answer, AnswerState::Malformed(wrong));
}

#[test]
fn numbers_wrap_past_the_kernels_own() {
    let mut conversation = Conversation { sequence: u32::MAX - 1, ..Conversation::default() };
    assert_eq!(conversation.begin(), u32::MAX);
    assert_eq!(conversation.begin(), 1);
}

/// A refusal, `EBUSY`, of a request of which `quoted` bytes are quoted, with this text.
fn complaint(flags: u16, quoted: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Option<String> {
    let mut payload = (-libc::EBUSY).to_ne_bytes().to_vec();
    let request_len = 40_u32;
    payload.extend(request_len.to_ne_bytes());
    payload.extend(vec![0; quoted - 4]);
    fill(&mut payload);
    let mut told = Vec::new();
    write_message(&mut told, NetlinkHeader { kind: 2, flags, sequence: 1 }, |out| {
        out.bytes(&payload)
    });
    let mut conversation = Conversation::default();
    conversation.begin();
    let answer = conversation.handle_datagram(&told, |_| {});
    assert_eq!(answer, AnswerState::Refused(libc::EBUSY));
    conversation.complaint().map(str::to_owned)
}

#[test]
fn the_kernels_own_words_are_found_behind_what_it_refuses() {
    const HAS_WORDS: u16 = 0x200;
    const CAPPED: u16 = 0x100;
    let words = |out: &mut Vec<u8>| {
        let mut writer = wire::PayloadWriter::new(out);
        writer.attribute_u32(2, 16);
        writer.attribute_text(1, "Device is busy");
    };
    let text = Some("Device is busy".to_owned());
    assert_eq!(complaint(HAS_WORDS | CAPPED, 16, words), text, "the head is quoted");
    assert_eq!(complaint(HAS_WORDS, 40, words), text, "all of it is quoted");
    assert_eq!(complaint(CAPPED, 16, words), None, "no words are promised");
    assert_eq!(complaint(HAS_WORDS | CAPPED, 16, |_| {}), None, "and none come");
    assert_eq!(complaint(HAS_WORDS, 16, words), None, "less is quoted than is said");
    let strange = |out: &mut Vec<u8>| wire::PayloadWriter::new(out).attribute(1, b"\xff\0");
    assert_eq!(complaint(HAS_WORDS | CAPPED, 16, strange), Some("\u{fffd}".to_owned()));
}

#[test]
fn a_complaint_is_about_the_last_refusal_alone() {
    let mut conversation =
        Conversation { complaint: Some("old".to_owned()), ..Conversation::default() };
    conversation.begin();
    assert_eq!(conversation.complaint(), None);
}

#[test]
fn of_a_datagram_that_is_cut_the_whole_messages_count() {
    let mut conversation = Conversation::default();
    assert_eq!(conversation.begin(), 1);
    let bytes =
        datagram(&[Part(ITEM, 2, 1, b"one."), Part(ITEM, 2, 1, b"two."), Part(3, 2, 1, b"")]);
    let mut items = Vec::new();
    let front = &bytes[..bytes.len() - 20];
    assert_eq!(
        conversation.handle_front(front, |message| items.push(message.payload.to_vec())),
        AnswerState::Pending
    );
    assert_eq!(items, [b"one."]);
    // The answer goes on behind it.
    let rest = datagram(&[Part(3, 2, 1, SUCCESS)]);
    assert_eq!(conversation.handle_datagram(&rest, |_| {}), AnswerState::Complete);
}

#[test]
fn an_answer_of_which_a_datagram_is_lost_is_interrupted() {
    let mut conversation = Conversation::default();
    conversation.handle_loss();
    assert_eq!(conversation.begin(), 1);
    conversation.handle_loss();
    let rest = datagram(&[Part(ITEM, 2, 1, b""), Part(3, 2, 1, SUCCESS)]);
    assert_eq!(conversation.handle_datagram(&rest, |_| {}), AnswerState::Interrupted);
}
