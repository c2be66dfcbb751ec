// SPDX-License-Identifier: LGPL-2.1-or-later
//! The process that stands by while a change with a deadline is open, and keeps the deadline if the
//! daemon has ended by then.
//!
//! It is the daemon's own program under another name ([`NAME`]), in a session of its own, so that what
//! ends the daemon's process group does not reach it. A pipe leads to it: a byte means that the change
//! is over, its end that the daemon is. What it does then is `daemon::standby`'s.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use log::{debug, warn};

use crate::error::HostError;
use crate::io::files;
use crate::io::pid_file::{PidFile, PidFileError};
use crate::limits::{
    STANDBY_PAUSE_MAX, STANDBY_PAUSE_MIN, STANDBY_ROLLBACK_TIME_MAX, STANDBY_TAKE_OVER_TIME_MAX,
};
use crate::sys::{clock, descriptors, process};

/// What the daemon is called when it stands by.
pub const NAME: &str = "virtinterfaced-deadline";

/// The program that this process runs, also when its file has been replaced: it reads what it has
/// written.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What ps(1) and top(1) call the process: nobody is to take it for the daemon.
pub(crate) const PROCESS_NAME: &str = "virt-deadline";

/// How long such a name may be, and what the kernel says of it.
const PROCESS_NAME_LEN_MAX: u64 = 64;

/// What a process that stands by needs to know.
#[derive(Clone, Debug)]
pub struct StandbySpec {
    /// The file of the daemon's program.
    pub program: PathBuf,
    /// The options of the daemon, as far as they matter for a rollback.
    pub options: Vec<OsString>,
}

/// The processes that stand by or have. One that ends before it is dismissed is followed by another.
#[derive(Debug)]
pub struct Standby {
    spec: StandbySpec,
    /// The time after the boot until which one is to stand by, if a change has such.
    deadline: Option<Duration>,
    current: Option<Child>,
    /// When the next one is started, and the pause after that one.
    next_at: Option<Instant>,
    pause: Duration,
    /// Those that are told to end.
    dismissed: Vec<Child>,
}

/// Whether `program`, as the process was called, stands by and is not the daemon.
pub fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(NAME))
}

impl Standby {
    pub fn new(spec: StandbySpec) -> Self {
        let (current, dismissed) = (None, Vec::new());
        Self { spec, deadline: None, current, next_at: None, pause: STANDBY_PAUSE_MIN, dismissed }
    }

    /// Has a process stand by until this time after the boot. One of an earlier daemon ends. As long as
    /// there is none, the deadline is kept by a daemon alone.
    pub fn start(&mut self, deadline: Duration, now: Instant) {
        self.dismiss();
        self.deadline = Some(deadline);
        self.launch(deadline, now);
    }

    fn launch(&mut self, deadline: Duration, now: Instant) {
        match self.spawn(deadline) {
            Ok(child) => self.current = Some(child),
            Err(err) => self.postpone(&HostError::new("run", NAME, &err).to_string(), now),
        }
    }

    fn postpone(&mut self, failure: &str, now: Instant) {
        let seconds = self.pause.as_secs();
        warn!(
            "{failure}: until another one runs, in {seconds} s, the deadline of the open change is \
             not kept without a daemon"
        );
        self.next_at = Some(now + self.pause);
        self.pause = self.pause.saturating_mul(2).min(STANDBY_PAUSE_MAX);
    }

    /// When to call [`Self::handle_time`].
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    /// Starts the process that is due.
    pub fn handle_time(&mut self, now: Instant) {
        let is_due = self.next_at.is_some_and(|at| at <= now);
        if let Some(deadline) = self.deadline.filter(|_| is_due) {
            self.next_at = None;
            self.launch(deadline, now);
        }
    }

    fn spawn(&self, deadline: Duration) -> io::Result<Child> {
        let run = |program: &Path| {
            let mut command = Command::new(program);
            command.arg0(NAME).arg(deadline.as_millis().to_string()).args(&self.spec.options);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).current_dir("/");
            for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"] {
                command.env_remove(variable);
            }
            descriptors::restore_limit(&mut command).spawn()
        };
        run(Path::new(OWN_PROGRAM)).or_else(|_| run(&self.spec.program))
    }

    /// The change is over.
    pub(crate) fn dismiss(&mut self) {
        (self.deadline, self.next_at, self.pause) = (None, None, STANDBY_PAUSE_MIN);
        let Some(mut child) = self.current.take() else { return };
        if let Some(mut pipe) = child.stdin.take() {
            // One that has been killed does not want to know.
            let _ = pipe.write_all(b"\n");
        }
        self.dismissed.push(child);
    }

    /// A child may have ended.
    pub fn handle_child(&mut self, now: Instant) {
        self.dismissed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if self.current.take_if(|child| !matches!(child.try_wait(), Ok(None))).is_some() {
            self.postpone(&format!("{NAME} has ended"), now);
        }
    }
}

/// Takes the driver's lock. A process that stood by for an earlier daemon and rolls its change back now
/// is waited for.
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

/// Ends the process that an earlier daemon has left standing by, and takes its lock. Where that cannot
/// be, two of them stand by, which does no harm.
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

/// Ends the process that holds the lock. Its number may be another's as soon as it has ended, so it is
/// opened before it is asked for once more.
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
