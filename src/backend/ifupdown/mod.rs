// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Ifupdown`]: `/etc/network/interfaces` and the files that it includes as definitions.
//!
//! One definition may have stanzas and words in several files, and one line may be about several
//! definitions.

mod setting;
mod host;
mod read;
mod render;
mod patch;
mod change;
mod write;

use std::path::{Path, PathBuf};

use crate::backend::{Backend, DefinitionRefusal};
use crate::definitions::Definitions;
use crate::definitions::files::{FileCheck, FileEdit, FileSet, FileState};
use crate::definitions::sources::Source;
use crate::ifupdown::{Dialect, needs};
use crate::managers::Manager;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use host::HostFiles;

/// The files of ifupdown, ifupdown-ng or BusyBox.
#[derive(Debug)]
pub struct Ifupdown {
    root: PathBuf,
    dialect: Dialect,
}

impl Ifupdown {
    /// `root` is the root directory, or one that leads to the main file. Files outside of it are not
    /// followed.
    pub fn new(root: PathBuf, dialect: Dialect) -> Self {
        Self { root, dialect }
    }

    fn host<'a>(&self, files: &'a FileSet) -> HostFiles<'a> {
        HostFiles::parse(&self.root, self.dialect, files)
    }
}

impl Backend for Ifupdown {
    fn root(&self) -> &Path {
        &self.root
    }

    fn manager(&self) -> Option<Manager> {
        Some(Manager::Ifupdown)
    }

    fn sources(&self, files: &FileSet) -> Vec<Source> {
        self.host(files).sources(&self.root)
    }

    fn parse(&self, files: &FileSet) -> Definitions {
        read::definitions(&self.host(files))
    }

    fn check(&self, files: &FileSet, edits: &[FileEdit]) -> Option<FileCheck> {
        let mut after = files.clone();
        for edit in edits {
            after.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
        }
        let host = self.host(&after);
        let (path, main) = host.files.first()?;
        // The program reads the included files itself, unless one of them is yet to be written.
        let text = match edits.iter().all(|edit| edit.path == *path) {
            true => main.bytes.to_vec(),
            false => host.flat(&self.root),
        };
        let (before, now) = (self.parse(files), read::definitions(&host));
        let changed = now.iter().filter(|it| before.named(&it.name) != Some(*it));
        let needs = changed.flat_map(|it| needs::needs(it, self.dialect)).collect();
        Some(FileCheck { path: path.clone(), text, dialect: self.dialect, needs })
    }

    fn define(
        &self,
        interface: &Interface,
        files: &FileSet,
    ) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        write::define(&self.root, &self.host(files), interface, files)
    }

    fn undefine(&self, name: &IfName, files: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        write::undefine(&self.root, &self.host(files), *name, files)
    }
}
