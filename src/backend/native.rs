// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Native`]: the daemon's own format, one XML file per interface, `NAME.xml`.
//!
//! A file either contains the definition of the interface after which it is named, or is ignored
//! for a reason.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::backend::{Backend, DefinitionRefusal};
use crate::definitions::files::{FileEdit, FilePath, FileSet};
use crate::definitions::sources::{Names, Source};
use crate::definitions::{Definitions, Note};
use crate::limits::DEFINITION_LEN_MAX;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::xml::format::format;
use crate::xml::parse::{self, Strictness};

const SUFFIX: &str = ".xml";

/// Why bytes are not a definition of their file's name.
#[derive(Clone, Debug, Eq, PartialEq)]
enum DefinitionFlaw {
    TooLong,
    NotText,
    Xml(String),
    /// The definition of another interface.
    Misnamed(IfName),
}

impl fmt::Display for DefinitionFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it has more than {DEFINITION_LEN_MAX} bytes"),
            Self::NotText => f.write_str("it is not UTF-8"),
            Self::Xml(reason) => f.write_str(reason),
            Self::Misnamed(name) => write!(f, "it defines {name}, whose file is {name}{SUFFIX}"),
        }
    }
}

/// The native format, in one directory.
#[derive(Debug)]
pub struct Native {
    root: PathBuf,
}

impl Native {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Parses one file, if it exists, and notes its definition.
    fn read(definitions: &mut Definitions, files: &FileSet, path: &FilePath) {
        let Some(name) = name_of(path) else { return };
        let parsed = files.content(path).map(|bytes| read(name, bytes));
        let notes = match parsed {
            Some(Ok((interface, remarks))) => {
                definitions.insert(interface, vec![path.clone()]);
                remarks
            }
            Some(Err(flaw)) => {
                definitions.remove(&name);
                vec![Note::Ignored(flaw.to_string())]
            }
            None => {
                definitions.remove(&name);
                Vec::new()
            }
        };
        definitions.set_notes(path.clone(), notes);
    }
}

impl Backend for Native {
    fn root(&self) -> &Path {
        &self.root
    }

    fn sources(&self, _: &FileSet) -> Vec<Source> {
        vec![Source::folder(None, Names::Where(is_definition))]
    }

    fn parse(&self, files: &FileSet) -> Definitions {
        let mut definitions = Definitions::default();
        files.iter().for_each(|(path, _)| Self::read(&mut definitions, files, path));
        definitions
    }

    fn update(&self, definitions: &mut Definitions, files: &FileSet, changed: &[FilePath]) {
        changed.iter().for_each(|path| Self::read(definitions, files, path));
    }

    fn define(
        &self,
        interface: &Interface,
        files: &FileSet,
    ) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        let path = path_of(&interface.name)
            .ok_or_else(|| DefinitionRefusal("its name begins with a dot".to_owned()))?;
        let own = files.edit(path, Some(format(interface).into_bytes()));
        let parts: BTreeSet<_> = interface.members().into_iter().collect();
        let parts = parts.iter().filter(|name| **name != interface.name);
        let removed = parts.filter_map(path_of).filter_map(|path| files.edit(path, None));
        Ok(own.into_iter().chain(removed).collect())
    }

    fn undefine(&self, name: &IfName, files: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        let path = path_of(name);
        Ok(path.and_then(|path| files.edit(path, None)).into_iter().collect())
    }
}

/// The file of a definition; `None` for a name that begins with a dot, as such files are the traces
/// of editors and of interrupted writes.
pub fn path_of(name: &IfName) -> Option<FilePath> {
    let name = name.as_str();
    let path = (!name.starts_with('.')).then(|| format!("{name}{SUFFIX}"));
    path.and_then(FilePath::new)
}

/// The name whose definition such a file is; `None` for a file that is not one of these.
pub fn name_of(path: &FilePath) -> Option<IfName> {
    name_in(path.as_bytes())
}

fn is_definition(file_name: &[u8]) -> bool {
    name_in(file_name).is_some()
}

fn name_in(file_name: &[u8]) -> Option<IfName> {
    let name = file_name.strip_suffix(SUFFIX.as_bytes())?;
    if name.starts_with(b".") {
        return None;
    }
    IfName::new(name).ok()
}

/// The definition in the bytes of the file of `name`, and remarks on it.
fn read(name: IfName, bytes: &[u8]) -> Result<(Interface, Vec<Note>), DefinitionFlaw> {
    if u64::try_from(bytes.len()).is_ok_and(|len| len > DEFINITION_LEN_MAX) {
        return Err(DefinitionFlaw::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| DefinitionFlaw::NotText)?;
    let parsed = parse::remarked(text, Strictness::Parser);
    let (interface, remarks) =
        parsed.map_err(|err| DefinitionFlaw::Xml(one_line(&err.to_string())))?;
    if interface.name != name {
        return Err(DefinitionFlaw::Misnamed(interface.name));
    }
    Ok((interface, remarks.texts().map(Note::Remark).collect()))
}

/// A parser may show the place of an error in lines of its own; a reason is one line of the log.
fn one_line(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
