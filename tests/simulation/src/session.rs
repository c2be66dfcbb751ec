// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `session`: two bytes for the endpoint and the limit of calls, then a script of inputs in
//! any order, each a byte and its data.
//!
//! Calls and pings in flight never exceed the limit; the output consists of whole messages; a
//! session that has ended sends nothing; the deadline never moves back.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::call::HOST;
use crate::input::Input;
use crate::sample;
use virtinterfaced::error::{CallError, Domain, ErrorCode};
use virtinterfaced::model::client::Endpoint;
use virtinterfaced::proto::Reply;
use virtinterfaced::rpc::frame::{Carrier, FrameBuffer};
use virtinterfaced::rpc::header::{Header, kind, status};
use virtinterfaced::rpc::keepalive::{self, Policy};
use virtinterfaced::rpc::message;
use virtinterfaced::session::{Ending, PendingCall, Session};

/// An arbitrary instant. The same for all runs, as no outcome depends on it.
static START: LazyLock<Instant> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "no loop reads the clock here")]
    Instant::now()
});

/// See the module.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let (Some(endpoint), Some(limit)) = (input.byte(), input.byte()) else { return };
    let mut play = Play::new(endpoint, limit);
    while let Some(step) = input.byte() {
        play.step(step, &mut input);
        play.check();
    }
}

/// A session under test, and its caller's record of it.
struct Play {
    session: Session,
    now: Instant,
    limit: u32,
    /// Calls returned by the session and not yet answered.
    pending: Vec<PendingCall>,
    /// Bytes written since the last whole message.
    partly_written: Vec<u8>,
    deadline: Option<Instant>,
    ending: Option<Ending>,
}

impl Play {
    fn new(endpoint: u8, limit: u8) -> Self {
        let endpoint = match endpoint % 3 {
            0 => Endpoint::ReadWrite,
            1 => Endpoint::ReadOnly,
            _ => Endpoint::Admin,
        };
        let limit = u32::from(limit % 8);
        let policy = Policy { interval: Some(Duration::from_secs(5)), count: 2 };
        Self {
            session: Session::new(sample::caller(endpoint), policy, limit),
            now: *START,
            limit,
            pending: Vec::new(),
            partly_written: Vec::new(),
            deadline: None,
            ending: None,
        }
    }

    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        let mut argument = || usize::from(input.byte().unwrap_or_default());
        match step % 10 {
            0 => {
                let len = argument();
                self.session.handle_bytes(input.bytes(len), Carrier::None);
            }
            1 => {
                let len = argument();
                self.session.handle_bytes(input.bytes(len), Carrier::LastByte);
            }
            2 => {
                let (len, procedure) = (argument(), input.number().unwrap_or_default());
                self.hear_call(i32::from(procedure), input.bytes(len));
            }
            3 => self.pending.extend(self.session.poll_call(self.now)),
            4 => self.reply(argument(), |pending, session| {
                sample::outcome(&pending.call, session.client(), &HOST)
            }),
            5 => self.reply(argument(), |_, _| {
                Err(CallError::new(ErrorCode::Internal, Domain::Rpc, "refused"))
            }),
            6 => self.write(argument()),
            7 => self.wait(Duration::from_millis(100 * argument() as u64)),
            8 => self.hear(&keepalive::ping(), &[]),
            _ => self.session.handle_eof(),
        }
    }

    fn hear_call(&mut self, procedure: i32, payload: &[u8]) {
        let (program, serial) = (0x2000_8086, 1);
        let (kind, status) = (kind::CALL, status::OK);
        self.hear(&Header { program, version: 1, procedure, kind, serial, status }, payload);
    }

    fn hear(&mut self, header: &Header, payload: &[u8]) {
        let mut bytes = Vec::new();
        message::encode(&mut bytes, header, |_| {});
        let len = u32::try_from(bytes.len() + payload.len()).unwrap_or_default();
        bytes.splice(..4, len.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.session.handle_bytes(&bytes, Carrier::None);
    }

    fn reply(
        &mut self,
        which: usize,
        answer: impl Fn(&PendingCall, &Session) -> Result<Reply, CallError>,
    ) {
        let Some(which) = which.checked_rem(self.pending.len()) else { return };
        let pending = self.pending.remove(which);
        let outcome = answer(&pending, &self.session);
        self.session.handle_reply(&pending.reply_to, outcome, self.now);
    }

    fn write(&mut self, len: usize) {
        let bytes = self.session.poll_bytes();
        let written = bytes.get(..len).unwrap_or(bytes);
        let len = written.len();
        self.partly_written.extend_from_slice(written);
        self.session.handle_written(len);
        let whole: usize = messages(&self.partly_written).iter().map(|(_, len)| len).sum();
        self.partly_written.drain(..whole);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let is_due = self.session.deadline().is_some_and(|deadline| deadline <= self.now);
        let before = self.session.poll_bytes().len();
        self.session.handle_timeout(self.now);
        let has_spoken = self.session.poll_bytes().len() != before;
        assert!(is_due || (!has_spoken && self.session.ending() == self.ending), "not yet due");
    }

    fn check(&mut self) {
        let session = &mut self.session;
        let mut stream = self.partly_written.clone();
        stream.extend_from_slice(session.poll_bytes());
        let waiting = messages(&stream);
        let len: usize = waiting.iter().map(|(_, len)| len).sum();
        if session.ending().is_none() {
            assert_eq!(len, stream.len(), "only whole messages");
        }
        let is_answer = |(header, _): &&(Header, usize)| *header != keepalive::ping();
        let in_flight = self.pending.len() + waiting.iter().filter(is_answer).count();
        assert!(in_flight <= self.limit as usize, "{in_flight} calls in flight");
        assert!(session.deadline() >= self.deadline, "the deadline moved back");
        self.deadline = session.deadline();
        if self.ending.is_some() {
            assert_eq!(session.ending(), self.ending, "an end is an end");
            assert!(session.poll_call(self.now).is_none(), "a call after the end");
        }
        self.ending = session.ending();
        if self.ending.is_some() {
            assert_eq!(session.poll_bytes(), b"", "words after the end");
            assert!(!session.wants_read() && !session.wants_turn(), "wishes after the end");
        }
    }
}

/// The whole messages at the front of `bytes`: header and length of each.
fn messages(bytes: &[u8]) -> Vec<(Header, usize)> {
    let mut buffer = FrameBuffer::default();
    buffer.extend(bytes, Carrier::None);
    let mut found = Vec::new();
    while let Ok(Some(frame)) = buffer.frame() {
        let (header, len) = (frame.header, frame.len);
        let is_ours = header.kind == kind::REPLY || keepalive::is_keepalive(&header);
        assert!(is_ours && len % 4 == 0, "{header:?} is not for a client");
        found.push((header, len));
        buffer.consume(len);
    }
    found
}
