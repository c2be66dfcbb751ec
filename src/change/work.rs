// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Work`]: a plan under way on a host that others change too. Hands out one action at a time.

use std::fmt;

use log::debug;

use crate::change::action::{Action, Context};
use crate::change::job::{self, Job, StepError};
use crate::model::name::IfName;
use crate::plan::step::Step;

/// A job, and what is known of the step under way.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) job: Job,
    /// Links that are out of the way when the job is done.
    pub(super) discarded: Vec<IfName>,
    /// Why it is to be given up, once the steps that have been sent are done.
    abort: Option<StepError>,
    /// The link whose state the kernel was asked for since the last step.
    settled: Option<IfName>,
}

impl Work {
    pub(super) fn new(job: Job, discarded: Vec<IfName>) -> Self {
        Self { job, discarded, abort: None, settled: None }
    }

    /// Gives it up. A step that has been sent is heard first.
    pub(super) fn abort(&mut self, why: StepError) {
        self.abort = Some(why);
    }

    /// The next action; `None` when the job is over. `brief` says in the log which change it is.
    pub(super) fn poll_action(
        &mut self,
        brief: &dyn fmt::Display,
        context: &Context<'_>,
    ) -> Option<Action> {
        // A step that was sent is done, and has to be undone.
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

    /// The steps behind the one under way.
    pub(super) fn upcoming(&self) -> impl Iterator<Item = &Step> {
        self.job.upcoming()
    }
}
