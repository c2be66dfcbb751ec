// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a turn of the loop does for calls: those that look are answered, those that change the host wait
//! for their turn, and those of administrators are carried out.

use std::time::Instant;

use crate::call_errors;
use crate::limits::{CALLS_PER_TURN_MAX, STEPS_PER_TURN_MAX};
use crate::logging;
use crate::model::client::ClientId;
use crate::proto::Call;
use crate::server::Server;
use crate::server::changes::{Answered, Taken};
use crate::server::postponed::PostponedCall;

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
            let Some(client) = self.clients.get(id) else { return };
            let (state, caller) = (client.session.client(), client.caller());
            let pending = match self.changes.take_call(pending, id, state, caller) {
                Taken::No(pending) => pending,
                Taken::Waits => continue,
                Taken::Refused(reply_to) => {
                    self.clients.reply(id, &reply_to, Err(call_errors::too_many_changes()), now);
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
                    self.world.resolver(status, until > now).answer(&pending.call, state)
                }
            };
            let Some(outcome) = outcome else {
                return self.clients.postponed.push(id, PostponedCall { pending, until });
            };
            self.clients.reply(id, &pending.reply_to, outcome, now);
        }
    }

    /// Goes on with what is to be changed, as far as it can and may in one turn.
    pub(super) fn run_changes(&mut self, now: Instant) {
        self.changes.begin_turn();
        for _ in 0..STEPS_PER_TURN_MAX {
            let has_rest = self.changes.has_rest(self.has_answered, now);
            if has_rest || self.changes.clear_up(&self.world, now) {
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
