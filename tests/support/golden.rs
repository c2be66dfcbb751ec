// SPDX-License-Identifier: LGPL-2.1-or-later
//! Golden files: what was captured, and beside it what we make of it.
//!
//! A folder below `tests/golden` is listed, never named file by file. A `.hex` file starts with a
//! line that tells how it was captured; then come messages, an empty line between two. Its partner
//! is the `.txt` of the same name. `UPDATE_GOLDEN=1` rewrites partners, and the difference is read
//! like code.

use std::path::{Path, PathBuf};

/// A file of captured messages.
pub(crate) struct Capture {
    /// How it was captured.
    pub(crate) origin: String,
    pub(crate) messages: Vec<Vec<u8>>,
}

impl Capture {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let (origin, body) = text.split_once("\n\n").unwrap();
        assert!(origin.starts_with("# "), "{}: how was it captured?", path.display());
        let messages = body.split("\n\n").map(unhex).collect();
        Self { origin: origin.to_owned(), messages }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// A folder of golden files.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Holds what `read` makes of each capture in a folder against the capture's partner. A partner
/// without a capture is an error too.
pub(crate) fn compare_all(name: &str, read: impl Fn(&Capture) -> String) {
    let captures = files(name, "hex");
    assert!(!captures.is_empty(), "{name}: no capture found");
    for path in &captures {
        compare(&path.with_extension("txt"), &read(&Capture::read(path)));
    }
    for path in files(name, "txt") {
        assert!(path.with_extension("hex").exists(), "{}: no .hex beside it", path.display());
    }
}

fn files(name: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

fn compare(path: &Path, actual: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test has no daemon.rs to ask")]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|err| panic!("{}: {err}; UPDATE_GOLDEN=1 writes it", path.display()));
    assert_eq!(actual, expected, "{}", path.display());
}
