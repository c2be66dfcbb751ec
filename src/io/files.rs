// SPDX-License-Identifier: LGPL-2.1-or-later
//! Small files: read as a whole, and written atomically.
//!
//! A file is never seen half-written, and content that was reported as written survives a power
//! loss: it is synced to the disk under a temporary name before it replaces the old file, and the
//! folder is synced before the caller gets the result.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink,
};
use std::path::{Path, PathBuf};

use crate::definitions::files::FilePath;
use crate::error::HostError;

/// Definitions, sysctls and files of /proc are mostly shorter than this.
const LEN_USUAL: usize = 1024;

/// Reads a small file whole. Never blocks: a pipe in its place is empty, or an error.
///
/// # Errors
/// Errors of open and read; `EFBIG` if the file is larger than `len_max` bytes.
pub fn read(path: &Path, len_max: u64) -> Result<Vec<u8>, HostError> {
    let refuse = |err: &io::Error| HostError::new("read", path.display().to_string(), err);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    // Without this capacity the file would first be read in small pieces.
    let mut bytes = Vec::with_capacity(LEN_USUAL);
    let file = options.open(path).map_err(|err| refuse(&err))?;
    file.take(len_max.saturating_add(1)).read_to_end(&mut bytes).map_err(|err| refuse(&err))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > len_max) {
        return Err(refuse(&io::Error::from_raw_os_error(libc::EFBIG)));
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Reads a small text file whole.
///
/// # Errors
/// As [`read`]; `EILSEQ` if it is not UTF-8.
pub(crate) fn read_text(path: &Path, len_max: u64) -> Result<String, HostError> {
    String::from_utf8(read(path, len_max)?).map_err(|_| {
        let err = io::Error::from_raw_os_error(libc::EILSEQ);
        HostError::new("read", path.display().to_string(), &err)
    })
}

/// Reads a small text file whole, or returns `None` if there is no such file.
pub(crate) fn read_text_if_any(path: &Path, len_max: u64) -> Result<Option<String>, HostError> {
    match read_text(path, len_max) {
        Ok(text) => Ok(Some(text)),
        Err(err) if err.errno() == libc::ENOENT => Ok(None),
        Err(err) => Err(err),
    }
}

/// Returns the path of a definition file.
pub(crate) fn below(root: &Path, path: &FilePath) -> PathBuf {
    root.join(OsStr::from_bytes(path.as_bytes()))
}

/// The end of a temporary file's name. The name begins with a dot.
const TEMPORARY_SUFFIX: &str = ".virtinterfaced-new";

/// Replaces the content of the file `path` with `bytes`, durably, and makes it accessible for its
/// owner alone. A symbolic link is replaced too; its target is not touched.
///
/// # Errors
/// The kernel refused. The file is unchanged, unless only the last step has failed, which syncs the
/// folder to the disk.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), HostError> {
    replace_by(path, |temporary| write_new(temporary, bytes, None))
}

/// Does the same for a file that is valid until the next boot: it is not synced to the disk.
///
/// # Errors
/// The kernel refused. The file is unchanged.
pub(crate) fn replace_for_boot(path: &Path, bytes: &[u8]) -> Result<(), HostError> {
    let write = |temporary: &Path| create_new(temporary)?.write_all(bytes);
    rename_made(path, write).map_err(|err| refusal(path, &err))
}

/// Does the same as [`replace`] for a file with a given mode and owner.
///
/// # Errors
/// As [`replace`]; `EPERM` if the file cannot be given to its owner.
pub(crate) fn replace_as(path: &Path, bytes: &[u8], access: FileAccess) -> Result<(), HostError> {
    replace_by(path, |temporary| write_new(temporary, bytes, Some(access)))
}

/// Makes `path` a symbolic link to `target`, durably.
///
/// # Errors
/// As [`replace`].
pub(crate) fn replace_by_link(path: &Path, target: &OsStr) -> Result<(), HostError> {
    replace_by(path, |temporary| match symlink(target, temporary) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(temporary)?;
            symlink(target, temporary)
        }
        made => made,
    })
}

/// Renames a file within a folder, durably. An existing file of the new name is replaced.
///
/// # Errors
/// The kernel refused.
pub fn rename(from: &Path, to: &Path) -> Result<(), HostError> {
    let renamed = fs::rename(from, to).and_then(|()| sync_folder_of(to));
    renamed.map_err(|err| HostError::new("rename", from.display().to_string(), &err))
}

/// The mode and owner of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileAccess {
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl FileAccess {
    /// Returns the mode and owner of a file.
    pub fn of(metadata: &fs::Metadata) -> Self {
        /// The permission bits of a mode.
        const PERMISSIONS: u32 = 0o7777;
        let mode = metadata.mode() & PERMISSIONS;
        Self { mode, uid: metadata.uid(), gid: metadata.gid() }
    }
}

