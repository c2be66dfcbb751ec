// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Clients`]: the connected clients, and those that wait to be accepted: sockets, limits and
//! timers.
//!
//! Knows nothing of the meaning of calls.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use log::{debug, info, warn};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::error::CallError;
use crate::io::listener::Listener;
use crate::limits::ACCEPTS_PER_TURN_MAX;
use crate::logging;
use crate::model::client::{Caller, ClientId};
use crate::model::server::ServerName;
use crate::proto::Reply;
use crate::server::acceptor::{Accepted, Acceptor};
use crate::server::client::{Brief, Client};
use crate::server::occupancy::Occupancy;
use crate::server::questions::Questions;
use crate::server::timers::Timers;
use crate::server::{LISTENERS, wall_clock};
use crate::session::{PendingCall, ReplyTo, Session};

/// See the module.
#[derive(Debug)]
pub(super) struct Clients {
    registry: Registry,
    /// Boxed, so that the table's spare capacity costs little.
    by_id: HashMap<ClientId, Box<Client>>,
    next_id: usize,
    pub(super) acceptor: Acceptor,
    pub(super) occupancy: Occupancy,
    /// Clients to serve in this turn: an event names them, or the last turn left them unfinished.
    busy: Vec<ClientId>,
    pub(super) questions: Questions,
    timers: Timers,
    /// The time since which there are no clients.
    idle_since: Option<Instant>,
}

impl Clients {
    pub(super) fn new(registry: Registry, occupancy: Occupancy) -> Self {
        Self {
            registry,
            by_id: HashMap::new(),
            next_id: LISTENERS,
            acceptor: Acceptor::new(Vec::new()),
            occupancy,
            busy: Vec::new(),
            questions: Questions::default(),
            timers: Timers::default(),
            idle_since: None,
        }
    }

    /// Accepts clients at these sockets.
    ///
    /// # Errors
    /// epoll refuses them.
    pub(super) fn listen(&mut self, listeners: Vec<Listener>) -> io::Result<()> {
        self.acceptor = Acceptor::new(listeners);
        // In the acceptor's order, which defines their positions.
        for (position, listener) in self.acceptor.listeners().iter().enumerate() {
            let (fd, token) = (listener.as_raw_fd(), Token(LISTENERS + position));
            self.registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        }
        self.next_id = self.first_id();
        Ok(())
    }

    /// Keeps the readiness that an event reports about a listener or a client.
    pub(super) fn note(&mut self, event: &Event) {
        let token = event.token();
        if token.0.checked_sub(LISTENERS).is_some_and(|position| self.acceptor.note(position)) {
            return;
        }
        let id = ClientId(token.0);
        if let Some(client) = self.by_id.get_mut(&id) {
            client.note(event);
            mark_busy(&mut self.busy, id, client);
        }
    }

