// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Writer`]: changes of one interface's stanzas, line by line.

use std::collections::BTreeSet;

use crate::backend::DefinitionRefusal;
use crate::backend::ifupdown::host::{HostFiles, Place, Section, Setting, Start};
use crate::backend::ifupdown::patch::{self, Patch};
use crate::backend::ifupdown::read;
use crate::backend::ifupdown::render::Addressing;
use crate::backend::ifupdown::setting::{self, Key};
use crate::definitions::files::{FileEdit, FileSet};
use crate::ifupdown::Dialect;
use crate::ifupdown::line::{self, Line};
use crate::model::interface::{Interface, StartMode};
use crate::model::name::IfName;

/// The changes of the files so far.
pub(super) struct Writer<'a> {
    pub(super) host: &'a HostFiles<'a>,
    pub(super) patch: Patch,
    /// The spelling of bridge options in these files.
    underscores: bool,
    indent: String,
}

impl<'a> Writer<'a> {
    pub(super) fn new(host: &'a HostFiles<'a>) -> Self {
        let trees = || host.files.iter().map(|(_, tree)| tree);
        let uses = |prefix: &[u8]| {
            trees().any(|tree| {
                let mut lines = 0..tree.lines.len();
                lines.any(|line| tree.word(line, 0).is_some_and(|it| it.starts_with(prefix)))
            })
        };
        let underscores = match host.dialect {
            Dialect::Classic => !uses(b"bridge-"),
            Dialect::BusyBox => uses(b"bridge_"),
            Dialect::Ng => false,
        };
        let indent = trees().find_map(|tree| {
            let options = tree.stanzas.iter().flat_map(|stanza| &stanza.options);
            options.copied().find_map(|line| indent_of(tree.bytes, tree.lines.get(line)))
        });
        let indent = indent.unwrap_or_else(|| "\t".to_owned());
        Self { host, patch: Patch::default(), underscores, indent }
    }

    pub(super) fn edits(self, files: &FileSet) -> Result<Vec<FileEdit>, DefinitionRefusal> {
        if self.patch.is_empty() {
            return Ok(Vec::new());
        }
        let edits = self.patch.edits(self.host, files);
        edits.ok_or_else(|| DefinitionRefusal("its stanzas share a line".to_owned()))
    }

    pub(super) fn refuse(&self, place: Place, reason: &str) -> DefinitionRefusal {
        DefinitionRefusal(format!("{}: {reason}", self.host.show(place)))
    }

    /// Removes the lines of a stanza, but no comments.
    pub(super) fn remove_section(&mut self, section: &Section, starts: &[&Start]) {
        let host = self.host;
        let Place { file, line: header } = section.header;
        let Some(tree) = host.tree(file) else { return };
        let stanza = tree.stanzas.iter().find(|stanza| stanza.header == header);
        let options = stanza.map(|stanza| stanza.options.as_slice()).unwrap_or_default();
        for line in options {
            self.patch.remove_line(host, Place { file, line: *line });
        }
        self.patch.remove_line(host, section.header);
        // The blank line that set it apart.
        let is_own_start = |line: usize| {
            let is_alone = tree.lines.get(line).is_some_and(|it| it.words.len() == 2);
            is_alone && starts.iter().any(|start| start.place == Place { file, line })
        };
        let top = (0..header).rev().take_while(|line| is_own_start(*line)).last();
        let above = top.unwrap_or(header).checked_sub(1);
        let below = options.last().unwrap_or(&header) + 1;
        let is_blank = |at: usize| {
            let bytes = tree.lines.get(at).map(|it| line::part(tree.bytes, it.range.clone()));
            bytes.is_none_or(|bytes| bytes.trim_ascii().is_empty())
        };
        if let Some(above) = above.filter(|above| is_blank(*above) && is_blank(below)) {
            self.patch.remove_line(host, Place { file, line: above });
        }
    }

