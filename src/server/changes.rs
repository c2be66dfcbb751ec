// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`ChangeDriver`]: performs the coordinator's actions on the kernel and on the disk.
//!
//! The coordinator decides about actions and their order ([`crate::change`]). The kernel's answers
//! may take several turns; read-only calls are answered meanwhile.

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use log::warn;

use crate::call_errors;
use crate::change::action::{
    Action, Context, FileAnswer, FileError, Now, RecordAnswer, RecordScope, TransactionFile,
};
use crate::change::request::{Origin, Request};
use crate::change::{ChangeSettings, Coordinator};
use crate::error::{CallError, HostError};
use crate::handler::{self, interface};
use crate::host::inquiry::record::RecordInquiry;
use crate::host::record::HostRecord;
use crate::host::survey::Survey;
use crate::io::boot;
use crate::io::boot_marker::BootMarker;
use crate::io::dhcp::ForeignSearch;
use crate::io::link_memory::LinkMemoryFile;
use crate::io::shelf::Shelf;
use crate::io::standby::Standby;
use crate::io::transaction_dir::{TransactionDir, Writing};
use crate::limits::{KEPT_PER_TURN_MAX, PROCESSES_SEARCHED_PER_TURN_MAX, STEPS_TIME_PER_TURN_MAX};
use crate::logging;
use crate::model::address::Family;
use crate::model::client::ClientId;
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::plan::step::{DhcpStep, Step};
use crate::plan::{Plan, Planned};
use crate::proto::Reply;
use crate::server::files::{self, FileProgress};
use crate::server::inquiries::{AnsweredSurvey, Inquiries, InquiryResult, SurveyFacts};
use crate::server::perform::{StepProgress, Steps};
use crate::server::world::World;
use crate::server::{clock, wall_clock};
use crate::session::ReplyTo;
use crate::shares::{Shares, WaitingChange};
use crate::snapshot::Snapshot;
use crate::sys::clock::since_boot;

/// Performs the coordinator's actions on the kernel and the disk.
#[derive(Debug)]
pub(super) struct ChangeDriver {
    pub(super) coordinator: Coordinator,
    steps: Steps,
    /// The long query to the kernel, if there is one.
    inquiries: Inquiries,
    files: ChangeFiles,
    /// A snapshot that is being written.
    writing: Option<(Writing, TransactionFile, Rc<Snapshot>)>,
    /// A record of the host that is whole but for the DHCP clients of other programs.
    searching: Option<(HostRecord, ForeignSearch)>,
    pub(super) standby: Standby,
    /// The id of this boot, read once, as a rollback must not depend on a file.
    boot: Rc<str>,
}

/// The files of changes for the next daemon.
#[derive(Debug)]
pub(super) struct ChangeFiles {
    pub(super) transaction_dir: TransactionDir,
    /// Links without a definition that were taken down.
    pub(super) shelf: Shelf,
    /// Links of definitions that were taken down.
    pub(super) memory: LinkMemoryFile,
    /// Interfaces that are not complete; `None` for a daemon that brings no interface up
    /// automatically.
    pub(super) marker: Option<BootMarker>,
}

/// A call whose change is complete, and its reply.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) id: ClientId,
    pub(super) reply_to: ReplyTo,
    pub(super) outcome: Result<Reply, CallError>,
}

impl ChangeDriver {
    pub(super) fn new(
        settings: ChangeSettings,
        steps: Steps,
        files: ChangeFiles,
        standby: Standby,
        now: Instant,
    ) -> Self {
        Self {
            coordinator: Coordinator::new(settings, files.memory.read(), now),
            steps,
            inquiries: Inquiries::default(),
            files,
            writing: None,
            searching: None,
            standby,
            boot: boot::id().into(),
        }
    }

