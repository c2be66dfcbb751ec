// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`LinkState`]: one link with everything on it, as netlink describes it.
//!
//! A survey before a change and a record for a rollback both consist of these; they differ in the
//! routes that they have and in the objects around the links.

use crate::model::ipv6::Ipv6Sysctls;
use crate::netlink::link::Link;
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::link::sysctls::ipv6_sysctls;
use crate::netlink::record::nexthop::NexthopRecord;
use crate::netlink::record::route::RouteRecord;

/// One link with everything on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkState {
    pub record: LinkRecord,
    /// In the kernel's order: the first address of an IPv4 network is the primary one.
    pub addresses: Vec<AddressRecord>,
    /// In the kernel's order. A survey has all routes that the kernel does not remove along with an
    /// address; a record has those that only the administrator would set again
    /// ([`RouteRecord::is_kept`]).
    pub routes: Vec<RouteRecord>,
    /// Routes that the kernel has created with the addresses, and creates again only with them.
    /// Only a record has them.
    pub own_routes: Vec<RouteRecord>,
    /// Nexthop objects through this link, followed by groups that contain one of those. A record
    /// has those of the host in one list.
    pub nexthops: Vec<NexthopRecord>,
}

impl LinkState {
    /// Creates the state of a link with nothing on it.
    pub fn new(record: LinkRecord) -> Self {
        Self {
            record,
            addresses: Vec::new(),
            routes: Vec::new(),
            own_routes: Vec::new(),
            nexthops: Vec::new(),
        }
    }

    /// Returns the link as the table has it.
    pub fn link(&self) -> &Link {
        &self.record.link
    }

    /// Returns the IPv6 sysctls.
    pub fn sysctls(&self) -> Ipv6Sysctls {
        ipv6_sysctls(&self.record.sysctls())
    }
}