    pub(super) fn remove_start(&mut self, start: &Start) -> Result<(), DefinitionRefusal> {
        let host = self.host;
        if start.name.starts_with('/') {
            return Err(self.refuse(start.place, "a pattern starts it"));
        }
        let Some(tree) = host.tree(start.place.file) else { return Ok(()) };
        let line = tree.lines.get(start.place.line);
        let words = line.map_or(0, |line| line.words.len());
        let is_header = host.of(&start.name).any(|it| it.header == start.place);
        let is_only = words <= 2 || host.dialect == Dialect::Ng;
        if is_header {
            self.patch.replace_words(host, start.place, (0, 0), "iface".to_owned());
        } else if is_only {
            self.patch.remove_line(host, start.place);
        } else {
            self.patch.remove_word(host, start.place, start.word);
        }
        Ok(())
    }

    pub(super) fn change_start(
        &mut self,
        first: &Section,
        old: &Interface,
        new: &Interface,
    ) -> Result<(), DefinitionRefusal> {
        if old.start == new.start {
            return Ok(());
        }
        let host = self.host;
        let starts = host.starts(new.name.as_str());
        let wanted = new.start.unwrap_or(StartMode::None);
        for start in starts.iter().filter(|start| start.mode != wanted) {
            self.remove_start(start)?;
        }
        if starts.iter().any(|start| start.mode == wanted) || wanted == StartMode::None {
            return Ok(());
        }
        let bytes = host.tree(first.header.file).map(|tree| tree.bytes).unwrap_or_default();
        let line = format!("{} {}{}", keyword(wanted), new.name, patch::end_of_lines(bytes));
        self.patch.insert_before(host, first.header, line);
        Ok(())
    }

    /// Changes the settings of the device, which may be in any stanza of the interface.
    pub(super) fn change_device(
        &mut self,
        sections: &[&Section],
        old: &[(Key, String)],
        new: &[(Key, String)],
    ) -> Result<(), DefinitionRefusal> {
        let Some(first) = sections.first() else { return Ok(()) };
        let [mut removed, mut added] = differences(old, new);
        let is_changed = |it: &&Setting| {
            let changes = || removed.iter().chain(&added);
            it.value.is_none() && changes().any(|(key, _)| forms(*key).contains(&it.key))
        };
        let mut settings = sections.iter().flat_map(|section| &section.settings);
        if let Some(setting) = settings.find(is_changed) {
            return Err(self.refuse(setting.place, "its value is not understood"));
        }
        if added.iter().any(|(key, _)| *key == Key::BondMembers) {
            self.remove_masters(&first.name);
            // The option may be missing, as the members' stanzas name the bond.
            let has =
                |section: &&Section| section.settings.iter().any(|it| it.key == Key::BondMembers);
            if !sections.iter().any(has) {
                removed.retain(|(key, _)| *key != Key::BondMembers);
            }
        }
        for (key, value) in removed {
            let replacement =
                added.iter().position(|(it, _)| *it == key).map(|at| added.remove(at));
            let keys = forms(key);
            let is_it = |it: &&Setting| keys.contains(&it.key) && it.value.as_ref() == Some(&value);
            let all = sections.iter().flat_map(|section| &section.settings).filter(is_it);
            let places: Vec<_> = all.collect();
            match (replacement, places.first()) {
                (Some((_, value)), Some(_)) => {
                    places.iter().for_each(|setting| self.replace_value(setting, &value));
                }
                (Some(replacement), None) => added.push(replacement),
                (None, _) => {
                    places.iter().for_each(|it| self.patch.remove_line(self.host, it.place));
                }
            }
        }
        for (key, value) in added {
            self.insert_setting(first, form(key, first, self.host.dialect), &value);
        }
        Ok(())
    }

    /// Removes the options with which members name their bond.
    fn remove_masters(&mut self, bond: &str) {
        let host = self.host;
        let settings = host.sections.iter().flat_map(|section| &section.settings);
        let own =
            settings.filter(|it| it.key == Key::BondMaster && it.value.as_deref() == Some(bond));
        own.for_each(|setting| self.patch.remove_line(host, setting.place));
    }

