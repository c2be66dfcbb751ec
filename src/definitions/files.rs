// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definition files, by path, and edits of them.
//!
//! A backend knows the meaning of its files ([`crate::backend`]); here they are bytes.

use std::fmt;

use crate::error::HostError;
use crate::ifupdown::Dialect;
use crate::ifupdown::needs::Need;
use crate::limits::PATH_LEN_MAX;
use crate::model::sorted::SortedMap;

/// The path of a file below the root of its backend: `eth0.xml`, `interfaces.d/eth0`. It leads out
/// of the root only by symbolic links.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FilePath(Box<[u8]>);

impl FilePath {
    /// `None` if it is absolute, too long, or has a component that is empty, `.` or `..`.
    pub fn new(path: impl Into<Vec<u8>>) -> Option<Self> {
        let path: Vec<u8> = path.into();
        let is_name = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
        let is_path = path.len() < PATH_LEN_MAX
            && !path.contains(&0)
            && path.split(|byte| *byte == b'/').all(is_name);
        is_path.then(|| Self(path.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names of the folders that lead to the file, and its own.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The names of the folders that lead to the file, and its own name.
    pub fn split(&self) -> (impl Iterator<Item = &[u8]>, &[u8]) {
        let mut folders = self.components();
        let name = folders.next_back().unwrap_or_default();
        (folders, name)
    }
}

/// As text; bytes that are not text are escaped.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.contains(char::is_control) => f.write_str(text),
            Ok(_) | Err(_) => self.0.escape_ascii().fmt(f),
        }
    }
}

/// The state of one file when it was last read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileState {
    /// The whole content.
    Content(Vec<u8>),
    /// It is a directory, a pipe, or a file that the daemon may not read. It is never written.
    Unreadable(HostError),
}

impl FileState {
    /// The content, if it is known.
    pub fn content(&self) -> Option<&[u8]> {
        match self {
            Self::Content(bytes) => Some(bytes),
            Self::Unreadable(_) => None,
        }
    }
}

/// The definition files that exist, by path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FileSet {
    by_path: SortedMap<FilePath, FileState>,
}

impl FileSet {
    pub fn get(&self, path: &FilePath) -> Option<&FileState> {
        self.by_path.get(path)
    }

    /// The content of a file that exists and can be read.
    pub fn content(&self, path: &FilePath) -> Option<&[u8]> {
        self.get(path)?.content()
    }

    /// All files, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&FilePath, &FileState)> {
        self.by_path.iter()
    }

    /// Notes the new state of a file; `None` if it no longer exists.
    pub fn note(&mut self, path: FilePath, state: Option<FileState>) {
        match state {
            Some(state) => self.by_path.insert(path, state),
            None => self.by_path.remove(&path),
        };
    }

    /// The edit that makes `after` the content of a file, or removes it; `None` if it would change
    /// nothing.
    pub fn edit(&self, path: FilePath, after: Option<Vec<u8>>) -> Option<FileEdit> {
        let before = self.content(&path).map(<[u8]>::to_vec);
        (before != after).then_some(FileEdit { path, before, after })
    }
}

impl FromIterator<(FilePath, FileState)> for FileSet {
    fn from_iter<T: IntoIterator<Item = (FilePath, FileState)>>(files: T) -> Self {
        Self { by_path: files.into_iter().collect() }
    }
}

/// One file's change: its whole content before and after, `None` if it does not exist.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileEdit {
    pub path: FilePath,
    pub before: Option<Vec<u8>>,
    pub after: Option<Vec<u8>>,
}

impl FileEdit {
    /// The edit that undoes this one.
    pub fn inverse(&self) -> Self {
        Self { path: self.path.clone(), before: self.after.clone(), after: self.before.clone() }
    }
}

/// New text of the definition files as one file, for the host's own program to read before any of
/// them is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileCheck {
    /// The file beside which the text is put for the program.
    pub path: FilePath,
    pub text: Vec<u8>,
    /// The program.
    pub dialect: Dialect,
    /// The files that it needs at boot for the interfaces that are changed.
    pub needs: Vec<Need>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_root() {
        for path in ["eth0.xml", "interfaces.d/eth0", "a/b/c", "...", ".hidden", "brücke.xml"] {
            assert_eq!(FilePath::new(path).unwrap().to_string(), path);
        }
        let long = "x".repeat(PATH_LEN_MAX);
        let wrong =
            ["", "/etc/passwd", "../passwd", "a/../b", "a//b", "a/", ".", "a/.", "\0", &long];
        for path in wrong {
            assert_eq!(FilePath::new(path), None, "{path:?}");
        }
    }

    #[test]
    fn a_path_is_shown_on_one_line() {
        let shown = |bytes: &[u8]| FilePath::new(bytes).unwrap().to_string();
        assert_eq!(shown(b"eth\xff.xml"), r"eth\xff.xml");
        assert_eq!(shown(b"a\nb"), r"a\nb");
    }

    #[test]
    fn an_edit_changes_something_and_its_inverse_changes_it_back() {
        let path = |path| FilePath::new(path).unwrap();
        let directory = HostError::new("read", "d", &std::io::Error::from_raw_os_error(21));
        let files = FileSet::from_iter([
            (path("a"), FileState::Content(b"1".to_vec())),
            (path("d"), FileState::Unreadable(directory)),
        ]);
        for (of, after) in [("a", Some(b"1".to_vec())), ("b", None), ("d", None)] {
            assert_eq!(files.edit(path(of), after), None, "{of}");
        }
        for (of, before, after) in
            [("a", Some("1"), Some("2")), ("a", Some("1"), None), ("b", None, Some(""))]
        {
            let [before, after] = [before, after].map(|text| text.map(|it| it.as_bytes().to_vec()));
            let edit = files.edit(path(of), after.clone()).unwrap();
            let inverse = FileEdit { path: path(of), before: after.clone(), after: before.clone() };
            assert_eq!((&edit.before, &edit.after, edit.inverse()), (&before, &after, inverse));
        }
    }
}
