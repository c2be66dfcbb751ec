// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`DhcpError`]: why there is no client for a lease.

use std::fmt;

use crate::error::HostError;
use crate::model::address::{Family, IpPrefix};
use crate::model::name::IfName;

/// Why no client was started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DhcpError {
    /// Neither of those that get leases of this family.
    NoneInstalled {
        family: Family,
    },
    /// Not the one that `dhcp_client` names.
    NotInstalled {
        client: &'static str,
    },
    /// `dhcp_client` names one that knows nothing of IPv6.
    NoIpv6 {
        client: &'static str,
    },
    /// AppArmor lets the client run no script but the host's, which always takes name servers over.
    Confined {
        client: &'static str,
    },
    /// The host's script, which is the only one that AppArmor lets the client run, takes whatever a server
    /// leases: this address of the host's own would go with a lease of it.
    ConfinedBeside {
        client: &'static str,
        address: IpPrefix,
    },
    /// The link's name would be an option on a client's command line.
    LinkName {
        link: IfName,
    },
    /// A dhcpcd that manages all links would be handed the lease, which is then out of our hands.
    Managed {
        pid: i32,
    },
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
                "{client} runs the host's script under its AppArmor profile, with which a server could \
                 take {address} away: install udhcpc or dhcpcd, or choose one by dhcp_client"
            ),
            Self::LinkName { link } => {
                write!(
                    f,
                    "DHCP clients cannot be told of a link whose name begins with '-': {link}"
                )
            }
            Self::Managed { pid } => write!(
                f,
                "dhcpcd cannot be asked for it while another one manages all links (process {pid}): \
                 choose another by dhcp_client"
            ),
            Self::Host(err) => err.fmt(f),
        }
    }
}

impl std::error::Error for DhcpError {}

impl DhcpError {
    /// The kernel's number (errno(3)), if it is the kernel that refuses.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Host(err) => Some(err.errno()),
            Self::NoneInstalled { .. }
            | Self::NotInstalled { .. }
            | Self::NoIpv6 { .. }
            | Self::Confined { .. }
            | Self::ConfinedBeside { .. }
            | Self::LinkName { .. }
            | Self::Managed { .. } => None,
        }
    }
}

impl From<HostError> for DhcpError {
    fn from(err: HostError) -> Self {
        Self::Host(err)
    }
}
