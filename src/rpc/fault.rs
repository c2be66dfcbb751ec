// SPDX-License-Identifier: LGPL-2.1-or-later
//! A [`CallError`] as the payload of an error reply (`virNetMessageError`).

use crate::error::CallError;
use crate::xdr::writer::Writer;

/// libvirt's `VIR_ERR_ERROR`: every error of a daemon has this level.
const LEVEL_ERROR: i32 = 2;

/// Writes all eleven fields; `dom`, `str3` and `net` are always absent here.
pub fn encode(writer: &mut Writer<'_>, error: &CallError) {
    let (int1, int2) = error.ints();
    writer.i32(error.code() as i32);
    writer.i32(error.domain() as i32);
    writer.optional_string(Some(error.message()));
    writer.i32(LEVEL_ERROR);
    writer.flag(false);
    writer.optional_string(error.str1().as_deref());
    writer.optional_string(error.str2());
    writer.optional_string(None);
    writer.i32(int1);
    writer.i32(int2);
    writer.flag(false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Domain, ErrorCode};

    #[test]
    fn an_error_has_eleven_fields() {
        let error = CallError::new(ErrorCode::NoInterface, Domain::Interface, "x");
        let mut out = Vec::new();
        encode(&mut Writer::new(&mut out), &error);
        let want = b"\0\0\0\x39\0\0\0\x1a\
            \0\0\0\x01\0\0\0\x16Interface not found: x\0\0\
            \0\0\0\x02\0\0\0\0\
            \0\0\0\x01\0\0\0\x19Interface not found: %1$s\0\0\0\
            \0\0\0\x01\0\0\0\x01x\0\0\0\
            \0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(out, want);
    }
}
