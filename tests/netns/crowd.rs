// SPDX-License-Identifier: LGPL-2.1-or-later
//! Many clients, and clients that connect and leave in unusual ways: each one's answers are
//! correct.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::client::RawClient;
use crate::support::command::{command, ip_batch, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::namespace::{in_namespace, is_installed};
use crate::support::wire::{Arg, Head, OK, payload, procedure};

const VIRSH: &str = "/usr/bin/virsh";

fn virsh_list() -> Command {
    let mut virsh = command(VIRSH);
    virsh.args(["-c", "interface:///system", "iface-list", "--all"]);
    virsh
}

#[test]
fn sixty_four_virsh_at_once_get_the_same_answer() {
    if !is_installed(VIRSH) {
        return;
    }
    in_namespace(|| {
        ip_batch("link add veth0 type veth peer name veth1\nlink set veth0 up\n");
        let _daemon = Daemon::start();
        let want = virsh("iface-list --all").ok();
        let start = || virsh_list().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let crowd: Vec<_> = (0..64).map(|_| start().unwrap()).collect();
        for child in crowd {
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), want, "{:?}", output.stderr);
        }
    });
}

#[test]
fn a_virsh_killed_at_any_moment_leaves_nothing_behind() {
    if !is_installed(VIRSH) {
        return;
    }
    in_namespace(|| {
        let daemon = Daemon::start();
        let mut client = RawClient::open();
        let count = daemon.descriptor_count();
        for delay in 0..40 {
            let mut child =
                virsh_list().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(delay));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        eventually("all that died are closed", || daemon.descriptor_count() == count);
        assert_eq!(client.list_all(), ["lo"]);
    });
}

#[test]
fn a_client_that_hangs_up_at_any_byte_of_a_call_disturbs_no_other() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let mut client = RawClient::open();
        let count = daemon.descriptor_count();
        let open = payload(&[Arg::Some("interface:///system"), Arg::Word(0)]);
        let frame = Head::call(procedure::CONNECT_OPEN, 1).frame(&open);
        for len in 0..=frame.len() {
            RawClient::connect().send(&frame[..len]);
            assert_eq!(client.list_all(), ["lo"], "{len} bytes");
        }
        eventually("all that left are closed", || daemon.descriptor_count() == count);
    });
}

#[test]
fn a_client_that_sends_byte_by_byte_is_served_and_waits_alone() {
    in_namespace(|| {
        let _daemon = Daemon::start();
        let mut slow = RawClient::connect();
        let mut quick = RawClient::open();
        let head = Head::call(procedure::AUTH_LIST, 1);
        for byte in head.frame(&[]) {
            slow.send(&[byte]);
            assert_eq!(quick.list_all(), ["lo"]);
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(slow.receive().unwrap().head, head.reply(OK));
    });
}

/// Its replies fill the socket, and then the daemon stops reading from it, so its memory is
/// bounded.
#[test]
fn a_client_that_does_not_read_waits_and_then_gets_every_reply_in_order() {
    const CALL_COUNT: u32 = 20_000;
    const MEMORY_LEN_MAX: u64 = 8 * 1024 * 1024;
    in_namespace(|| {
        let daemon = Daemon::start();
        let mut quick = RawClient::open();
        let mut lazy = RawClient::open();
        let before = daemon.resident_len();
        let sender = lazy.stream.try_clone().unwrap();
        let list = payload(&[Arg::Word(1), Arg::Word(0)]);
        let call = |serial| Head::call(procedure::CONNECT_LIST_ALL_INTERFACES, serial);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut sender = RawClient::from(sender);
                (0..CALL_COUNT).for_each(|serial| sender.send(&call(serial).frame(&list)));
            });
            for _ in 0..200 {
                assert_eq!(quick.list_all(), ["lo"]);
                thread::sleep(Duration::from_millis(5));
            }
            let grown = daemon.resident_len().saturating_sub(before);
            assert!(grown < MEMORY_LEN_MAX, "{grown} bytes for one lazy client");
            for serial in 0..CALL_COUNT {
                assert_eq!(lazy.receive().unwrap().head, call(serial).reply(OK));
            }
        });
        assert_eq!(lazy.list_all(), ["lo"]);
    });
}

#[test]
fn five_hundred_clients_are_served_at_a_time() {
    in_namespace(|| {
        let daemon = Daemon::start();
        let _first = RawClient::open();
        let count = daemon.descriptor_count();
        let mut crowd: Vec<_> = (0..500).map(|_| RawClient::open()).collect();
        for client in &mut crowd {
            assert_eq!(client.list_all(), ["lo"]);
        }
        drop(crowd);
        eventually("all that left are closed", || daemon.descriptor_count() == count);
    });
}
