// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Job`]: carries out one plan. Returns one step at a time, takes its result, and undoes the
//! performed steps if one is refused.
//!
//! Knows no socket, no file and no clock: the caller performs the steps, and passes the time in. A
//! failed change leaves the host in its former state, as far as the host allows; steps that could
//! not be undone are reported.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::error::{HostError, strerror};
use crate::host::Host;
use crate::limits::{LINK_GONE_TIME_MAX, SETTLE_TIME_MAX};
use crate::model::name::IfName;
use crate::plan::request::{KernelRequest, LinkValue};
use crate::plan::step::{Condition, Step};
use crate::plan::{Plan, Planned};

/// A plan under way.
#[derive(Clone, Debug)]
pub struct Job {
    todo: VecDeque<Planned>,
    /// The steps that undo the performed ones, in reverse order.
    undo: Vec<Step>,
    current: Option<Current>,
    failure: Option<Failure>,
    /// The reason why the job is to stop after the current step.
    aborted: Option<StepError>,
    /// The time that a DHCP client has to obtain a lease.
    lease_time_max: Duration,
    on_refusal: OnRefusal,
    /// The refused steps of a job that continued, with the reasons.
    refused: Vec<(Step, StepError)>,
}

/// The reaction to a refused step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OnRefusal {
    /// Undo all performed steps.
    Undo,
    /// Perform the remaining steps.
    Persist,
    /// Perform the remaining steps, except those for a link that could not be created or become a
    /// port.
    BeLenient,
}

/// The current step, which is being performed or waited for.
#[derive(Clone, Debug)]
struct Current {
    step: Step,
    undo: Vec<Step>,
    /// When to stop waiting, if the step waits.
    deadline: Option<Instant>,
}

/// The caller's next action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JobAction {
    /// Perform this step, and pass its result in.
    Perform(Step),
    /// Poll again when the table has changed, the result of a step is known, or at the deadline. If
    /// `link` is set, the kernel may be asked to update that link's state.
    Wait { deadline: Option<Instant>, link: Option<IfName> },
    /// The job has ended.
    Finished,
}

/// The reason why a step was not performed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StepError {
    /// errno(3); 0 if there is none.
    pub errno: i32,
    pub text: String,
}

impl StepError {
    /// The kernel refused, perhaps with a reason.
    pub fn kernel(errno: i32, reason: Option<&str>) -> Self {
        let text = match reason {
            Some(reason) => format!("{} ({reason})", strerror(errno)),
            None => strerror(errno),
        };
        Self { errno, text }
    }
}

impl From<&io::Error> for StepError {
    fn from(err: &io::Error) -> Self {
        Self::kernel(err.raw_os_error().unwrap_or(0), None)
    }
}

