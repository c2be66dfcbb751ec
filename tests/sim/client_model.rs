// SPDX-License-Identifier: LGPL-2.1-or-later
//! One client, its session, and a model of the session.
//!
//! The model holds what the client sent and what it must receive, in order; every step changes both
//! and compares them. It relies on the loop's discipline: a call is answered before the next one is
//! taken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use simulation::sample;
use virtinterfaced::model::client::{Access, Endpoint};
use virtinterfaced::rpc::frame::{Carrier, Frame, FrameBuffer, FrameError};
use virtinterfaced::rpc::header::{Header, kind, status};
use virtinterfaced::rpc::keepalive::{self, Policy};
use virtinterfaced::session::{Ending, Session};
use virtinterfaced::xdr::reader::Reader;

use crate::ask::{Ask, Want};
use crate::link_model::LinkModel;
use crate::random::{Chance, Rng};

const INTERVAL: Duration = Duration::from_secs(5);

/// A message, or garbage, that the client sent.
#[derive(Debug)]
struct Said {
    what: Saying,
    /// How many bytes of the client's stream the daemon must have read to understand it.
    heard_at: usize,
}

#[derive(Debug)]
enum Saying {
    Ask { ask: Ask, header: Header },
    Garbage(FrameError),
}

/// A message that the client must receive next.
#[derive(Debug)]
enum Owed {
    Reply { header: Header, want: Want },
    Ping,
    Pong,
}

/// When the daemon pings this client.
#[derive(Clone, Copy, Debug)]
struct Pings {
    due: Instant,
    left: u32,
}

/// A client and its session.
#[derive(Debug)]
pub(crate) struct Client {
    session: Session,
    endpoint: Endpoint,
    policy: Policy,
    calls_max: usize,
    /// Bytes that the client wrote and the daemon has not read.
    wire: VecDeque<u8>,
    written_len: usize,
    read_len: usize,
    said: VecDeque<Said>,
    owed: VecDeque<Owed>,
    /// Bytes of an incomplete message that the client has read.
    heard: FrameBuffer,
    serial: u32,
    opened: Option<Access>,
    pings: Option<Pings>,
    is_closing: bool,
    ending: Option<Ending>,
}

impl Client {
    pub(crate) fn new(random: &mut Rng) -> Self {
        let endpoint = *random.pick(&[Endpoint::ReadWrite, Endpoint::ReadOnly]);
        let policy = Policy { interval: Some(INTERVAL), count: u32::from(random.u8(..) % 3) };
        let calls_max = 1 + random.usize(..5);
        Self {
            session: Session::new(
                sample::caller(endpoint),
                policy,
                u32::try_from(calls_max).unwrap(),
            ),
            endpoint,
            policy,
            calls_max,
            wire: VecDeque::new(),
            written_len: 0,
            read_len: 0,
            said: VecDeque::new(),
            owed: VecDeque::new(),
            heard: FrameBuffer::default(),
            serial: u32::from(random.u8(..)),
            opened: None,
            pings: None,
            is_closing: false,
            ending: None,
        }
    }

