// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Backend`]: how a host's files express definitions. One module for each format, with functions
//! of bytes alone.

pub mod native;

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use crate::definitions::Definitions;
use crate::definitions::files::{FileEdit, FilePath, FileSet, FileState};
use crate::model::interface::Interface;
use crate::model::name::IfName;

/// A format of definition files, and their place.
pub trait Backend: fmt::Debug {
    /// The directory at which all paths begin.
    fn root(&self) -> &Path;

    /// Whether a file with this path is a definition file.
    fn owns(&self, path: &FilePath) -> bool;

    /// Parses these files into definitions.
    fn parse(&self, files: &FileSet) -> Definitions;

    /// Brings `definitions` up to date with `files`, of which those at `changed` differ from
    /// before. A backend whose files are independent of each other parses only those.
    fn update(&self, definitions: &mut Definitions, files: &FileSet, changed: &[FilePath]) {
        if !changed.is_empty() {
            *definitions = self.parse(files);
        }
    }

    /// The edits that define `interface`, in their order. The interfaces that become parts of it
    /// lose their own definitions: also the parts of a bridge's port, but not a VLAN's parent. The
    /// daemon may die between two edits; a part is then defined twice, which
    /// [`Definitions::holder_of`] finds, and never nowhere.
    ///
    /// # Errors
    /// The format or the files do not allow it.
    fn define(
        &self,
        interface: &Interface,
        files: &FileSet,
    ) -> Result<Vec<FileEdit>, DefinitionRefusal>;

    /// The edits that remove the definition of `name`: none if it is not defined.
    ///
    /// # Errors
    /// The format or the files do not allow it.
    fn undefine(&self, name: &IfName, files: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal>;
}

/// Why a definition cannot be written: a clause of one line, "its name begins with a dot".
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DefinitionRefusal(pub String);

impl fmt::Display for DefinitionRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DefinitionRefusal {}

/// A host's definition files as they were last read, and their definitions.
#[derive(Clone, Debug)]
pub struct DefinitionFiles {
    backend: Rc<dyn Backend>,
    files: FileSet,
    definitions: Definitions,
}

impl DefinitionFiles {
    /// No file is known yet.
    pub fn new(backend: Rc<dyn Backend>) -> Self {
        Self { backend, files: FileSet::default(), definitions: Definitions::default() }
    }

    /// The definitions of `files`.
    pub fn of(backend: Rc<dyn Backend>, files: FileSet) -> Self {
        let definitions = backend.parse(&files);
        Self { backend, files, definitions }
    }

    pub fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    pub fn files(&self) -> &FileSet {
        &self.files
    }

    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Notes the new state of one file. [`DefinitionFiles::update`] parses it.
    pub fn note(&mut self, path: FilePath, state: Option<FileState>) {
        self.files.note(path, state);
    }

    /// Parses the files that were noted.
    pub fn update(&mut self, changed: &[FilePath]) {
        self.backend.update(&mut self.definitions, &self.files, changed);
    }

    /// As [`Backend::define`].
    ///
    /// # Errors
    /// The format or the files do not allow it.
    pub fn define(&self, interface: &Interface) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        self.backend.define(interface, &self.files)
    }

    /// As [`Backend::undefine`].
    ///
    /// # Errors
    /// The format or the files do not allow it.
    pub fn undefine(&self, name: &IfName) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        self.backend.undefine(name, &self.files)
    }
}
