// SPDX-License-Identifier: LGPL-2.1-or-later
//! Golden files: captured data, each with a partner file that holds the library's output for it.
//!
//! All files of a directory below `tests/golden` are used. A `.hex` file begins with a line about
//! how it was captured, followed by messages that are separated by empty lines. Its partner is the
//! `.txt` file of the same name. `UPDATE_GOLDEN=1` rewrites partners; the diff is reviewed like
//! code. In a directory of texts, the test chooses the suffixes.

#![allow(dead_code, reason = "each test binary uses its own part")]

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

/// A directory of golden files.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Compares the output of `read` for each capture in a directory with the capture's partner. A
/// partner without a capture is an error too.
pub(crate) fn compare_all(name: &str, read: impl Fn(&Capture) -> String) {
    for pair in pairs(name, ".hex", ".txt") {
        compare(&pair.expected, &read(&Capture::read(&pair.given)));
    }
}

/// As [`compare_all`], where each file is a text: `given` and `expected` are the suffixes.
pub(crate) fn compare_texts(
    name: &str,
    given: &str,
    expected: &str,
    read: impl Fn(&str) -> String,
) {
    for pair in pairs(name, given, expected) {
        compare(&pair.expected, &read(&std::fs::read_to_string(&pair.given).unwrap()));
    }
}

/// A file and its partner.
pub(crate) struct Pair {
    /// The common name of both, without suffixes.
    pub(crate) name: String,
    pub(crate) given: PathBuf,
    pub(crate) expected: PathBuf,
}

/// The pairs of a directory, sorted by name. The partner of a file may be missing; a partner
/// without its file is an error, as is any other file.
pub(crate) fn pairs(name: &str, given: &str, expected: &str) -> Vec<Pair> {
    let folder = folder(name);
    let entries = std::fs::read_dir(&folder).unwrap();
    let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut stems = Vec::new();
    for file in files {
        // One suffix may be the end of the other.
        if let Some(stem) = file.strip_suffix(expected) {
            let path = folder.join(format!("{stem}{given}"));
            assert!(path.exists(), "{name}/{file}: no {given} beside it");
        } else {
            let stem = file.strip_suffix(given);
            stems.push(stem.unwrap_or_else(|| panic!("{name}/{file}: what is it?")).to_owned());
        }
    }
    assert!(!stems.is_empty(), "{name}: nothing found");
    stems.sort();
    let pair = |stem: String| Pair {
        given: folder.join(format!("{stem}{given}")),
        expected: folder.join(format!("{stem}{expected}")),
        name: stem,
    };
    stems.into_iter().map(pair).collect()
}

/// Compares `actual` with a file.
pub(crate) fn compare(path: &Path, actual: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test has no daemon.rs to ask")]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|err| panic!("{}: {err}; UPDATE_GOLDEN=1 writes it", path.display()));
    assert_eq!(actual, expected, "{}", path.display());
}
