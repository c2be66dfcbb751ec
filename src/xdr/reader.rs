// SPDX-License-Identifier: LGPL-2.1-or-later
//! XDR decoding (RFC 4506) from a borrowed byte slice.
//!
//! Knows nothing of sockets, headers or procedures. Whatever lengths the peer declares, a
//! [`Reader`] returns only bytes that have arrived. As in libvirt, any non-zero word is true, and a
//! string ends at its first NUL. Strings are bytes to libvirt; bytes that are not UTF-8 become
//! U+FFFD here, so that a look-up by such a name finds nothing.

use std::borrow::Cow;
use std::fmt;

/// Why a payload could not be decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum XdrError {
    /// The input ends inside this field.
    Truncated(&'static str),
    /// The declared length is over the protocol's limit for this field.
    TooLong { field: &'static str, len: u32, max: usize },
    /// The discriminant of this union names no member.
    Discriminant { field: &'static str, value: i32 },
}

impl fmt::Display for XdrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(field) => write!(f, "{field}: input ends early"),
            Self::TooLong { field, len, max } => write!(f, "{field}: length {len} over {max}"),
            Self::Discriminant { field, value } => write!(f, "{field}: no member {value}"),
        }
    }
}

impl std::error::Error for XdrError {}

/// A cursor over a payload. Bytes behind the last field read are ignored, as in libvirt.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// An unsigned 32-bit word.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, XdrError> {
        let (word, rest) = self.rest.split_first_chunk().ok_or(XdrError::Truncated(field))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*word))
    }

    /// A signed 32-bit word.
    pub fn i32(&mut self, field: &'static str) -> Result<i32, XdrError> {
        let (word, rest) = self.rest.split_first_chunk().ok_or(XdrError::Truncated(field))?;
        self.rest = rest;
        Ok(i32::from_be_bytes(*word))
    }

    /// An unsigned 64-bit word.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, XdrError> {
        let (word, rest) = self.rest.split_first_chunk().ok_or(XdrError::Truncated(field))?;
        self.rest = rest;
        Ok(u64::from_be_bytes(*word))
    }

    /// A signed 64-bit word.
    pub fn i64(&mut self, field: &'static str) -> Result<i64, XdrError> {
        let (word, rest) = self.rest.split_first_chunk().ok_or(XdrError::Truncated(field))?;
        self.rest = rest;
        Ok(i64::from_be_bytes(*word))
    }

    /// A boolean: any word but 0 is true.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, XdrError> {
        self.u32(field).map(|word| word != 0)
    }

    /// Counted bytes with their padding, `len_max` of them at most.
    pub(crate) fn opaque(
        &mut self,
        field: &'static str,
        len_max: usize,
    ) -> Result<&'a [u8], XdrError> {
        let declared = self.u32(field)?;
        let too_long = XdrError::TooLong { field, len: declared, max: len_max };
        let len = usize::try_from(declared).map_err(|_| too_long)?;
        if len > len_max {
            return Err(too_long);
        }
        let padded = len.next_multiple_of(4);
        let (bytes, rest) = self.rest.split_at_checked(padded).ok_or(XdrError::Truncated(field))?;
        self.rest = rest;
        bytes.get(..len).ok_or(XdrError::Truncated(field))
    }

    /// A string of at most `len_max` bytes, cut at its first NUL.
    pub fn string(
        &mut self,
        field: &'static str,
        len_max: usize,
    ) -> Result<Cow<'a, str>, XdrError> {
        let bytes = self.opaque(field, len_max)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or(bytes);
        Ok(String::from_utf8_lossy(text))
    }

    /// A string that may be absent: a flag before it says so.
    pub fn optional_string(
        &mut self,
        field: &'static str,
        len_max: usize,
    ) -> Result<Option<Cow<'a, str>>, XdrError> {
        if self.flag(field)? { self.string(field, len_max).map(Some) } else { Ok(None) }
    }

    /// The number of elements of a counted array, at most `count_max`. It must not size an
    /// allocation, as the elements may never come.
    pub fn count(&mut self, field: &'static str, count_max: usize) -> Result<usize, XdrError> {
        let declared = self.u32(field)?;
        usize::try_from(declared)
            .ok()
            .filter(|count| *count <= count_max)
            .ok_or(XdrError::TooLong { field, len: declared, max: count_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_lends_only_what_is_declared_and_present() {
        struct Case(&'static str, &'static [u8], Result<&'static [u8], XdrError>);
        let too_long = XdrError::TooLong { field: "name", len: u32::MAX, max: 15 };
        let one_over = XdrError::TooLong { field: "name", len: 16, max: 15 };
        let cases = [
            Case("empty", b"\0\0\0\0", Ok(b"")),
            Case("padded", b"\0\0\0\x05eth10\0\0\0", Ok(b"eth10")),
            Case("at the limit", b"\0\0\0\x0f123456789012345\0", Ok(b"123456789012345")),
            Case("one over the limit", b"\0\0\0\x101234567890123456", Err(one_over)),
            Case("no length word", b"\0\0", Err(XdrError::Truncated("name"))),
            Case("padding missing", b"\0\0\0\x05eth10", Err(XdrError::Truncated("name"))),
            Case("over the limit", &[0xff; 8], Err(too_long)),
        ];
        for Case(label, input, want) in cases {
            assert_eq!(Reader::new(input).opaque("name", 15), want, "{label}");
        }
    }

    #[test]
    fn a_string_ends_at_its_first_nul_and_is_made_text() {
        assert_eq!(Reader::new(b"\0\0\0\x04ab\0c").string("s", 9).unwrap(), "ab");
        assert_eq!(Reader::new(b"\0\0\0\x01\xff\0\0\0").string("s", 9).unwrap(), "\u{fffd}");
    }

    #[test]
    fn any_word_but_zero_is_true() {
        assert_eq!(Reader::new(b"\0\0\0\0").flag("f"), Ok(false));
        assert_eq!(Reader::new(b"\0\0\0\x02").flag("f"), Ok(true));
        let present = b"\0\0\0\x07\0\0\0\x01a\0\0\0";
        assert_eq!(Reader::new(present).optional_string("s", 9), Ok(Some("a".into())));
        assert_eq!(Reader::new(b"\0\0\0\0").optional_string("s", 9), Ok(None));
    }

    #[test]
    fn a_count_is_held_to_its_limit() {
        assert_eq!(Reader::new(b"\0\0\0\x03").count("a", 3), Ok(3));
        let over = XdrError::TooLong { field: "a", len: 4, max: 3 };
        assert_eq!(Reader::new(b"\0\0\0\x04").count("a", 3), Err(over));
    }
}
