// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Tree`]: the lines of one file, each with its role, and the stanzas that they form.

use std::borrow::Cow;

use crate::ifupdown::Dialect;
use crate::ifupdown::line::{self, Line};

/// One file.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    pub bytes: &'a [u8],
    pub dialect: Dialect,
    pub lines: Vec<Line>,
    /// The role of each line.
    pub roles: Vec<Role>,
    pub stanzas: Vec<Stanza>,
}

/// What a line does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// A blank line, a comment, or one that the program skips.
    Nothing,
    /// `auto` and names, or the name of the stanza around it.
    Auto,
    /// `allow-hotplug` and the like.
    Allow,
    /// `iface`: begins a stanza.
    Iface,
    /// A stanza that only others inherit from.
    Template,
    /// Begins a stanza whose script chooses other stanzas.
    Mapping,
    /// ifupdown-ng's options for all interfaces.
    Defaults,
    /// Names files to be read here.
    Source,
    /// Names a directory whose files are to be read here.
    SourceDirectory,
    /// `no-auto-down`, `no-scripts` and `rename`, with names.
    Names,
    /// An option of the stanza with this index.
    Option(usize),
    /// Outside of a stanza. Classic ifupdown and BusyBox refuse the whole file.
    Stray,
}

/// A header and the options that belong to it. Other lines may be in between.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stanza {
    /// The index of the line that begins it: `iface`, `template`, `mapping`, `defaults`, and
    /// for ifupdown-ng also `auto`.
    pub header: usize,
    /// The indices of its options' lines.
    pub options: Vec<usize>,
}

impl<'a> Tree<'a> {
    pub fn parse(bytes: &'a [u8], dialect: Dialect) -> Self {
        let lines = line::lines(bytes, dialect);
        let mut tree = Self { bytes, dialect, lines, roles: Vec::new(), stanzas: Vec::new() };
        let mut open = None;
        for index in 0..tree.lines.len() {
            let role = tree.role(index, open);
            tree.roles.push(role);
            let has_names = tree.word(index, 1).is_some();
            match role {
                Role::Iface | Role::Template | Role::Mapping | Role::Defaults => {
                    open = Some(tree.begin(index));
                }
                // ifupdown-ng goes on with this interface.
                Role::Auto if dialect == Dialect::Ng && has_names => {
                    open = Some(tree.begin(index));
                }
                Role::Option(stanza) => {
                    if let Some(stanza) = tree.stanzas.get_mut(stanza) {
                        stanza.options.push(index);
                    }
                }
                Role::Auto if dialect == Dialect::BusyBox => open = None,
                Role::Auto | Role::Allow | Role::Names if has_names => open = None,
                Role::Source | Role::SourceDirectory if dialect != Dialect::BusyBox => open = None,
                Role::Auto
                | Role::Allow
                | Role::Names
                | Role::Source
                | Role::SourceDirectory
                | Role::Nothing
                | Role::Stray => {}
            }
        }
        tree
    }

