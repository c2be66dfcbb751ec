// SPDX-License-Identifier: LGPL-2.1-or-later
//! Small text files: configuration, the group database.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::HostError;

/// The whole of a small file. Never waits: a pipe in a file's place is empty, or an error.
///
/// # Errors
/// What open and read say; `EFBIG` if it is larger than `len_max` bytes.
pub fn read(path: &Path, len_max: u64) -> Result<Vec<u8>, HostError> {
    let refuse = |err: &io::Error| HostError::new("read", path.display().to_string(), err);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut bytes = Vec::new();
    let file = options.open(path).map_err(|err| refuse(&err))?;
    file.take(len_max.saturating_add(1)).read_to_end(&mut bytes).map_err(|err| refuse(&err))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > len_max) {
        return Err(refuse(&io::Error::from_raw_os_error(libc::EFBIG)));
    }
    Ok(bytes)
}

/// The whole of a small text file.
///
/// # Errors
/// As [`read`]; `EILSEQ` if it is not UTF-8.
pub fn read_text(path: &Path, len_max: u64) -> Result<String, HostError> {
    String::from_utf8(read(path, len_max)?).map_err(|_| {
        let err = io::Error::from_raw_os_error(libc::EILSEQ);
        HostError::new("read", path.display().to_string(), &err)
    })
}

/// The whole of a small text file, or nothing if there is no such file.
pub fn read_text_if_any(path: &Path, len_max: u64) -> Result<Option<String>, HostError> {
    match read_text(path, len_max) {
        Ok(text) => Ok(Some(text)),
        Err(err) if err.errno() == libc::ENOENT => Ok(None),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_nothing_and_a_folder_is_an_error() {
        assert_eq!(read_text_if_any(Path::new("/nonexistent/file"), 9), Ok(None));
        let err = read_text_if_any(Path::new("/"), 9).unwrap_err();
        assert_eq!(err.errno(), libc::EISDIR);
        assert!(err.to_string().starts_with("cannot read /: "), "{err}");
    }

    #[test]
    fn a_file_without_end_is_refused_before_it_fills_the_memory() {
        let zeros = Path::new("/dev/zero");
        assert_eq!(read(zeros, 9).unwrap_err().errno(), libc::EFBIG);
        assert_eq!(read(Path::new("/dev/null"), 0), Ok(Vec::new()));
    }
}
