// SPDX-License-Identifier: LGPL-2.1-or-later
//! Symbolic links in the place of definition files, and the files that are written through them.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::backend::DefinitionFiles;
use crate::definitions::files::FilePath;
use crate::error::HostError;
use crate::io::files::below;

/// The text of the link at `place`; `None` if it is not a link.
///
/// # Errors
/// The kernel refused.
pub(super) fn text(place: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(place) {
        Ok(text) => Ok(Some(text)),
        // Not a link, or nothing at all.
        Err(err) if matches!(err.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => Ok(None),
        Err(err) => Err(err),
    }
}

/// The file that is written for the definition file at `path`: the one that a link leads to; `None`
/// if it is not a link.
///
/// # Errors
/// The link is dangling or part of a loop, leads out of the backend's root, or to another
/// definition file, which would become a copy of this one.
pub(super) fn target(
    files: &DefinitionFiles,
    path: &FilePath,
) -> Result<Option<FilePath>, HostError> {
    let root = files.backend().root();
    let place = below(root, path);
    let shown = place.display();
    let refuse = |object: String, err: &io::Error| HostError::new("write", object, err);
    let text = text(&place).map_err(|err| refuse(shown.to_string(), &err))?;
    let Some(text) = text.as_ref().map(|text| text.display()) else { return Ok(None) };
    let real = fs::canonicalize(root).and_then(|root| Ok((root, fs::canonicalize(&place)?)));
    let (real_root, real) =
        real.map_err(|err| refuse(format!("{shown}, a symbolic link to {text}"), &err))?;
    let not_supported = io::Error::from_raw_os_error(libc::ENOTSUP);
    let below = real.strip_prefix(&real_root).ok();
    let target = below.and_then(|below| FilePath::new(below.as_os_str().to_owned().into_vec()));
    let Some(target) = target else {
        let object = format!("{shown}, a symbolic link to {text} outside {}", root.display());
        return Err(refuse(object, &not_supported));
    };
    if files.owns(&target) {
        let object = format!("{shown}, a symbolic link to the definition file {target}");
        return Err(refuse(object, &not_supported));
    }
    Ok(Some(target))
}
