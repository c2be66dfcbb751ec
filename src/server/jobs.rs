// SPDX-License-Identifier: LGPL-2.1-or-later
//! Changes of the host: one at a time, in the order in which they are asked for.
//!
//! Whoever asks is answered when the change is done, or undone. Calls that look are answered
//! meanwhile. A change outlives the client that asked for it: then only the answer is dropped.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use log::{debug, warn};

use crate::change::job::{Action, Failure, Job, StepError};
use crate::error::{CallError, HostError};
use crate::faults;
use crate::handler::{Answer, Change};
use crate::host::inquiry::{Dialogue, Inquiry};
use crate::io::Progress;
use crate::io::changes::{Changes, Told};
use crate::limits::{CHANGES_WAITING_MAX, STEPS_PER_TURN_MAX, XML_LEN_MAX};
use crate::model::client::{Access, ClientState};
use crate::model::name::IfName;
use crate::plan::Planned;
use crate::plan::step::Step;
use crate::proto::interface::InterfaceCall;
use crate::proto::{Call, Reply};
use crate::server::answer::{Decision, Desk};
use crate::server::client::{self, ClientId};
use crate::server::discard::Discard;
use crate::server::inquiries::{Inquiring, WithSurvey};
use crate::server::keeping::Keeping;
use crate::server::request::{Brief, Origin, Request};
use crate::server::rested::Rested;
use crate::server::running::{Comparing, Running, StepProgress};
use crate::server::{Server, clock};
use crate::session::{PendingCall, ReplyTo};
use crate::snapshot::Caller;

/// While clients look, a turn in which a change was made is followed by this many times the time that
/// it took for them. However many they are, the calls of no more than one turn in five then wait for
/// a change. Whoever only waits for one is not kept.
const CLIENTS_SHARE: u32 = 4;

/// All changes: the one that is under way, and those that wait for it.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub(super) changes: Changes,
    waiting: VecDeque<Request>,
    pub(super) running: Option<Running>,
    comparing: Option<Comparing>,
    /// What has to be known before it goes on.
    inquiring: Option<Inquiring>,
    dialogue: Dialogue,
    /// What has to be on the disk before it goes on.
    keeping: Option<Keeping>,
    pause: Pause,
    pub(super) rested: Rested,
    pub(super) discard: Discard,
}

/// What has become of a call.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is no change: it is answered at once.
    No(PendingCall),
    Waits,
    /// Too many wait.
    Refused(ReplyTo),
}

/// Why it does not go on at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pause {
    None,
    /// It waits for the kernel, until then.
    Waiting(Option<Instant>),
    /// It is the clients' turn until then.
    Yielding(Instant),
}

impl Jobs {
    pub(crate) fn new(changes: Changes, rested: Rested, now: Instant) -> Self {
        Self {
            changes,
            waiting: VecDeque::new(),
            running: None,
            comparing: None,
            inquiring: None,
            dialogue: Dialogue::default(),
            keeping: None,
            pause: Pause::None,
            rested,
            discard: Discard::new(now),
        }
    }

    /// What was taken down a moment ago.
    pub(crate) fn rested(&self) -> &Rested {
        &self.rested
    }

    /// The socket that changes go over, to be polled.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }

    /// Takes a call for later, if it is a change that its client may make.
    pub(crate) fn take_change(
        &mut self,
        pending: PendingCall,
        id: ClientId,
        state: &ClientState,
        caller: Caller,
    ) -> Taken {
        let access = state.opened.as_ref().map(|opened| opened.access);
        match pending {
            PendingCall { call: Call::Interface(call), reply_to }
                if access == Some(Access::ReadWrite)
                    && call.changing_api().is_some()
                    && !is_hopeless(&call) =>
            {
                if self.waiting.len() >= CHANGES_WAITING_MAX {
                    return Taken::Refused(reply_to);
                }
                let origin = Origin::Client { id, reply_to, state: state.clone(), caller };
                self.push(Request { origin, call });
                Taken::Waits
            }
            pending => Taken::No(pending),
        }
    }

    pub(crate) fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// Puts a request before all others. What is under way is given up, for this reason.
    pub(super) fn push_first(&mut self, request: Request, why: StepError) {
        self.waiting.push_front(request);
        let own = self.running.as_mut().filter(|it| it.way_back.is_none());
        let inquiring = self.inquiring.as_mut().and_then(Inquiring::job_mut);
        let keeping = self.keeping.as_mut().and_then(Keeping::job_mut);
        if let Some(running) = own.or(inquiring).or(keeping) {
            running.abort = Some(why);
            self.pause = Pause::None;
        }
    }

    /// Begins with something else.
    pub(super) fn run(&mut self, running: Running) {
        self.running = Some(running);
    }

