// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`ValueDaemon`]: the daemon's coordinator of changes, on a kernel, a disk and a clock made of
//! values.
//!
//! Its actions are performed one by one, as the loop performs them. The daemon can be killed after
//! any of them, or in the middle of writing a file, and started again.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::fate::Fate;
use crate::sample;
use crate::value_disk::{Disk, DiskFailure, DiskOutcome};
use crate::value_kernel::{LEASE_TIME, ValueKernel};
use crate::view::difference;
use virtinterfaced::backend::native::Native;
use virtinterfaced::backend::{Backend, DefinitionFiles};
use virtinterfaced::call_errors;
use virtinterfaced::change::action::{
    Action, Context, FileAction, Now, RecordAnswer, RecordScope, TransactionFile,
};
use virtinterfaced::change::decision::Decision;
use virtinterfaced::change::job::StepError;
use virtinterfaced::change::request::{Origin, Request, RequestedCall};
use virtinterfaced::change::rollback::Recovery;
use virtinterfaced::change::transaction::Status;
use virtinterfaced::change::{ChangeSettings, Coordinator};
use virtinterfaced::definitions::files::{FilePath, FileState};
use virtinterfaced::error::CallError;
use virtinterfaced::handler::World;
use virtinterfaced::handler::interface;
use virtinterfaced::host::record::HostRecord;
use virtinterfaced::host::removed::LinkMemory;
use virtinterfaced::host::survey::Survey;
use virtinterfaced::limits::LEASE_REST_TIME_MAX;
use virtinterfaced::model::client::{ClientId, Endpoint, Privilege};
use virtinterfaced::plan::request::KernelRequest;
use virtinterfaced::plan::step::{Condition, FileStep, Step};
use virtinterfaced::proto::interface::TransactionCall;
use virtinterfaced::rpc::header::{Header, kind, status};
use virtinterfaced::session::ReplyTo;
use virtinterfaced::snapshot::Opening;
use virtinterfaced::snapshot::Snapshot;
use virtinterfaced::snapshot::files::{FileRestoration, Files, KeptFile, KeptFiles};

/// An arbitrary instant. The same for all runs, as no outcome depends on it.
static START: LazyLock<Instant> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "no loop reads the clock here")]
    Instant::now()
});

/// The header of every call. No reply is sent.
const HEADER: Header = Header {
    program: 0,
    version: 0,
    procedure: 0,
    kind: kind::CALL,
    serial: 0,
    status: status::OK,
};

/// How many actions a call may take. More would be an endless loop.
const ACTION_COUNT_MAX: usize = 10_000;

/// A daemon and its host.
#[derive(Clone)]
pub struct ValueDaemon {
    pub kernel: ValueKernel,
    backend: Rc<dyn Backend>,
    /// The definitions of the files when they were last read, and those files.
    read: RefCell<(KeptFiles, Rc<DefinitionFiles>)>,
    coordinator: Coordinator,
    disk: Disk,
    /// The daemons' memory of links, kept for this boot.
    links: LinkMemory,
    settings: ChangeSettings,
    boot: Rc<str>,
    since_boot: Duration,
    /// By the clock of the loop, since the first daemon started.
    elapsed: Duration,
    fate: Fate,
    /// Whether the last action wrote a file.
    has_written: bool,
    /// Whether a file operation of the last call failed, or its check found an obstacle.
    has_failed: bool,
    /// The reply to the call that is under way.
    reply: Option<Result<(), CallError>>,
}

impl ValueDaemon {
    /// A daemon that has just started, on a host that has just booted, with native definitions.
    pub fn new(kernel: ValueKernel, timeout: Option<Duration>) -> Self {
        let native = Native::new("/etc/libvirt/interface".into());
        Self::with_backend(kernel, timeout, Rc::new(native))
    }

    /// A daemon that has just started, in a boot of its own.
    pub fn with_backend(
        kernel: ValueKernel,
        timeout: Option<Duration>,
        backend: Rc<dyn Backend>,
    ) -> Self {
        let settings = ChangeSettings {
            privilege: Privilege::System,
            dhcp_timeout: LEASE_TIME,
            change_timeout: timeout,
        };
        let links = LinkMemory::default();
        Self {
            kernel,
            read: RefCell::new((
                KeptFiles::default(),
                Rc::new(DefinitionFiles::new(Rc::clone(&backend))),
            )),
            backend,
            coordinator: Coordinator::new(settings, links.clone(), *START),
            disk: Disk::default(),
            links,
            settings,
            boot: "boot-1".into(),
            since_boot: Duration::from_secs(1000),
            elapsed: Duration::ZERO,
            fate: Fate::Done,
            has_written: false,
            has_failed: false,
            reply: None,
        }
    }

