// SPDX-License-Identifier: LGPL-2.1-or-later
//! DHCP by a client of the host: udhcpc, dhcpcd or dhclient, one process for each link and family.
//!
//! This module does not know when a lease is bound: the kernel's table shows the address, which the
//! client has configured ([`script`]). It does not know definitions either: a plan lists the
//! desired leases, and removes addresses that a link loses. Nothing here blocks.
//!
//! Events that the script records about a lease are logged (`notes`), without further effect.
//!
//! A client that dies is restarted after a growing pause. One that is stopped keeps its lease and
//! changes nothing: it sends no DHCPRELEASE, and removes no addresses or routes. Its name servers
//! are removed later (`names`). Clients outlive the daemon, and the next daemon adopts them by
//! their records.

pub mod script;
mod stat;
mod record;
mod errand;
mod process;
mod error;
mod foreign;
mod client;
mod choice;
mod names;
mod command;
mod phase;
mod notes;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{debug, info, warn};

pub use self::choice::Choice;
use self::client::{DhcpProgram, Files};
pub use self::command::DhcpCommands;
use self::errand::Errand;
pub use self::error::DhcpError;
use self::foreign::ForeignClients;
pub use self::foreign::ForeignSearch;
use self::foreign::heritage::Heritage;
use self::names::Names;
use self::notes::Notes;
use self::phase::{Entry, Phase};
use self::process::Process;
use self::record::{ProcessId, Record};
use crate::config::choice::DhcpClient;
use crate::error::HostError;
use crate::execution::Program;
use crate::io::executor::Executor;
use crate::limits::{CLIENT_PAUSE_MAX, DHCP_STOP_TIME_MAX};
use crate::model::address::{Family, IpPrefix};
use crate::model::foreign::{ClientLinks, ClientProgram, ForeignClient, Leaving};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;

/// The first pause before a client that has died is restarted, which doubles each time.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// The interval at which a client is asked to end: dhcpcd may lose a signal while its hooks run.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// The interval at which an adopted client is checked, as its end is not reported. Polling a
/// process descriptor would need a token for each client.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// The same while the end of a client is awaited.
const LOOK_INTERVAL_ENDING: Duration = Duration::from_millis(10);

/// All clients of the daemon.
#[derive(Debug)]
pub struct DhcpClients {
    /// `dhcp` below the driver's run directory.
    dir: PathBuf,
    /// The daemon's own program, which is also the script.
    program: PathBuf,
    choice: Choice,
    executor: Executor,
    entries: Vec<Entry>,
    names: Names,
    notes: Notes,
    foreign: ForeignClients,
    /// The time when adopted clients were last checked.
    looked_at: Option<Instant>,
}

impl DhcpClients {
    /// Adopts the clients that an earlier daemon has left running. `program` is the daemon's file.
    pub fn open(
        run_dir: &Path,
        program: PathBuf,
        choice: Choice,
        executor: Executor,
        now: Instant,
    ) -> Self {
        let dir = dir_within(run_dir);
        let names = Names::found(&dir, now);
        let foreign = ForeignClients::new(&dir, executor.clone());
        let (entries, looked_at) = (Vec::new(), Some(now));
        let mut notes = Notes::new();
        notes.watch(&dir);
        let mut clients =
            Self { dir, program, choice, executor, entries, names, foreign, notes, looked_at };
        for path in record::paths(&clients.dir, record::RECORD_SUFFIX) {
            let found = Record::read(&path);
            let adopted = found.and_then(|Record { identity, lease, is_manager }| {
                // An ended process's pid may have been reused.
                let errand = || Box::new(Errand::lease(identity.clone(), &lease, now));
                let manager = is_manager.then(|| Process::Manager(errand()));
                Some((lease, manager.or_else(|| Process::adopt(identity))?))
            });
            let Some((lease, process)) = adopted else {
                // The record has no process, so only this removes it.
                let _ = fs::remove_file(&path);
                continue;
            };
            info!("DHCP client of {lease} adopted");
            clients.notes.adopt(&clients.dir, &lease);
            if lease.name_servers == NameServers::Taken {
                clients.names.keep(&lease);
            }
            let phase = Phase::Running { process, since: now };
            clients.entries.push(Entry { lease, phase, pause: PAUSE_MIN });
        }
        clients
    }

    /// Applies a reloaded configuration. Running clients are not changed.
    pub fn choose(&mut self, choice: Choice) {
        self.choice = choice;
    }