    /// Begins, or goes on, with a comparison.
    pub(super) fn compare(&mut self, comparing: Comparing) {
        self.comparing = Some(comparing);
    }

    pub(super) fn take_comparing(&mut self) -> Option<Comparing> {
        self.comparing.take()
    }

    /// Begins with a long question to the kernel.
    pub(super) fn inquire(&mut self, inquiring: Inquiring) {
        self.dialogue = Dialogue::default();
        self.inquiring = Some(inquiring);
    }

    /// The same with a question that is asked at once: its answer comes while something else is done.
    pub(super) fn inquire_at_once(&mut self, inquiry: &mut dyn Inquiry) {
        self.dialogue = Dialogue::default();
        self.changes.ask(&mut self.dialogue, inquiry);
    }

    /// Goes on with the question that was taken.
    pub(super) fn go_on_inquiring(&mut self, inquiring: Inquiring) {
        self.inquiring = Some(inquiring);
    }

    pub(super) fn take_inquiring(&mut self) -> Option<Inquiring> {
        self.inquiring.take()
    }

    /// Begins, or goes on, to write a snapshot down.
    pub(super) fn keep(&mut self, keeping: Keeping) {
        self.keeping = Some(keeping);
    }

    pub(super) fn take_keeping(&mut self) -> Option<Keeping> {
        self.keeping.take()
    }

    /// Asks, and hears what is told, as far as a turn has time for it.
    ///
    /// # Errors
    /// The kernel does not tell what must be known.
    pub(super) fn pursue(&mut self, inquiry: &mut dyn Inquiry) -> Result<Told, HostError> {
        let told = self.changes.inquire(&mut self.dialogue, inquiry);
        if matches!(told, Ok(Told::Waiting)) {
            self.pause = Pause::Waiting(None);
        }
        told
    }

    /// The step under way is over.
    pub(super) fn end_step(&mut self, result: Result<(), StepError>) {
        if let Some(running) = &mut self.running {
            running.owed = None;
            running.job.handle_result(result);
        }
    }

    /// Whether it is a way back that is under way.
    pub(super) fn leads_back(&self) -> bool {
        self.comparing.is_some()
            || self.inquiring.as_ref().is_some_and(Inquiring::leads_back)
            || self.running.as_ref().is_some_and(|running| running.way_back.is_some())
    }

    /// Whether what is under way is as much as a turn has time for.
    fn is_in_parts(&self) -> bool {
        self.comparing.is_some()
            || self.keeping.is_some()
            || self.inquiring.as_ref().is_some_and(Inquiring::is_long)
    }

    /// Whether no change is under way.
    fn is_between_changes(&self) -> bool {
        self.running.is_none()
            && self.comparing.is_none()
            && self.inquiring.is_none()
            && self.keeping.is_none()
    }

    /// Whether no change is under way or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.is_between_changes() && self.waiting.is_empty()
    }

    /// Whether there is nothing left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.is_idle() && self.discard.is_done()
    }

    /// Whether the next change has to wait until something is deleted.
    fn waits_for_discard(&self) -> bool {
        self.is_between_changes() && self.discard.is_full()
    }

    /// A child may have ended.
    pub(crate) fn handle_child(&mut self) {
        self.changes.handle_child();
    }

    /// When to go on, if nothing happens before; `None` if there is nothing to do then.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.pause {
            _ if self.is_idle() || self.waits_for_discard() => self.discard.deadline(now),
            Pause::None => Some(now),
            Pause::Waiting(deadline) => deadline,
            Pause::Yielding(until) => Some(until),
        }
    }

    /// The daemon stops: what has not begun is refused, and what only waits is undone.
    pub(crate) fn stop(&mut self) -> Vec<Request> {
        if let Some(running) = &mut self.running {
            let text = "the daemon stops".to_owned();
            running.abort = Some(StepError { errno: libc::ECANCELED, text });
        }
        self.pause = Pause::None;
        self.discard.hurry();
        self.waiting.drain(..).collect()
    }
}

impl Server {
    /// Goes on with what is to be changed, as far as it can and may in one turn.
    pub(super) fn run_jobs(&mut self, now: Instant) {
        self.jobs.changes.begin_turn();
        for _ in 0..STEPS_PER_TURN_MAX {
            let yields = matches!(self.jobs.pause, Pause::Yielding(until) if until > now);
            if self.jobs.is_done() || (yields && self.has_answered) {
                return;
            }
            if self.jobs.is_idle() || self.jobs.waits_for_discard() {
                let Jobs { discard, changes, .. } = &mut self.jobs;
                discard.run(&self.host, changes, now);
                return;
            }
            self.drain_kernel(now);
            if self.news != Progress::Drained {
                return;
            }
            self.jobs.pause = Pause::None;
            match self.jobs.running {
                _ if self.jobs.inquiring.is_some() => self.go_on_inquiring(now),
                Some(_) => self.go_on(now),
                None if self.jobs.comparing.is_some() => self.go_on_comparing(now),
                None if self.jobs.keeping.is_some() => self.go_on_keeping(now),
                None => self.begin_next(now),
            }
            if self.jobs.pause != Pause::None {
                return;
            }
            if self.jobs.is_in_parts() && !self.has_answered {
                // The next turn goes on with it.
                return;
            }
            // A change is made in one go: between two of its steps packets may be lost.
            if self.has_answered && self.jobs.running.is_none() {
                let end = clock();
                let share = end.saturating_duration_since(now) * CLIENTS_SHARE;
                self.jobs.pause = Pause::Yielding(end + share);
                return;
            }
        }
    }

