// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calls in a turn of the loop: queries are answered, changes are queued, and orders of
//! administrators are carried out.

use std::time::Instant;

use crate::auth;
use crate::change::request::{Origin, Request, RequestedCall};
use crate::error::CallError;
use crate::handler::{Answers, interface};
use crate::limits::{CALLS_PER_TURN_MAX, STEPS_PER_TURN_MAX, TURN_TIME_MAX};
use crate::logging;
use crate::model::client::ClientId;
use crate::proto::{Call, Reply};
use crate::server::agenda::Turn;
use crate::server::changes::Answered;
use crate::server::questions::{Awaited, OpenCall};
use crate::server::resolver::{CallProgress, Resolution};
use crate::server::{Server, clock};
use crate::session::{PendingCall, ReplyTo};
use crate::shares::Resource;

impl Server {
    /// Serves the clients of this turn, until its time is over. The first of them is served in any
    /// case.
    pub(super) fn serve_all(&mut self, turns: &[Turn], now: Instant) {
        let mut last = clock();
        let end = last + TURN_TIME_MAX;
        for (served, turn) in (1..).zip(turns) {
            self.serve(turn.client, now);
            let time = clock();
            self.clients.end_turn(*turn, time.saturating_duration_since(last));
            last = time;
            if time >= end {
                return self.clients.put_off(turns.get(served..).unwrap_or_default());
            }
        }
    }

    /// Handles a client's calls, unless the table is behind, and arranges its next need.
    pub(super) fn serve(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.get(id) else { return };
        let _charged = logging::charge_to(client.caller().uid);
        if self.world.is_current() {
            self.take_calls(id, now);
        }
        self.clients.settle(id, now);
    }

    /// Handles a turn's share of calls. Access is checked here, once for each call. A call of an
    /// administrator may end any client, also its own, so the client is looked up again for each.
    fn take_calls(&mut self, id: ClientId, now: Instant) {
        for _ in 0..CALLS_PER_TURN_MAX {
            let Some(PendingCall { call, reply_to }) = self.clients.poll_call(id, now) else {
                return;
            };
            let Some(client) = self.clients.get(id) else { return };
            match auth::check(client.session.client().access(), &call) {
                Ok(()) => {
                    let answers = Answers::default();
                    self.handle(OpenCall { client: id, call, reply_to, answers }, now);
                }
                Err(err) => self.reply(id, &reply_to, Err(err), now),
            }
        }
    }

    /// Replies to a call, queues it, or keeps it until its next question is answered.
    fn handle(&mut self, open: OpenCall, now: Instant) {
        let OpenCall { client: id, call, reply_to, mut answers } = open;
        let Some(client) = self.clients.get(id) else { return };
        let progress = match call {
            Call::Connect(ref connect) => {
                self.world.resolver().connect(connect, client.session.client(), &mut answers)
            }
            Call::Query(ref query) => {
                if !std::mem::replace(&mut self.has_read_store, true) {
                    self.world.store.drain();
                }
                self.world.query(query, &mut answers)
            }
            Call::Change(change) => {
                return match interface::check_len(&change) {
                    Ok(()) => self.request(change.into(), id, reply_to, now),
                    Err(err) => self.reply(id, &reply_to, Err(err), now),
                };
            }
            Call::Transaction(transaction) => {
                return self.request(transaction.into(), id, reply_to, now);
            }
            Call::Refused(refused) => return self.reply(id, &reply_to, refused.answer, now),
            Call::Admin(admin) => {
                let outcome = self.administer(&admin, id, now);
                return self.reply(id, &reply_to, outcome, now);
            }
        };
        match progress {
            Ok(CallProgress::Reply(reply)) => self.reply(id, &reply_to, Ok(reply), now),
            Ok(CallProgress::Waits(question, awaited, time)) => {
                let open = OpenCall { client: id, call, reply_to, answers };
                self.clients.questions.ask(question, awaited, open, now + time);
            }
            Err(err) => self.reply(id, &reply_to, Err(err), now),
        }
    }

    /// Queues a change or a transaction, unless the queue is full.
    fn request(&mut self, call: RequestedCall, id: ClientId, reply_to: ReplyTo, now: Instant) {
        let Some(client) = self.clients.get(id) else { return };
        let origin =
            Origin::Client { id, reply_to: reply_to.clone(), caller: client.caller().clone() };
        let request = Request { origin, call };
        if let Err(err) = self.changes.take(request, &self.clients.shares) {
            self.clients.note_share(id, Resource::Changes, "further ones are refused", now);
            self.clients.reply(id, &reply_to, Err(err), now);
        }
    }

    /// Replies to a call that was handled in this turn.
    fn reply(
        &mut self,
        id: ClientId,
        reply_to: &ReplyTo,
        outcome: Result<Reply, CallError>,
        now: Instant,
    ) {
        self.has_answered = true;
        self.clients.reply(id, reply_to, outcome, now);
    }

    /// Whether waiting calls may have their answers now, or have reached their deadlines.
    pub(super) fn may_resume(&self, now: Instant) -> bool {
        let questions = &self.clients.questions;
        let is_due = questions.deadline().is_some_and(|deadline| deadline <= now);
        is_due || self.world.kernel.has_ended_requests()
    }

    /// Continues the calls whose questions have been answered.
    pub(super) fn resume_calls(&mut self, now: Instant) {
        if !self.world.is_current() {
            return;
        }
        let ended = self.world.kernel.take_ended_requests();
        for id in self.clients.questions.concerned(ended.into_iter().map(Awaited::Speeds), now) {
            let Some((question, is_due)) = self.clients.questions.get(id, now) else { continue };
            let mut resolver = self.world.resolver();
            let resolution = if is_due {
                resolver.resolve_now(question).map(Resolution::Now)
            } else {
                resolver.resolve(question)
            };
            let questions = &mut self.clients.questions;
            let (call, refusal) = match resolution {
                Ok(Resolution::Later(awaited, _)) => {
                    questions.wait_again(id, awaited);
                    continue;
                }
                Ok(Resolution::Now(answer)) => (questions.answer(id, answer), None),
                Err(err) => (questions.withdraw(id), Some(err)),
            };
            let Some(call) = call else { continue };
            let client = call.client;
            let uid = self.clients.get(client).map(|client| client.caller().uid);
            let _charged = uid.map(logging::charge_to);
            match refusal {
                None => self.handle(call, now),
                Some(err) => self.reply(client, &call.reply_to, Err(err), now),
            }
            self.clients.settle(client, now);
        }
    }

    /// Continues the changes, within the limits of one turn.
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
