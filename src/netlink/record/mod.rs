// SPDX-License-Identifier: LGPL-2.1-or-later
//! Links, addresses, routes, policy rules and bridges' VLANs in the kernel's own words, so that what is taken away or
//! changed can be put back as it was.
//!
//! A record keeps the message that told of something, attributes that we have no name for included, and
//! says it again: to the same link, to another one, or to one that was made anew and has another
//! number. What the kernel tells and does not take back is left out or translated. The same bytes are
//! what is written to a file, and read from it.

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

/// The same attributes, as `write` has them; nothing if one of them cannot be had.
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

/// What is left of so many seconds; what never ends does not.
fn left_of(seconds: u32, elapsed: Duration) -> Option<u32> {
    if seconds == LIFETIME_INFINITE {
        return Some(seconds);
    }
    seconds.checked_sub(u32::try_from(elapsed.as_secs()).ok()?)
}
