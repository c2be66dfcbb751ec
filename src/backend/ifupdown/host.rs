// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`HostFiles`]: the trees of the main file and of those that it includes, and their stanzas by name.

use std::collections::BTreeSet;
use std::path::Path;

use crate::backend::ifupdown::setting::{self, Key};
use crate::definitions::files::{FilePath, FileSet};
use crate::definitions::sources::{Names, Source};
use crate::ifupdown::include::{self, Include};
use crate::ifupdown::tree::{Role, Tree};
use crate::ifupdown::{Dialect, MAIN};
use crate::model::glob;
use crate::model::interface::StartMode;
use crate::model::name::IfName;

/// The main file, as a path below `root`.
fn main_below(root: &Path) -> Option<FilePath> {
    let path = Path::new(MAIN).strip_prefix(root).ok()?;
    FilePath::new(path.as_os_str().as_encoded_bytes())
}

/// The absolute path of a file below `root`.
fn absolute(root: &str, path: &FilePath) -> String {
    format!("{}/{path}", root.trim_end_matches('/'))
}

/// All files of the configuration, in the order in which they are read.
#[derive(Debug)]
pub(super) struct HostFiles<'a> {
    pub(super) dialect: Dialect,
    pub(super) files: Vec<(FilePath, Tree<'a>)>,
    pub(super) sections: Vec<Section>,
    /// The indices of those of `sections` that are an `auto` line alone.
    plain: Vec<usize>,
    /// The indices of `sections`, by name.
    by_name: Vec<usize>,
    /// By name.
    starts: Vec<Start>,
    start_patterns: Vec<Start>,
}

/// A word of an `auto` or `allow-hotplug` line.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The name or pattern.
    pub(super) name: String,
    pub(super) place: Place,
    /// Its index; 0 for a line without names within a stanza.
    pub(super) word: usize,
    pub(super) mode: StartMode,
}

/// A place in the files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) file: usize,
    /// The index of the line.
    pub(super) line: usize,
}

/// The stanza of an interface.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) header: Place,
    pub(super) name: String,
    /// `inet` and so on; empty for ifupdown-ng, which has one object for each name.
    pub(super) family: String,
    pub(super) method: String,
    pub(super) is_template: bool,
    /// The stanza from which it inherits.
    pub(super) inherits: Option<String>,
    pub(super) settings: Vec<Setting>,
}

/// An option that the model can hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    pub(super) key: Key,
    /// In canonical spelling; `None` if it is not understood.
    pub(super) value: Option<String>,
    pub(super) place: Place,
    /// The line of the `netmask` that belongs to an address.
    pub(super) netmask: Option<Place>,
}

impl<'a> HostFiles<'a> {
    pub(super) fn parse(root: &Path, dialect: Dialect, files: &'a FileSet) -> Self {
        let mut host = Self {
            dialect,
            files: Vec::new(),
            sections: Vec::new(),
            plain: Vec::new(),
            by_name: Vec::new(),
            starts: Vec::new(),
            start_patterns: Vec::new(),
        };
        if let Some(main) = main_below(root) {
            host.read(&root.to_string_lossy(), main, files);
        }
        for file in 0..host.files.len() {
            host.find_sections(file);
            host.find_starts(file);
        }
        host.drop_plain();
        let mut by_name: Vec<_> = (0..host.sections.len()).collect();
        by_name.sort_by(|one, other| host.name_of(*one).cmp(host.name_of(*other)));
        host.by_name = by_name;
        host.starts.sort_by(|one, other| one.name.cmp(&other.name));
        host
    }

    /// The main file, and those that the files name. Files outside of the root are not followed.
    pub(super) fn sources(&self, root: &Path) -> Vec<Source> {
        let mut sources: Vec<_> = main_below(root).iter().map(Source::file).collect();
        let root = &*root.to_string_lossy();
        for (path, tree) in &self.files {
            for include in include::includes(tree, &absolute(root, path)) {
                let pattern = include.pattern.strip_prefix(root);
                let pattern = pattern.map(|pattern| pattern.trim_matches('/'));
                // The name stands for those in the directory.
                let pattern = pattern.map(|pattern| match include.is_directory {
                    true => format!("{pattern}/*"),
                    false => pattern.to_owned(),
                });
                let Some(mut source) = pattern.and_then(|it| Source::pattern(it.as_bytes())) else {
                    continue;
                };
                if include.is_directory {
                    source.files = Names::Where(match self.dialect {
                        Dialect::Classic => is_read_by_classic,
                        Dialect::Ng => is_read_by_ng,
                        Dialect::BusyBox => is_read_by_busybox,
                    });
                }
                if !sources.contains(&source) {
                    sources.push(source);
                }
            }
        }
        sources
    }