    pub(super) fn change_stanzas(
        &mut self,
        name: IfName,
        sections: &[&Section],
        mut old: Vec<Addressing>,
        mut new: Vec<Addressing>,
    ) -> Result<(), DefinitionRefusal> {
        old.retain(|one| match new.iter().position(|other| other == one) {
            Some(at) => {
                new.remove(at);
                false
            }
            None => true,
        });
        let mut used = BTreeSet::new();
        let (mut pairs, mut repeated) = (Vec::new(), Vec::new());
        for one in old {
            let matches = |(at, section): &(usize, &&Section)| {
                !used.contains(at) && is_of(section, &one, self.host.dialect)
            };
            let mut found: Vec<_> = sections.iter().enumerate().filter(matches).collect();
            // Only stanzas without an address may say the same twice.
            if !matches!(one.method, "dhcp" | "auto") {
                found.truncate(1);
            }
            used.extend(found.iter().map(|(at, _)| *at));
            let mut found = found.into_iter().map(|(_, section)| *section);
            let Some(section) = found.next() else {
                let header = sections.first().map(|section| section.header);
                let header = header.unwrap_or(Place { file: 0, line: 0 });
                return Err(self.refuse(header, "the stanza of an address is not found"));
            };
            repeated.extend(found.map(|section| (section, one.clone())));
            pairs.push((section, one));
        }
        // A stanza without an address gets the first one.
        let unused = sections.iter().enumerate().filter(|(at, _)| !used.contains(at));
        for (_, section) in unused {
            if section.method == "manual" && new.iter().any(|it| it.family == section.family) {
                let family = if section.family == "inet" { "inet" } else { "inet6" };
                let one = Addressing { family, method: "manual", settings: Vec::new() };
                pairs.push((*section, one));
            }
        }
        for is_strict in [true, false] {
            let mut rest = Vec::new();
            for (section, old) in pairs {
                let fits = |it: &Addressing| !is_strict || it.family == old.family;
                match new.iter().position(fits) {
                    Some(at) => {
                        let new = new.remove(at);
                        self.change_stanza(section, &old, &new);
                    }
                    None => rest.push((section, old)),
                }
            }
            pairs = rest;
        }
        for (section, old) in pairs.into_iter().chain(repeated) {
            self.empty_section(section, &old);
        }
        let last = sections.last().map_or(Place { file: 0, line: 0 }, |it| self.last_line(it));
        for stanza in new {
            let text = self.stanza_text(name, &stanza, &[], last.file);
            self.patch.insert_behind(self.host, last, &text);
        }
        Ok(())
    }

    /// Changes the header and the addresses of a stanza.
    fn change_stanza(&mut self, section: &Section, old: &Addressing, new: &Addressing) {
        let host = self.host;
        if host.dialect != Dialect::Ng && (old.family, old.method) != (new.family, new.method) {
            let header = format!("{} {}", new.family, new.method);
            self.patch.replace_words(host, section.header, (2, 3), header);
            self.mend_device(section, new);
        }
        let [removed, mut added] = differences(&old.settings, &new.settings);
        for (key, value) in removed {
            let replacement =
                added.iter().position(|(it, _)| *it == key).map(|at| added.remove(at));
            let all = host
                .of(&section.name)
                .filter(|it| host.dialect == Dialect::Ng || it.header == section.header);
            let is_it = |it: &&Setting| it.key == key && it.value.as_ref() == Some(&value);
            let mut found = all.flat_map(|section| &section.settings).filter(is_it);
            if let Some(replacement) = replacement {
                match found.next() {
                    Some(setting) => self.replace_value(setting, &replacement.1),
                    None => added.push(replacement),
                }
            }
            found.for_each(|setting| self.remove_setting(setting));
            if key == Key::Use {
                self.remove_dhcp_words(&section.name);
            }
        }
        for (key, value) in added {
            self.insert_setting(section, key, &value);
        }
        if new.method == "manual" && old.method != "manual" && host.dialect == Dialect::BusyBox {
            let text = busybox_manual(&self.indent, end_of(host, section));
            self.patch.insert_behind(host, self.last_line(section), &text);
        }
    }

    /// Keeps the MTU and the hardware address of a stanza whose method changes.
    fn mend_device(&mut self, section: &Section, new: &Addressing) {
        let dialect = self.host.dialect;
        for setting in &section.settings {
            let (Some(value), Key::Mtu | Key::CommandMtu) = (&setting.value, setting.key) else {
                continue;
            };
            let takes = |method| read::takes_mtu(new.family, method, dialect);
            if setting.key == Key::Mtu && !takes(new.method) {
                self.patch.remove_line(self.host, setting.place);
                self.insert_setting(section, Key::CommandMtu, value);
            }
        }
    }

