// SPDX-License-Identifier: LGPL-2.1-or-later
//! Messages that clients should never send, each against the running daemon, with libvirt's own
//! reaction. Afterwards the next client is still served.

use std::fs::File;
use std::os::fd::AsFd;

use crate::support::client::RawClient;
use crate::support::daemon::{ADMIN_SOCKET, Daemon};
use crate::support::eventually;
use crate::support::namespace::in_namespace;
use crate::support::peer::{FD_COUNT_MAX, send_with_fds};
use crate::support::wire::{
    ADMIN, Arg, CALL_WITH_FDS, ERROR, Fault, Head, KEEPALIVE, MESSAGE, OK, PING, PONG, REMOTE,
    REPLY, STREAM, payload, procedure,
};

const MESSAGE_LEN_MAX: u32 = 33_554_432;

/// `VIR_ERR_RPC` of `VIR_FROM_RPC`.
fn rpc_fault(message: impl Into<String>) -> Fault {
    Fault { code: 39, domain: 7, message: message.into() }
}

/// Asserts that the connection still answers a call.
#[track_caller]
fn assert_lives(client: &mut RawClient, label: &str) {
    let reply = client.call(procedure::AUTH_LIST, &[]);
    assert_eq!(reply.head.status, OK, "{label}");
}

#[test]
fn broken_framing_ends_the_connection_without_a_word() {
    let word = |len: u32| len.to_be_bytes().to_vec();
    let with_fds = Head { kind: CALL_WITH_FDS, ..Head::call(procedure::AUTH_LIST, 1) };
    let bare_descriptor = [with_fds.frame(&payload(&[Arg::Word(1)])), vec![0]].concat();
    let cases = [
        ("length 0", word(0)),
        ("length 3", word(3)),
        ("length 4", word(4)),
        ("length 27, all of it", [word(27), vec![0; 23]].concat()),
        ("length one over the limit", word(MESSAGE_LEN_MAX + 5)),
        ("the largest length", word(u32::MAX)),
        ("33 descriptors", with_fds.frame(&payload(&[Arg::Word(33)]))),
        ("no descriptor count", with_fds.frame(&[])),
        ("a descriptor's byte without it", bare_descriptor),
    ];
    in_namespace(move || {
        let _daemon = Daemon::start();
        for (label, bytes) in cases {
            let mut client = RawClient::connect();
            client.send(&bytes);
            assert_eq!(client.receive(), None, "{label}");
        }
        assert_lives(&mut RawClient::connect(), "the next client");
    });
}

#[test]
fn a_length_at_the_limit_is_waited_for_and_costs_nothing_until_it_comes() {
    const MEMORY_LEN_MAX: u64 = 8 * 1024 * 1024;
    in_namespace(|| {
        let daemon = Daemon::start();
        let before = daemon.resident_len();
        let promise = || {
            let mut client = RawClient::connect();
            client.send(&(MESSAGE_LEN_MAX + 4).to_be_bytes());
            client
        };
        let mut crowd: Vec<_> = (0..100).map(|_| promise()).collect();
        assert_lives(&mut RawClient::connect(), "another client");
        let grown = daemon.resident_len().saturating_sub(before);
        assert!(grown < MEMORY_LEN_MAX, "{grown} bytes for promises");
        let promising = &mut crowd[0];
        let head = Head::call(procedure::AUTH_LIST, 1);
        let payload = vec![0; usize::try_from(MESSAGE_LEN_MAX - 24).unwrap()];
        let frame = head.frame(&payload);
        promising.send(&frame[4..]);
        assert_eq!(promising.receive().unwrap().head, head.reply(OK));
    });
}

