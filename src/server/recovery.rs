// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a start makes of the change that an earlier daemon has left, before there is a socket.

use std::rc::Rc;
use std::time::Instant;

use log::{error, warn};

use crate::change::rollback::{self, Found, Parts, Recovery, Resumption, Rollback};
use crate::change::transaction::Cause;
use crate::error::{CallError, HostError};
use crate::faults;
use crate::io::change_folder::Kept;
use crate::proto::interface::InterfaceCall;
use crate::server::Server;
use crate::server::request::{Origin, Request};
use crate::server::running::{Target, WayBack};
use crate::snapshot::Snapshot;

impl Server {
    /// Looks whether an earlier daemon has left a change open, and asks for what is to become of it.
    pub(super) fn find_change(&mut self, recovery: Recovery, now: Instant) {
        self.change.recovered = Ok(());
        let found = match self.read_left() {
            Ok(found) => found,
            Err(err) => return self.find_again(&err, now),
        };
        self.change.close(self.change.folder.read_note());
        let (is_marked, has_journal) = (found.rollback.is_some(), found.journal.is_some());
        match rollback::resume(found, recovery, &self.change.moment()) {
            Resumption::Nothing => self.forget_journal(has_journal),
            Resumption::Open(change) => self.reopen(change, recovery, now),
            Resumption::UndoJob { change, journal } => {
                self.reopen(change, recovery, now);
                self.undo_job(*journal, now);
            }
            Resumption::RollBack(change) => {
                let cause = match (is_marked, change.opening.is_of_boot(&self.change.moment())) {
                    (true, _) => Cause::Resumed,
                    (false, true) => Cause::Deadline,
                    (false, false) => Cause::Reboot,
                };
                self.reopen(change, recovery, now);
                self.forget_journal(has_journal);
                self.change.open.roll_back(cause);
                self.ask_for_rollback(cause);
            }
        }
    }

    /// Reads what an earlier daemon has left. What makes no sense is set aside.
    ///
    /// # Errors
    /// Something is there that cannot be read.
    fn read_left(&mut self) -> Result<Found, HostError> {
        let [rollback, mut change, journal] =
            [Kept::Rollback, Kept::Change, Kept::Journal].map(|kept| self.read_one(kept));
        let rollback = rollback?;
        if rollback.is_some() && matches!(change, Ok(Some(_))) {
            change = Ok(None);
            self.set_aside(Kept::Change, "another one is being rolled back");
        }
        Ok(Found { rollback, change: change?, journal: journal? })
    }

    fn read_one(&mut self, kept: Kept) -> Result<Option<Snapshot>, HostError> {
        match self.change.folder.read(kept) {
            Err(err) if err.errno() == libc::EBADMSG => {
                self.change.recovered = Err(CallError::from(err.clone()));
                self.set_aside(kept, &err.to_string());
                Ok(None)
            }
            read => read,
        }
    }

    /// What an earlier daemon has left cannot be read: nobody knows whether it has to be rolled back.
    fn find_again(&mut self, err: &HostError, now: Instant) {
        let pause = self.change.open.handle_unread(err.to_string(), now).as_secs();
        error!("{err}: what an earlier daemon has left open is looked for again in {pause} s");
        self.change.recovered = Err(faults::host(err.to_string(), err.errno()));
    }

    fn undo_job(&mut self, journal: Snapshot, now: Instant) {
        let call = InterfaceCall::ChangeRollback { flags: 0 };
        let why = "a change was interrupted in the middle";
        let request = Request { origin: Origin::Daemon(why), call };
        let parts = Parts { network: true, files: true };
        let rollback = Rollback::new(Rc::new(journal), parts, &self.change.moment());
        self.next_round(request, WayBack { target: Target::Journal, rollback }, &[], now);
    }

    fn reopen(&mut self, change: Box<Snapshot>, recovery: Recovery, now: Instant) {
        warn!("a change is found that is {}", change.opening);
        let is_of_boot = change.opening.is_of_boot(&self.change.moment());
        if recovery == Recovery::Whole && is_of_boot {
            self.change.stand_by(&change, now);
        }
        self.change.open.begin(Rc::from(change));
    }

    fn forget_journal(&mut self, is_there: bool) {
        if is_there {
            self.change.remove_journal();
        }
    }

    fn set_aside(&mut self, kept: Kept, why: &str) {
        match self.change.folder.put_aside(kept) {
            Ok(set) => error!("{why}: nothing is rolled back; it is kept in {}", set.display()),
            Err(err) => error!("{why}: nothing is rolled back; {err}"),
        }
    }

    /// Whether what was found at the start was rolled back, if it had to be.
    pub fn recovered(&self) -> &Result<(), CallError> {
        &self.change.recovered
    }
}
