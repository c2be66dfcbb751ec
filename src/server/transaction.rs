// SPDX-License-Identifier: LGPL-2.1-or-later
//! Changes that undo themselves: begin, commit, the deadline, and the journal of jobs in between.
//!
//! What state a change is in, and what is due, [`OpenChange`] decides; a rollback is `restore`'s, and
//! what an earlier daemon has left is `recovery`'s. Here is what they do to files.

use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use log::{error, info, warn};

use crate::change::job::StepError;
use crate::change::rollback::{Parts, Recovery};
use crate::change::transaction::{Cause, Due, OpenChange};
use crate::error::{CallError, HostError};
use crate::faults;
use crate::handler::Transaction;
use crate::host::inquiry::record::RecordInquiry;
use crate::host::record::HostRecord;
use crate::io::boot;
use crate::io::change_folder::{ChangeFolder, Kept};
use crate::io::standby::Standby;
use crate::model::client::Privilege;
use crate::model::utc::Utc;
use crate::proto::Reply;
use crate::proto::interface::InterfaceCall;
use crate::server::inquiries::WithRecord;
use crate::server::keeping::WithKept;
use crate::server::request::{Origin, Request};
use crate::server::running::Running;
use crate::server::{Server, wall_clock};
use crate::snapshot::{Caller, Moment, Network, Opening, Snapshot};
use crate::sys::clock;

/// How long until a journal that could not be removed is removed again.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// The change that can be undone, with what the loop needs for it.
#[derive(Debug)]
pub(crate) struct ChangeDesk {
    pub(super) folder: ChangeFolder,
    pub(super) open: OpenChange,
    pub(super) standby: Standby,
    /// Which boot this is. Asked for once: a rollback needs no file.
    boot: String,
    /// Whether a journal is left that must not be used: it could not be removed.
    has_stale_journal: bool,
    /// What has become of the rollback of a change that was found at the start.
    pub(super) recovered: Result<(), CallError>,
}

impl ChangeDesk {
    pub(crate) fn new(folder: ChangeFolder, standby: Standby) -> Self {
        Self {
            folder,
            open: OpenChange::default(),
            standby,
            boot: boot::id(),
            has_stale_journal: false,
            recovered: Ok(()),
        }
    }

    /// Has a process stand by for a change with a deadline.
    pub(super) fn stand_by(&mut self, change: &Snapshot, now: Instant) {
        if let Some(deadline) = change.opening.deadline {
            self.standby.start(deadline, now);
        }
    }

    /// The change is over.
    pub(super) fn close(&mut self, last: Option<String>) {
        self.open.close(last);
        self.standby.dismiss();
    }

    /// When to look again.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let journal = self.has_stale_journal.then(|| now + JOURNAL_PAUSE);
        let change = self.open.deadline(clock::since_boot().ok(), now);
        journal.into_iter().chain(change).chain(self.standby.next_at()).min()
    }

    /// What time it is, for changes.
    pub(super) fn moment(&self) -> Moment {
        let since_boot = clock::since_boot().unwrap_or_default();
        Moment { boot: self.boot.clone(), since_boot }
    }

    /// Who begins a change, and when.
    fn opening(&self, by: Caller, timeout: Option<Duration>) -> Result<Opening, CallError> {
        let unknown = || {
            let text = "failed to begin transaction: the kernel does not tell which boot this is";
            faults::host(text.to_owned(), libc::ENOENT)
        };
        let Moment { boot, .. } = self.moment();
        if boot.is_empty() {
            return Err(unknown());
        }
        let at = clock::since_boot().map_err(|_| unknown())?;
        let wall = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = timeout.map(|timeout| Utc::since_epoch(wall + timeout).to_the_second());
        let deadline = timeout.map(|timeout| at + timeout);
        Ok(Opening { by, boot, at, deadline, since: Utc::since_epoch(wall).to_the_second(), until })
    }

    /// A journal is written, in the place of any other.
    pub(super) fn note_journal(&mut self) {
        self.has_stale_journal = false;
    }

    /// Removes a journal. One that stays is tried again, as it would undo what is done later.
    pub(super) fn remove_journal(&mut self) {
        let removed = self.folder.remove(Kept::Journal);
        self.has_stale_journal = removed.is_err();
        if let Err(err) = removed {
            warn!("{err}; it is tried again");
        }
    }
}

impl Server {
    /// Carries out what a client, or the daemon itself, wants of the change that is open or will be.
    pub(super) fn transact(&mut self, request: Request, transaction: Transaction, now: Instant) {
        let outcome = match (transaction, self.facts.privilege) {
            (Transaction::Begin, Privilege::System) => {
                return self.ask_for_record(RecordInquiry::of_all(), WithRecord::Begin(request));
            }
            (Transaction::Begin, Privilege::Session) => {
                return self.begin_change(request, None, now);
            }
            (Transaction::Commit, _) => self.commit_change(),
            (Transaction::Rollback, _) => return self.roll_back(request, now),
        };
        self.answer(request, outcome, now);
    }

    /// Begins a change. `network` is what runs, if that is to be restored too.
    pub(super) fn begin_change(
        &mut self,
        request: Request,
        network: Option<Network>,
        now: Instant,
    ) {
        match self.snapshot(&request.origin, network) {
            Ok(snapshot) => {
                // Before it can be found: a daemon that dies next leaves nothing that nobody undoes.
                self.change.stand_by(&snapshot, now);
                self.keep(snapshot, WithKept::Begin(request), now);
            }
            Err(err) => self.answer(request, Err(err), now),
        }
    }

