// SPDX-License-Identifier: LGPL-2.1-or-later
//! One client's protocol state machine: bytes and `now` go in, calls and bytes come out.
//!
//! The caller reads and writes the socket, and answers the calls; it drains each output before it
//! passes the next input. Only received bytes and sent replies change a session. After its first
//! fatal error it decodes no further input.
//!
//! The order of checks on a call is libvirt's: program and version, status, procedure, arguments.

pub mod outbox;

use std::fmt;
use std::time::Instant;

use log::debug;

use crate::call_errors;
use crate::error::CallError;
use crate::limits::{CLIENT_BYTES_UNREAD_MAX, CLIENT_BYTES_UNWRITTEN_MAX};
use crate::model::client::{Caller, ClientState};
use crate::proto::{self, Call, Program, Reply};
use crate::rpc::fault;
use crate::rpc::frame::{Carrier, Frame, FrameBuffer, FrameError};
use crate::rpc::header::{Header, status};
use crate::rpc::keepalive::{self, Due, Keepalive, Policy};
use crate::session::outbox::Outbox;

/// The reason why a session is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// The client sent CONNECT_CLOSE, and was answered.
    Closed,
    /// The client closed its socket without CONNECT_CLOSE.
    HungUp,
    /// The client broke the framing.
    Broken(FrameError),
    /// The client did not answer pings.
    Silent,
    /// The daemon is stopping, and the client was answered.
    Dismissed,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed its connection"),
            Self::HungUp => f.write_str("hung up"),
            Self::Broken(err) => write!(f, "broke the protocol: {err}"),
            Self::Silent => f.write_str("did not answer pings"),
            Self::Dismissed => f.write_str("was disconnected"),
        }
    }
}

/// A call to answer, with the address of its reply.
#[derive(Debug)]
pub struct PendingCall {
    pub call: Call,
    pub reply_to: ReplyTo,
}

/// The header of a call, which is the address of its reply.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    header: Header,
}

impl From<Header> for ReplyTo {
    fn from(header: Header) -> Self {
        Self { header }
    }
}

/// Formats the call's program, procedure and serial for the log.
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
    /// Calls that `poll_call` returned and that are not answered yet.
    calls_handed_out: u32,
    /// The maximum of unanswered calls (`max_client_requests`).
    calls_in_flight_max: u32,
    stage: SessionStage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SessionStage {
    Serving,
    /// CONNECT_CLOSE is answered; the outbox is still written.
    Closing,
    /// The daemon is stopping: calls already received are answered, and no more bytes are read.
    Finishing,
    Over(Ending),
}

impl Session {
    /// Creates the session of a client that has just connected.
    pub fn new(caller: Caller, keepalive: Policy, calls_in_flight_max: u32) -> Self {
        Self {
            client: ClientState::new(caller),
            unread: FrameBuffer::default(),
            outbox: Outbox::default(),
            keepalive: Keepalive::new(keepalive),
            calls_handed_out: 0,
            calls_in_flight_max,
            stage: SessionStage::Serving,
        }
    }

    /// Returns the client state that calls depend on.
    pub fn client(&self) -> &ClientState {
        &self.client
    }

    /// Takes received bytes. Of a message that is longer than any call that the client may make, the
    /// beginning is kept, and decoded when all of it has arrived.
    pub fn handle_bytes(&mut self, bytes: &[u8], carrier: Carrier) {
        if self.stage == SessionStage::Serving {
            self.unread.extend(bytes, carrier);
            self.limit_unread();
        }
    }

    fn limit_unread(&mut self) {
        let Caller { endpoint, .. } = self.client.caller;
        let access = self.client.access();
        self.unread.limit(|header| proto::len_max(header, endpoint, access));
    }

    /// Takes the end of the stream: unsent replies are dropped.
    pub fn handle_eof(&mut self) {
        self.end(Ending::HungUp);
    }

    /// Applies new limits. Calls already in flight above the new limit are still answered.
    pub(crate) fn handle_limits(
        &mut self,
        keepalive: Policy,
        calls_in_flight_max: u32,
        now: Instant,
    ) {
        self.keepalive.handle_policy(keepalive, now);
        self.calls_in_flight_max = calls_in_flight_max;
    }

    /// Begins the stop: calls that were received whole are answered, then the session ends.
    pub(crate) fn handle_stop(&mut self) {
        if self.stage == SessionStage::Serving {
            self.stage = SessionStage::Finishing;
            self.settle();
        }
    }

