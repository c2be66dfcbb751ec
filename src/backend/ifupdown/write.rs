// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions as edits of the host's files, which change only the lines concerned.
//!
//! The settings of the present definition are compared with those of the new one, and only the
//! differences are written. The result is parsed again: an edit after which the files do not mean
//! exactly the new definition is refused, and so is one that changes any other definition.

use std::collections::BTreeSet;
use std::path::Path;

use crate::backend::DefinitionRefusal;
use crate::backend::ifupdown::change::{self, Writer};
use crate::backend::ifupdown::host::{HostFiles, Place, Setting, Start};
use crate::backend::ifupdown::patch;
use crate::backend::ifupdown::read;
use crate::backend::ifupdown::render::{self, Rendered};
use crate::backend::ifupdown::setting::Key;
use crate::definitions::Definitions;
use crate::definitions::files::{FileEdit, FileSet, FileState};
use crate::ifupdown::Dialect;
use crate::ifupdown::MAIN;
use crate::ifupdown::tree::Role;
use crate::model::glob;
use crate::model::interface::{Interface, Kind, PortKind, StartMode};
use crate::model::name::IfName;

/// The edits that define an interface.
pub(super) fn define(
    root: &Path,
    host: &HostFiles<'_>,
    interface: &Interface,
    files: &FileSet,
) -> Result<Vec<FileEdit>, DefinitionRefusal> {
    let new = render::canonical(interface);
    let edits = plan(host, interface, &new)?.edits(files)?;
    // Also those that are no longer parts of it.
    let before = read::interface(host, new.name);
    let parts = before.iter().chain([&new]).flat_map(Interface::members);
    let touched = parts.chain([new.name]).collect();
    let written = after(files, &edits);
    let written = HostFiles::parse(root, host.dialect, &written);
    // Nothing is left to be done: this is also about the parts.
    let is_done = || plan(&written, interface, &new).is_ok_and(|writer| writer.patch.is_empty());
    let wanted = Some(&new).filter(|_| is_done());
    verify(host, &written, &touched, |all| {
        all.named(&new.name).is_some_and(|it| wanted == Some(it))
    })?;
    Ok(edits)
}

/// The edits that remove the definition of `name`.
pub(super) fn undefine(
    root: &Path,
    host: &HostFiles<'_>,
    name: IfName,
    files: &FileSet,
) -> Result<Vec<FileEdit>, DefinitionRefusal> {
    let before = read::interface(host, name);
    let mut writer = Writer::new(host);
    writer.undefine(name)?;
    let edits = writer.edits(files)?;
    let parts = before.iter().flat_map(Interface::members);
    let touched = parts.chain([name]).collect();
    let written = after(files, &edits);
    let written = HostFiles::parse(root, host.dialect, &written);
    verify(host, &written, &touched, |_| written.of(name.as_str()).next().is_none())?;
    Ok(edits)
}

fn plan<'a>(
    host: &'a HostFiles<'a>,
    given: &Interface,
    new: &Interface,
) -> Result<Writer<'a>, DefinitionRefusal> {
    let mut writer = Writer::new(host);
    for name in new.members().into_iter().chain(new.parents()).chain([new.name]) {
        render::check_name(name, host.dialect)?;
    }
    writer.check_start(given)?;
    writer.take_parts(new, given)?;
    writer.define(new, given)?;
    Ok(writer)
}

fn after(files: &FileSet, edits: &[FileEdit]) -> FileSet {
    let mut after = files.clone();
    for edit in edits {
        after.note(edit.path.clone(), edit.after.clone().map(FileState::Content));
    }
    after
}

