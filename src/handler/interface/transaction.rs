// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls about changes that can be undone: begin, commit, rollback. One change is open on a host
//! at most, whoever has begun it, and anybody who may change the host can end it.

use crate::change::decision::Transaction;
use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::{Outcome, World};

/// Opens a change.
pub(super) fn begin(flags: u32, world: &World<'_>) -> Outcome {
    let is_possible = check_flags(flags, "netcfInterfaceChangeBegin")
        .and_then(|()| refuse("failed to begin transaction", world.change.why_not_begun()));
    outcome(is_possible, Transaction::Begin)
}

/// Ends the open change, and keeps what it has done.
pub(super) fn commit(flags: u32, world: &World<'_>) -> Outcome {
    let is_possible = check_flags(flags, "netcfInterfaceChangeCommit")
        .and_then(|()| refuse("failed to commit transaction", world.change.why_not_committed()));
    outcome(is_possible, Transaction::Commit)
}

/// Ends the open change, and undoes what has been done since it began. Of a rollback that waits for
/// another try, this is the next.
pub(super) fn roll_back(flags: u32, world: &World<'_>) -> Outcome {
    let is_possible = check_flags(flags, "netcfInterfaceChangeRollback").and_then(|()| {
        refuse("failed to rollback transaction", world.change.why_not_rolled_back())
    });
    outcome(is_possible, Transaction::Rollback)
}

fn check_flags(flags: u32, function: &str) -> Result<(), CallError> {
    if flags == 0 { Ok(()) } else { Err(CallError::flags(Domain::Interface, function, flags)) }
}

fn refuse(failure: &str, why: Option<String>) -> Result<(), CallError> {
    let Some(why) = why else { return Ok(()) };
    let detail = format!("{failure}: {why}");
    Err(CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail))
}

fn outcome(is_possible: Result<(), CallError>, transaction: Transaction) -> Outcome {
    match is_possible {
        Ok(()) => Outcome::Transact(transaction),
        Err(err) => Outcome::Done(Err(err)),
    }
}
