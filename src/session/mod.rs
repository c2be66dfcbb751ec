// SPDX-License-Identifier: LGPL-2.1-or-later
//! One client's protocol state machine: bytes and `now` in, calls and bytes out.
//!
//! The caller reads and writes the socket, and answers the calls; it drains each output before it
//! brings the next input. A session changes only by what it reads and by the replies it sends.
//! After its first fatal error it *is* that error: it decodes nothing more, whatever still comes.
//!
//! The order of checks on a call is libvirt's: program and version, status, procedure, arguments.

pub mod outbox;

use std::fmt;
use std::time::Instant;

use log::debug;

use crate::call_errors;
use crate::error::CallError;
use crate::limits::{CLIENT_BYTES_UNREAD_MAX, CLIENT_BYTES_UNWRITTEN_MAX};
use crate::model::client::{ClientState, Endpoint};
use crate::proto::{self, Call, Program, Reply};
use crate::rpc::fault;
use crate::rpc::frame::{Carrier, Frame, FrameBuffer, FrameError};
use crate::rpc::header::{Header, status};
use crate::rpc::keepalive::{self, Due, Keepalive, Policy};
use crate::session::outbox::Outbox;

/// Why a session is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// The client asked for it, and has been answered.
    Closed,
    /// The client hung up without a word.
    HungUp,
    /// The client broke the framing.
    Broken(FrameError),
    /// The client left our pings unanswered.
    Silent,
    /// The daemon stops, and the client has been answered.
    Dismissed,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed its connection"),
            Self::HungUp => f.write_str("hung up"),
            Self::Broken(err) => write!(f, "broke the protocol: {err}"),
            Self::Silent => f.write_str("left our pings unanswered"),
            Self::Dismissed => f.write_str("was let go"),
        }
    }
}

/// A call to answer, and where its reply belongs.
#[derive(Debug)]
pub struct PendingCall {
    pub call: Call,
    pub reply_to: ReplyTo,
}

/// The head of a call, to which a reply is addressed.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    header: Header,
}

impl From<Header> for ReplyTo {
    fn from(header: Header) -> Self {
        Self { header }
    }
}

/// Which call it is, for the log.
impl fmt::Display for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { program, procedure, serial, .. } = &self.header;
        write!(f, "call {serial}, procedure {procedure} of program {program:#x}")
    }
}

/// One client's side of the protocol.
#[derive(Debug)]
pub struct Session {
    client: ClientState,
    unread: FrameBuffer,
    outbox: Outbox,
    keepalive: Keepalive,
    /// Calls handed out and not yet answered.
    calls_handed_out: u32,
    /// Calls a client may have unanswered (`max_client_requests`).
    calls_in_flight_max: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Serving,
    /// CONNECT_CLOSE is answered; what the outbox holds still goes out.
    Closing,
    /// The daemon stops: what has been read is answered, and nothing more is read.
    Finishing,
    Over(Ending),
}

impl Session {
    /// A client that has just connected at `endpoint`.
    pub fn new(endpoint: Endpoint, keepalive: Policy, calls_in_flight_max: u32) -> Self {
        Self {
            client: ClientState::new(endpoint),
            unread: FrameBuffer::default(),
            outbox: Outbox::default(),
            keepalive: Keepalive::new(keepalive),
            calls_handed_out: 0,
            calls_in_flight_max,
            stage: Stage::Serving,
        }
    }

    /// What the client's calls depend on.
    pub fn client(&self) -> &ClientState {
        &self.client
    }

    /// Takes bytes that have arrived.
    pub fn handle_bytes(&mut self, bytes: &[u8], carrier: Carrier) {
        if self.stage == Stage::Serving {
            self.unread.extend(bytes, carrier);
        }
    }

    /// The client has hung up: replies that still wait are dropped.
    pub fn handle_eof(&mut self) {
        self.end(Ending::HungUp);
    }

    /// Other limits hold from now on. Calls that are over the new one are answered still.
    pub(crate) fn handle_limits(
        &mut self,
        keepalive: Policy,
        calls_in_flight_max: u32,
        now: Instant,
    ) {
        self.keepalive.handle_policy(keepalive, now);
        self.calls_in_flight_max = calls_in_flight_max;
    }

    /// The daemon stops. Calls that have been read whole are answered, then the session is over.
    pub(crate) fn handle_stop(&mut self) {
        if self.stage == Stage::Serving {
            self.stage = Stage::Finishing;
            self.settle();
        }
    }

