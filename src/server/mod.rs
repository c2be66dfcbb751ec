// SPDX-License-Identifier: LGPL-2.1-or-later
//! The loop: one thread that polls, and the order of things in one turn of it.
//!
//! Clients are read before the kernel's news, and the kernel's news before the calls: a change that
//! was made before a call was sent is then known when the call is answered. A client's writes follow
//! its calls, so that a reply leaves in the turn that made it. Time comes last: a client whose
//! message waits is not given up, and a daemon that lets somebody in is not idle.

mod room;
mod door;
mod client;
mod client_config;
mod timers;
mod request;
mod rested;
mod discard;
mod postponed;
mod answer;
mod administer;
mod running;
mod keeping;
mod claims;
mod inquiries;
mod given_back;
mod perform;
mod jobs;
mod transaction;
mod restore;
mod recovery;
mod owed;
mod autostart;
mod strays;
mod lifecycle;
mod service;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use log::warn;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::change::rollback::Recovery;
use crate::config::Settings;
use crate::error::HostError;
use crate::host::Host;
use crate::io::Progress;
use crate::io::background::Report;
use crate::io::boot_marker::BootMarker;
use crate::io::change_folder::ChangeFolder;
use crate::io::changes::Changes;
use crate::io::config_file::{ConfigFile, Configuration};
use crate::io::definitions::DefinitionStore;
use crate::io::dhcp::{Choice, DhcpClients};
use crate::io::hooks::Hooks;
use crate::io::kernel::Kernel;
use crate::io::link_memory::LinkMemoryFile;
use crate::io::listener::Listener;
use crate::io::shelf::Shelf;
use crate::io::standby::{Standby, StandbySpec};
use crate::io::supervisor::Supervisor;
use crate::limits::{EVENT_BATCH_COUNT, READ_BUFFER_LEN};
use crate::model::client::Privilege;
use crate::server::autostart::Autostart;
use crate::server::client::{Client, ClientId, mark_busy};
use crate::server::client_config::ClientConfig;
use crate::server::door::Door;
use crate::server::given_back::GivenBack;
use crate::server::jobs::Jobs;
use crate::server::lifecycle::{Phase, Reload};
use crate::server::postponed::Postponed;
use crate::server::rested::Rested;
use crate::server::room::Rooms;
use crate::server::timers::Timers;
use crate::server::transaction::ChangeDesk;
use crate::sys::signal::Signals;

pub use crate::server::answer::Facts;

/// How long to leave a kernel alone that refused to be read.
const KERNEL_PAUSE: Duration = Duration::from_secs(1);

const SIGNALS: Token = Token(0);
const KERNEL: Token = Token(1);
const CHANGES: Token = Token(2);
const LEASES: Token = Token(3);
/// Listeners have the tokens from here on, clients those behind them.
const LISTENERS: usize = 4;

/// Everything the loop owns.
#[derive(Debug)]
pub struct Server {
    poll: Poll,
    signals: Signals,
    kernel: Kernel,
    host: Host,
    /// Whether the table held all the news when it was last drained.
    news: Progress,
    /// The kernel refused to tell: it is not asked again before this.
    retry_at: Option<Instant>,
    store: DefinitionStore,
    jobs: Jobs,
    /// What links had that were taken down and have no definition.
    shelf: Shelf,
    change: ChangeDesk,
    autostart: Autostart,
    /// The DHCP clients of the host's interfaces.
    leases: DhcpClients,
    /// Links that got back what their client has cleared.
    given_back: Vec<GivenBack>,
    /// Where their programs are looked for.
    path: Option<OsString>,
    facts: Facts,
    client_config: ClientConfig,
    config_file: ConfigFile,
    /// What the file said when it was last read and taken.
    configuration: Configuration,
    /// What it said at the start: some of it holds from then on.
    started_with: Settings,
    hooks: Hooks,
    supervisor: Supervisor,
    phase: Phase,
    reload: Reload,
    door: Door,
    rooms: Rooms,
    /// Boxed, so that the table's spare room costs little.
    clients: HashMap<ClientId, Box<Client>>,
    next_id: usize,
    /// Clients to be looked after in this turn: an event names them, or the last turn left them
    /// unfinished.
    busy: Vec<ClientId>,
    postponed: Postponed,
    /// Whether a call that only looks was answered in this turn.
    has_answered: bool,
    /// Whether the definitions were brought up to date in this turn, after clients were read.
    has_read_store: bool,
    timers: Timers,
    /// Bytes from clients and from the kernel pass through here.
    buffer: Vec<u8>,
    /// How long to stay without clients, and since when there are none.
    idle_limit: Option<Duration>,
    idle_since: Option<Instant>,
}