    /// The tree of a file.
    pub(super) fn tree(&self, file: usize) -> Option<&Tree<'a>> {
        self.files.get(file).map(|(_, tree)| tree)
    }

    /// The file and line of a place, as messages name it.
    pub(super) fn show(&self, place: Place) -> String {
        let Some((path, tree)) = self.files.get(place.file) else { return String::new() };
        format!("{path}:{}", tree.number(place.line))
    }

    /// The stanzas of this name, in their order.
    pub(super) fn of<'b>(&'b self, name: &str) -> impl Iterator<Item = &'b Section> + use<'b, 'a> {
        let start = self.by_name.partition_point(|at| self.name_of(*at) < name);
        let rest = self.by_name.get(start..).unwrap_or_default();
        let len = rest.partition_point(|at| self.name_of(*at) == name);
        let own = rest.get(..len).unwrap_or_default();
        own.iter().filter_map(|at| self.sections.get(*at)).filter(|section| !section.is_template)
    }

    /// The names that mappings choose.
    pub(super) fn mapped(&self) -> impl Iterator<Item = String> {
        self.files.iter().flat_map(|(_, tree)| {
            let mappings = tree.stanzas.iter();
            let mappings = mappings.filter(|it| tree.roles.get(it.header) == Some(&Role::Mapping));
            let lines = mappings.flat_map(|stanza| &stanza.options);
            let lines = lines.filter(|line| tree.text(**line, 0).as_deref() == Some("map"));
            lines.filter_map(|line| tree.values(*line).last()).map(|name| name.into_owned())
        })
    }

    /// The words that start the interface.
    pub(super) fn starts(&self, name: &str) -> Vec<&Start> {
        let start = self.starts.partition_point(|it| it.name.as_str() < name);
        let rest = self.starts.get(start..).unwrap_or_default();
        let own = rest.iter().take_while(|it| it.name == name);
        let fits = |it: &&Start| is_pattern_for(&it.name, name);
        own.chain(self.start_patterns.iter().filter(fits)).collect()
    }

    fn name_of(&self, section: usize) -> &str {
        self.sections.get(section).map(|section| section.name.as_str()).unwrap_or_default()
    }

    fn find_starts(&mut self, file: usize) {
        let Some((_, tree)) = self.files.get(file) else { return };
        let words = if self.dialect == Dialect::Ng { 1 } else { usize::MAX };
        let mut stanza = None;
        for (line, role) in tree.roles.iter().enumerate() {
            if *role == Role::Iface {
                stanza = tree.text(line, 1);
            }
            let keyword = tree.text(line, 0).filter(|_| matches!(role, Role::Auto | Role::Allow));
            let mode = match keyword.as_deref() {
                Some("auto" | "allow-auto") => StartMode::Onboot,
                Some("allow-hotplug") => StartMode::Hotplug,
                Some(_) | None => continue,
            };
            let place = Place { file, line };
            if let (None, Some(name)) = (tree.word(line, 1), &stanza) {
                let name = name.clone().into_owned();
                self.starts.push(Start { name, place, word: 0, mode });
            }
            for (word, name) in (1..).zip(tree.values(line)).take(words) {
                let start = Start { name: name.into_owned(), place, word, mode };
                match start.name.starts_with('/') {
                    true => self.start_patterns.push(start),
                    false => self.starts.push(start),
                }
            }
        }
    }

    /// Reads a file and then those that it includes. Each file is read once.
    fn read(&mut self, root: &str, path: FilePath, files: &'a FileSet) {
        let Some(bytes) = files.content(&path) else { return };
        let tree = Tree::parse(bytes, self.dialect);
        let includes = include::includes(&tree, &absolute(root, &path));
        self.files.push((path, tree));
        for include in includes {
            self.include(root, &include, files);
        }
    }

    /// All files as one text, each in the place of the line that includes it.
    pub(super) fn flat(&self, root: &Path) -> Vec<u8> {
        let mut text = Vec::new();
        let mut left: Vec<_> = (0..self.files.len()).collect();
        self.add_flat(&root.to_string_lossy(), 0, &mut left, &mut text);
        text
    }

    fn add_flat(&self, root: &str, file: usize, left: &mut Vec<usize>, text: &mut Vec<u8>) {
        left.retain(|other| *other != file);
        let Some((path, tree)) = self.files.get(file) else { return };
        let includes = include::includes(tree, &absolute(root, path));
        for (number, line) in tree.lines.iter().enumerate() {
            let mut own = includes.iter().filter(|include| include.line == number).peekable();
            if own.peek().is_none() {
                text.extend_from_slice(tree.bytes.get(line.range.clone()).unwrap_or_default());
                continue;
            }
            for include in own {
                let is_taken = |other: &&usize| {
                    let other = self.files.get(**other);
                    other.is_some_and(|it| include.takes(&absolute(root, &it.0), self.dialect))
                };
                while let Some(other) = left.iter().find(is_taken).copied() {
                    self.add_flat(root, other, left, text);
                }
            }
        }
        // A backslash at the end continues no line of another file.
        text.extend_from_slice(b"\n\n");
    }

    fn include(&mut self, root: &str, include: &Include, files: &'a FileSet) {
        for (path, _) in files.iter() {
            let is_read = self.files.iter().any(|(read, _)| read == path);
            if !is_read && include.takes(&absolute(root, path), self.dialect) {
                self.read(root, path.clone(), files);
            }
        }
    }

    fn find_sections(&mut self, file: usize) {
        let Some((_, tree)) = self.files.get(file) else { return };
        let first = self.sections.len();
        let mut sections = Vec::with_capacity(tree.stanzas.len());
        // ifupdown-ng's `auto` begins a stanza, mostly beside that of `iface`.
        let mut plain = Vec::new();
        for stanza in &tree.stanzas {
            let role = tree.roles.get(stanza.header);
            let is_template = role == Some(&Role::Template);
            if !is_template && !matches!(role, Some(Role::Iface | Role::Auto)) {
                continue;
            }
            let Some(name) = tree.text(stanza.header, 1) else { continue };
            if role == Some(&Role::Auto) && stanza.options.is_empty() {
                plain.push(sections.len());
            }
            let mut section = Section {
                header: Place { file, line: stanza.header },
                name: name.clone().into_owned(),
                family: String::new(),
                method: String::new(),
                is_template,
                inherits: None,
                settings: Vec::new(),
            };
            section.read_header(tree);
            section.read_options(tree, &stanza.options);
            sections.push(section);
        }
        self.sections.extend(sections);
        self.plain.extend(plain.into_iter().map(|at| first + at));
    }

    /// Leaves out ifupdown-ng's `auto` lines beside which there is another stanza.
    fn drop_plain(&mut self) {
        let plain = std::mem::take(&mut self.plain);
        let is_plain = |at: &usize| plain.binary_search(at).is_ok();
        let others = (0..self.sections.len()).filter(|at| !is_plain(at));
        let mut names: BTreeSet<_> = others.map(|at| self.name_of(at).to_owned()).collect();
        let mut at = 0;
        self.sections.retain(|section| {
            let is_kept = !is_plain(&at) || names.insert(section.name.clone());
            at += 1;
            is_kept
        });
    }
}

