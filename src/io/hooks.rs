// SPDX-License-Identifier: LGPL-2.1-or-later
//! Hook scripts: programs of the administrator that run when the daemon starts, reloads and stops.
//!
//! They are `daemon`, then the executable files of `daemon.d` in the order of their names, one
//! after the other, listed anew each time. The loop never waits for one: a script is a child
//! process with a deadline, in a process group that is killed at the deadline. Its result is logged
//! and has no other effect.

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

/// The daemon's environment variables that scripts get, besides `LC_ALL`.
pub(crate) const PASSED_ON: [&str; 7] =
    ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_PRELOAD", "LD_LIBRARY_PATH"];

/// The event for which scripts are run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Occasion {
    Start,
    Reload,
    Shutdown,
}

impl Occasion {
    /// Returns the arguments of a script.
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
struct HookCall {
    script: PathBuf,
    occasion: Occasion,
}

impl fmt::Display for HookCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.script.display(), self.occasion.arguments().join(" "))
    }
}

/// The script that is running.
#[derive(Debug)]
struct RunningHook {
    call: HookCall,
    child: Child,
    deadline: Instant,
}

/// All scripts: the running one, and those waiting.
#[derive(Debug)]
pub struct Hooks {
    dir: PathBuf,
    environment: Vec<(OsString, OsString)>,
    time_max: Duration,
    waiting: VecDeque<HookCall>,
    running: Option<RunningHook>,
    /// Killed processes that are not reaped yet.
    killed: Vec<Child>,
}

impl Hooks {
    /// Creates the queue of scripts in `dir`; `environment` holds the daemon's values of
    /// [`PASSED_ON`].
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

    /// Lists the scripts and starts the first, or queues them behind earlier ones.
    pub fn begin(&mut self, occasion: Occasion, now: Instant) {
        for script in scripts(&self.dir) {
            if self.waiting.len() >= HOOK_SCRIPT_COUNT_MAX {
                warn!("{}: not run, as too many hooks are waiting", script.display());
                break;
            }
            self.waiting.push_back(HookCall { script, occasion });
        }
        self.start_next(now);
    }

    /// Handles SIGCHLD: reaps scripts that have ended, and starts the next.
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

    /// Kills the running script if its deadline has passed, and starts the next.
    pub fn handle_timeout(&mut self, now: Instant) {
        // The script may have ended without its SIGCHLD having been handled yet.
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

    /// Returns the deadline of the running script.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.deadline)
    }

    /// Returns whether no script runs or waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// Kills the running script and drops those waiting, as the daemon ends.
    pub(crate) fn abandon(&mut self) {
        self.waiting.clear();
        if let Some(running) = self.running.take() {
            warn!("hook killed because the daemon ends: {}", running.call);
            self.kill(running);
        }
    }

    fn start_next(&mut self, now: Instant) {
        while self.running.is_none() {
            let Some(call) = self.waiting.pop_front() else { return };
            match self.spawn(&call) {
                Ok(child) => {
                    debug!("hook started: {call}");
                    self.running = Some(RunningHook { call, child, deadline: now + self.time_max });
                }
                Err(err) => {
                    let script = call.script.display().to_string();
                    complain(&call, &HostError::new("run", script, &err));
                }
            }
        }
    }

    fn spawn(&self, call: &HookCall) -> io::Result<Child> {
        let mut command = Command::new(&call.script);
        command.args(call.occasion.arguments()).env_clear().env("LC_ALL", "C");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        descriptors::restore_limit(command.process_group(0)).spawn()
    }

    /// Kills a script without waiting for it: one that hangs in the kernel takes time to die.
    fn kill(&mut self, running: RunningHook) {
        if let Err(err) = process::kill_group(&running.child) {
            warn!("cannot kill {}: {err}", running.call);
        }
        self.killed.push(running.child);
        self.killed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

/// Returns the existing scripts, in the order in which they are run.
fn scripts(dir: &Path) -> Vec<PathBuf> {
    let mut scripts = vec![dir.join("daemon")];
    // Most hosts have no such folder.
    if let Ok(entries) = fs::read_dir(dir.join("daemon.d")) {
        scripts.extend(entries.flatten().map(|entry| entry.path()));
    }
    // "daemon" sorts before every path that begins with "daemon.d".
    scripts.sort_unstable();
    let is_script = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file()) && file::is_executable(path)
    };
    scripts.into_iter().filter(is_script).collect()
}

/// Describes how a script ended that did not succeed.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn complain(call: &HookCall, problem: &dyn fmt::Display) {
    error!("Hook script execution failed: {call}: {problem}");
}

#[cfg(test)]
mod tests;
