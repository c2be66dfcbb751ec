// SPDX-License-Identifier: LGPL-2.1-or-later
//! A rollback under way: part by part, round by round, to its end.
//!
//! What is to be done next, `crate::change::rollback` decides. The network comes first, and needs no file but
//! those of the kernel; then the definition files; and last the snapshot of the change goes. A part that
//! fails does not hold up the others, and is tried again after a pause ([`OpenChange`]).
//!
//! A caller's rollback begins by saying so in the folder of the change: a daemon that dies from then on
//! leaves it to the next one to go on. One whose deadline has passed, or whose boot is over, needs no
//! such mark.
//!
//! [`OpenChange`]: crate::change::transaction::OpenChange

use std::rc::Rc;
use std::time::{Instant, UNIX_EPOCH};

use log::{debug, error, info, warn};

use crate::change::job::{Job, StepError};
use crate::change::rollback::{Here, Next, Parts, Remains, Rollback, Scope};
use crate::change::transaction::{Cause, Part, Status, Tried};
use crate::error::{CallError, HostError};
use crate::faults;
use crate::host::inquiry::record::RecordInquiry;
use crate::host::record::HostRecord;
use crate::io::change_folder::Kept;
use crate::limits::COMPARED_PER_TURN_MAX;
use crate::model::foreign::ForeignClient;
use crate::model::utc::Utc;
use crate::plan::Plan;
use crate::plan::step::Step;
use crate::proto::Reply;
use crate::server::inquiries::WithRecord;
use crate::server::request::Request;
use crate::server::running::{Comparing, Running, Target, WayBack};
use crate::server::{Server, wall_clock};

const FAILURE: &str = "failed to rollback transaction";

impl Server {
    /// Sets out for what was when the open change began.
    pub(super) fn roll_back(&mut self, request: Request, now: Instant) {
        let Some(ending) = self.change.open.roll_back(Cause::Caller) else {
            let text = "only an open change is rolled back";
            return self.answer(request, Err(faults::invariant(text)), now);
        };
        if ending.cause == Cause::Caller && self.change.folder.has(Kept::Change) {
            if let Err(err) = self.change.folder.begin_rollback() {
                warn!("{err}: a daemon that dies now leaves the rollback to a caller");
            }
        }
        self.next_part(request, None, now);
    }

    /// Goes on with the next part of a rollback, or ends it.
    fn next_part(&mut self, request: Request, after: Option<Part>, now: Instant) {
        let Some(ending) = self.change.open.ending() else { return };
        let Some(part) = ending.next_part(after) else { return self.settle(request, now) };
        let parts = match part {
            Part::Network => Parts { network: true, files: false },
            Part::Files => Parts { network: false, files: true },
        };
        let snapshot = Rc::clone(&ending.snapshot);
        let rollback = Rollback::new(snapshot, parts, &self.change.moment());
        self.next_round(request, WayBack { target: Target::Change(part), rollback }, &[], now);
    }

    /// Goes on with a way back whose last round is over, and of which this was refused.
    pub(super) fn next_round(
        &mut self,
        request: Request,
        way_back: WayBack,
        refused: &[(Step, StepError)],
        now: Instant,
    ) {
        if self.is_stopping() {
            // What is left is the next daemon's.
            return self.answer(request, Err(faults::stopping()), now);
        }
        let inquiry = match way_back.rollback.scope() {
            Scope::Nothing => None,
            Scope::Host => Some(RecordInquiry::of_all()),
            Scope::Links(links) => {
                let inquiry = RecordInquiry::of(links, &self.host);
                let has_neighbours = way_back.rollback.has_neighbours();
                Some(if has_neighbours { inquiry } else { inquiry.without_neighbours() })
            }
        };
        let comparing = Comparing { request, way_back, refused: refused.to_vec() };
        match inquiry {
            Some(inquiry) => self.ask_for_record(inquiry, WithRecord::Round(Box::new(comparing))),
            None => self.begin_round(comparing, HostRecord::default()),
        }
    }

