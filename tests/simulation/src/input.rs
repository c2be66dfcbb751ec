// SPDX-License-Identifier: LGPL-2.1-or-later
//! A fuzzer's bytes, consumed from the front.
//!
//! Every input is valid: a length longer than the rest takes the rest, and a number out of range is
//! wrapped into it.

/// The rest of an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// One byte; `None` at the end.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// A number of two bytes, the high one first; `None` at the end.
    pub(super) fn number(&mut self) -> Option<u16> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    /// A choice of `count`, which takes a byte. At the end of the input it is the first.
    pub(super) fn choice(&mut self, count: u8) -> u8 {
        self.byte().unwrap_or_default().checked_rem(count).unwrap_or_default()
    }

    /// A choice of two.
    pub(super) fn coin(&mut self) -> bool {
        self.choice(2) == 1
    }

    /// One element of a slice of 1 to 255.
    #[expect(clippy::expect_used, reason = "the lists stand in the targets, and none is empty")]
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let count = u8::try_from(from.len()).expect("a short list");
        *from.get(usize::from(self.choice(count))).expect("a list with something in it")
    }

    /// `len` bytes, or as many as there are.
    pub(super) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        bytes
    }

    /// All bytes that are left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }
}
