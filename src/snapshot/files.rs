// SPDX-License-Identifier: LGPL-2.1-or-later
//! The definition files of a snapshot.

use std::collections::BTreeSet;

use crate::definitions::files::FilePath;
use crate::limits::{DEFINITION_LEN_MAX, PATH_LEN_MAX};
use crate::model::sorted::SortedMap;
use crate::snapshot::SnapshotError;
use crate::xdr::reader::Reader;
use crate::xdr::writer::Writer;

/// Which [`KeptFile`] follows.
mod kind {
    pub(super) const FILE: u32 = 0;
    pub(super) const LINK: u32 = 1;
    pub(super) const UNREAD: u32 = 2;
}

/// The definition files, by path.
pub type Files = SortedMap<FilePath, KeptFile>;

/// One file, as it is to be put back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeptFile {
    File {
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A symbolic link, and what it says.
    Link(Vec<u8>),
    /// It is there and cannot be read: a rollback leaves it alone.
    Unread,
}

/// What is to become of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileRestoration {
    pub path: FilePath,
    pub before: Option<KeptFile>,
    pub after: Option<KeptFile>,
}

/// What makes the files `now` those of `then`, in the order of their paths. A file that could not be
/// read then stays as it is.
pub fn restorations(then: &Files, now: &Files) -> Vec<FileRestoration> {
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

pub(super) fn encode(writer: &mut Writer<'_>, path: &FilePath, file: &KeptFile) {
    writer.opaque(path.as_bytes());
    match file {
        KeptFile::File { bytes, mode, uid, gid } => {
            writer.u32(kind::FILE);
            [mode, uid, gid].into_iter().for_each(|number| writer.u32(*number));
            writer.opaque(bytes);
        }
        KeptFile::Link(target) => {
            writer.u32(kind::LINK);
            writer.opaque(target);
        }
        KeptFile::Unread => writer.u32(kind::UNREAD),
    }
}

pub(super) fn decode(reader: &mut Reader<'_>) -> Result<(FilePath, KeptFile), SnapshotError> {
    let path = FilePath::new(reader.opaque("path", PATH_LEN_MAX)?);
    let path = path.ok_or(SnapshotError::Content("path"))?;
    let file = match reader.u32("kind")? {
        kind::FILE => {
            let (mode, uid, gid) = (reader.u32("mode")?, reader.u32("uid")?, reader.u32("gid")?);
            let len_max = usize::try_from(DEFINITION_LEN_MAX).unwrap_or(usize::MAX);
            let bytes = reader.opaque("bytes", len_max)?.to_vec();
            KeptFile::File { bytes, mode, uid, gid }
        }
        kind::LINK => KeptFile::Link(reader.opaque("target", PATH_LEN_MAX)?.to_vec()),
        kind::UNREAD => KeptFile::Unread,
        _ => return Err(SnapshotError::Content("kind")),
    };
    Ok((path, file))
}
