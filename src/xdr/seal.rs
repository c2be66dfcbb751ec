// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files whose completeness can be checked.
//!
//! A file begins with the name of its format and a checksum of everything after it, so a truncated
//! or corrupt file is rejected whole. The checksum guards against accidents, not against forgery.

use std::fmt;

/// The name of a format, at the beginning of a file.
pub type Magic = [u8; 8];

/// Where the checksum is.
const SUM_AT: usize = size_of::<Magic>();
const SUM_LEN: usize = 8;

/// The sum is made of words.
const WORD_LEN: usize = 8;

/// Why the bytes of a file are rejected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SealError {
    /// They do not begin with the name of the format.
    Foreign,
    /// They differ from the bytes that were written.
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

/// The bytes of a sealed file whose body `write` appends.
pub fn seal(magic: &Magic, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut file = begin(magic);
    write(&mut file);
    Seal::default().poll(&mut file, usize::MAX);
    file
}

/// The beginning of a file that is sealed once its body follows.
pub fn begin(magic: &Magic) -> Vec<u8> {
    [magic.as_slice(), &[0; SUM_LEN]].concat()
}

/// A seal that is made in parts, as the body of the file is long.
#[derive(Debug, Default)]
pub struct Seal(Checksum);

impl Seal {
    /// Seals so many more bytes of a complete file. `true` when it is sealed.
    pub fn poll(&mut self, file: &mut [u8], len: usize) -> bool {
        let Some((sum, body)) = file.get_mut(SUM_AT..).and_then(<[u8]>::split_first_chunk_mut)
        else {
            return true;
        };
        let is_over = self.0.add(body, len);
        if is_over {
            *sum = self.0.finish(body).to_be_bytes();
        }
        is_over
    }
}

/// The body of a sealed file.
///
/// # Errors
/// The file has another format, or is not whole.
pub(crate) fn unseal<'a>(magic: &Magic, bytes: &'a [u8]) -> Result<&'a [u8], SealError> {
    let rest = bytes.strip_prefix(magic).ok_or(SealError::Foreign)?;
    let (sum, body) = rest.split_first_chunk().ok_or(SealError::Checksum)?;
    if u64::from_be_bytes(*sum) == checksum(body) { Ok(body) } else { Err(SealError::Checksum) }
}

/// The checksum of a file's body.
fn checksum(body: &[u8]) -> u64 {
    let mut sum = Checksum::default();
    sum.add(body, usize::MAX);
    sum.finish(body)
}

/// A variant of FNV-1a, with eight bytes at a time.
#[derive(Debug)]
struct Checksum {
    sum: u64,
    /// The length of the body that the sum includes.
    at: usize,
}

impl Default for Checksum {
    fn default() -> Self {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        Self { sum: BASIS, at: 0 }
    }
}

impl Checksum {
    /// Adds so many bytes of the body, in words. `true` when no whole word is left.
    fn add(&mut self, body: &[u8], len: usize) -> bool {
        let left = body.get(self.at..).unwrap_or_default();
        let whole_len = left.len() - left.len() % WORD_LEN;
        let len = whole_len.min((len - len % WORD_LEN).max(WORD_LEN));
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or_default();
        let words = left.get(..len).unwrap_or_default().chunks_exact(WORD_LEN);
        self.sum = words.fold(self.sum, |sum, bytes| mix(sum, word(bytes)));
        self.at += len;
        len == whole_len
    }

    /// Adds the bytes behind the last whole word, and the length.
    fn finish(&self, body: &[u8]) -> u64 {
        let rest = body.get(self.at..).unwrap_or_default();
        let sum = rest.iter().fold(self.sum, |sum, byte| mix(sum, u64::from(*byte)));
        mix(sum, u64::try_from(body.len()).unwrap_or(u64::MAX))
    }
}

fn mix(sum: u64, word: u64) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    (sum ^ word).wrapping_mul(PRIME).rotate_left(29)
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

    #[test]
    fn a_seal_that_is_made_in_parts_is_the_same() {
        for body_len in [0, 7, 8, 9, 64] {
            let body: Vec<u8> = (0..body_len).collect();
            let want = seal(MAGIC, |file| file.extend_from_slice(&body));
            for len in [0, 1, 8, 23] {
                let mut file = begin(MAGIC);
                file.extend_from_slice(&body);
                let mut seal = Seal::default();
                while !seal.poll(&mut file, len) {}
                assert_eq!(file, want, "{body_len} bytes, {len} at a time");
            }
        }
    }
}
