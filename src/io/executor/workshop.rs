// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Workshop`]: carries out requests in the process that executes programs.
//!
//! A program that has ended is reaped only when the daemon has forgotten it, so that its pid, and
//! that of its group, belong to no other process before.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Duration;

use crate::execution::{Program, ProgramId, Report, Request};
use crate::sys::process;

/// Starts a program, or says why it cannot.
pub type Spawn = Box<dyn Fn(&Program) -> io::Result<Child>>;

/// See the module. Times are those of the monotonic clock.
pub(super) struct Workshop {
    spawn: Spawn,
    held: Vec<Held>,
}

/// A program that was started and is not reaped yet.
#[derive(Debug)]
struct Held {
    id: ProgramId,
    child: Child,
    /// When its process group is killed.
    kill_at: Option<Duration>,
    /// Whether its end was reported.
    is_reported: bool,
    is_forgotten: bool,
}

impl fmt::Debug for Workshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.fmt(f)
    }
}

impl Workshop {
    pub(super) fn new(spawn: Spawn) -> Self {
        Self { spawn, held: Vec::new() }
    }

    /// Carries out a request. Only a start is answered.
    pub(super) fn handle(&mut self, request: Request, now: Duration) -> Option<Report> {
        match request {
            Request::Start { id, program, time_max } => {
                return Some(self.start(id, &program, time_max.map(|time| now + time)));
            }
            Request::Terminate(id) => self.of(id, |held| {
                // It may have ended meanwhile.
                let _ = process::signal_child(&held.child, libc::SIGTERM);
            }),
            Request::KillGroup(id) => self.of(id, |held| drop(process::kill_group(&held.child))),
            Request::Dismiss(id) => self.of(id, |held| {
                if let Some(mut pipe) = held.child.stdin.take() {
                    // The process may have been killed already.
                    let _ = pipe.write_all(b"\n");
                }
            }),
            Request::Forget(id) => self.of(id, |held| held.is_forgotten = true),
        }
        None
    }

    fn start(&mut self, id: ProgramId, program: &Program, kill_at: Option<Duration>) -> Report {
        let child = match (self.spawn)(program) {
            Ok(child) => child,
            Err(err) => return Report::Refused { id, errno: err.raw_os_error().unwrap_or(0) },
        };
        let pid = libc::pid_t::try_from(child.id()).unwrap_or(0);
        self.held.push(Held { id, child, kill_at, is_reported: false, is_forgotten: false });
        Report::Started { id, pid }
    }

    /// Returns the ends that were not reported yet, kills programs whose time is over, and reaps
    /// forgotten ones.
    pub(super) fn look(&mut self, now: Duration) -> Vec<Report> {
        let mut reports = Vec::new();
        self.held.retain_mut(|held| {
            let id = held.id;
            // A child that cannot be examined was reaped already.
            let ended = process::end_of(&held.child).unwrap_or(Some(Default::default()));
            if let Some(status) = ended {
                if !std::mem::replace(&mut held.is_reported, true) {
                    reports.push(Report::Ended { id, status: status.into_raw() });
                }
                if held.is_forgotten {
                    // The child has ended, so this does not block.
                    let _ = held.child.wait();
                }
                return !held.is_forgotten;
            }
            if held.kill_at.is_some_and(|at| at <= now) {
                held.kill_at = None;
                let _ = process::kill_group(&held.child);
                if !std::mem::replace(&mut held.is_reported, true) {
                    reports.push(Report::Overdue { id });
                }
            }
            true
        });
        reports
    }

    /// Returns when the time of the next program is over.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.held.iter().filter_map(|held| held.kill_at).min()
    }

    fn of(&mut self, id: ProgramId, act: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.iter_mut().find(|held| held.id == id) {
            act(held);
        }
    }
}
