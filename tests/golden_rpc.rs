// SPDX-License-Identifier: LGPL-2.1-or-later
//! Decodes calls that were captured from real clients, and encodes the answers.
//!
//! Each capture has the messages of one client; its first line ends with the client's socket.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use golden::{Capture, compare_all};
use simulation::sample;
use virtinterfaced::model::client::Endpoint;
use virtinterfaced::proto::Call;
use virtinterfaced::rpc::frame::{Carrier, FrameBuffer};
use virtinterfaced::rpc::header::{kind, status};
use virtinterfaced::rpc::keepalive::Policy;
use virtinterfaced::session::Session;

#[test]
fn clients_are_answered_as_the_files_beside_their_words_say() {
    compare_all("rpc", converse);
}

fn endpoint(capture: &Capture) -> Endpoint {
    match capture.origin.rsplit_once(", ").unwrap().1 {
        "read-write socket" => Endpoint::ReadWrite,
        "read-only socket" => Endpoint::ReadOnly,
        "admin socket" => Endpoint::Admin,
        socket => panic!("{socket}? in {}", capture.origin),
    }
}

/// The whole conversation as text: the decoded calls, and the bytes of the answers.
fn converse(capture: &Capture) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
    let now = Instant::now();
    let policy = Policy { interval: Some(Duration::from_secs(5)), count: 5 };
    let mut session = Session::new(sample::caller(endpoint(capture)), policy, 5);
    let host = sample::host();
    let mut text = String::new();
    for message in &capture.messages {
        session.handle_bytes(message, Carrier::None);
        while let Some(pending) = session.poll_call(now) {
            writeln!(text, "> {}", name(&pending.call)).unwrap();
            let outcome = sample::outcome(&pending.call, session.client(), &host);
            session.handle_reply(&pending.reply_to, outcome, now);
        }
        describe(session.poll_bytes(), &mut text);
        session.handle_written(session.poll_bytes().len());
    }
    if let Some(ending) = session.ending() {
        writeln!(text, "the client {ending}").unwrap();
    }
    text
}

/// The decoded call. The answer gives the reason for a refusal.
fn name(call: &Call) -> String {
    match call {
        Call::Connect(call) => format!("{call:?}"),
        Call::Query(call) => format!("{call:?}"),
        Call::Change(call) => format!("{call:?}"),
        // As in the names of the procedures.
        Call::Transaction(call) => format!("Change{call:?}"),
        Call::Refused(_) => "refused".to_owned(),
        Call::Admin(call) => format!("admin {call:?}"),
    }
}

/// Each message of `bytes`: its header in words, its payload as a dump.
fn describe(bytes: &[u8], text: &mut String) {
    let mut buffer = FrameBuffer::default();
    buffer.extend(bytes, Carrier::None);
    while let Some(frame) = buffer.frame().unwrap() {
        let header = frame.header;
        let what = match (header.kind, header.status) {
            (kind::REPLY, status::OK) => "reply",
            (kind::REPLY, status::ERROR) => "error",
            (kind::MESSAGE, status::OK) => "message",
            head => panic!("{head:?}"),
        };
        let (program, procedure, serial) = (header.program, header.procedure, header.serial);
        writeln!(text, "< {what} {program:#x} {procedure} serial {serial}").unwrap();
        dump(frame.payload, text);
        let len = frame.len;
        buffer.consume(len);
    }
    assert!(buffer.is_empty(), "whole messages only");
}

/// Four words a line, with their text.
fn dump(payload: &[u8], text: &mut String) {
    for line in payload.chunks(16) {
        let mut hex = String::new();
        for word in line.chunks(4) {
            word.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
            hex.push(' ');
        }
        let printable = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
        let ascii: String = line.iter().map(printable).collect();
        writeln!(text, "  {hex:36} {ascii}").unwrap();
    }
}