fn replace_by(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), HostError> {
    let made = rename_made(path, make).and_then(|()| sync_folder_of(path));
    made.map_err(|err| refusal(path, &err))
}

fn refusal(path: &Path, err: &io::Error) -> HostError {
    HostError::new("write", path.display().to_string(), err)
}

/// Creates a file under a temporary name, and renames it to `path`.
fn rename_made(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary_for(path)?;
    put_in_place(path, &temporary, make(&temporary))
}

/// Renames a temporary file to `path`, if it was created without an error.
fn put_in_place(path: &Path, temporary: &Path, made: io::Result<()>) -> io::Result<()> {
    let renamed = made.and_then(|()| fs::rename(temporary, path));
    if renamed.is_err() {
        // A file that cannot be removed now is removed at the next start.
        let _ = fs::remove_file(temporary);
    }
    renamed
}

/// The new content of a file, written in parts, durably, and accessible for its owner alone. The
/// old file stays until the end.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl Replacement {
    /// Begins with an empty file.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn begin(path: &Path) -> Result<Self, HostError> {
        let refuse = |err: io::Error| refusal(path, &err);
        let temporary = temporary_for(path).map_err(refuse)?;
        let file = create_new(&temporary).map_err(refuse)?;
        Ok(Self { path: path.to_owned(), temporary, file })
    }

    /// The path of the new content.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Appends a part.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn write(&mut self, part: &[u8]) -> Result<(), HostError> {
        self.file.write_all(part).map_err(|err| refusal(&self.path, &err))
    }

    /// Replaces the old file.
    ///
    /// # Errors
    /// As [`replace`].
    pub fn finish(self) -> Result<(), HostError> {
        let renamed = put_in_place(&self.path, &self.temporary, self.file.sync_all());
        renamed.and_then(|()| sync_folder_of(&self.path)).map_err(|err| refusal(&self.path, &err))
    }

    /// Leaves the old file in place.
    pub(crate) fn give_up(self) {
        // A file that cannot be removed now is removed at the next start.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Removes the file `path`, durably. A missing file is not an error.
pub fn remove(path: &Path) -> Result<(), HostError> {
    let removed = match fs::remove_file(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
        Ok(()) => sync_folder_of(path),
    };
    removed.map_err(|err| HostError::new("remove", path.display().to_string(), &err))
}

/// Creates the folder `dir` and its missing parents, durably.
pub(crate) fn make_folder(dir: &Path, mode: u32) -> Result<(), HostError> {
    let missing: Vec<_> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev() {
        let made = match DirBuilder::new().mode(mode).create(dir) {
            // Another process has created it first.
            Err(_) if dir.is_dir() => Ok(()),
            made => made.and_then(|()| sync_folder_of(dir)),
        };
        made.map_err(|err| HostError::new("create", dir.display().to_string(), &err))?;
    }
    Ok(())
}

/// Removes temporary files in the folder `dir`, left by a daemon that was killed during
/// [`replace`].
///
/// # Errors
/// The first error; the other files are still tried.
pub(crate) fn remove_temporaries(dir: &Path) -> Result<(), HostError> {
    let refuse =
        |object: &Path, err| HostError::new("clean up", object.display().to_string(), &err);
    let mut outcome = Ok(());
    for entry in fs::read_dir(dir).map_err(|err| refuse(dir, err))? {
        let removed = match entry {
            Ok(entry) if is_temporary(&entry.file_name()) => {
                fs::remove_file(entry.path()).map_err(|err| refuse(&entry.path(), err))
            }
            Ok(_) => Ok(()),
            Err(err) => return Err(refuse(dir, err)),
        };
        outcome = outcome.and(removed);
    }
    outcome
}

fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// Returns the temporary name for a file. It is in the same folder, so that it can be renamed, and
/// does not vary, so that at most one such file can be left over.
pub(super) fn temporary_for(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::Error::from_raw_os_error(libc::EISDIR))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(TEMPORARY_SUFFIX);
    Ok(path.with_file_name(temporary))
}

/// Creates a file that only its owner can read. An existing file of that name is removed.
fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

