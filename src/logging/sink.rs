// SPDX-License-Identifier: LGPL-2.1-or-later
//! The destination of formatted log lines: standard error, a file or a socket.
//!
//! Knows nothing of levels and formats. A sink never blocks, never fails its caller and never ends
//! the process: a line that it cannot deliver at once is lost and noted as lost. If a full disk
//! truncates a line, a line feed precedes the next one.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::HostError;
use crate::io::folders;
use crate::sys::{file, process, socket};

/// The file behind standard error.
const STDERR: &str = "/proc/self/fd/2";

/// A sink. Each call of [`Write::write`] is one line.
#[derive(Debug)]
pub(super) struct Sink {
    place: Destination,
    /// The last write ended within a line.
    is_torn: bool,
    has_failed: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Destination {
    Stderr,
    File(File),
    /// A datagram socket. Each line goes to the socket that is bound to `path` at that time, so a
    /// service that restarts is found again.
    Socket {
        socket: OwnedFd,
        path: PathBuf,
    },
}

impl Sink {
    /// Returns a sink for standard error, resolved anew for each line.
    pub(super) fn stderr() -> Self {
        Self::new(Destination::Stderr)
    }

    /// Returns a sink for the file at `path`, which is created with access for its owner alone. A
    /// device such as `/dev/console`, or a pipe with a reader, is accepted; a block device is
    /// refused, as lines would overwrite its content. In a folder that other users can change,
    /// symbolic links are not followed, and the file must belong to this user and have no other
    /// name.
    pub(super) fn file(path: &Path) -> Result<Self, HostError> {
        let refuse =
            |err: &io::Error| HostError::new("open log file", path.display().to_string(), err);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let is_shared = folders::is_shared(path);
        let follow = if is_shared { libc::O_NOFOLLOW } else { 0 };
        let file = open_for_lines(&mut options, path, follow).map_err(|err| refuse(&err))?;
        let found = file.metadata().map_err(|err| refuse(&err))?;
        if found.file_type().is_block_device() {
            return Err(refuse(&io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
        }
        let is_ours = found.uid() == process::effective_uid() && found.nlink() == 1;
        if is_shared && !is_ours {
            return Err(refuse(&io::Error::from_raw_os_error(libc::EPERM)));
        }
        Ok(Self::new(Destination::File(file)))
    }

    /// Returns a sink for the datagram socket at `path`, which need not exist yet.
    pub(super) fn socket(path: &Path) -> Result<Self, HostError> {
        let socket = socket::datagram()
            .map_err(|err| HostError::new("make a socket for", path.display().to_string(), &err))?;
        Ok(Self::new(Destination::Socket { socket, path: path.to_owned() }))
    }

    fn new(place: Destination) -> Self {
        Self { place, is_torn: false, has_failed: Arc::default() }
    }

    /// Returns the flag that is set when a line is lost. The caller clears it before the next line.
    pub(super) fn has_failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_failed)
    }

    fn deliver(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.place.put(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            let len = self.place.put(rest)?;
            rest = rest.get(len..).unwrap_or_default();
            self.is_torn = !rest.is_empty();
        }
        Ok(())
    }
}

impl Write for Sink {
    /// Takes the whole line, delivered or not.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.deliver(line).is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Destination {
    /// Writes as much of `bytes` as fits at once, at least one byte.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let outcome = match self {
                Self::Stderr => put_on_stderr(bytes),
                Self::File(file) => file.write(bytes),
                // A datagram is sent whole or not at all.
                Self::Socket { socket, path } => socket::send_to(socket, path, bytes),
            };
            match outcome {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }
}

/// Opens a file for log lines: non-blocking, not as a controlling terminal, and with these flags
/// (open(2)).
fn open_for_lines(options: &mut OpenOptions, path: &Path, flags: libc::c_int) -> io::Result<File> {
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | flags).open(path)
}

/// A terminal polls as ready once it takes one byte, and blocks for the rest of a line: for ever,
/// if it is a session over the network that is being configured. It is therefore reopened as a
/// non-blocking descriptor for each line; the shared descriptor keeps its flags.
fn put_on_stderr(bytes: &[u8]) -> io::Result<usize> {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        // A process that may not open the terminal falls back to the shared descriptor.
        if let Ok(mut terminal) =
            open_for_lines(OpenOptions::new().write(true), Path::new(STDERR), 0)
        {
            return terminal.write(bytes);
        }
    }
    put_if_ready(stderr, bytes)
}

