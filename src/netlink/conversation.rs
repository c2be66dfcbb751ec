// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Conversation`]: requests to the kernel, matched with its answers (`linux/netlink.h`).
//!
//! Knows neither sockets nor the meaning of requests. The requests of one datagram are under way at
//! a time, and the kernel answers them in order; messages with another sequence number, such as the
//! rest of an abandoned answer, are ignored. Every request is a dump or asks for an
//! acknowledgement, so every answer has an end.

use crate::netlink::wire::{self, Message, NetlinkHeader, WireError, attributes, messages};

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;

/// Of a refused request only the header is quoted (`NLM_F_CAPPED`).
const FLAG_CAPPED: u16 = 0x100;
/// Attributes follow an error's number (`NLM_F_ACK_TLVS`).
const FLAG_HAS_ATTRIBUTES: u16 = 0x200;
/// The text of an error (`NLMSGERR_ATTR_MSG`).
const ATTRIBUTE_TEXT: u16 = 1;

/// The progress of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AnswerState {
    /// More is to come, or there is no request.
    Pending,
    /// The answer is complete.
    Complete,
    /// The end of a dump during which the table changed: repeat the request.
    Interrupted,
    /// The kernel refused, with this `errno`.
    Refused(i32),
    /// The answer cannot be decoded any further.
    Malformed(WireError),
}

/// Whether the answer so far shows one state of the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Consistency {
    Whole,
    /// The kernel reported that its tables changed, or that it lost a message.
    Torn,
}

/// The requests of one socket and their answers.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Of the first request under way.
    first: u32,
    /// Of the last one, which ends the answer.
    sequence: u32,
    /// Of the answer under way, if one is.
    consistency: Option<Consistency>,
    /// The kernel's text about the last refusal.
    complaint: Option<String>,
}

impl Conversation {
    /// Begins a request and abandons the ones before. The result is for its encoder.
    pub fn begin(&mut self) -> u32 {
        self.follow(next_sequence(self.sequence));
        self.first
    }

    /// Begins a request with this number, and abandons the ones before.
    pub fn follow(&mut self, sequence: u32) {
        (self.first, self.sequence) = (sequence, sequence);
        self.consistency = Some(Consistency::Whole);
        self.complaint = None;
    }

    /// The kernel's text about a refusal: a socket has to ask for it.
    pub(crate) fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// Adds a request to the datagram of the one that was begun. Only the end of the last request
    /// of a datagram is reported.
    pub fn join(&mut self) -> u32 {
        self.sequence = next_sequence(self.sequence);
        self.sequence
    }

