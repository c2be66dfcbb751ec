// SPDX-License-Identifier: LGPL-2.1-or-later
//! The links that the stanzas of `/etc/network/interfaces` configure.
//!
//! A stanza configures the link in its header, and the ports of its bridge or bond. Patterns and
//! mappings are skipped, since only ifup can resolve them to links; so are methods that only
//! configure the loopback.

use std::borrow::Cow;

use crate::ifupdown::tree::{Role, Tree};
use crate::model::name::IfName;

/// A link that a line configures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mention {
    pub link: IfName,
    /// Counted from 1.
    pub line: usize,
}

/// Options that name ports. ifupdown-ng requires dashes, the other programs also take underscores.
const PORT_OPTIONS: [&str; 4] = ["bridge-ports", "bond-slaves", "bond-members", "slaves"];

/// Words of a port option that are not links, or that begin a pattern.
const NO_PORTS: [&str; 2] = ["none", "all"];
const PATTERN: &str = "regex";
/// Words that end a pattern.
const END_OF_PATTERN: [&str; 2] = ["noregex", "none"];

/// Returns the links that one file mentions, in its order.
pub fn mentions(tree: &Tree<'_>) -> Vec<Mention> {
    let mut found = Vec::new();
    for (index, role) in tree.roles.iter().enumerate() {
        let line = tree.number(index);
        let mut mention = |word: &str| {
            let link = IfName::new(word).ok().filter(|link| link.as_str() != "lo");
            found.extend(link.map(|link| Mention { link, line }));
        };
        match role {
            Role::Iface => {
                if tree.text(index, 3).as_deref() != Some("loopback") {
                    tree.values(index).take(1).for_each(|name| mention(&name));
                }
            }
            Role::Auto | Role::Allow => tree.values(index).for_each(|name| mention(&name)),
            Role::Option(_) | Role::Stray if is_port_option(tree, index) => {
                ports(tree.values(index)).for_each(|name| mention(&name));
            }
            Role::Nothing
            | Role::Template
            | Role::Mapping
            | Role::Defaults
            | Role::Source
            | Role::SourceDirectory
            | Role::Names
            | Role::Option(_)
            | Role::Stray => {}
        }
    }
    found
}

fn is_port_option(tree: &Tree<'_>, line: usize) -> bool {
    let option = tree.text(line, 0).map(|option| option.replace('_', "-"));
    option.is_some_and(|option| PORT_OPTIONS.contains(&option.as_str()))
}

/// Returns the link names among the words of an option.
fn ports<'a>(words: impl Iterator<Item = Cow<'a, str>>) -> impl Iterator<Item = Cow<'a, str>> {
    let mut is_pattern = false;
    words.filter(move |word| {
        let word = word.as_ref();
        if word == PATTERN || END_OF_PATTERN.contains(&word) {
            is_pattern = word == PATTERN;
            return false;
        }
        !is_pattern && !NO_PORTS.contains(&word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ifupdown::Dialect;

    fn mentioned(text: &str) -> Vec<(String, usize)> {
        let mentions = mentions(&Tree::parse(text.as_bytes(), Dialect::Classic)).into_iter();
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
            assert_eq!(mentioned(text), want, "{label}");
        }
    }
}
