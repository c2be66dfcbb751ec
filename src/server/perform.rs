// SPDX-License-Identifier: LGPL-2.1-or-later
//! One step of a change, done to the host: a request to the kernel, a file written, a DHCP client.
//!
//! Knows neither what the change is nor who has asked for it.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Instant;

use crate::change::job::{self, StepError};
use crate::error::HostError;
use crate::host::survey::{Survey, SurveyOrder};
use crate::io::switches;
use crate::limits::STEPS_AHEAD_MAX;
use crate::model::name::IfName;
use crate::plan;
use crate::plan::request::Means;
use crate::plan::step::Step;
use crate::server::Server;
use crate::server::inquiries::WithSurvey;
use crate::server::running::{Owed, StepProgress};

impl Server {
    /// Carries out one step, or has it carried out.
    pub(super) fn perform(&mut self, step: &Step, now: Instant) -> StepProgress {
        StepProgress::Done(match step {
            Step::EditFile(edit) => self.store.apply(edit).map_err(StepError::from),
            Step::RestoreFile(file) => self.store.restore(file).map_err(StepError::from),
            Step::Switch { link, switch, value } => {
                let path = switches::path(link, *switch);
                let changes = &mut self.jobs.changes;
                changes.begin();
                changes.add_sysctl(&path, *value);
                changes.send();
                return self.hear(Owed::Written(path), now);
            }
            Step::StartClient(lease) => self.leases.start(lease, now).map_err(|err| {
                let errno = err.errno().unwrap_or(0);
                StepError { errno, text: err.to_string() }
            }),
            Step::StopClient(lease) | Step::DropLease { lease, .. } => {
                self.leases.stop(lease.link, lease.family, now);
                return self.hear(Owed::ClientEnd(*lease, step.clone()), now);
            }
            Step::EndForeignClient(client) => match self.leases.end_foreign(client, now) {
                Ok(()) => return self.hear(Owed::ForeignEnd(client.clone()), now),
                Err(err) => Err(StepError::from(err)),
            },
            Step::StartForeignClient(client) if client.cleared_link().is_some() => {
                let links = client.cleared_link().into_iter().collect();
                self.ask_for_survey(SurveyOrder { links }, WithSurvey::GiveBack(client.clone()));
                return StepProgress::Owes(Owed::Survey);
            }
            Step::StartForeignClient(client) => match self.leases.give_back(client, now) {
                Ok(()) => return self.hear(Owed::ForeignStart(client.clone()), now),
                Err(err) => Err(StepError::from(err)),
            },
            Step::WaitFor(_) => Ok(()),
            Step::AddAddress { .. }
            | Step::AddApart(_)
            | Step::AddLink(_)
            | Step::AddRoute { .. }
            | Step::ChangeAddress { .. }
            | Step::DeleteAddress { .. }
            | Step::DeleteApart(_)
            | Step::DeleteLink(_)
            | Step::DeleteRoute { .. }
            | Step::DeleteVlans { .. }
            | Step::LeadOver { .. }
            | Step::RemakeLink { .. }
            | Step::RemakePair { .. }
            | Step::ResetLink { .. }
            | Step::SetLink { .. }
            | Step::SetNeighbours { .. }
            | Step::SetVlans { .. } => match self.send_with_next(step) {
                Ok(()) => return self.hear(Owed::Answer, now),
                Err(err) => Err(err),
            },
        })
    }

    /// Looks whether what a step waits for has come.
    pub(super) fn hear(&mut self, owed: Owed, now: Instant) -> StepProgress {
        let result = match owed {
            Owed::Survey => None,
            Owed::Answer => self.jobs.changes.poll_answer(),
            Owed::Written(ref path) => {
                let answer = self.jobs.changes.poll_answer();
                answer.map(|result| result.map_err(|err| unwritten(path, &err)))
            }
            Owed::Removals { sent, left } => return self.remove(sent, left),
            Owed::ClientEnd(ref lease, ref step) => {
                match self.leases.is_running(lease.link, lease.family) {
                    true => None,
                    // Only now, or the client might bring it again.
                    false => return self.begin_taking_away(lease.link, step),
                }
            }
            Owed::ForeignEnd(ref client) => {
                let ended = self.leases.foreign_ended(client, now);
                ended.map(|outcome| outcome.map_err(|err| StepError::from(&err)))
            }
            Owed::Clearing(clearing) => return self.await_clearing(clearing, now),
            Owed::ScriptEnd(clearing) => return self.await_script(clearing, now),
            Owed::PutBack { sent, left } => return self.put_back(sent, left),
            Owed::ForeignStart(ref client) => self.leases.is_given_back(client).then_some(Ok(())),
        };
        result.map_or(StepProgress::Owes(owed), StepProgress::Done)
    }

