// SPDX-License-Identifier: LGPL-2.1-or-later
//! Messages that wait to be written, and how many of them answer the client.
//!
//! A call counts as in flight until the last byte of its answer is written, so the outbox remembers
//! where each answer ends; a pong is one too. It gives its memory back when it is empty, and holds little more than
//! what waits when it never is.

use std::collections::VecDeque;

use crate::limits::SPARE_BUFFER_LEN;
use crate::rpc::header::Header;
use crate::rpc::message;
use crate::xdr::writer::Writer;

/// Bytes on their way to one client.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// How much of `bytes` is written already.
    start: usize,
    /// Where in `bytes` the answers end that are not wholly written.
    ends: VecDeque<usize>,
}

impl Outbox {
    /// Appends a message that the client did not ask for.
    pub(crate) fn push_unasked(&mut self, header: &Header) {
        message::encode(&mut self.bytes, header, |_| {});
    }

    /// Appends an answer, behind whose header `payload` writes.
    pub(crate) fn push_answer(&mut self, header: &Header, payload: impl FnOnce(&mut Writer<'_>)) {
        message::encode(&mut self.bytes, header, payload);
        self.ends.push_back(self.bytes.len());
    }

    /// What is to be written.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The first `len` bytes are written.
    pub fn consume(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.bytes.len());
        while self.ends.front().is_some_and(|end| *end <= self.start) {
            self.ends.pop_front();
        }
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > SPARE_BUFFER_LEN {
                self.bytes = Vec::new();
            }
        } else if self.start > self.bytes.len() / 2 {
            self.compact();
        }
    }

    /// Moves what waits to the front. It is the smaller part, so over time no more bytes are moved
    /// than were written.
    fn compact(&mut self) {
        self.bytes.drain(..self.start);
        for end in &mut self.ends {
            *end = end.saturating_sub(self.start);
        }
        self.start = 0;
    }

    /// Answers that are not wholly written.
    pub fn answer_count(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::keepalive::ping;

    #[test]
    fn an_answer_counts_until_its_last_byte_is_written() {
        let mut outbox = Outbox::default();
        outbox.push_answer(&ping(), |writer| writer.u32(1));
        outbox.push_unasked(&ping());
        outbox.push_answer(&ping(), |_| {});
        assert_eq!((outbox.answer_count(), outbox.bytes().len()), (2, 88));
        outbox.consume(31);
        assert_eq!(outbox.answer_count(), 2);
        outbox.consume(1);
        assert_eq!((outbox.answer_count(), outbox.bytes().len()), (1, 56));
        outbox.consume(56);
        assert_eq!((outbox.answer_count(), outbox.bytes().len()), (0, 0));
    }

    #[test]
    fn an_outbox_that_is_never_empty_keeps_only_what_waits() {
        let mut outbox = Outbox::default();
        outbox.push_answer(&ping(), |_| {});
        for _ in 0..1000 {
            outbox.push_answer(&ping(), |writer| writer.opaque(&[7; 96]));
            outbox.consume(128);
            assert_eq!((outbox.answer_count(), outbox.bytes().len()), (1, 28));
        }
        assert!(outbox.bytes.capacity() < 1024);
    }

    #[test]
    fn an_empty_outbox_gives_large_memory_back() {
        let mut outbox = Outbox::default();
        outbox.push_answer(&ping(), |writer| writer.opaque(&[0; 100_000]));
        outbox.consume(usize::MAX);
        assert!(outbox.bytes.capacity() <= SPARE_BUFFER_LEN);
    }
}