    /// The transaction that is open.
    pub fn opening(&self) -> Option<&Opening> {
        self.coordinator.opening()
    }

    /// Whether the directory contains only the files of the open transaction, if there is one.
    pub fn is_tidy(&self) -> bool {
        let has = |file| self.disk.has(file);
        has(TransactionFile::Snapshot) == self.opening().is_some()
            && !has(TransactionFile::Rollback)
            && !has(TransactionFile::Journal)
    }

    /// Whether a change within the transaction has begun. A daemon that starts undoes it.
    pub fn has_journal(&self) -> bool {
        self.disk.has(TransactionFile::Journal)
    }

    /// Has the step of the next call refused that follows this many others.
    pub fn refuse(&mut self, step: usize) {
        self.fate = Fate::Refused(step);
    }

    /// Has the daemon killed in the next call, after this many actions.
    pub fn kill_after(&mut self, action: usize) {
        self.fate = Fate::Killed(action);
    }

    /// Has the daemon killed in the next call, in the middle of the last of this many actions, if
    /// that one writes a file.
    pub fn tear(&mut self, action: usize) {
        self.fate = Fate::Torn(action);
    }

    /// Has file operations of the next call fail, after this many others: one, or all.
    pub fn fail_files(&mut self, after: usize, count: usize, failure: DiskFailure) {
        self.fate = Fate::FilesFailed { after, count, failure };
    }

    /// Has the check of the next call refuse it, if there is anything to be checked.
    pub fn hinder(&mut self) {
        self.fate = Fate::Hindered;
    }

    /// Whether a file operation of the last call failed, or its check refused it.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether the daemon has left nothing for another try.
    pub fn is_at_rest(&self) -> bool {
        let is_settled =
            matches!(self.coordinator.status(), Status::Open(_) | Status::Closed { .. });
        is_settled && self.is_tidy()
    }

    /// The copy of a definition file that a rollback has replaced or removed.
    pub fn copy(&self, path: &FilePath) -> Option<&[u8]> {
        self.disk.copy(path)
    }

    /// Lets the next call run without a refusal or an interruption.
    pub fn spare(&mut self) {
        self.fate = Fate::Done;
    }

    /// Whether the last action before the daemon's death wrote a file.
    pub fn has_died_writing(&self) -> bool {
        self.has_written
    }

    /// Whether the daemon was killed in the last call.
    pub fn is_dead(&self) -> bool {
        matches!(self.fate, Fate::Killed(0))
    }

    /// Makes a call, as a client would. A call that fails has changed nothing.
    ///
    /// # Errors
    /// As the client would read it; something if the daemon was killed.
    pub fn call(&mut self, call: &RequestedCall) -> Result<(), CallError> {
        let origin = Origin::Client {
            id: ClientId(0),
            reply_to: ReplyTo::from(HEADER),
            caller: sample::caller(Endpoint::ReadWrite),
        };
        let before = self.kernel.to_string();
        self.has_failed = false;
        self.coordinator.push(Request { origin, call: call.clone() });
        self.run();
        if self.is_dead() {
            return Err(killed());
        }
        self.fate = Fate::Done;
        let outcome = self.reply.take().unwrap_or_else(|| Err(unanswered()));
        let is_undone =
            !matches!(call, RequestedCall::Transaction(TransactionCall::Rollback { .. }));
        let refusal = outcome.as_ref().err().filter(|_| is_undone);
        if let Some(err) = refusal.filter(|err| !err.message().contains("could not be undone")) {
            let after = self.kernel.to_string();
            assert!(after == before, "{}\n{}", err.message(), difference(&before, &after));
        }
        // The next call comes after all timeouts that start with this one.
        self.elapsed += LEASE_REST_TIME_MAX;
        outcome
    }

    /// The handlers' decision on a call.
    ///
    /// # Errors
    /// They refuse it.
    pub fn decide(&self, call: &RequestedCall) -> Result<Decision, CallError> {
        match self.handle(call, None)? {
            Decision::Survey(order) => self.handle(call, Some(&self.kernel.survey(&order))),
            decision @ (Decision::Change(_) | Decision::Transact(_)) => Ok(decision),
        }
    }

    fn handle(&self, call: &RequestedCall, survey: Option<&Survey>) -> Result<Decision, CallError> {
        let (host, files) = (self.kernel.host(), self.definition_files());
        let world = World { host: &host, files: &files };
        interface::decide(call, &world, self.coordinator.status(), survey)
    }