/// What [`Server::new`] is made from.
#[derive(Debug)]
pub struct ServerParts {
    pub config_file: ConfigFile,
    pub configuration: Configuration,
    pub facts: Facts,
    /// libvirt.conf, and the default URI that goes before the one in it.
    pub client_config: PathBuf,
    pub default_uri: Option<String>,
    pub kernel: Kernel,
    /// How many descriptors the process may have.
    pub descriptor_limit: u64,
    pub changes: Changes,
    pub store: DefinitionStore,
    /// Where a change that is open is kept.
    pub change_folder: ChangeFolder,
    /// What keeps its deadline when the daemon has ended.
    pub standby: StandbySpec,
    /// Remembers which boot's interfaces have been brought up; `None` if none are.
    pub boot_marker: Option<BootMarker>,
    pub dhcp: DhcpParts,
    pub signals: Signals,
    pub hooks: Hooks,
    pub supervisor: Supervisor,
    pub idle_limit: Option<Duration>,
}

/// What DHCP clients are started with.
#[derive(Debug)]
pub struct DhcpParts {
    /// Their records are below it.
    pub run_dir: PathBuf,
    /// The daemon's own file.
    pub program: PathBuf,
    /// The daemon's own PATH.
    pub path: Option<OsString>,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Turn,
    Stop,
}

impl Server {
    /// Registers everything but listeners, and dumps the kernel's links and addresses.
    pub fn new(parts: ServerParts) -> Result<Self, HostError> {
        let poll = Poll::new().map_err(|err| HostError::new("open", "an epoll instance", &err))?;
        let client = parts.configuration.settings.changes.dhcp_client;
        let choice = Choice::new(client, parts.dhcp.path.as_deref());
        let mut server = Self {
            next_id: LISTENERS,
            rooms: Rooms::new(&parts.configuration.settings, parts.descriptor_limit),
            door: Door::new(Vec::new()),
            poll,
            signals: parts.signals,
            kernel: parts.kernel,
            host: Host::default(),
            news: Progress::Unfinished,
            retry_at: None,
            store: parts.store,
            jobs: Jobs::new(
                parts.changes,
                Rested::new(LinkMemoryFile::within(&parts.dhcp.run_dir)),
                clock(),
            ),
            shelf: Shelf::within(&parts.dhcp.run_dir),
            change: ChangeDesk::new(parts.change_folder, Standby::new(parts.standby)),
            autostart: Autostart::new(parts.boot_marker),
            leases: DhcpClients::open(&parts.dhcp.run_dir, parts.dhcp.program, choice, clock()),
            given_back: Vec::new(),
            path: parts.dhcp.path,
            facts: parts.facts,
            client_config: ClientConfig::new(parts.client_config, parts.default_uri),
            config_file: parts.config_file,
            started_with: parts.configuration.settings.clone(),
            configuration: parts.configuration,
            hooks: parts.hooks,
            supervisor: parts.supervisor,
            phase: Phase::Recovering,
            reload: Reload::NotAsked,
            clients: HashMap::new(),
            busy: Vec::new(),
            postponed: Postponed::default(),
            has_answered: false,
            has_read_store: false,
            timers: Timers::default(),
            buffer: vec![0; READ_BUFFER_LEN],
            idle_limit: parts.idle_limit,
            idle_since: None,
        };
        server.register().map_err(|err| HostError::new("register", "descriptors", &err))?;
        server.news = server.kernel.drain(&mut server.host, &mut server.buffer)?;
        if server.facts.privilege == Privilege::System {
            server.jobs.discard.adopt(&server.host);
        }
        Ok(server)
    }

    fn register(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        let add = |fd, token| registry.register(&mut SourceFd(&fd), token, Interest::READABLE);
        add(self.signals.as_raw_fd(), SIGNALS)?;
        add(self.kernel.as_fd().as_raw_fd(), KERNEL)?;
        self.leases.queue().map_or(Ok(()), |queue| add(queue.as_raw_fd(), LEASES))?;
        add(self.jobs.as_fd().as_raw_fd(), CHANGES)
    }

    /// Rolls back what an earlier daemon has left that must not stay, and undoes what it has done by
    /// half. Nobody can connect before that is over.
    ///
    /// # Errors
    /// The loop cannot go on. What could not be rolled back is for [`Server::recovered`] to tell.
    pub fn recover(&mut self, recovery: Recovery) -> Result<(), HostError> {
        let mut events = Events::with_capacity(EVENT_BATCH_COUNT);
        let mut now = clock();
        self.find_change(recovery, now);
        let is_over = |jobs: &mut Jobs| match recovery {
            // What is out of the way is deleted later.
            Recovery::Whole => jobs.is_idle(),
            Recovery::StaleAlone => {
                jobs.discard.hurry();
                jobs.is_done()
            }
        };
        while !is_over(&mut self.jobs) {
            let timeout = self.timeout(now);
            self.wait(&mut events, timeout)?;
            now = clock();
            if self.turn(&events, now) == Next::Stop {
                break;
            }
        }
        Ok(())
    }

    /// Has clients come in by these.
    ///
    /// # Errors
    /// epoll refuses.
    pub fn listen(&mut self, listeners: Vec<Listener>) -> Result<(), HostError> {
        let refuse = |err: io::Error| HostError::new("register", "descriptors", &err);
        self.door = Door::new(listeners);
        // In the door's own order, by which it knows them.
        for (position, listener) in self.door.listeners().iter().enumerate() {
            let (fd, token) = (listener.as_raw_fd(), Token(LISTENERS + position));
            let registry = self.poll.registry();
            registry.register(&mut SourceFd(&fd), token, Interest::READABLE).map_err(refuse)?;
        }
        self.next_id = LISTENERS + self.door.listeners().len();
        Ok(())
    }

