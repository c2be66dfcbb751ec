// SPDX-License-Identifier: LGPL-2.1-or-later
//! The loop: one thread that polls, and the order of things in one turn of it.
//!
//! Clients are read before the kernel's news, and the kernel's news before the calls: a change that
//! was made before a call was sent is then known when the call is answered. A client's writes follow
//! its calls, so that a reply leaves in the turn that made it. Time comes last: a client whose
//! message waits is not given up, and a daemon at whose door somebody waits is not idle.

mod client;
mod timers;
mod door;
mod answer;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::config::Settings;
use crate::definitions::Definitions;
use crate::error::HostError;
use crate::host::Host;
use crate::io::Progress;
use crate::io::kernel::Kernel;
use crate::io::listener::Listener;
use crate::limits::{ACCEPTS_PER_TURN_MAX, CALLS_PER_TURN_MAX, EVENT_BATCH_COUNT, READ_BUFFER_LEN};
use crate::model::client::Entrance;
use crate::server::answer::Desk;
use crate::server::client::{Client, ClientId};
use crate::server::door::{Door, Guest};
use crate::server::timers::Timers;
use crate::session::Session;
use crate::sys::signal::Signals;

pub use crate::server::answer::Facts;

/// How long to leave a kernel alone that refused to be read.
const KERNEL_PAUSE: Duration = Duration::from_secs(1);

const SIGNALS: Token = Token(0);
const KERNEL: Token = Token(1);
/// Listeners have the tokens from here on, clients those behind them.
const LISTENERS: usize = 2;

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
    definitions: Definitions,
    settings: Settings,
    facts: Facts,
    door: Door,
    /// Boxed, so that the table's spare room costs little.
    clients: HashMap<ClientId, Box<Client>>,
    next_id: usize,
    /// Clients to be looked after in this turn: an event names them, or the last turn left them
    /// unfinished.
    busy: Vec<ClientId>,
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
    pub settings: Settings,
    pub facts: Facts,
    pub listeners: Vec<Listener>,
    pub kernel: Kernel,
    pub signals: Signals,
    pub idle_limit: Option<Duration>,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Turn,
    Stop,
}

impl Server {
    /// Registers everything, and dumps the kernel's links and addresses.
    pub fn new(parts: ServerParts) -> Result<Self, HostError> {
        let ServerParts { settings, facts, listeners, kernel, signals, idle_limit } = parts;
        let poll = Poll::new().map_err(|err| HostError::new("open", "an epoll instance", &err))?;
        let mut server = Self {
            next_id: LISTENERS + listeners.len(),
            door: Door::new(listeners, &settings),
            poll,
            signals,
            kernel,
            host: Host::default(),
            news: Progress::Unfinished,
            retry_at: None,
            definitions: Definitions::default(),
            settings,
            facts,
            clients: HashMap::new(),
            busy: Vec::new(),
            timers: Timers::default(),
            buffer: vec![0; READ_BUFFER_LEN],
            idle_limit,
            idle_since: None,
        };
        server.register().map_err(|err| HostError::new("register", "descriptors", &err))?;
        server.news = server.kernel.drain(&mut server.host, &mut server.buffer)?;
        Ok(server)
    }

    fn register(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        let add = |fd, token| registry.register(&mut SourceFd(&fd), token, Interest::READABLE);
        add(self.signals.as_raw_fd(), SIGNALS)?;
        add(self.kernel.as_fd().as_raw_fd(), KERNEL)?;
        for (position, listener) in self.door.listeners().iter().enumerate() {
            add(listener.as_raw_fd(), Token(LISTENERS + position))?;
        }
        Ok(())
    }

    /// Turns until a signal or the idle limit ends it.
    pub fn run(&mut self) -> Result<(), HostError> {
        let mut events = Events::with_capacity(EVENT_BATCH_COUNT);
        let mut now = clock();
        self.idle_since = Some(now);
        loop {
            let timeout = self.timeout(now);
            match self.poll.poll(&mut events, timeout) {
                Err(err) if err.kind() != io::ErrorKind::Interrupted => {
                    return Err(HostError::new("wait for", "events", &err));
                }
                Ok(()) | Err(_) => {}
            }
            now = clock();
            if self.turn(&events, now) == Next::Stop {
                return Ok(());
            }
        }
    }

    fn turn(&mut self, events: &Events, now: Instant) -> Next {
        let mut signals = Next::Turn;
        for event in events {
            match event.token() {
                SIGNALS => signals = self.handle_signals(),
                KERNEL => self.news = Progress::Unfinished,
                _ => self.note(event),
            }
        }
        if signals == Next::Stop {
            return Next::Stop;
        }
        let busy = std::mem::take(&mut self.busy);
        for id in &busy {
            if let Some(client) = self.clients.get_mut(id) {
                client.is_busy = false;
                client.read(&mut self.buffer);
            }
        }
        if !busy.is_empty() || self.news == Progress::Unfinished {
            self.drain_kernel(now);
        }
        for id in &busy {
            self.serve(*id, now);
        }
        self.accept(now);
        self.fire_timers(now);
        if self.is_idle_for_too_long(now) { Next::Stop } else { Next::Turn }
    }

