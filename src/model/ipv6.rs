// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the kernel lets one switch about a link's IPv6.

/// The switches of a link's IPv6 (the kernel's ip-sysctl, `net.ipv6.conf`). A kernel without IPv6
/// has none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ipv6Switches {
    pub accept_ra: Option<i32>,
    pub autoconf: Option<i32>,
    pub disable_ipv6: Option<i32>,
    /// A router takes no advertisements unless `accept_ra` is 2.
    pub forwarding: Option<i32>,
}
