// SPDX-License-Identifier: LGPL-2.1-or-later
//! The process that [`standby`] starts while a transaction with a deadline is open.
//!
//! It waits for the daemon's end without a timer, then until the deadline, and then rolls the
//! transaction back as `--rollback-stale` does, repeatedly until that succeeds or a daemon takes
//! over. It holds no descriptors but the standard streams and its lock.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;

use super::{Environment, Paths, StartError, own_privilege, report, roll_back_stale};
use crate::cli::{self, Invocation, Run};
use crate::io::standby;
use crate::limits::{ROLLBACK_PAUSE_MAX, ROLLBACK_PAUSE_MIN};
use crate::sys::process::{self, Fork};
use crate::sys::{clock, descriptors};

/// Runs the standby process, from the arguments that [`standby::Standby`] gives to the exit status.
pub fn main(arguments: &[OsString]) -> ExitCode {
    descriptors::close_inherited(0);
    let Some((deadline, run)) = parse(arguments) else {
        return report(&usage());
    };
    // A signal that ends the daemon's process group or session must not end this process.
    let _ = process::start_session();
    let _ = fs::write("/proc/self/comm", standby::PROCESS_NAME);
    let environment = Environment::read();
    let paths = Paths::new(own_privilege(), &environment);
    let _lock = paths.and_then(|paths| standby::take_over(&paths.standby_lock()));
    if is_dismissed() {
        return ExitCode::SUCCESS;
    }
    clock::wait_until_since_boot(deadline);
    let mut pause = ROLLBACK_PAUSE_MIN;
    while !roll_back(&run, &environment) {
        clock::pause(pause);
        pause = pause.saturating_mul(2).min(ROLLBACK_PAUSE_MAX);
    }
    ExitCode::SUCCESS
}

fn parse(arguments: &[OsString]) -> Option<(Duration, Run)> {
    let (deadline, options) = arguments.split_first()?;
    let deadline = Duration::from_millis(deadline.to_str()?.parse().ok()?);
    match cli::parse(options) {
        Ok(Invocation::Run(run)) => Some((deadline, run)),
        Ok(_) | Err(_) => None,
    }
}

fn usage() -> StartError {
    let text = format!("only the daemon starts {}", standby::NAME);
    StartError::new(super::Exit::Failure, text)
}

/// Waits until the transaction is closed or the daemon has ended. Returns whether it is closed.
fn is_dismissed() -> bool {
    io::stdin().read_exact(&mut [0]).is_ok()
}

/// Tries a rollback in a child process: each try starts a log and installs signal handlers, both
/// possible only once per process.
fn roll_back(run: &Run, environment: &Environment) -> bool {
    match process::fork() {
        Ok(Fork::Child) => {
            let outcome = roll_back_stale(run, own_privilege(), environment);
            let status = outcome.map_or_else(|err| i32::from(err.exit), |()| 0);
            process::end_now(status)
        }
        Ok(Fork::Parent(child)) => process::wait_for(child).unwrap_or(false),
        Err(_) => false,
    }
}