    /// Pings the client, or gives it up, once a deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.keepalive.handle_timeout(now) {
            Due::Nothing => {}
            // A client that does not read its replies would not read a ping either.
            Due::Ping if self.outbox.bytes().is_empty() => {
                self.outbox.push_unasked(&keepalive::ping());
            }
            Due::Ping => {}
            Due::GiveUp => self.end(Ending::Silent),
        }
    }

    /// Returns the next call to answer, if a whole one was received and the client is within its
    /// limit of calls in flight. Messages that need no handler are processed on the way.
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
            self.limit_unread();
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

    /// Answers a call, and applies the reply's effects on the session.
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
            Ok(Reply::Closing) if self.answers_calls() => self.stage = SessionStage::Closing,
            Ok(Reply::KeepaliveSupported) => self.keepalive.start(now),
            Ok(Reply::Identified(identity)) => self.client.caller.identity = Some(identity),
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
                | Reply::Prepared(_)
                | Reply::EmptyList
                | Reply::Admin(_),
            )
            | Err(_) => {}
        }
    }

    /// Drops `call_count` calls without replies, as the client has disconnected. Calls that it sent
    /// before are still decoded.
    pub(crate) fn handle_dropped(&mut self, call_count: usize) {
        let call_count = u32::try_from(call_count).unwrap_or(u32::MAX);
        self.calls_handed_out = self.calls_handed_out.saturating_sub(call_count);
        self.settle();
    }

    /// Returns the bytes to be written. The caller reports progress to [`Session::handle_written`].
    pub fn poll_bytes(&self) -> &[u8] {
        match self.stage {
            SessionStage::Serving | SessionStage::Closing | SessionStage::Finishing => {
                self.outbox.bytes()
            }
            SessionStage::Over(_) => &[],
        }
    }

    /// Notes that the first `len` bytes of [`Session::poll_bytes`] were written.
    pub fn handle_written(&mut self, len: usize) {
        self.outbox.consume(len);
        self.settle();
    }

    /// Returns whether to read from the client. False is backpressure: a client that does not
    /// collect its replies is not read.
    pub fn wants_read(&self) -> bool {
        self.stage == SessionStage::Serving
            && self.has_room()
            && (self.unread.len() < CLIENT_BYTES_UNREAD_MAX
                || matches!(self.unread.frame(), Ok(None)))
    }

    /// Returns the memory that its buffers hold, in bytes.
    pub fn held_len(&self) -> usize {
        self.unread.capacity() + self.outbox.capacity()
    }

    /// Returns whether a call of the client is being answered.
    pub fn has_open_calls(&self) -> bool {
        self.calls_handed_out > 0
    }

    /// Returns how many bytes may be read without being kept.
    pub fn dropped_next(&self) -> usize {
        self.unread.dropped_next()
    }

    /// Returns whether [`Session::poll_call`] may return a call.
    pub fn wants_turn(&self) -> bool {
        self.answers_calls() && self.has_room() && !matches!(self.unread.frame(), Ok(None))
    }

    /// Returns when [`Session::handle_timeout`] is next due.
    pub fn deadline(&self) -> Option<Instant> {
        self.keepalive.deadline()
    }

    /// Returns why the session is over, if it is.
    pub fn ending(&self) -> Option<Ending> {
        match self.stage {
            SessionStage::Serving | SessionStage::Closing | SessionStage::Finishing => None,
            SessionStage::Over(ending) => Some(ending),
        }
    }

    fn answers_calls(&self) -> bool {
        matches!(self.stage, SessionStage::Serving | SessionStage::Finishing)
    }

    /// Ends a session whose last reply is written, if it was only waiting for that.
    fn settle(&mut self) {
        if !self.outbox.bytes().is_empty() || self.calls_handed_out > 0 {
            return;
        }
        match self.stage {
            SessionStage::Closing => self.end(Ending::Closed),
            SessionStage::Finishing if matches!(self.unread.frame(), Ok(None)) => {
                self.end(Ending::Dismissed);
            }
            SessionStage::Serving | SessionStage::Finishing | SessionStage::Over(_) => {}
        }
    }

    /// Pongs count like replies; otherwise a client that pings and never reads would fill the
    /// outbox without limit.
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
        if !matches!(self.stage, SessionStage::Over(_)) {
            self.stage = SessionStage::Over(ending);
        }
        self.unread = FrameBuffer::default();
    }
}

/// The action that one message requires.
enum Verdict {
    Ignore,
    Message(Header),
    Refuse(CallError),
    Call(Call),
}

/// Checks one message by the rules that all programs share.
fn judge(frame: &Frame<'_>, client: &ClientState) -> Verdict {
    let header = &frame.header;
    if keepalive::is_keepalive(header) {
        return keepalive::answer(header).map_or(Verdict::Ignore, Verdict::Message);
    }
    if !header.is_call() {
        debug!("ignored a message of type {} for program {:#x}", header.kind, header.program);
        return Verdict::Ignore;
    }
    let Some(program) = Program::find(header.program, header.version, client.caller.endpoint)
    else {
        return Verdict::Refuse(call_errors::unknown_program(header));
    };
    if header.status != status::OK {
        return Verdict::Refuse(call_errors::bad_status(header));
    }
    match proto::decode(program, header.procedure, frame.payload) {
        Ok(call) => Verdict::Call(call),
        Err(err) => Verdict::Refuse(err),
    }
}
#[cfg(test)]
mod tests;
