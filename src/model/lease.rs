// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Lease`]: an address that a DHCP client is to get and keep for a link.

use std::net::IpAddr;

use crate::model::address::Family;
use crate::model::name::IfName;

/// What a DHCP client is started for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    pub link: IfName,
    pub family: Family,
    pub peer_dns: PeerDns,
    /// The address to ask for: one that the link has already.
    pub wanted: Option<IpAddr>,
}

/// Whether the host is to use the name servers that a DHCP server tells of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerDns {
    TakeOver,
    LeaveOut,
}
