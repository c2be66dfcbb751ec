// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`OpenTransaction`]: the state of a transaction, from its begin to its end.
//!
//! Knows no file, no kernel and no clock: the caller performs its decisions, and passes the time
//! in. The snapshot is kept in memory while the transaction is open, so a rollback depends on no
//! file. A rollback, once due, runs to its end: a failed try is followed by another one after a
//! pause, and until one succeeds the transaction is neither committed nor forgotten.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::change::rollback::{Remains, RollbackParts};
use crate::definitions::files::FilePath;
use crate::limits::{ROLLBACK_PAUSE_MAX, ROLLBACK_PAUSE_MIN};
use crate::snapshot::{Opening, Snapshot};

/// The interval at which the clock is checked while a transaction has a deadline: the loop's own
/// clock does not count the time that the host sleeps.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The transaction of a host, if there is one.
#[derive(Clone, Debug, Default)]
pub struct OpenTransaction {
    state: TransactionState,
    /// How the last transaction ended, unless a client ended it.
    last: Option<String>,
}

#[derive(Clone, Debug, Default)]
enum TransactionState {
    /// There is none.
    #[default]
    Closed,
    /// It can be committed and rolled back.
    Open(Rc<Snapshot>),
    /// Its rollback is requested or under way.
    RollingBack(PendingRollback),
    /// A try to roll it back has failed.
    Waiting { ending: PendingRollback, retry: Retry },
    /// An earlier daemon has left a file that cannot be read at present.
    Unread(Retry),
}

/// A rollback, and its progress.
#[derive(Clone, Debug)]
pub struct PendingRollback {
    pub snapshot: Rc<Snapshot>,
    pub cause: Cause,
    /// The parts that are yet to be restored.
    pub parts: RollbackParts,
    /// The differences that cannot be restored.
    lost: Vec<String>,
    /// The differences that this try has not restored, and the first cause (errno(3)).
    failures: Vec<String>,
    errno: Option<i32>,
    /// The folder with copies of replaced definition files.
    pub aside: Option<String>,
    /// The files that need no copy any more.
    pub copied: BTreeSet<FilePath>,
    pause: Duration,
}

/// A part of the snapshot. The parts are restored one after the other, first the network, as it
/// needs no files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RollbackPart {
    Network,
    Files,
}

/// The result of a try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tried {
    /// Everything is restored.
    Whole,
    /// Everything is restored except this, which cannot be.
    Lost(String),
    /// Another try may restore more.
    Failed { text: String, errno: i32 },
}

/// The reason why a transaction ends without a commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// `change_timeout` has expired.
    Deadline,
    /// The host was rebooted.
    Reboot,
    /// An earlier daemon had begun to roll it back.
    Resumed,
    /// A client requested it.
    Caller,
    /// It could not begin, and its snapshot could not be removed.
    NotBegun,
}

/// The schedule of another try.
#[derive(Clone, Debug)]
struct Retry {
    at: Instant,
    pause: Duration,
    failure: String,
}

/// The status on which calls depend.
#[derive(Clone, Copy, Debug)]
pub enum Status<'a> {
    Open(&'a Opening),
    /// No transaction is open. If the last one ended by itself: how.
    Closed {
        last: Option<&'a str>,
    },
    /// It is being rolled back; if a try has failed: why.
    Ending {
        opening: &'a Opening,
        failure: Option<&'a str>,
    },
    /// It is unknown whether one is open, for this reason.
    Unread {
        failure: &'a str,
    },
}

impl Default for Status<'_> {
    fn default() -> Self {
        Self::Closed { last: None }
    }
}

impl Status<'_> {
    /// Returns why the host must not be changed now, if so: a rollback would undo the change.
    pub(crate) fn obstacle(&self) -> Option<String> {
        match self {
            Self::Open(_) | Self::Closed { .. } => None,
            Self::Ending { opening, failure: None } => {
                Some(format!("the change {opening} is being rolled back"))
            }
            Self::Ending { opening, failure: Some(failure) } => Some(format!(
                "the rollback of the change {opening} has failed and will be retried: {failure}"
            )),
            Self::Unread { failure } => {
                Some(format!("cannot read whether a change is open; will retry: {failure}"))
            }
        }
    }

    /// Returns why no transaction can begin.
    pub(crate) fn why_not_begun(&self) -> Option<String> {
        match self {
            Self::Open(opening) => Some(format!("one is already open, {opening}")),
            Self::Closed { .. } | Self::Ending { .. } | Self::Unread { .. } => self.obstacle(),
        }
    }

    /// Returns why none can be committed.
    pub(crate) fn why_not_committed(&self) -> Option<String> {
        match self {
            Self::Open(_) => None,
            Self::Closed { last: Some(last) } => Some(format!("none is open: {last}")),
            Self::Closed { last: None } => Some("none has been begun".to_owned()),
            Self::Ending { .. } | Self::Unread { .. } => self.obstacle(),
        }
    }

    /// Returns why none can be rolled back. One that waits for another try can be.
    pub(crate) fn why_not_rolled_back(&self) -> Option<String> {
        match self {
            Self::Ending { .. } => None,
            Self::Open(_) | Self::Closed { .. } | Self::Unread { .. } => self.why_not_committed(),
        }
    }
}

