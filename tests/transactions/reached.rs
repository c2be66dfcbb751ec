// SPDX-License-Identifier: LGPL-2.1-or-later
//! The state that a sequence has reached, the operations that can follow, and the checks after
//! each.

use std::time::Duration;

use simulation::value_daemon::ValueDaemon;
use simulation::view::{View, difference};
use virtinterfaced::change::request::RequestedCall;
use virtinterfaced::definitions::files::FilePath;
use virtinterfaced::error::{CallError, ErrorCode};
use virtinterfaced::model::name::IfName;
use virtinterfaced::proto::interface::{ChangeCall, TransactionCall};
use virtinterfaced::snapshot::files::KeptFile;

use crate::by_hand;
use crate::scenes::Scene;

/// The `change_timeout`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An operation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Op {
    Begin,
    Commit,
    Rollback,
    Define,
    Undefine,
    Create,
    Destroy,
    EditByHand,
    Ip,
    Kill,
    Deadline,
}

impl Op {
    pub(crate) const ALL: [Self; 11] = [
        Self::Begin,
        Self::Commit,
        Self::Rollback,
        Self::Define,
        Self::Undefine,
        Self::Create,
        Self::Destroy,
        Self::EditByHand,
        Self::Ip,
        Self::Kill,
        Self::Deadline,
    ];
}

/// A host and its daemon.
#[derive(Clone, Debug)]
pub(crate) struct State {
    scene: &'static str,
    pub(crate) daemon: ValueDaemon,
    /// The host at the beginning of the open transaction.
    pub(crate) then: Option<View>,
    /// How many times files were edited and `ip` was used.
    edits: usize,
    hands: usize,
}

impl State {
    pub(crate) fn new(scene: &Scene) -> Self {
        let mut kernel = scene.host.parse().unwrap_or_else(|err| panic!("{}: {err}", scene.name));
        scene.files.put(&mut kernel);
        let daemon = ValueDaemon::with_backend(kernel, Some(TIMEOUT), scene.format.backend());
        Self { scene: scene.name, daemon, then: None, edits: 0, hands: 0 }
    }

