// SPDX-License-Identifier: LGPL-2.1-or-later
//! The directory in which an open transaction outlives the daemon, a loss of power, and a reboot.
//!
//! `snapshot` is what the change goes back to. A rollback begins by calling it `rollback`: whoever is
//! interrupted from then on goes back, and not forth. `journal` is the same of the moment before a job
//! of the change that is under way, for whoever dies in the middle of it. Each is there whole, or not
//! at all. `last` is a sentence that tells how the last change ended by itself. Below `aside`, numbered, is what nobody wants and somebody might miss: definition files
//! that a rollback has replaced or removed, and snapshots that could not be used to the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;

use crate::change::action::TransactionFile;
use crate::error::HostError;
use crate::io::files::{self, Replacement};
use crate::limits::{ASIDE_COUNT_MAX, CHANGE_NOTE_LEN_MAX, SNAPSHOT_LEN_MAX};
use crate::snapshot::writer::SnapshotWriter;
use crate::snapshot::{FileRestoration, KeptFile, Snapshot};

const SNAPSHOT: &str = "snapshot";
const ROLLBACK: &str = "rollback";
const JOURNAL: &str = "journal";
const ASIDE: &str = "aside";
const NOTE: &str = "last";

/// Its owner's alone: it has what definition files have, which may be as little for others to read.
const DIR_MODE: u32 = 0o700;

/// The folder that libvirt's daemons share, and those above it: whoever makes them first makes them
/// for all of the daemons, some of which run as other users.
const SHARED_MODE: u32 = 0o755;

/// How many folders of the path are the interface driver's own: `interface/change`.
const OWN_DEPTH: usize = 2;

/// Bytes of a file that are written in the time that an entry of a snapshot takes to be encoded.
const WRITTEN_LEN: usize = 1024;

/// Where open changes are kept.
#[derive(Debug)]
pub struct TransactionDir {
    dir: PathBuf,
}

/// A snapshot on its way to the disk.
#[derive(Debug)]
pub struct Writing {
    writer: SnapshotWriter,
    path: PathBuf,
    /// The file, once there is something to be written.
    file: Option<Replacement>,
    written_len: usize,
    /// The file is on the disk, and what it was made of is freed.
    is_written: bool,
}

impl TransactionDir {
    /// Nothing is made or read before it is needed.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Reads one of the files, if it is there.
    ///
    /// # Errors
    /// It cannot be read; `EBADMSG` if it makes no sense, as the text says.
    pub fn read(&self, file: TransactionFile) -> Result<Option<Snapshot>, HostError> {
        let path = self.path(file);
        let bytes = match files::read(&path, SNAPSHOT_LEN_MAX) {
            Err(err) if err.errno() == libc::ENOENT => return Ok(None),
            bytes => bytes?,
        };
        Snapshot::decode(&bytes).map(Some).map_err(|err| {
            let object = format!("{} ({err})", path.display());
            HostError::new("use", object, &io::Error::from_raw_os_error(libc::EBADMSG))
        })
    }

    /// Writes one of the files, durably.
    ///
    /// # Errors
    /// What the kernel says. There is no such file then, or the one that was there before.
    pub fn write(&self, file: TransactionFile, snapshot: &Snapshot) -> Result<(), HostError> {
        self.make_dir()?;
        let path = self.path(file);
        let written = files::replace(&path, &snapshot.encode());
        if written.is_err() {
            // It may be there all the same, and not on the disk.
            let _ = fs::remove_file(&path);
        }
        written
    }

    /// Begins to write one of the files, in parts.
    ///
    /// # Errors
    /// As [`TransactionDir::write`].
    pub(crate) fn begin_writing(
        &self,
        file: TransactionFile,
        snapshot: &Snapshot,
    ) -> Result<Writing, HostError> {
        self.make_dir()?;
        let writer = SnapshotWriter::new(snapshot);
        Ok(Writing { writer, path: self.path(file), file: None, written_len: 0, is_written: false })
    }