impl PendingRollback {
    fn new(snapshot: Rc<Snapshot>, cause: Cause) -> Self {
        Self {
            snapshot,
            cause,
            parts: RollbackParts { network: true, files: true },
            lost: Vec::new(),
            failures: Vec::new(),
            errno: None,
            aside: None,
            copied: BTreeSet::new(),
            pause: ROLLBACK_PAUSE_MIN,
        }
    }

    /// Returns the part that this try continues with, after another one.
    pub(crate) fn next_part(&self, after: Option<RollbackPart>) -> Option<RollbackPart> {
        match after {
            None if self.parts.network => Some(RollbackPart::Network),
            None | Some(RollbackPart::Network) if self.parts.files => Some(RollbackPart::Files),
            None | Some(_) => None,
        }
    }

    /// Notes the end of a part in this try; `remains` lists the remaining differences.
    pub(crate) fn handle_part(&mut self, part: RollbackPart, remains: Option<Remains>) {
        let remains = remains.unwrap_or_default();
        let is_done = remains.network.is_empty() && remains.files.is_empty();
        if is_done {
            self.lost.extend(remains.lost);
            match part {
                RollbackPart::Network => self.parts.network = false,
                RollbackPart::Files => self.parts.files = false,
            }
        } else {
            self.errno = self.errno.or(remains.errno);
            let Remains { lost, network, files, .. } = remains;
            self.failures.extend([lost, network, files].into_iter().flatten());
        }
    }

    /// Returns the result of this try, after its last part.
    pub fn outcome(&self) -> Tried {
        const WORDS: &str = "not restored: ";
        if !self.failures.is_empty() {
            let all = [&self.lost[..], &self.failures[..]].concat();
            let text = format!("{WORDS}{}", all.join("; "));
            return Tried::Failed { text, errno: self.errno.unwrap_or(libc::EIO) };
        }
        match self.lost.is_empty() {
            true => Tried::Whole,
            false => Tried::Lost(format!("{WORDS}{}", self.lost.join("; "))),
        }
    }
}

/// The action that is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransactionDue {
    /// The first try of the rollback.
    Rollback,
    /// Another try of the rollback.
    Again,
    /// A look for files that an earlier daemon has left.
    Find,
}

impl Cause {
    /// Returns the cause as text for the log and for errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "change_timeout expired",
            Self::Reboot => "the host rebooted before a commit",
            Self::Resumed => "an earlier daemon had begun the rollback",
            Self::Caller => "a client asked for it",
            Self::NotBegun => "the change could not begin",
        }
    }
}

