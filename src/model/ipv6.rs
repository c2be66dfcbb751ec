// SPDX-License-Identifier: LGPL-2.1-or-later
//! The sysctls of a link that control its IPv6.

/// The sysctls of a link's IPv6 (the kernel's ip-sysctl, `net.ipv6.conf`). A kernel without IPv6
/// has none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ipv6Sysctls {
    pub accept_ra: Option<i32>,
    pub autoconf: Option<i32>,
    pub disable_ipv6: Option<i32>,
    /// A router accepts no advertisements unless `accept_ra` is 2.
    pub forwarding: Option<i32>,
}

/// The `accept_ra` of a router that accepts advertisements.
pub(crate) const ACCEPT_RA_ON_ROUTERS: i32 = 2;

impl Ipv6Sysctls {
    /// Whether the link learns its routers from advertisements.
    pub(crate) fn hears_routers(&self) -> bool {
        let is_router = self.forwarding.is_some_and(|forwarding| forwarding != 0);
        let least = if is_router { ACCEPT_RA_ON_ROUTERS } else { 1 };
        let is_off = self.disable_ipv6.is_some_and(|disabled| disabled != 0);
        !is_off && self.accept_ra.is_some_and(|accept| accept >= least)
    }
}
