// SPDX-License-Identifier: LGPL-2.1-or-later
//! A host with something of everything that a change could harm, its complete state as seen from
//! outside, and the calls that change it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{FOLDER, TWO_NICS, bridge, definition_file, ethernet, ip_json};
use crate::support::client::RawClient;
use crate::support::command::ip_batch;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::DIR;
use crate::support::wire::{Arg, Fault, procedure};
use crate::transaction::Tree;

/// How long the kernel and the daemon may need to settle.
const SETTLING_TIME: Duration = Duration::from_secs(20);

/// Everything that a change must not harm.
const NETWORK: &str = "\
link add eth2 address 52:54:00:00:00:03 type veth peer name far2
link set far0 address 52:54:00:00:01:01
link set far1 address 52:54:00:00:01:02
link set far2 address 52:54:00:00:01:03 up
link add br8 address 52:54:00:00:00:08 type bridge forward_delay 200
link set eth2 master br8 up
link set br8 up
link set eth0 up
link set eth1 up
address add 10.8.0.1/24 dev br8
address add 192.0.2.2/24 dev eth0
address add 192.0.2.3/24 dev eth0
address add 10.6.0.1/16 dev eth1
address add 2001:db8::2/64 dev eth0
route add default via 192.0.2.1 dev eth0
route add 203.0.113.0/24 via 192.0.2.9 dev eth0 src 192.0.2.3 mtu 1300
route add 10.88.0.0/16 via 10.8.0.9 dev br8
route add default via 2001:db8::1 dev eth0
";

/// The state of a host, as seen from outside.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tree: Tree,
    pub(crate) host: Snapshot,
}

/// Which of the two states was found.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Found {
    Old,
    New,
}

impl State {
    pub(crate) fn take() -> Self {
        Self { tree: Tree::take(), host: Snapshot::take() }
    }

    pub(crate) fn differences(&self, now: &Self, strictness: Strictness) -> Vec<String> {
        let mut found = self.host.differences(&now.host, strictness);
        if self.tree != now.tree {
            found.push(format!("files: {:?}, and now {:?}", self.tree, now.tree));
        }
        found
    }

    #[track_caller]
    pub(crate) fn assert_is_back(&self, label: &str) {
        settle(&[(Found::Old, self)], label);
    }
}

/// Waits until the host equals one of these states, and returns which.
#[track_caller]
pub(crate) fn settle(states: &[(Found, &State)], label: &str) -> Found {
    let deadline = Instant::now() + SETTLING_TIME;
    loop {
        let now = State::take();
        let mut all = String::new();
        for (found, state) in states {
            let differences = state.differences(&now, Strictness::AlikeLinks);
            if differences.is_empty() {
                return *found;
            }
            all += &format!("not {found:?}:\n{}\n", differences.join("\n"));
        }
        assert!(Instant::now() < deadline, "{label}:\n{all}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether the kernel has yet to notice a link's carrier, a port's state, or that an address is
/// unique.
fn is_settling(link: &Value) -> bool {
    let has = |name: &str| link["flags"].as_array().unwrap().iter().any(|flag| flag == name);
    let operstate = link["operstate"].as_str().unwrap();
    let is_noted = match has("UP") && has("LOWER_UP") {
        true => ["UP", "UNKNOWN"].contains(&operstate),
        false => operstate != "UP",
    };
    let port = link["linkinfo"]["info_slave_data"]["state"].as_str();
    let addresses = link["addr_info"].as_array().into_iter().flatten();
    let is_tentative = addresses.into_iter().any(|info| info["tentative"] == true);
    !is_noted
        || (has("LOWER_UP") && is_tentative)
        || port.is_some_and(|state| ["listening", "learning"].contains(&state))
}

pub(crate) fn await_settled() {
    eventually("the kernel has noted everything", || {
        !ip_json("address show").iter().any(is_settling)
    });
}

pub(crate) fn lay_out() {
    // Without duplicate address detection, addresses can be used at once.
    for of in ["all", "default"] {
        fs::write(format!("/proc/sys/net/ipv6/conf/{of}/accept_dad"), "0").unwrap();
    }
    ip_batch(TWO_NICS);
    ip_batch(NETWORK);
    fs::create_dir_all(FOLDER).unwrap();
    let file = definition_file("eth0");
    fs::write(&file, ethernet("eth0", &["192.0.2.2/24"], &["192.0.2.1"])).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    chown(&file, Some(0), Some(12)).unwrap();
    let elsewhere = format!("{DIR}/eth1");
    fs::write(&elsewhere, ethernet("eth1", &["10.6.0.1/16"], &[])).unwrap();
    symlink(&elsewhere, definition_file("eth1")).unwrap();
    fs::write(definition_file("br8"), bridge("br8", "", &["eth2"], &["10.8.0.1/24"])).unwrap();
    fs::write(definition_file("eth7"), "<interface type='eth").unwrap();
    await_settled();
}

pub(crate) fn try_call(
    client: &mut RawClient,
    procedure: i32,
    arguments: &[Arg<'_>],
) -> Option<Result<(), Fault>> {
    client.send_call(procedure, arguments);
    client.receive().map(|reply| reply.outcome())
}

pub(crate) fn try_begin(client: &mut RawClient) -> Option<Result<(), Fault>> {
    try_call(client, procedure::INTERFACE_CHANGE_BEGIN, &[Arg::Word(0)])
}

pub(crate) fn try_commit(client: &mut RawClient) -> Option<Result<(), Fault>> {
    try_call(client, procedure::INTERFACE_CHANGE_COMMIT, &[Arg::Word(0)])
}

pub(crate) fn try_roll_back(client: &mut RawClient) -> Option<Result<(), Fault>> {
    try_call(client, procedure::INTERFACE_CHANGE_ROLLBACK, &[Arg::Word(0)])
}

#[track_caller]
pub(crate) fn done(outcome: Option<Result<(), Fault>>) {
    outcome.expect("an answer").unwrap();
}
