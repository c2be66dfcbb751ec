// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`ForeignClient`]: a DHCP client that another program has started, and how to restart it.
//!
//! Knows neither how to find such a process nor how to end it.

use std::fmt;

use crate::model::address::Family;
use crate::model::glob;
use crate::model::name::IfName;

/// The programs that get leases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientProgram {
    Udhcpc,
    Dhcpcd,
    Dhclient,
}

impl ClientProgram {
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
pub enum ClientLinks {
    One(IfName),
    /// More than one, all of which its command line names.
    Several(Vec<IfName>),
    /// The links that it finds, within its configuration.
    All(LinkPatterns),
}

/// The links that a client of all links takes: patterns as in a shell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LinkPatterns {
    /// If there are any, only these links.
    pub allowed: Vec<String>,
    pub denied: Vec<String>,
    /// Links that it was ordered to release, and not to take again yet.
    pub let_go: Vec<IfName>,
    /// Links that it has on the daemon's behalf.
    pub lent: Vec<IfName>,
}

impl LinkPatterns {
    fn allows(&self, link: IfName) -> bool {
        let is_in =
            |patterns: &[String]| patterns.iter().any(|pattern| glob::fits(pattern, link.as_str()));
        (self.allowed.is_empty() || is_in(&self.allowed)) && !is_in(&self.denied)
    }
}

/// How to make a client leave a link.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Leaving {
    /// The client is ended, and restarted later.
    #[default]
    Ended,
    /// The client runs on: it is ordered to release the link, and to take it again later.
    Told,
}

/// A DHCP client that another program has started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForeignClient {
    pub program: ClientProgram,
    pub links: ClientLinks,
    pub families: Vec<Family>,
    /// The process's id, also after its end.
    pub pid: i32,
    /// The name of the supervisor that would restart the client if it ended.
    pub keeper: Option<String>,
    pub leaving: Leaving,
    pub command: CommandLine,
}

/// The command line and environment of a process, in the kernel's bytes.
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
            ClientLinks::One(name) => *name == link,
            ClientLinks::Several(names) => names.contains(&link),
            ClientLinks::All(choice) => {
                let is_left = choice.let_go.contains(&link) || choice.lent.contains(&link);
                choice.allows(link) && !is_left
            }
        }
    }

    /// Whether its configuration allows a link.
    pub(crate) fn may_have(&self, link: IfName) -> bool {
        match &self.links {
            ClientLinks::One(_) | ClientLinks::Several(_) => self.is_on(link),
            ClientLinks::All(choice) => choice.allows(link),
        }
    }

    /// The link that it gets leases for, if that is the only one.
    pub fn only_link(&self) -> Option<IfName> {
        if let ClientLinks::One(link) = self.links { Some(link) } else { None }
    }

    /// The link that its script clears when it starts, until it has a lease.
    pub(crate) fn cleared_link(&self) -> Option<IfName> {
        self.only_link().filter(|_| self.program == ClientProgram::Udhcpc)
    }

    /// The client of all links reduced to one of them, if it can be ordered to release that.
    pub fn part(&self, link: IfName) -> Option<Self> {
        let can_be_told =
            self.leaving == Leaving::Told && matches!(self.links, ClientLinks::All(_));
        // A supervisor has no reason to restart it, as it runs on.
        can_be_told.then(|| Self { links: ClientLinks::One(link), keeper: None, ..self.clone() })
    }

    /// The links that a client of all links was ordered to release.
    pub fn let_go(&self) -> &[IfName] {
        if let ClientLinks::All(choice) = &self.links { &choice.let_go } else { &[] }
    }

    /// Whether two clients do the same, even if one was started after the other.
    pub fn is_same(&self, other: &Self) -> bool {
        let has_same_links = match (&self.links, &other.links) {
            (ClientLinks::All(_), ClientLinks::All(_)) => true,
            (one, other) => one == other,
        };
        has_same_links
            && (self.program, self.leaving, &self.families, &self.command.arguments)
                == (other.program, other.leaving, &other.families, &other.command.arguments)
    }
}