    /// Goes on with the change that is under way.
    fn go_on(&mut self, now: Instant) {
        if let Some(owed) = self.jobs.running.as_mut().and_then(|running| running.owed.take()) {
            let progress = self.hear(owed, now);
            self.note_progress(progress);
        }
        let Jobs { running: Some(running), changes, .. } = &mut self.jobs else { return };
        let _charged = running.request.origin.charge();
        // What is sent is done, and is to be undone.
        if !changes.is_ahead()
            && let Some(why) = running.abort.take()
        {
            running.job.abort(why);
        }
        match running.job.poll_action(&self.host, now) {
            Action::Perform(step) => {
                running.hurried = None;
                running.owed = None;
                debug!("{}: {step}", running.brief());
                let progress = self.perform(&step, now);
                self.note_progress(progress);
            }
            Action::Wait { link: Some(name), .. } if running.hurried != Some(name) => {
                running.hurried = Some(name);
                if let Some(link) = self.host.link_named(&name) {
                    self.jobs.changes.settle(link.index);
                }
            }
            Action::Wait { deadline, .. } => self.jobs.pause = Pause::Waiting(deadline),
            Action::Finished => self.conclude(now),
        }
    }

    pub(super) fn note_progress(&mut self, progress: StepProgress) {
        let Some(running) = &mut self.jobs.running else { return };
        match progress {
            StepProgress::Done(result) => running.job.handle_result(result),
            StepProgress::Owes(owed) => running.owed = Some(owed),
        }
    }

    /// Takes up the change that has waited longest.
    fn begin_next(&mut self, now: Instant) {
        let Some(request) = self.jobs.waiting.pop_front() else { return };
        if self.is_stopping() {
            self.answer(request, Err(faults::stopping()), now);
            return;
        }
        self.jobs.rested.handle_time(now);
        self.store.drain();
        if let (Origin::Daemon(_), InterfaceCall::Create { name, .. }) =
            (&request.origin, &request.call)
            && let Ok(name) = IfName::new(name)
        {
            return self.begin_bringing_up(request, name);
        }
        self.decide(request, None, now);
    }

    /// Decides what a change means, with the answer to what had to be known first, and sets out.
    pub(super) fn decide(&mut self, request: Request, answer: Option<&Answer>, now: Instant) {
        let _charged = request.origin.charge();
        let state = request.origin.state();
        let call = Call::Interface(request.call.clone());
        let decision = self.desk().decide(&call, &state, answer);
        let decision = decision.and_then(|decision| self.check(decision, &request.origin));
        match decision {
            Ok(Decision::Survey(order)) => {
                self.ask_for_survey(order, WithSurvey::Decide(request));
            }
            Ok(Decision::Transact(transaction)) => self.transact(request, transaction, now),
            Ok(Decision::Change(Change {
                warnings,
                plan,
                reply,
                leaves,
                shelved,
                failure,
                ..
            })) => {
                warnings.iter().for_each(|warning| warn!("{warning}"));
                debug!("{}: the plan:\n{plan}", Brief { request: &request, reply: &reply });
                let changes_network = plan.changes_network();
                let discarded = plan.discarded.clone();
                let name = request.call.interface_name().and_then(|name| IfName::new(name).ok());
                let found = name.map(|name| plan.taken_in(&name, &self.host)).unwrap_or_default();
                let job = Job::new(plan, self.configuration.settings.changes.dhcp_timeout);
                let running = Running::by_itself(request, job, discarded);
                let running = Running { reply, leaves, found, shelved, failure, ..running };
                self.set_out(running, changes_network, now);
            }
            Ok(Decision::Reply(reply)) => self.answer(request, Ok(reply), now),
            Ok(Decision::Later) => {
                self.answer(request, Err(faults::invariant("a change waits for no answer")), now);
            }
            Err(err) => self.answer(request, Err(err), now),
        }
    }

    /// Begins with what was decided.
    pub(super) fn start(&mut self, mut running: Running) {
        if let Some(shelved) = running.shelved.take()
            && let Err(err) = self.shelf.put(&shelved)
        {
            warn!("what {} has will not be known when it comes up: {err}", shelved.link);
        }
        self.jobs.run(running);
    }

