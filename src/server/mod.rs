// SPDX-License-Identifier: LGPL-2.1-or-later
//! The loop: one thread that polls, and the order of work in one turn.
//!
//! Clients are read before the kernel's events, and the events before calls are answered: so a
//! change that was made before a call was sent is known when the call is answered. A client's
//! writes follow its calls, so that a reply leaves in the turn that made it. Timers come last: a
//! client whose message waits is not timed out, and a daemon that accepts a client is not idle.

mod occupancy;
mod acceptor;
mod client;
mod agenda;
mod client_config;
mod timers;
mod questions;
mod resolver;
mod lists;
mod world;
mod files;
mod given_back;
mod perform;
mod inquiries;
mod changes;
mod clients;
mod lifecycle;
mod administer;
mod service;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::change::rollback::Recovery;
use crate::change::{ChangeSettings, Coordinator};
use crate::error::{CallError, HostError};
use crate::host::Host;
use crate::io::Progress;
use crate::io::background::Report;
use crate::io::boot_marker::BootMarker;
use crate::io::channel::Channel;
use crate::io::config_file::{ConfigFile, Configuration};
use crate::io::definitions::DefinitionStore;
use crate::io::dhcp::{Choice, DhcpClients};
use crate::io::executor::Executor;
use crate::io::file_check::FileChecks;
use crate::io::hooks::Hooks;
use crate::io::kernel::Kernel;
use crate::io::link_memory::LinkMemoryFile;
use crate::io::listener::Listener;
use crate::io::shelf::Shelf;
use crate::io::standby::Standby;
use crate::io::supervisor::Supervisor;
use crate::io::transaction_dir::TransactionDir;
use crate::limits::{EVENT_BATCH_COUNT, POLLS_PER_TURN_MAX, READ_BUFFER_LEN};
use crate::model::client::Privilege;
use crate::server::changes::{ChangeDriver, ChangeFiles};
use crate::server::client_config::ClientConfig;
use crate::server::clients::Clients;
use crate::server::lifecycle::{Lifecycle, Phase, Reload};
use crate::server::lists::Lists;
use crate::server::occupancy::Occupancy;
use crate::server::perform::Steps;
use crate::server::world::World;
use crate::sys::signal::Signals;

pub use crate::handler::Facts;

const SIGNALS: Token = Token(0);
const KERNEL: Token = Token(1);
const CHANGES: Token = Token(2);
const LEASES: Token = Token(3);
const PROGRAMS: Token = Token(4);
/// Listeners have the tokens from here on, clients those after them.
const LISTENERS: usize = 5;

/// The state of the loop.
#[derive(Debug)]
pub struct Server {
    poll: Poll,
    world: World,
    changes: ChangeDriver,
    clients: Clients,
    lifecycle: Lifecycle,
    executor: Executor,
    /// Whether a read-only call was answered in this turn.
    has_answered: bool,
    /// Whether this turn has updated the definitions, after clients were read.
    has_read_store: bool,
}

/// The parts from which [`Server::new`] makes the server.
#[derive(Debug)]
pub struct ServerParts {
    pub config_file: ConfigFile,
    pub configuration: Configuration,
    pub facts: Facts,
    /// libvirt.conf, and the default URI that overrides the one in it.
    pub client_config: PathBuf,
    pub default_uri: Option<String>,
    pub kernel: Kernel,
    /// The number of descriptors that the process may have.
    pub descriptor_limit: u64,
    pub changes: Channel,
    pub store: DefinitionStore,
    /// The folder of an open transaction.
    pub transaction_dir: TransactionDir,
    /// The process that executes programs.
    pub executor: Executor,
    pub file_checks: FileChecks,
    /// Records the boot whose interfaces have been brought up; `None` if none are.
    pub boot_marker: Option<BootMarker>,
    pub dhcp: DhcpParts,
    pub signals: Signals,
    pub hooks: Hooks,
    pub supervisor: Supervisor,
    pub idle_limit: Option<Duration>,
}

/// The settings with which DHCP clients are started.
#[derive(Debug)]
pub struct DhcpParts {
    /// The directory of their records.
    pub run_dir: PathBuf,
    /// The daemon's own program.
    pub program: PathBuf,
    /// The daemon's own PATH.
    pub path: Option<OsString>,
}

/// Whether the loop continues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Turn,
    Stop,
}