    /// Takes a datagram from the kernel and passes each message that belongs to the answer to
    /// `each`. After any result but [`AnswerState::Pending`] the answer is over.
    pub fn handle_datagram(
        &mut self,
        datagram: &[u8],
        mut each: impl FnMut(Message<'_>),
    ) -> AnswerState {
        for message in messages(datagram) {
            let answer = match message {
                Ok(message) => self.handle_message(message, &mut each),
                Err(err) => self.end(AnswerState::Malformed(err)),
            };
            if answer != AnswerState::Pending {
                return answer;
            }
        }
        AnswerState::Pending
    }

    /// Takes the front of a datagram that is too long for the buffer: its whole messages. The
    /// message that is cut, and any behind it, is ignored.
    pub(crate) fn handle_front(
        &mut self,
        front: &[u8],
        mut each: impl FnMut(Message<'_>),
    ) -> AnswerState {
        for message in messages(front).map_while(Result::ok) {
            let answer = self.handle_message(message, &mut each);
            if answer != AnswerState::Pending {
                return answer;
            }
        }
        AnswerState::Pending
    }

    /// Notes that a datagram of the answer is lost: the answer does not show one state of the
    /// kernel.
    pub(crate) fn handle_loss(&mut self) {
        self.consistency = self.consistency.map(|_| Consistency::Torn);
    }

    fn handle_message(
        &mut self,
        message: Message<'_>,
        each: &mut impl FnMut(Message<'_>),
    ) -> AnswerState {
        let Some(consistency) = self.consistency else {
            return AnswerState::Pending;
        };
        // The lost message may have had the current number.
        let is_lost = message.kind == NLMSG_OVERRUN;
        let later_count = self.sequence.wrapping_sub(self.first);
        if message.sequence.wrapping_sub(self.first) > later_count && !is_lost {
            return AnswerState::Pending;
        }
        let is_torn = is_lost || message.flags & wire::FLAG_DUMP_INTERRUPTED != 0;
        let consistency = if is_torn { Consistency::Torn } else { consistency };
        self.consistency = Some(consistency);
        match message.kind {
            NLMSG_NOOP | NLMSG_OVERRUN => AnswerState::Pending,
            NLMSG_ERROR | NLMSG_DONE if message.sequence != self.sequence => AnswerState::Pending,
            NLMSG_ERROR => match decode_error(message.payload) {
                Ok(errno) => {
                    self.complaint = decode_complaint(&message);
                    self.end(outcome(errno, consistency))
                }
                Err(err) => self.end(AnswerState::Malformed(err)),
            },
            // Before Linux 2.6 the end carried no result.
            NLMSG_DONE => {
                let errno = decode_error(message.payload).unwrap_or(0);
                self.end(outcome(errno, consistency))
            }
            _ => {
                each(message);
                AnswerState::Pending
            }
        }
    }

    /// Nothing that follows is part of the answer.
    fn end(&mut self, answer: AnswerState) -> AnswerState {
        self.consistency = None;
        answer
    }
}

/// The number of the request after the one with this number. Unrequested messages of the kernel
/// have number 0.
pub(crate) fn next_sequence(sequence: u32) -> u32 {
    sequence.checked_add(1).unwrap_or(1)
}

/// Appends the end of an answer to a request, as the kernel encodes it: this `errno`, or 0 for
/// success.
pub fn encode_end(out: &mut Vec<u8>, sequence: u32, errno: i32) {
    wire::write_message(out, NetlinkHeader { kind: NLMSG_ERROR, flags: 0, sequence }, |payload| {
        payload.bytes(&errno.saturating_neg().to_ne_bytes());
    });
}

/// Appends the kernel's report that it has lost a message of an answer.
pub(crate) fn encode_loss(out: &mut Vec<u8>, sequence: u32) {
    wire::write_message(out, NetlinkHeader { kind: NLMSG_OVERRUN, flags: 0, sequence }, |_| {});
}

/// Whether a message, with its header, is the end of an answer.
pub fn is_end(message: &[u8]) -> bool {
    let message = messages(message).next().and_then(Result::ok);
    message.is_some_and(|it| matches!(it.kind, NLMSG_ERROR | NLMSG_DONE))
}

fn outcome(errno: i32, consistency: Consistency) -> AnswerState {
    match (errno, consistency) {
        (0, Consistency::Whole) => AnswerState::Complete,
        (0, Consistency::Torn) => AnswerState::Interrupted,
        (errno, _) => AnswerState::Refused(errno),
    }
}

/// The kernel sends the negative of an `errno`, or 0 for success.
fn decode_error(mut payload: &[u8]) -> Result<i32, WireError> {
    let bytes = wire::take_array(&mut payload, "nlmsgerr")?;
    Ok(i32::from_ne_bytes(bytes).saturating_neg())
}

/// The kernel's text, behind the number and the header of the refused request.
fn decode_complaint(message: &Message<'_>) -> Option<String> {
    const HEAD_LEN: usize = 16;
    if message.flags & FLAG_HAS_ATTRIBUTES == 0 {
        return None;
    }
    let mut rest = message.payload;
    wire::take_u32(&mut rest, "nlmsgerr").ok()?;
    let len = usize::try_from(wire::take_u32(&mut { rest }, "nlmsgerr").ok()?).ok()?;
    let quoted_len = if message.flags & FLAG_CAPPED == 0 { len } else { HEAD_LEN };
    wire::take_part(&mut rest, quoted_len, 0)?;
    let text = attributes(rest).flatten().find(|attribute| attribute.kind == ATTRIBUTE_TEXT)?;
    Some(String::from_utf8_lossy(text.text()).into_owned())
}

#[cfg(test)]
mod tests;
