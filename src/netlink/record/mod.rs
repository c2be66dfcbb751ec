// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of links, addresses, routes, policy rules and VLAN memberships, as the kernel encodes
//! them, so that they can be restored after a removal or change.
//!
//! A record keeps the kernel's message about an object, including attributes that the daemon does
//! not know, and sends it back: for the same link, for another one, or for one that was made again
//! and has another index. Attributes that the kernel reports and does not accept are left out or
//! translated. A snapshot has the same bytes.

mod kept;
pub mod address;
mod hops;
pub mod route;
pub mod neighbour;
pub mod link;
pub mod bridge_vlan;
pub mod fdb;
pub mod rule;
pub mod nexthop;
pub mod wide;
pub mod apart;

use std::time::Duration;

use crate::netlink::address::LIFETIME_INFINITE;
use crate::netlink::wire::{Attribute, PayloadWriter, attributes};

/// The same attributes, as `write` rewrites them; nothing if `write` refuses one.
fn rewritten(
    list: &[u8],
    mut write: impl FnMut(&Attribute<'_>, &mut PayloadWriter<'_>) -> Option<()>,
) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(list.len());
    for attribute in attributes(list).flatten() {
        write(&attribute, &mut PayloadWriter::new(&mut kept))?;
    }
    Some(kept)
}

/// The rest of so many seconds after `elapsed`; a lifetime without end stays so.
fn left_of(seconds: u32, elapsed: Duration) -> Option<u32> {
    if seconds == LIFETIME_INFINITE {
        return Some(seconds);
    }
    seconds.checked_sub(u32::try_from(elapsed.as_secs()).ok()?)
}
