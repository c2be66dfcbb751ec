// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `snapshot`: the file of an open change, once as it is and once as the content behind a
//! correct checksum.
//!
//! Every accepted snapshot can be encoded again, and decodes to the same snapshot.

use virtinterfaced::snapshot::Snapshot;
use virtinterfaced::xdr::seal::{Magic, seal};

/// See the module.
pub fn run(input: &[u8]) {
    let empty = Snapshot::default().encode();
    let Some((magic, _)) = empty.split_first_chunk::<{ size_of::<Magic>() }>() else { return };
    for bytes in [input.to_vec(), seal(magic, |body| body.extend_from_slice(input))] {
        let Ok(found) = Snapshot::decode(&bytes) else { continue };
        // Duplicates in the input are kept once.
        let written = found.encode();
        let kept = Snapshot::decode(&written);
        assert_eq!(kept.as_ref().map(Snapshot::encode), Ok(written));
        let again = kept.as_ref().map(|kept| Snapshot::decode(&kept.encode()));
        assert_eq!(again, Ok(kept.clone()));
    }
}
