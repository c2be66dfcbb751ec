// SPDX-License-Identifier: LGPL-2.1-or-later
//! The identity of the current boot.

use std::path::Path;

use crate::io::files;
use crate::limits::BOOT_ID_LEN_MAX;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Returns the kernel's ID of this boot; empty without /proc.
pub fn id() -> String {
    let id = files::read_text(Path::new(BOOT_ID), BOOT_ID_LEN_MAX as u64).unwrap_or_default();
    id.trim_end().to_owned()
}
