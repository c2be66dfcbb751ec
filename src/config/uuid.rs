// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Uuid`]: the host's identity (RFC 9562 text form).
//!
//! Does not know the source: a configuration file, firmware or machine-id. As in libvirt, hyphens
//! and blanks are accepted before any pair of digits, and sixteen equal bytes are refused, as
//! firmware without a UUID reports them.

use std::fmt;

/// A UUID that can stand for a host.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Uuid {
    bytes: [u8; 16],
}

/// Why a text is not a host's UUID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UuidError {
    /// Not 32 hexadecimal digits in pairs.
    Format,
    /// All bytes are the same.
    Uniform,
}

impl fmt::Display for UuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "expected a UUID of 32 hexadecimal digits",
            Self::Uniform => "a UUID of equal digits identifies no host",
        })
    }
}

impl std::error::Error for UuidError {}

impl Uuid {
    /// Parses 16 pairs of hexadecimal digits of either case.
    pub fn parse(text: &str) -> Result<Self, UuidError> {
        let mut bytes = [0; 16];
        let mut rest = text.trim_ascii();
        for byte in &mut bytes {
            rest = rest.trim_start_matches(['-', ' ']);
            let (pair, tail) = rest.split_at_checked(2).ok_or(UuidError::Format)?;
            if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(UuidError::Format);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| UuidError::Format)?;
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(UuidError::Format);
        }
        let [first, others @ ..] = bytes;
        if others.iter().all(|other| *other == first) {
            return Err(UuidError::Uniform);
        }
        Ok(Self { bytes })
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.bytes.iter().enumerate() {
            let hyphen = if matches!(position, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_liberally_and_written_strictly() {
        let want = "c7a5fdbd-edaf-9455-926a-d65c16db1809";
        let cases = [
            ("canonical", "c7a5fdbd-edaf-9455-926a-d65c16db1809"),
            ("upper case", "C7A5FDBD-EDAF-9455-926A-D65C16DB1809"),
            ("no hyphens", "c7a5fdbdedaf9455926ad65c16db1809"),
            ("blanks", " c7a5fdbd edaf 9455 926a d65c16db1809\n"),
            ("hyphens between all pairs", "-c7-a5-fd-bd-ed-af-94-55-92-6a-d6-5c-16-db-18-09"),
        ];
        for (label, input) in cases {
            assert_eq!(Uuid::parse(input).unwrap().to_string(), want, "{label}");
        }
    }

    #[test]
    fn what_identifies_no_host_is_refused() {
        let cases = [
            ("empty", "", UuidError::Format),
            ("one digit short", "c7a5fdbdedaf9455926ad65c16db180", UuidError::Format),
            ("one digit over", "c7a5fdbdedaf9455926ad65c16db18090", UuidError::Format),
            ("hyphen within a pair", "c-7a5fdbdedaf9455926ad65c16db1809", UuidError::Format),
            ("hyphen at the end", "c7a5fdbdedaf9455926ad65c16db1809-", UuidError::Format),
            ("no digit", "g7a5fdbdedaf9455926ad65c16db1809", UuidError::Format),
            ("plus", "+7a5fdbdedaf9455926ad65c16db1809", UuidError::Format),
            ("other script", "ä7a5fdbdedaf9455926ad65c16db1809", UuidError::Format),
            ("zeros", "00000000-0000-0000-0000-000000000000", UuidError::Uniform),
            ("all ones", "ffffffff-ffff-ffff-ffff-ffffffffffff", UuidError::Uniform),
        ];
        for (label, input, want) in cases {
            assert_eq!(Uuid::parse(input), Err(want), "{label}");
        }
    }
}
