// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Clients`]: the connected clients, and those that wait to be accepted: sockets, limits and
//! timers.
//!
//! Knows nothing of the meaning of calls.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

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
use crate::server::acceptor::{Accepted, Acceptor, Next};
use crate::server::agenda::{Agenda, Turn};
use crate::server::client::{Brief, Client, Rest};
use crate::server::occupancy::Occupancy;
use crate::server::questions::Questions;
use crate::server::timers::Timers;
use crate::server::{LISTENERS, wall_clock};
use crate::session::{PendingCall, ReplyTo, Session};
use crate::shares::{Admission, Resource, Shares};
use crate::sys::socket::PeerCreds;
use crate::sys::{memory, process};

/// See the module.
#[derive(Debug)]
pub(super) struct Clients {
    registry: Registry,
    /// Boxed, so that the table's spare capacity costs little.
    by_id: HashMap<ClientId, Box<Client>>,
    next_id: usize,
    pub(super) acceptor: Acceptor,
    pub(super) occupancy: Occupancy,
    pub(super) shares: Shares,
    /// Clients to serve: an event names them, or the last turn left them unfinished.
    agenda: Agenda,
    /// Clients that wait until their user's share of memory has room.
    short: Vec<ClientId>,
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
            shares: Shares::new(process::effective_uid()),
            agenda: Agenda::default(),
            short: Vec::new(),
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
            mark_busy(&mut self.agenda, id, client);
        }
    }

    /// Chooses the clients of this turn, and reads from them.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Vec<Turn> {
        self.recall();
        let turns = self.agenda.take();
        for turn in &turns {
            if let Some(client) = self.by_id.get_mut(&turn.client) {
                client.is_busy = false;
                client.read(buffer);
            }
        }
        turns
    }

    /// Notes that a client had its turn, and how long it took.
    pub(super) fn end_turn(&mut self, turn: Turn, time: Duration) {
        self.agenda.charge(turn, time);
    }

    /// Has clients that were read wait for the next turn.
    pub(super) fn put_off(&mut self, turns: &[Turn]) {
        for turn in turns.iter().rev() {
            let client = self.by_id.get_mut(&turn.client);
            if client.is_some_and(|client| !std::mem::replace(&mut client.is_busy, true)) {
                self.agenda.put_back(*turn);
            }
        }
    }

    /// Returns memory to the kernel when clients have given back much of it.
    pub(super) fn give_memory_back(&self) {
        if self.shares.is_flood_over() {
            memory::give_back();
        }
    }

    /// Has the clients go on that waited for memory of which there is some again.
    fn recall(&mut self) {
        if self.short.is_empty() || !self.shares.take_freed() {
            return;
        }
        let (by_id, agenda) = (&mut self.by_id, &mut self.agenda);
        self.short.retain(|id| {
            let Some(client) = by_id.get_mut(id) else { return false };
            let is_short = client.rest() == Rest::WaitsForRoom;
            if !is_short {
                client.is_short = false;
                mark_busy(agenda, *id, client);
            }
            is_short
        });
    }

    /// The call of a client that is to be handled next.
    pub(super) fn poll_call(&mut self, id: ClientId, now: Instant) -> Option<PendingCall> {
        let client = self.by_id.get_mut(&id).filter(|client| client.may_call())?;
        let call = client.session.poll_call(now)?;
        client.has_called = true;
        client.heard_at = now;
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
            client.tab.hold(client.session.held_len());
        }
    }

    /// Writes a client's replies, and arranges its next need: its end, another turn, a timer, or an
    /// event of epoll.
    pub(super) fn settle(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.by_id.get_mut(&id) else { return };
        client.write();
        client.tab.hold(client.session.held_len());
        if client.has_hung_up() {
            let dropped = self.questions.drop_client(id);
            client.session.handle_dropped(dropped);
        }
        if let Some(ending) = client.session.ending() {
            info!("{client}: {ending}");
            self.close(id, now);
            return;
        }
        match client.rest() {
            Rest::Nothing => {}
            Rest::Ready => mark_busy(&mut self.agenda, id, client),
            Rest::WaitsForRoom => {
                if !std::mem::replace(&mut client.is_short, true) {
                    self.short.push(id);
                }
                if client.tab.may_note(Resource::Memory, now) {
                    note_share(client.tab.uid(), Resource::Memory, "its clients wait");
                }
            }
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
            match self.acceptor.next(&self.occupancy, &self.shares, now) {
                Next::Accepted(accepted) => self.admit(accepted, now),
                Next::Refused => {}
                Next::Nothing => return,
            }
        }
    }

    /// Lets a client in, if its user's share has a place, or closes its connection.
    fn admit(&mut self, accepted: Accepted, now: Instant) {
        let (endpoint, uid) = (accepted.endpoint, accepted.peer.uid);
        let server = ServerName::behind(endpoint);
        let admission = match server {
            ServerName::Main => {
                let (room, max) = (self.occupancy.room(endpoint), self.occupancy.count_max(server));
                self.shares.admit(uid, endpoint, room, max)
            }
            ServerName::Admin => Admission::Enter,
        };
        let has_place = match admission {
            Admission::Enter => true,
            Admission::Replace(other) => self.end_idle(other, now),
            Admission::Refuse => false,
        };
        if has_place {
            if let Err(err) = self.welcome(accepted, now) {
                warn!("cannot poll the socket of a new client: {err}");
                self.occupancy.behind_mut(endpoint).leave();
            }
        } else if self.shares.may_note(uid, Resource::Connections, now) {
            note_share(uid, Resource::Connections, "no further one is accepted");
        }
    }

    /// Ends the client of a user whose last call is the longest ago; false if all are being answered.
    fn end_idle(&mut self, uid: u32, now: Instant) -> bool {
        let is_idle = |client: &Client| client.is_of_share(uid) && !client.session.has_open_calls();
        let idle = self.by_id.iter().filter(|(_, client)| is_idle(client));
        let Some((id, client)) = idle.min_by_key(|(_, client)| client.heard_at) else {
            return false;
        };
        let id = *id;
        {
            let _charged = logging::charge_to(uid);
            info!("{client}: disconnected, as others need its place");
        }
        if self.shares.may_note(uid, Resource::Connections, now) {
            note_share(uid, Resource::Connections, "its idle clients are disconnected for others");
        }
        self.close(id, now);
        true
    }

    fn welcome(&mut self, accepted: Accepted, now: Instant) -> io::Result<()> {
        let Accepted { socket, endpoint, peer: PeerCreds { uid, gid, pid } } = accepted;
        let _charged = logging::charge_to(uid);
        let occupancy = self.occupancy.behind_mut(endpoint);
        let (number, limits) = (occupancy.enter(), occupancy.limits);
        let caller = Caller { endpoint, number, uid, gid, pid, identity: None };
        let session = Session::new(caller, limits.keepalive, limits.call_count_max);
        let is_main = ServerName::behind(endpoint) == ServerName::Main;
        let tab = self.shares.open(uid, u32::from(is_main));
        let id = self.take_id();
        let client = Client::new(socket, session, tab, wall_clock(), now);
        let fd = client.as_raw_fd();
        self.registry.register(&mut SourceFd(&fd), Token(id.0), Interest::READABLE)?;
        info!("{client}: process {pid} of user {uid} ({endpoint:?})");
        self.by_id.insert(id, Box::new(client));
        self.idle_since = None;
        Ok(())
    }

    /// Logs that a client's user takes more than its share, unless the log had such a line less than
    /// a minute ago.
    pub(super) fn note_share(&self, id: ClientId, resource: Resource, effect: &str, now: Instant) {
        if let Some(client) = self.get(id).filter(|client| client.tab.may_note(resource, now)) {
            note_share(client.tab.uid(), resource, effect);
        }
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
                mark_busy(&mut self.agenda, id, client);
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
            mark_busy(&mut self.agenda, *id, client);
        }
    }

    /// Applies changed limits, to connected clients too.
    pub(super) fn apply_limits(&mut self, now: Instant) {
        for (id, client) in &mut self.by_id {
            let limits = self.occupancy.behind(client.caller().endpoint).limits;
            client.session.handle_limits(limits.keepalive, limits.call_count_max, now);
            mark_busy(&mut self.agenda, *id, client);
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
        let may_accept = || self.acceptor.is_unfinished(&self.occupancy, &self.shares, now);
        let may_recall = !self.short.is_empty() && self.shares.has_freed();
        !self.agenda.is_empty() || may_recall || (lets_in && may_accept())
    }

    /// When to act, if no event comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.acceptor.deadline()).min()
    }
}

/// Adds a client to those that wait for a turn, once.
fn mark_busy(agenda: &mut Agenda, id: ClientId, client: &mut Client) {
    if !std::mem::replace(&mut client.is_busy, true) {
        let Caller { endpoint, uid, .. } = *client.caller();
        agenda.push(id, endpoint, uid);
    }
}

/// Tells the administrator of a user who takes more than its share.
fn note_share(uid: u32, resource: Resource, effect: &str) {
    warn!("user {uid} is over its share of {}: {effect}", resource.as_str());
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
