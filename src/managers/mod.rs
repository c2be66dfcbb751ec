// SPDX-License-Identifier: LGPL-2.1-or-later
//! Other programs that manage a link, by their own configuration files or by default.
//!
//! Two programs that configure one link undo each other's work: they put addresses on a bridge and
//! on its port, run two DHCP clients, or take links down under connections. Each module here reads
//! one program's files as far as needed to name the link, the place in the file, and the remedy.
//! They are not complete parsers, and report nothing in doubtful cases. Pure: the caller passes
//! texts in.

pub mod ifupdown;
pub mod netifrc;
pub mod dhcpcd;
pub mod state;
pub mod connman;
pub mod netifd;

use std::fmt;

use crate::model::interface::{Interface, Kind};
use crate::model::name::IfName;

/// A program that configures links.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Manager {
    /// ifupdown, ifupdown-ng or BusyBox's ifup, which read the same file.
    Ifupdown,
    Netifrc,
    /// dhcpcd, running as the manager of all links.
    Dhcpcd,
    NetworkManager,
    Connman,
    Networkd,
    Netifd,
}

impl Manager {
    const fn name(self) -> &'static str {
        match self {
            Self::Ifupdown => "ifupdown",
            Self::Netifrc => "netifrc",
            Self::Dhcpcd => "dhcpcd",
            Self::NetworkManager => "NetworkManager",
            Self::Connman => "connman",
            Self::Networkd => "systemd-networkd",
            Self::Netifd => "netifd",
        }
    }

    /// Returns whether the manager has a built-in DHCP client, so that no other client can continue
    /// its leases.
    const fn keeps_leases(self) -> bool {
        match self {
            Self::NetworkManager | Self::Connman | Self::Networkd => true,
            // Their DHCP clients are separate processes, which are found as such.
            Self::Ifupdown | Self::Netifrc | Self::Dhcpcd | Self::Netifd => false,
        }
    }
}

/// The evidence that a manager has a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sign {
    /// A line of a file, counted from 1.
    Line {
        path: String,
        line: usize,
    },
    File(String),
    /// A process that takes all links except those that its configuration excludes.
    Process(i32),
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { path, line } => write!(f, "{path}:{line}"),
            Self::File(path) => f.write_str(path),
            Self::Process(pid) => write!(f, "process {pid}"),
        }
    }
}

/// A link that another program manages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    pub link: IfName,
    pub manager: Manager,
    pub sign: Sign,
}

/// Formats the manager, the link, the evidence and the remedy.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, manager, sign } = self;
        write!(f, "{} manages {link} ({sign}): ", manager.name())?;
        match manager {
            Manager::Ifupdown => write!(f, "remove {link} from that file"),
            Manager::Netifrc => {
                write!(f, "remove {link} from /etc/conf.d/net, and net.{link} from its runlevel")
            }
            Manager::Dhcpcd => {
                write!(f, "add 'denyinterfaces {link}' to /etc/dhcpcd.conf and restart dhcpcd")
            }
            Manager::NetworkManager => write!(
                f,
                "add 'unmanaged-devices=interface-name:{link}' to section [keyfile] of \
                 /etc/NetworkManager/NetworkManager.conf and restart it"
            ),
            Manager::Connman => write!(
                f,
                "add {link} to NetworkInterfaceBlacklist in section [General] of \
                 /etc/connman/main.conf and restart connman"
            ),
            Manager::Networkd => {
                write!(f, "add 'Unmanaged=yes' to section [Link] of its network file")
            }
            Manager::Netifd => write!(f, "remove {link} from that file"),
        }
    }
}

/// A link that a definition or a start affects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    pub link: IfName,
    pub stake: Stake,
    /// Whether it is the bridge being defined.
    pub is_bridge: bool,
}

/// The damage that a second manager of a link can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stake {
    /// Each manager may undo the other's settings.
    Settings,
    /// A lease is affected too: one to be moved to a bridge or bond, or that of a second DHCP
    /// client.
    Lease,
}

impl Claim {
    /// Returns all links that a definition affects: its own, its members, and the parents of its
    /// VLANs.
    pub fn all(interface: &Interface, stake: impl Fn(&IfName) -> Stake) -> Vec<Self> {
        let below = [interface.members(), interface.parents()].concat();
        let mut links: Vec<_> = std::iter::once(interface.name).chain(below).collect();
        links.sort_unstable();
        links.dedup();
        let is_bridge = |link| link == interface.name && matches!(interface.kind, Kind::Bridge(_));
        let claim = |link| Self { link, stake: stake(&link), is_bridge: is_bridge(link) };
        links.into_iter().map(claim).collect()
    }
}

/// Returns the hold that forbids the claims' purpose: that of a manager from which a lease cannot
/// be moved.
pub(crate) fn obstacle<'a>(claims: &[Claim], holds: &'a [Hold]) -> Option<&'a Hold> {
    holds.iter().find(|hold| {
        hold.manager.keeps_leases()
            && claims.iter().any(|it| it.link == hold.link && it.stake == Stake::Lease)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> IfName {
        IfName::new(name).unwrap()
    }

    #[test]
    fn a_hold_says_who_where_and_what_to_do() {
        let line = Sign::Line { path: "/etc/network/interfaces".to_owned(), line: 3 };
        let file = |path: &str| Sign::File(path.to_owned());
        for (manager, sign, want) in [
            (
                Manager::Ifupdown,
                line,
                "ifupdown manages eth0 (/etc/network/interfaces:3): remove eth0 from that file",
            ),
            (
                Manager::Netifrc,
                file("/etc/runlevels/default/net.eth0"),
                "netifrc manages eth0 (/etc/runlevels/default/net.eth0): remove eth0 from \
                 /etc/conf.d/net, and net.eth0 from its runlevel",
            ),
            (
                Manager::Dhcpcd,
                Sign::Process(7),
                "dhcpcd manages eth0 (process 7): add 'denyinterfaces eth0' to /etc/dhcpcd.conf \
                 and restart dhcpcd",
            ),
        ] {
            assert_eq!(Hold { link: name("eth0"), manager, sign }.to_string(), want);
        }
    }

    #[test]
    fn only_a_manager_with_a_client_inside_forbids_and_only_where_a_lease_is_at_stake() {
        let hold = |link: &str, manager| Hold { link: name(link), manager, sign: Sign::Process(7) };
        let claims = [
            Claim { link: name("br0"), stake: Stake::Settings, is_bridge: true },
            Claim { link: name("eth0"), stake: Stake::Lease, is_bridge: false },
        ];
        for (label, link, manager, forbids) in [
            ("a port", "eth0", Manager::NetworkManager, true),
            ("a port", "eth0", Manager::Connman, true),
            ("a port", "eth0", Manager::Networkd, true),
            ("the bridge", "br0", Manager::NetworkManager, false),
            ("another link", "eth1", Manager::NetworkManager, false),
            ("its client is found", "eth0", Manager::Ifupdown, false),
            ("its client is found", "eth0", Manager::Dhcpcd, false),
        ] {
            let holds = [hold("br0", Manager::Netifrc), hold(link, manager)];
            let want = forbids.then_some(&holds[1]);
            assert_eq!(obstacle(&claims, &holds), want, "{label}: {manager:?}");
        }
    }
}