impl Section {
    fn read_header(&mut self, tree: &Tree<'_>) {
        let words: Vec<_> = tree.values(self.header.line).skip(1).collect();
        let mut at = words.iter().map(AsRef::as_ref);
        if tree.dialect == Dialect::Ng {
            while let Some(word) = at.next() {
                match word {
                    "dhcp" => self.method = word.to_owned(),
                    "inherits" => self.inherits = at.next().map(str::to_owned),
                    _ => {}
                }
            }
            return;
        }
        let mut at = at.peekable();
        for slot in [&mut self.family, &mut self.method] {
            *slot = at.next_if(|word| *word != "inherits").unwrap_or_default().to_owned();
        }
        if at.next() == Some("inherits") {
            self.inherits = at.next().map(str::to_owned);
        }
    }

    fn read_options(&mut self, tree: &Tree<'_>, options: &[usize]) {
        let file = self.header.file;
        let mut netmask: Option<(String, Place)> = None;
        for line in options {
            let place = Place { file, line: *line };
            let Some(option) = tree.text(*line, 0) else { continue };
            let value = tree.value(*line);
            let Some((key, value)) = Key::of(&option, &value, &self.name, tree.dialect) else {
                continue;
            };
            if key == Key::Netmask {
                netmask = netmask.or_else(|| Some((value.to_owned(), place)));
                continue;
            }
            if key == Key::Inherit {
                self.inherits = self.inherits.take().or_else(|| Some(value.to_owned()));
                continue;
            }
            let value = key.canonical(value, tree.dialect);
            self.settings.push(Setting { key, value, place, netmask: None });
        }
        let mut mask = netmask.as_ref();
        for setting in self.settings.iter_mut().filter(|it| it.key == Key::Address) {
            let Some(address) = setting.value.take() else { continue };
            let text = mask.map(|(mask, _)| mask.as_str());
            let prefix = setting::with_netmask(&address, text, tree.dialect);
            setting.value = prefix.map(|prefix| prefix.to_string());
            setting.netmask = mask.map(|(_, place)| *place);
            // Further addresses of ifupdown-ng share it; an edit changes the first one only.
            if tree.dialect != Dialect::Ng {
                mask = None;
            }
        }
    }

    /// The address family that the header names.
    pub(super) fn is(&self, family: &str, method: &str) -> bool {
        self.family == family && self.method == method
    }
}

fn is_read_by_classic(name: &[u8]) -> bool {
    is_read(name, Dialect::Classic)
}

fn is_read_by_ng(name: &[u8]) -> bool {
    is_read(name, Dialect::Ng)
}

fn is_read_by_busybox(name: &[u8]) -> bool {
    is_read(name, Dialect::BusyBox)
}

fn is_read(name: &[u8], dialect: Dialect) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| include::is_read_in_folder(name, dialect))
}

/// Whether a word like `/eth*` names the interface; one with a second part does not, as it depends
/// on the devices.
fn is_pattern_for(word: &str, name: &str) -> bool {
    let pattern = word.strip_prefix('/').map(|word| word.strip_suffix('/').unwrap_or(word));
    pattern.is_some_and(|it| !it.contains(['/', '=']) && glob::fits(it, name))
}

/// The name of a device, if a stanza's name is one.
pub(super) fn device(name: &str) -> Option<IfName> {
    let is_plain = !name.contains(['*', '?', '[', '/', '=', ':']);
    IfName::new(name).ok().filter(|_| is_plain)
}
