// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files below the run directory that are valid until the next boot ([`crate::host::boot_file`]).
//!
//! A file of another boot is removed. One that cannot be read, or is corrupt, is set aside with a
//! warning; its content is then missing.

use std::fs;
use std::path::Path;

use log::{debug, warn};

use crate::error::HostError;
use crate::host::boot_file::BootFileError;
use crate::io::files;

/// The folder, beside the file, to which it is moved.
const ASIDE: &str = "damaged";
const ASIDE_MODE: u32 = 0o700;

/// Returns the decoded content of a file, if it exists and is valid.
pub(super) fn read<T>(
    path: &Path,
    len_max: u64,
    decode: impl FnOnce(&[u8]) -> Result<T, BootFileError>,
) -> Option<T> {
    let bytes = match files::read(path, len_max) {
        Ok(bytes) => bytes,
        Err(err) if err.errno() == libc::ENOENT => return None,
        Err(err) => {
            set_aside(path, &err.to_string());
            return None;
        }
    };
    match decode(&bytes) {
        Ok(content) => return Some(content),
        Err(BootFileError::OtherBoot) => {
            if let Err(err) = fs::remove_file(path) {
                debug!("cannot remove {}, from another boot: {err}", path.display());
            }
        }
        Err(err @ (BootFileError::Seal(_) | BootFileError::Content)) => {
            set_aside(path, &format!("cannot use {}: {err}", path.display()));
        }
    }
    None
}

fn set_aside(path: &Path, why: &str) {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
    let aside = dir.join(ASIDE);
    let moved = files::make_folder(&aside, ASIDE_MODE).and_then(|()| {
        let refuse = |err| HostError::new("rename", path.display().to_string(), &err);
        fs::rename(path, aside.join(name)).map_err(refuse)
    });
    match moved {
        Ok(()) => warn!("{why}; the file is moved to {}", aside.display()),
        Err(err) => warn!("{why}; the file stays in place: {err}"),
    }
}
