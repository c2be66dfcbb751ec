// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the administrator has defined: the interfaces as they should be, and the files that say so.
//!
//! A definition is kept with the exact bytes of its file, so that each change can be undone byte for
//! byte; so are files that are no definitions. Which file a name has, and how it is read and written,
//! is not known here: a change is a list of [`FileEdit`]s, which others carry out.

use std::collections::BTreeSet;

use crate::error::HostError;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::xml::format::format;

/// All definitions, by name, and whatever else lies in their places.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Definitions {
    by_name: SortedMap<IfName, Entry>,
}

/// What lies in the place of one definition's file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A definition, and the bytes that say so.
    Defined { interface: Interface, bytes: Vec<u8> },
    /// Bytes that are no definition of this name, and why not.
    Broken { bytes: Vec<u8>, reason: String },
    /// A folder, a pipe, a file that we may not read: nobody could put it back, so it is left alone.
    Unreadable(HostError),
}

impl Entry {
    /// The file's content, as far as it is known.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Defined { bytes, .. } | Self::Broken { bytes, .. } => Some(bytes),
            Self::Unreadable(_) => None,
        }
    }

    fn interface(&self) -> Option<&Interface> {
        match self {
            Self::Defined { interface, .. } => Some(interface),
            Self::Broken { .. } | Self::Unreadable(_) => None,
        }
    }
}

/// One file's change: the whole content of the file of `name` before and after, `None` if there is
/// no such file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileEdit {
    pub name: IfName,
    pub before: Option<Vec<u8>>,
    pub after: Option<Vec<u8>>,
}

impl FileEdit {
    /// The edit that undoes this one.
    pub fn inverse(&self) -> Self {
        Self { name: self.name, before: self.after.clone(), after: self.before.clone() }
    }
}

impl Definitions {
    /// The definition of this name.
    pub fn named(&self, name: &IfName) -> Option<&Interface> {
        self.by_name.get(name)?.interface()
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.by_name.values().filter_map(Entry::interface)
    }

    /// What lies in the place of this name's file, be it a definition or not.
    pub fn entry(&self, name: &IfName) -> Option<&Entry> {
        self.by_name.get(name)
    }

    /// The same of all names, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&IfName, &Entry)> {
        self.by_name.iter()
    }

    /// The bridge or bond whose definition names `name` as a part of it.
    pub(crate) fn holder_of(&self, name: &IfName) -> Option<&Interface> {
        self.iter().find(|interface| interface.name != *name && interface.members().contains(name))
    }

    /// Takes note of what now lies in the place of this name's file.
    pub fn note(&mut self, name: IfName, entry: Option<Entry>) {
        match entry {
            Some(entry) => self.by_name.insert(name, entry),
            None => self.by_name.remove(&name),
        };
    }

    /// The edits that make `interface` defined, in their order. What becomes a part of it has no
    /// definition of its own any longer: the parts of a bridge's port too, but not a VLAN's parent.
    /// The new definition comes first: whoever is interrupted leaves a part that is defined twice,
    /// of which [`Definitions::holder_of`] tells, and never one that is defined nowhere.
    pub fn define(&self, interface: &Interface) -> Vec<FileEdit> {
        let parts: BTreeSet<_> = interface.members().into_iter().collect();
        let parts = parts.into_iter().filter(|name| *name != interface.name);
        let own = self.edit(interface.name, Some(format(interface).into_bytes()));
        own.into_iter().chain(parts.filter_map(|name| self.edit(name, None))).collect()
    }

    /// The edits that leave `name` undefined: none if it is not defined.
    pub fn undefine(&self, name: &IfName) -> Vec<FileEdit> {
        self.edit(*name, None).into_iter().collect()
    }

    /// The edit that leaves `after` in the file of `name`; `None` if it would change nothing.
    fn edit(&self, name: IfName, after: Option<Vec<u8>>) -> Option<FileEdit> {
        let before = self.by_name.get(&name).and_then(Entry::bytes).map(<[u8]>::to_vec);
        (before != after).then_some(FileEdit { name, before, after })
    }
}

impl FromIterator<Interface> for Definitions {
    /// As if each had been written by the daemon itself.
    fn from_iter<T: IntoIterator<Item = Interface>>(interfaces: T) -> Self {
        let by_name = interfaces.into_iter().map(|interface| {
            let bytes = format(&interface).into_bytes();
            (interface.name, Entry::Defined { interface, bytes })
        });
        Self { by_name: by_name.collect() }
    }
}

impl FromIterator<(IfName, Entry)> for Definitions {
    fn from_iter<T: IntoIterator<Item = (IfName, Entry)>>(entries: T) -> Self {
        Self { by_name: entries.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests;
