// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a turn of the loop does for clients: those who wait are let in, calls are answered, replies
//! written, and whoever is done is let go.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use log::{debug, info, warn};
use mio::unix::SourceFd;
use mio::{Interest, Token};

use crate::error::CallError;
use crate::faults;
use crate::limits::{ACCEPTS_PER_TURN_MAX, CALLS_PER_TURN_MAX};
use crate::logging;
use crate::model::client::ClientId;
use crate::proto::{Call, Reply};
use crate::server::changes::Taken;
use crate::server::client::{Brief, Client, mark_busy};
use crate::server::door::Guest;
use crate::server::postponed::PostponedCall;
use crate::server::timers::Timers;
use crate::server::{LISTENERS, Server, wall_clock};
use crate::session::{ReplyTo, Session};

impl Server {
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
    pub(super) fn serve(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.get(&id) else { return };
        let _charged = logging::charge_to(client.peer.uid);
        if self.world.is_current() {
            self.answer_calls(id, now);
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.write();
        if let Some(ending) = client.session.ending() {
            info!("{client}: {ending}");
            self.close(id, now);
            return;
        }
        if client.is_unfinished() && !self.postponed.has(id) {
            mark_busy(&mut self.busy, id, client);
        }
        if let Some(deadline) = client.session.deadline() {
            arm(&mut self.timers, id, client, deadline);
        }
        if let Some(interest) = client.changed_interest() {
            let fd = client.as_raw_fd();
            let registry = self.poll.registry();
            if let Err(err) = registry.reregister(&mut SourceFd(&fd), Token(id.0), interest) {
                warn!("{client}: cannot be polled any further: {err}");
                self.close(id, now);
            }
        }
    }

    /// Answers a turn's worth of calls. A call of an administrator may end any client, its own
    /// included, so a client is looked up anew for each.
    fn answer_calls(&mut self, id: ClientId, now: Instant) {
        for _ in 0..CALLS_PER_TURN_MAX {
            let Some(client) = self.clients.get_mut(&id) else { return };
            let call = match self.postponed.take(id) {
                Some(call) => Some(call),
                None => client.session.poll_call(now).map(|it| PostponedCall::new(it, now)),
            };
            let Some(PostponedCall { pending, until }) = call else { return };
            client.has_called = true;
            let caller = client.caller();
            let pending = match self.changes.take_call(pending, id, client.session.client(), caller)
            {
                Taken::No(pending) => pending,
                Taken::Waits => continue,
                Taken::Refused(reply_to) => {
                    let outcome = Err(faults::too_many_changes());
                    debug!("{client}: {reply_to}: {}", Brief(&outcome));
                    client.session.handle_reply(&reply_to, outcome, now);
                    continue;
                }
            };
            self.has_answered = true;
            let outcome = match &pending.call {
                Call::Admin(call) => Some(self.administer(call, id, now)),
                Call::Connect(_) | Call::Interface(_) | Call::Refused(_) => {
                    let is_about_definitions = matches!(pending.call, Call::Interface(_));
                    if is_about_definitions && !std::mem::replace(&mut self.has_read_store, true) {
                        self.world.store.drain();
                    }
                    let status = self.changes.coordinator.status();
                    let mut desk = self.world.desk(status, until > now);
                    desk.answer(&pending.call, client.session.client())
                }
            };
            let Some(outcome) = outcome else {
                return self.postponed.push(id, PostponedCall { pending, until });
            };
            self.reply(id, &pending.reply_to, outcome, now);
        }
    }

    /// Gives a client the reply to a call, if it is there still.
    pub(super) fn reply(
        &mut self,
        id: ClientId,
        reply_to: &ReplyTo,
        outcome: Result<Reply, CallError>,
        now: Instant,
    ) {
        if let Some(client) = self.clients.get_mut(&id) {
            debug!("{client}: {reply_to}: {}", Brief(&outcome));
            client.session.handle_reply(reply_to, outcome, now);
        }
    }

    /// Has those calls looked at again whose waiting has come to its end.
    pub(super) fn wake_postponed(&mut self, now: Instant) {
        for id in self.postponed.ready(self.world.kernel.is_asking(), now) {
            if let Some(client) = self.clients.get_mut(&id) {
                mark_busy(&mut self.busy, id, client);
            }
        }
    }

    /// Lets in those who wait, as many as a turn has time and the limit has room for.
    pub(super) fn accept(&mut self, now: Instant) {
        if !self.phase.lets_clients_in() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some(guest) = self.door.admit(&mut self.rooms, now) else { return };
            let entrance = guest.entrance;
            if let Err(err) = self.welcome(guest) {
                warn!("a client cannot be polled: {err}");
                self.rooms.behind_mut(entrance).leave();
            }
        }
    }

    fn welcome(&mut self, guest: Guest) -> io::Result<()> {
        let _charged = logging::charge_to(guest.peer.uid);
        let limits = self.rooms.behind(guest.entrance).limits;
        let session = Session::new(guest.entrance, limits.keepalive, limits.call_count_max);
        let id = self.take_id();
        let client = Client::new(guest, session, wall_clock());
        let fd = client.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), Token(id.0), Interest::READABLE)?;
        let (entrance, peer) = (client.entrance, client.peer);
        info!("{client}: process {} of user {} ({entrance:?})", peer.pid, peer.uid);
        self.clients.insert(id, Box::new(client));
        self.idle_since = None;
        Ok(())
    }

    /// Lets a client go. Closing its socket also ends epoll's interest in it.
    pub(super) fn close(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.postponed.take(id);
        self.rooms.behind_mut(client.entrance).leave();
        if let Some(deadline) = client.armed {
            self.timers.disarm(deadline, id);
        }
        if self.clients.is_empty() {
            self.idle_since = Some(now);
        }
    }
}

/// Sees to it that a timer fires at `deadline` or before: one that is armed already is left alone
/// unless it would come too late.
fn arm(timers: &mut Timers, id: ClientId, client: &mut Client, deadline: Instant) {
    if client.armed.is_some_and(|armed| armed <= deadline) {
        return;
    }
    if let Some(late) = client.armed.replace(deadline) {
        timers.disarm(late, id);
    }
    timers.arm(deadline, id);
}
