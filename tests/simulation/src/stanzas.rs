// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Stanzas`]: a second, small backend. All definitions share one file, and a definition may need
//! two.
//!
//! `interfaces` has the XML of one interface in each stanza, without its start mode. A line `---`
//! separates stanzas; one that is not XML is a comment. `autostart` has a line for each interface
//! that is started at boot. Everything that an edit is not about stays byte for byte.

use std::collections::BTreeSet;
use std::path::Path;

use virtinterfaced::backend::{Backend, DefinitionRefusal};
use virtinterfaced::definitions::files::{FileEdit, FilePath, FileSet};
use virtinterfaced::definitions::{Definitions, Note};
use virtinterfaced::model::interface::{Interface, StartMode};
use virtinterfaced::model::name::IfName;
use virtinterfaced::xml::format::format;
use virtinterfaced::xml::parse::parse;

const INTERFACES: &str = "interfaces";
const AUTOSTART: &str = "autostart";
const SEPARATOR: &str = "---\n";

/// See the module.
#[derive(Debug)]
pub struct Stanzas;

impl Backend for Stanzas {
    fn root(&self) -> &Path {
        Path::new("/etc/stanzas")
    }

    fn owns(&self, path: &FilePath) -> bool {
        [INTERFACES, AUTOSTART].iter().any(|own| path.as_bytes() == own.as_bytes())
    }

    fn parse(&self, files: &FileSet) -> Definitions {
        let mut definitions = Definitions::default();
        let (Some(interfaces), Some(autostart)) = (path(INTERFACES), path(AUTOSTART)) else {
            return definitions;
        };
        let started = text(files, &autostart);
        let started: BTreeSet<_> = started.lines().collect();
        let mut notes = Vec::new();
        for stanza in text(files, &interfaces).split_inclusive(SEPARATOR) {
            match read(stanza) {
                None => {}
                Some(Err(reason)) => notes.push(Note::Ignored(reason)),
                Some(Ok(Interface { name, .. })) if definitions.named(&name).is_some() => {
                    notes.push(Note::Ignored(format!("{name} is defined twice")));
                }
                Some(Ok(interface)) if started.contains(interface.name.as_str()) => {
                    let interface = Interface { start: Some(StartMode::Onboot), ..interface };
                    definitions.insert(interface, vec![interfaces.clone(), autostart.clone()]);
                }
                Some(Ok(interface)) => definitions.insert(interface, vec![interfaces.clone()]),
            }
        }
        definitions.set_notes(interfaces, notes);
        definitions
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

/// Removes the interfaces `gone` from both files, and adds or replaces one.
fn edits(
    files: &FileSet,
    gone: &BTreeSet<IfName>,
    defined: Option<(IfName, &str)>,
    started: Option<IfName>,
) -> Result<Vec<FileEdit>, DefinitionRefusal> {
    let (Some(interfaces), Some(autostart)) = (path(INTERFACES), path(AUTOSTART)) else {
        return Ok(Vec::new());
    };
    let mut added = defined;
    let mut stanzas = String::new();
    for stanza in text(files, &interfaces).split_inclusive(SEPARATOR) {
        match read(stanza).and_then(Result::ok).map(|interface| interface.name) {
            Some(name) if gone.contains(&name) => {}
            Some(name) if defined.is_some_and(|(defined, _)| defined == name) => {
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
    let is_other = |line: &&str| {
        let name = IfName::new(line.trim_end()).ok();
        name.is_none_or(|name| !gone.contains(&name) && Some(name) != defined.map(|it| it.0))
    };
    let mut names: String =
        text(files, &autostart).split_inclusive('\n').filter(is_other).collect();
    names.extend(started.map(|name| format!("{name}\n")));
    let edit = |path, text: String| {
        let is_needed = files.get(&path).is_some() || !text.is_empty();
        is_needed.then(|| files.edit(path, Some(text.into_bytes()))).flatten()
    };
    Ok([edit(interfaces, stanzas), edit(autostart, names)].into_iter().flatten().collect())
}

/// The definition in a stanza; `None` for a comment.
fn read(stanza: &str) -> Option<Result<Interface, String>> {
    let xml = stanza.strip_suffix(SEPARATOR).unwrap_or(stanza);
    let is_comment = !xml.trim_start().starts_with('<');
    (!is_comment).then(|| parse(xml).map_err(|err| err.to_string()))
}

fn text<'a>(files: &'a FileSet, path: &FilePath) -> &'a str {
    let bytes = files.content(path).unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn path(name: &str) -> Option<FilePath> {
    FilePath::new(name)
}
