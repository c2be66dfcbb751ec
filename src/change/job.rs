// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Job`]: one plan under way. Hands out a step at a time, hears how it went, and takes back what
//! was done when one is refused.
//!
//! Knows no socket, no file and no clock: who drives it performs the steps, and tells the time. A
//! change that has failed leaves the host as it was before, as far as the host allows; what it does
//! not allow is told.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::error::{HostError, strerror};
use crate::host::Host;
use crate::limits::{LINK_GONE_TIME_MAX, SETTLE_TIME_MAX};
use crate::model::name::IfName;
use crate::plan::step::{Condition, LinkValue, Step};
use crate::plan::{Plan, Planned};

/// A plan under way.
#[derive(Clone, Debug)]
pub struct Job {
    todo: VecDeque<Planned>,
    /// What would take back what was done; what is to be done first is last.
    undo: Vec<Step>,
    current: Option<Current>,
    failure: Option<Failure>,
    /// Why it is not to go on, once the step under way is done.
    aborted: Option<StepError>,
    /// How long a DHCP client has to bring a lease.
    lease_time_max: Duration,
    on_refusal: OnRefusal,
    /// What was refused, and why, where the job went on all the same.
    refused: Vec<(Step, StepError)>,
}

/// What comes of a step that is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OnRefusal {
    /// All that was done is taken back.
    Undo,
    /// The rest is done.
    GoOn,
    /// The rest is done, but for what needs the link that could not be made, or become a port.
    LeaveOut,
}

/// The step that was handed out, or is waited for.
#[derive(Clone, Debug)]
struct Current {
    step: Step,
    undo: Vec<Step>,
    /// When to give up waiting, if that is what is done.
    deadline: Option<Instant>,
}

/// What is to be done next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JobAction {
    /// Carry this out, and tell how it went.
    Perform(Step),
    /// Come back when the table has changed, or the result of a step is known, or then. If it is the
    /// state of a link that is waited for, the kernel may be asked to hurry.
    Wait { deadline: Option<Instant>, link: Option<IfName> },
    /// It is over.
    Finished,
}

/// Why a step was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StepError {
    /// errno(3); 0 if there is none.
    pub errno: i32,
    pub text: String,
}

impl StepError {
    /// The kernel refuses, with a reason perhaps.
    pub fn kernel(errno: i32, reason: Option<&str>) -> Self {
        let text = match reason {
            Some(reason) => format!("{} ({reason})", strerror(errno)),
            None => strerror(errno),
        };
        Self { errno, text }
    }

    /// Something else stands in the way.
    pub fn other(text: String) -> Self {
        Self { errno: 0, text }
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

/// Why a change has failed, and what became of what had been done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    pub step: Step,
    pub error: StepError,
    /// Whether anything had been done before.
    had_begun: bool,
    /// What could not be taken back, and why not.
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
    /// A plan that has not begun.
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

    /// A plan of which as much as can be is done: nothing is taken back.
    pub fn persistent(plan: Plan) -> Self {
        Self { on_refusal: OnRefusal::GoOn, ..Self::new(plan, Duration::ZERO) }
    }

    /// A plan of which a refusal costs no more than it must: an address alone, or all that was to be
    /// done to a link.
    pub(crate) fn lenient(plan: Plan) -> Self {
        Self { on_refusal: OnRefusal::LeaveOut, ..Self::new(plan, Duration::ZERO) }
    }

    /// What is to be done next, with the table as it is.
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

    /// The steps that are handed out after this one, as long as each is done.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = &Step> {
        let (todo, undo) = match self.failure {
            None => (Some(&self.todo), None),
            Some(_) => (None, Some(&self.undo)),
        };
        let forth = todo.into_iter().flatten().map(|planned| &planned.step);
        forth.chain(undo.into_iter().flat_map(|undo| undo.iter().rev()))
    }