    /// The client writes a message.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.serial += 1;
        let (header, payload) = ask.encode(self.serial);
        let mut bytes = u32::try_from(28 + payload.len()).unwrap().to_be_bytes().to_vec();
        header.encode(&mut bytes);
        bytes.extend_from_slice(&payload);
        self.say(&bytes, bytes.len(), Saying::Ask { ask, header });
    }

    /// The client writes bytes that break the protocol.
    pub(crate) fn break_protocol(&mut self, random: &mut Rng) {
        let (length, error) = *random.pick(&[
            (0, FrameError::TooShort(0)),
            (27, FrameError::TooShort(27)),
            (33_554_437, FrameError::TooLong(33_554_437)),
            (0x4745_5420, FrameError::TooLong(0x4745_5420)),
        ]);
        let mut bytes = u32::to_be_bytes(length).to_vec();
        bytes.extend_from_slice(b"/ HTTP/1.1\r\n\r\n");
        self.say(&bytes, 4, Saying::Garbage(error));
    }

    fn say(&mut self, bytes: &[u8], needed_len: usize, what: Saying) {
        self.said.push_back(Said { what, heard_at: self.written_len + needed_len });
        self.wire.extend(bytes);
        self.written_len += bytes.len();
    }

    pub(crate) fn hang_up(&mut self) {
        self.session.handle_eof();
        self.end(Ending::HungUp);
        self.check();
    }

    /// The daemon reads up to `len_max` bytes, unless it does not want to read.
    pub(crate) fn be_read(&mut self, len_max: usize) {
        if !self.session.wants_read() {
            return;
        }
        let len = len_max.min(self.wire.len());
        let bytes: Vec<_> = self.wire.drain(..len).collect();
        self.session.handle_bytes(&bytes, Carrier::None);
        self.read_len += len;
        self.check();
    }

    /// Whether a complete message, or garbage, waits to be handled.
    fn has_work(&self) -> bool {
        self.said.front().is_some_and(|said| said.heard_at <= self.read_len)
    }

    fn has_room(&self) -> bool {
        self.answer_count() < self.calls_max
    }

    /// The number of replies and pongs that the client must read before the daemon takes more
    /// calls.
    fn answer_count(&self) -> usize {
        let is_answer = |owed: &&Owed| matches!(owed, Owed::Reply { .. } | Owed::Pong);
        self.owed.iter().filter(is_answer).count()
    }

    /// The daemon takes a call and answers it.
    pub(crate) fn be_answered(&mut self, links: &LinkModel, now: Instant) {
        let asked = self.take(links, now);
        match self.session.poll_call(now) {
            None => assert!(asked.is_none(), "{asked:?} was not heard"),
            Some(pending) => {
                let ask = asked.expect("a call that the client made");
                let client = self.session.client();
                let outcome = sample::outcome(&pending.call, client, &links.host);
                self.session.handle_reply(&pending.reply_to, outcome, now);
                self.note_effect(&ask, now);
            }
        }
        let opened = self.session.client().opened.as_ref().map(|opened| opened.access);
        assert_eq!(opened, self.opened);
        self.check();
    }

    /// Models what the session takes now: all messages that the session answers itself, and the
    /// first call that a handler answers.
    fn take(&mut self, links: &LinkModel, now: Instant) -> Option<Ask> {
        while self.ending.is_none() && !self.is_closing && self.has_room() {
            let said = self.has_work().then(|| self.said.pop_front()).flatten()?;
            let (ask, header) = match said.what {
                Saying::Ask { ask, header } => (ask, header),
                Saying::Garbage(error) => {
                    self.end(Ending::Broken(error));
                    return None;
                }
            };
            self.pings = self.pings.map(|_| self.fresh_pings(now));
            match ask {
                Ask::Ping => self.owed.push_back(Owed::Pong),
                Ask::Remark => {}
                ask => {
                    let want = ask.want(links, self.opened);
                    self.owed.push_back(Owed::Reply { header, want });
                    if !matches!(ask, Ask::Nonsense(_)) {
                        return Some(ask);
                    }
                }
            }
        }
        None
    }

    fn note_effect(&mut self, ask: &Ask, now: Instant) {
        match ask {
            Ask::Open { read_only } if self.opened.is_none() => {
                let read_only = *read_only || self.endpoint == Endpoint::ReadOnly;
                self.opened = Some(if read_only { Access::ReadOnly } else { Access::ReadWrite });
            }
            Ask::Close => self.is_closing = true,
            Ask::Keepalive if self.pings.is_none() => self.pings = Some(self.fresh_pings(now)),
            _ => {}
        }
    }

    fn fresh_pings(&self, now: Instant) -> Pings {
        Pings { due: now + INTERVAL, left: self.policy.count }
    }

    /// The daemon's clock moves on.
    pub(crate) fn be_timed(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        if self.ending.is_some() {
            return self.check();
        }
        let due = self.pings.as_mut().filter(|pings| pings.due <= now);
        match due.map(|pings| (pings.left.checked_sub(1), pings)) {
            None => {}
            Some((None, _)) => self.end(Ending::Silent),
            Some((Some(left), pings)) => {
                *pings = Pings { due: now + INTERVAL, left };
                // No ping is queued behind messages that the client has not read.
                if self.owed.is_empty() {
                    self.owed.push_back(Owed::Ping);
                }
            }
        }
        self.check();
    }

    /// When the session's next timer is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pings.filter(|_| self.ending.is_none()).map(|pings| pings.due)
    }

    /// The daemon writes up to `len_max` bytes, and the client reads them.
    pub(crate) fn be_written(&mut self, len_max: usize) {
        let bytes = self.session.poll_bytes();
        let written = &bytes[..len_max.min(bytes.len())];
        let len = written.len();
        self.heard.extend(written, Carrier::None);
        self.session.handle_written(len);
        while let Some(frame) = self.heard.frame().unwrap() {
            let owed = self.owed.pop_front().expect("a message that is expected");
            owed.compare(&frame);
            let len = frame.len;
            self.heard.consume(len);
        }
        if self.is_closing && self.owed.is_empty() {
            self.end(Ending::Closed);
        }
        self.check();
    }

    fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
        }
        self.owed.clear();
    }

    /// Handles everything that the client sent.
    pub(crate) fn settle(&mut self, links: &LinkModel, now: Instant) {
        self.be_written(usize::MAX);
        while self.ending.is_none() && !self.said.is_empty() {
            let before = self.said.len();
            self.be_read(usize::MAX);
            self.be_answered(links, now);
            self.be_written(usize::MAX);
            let moved = self.said.len() < before || self.ending.is_some();
            assert!(moved, "not handled: {:?}", self.said);
        }
        assert!(self.owed.is_empty(), "a reply was never written");
    }

    /// Compares the session with the model.
    fn check(&self) {
        assert_eq!(self.session.ending(), self.ending);
        let waiting = self.session.poll_bytes();
        if self.ending.is_some() {
            assert_eq!(waiting, b"", "words after the end");
            assert!(!self.session.wants_read() && !self.session.wants_turn());
            return;
        }
        assert_eq!(self.session.deadline(), self.pings.map(|pings| pings.due));
        assert_eq!(waiting.is_empty(), self.owed.is_empty());
        let is_open = !self.is_closing && self.has_room();
        assert_eq!(self.session.wants_turn(), is_open && self.has_work());
        assert!(is_open || !self.session.wants_read(), "over the limit and still read");
        assert!(!is_open || self.has_work() || self.session.wants_read(), "deaf");
        assert!(self.answer_count() <= self.calls_max, "over the limit");
    }
}

impl Owed {
    fn compare(&self, frame: &Frame<'_>) {
        match self {
            Self::Ping => assert_eq!(frame.header, keepalive::ping()),
            Self::Pong => assert_eq!(frame.header, Header { procedure: 2, ..keepalive::ping() }),
            Self::Reply { header, want } => {
                let is_error = matches!(want, Want::Error(_));
                let status = if is_error { status::ERROR } else { status::OK };
                assert_eq!(frame.header, Header { kind: kind::REPLY, status, ..*header });
                want.compare(frame.payload);
            }
        }
    }
}

impl Want {
    fn compare(&self, payload: &[u8]) {
        let mut reader = Reader::new(payload);
        match self {
            Self::Payload(wanted) => assert_eq!(payload, wanted),
            Self::Error(code) => assert_eq!(reader.i32("code"), Ok(*code)),
            Self::Xml(name, addresses) => {
                let xml = reader.string("xml", usize::MAX).unwrap();
                assert!(xml.lines().next().unwrap().ends_with(&format!(" name='{name}'>")));
                assert_eq!(xml.matches("<ip ").count(), addresses.len());
                addresses.iter().for_each(|address| assert!(xml.contains(address), "{xml}"));
            }
        }
    }
}
