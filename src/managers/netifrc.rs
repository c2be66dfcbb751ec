// SPDX-License-Identifier: LGPL-2.1-or-later
//! `/etc/conf.d/net` of netifrc (Gentoo): the configuration of a link, and of the bridge or bond
//! whose port it is.
//!
//! The file is shell code. Only assignments are read whose value is a word, a quoted string or an
//! array of them; values that the shell would compute are skipped. The evidence of management is a
//! service `net.NAME` in a runlevel, since netifrc configures a link without variables by DHCP.

use crate::model::name::IfName;

/// The prefix of a service's name, before the link's.
pub(crate) const SERVICE_PREFIX: &str = "net.";

/// One assignment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    pub name: String,
    pub value: String,
    /// The line on which it begins, counted from 1.
    pub line: usize,
}

/// Returns the links that the service of `link` brings up as its ports, with their line numbers.
pub fn ports_of(variables: &[Variable], link: &IfName) -> Vec<(IfName, usize)> {
    let own = shell_name(link);
    let names = [format!("bridge_{own}"), format!("slaves_{own}")];
    let found = variables.iter().filter(|variable| names.contains(&variable.name));
    let words = found.flat_map(|it| it.value.split_whitespace().map(|word| (word, it.line)));
    words.filter_map(|(word, line)| Some((IfName::new(word).ok()?, line))).collect()
}

/// Returns the line that configures a link.
pub(crate) fn line_of(variables: &[Variable], link: &IfName) -> Option<usize> {
    let name = format!("config_{}", shell_name(link));
    variables.iter().find(|variable| variable.name == name).map(|variable| variable.line)
}

/// Converts a link's name to the form used within variable names.
fn shell_name(link: &IfName) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    link.as_str().chars().map(letter).collect()
}

/// Parses the assignments of a file.
pub fn variables(text: &str) -> Vec<Variable> {
    let mut variables = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((first, line)) = lines.next() {
        let Some((name, rest)) = first.trim_start().split_once('=').filter(|it| is_name(it.0))
        else {
            continue;
        };
        let mut rest = rest.to_owned();
        // A string or an array may span several lines.
        while is_open(&rest) {
            let Some((next, _)) = lines.next() else { break };
            rest.push('\n');
            rest.push_str(next);
        }
        variables.push(Variable { name: name.to_owned(), value: value(&rest), line });
    }
    variables
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Returns whether a quote or a bracket is still open.
fn is_open(text: &str) -> bool {
    let mut quote = None;
    let mut has_bracket = text.starts_with('(');
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (None, ')') => has_bracket = false,
            (Some(open), _) if open == c => quote = None,
            (None | Some(_), _) => {}
        }
    }
    quote.is_some() || has_bracket
}

/// Returns the words of a value, without quotes and brackets.
fn value(text: &str) -> String {
    let code = if text.starts_with(['"', '\'', '(']) {
        text
    } else {
        text.split_whitespace().next().unwrap_or_default()
    };
    code.replace(['"', '\'', '(', ')'], " ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: [&str; 13] = [
        "# config_eth9=\"dhcp\"",
        "config_eth0=\"192.0.2.1/24",
        "  192.0.2.2/24\"",
        "config_br0_5='dhcp'",
        "bridge_br0=\"eth1 eth2\"",
        "slaves_bond0=( \"eth3\"",
        "  \"eth4\" )",
        "bridge_br1=\"\"",
        "config_eth5=null # not here",
        "  mtu_eth5=1400",
        "preup() {",
        "\treturn 0",
        "}",
    ];

    fn name(name: &str) -> IfName {
        IfName::new(name).unwrap()
    }

    #[test]
    fn assignments_are_found_with_their_lines() {
        let variables = variables(&NET.join("\n"));
        let found = variables.iter().map(|it| (it.name.as_str(), it.value.as_str(), it.line));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                ("config_eth0", "192.0.2.1/24\n  192.0.2.2/24", 2),
                ("config_br0_5", "dhcp", 4),
                ("bridge_br0", "eth1 eth2", 5),
                ("slaves_bond0", "eth3 \n   eth4", 6),
                ("bridge_br1", "", 8),
                ("config_eth5", "null", 9),
                ("mtu_eth5", "1400", 10),
            ]
        );
        assert_eq!(line_of(&variables, &name("br0.5")), Some(4));
        assert_eq!(line_of(&variables, &name("eth9")), None);
    }

    #[test]
    fn ports_are_their_bridges_and_bonds() {
        let variables = variables(&NET.join("\n"));
        let of = |link: &str| ports_of(&variables, &name(link));
        assert_eq!(of("br0"), [(name("eth1"), 5), (name("eth2"), 5)]);
        assert_eq!(of("bond0"), [(name("eth3"), 6), (name("eth4"), 6)]);
        assert_eq!(of("br1"), []);
        assert_eq!(of("eth0"), []);
    }

    #[test]
    fn a_string_without_end_ends_with_the_file() {
        assert_eq!(
            variables("a=\"b\nc"),
            [Variable { name: "a".to_owned(), value: "b\nc".to_owned(), line: 1 }]
        );
    }
}
