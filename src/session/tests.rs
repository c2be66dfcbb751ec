// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of the session with correct and incorrect clients. They follow the table of libvirtd's
//! reactions to protocol violations.

use std::time::Duration;

use super::*;
use crate::error::{Domain, ErrorCode};
use crate::limits::{CALL_LEN_MAX, HEADER_LEN, MESSAGE_LEN_MAX, READ_BUFFER_LEN, STRING_LEN_MAX};
use crate::model::client::{Access, Endpoint, Identity, Opened};
use crate::proto::connect::ConnectCall;
use crate::proto::interface::QueryCall;
use crate::rpc::header::kind;
use crate::rpc::message;

const REMOTE: u32 = 0x2000_8086;
const ADMIN: u32 = 0x0690_0690;

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
fn instant() -> Instant {
    Instant::now()
}

fn caller() -> Caller {
    let endpoint = Endpoint::ReadWrite;
    Caller { endpoint, number: 1, uid: 1000, gid: 1000, pid: 7, identity: None }
}

fn session() -> Session {
    let keepalive = Policy { interval: Some(Duration::from_secs(5)), count: 2 };
    Session::new(caller(), keepalive, 5)
}

fn call(procedure: i32) -> Header {
    Header { program: REMOTE, version: 1, procedure, kind: kind::CALL, serial: 9, status: 0 }
}

fn bytes(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    message::encode(&mut out, header, |_| {});
    out.extend_from_slice(payload);
    let len = u32::try_from(out.len()).unwrap();
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}

/// Feeds one message, and returns the call that it makes.
fn bring(session: &mut Session, header: &Header, payload: &[u8]) -> Option<PendingCall> {
    session.handle_bytes(&bytes(header, payload), Carrier::None);
    session.poll_call(instant())
}

/// Takes all bytes to be written, as header and payload of each message.
fn written(session: &mut Session) -> Vec<(Header, Vec<u8>)> {
    let out = session.poll_bytes().to_vec();
    session.handle_written(out.len());
    let mut messages = Vec::new();
    let mut rest = &out[..];
    while let Some((word, _)) = rest.split_first_chunk::<4>() {
        let (message, behind) = rest.split_at(usize::try_from(u32::from_be_bytes(*word)).unwrap());
        let header: &[u8; HEADER_LEN] = message[4..28].try_into().unwrap();
        messages.push((Header::decode(header), message[28..].to_vec()));
        rest = behind;
    }
    messages
}

