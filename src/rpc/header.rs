// SPDX-License-Identifier: LGPL-2.1-or-later
//! The six words at the head of every message.
//!
//! Type and status are plain numbers, as on the wire: the session checks their range, not the
//! decoder.

use crate::limits::HEADER_LEN;

/// A message's header (`virNetMessageHeader`), all words big-endian.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    pub program: u32,
    pub version: u32,
    pub procedure: i32,
    /// One of the [`kind`] numbers, from a valid peer.
    pub kind: i32,
    /// Chosen by the caller; a reply repeats it.
    pub serial: u32,
    /// One of the [`status`] numbers, from a valid peer.
    pub status: i32,
}

/// The type of a message (`virNetMessageType`), as far as this daemon uses it.
pub mod kind {
    pub const CALL: i32 = 0;
    pub const REPLY: i32 = 1;
    pub const MESSAGE: i32 = 2;
    pub const CALL_WITH_FDS: i32 = 4;
}

/// The result of a message (`virNetMessageStatus`).
pub mod status {
    pub const OK: i32 = 0;
    pub const ERROR: i32 = 1;
}

impl Header {
    /// Decodes the six words.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let [p0, p1, p2, p3, v0, v1, v2, v3, c0, c1, c2, c3, rest @ ..] = *bytes;
        let [k0, k1, k2, k3, n0, n1, n2, n3, s0, s1, s2, s3] = rest;
        Self {
            program: u32::from_be_bytes([p0, p1, p2, p3]),
            version: u32::from_be_bytes([v0, v1, v2, v3]),
            procedure: i32::from_be_bytes([c0, c1, c2, c3]),
            kind: i32::from_be_bytes([k0, k1, k2, k3]),
            serial: u32::from_be_bytes([n0, n1, n2, n3]),
            status: i32::from_be_bytes([s0, s1, s2, s3]),
        }
    }

    /// Appends the six words to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for word in [
            self.program.to_be_bytes(),
            self.version.to_be_bytes(),
            self.procedure.to_be_bytes(),
            self.kind.to_be_bytes(),
            self.serial.to_be_bytes(),
            self.status.to_be_bytes(),
        ] {
            out.extend_from_slice(&word);
        }
    }

    /// Whether the peer expects a reply.
    pub(crate) fn is_call(&self) -> bool {
        matches!(self.kind, kind::CALL | kind::CALL_WITH_FDS)
    }

    /// The head of the reply to this call.
    pub fn reply(&self, status: i32) -> Self {
        Self { kind: kind::REPLY, status, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_six_big_endian_words() {
        let header = Header {
            program: 0x2000_8086,
            version: 1,
            procedure: -2,
            kind: kind::CALL,
            serial: 7,
            status: status::OK,
        };
        let mut bytes = vec![0xa5];
        header.encode(&mut bytes);
        let want = b"\xa5\x20\0\x80\x86\0\0\0\x01\xff\xff\xff\xfe\0\0\0\0\0\0\0\x07\0\0\0\0";
        assert_eq!(bytes, want);
        assert_eq!(Header::decode(bytes[1..].try_into().unwrap()), header);
    }

    #[test]
    fn a_reply_repeats_all_but_kind_and_status() {
        let call = Header { program: 1, version: 2, procedure: 3, kind: 4, serial: 5, status: 0 };
        assert!(call.is_call());
        let want = Header { kind: kind::REPLY, status: status::ERROR, ..call };
        assert_eq!(call.reply(status::ERROR), want);
        assert!(!want.is_call());
    }
}