    /// Removes one of the files, durably.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&self, file: TransactionFile) -> Result<(), HostError> {
        files::remove(&self.path(file))
    }

    /// Whether one of the files is there, or may be.
    pub fn has(&self, file: TransactionFile) -> bool {
        !matches!(fs::symlink_metadata(self.path(file)), Err(err) if is_absence(&err))
    }

    /// Writes down how a change has ended by itself.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn write_note(&self, text: &str) -> Result<(), HostError> {
        self.make_dir()?;
        files::replace(&self.dir.join(NOTE), text.as_bytes())
    }

    /// How the last change has ended by itself, if it has.
    pub(crate) fn read_note(&self) -> Option<String> {
        files::read_text_if_any(&self.dir.join(NOTE), CHANGE_NOTE_LEN_MAX).ok().flatten()
    }

    /// Another change has begun.
    pub(crate) fn forget_note(&self) {
        // It is a courtesy, and the next one is written over it.
        let _ = fs::remove_file(self.dir.join(NOTE));
    }

    /// From now on the open change is to be rolled back, whatever happens.
    ///
    /// # Errors
    /// What the kernel says. The change is open as before then.
    pub(crate) fn begin_rollback(&self) -> Result<(), HostError> {
        files::rename(&self.path(TransactionFile::Snapshot), &self.path(TransactionFile::Rollback))
    }

    /// Puts one of the files aside that is of no further use, but that somebody may want to look at.
    /// Tells where.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn put_aside(&self, file: TransactionFile) -> Result<PathBuf, HostError> {
        let from = self.path(file);
        let set = self.make_set()?;
        let name = from.file_name().unwrap_or_default();
        files::rename(&from, &set.join(name))?;
        Ok(set)
    }

    /// Keeps copies of files that are about to be replaced by others or removed. Tells where, if there
    /// is anything to keep.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn keep_aside(
        &self,
        restored: &[&FileRestoration],
    ) -> Result<Option<PathBuf>, HostError> {
        let abandoned = restored.iter().filter_map(|file| match (&file.before, &file.after) {
            // Whose mode or owner alone changes is not lost.
            (Some(KeptFile::File { bytes, .. }), Some(KeptFile::File { bytes: again, .. }))
                if bytes == again =>
            {
                None
            }
            (Some(KeptFile::File { bytes, .. }), _) => Some((&file.path, bytes)),
            (Some(KeptFile::Link(_) | KeptFile::Unread) | None, _) => None,
        });
        let abandoned: Vec<_> = abandoned.collect();
        if abandoned.is_empty() {
            return Ok(None);
        }
        let set = self.make_set()?;
        for (path, bytes) in abandoned {
            let copy = files::below(&set, path);
            copy.parent().map_or(Ok(()), |dir| files::make_folder(dir, DIR_MODE))?;
            files::replace(&copy, bytes)?;
        }
        Ok(Some(set))
    }

    fn make_dir(&self) -> Result<(), HostError> {
        if let Some(shared) = self.dir.ancestors().nth(OWN_DEPTH) {
            files::make_folder(shared, SHARED_MODE)?;
        }
        files::make_folder(&self.dir, DIR_MODE)
    }

    fn path(&self, file: TransactionFile) -> PathBuf {
        self.dir.join(match file {
            TransactionFile::Snapshot => SNAPSHOT,
            TransactionFile::Rollback => ROLLBACK,
            TransactionFile::Journal => JOURNAL,
        })
    }

    /// Makes room for a set, and for no more than the newest of them.
    fn make_set(&self) -> Result<PathBuf, HostError> {
        self.make_dir()?;
        let aside = self.dir.join(ASIDE);
        files::make_folder(&aside, DIR_MODE)?;
        let mut numbers = set_numbers(&aside);
        let next = numbers.last().map_or(1, |last| last.saturating_add(1));
        let surplus = (numbers.len() + 1).saturating_sub(ASIDE_COUNT_MAX);
        for number in numbers.drain(..surplus) {
            let old = aside.join(number.to_string());
            if let Err(err) = fs::remove_dir_all(&old) {
                warn!("{}", HostError::new("remove", old.display().to_string(), &err));
            }
        }
        let set = aside.join(next.to_string());
        files::make_folder(&set, DIR_MODE)?;
        Ok(set)
    }
}

impl Writing {
    /// Goes on with so many entries of the snapshot, which is the one that it began with. `true` when it is
    /// on the disk.
    ///
    /// # Errors
    /// As [`TransactionDir::write`].
    pub fn poll(&mut self, snapshot: &Snapshot, entry_count: usize) -> Result<bool, HostError> {
        let written = self.go_on(snapshot, entry_count);
        if written.is_err() {
            // It may be there all the same, and not on the disk.
            let _ = fs::remove_file(&self.path);
        }
        written
    }

    fn go_on(&mut self, snapshot: &Snapshot, entry_count: usize) -> Result<bool, HostError> {
        if self.is_written {
            return Ok(self.writer.free_part(entry_count));
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None if self.writer.poll(snapshot, entry_count) => Replacement::begin(&self.path)?,
            None => return Ok(false),
        };
        let left = self.writer.file().get(self.written_len..).unwrap_or_default();
        let len = left.len().min(entry_count.saturating_mul(WRITTEN_LEN));
        if let Err(err) = file.write(left.get(..len).unwrap_or_default()) {
            file.give_up();
            return Err(err);
        }
        self.written_len += len;
        if len < left.len() {
            self.file = Some(file);
            return Ok(false);
        }
        file.finish()?;
        self.is_written = true;
        Ok(false)
    }

    /// Nothing is to be written.
    pub(crate) fn give_up(self) {
        self.file.into_iter().for_each(Replacement::give_up);
    }
}

/// Nothing has the name, or no folder is where it could be.
fn is_absence(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// The numbers of the sets that there are, in their order.
fn set_numbers(aside: &Path) -> Vec<u64> {
    let entries = fs::read_dir(aside).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}