    /// Checks that there is a client for a lease which supports everything that the lease needs. A
    /// plan checks this before it changes anything. `own` is an address of the host that the link will
    /// also have. A lease that another link continues keeps its program.
    pub fn check(&self, lease: &Lease, own: Option<IpPrefix>) -> Result<(), DhcpError> {
        if !self.executor.is_alive() {
            return Err(DhcpError::NoExecutor);
        }
        if lease.like.is_some() { Ok(()) } else { self.client(lease)?.check_beside(own) }
    }

    /// Returns the client for a lease. If a dhcpcd manages all links, no other dhcpcd can run.
    fn client(&self, lease: &Lease) -> Result<DhcpProgram, DhcpError> {
        let client = self.choice.client(lease)?;
        if client.kind != ClientProgram::Dhcpcd {
            return Ok(client);
        }
        let is_manager =
            |it: &ForeignClient| it.program == ClientProgram::Dhcpcd && it.only_link().is_none();
        let Some(manager) = self.foreign(ForeignSearch::default())?.into_iter().find(is_manager)
        else {
            return Ok(client);
        };
        let Choice { choice, dirs, known } = &self.choice;
        let other = (*choice == DhcpClient::Auto)
            .then(|| DhcpProgram::find(DhcpClient::Dhclient, lease.family, dirs, known).ok());
        other.flatten().ok_or(DhcpError::Managed { pid: manager.pid })
    }

    /// Starts a client. A running client of the same link and family is replaced once it has ended,
    /// unless it already does what the lease asks for.
    pub fn start(&mut self, lease: &Lease, now: Instant) -> Result<(), DhcpError> {
        self.check(lease, None)?;
        match self.entry(lease.link, lease.family) {
            None => {
                let phase = self.launch(lease, now)?;
                // A later start keeps the address that this one binds.
                let lease = Lease { wanted: None, ..*lease };
                self.entries.push(Entry { lease, phase, pause: PAUSE_MIN });
            }
            Some(entry) => match &mut entry.phase {
                Phase::Ending { next, .. } => *next = Some(*lease),
                Phase::Running { .. } if entry.lease.name_servers == lease.name_servers => {}
                Phase::Running { .. } => {
                    self.stop(lease.link, lease.family, now);
                    if let Some(Entry { phase: Phase::Ending { next, .. }, .. }) =
                        self.entry(lease.link, lease.family)
                    {
                        *next = Some(*lease);
                    }
                }
                // Its restart is due now.
                Phase::Pausing { until } => {
                    *until = now;
                    entry.lease = *lease;
                }
            },
        }
        match lease.name_servers {
            NameServers::Taken => self.names.keep(lease),
            NameServers::Left => self.names.give_up(&self.dir, lease, now),
        }
        Ok(())
    }

    /// Asks a client to end. It keeps its lease, and the link keeps its addresses.
    pub fn stop(&mut self, link: IfName, family: Family, now: Instant) {
        let Some(at) = self.entries.iter().position(|entry| entry.lease.is_for(link, family))
        else {
            return;
        };
        let Entry { lease, phase, pause } = self.entries.swap_remove(at);
        let phase = match phase {
            Phase::Pausing { .. } => return self.forget_state(&lease, now),
            Phase::Ending { process, ask_at, kill_at, .. } => {
                Phase::Ending { process, ask_at, kill_at, next: None }
            }
            Phase::Running { mut process, .. } => {
                // The manager has both families of a link.
                let is_shared = process.errand().is_some() && self.has_manager(link);
                if is_shared {
                    let _ = process.kill();
                } else {
                    process.ask_to_end(&lease);
                }
                // A daemon that starts now must not adopt it.
                self.forget(&lease);
                // The end of an adopted client is checked soon.
                self.looked_at = Some(now);
                let (ask_at, kill_at) = (now + ASK_INTERVAL, now + DHCP_STOP_TIME_MAX);
                Phase::Ending { process, ask_at, kill_at, next: None }
            }
        };
        self.entries.push(Entry { lease, phase, pause });
    }

    /// Stops the clients of links that are gone: each would be restarted repeatedly, and would
    /// serve another device that gets the name. The caller must know all links, and not be within a
    /// change that creates the link again.
    pub fn retain_links(&mut self, is_there: impl Fn(&IfName) -> bool, now: Instant) {
        let gone: Vec<Lease> =
            self.running().filter(|lease| !is_there(&lease.link)).copied().collect();
        for lease in gone {
            info!("DHCP client of {lease} stopped: the link is gone");
            self.stop(lease.link, lease.family, now);
        }
    }

