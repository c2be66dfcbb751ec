// SPDX-License-Identifier: LGPL-2.1-or-later
//! Going to the background: the daemon detaches from the process that started it, and reports to it
//! how the start went.
//!
//! There are two forks with a new session between them, so that the daemon does not lead a session
//! and can never get a controlling terminal. A pipe leads back to the starting process, which ends
//! when it reads a report, or the end of the pipe if the daemon died without one.
//!
//! A report is a status byte, 0 for "ready"; after another value the reason follows.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use crate::error::HostError;
use crate::limits::START_REASON_LEN_MAX;
use crate::sys::process::{self, Fork};

/// The status byte of a daemon that accepts calls.
const READY: u8 = 0;

/// libvirt's exit status for a daemon that cannot go to the background.
const FAILURE: u8 = 1;

/// The process that returns from [`enter`].
#[derive(Debug)]
pub enum ForkSide {
    /// The process that was started; it ends with the reported status.
    Starter(StartVerdict),
    /// The daemon.
    Daemon(Report),
}

/// The result of the daemon's start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StartVerdict {
    /// The daemon accepts calls.
    Ready,
    /// The daemon did not start: its exit status, never 0, and a line with the reason.
    Failed { status: u8, reason: String },
    /// The daemon died without a report.
    Lost,
}

/// The daemon's end of the report pipe. If it is dropped unused, the starter reads that the daemon
/// is lost.
#[derive(Debug)]
pub struct Report {
    pipe: File,
}

/// Goes to the background: new session, directory `/`, standard streams on `/dev/null`. The caller
/// sets the file mode creation mask.
///
/// The starting process returns once the daemon has reported. Both processes return with all values
/// that the caller has created, so values that remove a file on drop must be created afterwards.
///
/// # Errors
/// A pipe or a process could not be created, so there is no daemon. Never in the daemon itself.
pub fn enter() -> Result<ForkSide, HostError> {
    let (read, write) =
        process::pipe().map_err(|err| HostError::new("open", "a pipe to the daemon", &err))?;
    let report = Report { pipe: File::from(write) };
    match fork()? {
        Fork::Parent(child) => {
            // An open write end here would keep the pipe open after the daemon's death.
            drop(report);
            let verdict = await_report(read);
            // The child is reaped automatically if SIGCHLD is ignored.
            let _ = process::wait_for(child);
            Ok(ForkSide::Starter(verdict))
        }
        Fork::Child => {
            drop(read);
            Ok(ForkSide::Daemon(detach(report)))
        }
    }
}

impl Report {
    /// Reports that the sockets accept calls.
    pub fn ready(self) {
        self.send(&[READY]);
    }

    /// Reports that the daemon will end with `status`, because of `reason`.
    pub fn failed(self, status: u8, reason: &str) {
        let mut message = vec![status.max(FAILURE)];
        message.extend(start_of(reason).bytes());
        self.send(&message);
    }

    fn send(mut self, message: &[u8]) {
        // The starter may have been killed meanwhile.
        let _ = self.pipe.write_all(message);
    }
}

/// Returns the part of a reason that is reported.
fn start_of(reason: &str) -> &str {
    let ends = (0..=START_REASON_LEN_MAX.min(reason.len())).rev();
    ends.filter_map(|end| reason.get(..end)).next().unwrap_or_default()
}

fn fork() -> Result<Fork, HostError> {
    process::fork().map_err(|err| HostError::new("start", "a process in the background", &err))
}

/// Continues the first child: becomes the daemon, in a child of its own. Failures are reported over
/// the pipe, as these processes have no waiting parent.
fn detach(report: Report) -> Report {
    let session = process::start_session()
        .map_err(|err| HostError::new("start", "a session of the daemon's own", &err));
    let settled = match session.and_then(|()| fork()) {
        Ok(Fork::Parent(_daemon)) => process::end_now(0),
        Ok(Fork::Child) => settle(),
        Err(err) => Err(err),
    };
    match settled {
        Ok(()) => report,
        Err(err) => {
            report.failed(FAILURE, &err.to_string());
            process::end_now(FAILURE.into())
        }
    }
}

/// Releases the starter's directory, which could not be unmounted, and its terminal.
fn settle() -> Result<(), HostError> {
    const NULL: &str = "/dev/null";

    std::env::set_current_dir("/").map_err(|err| HostError::new("enter", "/", &err))?;
    let null = OpenOptions::new().read(true).write(true).open(NULL);
    null.and_then(process::replace_standard_streams)
        .map_err(|err| HostError::new("redirect standard streams to", NULL, &err))
}

/// Waits for the report.
fn await_report(pipe: OwnedFd) -> StartVerdict {
    let mut pipe = File::from(pipe);
    let mut status = [READY];
    if pipe.read_exact(&mut status).is_err() {
        return StartVerdict::Lost;
    }
    match status {
        [READY] => StartVerdict::Ready,
        [status] => StartVerdict::Failed { status, reason: read_reason(pipe) },
    }
}

/// Reads the reason that follows a failure's status; incomplete if the daemon died while writing
/// it.
fn read_reason(pipe: impl Read) -> String {
    let mut reason = Vec::new();
    let len_max = u64::try_from(START_REASON_LEN_MAX).unwrap_or(u64::MAX);
    let _: io::Result<usize> = pipe.take(len_max).read_to_end(&mut reason);
    String::from_utf8_lossy(&reason).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the starter's verdict for a daemon that handles its report in this way.
    fn verdict(daemon: impl FnOnce(Report)) -> StartVerdict {
        let (read, write) = process::pipe().unwrap();
        daemon(Report { pipe: File::from(write) });
        await_report(read)
    }

    fn failed(status: u8, reason: &str) -> StartVerdict {
        StartVerdict::Failed { status, reason: reason.to_owned() }
    }

    #[test]
    fn a_report_arrives_as_it_was_made() {
        assert_eq!(verdict(Report::ready), StartVerdict::Ready);
        assert_eq!(verdict(drop), StartVerdict::Lost);
        assert_eq!(verdict(|report| report.failed(6, "no room")), failed(6, "no room"));
        assert_eq!(verdict(|report| report.failed(255, "")), failed(255, ""));
        let lost = |mut report: Report| report.pipe.write_all(&[11, b'n', b'o']).unwrap();
        assert_eq!(verdict(lost), failed(11, "no"), "died while it wrote");
    }

    #[test]
    fn a_failure_is_never_taken_for_success() {
        assert_eq!(verdict(|report| report.failed(0, "but why")), failed(1, "but why"));
    }

    #[test]
    fn a_reason_is_cut_at_its_limit_between_two_characters() {
        let max = "x".repeat(START_REASON_LEN_MAX);
        assert_eq!(verdict(|report| report.failed(1, &max)), failed(1, &max));
        assert_eq!(verdict(|report| report.failed(1, &format!("{max}y"))), failed(1, &max));
        let want = format!("x{}", "ä".repeat(START_REASON_LEN_MAX / 2 - 1));
        assert_eq!(verdict(|report| report.failed(1, &format!("{want}äää"))), failed(1, &want));
    }

    #[test]
    fn a_starter_that_is_gone_is_not_waited_for() {
        let (read, write) = process::pipe().unwrap();
        drop(read);
        Report { pipe: File::from(write) }.ready();
    }
}
