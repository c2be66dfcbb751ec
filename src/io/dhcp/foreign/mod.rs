// SPDX-License-Identifier: LGPL-2.1-or-later
//! DHCP clients that other programs have started: finds, ends and restarts them.
//!
//! A client is ended by SIGKILL. On other signals some clients release their lease (udhcpc -R), or
//! remove the address from the link (dhcpcd without `persistent`).
//!
//! A dhcpcd that manages all links keeps running ([`Errand`]): it is ordered to release the link,
//! and later to take it again.
//!
//! Before a client is ended it is recorded with everything that it was started with
//! (`LINK.FAMILY.before`, readable for root alone). So a later daemon can restart it too, and a
//! client that continues the lease identifies itself in the same way ([`mod@heritage`]).

mod arguments;
mod find;
pub(super) mod heritage;

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use log::{debug, info, warn};

use self::find::{Finder, FoundClient, Search};
use self::heritage::Heritage;
use super::errand::Errand;
use super::process::Process;
use super::record::{self, ProcessId};
use super::stat::Stat;
use crate::error::HostError;
use crate::execution::Program;
use crate::io::executor::{End, Execution, Executor};
use crate::io::files;
use crate::limits::{
    CLEARING_TIME_MAX, CLIENT_SEARCHES_MAX, DHCP_LEASES_LEN_MAX, DHCP_STOP_TIME_MAX,
    MANAGER_ANSWER_TIME_MAX, PROCESS_TEXT_LEN_MAX, SCRIPT_TIME_MAX,
};
use crate::model::address::Family;
use crate::model::foreign::{ClientProgram, CommandLine, ForeignClient, Leaving};
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::snapshot::foreign as encoding;
use crate::sys;
use crate::xdr::reader::Reader;
use crate::xdr::writer::Writer;

/// The suffix of a file with an ended client.
const MEMORY_SUFFIX: &str = "before";

/// The suffix of a file with a client that is being restarted.
const RESTART_SUFFIX: &str = "restart";

/// The interval at which to check whether a killed process is gone, which takes a moment.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The clients of other programs.
#[derive(Debug)]
pub(super) struct ForeignClients {
    dir: PathBuf,
    executor: Executor,
    finder: Finder,
    ending: Vec<KilledClient>,
    started: Vec<Started>,
    taking: Vec<Taking>,
    clearing: Vec<ClearingClient>,
}

/// A client that was started and is about to clear its link.
#[derive(Debug)]
struct ClearingClient {
    client: ForeignClient,
    /// Its pid, which is not reused before the executor has reported its end.
    pid: i32,
    /// Whether its link is clear, so that only the end of its script is awaited.
    is_cleared: bool,
    look_at: Instant,
    until: Instant,
}

/// A link that a manager of all links was ordered to take again.
#[derive(Debug)]
struct Taking {
    client: ForeignClient,
    errand: Errand,
    until: Instant,
}

/// A client that was restarted, until its end is reported.
#[derive(Debug)]
struct Started {
    client: ForeignClient,
    execution: Execution,
    /// Whether it was killed since.
    is_ended: bool,
}

/// A client that is being ended.
#[derive(Debug)]
struct KilledClient {
    client: ForeignClient,
    /// The pids of the daemon's clients.
    own: Vec<i32>,
    processes: Vec<Process>,
    /// The order to a manager of all links, which is not killed.
    errand: Option<Errand>,
    look_at: Instant,
    until: Instant,
}

/// A search for running clients. It begins with the number of those that the daemon has given back and
/// that are its children.
#[derive(Debug, Default)]
pub struct ForeignSearch(Option<(Option<Result<Search, HostError>>, usize)>);

impl ForeignClients {
    pub(super) fn new(dir: &Path, executor: Executor) -> Self {
        let (finder, ending, started) = (Finder::default(), Vec::new(), Vec::new());
        let (taking, clearing) = (Vec::new(), Vec::new());
        Self { dir: dir.to_owned(), executor, finder, ending, started, taking, clearing }
    }

    /// Returns the running manager of all links, if it accepts orders.
    ///
    /// # Errors
    /// Those of [`Finder::find`].
    pub(super) fn manager(&self, own: &[i32]) -> Result<Option<ProcessId>, HostError> {
        let found = self.finder.find(own)?.into_iter();
        let mut managers = found.filter(|found| found.client.leaving == Leaving::Told);
        Ok(managers.find_map(|found| ProcessId::of(found.client.pid)))
    }