/// Writes without blocking, although the descriptor may be a blocking one: other processes share
/// its flags, so they stay unchanged. A descriptor that is ready takes a whole line, as lines are
/// short.
fn put_if_ready(mut out: impl AsFd + Write, bytes: &[u8]) -> io::Result<usize> {
    if file::is_ready_for_writing(&out) {
        out.write(bytes)
    } else {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_LINE_LEN_MAX;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("sink-{}-{name}", std::process::id()))
    }

    /// Returns whether the sink reports the line as delivered.
    fn is_delivered(sink: &mut Sink, line: &[u8]) -> bool {
        let has_failed = sink.has_failed();
        has_failed.store(false, Ordering::Relaxed);
        assert_eq!(sink.write(line).unwrap(), line.len());
        !has_failed.load(Ordering::Relaxed)
    }

    #[test]
    fn in_a_folder_that_others_can_change_no_link_is_followed_and_no_other_name_written_to() {
        let (dir, precious) = (temporary("shared"), temporary("precious"));
        fs::create_dir(&dir).unwrap();
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, dir.join("link")).unwrap();
        fs::hard_link(&precious, dir.join("name")).unwrap();
        let refusals = |mode| {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            ["link", "name", "new"]
                .map(|name| Sink::file(&dir.join(name)).err().map(|err| err.errno()))
        };
        assert_eq!(refusals(0o777), [Some(libc::ELOOP), Some(libc::EPERM), None]);
        assert_eq!(refusals(0o755), [None; 3]);
        fs::remove_dir_all(&dir).unwrap();
        fs::remove_file(&precious).unwrap();
    }

    #[test]
    fn a_file_is_its_owners_and_is_appended_to() {
        let path = temporary("file");
        for _ in 0..2 {
            assert!(is_delivered(&mut Sink::file(&path).unwrap(), b"line\n"));
        }
        assert_eq!(fs::read(&path).unwrap(), b"line\nline\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_a_log_file_is_refused_by_name() {
        for (path, errno) in [
            ("/nonexistent/x", libc::ENOENT),
            ("/", libc::EISDIR),
            ("/proc/self/status/x", libc::ENOTDIR),
        ] {
            let err = Sink::file(Path::new(path)).unwrap_err();
            assert_eq!(err.errno(), errno, "{path}");
            assert!(err.to_string().contains(path), "{err}");
        }
    }

    #[test]
    fn a_full_disk_loses_the_line_and_nothing_else() {
        let mut sink = Sink::file(Path::new("/dev/full")).unwrap();
        assert!(!is_delivered(&mut sink, b"line\n"));
        assert!(!is_delivered(&mut sink, b"line\n"));
        assert!(!sink.is_torn);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let path = temporary("torn");
        let mut sink = Sink::file(&path).unwrap();
        assert!(is_delivered(&mut sink, b"first ha"));
        sink.is_torn = true;
        assert!(is_delivered(&mut sink, b"second\n"));
        assert!(is_delivered(&mut sink, b"third\n"));
        assert_eq!(fs::read(&path).unwrap(), b"first ha\nsecond\nthird\n");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_waits_when_it_is_full_is_not_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let line = [b'x'; LOG_LINE_LEN_MAX];
        let mut len = 0;
        let full = loop {
            match put_if_ready(&ours, &line) {
                Ok(written) => len += written,
                Err(err) => break err,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        theirs.read_exact(&mut vec![0; len]).unwrap();
        assert_eq!(put_if_ready(&ours, &line).unwrap(), line.len());
        drop(theirs);
        // A program that another test starts at this moment briefly holds a copy of the descriptor.
        let kind = || put_if_ready(&ours, &line).map_err(|err| err.kind());
        while !matches!(kind(), Err(io::ErrorKind::BrokenPipe)) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_socket_may_be_missing_dead_full_and_there_again() {
        let path = temporary("socket");
        let mut sink = Sink::socket(&path).unwrap();
        assert!(!is_delivered(&mut sink, b"before there is a receiver"));
        for _ in 0..2 {
            let receiver = UnixDatagram::bind(&path).unwrap();
            assert!(is_delivered(&mut sink, b"line"));
            let mut buffer = [0; 99];
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 4);
            // The receiver does not read any more: once its queue is full, a write fails at once.
            while is_delivered(&mut sink, b"line") {}
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 4);
            assert!(is_delivered(&mut sink, b"line"));
            drop(receiver);
            assert!(!is_delivered(&mut sink, b"after its death"));
            fs::remove_file(&path).unwrap();
        }
    }
}
