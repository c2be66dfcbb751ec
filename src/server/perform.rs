// SPDX-License-Identifier: LGPL-2.1-or-later
//! One step of a change, done to the host: a request to the kernel, a file written, a DHCP client.
//!
//! Knows neither what the change is nor who has asked for it.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::host::survey::SurveyOrder;
use crate::io::switches;
use crate::job::{self, StepError};
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::plan;
use crate::plan::request::Means;
use crate::plan::step::Step;
use crate::server::Server;

/// How far a step has got.
#[derive(Debug)]
pub(super) enum StepProgress {
    Done(Result<(), StepError>),
    Owes(Owed),
}

/// What a step waits for that is not done at once.
#[derive(Debug)]
pub(super) enum Owed {
    /// The kernel's answer.
    Answer,
    /// The end of a DHCP client, which this step stops.
    ClientEnd(Lease, Step),
    /// The end of a DHCP client that somebody else has started.
    ForeignEnd(Box<ForeignClient>),
}

impl Server {
    /// Carries out one step, or has it carried out.
    pub(super) fn perform(&mut self, step: &Step, now: Instant) -> StepProgress {
        StepProgress::Done(match step {
            Step::EditFile(edit) => self.store.apply(edit).map_err(StepError::from),
            Step::RestoreFile(file) => self.store.restore(file).map_err(StepError::from),
            Step::Switch { link, switch, value } => {
                switches::write(link, *switch, *value).map_err(StepError::from)
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
            Step::StartForeignClient(client) => {
                self.leases.give_back(client).map_err(StepError::from)
            }
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
            | Step::ResetLink { .. }
            | Step::SetLink { .. }
            | Step::SetVlans { .. } => match self.send(step) {
                Ok(()) => return self.hear(Owed::Answer, now),
                Err(err) => Err(err),
            },
        })
    }

    /// Looks whether what a step waits for has come.
    pub(super) fn hear(&mut self, owed: Owed, now: Instant) -> StepProgress {
        let result = match &owed {
            Owed::Answer => self.jobs.changes.poll_answer(&mut self.buffer),
            Owed::ClientEnd(lease, _) if self.leases.is_running(lease.link, lease.family) => None,
            // Only now, or the client might bring it again.
            Owed::ClientEnd(_, step) => Some(self.take_away(step)),
            Owed::ForeignEnd(client) => {
                let ended = self.leases.foreign_ended(client, now);
                ended.map(|outcome| outcome.map_err(|err| StepError::from(&err)))
            }
        };
        result.map_or(StepProgress::Owes(owed), StepProgress::Done)
    }

    /// Sends the kernel the request that a step is.
    fn send(&mut self, step: &Step) -> Result<(), StepError> {
        let changes = &mut self.jobs.changes;
        changes
            .begin(|out, sequence| step.encode(out, sequence, &self.host))
            .map_err(|_| StepError::kernel(libc::ENODEV, None))?;
        let sent = match step.means() {
            Means::SlowRequest => changes.send_aside(),
            Means::Request | Means::Other => changes.send(),
        };
        sent.map_err(|err| StepError::from(&err))
    }

    /// Takes from a link what a DHCP client has brought that has ended, if the step says so.
    fn take_away(&mut self, step: &Step) -> Result<(), StepError> {
        let Step::DropLease { lease, addresses, routes } = step else { return Ok(()) };
        let link = lease.link;
        let order = SurveyOrder { links: BTreeSet::from([link]) };
        let survey = self.kernel.survey(&order, &self.host, &mut self.buffer)?;
        let Some(now) = survey.named(&link) else { return Ok(()) };
        for step in plan::without_lease(now, lease.family, addresses, routes) {
            self.send(&step)?;
            // The kernel answers these at once.
            let answer = self.jobs.changes.poll_answer(&mut self.buffer);
            match answer.unwrap_or_else(|| Err(StepError::kernel(libc::EAGAIN, None))) {
                // The kernel has taken it along with another.
                Err(err) if !job::is_gone(&step, err.errno) => return Err(err),
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }
}
