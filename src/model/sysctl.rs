// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Sysctl`]: a setting of one link that is a small file below /proc/sys/net.

use crate::model::address::Family;

/// A sysctl that each link has one of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Sysctl {
    pub family: Family,
    /// Its file below `net/FAMILY/conf/LINK`.
    pub name: &'static str,
}

impl Sysctl {
    pub const ACCEPT_RA: Self = Self::ipv6("accept_ra");
    pub const AUTOCONF: Self = Self::ipv6("autoconf");
    pub const DISABLE_IPV6: Self = Self::ipv6("disable_ipv6");
    pub const FORWARDING_IPV6: Self = Self::ipv6("forwarding");

    /// Whether a definition with IPv6 determines it.
    pub fn is_defined(self) -> bool {
        [Self::ACCEPT_RA, Self::AUTOCONF, Self::DISABLE_IPV6].contains(&self)
    }

    pub const fn ipv4(name: &'static str) -> Self {
        Self { family: Family::Ipv4, name }
    }

    pub const fn ipv6(name: &'static str) -> Self {
        Self { family: Family::Ipv6, name }
    }
}
