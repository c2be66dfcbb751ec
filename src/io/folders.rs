// SPDX-License-Identifier: LGPL-2.1-or-later
//! Detection of folders that other users can change, where a path may lead anywhere at the next
//! moment.
//!
//! A user who can write to a folder can replace a file in it by a symbolic link, and one who can
//! write to a parent can replace the folder. Root, the daemon's own user and their groups are
//! trusted. In a sticky folder (`/tmp`) users cannot replace files of other users.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::sys::process;

/// The reason why other users may interfere with a folder.
#[derive(Debug)]
pub enum FolderError {
    /// Other users can change the content of this folder.
    Shared(PathBuf),
    Host(HostError),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(dir) => {
                write!(
                    f,
                    "other users can write to {}; use a folder that only the daemon's user can \
                     change",
                    dir.display()
                )
            }
            Self::Host(err) => err.fmt(f),
        }
    }
}

impl std::error::Error for FolderError {}

/// Returns the path of `dir` without symbolic links, if no other user can change its content or
/// that of its parents.
///
/// # Errors
/// [`FolderError::Shared`] names the first folder that others can change.
pub(crate) fn resolve_private(dir: &Path) -> Result<PathBuf, FolderError> {
    let refuse = |dir: &Path, err: io::Error| {
        FolderError::Host(HostError::new("look at", dir.display().to_string(), &err))
    };
    let resolved = fs::canonicalize(dir).map_err(|err| refuse(dir, err))?;
    for folder in resolved.ancestors() {
        let found = fs::symlink_metadata(folder).map_err(|err| refuse(folder, err))?;
        let is_sticky_parent = folder != resolved && found.mode() & libc::S_ISVTX != 0;
        if is_anothers(&found) || (lets_others_write(&found) && !is_sticky_parent) {
            return Err(FolderError::Shared(folder.to_owned()));
        }
    }
    Ok(resolved)
}

/// Returns whether another user can replace the file `path`; true if that cannot be determined.
pub(crate) fn is_shared(path: &Path) -> bool {
    path.parent().is_none_or(|dir| resolve_private(dir).is_err())
}

fn is_anothers(folder: &Metadata) -> bool {
    folder.uid() != 0 && folder.uid() != process::effective_uid()
}

fn lets_others_write(folder: &Metadata) -> bool {
    let group_is_ours = folder.gid() == 0 || folder.gid() == process::effective_gid();
    let others = if group_is_ours { libc::S_IWOTH } else { libc::S_IWGRP | libc::S_IWOTH };
    folder.mode() & others != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Creates a folder for one test in the sticky folder for temporary files.
    fn folder(name: &str, mode: u32) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("folders-{}-{name}", std::process::id()));
        fs::create_dir_all(dir.join("below")).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
        dir
    }

    fn shared(dir: &Path) -> Option<PathBuf> {
        match resolve_private(dir) {
            Ok(_) => None,
            Err(FolderError::Shared(shared)) => Some(shared),
            Err(err) => panic!("{err}"),
        }
    }

    #[test]
    fn a_folder_is_refused_if_others_can_write_to_it_or_to_a_parent() {
        for (mode, is_shared) in [(0o755, false), (0o700, false), (0o777, true), (0o757, true)] {
            let dir = folder(&format!("{mode:o}"), mode);
            let want = is_shared.then(|| dir.clone());
            assert_eq!(shared(&dir), want, "{mode:o}");
            assert_eq!(shared(&dir.join("below")), want, "a parent with {mode:o}");
            assert_eq!(super::is_shared(&dir.join("file")), is_shared, "{mode:o}");
            fs::remove_dir_all(&dir).unwrap();
        }
    }

    #[test]
    fn a_sticky_folder_may_be_a_parent_and_no_more() {
        let dir = folder("sticky", 0o1777);
        assert_eq!(shared(&dir), Some(dir.clone()));
        assert_eq!(shared(&dir.join("below")), None);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_link_counts_for_what_it_leads_to() {
        let dir = folder("link", 0o755);
        symlink("below", dir.join("link")).unwrap();
        assert_eq!(resolve_private(&dir.join("link")).unwrap(), dir.join("below"));
        assert!(matches!(resolve_private(&dir.join("none")), Err(FolderError::Host(_))));
        assert!(is_shared(&dir.join("none/file")), "what is not known is not trusted");
        fs::remove_dir_all(&dir).unwrap();
    }
}
