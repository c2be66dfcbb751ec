// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Scene`]: a folder of definition files in a short language, and an administrator who edits
//! them.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use crate::backend::{Backend, DefinitionRefusal};
use crate::definitions::files::{FileEdit, FilePath, FileSet, FileState};
use crate::definitions::sources::{Names, Source};
use crate::definitions::{Definitions, Note};
use crate::io::definitions::DefinitionStore;
use crate::model::client::Privilege;
use crate::model::interface::{Ethernet, Interface, Kind};
use crate::model::name::IfName;

/// A backend for tests: files `NAME.xml` with `NAME` or `NAME:MTU` in them.
#[derive(Debug)]
struct Words(PathBuf);

impl Backend for Words {
    fn root(&self) -> &Path {
        &self.0
    }

    fn sources(&self, _: &FileSet) -> Vec<Source> {
        let is_definition = |name: &[u8]| {
            let name = name.strip_suffix(b".xml");
            name.is_some_and(|name| !name.starts_with(b".") && IfName::new(name).is_ok())
        };
        vec![Source::folder(None, Names::Where(is_definition))]
    }

    fn parse(&self, files: &FileSet) -> Definitions {
        let mut definitions = Definitions::default();
        for (path, state) in files.iter() {
            let Some(bytes) = state.content() else { continue };
            let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned());
            let parsed = text.and_then(parse).and_then(|interface| {
                let is_own = path.to_string() == format!("{}.xml", interface.name);
                is_own.then_some(interface).ok_or("it is another's".to_owned())
            });
            match parsed {
                Ok(interface) => definitions.insert(interface, vec![path.clone()]),
                Err(reason) => definitions.set_notes(path.clone(), vec![Note::Ignored(reason)]),
            }
        }
        definitions
    }

    fn define(&self, _: &Interface, _: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        Ok(Vec::new())
    }

    fn undefine(&self, _: &IfName, _: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        Ok(Vec::new())
    }
}

pub(super) fn open(dir: impl Into<PathBuf>, privilege: Privilege) -> DefinitionStore {
    DefinitionStore::open(Rc::new(Words(dir.into())), privilege)
}

pub(super) fn path(name: &str) -> FilePath {
    FilePath::new(format!("{name}.xml")).unwrap()
}

pub(super) fn parse(text: &str) -> Result<Interface, String> {
    let (of, mtu) = text.trim_end().split_once(':').unwrap_or((text.trim_end(), "0"));
    let mtu: u32 = mtu.parse().map_err(|err| format!("{err}"))?;
    let name = IfName::new(of).map_err(|err| err.to_string())?;
    let kind = Kind::Ethernet(Ethernet::default());
    Ok(Interface { name, start: None, mtu: (mtu > 0).then_some(mtu), protocols: vec![], kind })
}

/// The administrator: one process for all tests. A process that a test starts briefly inherits the
/// descriptors of other tests, and the kernel reports a file as closed only when all its
/// descriptors are.
struct Shell {
    process: Child,
}

static SHELL: LazyLock<Mutex<Shell>> = LazyLock::new(|| {
    let mut shell = Command::new("sh");
    let process = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    Mutex::new(Shell { process })
});

impl Shell {
    /// Runs `script` in a subshell to its end, and returns its exit status.
    fn run(&mut self, script: &str) -> String {
        let stdin = self.process.stdin.as_mut().unwrap();
        writeln!(stdin, "( {script}\n) < /dev/null > /dev/null; echo $?").unwrap();
        let mut status = String::new();
        BufReader::new(self.process.stdout.as_mut().unwrap()).read_line(&mut status).unwrap();
        status.trim_end().to_owned()
    }
}

/// A folder for one test, in which the definitions' folder may be.
pub(super) struct Scene {
    pub(super) dir: PathBuf,
}

impl Scene {
    /// Creates a scene with an empty folder.
    pub(super) fn new() -> Self {
        let scene = Self::without_folder();
        fs::create_dir(scene.path("interface")).unwrap();
        scene
    }

    pub(super) fn without_folder() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("definitions-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Self { dir }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs `script` in the folder's parent.
    pub(super) fn sh(&self, script: &str) {
        let dir = self.dir.display();
        let status = SHELL.lock().unwrap().run(&format!("set -e; cd {dir}; {script}"));
        assert_eq!(status, "0", "{script}");
    }

    pub(super) fn open(&self) -> DefinitionStore {
        open(self.path("interface"), Privilege::Session)
    }

    /// Opens a store that gets no events from the kernel.
    pub(super) fn open_without_news(&self) -> DefinitionStore {
        let mut store = self.open();
        store.folders.queue = None;
        store.read_all();
        store
    }

    pub(super) fn content(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path("interface").join(name)).ok()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("interface")).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|it| name(it).into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Returns each definition, and each invalid file: `eth0`, `eth0:1400`, `eth0 broken`.
pub(super) fn summary(store: &DefinitionStore) -> Vec<String> {
    let word = |(path, state): (&FilePath, &FileState)| {
        let name = path.to_string().replace(".xml", "");
        match state {
            FileState::Unreadable(err) => format!("{name} {}", err.cause()),
            FileState::Content(_) => {
                let defined = IfName::new(&name).unwrap();
                match store.definitions().named(&defined) {
                    Some(Interface { mtu: Some(mtu), .. }) => format!("{name}:{mtu}"),
                    Some(_) => name,
                    None => format!("{name} broken"),
                }
            }
        }
    };
    store.files().files().iter().map(word).collect()
}

pub(super) fn edit(of: &str, before: Option<&str>, after: Option<&str>) -> FileEdit {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    FileEdit { path: path(of), before: bytes(before), after: bytes(after) }
}
