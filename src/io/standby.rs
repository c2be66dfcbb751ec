// SPDX-License-Identifier: LGPL-2.1-or-later
//! The standby process, which runs while a transaction with a deadline is open, and keeps the
//! deadline if the daemon ends before it.
//!
//! It is the daemon's own program under another name ([`NAME`]), in its own session, so that a
//! signal to the daemon's process group does not reach it. It reads from a pipe of the executor's: a
//! byte means that the transaction is closed, the end of the pipe that the daemon has ended.
//! `daemon::standby` has its code.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use log::{debug, warn};

use crate::error::HostError;
use crate::execution::Program;
use crate::io::executor::{Execution, Executor};
use crate::io::files;
use crate::io::pid_file::{PidFile, PidFileError};
use crate::limits::{
    PROCESS_NAME_LEN_MAX, STANDBY_PAUSE_MAX, STANDBY_PAUSE_MIN, STANDBY_ROLLBACK_TIME_MAX,
    STANDBY_TAKE_OVER_TIME_MAX,
};
use crate::sys::{clock, process};

/// The program's name when it runs as the standby process.
pub const NAME: &str = "virtinterfaced-deadline";

/// The program that this process runs, even if its file was replaced since: only the same version
/// is sure to read its snapshot.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The name of the process in ps(1) and top(1), which must differ from the daemon's.
pub(crate) const PROCESS_NAME: &str = "virt-deadline";

/// The parameters of a standby process.
#[derive(Clone, Debug)]
pub struct StandbySpec {
    /// The file of the daemon's program.
    pub program: PathBuf,
    /// The options of the daemon that matter for a rollback.
    pub options: Vec<OsString>,
}

impl StandbySpec {
    /// Starts the process that keeps a deadline. Its standard input is a pipe.
    pub(super) fn spawn(&self, deadline: Duration) -> io::Result<Child> {
        let run = |program: &Path| {
            let mut command = Command::new(program);
            command.arg0(NAME).arg(deadline.as_millis().to_string()).args(&self.options);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).current_dir("/");
            for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"] {
                command.env_remove(variable);
            }
            command.spawn()
        };
        run(Path::new(OWN_PROGRAM)).or_else(|_| run(&self.program))
    }
}

/// The current standby process. One that ends without being dismissed is replaced.
#[derive(Debug)]
pub struct Standby {
    executor: Executor,
    /// The deadline of the open transaction, if it has one, as time since boot.
    deadline: Option<Duration>,
    current: Option<Execution>,
    /// When the next process is started, and the pause after that one.
    next_at: Option<Instant>,
    pause: Duration,
}

/// Returns whether `program`, the name of this process, is that of the standby process.
pub fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(NAME))
}

impl Standby {
    pub fn new(executor: Executor) -> Self {
        let (deadline, current, next_at) = (None, None, None);
        Self { executor, deadline, current, next_at, pause: STANDBY_PAUSE_MIN }
    }

    /// Starts a process that stands by until this time since boot. One of an earlier daemon ends.
    /// While none runs, only the daemon keeps the deadline.
    pub fn start(&mut self, deadline: Duration, now: Instant) {
        self.dismiss();
        self.deadline = Some(deadline);
        self.launch(deadline, now);
    }

    fn launch(&mut self, deadline: Duration, now: Instant) {
        match self.executor.start(Program::Standby { deadline }, None) {
            Ok(execution) => self.current = Some(execution),
            Err(err) => self.postpone(&HostError::new("run", NAME, &err).to_string(), now),
        }
    }

    fn postpone(&mut self, failure: &str, now: Instant) {
        let seconds = self.pause.as_secs();
        warn!(
            "{failure}: until the next try in {seconds} s, no process keeps the deadline of the \
             open change if the daemon dies"
        );
        self.next_at = Some(now + self.pause);
        self.pause = self.pause.saturating_mul(2).min(STANDBY_PAUSE_MAX);
    }

    /// Returns when to call [`Self::handle_time`].
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    /// Starts the process if it is due.
    pub fn handle_time(&mut self, now: Instant) {
        let is_due = self.next_at.is_some_and(|at| at <= now);
        if let Some(deadline) = self.deadline.filter(|_| is_due) {
            self.next_at = None;
            self.launch(deadline, now);
        }
    }

    /// Ends the process, as the transaction is closed.
    pub(crate) fn dismiss(&mut self) {
        (self.deadline, self.next_at, self.pause) = (None, None, STANDBY_PAUSE_MIN);
        if let Some(execution) = self.current.take() {
            execution.dismiss();
        }
    }

    /// Takes note of the end of the process.
    pub fn handle_end(&mut self, now: Instant) {
        if self.current.take_if(|execution| execution.end().is_some()).is_some() {
            self.postpone(&format!("{NAME} has ended"), now);
        }
    }
}

/// Takes the driver's lock. If a standby process of an earlier daemon holds it for its rollback,
/// waits for that.
///
/// # Errors
/// As for [`PidFile::lock`].
pub(crate) fn lock_after_rollback(lock: &Path) -> Result<PidFile, PidFileError> {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    loop {
        match PidFile::lock(lock) {
            Err(PidFileError::Held { holder: Some(holder), .. })
                if waited < STANDBY_ROLLBACK_TIME_MAX && is_standing_by(holder) => {}
            locked => return locked,
        }
        clock::pause(PAUSE);
        waited += PAUSE;
    }
}

fn is_standing_by(process: libc::pid_t) -> bool {
    let path = format!("/proc/{process}/comm");
    files::read_text(Path::new(&path), PROCESS_NAME_LEN_MAX)
        .is_ok_and(|name| name.trim_end() == PROCESS_NAME)
}

/// Ends the standby process of an earlier daemon, and takes its lock. If that fails, two standby
/// processes run, which is harmless.
pub(crate) fn take_over(lock: &Path) -> Option<PidFile> {
    const PAUSE: Duration = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while waited < STANDBY_TAKE_OVER_TIME_MAX {
        match PidFile::lock(lock) {
            Ok(lock) => return Some(lock),
            Err(PidFileError::Held { holder: Some(holder), .. }) => end(lock, holder),
            Err(err) => {
                debug!("{err}");
                return None;
            }
        }
        clock::pause(PAUSE);
        waited += PAUSE;
    }
    None
}

/// Ends the process that holds the lock. Its pid may be reused once it has ended, so the process is
/// opened first, and its hold on the lock checked after that.
fn end(lock: &Path, holder: libc::pid_t) {
    let ended = process::open_process(holder).and_then(|process| match PidFile::lock(lock) {
        Err(PidFileError::Held { holder: Some(now), .. }) if now == holder => {
            process::signal_process(process, libc::SIGTERM)
        }
        _ => Ok(()),
    });
    if let Err(err) = ended {
        debug!("cannot end process {holder}: {err}");
    }
}
