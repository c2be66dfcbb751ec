// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`IfName`]: the name of a network device.
//!
//! The kernel takes 1 to 15 bytes without `/`, `:` or white space, and neither `.` nor `..`; no
//! name has a `%`, as the kernel would put a number in the place of `%d` (`dev_alloc_name`).
//! Control characters and text that is not UTF-8 are refused too, as XML cannot carry them. So a
//! name that exists is safe as a file name, in XML and in a log line.

use std::cmp::Ordering;
use std::fmt;

use crate::limits::IFNAME_LEN_MAX;

/// A network device's name.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct IfName {
    /// Padded with zeros; none of them belongs to the name.
    bytes: [u8; IFNAME_LEN_MAX],
}

/// Why a text is not a device name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameError {
    Empty,
    /// Over 15 bytes.
    TooLong,
    /// `/`, `:`, `%`, white space, a control character, or bytes that are not UTF-8.
    Character,
    /// `.` or `..`.
    Dots,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an interface name cannot be empty",
            Self::TooLong => "an interface name has at most 15 bytes",
            Self::Character => "an interface name has no '/', ':', '%', blank or control character",
            Self::Dots => "'.' and '..' are not interface names",
        })
    }
}

impl std::error::Error for NameError {}

impl IfName {
    /// Takes `name` if the kernel and XML can both carry it.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let name = name.as_ref();
        let mut bytes = [0; IFNAME_LEN_MAX];
        let slot = bytes.get_mut(..name.len()).ok_or(NameError::TooLong)?;
        let text = std::str::from_utf8(name).map_err(|_| NameError::Character)?;
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text == "." || text == ".." {
            return Err(NameError::Dots);
        }
        let refused = |c: char| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control();
        if text.contains(refused) {
            return Err(NameError::Character);
        }
        slot.copy_from_slice(name);
        Ok(Self { bytes })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let name = self.bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(name);
        debug_assert!(text.is_ok(), "new() takes nothing but UTF-8");
        text.unwrap_or_default()
    }

    /// The bytes as one number, the first of them the most significant.
    fn number(&self) -> u128 {
        let mut bytes = [0; size_of::<u128>()];
        if let Some(front) = bytes.first_chunk_mut() {
            *front = self.bytes;
        }
        u128::from_be_bytes(bytes)
    }
}

/// In the order of their bytes. Compared as one number, as tables have thousands of names.
impl Ord for IfName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for IfName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IfName({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_bytes() {
        let names = [
            "123456789012345",
            "Eth0",
            "a",
            "br0",
            "br0.1",
            "br00",
            "br1",
            "zzzzzzzzzzzzzzz",
            "\u{e4}",
        ];
        for (at, one) in names.iter().enumerate() {
            for (other_at, other) in names.iter().enumerate() {
                let name = |text: &str| IfName::new(text).unwrap();
                assert_eq!(name(one).cmp(&name(other)), at.cmp(&other_at), "{one} {other}");
            }
        }
    }

    #[test]
    fn a_name_is_what_kernel_and_xml_both_take() {
        struct Case(&'static [u8], Result<(), NameError>);
        let cases = [
            Case(b"lo", Ok(())),
            Case(b"123456789012345", Ok(())),
            Case(b"1234567890123456", Err(NameError::TooLong)),
            Case("äöü".as_bytes(), Ok(())),
            Case(b"...", Ok(())),
            Case(b"", Err(NameError::Empty)),
            Case(b".", Err(NameError::Dots)),
            Case(b"..", Err(NameError::Dots)),
            Case(b"a/b", Err(NameError::Character)),
            Case(b"a:1", Err(NameError::Character)),
            Case(b"br%d", Err(NameError::Character)),
            Case(b"a b", Err(NameError::Character)),
            Case(b"a\0b", Err(NameError::Character)),
            Case(b"a\x7f", Err(NameError::Character)),
            Case(b"\xff", Err(NameError::Character)),
        ];
        for Case(name, want) in cases {
            assert_eq!(IfName::new(name).map(|_| ()), want, "{}", name.escape_ascii());
            if want.is_ok() {
                assert_eq!(IfName::new(name).unwrap().as_str().as_bytes(), name);
            }
        }
    }

    #[test]
    fn names_sort_as_their_bytes_do() {
        let mut names = ["br10", "br1", "a", "br2"].map(|name| IfName::new(name).unwrap());
        names.sort();
        assert_eq!(names.map(|name| name.to_string()), ["a", "br1", "br10", "br2"]);
    }
}
