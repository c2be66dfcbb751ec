// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Lease`]: the lease that a DHCP client obtains and keeps for a link.

use std::fmt;

use crate::model::address::{Family, IpPrefix};
use crate::model::name::IfName;

/// A lease that is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    pub link: IfName,
    pub family: Family,
    pub name_servers: NameServers,
    /// The address that the link has already and would like to keep. If the server gives another,
    /// this one is removed.
    pub wanted: Option<IpPrefix>,
    /// The link whose lease this one continues and whose client another program had started: the
    /// DHCP client sends the server the same identity.
    pub like: Option<IfName>,
}

/// Whether the lease's name servers become the host's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameServers {
    Taken,
    /// The host keeps its present name servers.
    Left,
}

impl NameServers {
    /// The value of `peerdns`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "yes",
            Self::Left => "no",
        }
    }
}

impl Lease {
    /// Whether this is the lease of a link and a family.
    pub fn is_for(&self, link: IfName, family: Family) -> bool {
        self.link == link && self.family == family
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.link, self.family.as_str())
    }
}
