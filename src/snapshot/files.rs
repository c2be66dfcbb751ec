// SPDX-License-Identifier: LGPL-2.1-or-later
//! The definition files of a snapshot.

use std::collections::BTreeSet;

use crate::definitions::files::FilePath;
use crate::limits::{DEFINITION_COUNT_MAX, DEFINITION_LEN_MAX, PATH_LEN_MAX};
use crate::model::sorted::SortedMap;
use crate::snapshot::SnapshotError;
use crate::xdr::reader::Reader;
use crate::xdr::writer::Writer;

/// The tags of [`KeptFile`].
mod kind {
    pub(super) const FILE: u32 = 0;
    pub(super) const LINK: u32 = 1;
    pub(super) const UNREAD: u32 = 2;
}

/// The definition files of a host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Files {
    /// The directory that paths begin at.
    pub root: Vec<u8>,
    pub by_path: KeptFiles,
}

/// Files by their path below the root.
pub type KeptFiles = SortedMap<FilePath, KeptFile>;

/// One file, with the properties to be restored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeptFile {
    File(StoredFile),
    /// A symbolic link, and the file below the root that it leads to, which is written through it.
    Link {
        text: Vec<u8>,
        target: Option<Target>,
    },
    /// It exists and cannot be read: a rollback leaves it alone.
    Unread,
}

/// The content, owner and mode of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredFile {
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// The file that a link leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    pub path: FilePath,
    pub file: StoredFile,
}

impl KeptFile {
    /// The content of the file, or of the one that the link leads to.
    pub fn content(&self) -> Option<&[u8]> {
        match self {
            Self::File(file) | Self::Link { target: Some(Target { file, .. }), .. } => {
                Some(&file.bytes)
            }
            Self::Link { target: None, .. } | Self::Unread => None,
        }
    }
}

/// The restoration of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileRestoration {
    pub path: FilePath,
    pub before: Option<KeptFile>,
    pub after: Option<KeptFile>,
}

/// The restorations that make the files `then` from the files `now`, in the order of their paths. A
/// file that could not be read then is left alone.
pub fn restorations(then: &KeptFiles, now: &KeptFiles) -> Vec<FileRestoration> {
    let paths: BTreeSet<_> = then.keys().chain(now.keys()).collect();
    let restoration = |path: &FilePath| {
        let (before, after) = (now.get(path).cloned(), then.get(path).cloned());
        (before != after && after != Some(KeptFile::Unread)).then(|| FileRestoration {
            path: path.clone(),
            before,
            after,
        })
    };
    paths.into_iter().filter_map(restoration).collect()
}

pub(super) fn encode(writer: &mut Writer<'_>, files: &Files) {
    writer.opaque(&files.root);
    writer.count(files.by_path.len());
    for (path, file) in files.by_path.iter() {
        writer.opaque(path.as_bytes());
        match file {
            KeptFile::File(file) => {
                writer.u32(kind::FILE);
                encode_stored(writer, file);
            }
            KeptFile::Link { text, target } => {
                writer.u32(kind::LINK);
                writer.opaque(text);
                writer.flag(target.is_some());
                if let Some(Target { path, file }) = target {
                    writer.opaque(path.as_bytes());
                    encode_stored(writer, file);
                }
            }
            KeptFile::Unread => writer.u32(kind::UNREAD),
        }
    }
}

pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Files, SnapshotError> {
    let root = reader.opaque("root", PATH_LEN_MAX)?.to_vec();
    let mut files = Files { root, by_path: KeptFiles::default() };
    for _ in 0..reader.count("files", DEFINITION_COUNT_MAX)? {
        let path = decode_path(reader)?;
        let file = match reader.u32("kind")? {
            kind::FILE => KeptFile::File(decode_stored(reader)?),
            kind::LINK => {
                let text = reader.opaque("link", PATH_LEN_MAX)?.to_vec();
                let target = reader.flag("target")?.then(|| decode_target(reader)).transpose()?;
                KeptFile::Link { text, target }
            }
            kind::UNREAD => KeptFile::Unread,
            _ => return Err(SnapshotError::Content("kind")),
        };
        files.by_path.insert(path, file);
    }
    Ok(files)
}

fn decode_path(reader: &mut Reader<'_>) -> Result<FilePath, SnapshotError> {
    let path = FilePath::new(reader.opaque("path", PATH_LEN_MAX)?);
    path.ok_or(SnapshotError::Content("path"))
}

fn decode_target(reader: &mut Reader<'_>) -> Result<Target, SnapshotError> {
    Ok(Target { path: decode_path(reader)?, file: decode_stored(reader)? })
}

fn encode_stored(writer: &mut Writer<'_>, file: &StoredFile) {
    let StoredFile { bytes, mode, uid, gid } = file;
    [mode, uid, gid].into_iter().for_each(|number| writer.u32(*number));
    writer.opaque(bytes);
}

fn decode_stored(reader: &mut Reader<'_>) -> Result<StoredFile, SnapshotError> {
    let (mode, uid, gid) = (reader.u32("mode")?, reader.u32("uid")?, reader.u32("gid")?);
    let len_max = usize::try_from(DEFINITION_LEN_MAX).unwrap_or(usize::MAX);
    let bytes = reader.opaque("bytes", len_max)?.to_vec();
    Ok(StoredFile { bytes, mode, uid, gid })
}