    fn scene(&self) -> &'static Scene {
        Scene::named(self.scene)
    }

    /// Performs an operation and checks that it has its effects and no others.
    pub(crate) fn apply(&mut self, op: Op, label: &str) {
        let before = self.clone();
        let outcome = self.perform(op);
        let is_open = before.then.is_some();
        match op {
            Op::Begin if !is_open => {
                assert_eq!(outcome, Ok(()), "{label}");
                self.then = Some(self.view());
                self.assert_same(&before, label);
            }
            Op::Commit if is_open => {
                assert_eq!(outcome, Ok(()), "{label}");
                self.then = None;
                self.assert_same(&before, label);
            }
            Op::Rollback | Op::Deadline if is_open => {
                self.check_copies(&before, label);
                self.check_back(outcome, label);
            }
            Op::Begin | Op::Commit | Op::Rollback => {
                let code = outcome.as_ref().map_err(CallError::code);
                assert_eq!(code, Err(ErrorCode::OperationInvalid), "{label}: {outcome:?}");
                self.assert_same(&before, label);
            }
            Op::Kill | Op::Deadline => {
                assert_eq!(outcome, Ok(()), "{label}");
                self.assert_same(&before, label);
            }
            _ => {}
        }
        assert_eq!(self.daemon.opening().is_some(), self.then.is_some(), "{label}");
        assert!(self.daemon.is_tidy(), "{label}: {:?}", self.daemon);
    }

    /// Rolls back a transaction that is still open.
    pub(crate) fn end(mut self, label: &str) {
        if self.then.is_none() {
            return;
        }
        let mut rebooted = self.clone();
        let outcome = self.perform(Op::Rollback);
        self.check_back(outcome, &format!("{label}, then a rollback"));
        let then = rebooted.then.clone().unwrap();
        let outcome = rebooted.daemon.reboot(rebooted.scene().host.parse().unwrap());
        assert_eq!(outcome, Ok(()), "{label}, then a reboot");
        assert_eq!(rebooted.view_beside(&then).files, then.files, "{label}, then a reboot");
        assert!(rebooted.daemon.opening().is_none(), "{label}, then a reboot");
    }

    /// Kills the daemon after each action of an operation and in the middle of each write, and
    /// checks the next start. Returns the number of kills.
    pub(crate) fn die_at_each_step(&self, op: Op, label: &str) -> usize {
        if !self.acts(op) {
            return 0;
        }
        let mut deaths = 0;
        loop {
            let mut dying = self.clone();
            dying.daemon.kill_after(deaths);
            let _ = dying.perform(op);
            if !dying.daemon.is_dead() {
                // The operation has no more actions.
                return deaths;
            }
            if dying.daemon.has_died_writing() {
                let mut torn = self.clone();
                torn.daemon.tear(deaths);
                let _ = torn.perform(op);
                torn.restart(self, op, deaths, &format!("{label}, killed in action {deaths}"));
            }
            dying.come_back(self, op, deaths, &format!("{label}, killed after action {deaths}"));
            deaths += 1;
        }
    }

    /// Whether the daemon acts on an operation in this state.
    pub(crate) fn acts(&self, op: Op) -> bool {
        match op {
            Op::Define | Op::Undefine | Op::Create | Op::Destroy => true,
            Op::Begin => self.then.is_none(),
            Op::Commit | Op::Rollback | Op::Deadline => self.then.is_some(),
            Op::EditByHand | Op::Ip | Op::Kill => false,
        }
    }

    /// Starts a daemon that was killed during `op`. For every other action, also tests a start
    /// after the deadline; for the rest, a second kill during recovery.
    fn come_back(self, before: &Self, op: Op, step: usize, label: &str) {
        let mut other = self.clone();
        self.restart(before, op, step, label);
        if matches!(op, Op::Begin | Op::Commit) {
            return;
        }
        if step % 2 == 0 {
            let label = format!("{label}, started too late");
            other.daemon.let_pass(TIMEOUT);
            let outcome = other.daemon.restart();
            if other.then.is_some() {
                other.check_back(outcome, &label);
            }
        } else {
            let label = format!("{label}, twice");
            other.daemon.kill_after(step / 2);
            let _ = other.daemon.restart();
            let back = other.restart(before, op, step, &label);
            back.end(&label);
        }
    }

    fn restart(mut self, before: &Self, op: Op, step: usize, label: &str) -> Self {
        let is_undone = self.daemon.has_journal();
        let outcome = self.daemon.restart().or_else(|err| {
            // A half-written file is reported, and has had no effect.
            if err.message().ends_with("Bad message") { Ok(()) } else { Err(err) }
        });
        match op {
            // No reply was sent: the transaction is either open or not.
            Op::Begin | Op::Commit => {
                assert_eq!(outcome, Ok(()), "{label}");
                let is_open = self.daemon.opening().is_some();
                self.then = if op == Op::Begin { Some(self.view()) } else { before.then.clone() };
                self.then = self.then.filter(|_| is_open);
                self.assert_same(before, label);
                assert!(self.daemon.is_tidy(), "{label}");
            }
            // The first action had not been performed yet.
            Op::Rollback if step == 0 && self.daemon.opening().is_some() => {
                assert_eq!(outcome, Ok(()), "{label}");
                self.assert_same(before, label);
            }
            Op::Rollback | Op::Deadline => self.check_back(outcome, label),
            _ if self.then.is_some() => {
                let mut done = before.clone();
                let _ = done.perform(op);
                let is_done = !is_undone && self.settled() == done.settled();
                // Without a journal, either nothing was begun, or all was done and only the reply
                // was lost.
                let want = if is_done { done.settled() } else { before.settled() };
                self.check(&want, outcome, &format!("{label}, undone or done"));
                assert!(self.daemon.opening().is_some(), "{label}: it stays open");
                assert!(self.daemon.is_tidy(), "{label}");
            }
            _ => assert_eq!(outcome, Ok(()), "{label}"),
        }
        self
    }

    /// Performs an operation, and gives DHCP servers time to answer.
    pub(crate) fn perform(&mut self, op: Op) -> Result<(), CallError> {
        let outcome = self.make(op);
        self.daemon.kernel.settle();
        outcome
    }

    /// Makes the calls of this scene, or performs what others do to the host.
    fn make(&mut self, op: Op) -> Result<(), CallError> {
        let scene = self.scene();
        let flags = 0;
        let named = |names: &[&str], call: fn(String) -> ChangeCall| {
            let calls = names.iter().map(|name| RequestedCall::from(call((*name).to_owned())));
            calls.collect::<Vec<_>>()
        };
        let calls = match op {
            Op::Begin => vec![TransactionCall::Begin { flags }.into()],
            Op::Commit => vec![TransactionCall::Commit { flags }.into()],
            Op::Rollback => vec![TransactionCall::Rollback { flags }.into()],
            Op::Define => named(scene.define, |xml| ChangeCall::DefineXml { xml, flags: 0 }),
            Op::Undefine => named(scene.undefine, |name| ChangeCall::Undefine { name }),
            Op::Create => named(scene.create, |name| ChangeCall::Create { name, flags: 0 }),
            Op::Destroy => named(scene.destroy, |name| ChangeCall::Destroy { name, flags: 0 }),
            Op::EditByHand => {
                let edit = &scene.edits[self.edits % scene.edits.len()];
                edit.put(&mut self.daemon.kernel);
                self.edits += 1;
                return Ok(());
            }
            Op::Ip => {
                let lines = scene.by_hand[self.hands % scene.by_hand.len()];
                lines.iter().for_each(|line| by_hand::perform(&mut self.daemon.kernel, line));
                self.hands += 1;
                return self.daemon.pass(Duration::from_secs(5));
            }
            Op::Kill => return self.daemon.restart(),
            Op::Deadline => return self.daemon.pass(TIMEOUT),
        };
        // The first call that is not refused counts.
        let mut outcome = Ok(());
        for call in calls {
            outcome = self.daemon.call(&call);
            if outcome.is_ok() || self.daemon.is_dead() || self.daemon.has_failed() {
                break;
            }
        }
        outcome
    }

    pub(crate) fn assert_same(&self, before: &Self, label: &str) {
        let (before, now) = (before.view().text, self.view().text);
        assert!(now == before, "{label}:\n{}", difference(&before, &now));
    }

    /// Checks that the rollback has kept the definition files that it replaced or removed.
    fn check_copies(&self, before: &Self, label: &str) {
        let now = self.daemon.kernel.files();
        for (path, file) in before.daemon.kernel.files().iter() {
            let is_lost = now.get(path).and_then(KeptFile::content) != file.content();
            let is_kept = self.daemon.copy(path) == file.content();
            assert!(is_kept || !is_lost, "{label}: the copy of {path:?}");
        }
    }

    /// Checks that the open transaction was rolled back and is closed.
    pub(crate) fn check_back(&mut self, outcome: Result<(), CallError>, label: &str) {
        let then = self.then.take().unwrap();
        self.check(&then, outcome, label);
        assert!(self.daemon.opening().is_none(), "{label}: it is over");
        assert!(self.daemon.is_tidy(), "{label}");
    }

    /// Checks that the host is restored, except what the scene permits to be lost.
    fn check(&mut self, then: &View, outcome: Result<(), CallError>, label: &str) {
        self.daemon.kernel.settle();
        let now = self.view_beside(then);
        let lost = self.scene().lost;
        let is_new = |guest: &&IfName| !then.guests.contains_key(*guest);
        let new: Vec<_> = now.guests.keys().filter(is_new).map(IfName::as_str).collect();
        let apart = [lost, &new].concat();
        match &outcome {
            Ok(()) => {}
            Err(err) if lost.iter().any(|name| err.message().contains(name)) => {}
            Err(err) => panic!("{label}: {}\n{}", err.message(), difference(&then.text, &now.text)),
        }
        assert_eq!(now.files, then.files, "{label}: the files");
        let (want, found) = (then.without(&apart), now.without(&apart));
        assert!(found == want, "{label}: {outcome:?}\n{}", difference(&want, &found));
        for (guest, bridge) in &then.guests {
            let is_lost = bridge.is_some_and(|bridge| lost.contains(&bridge.as_str()));
            assert!(is_lost || now.guests.get(guest) == Some(bridge), "{label}: {guest} is there");
        }
    }

    pub(crate) fn settled(&self) -> View {
        let mut state = self.clone();
        state.daemon.kernel.settle();
        state.view()
    }

    /// The host without the files that were made since and that define nothing, as no definition
    /// file includes them: they are the administrator's.
    fn view_beside(&self, then: &View) -> View {
        let mut kernel = self.daemon.kernel.clone();
        let definitions = self.daemon.definition_files();
        let is_strange =
            |path: &&FilePath| !then.files.contains_key(path) && !definitions.owns(path);
        let strange: Vec<_> = kernel.files().keys().filter(is_strange).cloned().collect();
        strange.into_iter().for_each(|path| kernel.put_file(path, None));
        View::of(&kernel)
    }

    pub(crate) fn view(&self) -> View {
        View::of(&self.daemon.kernel)
    }
}
