// SPDX-License-Identifier: LGPL-2.1-or-later
//! Frames: a length word that counts itself, and the message behind it.
//!
//! A [`FrameBuffer`] holds the bytes of a client's stream that have arrived, and returns whole
//! frames. It grows by the bytes that came, never by the length that a word claims, frees its
//! memory when it is empty, and otherwise holds little more than the bytes that wait. Of a message
//! that is longer than its caller allows it keeps the beginning, and only counts the rest. File
//! descriptors travel beside the stream: the peer sends each with a byte of its own behind the
//! message, and the buffer records which bytes carried one.

use std::collections::VecDeque;
use std::fmt;

use crate::limits::{
    HEADER_LEN, LENGTH_WORD_LEN, MESSAGE_FD_COUNT_MAX, MESSAGE_LEN_MAX, SPARE_BUFFER_LEN,
};
use crate::rpc::header::{Header, kind};

/// Why a stream cannot be decoded any further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameError {
    /// The length word leaves no room for a header.
    TooShort(u32),
    /// The length word is over the protocol's limit.
    TooLong(u32),
    /// A call with descriptors does not say how many, or says more than the protocol allows.
    DescriptorCount,
    /// A byte that should carry a descriptor carries none.
    DescriptorMissing,
    /// The daemon has no memory for the bytes that have arrived.
    NoMemory,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(len) => write!(f, "message of {len} bytes has no room for its header"),
            Self::TooLong(len) => write!(f, "message of {len} bytes is over the limit"),
            Self::DescriptorCount => f.write_str("bad count of file descriptors"),
            Self::DescriptorMissing => f.write_str("file descriptor announced but not sent"),
            Self::NoMemory => f.write_str("no memory for its bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// One whole message, borrowed from the buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    pub header: Header,
    /// Without the count of descriptors, where the message has one. Of a message over the caller's
    /// limit, the beginning.
    pub payload: &'a [u8],
    /// The length of the frame in the buffer, descriptor bytes included. Pass it to
    /// [`FrameBuffer::consume`].
    pub len: usize,
}

/// The part of a client's stream that has arrived and is not yet consumed.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    /// How much of `bytes` is consumed already.
    start: usize,
    /// Positions in `bytes` of those that carried a descriptor, in order.
    carriers: VecDeque<usize>,
    /// The first message is over its limit, and is not kept whole.
    cut: Option<Cut>,
    /// Bytes were lost for want of memory.
    has_failed: bool,
}

/// A message of which only the beginning is kept.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The kept bytes, the length word included.
    kept: usize,
    /// The bytes that have not arrived yet, which will be dropped.
    missing: usize,
}