    /// Returns the links that the manager was ordered to release, and not to take again.
    pub(super) fn let_go(&self) -> Vec<IfName> {
        let parts = self.remembered().into_iter().filter(|it| it.leaving == Leaving::Told);
        parts.filter_map(|part| part.only_link()).collect()
    }

    /// Searches so many processes for running clients. Returns `true` when the search is over.
    pub(super) fn search(&self, search: &mut ForeignSearch, count: usize) -> bool {
        // Only root's daemon has foreign clients.
        let is_roots = sys::process::effective_uid() == 0;
        let begin = || (is_roots.then(|| self.finder.search()), self.started_and_running().len());
        let (found, _) = search.0.get_or_insert_with(begin);
        let over = match found {
            Some(Ok(found)) => self.finder.go_on(found, count),
            Some(Err(_)) | None => Ok(true),
        };
        over.unwrap_or_else(|err| {
            *found = Some(Err(err));
            true
        })
    }

    /// Returns the running clients, and goes on with a search for that. `own` lists the pids of the
    /// daemon's clients.
    ///
    /// # Errors
    /// Those of [`Finder::find`].
    pub(super) fn running(
        &self,
        mut search: ForeignSearch,
        own: &[i32],
    ) -> Result<Vec<ForeignClient>, HostError> {
        self.search(&mut search, usize::MAX);
        let Some((Some(search), mut running_count)) = search.0 else { return Ok(Vec::new()) };
        let mut found = self.finder.find_after(search?, own)?;
        let mut running = self.started_and_running();
        for _ in 1..CLIENT_SEARCHES_MAX {
            if running.len() == running_count {
                break;
            }
            // A client has gone to the background meanwhile, and may have been missed there.
            running_count = running.len();
            found = self.finder.find(own)?;
            running = self.started_and_running();
        }
        let mut clients = Vec::<ForeignClient>::new();
        for FoundClient { client, .. } in found {
            // A client that forks is seen twice.
            if !clients.iter().any(|other| other.is_same(&client)) {
                clients.push(client);
            }
        }
        // While a program is being loaded, /proc does not show it.
        for client in running {
            if !clients.iter().any(|other| other.is_same(client)) {
                clients.push(client.clone());
            }
        }
        Ok(clients)
    }

    /// Returns the clients that were restarted and whose first process runs. A client that is
    /// being killed does not show its arguments either, and is not one that is being loaded.
    fn started_and_running(&self) -> Vec<&ForeignClient> {
        let runs = |it: &&Started| !it.is_ended && !is_exiting(&it.execution);
        self.started.iter().filter(runs).map(|it| &it.client).collect()
    }

    /// Returns the clients that were ended in this boot, and not restarted.
    pub(super) fn remembered(&self) -> Vec<ForeignClient> {
        let mut clients = Vec::<ForeignClient>::new();
        for path in record::paths(&self.dir, MEMORY_SUFFIX) {
            // A client of both families has two files.
            let client = recall(&path).filter(|it| !clients.iter().any(|other| other.is_same(it)));
            clients.extend(client);
        }
        clients
    }

    /// Kills all clients that do the same as `client`, even if they were restarted since.
    ///
    /// # Errors
    /// The client cannot be recorded, or must not be killed. It then keeps running.
    pub(super) fn end(
        &mut self,
        client: &ForeignClient,
        own: &[i32],
        now: Instant,
    ) -> Result<(), HostError> {
        self.remember(client)?;
        let (mut processes, mut errand, mut time_max) = (Vec::new(), None, DHCP_STOP_TIME_MAX);
        match (client.leaving, client.only_link()) {
            (Leaving::Told, Some(link)) => {
                info!("asking {client} (process {}) to release its link", client.pid);
                self.taking.retain(|taking| !taking.client.is_same(client));
                let manager = self.manager(own)?;
                errand = manager.map(|manager| Errand::let_go(manager, link, now));
                time_max = MANAGER_ANSWER_TIME_MAX;
            }
            (Leaving::Told | Leaving::Ended, _) => processes = self.kill(client, own)?,
        }
        let (look_at, until) = (now + LOOK_INTERVAL, now + time_max);
        let (client, own) = (client.clone(), own.to_vec());
        self.ending.push(KilledClient { client, own, processes, errand, look_at, until });
        Ok(())
    }