    /// The definition files, and what they define.
    pub fn definition_files(&self) -> Rc<DefinitionFiles> {
        let (files, read) = &mut *self.read.borrow_mut();
        if files != self.kernel.files() {
            *read = Rc::new(self.read());
            files.clone_from(self.kernel.files());
        }
        Rc::clone(read)
    }

    fn read(&self) -> DefinitionFiles {
        // A dangling link, or a file that cannot be read, has none.
        let state = |(path, file): (&FilePath, &KeptFile)| {
            Some((path.clone(), FileState::Content(file.content()?.to_vec())))
        };
        let files = self.kernel.files().iter().filter_map(state).collect();
        DefinitionFiles::of(Rc::clone(&self.backend), files)
    }

    /// The state of the definition files that exist, and of those of a snapshot.
    fn kept_files(&self, then: Option<&Snapshot>) -> Files {
        let (all, definitions) = (self.kernel.files(), self.definition_files());
        let was_own = |path| then.is_some_and(|then| then.files.by_path.contains_key(path));
        let own = all.iter().filter(|(path, _)| definitions.owns(path) || was_own(path));
        Files {
            root: self.backend.root().as_os_str().as_encoded_bytes().to_vec(),
            by_path: own.map(|(path, file)| (path.clone(), file.clone())).collect(),
        }
    }

    /// Performs a step. As the store of definitions does it, a rollback removes definition files
    /// alone.
    fn perform_step(&mut self, step: &Step) -> Result<(), StepError> {
        if let Step::File(FileStep::Restore(FileRestoration { path, after: None, .. })) = step {
            if !self.definition_files().owns(path) {
                return Ok(());
            }
        }
        self.kernel.perform(step)
    }

    /// Kills the daemon, unless it is dead already, and starts it again. It may be killed again
    /// during its recovery.
    ///
    /// # Errors
    /// The rollback or undo at the start failed, at least in part.
    pub fn restart(&mut self) -> Result<(), CallError> {
        if self.is_dead() {
            self.fate = Fate::Done;
        }
        let instant = *START + self.elapsed;
        self.coordinator = Coordinator::new(self.settings, self.links.clone(), instant);
        self.has_failed = false;
        self.coordinator.adopt_discarded(&self.kernel.host());
        self.coordinator.recover(Recovery::Whole);
        self.run();
        if self.is_dead() {
            return Err(killed());
        }
        self.fate = Fate::Done;
        self.coordinator.recovered().clone()
    }

    /// The host loses power and boots again, with `network` already set up by others.
    ///
    /// # Errors
    /// As for [`ValueDaemon::restart`].
    pub fn reboot(&mut self, network: ValueKernel) -> Result<(), CallError> {
        let files = self.kernel.files().clone();
        self.kernel = network;
        let strange: Vec<_> = self.kernel.files().keys().cloned().collect();
        strange.into_iter().for_each(|path| self.kernel.put_file(path, None));
        files.into_iter().for_each(|(path, file)| self.kernel.put_file(path, Some(file)));
        (self.boot, self.since_boot) = ("boot-2".into(), Duration::from_secs(5000));
        self.links = LinkMemory::default();
        self.restart()
    }

    /// Time passes. A running daemon checks its deadline.
    ///
    /// # Errors
    /// The rollback of the transaction failed, at least in part.
    pub fn pass(&mut self, time: Duration) -> Result<(), CallError> {
        self.let_pass(time);
        let (host, files, now) = (self.kernel.host(), self.definition_files(), self.now());
        let definitions = files.definitions();
        let context = Context { host: &host, definitions, now: &now, is_ahead: false };
        self.coordinator.handle_time(&context);
        if self.coordinator.is_idle() {
            return Ok(());
        }
        self.has_failed = false;
        self.run();
        if self.is_dead() {
            return Err(killed());
        }
        self.fate = Fate::Done;
        self.coordinator.recovered().clone()
    }

    /// Time passes, and the daemon does not check its deadline.
    pub fn let_pass(&mut self, time: Duration) {
        self.since_boot += time;
        self.elapsed += time;
    }

    fn now(&self) -> Now {
        Now {
            instant: *START + self.elapsed,
            boot: Rc::clone(&self.boot),
            since_boot: Some(self.since_boot),
            wall: self.since_boot,
        }
    }

    /// Performs actions until none is left, or the daemon is dead.
    #[expect(clippy::panic, reason = "the coordinator does not come to an end")]
    fn run(&mut self) {
        for _ in 0..ACTION_COUNT_MAX {
            if self.is_dead() || self.coordinator.is_done() {
                return;
            }
            let (host, files, now) = (self.kernel.host(), self.definition_files(), self.now());
            let definitions = files.definitions();
            let context = Context { host: &host, definitions, now: &now, is_ahead: false };
            self.coordinator.resume_after_pause();
            let action = self.coordinator.poll_action(&context);
            self.perform(action, &context);
        }
        panic!("{ACTION_COUNT_MAX} actions are not enough: {:?}", self.coordinator);
    }