    /// Reads from the clients of this turn.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Vec<ClientId> {
        let busy = std::mem::take(&mut self.busy);
        for id in &busy {
            if let Some(client) = self.by_id.get_mut(id) {
                client.is_busy = false;
                client.read(buffer);
            }
        }
        busy
    }

    /// The call of a client that is to be handled next.
    pub(super) fn poll_call(&mut self, id: ClientId, now: Instant) -> Option<PendingCall> {
        let client = self.by_id.get_mut(&id)?;
        let call = client.session.poll_call(now)?;
        client.has_called = true;
        Some(call)
    }

    /// Gives a client the reply to a call, if it is still connected.
    pub(super) fn reply(
        &mut self,
        id: ClientId,
        reply_to: &ReplyTo,
        outcome: Result<Reply, CallError>,
        now: Instant,
    ) {
        if let Some(client) = self.by_id.get_mut(&id) {
            debug!("{client}: {reply_to}: {}", Brief(&outcome));
            client.session.handle_reply(reply_to, outcome, now);
        }
    }

    /// Writes a client's replies, and arranges its next need: its end, another turn, a timer, or an
    /// event of epoll.
    pub(super) fn settle(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.by_id.get_mut(&id) else { return };
        client.write();
        if client.has_hung_up() {
            let dropped = self.questions.drop_client(id);
            client.session.handle_dropped(dropped);
        }
        if let Some(ending) = client.session.ending() {
            info!("{client}: {ending}");
            self.close(id, now);
            return;
        }
        if client.is_unfinished() {
            mark_busy(&mut self.busy, id, client);
        }
        if let Some(deadline) = client.session.deadline() {
            arm(&mut self.timers, id, client, deadline);
        }
        if let Some(interest) = client.changed_interest() {
            let fd = client.as_raw_fd();
            if let Err(err) = self.registry.reregister(&mut SourceFd(&fd), Token(id.0), interest) {
                warn!("{client}: cannot poll its socket any further: {err}");
                self.close(id, now);
            }
        }
    }

    /// Accepts waiting clients, within the turn's time and the limits.
    pub(super) fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some(accepted) = self.acceptor.admit(&mut self.occupancy, now) else { return };
            let endpoint = accepted.caller.endpoint;
            if let Err(err) = self.welcome(accepted) {
                warn!("cannot poll the socket of a new client: {err}");
                self.occupancy.behind_mut(endpoint).leave();
            }
        }
    }

    fn welcome(&mut self, accepted: Accepted) -> io::Result<()> {
        let _charged = logging::charge_to(accepted.caller.uid);
        let Accepted { socket, caller } = accepted;
        let limits = self.occupancy.behind(caller.endpoint).limits;
        let session = Session::new(caller, limits.keepalive, limits.call_count_max);
        let id = self.take_id();
        let client = Client::new(socket, session, wall_clock());
        let fd = client.as_raw_fd();
        self.registry.register(&mut SourceFd(&fd), Token(id.0), Interest::READABLE)?;
        let Caller { endpoint, uid, pid, .. } = client.caller();
        info!("{client}: process {} of user {} ({endpoint:?})", pid, uid);
        self.by_id.insert(id, Box::new(client));
        self.idle_since = None;
        Ok(())
    }

    /// A number that no client has. On a 32-bit machine they begin again after four thousand
    /// million.
    fn take_id(&mut self) -> ClientId {
        loop {
            let id = ClientId(self.next_id);
            self.next_id = self.next_id.wrapping_add(1).max(self.first_id());
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    fn first_id(&self) -> usize {
        LISTENERS + self.acceptor.listeners().len()
    }

    /// Lets the sessions whose timers are due check the time.
    pub(super) fn fire_timers(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            if let Some(client) = self.by_id.get_mut(&id) {
                client.armed = None;
                client.session.handle_timeout(now);
                mark_busy(&mut self.busy, id, client);
            }
        }
    }

    /// Disconnects a client. Closing its socket also ends epoll's interest in it.
    pub(super) fn close(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.by_id.remove(&id) else { return };
        self.questions.drop_client(id);
        self.occupancy.behind_mut(client.caller().endpoint).leave();
        if let Some(deadline) = client.armed {
            self.timers.disarm(deadline, id);
        }
        if self.by_id.is_empty() {
            self.idle_since = Some(now);
        }
    }

    /// Disconnects clients once their replies are written.
    pub(super) fn dismiss(&mut self, whom: impl Fn(ClientId) -> bool, buffer: &mut [u8]) {
        for (id, client) in self.by_id.iter_mut().filter(|(id, _)| whom(**id)) {
            client.read_for_the_last_time(buffer);
            mark_busy(&mut self.busy, *id, client);
        }
    }

    /// Applies changed limits, to connected clients too.
    pub(super) fn apply_limits(&mut self, now: Instant) {
        for (id, client) in &mut self.by_id {
            let limits = self.occupancy.behind(client.caller().endpoint).limits;
            client.session.handle_limits(limits.keepalive, limits.call_count_max, now);
            mark_busy(&mut self.busy, *id, client);
        }
    }

    /// Starts counting the time without clients.
    pub(super) fn begin_idling(&mut self, now: Instant) {
        self.idle_since = Some(now);
    }

    /// Since when there are no clients; `None` if there are some, or the time is not counted.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }

    pub(super) fn get(&self, id: ClientId) -> Option<&Client> {
        self.by_id.get(&id).map(Box::as_ref)
    }

    /// The clients of a server.
    pub(super) fn of(&self, server: ServerName) -> impl Iterator<Item = (ClientId, &Client)> {
        let all = self.by_id.iter().map(|(id, client)| (*id, client.as_ref()));
        all.filter(move |(_, client)| client.server() == server)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether the next turn has a client to serve or to accept.
    pub(super) fn is_at_work(&self, lets_in: bool, now: Instant) -> bool {
        !self.busy.is_empty() || (lets_in && self.acceptor.is_unfinished(&self.occupancy, now))
    }

    /// When to act, if no event comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.acceptor.deadline()).min()
    }
}

/// Adds a client to those of the next turn, once.
fn mark_busy(busy: &mut Vec<ClientId>, id: ClientId, client: &mut Client) {
    if !std::mem::replace(&mut client.is_busy, true) {
        busy.push(id);
    }
}

/// Arranges that a timer fires at `deadline` or before: an armed one is left alone unless it would
/// come too late.
fn arm(timers: &mut Timers, id: ClientId, client: &mut Client, deadline: Instant) {
    if client.armed.is_some_and(|armed| armed <= deadline) {
        return;
    }
    if let Some(late) = client.armed.replace(deadline) {
        timers.disarm(late, id);
    }
    timers.arm(deadline, id);
}