    /// The bytes of the file, line by line.
    pub fn format(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|it| line::part(self.bytes, it.range.clone())).copied().collect()
    }

    /// The word of a line as the program sees it.
    pub fn word(&self, line: usize, word: usize) -> Option<Cow<'a, [u8]>> {
        let range = self.lines.get(line)?.words.get(word)?.clone();
        Some(line::unfolded(self.bytes, range, self.dialect))
    }

    /// The word of a line, if it is text.
    pub fn text(&self, line: usize, word: usize) -> Option<Cow<'a, str>> {
        match self.word(line, word)? {
            Cow::Borrowed(word) => std::str::from_utf8(word).ok().map(Cow::Borrowed),
            Cow::Owned(word) => String::from_utf8(word).ok().map(Cow::Owned),
        }
    }

    /// The words of a line behind the first, those that are text.
    pub fn values(&self, line: usize) -> impl Iterator<Item = Cow<'a, str>> {
        let count = self.lines.get(line).map_or(0, |line| line.words.len());
        (1..count).filter_map(move |word| self.text(line, word))
    }

    /// Everything behind the first word of a line, up to its last word; bytes that are not text are
    /// replaced.
    pub fn value(&self, line: usize) -> String {
        let words = self.lines.get(line).map(|line| line.words.as_slice()).unwrap_or_default();
        let [_, first, .., last] = words else {
            return self.text(line, 1).unwrap_or_default().into_owned();
        };
        let value = line::unfolded(self.bytes, first.start..last.end, self.dialect);
        String::from_utf8_lossy(&value).into_owned()
    }

    /// The number of a line in the file, counted from 1.
    pub fn number(&self, line: usize) -> usize {
        self.lines.get(line).map_or(0, |line| line.number)
    }

    fn begin(&mut self, header: usize) -> usize {
        self.stanzas.push(Stanza { header, options: Vec::new() });
        self.stanzas.len() - 1
    }

    fn role(&self, line: usize, open: Option<usize>) -> Role {
        use Dialect::{BusyBox, Classic, Ng};
        let Some(keyword) = self.word(line, 0) else { return Role::Nothing };
        let keyword = keyword.as_ref();
        match (keyword, self.dialect) {
            (_, Ng) if !keyword.first().is_some_and(u8::is_ascii_alphabetic) => Role::Nothing,
            (b"iface", _) | (b"interface", Ng) => Role::Iface,
            (b"auto", _) => Role::Auto,
            (b"source", _) => Role::Source,
            (b"source-directory", _) => Role::SourceDirectory,
            (b"mapping", Classic | BusyBox) => Role::Mapping,
            (b"template", Ng) => Role::Template,
            (b"defaults", Ng) => Role::Defaults,
            (b"no-auto-down" | b"no-scripts" | b"rename", Classic) => Role::Names,
            (_, Classic) if keyword.starts_with(b"source-dir") => Role::SourceDirectory,
            (_, Classic) if keyword.starts_with(b"allow-") && keyword.len() > 6 => Role::Allow,
            _ => open.map_or(Role::Stray, Role::Option),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# the host's\n\
                        auto lo eth0\n\
                        iface lo inet loopback\n\
                        \n\
                        iface eth0 inet static\n\
                        \taddress 192.0.2.1/24\n\
                        \tauto\n\
                        \n\
                        \tmtu 1400 # small\n\
                        allow-hotplug eth1\n\
                        source interfaces.d/*\n\
                        \tmtu 9000\n\
                        mapping eth1\n\
                        \tscript /bin/choose\n";

    fn roles(text: &str, dialect: Dialect) -> Vec<Role> {
        let tree = Tree::parse(text.as_bytes(), dialect);
        assert_eq!(tree.format(), text.as_bytes());
        tree.roles
    }

    #[test]
    fn each_line_has_its_role_in_each_dialect() {
        use Role::{
            Allow, Auto, Iface, Mapping, Nothing, Option, Source, SourceDirectory, Stray, Template,
        };
        let classic = [
            Nothing,
            Auto,
            Iface,
            Nothing,
            Iface,
            Option(1),
            Auto,
            Nothing,
            Option(1),
            Allow,
            Source,
            Stray,
            Mapping,
            Option(2),
        ];
        assert_eq!(roles(TEXT, Dialect::Classic), classic);
        let mut ng = classic;
        ng[5] = Option(2);
        ng[8] = Option(2);
        ng[9] = Option(2);
        ng[12] = Stray;
        ng[13] = Stray;
        assert_eq!(roles(TEXT, Dialect::Ng), ng);
        let mut busybox = classic;
        busybox[8] = Stray;
        busybox[9] = Stray;
        assert_eq!(roles(TEXT, Dialect::BusyBox), busybox);

        let text = "iface eth0\nsource-dir d\nsource-directory d\n12 x\ntemplate t\ninterface a\n";
        let sources = [Iface, SourceDirectory, SourceDirectory, Stray, Stray, Stray];
        assert_eq!(roles(text, Dialect::Classic), sources);
        let ng = [Iface, Option(0), SourceDirectory, Nothing, Template, Iface];
        assert_eq!(roles(text, Dialect::Ng), ng);
        let busybox = [Iface, Option(0), SourceDirectory, Option(0), Option(0), Option(0)];
        assert_eq!(roles(text, Dialect::BusyBox), busybox);
    }

    #[test]
    fn a_stanza_has_its_options() {
        let tree = Tree::parse(TEXT.as_bytes(), Dialect::Classic);
        let eth0 = &tree.stanzas[1];
        assert_eq!(eth0, &Stanza { header: 4, options: vec![5, 8] });
        assert_eq!(tree.text(4, 1).as_deref(), Some("eth0"));
        assert_eq!(tree.values(8).collect::<Vec<_>>(), ["1400", "#", "small"]);
        assert_eq!(tree.number(8), 9);
    }
}
