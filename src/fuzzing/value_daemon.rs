// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`ValueDaemon`]: the daemon's way with changes, on a kernel, a disk and a clock made of values.
//!
//! Handlers decide, plans are carried out step by step, and what is open outlives the daemon as bytes,
//! as in `server::jobs` and `server::transaction`. It can be killed before any step, and started again.

use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::backend::native;
use crate::change::decision::{Change, Transaction};
use crate::change::job::StepError;
use crate::change::rollback::{
    self, Found, Here, Next, Parts, Recovery, Resumption, Rollback, Scope,
};
use crate::change::transaction::Status;
use crate::definitions::Definitions;
use crate::error::CallError;
use crate::faults;
use crate::fuzzing::value_kernel::ValueKernel;
use crate::fuzzing::view::difference;
use crate::handler::{self, Answer, Outcome, Question, World};
use crate::host::record::HostRecord;
use crate::model::client::{Access, ClientState, Entrance, Opened, Privilege};
use crate::model::name::IfName;
use crate::plan::Plan;
use crate::plan::step::Step;
use crate::proto::Call;
use crate::proto::interface::InterfaceCall;
use crate::snapshot::{Files, KeptFile, Moment, Network, Opening, Snapshot};

/// Some instant to count from. The same for all runs: what happens never depends on it.
static START: LazyLock<Instant> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "no loop reads the clock here")]
    Instant::now()
});

/// A daemon and its host.
#[derive(Clone, Debug)]
pub struct ValueDaemon {
    pub kernel: ValueKernel,
    /// How long a change may be open.
    timeout: Option<Duration>,
    now: Moment,
    folder: Folder,
    opening: Option<Opening>,
    fate: Fate,
}

/// The folder of the open change: the bytes of its files.
#[derive(Clone, Debug, Default)]
struct Folder {
    change: Option<Vec<u8>>,
    rollback: Option<Vec<u8>>,
    journal: Option<Vec<u8>>,
}

/// What becomes of the next call's steps.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Fate {
    #[default]
    Done,
    /// One of them is refused, if there are that many before it.
    Refused(usize),
    /// The daemon is killed when it has done that many.
    Killed(usize),
}

/// What a handler wants.
#[derive(Debug)]
pub enum Decision {
    Change(Box<Change>),
    Transact(Transaction),
}

impl ValueDaemon {
    /// A daemon that has just started, in a boot of its own.
    pub fn new(kernel: ValueKernel, timeout: Option<Duration>) -> Self {
        let now = Moment { boot: "boot-1".to_owned(), since_boot: Duration::from_secs(1000) };
        let (folder, opening, fate) = (Folder::default(), None, Fate::Done);
        Self { kernel, timeout, now, folder, opening, fate }
    }

