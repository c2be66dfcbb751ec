// SPDX-License-Identifier: LGPL-2.1-or-later
//! `/etc/network/interfaces` (interfaces(5)), and the links that its stanzas configure.
//!
//! Three programs read this file: classic ifupdown, ifupdown-ng and BusyBox's ifup. Their stanzas
//! have different options but the same headers. A stanza configures the link in its header, and the
//! ports of its bridge or bond. Patterns and mappings are skipped, since only ifup can resolve them
//! to links; so are methods that only configure the loopback.

use crate::model::name::IfName;

/// The content of one file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Interfaces {
    pub mentions: Vec<Mention>,
    /// In the order of the file.
    pub includes: Vec<Include>,
}

/// A link that a line configures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mention {
    pub link: IfName,
    /// Counted from 1.
    pub line: usize,
}

/// An instruction to read more files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Include {
    /// The files that match a shell pattern.
    Files(String),
    /// The files in the folders that match a shell pattern.
    Folders(String),
}

/// Options that name ports. ifupdown-ng requires dashes, the other programs also take underscores.
const PORT_OPTIONS: [&str; 4] = ["bridge-ports", "bond-slaves", "bond-members", "slaves"];

/// Words of a port option that are not links, or that begin a pattern.
const NO_PORTS: [&str; 2] = ["none", "all"];
const PATTERN: &str = "regex";
/// Words that end a pattern.
const END_OF_PATTERN: [&str; 2] = ["noregex", "none"];

/// Parses one file.
pub fn parse(text: &str) -> Interfaces {
    let mut found = Interfaces::default();
    for (line, words) in logical_lines(text) {
        let mut words = words.split_whitespace();
        let Some(first) = words.next() else { continue };
        let mut mention = |word: &str| {
            let link = IfName::new(word).ok().filter(|link| link.as_str() != "lo");
            found.mentions.extend(link.map(|link| Mention { link, line }));
        };
        match first {
            "iface" => {
                let Some(name) = words.next() else { continue };
                if words.nth(1) != Some("loopback") {
                    mention(name);
                }
            }
            "auto" => words.for_each(mention),
            "source" => found.includes.extend(words.map(|it| Include::Files(it.to_owned()))),
            "source-directory" => {
                found.includes.extend(words.map(|it| Include::Folders(it.to_owned())));
            }
            _ if first.starts_with("allow-") => words.for_each(mention),
            _ if PORT_OPTIONS.contains(&first.replace('_', "-").as_str()) => {
                ports(words).for_each(mention);
            }
            _ => {}
        }
    }
    found
}

/// Returns the link names among the words of an option.
fn ports<'a>(words: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut is_pattern = false;
    words.filter(move |word| {
        if *word == PATTERN || END_OF_PATTERN.contains(word) {
            is_pattern = *word == PATTERN;
            return false;
        }
        !is_pattern && !NO_PORTS.contains(word)
    })
}

/// Iterates over lines without comments, joined where a line ends with a backslash.
fn logical_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut lines = text.lines().zip(1..);
    std::iter::from_fn(move || {
        let (first, number) = lines.next()?;
        if first.trim_start().starts_with('#') {
            return Some((number, String::new()));
        }
        let mut whole = first.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            let Some((next, _)) = lines.next() else { break };
            whole.push_str(next);
        }
        Some((number, whole))
    })
}

/// Returns whether classic ifupdown reads a file of this name in a folder of `source-directory`.
pub(crate) fn is_read_in_folder(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(text: &str) -> Vec<(String, usize)> {
        let mentions = parse(text).mentions.into_iter();
        mentions.map(|it| (it.link.to_string(), it.line)).collect()
    }

    #[test]
    fn stanzas_name_their_link_and_its_ports() {
        struct Case<'a>(&'static str, &'static str, &'a [(&'static str, usize)]);
        let cases = [
            Case("nothing", "", &[]),
            Case("the loopback", "auto lo\niface lo inet loopback\n", &[]),
            Case("another name of it", "iface lo0 inet loopback", &[]),
            Case(
                "classic",
                "# eth9\niface eth0 inet static\n\taddress 192.0.2.1/24",
                &[("eth0", 2)],
            ),
            Case("ifupdown-ng", "iface eth0\n\tuse dhcp", &[("eth0", 1)]),
            Case("alone", "iface eth0", &[("eth0", 1)]),
            Case(
                "brought up",
                "auto eth0 eth1\nallow-hotplug eth2",
                &[("eth0", 1), ("eth1", 1), ("eth2", 2)],
            ),
            Case(
                "a bridge",
                "iface br0 inet manual\n  bridge_ports eth0 eth1.5",
                &[("br0", 1), ("eth0", 2), ("eth1.5", 2)],
            ),
            Case(
                "a bridge without ports",
                "iface br0 inet manual\nbridge-ports none",
                &[("br0", 1)],
            ),
            Case(
                "a pattern",
                "iface br0 inet manual\nbridge_ports eth0 regex en.* noregex eth1",
                &[("br0", 1), ("eth0", 2), ("eth1", 2)],
            ),
            Case(
                "a bond in each spelling",
                "bond-slaves eth0\nbond_slaves eth1\nbond-members eth2\nslaves eth3",
                &[("eth0", 1), ("eth1", 2), ("eth2", 3), ("eth3", 4)],
            ),
            Case(
                "continued",
                "auto eth0 \\\n  eth1\nauto eth2",
                &[("eth0", 1), ("eth1", 1), ("eth2", 3)],
            ),
            Case("a comment is not continued", "# x \\\nauto eth0", &[("eth0", 2)]),
            Case(
                "no names",
                "auto /eth*/\nmapping eth0\niface\nbridge_stp on\nup ip link set eth7 up",
                &[],
            ),
        ];
        for Case(label, text, want) in cases {
            let want: Vec<_> =
                want.iter().map(|(name, line)| ((*name).to_owned(), *line)).collect();
            assert_eq!(mentions(text), want, "{label}");
        }
    }

    #[test]
    fn other_files_are_named() {
        let text = "source /etc/network/interfaces.d/*\nsource-directory more.d\nsource";
        let (files, folders) = ("/etc/network/interfaces.d/*".to_owned(), "more.d".to_owned());
        assert_eq!(parse(text).includes, [Include::Files(files), Include::Folders(folders)]);
        for (name, is_read) in
            [("lan", true), ("eth0_5-a", true), ("lan.conf", false), (".lan", false), ("", false)]
        {
            assert_eq!(is_read_in_folder(name), is_read, "{name}");
        }
    }
}
