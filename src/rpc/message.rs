// SPDX-License-Identifier: LGPL-2.1-or-later
//! Outgoing messages: a header and a payload behind the length word.

use crate::limits::LENGTH_WORD_LEN;
use crate::rpc::header::Header;
use crate::xdr::writer::Writer;

/// Appends one whole message to `out`; `payload` writes the part behind the header.
pub fn encode(out: &mut Vec<u8>, header: &Header, payload: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_WORD_LEN]);
    header.encode(out);
    payload(&mut Writer::new(out));
    let len = u32::try_from(out.len() - start);
    debug_assert!(len.is_ok(), "replies are capped in limits.rs");
    let word = len.unwrap_or(u32::MAX).to_be_bytes();
    if let Some(slot) = out.get_mut(start..start + LENGTH_WORD_LEN) {
        slot.copy_from_slice(&word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::header::{kind, status};

    #[test]
    fn the_length_word_counts_itself_header_and_payload() {
        let header = Header {
            program: 1,
            version: 2,
            procedure: 3,
            kind: kind::REPLY,
            serial: 4,
            status: status::OK,
        };
        let mut out = vec![0xa5; 2];
        encode(&mut out, &header, |writer| writer.string("abc"));
        assert_eq!(out[..6], *b"\xa5\xa5\0\0\0\x24");
        assert_eq!(out[30..], *b"\0\0\0\x03abc\0");
    }
}
