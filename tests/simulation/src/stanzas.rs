// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Stanzas`]: a second, small backend. Definitions share files, a definition may need two, and
//! files include others.
//!
//! `interfaces` has the XML of one interface in each stanza, without its start mode. A line `---`
//! separates stanzas. A stanza `include PATTERN` names further files of stanzas, which follow those
//! of the file that names them; any other that is not XML is a comment,
//! except that the host refuses to read one that begins with `!`. `autostart` has a line for
//! each interface that is started at boot. Everything that an edit is not about stays byte for byte.

use std::collections::BTreeSet;
use std::iter;
use std::path::Path;

use virtinterfaced::backend::{Backend, DefinitionRefusal};
use virtinterfaced::definitions::files::{FileCheck, FileEdit, FilePath, FileSet, FileState};
use virtinterfaced::definitions::sources::Source;
use virtinterfaced::definitions::{Definitions, Note};
use virtinterfaced::ifupdown::Dialect;
use virtinterfaced::model::interface::{Interface, StartMode};
use virtinterfaced::model::name::IfName;
use virtinterfaced::xml::format::format;
use virtinterfaced::xml::parse::{Strictness, remarked};

const INTERFACES: &str = "interfaces";
const AUTOSTART: &str = "autostart";
const SEPARATOR: &str = "---\n";
const INCLUDE: &str = "include ";

/// See the module.
#[derive(Debug)]
pub struct Stanzas;

impl Backend for Stanzas {
    fn root(&self) -> &Path {
        Path::new("/etc/stanzas")
    }

    fn sources(&self, files: &FileSet) -> Vec<Source> {
        let own = [INTERFACES, AUTOSTART].into_iter().filter_map(path);
        let mut sources: Vec<_> = own.map(|path| Source::file(&path)).collect();
        for path in stanza_files(files) {
            let new = includes(files, &path).filter(|source| !sources.contains(source));
            let new: Vec<_> = new.collect();
            sources.extend(new);
        }
        sources
    }

    fn parse(&self, files: &FileSet) -> Definitions {
        let mut definitions = Definitions::default();
        let Some(autostart) = path(AUTOSTART) else { return definitions };
        let started = text(files, &autostart);
        let started: BTreeSet<_> = started.lines().collect();
        for path in stanza_files(files) {
            let mut notes = Vec::new();
            for stanza in text(files, &path).split_inclusive(SEPARATOR) {
                match read(stanza) {
                    None => {}
                    Some(Err(reason)) => notes.push(Note::Ignored(reason)),
                    Some(Ok(Interface { name, .. })) if definitions.named(&name).is_some() => {
                        notes.push(Note::Ignored(format!("{name} is defined twice")));
                    }
                    Some(Ok(interface)) if started.contains(interface.name.as_str()) => {
                        let interface = Interface { start: Some(StartMode::Onboot), ..interface };
                        definitions.insert(interface, vec![path.clone(), autostart.clone()]);
                    }
                    Some(Ok(interface)) => definitions.insert(interface, vec![path.clone()]),
                }
            }
            definitions.set_notes(path, notes);
        }
        definitions
    }

    fn check(&self, files: &FileSet, edits: &[FileEdit]) -> Option<FileCheck> {
        let mut after = files.clone();
        for FileEdit { path, after: text, .. } in edits {
            after.note(path.clone(), text.clone().map(FileState::Content));
        }
        let texts = stanza_files(&after).into_iter();
        let texts: Vec<_> = texts.map(|path| text(&after, &path).to_owned()).collect();
        let (path, text) = (path(INTERFACES)?, texts.join(SEPARATOR).into_bytes());
        Some(FileCheck { path, text, dialect: Dialect::Classic, needs: Vec::new() })
    }

    fn define(
        &self,
        interface: &Interface,
        files: &FileSet,
    ) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        if interface.start == Some(StartMode::Hotplug) {
            return Err(DefinitionRefusal("this format has no start mode 'hotplug'".to_owned()));
        }
        let is_started = interface.start == Some(StartMode::Onboot);
        let stanza = format(&Interface { start: None, ..interface.clone() });
        let name = interface.name;
        let gone: BTreeSet<_> = interface.members().into_iter().filter(|it| *it != name).collect();
        edits(files, &gone, Some((name, &stanza)), is_started.then_some(name))
    }

    fn undefine(&self, name: &IfName, files: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        edits(files, &BTreeSet::from([*name]), None, None)
    }
}