    fn perform(&mut self, action: Action, context: &Context<'_>) {
        match action {
            Action::Decide { request, survey } => {
                let decision = self.handle(&request.call, survey.as_deref());
                self.coordinator.handle_decision(*request, decision, context);
            }
            Action::Check { .. } => {
                self.has_failed |= self.fate == Fate::Hindered;
                let checked =
                    if self.fate == Fate::Hindered { Err(hindered()) } else { Ok(Vec::new()) };
                self.coordinator.handle_check(checked, context);
            }
            Action::Survey(order) => {
                self.coordinator.handle_survey(Ok(self.kernel.survey(&order)), context);
            }
            Action::Record(scope) => {
                self.coordinator.handle_record(Ok(self.record_answer(&scope)), context);
            }
            Action::Perform(step) => {
                let refused = self.fate.befall_step(&step);
                let result = refused.map_or_else(|| self.perform_step(&step), Err);
                self.coordinator.handle_step(result);
                self.count_action();
            }
            Action::File(operation) => {
                let outcome = self.fate.befall_file();
                self.has_failed |= matches!(outcome, DiskOutcome::Failed(_));
                let mut kept = Files::default();
                if let FileAction::ReadDefinitions(then) = &operation {
                    kept = self.kept_files(then.as_deref());
                }
                let result = self.disk.perform(&operation, || kept, outcome);
                self.coordinator.handle_file(result, context);
                if !matches!(operation, FileAction::ReadDefinitions(_) | FileAction::ReadLeft) {
                    self.count_action();
                }
                self.has_written = matches!(operation, FileAction::Write(..));
            }
            Action::Delete(link) => {
                // The link may be gone already.
                let _ = self.kernel.perform(&Step::Request(KernelRequest::DeleteLink(link)));
                self.count_action();
            }
            Action::Remember(links) => self.links = links,
            Action::Answer { outcome, .. } => {
                self.reply = Some(outcome.map(|_| ()));
                self.count_action();
            }
            Action::Wait(deadline) => self.wait(deadline),
            Action::Settle(_)
            | Action::StandBy(_)
            | Action::Dismiss
            | Action::Shelve(_)
            | Action::Mark(_)
            | Action::Continue => {}
        }
    }

    /// Counts an action as done.
    fn count_action(&mut self) {
        self.has_written = false;
        self.fate.count_action();
    }

    /// Gives DHCP clients their leases, or lets the time until `deadline` pass.
    fn wait(&mut self, deadline: Option<Instant>) {
        let fate = &mut self.fate;
        let has_leases = self.kernel.bring_leases(|lease| {
            let (link, family) = (lease.link, lease.family);
            let leased = Condition::Leased { link, family, besides: Vec::new() };
            fate.befall_step(&Step::WaitFor(leased)).is_some()
        });
        if let Some(deadline) = deadline.filter(|_| !has_leases) {
            self.elapsed = self.elapsed.max(deadline.saturating_duration_since(*START));
        }
    }

    fn record_answer(&self, scope: &RecordScope) -> RecordAnswer {
        let record = match scope {
            RecordScope::Nothing => HostRecord::default(),
            RecordScope::Host => self.kernel.record(),
            RecordScope::Links { links, .. } => self.kernel.record_of(links),
        };
        let leases = self.kernel.clients().to_vec();
        RecordAnswer { record, leases, foreign: Ok(self.kernel.foreign_clients().to_vec()) }
    }
}

/// Everything that the next operation depends on.
impl fmt::Debug for ValueDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.coordinator.status() {
            // The outcome of a closed transaction is only reported; nothing depends on it.
            Status::Closed { .. } => None,
            status @ (Status::Open(_) | Status::Ending { .. } | Status::Unread { .. }) => {
                Some(status)
            }
        };
        f.debug_struct("ValueDaemon")
            .field("kernel", &self.kernel)
            .field("files", self.disk.files())
            .field("links", &self.links)
            .field("boot", &self.boot)
            .field("since_boot", &self.since_boot)
            .field("fate", &self.fate)
            .field("status", &status)
            .finish_non_exhaustive()
    }
}

fn killed() -> CallError {
    call_errors::host("the daemon was killed".to_owned(), 0)
}

fn hindered() -> CallError {
    call_errors::host("another program manages the link".to_owned(), libc::EBUSY)
}

fn unanswered() -> CallError {
    call_errors::invariant("each call is answered")
}
