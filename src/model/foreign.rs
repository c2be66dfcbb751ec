// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`ForeignClient`]: a DHCP client that somebody else has started, and how it is started again.
//!
//! Knows neither how such a process is found nor how it is ended.

use std::fmt;

use crate::model::address::Family;
use crate::model::glob;
use crate::model::name::IfName;

/// The programs that get leases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    Udhcpc,
    Dhcpcd,
    Dhclient,
}

impl Program {
    /// All of them, in the order in which they are preferred.
    pub const ALL: [Self; 3] = [Self::Udhcpc, Self::Dhcpcd, Self::Dhclient];

    /// Whether the program gets leases of this family.
    pub const fn speaks(self, family: Family) -> bool {
        match (self, family) {
            (Self::Udhcpc, Family::Ipv6) => false,
            (Self::Udhcpc, Family::Ipv4) | (Self::Dhcpcd | Self::Dhclient, _) => true,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Udhcpc => "udhcpc",
            Self::Dhcpcd => "dhcpcd",
            Self::Dhclient => "dhclient",
        }
    }
}

/// The links that one process gets leases for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Links {
    One(IfName),
    /// More than one, all of which its command line names.
    Several(Vec<IfName>),
    /// Those that it finds, within what its configuration says.
    All(Choice),
}

/// Which links a client of all of them takes: patterns as a shell has them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choice {
    /// If there are any, only these.
    pub allowed: Vec<String>,
    pub denied: Vec<String>,
}

impl Choice {
    fn takes(&self, link: IfName) -> bool {
        let is_in =
            |patterns: &[String]| patterns.iter().any(|pattern| glob::fits(pattern, link.as_str()));
        (self.allowed.is_empty() || is_in(&self.allowed)) && !is_in(&self.denied)
    }
}

/// A DHCP client that somebody else has started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForeignClient {
    pub program: Program,
    pub links: Links,
    pub families: Vec<Family>,
    /// The number of its process, or the one that it had.
    pub pid: i32,
    /// Whoever would start it again if it ended: a supervisor's name.
    pub keeper: Option<String>,
    pub command: CommandLine,
}

/// What a process was started with, in the kernel's bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandLine {
    /// The program's file.
    pub file: Vec<u8>,
    /// The first one is the name that the program was called by.
    pub arguments: Vec<Vec<u8>>,
    pub directory: Vec<u8>,
    /// Each as `NAME=value`.
    pub environment: Vec<Vec<u8>>,
}

impl ForeignClient {
    /// Whether it gets the lease of a link and a family.
    pub fn is_for(&self, link: IfName, family: Family) -> bool {
        self.is_on(link) && self.families.contains(&family)
    }

    /// Whether it gets leases for a link.
    pub fn is_on(&self, link: IfName) -> bool {
        match &self.links {
            Links::One(name) => *name == link,
            Links::Several(names) => names.contains(&link),
            Links::All(choice) => choice.takes(link),
        }
    }

    /// The link that it gets leases for, if that is the only one.
    pub fn only_link(&self) -> Option<IfName> {
        if let Links::One(link) = self.links { Some(link) } else { None }
    }

    /// Whether two clients do the same, be it that one was started after the other.
    pub fn is_same(&self, other: &Self) -> bool {
        let has_same_links = match (&self.links, &other.links) {
            (Links::All(_), Links::All(_)) => true,
            (one, other) => one == other,
        };
        has_same_links
            && (self.program, &self.families, &self.command.arguments)
                == (other.program, &other.families, &other.command.arguments)
    }
}

/// As a log line or an error names it: `dhclient on eth0`.
impl fmt::Display for ForeignClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on ", self.program.name())?;
        match &self.links {
            Links::One(link) => write!(f, "{link}"),
            Links::Several(links) => {
                let links: Vec<_> = links.iter().map(IfName::as_str).collect();
                f.write_str(&links.join(" and "))
            }
            Links::All(_) => f.write_str("all links"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_by_what_it_was_started_with() {
        let link = |name: &str| IfName::new(name).unwrap();
        let client = ForeignClient {
            program: Program::Dhclient,
            links: Links::One(link("eth0")),
            families: vec![Family::Ipv4],
            pid: 42,
            keeper: None,
            command: CommandLine {
                arguments: vec![b"dhclient".to_vec(), b"eth0".to_vec()],
                ..CommandLine::default()
            },
        };
        assert!(client.is_for(link("eth0"), Family::Ipv4));
        assert!(!client.is_for(link("eth0"), Family::Ipv6));
        assert!(!client.is_for(link("eth1"), Family::Ipv4));
        assert!(client.is_same(&ForeignClient { pid: 43, ..client.clone() }), "started again");
        let other = ForeignClient { links: Links::One(link("eth1")), ..client.clone() };
        assert!(!client.is_same(&other));
        let several = Links::Several(vec![link("eth0"), link("eth1")]);
        for (links, want) in [
            (client.links.clone(), "dhclient on eth0"),
            (several, "dhclient on eth0 and eth1"),
            (Links::All(Choice::default()), "dhclient on all links"),
        ] {
            let client = ForeignClient { links, ..client.clone() };
            assert_eq!(client.to_string(), want);
            assert!(client.is_on(link("eth0")), "{want}");
        }
    }

    #[test]
    fn a_client_of_all_links_takes_those_that_its_configuration_leaves_to_it() {
        let patterns = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        for (allowed, denied, name, want) in [
            ("", "", "eth0", true),
            ("", "eth0", "eth0", false),
            ("", "eth*", "eth0", false),
            ("", "eth?", "eth10", true),
            ("", "*0", "eth10", false),
            ("", "e*1*0", "eth1x1y0", false),
            ("", "et eth00 ?", "eth0", true),
            ("wlan*", "", "eth0", false),
            ("wlan* eth0", "*", "eth0", false),
        ] {
            let choice = Choice { allowed: patterns(allowed), denied: patterns(denied) };
            let link = IfName::new(name).unwrap();
            assert_eq!(choice.takes(link), want, "{allowed:?} but {denied:?}: {name}");
        }
    }
}