    /// Turns until a signal, an administrator or the idle limit ends it. `report` goes to whoever
    /// waits for the daemon to be ready.
    pub fn run(&mut self, report: Option<Report>) -> Result<(), HostError> {
        let mut events = Events::with_capacity(EVENT_BATCH_COUNT);
        let mut now = clock();
        self.begin(report, now);
        let mut next = self.proceed(now);
        while next == Next::Turn {
            let timeout = self.timeout(now);
            self.wait(&mut events, timeout)?;
            now = clock();
            next = self.turn(&events, now);
        }
        Ok(())
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<(), HostError> {
        match self.poll.poll(events, timeout) {
            Err(err) if err.kind() != io::ErrorKind::Interrupted => {
                Err(HostError::new("wait for", "events", &err))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn turn(&mut self, events: &Events, now: Instant) -> Next {
        let mut next = Next::Turn;
        for event in events {
            match event.token() {
                SIGNALS => next = self.handle_signals(now),
                KERNEL => self.news = Progress::Unfinished,
                // A change that waits for an answer looks for it each turn.
                CHANGES => {}
                LEASES => self.leases.handle_notes(),
                _ => self.note(event),
            }
        }
        if next == Next::Stop {
            return Next::Stop;
        }
        self.wake_postponed(now);
        let busy = std::mem::take(&mut self.busy);
        for id in &busy {
            if let Some(client) = self.clients.get_mut(id) {
                client.is_busy = false;
                client.read(&mut self.buffer);
            }
        }
        let has_news = self.news == Progress::Unfinished;
        if !busy.is_empty() || has_news {
            self.drain_kernel(now);
        }
        if has_news {
            self.bring_up_by_news(now);
            self.end_orphans(now);
        }
        (self.has_answered, self.has_read_store) = (false, false);
        for id in &busy {
            self.serve(*id, now);
        }
        if self.leases.deadline().is_some_and(|deadline| deadline <= now) {
            // Before the changes: one of them may wait for the end of a client.
            self.leases.handle_timeout(now);
        }
        self.check_change(now);
        if self.autostart.deadline().is_some_and(|deadline| deadline <= now) {
            self.bring_up_due(now);
        }
        self.clear_strays(now);
        self.see_to_given_back(now);
        self.run_jobs(now);
        if self.jobs.is_idle() && self.news == Progress::Drained {
            self.shelf.forget_others(&self.host);
        }
        self.accept(now);
        self.fire_timers(now);
        self.proceed(now)
    }

    /// How long poll may wait: not at all while work is left over, for ever if nothing is due. While
    /// the kernel is left alone, what is left over waits with it, or the loop would spin.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let is_behind = self.news == Progress::Unfinished;
        let waits_at_the_door =
            self.phase.lets_clients_in() && self.door.is_unfinished(&self.rooms, now);
        let is_at_work = is_behind || !self.busy.is_empty() || waits_at_the_door;
        if is_at_work && self.retry_at.is_none() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.timers.next(),
            self.door.deadline(),
            self.retry_at,
            self.change.deadline(now).filter(|_| !self.is_stopping()),
            self.jobs.deadline(now).filter(|_| self.retry_at.is_none()),
            self.leases.deadline(),
            self.postponed.deadline(),
            self.autostart.deadline(),
            self.lifecycle_deadline(),
        ];
        let next = deadlines.into_iter().flatten().min();
        next.map(|deadline| deadline.saturating_duration_since(now))
    }

    fn note(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token.0.checked_sub(LISTENERS).is_some_and(|position| self.door.note(position)) {
            return;
        }
        let id = ClientId(token.0);
        if let Some(client) = self.clients.get_mut(&id) {
            client.note(event);
            mark_busy(&mut self.busy, id, client);
        }
    }

    fn fire_timers(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            if let Some(client) = self.clients.get_mut(&id) {
                client.armed = None;
                client.session.handle_timeout(now);
                mark_busy(&mut self.busy, id, client);
            }
        }
    }

    /// Brings the table up to date. While the kernel refuses to tell, calls wait: no answer is
    /// better than a wrong one.
    fn drain_kernel(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|end| end > now) {
            return;
        }
        self.retry_at = None;
        self.news = match self.kernel.drain(&mut self.host, &mut self.buffer) {
            Ok(progress) => progress,
            Err(err) => {
                warn!("calls wait: {err}");
                self.retry_at = Some(now + KERNEL_PAUSE);
                Progress::Unfinished
            }
        };
    }

    /// Ends the DHCP clients whose link is no more. A change that is under way may be about to make
    /// it again.
    fn end_orphans(&mut self, now: Instant) {
        if self.news == Progress::Drained && self.jobs.is_idle() {
            let host = &self.host;
            self.leases.retain_links(|name| host.link_named(name).is_some(), now);
        }
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
