// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a turn of the loop does for calls: those that look are answered, those that change the host wait
//! for their turn, and those of administrators are carried out.

use std::time::Instant;

use crate::auth;
use crate::change::request::{Origin, Request};
use crate::error::CallError;
use crate::handler::interface;
use crate::limits::{CALLS_PER_TURN_MAX, STEPS_PER_TURN_MAX};
use crate::logging;
use crate::model::client::ClientId;
use crate::proto::{Call, Reply};
use crate::server::Server;
use crate::server::changes::Answered;
use crate::server::postponed::PostponedCall;
use crate::session::{PendingCall, ReplyTo};

/// What has become of a call.
enum Progress {
    Replied(Result<Reply, CallError>),
    /// A request waits for its turn, unless too many do.
    Queued(Result<(), CallError>),
    /// It waits for an answer.
    Postponed(Call),
}

impl Server {
    /// Answers what a client calls, unless the table is behind, and sees to what it needs next.
    pub(super) fn serve(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.get(id) else { return };
        let _charged = logging::charge_to(client.peer.uid);
        if self.world.is_current() {
            self.answer_calls(id, now);
        }
        self.clients.settle(id, now);
    }

    /// Answers a turn's worth of calls. A call of an administrator may end any client, its own
    /// included, so a client is looked up anew for each.
    fn answer_calls(&mut self, id: ClientId, now: Instant) {
        for _ in 0..CALLS_PER_TURN_MAX {
            let Some(PostponedCall { pending, until }) = self.clients.poll_call(id, now) else {
                return;
            };
            let PendingCall { call, reply_to } = pending;
            match self.dispatch(call, &reply_to, id, until, now) {
                Progress::Replied(outcome) => {
                    self.has_answered = true;
                    self.clients.reply(id, &reply_to, outcome, now);
                }
                Progress::Queued(Ok(())) => {}
                Progress::Queued(Err(err)) => self.clients.reply(id, &reply_to, Err(err), now),
                Progress::Postponed(call) => {
                    let pending = PendingCall { call, reply_to };
                    return self.clients.postponed.push(id, PostponedCall { pending, until });
                }
            }
        }
    }

    /// Takes a call where it belongs, if its client may make it.
    fn dispatch(
        &mut self,
        call: Call,
        reply_to: &ReplyTo,
        id: ClientId,
        until: Instant,
        now: Instant,
    ) -> Progress {
        let Some(client) = self.clients.get(id) else {
            return Progress::Queued(Ok(()));
        };
        let (state, caller) = (client.session.client(), client.caller());
        let access = state.opened.as_ref().map(|opened| opened.access);
        if let Err(err) = auth::check(access, &call) {
            return Progress::Replied(Err(err));
        }
        let is_patient = until > now;
        let origin = || Origin::Client { id, reply_to: reply_to.clone(), caller };
        match call {
            Call::Connect(connect) => {
                let outcome = self.world.resolver(is_patient).connect(&connect, state);
                let postponed = || Progress::Postponed(Call::Connect(connect));
                outcome.transpose().map_or_else(postponed, Progress::Replied)
            }
            Call::Query(query) => {
                if !std::mem::replace(&mut self.has_read_store, true) {
                    self.world.store.drain();
                }
                let outcome = self.world.resolver(is_patient).query(&query);
                let postponed = || Progress::Postponed(Call::Query(query));
                outcome.transpose().map_or_else(postponed, Progress::Replied)
            }
            Call::Change(change) => match interface::check_len(&change) {
                Ok(()) => {
                    let request = Request { origin: origin(), call: change.into() };
                    Progress::Queued(self.changes.take(request))
                }
                Err(err) => Progress::Replied(Err(err)),
            },
            Call::Transaction(transaction) => {
                let request = Request { origin: origin(), call: transaction.into() };
                Progress::Queued(self.changes.take(request))
            }
            Call::Refused(refused) => Progress::Replied(refused.answer),
            Call::Admin(admin) => Progress::Replied(self.administer(&admin, id, now)),
        }
    }

    /// Goes on with what is to be changed, as far as it can and may in one turn.
    pub(super) fn run_changes(&mut self, now: Instant) {
        self.changes.begin_turn();
        for _ in 0..STEPS_PER_TURN_MAX {
            let has_rest = self.changes.has_rest(self.has_answered, now);
            if has_rest || self.changes.clear_up(&mut self.world, now) {
                return;
            }
            self.world.drain(now);
            if !self.world.is_current() {
                return;
            }
            for Answered { id, reply_to, outcome } in self.changes.go_on(&mut self.world, now) {
                self.clients.reply(id, &reply_to, outcome, now);
                self.serve(id, now);
            }
            if self.changes.ends_turn(self.has_answered, now) {
                return;
            }
        }
    }
}