    /// A DHCP client has ended: what it had brought is taken away, if the step says so.
    fn begin_taking_away(&mut self, link: IfName, step: &Step) -> StepProgress {
        if !matches!(step, Step::DropLease { .. }) {
            return StepProgress::Done(Ok(()));
        }
        let order = SurveyOrder { links: BTreeSet::from([link]) };
        self.ask_for_survey(order, WithSurvey::TakeAway(step.clone()));
        StepProgress::Owes(Owed::Survey)
    }

    /// Sends the kernel the request that a step is, and with it those of the steps behind it: between
    /// them nothing is to happen.
    fn send_with_next(&mut self, step: &Step) -> Result<(), StepError> {
        if self.jobs.changes.take_up_next() {
            return Ok(());
        }
        self.jobs.changes.begin();
        self.add(step)?;
        let behind = self.jobs.running.iter().flat_map(|running| running.job.upcoming());
        let changes = &mut self.jobs.changes;
        let mut last = step;
        for next in behind.take(STEPS_AHEAD_MAX) {
            // A link that is yet to be made or called so has no number here.
            if last.changes_names() || next.means() != Means::Request {
                break;
            }
            if changes.add(|out, sequence| next.encode(out, sequence, &self.host)).is_err() {
                break;
            }
            last = next;
        }
        changes.send();
        Ok(())
    }

    /// Sends one request alone.
    pub(super) fn send(&mut self, step: &Step) -> Result<(), StepError> {
        self.jobs.changes.begin();
        self.add(step)?;
        self.jobs.changes.send();
        Ok(())
    }

    fn add(&mut self, step: &Step) -> Result<(), StepError> {
        let added = self.jobs.changes.add(|out, sequence| step.encode(out, sequence, &self.host));
        added.map_err(|_| StepError::kernel(libc::ENODEV, None))
    }

    /// Takes from a link what a DHCP client has brought that has ended, as the step says.
    pub(super) fn take_away(&mut self, survey: &Survey, step: &Step, now: Instant) {
        let Step::DropLease { lease, addresses, routes } = step else { return };
        let there = survey.named(&lease.link);
        let steps = there.map(|it| plan::without_lease(it, lease.family, addresses, routes));
        let removals = Owed::Removals { sent: None, left: steps.unwrap_or_default().into() };
        let progress = self.hear(removals, now);
        self.note_progress(progress);
    }

    /// Goes on with removals: one is sent when the one before it is answered.
    fn remove(&mut self, mut sent: Option<Step>, mut left: VecDeque<Step>) -> StepProgress {
        loop {
            if let Some(step) = sent {
                match self.jobs.changes.poll_answer() {
                    None => return StepProgress::Owes(Owed::Removals { sent: Some(step), left }),
                    // The kernel has taken it along with another.
                    Some(Err(err)) if !job::is_gone(&step, err.errno) => {
                        return StepProgress::Done(Err(err));
                    }
                    Some(Err(_) | Ok(())) => {}
                }
            }
            let Some(step) = left.pop_front() else { return StepProgress::Done(Ok(())) };
            if let Err(err) = self.send(&step) {
                return StepProgress::Done(Err(err));
            }
            sent = Some(step);
        }
    }
}

/// Why a file was not written.
fn unwritten(path: &str, err: &StepError) -> StepError {
    let cause = io::Error::from_raw_os_error(err.errno);
    StepError::from(HostError::new("write", path, &cause))
}
