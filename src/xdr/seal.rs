// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files of ours that show whether they are whole.
//!
//! A file begins with the name of its format, and a checksum of everything after that: one that is torn or
//! rotten is not half believed. The checksum keeps out accidents, and no forger.

use std::fmt;

/// What a file begins with.
pub type Magic = [u8; 8];

/// Why the bytes of a file are not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SealError {
    /// They do not begin as the format does.
    Foreign,
    /// They are not what was written.
    Checksum,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "it is not of this release's format",
            Self::Checksum => "its checksum is wrong",
        })
    }
}

impl std::error::Error for SealError {}

/// The bytes of a file: what `write` appends to them, behind what shows that it is whole.
pub fn seal(magic: &Magic, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut file = magic.to_vec();
    let sum_at = file.len();
    file.extend_from_slice(&[0; 8]);
    let start = file.len();
    write(&mut file);
    let sum = checksum(file.get(start..).unwrap_or_default());
    if let Some(slot) = file.get_mut(sum_at..start) {
        slot.copy_from_slice(&sum.to_be_bytes());
    }
    file
}

/// What was written to a file of these bytes.
///
/// # Errors
/// It is another format's, or not whole.
pub fn unseal<'a>(magic: &Magic, bytes: &'a [u8]) -> Result<&'a [u8], SealError> {
    let rest = bytes.strip_prefix(magic).ok_or(SealError::Foreign)?;
    let (sum, body) = rest.split_first_chunk().ok_or(SealError::Checksum)?;
    if u64::from_be_bytes(*sum) == checksum(body) { Ok(body) } else { Err(SealError::Checksum) }
}

/// After the manner of FNV-1a, with eight bytes at a time.
fn checksum(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    let mut words = bytes.chunks_exact(8);
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or_default();
    let sum = words.by_ref().fold(BASIS, |sum, bytes| mix(sum, word(bytes)));
    let sum = words.remainder().iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)));
    mix(sum, u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &Magic = b"vifseal\n";

    #[test]
    fn whatever_is_wrong_with_the_bytes_is_found() {
        for body in [&b""[..], b"a body of some bytes, and no multiple of eight"] {
            let bytes = seal(MAGIC, |file| file.extend_from_slice(body));
            assert_eq!(unseal(MAGIC, &bytes), Ok(body));
            for at in 0..bytes.len() {
                let mut rotten = bytes.clone();
                rotten[at] ^= 0x10;
                let want = if at < MAGIC.len() { SealError::Foreign } else { SealError::Checksum };
                assert_eq!(unseal(MAGIC, &rotten), Err(want), "byte {at}");
                assert!(unseal(MAGIC, &bytes[..at]).is_err(), "the first {at} bytes");
            }
            assert!(unseal(MAGIC, &[bytes, vec![0]].concat()).is_err(), "a byte more");
        }
    }
}
