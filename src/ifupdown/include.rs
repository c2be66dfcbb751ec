// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Include`]: the files that a line of another file names.

use crate::ifupdown::Dialect;
use crate::ifupdown::tree::{Role, Tree};
use crate::model::glob;

/// The directory of relative paths for the programs that begin in the working directory: the one
/// of the main file.
pub const DIRECTORY: &str = "/etc/network";

/// An instruction to read more files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Include {
    /// An absolute path; a shell pattern if it contains `*`, `?` or `[`.
    pub pattern: String,
    /// It names directories, all of whose files are read.
    pub is_directory: bool,
    /// The index of the line.
    pub line: usize,
}

/// The includes of a file, in its order. `path` is the absolute path of the file.
pub fn includes(tree: &Tree<'_>, path: &str) -> Vec<Include> {
    let folder = match tree.dialect {
        Dialect::Classic => path.rsplit_once('/').map_or("", |(folder, _)| folder),
        Dialect::Ng | Dialect::BusyBox => DIRECTORY,
    };
    let mut includes = Vec::new();
    for (line, role) in tree.roles.iter().enumerate() {
        let is_directory = *role == Role::SourceDirectory;
        if !is_directory && *role != Role::Source {
            continue;
        }
        // The other programs read the first word only.
        let count = if tree.dialect == Dialect::Classic { usize::MAX } else { 1 };
        for word in tree.values(line).take(count) {
            let pattern = match word.starts_with('/') {
                true => word.into_owned(),
                false => format!("{folder}/{word}"),
            };
            includes.push(Include { pattern, is_directory, line });
        }
    }
    includes
}

impl Include {
    /// Whether the file with this absolute path is read.
    pub fn takes(&self, path: &str, dialect: Dialect) -> bool {
        if !self.is_directory {
            return fits(&self.pattern, path);
        }
        let Some((folder, name)) = path.rsplit_once('/') else { return false };
        fits(self.pattern.trim_end_matches('/'), folder) && is_read_in_folder(name, dialect)
    }

    /// Whether it is a shell pattern.
    pub fn is_pattern(&self) -> bool {
        self.pattern.contains(['*', '?', '['])
    }
}

/// Whether a path fits a pattern, part by part. Released versions of ifupdown-ng and BusyBox read
/// no patterns; newer ones of ifupdown-ng do.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) => {
                let is_hidden = part.starts_with('.') && !pattern.starts_with('.');
                if pattern != part && (is_hidden || !glob::fits(pattern, part)) {
                    return false;
                }
            }
            (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}

/// Whether the program reads a file of this name in a directory of `source-directory`.
pub fn is_read_in_folder(name: &str, dialect: Dialect) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match dialect {
        Dialect::Classic => !name.is_empty() && name.bytes().all(is_word),
        Dialect::Ng => !name.is_empty(),
        Dialect::BusyBox => !name.is_empty() && !name.starts_with('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, path: &str, dialect: Dialect) -> Vec<(String, bool)> {
        let tree = Tree::parse(text.as_bytes(), dialect);
        let includes = includes(&tree, path).into_iter();
        includes.map(|it| (it.pattern, it.is_directory)).collect()
    }

    #[test]
    fn other_files_are_named() {
        let text = "source /etc/network/interfaces.d/* more\nsource-directory d\nsource";
        let path = "/etc/network/interfaces.d/lan";
        let name = |path: &str, is_directory| (path.to_owned(), is_directory);
        let all = name("/etc/network/interfaces.d/*", false);
        let more = name("/etc/network/interfaces.d/more", false);
        let inner = name("/etc/network/interfaces.d/d", true);
        assert_eq!(found(text, path, Dialect::Classic), [all.clone(), more, inner]);
        let outer = name("/etc/network/d", true);
        assert_eq!(found(text, path, Dialect::Ng), [all.clone(), outer.clone()]);
        assert_eq!(found(text, path, Dialect::BusyBox), [all, outer]);
    }

    #[test]
    fn a_pattern_takes_files_part_by_part() {
        let include = |pattern: &str, is_directory| Include {
            pattern: pattern.to_owned(),
            is_directory,
            line: 0,
        };
        for (pattern, is_directory, path, is_taken) in [
            ("/n/d/*", false, "/n/d/lan", true),
            ("/n/d/*", false, "/n/d/lan.conf", true),
            ("/n/d/*", false, "/n/d/.lan", false),
            ("/n/d/*", false, "/n/d/e/lan", false),
            ("/n/*/*", false, "/n/d/lan", true),
            ("/n/d/[lan", false, "/n/d/[lan", true),
            ("/n/d/lan", false, "/n/d/lan", true),
            ("/n/d", true, "/n/d/lan", true),
            ("/n/d/", true, "/n/d/lan", true),
            ("/n/*", true, "/n/d/lan", true),
            ("/n/d", true, "/n/d/lan.conf", false),
            ("/n/d", true, "/n/d/e/lan", false),
        ] {
            let include = include(pattern, is_directory);
            assert_eq!(include.takes(path, Dialect::Classic), is_taken, "{pattern} {path}");
        }
        let folder = include("/n/d", true);
        for (name, taken) in [
            ("lan", [true, true, true]),
            ("eth0_5-a", [true, true, true]),
            ("lan.conf", [false, true, true]),
            (".lan", [false, true, false]),
            ("", [false, false, false]),
        ] {
            let path = format!("/n/d/{name}");
            assert_eq!(Dialect::ALL.map(|it| folder.takes(&path, it)), taken, "{name}");
        }
    }
}