/// As a log line or an error names it: `dhclient on eth0`.
impl fmt::Display for ForeignClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on ", self.program.name())?;
        match &self.links {
            ClientLinks::One(link) => write!(f, "{link}"),
            ClientLinks::Several(links) => {
                let links: Vec<_> = links.iter().map(IfName::as_str).collect();
                f.write_str(&links.join(" and "))
            }
            ClientLinks::All(LinkPatterns { let_go, .. }) if let_go.is_empty() => {
                f.write_str("all links")
            }
            ClientLinks::All(LinkPatterns { let_go, .. }) => {
                let let_go: Vec<_> = let_go.iter().map(IfName::as_str).collect();
                write!(f, "all links but {}", let_go.join(" and "))
            }
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
            program: ClientProgram::Dhclient,
            links: ClientLinks::One(link("eth0")),
            families: vec![Family::Ipv4],
            pid: 42,
            keeper: None,
            leaving: Leaving::Ended,
            command: CommandLine {
                arguments: vec![b"dhclient".to_vec(), b"eth0".to_vec()],
                ..CommandLine::default()
            },
        };
        assert!(client.is_for(link("eth0"), Family::Ipv4));
        assert!(!client.is_for(link("eth0"), Family::Ipv6));
        assert!(!client.is_for(link("eth1"), Family::Ipv4));
        assert!(client.is_same(&ForeignClient { pid: 43, ..client.clone() }), "started again");
        let other = ForeignClient { links: ClientLinks::One(link("eth1")), ..client.clone() };
        assert!(!client.is_same(&other));
        let several = ClientLinks::Several(vec![link("eth0"), link("eth1")]);
        for (links, want) in [
            (client.links.clone(), "dhclient on eth0"),
            (several, "dhclient on eth0 and eth1"),
            (ClientLinks::All(LinkPatterns::default()), "dhclient on all links"),
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
            let choice = LinkPatterns {
                allowed: patterns(allowed),
                denied: patterns(denied),
                ..LinkPatterns::default()
            };
            let link = IfName::new(name).unwrap();
            assert_eq!(choice.allows(link), want, "{allowed:?} but {denied:?}: {name}");
        }
    }

    #[test]
    fn a_client_of_all_links_may_leave_one_alone() {
        let link = |name: &str| IfName::new(name).unwrap();
        let manager = |leaving, choice| ForeignClient {
            program: ClientProgram::Dhcpcd,
            links: ClientLinks::All(choice),
            families: vec![Family::Ipv4],
            pid: 42,
            keeper: Some("runsv".to_owned()),
            leaving,
            command: CommandLine::default(),
        };
        let old = manager(Leaving::Ended, LinkPatterns::default());
        assert_eq!(old.part(link("eth0")), None);
        let all = manager(Leaving::Told, LinkPatterns::default());
        let part = all.part(link("eth0")).unwrap();
        assert_eq!((part.only_link(), part.keeper.as_deref()), (Some(link("eth0")), None));
        assert_eq!(part.part(link("eth0")), None);
        let single = ForeignClient { leaving: Leaving::Ended, ..part.clone() };
        assert!(!part.is_same(&single));

        let let_go = vec![link("eth0")];
        let choice = LinkPatterns { let_go, lent: vec![link("br0")], ..LinkPatterns::default() };
        let without = manager(Leaving::Told, choice);
        assert!(without.is_same(&all));
        assert_eq!(without.to_string(), "dhcpcd on all links but eth0");
        assert_eq!(without.let_go(), [link("eth0")]);
        for (name, want) in [("eth0", false), ("br0", false), ("eth1", true)] {
            assert_eq!(without.is_on(link(name)), want, "{name}");
            assert!(without.may_have(link(name)), "{name}");
        }
    }
}
