// SPDX-License-Identifier: LGPL-2.1-or-later
//! Watches of folders by inotify(7).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{check, check_len};

/// A written file is reported when it is closed, so that it is never read half-written. A created
/// one is reported at once, since a symbolic link is never closed.
const FOLDER_EVENTS: u32 = libc::IN_ATTRIB
    | libc::IN_CLOSE_WRITE
    | libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_DELETE_SELF
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_MOVE_SELF
    | libc::IN_ONLYDIR;

/// Creates a non-blocking, close-on-exec event queue.
pub fn queue() -> io::Result<OwnedFd> {
    // SAFETY: inotify_init1 takes only an integer.
    let fd = check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) })?;
    // SAFETY: the kernel has just made this descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One watch of a queue. The kernel does not reuse its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watch(libc::c_int);

/// Makes `queue` report changes of the files of a folder and of the folder itself.
///
/// # Errors
/// `ENOENT` or `ENOTDIR` if there is no such folder, `ENOSPC` if there are too many watches.
pub(crate) fn watch_folder(queue: impl AsFd, dir: &Path) -> io::Result<Watch> {
    let dir = CString::new(dir.as_os_str().as_bytes())?;
    // SAFETY: the fd is borrowed, so open; the path is a live, NUL-terminated string that is read.
    let watch = check(unsafe {
        libc::inotify_add_watch(queue.as_fd().as_raw_fd(), dir.as_ptr(), FOLDER_EVENTS)
    })?;
    Ok(Watch(watch))
}

/// Removes a watch.
///
/// # Errors
/// `EINVAL` if the kernel has already removed it because the folder is gone.
pub(crate) fn unwatch(queue: impl AsFd, watch: Watch) -> io::Result<()> {
    // SAFETY: the fd is borrowed, so open; inotify_rm_watch takes only integers.
    check(unsafe { libc::inotify_rm_watch(queue.as_fd().as_raw_fd(), watch.0) })?;
    Ok(())
}

/// Reads whole events into `buffer`, as many as fit.
///
/// # Errors
/// `WouldBlock` if the queue is empty, else the error of read(2).
pub fn read(queue: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the fd is borrowed, so open; the kernel writes at most the buffer's length into it.
    check_len(unsafe {
        libc::read(queue.as_fd().as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len())
    })
}

/// One event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileEvent<'a> {
    /// The file of this name changed.
    File { watch: Watch, name: &'a [u8], change: FileChange },
    /// The folder itself changed (mostly: it was removed or renamed), or the watch has ended.
    Folder { watch: Watch },
    /// Events were lost.
    Overflow,
}

/// The kind of a change to a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileChange {
    /// The file is new. Its content may still be missing.
    Created,
    /// The file was written, removed or moved, or its permissions changed.
    Other,
}

/// Decodes the events in `bytes`. Malformed bytes end the iteration.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = FileEvent<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (event, behind) = decode(rest)?;
        rest = behind;
        Some(event)
    })
}