fn write_new(path: &Path, bytes: &[u8], access: Option<FileAccess>) -> io::Result<()> {
    let mut file = create_new(path)?;
    file.write_all(bytes)?;
    if let Some(FileAccess { mode, uid, gid }) = access {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (uid, gid) {
            fchown(&file, Some(uid), Some(gid))?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.sync_all()
}

/// Syncs the entries of the folder of `path` to the disk.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let Some(dir) = path.parent() else { return Ok(()) };
    match File::open(dir)?.sync_all() {
        // A file system without this operation keeps its folders consistent by itself.
        Err(err) if err.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        synced => synced,
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

    /// A folder for one test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("files-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir(&dir).unwrap();
            Self(dir)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn names(&self) -> Vec<String> {
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
            let names = fs::read_dir(&self.0).unwrap().map(name);
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_made_and_replaced_as_a_whole_and_for_its_owner_alone() {
        let folder = Folder::new("replace");
        let path = folder.path("a.xml");
        for content in [&b"long enough"[..], b"short", b"", &[7; 100_000]] {
            replace(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(mode(&path), 0o600);
        assert_eq!(folder.names(), ["a.xml"]);
    }

    #[test]
    fn whoever_has_the_old_file_open_reads_the_old_content_to_its_end() {
        let folder = Folder::new("old");
        let path = folder.path("a.xml");
        replace(&path, b"old").unwrap();
        let mut reader = File::open(&path).unwrap();
        replace(&path, b"new content").unwrap();
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "old");
    }

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_is_not() {
        let folder = Folder::new("link");
        fs::write(folder.path("target"), "theirs").unwrap();
        std::os::unix::fs::symlink(folder.path("target"), folder.path("a.xml")).unwrap();
        replace(&folder.path("a.xml"), b"ours").unwrap();
        assert!(!fs::symlink_metadata(folder.path("a.xml")).unwrap().is_symlink());
        assert_eq!(fs::read(folder.path("target")).unwrap(), b"theirs");
    }

    #[test]
    fn what_cannot_be_written_leaves_no_trace_and_names_the_file_and_the_cause() {
        let folder = Folder::new("refused");
        fs::create_dir_all(folder.path("a.xml/b")).unwrap();
        fs::write(folder.path("file"), "").unwrap();
        struct Case(&'static str, PathBuf, libc::c_int, &'static str);
        let cases = [
            Case("a folder", folder.path("a.xml"), libc::EISDIR, "Is a directory"),
            Case("no folder", folder.path("x/a"), libc::ENOENT, "No such file or directory"),
            Case("below a file", folder.path("file/a"), libc::ENOTDIR, "Not a directory"),
            Case("a pseudo file system", "/proc/a.xml".into(), libc::ENOENT, "No such file"),
        ];
        for Case(label, path, errno, cause) in cases {
            let err = replace(&path, b"new").unwrap_err();
            assert_eq!(err.errno(), errno, "{label}");
            let want = format!("cannot write {}: {cause}", path.display());
            assert!(err.to_string().starts_with(&want), "{label}: {err}");
        }
        assert_eq!(folder.names(), ["a.xml", "file"]);
        assert_eq!(remove(&folder.path("a.xml")).unwrap_err().errno(), libc::EISDIR);
    }

    #[test]
    fn a_file_is_removed_and_may_be_gone_already() {
        let folder = Folder::new("remove");
        fs::write(folder.path("a.xml"), "").unwrap();
        for _ in 0..2 {
            assert_eq!(remove(&folder.path("a.xml")), Ok(()));
            assert!(folder.names().is_empty());
        }
    }

    #[test]
    fn what_a_killed_daemon_left_is_overwritten_or_cleaned_up_and_nothing_else_is() {
        let folder = Folder::new("leftovers");
        let left = ".a.xml.virtinterfaced-new";
        fs::write(folder.path(left), "half of it, but longer than the next").unwrap();
        replace(&folder.path("a.xml"), b"whole").unwrap();
        assert_eq!(folder.names(), ["a.xml"]);
        assert_eq!(fs::read(folder.path("a.xml")).unwrap(), b"whole");

        let others = ["a.virtinterfaced-new", ".virtinterfaced-new.xml", ".a.xml.swp"];
        for name in others.iter().chain([&left]) {
            fs::write(folder.path(name), "").unwrap();
        }
        assert_eq!(remove_temporaries(&folder.0), Ok(()));
        let kept = [".a.xml.swp", ".virtinterfaced-new.xml", "a.virtinterfaced-new", "a.xml"];
        assert_eq!(folder.names(), kept);
        assert_eq!(remove_temporaries(&folder.path("x")).unwrap_err().errno(), libc::ENOENT);
    }

    #[test]
    fn folders_are_made_as_far_as_they_are_missing() {
        let folder = Folder::new("folders");
        for _ in 0..2 {
            make_folder(&folder.path("a/b/c"), 0o700).unwrap();
        }
        assert_eq!(mode(&folder.path("a")), 0o700);
        assert_eq!(mode(&folder.path("a/b/c")), 0o700);
        fs::write(folder.path("file"), "").unwrap();
        let err = make_folder(&folder.path("file/x"), 0o700).unwrap_err();
        assert_eq!(err.errno(), libc::ENOTDIR);
        assert!(err.to_string().starts_with("cannot create "), "{err}");
    }
}