impl Server {
    /// Registers everything except listeners, and dumps the kernel's links and addresses.
    pub fn new(parts: ServerParts) -> Result<Self, HostError> {
        let poll = Poll::new().map_err(|err| HostError::new("open", "an epoll instance", &err))?;
        let settings = &parts.configuration.settings;
        let choice = Choice::new(settings.changes.dhcp_client, parts.dhcp.path.as_deref());
        let change_settings = ChangeSettings {
            privilege: parts.facts.privilege,
            dhcp_timeout: settings.changes.dhcp_timeout,
            change_timeout: settings.changes.change_timeout,
        };
        let files = ChangeFiles {
            transaction_dir: parts.transaction_dir,
            shelf: Shelf::within(&parts.dhcp.run_dir),
            memory: LinkMemoryFile::within(&parts.dhcp.run_dir),
            marker: parts.boot_marker,
        };
        let standby = Standby::new(parts.executor.clone());
        let steps = Steps::new(parts.changes, parts.file_checks);
        let registry = poll.registry().try_clone();
        let registry = registry.map_err(|err| HostError::new("open", "an epoll instance", &err))?;
        let occupancy = Occupancy::new(settings, parts.descriptor_limit);
        let mut server = Self {
            clients: Clients::new(registry, occupancy),
            poll,
            world: World {
                kernel: parts.kernel,
                host: Host::default(),
                news: Progress::Unfinished,
                retry_at: None,
                store: parts.store,
                leases: DhcpClients::open(
                    &parts.dhcp.run_dir,
                    parts.dhcp.program,
                    choice,
                    parts.executor.clone(),
                    clock(),
                ),
                facts: parts.facts,
                client_config: ClientConfig::new(parts.client_config, parts.default_uri),
                buffer: vec![0; READ_BUFFER_LEN],
                lists: Lists::default(),
            },
            changes: ChangeDriver::new(change_settings, steps, files, standby, clock()),
            lifecycle: Lifecycle {
                signals: parts.signals,
                hooks: parts.hooks,
                supervisor: parts.supervisor,
                phase: Phase::Recovering,
                reload: Reload::NotAsked,
                config_file: parts.config_file,
                started_with: parts.configuration.settings.clone(),
                configuration: parts.configuration,
                path: parts.dhcp.path,
                idle_limit: parts.idle_limit,
            },
            executor: parts.executor,
            has_answered: false,
            has_read_store: false,
        };
        server.register().map_err(|err| HostError::new("register", "descriptors", &err))?;
        server.world.read_kernel()?;
        if server.world.facts.privilege == Privilege::System {
            server.changes.coordinator.adopt_discarded(&server.world.host);
        }
        Ok(server)
    }

    fn register(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        let add = |fd, token| registry.register(&mut SourceFd(&fd), token, Interest::READABLE);
        add(self.lifecycle.signals.as_raw_fd(), SIGNALS)?;
        add(self.world.kernel.as_fd().as_raw_fd(), KERNEL)?;
        self.world.leases.queue().map_or(Ok(()), |queue| add(queue.as_raw_fd(), LEASES))?;
        self.executor.raw_fd().map_or(Ok(()), |fd| add(fd, PROGRAMS))?;
        add(self.changes.as_fd().as_raw_fd(), CHANGES)
    }

    /// Resumes or rolls back the transaction that an earlier daemon left, and undoes an interrupted job.
    /// No client can connect before that is over.
    ///
    /// # Errors
    /// The loop cannot go on. [`Server::recovered`] reports a failed rollback.
    pub fn recover(&mut self, recovery: Recovery) -> Result<(), HostError> {
        let mut events = Events::with_capacity(EVENT_BATCH_COUNT);
        let mut now = clock();
        self.changes.coordinator.recover(recovery);
        let is_over = |changes: &mut Coordinator| match recovery {
            // Discarded links are deleted later.
            Recovery::Whole => changes.is_idle(),
            Recovery::StaleAlone => {
                changes.hurry();
                changes.is_done()
            }
        };
        while !is_over(&mut self.changes.coordinator) {
            let timeout = self.timeout(now);
            let next = self.wait(&mut events, timeout)?;
            now = clock();
            if next == Next::Stop || self.turn(now) == Next::Stop {
                break;
            }
        }
        Ok(())
    }

    /// The result of the rollback at the start, if one was needed.
    pub fn recovered(&self) -> &Result<(), CallError> {
        self.changes.coordinator.recovered()
    }

    /// Accepts clients at these sockets.
    ///
    /// # Errors
    /// epoll refuses them.
    pub fn listen(&mut self, listeners: Vec<Listener>) -> Result<(), HostError> {
        let registered = self.clients.listen(listeners);
        registered.map_err(|err| HostError::new("register", "descriptors", &err))
    }

