// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls about changes that can be undone: begin, commit, rollback. One change is open on a host
//! at most, whoever has begun it, and anybody who may change the host can end it.

use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::{Outcome, Transaction, World};

/// Opens a change.
pub(super) fn begin(flags: u32, world: &World<'_>) -> Outcome {
    let is_possible = check_flags(flags, "netcfInterfaceChangeBegin").and_then(|()| {
        let open = world.change.map(|opening| {
            invalid(format!("failed to begin transaction: there is one already, {opening}"))
        });
        open.map_or(Ok(()), Err)
    });
    outcome(is_possible, Transaction::Begin)
}

/// Ends the open change, and keeps what it has done.
pub(super) fn commit(flags: u32, world: &World<'_>) -> Outcome {
    let is_possible = check_flags(flags, "netcfInterfaceChangeCommit")
        .and_then(|()| check_open(world, "failed to commit transaction"));
    outcome(is_possible, Transaction::Commit)
}

/// Ends the open change, and undoes what has been done since it began.
pub(super) fn roll_back(flags: u32, world: &World<'_>) -> Outcome {
    let is_possible = check_flags(flags, "netcfInterfaceChangeRollback")
        .and_then(|()| check_open(world, "failed to rollback transaction"));
    outcome(is_possible, Transaction::Rollback)
}

fn check_flags(flags: u32, function: &str) -> Result<(), CallError> {
    if flags == 0 { Ok(()) } else { Err(CallError::flags(Domain::Interface, function, flags)) }
}

fn check_open(world: &World<'_>, failure: &str) -> Result<(), CallError> {
    let is_open = world.change.is_some();
    if is_open { Ok(()) } else { Err(invalid(format!("{failure}: none has been begun"))) }
}

fn invalid(detail: String) -> CallError {
    CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
}

fn outcome(is_possible: Result<(), CallError>, transaction: Transaction) -> Outcome {
    match is_possible {
        Ok(()) => Outcome::Transact(transaction),
        Err(err) => Outcome::Done(Err(err)),
    }
}