impl FrameBuffer {
    /// Appends bytes that have arrived. `carrier` says that the last of them came with a
    /// descriptor. Without memory for them, the stream cannot be decoded any further.
    pub fn extend(&mut self, bytes: &[u8], carrier: Carrier) {
        let dropped = self.cut.map_or(0, |cut| cut.missing.min(bytes.len()));
        if let Some(cut) = &mut self.cut {
            cut.missing -= dropped;
        }
        let bytes = bytes.get(dropped..).unwrap_or_default();
        self.has_failed |= self.bytes.try_reserve(bytes.len()).is_err();
        if bytes.is_empty() || self.has_failed {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        let carried = self.bytes.len().checked_sub(1).filter(|_| carrier == Carrier::LastByte);
        // A descriptor within a message is invalid, and need not be recorded.
        if let Some(last) = carried.filter(|last| *last >= self.message_end()) {
            self.carriers.push_back(last);
        }
    }

    /// Drops what arrived, and will arrive, of an incomplete first message behind the length that
    /// `len_max` returns for its header. The message stays in its place in the stream.
    pub fn limit(&mut self, len_max: impl FnOnce(&Header) -> usize) {
        let rest = self.rest();
        let Some((word, message)) = rest.split_first_chunk() else { return };
        let (Ok(len), Some(header)) =
            (message_len(u32::from_be_bytes(*word)), message.first_chunk())
        else {
            return;
        };
        let (arrived, end) = (rest.len(), LENGTH_WORD_LEN + len);
        if self.cut.is_some() || arrived >= end || arrived <= LENGTH_WORD_LEN + HEADER_LEN {
            return;
        }
        // A message with descriptors has their number behind its header.
        let len_max = len_max(&Header::decode(header)).max(HEADER_LEN + LENGTH_WORD_LEN);
        let kept = LENGTH_WORD_LEN + len_max;
        if arrived > kept {
            self.bytes.truncate(self.start + kept);
            self.cut = Some(Cut { kept, missing: end - arrived });
        }
    }

    /// Bytes that the next [`FrameBuffer::extend`] would drop, as their message is over its limit.
    pub fn dropped_next(&self) -> usize {
        self.cut.map_or(0, |cut| cut.missing)
    }

    /// The end of the first message in `bytes`, if its length word has arrived.
    fn message_end(&self) -> usize {
        if let Some(cut) = self.cut {
            return self.start.saturating_add(cut.kept);
        }
        let word = self.rest().first_chunk().map(|word| u32::from_be_bytes(*word));
        let len = word.and_then(|declared| message_len(declared).ok()).unwrap_or(0);
        self.start.saturating_add(LENGTH_WORD_LEN + len)
    }

    /// The next frame, if all of it has arrived.
    ///
    /// # Errors
    /// A stream that breaks the framing cannot be decoded any further: the caller must close it.
    pub fn frame(&self) -> Result<Option<Frame<'_>>, FrameError> {
        if self.has_failed {
            return Err(FrameError::NoMemory);
        }
        let rest = self.rest();
        let Some((word, message)) = rest.split_first_chunk() else { return Ok(None) };
        let len = match self.cut {
            Some(Cut { missing: 1.., .. }) => return Ok(None),
            Some(cut) => cut.kept.saturating_sub(LENGTH_WORD_LEN),
            None => message_len(u32::from_be_bytes(*word))?,
        };
        let Some((header, payload)) =
            message.get(..len).and_then(|message| message.split_first_chunk())
        else {
            return Ok(None);
        };
        let header = Header::decode(header);
        let end = LENGTH_WORD_LEN + len;
        if header.kind != kind::CALL_WITH_FDS {
            return Ok(Some(Frame { header, payload, len: end }));
        }
        let (count, payload) = payload.split_first_chunk().ok_or(FrameError::DescriptorCount)?;
        let count = u32::from_be_bytes(*count);
        if count > MESSAGE_FD_COUNT_MAX {
            return Err(FrameError::DescriptorCount);
        }
        let end_with_fds = end + usize::try_from(count).unwrap_or(usize::MAX);
        self.check_carriers(end, end_with_fds.min(rest.len()))?;
        let complete = end_with_fds <= rest.len();
        Ok(complete.then_some(Frame { header, payload, len: end_with_fds }))
    }

    /// Drops the first `len` bytes: a frame that has been handled.
    pub fn consume(&mut self, len: usize) {
        self.cut = None;
        self.start = self.start.saturating_add(len).min(self.bytes.len());
        while self.carriers.front().is_some_and(|position| *position < self.start) {
            self.carriers.pop_front();
        }
        if self.start == self.bytes.len() {
            self.clear();
        } else if self.start > self.bytes.len() / 2 {
            self.compact();
        }
    }

    /// Bytes that have arrived and are not consumed.
    pub fn len(&self) -> usize {
        self.rest().len()
    }

    /// Whether all bytes are consumed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the buffer holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Moves the rest to the front. It is the smaller part, so over time no more bytes are moved
    /// than were consumed, and a stream that never pauses holds at most twice the bytes that wait.
    fn compact(&mut self) {
        self.bytes.drain(..self.start);
        for position in &mut self.carriers {
            *position = position.saturating_sub(self.start);
        }
        self.start = 0;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
        self.carriers = VecDeque::new();
        if self.bytes.capacity() > SPARE_BUFFER_LEN {
            self.bytes = Vec::new();
        }
    }

    /// Checks that each byte of the rest from `start` to `end` came with a descriptor.
    fn check_carriers(&self, start: usize, end: usize) -> Result<(), FrameError> {
        for position in start..end {
            if self.carriers.binary_search(&(self.start + position)).is_err() {
                return Err(FrameError::DescriptorMissing);
            }
        }
        Ok(())
    }
}

