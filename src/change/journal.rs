// SPDX-License-Identifier: LGPL-2.1-or-later
//! Writing of snapshots before a transaction, or a change within one, begins.

use std::rc::Rc;
use std::time::Duration;

use log::warn;

use crate::call_errors;
use crate::change::action::{
    Action, Context, FileAction, Now, RecordAnswer, RecordScope, TransactionFile,
};
use crate::change::keeping::Keeping;
use crate::change::request::Origin;
use crate::change::rollback::RollbackParts;
use crate::change::running::Running;
use crate::change::stage::{Purpose, Stage};
use crate::change::transaction::Cause;
use crate::change::{Coordinator, undo};
use crate::error::{CallError, HostError};
use crate::model::utc::Utc;
use crate::proto::Reply;
use crate::snapshot::{Network, Opening, Snapshot};

impl Coordinator {
    /// Begins a change. If a transaction is open, the host's state is written first.
    pub(super) fn journal(&mut self, running: Box<Running>, context: &Context<'_>) {
        if self.transaction.open().is_none() {
            self.start(running);
        } else if running.changes_network {
            self.stage = Stage::Recording(Purpose::Journal(running));
            self.make_ready(Action::Record(RecordScope::Host));
        } else {
            self.keep(Purpose::Journal(running), None, context);
        }
    }

    /// Writes the host's state, including `network` if that is to be restored too.
    pub(super) fn keep(
        &mut self,
        purpose: Purpose,
        network: Option<Network>,
        context: &Context<'_>,
    ) {
        let (file, opening) = match &purpose {
            Purpose::Begin(request) => {
                let timeout = self.settings.change_timeout;
                (TransactionFile::Snapshot, opening(&request.origin, timeout, context.now))
            }
            Purpose::Journal(_) => match self.transaction.open() {
                Some(snapshot) => (TransactionFile::Journal, Ok(snapshot.opening.clone())),
                None => {
                    let Purpose::Journal(running) = purpose else { return };
                    return self.start(running);
                }
            },
        };
        match opening {
            Ok(opening) => {
                let (keeping, first) = Keeping::new(file, opening, network);
                self.stage = Stage::Keeping(Box::new(keeping), purpose);
                self.make_ready(first);
            }
            Err(err) => self.refuse_to_keep(purpose, err, context),
        }
    }

    /// Continues once the state is written: the transaction is open, or the change begins.
    pub(super) fn proceed(&mut self, purpose: Purpose, snapshot: Rc<Snapshot>) {
        match purpose {
            Purpose::Begin(request) => {
                self.make_ready(Action::File(FileAction::ForgetNote));
                warn!("change {}", snapshot.opening);
                self.transaction.begin(snapshot);
                self.answer(request, Ok(Reply::Empty));
            }
            Purpose::Journal(running) => {
                self.has_stale_journal = false;
                self.leftovers.push_snapshot(snapshot);
                self.start(running);
            }
        }
    }

    /// Removes a snapshot that is on the disk, or may be, but must not be used.
    pub(super) fn drop_unused(
        &mut self,
        purpose: &Purpose,
        snapshot: Rc<Snapshot>,
        context: &Context<'_>,
    ) {
        match purpose {
            Purpose::Journal(_) => self.remove_journal(),
            // The next daemon must not find it.
            Purpose::Begin(_) => {
                self.transaction.begin(snapshot);
                if let Some(ending) = self.transaction.roll_back(Cause::NotBegun) {
                    ending.parts = RollbackParts { network: false, files: false };
                }
                let why = "cannot remove the snapshot of a change that could not begin";
                undo::postpone(&mut self.transaction, why, context);
            }
        }
    }

    /// Ends the writing of a snapshot, as the daemon is stopping.
    pub(super) fn drop_keeping(&mut self, purpose: Purpose) {
        let request = match purpose {
            Purpose::Begin(request) => {
                self.make_ready(Action::Dismiss);
                request
            }
            Purpose::Journal(running) => running.request,
        };
        self.answer(request, Err(call_errors::stopping()));
    }

    /// Refuses the request, as the host's state cannot be written.
    pub(super) fn refuse_to_keep(
        &mut self,
        purpose: Purpose,
        err: CallError,
        context: &Context<'_>,
    ) {
        match purpose {
            Purpose::Begin(request) => {
                self.make_ready(Action::Dismiss);
                self.answer(request, Err(err));
            }
            Purpose::Journal(running) => self.refuse(running.request, err, context),
        }
    }
}

/// Returns everything that belongs to the host and can be restored.
///
/// # Errors
/// The DHCP clients of other programs are unknown.
pub(super) fn network(answer: RecordAnswer, context: &Context<'_>) -> Result<Network, HostError> {
    let RecordAnswer { record, leases, foreign } = answer;
    let members = context.definitions.iter().flat_map(|it| it.members()).collect();
    Ok(Network { foreign: foreign?, ..Network::new(record, &members, leases) })
}

/// Returns the origin and the time of a transaction.
fn opening(origin: &Origin, timeout: Option<Duration>, now: &Now) -> Result<Opening, CallError> {
    let Some(at) = now.since_boot.filter(|_| !now.boot.is_empty()) else {
        let text = "failed to begin transaction: cannot read the kernel's boot id";
        return Err(call_errors::host(text.to_owned(), libc::ENOENT));
    };
    let until = timeout.map(|timeout| Utc::since_epoch(now.wall + timeout).to_the_second());
    let deadline = timeout.map(|timeout| at + timeout);
    let since = Utc::since_epoch(now.wall).to_the_second();
    let boot = now.boot.as_ref().to_owned();
    let opening = Opening { boot, at, deadline, since, until, ..Opening::default() };
    Ok(match origin.caller() {
        Some(caller) => {
            let (uid, pid) = (caller.subject_uid(), caller.subject_pid());
            Opening { uid, pid, client: caller.number, ..opening }
        }
        None => opening,
    })
}