    /// Removes a stanza that has no address any more, but keeps its other options.
    fn empty_section(&mut self, section: &Section, old: &Addressing) {
        let tree = self.host.tree(section.header.file);
        let stanza =
            tree.and_then(|it| it.stanzas.iter().find(|it| it.header == section.header.line));
        let options = stanza.map_or(0, |stanza| stanza.options.len());
        let own = section.settings.iter().filter(|it| !it.key.is_device());
        let own: usize = own.map(|setting| 1 + usize::from(setting.netmask.is_some())).sum();
        if options <= own {
            self.remove_section(section, &[]);
            return;
        }
        let family = old.family;
        self.change_stanza(
            section,
            old,
            &Addressing { family, method: "manual", settings: Vec::new() },
        );
    }

    fn replace_value(&mut self, setting: &Setting, value: &str) {
        let host = self.host;
        let Some(tree) = host.tree(setting.place.file) else { return };
        let last = tree.lines.get(setting.place.line).map_or(1, |line| line.words.len() - 1);
        match (setting.key, setting.netmask) {
            (Key::Address, Some(netmask)) if host.dialect != Dialect::Ng => {
                let Some(prefix) = setting::prefix(value) else { return };
                let is_dotted = tree.text(netmask.line, 1).is_none_or(|mask| mask.contains('.'));
                let mask = match is_dotted {
                    true => setting::mask(prefix),
                    false => prefix.prefix_len().to_string(),
                };
                let address = prefix.address().to_string();
                self.patch.replace_words(host, setting.place, (1, 1), address);
                if tree.text(netmask.line, 1).as_deref() != Some(mask.as_str()) {
                    self.patch.replace_words(host, netmask, (1, 1), mask);
                }
            }
            (Key::BridgePorts | Key::BondMembers, _) => {
                let value = if value.is_empty() { "none" } else { value };
                self.patch.replace_words(host, setting.place, (1, last), value.to_owned());
            }
            (Key::Address, _) => {
                self.patch.replace_words(host, setting.place, (1, 1), value.to_owned());
            }
            _ => self.patch.replace_words(host, setting.place, (last, last), value.to_owned()),
        }
    }

    fn remove_setting(&mut self, setting: &Setting) {
        self.patch.remove_line(self.host, setting.place);
        if let Some(netmask) = setting.netmask.filter(|_| self.host.dialect != Dialect::Ng) {
            self.patch.remove_line(self.host, netmask);
        }
    }

    /// Removes ifupdown-ng's word `dhcp` from headers like that of classic ifupdown.
    fn remove_dhcp_words(&mut self, name: &str) {
        let host = self.host;
        for section in host.of(name).filter(|section| section.method == "dhcp") {
            let Some(tree) = host.tree(section.header.file) else { continue };
            let words = (2..).zip(tree.values(section.header.line).skip(1));
            for (word, _) in words.filter(|(_, text)| text == "dhcp") {
                let manual = "manual".to_owned();
                self.patch.replace_words(host, section.header, (word, word), manual);
            }
        }
    }

    fn insert_setting(&mut self, section: &Section, key: Key, value: &str) {
        let host = self.host;
        let tree = host.tree(section.header.file);
        let indent = tree.and_then(|tree| {
            let stanza = tree.stanzas.iter().find(|it| it.header == section.header.line)?;
            indent_of(tree.bytes, tree.lines.get(*stanza.options.first()?))
        });
        let indent = indent.unwrap_or_else(|| self.indent.clone());
        let text = self.setting_text(key, value, &indent, end_of(host, section));
        self.patch.insert_behind(host, self.last_line(section), &text);
    }

    /// The last line of a stanza.
    fn last_line(&self, section: &Section) -> Place {
        let Place { file, line } = section.header;
        let tree = self.host.tree(file);
        let stanza = tree.and_then(|it| it.stanzas.iter().find(|it| it.header == line));
        let last = stanza.and_then(|stanza| stanza.options.last());
        Place { file, line: last.copied().unwrap_or(line) }
    }

