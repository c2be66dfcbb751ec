// SPDX-License-Identifier: LGPL-2.1-or-later
//! Small text files: configuration, the group database.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::HostError;
use crate::limits::CONFIG_LEN_MAX;

/// The whole of a text file.
///
/// # Errors
/// What open and read say; `EFBIG` if it is larger than any of our files may be, `EILSEQ` if it is
/// not UTF-8.
pub fn read_text(path: &Path) -> Result<String, HostError> {
    let refuse = |err: &io::Error| HostError::new("read", path.display().to_string(), err);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|err| refuse(&err))?;
    file.take(CONFIG_LEN_MAX + 1).read_to_end(&mut bytes).map_err(|err| refuse(&err))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > CONFIG_LEN_MAX) {
        return Err(refuse(&io::Error::from_raw_os_error(libc::EFBIG)));
    }
    let not_text = || refuse(&io::Error::from_raw_os_error(libc::EILSEQ));
    String::from_utf8(bytes).map_err(|_| not_text())
}

/// The whole of a text file, or nothing if there is no such file.
pub fn read_text_if_any(path: &Path) -> Result<Option<String>, HostError> {
    match read_text(path) {
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
        assert_eq!(read_text_if_any(Path::new("/nonexistent/file")), Ok(None));
        let err = read_text_if_any(Path::new("/")).unwrap_err();
        assert_eq!(err.errno(), libc::EISDIR);
        assert!(err.to_string().starts_with("cannot read /: "), "{err}");
    }

    #[test]
    fn a_file_without_end_is_refused_before_it_fills_the_memory() {
        assert_eq!(read_text(Path::new("/dev/zero")).unwrap_err().errno(), libc::EFBIG);
    }
}
