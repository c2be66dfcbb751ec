// SPDX-License-Identifier: LGPL-2.1-or-later
//! Transactions on hosts and a daemon made of values: all sequences of up to four operations by
//! clients, administrators and chance, on several hosts.
//!
//! In any state: a rollback restores the bytes, mode and owner of each file, the network, and
//! guests' places on their bridges; begin, commit and rollback in the wrong state are refused and
//! change nothing; a change that was committed, or made outside a transaction, is not undone. The
//! daemon is also killed after each action of each call and in the middle of writing each file, and
//! started again both at once and too late. Each file operation of each call fails, with and without
//! its effect, alone and with all that follow; and a check of each call refuses it.
//!
//! A rollback may legitimately change the indexes of recreated links, which no text here contains,
//! the lifetimes of leases and routes, and the links that a scene lists as lost.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and prints how much it tried"
)]

#[path = "transactions/by_hand.rs"]
mod by_hand;
#[path = "transactions/scenes.rs"]
mod scenes;
#[path = "transactions/reached.rs"]
mod reached;
#[path = "transactions/failures.rs"]
mod failures;

use std::collections::HashMap;
use std::rc::Rc;

use reached::{Op, State};
use scenes::Scene;

const SEQUENCE_LEN_MAX: usize = 4;

/// Sequences of one to four of eleven operations.
const SEQUENCE_COUNT: usize = 11 + 121 + 1331 + 14641;

#[test]
fn with_a_plain_nic() {
    try_all(&scenes::PLAIN);
}

#[test]
fn with_a_nic_that_is_pulled_out() {
    try_all(&scenes::PULLED);
}

#[test]
fn with_a_bridge_and_a_guest() {
    try_all(&scenes::BRIDGE);
}

#[test]
fn with_a_bridge_that_a_guest_comes_to() {
    try_all(&scenes::NEW_GUEST);
}

#[test]
fn with_a_bond_and_a_vlan() {
    try_all(&scenes::BOND);
}

#[test]
fn with_dhcp() {
    try_all(&scenes::DHCP);
}

#[test]
fn with_definitions_that_share_a_file() {
    try_all(&scenes::SHARED);
}

/// The states reached so far. The outcome of an operation depends only on the state, so each
/// operation is tried once in each state, however many sequences lead there.
struct Known<'a> {
    scene: &'a Scene,
    ids: HashMap<String, usize>,
    states: Vec<Rc<State>>,
    next: HashMap<(usize, Op), usize>,
    sequences: usize,
    deaths: usize,
    failures: usize,
}

fn try_all(scene: &Scene) {
    let (ids, states, next) = (HashMap::new(), Vec::new(), HashMap::new());
    let mut known = Known { scene, ids, states, next, sequences: 0, deaths: 0, failures: 0 };
    let first = known.enter(State::new(scene), scene.name);
    known.go_on(first, &mut Vec::new());
    let Known { sequences, states, next, deaths, failures, .. } = known;
    println!(
        "{}: {sequences} sequences; {} states, {} operations in them, {deaths} deaths, \
         {failures} failures",
        scene.name,
        states.len(),
        next.len()
    );
    for op in Op::ALL {
        let has_effect = next.iter().any(|((from, it), to)| *it == op && from != to);
        // A restart changes nothing here, as no call was interrupted.
        assert_eq!(has_effect, op != Op::Kill, "{}: {op:?}", scene.name);
    }
    assert_eq!(sequences, SEQUENCE_COUNT, "{}: all sequences", scene.name);
}

impl Known<'_> {
    /// The number of a state. Checks for a new state that a rollback restores the host.
    fn enter(&mut self, state: State, label: &str) -> usize {
        let states = &mut self.states;
        *self.ids.entry(format!("{state:?}")).or_insert_with(|| {
            state.clone().end(label);
            states.push(Rc::new(state));
            states.len() - 1
        })
    }

    /// Tries every operation in this state and, recursively, in those that follow.
    fn go_on(&mut self, from: usize, path: &mut Vec<Op>) {
        if path.len() == SEQUENCE_LEN_MAX {
            return;
        }
        for op in Op::ALL {
            path.push(op);
            self.sequences += 1;
            let next = match self.next.get(&(from, op)) {
                Some(next) => *next,
                None => {
                    let label = format!("{}: {path:?}", self.scene.name);
                    let state = self.try_one(&self.states[from].clone(), op, &label);
                    let next = self.enter(state, &label);
                    self.next.insert((from, op), next);
                    next
                }
            };
            self.go_on(next, path);
            path.pop();
        }
    }

    fn try_one(&mut self, from: &State, op: Op, label: &str) -> State {
        let mut to = from.clone();
        to.apply(op, label);
        self.deaths += from.die_at_each_step(op, label);
        self.failures += from.fail_at_each_file(op, label);
        from.hinder(op, label);
        to
    }
}