/// Whether a descriptor came with the bytes just read. The kernel ends a read behind the byte
/// that carried one (unix(7)), so it can only be the last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carrier {
    None,
    LastByte,
}

/// The message's length that a length word declares, without the word itself.
fn message_len(declared: u32) -> Result<usize, FrameError> {
    let len = usize::try_from(declared).map_err(|_| FrameError::TooLong(declared))?;
    match len.checked_sub(LENGTH_WORD_LEN) {
        Some(len) if len > MESSAGE_LEN_MAX => Err(FrameError::TooLong(declared)),
        Some(len) if len >= HEADER_LEN => Ok(len),
        Some(_) | None => Err(FrameError::TooShort(declared)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with the length word `len` and the type `kind`; all else is zero.
    fn frame(len: u32, kind: i32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = len.to_be_bytes().to_vec();
        Header { program: 0, version: 0, procedure: 0, kind, serial: 0, status: 0 }
            .encode(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn buffer(bytes: &[u8]) -> FrameBuffer {
        let mut buffer = FrameBuffer::default();
        buffer.extend(bytes, Carrier::None);
        buffer
    }

    #[test]
    fn the_length_word_is_held_to_the_protocol() {
        struct Case(u32, Result<usize, FrameError>);
        let cases = [
            Case(0, Err(FrameError::TooShort(0))),
            Case(3, Err(FrameError::TooShort(3))),
            Case(4, Err(FrameError::TooShort(4))),
            Case(27, Err(FrameError::TooShort(27))),
            Case(28, Ok(24)),
            Case(33_554_436, Ok(33_554_432)),
            Case(33_554_437, Err(FrameError::TooLong(33_554_437))),
            Case(u32::MAX, Err(FrameError::TooLong(u32::MAX))),
        ];
        for Case(word, want) in cases {
            assert_eq!(message_len(word), want, "{word}");
        }
    }

    #[test]
    fn a_frame_is_lent_once_its_last_byte_is_here() {
        let bytes = frame(32, kind::CALL, b"abcd");
        for cut in 0..bytes.len() {
            assert_eq!(buffer(&bytes[..cut]).frame(), Ok(None), "{cut} bytes");
        }
        let buffer = buffer(&bytes);
        let frame = buffer.frame().unwrap().unwrap();
        assert_eq!((frame.payload, frame.len), (&b"abcd"[..], 32));
    }

    #[test]
    fn a_promise_of_much_reserves_little() {
        let mut buffer = buffer(&frame(33_554_436, kind::CALL, b""));
        buffer.extend(&[0; 100], Carrier::None);
        assert_eq!(buffer.frame(), Ok(None));
        assert!(buffer.bytes.capacity() < 1024);
    }

    #[test]
    fn a_message_over_its_limit_is_counted_and_its_beginning_kept() {
        let whole = [frame(1_000_028, kind::CALL, b"begin"), vec![7; 999_995]].concat();
        let bytes = [whole, frame(32, kind::MESSAGE, b"next")].concat();
        let mut buffer = FrameBuffer::default();
        for piece in bytes.chunks(60_001) {
            buffer.extend(piece, Carrier::None);
            buffer.limit(|header| if header.kind == kind::CALL { 1_024 } else { 0 });
            assert!(buffer.len() < 60_001 && buffer.capacity() < 2 * 60_001);
        }
        assert_eq!(buffer.dropped_next(), 0);
        let first = buffer.frame().unwrap().unwrap();
        assert_eq!((first.header.kind, &first.payload[..5]), (kind::CALL, &b"begin"[..]));
        assert_eq!((first.payload.len(), first.len), (1_000, 1_028));
        let len = first.len;
        buffer.consume(len);
        assert_eq!(buffer.frame().unwrap().unwrap().payload, b"next");
    }

    #[test]
    fn a_limit_spares_whole_messages_and_those_within_it() {
        let bytes = frame(100_028, kind::CALL, &vec![7; 100_000]);
        let mut buffer = buffer(&bytes[..90_000]);
        buffer.limit(|_| 100_024);
        buffer.extend(&bytes[90_000..], Carrier::None);
        buffer.limit(|_| 0);
        assert_eq!(buffer.frame().unwrap().unwrap().payload.len(), 100_000);
    }

    #[test]
    fn descriptors_follow_a_message_over_its_limit() {
        let whole = [frame(50_028, kind::CALL_WITH_FDS, b"\0\0\0\x01"), vec![7; 49_996]].concat();
        let mut buffer = buffer(&whole[..30_000]);
        buffer.limit(|_| 100);
        buffer.extend(&whole[30_000..], Carrier::LastByte);
        assert_eq!(buffer.frame(), Ok(None), "the descriptor's byte is missing");
        buffer.extend(b"\0", Carrier::LastByte);
        let frame = buffer.frame().unwrap().unwrap();
        assert_eq!((frame.payload.len(), frame.len), (100 - 24 - 4, 105));
        buffer.consume(105);
        assert!(buffer.is_empty());
    }

    #[test]
    fn frames_in_one_read_come_one_by_one_and_leave_nothing() {
        let mut bytes = frame(28, kind::CALL, b"");
        bytes.extend(frame(32, kind::MESSAGE, b"next"));
        bytes.extend(b"\0\0");
        let mut buffer = buffer(&bytes);
        let first = buffer.frame().unwrap().unwrap().len;
        buffer.consume(first);
        let second = buffer.frame().unwrap().unwrap();
        assert_eq!(second.payload, b"next");
        let second = second.len;
        buffer.consume(second);
        assert_eq!(buffer.frame(), Ok(None));
        assert_eq!(buffer.len(), 2);
        buffer.consume(2);
        assert!(buffer.is_empty());
    }

    #[test]
    fn an_empty_buffer_gives_large_memory_back() {
        let payload = vec![0; 100_000];
        let mut buffer = buffer(&frame(100_028, kind::CALL, &payload));
        buffer.consume(100_028);
        assert!(buffer.bytes.capacity() <= SPARE_BUFFER_LEN);
    }

    #[test]
    fn a_buffer_that_is_never_empty_keeps_only_what_waits() {
        let bytes = frame(60, kind::CALL, &[7; 32]);
        let mut buffer = buffer(&bytes);
        for _ in 0..1000 {
            buffer.extend(&bytes, Carrier::LastByte);
            let len = buffer.frame().unwrap().unwrap().len;
            buffer.consume(len);
            assert_eq!(buffer.len(), bytes.len());
        }
        assert!(buffer.bytes.capacity() < 1024);
        assert_eq!(buffer.carriers, [buffer.bytes.len() - 1]);
    }

    #[test]
    fn descriptors_within_a_message_leave_no_trace() {
        let mut buffer = buffer(&frame(10_028, kind::CALL, b""));
        for _ in 0..9_999 {
            buffer.extend(b"x", Carrier::LastByte);
        }
        assert!(buffer.carriers.is_empty());
    }

    #[test]
    fn descriptors_are_counted_and_waited_for() {
        let mut buffer = buffer(&frame(36, kind::CALL_WITH_FDS, b"\0\0\0\x02args"));
        assert_eq!(buffer.frame(), Ok(None));
        buffer.extend(b"\0", Carrier::LastByte);
        assert_eq!(buffer.frame(), Ok(None));
        buffer.extend(b"\0", Carrier::LastByte);
        let frame = buffer.frame().unwrap().unwrap();
        assert_eq!((frame.payload, frame.len), (&b"args"[..], 38));
        buffer.consume(38);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_descriptor_that_is_missing_or_miscounted_ends_the_stream() {
        let with_fds = |count: &[u8]| {
            frame(28 + u32::try_from(count.len()).unwrap(), kind::CALL_WITH_FDS, count)
        };
        let uncounted = buffer(&with_fds(b""));
        assert_eq!(uncounted.frame(), Err(FrameError::DescriptorCount));
        let over = buffer(&with_fds(b"\0\0\0\x21"));
        assert_eq!(over.frame(), Err(FrameError::DescriptorCount));
        let none = buffer(&with_fds(b"\0\0\0\0"));
        assert_eq!(none.frame().unwrap().unwrap().len, 32);
        let mut bare = buffer(&with_fds(b"\0\0\0\x20"));
        bare.extend(b"\0", Carrier::LastByte);
        assert_eq!(bare.frame(), Ok(None), "the limit itself is fine");
        bare.extend(b"\0", Carrier::None);
        assert_eq!(bare.frame(), Err(FrameError::DescriptorMissing));
    }
}