    /// Returns the inotify queue that reports the script's records, for polling.
    pub fn queue(&self) -> Option<BorrowedFd<'_>> {
        self.notes.queue()
    }

    /// Logs the script's new records.
    pub fn handle_notes(&mut self) {
        self.notes.drain();
        let leases: Vec<_> = self.running().copied().collect();
        self.notes.look(&self.dir, &leases);
    }

    /// Returns whether a process may still change this link, even one that was asked to end.
    pub fn is_running(&self, link: IfName, family: Family) -> bool {
        self.entries.iter().any(|entry| entry.lease.is_for(link, family))
    }

    /// Iterates over the desired leases: those of clients that run, or will run again.
    pub fn running(&self) -> impl Iterator<Item = &Lease> {
        self.entries.iter().filter_map(|entry| match &entry.phase {
            Phase::Running { .. } | Phase::Pausing { .. } => Some(&entry.lease),
            Phase::Ending { next, .. } => next.as_ref(),
        })
    }

    /// Searches so many processes for clients. Returns `true` when the search is over.
    pub fn search_foreign(&self, search: &mut ForeignSearch, count: usize) -> bool {
        self.foreign.search(search, count)
    }

    /// Returns the running clients that other programs have started, and goes on with a search for that.
    ///
    /// # Errors
    /// The host is short of descriptors or memory, so they could not be found.
    pub fn foreign(&self, search: ForeignSearch) -> Result<Vec<ForeignClient>, HostError> {
        let mut clients = self.foreign.running(search, &self.pids())?;
        for client in clients.iter_mut().filter(|it| it.leaving == Leaving::Told) {
            let ClientLinks::All(choice) = &mut client.links else { continue };
            choice.let_go = self.foreign.let_go();
            let is_lent = |it: &&Entry| matches!(it.phase.process(), Some(Process::Manager(_)));
            choice.lent = self.entries.iter().filter(is_lent).map(|it| it.lease.link).collect();
        }
        Ok(clients)
    }

    /// Returns a port that the manager of all links has released, perhaps with its configuration.
    pub fn next_stray(&mut self) -> Option<IfName> {
        self.entries.iter_mut().find_map(|entry| entry.phase.errand()?.take_stray())
    }

    /// Returns whether the manager of all links serves this link for the daemon, for any family.
    fn has_manager(&self, link: IfName) -> bool {
        self.entries.iter().any(|entry| {
            entry.lease.link == link
                && matches!(&entry.phase, Phase::Running { process: Process::Manager(_), .. })
        })
    }

    /// Returns the families that a client runs for, the daemon's or another program's.
    pub fn families_of(&self, link: IfName) -> Vec<Family> {
        let foreign = self.foreign(ForeignSearch::default()).unwrap_or_default();
        let has_client = |family: &Family| {
            self.is_running(link, *family)
                || foreign.iter().any(|it| it.only_link() == Some(link) && it.is_for(link, *family))
        };
        [Family::Ipv4, Family::Ipv6].into_iter().filter(has_client).collect()
    }

    /// Returns the clients of other programs that the daemon has ended in this boot, and not
    /// started again.
    pub fn ended(&self) -> Vec<ForeignClient> {
        self.foreign.remembered()
    }

    /// Ends another program's client. It keeps its lease, and its link keeps its addresses.
    pub fn end_foreign(&mut self, client: &ForeignClient, now: Instant) -> Result<(), HostError> {
        let own = self.pids();
        self.foreign.end(client, &own, now)
    }

    /// Returns the result of that; `None` while any of its processes runs.
    pub fn foreign_ended(
        &mut self,
        client: &ForeignClient,
        now: Instant,
    ) -> Option<io::Result<()>> {
        self.foreign.ended(client, now)
    }

    /// Starts a client again as another program had started it.
    pub fn give_back(&mut self, client: &ForeignClient, now: Instant) -> Result<(), HostError> {
        let own = self.pids();
        self.foreign.start(client, &own, now)
    }

    /// Returns whether that client no longer needs the daemon's attention.
    pub fn is_given_back(&self, client: &ForeignClient) -> bool {
        !self.foreign.is_starting(client)
    }

    /// Notes that the client has cleared its link, which it does when it starts.
    pub fn note_cleared(&mut self, client: &ForeignClient, now: Instant) {
        self.foreign.note_cleared(client, now);
    }

    /// Returns the pids of the daemon's clients.
    fn pids(&self) -> Vec<libc::pid_t> {
        self.entries.iter().filter_map(|entry| entry.phase.process()?.pid()).collect()
    }

    /// Takes note of clients that have ended.
    pub fn handle_child(&mut self, now: Instant) {
        self.executor.read();
        for entry in &mut self.entries {
            entry.phase.errand().into_iter().for_each(|errand| errand.advance(now));
        }
        for mut entry in std::mem::take(&mut self.entries) {
            entry.phase.settle();
            entry.phase = match entry.phase {
                Phase::Running { process, since } if process.has_ended() => {
                    let ending = process.clear_away();
                    if now.saturating_duration_since(since) > CLIENT_PAUSE_MAX {
                        entry.pause = PAUSE_MIN;
                    }
                    let pause = entry.pause;
                    let seconds = pause.as_secs();
                    warn!(
                        "DHCP client of {} ended ({ending}); restarting it in {seconds} s",
                        entry.lease
                    );
                    self.forget(&entry.lease);
                    entry.pause = pause.saturating_mul(2).min(CLIENT_PAUSE_MAX);
                    Phase::Pausing { until: now + pause }
                }
                Phase::Ending { process, next, .. } if process.has_ended() => {
                    let ending = process.clear_away();
                    debug!("DHCP client of {} ended: {ending}", entry.lease);
                    let Some(next) = next else {
                        self.forget_state(&entry.lease, now);
                        continue;
                    };
                    entry.lease = next;
                    Phase::Pausing { until: now }
                }
                phase @ (Phase::Running { .. } | Phase::Ending { .. } | Phase::Pausing { .. }) => {
                    phase
                }
            };
            self.entries.push(entry);
        }
        self.foreign.handle_child(now);
        self.start_due(now);
        self.names.handle_time(&self.executor, now);
    }

    /// Kills clients that do not end, restarts those whose pause is over, and checks those that are
    /// not known to the executor.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.looked_at = Some(now);
        self.handle_child(now);
        for entry in &mut self.entries {
            if let Phase::Ending { process, ask_at, kill_at, .. } = &mut entry.phase {
                if *ask_at <= now {
                    process.ask_to_end(&entry.lease);
                    *ask_at = now + ASK_INTERVAL;
                }
                if *kill_at <= now {
                    warn!("DHCP client of {} does not stop; killing it", entry.lease);
                    if let Err(err) = process.kill() {
                        debug!("cannot kill the DHCP client of {}: {err}", entry.lease);
                    }
                    *kill_at = now + DHCP_STOP_TIME_MAX;
                }
            }
        }
    }

    /// Returns when [`Self::handle_timeout`] is next due.
    pub fn deadline(&self) -> Option<Instant> {
        let look = |interval| self.looked_at.map(|last| last + interval);
        let of_entry = |entry: &Entry| match &entry.phase {
            Phase::Running { process: Process::Manager(errand), .. } => Some(errand.deadline()),
            Phase::Ending { process: Process::Manager(errand), kill_at, .. } => {
                Some(errand.deadline().min(*kill_at))
            }
            Phase::Running { process, .. } if process.is_adopted() => look(LOOK_INTERVAL),
            Phase::Running { .. } => None,
            Phase::Ending { process, ask_at, kill_at, .. } if process.is_adopted() => {
                look(LOOK_INTERVAL_ENDING).map(|look| look.min(*ask_at).min(*kill_at))
            }
            Phase::Ending { ask_at, kill_at, .. } => Some(*ask_at.min(kill_at)),
            Phase::Pausing { until } => Some(*until),
        };
        let others = [self.names.deadline(), self.foreign.deadline()];
        self.entries.iter().filter_map(of_entry).chain(others.into_iter().flatten()).min()
    }

    fn entry(&mut self, link: IfName, family: Family) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.lease.is_for(link, family))
    }

    /// Restarts clients whose pause is over.
    fn start_due(&mut self, now: Instant) {
        for mut entry in std::mem::take(&mut self.entries) {
            if let Phase::Pausing { until } = entry.phase {
                if until <= now {
                    entry.phase = match self.launch(&entry.lease, now) {
                        Ok(phase) => {
                            entry.lease.wanted = None;
                            phase
                        }
                        Err(err) => {
                            warn!("cannot start a DHCP client for {}: {err}", entry.lease);
                            let until = now + entry.pause;
                            entry.pause = entry.pause.saturating_mul(2).min(CLIENT_PAUSE_MAX);
                            Phase::Pausing { until }
                        }
                    };
                }
            }
            self.entries.push(entry);
        }
    }

    /// Starts a client, and writes its record.
    fn launch(&mut self, lease: &Lease, now: Instant) -> Result<Phase, DhcpError> {
        let heritage = foreign::heritage(&self.dir, lease);
        if let Some(manager) = self.manager_like(heritage.as_ref())? {
            debug!(
                "DHCP client of {lease}: dhcpcd, which manages all links (process {})",
                manager.pid
            );
            let process = Process::Manager(Box::new(Errand::lease(manager, lease, now)));
            self.write_down(&process, lease);
            return Ok(Phase::Running { process, since: now });
        }
        let client = match &heritage {
            Some(heritage) => DhcpProgram::like(&heritage.before, &self.choice.known),
            None => self.client(lease)?,
        };
        client.check(lease)?;
        let dir = DirBuilder::new().recursive(true).mode(0o755).create(&self.dir);
        dir.map_err(|err| HostError::new("create", self.dir.display().to_string(), &err))?;
        self.notes.watch(&self.dir);
        let lease = self.remember_wanted(lease)?;
        self.prepare(&client, &lease, heritage.as_ref())?;
        let execution =
            self.executor.start(Program::DhcpClient { client: client.kind, lease }, None);
        let name = client.kind.name();
        let execution = execution.map_err(|err| HostError::new("run", name, &err))?;
        debug!("DHCP client of {lease} started: {name} (process {})", execution.pid());
        let process = Process::started(execution);
        self.write_down(&process, &lease);
        Ok(Phase::Running { process, since: now })
    }

    /// Returns the running manager of all links, if it or an earlier manager had the lease.
    fn manager_like(&self, heritage: Option<&Heritage>) -> Result<Option<ProcessId>, HostError> {
        match heritage.map(|heritage| heritage.before.leaving) {
            Some(Leaving::Told) => self.foreign.manager(&self.pids()),
            Some(Leaving::Ended) | None => Ok(None),
        }
    }

    /// Writes the record of a lease's process. If the process has ended already, that will be
    /// reported.
    fn write_down(&self, process: &Process, lease: &Lease) {
        let Some(identity) = process.identity() else { return };
        let is_manager = matches!(process, Process::Manager(_));
        if let Err(err) = (Record { identity, lease: *lease, is_manager }).write(&self.dir) {
            warn!("{err}: a restarted daemon will not adopt the DHCP client of {lease}");
        }
    }

    /// Returns the lease with the address that the link should keep: the requested one, or else the
    /// one bound by the previous client. The script must not treat it as bound yet: a client that
    /// starts first reports a link without a lease, and the script would remove the address.
    fn remember_wanted(&self, lease: &Lease) -> Result<Lease, HostError> {
        let bound = record::path_of(&self.dir, lease, "bound");
        let path = record::path_of(&self.dir, lease, "wanted");
        match lease.wanted {
            // Not every client sets a lifetime for its addresses.
            Some(address) => {
                record::replace(&path, &format!("{address}\n{}\n", script::LASTING), 0o644)?;
                let _ = fs::remove_file(&bound);
            }
            None => drop(fs::rename(&bound, &path)),
        }
        let wanted = lease.wanted.or_else(|| record::read_address(&path));
        Ok(Lease { wanted, ..*lease })
    }

    /// Writes the files that the client reads.
    fn prepare(
        &self,
        client: &DhcpProgram,
        lease: &Lease,
        heritage: Option<&Heritage>,
    ) -> Result<(), HostError> {
        let files = Files::new(&self.dir, lease);
        client::link_script(&self.program, &files.script)
            .map_err(|err| HostError::new("link", files.script.display().to_string(), &err))?;
        if let Some(text) = client.configuration(lease, &files, heritage) {
            record::replace(&files.configuration, &text, 0o644)?;
        }
        let number = heritage.map_or("", |heritage| &heritage.number);
        let lease_file = client.lease_file(lease, &files);
        match client.leases(lease) {
            Some(text) => record::replace(&lease_file, &format!("{number}{text}"), 0o644)?,
            None if number.is_empty() || lease_file.exists() => {}
            None => record::replace(&lease_file, number, 0o644)?,
        }
        Ok(())
    }

    fn forget(&self, lease: &Lease) {
        let _ = fs::remove_file(record::record_path(&self.dir, lease));
    }

    /// Removes the files of a lease that is no longer wanted, as they must not affect a later one.
    fn forget_state(&mut self, lease: &Lease, now: Instant) {
        self.forget(lease);
        self.names.give_up(&self.dir, lease, now);
        for suffix in ["bound", "wanted", "routes", "conf", script::REFUSED_SUFFIX] {
            let _ = fs::remove_file(record::path_of(&self.dir, lease, suffix));
        }
    }
}

/// Returns the directory of the clients' files.
fn dir_within(run_dir: &Path) -> PathBuf {
    run_dir.join("dhcp")
}

#[cfg(test)]
mod tests;
