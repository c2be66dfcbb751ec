// SPDX-License-Identifier: LGPL-2.1-or-later
//! The format of files that are valid until the next boot: sealed ([`crate::xdr::seal`]), and bound
//! to the boot's id.

use std::fmt;

use crate::limits::BOOT_ID_LEN_MAX;
use crate::netlink::wire::WireError;
use crate::xdr::reader::{Reader, XdrError};
use crate::xdr::seal::{Magic, SealError, seal, unseal};
use crate::xdr::writer::Writer;

const MAGIC: &Magic = b"vifboot1";

/// The reason why a file is not usable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BootFileError {
    /// The file belongs to another boot.
    OtherBoot,
    /// The file is incomplete or corrupt.
    Seal(SealError),
    /// The content is invalid.
    Content,
}

impl fmt::Display for BootFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBoot => f.write_str("it is from another boot"),
            Self::Seal(err) => write!(f, "{err}"),
            Self::Content => f.write_str("its content is invalid"),
        }
    }
}

impl std::error::Error for BootFileError {}

impl From<XdrError> for BootFileError {
    fn from(_: XdrError) -> Self {
        Self::Content
    }
}

impl From<WireError> for BootFileError {
    fn from(_: WireError) -> Self {
        Self::Content
    }
}

/// Encodes a file of this boot.
pub fn encode(boot: &str, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    seal(MAGIC, |body| {
        let mut out = Writer::new(body);
        out.string(boot);
        write(&mut out);
    })
}

/// Decodes a file of this boot.
///
/// # Errors
/// The file is not usable.
pub fn decode<'a>(boot: &str, bytes: &'a [u8]) -> Result<Reader<'a>, BootFileError> {
    let body = unseal(MAGIC, bytes).map_err(BootFileError::Seal)?;
    let mut input = Reader::new(body);
    if input.string("boot", BOOT_ID_LEN_MAX)? != boot {
        return Err(BootFileError::OtherBoot);
    }
    Ok(input)
}
