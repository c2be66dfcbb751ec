// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls about transactions: begin, commit, rollback. At most one transaction is open on a
//! host, and every client that may change the host can end it.

use crate::change::decision::Transaction;
use crate::change::transaction::Status;
use crate::error::{CallError, Domain, ErrorCode};
use crate::proto::interface::TransactionCall;

/// Decides a call: a begin opens a transaction, a commit ends it and keeps the changes made in it,
/// and a rollback ends it and undoes them. If a rollback waits for another try, this is that try.
pub(super) fn decide(call: TransactionCall, status: Status<'_>) -> Result<Transaction, CallError> {
    match call {
        TransactionCall::Begin { flags } => {
            check_flags(flags, "netcfInterfaceChangeBegin")?;
            refuse("failed to begin transaction", status.why_not_begun())?;
            Ok(Transaction::Begin)
        }
        TransactionCall::Commit { flags } => {
            check_flags(flags, "netcfInterfaceChangeCommit")?;
            refuse("failed to commit transaction", status.why_not_committed())?;
            Ok(Transaction::Commit)
        }
        TransactionCall::Rollback { flags } => {
            check_flags(flags, "netcfInterfaceChangeRollback")?;
            refuse("failed to rollback transaction", status.why_not_rolled_back())?;
            Ok(Transaction::Rollback)
        }
    }
}

fn check_flags(flags: u32, function: &str) -> Result<(), CallError> {
    if flags == 0 { Ok(()) } else { Err(CallError::flags(Domain::Interface, function, flags)) }
}

fn refuse(failure: &str, why: Option<String>) -> Result<(), CallError> {
    let Some(why) = why else { return Ok(()) };
    let detail = format!("{failure}: {why}");
    Err(CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail))
}