#[test]
fn unsupported_calls_are_refused_and_the_connection_stays() {
    let call = Head::call(procedure::AUTH_LIST, 7);
    let unknown = |head: Head| {
        rpc_fault(format!("Cannot find program {} version {}", head.program, head.version))
    };
    let program = Head { program: u32::MAX, ..call };
    let version = Head { version: 2, ..call };
    let admin = Head { program: ADMIN, procedure: 1, ..call };
    let with_fds = Head { kind: CALL_WITH_FDS, program: 1, ..call };
    let keepalive_call = Head { program: KEEPALIVE, procedure: PING, ..call };
    let procedure = |procedure: i32| Head { procedure, ..call };
    let no_procedure = |number: i32| rpc_fault(format!("unknown procedure: {number}"));
    let status = |status: i32| Head { status, ..call };
    let lookup = procedure::INTERFACE_LOOKUP_BY_NAME;
    let undecodable = || rpc_fault("Unable to decode message payload");
    let not_open =
        |what: &str| Fault { code: 1, domain: 7, message: format!("internal error: {what}") };
    let too_long = 4_194_305_u32.to_be_bytes().to_vec();
    let cases = [
        ("unknown program", program, vec![], unknown(program)),
        ("wrong version", version, vec![], unknown(version)),
        ("admin program on the main socket", admin, vec![], unknown(admin)),
        ("unknown program with descriptors", with_fds, vec![0; 4], unknown(with_fds)),
        ("keepalive as a call", keepalive_call, vec![], unknown(keepalive_call)),
        ("status ERROR", status(ERROR), vec![], rpc_fault("Unexpected message status 1")),
        ("status -1", status(-1), vec![], rpc_fault("Unexpected message status 4294967295")),
        ("procedure 0", procedure(0), vec![], no_procedure(0)),
        ("negative procedure", procedure(-5), vec![], no_procedure(-5)),
        ("an event's number", procedure(362), vec![], no_procedure(362)),
        ("past the last procedure", procedure(449), vec![], no_procedure(449)),
        ("no arguments", procedure(lookup), vec![], undecodable()),
        ("string cut short", procedure(lookup), b"\0\0\0\x05eth0".to_vec(), undecodable()),
        ("string over its limit", procedure(lookup), too_long, undecodable()),
        (
            "interfaces before open",
            procedure(lookup),
            payload(&[Arg::Text("lo")]),
            not_open("connection not open"),
        ),
        (
            "type before open",
            procedure(procedure::CONNECT_GET_TYPE),
            vec![],
            not_open("hypervisor connection not open"),
        ),
    ];
    in_namespace(move || {
        let _daemon = Daemon::start();
        let mut client = RawClient::connect();
        for (label, head, payload, want) in cases {
            client.send(&head.frame(&payload));
            let reply = client.receive().expect(label);
            assert_eq!((reply.head, reply.fault()), (head.reply(ERROR), want), "{label}");
            assert_lives(&mut client, label);
        }
    });
}

#[test]
fn messages_that_want_no_answer_get_none() {
    let call = Head::call(procedure::AUTH_LIST, 7);
    let kind = |kind: i32| Head { kind, ..call };
    let cases = [
        ("a reply", kind(REPLY)),
        ("a reply with descriptors", kind(5)),
        ("an event", kind(MESSAGE)),
        ("a stream", kind(STREAM)),
        ("a stream's error", Head { status: ERROR, ..kind(STREAM) }),
        ("a stream's hole", kind(6)),
        ("an unknown type", kind(7)),
        ("a negative type", kind(-1)),
        ("unknown program, a reply", Head { program: 1, ..kind(REPLY) }),
        ("unknown program, a stream", Head { program: 1, ..kind(STREAM) }),
        ("a pong", Head::keepalive(PONG)),
        ("an unknown keepalive procedure", Head::keepalive(99)),
    ];
    in_namespace(move || {
        let _daemon = Daemon::start();
        let mut client = RawClient::connect();
        for (label, head) in cases {
            client.send(&head.frame(&[]));
            assert_lives(&mut client, label);
        }
        client.send(&Head::keepalive(PING).frame(&[]));
        assert_eq!(client.receive().unwrap().head, Head::keepalive(PONG));
    });
}