/// Removes the interfaces `gone` from all files, and adds or replaces one. The file that defines it
/// comes first, so that a death between the edits leaves an interface defined twice, and never
/// nowhere.
fn edits(
    files: &FileSet,
    gone: &BTreeSet<IfName>,
    defined: Option<(IfName, &str)>,
    started: Option<IfName>,
) -> Result<Vec<FileEdit>, DefinitionRefusal> {
    let (Some(main), Some(autostart)) = (path(INTERFACES), path(AUTOSTART)) else {
        return Ok(Vec::new());
    };
    let has_it = |path: &FilePath| {
        let mut stanzas = text(files, path).split_inclusive(SEPARATOR).filter_map(read);
        stanzas.any(|it| it.is_ok_and(|it| defined.is_some_and(|(name, _)| it.name == name)))
    };
    let all = stanza_files(files);
    let home = all.iter().find(|path| has_it(path)).unwrap_or(&main).clone();
    let others = all.into_iter().filter(|path| *path != home);
    let mut edits = Vec::new();
    for path in iter::once(home.clone()).chain(others) {
        let added = defined.filter(|_| path == home);
        let before = text(files, &path);
        let after = rewritten(before, gone, defined.map(|it| it.0), added);
        edits.extend(edit(files, path, after));
    }
    let is_other = |line: &&str| {
        let name = IfName::new(line.trim_end()).ok();
        name.is_none_or(|name| !gone.contains(&name) && Some(name) != defined.map(|it| it.0))
    };
    let mut names: String =
        text(files, &autostart).split_inclusive('\n').filter(is_other).collect();
    names.extend(started.map(|name| format!("{name}\n")));
    edits.extend(edit(files, autostart, names));
    Ok(edits)
}

/// A file without the interfaces `gone` and `defined`, and with `added` in the place of the latter
/// or at the end.
fn rewritten(
    before: &str,
    gone: &BTreeSet<IfName>,
    defined: Option<IfName>,
    mut added: Option<(IfName, &str)>,
) -> String {
    let mut stanzas = String::new();
    for stanza in before.split_inclusive(SEPARATOR) {
        match read(stanza).and_then(Result::ok).map(|interface| interface.name) {
            Some(name) if gone.contains(&name) => {}
            Some(name) if defined == Some(name) => {
                if let Some((_, text)) = added.take() {
                    stanzas += text;
                    stanzas += SEPARATOR;
                }
            }
            Some(_) | None => stanzas += stanza,
        }
    }
    if let Some((_, text)) = added {
        if !stanzas.is_empty() && !stanzas.ends_with(SEPARATOR) {
            stanzas += "\n";
            stanzas += SEPARATOR;
        }
        stanzas += text;
        stanzas += SEPARATOR;
    }
    stanzas
}

fn edit(files: &FileSet, path: FilePath, after: String) -> Option<FileEdit> {
    let is_needed = files.get(&path).is_some() || !after.is_empty();
    is_needed.then(|| files.edit(path, Some(after.into_bytes()))).flatten()
}

/// The files of stanzas, in the order in which they are read. None is read twice.
fn stanza_files(files: &FileSet) -> Vec<FilePath> {
    let mut found: Vec<_> = path(INTERFACES).into_iter().collect();
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        at += 1;
        for source in includes(files, &path) {
            let new = files.iter().map(|(path, _)| path).filter(|path| source.has(path));
            let new: Vec<_> = new.filter(|path| !found.contains(path)).cloned().collect();
            found.extend(new);
        }
    }
    found
}

/// The sources that a file includes.
fn includes<'a>(files: &'a FileSet, path: &FilePath) -> impl Iterator<Item = Source> + 'a {
    let pattern = |stanza: &'a str| stanza.split(SEPARATOR).next()?.trim().strip_prefix(INCLUDE);
    let patterns = text(files, path).split_inclusive(SEPARATOR).filter_map(pattern);
    patterns.filter_map(|pattern| Source::pattern(pattern.trim().as_bytes()))
}

/// The definition in a stanza; `None` for a comment.
fn read(stanza: &str) -> Option<Result<Interface, String>> {
    let xml = stanza.strip_suffix(SEPARATOR).unwrap_or(stanza);
    let is_comment = !xml.trim_start().starts_with('<');
    (!is_comment).then(|| {
        let parsed = remarked(xml, Strictness::Parser);
        parsed.map(|(interface, _)| interface).map_err(|err| err.to_string())
    })
}

fn text<'a>(files: &'a FileSet, path: &FilePath) -> &'a str {
    let bytes = files.content(path).unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn path(name: &str) -> Option<FilePath> {
    FilePath::new(name)
}
