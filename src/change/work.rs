// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Work`]: carries out a plan while other programs change the host too. Returns one action at a
//! time.

use std::fmt;

use log::debug;

use crate::change::action::{Action, Context};
use crate::change::job::{self, Job, StepError};
use crate::model::name::IfName;
use crate::plan::step::Step;

/// A job, and the state of its current step.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) job: Job,
    /// Renamed links to be deleted after the job.
    pub(super) discarded: Vec<IfName>,
    /// The reason to abort the job, once the steps that have been sent are done.
    abort: Option<StepError>,
    /// The link whose state the kernel was asked to update since the last step.
    settled: Option<IfName>,
}

impl Work {
    pub(super) fn new(job: Job, discarded: Vec<IfName>) -> Self {
        Self { job, discarded, abort: None, settled: None }
    }

    /// Aborts the job, after the step that has been sent.
    pub(super) fn abort(&mut self, why: StepError) {
        self.abort = Some(why);
    }

    /// Returns the next action; `None` when the job has ended. `brief` describes the change in the
    /// log.
    pub(super) fn poll_action(
        &mut self,
        brief: &dyn fmt::Display,
        context: &Context<'_>,
    ) -> Option<Action> {
        // A step that was sent is performed, so it must be undone.
        if let Some(why) = self.abort.take_if(|_| !context.is_ahead) {
            self.job.abort(why);
        }
        match self.job.poll_action(context.host, context.now.instant) {
            job::JobAction::Perform(step) => {
                self.settled = None;
                debug!("{brief}: {step}");
                Some(Action::Perform(step))
            }
            job::JobAction::Wait { link: Some(name), deadline } if self.settled != Some(name) => {
                self.settled = Some(name);
                let link = context.host.link_named(&name);
                Some(link.map_or(Action::Wait(deadline), |link| Action::Settle(link.index)))
            }
            job::JobAction::Wait { deadline, .. } => Some(Action::Wait(deadline)),
            job::JobAction::Finished => None,
        }
    }

    /// Iterates over the steps that follow the current one.
    pub(super) fn upcoming(&self) -> impl Iterator<Item = &Step> {
        self.job.upcoming()
    }
}