    /// What was decided cannot be done.
    pub(super) fn refuse(&mut self, request: Request, err: CallError, now: Instant) {
        match (&request.origin, &request.call) {
            (Origin::Daemon(_), InterfaceCall::Create { name, .. }) => {
                if let Ok(name) = IfName::new(name) {
                    self.note_attempt(&name, vec![err.message().to_owned()], now);
                }
            }
            _ => self.answer(request, Err(err), now),
        }
    }

    /// What changes are decided with.
    pub(super) fn desk(&mut self) -> Desk<'_> {
        Desk {
            facts: &self.facts,
            client_config: &mut self.client_config,
            host: &self.host,
            definitions: self.store.definitions(),
            change: self.change.open.status(),
            clients: &self.leases,
            kernel: &mut self.kernel,
            buffer: &mut self.buffer,
            is_patient: false,
        }
    }

    /// Refuses a change before anything is done, if its DHCP clients cannot be had, another manager
    /// of its links stands against it, or, for a client's, the rollback under way would undo it.
    fn check(&self, mut decision: Decision, origin: &Origin) -> Result<Decision, CallError> {
        if let Decision::Change(change) = &mut decision {
            let is_by_client = matches!(origin, Origin::Client { .. });
            if let Some(obstacle) = self.change.open.status().obstacle().filter(|_| is_by_client) {
                return Err(faults::in_rollback(&change.failure, &obstacle));
            }
            change.warnings.extend(self.check_claims(&change.claims)?);
            for Planned { step, .. } in &change.plan.steps {
                if let Step::StartClient(lease) = step {
                    let checked = self.leases.check(lease);
                    checked.map_err(|err| faults::no_client_for(lease, &err.to_string()))?;
                }
            }
        }
        Ok(decision)
    }

    /// Answers for the change that is over.
    fn conclude(&mut self, now: Instant) {
        let Some(running) = self.jobs.running.take() else { return };
        let Running { request, job, reply, discarded, leaves, found, failure, way_back, .. } =
            running;
        if let Some(way_back) = way_back {
            self.jobs.discard.push(discarded, now);
            return self.next_round(request, way_back, job.refused(), now);
        }
        self.drop_journal();
        if let Origin::Daemon(_) = request.origin {
            self.jobs.rested.note_found(found, &self.host);
            self.jobs.rested.write();
            self.jobs.discard.push(discarded, now);
            return self.conclude_bringing_up(&request, &job, now);
        }
        let _charged = request.origin.charge();
        let outcome = match job.outcome() {
            Ok(()) => {
                // At the default level, as all that changes the host.
                warn!("{}: done", Brief { request: &request, reply: &reply });
                let brief = Brief { request: &request, reply: &reply };
                for (step, err) in job.refused() {
                    warn!("{brief}: not as it was before: {step}: {err}");
                }
                self.note_rested(&request.call);
                self.jobs.rested.note_found(found, &self.host);
                self.jobs.rested.push(leaves, now);
                self.jobs.rested.write();
                self.jobs.discard.push(discarded, now);
                Ok(reply)
            }
            Err(err) => {
                warn!("{}: {err}", Brief { request: &request, reply: &reply });
                Err(refusal(&failure, err))
            }
        };
        self.answer(request, outcome, now);
    }

    /// Tells whoever asked what has become of it.
    pub(super) fn answer(
        &mut self,
        request: Request,
        outcome: Result<Reply, CallError>,
        now: Instant,
    ) {
        match request.origin {
            Origin::Client { id, reply_to, .. } => {
                self.heed_client(&request.call, &outcome);
                if let Some(client) = self.clients.get_mut(&id) {
                    debug!("{client}: {reply_to}: {}", client::Brief(&outcome));
                    client.session.handle_reply(&reply_to, outcome, now);
                    self.serve(id, now);
                }
            }
            Origin::Daemon(_) => {
                // What was to come up is for the next daemon, if this one stops.
                if !matches!(request.call, InterfaceCall::Create { .. }) {
                    self.note_rolled_back(outcome);
                }
            }
        }
    }
}

/// Whether a call is refused whatever the host is like, and so does not need to wait its turn in
/// memory.
fn is_hopeless(call: &InterfaceCall) -> bool {
    matches!(call, InterfaceCall::DefineXml { xml, .. } if xml.len() > XML_LEN_MAX)
}

/// What the client reads of a change that has failed.
fn refusal(failure: &str, err: &Failure) -> CallError {
    let text = format!("{failure}: {err}");
    match err.error.errno {
        libc::EPERM | libc::EACCES => faults::denied(text),
        errno => faults::host(text, errno),
    }
}
