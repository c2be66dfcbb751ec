// SPDX-License-Identifier: LGPL-2.1-or-later
//! Going to the background: the daemon leaves whoever started it, and tells how its start went.
//!
//! Two forks with a new session between them, so that the daemon leads no session and can never
//! get a terminal. A pipe leads back to the process that was started, which ends only when it is
//! told how: by a report, or by the end of the pipe when the daemon died without one.
//!
//! A report is a status byte, 0 for "ready"; what follows another one is the reason.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use crate::error::HostError;
use crate::limits::START_REASON_LEN_MAX;
use crate::sys::process::{self, Fork};

/// The status byte of a daemon that accepts calls.
const READY: u8 = 0;

/// libvirt's exit status for a daemon that cannot leave its starter.
const FAILURE: u8 = 1;

/// Who goes on behind [`enter`].
#[derive(Debug)]
pub enum Side {
    /// The process that was started: ends with what the daemon reported.
    Starter(Verdict),
    /// The daemon.
    Daemon(Report),
}

/// What became of the daemon's start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It accepts calls.
    Ready,
    /// It did not start: its exit status, never 0, and one line that says why.
    Failed { status: u8, reason: String },
    /// It died without a word.
    Lost,
}

/// The daemon's way to tell its starter how the start went. Dropped unused, it tells that the
/// daemon is lost.
#[derive(Debug)]
pub struct Report {
    pipe: File,
}

/// Goes to the background: new session, directory `/`, standard streams on `/dev/null`. The file
/// mode creation mask is the caller's to set.
///
/// The process that was started comes back when the daemon has reported. Both sides come back from
/// here with all the values that the caller has made: what removes a file when it is dropped must
/// be made afterwards.
///
/// # Errors
/// There is no daemon: the system has no pipe or no process to spare. Never on the daemon's side.
pub fn enter() -> Result<Side, HostError> {
    let (read, write) =
        process::pipe().map_err(|err| HostError::new("open", "a pipe to the daemon", &err))?;
    let report = Report { pipe: File::from(write) };
    match fork()? {
        Fork::Parent(child) => {
            // What is left open here would never end, whatever becomes of the daemon.
            drop(report);
            let verdict = await_report(read);
            // Where children are not waited for it has vanished by itself.
            let _ = process::wait_for(child);
            Ok(Side::Starter(verdict))
        }
        Fork::Child => {
            drop(read);
            Ok(Side::Daemon(detach(report)))
        }
    }
}

impl Report {
    /// The sockets accept calls.
    pub fn ready(self) {
        self.send(&[READY]);
    }

    /// The daemon will end with `status`, because of `reason`.
    pub fn failed(self, status: u8, reason: &str) {
        let mut message = vec![status.max(FAILURE)];
        message.extend(start_of(reason).bytes());
        self.send(&message);
    }

    fn send(mut self, message: &[u8]) {
        // A starter that was killed meanwhile does not want to know.
        let _ = self.pipe.write_all(message);
    }
}

/// As much of a reason as is told.
fn start_of(reason: &str) -> &str {
    let ends = (0..=START_REASON_LEN_MAX.min(reason.len())).rev();
    ends.filter_map(|end| reason.get(..end)).next().unwrap_or_default()
}

fn fork() -> Result<Fork, HostError> {
    process::fork().map_err(|err| HostError::new("start", "a process in the background", &err))
}

/// The first child's part: becomes the daemon, by a child of its own. What fails is told over the
/// pipe, as nobody waits for these processes.
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

/// Holds on to nothing of the starter's: no directory that could not be unmounted, no terminal.
fn settle() -> Result<(), HostError> {
    const NULL: &str = "/dev/null";

    std::env::set_current_dir("/").map_err(|err| HostError::new("enter", "/", &err))?;
    let null = OpenOptions::new().read(true).write(true).open(NULL);
    null.and_then(process::replace_standard_streams)
        .map_err(|err| HostError::new("redirect standard streams to", NULL, &err))
}

/// Waits for the report.
fn await_report(pipe: OwnedFd) -> Verdict {
    let mut pipe = File::from(pipe);
    let mut status = [READY];
    if pipe.read_exact(&mut status).is_err() {
        return Verdict::Lost;
    }
    match status {
        [READY] => Verdict::Ready,
        [status] => Verdict::Failed { status, reason: read_reason(pipe) },
    }
}

/// What stands behind a failure's status; as far as it came, if the daemon died while it wrote.
fn read_reason(pipe: impl Read) -> String {
    let mut reason = Vec::new();
    let len_max = u64::try_from(START_REASON_LEN_MAX).unwrap_or(u64::MAX);
    let _: io::Result<usize> = pipe.take(len_max).read_to_end(&mut reason);
    String::from_utf8_lossy(&reason).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the starter makes of what the daemon does with its report.
    fn verdict(daemon: impl FnOnce(Report)) -> Verdict {
        let (read, write) = process::pipe().unwrap();
        daemon(Report { pipe: File::from(write) });
        await_report(read)
    }

    fn failed(status: u8, reason: &str) -> Verdict {
        Verdict::Failed { status, reason: reason.to_owned() }
    }

    #[test]
    fn a_report_arrives_as_it_was_made() {
        assert_eq!(verdict(Report::ready), Verdict::Ready);
        assert_eq!(verdict(drop), Verdict::Lost);
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