impl OpenTransaction {
    /// Returns the status, on which calls depend.
    pub fn status(&self) -> Status<'_> {
        match &self.state {
            TransactionState::Closed => Status::Closed { last: self.last.as_deref() },
            TransactionState::Open(snapshot) => Status::Open(&snapshot.opening),
            TransactionState::RollingBack(PendingRollback { snapshot, .. }) => {
                Status::Ending { opening: &snapshot.opening, failure: None }
            }
            TransactionState::Waiting { ending, retry } => {
                Status::Ending { opening: &ending.snapshot.opening, failure: Some(&retry.failure) }
            }
            TransactionState::Unread(retry) => Status::Unread { failure: &retry.failure },
        }
    }

    /// Returns the transaction's origin, until its end.
    pub fn opening(&self) -> Option<&Opening> {
        self.snapshot().map(|snapshot| &snapshot.opening)
    }

    /// Returns the transaction's snapshot.
    pub fn snapshot(&self) -> Option<&Rc<Snapshot>> {
        match &self.state {
            TransactionState::Closed | TransactionState::Unread(_) => None,
            TransactionState::Open(snapshot) => Some(snapshot),
            TransactionState::RollingBack(ending) | TransactionState::Waiting { ending, .. } => {
                Some(&ending.snapshot)
            }
        }
    }

    /// Returns the transaction's snapshot, while changes can be a part of it.
    pub fn open(&self) -> Option<&Rc<Snapshot>> {
        match &self.state {
            TransactionState::Open(snapshot) => Some(snapshot),
            TransactionState::Closed
            | TransactionState::RollingBack(_)
            | TransactionState::Waiting { .. }
            | TransactionState::Unread(_) => None,
        }
    }

    /// Returns the transaction's snapshot if it can be committed at this time: not after its
    /// deadline, even if the deadline was not handled yet.
    pub(crate) fn committable(&self, since_boot: Option<Duration>) -> Option<&Rc<Snapshot>> {
        let is_over =
            |it: &&Rc<Snapshot>| since_boot.is_some_and(|since| it.opening.is_over(since));
        self.open().filter(|it| !is_over(it))
    }

    /// Returns whether there is no transaction, and none can be found.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, TransactionState::Closed)
    }

    /// Begins a transaction, or continues one that an earlier daemon has left.
    pub fn begin(&mut self, snapshot: Rc<Snapshot>) {
        self.state = TransactionState::Open(snapshot);
        self.last = None;
    }

    /// Closes the transaction. Returns its snapshot, which is not needed any more.
    pub(crate) fn close(&mut self, last: Option<String>) -> Option<Rc<Snapshot>> {
        self.last = last;
        match std::mem::take(&mut self.state) {
            TransactionState::Open(snapshot)
            | TransactionState::RollingBack(PendingRollback { snapshot, .. })
            | TransactionState::Waiting { ending: PendingRollback { snapshot, .. }, .. } => {
                Some(snapshot)
            }
            TransactionState::Closed | TransactionState::Unread(_) => None,
        }
    }

    /// Begins a rollback, or its next try. Returns `None` if no transaction is open.
    pub fn roll_back(&mut self, cause: Cause) -> Option<&mut PendingRollback> {
        self.state = match std::mem::take(&mut self.state) {
            TransactionState::Open(snapshot) => {
                TransactionState::RollingBack(PendingRollback::new(snapshot, cause))
            }
            TransactionState::Waiting { mut ending, .. } => {
                (ending.failures, ending.errno) = (Vec::new(), None);
                TransactionState::RollingBack(ending)
            }
            state @ (TransactionState::Closed
            | TransactionState::RollingBack(_)
            | TransactionState::Unread(_)) => state,
        };
        self.ending()
    }

    /// Returns the rollback that is under way.
    pub fn ending(&mut self) -> Option<&mut PendingRollback> {
        match &mut self.state {
            TransactionState::RollingBack(ending) => Some(ending),
            TransactionState::Closed
            | TransactionState::Open(_)
            | TransactionState::Waiting { .. }
            | TransactionState::Unread(_) => None,
        }
    }

    /// Notes that a try has failed. Returns the pause before the next one.
    pub(crate) fn handle_failure(&mut self, failure: String, now: Instant) -> Duration {
        let (state, pause) = match std::mem::take(&mut self.state) {
            TransactionState::RollingBack(mut ending)
            | TransactionState::Waiting { mut ending, .. } => {
                let pause = ending.pause;
                ending.pause = longer(pause);
                let retry = Retry { at: now + pause, pause, failure };
                (TransactionState::Waiting { ending, retry }, pause)
            }
            state @ (TransactionState::Closed
            | TransactionState::Open(_)
            | TransactionState::Unread(_)) => (state, ROLLBACK_PAUSE_MIN),
        };
        self.state = state;
        pause
    }

    /// Notes that files of an earlier daemon cannot be read. Returns the pause before the next try.
    pub(crate) fn handle_unread(&mut self, failure: String, now: Instant) -> Duration {
        let pause = match &self.state {
            TransactionState::Unread(retry) => longer(retry.pause),
            TransactionState::Closed
            | TransactionState::Open(_)
            | TransactionState::RollingBack(_)
            | TransactionState::Waiting { .. } => ROLLBACK_PAUSE_MIN,
        };
        self.state = TransactionState::Unread(Retry { at: now + pause, pause, failure });
        pause
    }

    /// Postpones the next look for files of an earlier daemon.
    pub(crate) fn postpone(&mut self, now: Instant) {
        if let TransactionState::Unread(retry) = &mut self.state {
            retry.at = now + retry.pause;
        }
    }

    /// Returns the action that is due at this time, by the clock of deadlines, and changes the
    /// state accordingly.
    pub(crate) fn poll_due(
        &mut self,
        since_boot: Option<Duration>,
        now: Instant,
    ) -> Option<TransactionDue> {
        match &self.state {
            TransactionState::Open(snapshot)
                if since_boot.is_some_and(|since| snapshot.opening.is_over(since)) =>
            {
                self.roll_back(Cause::Deadline);
                Some(TransactionDue::Rollback)
            }
            TransactionState::Waiting { ending, retry } if retry.at <= now => {
                let cause = ending.cause;
                self.roll_back(cause);
                Some(TransactionDue::Again)
            }
            TransactionState::Unread(retry) if retry.at <= now => Some(TransactionDue::Find),
            TransactionState::Closed
            | TransactionState::Open(_)
            | TransactionState::RollingBack(_)
            | TransactionState::Waiting { .. }
            | TransactionState::Unread(_) => None,
        }
    }

    /// Returns when to check again.
    pub fn deadline(&self, since_boot: Option<Duration>, now: Instant) -> Option<Instant> {
        match &self.state {
            TransactionState::Open(snapshot) => {
                let deadline = snapshot.opening.deadline?;
                let left = deadline.saturating_sub(since_boot.unwrap_or(deadline));
                // A deadline that has passed is handled by another rollback already.
                let left = if left.is_zero() { LOOK_INTERVAL } else { left };
                Some(now + left.min(LOOK_INTERVAL))
            }
            TransactionState::Waiting { retry, .. } | TransactionState::Unread(retry) => {
                Some(retry.at)
            }
            TransactionState::Closed | TransactionState::RollingBack(_) => None,
        }
    }
}

fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(ROLLBACK_PAUSE_MAX)
}

#[cfg(test)]
mod tests;
