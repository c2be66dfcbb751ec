// SPDX-License-Identifier: LGPL-2.1-or-later
//! Messages that wait to be written, and how many of them answer calls.
//!
//! A call counts as in flight until the last byte of its reply is written, so the outbox remembers
//! where each reply ends. It gives its memory back when it is empty.

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
    /// Where in `bytes` the replies that are not wholly written end.
    reply_ends: VecDeque<usize>,
}

impl Outbox {
    /// Appends a reply; it counts as in flight until it is written.
    pub fn push_reply(&mut self, header: &Header, payload: impl FnOnce(&mut Writer<'_>)) {
        message::encode(&mut self.bytes, header, payload);
        self.reply_ends.push_back(self.bytes.len());
    }

    /// Appends a message that answers no call and has no payload.
    pub fn push_message(&mut self, header: &Header) {
        message::encode(&mut self.bytes, header, |_| {});
    }

    /// What is to be written.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The first `len` bytes are written.
    pub fn consume(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.bytes.len());
        while self.reply_ends.front().is_some_and(|end| *end <= self.start) {
            self.reply_ends.pop_front();
        }
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > SPARE_BUFFER_LEN {
                self.bytes = Vec::new();
            }
        }
    }

    /// Replies that are not wholly written.
    pub fn reply_count(&self) -> u32 {
        u32::try_from(self.reply_ends.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::keepalive::ping;

    #[test]
    fn a_reply_is_in_flight_until_its_last_byte_is_written() {
        let mut outbox = Outbox::default();
        outbox.push_reply(&ping(), |writer| writer.u32(1));
        outbox.push_message(&ping());
        outbox.push_reply(&ping(), |_| {});
        assert_eq!((outbox.reply_count(), outbox.bytes().len()), (2, 88));
        outbox.consume(31);
        assert_eq!(outbox.reply_count(), 2);
        outbox.consume(1);
        assert_eq!(outbox.reply_count(), 1);
        outbox.consume(28);
        assert_eq!((outbox.reply_count(), outbox.bytes().len()), (1, 28));
        outbox.consume(28);
        assert_eq!((outbox.reply_count(), outbox.bytes().len()), (0, 0));
    }

    #[test]
    fn an_empty_outbox_gives_large_memory_back() {
        let mut outbox = Outbox::default();
        outbox.push_reply(&ping(), |writer| writer.opaque(&[0; 100_000]));
        outbox.consume(usize::MAX);
        assert!(outbox.bytes.capacity() <= SPARE_BUFFER_LEN);
    }
}
