// SPDX-License-Identifier: LGPL-2.1-or-later
//! Messages to be written to one client, and the number of answers among them.
//!
//! A call counts as in flight until the last byte of its answer is written, so the outbox records
//! where each answer ends; a pong is an answer too. Memory is freed when the outbox becomes empty;
//! one that never becomes empty holds little more than its unwritten bytes.

use std::collections::VecDeque;

use crate::limits::SPARE_BUFFER_LEN;
use crate::rpc::header::Header;
use crate::rpc::message;
use crate::xdr::writer::Writer;

/// The bytes to be written to one client.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// The number of bytes at the front that are written already.
    start: usize,
    /// The end positions in `bytes` of the answers that are not completely written.
    ends: VecDeque<usize>,
}

impl Outbox {
    /// Appends a message that the client did not ask for.
    pub(crate) fn push_unasked(&mut self, header: &Header) {
        message::encode(&mut self.bytes, header, |_| {});
    }

    /// Appends an answer; `payload` writes what follows its header.
    pub(crate) fn push_answer(&mut self, header: &Header, payload: impl FnOnce(&mut Writer<'_>)) {
        message::encode(&mut self.bytes, header, payload);
        self.ends.push_back(self.bytes.len());
    }

    /// Returns the bytes to be written.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Returns the bytes of memory that it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Removes the first `len` bytes, which were written.
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

    /// Moves the unwritten bytes to the front. They are fewer than the written ones, so over time
    /// no more bytes are moved than written.
    fn compact(&mut self) {
        self.bytes.drain(..self.start);
        for end in &mut self.ends {
            *end = end.saturating_sub(self.start);
        }
        self.start = 0;
    }

    /// Returns the number of answers that are not completely written.
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
