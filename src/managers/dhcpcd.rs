// SPDX-License-Identifier: LGPL-2.1-or-later
//! dhcpcd as the manager of all links, and those that it leaves alone (dhcpcd.conf(5)).

use crate::model::glob;
use crate::model::name::IfName;

/// The links that a dhcpcd takes, as patterns of its configuration and its command line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DhcpcdLinks {
    /// If not empty, dhcpcd takes only links that match.
    allowed: Vec<String>,
    denied: Vec<String>,
}

impl DhcpcdLinks {
    /// Parses a configuration.
    pub fn parse(configuration: &str) -> Self {
        let mut choice = Self::default();
        for line in configuration.lines().map(str::trim) {
            let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let patterns = || value.split([',', ' ', '\t']).filter(|it| !it.is_empty());
            match word {
                "allowinterfaces" => choice.allowed.extend(patterns().map(str::to_owned)),
                "denyinterfaces" => choice.denied.extend(patterns().map(str::to_owned)),
                _ => {}
            }
        }
        choice
    }

    /// Returns whether dhcpcd takes this link.
    pub fn takes(&self, link: &IfName) -> bool {
        let is_in = |patterns: &[String]| patterns.iter().any(|it| glob::fits(it, link.as_str()));
        (self.allowed.is_empty() || is_in(&self.allowed)) && !is_in(&self.denied)
    }
}

/// Returns whether a process with this command line is a dhcpcd that manages all links. Such a
/// process rewrites its command line to say so; where it cannot, the command line names no link.
pub(crate) fn is_manager(arguments: &[&str]) -> bool {
    match arguments {
        [title, ..] if title.starts_with("dhcpcd: ") => {
            title.contains("[manager]") || title.contains("[master]")
        }
        [_, options @ ..] => options.iter().all(|it| it.starts_with('-') || it.is_empty()),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_which_links_it_leaves_alone() {
        struct Case<'a>(&'static str, &'a [&'static str]);
        let all = ["eth0", "eth1", "wlan0", "br0"];
        for Case(text, taken) in [
            Case("", &all),
            Case("denyinterfaces eth0", &["eth1", "wlan0", "br0"]),
            Case("denyinterfaces eth0,br*\ndenyinterfaces wlan0", &["eth1"]),
            Case("allowinterfaces eth*", &["eth0", "eth1"]),
            Case("  allowinterfaces eth* br0\n\tdenyinterfaces eth0  eth1\n", &["br0"]),
            Case("# denyinterfaces eth0\ninterface eth0\nstatic domain_name=x", &all),
        ] {
            let choice = DhcpcdLinks::parse(text);
            let found: Vec<_> =
                all.into_iter().filter(|name| choice.takes(&IfName::new(name).unwrap())).collect();
            assert_eq!(found, taken, "{text}");
        }
    }

    #[test]
    fn a_manager_names_no_link() {
        for (arguments, is) in [
            (&["dhcpcd: [manager] [ip4] [ip6]", ""][..], true),
            (&["dhcpcd: [master] [ip4]"], true),
            (&["dhcpcd: eth0 [ip4]"], false),
            (&["dhcpcd: [privileged proxy]"], false),
            (&["/sbin/dhcpcd", "-q", "-w"], true),
            (&["/sbin/dhcpcd", "-q", "eth0"], false),
            (&[], false),
        ] {
            assert_eq!(is_manager(arguments), is, "{arguments:?}");
        }
    }
}