impl From<HostError> for StepError {
    fn from(err: HostError) -> Self {
        Self { errno: err.errno(), text: err.to_string() }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The failure of a change, and the steps that could not be undone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    pub step: Step,
    pub error: StepError,
    /// Whether earlier steps were performed.
    had_begun: bool,
    /// The undo steps that failed, with the reasons.
    pub remains: Vec<(Step, StepError)>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)?;
        match (self.had_begun, self.remains.as_slice()) {
            (false, _) => f.write_str("; nothing has been changed"),
            (true, []) => f.write_str("; the steps already done were undone"),
            (true, remains) => {
                f.write_str("; these steps could not be undone:")?;
                for (at, (step, error)) in remains.iter().enumerate() {
                    let separator = if at == 0 { "" } else { ";" };
                    write!(f, "{separator} {step}: {error}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Failure {}

impl Job {
    /// Creates a job that undoes its steps if one is refused.
    pub fn new(plan: Plan, lease_time_max: Duration) -> Self {
        Self {
            todo: plan.steps.into(),
            undo: Vec::new(),
            current: None,
            failure: None,
            aborted: None,
            lease_time_max,
            on_refusal: OnRefusal::Undo,
            refused: Vec::new(),
        }
    }

    /// Creates a job that performs as many steps as possible, and undoes none.
    pub fn persistent(plan: Plan) -> Self {
        Self { on_refusal: OnRefusal::Persist, ..Self::new(plan, Duration::ZERO) }
    }

    /// Creates a job in which a refused step has the least effect: an address alone is missing, or
    /// all steps for a link are omitted.
    pub(crate) fn lenient(plan: Plan) -> Self {
        Self { on_refusal: OnRefusal::BeLenient, ..Self::new(plan, Duration::ZERO) }
    }

    /// Returns the next action, given the current table.
    pub fn poll_action(&mut self, host: &Host, now: Instant) -> JobAction {
        loop {
            if let Some(current) = &self.current {
                let holds = condition(&current.step).is_some_and(|wanted| wanted.holds(host));
                if holds {
                    self.advance();
                } else if condition(&current.step).is_some_and(|wanted| wanted.is_hopeless(host)) {
                    self.fail(StepError::kernel(libc::ENODEV, None));
                } else if current.deadline.is_some_and(|deadline| deadline <= now) {
                    self.give_up_waiting();
                } else {
                    let link = condition(&current.step).and_then(|wanted| wanted.settling());
                    return JobAction::Wait { deadline: current.deadline, link };
                }
                continue;
            }
            let Some(Planned { step, undo }) = self.next() else { return JobAction::Finished };
            let deadline = self.patience(&step).map(|patience| now + patience);
            let is_waiting = matches!(step, Step::WaitFor(_));
            self.current = Some(Current { step: step.clone(), undo, deadline });
            if let Some(why) = self.aborted.take_if(|_| self.failure.is_none()) {
                self.fail(why);
                continue;
            }
            if !is_waiting {
                return JobAction::Perform(step);
            }
        }
    }

    /// Iterates over the steps that follow the current one, as long as each succeeds.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = &Step> {
        let (todo, undo) = match self.failure {
            None => (Some(&self.todo), None),
            Some(_) => (None, Some(&self.undo)),
        };
        let forth = todo.into_iter().flatten().map(|planned| &planned.step);
        forth.chain(undo.into_iter().flat_map(|undo| undo.iter().rev()))
    }

    /// Takes the result of the current step. A result that arrives after the table has shown that
    /// the step is done is ignored.
    pub fn handle_result(&mut self, result: Result<(), StepError>) {
        match (result, &self.current) {
            (Ok(()), Some(_)) => self.advance(),
            (Err(error), Some(current)) => {
                let request = current.step.request();
                if request.is_some_and(|it| is_there(it, error.errno)) {
                    // An object that existed before must not be removed by an undo.
                    self.current = None;
                } else if request.is_some_and(|it| is_gone(it, error.errno))
                    || (self.failure.is_some() && is_moot(&current.step, error.errno))
                {
                    self.advance();
                } else {
                    self.fail(error);
                }
            }
            (_, None) => {}
        }
    }

    /// Aborts the job: performed steps are undone, unless the job never undoes. A step being
    /// performed ends first, and a job that ends with it is complete.
    pub(crate) fn abort(&mut self, why: StepError) {
        if self.failure.is_some() {
            return;
        }
        if self.on_refusal != OnRefusal::Undo {
            self.todo.clear();
        }
        if self.current.as_ref().is_some_and(|it| matches!(it.step, Step::WaitFor(_))) {
            self.fail(why);
        } else {
            self.aborted = Some(why);
        }
    }

    /// Returns the job's outcome.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn outcome(&self) -> Result<(), &Failure> {
        self.failure.as_ref().map_or(Ok(()), Err)
    }

    /// Returns the refused steps of a job that continued, with the reasons.
    pub fn refused(&self) -> &[(Step, StepError)] {
        &self.refused
    }

    /// The steps that were not performed, and those that were refused. The job is over.
    pub(crate) fn into_rest(self) -> (VecDeque<Planned>, Vec<(Step, StepError)>) {
        (self.todo, self.refused)
    }

    /// Returns the next step, or the next undo step after a failure.
    fn next(&mut self) -> Option<Planned> {
        match self.failure {
            None => self.todo.pop_front(),
            Some(_) => self.undo.pop().map(|step| Planned { step, undo: Vec::new() }),
        }
    }

    fn advance(&mut self) {
        if let Some(Current { undo, .. }) = self.current.take() {
            self.undo.extend(undo.into_iter().rev());
        }
    }

    /// Handles a refused step: the first failure begins the undo; later ones are recorded.
    fn fail(&mut self, error: StepError) {
        let Some(Current { step, .. }) = self.current.take() else { return };
        if self.on_refusal != OnRefusal::Undo {
            let is_left_out = self.on_refusal == OnRefusal::BeLenient;
            if let Some(link) = needed_link(&step).filter(|_| is_left_out) {
                self.leave_out(link);
            }
            self.refused.push((step, error));
            return;
        }
        match &mut self.failure {
            Some(failure) => failure.remains.push((step, error)),
            None if step.is_courtesy() => {
                // Routes stay without the nexthop object, which could not be moved.
                if matches!(step, Step::Request(KernelRequest::AddApart(_))) {
                    self.todo.retain(|it| {
                        !matches!(it.step, Step::Request(KernelRequest::LeadOver { .. }))
                    });
                }
                self.refused.push((step, error));
            }
            None => {
                let had_begun = !self.undo.is_empty();
                self.failure = Some(Failure { step, error, had_begun, remains: Vec::new() });
            }
        }
    }

    /// Omits the remaining steps for a link, and undoes the performed ones.
    fn leave_out(&mut self, link: IfName) {
        let is_of_link = |step: &Step| step.link_name() == Some(link);
        self.todo.retain(|planned| !is_of_link(&planned.step));
        let (back, rest) = self.undo.drain(..).partition(is_of_link);
        self.undo = rest;
        let back: Vec<Step> = back;
        for step in back {
            self.todo.push_front(Planned { step, undo: Vec::new() });
        }
    }

    fn give_up_waiting(&mut self) {
        let waited_for = self.current.as_ref().and_then(|current| condition(&current.step));
        let is_required = waited_for.is_none_or(|condition| condition.is_required());
        if is_required {
            self.fail(StepError::kernel(libc::ETIMEDOUT, None));
        } else {
            self.advance();
        }
    }

    /// Returns how long to wait for a step.
    fn patience(&self, step: &Step) -> Option<Duration> {
        condition(step).map(|condition| match condition {
            Condition::Leased { .. } => self.lease_time_max,
            Condition::Carries(_) | Condition::Up(_) | Condition::Down(_) => SETTLE_TIME_MAX,
            Condition::Gone(_) => LINK_GONE_TIME_MAX,
        })
    }
}

/// Returns the link for which no further step is possible if this step fails, since the link is not
/// created, not up, or not a port.
fn needed_link(step: &Step) -> Option<IfName> {
    let is_needed = matches!(
        step.request()?,
        KernelRequest::AddLink(_)
            | KernelRequest::RemakeLink { .. }
            | KernelRequest::SetLink {
                value: LinkValue::Up | LinkValue::Down | LinkValue::Master(_),
                ..
            }
    );
    step.link_name().filter(|_| is_needed)
}

/// Returns the condition in the table that shows a step as done, for steps whose event precedes the
/// kernel's answer.
fn condition(step: &Step) -> Option<Condition> {
    match step {
        Step::WaitFor(condition) => Some(condition.clone()),
        Step::Request(KernelRequest::DeleteLink(name)) => Some(Condition::Gone(*name)),
        Step::Request(_) | Step::File(_) | Step::Dhcp(_) | Step::SetSysctl { .. } => None,
    }
}

/// Returns whether a refusal means that the object to be added exists already.
fn is_there(request: &KernelRequest, errno: i32) -> bool {
    let is_added = matches!(
        request,
        KernelRequest::AddAddress { .. }
            | KernelRequest::AddApart(_)
            | KernelRequest::AddRoute { .. }
    );
    is_added && errno == libc::EEXIST
}

/// Returns whether a refusal means that the object to be removed is gone: the kernel removes some
/// objects along with others, and does not restore them.
pub fn is_gone(request: &KernelRequest, errno: i32) -> bool {
    match errno {
        libc::EADDRNOTAVAIL => matches!(request, KernelRequest::DeleteAddress { .. }),
        libc::ENODEV => matches!(request, KernelRequest::DeleteLink(_)),
        libc::ENOENT => matches!(request, KernelRequest::DeleteApart(_)),
        libc::ESRCH => {
            matches!(request, KernelRequest::DeleteApart(_) | KernelRequest::DeleteRoute { .. })
        }
        _ => false,
    }
}

/// Returns whether a refusal means that nothing needs to be undone, as the link is removed, or IPv6
/// is missing.
fn is_moot(step: &Step, errno: i32) -> bool {
    errno == libc::ENODEV || (errno == libc::ENOENT && matches!(step, Step::SetSysctl { .. }))
}

#[cfg(test)]
mod tests;