    /// How long poll may wait: not at all while work is left over, for ever if nothing is due.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if let Some(end) = self.retry_at {
            return Some(end.saturating_duration_since(now));
        }
        let is_behind = self.news == Progress::Unfinished;
        if is_behind || !self.busy.is_empty() || self.door.is_unfinished(now) {
            return Some(Duration::ZERO);
        }
        let idle_end = self.idle_since.zip(self.idle_limit).map(|(since, limit)| since + limit);
        let deadlines = [self.timers.next(), self.door.deadline(), idle_end];
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

    fn handle_signals(&mut self) -> Next {
        while let Some(signal) = self.signals.take() {
            if signal == libc::SIGHUP {
                warn!("SIGHUP: this release cannot reload its configuration; restart it instead");
            } else {
                info!("signal {signal}: stopping");
                return Next::Stop;
            }
        }
        Next::Turn
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

    /// A number that nobody has. On a small machine they begin anew after four thousand million.
    fn take_id(&mut self) -> ClientId {
        loop {
            let id = ClientId(self.next_id);
            let first = LISTENERS + self.door.listeners().len();
            self.next_id = self.next_id.wrapping_add(1).max(first);
            if !self.clients.contains_key(&id) {
                return id;
            }
        }
    }

    /// Answers what a client calls, unless the table is behind; writes what it is owed; and sees to
    /// what it needs next: its end, another turn, a timer, or word from epoll.
    fn serve(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if self.news == Progress::Drained {
            let mut desk = Desk {
                facts: &self.facts,
                host: &self.host,
                definitions: &self.definitions,
                kernel: &mut self.kernel,
                buffer: &mut self.buffer,
            };
            for _ in 0..CALLS_PER_TURN_MAX {
                let Some(pending) = client.session.poll_call(now) else { break };
                let outcome = desk.answer(&pending.call, client.session.client());
                client.session.handle_reply(&pending.reply_to, outcome, now);
            }
        }
        client.write();
        if let Some(ending) = client.session.ending() {
            info!("client {}: {ending}", id.0);
            self.close(id, now);
            return;
        }
        if client.is_unfinished() {
            mark_busy(&mut self.busy, id, client);
        }
        if let (None, Some(deadline)) = (client.armed, client.session.deadline()) {
            client.armed = Some(deadline);
            self.timers.arm(deadline, id);
        }
        if let Some(interest) = client.changed_interest() {
            let fd = client.as_raw_fd();
            let registry = self.poll.registry();
            if let Err(err) = registry.reregister(&mut SourceFd(&fd), Token(id.0), interest) {
                warn!("client {}: cannot be polled any further: {err}", id.0);
                self.close(id, now);
            }
        }
    }

    /// Lets in those who wait, as many as a turn has time and the limit has room for.
    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some(guest) = self.door.admit(now) else { return };
            let entrance = guest.entrance;
            if let Err(err) = self.welcome(guest) {
                warn!("a client cannot be polled: {err}");
                self.door.leave(entrance);
            }
        }
    }

    fn welcome(&mut self, guest: Guest) -> io::Result<()> {
        let Guest { entrance, socket, peer } = guest;
        let limits = match entrance {
            Entrance::ReadWrite | Entrance::ReadOnly => &self.settings.main,
            Entrance::Admin => &self.settings.admin,
        };
        let session = Session::new(entrance, limits.keepalive, limits.call_count_max);
        let id = self.take_id();
        let fd = socket.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), Token(id.0), Interest::READABLE)?;
        info!("client {}: process {} of user {} ({entrance:?})", id.0, peer.pid, peer.uid);
        self.clients.insert(id, Box::new(Client::new(socket, session)));
        self.idle_since = None;
        Ok(())
    }

    /// Lets a client go. Closing its socket also ends epoll's interest in it.
    fn close(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.door.leave(client.session.client().entrance);
        if let Some(deadline) = client.armed {
            self.timers.disarm(deadline, id);
        }
        if self.clients.is_empty() {
            self.idle_since = Some(now);
        }
    }

    fn is_idle_for_too_long(&self, now: Instant) -> bool {
        let Some((since, limit)) = self.idle_since.zip(self.idle_limit) else { return false };
        let over = now.saturating_duration_since(since) >= limit;
        if over {
            info!("no client for {} s: stopping", limit.as_secs());
        }
        over
    }
}

/// Left over from the last turn, named by an event, met by a timer: once is enough.
fn mark_busy(busy: &mut Vec<ClientId>, id: ClientId, client: &mut Client) {
    if !std::mem::replace(&mut client.is_busy, true) {
        busy.push(id);
    }
}

#[expect(clippy::disallowed_methods, reason = "here the clock is read, once a turn")]
fn clock() -> Instant {
    Instant::now()
}