    /// The socket to the kernel for changes, to be polled.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.steps.channel.as_fd()
    }

    /// Notes that a child may have ended.
    pub(super) fn handle_child(&mut self) {
        self.steps.channel.handle_child();
    }

    /// Queues a request.
    ///
    /// # Errors
    /// The queue is full, or has as many changes of the client's user as it may.
    pub(super) fn take(&mut self, request: Request, shares: &Shares) -> Result<(), CallError> {
        let may_queue = |change: WaitingChange| {
            shares.may_queue(change.uid, change.len, &self.coordinator.waiting())
        };
        if request.waiting().is_some_and(|change| !may_queue(change)) {
            return Err(call_errors::too_many_changes());
        }
        self.coordinator.push(request);
        Ok(())
    }

    /// Brings interfaces up automatically, if this daemon does that.
    pub(super) fn begin_autostart(&mut self, world: &World, now: Instant) {
        let Some(marker) = &self.files.marker else { return };
        let marked = marker.read();
        let now = self.now(now);
        self.coordinator.begin_autostart(marked, &context(world, &now, false));
    }

    /// Notes that the table of links may have changed.
    pub(super) fn handle_news(&mut self, world: &mut World, now: Instant) {
        let news = world.host.take_link_news();
        if !news.is_empty() {
            world.store.drain();
        }
        let now = self.now(now);
        self.coordinator.handle_news(&news, &context(world, &now, false));
    }

    /// Acts on everything that is due.
    pub(super) fn handle_time(&mut self, world: &mut World, now: Instant) {
        self.standby.handle_time(now);
        let now = self.now(now);
        self.coordinator.handle_time(&context(world, &now, false));
        if !self.coordinator.is_idle() {
            return self.steps.given_back.note_change();
        }
        if let Some(port) = world.leases.next_stray() {
            warn!("dhcpcd has released {port}, which is a port: removing its addresses");
            let steps = [Family::Ipv4, Family::Ipv6].map(|family| drop_all(port, family)).to_vec();
            let (why, plan) = ("a port has addresses", Plan { steps, ..Plan::default() });
            self.coordinator.begin_own(port, why, plan, &context(world, &now, false));
        } else if let Some((link, plan)) = self.steps.given_back.poll(&world.host, now.instant) {
            let why = "its client has another address";
            self.coordinator.begin_own(link, why, plan, &context(world, &now, false));
        }
    }

    /// Forgets links without a definition that are up again, or gone.
    pub(super) fn forget_shelved(&mut self, world: &World) {
        self.files.shelf.forget_others(&world.host);
    }

    /// Stops, as the daemon does.
    pub(super) fn handle_stop(&mut self, world: &World, now: Instant) {
        self.inquiries.stop();
        self.searching = None;
        let now = self.now(now);
        self.coordinator.handle_stop(&context(world, &now, false));
        if !self.coordinator.awaits_file() {
            self.writing.take().into_iter().for_each(|(writing, ..)| writing.give_up());
        }
    }

    /// Notes that the loop has served its clients, and may wait for the kernel again.
    pub(super) fn begin_turn(&mut self) {
        self.steps.channel.begin_turn();
    }

    /// When to call [`Self::handle_time`].
    pub(super) fn time_deadline(&mut self, now: Instant) -> Option<Instant> {
        let now = self.now(now);
        let coordinator = self.coordinator.time_deadline(&now);
        coordinator.into_iter().chain(self.standby.next_at()).min()
    }

    /// Whether changes have no work in a turn that has answered calls, or not.
    pub(super) fn has_rest(&self, has_answered: bool, now: Instant) -> bool {
        self.coordinator.is_done() || (has_answered && self.coordinator.is_yielding(now))
    }

    /// Deletes a discarded link, if no change is due now.
    pub(super) fn clear_up(&mut self, world: &mut World, now: Instant) -> bool {
        if !self.coordinator.is_deleting() {
            return false;
        }
        let time = self.now(now);
        let action = self.coordinator.poll_action(&context(world, &time, false));
        if matches!(action, Action::Delete(_)) {
            self.perform(action, world, now, &mut Vec::new());
        }
        true
    }

    /// Continues the work under way, by one action that depends on the host and all those that
    /// follow from it.
    pub(super) fn go_on(&mut self, world: &mut World, now: Instant) -> Vec<Answered> {
        let caller = self.coordinator.caller();
        let _charged = caller.map(|caller| logging::charge_to(caller.subject_uid()));
        self.coordinator.resume_after_pause();
        let mut answered = Vec::new();
        if !self.go_on_writing(world, now) || !self.go_on_searching(world, now) {
            return answered;
        }
        match self.inquiries.poll(&mut self.steps.channel) {
            InquiryResult::Nothing => {}
            InquiryResult::Unfinished => return answered,
            InquiryResult::Waiting => {
                self.coordinator.wait_for_result();
                return answered;
            }
            InquiryResult::Survey(found) => {
                let survey = found.and_then(|found| self.complete(found, world));
                let time = self.now(now);
                self.coordinator.handle_survey(survey, &context(world, &time, false));
            }
            InquiryResult::SurveyForStep(survey, step) => {
                let progress = self.steps.take_survey(survey, &step, world, now);
                self.take_progress(progress, world);
            }
            InquiryResult::Record(Ok(record)) => {
                self.searching = Some((record, ForeignSearch::default()));
                return answered;
            }
            InquiryResult::Record(Err(err)) => {
                let time = self.now(now);
                self.coordinator.handle_record(Err(err), &context(world, &time, false));
            }
        }
        let progress = self.steps.poll(world, now);
        self.take_progress(progress, world);
        if self.coordinator.begins_next() {
            world.store.drain();
        }
        let time = self.now(now);
        let is_ahead = self.steps.channel.is_ahead();
        let mut next = Some(self.coordinator.poll_action(&context(world, &time, is_ahead)));
        while let Some(action) = next {
            self.perform(action, world, now, &mut answered);
            next = self.coordinator.poll_ready();
        }
        answered
    }

    /// Whether changes have no more time in this turn, depending on whether calls were answered in
    /// it.
    pub(super) fn ends_turn(&mut self, has_answered: bool, begun: Instant) -> bool {
        if self.coordinator.is_paused() || (self.coordinator.is_in_parts() && !has_answered) {
            return true;
        }
        let end = clock();
        let spent = end.saturating_duration_since(begun);
        // A change is made without a pause, as packets may be lost between two of its steps.
        let yields = has_answered && !self.coordinator.is_working();
        if yields {
            self.coordinator.yield_to_clients(spent, end);
        }
        yields || spent >= STEPS_TIME_PER_TURN_MAX
    }

    /// Performs one action.
    fn perform(
        &mut self,
        action: Action,
        world: &mut World,
        now: Instant,
        answered: &mut Vec<Answered>,
    ) {
        let time = self.now(now);
        match action {
            Action::Decide { request, survey } => {
                let caller = request.origin.caller();
                let _charged = caller.map(|caller| logging::charge_to(caller.subject_uid()));
                let host = handler::World { host: &world.host, files: world.store.files() };
                let status = self.coordinator.status();
                let decision = interface::decide(&request.call, &host, status, survey.as_deref());
                self.coordinator.handle_decision(*request, decision, &context(world, &time, false));
            }
            Action::Check { claims, leases } => {
                let checked = world.check(&claims, &leases);
                self.coordinator.handle_check(checked, &context(world, &time, false));
            }
            Action::Survey(order) => {
                self.inquiries.survey(order, world, &mut self.steps.channel);
            }
            Action::Record(scope) => self.observe(&scope, world, &time),
            Action::Perform(step) => {
                let behind = self.coordinator.upcoming();
                let progress = self.steps.perform(&step, behind, world, now);
                self.take_progress(progress, world);
            }
            Action::File(operation) => {
                let dir = &self.files.transaction_dir;
                match files::perform(&operation, dir, &mut world.store) {
                    FileProgress::Done(result) => {
                        self.coordinator.handle_file(result, &context(world, &time, false));
                    }
                    FileProgress::Writing(writing, file, snapshot) => {
                        self.writing = Some((writing, file, snapshot));
                    }
                }
            }
            Action::Settle(link) => self.steps.channel.settle(link),
            Action::Delete(link) => self.steps.delete(link, &world.host),
            Action::StandBy(deadline) => self.standby.start(deadline, now),
            Action::Dismiss => self.standby.dismiss(),
            Action::Shelve(shelved) => {
                if let Err(err) = self.files.shelf.put(&shelved) {
                    let link = shelved.link;
                    warn!("cannot keep the settings of {link} for when it comes up again: {err}");
                }
            }
            Action::Remember(links) => {
                if let Err(err) = self.files.memory.write(&links) {
                    warn!("cannot keep the settings of removed links over a restart: {err}");
                }
            }
            Action::Mark(incomplete) => {
                let marker = self.files.marker.as_mut();
                if let Some(Err(err)) = marker.map(|it| it.write(incomplete.into_iter())) {
                    warn!(
                        "cannot record which interfaces have been brought up in this boot: {err}"
                    );
                }
            }
            Action::Answer { request, outcome } => {
                if let Origin::Client { id, reply_to, .. } = request.origin {
                    answered.push(Answered { id, reply_to, outcome });
                }
            }
            Action::Continue | Action::Wait(_) => {}
        }
    }

    /// Passes on the result of a step, or asks for the survey that it needs.
    fn take_progress(&mut self, progress: StepProgress, world: &World) {
        match progress {
            StepProgress::Done(result) => self.coordinator.handle_step(result),
            StepProgress::Owed => {}
            StepProgress::Survey(order, step) => {
                self.inquiries.survey_for_step(order, step, world);
            }
        }
    }

    /// Asks for the record of all that a rollback can restore.
    fn observe(&mut self, scope: &RecordScope, world: &World, time: &Now) {
        let inquiry = match scope {
            RecordScope::Nothing => {
                // Nor of other processes, whose search takes milliseconds.
                let leases = world.leases.running().copied().collect();
                let record = HostRecord::default();
                let answer = Ok(RecordAnswer { record, leases, foreign: Ok(Vec::new()) });
                return self.coordinator.handle_record(answer, &context(world, time, false));
            }
            RecordScope::Host => RecordInquiry::of_all(),
            RecordScope::Links { links, has_neighbours: true } => {
                RecordInquiry::of(links, &world.host)
            }
            RecordScope::Links { links, has_neighbours: false } => {
                RecordInquiry::of(links, &world.host).without_neighbours()
            }
        };
        self.inquiries.record(inquiry);
    }

    /// Continues to search for DHCP clients, within a turn's time. `false` if there is more to search.
    fn go_on_searching(&mut self, world: &World, now: Instant) -> bool {
        let Some((record, mut search)) = self.searching.take() else { return true };
        if !world.leases.search_foreign(&mut search, PROCESSES_SEARCHED_PER_TURN_MAX) {
            self.searching = Some((record, search));
            return false;
        }
        let leases = world.leases.running().copied().collect();
        let answer = RecordAnswer { record, leases, foreign: world.leases.foreign(search) };
        let time = self.now(now);
        self.coordinator.handle_record(Ok(answer), &context(world, &time, false));
        true
    }

    /// Continues to write a snapshot, within a turn's time. `false` if there is more to write.
    fn go_on_writing(&mut self, world: &World, now: Instant) -> bool {
        let Some((mut writing, file, snapshot)) = self.writing.take() else { return true };
        match writing.poll(&snapshot, KEPT_PER_TURN_MAX) {
            Ok(false) => {
                self.writing = Some((writing, file, snapshot));
                false
            }
            written => {
                let time = self.now(now);
                self.end_writing(file, written.map(drop), world, &time);
                true
            }
        }
    }

    fn end_writing(
        &mut self,
        file: TransactionFile,
        written: Result<(), HostError>,
        world: &World,
        time: &Now,
    ) {
        let dir = &self.files.transaction_dir;
        let refuse = |cause| FileError { cause, is_there: dir.has(file) };
        let result = written.map(|()| FileAnswer::Done).map_err(refuse);
        self.coordinator.handle_file(result, &context(world, time, false));
    }

    /// Adds to a survey the information about these links from files, and the daemon's own.
    fn complete(&self, found: AnsweredSurvey, world: &World) -> Result<Survey, HostError> {
        let AnsweredSurvey { mut survey, order, facts } = found;
        let facts = facts.unwrap_or_else(|| SurveyFacts::look(&order, world));
        (survey.defaults, survey.foreign) = (facts.defaults, facts.foreign?);
        survey.leases = world.leases.running().copied().collect();
        survey.ended = world.leases.ended();
        let shelf = &self.files.shelf;
        survey.shelved = order.links.iter().filter_map(|link| shelf.find(link)).collect();
        Ok(survey)
    }

    /// The time, by each of the coordinator's clocks.
    fn now(&mut self, instant: Instant) -> Now {
        if self.boot.is_empty() {
            self.boot = boot::id().into();
        }
        let wall = wall_clock().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { instant, boot: Rc::clone(&self.boot), since_boot: since_boot().ok(), wall }
    }
}

/// The coordinator's view of the host.
fn context<'a>(world: &'a World, now: &'a Now, is_ahead: bool) -> Context<'a> {
    Context { host: &world.host, definitions: world.store.definitions(), now, is_ahead }
}

/// The step that removes everything that a DHCP client may have configured.
fn drop_all(link: IfName, family: Family) -> Planned {
    let name_servers = NameServers::Taken;
    let lease = Lease { link, family, name_servers, wanted: None, like: None };
    let step = Step::Dhcp(DhcpStep::Drop { lease, addresses: Vec::new(), routes: Vec::new() });
    Planned { step, undo: Vec::new() }
}