    /// Hears how the step went that was handed out. A result that comes when the step is known to
    /// be done already says nothing new.
    pub fn handle_result(&mut self, result: Result<(), StepError>) {
        match (result, &self.current) {
            (Ok(()), Some(_)) => self.advance(),
            (Err(error), Some(current)) => {
                if is_there(&current.step, error.errno) {
                    // Whoever put it there is not to lose it.
                    self.current = None;
                } else if is_gone(&current.step, error.errno)
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

    /// The change is not to go on: what was done is taken back, unless it is of those of which as much
    /// as can be is done. A step that is being carried out is heard first, and a change that ends with
    /// it is done.
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

    /// How it ended.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn outcome(&self) -> Result<(), &Failure> {
        self.failure.as_ref().map_or(Ok(()), Err)
    }

    /// What was refused, and why, where the job went on all the same.
    pub fn refused(&self) -> &[(Step, StepError)] {
        &self.refused
    }

    /// The steps that were not made, and those that were refused. The job is over.
    pub(crate) fn into_rest(self) -> (VecDeque<Planned>, Vec<(Step, StepError)>) {
        (self.todo, self.refused)
    }

    /// The next step forward, or back after a failure.
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

    /// The first failure turns the job around; later ones are what remains.
    fn fail(&mut self, error: StepError) {
        let Some(Current { step, .. }) = self.current.take() else { return };
        if self.on_refusal != OnRefusal::Undo {
            let is_left_out = self.on_refusal == OnRefusal::LeaveOut;
            if let Some(link) = needed_link(&step).filter(|_| is_left_out) {
                self.leave_out(link);
            }
            self.refused.push((step, error));
            return;
        }
        match &mut self.failure {
            Some(failure) => failure.remains.push((step, error)),
            None if step.is_courtesy() => {
                // Routes stay spelt out where what they led over is elsewhere.
                if matches!(step, Step::AddApart(_)) {
                    self.todo.retain(|it| !matches!(it.step, Step::LeadOver { .. }));
                }
                self.refused.push((step, error));
            }
            None => {
                let had_begun = !self.undo.is_empty();
                self.failure = Some(Failure { step, error, had_begun, remains: Vec::new() });
            }
        }
    }

    /// Nothing more is done to a link, and what was done to it is taken back.
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

    /// How long a step is waited for.
    fn patience(&self, step: &Step) -> Option<Duration> {
        condition(step).map(|condition| match condition {
            Condition::Leased { .. } => self.lease_time_max,
            Condition::Carries(_) | Condition::Up(_) | Condition::Down(_) => SETTLE_TIME_MAX,
            Condition::Gone(_) => LINK_GONE_TIME_MAX,
        })
    }
}

/// The link to which nothing else of a plan can be done if this step is not: it is not made, not up, or
/// not the port that it is to be.
fn needed_link(step: &Step) -> Option<IfName> {
    let is_needed = matches!(
        step,
        Step::AddLink(_)
            | Step::RemakeLink { .. }
            | Step::SetLink { value: LinkValue::Up | LinkValue::Down | LinkValue::Master(_), .. }
    );
    step.link_name().filter(|_| is_needed)
}

/// What the table shows when a step is done, for steps of which it tells earlier than the kernel's
/// answer does.
fn condition(step: &Step) -> Option<Condition> {
    if let Step::WaitFor(condition) = step {
        return Some(condition.clone());
    }
    if let Step::DeleteLink(name) = step { Some(Condition::Gone(*name)) } else { None }
}

/// Whether a refusal says that what is to be added is there already.
fn is_there(step: &Step, errno: i32) -> bool {
    let is_added =
        matches!(step, Step::AddAddress { .. } | Step::AddApart(_) | Step::AddRoute { .. });
    is_added && errno == libc::EEXIST
}

/// Whether a refusal says that what is to go has gone: the kernel takes some along with others, and
/// does not bring them back.
pub fn is_gone(step: &Step, errno: i32) -> bool {
    match errno {
        libc::EADDRNOTAVAIL => matches!(step, Step::DeleteAddress { .. }),
        libc::ENODEV => matches!(step, Step::DeleteLink(_)),
        libc::ENOENT => matches!(step, Step::DeleteApart(_)),
        libc::ESRCH => matches!(step, Step::DeleteApart(_) | Step::DeleteRoute { .. }),
        _ => false,
    }
}

/// Whether a refusal says that nothing needs to be taken back: of a link that is no more, or of IPv6
/// where there is none.
fn is_moot(step: &Step, errno: i32) -> bool {
    errno == libc::ENODEV || (errno == libc::ENOENT && matches!(step, Step::SetSysctl { .. }))
}

#[cfg(test)]
mod tests;
