// SPDX-License-Identifier: LGPL-2.1-or-later
//! Hook scripts: programs of the administrator that run when the daemon starts, reloads and stops.
//!
//! They are `daemon`, then the executable files of `daemon.d` in the order of their names, one
//! after the other, listed anew each time. The loop never waits for one: a script has
//! a deadline, and a process group that is killed at the deadline. Its result is logged and has no
//! other effect.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use log::{debug, error, warn};

use crate::error::HostError;
use crate::execution::{FileName, HookScript, Program};
use crate::io::executor::{End, Execution, Executor};
use crate::limits::{HOOK_SCRIPT_COUNT_MAX, HOOK_TIME_MAX};
use crate::sys::file;

pub use crate::execution::Occasion;

/// The daemon's environment variables that scripts get, besides `LC_ALL`.
pub(crate) const PASSED_ON: [&str; 7] =
    ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_PRELOAD", "LD_LIBRARY_PATH"];

/// Where scripts are, and the variables that they get.
#[derive(Clone, Debug)]
pub struct HookFolder {
    pub dir: PathBuf,
    /// The daemon's values of [`PASSED_ON`].
    pub environment: Vec<(OsString, OsString)>,
}

impl HookFolder {
    /// Returns the command that runs a script.
    pub(super) fn command(&self, script: &HookScript, occasion: Occasion) -> Command {
        let path = match script {
            HookScript::Daemon => self.dir.join("daemon"),
            HookScript::Part(name) => {
                self.dir.join("daemon.d").join(OsStr::from_bytes(name.as_bytes()))
            }
        };
        let mut command = Command::new(path);
        command.args(arguments(occasion)).env_clear().env("LC_ALL", "C");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0);
        command
    }
}

/// Returns the arguments of a script.
const fn arguments(occasion: Occasion) -> [&'static str; 4] {
    match occasion {
        Occasion::Start => ["-", "start", "-", "start"],
        Occasion::Reload => ["-", "reload", "begin", "SIGHUP"],
        Occasion::Shutdown => ["-", "shutdown", "-", "shutdown"],
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
        write!(f, "{} {}", self.script.display(), arguments(self.occasion).join(" "))
    }
}

/// The script that is running.
#[derive(Debug)]
struct RunningHook {
    call: HookCall,
    execution: Execution,
}

/// All scripts: the running one, and those waiting.
#[derive(Debug)]
pub struct Hooks {
    dir: PathBuf,
    executor: Executor,
    time_max: Duration,
    waiting: VecDeque<HookCall>,
    running: Option<RunningHook>,
}

impl Hooks {
    /// Creates the queue of scripts in `dir`, which `executor` runs.
    pub fn new(dir: PathBuf, executor: Executor) -> Self {
        Self::with_time_max(dir, executor, HOOK_TIME_MAX)
    }

    fn with_time_max(dir: PathBuf, executor: Executor, time_max: Duration) -> Self {
        Self { dir, executor, time_max, waiting: VecDeque::new(), running: None }
    }

    /// Lists the scripts and starts the first, or queues them behind earlier ones.
    pub fn begin(&mut self, occasion: Occasion) {
        for script in scripts(&self.dir) {
            if self.waiting.len() >= HOOK_SCRIPT_COUNT_MAX {
                warn!("{}: not run, as too many hooks are waiting", script.display());
                break;
            }
            self.waiting.push_back(HookCall { script, occasion });
        }
        self.start_next();
    }

    /// Takes note of the end of the running script, and starts the next.
    pub fn handle_end(&mut self) {
        let Some(running) = &self.running else { return };
        match running.execution.end() {
            None => return,
            Some(end) if end.is_success() => debug!("hook done: {}", running.call),
            Some(end) => complain(&running.call, &self.describe(end)),
        }
        self.running = None;
        self.start_next();
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
            // Not waited for: a script that hangs in the kernel takes time to die.
            running.execution.kill_group();
        }
    }

    fn start_next(&mut self) {
        while self.running.is_none() {
            let Some(call) = self.waiting.pop_front() else { return };
            match self.start(&call) {
                Ok(execution) => {
                    debug!("hook started: {call}");
                    self.running = Some(RunningHook { call, execution });
                }
                Err(err) => {
                    let script = call.script.display().to_string();
                    complain(&call, &HostError::new("run", script, &err));
                }
            }
        }
    }

    fn start(&self, call: &HookCall) -> io::Result<Execution> {
        let script = match call.script.parent() {
            Some(dir) if dir == self.dir => HookScript::Daemon,
            _ => {
                let name = call.script.file_name().unwrap_or_default();
                let refused = || io::Error::from_raw_os_error(libc::EINVAL);
                HookScript::Part(FileName::new(name.as_bytes()).ok_or_else(refused)?)
            }
        };
        let program = Program::Hook { script, occasion: call.occasion };
        self.executor.start(program, Some(self.time_max))
    }

    /// Describes how a script ended that did not succeed.
    fn describe(&self, end: End) -> String {
        match end {
            End::Status(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit status {code}"),
                (None, Some(signal)) => format!("killed by signal {signal}"),
                (None, None) => status.to_string(),
            },
            End::Overdue => format!("not done after {:?}, killed", self.time_max),
            End::Unknown => end.to_string(),
        }
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

fn complain(call: &HookCall, problem: &dyn fmt::Display) {
    error!("Hook script execution failed: {call}: {problem}");
}

#[cfg(test)]
mod tests;