/// Returns the header, code, domain and text of the only waiting error reply.
fn refusal(session: &mut Session) -> (Header, i32, i32, String) {
    let messages = written(session);
    let [(header, payload)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((header.kind, header.status), (kind::REPLY, status::ERROR));
    let mut reader = crate::xdr::reader::Reader::new(payload);
    let (code, domain) = (reader.i32("code").unwrap(), reader.i32("domain").unwrap());
    let text = reader.optional_string("message", 1000).unwrap().unwrap();
    (*header, code, domain, text.into_owned())
}

#[test]
fn a_length_that_no_message_has_ends_the_session() {
    for word in [0, 3, 4, 27, 33_554_437, u32::MAX] {
        let mut session = session();
        session.handle_bytes(&u32::to_be_bytes(word), Carrier::None);
        assert!(session.poll_call(instant()).is_none());
        assert!(matches!(session.ending(), Some(Ending::Broken(_))), "{word}");
        assert!(session.poll_bytes().is_empty(), "{word}: nothing is sent");
    }
}

#[test]
fn a_message_that_never_comes_is_waited_for() {
    let mut session = session();
    session.handle_bytes(&33_554_436_u32.to_be_bytes(), Carrier::None);
    assert!(session.poll_call(instant()).is_none());
    assert_eq!(session.ending(), None);
    assert!(session.wants_read() && !session.wants_turn());
}

/// Feeds a message in pieces as reads bring them, and returns the most memory that the session held
/// and the call that the message makes.
fn bring_in_pieces(session: &mut Session, message: &[u8]) -> (usize, Option<PendingCall>) {
    let (mut held, mut call) = (0, None);
    for piece in message.chunks(READ_BUFFER_LEN) {
        assert!(call.is_none() && session.wants_read() && !session.wants_turn());
        session.handle_bytes(piece, Carrier::None);
        held = held.max(session.held_len());
        call = session.poll_call(instant());
    }
    (held, call)
}

#[test]
fn of_a_message_longer_than_any_call_of_the_client_the_beginning_is_kept() {
    const LARGEST: usize = MESSAGE_LEN_MAX - HEADER_LEN;
    let mut session = session();
    let message = bytes(&call(66), &vec![0; LARGEST]);
    let (held, pending) = bring_in_pieces(&mut session, &message);
    assert!(held <= 2 * CALL_LEN_MAX + READ_BUFFER_LEN, "{held}");
    let auth_list = pending.expect("the arguments are at the beginning");
    assert!(matches!(auth_list.call, Call::Connect(ConnectCall::AuthList)));
    let name_len = u32::try_from(STRING_LEN_MAX).unwrap().to_be_bytes();
    let lookup = bytes(&call(128), &[&name_len[..], &vec![b'x'; STRING_LEN_MAX]].concat());
    let (held, pending) = bring_in_pieces(&mut session, &lookup);
    assert!(held <= 2 * CALL_LEN_MAX + READ_BUFFER_LEN, "{held}");
    assert!(pending.is_none());
    assert_eq!(refusal(&mut session).3, "Unable to decode message payload");
    let next = bring(&mut session, &call(126), b"");
    assert!(matches!(next.unwrap().call, Call::Query(QueryCall::NumOfInterfaces)));
}

#[test]
fn a_definition_is_kept_whole_once_the_client_may_define() {
    let text_len = u32::try_from(STRING_LEN_MAX).unwrap().to_be_bytes();
    let text = vec![b'x'; STRING_LEN_MAX];
    let define = bytes(&call(131), &[&text_len[..], &text, &[0; 4]].concat());
    for (access, is_kept) in
        [(None, false), (Some(Access::ReadOnly), false), (Some(Access::ReadWrite), true)]
    {
        let mut session = session();
        session.client.opened = access.map(|access| Opened { uri: String::new(), access });
        let (held, pending) = bring_in_pieces(&mut session, &define);
        assert_eq!(pending.is_some(), is_kept, "{access:?}");
        assert_eq!(held > STRING_LEN_MAX, is_kept, "{access:?}: {held}");
    }
}

#[test]
fn calls_that_cannot_be_are_refused_and_the_session_lives_on() {
    struct Case(&'static str, Header, &'static [u8], &'static str);
    let cases = [
        Case(
            "unknown program",
            Header { program: 7, ..call(1) },
            b"",
            "Cannot find program 7 version 1",
        ),
        Case(
            "wrong version",
            Header { version: 2, ..call(1) },
            b"",
            "Cannot find program 536903814 version 2",
        ),
        Case(
            "admin program on the main socket",
            Header { program: ADMIN, ..call(1) },
            b"",
            "Cannot find program 110102160 version 1",
        ),
        Case(
            "keepalive as a call",
            Header { program: keepalive::PROGRAM, ..call(1) },
            b"",
            "Cannot find program 1801807216 version 1",
        ),
        Case("status", Header { status: 1, ..call(1) }, b"", "Unexpected message status 1"),
        Case(
            "status before procedure",
            Header { status: -1, ..call(0) },
            b"",
            "Unexpected message status 4294967295",
        ),
        Case("procedure 0", call(0), b"", "unknown procedure: 0"),
        Case("negative procedure", call(-1), b"", "unknown procedure: -1"),
        Case("an event", call(107), b"", "unknown procedure: 107"),
        Case("beyond the last", call(449), b"", "unknown procedure: 449"),
        Case("no arguments", call(1), b"", "Unable to decode message payload"),
        Case(
            "string over the limit",
            call(128),
            b"\0\x40\0\x01",
            "Unable to decode message payload",
        ),
        Case("array over the limit", call(419), b"\0\0\0\x15", "Unable to decode message payload"),
    ];
    for Case(label, header, payload, want) in cases {
        let mut session = session();
        assert!(bring(&mut session, &header, payload).is_none(), "{label}");
        let (reply, code, domain, text) = refusal(&mut session);
        assert_eq!((code, domain), (ErrorCode::Rpc as i32, Domain::Rpc as i32), "{label}");
        assert_eq!(text, want, "{label}");
        assert_eq!(reply, header.reply(status::ERROR), "{label}: the head is the call's");
        assert_eq!(session.ending(), None, "{label}");
        assert!(bring(&mut session, &call(66), b"").is_some(), "{label}: lives on");
    }
}

#[test]
fn messages_that_are_no_calls_are_dropped_in_silence() {
    for program in [REMOTE, 7] {
        for kind in [1, 2, 3, 5, 6, 7, -1] {
            let mut session = session();
            assert!(bring(&mut session, &Header { program, kind, ..call(1) }, b"").is_none());
            assert!(session.poll_bytes().is_empty(), "type {kind}");
            assert_eq!(session.ending(), None, "type {kind}");
        }
    }
}

#[test]
fn sloppy_but_readable_arguments_are_taken() {
    struct Case(&'static str, &'static [u8], &'static str);
    let cases = [
        Case("extra bytes", b"\0\0\0\x02lo\0\0extra...", "lo"),
        Case("a NUL within", b"\0\0\0\x04lo\0x", "lo"),
    ];
    for Case(label, payload, want) in cases {
        match bring(&mut session(), &call(128), payload).map(|pending| pending.call) {
            Some(Call::Query(QueryCall::LookupByName { name })) => {
                assert_eq!(name, want, "{label}");
            }
            other => panic!("{label}: {other:?}"),
        }
    }
    let any_word_is_true = b"\0\0\0\x07\0\0\0\0";
    match bring(&mut session(), &call(284), any_word_is_true).map(|pending| pending.call) {
        Some(Call::Query(QueryCall::ListAllInterfaces { need_results: true, .. })) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_with_descriptors_waits_for_them() {
    let with_fds = Header { kind: kind::CALL_WITH_FDS, ..call(66) };
    let mut session = session();
    assert!(bring(&mut session, &with_fds, b"\0\0\0\x01").is_none());
    session.handle_bytes(b"\0", Carrier::LastByte);
    assert!(session.poll_call(instant()).is_some());
}

#[test]
fn descriptors_that_are_too_many_uncounted_or_missing_end_the_session() {
    let with_fds = Header { kind: kind::CALL_WITH_FDS, ..call(66) };
    for payload in [&b""[..], b"\0\0\0\x21", b"\0\0\0\x01\0"] {
        let mut session = session();
        let mut stream = bytes(&with_fds, &payload[..payload.len().min(4)]);
        stream.extend(payload.get(4..).unwrap_or_default());
        session.handle_bytes(&stream, Carrier::None);
        assert!(session.poll_call(instant()).is_none());
        assert!(matches!(session.ending(), Some(Ending::Broken(_))), "{payload:?}");
    }
}

#[test]
fn a_broken_session_hears_and_says_nothing_more() {
    let mut session = session();
    session.handle_bytes(b"\0\0\0\0", Carrier::None);
    assert!(session.poll_call(instant()).is_none());
    assert!(bring(&mut session, &call(66), b"").is_none());
    assert!(!session.wants_read() && !session.wants_turn());
    session.handle_eof();
    assert!(matches!(session.ending(), Some(Ending::Broken(_))), "the first ending stays");
}

#[test]
fn close_is_answered_and_then_nothing_is_heard() {
    let mut session = session();
    let mut stream = bytes(&call(2), b"");
    stream.extend(bytes(&call(66), b""));
    session.handle_bytes(&stream, Carrier::None);
    let close = session.poll_call(instant()).unwrap();
    assert!(matches!(close.call, Call::Connect(ConnectCall::Close)));
    session.handle_reply(&close.reply_to, Ok(Reply::Closing), instant());
    assert!(session.poll_call(instant()).is_none(), "what was pipelined behind is not heard");
    assert_eq!(session.ending(), None, "the reply is still to be written");
    assert_eq!(written(&mut session), [(call(2).reply(status::OK), Vec::new())]);
    assert_eq!(session.ending(), Some(Ending::Closed));
}

#[test]
fn a_client_that_hangs_up_gets_nothing_more() {
    let mut session = session();
    let pending = bring(&mut session, &call(66), b"").unwrap();
    session.handle_reply(&pending.reply_to, Ok(Reply::Empty), instant());
    session.handle_eof();
    assert!(session.poll_bytes().is_empty());
    assert_eq!(session.ending(), Some(Ending::HungUp));
}

#[test]
fn replies_leave_in_the_order_in_which_they_come() {
    let mut session = session();
    let serials = [1, 2, 3];
    let calls = serials
        .map(|serial| bring(&mut session, &Header { serial, ..call(66) }, b"").unwrap().reply_to);
    for at in [2, 0, 1] {
        session.handle_reply(&calls[at], Ok(Reply::Empty), instant());
    }
    let heads = written(&mut session).into_iter().map(|(header, _)| header.serial);
    assert_eq!(heads.collect::<Vec<_>>(), [3, 1, 2]);
}

#[test]
fn a_call_that_waits_is_in_flight_until_it_is_replied_to_or_dropped() {
    let mut session = session();
    let waiting: Vec<_> = (0..5).map(|_| bring(&mut session, &call(66), b"").unwrap()).collect();
    session.handle_bytes(&bytes(&call(66), b""), Carrier::None);
    assert!(!session.wants_read() && session.poll_call(instant()).is_none(), "five are too many");
    session.handle_dropped(1);
    assert!(session.wants_turn(), "there is room for one");
    assert!(session.poll_call(instant()).is_some() && session.poll_call(instant()).is_none());
    session.handle_dropped(1);
    let close = bring(&mut session, &call(2), b"").unwrap();
    session.handle_reply(&close.reply_to, Ok(Reply::Closing), instant());
    assert_eq!(written(&mut session).len(), 1);
    assert_eq!(session.ending(), None, "a reply to each is still to come");
    session.handle_reply(&waiting[0].reply_to, Ok(Reply::Empty), instant());
    assert_eq!(written(&mut session).len(), 1);
    session.handle_dropped(3);
    assert_eq!(session.ending(), Some(Ending::Closed));
}

#[test]
fn calls_in_flight_are_limited_until_replies_are_written() {
    let mut session = session();
    let stream: Vec<u8> = (0..40).flat_map(|_| bytes(&call(66), b"")).collect();
    session.handle_bytes(&stream, Carrier::None);
    let mut answered = 0;
    while answered < 40 {
        let pending: Vec<_> = std::iter::from_fn(|| session.poll_call(instant())).collect();
        assert_eq!(pending.len(), 5, "no more than the limit at once");
        assert!(!session.wants_read() && !session.wants_turn(), "backpressure");
        for pending in &pending {
            session.handle_reply(&pending.reply_to, Ok(Reply::Empty), instant());
        }
        assert!(session.poll_call(instant()).is_none(), "answered is not yet written");
        let one_short = session.poll_bytes().len() - 1;
        session.handle_written(one_short);
        assert_eq!(session.wants_turn(), answered < 35, "four of five are written");
        session.handle_written(1);
        answered += pending.len();
    }
    assert!(session.wants_read());
    assert!(session.poll_call(instant()).is_none());
}

#[test]
fn a_client_is_read_no_further_than_its_buffer_has_whole_messages() {
    let mut session = Session::new(caller(), Policy { interval: None, count: 0 }, 1);
    let stream: Vec<u8> = (0..3000).flat_map(|_| bytes(&call(66), b"")).collect();
    assert!(stream.len() > CLIENT_BYTES_UNREAD_MAX);
    session.handle_bytes(&stream, Carrier::None);
    assert!(!session.wants_read() && session.wants_turn());
    let long = bytes(&call(131), &vec![0; CLIENT_BYTES_UNREAD_MAX * 2]);
    let mut session = self::session();
    session.handle_bytes(&long[..CLIENT_BYTES_UNREAD_MAX + 9], Carrier::None);
    assert!(session.wants_read(), "a single message that is larger is collected");
}

#[test]
fn the_session_changes_by_the_replies_it_sends() {
    let mut session = session();
    let mut reply = |reply: Reply| {
        let pending = bring(&mut session, &call(66), b"").unwrap();
        session.handle_reply(&pending.reply_to, Ok(reply), instant());
        written(&mut session);
        session.client().clone()
    };
    let opened = Opened { uri: "interface:///system".to_owned(), access: Access::ReadOnly };
    assert_eq!(reply(Reply::Opened(opened.clone())).opened, Some(opened));
    let identity = Box::new(Identity { unix_user_id: Some(1), ..Identity::default() });
    assert_eq!(reply(Reply::Identified(identity.clone())).caller.identity, Some(identity));
}

#[test]
fn an_error_reply_changes_nothing() {
    let mut session = session();
    let before = session.client().clone();
    let pending = bring(&mut session, &call(3), b"").unwrap();
    let err = CallError::new(ErrorCode::Internal, Domain::Rpc, "no");
    session.handle_reply(&pending.reply_to, Err(err), instant());
    assert_eq!(refusal(&mut session).3, "internal error: no");
    assert_eq!(*session.client(), before);
}

#[test]
fn a_ping_is_answered_at_once_and_at_any_time() {
    let mut session = session();
    assert!(bring(&mut session, &keepalive::ping(), b"").is_none());
    let pong = Header { procedure: 2, ..keepalive::ping() };
    assert_eq!(written(&mut session), [(pong, Vec::new())]);
    assert!(bring(&mut session, &pong, b"").is_none());
    assert!(session.poll_bytes().is_empty());
}

#[test]
fn a_client_that_pings_and_never_reads_is_not_heard_without_end() {
    let mut session = session();
    let stream: Vec<u8> = (0..1000).flat_map(|_| bytes(&keepalive::ping(), b"")).collect();
    session.handle_bytes(&stream, Carrier::None);
    assert!(session.poll_call(instant()).is_none());
    assert!(!session.wants_read());
    assert_eq!(written(&mut session).len(), 5);
}

#[test]
fn a_client_that_asked_for_keepalive_is_pinged_and_given_up() {
    let start = instant();
    let mut session = session();
    assert_eq!(session.deadline(), None);
    let pending = bring(&mut session, &call(60), b"\0\0\0\x0a").unwrap();
    session.handle_reply(&pending.reply_to, Ok(Reply::KeepaliveSupported), start);
    written(&mut session);
    for _ in 0..2 {
        session.handle_timeout(session.deadline().unwrap());
        assert_eq!(written(&mut session), [(keepalive::ping(), Vec::new())]);
    }
    session.handle_timeout(session.deadline().unwrap());
    assert_eq!(session.ending(), Some(Ending::Silent));
    assert!(session.poll_bytes().is_empty());
}

#[test]
fn a_daemon_that_stops_answers_what_it_has_read_and_reads_no_more() {
    let mut session = session();
    session.handle_bytes(&bytes(&call(66), &[]), Carrier::None);
    session.handle_bytes(&bytes(&call(66), &[]), Carrier::None);
    session.handle_bytes(&bytes(&call(66), &[])[..20], Carrier::None);
    session.handle_stop();
    assert!(!session.wants_read() && session.wants_turn());
    session.handle_bytes(&[0; 8], Carrier::None);
    for _ in 0..2 {
        assert_eq!(session.ending(), None);
        let pending = session.poll_call(instant()).expect("a call");
        session.handle_reply(&pending.reply_to, Ok(Reply::AuthTypes(&[0])), instant());
    }
    assert!(session.poll_call(instant()).is_none());
    assert_eq!(session.ending(), None, "its replies wait");
    assert_eq!(written(&mut session).len(), 2);
    assert_eq!(session.ending(), Some(Ending::Dismissed));
}

#[test]
fn a_daemon_that_stops_lets_a_client_go_that_waits_for_nothing() {
    let mut idle = session();
    idle.handle_stop();
    assert_eq!(idle.ending(), Some(Ending::Dismissed));
    let mut closing = session();
    let pending = bring(&mut closing, &call(2), &[]).expect("a call");
    closing.handle_stop();
    closing.handle_reply(&pending.reply_to, Ok(Reply::Closing), instant());
    assert_eq!(closing.ending(), None);
    assert_eq!(written(&mut closing).len(), 1);
    assert_eq!(closing.ending(), Some(Ending::Closed));
}

#[test]
fn another_limit_of_calls_holds_at_once() {
    let mut session = session();
    let policy = Policy { interval: None, count: 0 };
    session.handle_limits(policy, 1, instant());
    session.handle_bytes(&bytes(&call(66), &[]).repeat(2), Carrier::None);
    let first = session.poll_call(instant()).expect("a call");
    assert!(session.poll_call(instant()).is_none() && !session.wants_read());
    session.handle_limits(policy, 2, instant());
    assert!(session.poll_call(instant()).is_some());
    session.handle_reply(&first.reply_to, Ok(Reply::Empty), instant());
}
