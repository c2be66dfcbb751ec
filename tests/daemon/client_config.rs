// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt.conf and the environment, for a client that opens an alias or no URI.

use std::fs;
use std::path::Path;

use crate::support::client::RawClient;
use crate::support::command::command;
use crate::support::daemon::{Daemon, daemon_command};
use crate::support::namespace::{in_namespace, skip};
use crate::support::wire::{Arg, Reply, procedure};

const FILE: &str = "/etc/libvirt/libvirt.conf";

/// Runs `test` with the file, if it can be written: a package creates its directory.
fn with_file(text: &str, test: impl FnOnce()) {
    if !Path::new("/etc/libvirt").exists() {
        return skip("there is no /etc/libvirt to lay a tmpfs over");
    }
    fs::write(FILE, text).unwrap();
    test();
}

fn open(name: &str) -> Reply {
    let mut client = RawClient::connect();
    client.call(procedure::CONNECT_OPEN, &[Arg::Some(name), Arg::Word(0)])
}

#[test]
fn an_alias_and_nothing_open_what_the_file_says_now() {
    in_namespace(|| {
        with_file("uri_aliases = [ 'here=interface:///system' ]\n", || {
            let _daemon = Daemon::start();
            open("here").results();
            let none = "no connection driver available for <null>";
            assert_eq!(open("").fault().message, none);
            fs::write(FILE, "uri_default = 'interface:///system'\n").unwrap();
            open("").results();
            assert!(open("here").fault().message.contains("does not include a driver name"));
        });
    });
}

#[test]
fn the_environment_goes_before_the_file() {
    in_namespace(|| {
        with_file("uri_default = 'qemu:///system'\n", || {
            let mut command = daemon_command();
            let _daemon =
                Daemon::start_with(command.env("LIBVIRT_DEFAULT_URI", "interface:///system"));
            open("").results();
        });
    });
}

#[test]
fn a_bad_file_a_huge_one_and_a_pipe_do_not_stop_clients() {
    in_namespace(|| {
        with_file("", || {
            let _daemon = Daemon::start();
            let none = "no connection driver available for <null>";
            for text in ["uri_default = \n".to_owned(), "#".repeat(70_000)] {
                fs::write(FILE, text).unwrap();
                assert_eq!(open("").fault().message, none);
            }
            fs::remove_file(FILE).unwrap();
            command("mkfifo").arg(FILE).status().unwrap();
            assert_eq!(open("").fault().message, none);
            assert_eq!(RawClient::open().list_all(), ["lo"]);
        });
    });
}

#[test]
fn a_fault_of_the_file_is_logged_once_for_all_clients() {
    in_namespace(|| {
        with_file("uri_default = \n", || {
            let daemon = Daemon::start();
            let faults = || daemon.stderr().matches("libvirt.conf:").count();
            (0..20).for_each(|_| drop(open("")));
            assert_eq!(faults(), 1, "{}", daemon.stderr());
            fs::write(FILE, "\nuri_default = \n").unwrap();
            (0..20).for_each(|_| drop(open("")));
            assert_eq!(faults(), 2, "another fault: {}", daemon.stderr());
            fs::write(FILE, "").unwrap();
            open("");
            fs::write(FILE, "\nuri_default = \n").unwrap();
            (0..20).for_each(|_| drop(open("")));
            assert_eq!(faults(), 3, "it has come back: {}", daemon.stderr());
        });
    });
}