    pub(super) fn stanza_text(
        &self,
        name: IfName,
        stanza: &Addressing,
        device: &[(Key, String)],
        file: usize,
    ) -> String {
        let dialect = self.host.dialect;
        let bytes = self.host.tree(file).map(|tree| tree.bytes).unwrap_or_default();
        let end = patch::end_of_lines(bytes);
        let header = match dialect {
            Dialect::Ng => format!("iface {name}{end}"),
            Dialect::Classic | Dialect::BusyBox => {
                format!("iface {name} {} {}{end}", stanza.family, stanza.method)
            }
        };
        let mut text = header;
        for (key, value) in device {
            let key = form_in(*key, stanza.family, stanza.method, dialect);
            text += &self.setting_text(key, value, &self.indent, end);
        }
        for (key, value) in &stanza.settings {
            text += &self.setting_text(*key, value, &self.indent, end);
        }
        if stanza.method == "manual" && dialect == Dialect::BusyBox {
            text += &busybox_manual(&self.indent, end);
        }
        text
    }

    fn setting_text(&self, key: Key, value: &str, indent: &str, end: &str) -> String {
        let lines = key.lines(value, self.host.dialect, self.underscores).into_iter();
        lines.map(|(option, value)| format!("{indent}{option} {value}{end}")).collect()
    }
}

/// BusyBox leaves a link down whose method is manual.
fn busybox_manual(indent: &str, end: &str) -> String {
    let line = |when, to| format!("{indent}{when} ip link set dev $IFACE {to}{end}");
    line("up", "up") + &line("down", "down")
}

pub(super) const fn keyword(start: StartMode) -> &'static str {
    match start {
        StartMode::Onboot | StartMode::None => "auto",
        StartMode::Hotplug => "allow-hotplug",
    }
}

/// Whether a stanza is the one that was rendered so.
fn is_of(section: &Section, rendered: &Addressing, dialect: Dialect) -> bool {
    let has = |(key, value): &(Key, String)| {
        section.settings.iter().any(|it| it.key == *key && it.value.as_ref() == Some(value))
    };
    let is_address = |(key, _): &&(Key, String)| *key == Key::Address;
    dialect == Dialect::Ng
        || (section.is(rendered.family, rendered.method)
            && rendered.settings.iter().filter(is_address).all(has))
}

/// The settings of one that the other does not have, both ways.
fn differences(old: &[(Key, String)], new: &[(Key, String)]) -> [Vec<(Key, String)>; 2] {
    let without = |these: &[(Key, String)], those: &[(Key, String)]| -> Vec<_> {
        these.iter().filter(|it| !those.contains(it)).cloned().collect()
    };
    [without(old, new), without(new, old)]
}

/// The command that stands for an option.
fn command_of(key: Key) -> Option<Key> {
    match key == Key::Mtu {
        true => Some(Key::CommandMtu),
        false => (key == Key::HwAddress).then_some(Key::CommandHwAddress),
    }
}

/// The forms in which a file may have a setting.
fn forms(key: Key) -> [Key; 2] {
    [key, command_of(key).unwrap_or(key)]
}

fn form(key: Key, section: &Section, dialect: Dialect) -> Key {
    form_in(key, &section.family, &section.method, dialect)
}

/// The form of a setting that the method of a stanza takes.
fn form_in(key: Key, family: &str, method: &str, dialect: Dialect) -> Key {
    let takes_address = match dialect {
        Dialect::Ng => true,
        Dialect::Classic => method != "auto",
        Dialect::BusyBox => matches!(method, "static" | "dhcp"),
    };
    let takes_mtu = read::takes_mtu(family, method, dialect);
    let is_taken = (takes_mtu || key != Key::Mtu) && (takes_address || key != Key::HwAddress);
    command_of(key).filter(|_| !is_taken).unwrap_or(key)
}

/// The blanks at the beginning of a line.
fn indent_of(bytes: &[u8], line: Option<&Line>) -> Option<String> {
    let line = line?;
    let blanks = line::part(bytes, line.range.start..line.words.first()?.start);
    std::str::from_utf8(blanks).ok().map(str::to_owned)
}

fn end_of(host: &HostFiles<'_>, section: &Section) -> &'static str {
    let bytes = host.tree(section.header.file).map(|tree| tree.bytes).unwrap_or_default();
    patch::end_of_lines(bytes)
}