    /// Begins a round with what there is.
    pub(super) fn begin_round(&mut self, mut comparing: Comparing, record: HostRecord) {
        let rollback = &mut comparing.way_back.rollback;
        let leases = self.leases.running().copied().collect();
        let foreign = match rollback.scope() {
            Scope::Nothing => None,
            Scope::Host | Scope::Links(_) => self.known_foreign(),
        };
        let at = rollback.snapshot().opening.at;
        let elapsed = self.change.moment().since_boot.saturating_sub(at);
        let files = self.store.keep();
        rollback.begin_round(Here { files, record, leases, foreign, elapsed });
        self.jobs.compare(comparing);
    }

    /// Nobody knows what there is.
    pub(super) fn miss_round(&mut self, comparing: Comparing, err: &HostError, now: Instant) {
        let Comparing { request, way_back, .. } = comparing;
        let (network, errno) = (vec![err.to_string()], Some(err.errno()));
        let remains = Remains { network, errno, ..Remains::default() };
        self.end_part(request, way_back.target, Some(remains), now);
    }

    /// Goes on with a comparison, as far as a turn has time for it.
    pub(super) fn go_on_comparing(&mut self, now: Instant) {
        let Some(mut comparing) = self.jobs.take_comparing() else { return };
        if self.is_stopping() {
            return self.answer(comparing.request, Err(faults::stopping()), now);
        }
        let Comparing { way_back, refused, .. } = &mut comparing;
        let Some(next) = way_back.rollback.poll_next(refused, COMPARED_PER_TURN_MAX) else {
            return self.jobs.compare(comparing);
        };
        let Comparing { request, way_back, .. } = comparing;
        let WayBack { target, rollback } = &way_back;
        let target = *target;
        let plan = match next {
            Next::Do(plan) => plan,
            Next::Arrive => return self.end_part(request, target, None, now),
            Next::GiveUp(remains) => return self.end_part(request, target, Some(remains), now),
        };
        debug!("the way back, round {}:\n{plan}", rollback.round());
        if rollback.round() == 1 {
            self.keep_files_aside(&plan);
        }
        let discarded = plan.discarded.clone();
        self.jobs.run(Running::back(request, Job::persistent(plan), discarded, way_back));
    }

    /// The DHCP clients of others, if the host can tell of them now.
    fn known_foreign(&self) -> Option<Vec<ForeignClient>> {
        let foreign = self.leases.foreign();
        foreign.inspect_err(|err| warn!("{err}: DHCP clients of others stay as they are")).ok()
    }

    /// Keeps what the definition files say that the way back is going to replace or remove. A courtesy:
    /// where it cannot be, the way back is taken all the same. Another try keeps nothing anew.
    fn keep_files_aside(&mut self, plan: &Plan) {
        if self.change.open.ending().is_some_and(|ending| ending.aside.is_some()) {
            return;
        }
        let restored: Vec<_> = plan.steps.iter().filter_map(|it| it.step.restores()).collect();
        match self.change.folder.keep_aside(&restored) {
            Ok(None) => {}
            Ok(Some(set)) => {
                info!("what the definition files say now is kept in {}", set.display());
                if let Some(ending) = self.change.open.ending() {
                    ending.aside = Some(set.display().to_string());
                }
            }
            Err(err) => warn!("{err}: what the definition files say now is not kept"),
        }
    }

    /// A part is over; `remains` is what is not as it was.
    fn end_part(
        &mut self,
        request: Request,
        target: Target,
        remains: Option<Remains>,
        now: Instant,
    ) {
        let Target::Change(part) = target else { return self.end_undo(request, remains, now) };
        if let Some(ending) = self.change.open.ending() {
            ending.handle_part(part, remains);
        }
        self.next_part(request, Some(part), now);
    }

    /// What a job had done by half is undone, as far as can be. The change is open still.
    fn end_undo(&mut self, request: Request, remains: Option<Remains>, now: Instant) {
        let outcome = match remains {
            None => {
                self.change.remove_journal();
                info!("what a change had done by half is undone");
                Ok(Reply::Empty)
            }
            Some(remains) => {
                let text = format!("what a change had done by half is undone in part: {remains}");
                let text = self.put_aside(Kept::Journal, text);
                if self.change.folder.has(Kept::Journal) {
                    self.change.remove_journal();
                }
                error!("{text}");
                Err(faults::host(text, remains.errno.unwrap_or(libc::EIO)))
            }
        };
        self.answer(request, outcome, now);
    }

