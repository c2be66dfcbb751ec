// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`DhcpError`]: the reason why there is no client for a lease.

use std::fmt;

use crate::error::HostError;
use crate::model::address::{Family, IpPrefix};
use crate::model::name::IfName;

/// The reason why no client was started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DhcpError {
    /// None of the clients that support this family is installed.
    NoneInstalled {
        family: Family,
    },
    /// The client that `dhcp_client` names is not installed.
    NotInstalled {
        client: &'static str,
    },
    /// `dhcp_client` names a client without IPv6.
    NoIpv6 {
        client: &'static str,
    },
    /// AppArmor lets the client run only the host's script, which always takes over name servers.
    Confined {
        client: &'static str,
    },
    /// AppArmor lets the client run only the host's script, which applies every lease: a lease of
    /// this address of the host would later remove the address.
    ConfinedBeside {
        client: &'static str,
        address: IpPrefix,
    },
    /// Clients would parse the link's name as an option.
    LinkName {
        link: IfName,
    },
    /// A dhcpcd that manages all links would take over the lease, outside the daemon's control.
    Managed {
        pid: i32,
    },
    /// The process that executes programs has died.
    NoExecutor,
    Host(HostError),
}

impl fmt::Display for DhcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneInstalled { family: Family::Ipv4 } => {
                f.write_str("no DHCP client is installed: neither udhcpc, dhcpcd nor dhclient")
            }
            Self::NoneInstalled { family: Family::Ipv6 } => {
                f.write_str("no DHCP client for IPv6 is installed: neither dhcpcd nor dhclient")
            }
            Self::NotInstalled { client } => {
                write!(f, "{client}, which dhcp_client names, is not installed")
            }
            Self::NoIpv6 { client } => {
                write!(f, "{client}, which dhcp_client names, does not support IPv6")
            }
            Self::Confined { client } => write!(
                f,
                "{client} cannot leave name servers alone (peerdns) under its AppArmor profile"
            ),
            Self::ConfinedBeside { client, address } => write!(
                f,
                "{client} under its AppArmor profile runs the host's own script, which could \
                 remove {address}: install udhcpc or dhcpcd, or choose one by dhcp_client"
            ),
            Self::LinkName { link } => {
                write!(f, "DHCP clients do not accept a link name that begins with '-': {link}")
            }
            Self::Managed { pid } => write!(
                f,
                "cannot run dhcpcd for one link while another dhcpcd manages all links (process \
                 {pid}): choose another client by dhcp_client"
            ),
            Self::NoExecutor => f.write_str(
                "cannot start a DHCP client, as virt-executor has ended: restart virtinterfaced",
            ),
            Self::Host(err) => err.fmt(f),
        }
    }
}

impl std::error::Error for DhcpError {}

impl DhcpError {
    /// Returns the errno(3), if the kernel refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Host(err) => Some(err.errno()),
            Self::NoneInstalled { .. }
            | Self::NotInstalled { .. }
            | Self::NoIpv6 { .. }
            | Self::Confined { .. }
            | Self::ConfinedBeside { .. }
            | Self::LinkName { .. }
            | Self::Managed { .. }
            | Self::NoExecutor => None,
        }
    }
}

impl From<HostError> for DhcpError {
    fn from(err: HostError) -> Self {
        Self::Host(err)
    }
}
