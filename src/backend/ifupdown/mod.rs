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
use crate::definitions::files::{FileEdit, FileSet};
use crate::definitions::sources::Source;
use crate::ifupdown::Dialect;
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
    /// `root` is the directory of the file `interfaces`.
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

    fn sources(&self, files: &FileSet) -> Vec<Source> {
        self.host(files).sources(&self.root.to_string_lossy())
    }

    fn parse(&self, files: &FileSet) -> Definitions {
        read::definitions(&self.host(files))
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
