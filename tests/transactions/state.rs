// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a sequence has come to, what can be done next, and what must hold then.

use std::time::Duration;

use simulation::value_daemon::ValueDaemon;
use simulation::view::{View, difference};
use virtinterfaced::error::{CallError, ErrorCode};
use virtinterfaced::model::name::IfName;
use virtinterfaced::proto::interface::InterfaceCall;

use crate::by_hand;
use crate::scenes::Scene;

/// How long a change may be open.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What can be done.
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
    daemon: ValueDaemon,
    /// How the host was when the open change began.
    then: Option<View>,
    /// How often somebody has used an editor, or `ip`.
    edits: usize,
    hands: usize,
}

impl State {
    pub(crate) fn new(scene: &Scene) -> Self {
        let mut kernel = scene.host.parse().unwrap_or_else(|err| panic!("{}: {err}", scene.name));
        scene.files.put(&mut kernel);
        let daemon = ValueDaemon::new(kernel, Some(TIMEOUT));
        Self { scene: scene.name, daemon, then: None, edits: 0, hands: 0 }
    }

    fn scene(&self) -> &'static Scene {
        Scene::named(self.scene)
    }

    /// Does one thing, and sees that it does what it is to do, and no more.
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
            Op::Rollback | Op::Deadline if is_open => self.check_back(outcome, label),
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

    /// What is left open is rolled back.
    pub(crate) fn end(mut self, label: &str) {
        if self.then.is_none() {
            return;
        }
        let mut rebooted = self.clone();
        let outcome = self.perform(Op::Rollback);
        self.check_back(outcome, &format!("{label}, then a rollback"));
        let files = rebooted.then.as_ref().unwrap().files.clone();
        let outcome = rebooted.daemon.reboot(rebooted.scene().host.parse().unwrap());
        assert_eq!(outcome, Ok(()), "{label}, then a reboot");
        assert_eq!(rebooted.daemon.kernel.files(), &files, "{label}, then a reboot");
        assert!(rebooted.daemon.opening().is_none(), "{label}, then a reboot");
    }

    /// Kills the daemon behind each action of what this would do, and in the middle of it. Tells how many
    /// deaths that are.
    pub(crate) fn die_at_each_step(&self, op: Op, label: &str) -> usize {
        let acts = match op {
            Op::Define | Op::Undefine | Op::Create | Op::Destroy => true,
            Op::Begin => self.then.is_none(),
            Op::Commit | Op::Rollback | Op::Deadline => self.then.is_some(),
            Op::EditByHand | Op::Ip | Op::Kill => false,
        };
        if !acts {
            return 0;
        }
        let mut deaths = 0;
        loop {
            let mut dying = self.clone();
            dying.daemon.kill_after(deaths);
            let _ = dying.perform(op);
            if !dying.daemon.is_dead() {
                // There are no more steps, or nothing is to be done.
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

    /// Starts the daemon again that was killed in what `before` was to become. Every other time it is
    /// also started too late, or killed in the middle of that once more.
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
            // A file that is half written is told of, and nothing has followed from it.
            if err.message().ends_with("Bad message") { Ok(()) } else { Err(err) }
        });
        match op {
            // The client has no answer: it is open, or it is not.
            Op::Begin | Op::Commit => {
                assert_eq!(outcome, Ok(()), "{label}");
                let is_open = self.daemon.opening().is_some();
                self.then = if op == Op::Begin { Some(self.view()) } else { before.then.clone() };
                self.then = self.then.filter(|_| is_open);
                self.assert_same(before, label);
                assert!(self.daemon.is_tidy(), "{label}");
            }
            // So it was before the first action.
            Op::Rollback if step == 0 && self.daemon.opening().is_some() => {
                assert_eq!(outcome, Ok(()), "{label}");
                self.assert_same(before, label);
            }
            Op::Rollback | Op::Deadline => self.check_back(outcome, label),
            _ if self.then.is_some() => {
                let mut done = before.clone();
                let _ = done.perform(op);
                let is_done = !is_undone && self.settled() == done.settled();
                // Without a journal nothing has begun, or all is done and the client was not told.
                let want = if is_done { done.settled() } else { before.settled() };
                self.check(&want, outcome, &format!("{label}, undone or done"));
                assert!(self.daemon.opening().is_some(), "{label}: it stays open");
                assert!(self.daemon.is_tidy(), "{label}");
            }
            _ => assert_eq!(outcome, Ok(()), "{label}"),
        }
        self
    }

    /// Does it, and gives DHCP servers the time to answer.
    fn perform(&mut self, op: Op) -> Result<(), CallError> {
        let outcome = self.make(op);
        self.daemon.kernel.settle();
        outcome
    }

    /// Makes the calls of this scene, or does what is not the daemon's to do.
    fn make(&mut self, op: Op) -> Result<(), CallError> {
        let scene = self.scene();
        let flags = 0;
        let named = |names: &[&str], call: fn(String) -> InterfaceCall| {
            names.iter().map(|name| call((*name).to_owned())).collect::<Vec<_>>()
        };
        let calls = match op {
            Op::Begin => vec![InterfaceCall::ChangeBegin { flags }],
            Op::Commit => vec![InterfaceCall::ChangeCommit { flags }],
            Op::Rollback => vec![InterfaceCall::ChangeRollback { flags }],
            Op::Define => named(scene.define, |xml| InterfaceCall::DefineXml { xml, flags: 0 }),
            Op::Undefine => named(scene.undefine, |name| InterfaceCall::Undefine { name }),
            Op::Create => named(scene.create, |name| InterfaceCall::Create { name, flags: 0 }),
            Op::Destroy => named(scene.destroy, |name| InterfaceCall::Destroy { name, flags: 0 }),
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
        // The first of them that is not refused.
        let mut outcome = Ok(());
        for call in calls {
            outcome = self.daemon.call(&call);
            if outcome.is_ok() || self.daemon.is_dead() {
                break;
            }
        }
        outcome
    }

    fn assert_same(&self, before: &Self, label: &str) {
        let (before, now) = (before.view().text, self.view().text);
        assert!(now == before, "{label}:\n{}", difference(&before, &now));
    }

    /// The open change is rolled back, and over.
    fn check_back(&mut self, outcome: Result<(), CallError>, label: &str) {
        let then = self.then.take().unwrap();
        self.check(&then, outcome, label);
        assert!(self.daemon.opening().is_none(), "{label}: it is over");
        assert!(self.daemon.is_tidy(), "{label}");
    }

    /// The host is as it was, but for what the scene says.
    fn check(&mut self, then: &View, outcome: Result<(), CallError>, label: &str) {
        self.daemon.kernel.settle();
        let now = self.view();
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

    fn settled(&self) -> View {
        let mut state = self.clone();
        state.daemon.kernel.settle();
        state.view()
    }

    fn view(&self) -> View {
        View::of(&self.daemon.kernel)
    }
}
