// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the `ifup` of the host.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::ifupdown::{Dialect, program};
use crate::io::files;
use crate::limits::PROGRAM_LEN_MAX;

/// Where it is, in the order of the search.
const PATHS: [&str; 4] = ["/sbin/ifup", "/usr/sbin/ifup", "/bin/ifup", "/usr/bin/ifup"];

/// Returns the first `ifup`, and its dialect.
///
/// # Errors
/// There is none, or none that the daemon knows.
pub fn find() -> Result<(PathBuf, Dialect), HostError> {
    let found = PATHS.iter().map(Path::new).find(|path| path.is_file());
    let missing = || io::Error::from_raw_os_error(libc::ENOENT);
    let path = found.ok_or_else(|| HostError::new("find", "ifup", &missing()))?;
    let content = files::read(path, PROGRAM_LEN_MAX)?;
    match program::recognise(&content) {
        Ok(dialect) => Ok((path.to_owned(), dialect)),
        Err(reason) => {
            let object = format!("{}, as {reason}", path.display());
            Err(HostError::new("use", object, &io::Error::from_raw_os_error(libc::ENOTSUP)))
        }
    }
}