/// Refuses edits that mean anything but the new definition, or change another one.
fn verify(
    host: &HostFiles<'_>,
    written: &HostFiles<'_>,
    touched: &BTreeSet<IfName>,
    is_as_wanted: impl Fn(&Definitions) -> bool,
) -> Result<(), DefinitionRefusal> {
    let (before, after) = (read::definitions(host), read::definitions(written));
    let others = |all: &Definitions| -> Vec<Interface> {
        all.iter().filter(|it| !touched.contains(&it.name)).cloned().collect()
    };
    if is_as_wanted(&after) && others(&before) == others(&after) {
        return Ok(());
    }
    let section = touched.iter().rev().find_map(|name| host.of(name.as_str()).next());
    let place = section.map_or_else(|| MAIN.to_owned(), |it| host.show(it.header));
    Err(DefinitionRefusal(format!(
        "{place} is not understood well enough to change it: edit it by hand"
    )))
}

impl Writer<'_> {
    /// Refuses interfaces whose stanza a script chooses, and lines that the program refuses.
    fn check_start(&self, interface: &Interface) -> Result<(), DefinitionRefusal> {
        if self.host.files.is_empty() {
            return Err(DefinitionRefusal(format!("there is no file '{}'", MAIN)));
        }
        let name = interface.name;
        for (file, (_, tree)) in self.host.files.iter().enumerate() {
            for (line, role) in tree.roles.iter().enumerate() {
                let place = Place { file, line };
                let is_mapped = || tree.values(line).any(|it| glob::fits(&it, name.as_str()));
                if *role == Role::Mapping && is_mapped() {
                    return Err(self.refuse(place, "a mapping chooses its stanza"));
                }
                if *role == Role::Stray && self.host.dialect != Dialect::Ng {
                    let program = self.host.dialect;
                    let reason = format!("{program} refuses an option outside of a stanza");
                    return Err(self.refuse(place, &reason));
                }
            }
        }
        Ok(())
    }

    /// Takes the addresses from the ports and members of an interface, and defines the bonds and
    /// VLANs among them.
    fn take_parts(&mut self, new: &Interface, given: &Interface) -> Result<(), DefinitionRefusal> {
        match &new.kind {
            Kind::Ethernet(_) | Kind::Vlan(_) => {}
            Kind::Bond(bond) => {
                for member in &bond.members {
                    let kind = Kind::Ethernet(member.ethernet.clone());
                    self.take_part(member.name, kind, StartMode::None)?;
                }
            }
            Kind::Bridge(bridge) => {
                let start = new.start.unwrap_or(StartMode::None);
                for port in &bridge.ports {
                    let kind = match port.kind.clone() {
                        PortKind::Ethernet(ethernet) => Kind::Ethernet(ethernet),
                        PortKind::Vlan(vlan) => Kind::Vlan(vlan),
                        PortKind::Bond(bond) => {
                            let kind = Kind::Bond(bond);
                            let bond = Interface { name: port.name, kind, ..given.clone() };
                            self.take_parts(&bond, given)?;
                            bond.kind
                        }
                    };
                    self.take_part(port.name, kind, start)?;
                }
            }
        }
        Ok(())
    }

    fn take_part(
        &mut self,
        name: IfName,
        kind: Kind,
        start: StartMode,
    ) -> Result<(), DefinitionRefusal> {
        if name.as_str() == "lo" {
            return Err(DefinitionRefusal("the loopback cannot be a part of it".to_owned()));
        }
        let old = read::interface(self.host, name);
        let is_needed = match &kind {
            Kind::Ethernet(ethernet) => ethernet.mac.is_some(),
            Kind::Bond(_) | Kind::Bridge(_) => true,
            // Classic ifupdown's bridge makes ports with such names itself.
            Kind::Vlan(_) => self.host.dialect != Dialect::Classic || !name.as_str().contains('.'),
        };
        if old.is_none() && !is_needed {
            return Ok(());
        }
        let (start, mtu) = match &old {
            Some(old) => (old.start, old.mtu),
            None => (Some(start), None),
        };
        let part = Interface { name, start, mtu, protocols: Vec::new(), kind };
        self.define(&part, &part)
    }

    /// Changes or adds the stanzas of one interface. `new` is the canonical form of `given`.
    fn define(&mut self, new: &Interface, given: &Interface) -> Result<(), DefinitionRefusal> {
        let host = self.host;
        let rendered = render::render(given, host.dialect)?;
        let sections: Vec<_> = host.of(new.name.as_str()).collect();
        let old = read::interface(host, new.name);
        let (Some(first), Some(old)) = (sections.first(), old) else {
            if let Some(section) = sections.first() {
                return Err(self.refuse(section.header, "it is the loopback"));
            }
            self.add(new, &rendered);
            return Ok(());
        };
        if old == *new {
            return Ok(());
        }
        let before = render::render(&old, host.dialect);
        let before = before.map_err(|DefinitionRefusal(it)| self.refuse(first.header, &it))?;
        self.change_device(&sections, &before.device, &rendered.device)?;
        self.change_stanzas(new.name, &sections, before.stanzas, rendered.stanzas)?;
        self.change_start(first, &old, new)
    }

    fn undefine(&mut self, name: IfName) -> Result<(), DefinitionRefusal> {
        let host = self.host;
        if host.of(name.as_str()).next().is_none() {
            return Ok(());
        }
        for section in &host.sections {
            if section.inherits.as_deref() == Some(name.as_str()) {
                let reason = format!("{} inherits from {name}", section.name);
                return Err(self.refuse(section.header, &reason));
            }
            let is_member = |it: &&Setting| {
                it.key == Key::BondMaster && it.value.as_deref() == Some(name.as_str())
            };
            for setting in section.settings.iter().filter(is_member) {
                self.patch.remove_line(host, setting.place);
            }
        }
        let starts = host.starts(name.as_str());
        let own: Vec<_> = starts.into_iter().filter(|it| !it.name.starts_with('/')).collect();
        for section in host.of(name.as_str()) {
            self.remove_section(section, &own);
        }
        let is_header = |it: &&Start| host.of(name.as_str()).any(|at| at.header == it.place);
        own.into_iter().filter(|it| !is_header(it)).try_for_each(|it| self.remove_start(it))
    }

    /// Adds the stanzas of an interface that has none: at the end of the main file, or, if it is a
    /// part, before those that need it.
    fn add(&mut self, new: &Interface, rendered: &Rendered) {
        let host = self.host;
        let bytes = host.tree(0).map(|tree| tree.bytes).unwrap_or_default();
        let end = patch::end_of_lines(bytes);
        let mut text = String::new();
        let start = new.start.unwrap_or(StartMode::None);
        // A word may be left from an earlier stanza.
        if start != StartMode::None && host.starts(new.name.as_str()).is_empty() {
            text += &format!("{} {}{end}", change::keyword(start), new.name);
        }
        let mut device = rendered.device.clone();
        for stanza in &rendered.stanzas {
            text += &self.stanza_text(new.name, stanza, &device, 0);
            device.clear();
        }
        match self.holder(new.name) {
            Some(place) => self.patch.insert_before(host, place, text + end),
            None => self.patch.append(host, 0, &text),
        }
    }

    /// The first line in the main file that is about a bridge or bond with this part.
    fn holder(&self, part: IfName) -> Option<Place> {
        let holds = |setting: &Setting| {
            let is_list = matches!(setting.key, Key::BridgePorts | Key::BondMembers);
            let mut names = setting.value.iter().flat_map(|it| it.split_ascii_whitespace());
            is_list && names.any(|name| name == part.as_str())
        };
        let sections = self.host.sections.iter().filter(|it| it.header.file == 0);
        let holder = sections.clone().find(|section| section.settings.iter().any(holds))?;
        let starts = self.host.starts(&holder.name).into_iter().map(|start| start.place);
        let first = starts.filter(|place| place.file == 0).map(|place| place.line).min();
        let line = first.map_or(holder.header.line, |line| line.min(holder.header.line));
        Some(Place { file: 0, line })
    }
}