    /// Turns until a signal, an administrator or the idle limit ends it. `report` goes to the
    /// process that waits for the daemon to be ready.
    pub fn run(&mut self, report: Option<Report>) -> Result<(), HostError> {
        let mut events = Events::with_capacity(EVENT_BATCH_COUNT);
        let mut now = clock();
        self.begin(report);
        let mut next = self.proceed(now);
        while next == Next::Turn {
            let timeout = self.timeout(now);
            next = self.wait(&mut events, timeout)?;
            now = clock();
            if next == Next::Turn {
                next = self.turn(now);
            }
        }
        Ok(())
    }

    /// Waits for events, and notes all that there are: a turn chooses among all clients with news.
    fn wait(
        &mut self,
        events: &mut Events,
        mut timeout: Option<Duration>,
    ) -> Result<Next, HostError> {
        for _ in 0..POLLS_PER_TURN_MAX {
            match self.poll.poll(events, timeout) {
                Err(err) if err.kind() != io::ErrorKind::Interrupted => {
                    return Err(HostError::new("wait for", "events", &err));
                }
                Ok(()) | Err(_) => {}
            }
            if self.note(events) == Next::Stop {
                return Ok(Next::Stop);
            }
            if events.iter().count() < EVENT_BATCH_COUNT {
                break;
            }
            timeout = Some(Duration::ZERO);
        }
        Ok(Next::Turn)
    }

    fn note(&mut self, events: &Events) -> Next {
        let mut next = Next::Turn;
        for event in events {
            match event.token() {
                SIGNALS => next = self.handle_signals(clock()),
                KERNEL => self.world.news = Progress::Unfinished,
                // A change that waits for an answer checks for it in each turn.
                CHANGES => {}
                LEASES => self.world.leases.handle_notes(),
                PROGRAMS => self.executor.read(),
                _ => self.clients.note(event),
            }
        }
        next
    }

    fn turn(&mut self, now: Instant) -> Next {
        if self.executor.take_news() {
            self.handle_ends(now);
        }
        let busy = self.clients.read(&mut self.world.buffer);
        let has_news = self.world.news == Progress::Unfinished;
        let resumes = self.may_resume(now);
        if !busy.is_empty() || has_news || resumes {
            self.world.drain(now);
        }
        if has_news {
            self.changes.handle_news(&mut self.world, now);
            // A change under way may be about to make a link again.
            if self.world.is_current() && self.changes.coordinator.is_idle() {
                self.world.end_orphans(now);
            }
        }
        (self.has_answered, self.has_read_store) = (false, false);
        if resumes {
            self.resume_calls(now);
        }
        self.serve_all(&busy, now);
        if self.world.leases.deadline().is_some_and(|deadline| deadline <= now) {
            // Before the changes, as one of them may wait for the end of a client.
            self.world.leases.handle_timeout(now);
        }
        self.changes.handle_time(&mut self.world, now);
        self.run_changes(now);
        if self.changes.coordinator.is_idle() && self.world.is_current() {
            self.changes.forget_shelved(&self.world);
        }
        if self.lifecycle.phase.lets_clients_in() {
            self.clients.accept(now);
        }
        self.clients.fire_timers(now);
        self.clients.give_memory_back();
        self.proceed(now)
    }

    /// How long poll may block: not at all while work remains, for ever if nothing is due. While
    /// the kernel cannot be read, the remaining work waits too, or the loop would spin.
    fn timeout(&mut self, now: Instant) -> Option<Duration> {
        let is_behind = self.world.news == Progress::Unfinished;
        let lets_in = self.lifecycle.phase.lets_clients_in();
        if self.executor.has_news() {
            return Some(Duration::ZERO);
        }
        let is_at_work = is_behind || self.clients.is_at_work(lets_in, now);
        if is_at_work && self.world.retry_at.is_none() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.clients.deadline(),
            self.clients.questions.deadline().filter(|_| self.world.retry_at.is_none()),
            self.world.retry_at,
            self.changes.time_deadline(now),
            self.changes.coordinator.deadline(now).filter(|_| self.world.retry_at.is_none()),
            self.world.leases.deadline(),
            self.lifecycle_deadline(),
        ];
        let next = deadlines.into_iter().flatten().min();
        next.map(|deadline| deadline.saturating_duration_since(now))
    }
}

#[expect(clippy::disallowed_methods, reason = "here the clock is read, once a turn")]
fn clock() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "administrators see when a client has connected")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
