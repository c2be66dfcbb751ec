// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Patch`]: changes of the bytes of the host's files, and the edits that they amount to.

use std::ops::Range;

use crate::backend::ifupdown::host::{HostFiles, Place};
use crate::definitions::files::{FileEdit, FileSet};
use crate::ifupdown::line::{self, Line};

/// Changes of ranges of files.
#[derive(Debug, Default)]
pub(super) struct Patch {
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    file: usize,
    range: Range<usize>,
    text: String,
}

impl Patch {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Removes whole lines.
    pub(super) fn remove_line(&mut self, host: &HostFiles<'_>, place: Place) {
        if let Some(line) = line_at(host, place) {
            self.replace(place.file, line.range.clone(), String::new());
        }
    }

    /// Replaces the words of a line from one to another one.
    pub(super) fn replace_words(
        &mut self,
        host: &HostFiles<'_>,
        place: Place,
        (first, last): (usize, usize),
        text: String,
    ) {
        let Some(line) = line_at(host, place) else { return };
        if let (Some(first), Some(last)) = (line.words.get(first), line.words.get(last)) {
            self.replace(place.file, first.start..last.end, text);
        }
    }

    /// Removes a word, and the blanks before it.
    pub(super) fn remove_word(&mut self, host: &HostFiles<'_>, place: Place, word: usize) {
        let Some(line) = line_at(host, place) else { return };
        let before = word.checked_sub(1).and_then(|before| line.words.get(before));
        if let (Some(before), Some(word)) = (before, line.words.get(word)) {
            self.replace(place.file, before.end..word.end, String::new());
        }
    }

    /// Adds lines behind a line.
    pub(super) fn insert_behind(&mut self, host: &HostFiles<'_>, place: Place, text: &str) {
        let (Some(line), Some(tree)) = (line_at(host, place), host.tree(place.file)) else {
            return;
        };
        let is_ended = line::part(tree.bytes, line.range.clone()).ends_with(b"\n");
        let text = match is_ended {
            true => text.to_owned(),
            false => format!("{}{text}", end_of_lines(tree.bytes)),
        };
        self.replace(place.file, line.range.end..line.range.end, text);
    }

    /// Adds lines before a line.
    pub(super) fn insert_before(&mut self, host: &HostFiles<'_>, place: Place, text: String) {
        if let Some(line) = line_at(host, place) {
            self.replace(place.file, line.range.start..line.range.start, text);
        }
    }

    /// Adds a stanza at the end of a file, behind a blank line.
    pub(super) fn append(&mut self, host: &HostFiles<'_>, file: usize, text: &str) {
        let Some(tree) = host.tree(file) else { return };
        let end_of_line = end_of_lines(tree.bytes);
        let is_first = !self.changes.iter().any(|it| it.range.start >= tree.bytes.len());
        let end = match tree.bytes {
            b"" if is_first => "",
            bytes if is_first && !bytes.ends_with(b"\n") => &format!("{end_of_line}{end_of_line}"),
            bytes if is_first && (bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n")) => "",
            _ => end_of_line,
        };
        let text = format!("{end}{text}");
        self.replace(file, tree.bytes.len()..tree.bytes.len(), text);
    }

    /// The edits; `None` if two changes are about the same bytes.
    pub(super) fn edits(mut self, host: &HostFiles<'_>, files: &FileSet) -> Option<Vec<FileEdit>> {
        self.changes.sort_by_key(|change| (change.file, change.range.start, change.range.end));
        let mut edits = Vec::new();
        for (file, (path, tree)) in host.files.iter().enumerate() {
            let mut text = Vec::with_capacity(tree.bytes.len());
            let mut at = 0;
            for change in self.changes.iter().filter(|change| change.file == file) {
                if change.range.start < at {
                    return None;
                }
                text.extend_from_slice(line::part(tree.bytes, at..change.range.start));
                text.extend_from_slice(change.text.as_bytes());
                at = change.range.end;
            }
            text.extend_from_slice(line::part(tree.bytes, at..tree.bytes.len()));
            if text != tree.bytes {
                edits.extend(files.edit(path.clone(), Some(text)));
            }
        }
        Some(edits)
    }

    fn replace(&mut self, file: usize, range: Range<usize>, text: String) {
        self.changes.push(Change { file, range, text });
    }
}

fn line_at<'a>(host: &'a HostFiles<'_>, place: Place) -> Option<&'a Line> {
    host.tree(place.file)?.lines.get(place.line)
}

/// The line ending of a file.
pub(super) fn end_of_lines(bytes: &[u8]) -> &'static str {
    let first = bytes.iter().position(|byte| *byte == b'\n');
    let before = first.and_then(|at| at.checked_sub(1)).and_then(|at| bytes.get(at));
    if before == Some(&b'\r') { "\r\n" } else { "\n" }
}
