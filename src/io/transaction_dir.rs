// SPDX-License-Identifier: LGPL-2.1-or-later
//! The directory of an open transaction's files, which outlive the daemon, a power loss and a
//! reboot.
//!
//! `snapshot` is the state that a rollback restores. A rollback begins by renaming it to
//! `rollback`; from then on an interrupted daemon's successor continues the rollback. `journal` is
//! the state before the current job, for the successor of a daemon that dies during the job. Each
//! file is complete or missing. `last` is a sentence that states how the last transaction ended by
//! itself. Below `aside`, in numbered folders, are files that an administrator might miss:
//! definition files that a rollback has replaced or removed, and snapshots that could not be
//! restored completely.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;

use crate::change::action::{TransactionFile, Unusable};
use crate::error::HostError;
use crate::io::files::{self, Replacement};
use crate::limits::{ASIDE_COUNT_MAX, SNAPSHOT_LEN_MAX, TRANSACTION_NOTE_LEN_MAX};
use crate::snapshot::Snapshot;
use crate::snapshot::files::{FileRestoration, KeptFile};
use crate::snapshot::writer::SnapshotWriter;

const SNAPSHOT: &str = "snapshot";
const ROLLBACK: &str = "rollback";
const JOURNAL: &str = "journal";
const ASIDE: &str = "aside";
const NOTE: &str = "last";

/// Accessible for its owner alone: its files contain definition files, which may not be readable
/// for others.
const DIR_MODE: u32 = 0o700;

/// The mode of the folder that libvirt's daemons share, and of those above it: the daemon that
/// creates them first does so for all daemons, some of which run as other users.
const SHARED_MODE: u32 = 0o755;

/// The number of trailing folders of the path that belong to the interface driver:
/// `interface/change`.
const OWN_DEPTH: usize = 2;

/// Bytes that are written to a file in the time that encoding an entry of a snapshot takes.
const WRITTEN_LEN: usize = 1024;

/// The directory of transactions.
#[derive(Debug)]
pub struct TransactionDir {
    dir: PathBuf,
}

/// A snapshot being written.
#[derive(Debug)]
pub struct Writing {
    writer: SnapshotWriter,
    path: PathBuf,
    /// The file, once there are bytes to be written.
    file: Option<Replacement>,
    written_len: usize,
    /// Whether the file is on the disk, and the encoded snapshot freed.
    is_written: bool,
}

impl TransactionDir {
    /// Creates and reads nothing before it is needed.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Reads one of the files, if it exists.
    ///
    /// # Errors
    /// The file cannot be read, or is invalid, with the reason in the text.
    pub fn read(&self, file: TransactionFile) -> Result<Option<Snapshot>, Unusable> {
        let path = self.path(file);
        let bytes = match files::read(&path, SNAPSHOT_LEN_MAX) {
            Err(err) if err.errno() == libc::ENOENT => return Ok(None),
            bytes => bytes.map_err(Unusable::Unread)?,
        };
        Snapshot::decode(&bytes).map(Some).map_err(|err| {
            let object = format!("{} ({err})", path.display());
            let cause = io::Error::from_raw_os_error(libc::EBADMSG);
            Unusable::Corrupt(HostError::new("use", object, &cause))
        })
    }

    /// Begins to write one of the files, durably and in parts.
    ///
    /// # Errors
    /// The kernel refused. The file is then missing, or unchanged.
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
    /// The kernel refused.
    pub fn remove(&self, file: TransactionFile) -> Result<(), HostError> {
        files::remove(&self.path(file))
    }

    /// Returns whether one of the files exists, or may exist.
    pub fn has(&self, file: TransactionFile) -> bool {
        !matches!(fs::symlink_metadata(self.path(file)), Err(err) if is_absence(&err))
    }

    /// Writes how a transaction has ended by itself.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn write_note(&self, text: &str) -> Result<(), HostError> {
        self.make_dir()?;
        files::replace(&self.dir.join(NOTE), text.as_bytes())
    }

    /// Returns how the last transaction has ended by itself, if it has.
    pub(crate) fn read_note(&self) -> Option<String> {
        files::read_text_if_any(&self.dir.join(NOTE), TRANSACTION_NOTE_LEN_MAX).ok().flatten()
    }

    /// Removes the note, as another transaction has begun.
    pub(crate) fn forget_note(&self) {
        // A note that cannot be removed is overwritten by the next one.
        let _ = fs::remove_file(self.dir.join(NOTE));
    }

    /// Marks the open transaction as being rolled back, even after an interruption.
    ///
    /// # Errors
    /// The kernel refused. The transaction stays open.
    pub(crate) fn begin_rollback(&self) -> Result<(), HostError> {
        files::rename(&self.path(TransactionFile::Snapshot), &self.path(TransactionFile::Rollback))
    }

    /// Moves a file that is no longer needed to `aside`, where an administrator can examine it.
    /// Returns its new path.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn put_aside(&self, file: TransactionFile) -> Result<PathBuf, HostError> {
        let from = self.path(file);
        let set = self.make_set()?;
        let name = from.file_name().unwrap_or_default();
        files::rename(&from, &set.join(name))?;
        Ok(set)
    }

    /// Copies files that are about to be replaced or removed to `aside`. Returns the folder, if
    /// there was anything to copy.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn keep_aside(
        &self,
        restored: &[&FileRestoration],
    ) -> Result<Option<PathBuf>, HostError> {
        let abandoned = restored.iter().filter_map(|file| {
            let before = file.before.as_ref().and_then(KeptFile::content)?;
            let after = file.after.as_ref().and_then(KeptFile::content);
            // A file of which only the mode or owner changes is not lost.
            (after != Some(before)).then_some((&file.path, before))
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

    /// Creates a folder below `aside`, and removes the oldest ones beyond the limit.
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
    /// Writes up to `entry_count` further entries of the snapshot, which must be the one that the
    /// writing began with. Returns whether the file is on the disk.
    ///
    /// # Errors
    /// As [`TransactionDir::begin_writing`].
    pub fn poll(&mut self, snapshot: &Snapshot, entry_count: usize) -> Result<bool, HostError> {
        let written = self.go_on(snapshot, entry_count);
        if written.is_err() {
            // The file may exist, but not on the disk.
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

    /// Abandons the file.
    pub(crate) fn give_up(self) {
        self.file.into_iter().for_each(Replacement::give_up);
    }
}

/// Returns whether the error means that the file or its folder is missing.
fn is_absence(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// Returns the numbers of the existing folders below `aside`, in order.
fn set_numbers(aside: &Path) -> Vec<u64> {
    let entries = fs::read_dir(aside).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_told_from_a_corrupt_one() {
        let name = format!("transaction-dir-{}", std::process::id());
        let dir = TransactionDir::new(std::env::temp_dir().join(name));
        let path = dir.path(TransactionFile::Snapshot);
        assert!(matches!(dir.read(TransactionFile::Snapshot), Ok(None)));
        fs::create_dir_all(&path).unwrap();
        let Err(Unusable::Unread(err)) = dir.read(TransactionFile::Snapshot) else { panic!() };
        assert_eq!(err.errno(), libc::EISDIR);
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "torn").unwrap();
        let Err(Unusable::Corrupt(err)) = dir.read(TransactionFile::Snapshot) else { panic!() };
        assert!(err.to_string().contains(path.to_str().unwrap()), "{err}");
        fs::remove_dir_all(&dir.dir).unwrap();
    }
}