    /// A deadline has passed: ping the client, or give it up.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.keepalive.handle_timeout(now) {
            Due::Nothing => {}
            // Who does not collect what waits would not collect a ping either.
            Due::Ping if self.outbox.bytes().is_empty() => {
                self.outbox.push_unasked(&keepalive::ping());
            }
            Due::Ping => {}
            Due::GiveUp => self.end(Ending::Silent),
        }
    }

    /// The next call to answer, if one is complete and the client is within its limit of calls in
    /// flight. Everything that needs no answer from outside is dealt with on the way.
    pub fn poll_call(&mut self, now: Instant) -> Option<PendingCall> {
        while self.answers_calls() && self.has_room() {
            let frame = match self.unread.frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    self.settle();
                    return None;
                }
                Err(err) => {
                    self.end(Ending::Broken(err));
                    return None;
                }
            };
            self.keepalive.handle_message(now);
            let len = frame.len;
            let header = frame.header;
            let verdict = judge(&frame, &self.client);
            self.unread.consume(len);
            match verdict {
                Verdict::Ignore => {}
                Verdict::Message(message) => self.outbox.push_answer(&message, |_| {}),
                Verdict::Refuse(err) => self.push_reply(&header, &Err(err)),
                Verdict::Call(call) => {
                    self.calls_handed_out += 1;
                    return Some(PendingCall { call, reply_to: ReplyTo::from(header) });
                }
            }
        }
        None
    }

    /// Answers a call, and applies what the answer changes.
    pub fn handle_reply(
        &mut self,
        reply_to: &ReplyTo,
        outcome: Result<Reply, CallError>,
        now: Instant,
    ) {
        self.calls_handed_out = self.calls_handed_out.saturating_sub(1);
        self.push_reply(&reply_to.header, &outcome);
        match outcome {
            Ok(Reply::Opened(opened)) => self.client.opened = Some(opened),
            Ok(Reply::Closing) if self.answers_calls() => self.stage = Stage::Closing,
            Ok(Reply::KeepaliveSupported) => self.keepalive.start(now),
            Ok(Reply::Identified(identity)) => self.client.identity = Some(identity),
            Ok(
                Reply::Closing
                | Reply::Empty
                | Reply::Number(_)
                | Reply::Version(_)
                | Reply::Text(_)
                | Reply::Names(_)
                | Reply::AuthTypes(_)
                | Reply::Interface(_)
                | Reply::Interfaces { .. }
                | Reply::EmptyList
                | Reply::Admin(_),
            )
            | Err(_) => {}
        }
    }

    /// What waits to be written. Report progress to [`Session::handle_written`].
    pub fn poll_bytes(&self) -> &[u8] {
        match self.stage {
            Stage::Serving | Stage::Closing | Stage::Finishing => self.outbox.bytes(),
            Stage::Over(_) => &[],
        }
    }

    /// The first `len` bytes of [`Session::poll_bytes`] are written.
    pub fn handle_written(&mut self, len: usize) {
        self.outbox.consume(len);
        self.settle();
    }

    /// Whether the client should be read. False is backpressure: a client that does not collect
    /// its replies is not heard either.
    pub fn wants_read(&self) -> bool {
        self.stage == Stage::Serving
            && self.has_room()
            && (self.unread.len() < CLIENT_BYTES_UNREAD_MAX
                || matches!(self.unread.frame(), Ok(None)))
    }

    /// Whether [`Session::poll_call`] may have something: bytes wait, and nothing forbids to look.
    pub fn wants_turn(&self) -> bool {
        self.answers_calls() && self.has_room() && !matches!(self.unread.frame(), Ok(None))
    }

    /// When [`Session::handle_timeout`] next has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.keepalive.deadline()
    }

    /// Why the session is over, if it is.
    pub fn ending(&self) -> Option<Ending> {
        match self.stage {
            Stage::Serving | Stage::Closing | Stage::Finishing => None,
            Stage::Over(ending) => Some(ending),
        }
    }

    fn answers_calls(&self) -> bool {
        matches!(self.stage, Stage::Serving | Stage::Finishing)
    }

    /// Ends a session that waited only for its last reply to be written.
    fn settle(&mut self) {
        if !self.outbox.bytes().is_empty() || self.calls_handed_out > 0 {
            return;
        }
        match self.stage {
            Stage::Closing => self.end(Ending::Closed),
            Stage::Finishing if matches!(self.unread.frame(), Ok(None)) => {
                self.end(Ending::Dismissed);
            }
            Stage::Serving | Stage::Finishing | Stage::Over(_) => {}
        }
    }

    /// A pong counts like a reply, or a client that pings and never reads would be answered
    /// without end.
    fn has_room(&self) -> bool {
        let in_flight = self.calls_handed_out.saturating_add(self.outbox.answer_count());
        in_flight < self.calls_in_flight_max
            && self.outbox.bytes().len() < CLIENT_BYTES_UNWRITTEN_MAX
    }

    fn push_reply(&mut self, call: &Header, outcome: &Result<Reply, CallError>) {
        match outcome {
            Ok(reply) => {
                let head = call.reply(status::OK);
                self.outbox.push_answer(&head, |writer| reply.encode(writer));
            }
            Err(err) => {
                debug!("procedure {} of {:#x}: {err}", call.procedure, call.program);
                let head = call.reply(status::ERROR);
                self.outbox.push_answer(&head, |writer| fault::encode(writer, err));
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        if !matches!(self.stage, Stage::Over(_)) {
            self.stage = Stage::Over(ending);
        }
        self.unread = FrameBuffer::default();
    }
}

/// What is to be done about one message.
enum Verdict {
    Ignore,
    Message(Header),
    Refuse(CallError),
    Call(Call),
}

/// Judges one message by the rules for all programs.
fn judge(frame: &Frame<'_>, client: &ClientState) -> Verdict {
    let header = &frame.header;
    if keepalive::is_keepalive(header) {
        return keepalive::answer(header).map_or(Verdict::Ignore, Verdict::Message);
    }
    if !header.is_call() {
        debug!("ignored a message of type {} for program {:#x}", header.kind, header.program);
        return Verdict::Ignore;
    }
    let Some(program) = Program::find(header.program, header.version, client.endpoint) else {
        return Verdict::Refuse(call_errors::unknown_program(header));
    };
    if header.status != status::OK {
        return Verdict::Refuse(call_errors::bad_status(header));
    }
    let opened = client.opened.as_ref().map(|opened| opened.access);
    match proto::decode(program, header.procedure, frame.payload, opened) {
        Ok(call) => Verdict::Call(call),
        Err(err) => Verdict::Refuse(err),
    }
}
#[cfg(test)]
mod tests;
