// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`SnapshotWriter`]: encodes a snapshot's file in parts, as a host may have a hundred thousand
//! routes.

use super::{MAGIC, Snapshot, encode_network, encode_opening, files};
use crate::host::record::RecordPosition;
use crate::model::shed::shed;
use crate::xdr::seal::{self, Seal};
use crate::xdr::writer::{Opaque, Writer};

/// The number of bytes that are sealed in the time in which an entry is encoded.
const SEALED_LEN: usize = 1024;

/// A file that is being encoded. Each part must be given the same snapshot.
#[derive(Debug)]
pub struct SnapshotWriter {
    file: Vec<u8>,
    stage: WriterStage,
}

/// The next part.
#[derive(Debug)]
enum WriterStage {
    /// The kernel's messages, from this place on.
    Host(Option<Opaque>, RecordPosition),
    Seal(Seal),
    Done,
}

impl SnapshotWriter {
    /// Begins a file.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut file = seal::begin(MAGIC);
        let mut writer = Writer::new(&mut file);
        encode_opening(&mut writer, &snapshot.opening);
        files::encode(&mut writer, &snapshot.files);
        writer.flag(snapshot.network.is_some());
        let host = snapshot.network.as_ref().map(|network| {
            encode_network(&mut writer, network);
            writer.begin_opaque()
        });
        Self { file, stage: WriterStage::Host(host, RecordPosition::default()) }
    }

    /// Encodes so many more entries of the record. `true` when the file is whole.
    pub fn poll(&mut self, snapshot: &Snapshot, mut count: usize) -> bool {
        let Self { file, stage } = self;
        if let WriterStage::Host(opaque, place) = stage {
            if let Some(network) = &snapshot.network {
                if !network.host.encode_part(place, file, &mut count) {
                    return false;
                }
                let opaque = opaque.take();
                opaque.into_iter().for_each(|opaque| Writer::new(file).end_opaque(opaque));
            }
            *stage = WriterStage::Seal(Seal::default());
        }
        if let WriterStage::Seal(seal) = stage {
            if !seal.poll(file, count.saturating_mul(SEALED_LEN)) {
                return false;
            }
            *stage = WriterStage::Done;
        }
        true
    }

    /// The bytes of the file so far.
    pub fn file(&self) -> &[u8] {
        &self.file
    }

    /// Frees so many kilobytes at the end of the file. `true` when nothing is left.
    pub(crate) fn free_part(&mut self, count: usize) -> bool {
        shed(&mut self.file, &mut count.saturating_mul(SEALED_LEN))
    }

    /// The same, by value.
    pub fn into_file(self) -> Vec<u8> {
        self.file
    }
}
