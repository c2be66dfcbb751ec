// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Action`]: one action for the coordinator's driver, and the result that the driver reports.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::change::owed::Incomplete;
use crate::change::request::Request;
use crate::definitions::Definitions;
use crate::error::{CallError, HostError};
use crate::host::Host;
use crate::host::record::HostRecord;
use crate::host::removed::LinkMemory;
use crate::host::shelf::Shelved;
use crate::host::survey::{Survey, SurveyOrder};
use crate::managers::Claim;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::plan::step::Step;
use crate::proto::Reply;
use crate::snapshot::files::{FileRestoration, Files};
use crate::snapshot::{Moment, Snapshot};

/// The host at the moment of a call to the coordinator.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub host: &'a Host,
    pub definitions: &'a Definitions,
    pub now: &'a Now,
    /// Steps that follow the current one have been sent already.
    pub is_ahead: bool,
}

/// The time, by each clock that transactions use.
#[derive(Clone, Debug)]
pub struct Now {
    pub instant: Instant,
    /// The id of this boot; empty if the kernel does not report it.
    pub boot: Rc<str>,
    /// Since boot, including sleep (`CLOCK_BOOTTIME`).
    pub since_boot: Option<Duration>,
    /// Since 1970, by the clock that administrators set.
    pub wall: Duration,
}

impl Now {
    /// Returns the time in the form that snapshots store.
    pub fn moment(&self) -> Moment {
        let since_boot = self.since_boot.unwrap_or_default();
        Moment { boot: self.boot.as_ref().to_owned(), since_boot }
    }
}

/// The driver's next action.
#[derive(Clone, Debug)]
pub enum Action {
    /// Have a handler decide this call: `Coordinator::handle_decision`.
    Decide { request: Box<Request>, survey: Option<Box<Survey>> },
    /// Look for other managers of these links, and for clients that can obtain these leases:
    /// `Coordinator::handle_check`.
    Check { claims: Vec<Claim>, leases: Vec<Lease> },
    /// Ask for the survey of these links: `Coordinator::handle_survey`.
    Survey(SurveyOrder),
    /// Ask for the record of all that a rollback can restore: `Coordinator::handle_record`.
    Record(RecordScope),
    /// Perform a step: `Coordinator::handle_step`.
    Perform(Step),
    /// Perform an operation on files: `Coordinator::handle_file`.
    File(FileAction),
    /// Have the kernel update the operational state of this link. No result.
    Settle(LinkIndex),
    /// Delete a discarded link. No result: the table shows it.
    Delete(IfName),
    /// Have a process keep the deadline of the transaction, as a time since the boot. No result.
    StandBy(Duration),
    /// End the process that keeps the transaction's deadline. No result.
    Dismiss,
    /// Keep the settings of this link. No result.
    Shelve(Box<Shelved>),
    /// Record these links for the next daemon of this boot. No result.
    Remember(LinkMemory),
    /// Record that all interfaces of this boot are up except these. No result.
    Mark(Vec<Incomplete>),
    /// Send a client its reply. No result.
    Answer { request: Box<Request>, outcome: Result<Reply, CallError> },
    /// A turn's share of a long computation is done: poll again.
    Continue,
    /// Poll again when a result or an event has come, or then.
    Wait(Option<Instant>),
}

/// The links of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RecordScope {
    /// None; only leases and clients.
    Nothing,
    Host,
    /// `has_neighbours`: neighbour settings are included.
    Links {
        links: BTreeSet<IfName>,
        has_neighbours: bool,
    },
}

/// The answer to [`Action::Record`].
#[derive(Clone, Debug)]
pub struct RecordAnswer {
    pub record: HostRecord,
    /// The daemon's DHCP clients.
    pub leases: Vec<Lease>,
    /// Those started by other programs.
    pub foreign: Result<Vec<ForeignClient>, HostError>,
}

/// A file of a transaction.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TransactionFile {
    /// The state that a rollback restores.
    Snapshot,
    /// The same, once the rollback has begun.
    Rollback,
    /// The host's state before the current job.
    Journal,
}

/// An operation on files. Each is durable when it is reported as done.
#[derive(Clone, Debug)]
pub enum FileAction {
    /// Return the contents of the definition files, and of those that were ones when this snapshot
    /// was taken.
    ReadDefinitions(Option<Rc<Snapshot>>),
    /// Return the files that an earlier daemon has left.
    ReadLeft,
    Write(TransactionFile, Rc<Snapshot>),
    Remove(TransactionFile),
    /// Rename the snapshot to the rollback. Succeeds if there is none.
    BeginRollback,
    /// Move the first of these that exists to a place for administrators.
    SetAside(&'static [TransactionFile]),
    /// Copy the definition files that will be replaced or removed.
    KeepCopies(Vec<FileRestoration>),
    /// Write the note on how the last transaction ended by itself.
    WriteNote(String),
    /// Remove that note.
    ForgetNote,
}

/// The result of a successful [`FileAction`].
#[derive(Clone, Debug)]
pub enum FileAnswer {
    Done,
    Definitions(Files),
    Left(Box<LeftFiles>),
    /// The directory to which files were moved or copied, if there were any.
    Aside(Option<String>),
}

/// The files that an earlier daemon has left.
#[derive(Clone, Debug)]
pub struct LeftFiles {
    pub snapshot: Result<Option<Snapshot>, Unusable>,
    pub rollback: Result<Option<Snapshot>, Unusable>,
    pub journal: Result<Option<Snapshot>, Unusable>,
    /// The note on how the last transaction ended by itself.
    pub note: Option<String>,
}

/// The reason why a file of a transaction cannot be used.
#[derive(Clone, Debug)]
pub enum Unusable {
    /// The kernel refuses to read it, perhaps for a while.
    Unread(HostError),
    /// Its content is invalid.
    Corrupt(HostError),
}

/// The reason why an operation on a file failed.
#[derive(Clone, Debug)]
pub struct FileError {
    pub cause: HostError,
    /// The file to be written or removed exists, or may exist.
    pub is_there: bool,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

/// The result of a [`FileAction`].
pub type FileResult = Result<FileAnswer, FileError>;
