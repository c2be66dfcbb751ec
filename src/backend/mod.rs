// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Backend`]: how a host's files express definitions. One module for each format, with functions
//! of bytes alone.

pub mod native;
pub mod ifupdown;

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use crate::definitions::Definitions;
use crate::definitions::files::{FileCheck, FileEdit, FilePath, FileSet, FileState};
use crate::definitions::sources::Source;
use crate::managers::Manager;
use crate::model::interface::Interface;
use crate::model::name::IfName;

/// A format of definition files, and their place.
pub trait Backend: fmt::Debug {
    /// The directory at which all paths begin.
    fn root(&self) -> &Path;

    /// The host's own program that reads these files too, and brings interfaces up at boot: the
    /// daemon starts none then. `None` if the files are the daemon's alone.
    fn manager(&self) -> Option<Manager> {
        None
    }

    /// The sources of the definitions, as far as the contents of `files` name them: an included
    /// file's own includes are known once it has been read.
    fn sources(&self, files: &FileSet) -> Vec<Source>;

    /// Parses these files into definitions.
    fn parse(&self, files: &FileSet) -> Definitions;

    /// Brings `definitions` up to date with `files`, of which those at `changed` differ from
    /// before. A backend whose files are independent of each other parses only those.
    fn update(&self, definitions: &mut Definitions, files: &FileSet, changed: &[FilePath]) {
        if !changed.is_empty() {
            *definitions = self.parse(files);
        }
    }

    /// The check that the host's own program must pass before these edits of `files` are made.
    fn check(&self, files: &FileSet, edits: &[FileEdit]) -> Option<FileCheck> {
        let _ = (files, edits);
        None
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
    /// The sources that `files` name.
    sources: Vec<Source>,
    definitions: Definitions,
    /// The number of updates so far.
    version: u64,
}

impl DefinitionFiles {
    /// No file is known yet.
    pub fn new(backend: Rc<dyn Backend>) -> Self {
        let (files, definitions) = (FileSet::default(), Definitions::default());
        let sources = backend.sources(&files);
        Self { backend, files, sources, definitions, version: 0 }
    }

    /// The definitions of a host that has the files `all`, of which some are definition files.
    pub fn of(backend: Rc<dyn Backend>, all: FileSet) -> Self {
        let mut found = Self::new(backend);
        loop {
            let is_new = |path: &&FilePath| found.files.get(path).is_none() && found.owns(path);
            let new: Vec<_> = all.iter().map(|(path, _)| path).filter(is_new).cloned().collect();
            if new.is_empty() {
                break found;
            }
            for path in &new {
                found.note(path.clone(), all.get(path).cloned());
            }
            found.update(&new);
        }
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

    /// The places of the definition files.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Whether a file with this path is a definition file.
    pub fn owns(&self, path: &FilePath) -> bool {
        self.sources.iter().any(|source| source.has(path))
    }

    /// Notes the new state of one file. [`DefinitionFiles::update`] parses it.
    pub fn note(&mut self, path: FilePath, state: Option<FileState>) {
        self.files.note(path, state);
    }

    /// Parses the files that were noted.
    pub fn update(&mut self, changed: &[FilePath]) {
        self.backend.update(&mut self.definitions, &self.files, changed);
        self.sources = self.backend.sources(&self.files);
        self.version += 1;
    }

    /// A number that is another one whenever definitions may have changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// As [`Backend::check`].
    pub fn check(&self, edits: &[FileEdit]) -> Option<FileCheck> {
        self.backend.check(&self.files, edits)
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
