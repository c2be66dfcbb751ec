// SPDX-License-Identifier: LGPL-2.1-or-later
//! XDR encoding (RFC 4506) to the end of a byte vector.
//!
//! Appends and pads; never reads the vector. A length over the wire's 32 bits cannot come from a
//! caller, as [`crate::limits`] caps every list and string far below.

/// Appends XDR to a vector that the caller owns.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

/// Counted bytes that are being appended.
#[derive(Debug)]
#[must_use]
pub struct Opaque {
    /// Where they begin.
    start: usize,
}

impl<'a> Writer<'a> {
    /// Appends behind what `out` holds.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// An unsigned 32-bit word.
    pub fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// A signed 32-bit word.
    pub fn i32(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// An unsigned 64-bit word.
    pub fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// A signed 64-bit word.
    pub fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// A boolean.
    pub fn flag(&mut self, value: bool) {
        self.u32(u32::from(value));
    }

    /// The count before the elements of an array or the bytes of a string.
    pub fn count(&mut self, count: usize) {
        debug_assert!(u32::try_from(count).is_ok(), "capped in limits.rs");
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Appends what another writer has encoded.
    pub fn encoded(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Counted bytes, padded to a multiple of four.
    pub(crate) fn opaque(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
        self.pad(bytes.len());
    }

    /// Counted bytes that `write` appends: the count is filled in afterwards.
    pub(crate) fn opaque_by(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let opaque = self.begin_opaque();
        write(self.out);
        self.end_opaque(opaque);
    }

    /// Begins counted bytes that are appended in several calls.
    pub(crate) fn begin_opaque(&mut self) -> Opaque {
        self.count(0);
        Opaque { start: self.out.len() }
    }

    /// Ends counted bytes: fills in the count, and pads.
    pub(crate) fn end_opaque(&mut self, opaque: Opaque) {
        let Opaque { start } = opaque;
        let len = self.out.len().saturating_sub(start);
        debug_assert!(u32::try_from(len).is_ok(), "capped in limits.rs");
        let count = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        let slot = start.checked_sub(count.len()).and_then(|at| self.out.get_mut(at..start));
        if let Some(slot) = slot {
            slot.copy_from_slice(&count);
        }
        self.pad(len);
    }

    fn pad(&mut self, len: usize) {
        const PADDING: [u8; 3] = [0; 3];
        let padding_len = len.next_multiple_of(4) - len;
        self.out.extend_from_slice(PADDING.get(..padding_len).unwrap_or_default());
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        self.opaque(text.as_bytes());
    }

    /// A string that may be absent.
    pub fn optional_string(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        if let Some(text) = text {
            self.string(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_appended_and_padded_with_zeros() {
        let mut out = vec![0xa5; 3];
        let mut writer = Writer::new(&mut out);
        writer.u32(1);
        writer.i32(-2);
        writer.u64(3);
        writer.i64(-4);
        writer.flag(true);
        writer.string("eth10");
        writer.optional_string(None);
        writer.optional_string(Some(""));
        writer.opaque_by(|out| out.extend_from_slice(b"br0.5"));
        let opaque = writer.begin_opaque();
        out.extend_from_slice(b"br0.5");
        Writer::new(&mut out).end_opaque(opaque);
        let want = b"\xa5\xa5\xa5\0\0\0\x01\xff\xff\xff\xfe\0\0\0\0\0\0\0\x03\
            \xff\xff\xff\xff\xff\xff\xff\xfc\0\0\0\x01\
            \0\0\0\x05eth10\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\
            \0\0\0\x05br0.5\0\0\0\0\0\0\x05br0.5\0\0\0";
        assert_eq!(out, want);
    }
}
