// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Definitions`]: the interfaces as the administrator wants them, and the files that define them.
//!
//! [`crate::backend`] knows how files are read and written.

pub mod files;
pub mod sources;

use crate::definitions::files::FilePath;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;

/// All definitions, by name, and the notes on their files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Definitions {
    by_name: SortedMap<IfName, Definition>,
    notes: SortedMap<FilePath, Vec<Note>>,
}

/// One interface, as it is defined.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Definition {
    interface: Interface,
    /// The files that define it; mostly one.
    files: Vec<FilePath>,
}

/// A note for an administrator on how a file was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// The file, or a part of it, defines nothing, for this reason.
    Ignored(String),
    /// A definition is in use, and may not mean what its author intends.
    Remark(String),
}

impl Definitions {
    /// The definition of this name.
    pub fn named(&self, name: &IfName) -> Option<&Interface> {
        self.by_name.get(name).map(|definition| &definition.interface)
    }

    /// All definitions, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.by_name.values().map(|definition| &definition.interface)
    }

    /// The files that define this name.
    pub fn files_of(&self, name: &IfName) -> &[FilePath] {
        self.by_name.get(name).map(|definition| definition.files.as_slice()).unwrap_or_default()
    }

    /// The notes on this file.
    pub fn notes_on(&self, path: &FilePath) -> &[Note] {
        self.notes.get(path).map(Vec::as_slice).unwrap_or_default()
    }

    /// The bridge or bond whose definition names `name` as a part of it.
    pub(crate) fn holder_of(&self, name: &IfName) -> Option<&Interface> {
        self.iter().find(|interface| interface.name != *name && interface.members().contains(name))
    }

    /// Adds a definition from these files, and replaces one of the same name.
    pub fn insert(&mut self, interface: Interface, files: Vec<FilePath>) {
        self.by_name.insert(interface.name, Definition { interface, files });
    }

    pub fn remove(&mut self, name: &IfName) {
        self.by_name.remove(name);
    }

    /// Replaces the notes on a file.
    pub fn set_notes(&mut self, path: FilePath, notes: Vec<Note>) {
        match notes.is_empty() {
            true => self.notes.remove(&path),
            false => self.notes.insert(path, notes),
        };
    }
}

impl FromIterator<Interface> for Definitions {
    /// Definitions that are in no file.
    fn from_iter<T: IntoIterator<Item = Interface>>(interfaces: T) -> Self {
        let mut definitions = Self::default();
        interfaces.into_iter().for_each(|interface| definitions.insert(interface, Vec::new()));
        definitions
    }
}

#[cfg(test)]
mod tests;