    /// Kills all visible processes of a client. A client that was just restarted may not be
    /// recognizable as one yet, or have a parent process that waits for its lease.
    fn kill(&mut self, client: &ForeignClient, own: &[i32]) -> Result<Vec<Process>, HostError> {
        let mut processes = Vec::new();
        for started in self.started.iter_mut().filter(|it| it.client.is_same(client)) {
            started.is_ended = true;
            if started.execution.end().is_none() {
                let identity = ProcessId::of(started.execution.pid());
                processes.extend(identity.and_then(Process::adopt));
                // The client has its own process group.
                started.execution.kill_group();
            }
        }
        let found = self.finder.find(own)?.into_iter().filter(|found| found.client.is_same(client));
        for found in found {
            info!("stopping {} (process {})", found.client, found.client.pid);
            forget_pid_file(&found.client);
            processes.extend(found.processes.into_iter().filter_map(Process::adopt));
        }
        for process in &mut processes {
            match process.kill() {
                Err(err) if err.raw_os_error() != Some(libc::ESRCH) => {
                    return Err(HostError::new("kill", client.to_string(), &err));
                }
                Err(_) | Ok(()) => {}
            }
        }
        Ok(processes)
    }

    /// Returns the result once no process of a killed client is left; `None` before that.
    pub(super) fn ended(&mut self, client: &ForeignClient, now: Instant) -> Option<io::Result<()>> {
        let at = self.ending.iter().position(|it| it.client.is_same(client))?;
        let mut ending = self.ending.swap_remove(at);
        if client.leaving == Leaving::Told {
            return self.left(ending, now);
        }
        ending.processes.retain(|process| !process.has_ended());
        if ending.processes.is_empty() {
            // The client may have gone to the background at that moment.
            match self.kill(client, &ending.own) {
                Ok(processes) if processes.is_empty() => return Some(Ok(())),
                Ok(processes) => ending.processes = processes,
                Err(err) => return Some(Err(io::Error::from_raw_os_error(err.errno()))),
            }
        }
        if ending.until <= now {
            return Some(Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)));
        }
        ending.look_at = now + LOOK_INTERVAL;
        self.ending.push(ending);
        None
    }

    /// Returns the result once a manager has released a link; `None` before that. After a timeout
    /// it is ordered to keep the link.
    fn left(&mut self, mut ending: KilledClient, now: Instant) -> Option<io::Result<()>> {
        let errand = ending.errand.as_mut().filter(|errand| !errand.is_over());
        let Some(errand) = errand else { return Some(Ok(())) };
        errand.advance(now);
        if errand.is_over() {
            return Some(Ok(()));
        }
        if ending.until <= now {
            self.forget(&ending.client);
            if let Err(err) = self.start(&ending.client, &ending.own, now) {
                warn!("{err}: {} does not get its link back", ending.client);
            }
            return Some(Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)));
        }
        ending.look_at = errand.deadline();
        self.ending.push(ending);
        None
    }

    /// Starts a client again with its former command line. A manager of all links that still runs
    /// is ordered to take the link again.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn start(
        &mut self,
        client: &ForeignClient,
        own: &[i32],
        now: Instant,
    ) -> Result<(), HostError> {
        let link = client.only_link().filter(|_| client.leaving == Leaving::Told);
        let manager = if link.is_some() { self.manager(own)? } else { None };
        if let (Some(link), Some(manager)) = (link, manager) {
            info!("returning the link to {client} (process {})", manager.pid);
            let (client, errand) = (client.clone(), Errand::take(manager, link, now));
            self.forget(&client);
            self.taking.push(Taking { client, errand, until: now + MANAGER_ANSWER_TIME_MAX });
            return Ok(());
        }
        let name = || String::from_utf8_lossy(&client.command.file).into_owned();
        let execution = self.execute(client)?;
        let execution = execution.map_err(|err| HostError::new("run", name(), &err))?;
        info!("restarted {client} (process {})", execution.pid());
        if client.cleared_link().is_some() {
            let (client, pid) = (client.clone(), execution.pid());
            let (look_at, until) = (now + LOOK_INTERVAL, now + CLEARING_TIME_MAX);
            self.clearing.push(ClearingClient { client, pid, is_cleared: false, look_at, until });
        }
        self.started.push(Started { client: client.clone(), execution, is_ended: false });
        self.forget(client);
        Ok(())
    }

    /// Executes a client, which is written to a file for that: no command line is sent.
    fn execute(&self, client: &ForeignClient) -> Result<io::Result<Execution>, HostError> {
        let family = client.families.first().copied();
        let Some((link, family)) = client.only_link().zip(family) else {
            return Ok(Err(io::Error::from_raw_os_error(libc::EINVAL)));
        };
        let path = restart_file(&self.dir, link, family);
        self.write(client, [path.clone()].into_iter())?;
        let execution = self.executor.start(Program::ForeignClient { link, family }, None);
        let _ = fs::remove_file(path);
        Ok(execution)
    }

    /// Returns whether a manager has yet to take a link again, or a client has yet to clear its
    /// own.
    pub(super) fn is_starting(&self, client: &ForeignClient) -> bool {
        self.taking.iter().any(|taking| taking.client.is_same(client))
            || self.clearing.iter().any(|clearing| clearing.client.is_same(client))
    }

    /// Notes that a client has cleared its link, so its script is about to end.
    pub(super) fn note_cleared(&mut self, client: &ForeignClient, now: Instant) {
        for clearing in self.clearing.iter_mut().filter(|it| it.client.is_same(client)) {
            (clearing.is_cleared, clearing.until) = (true, now + SCRIPT_TIME_MAX);
        }
    }

    /// Continues the orders to managers, and takes note of clients that have ended: most of them go
    /// to the background once they have a lease.
    pub(super) fn handle_child(&mut self, now: Instant) {
        self.clearing.retain_mut(|ClearingClient { pid, is_cleared, look_at, until, .. }| {
            *look_at = now + LOOK_INTERVAL;
            now < *until && !(*is_cleared && has_no_children(*pid))
        });
        self.taking.retain_mut(|Taking { client, errand, until }| {
            errand.advance(now);
            if !errand.is_done() && *until <= now {
                warn!("cannot return the link to {client}: it has not taken it in time");
            }
            !errand.is_done() && now < *until
        });
        self.started.retain(|Started { client, execution, is_ended }| {
            match execution.end() {
                None => return true,
                Some(_) if *is_ended => debug!("{client} has ended"),
                Some(end @ End::Status(_)) if !end.is_success() => {
                    warn!("{client} has ended: {end}")
                }
                Some(_) => debug!("{client} goes on in the background"),
            }
            false
        });
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let ending = self.ending.iter().map(|ending| ending.look_at);
        let taking = self.taking.iter().map(|taking| taking.errand.deadline());
        let clearing = self.clearing.iter().map(|clearing| clearing.look_at);
        ending.chain(taking).chain(clearing).min()
    }

    /// Records everything that a client was started with.
    fn remember(&self, client: &ForeignClient) -> Result<(), HostError> {
        self.write(client, self.memories(client))
    }

    fn write(
        &self,
        client: &ForeignClient,
        paths: impl Iterator<Item = PathBuf>,
    ) -> Result<(), HostError> {
        const FOLDER_MODE: u32 = 0o755;
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.dir);
        made.map_err(|err| HostError::new("create", self.dir.display().to_string(), &err))?;
        let mut bytes = Vec::new();
        encoding::encode(&mut Writer::new(&mut bytes), client);
        for path in paths {
            // Environments must not be readable for other users.
            record::replace_bytes(&path, &bytes, 0o600)?;
        }
        Ok(())
    }

    fn forget(&self, client: &ForeignClient) {
        for path in self.memories(client) {
            if recall(&path).is_some_and(|it| it.is_same(client)) {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn memories(&self, client: &ForeignClient) -> impl Iterator<Item = PathBuf> {
        let link = client.only_link();
        let families = client.families.iter().copied();
        link.into_iter().flat_map(move |link| {
            families.clone().map(move |family| memory(&self.dir, link, family))
        })
    }
}

/// Returns whether a program is exiting, or has ended, which may not have been reported yet.
fn is_exiting(execution: &Execution) -> bool {
    let is_exiting = |stat: Stat| stat.has_ended || stat.is_exiting();
    execution.end().is_some() || Stat::of(execution.pid()).is_none_or(is_exiting)
}

/// Returns whether a process has no children; false if the kernel does not report them.
fn has_no_children(pid: i32) -> bool {
    let path = PathBuf::from(format!("/proc/{pid}/task/{pid}/children"));
    files::read_text(&path, PROCESS_TEXT_LEN_MAX).is_ok_and(|text| text.trim().is_empty())
}

/// Returns the settings that the client of a lease inherits from another program's client.
pub(super) fn heritage(dir: &Path, lease: &Lease) -> Option<Heritage> {
    let before = recall(&memory(dir, lease.like?, lease.family))?;
    let configuration = first_of(heritage::configurations(&before)).unwrap_or_default();
    let mut leases = heritage::leases(&before).into_iter();
    let number = leases
        .find_map(|path| heritage::number(&files::read_text(&path, DHCP_LEASES_LEN_MAX).ok()?));
    Some(Heritage { before, configuration, number: number.unwrap_or_default() })
}

fn first_of(paths: Vec<PathBuf>) -> Option<String> {
    paths.into_iter().find_map(|path| files::read_text(&path, PROCESS_TEXT_LEN_MAX).ok())
}

fn memory(dir: &Path, link: IfName, family: Family) -> PathBuf {
    dir.join(format!("{link}.{}.{MEMORY_SUFFIX}", family.as_str()))
}

fn recall(path: &Path) -> Option<ForeignClient> {
    let bytes = files::read(path, 4 * PROCESS_TEXT_LEN_MAX).ok()?;
    encoding::decode(&mut Reader::new(&bytes)).ok()
}

/// Returns the command that restarts a client, from its file.
pub(super) fn restart_command(dir: &Path, link: IfName, family: Family) -> io::Result<Command> {
    let client = recall(&restart_file(dir, link, family));
    let client = client.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
    require_trusted(&client)?;
    Ok(command(&client.command))
}

/// Checks that a client is a DHCP client by its arguments, and that only root can write its program.
pub(super) fn require_trusted(client: &ForeignClient) -> io::Result<()> {
    let recognized = arguments::recognize(&client.command.arguments);
    let is_client = recognized.is_some_and(|it| it.program == client.program);
    let is_trusted = find::is_trusted(Path::new(OsStr::from_bytes(&client.command.file)));
    if is_client && is_trusted { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}

fn restart_file(dir: &Path, link: IfName, family: Family) -> PathBuf {
    dir.join(format!("{link}.{}.{RESTART_SUFFIX}", family.as_str()))
}

fn command(line: &CommandLine) -> Command {
    let text = |bytes: &Vec<u8>| OsString::from_vec(bytes.clone());
    let mut command = Command::new(text(&line.file));
    if let Some((name, arguments)) = line.arguments.split_first() {
        command.arg0(text(name)).args(arguments.iter().map(text));
    }
    let directory = PathBuf::from(text(&line.directory));
    command.current_dir(if directory.is_dir() { directory } else { PathBuf::from("/") });
    command.env_clear();
    for variable in &line.environment {
        if let Some(at) = variable.iter().position(|byte| *byte == b'=') {
            let (name, value) = variable.split_at(at);
            let value = value.get(1..).unwrap_or_default();
            command.env(text(&name.to_vec()), text(&value.to_vec()));
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0);
    command
}

/// Removes the pid file of a client that is killed, as its pid may be reused.
fn forget_pid_file(client: &ForeignClient) {
    let options = arguments::options(&client.command.arguments);
    let named = match client.program {
        ClientProgram::Udhcpc => options.value(&["p", "pidfile"]),
        ClientProgram::Dhclient => options.value(&["-pf"]).or(Some("/run/dhclient.pid")),
        // dhcpcd holds a lock on its pid file, so its next process recognizes a stale one.
        ClientProgram::Dhcpcd => None,
    };
    let Some(path) = named.map(Path::new).filter(|path| path.is_absolute()) else { return };
    let number = files::read_text(path, PROCESS_TEXT_LEN_MAX);
    if number.is_ok_and(|number| number.trim_ascii() == client.pid.to_string()) {
        let _ = fs::remove_file(path);
    }
}