/// Decodes one `struct inotify_event`: four words, the last of which is the length of the name that
/// follows them.
fn decode(bytes: &[u8]) -> Option<(FileEvent<'_>, &[u8])> {
    let (watch, rest) = bytes.split_first_chunk()?;
    let (mask, rest) = rest.split_first_chunk()?;
    let (_cookie, rest) = rest.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_ne_bytes(*len)).ok()?;
    let (name, rest) = rest.split_at_checked(len)?;
    let watch = Watch(libc::c_int::from_ne_bytes(*watch));
    let mask = u32::from_ne_bytes(*mask);
    // The name is padded with zeros; it is empty in an event of the folder itself.
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let event = if mask & libc::IN_Q_OVERFLOW != 0 {
        FileEvent::Overflow
    } else if !name.is_empty() {
        let is_created = mask & libc::IN_CREATE != 0;
        let change = if is_created { FileChange::Created } else { FileChange::Other };
        FileEvent::File { watch, name, change }
    } else {
        FileEvent::Folder { watch }
    };
    Some((event, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    /// Encodes an event as the kernel does.
    fn encode(watch: i32, mask: u32, name: &[u8]) -> Vec<u8> {
        let len = u32::try_from(name.len()).unwrap();
        [&watch.to_ne_bytes()[..], &mask.to_ne_bytes(), &[0; 4], &len.to_ne_bytes(), name].concat()
    }

    #[test]
    fn events_are_of_a_file_or_of_the_folder_or_tell_of_a_loss() {
        let file = |name, change| FileEvent::File { watch: Watch(1), name, change };
        struct Case<'a>(&'static str, Vec<u8>, FileEvent<'a>);
        let cases = [
            Case("new", encode(1, libc::IN_CREATE, b"a\0\0\0"), file(b"a", FileChange::Created)),
            Case(
                "written",
                encode(1, libc::IN_CLOSE_WRITE, b"ab\0"),
                file(b"ab", FileChange::Other),
            ),
            Case(
                "no padding",
                encode(1, libc::IN_DELETE, b"abcd"),
                file(b"abcd", FileChange::Other),
            ),
            Case(
                "gone",
                encode(1, libc::IN_DELETE_SELF, b""),
                FileEvent::Folder { watch: Watch(1) },
            ),
            Case("ended", encode(1, libc::IN_IGNORED, b""), FileEvent::Folder { watch: Watch(1) }),
            Case("lost", encode(-1, libc::IN_Q_OVERFLOW, b""), FileEvent::Overflow),
        ];
        for Case(label, bytes, want) in &cases {
            assert_eq!(events(bytes).collect::<Vec<_>>(), [*want], "{label}");
        }
        let all: Vec<u8> = cases.iter().flat_map(|Case(_, bytes, _)| bytes.clone()).collect();
        assert!(events(&all).eq(cases.iter().map(|Case(_, _, want)| *want)));
        for len in 0..all.len() {
            assert!(events(&all[..len]).count() < cases.len(), "cut after {len} bytes");
        }
    }

    #[test]
    fn a_name_that_claims_to_be_longer_than_all_there_is_ends_it() {
        let mut bytes = encode(1, libc::IN_CREATE, b"a\0\0\0");
        bytes[12..16].fill(0xff);
        assert_eq!(events(&bytes).count(), 0);
    }

    /// Reads the waiting events.
    fn drain(queue: &OwnedFd) -> Vec<u8> {
        let mut buffer = [0; 4096];
        match read(queue, &mut buffer) {
            Ok(len) => buffer[..len].to_vec(),
            Err(err) => {
                assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
                Vec::new()
            }
        }
    }

    #[test]
    fn the_kernel_tells_before_the_call_that_changes_something_returns() {
        let dir: PathBuf = std::env::temp_dir().join(format!("inotify-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let queue = queue().unwrap();
        let watch = watch_folder(&queue, &dir).unwrap();
        assert!(drain(&queue).is_empty());

        // A child process writes: a program that another test starts meanwhile would inherit this
        // process's descriptor and delay the close.
        let mut writer = Command::new("sh");
        writer.args(["-c", "echo text > \"$0\""]).arg(dir.join("a"));
        assert!(writer.status().unwrap().success());
        let file = |name, change| FileEvent::File { watch, name, change };
        let seen = drain(&queue);
        let want = [file(&b"a"[..], FileChange::Created), file(b"a", FileChange::Other)];
        assert_eq!(events(&seen).collect::<Vec<_>>(), want);

        fs::rename(dir.join("a"), dir.join("b")).unwrap();
        let seen = drain(&queue);
        let want = [file(&b"a"[..], FileChange::Other), file(b"b", FileChange::Other)];
        assert_eq!(events(&seen).collect::<Vec<_>>(), want);

        fs::remove_file(dir.join("b")).unwrap();
        fs::remove_dir(&dir).unwrap();
        let seen = drain(&queue);
        let gone = FileEvent::Folder { watch };
        assert_eq!(events(&seen).collect::<Vec<_>>(), [file(b"b", FileChange::Other), gone, gone]);
        assert_eq!(unwatch(&queue, watch).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        let err = watch_folder(&queue, &dir).unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::ENOENT));
    }
}