    /// What a change goes back to that begins now.
    fn snapshot(
        &mut self,
        origin: &Origin,
        network: Option<Network>,
    ) -> Result<Snapshot, CallError> {
        let by = match origin {
            Origin::Client { caller, .. } => *caller,
            Origin::Daemon(_) => Caller::default(),
        };
        if self.change.boot.is_empty() {
            self.change.boot = boot::id();
        }
        let timeout = self.configuration.settings.changes.change_timeout;
        let opening = self.change.opening(by, timeout)?;
        let files = self.store.keep()?;
        Ok(Snapshot { opening, files, network })
    }

    /// The change is open, if its snapshot could be written down.
    pub(super) fn open_change(
        &mut self,
        snapshot: Rc<Snapshot>,
        written: Result<(), HostError>,
        now: Instant,
    ) -> Result<Reply, CallError> {
        if let Err(err) = written {
            self.change.standby.dismiss();
            self.drop_unbegun(snapshot, now);
            return Err(err.into());
        }
        self.change.folder.forget_note();
        warn!("a change is {}", snapshot.opening);
        self.change.open.begin(snapshot);
        Ok(Reply::Empty)
    }

    /// The snapshot of a change that could not be begun must not be found by the next daemon.
    fn drop_unbegun(&mut self, snapshot: Rc<Snapshot>, now: Instant) {
        if !self.change.folder.has(Kept::Change) {
            return;
        }
        self.change.open.begin(snapshot);
        if let Some(ending) = self.change.open.roll_back(Cause::NotBegun) {
            ending.parts = Parts { network: false, files: false };
        }
        self.try_again("the snapshot of a change that is not begun cannot be removed", now);
    }

    fn commit_change(&mut self) -> Result<Reply, CallError> {
        let since_boot = clock::since_boot().ok();
        let Some(snapshot) = self.change.open.committable(since_boot).map(Rc::clone) else {
            let failure = "failed to commit transaction";
            return Err(faults::in_rollback(failure, Cause::Deadline.as_str()));
        };
        let folder = &self.change.folder;
        if let Err(err) = folder.remove(Kept::Change) {
            // It may be gone, but not from the disk: who is told of a failure finds the change open.
            if !folder.has(Kept::Change)
                && let Err(again) = folder.write(Kept::Change, &snapshot)
            {
                error!("{again}: the open change does not outlive the daemon");
            }
            return Err(err.into());
        }
        warn!("the change is committed that was {}", snapshot.opening);
        self.change.close(None);
        self.autostart.note_committed();
        Ok(Reply::Empty)
    }

    /// All of the host's own that runs.
    pub(super) fn network(&mut self, record: HostRecord) -> Result<Network, HostError> {
        let definitions = self.store.definitions();
        let members = definitions.iter().flat_map(|it| it.members()).collect();
        let leases = self.leases.running().copied().collect();
        let foreign = self.leases.foreign()?;
        Ok(Network { foreign, ..Network::new(record, &members, leases) })
    }

    /// Begins with a job. What is before it is written down first, if a change is open.
    pub(super) fn set_out(&mut self, running: Running, changes_network: bool, now: Instant) {
        if self.change.open.open().is_none() {
            self.start(running);
        } else if changes_network {
            let then = WithRecord::Journal(Box::new(running));
            self.ask_for_record(RecordInquiry::of_all(), then);
        } else {
            self.journal(running, None, now);
        }
    }

    /// Writes down what is before a job of an open change, and begins with it. What cannot be written down
    /// is not done. A job that is given up has nothing to be undone.
    pub(super) fn journal(&mut self, running: Running, network: Option<Network>, now: Instant) {
        let Some(change) = self.change.open.open() else { return self.start(running) };
        let opening = change.opening.clone();
        match self.store.keep() {
            Ok(files) => {
                let snapshot = Snapshot { opening, files, network };
                self.keep(snapshot, WithKept::Journal(Box::new(running)), now);
            }
            Err(err) => self.refuse(running.request, err.into(), now),
        }
    }

    /// The job is over that was written down.
    pub(super) fn drop_journal(&mut self) {
        if !self.change.open.is_closed() {
            self.change.remove_journal();
        }
    }

    /// Sees to what is due of the open change: its deadline, or another try of a rollback.
    pub(super) fn check_change(&mut self, now: Instant) {
        if self.is_stopping() {
            return;
        }
        self.change.standby.handle_time(now);
        if self.jobs.leads_back() {
            return;
        }
        if self.change.has_stale_journal && self.jobs.is_idle() {
            self.change.remove_journal();
        }
        match self.change.open.poll_due(clock::since_boot().ok(), now) {
            None => {}
            Some(Due::Rollback) => {
                if let Some(opening) = self.change.open.opening() {
                    warn!("change_timeout expired: rolling back the change {opening}");
                }
                self.ask_for_rollback(Cause::Deadline);
            }
            Some(Due::Again) => {
                info!("the rollback of the open change is tried again");
                self.ask_for_rollback(Cause::Deadline);
            }
            Some(Due::Find) if self.jobs.is_idle() => self.find_change(Recovery::Whole, now),
            Some(Due::Find) => self.change.open.postpone(now),
        }
    }

    /// Asks for a rollback, before everything else that waits. A job that is under way is undone.
    pub(super) fn ask_for_rollback(&mut self, cause: Cause) {
        let call = InterfaceCall::ChangeRollback { flags: 0 };
        let request = Request { origin: Origin::Daemon(cause.as_str()), call };
        let text = "the change is rolled back".to_owned();
        self.jobs.push_first(request, StepError { errno: libc::ECANCELED, text });
    }
}