    /// Puts a file aside that was not of full use, and tells where, behind `text`.
    fn put_aside(&self, kept: Kept, mut text: String) -> String {
        match self.change.folder.put_aside(kept) {
            Ok(set) => {
                text += "; the snapshot is kept in ";
                text += &set.display().to_string();
            }
            Err(err) => warn!("{err}"),
        }
        text
    }

    /// All parts have been tried: the change is over, or waits for another try.
    fn settle(&mut self, request: Request, now: Instant) {
        let Some(ending) = self.change.open.ending() else { return };
        let outcome = match ending.outcome() {
            Tried::Failed { text, errno } => {
                self.try_again(&text, now);
                Err(faults::host(format!("{FAILURE}: {text}; it is tried again"), errno))
            }
            Tried::Whole => {
                let removed = self.remove_snapshot();
                self.close_change(None, removed, now);
                Ok(Reply::Empty)
            }
            Tried::Lost(text) => {
                let names = [Kept::Change, Kept::Rollback];
                let kept = names.into_iter().find(|kept| self.change.folder.has(*kept));
                let told = match kept {
                    Some(kept) => self.put_aside(kept, text.clone()),
                    None => text.clone(),
                };
                // Where it cannot be put aside it goes: what can be restored is.
                let removed = self.remove_snapshot();
                error!("{FAILURE}: {told}");
                self.close_change(Some(&text), removed, now);
                Err(faults::host(format!("{FAILURE}: {told}"), libc::EIO))
            }
        };
        self.answer(request, outcome, now);
    }

    /// Removes the snapshot, whichever name it has by now.
    fn remove_snapshot(&self) -> Result<(), HostError> {
        let removed = self.change.folder.remove(Kept::Change);
        removed.and(self.change.folder.remove(Kept::Rollback))
    }

    /// The change is over, if its snapshot is gone: the next daemon would go back to it again.
    fn close_change(&mut self, lost: Option<&str>, removed: Result<(), HostError>, now: Instant) {
        if let Err(err) = removed {
            return self.try_again(&err.to_string(), now);
        }
        self.autostart.note_rolled_back();
        let Some(ending) = self.change.open.ending() else { return };
        let (cause, aside) = (ending.cause, ending.aside.take());
        let opening = ending.snapshot.opening.clone();
        let why = cause.as_str();
        match cause {
            Cause::NotBegun => {
                warn!("the snapshot of a change that was not begun is removed");
                return self.change.close(None);
            }
            Cause::Caller => {
                warn!("the change is rolled back that was {opening}");
                return self.change.close(None);
            }
            Cause::Deadline | Cause::Reboot | Cause::Resumed => {}
        }
        warn!("the change is rolled back that was {opening}: {why}");
        let at = Utc::since_epoch(wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default())
            .to_the_second();
        let mut last = format!("the change {opening} was rolled back at {at}: {why}");
        if let Some(lost) = lost {
            last += "; ";
            last += lost;
        }
        if let Some(aside) = aside {
            last += "; the edited definition files are kept in ";
            last += &aside;
        }
        if let Err(err) = self.change.folder.write_note(&last) {
            debug!("{err}");
        }
        self.change.close(Some(last));
    }

    /// A try of a rollback has failed.
    pub(super) fn try_again(&mut self, why: &str, now: Instant) {
        let pause = self.change.open.handle_failure(why.to_owned(), now).as_secs();
        let opening = self.change.open.opening();
        let opening = opening.map(ToString::to_string).unwrap_or_default();
        error!(
            "the rollback of the change {opening} has failed, and is tried again in {pause} s: {why}"
        );
    }

    /// What has become of a rollback that the daemon has asked for itself.
    pub(super) fn note_rolled_back(&mut self, outcome: Result<Reply, CallError>) {
        self.change.recovered = match self.change.open.status() {
            // All is restored, and the next daemon would go back to it again.
            Status::Ending { failure: Some(failure), .. } if outcome.is_ok() => {
                Err(faults::host(format!("{FAILURE}: {failure}"), libc::EIO))
            }
            Status::Ending { .. }
            | Status::Open(_)
            | Status::Closed { .. }
            | Status::Unread { .. } => outcome.map(|_| ()),
        };
    }
}
