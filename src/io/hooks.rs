// SPDX-License-Identifier: LGPL-2.1-or-later
//! Hook scripts: what the host's administrator has run when the daemon starts, reloads and stops.
//!
//! `daemon`, then the executable files of `daemon.d` in the order of their names, one after the
//! other. What is there is looked up anew each time. The loop never waits for one: a script is a
//! child with a deadline, in a process group of its own that is killed when its time is over. How
//! it ends is logged, and changes nothing else.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use log::{debug, error, warn};

use crate::error::HostError;
use crate::limits::{HOOK_SCRIPT_COUNT_MAX, HOOK_TIME_MAX};
use crate::sys::{descriptors, file, process};

/// The variables that scripts see beside `LC_ALL`, where the daemon has them itself.
pub(crate) const PASSED_ON: [&str; 7] =
    ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_PRELOAD", "LD_LIBRARY_PATH"];

/// When scripts are run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Occasion {
    Start,
    Reload,
    Shutdown,
}

impl Occasion {
    /// What a script is called with.
    const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Start => ["-", "start", "-", "start"],
            Self::Reload => ["-", "reload", "begin", "SIGHUP"],
            Self::Shutdown => ["-", "shutdown", "-", "shutdown"],
        }
    }
}

/// One script to be run.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Call {
    script: PathBuf,
    occasion: Occasion,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.script.display(), self.occasion.arguments().join(" "))
    }
}

/// The script that runs.
#[derive(Debug)]
struct Running {
    call: Call,
    child: Child,
    deadline: Instant,
}

/// All scripts: the one that runs, and those that wait for it.
#[derive(Debug)]
pub struct Hooks {
    dir: PathBuf,
    environment: Vec<(OsString, OsString)>,
    time_max: Duration,
    waiting: VecDeque<Call>,
    running: Option<Running>,
    /// Killed, and not yet gone: the kernel says when.
    killed: Vec<Child>,
}

impl Hooks {
    /// `dir` holds the scripts; `environment` is what the daemon has of [`PASSED_ON`].
    pub fn new(dir: PathBuf, environment: Vec<(OsString, OsString)>) -> Self {
        Self::with_time_max(dir, environment, HOOK_TIME_MAX)
    }

    fn with_time_max(
        dir: PathBuf,
        environment: Vec<(OsString, OsString)>,
        time_max: Duration,
    ) -> Self {
        let (waiting, killed) = (VecDeque::new(), Vec::new());
        Self { dir, environment, time_max, waiting, running: None, killed }
    }

    /// Looks for scripts and starts the first, or lets them wait for those that are not done yet.
    pub fn begin(&mut self, occasion: Occasion, now: Instant) {
        for script in scripts(&self.dir) {
            if self.waiting.len() >= HOOK_SCRIPT_COUNT_MAX {
                warn!("{}: more hooks than may wait, left out", script.display());
                break;
            }
            self.waiting.push_back(Call { script, occasion });
        }
        self.start_next(now);
    }

    /// A child may have ended: sees which of ours have, and goes on with the next script.
    pub fn handle_child(&mut self, now: Instant) {
        self.killed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let Some(running) = &mut self.running else { return };
        match running.child.try_wait() {
            Ok(None) => return,
            Ok(Some(status)) if status.success() => debug!("hook done: {}", running.call),
            Ok(Some(status)) => complain(&running.call, &ending(status)),
            Err(err) => {
                let script = running.call.script.display().to_string();
                complain(&running.call, &HostError::new("wait for", script, &err));
            }
        }
        self.running = None;
        self.start_next(now);
    }

    /// Kills the script that runs if its time is over, and goes on with the next.
    pub fn handle_timeout(&mut self, now: Instant) {
        // It may have ended while nobody looked.
        self.handle_child(now);
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            if let Some(running) = self.running.take() {
                let time = self.time_max;
                complain(&running.call, &format_args!("not done after {time:?}, killed"));
                self.kill(running);
            }
            self.start_next(now);
        }
    }

    /// When the script that runs is over its time.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.deadline)
    }

    /// No script runs or waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// The daemon ends: kills what still runs, and forgets what waits.
    pub(crate) fn abandon(&mut self) {
        self.waiting.clear();
        if let Some(running) = self.running.take() {
            warn!("hook killed, as the daemon ends: {}", running.call);
            self.kill(running);
        }
    }

    fn start_next(&mut self, now: Instant) {
        while self.running.is_none() {
            let Some(call) = self.waiting.pop_front() else { return };
            match self.spawn(&call) {
                Ok(child) => {
                    debug!("hook started: {call}");
                    self.running = Some(Running { call, child, deadline: now + self.time_max });
                }
                Err(err) => {
                    let script = call.script.display().to_string();
                    complain(&call, &HostError::new("run", script, &err));
                }
            }
        }
    }

    fn spawn(&self, call: &Call) -> io::Result<Child> {
        let mut command = Command::new(&call.script);
        command.args(call.occasion.arguments()).env_clear().env("LC_ALL", "C");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        descriptors::restore_limit(command.process_group(0)).spawn()
    }

    /// The script is not waited for here: one that hangs in the kernel takes its time to die.
    fn kill(&mut self, running: Running) {
        if let Err(err) = process::kill_group(&running.child) {
            warn!("cannot kill {}: {err}", running.call);
        }
        self.killed.push(running.child);
        self.killed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

/// The scripts that there are now, in the order in which they are run.
fn scripts(dir: &Path) -> Vec<PathBuf> {
    let mut scripts = vec![dir.join("daemon")];
    // Most hosts have no such folder.
    if let Ok(entries) = fs::read_dir(dir.join("daemon.d")) {
        scripts.extend(entries.flatten().map(|entry| entry.path()));
    }
    // "daemon" comes before all that begins with "daemon.d".
    scripts.sort_unstable();
    let is_script = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file()) && file::is_executable(path)
    };
    scripts.into_iter().filter(is_script).collect()
}

/// How a script ended that did not end well.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn complain(call: &Call, problem: &dyn fmt::Display) {
    error!("Hook script execution failed: {call}: {problem}");
}

#[cfg(test)]
mod tests;