    /// The change that is open.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref()
    }

    /// Whether its folder has nothing more in it than the open change, if there is one.
    pub fn is_tidy(&self) -> bool {
        let Folder { change, rollback, journal } = &self.folder;
        change.is_some() == self.opening.is_some() && rollback.is_none() && journal.is_none()
    }

    /// One step of the next call is refused, if that many come before it.
    pub fn refuse(&mut self, step: usize) {
        self.fate = Fate::Refused(step);
    }

    /// The daemon is killed in the next call, when it has done so many steps of it.
    pub fn kill_after(&mut self, step: usize) {
        self.fate = Fate::Killed(step);
    }

    /// Makes a call, as the loop would: nothing, or why it changes nothing.
    ///
    /// # Errors
    /// As the client would read it; something if the daemon was killed.
    pub fn call(&mut self, call: &InterfaceCall) -> Result<(), CallError> {
        let outcome = match self.decide(call) {
            Ok(Decision::Change(change)) => self.change(*change),
            Ok(Decision::Transact(Transaction::Begin)) => {
                self.begin();
                Ok(())
            }
            Ok(Decision::Transact(Transaction::Commit)) => {
                self.folder.change = None;
                self.opening = None;
                Ok(())
            }
            Ok(Decision::Transact(Transaction::Rollback)) => self.roll_back(),
            Err(err) => Err(err),
        };
        self.fate = match self.fate {
            Fate::Killed(left) => Fate::Killed(left),
            Fate::Done | Fate::Refused(_) => Fate::Done,
        };
        outcome
    }

    /// What the handlers make of a call.
    ///
    /// # Errors
    /// They refuse it.
    #[expect(clippy::panic, reason = "an answer to no question")]
    pub fn decide(&self, call: &InterfaceCall) -> Result<Decision, CallError> {
        let (host, definitions) = (self.kernel.host(), self.definitions());
        let world = World {
            privilege: Privilege::System,
            host: &host,
            definitions: &definitions,
            change: self.opening.as_ref().map_or(Status::Closed { last: None }, Status::Open),
        };
        let opened = Some(Opened { uri: String::new(), access: Access::ReadWrite });
        let client = ClientState { opened, ..ClientState::new(Entrance::ReadWrite) };
        let call = Call::Interface(call.clone());
        let mut answer = None;
        loop {
            match handler::handle(&call, &client, &world, answer.as_ref()) {
                Outcome::Change(change) => return Ok(Decision::Change(Box::new(change))),
                Outcome::Transact(transaction) => return Ok(Decision::Transact(transaction)),
                Outcome::Ask(Question::Survey(order)) if answer.is_none() => {
                    answer = Some(Answer::Survey(self.kernel.survey(&order)));
                }
                Outcome::Ask(question) => panic!("{call:?} asks {question:?}"),
                Outcome::Done(Ok(reply)) => panic!("{call:?}: {reply:?} without a change"),
                Outcome::Done(Err(err)) => return Err(err),
            }
        }
    }

    /// What the files define.
    pub fn definitions(&self) -> Definitions {
        let entry = |(name, file): (&IfName, &KeptFile)| match file {
            KeptFile::File { bytes, .. } => {
                Some((*name, native::read(*name, bytes.clone(), native::parse)))
            }
            // It leads nowhere, or cannot be read.
            KeptFile::Link(_) | KeptFile::Unread => None,
        };
        self.kernel.files().iter().filter_map(entry).collect()
    }

    /// The daemon is killed, if it is not dead already, and started again. It may be killed again in what
    /// it does at first.
    ///
    /// # Errors
    /// What was to be rolled back or undone could not be, or not whole.
    pub fn restart(&mut self) -> Result<(), CallError> {
        if self.is_dead() {
            self.fate = Fate::Done;
        }
        let outcome = self.recover();
        if !self.is_dead() {
            self.fate = Fate::Done;
        }
        outcome
    }

    /// Goes on with what an earlier daemon has left.
    fn recover(&mut self) -> Result<(), CallError> {
        self.opening = None;
        self.kernel.discard_leftovers();
        let Folder { change, rollback, journal } = &self.folder;
        let read = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(read);
        let (rollback, journal) = (read(rollback), read(journal));
        let change = read(change).filter(|_| rollback.is_none());
        let found = Found { rollback, change, journal };
        match rollback::resume(found, Recovery::Whole, &self.now) {
            Resumption::Nothing => self.folder.journal = None,
            Resumption::Open(change) => self.opening = Some(change.opening),
            Resumption::UndoJob { change, journal } => {
                self.opening = Some(change.opening);
                let outcome = self.go_back(*journal);
                if !self.is_dead() {
                    self.folder.journal = None;
                }
                outcome?;
            }
            Resumption::RollBack(change) => {
                self.opening = Some(change.opening);
                self.folder.journal = None;
                self.roll_back()?;
            }
        }
        Ok(())
    }

    /// Power is lost: another boot begins, with a network that somebody else has set up by now.
    ///
    /// # Errors
    /// As for [`ValueDaemon::restart`].
    pub fn reboot(&mut self, network: ValueKernel) -> Result<(), CallError> {
        let files = self.kernel.files().clone();
        self.kernel = network;
        let strange: Vec<_> = self.kernel.files().keys().copied().collect();
        strange.into_iter().for_each(|name| self.kernel.put_file(name, None));
        files.into_iter().for_each(|(name, file)| self.kernel.put_file(name, Some(file)));
        self.now = Moment { boot: "boot-2".to_owned(), since_boot: Duration::from_secs(5000) };
        self.restart()
    }

    /// Time passes. A daemon that runs looks at the deadline.
    ///
    /// # Errors
    /// The change that was to be rolled back could not be, or not whole.
    pub fn pass(&mut self, time: Duration) -> Result<(), CallError> {
        self.let_pass(time);
        let is_over =
            self.opening.as_ref().is_some_and(|opening| opening.is_over(self.now.since_boot));
        if is_over { self.roll_back() } else { Ok(()) }
    }

    /// Time passes while nobody looks.
    pub fn let_pass(&mut self, time: Duration) {
        self.now.since_boot += time;
    }

    fn begin(&mut self) {
        let at = self.now.since_boot;
        let deadline = self.timeout.map(|timeout| at + timeout);
        let opening = Opening { boot: self.now.boot.clone(), at, deadline, ..Opening::default() };
        let snapshot = self.snapshot(opening.clone());
        self.folder.change = Some(snapshot.encode());
        self.opening = Some(opening);
    }

    fn snapshot(&self, opening: Opening) -> Snapshot {
        let definitions = self.definitions();
        let members = definitions.iter().flat_map(|it| it.members()).collect();
        let leases = self.kernel.clients().to_vec();
        let foreign = self.kernel.foreign_clients().to_vec();
        let network = Network { foreign, ..Network::new(self.kernel.record(), &members, leases) };
        Snapshot { opening, files: self.files(), network: Some(network) }
    }

    fn files(&self) -> Files {
        self.kernel.files().clone()
    }

    fn change(&mut self, change: Change) -> Result<(), CallError> {
        let Change { plan, failure, .. } = change;
        if let Some(opening) = self.opening.clone() {
            let is_of_files = |step: &Step| matches!(step, Step::EditFile(_));
            let mut journal = self.snapshot(opening);
            if plan.steps.iter().all(|planned| is_of_files(&planned.step)) {
                journal.network = None;
            }
            self.folder.journal = Some(journal.encode());
        }
        let before = self.kernel.to_string();
        let text = plan.to_string();
        let fate = &mut self.fate;
        let outcome = self.kernel.carry_out(plan, *START, &mut |step| fate.befall(step));
        if self.is_dead() {
            return Err(killed());
        }
        self.folder.journal = None;
        let Err(err) = outcome else { return Ok(()) };
        let label = || format!("{err}\n{text}");
        // What we refuse to undo, and what hangs on it, remains.
        let is_ours = err.remains.first().is_some_and(|(_, error)| error.errno == 0);
        assert!(is_ours || err.remains.is_empty(), "{}", label());
        let after = self.kernel.to_string();
        let is_undone = is_ours || after == before;
        assert!(is_undone, "{}{}", label(), difference(&before, &after));
        Err(faults::host(format!("{failure}: {err}"), 0))
    }

    /// Goes back to when the open change began.
    fn roll_back(&mut self) -> Result<(), CallError> {
        if let Some(change) = self.folder.change.take() {
            self.folder.rollback = Some(change);
        }
        let snapshot = self.folder.rollback.as_deref().map(read).unwrap_or_default();
        let outcome = self.go_back(snapshot);
        if self.is_dead() {
            return Err(killed());
        }
        // What could not be used to the end is put aside.
        self.folder.rollback = None;
        self.opening = None;
        outcome
    }

    fn go_back(&mut self, snapshot: Snapshot) -> Result<(), CallError> {
        let parts = Parts { network: true, files: true };
        let mut rollback = Rollback::new(Rc::new(snapshot), parts, &self.now);
        let mut refused = Vec::new();
        loop {
            if self.is_dead() {
                return Err(killed());
            }
            let at = rollback.snapshot().opening.at;
            let here = Here {
                files: Ok(self.files()),
                record: self.record(&rollback),
                leases: self.kernel.clients().to_vec(),
                foreign: Some(self.kernel.foreign_clients().to_vec()),
                elapsed: self.now.since_boot.saturating_sub(at),
            };
            let plan = match rollback.handle(here, &refused) {
                Next::Do(plan) => plan,
                Next::Arrive => return Ok(()),
                Next::GiveUp(remains) => {
                    return Err(faults::host(remains.to_string(), libc::EIO));
                }
            };
            refused = self.carry_out_what_can_be(plan);
        }
    }

    fn record(&self, rollback: &Rollback) -> HostRecord {
        match rollback.scope() {
            Scope::Nothing => HostRecord::default(),
            Scope::Host => self.kernel.record(),
            Scope::Links(links) => self.kernel.record().only(links),
        }
    }

    fn carry_out_what_can_be(&mut self, plan: Plan) -> Vec<(Step, StepError)> {
        let fate = &mut self.fate;
        self.kernel.carry_out_what_can_be(plan, *START, &mut |step| fate.befall(step))
    }

    /// Whether it was killed in the last call.
    pub fn is_dead(&self) -> bool {
        self.fate == Fate::Killed(0)
    }
}

impl Fate {
    /// What becomes of one step. What is done after the death is not done.
    fn befall(&mut self, step: &Step) -> Option<StepError> {
        let error = || Some(StepError::other(format!("no {step}")));
        match self {
            Self::Done => None,
            Self::Refused(0) => {
                *self = Self::Done;
                error()
            }
            Self::Killed(0) => error(),
            Self::Refused(left) | Self::Killed(left) => {
                // A lease is not done, but comes.
                if !matches!(step, Step::WaitFor(_)) {
                    *left -= 1;
                }
                None
            }
        }
    }
}

/// What is written is read.
#[expect(clippy::expect_used, reason = "nobody else has written it")]
fn read(bytes: &[u8]) -> Snapshot {
    Snapshot::decode(bytes).expect("the bytes that were written")
}

fn killed() -> CallError {
    faults::host("killed".to_owned(), libc::EINTR)
}
