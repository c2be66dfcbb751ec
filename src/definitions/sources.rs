// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Source`]: where definition files are. A path whose components may be patterns.

use std::ptr;

use crate::definitions::files::FilePath;
use crate::model::glob;

/// The files that one path or pattern names, below the root of the backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// The folders that lead to the files, from the root on.
    pub folders: Vec<Names>,
    /// The names of the files in the last of these folders.
    pub files: Names,
}

/// The names of entries of a folder.
#[derive(Clone, Debug)]
pub enum Names {
    One(Box<[u8]>),
    /// A shell pattern. Only a pattern that begins with a dot fits a name that does.
    Glob(Box<[u8]>),
    /// Those that a rule accepts.
    Where(fn(&[u8]) -> bool),
}

impl Eq for Names {}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(other)) | (Self::Glob(one), Self::Glob(other)) => {
                one == other
            }
            (Self::Where(one), Self::Where(other)) => ptr::fn_addr_eq(*one, *other),
            (Self::One(_) | Self::Glob(_) | Self::Where(_), _) => false,
        }
    }
}

impl Names {
    pub fn fit(&self, name: &[u8]) -> bool {
        match self {
            Self::One(one) => **one == *name,
            Self::Glob(pattern) => {
                let is_hidden = name.starts_with(b".") && !pattern.starts_with(b".");
                !is_hidden && glob::fits_bytes(pattern, name)
            }
            Self::Where(rule) => rule(name),
        }
    }
}

impl Source {
    /// One file.
    pub fn file(path: &FilePath) -> Self {
        let (folders, name) = path.split();
        let folders = folders.map(|name| Names::One(name.into())).collect();
        Self { folders, files: Names::One(name.into()) }
    }

    /// The files of `folder`, or of the root, whose names fit.
    pub fn folder(folder: Option<&FilePath>, files: Names) -> Self {
        let names = folder.into_iter().flat_map(FilePath::components);
        Self { folders: names.map(|name| Names::One(name.into())).collect(), files }
    }

    /// The files whose paths fit a shell pattern, in which a star does not stand for a slash;
    /// `None` if it leads out of the root.
    pub fn pattern(pattern: &[u8]) -> Option<Self> {
        let path = FilePath::new(pattern)?;
        let names = |name: &[u8]| match name.iter().any(|byte| b"*?[\\".contains(byte)) {
            true => Names::Glob(name.into()),
            false => Names::One(name.into()),
        };
        let (folders, name) = path.split();
        Some(Self { folders: folders.map(names).collect(), files: names(name) })
    }

    /// Whether the file is one of these.
    pub fn has(&self, path: &FilePath) -> bool {
        let (folders, name) = path.split();
        let mut folders = folders;
        self.files.fit(name)
            && self.folders.iter().all(|names| folders.next().is_some_and(|it| names.fit(it)))
            && folders.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> FilePath {
        FilePath::new(path).unwrap()
    }

    #[test]
    fn a_source_has_the_files_that_fit_each_part_of_it() {
        let pattern = |text: &str| Source::pattern(text.as_bytes()).unwrap();
        let is_short = Names::Where(|name| name.len() < 3);
        struct Case(Source, &'static [&'static str], &'static [&'static str]);
        let cases = [
            Case(Source::file(&path("a/b")), &["a/b"], &["a", "b", "a/c", "a/b/c", "x/a/b"]),
            Case(Source::file(&path("a*")), &["a*"], &["ab"]),
            Case(Source::folder(None, is_short.clone()), &["a", "bc", ".b"], &["bcd", "a/b"]),
            Case(Source::folder(Some(&path("x/y")), is_short), &["x/y/a"], &["a", "x/a", "x/y"]),
            Case(pattern("a/b"), &["a/b"], &["a/bb"]),
            Case(pattern("a/*"), &["a/b", "a/x.y~"], &["a/.b", "a/b/c", "b/b"]),
            Case(pattern("a/.*"), &["a/.b"], &["a/b"]),
            Case(pattern("[ab]?/*.d/x"), &["bz/q.d/x"], &["c1/q.d/x", "a1/q/x", "a1/.d/x"]),
        ];
        for Case(source, fitting, others) in cases {
            for (names, want) in [(fitting, true), (others, false)] {
                for name in names {
                    assert_eq!(source.has(&path(name)), want, "{source:?} {name}");
                }
            }
        }
        for outside in ["/etc/x", "../x", "a/../b", ""] {
            assert_eq!(Source::pattern(outside.as_bytes()), None, "{outside}");
        }
    }

    #[test]
    fn equal_sources_are_recognised() {
        let rule: fn(&[u8]) -> bool = |name| name.is_empty();
        let all = [
            Names::One(b"a*".as_slice().into()),
            Names::Glob(b"a*".as_slice().into()),
            Names::Where(rule),
        ];
        for (at, one) in all.iter().enumerate() {
            for (other_at, other) in all.iter().enumerate() {
                assert_eq!(one == other, at == other_at);
            }
        }
    }
}