#[test]
fn sloppy_arguments_are_taken_as_libvirt_takes_them() {
    in_namespace(|| {
        let _daemon = Daemon::start();
        let mut client = RawClient::connect();
        let open = b"\0\0\0\x09\0\0\0\x13interface:///system\0\0\0\0\0and more";
        client.send(&Head::call(procedure::CONNECT_OPEN, 1).frame(open));
        assert_eq!(client.receive().unwrap().head.status, OK, "any flag but 0, bytes behind");
        let lookup = procedure::INTERFACE_LOOKUP_BY_NAME;
        let reply = client.call(lookup, &[Arg::Text("lo\0rubbish")]);
        assert_eq!(reply.results().text(), "lo", "a string ends at its NUL");
        let reply = client.call(procedure::CONNECT_LIST_INTERFACES, &[Arg::Word(u32::MAX)]);
        assert_eq!(reply.fault(), rpc_fault("maxnames must be non-negative"));
        let reply = client.call(procedure::CONNECT_LIST_INTERFACES, &[Arg::Word(16_385)]);
        assert_eq!(reply.fault(), rpc_fault("maxnames > REMOTE_INTERFACE_LIST_MAX"));
        let reply = client.call(procedure::CONNECT_LIST_INTERFACES, &[Arg::Word(0)]);
        assert_eq!(reply.results().texts(), Vec::<String>::new());
    });
}

#[test]
fn close_is_answered_and_nothing_after_it() {
    in_namespace(|| {
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let close = Head::call(procedure::CONNECT_CLOSE, 8);
        let after = Head::call(procedure::AUTH_LIST, 9);
        client.send(&[close.frame(&[]), after.frame(&[])].concat());
        assert_eq!(client.receive().unwrap().head, close.reply(OK));
        assert_eq!(client.receive(), None);
    });
}

#[test]
fn the_remote_program_is_unknown_at_the_admin_socket() {
    in_namespace(|| {
        let _daemon = Daemon::start();
        let mut client = RawClient::connect_to(ADMIN_SOCKET).unwrap();
        let want = rpc_fault(format!("Cannot find program {REMOTE} version 1"));
        assert_eq!(client.call(procedure::AUTH_LIST, &[]).fault(), want);
        let admin = Head { program: ADMIN, procedure: 1, ..Head::call(1, 1) };
        client.send(&admin.frame(&payload(&[Arg::Word(0)])));
        assert_eq!(client.receive().unwrap().head, admin.reply(OK));
    });
}

#[test]
fn descriptors_that_come_with_calls_are_closed() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let mut client = RawClient::connect();
        assert_lives(&mut client, "before");
        let count = daemon.descriptor_count();
        let null = File::open("/dev/null").unwrap();
        for (serial, fd_count) in [(1, 0), (2, 1), (3, 32)] {
            let head = Head { kind: CALL_WITH_FDS, ..Head::call(procedure::AUTH_LIST, serial) };
            client.send(&head.frame(&payload(&[Arg::Word(fd_count)])));
            for _ in 0..fd_count {
                send_with_fds(&client.stream, b"\0", null.as_fd(), 1);
            }
            assert_eq!(client.receive().unwrap().head, head.reply(OK), "{fd_count}");
        }
        for fd_count in [1, 2, 32, 33, FD_COUNT_MAX] {
            let unannounced = Head::keepalive(PONG).frame(&[]);
            send_with_fds(&client.stream, &unannounced, null.as_fd(), fd_count);
            assert_lives(&mut client, "descriptors that were not announced");
        }
        eventually("all descriptors are closed", || daemon.descriptor_count() == count);
        let mut cut = RawClient::connect();
        let head = Head { kind: CALL_WITH_FDS, ..Head::call(procedure::AUTH_LIST, 1) };
        cut.send(&head.frame(&payload(&[Arg::Word(2)])));
        send_with_fds(&cut.stream, b"\0", null.as_fd(), 1);
        cut.hang_up();
        eventually("a client's end closes them too", || daemon.descriptor_count() == count);
    });
}
