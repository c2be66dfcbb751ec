// SPDX-License-Identifier: LGPL-2.1-or-later
//! The attributes of a VLAN besides its tag: flags and priority maps (`linux/if_vlan.h`).
//!
//! The kernel reports the flags with a mask of all ones and refuses that mask, so each request has
//! the mask of the flags that it changes. If all flags are off the kernel omits them. A mapping can
//! only be added or set to zero.

use std::fmt;

use crate::netlink::wire::{PayloadWriter, attributes};

/// `VLAN_FLAG_REORDER_HDR`: the one flag that a new VLAN has.
const REORDER_HDR: u32 = 1;

/// The flags, and their names in `ip`.
const FLAGS: [(u32, &str); 5] = [
    (REORDER_HDR, "reorder_hdr"),
    (2, "gvrp"),
    (4, "loose_binding"),
    (8, "mvrp"),
    (16, "bridge_binding"),
];

/// `IFLA_VLAN_QOS_MAPPING`.
const QOS_MAPPING: u16 = 1;

/// The flags of a new VLAN, with the mask of those that have to be set: the kernel's defaults are
/// known.
pub(super) fn flags_of_new(then: &[u8]) -> Vec<u8> {
    let flags = flags(then);
    [flags, flags | REORDER_HDR].map(u32::to_ne_bytes).concat()
}

/// The flags that make `now` become `then`, with the mask of those that differ.
pub(super) fn flags_besides(then: &[u8], now: &[u8]) -> Vec<u8> {
    let mask = flags(then) ^ flags(now);
    [flags(then) & mask, mask].map(u32::to_ne_bytes).concat()
}

/// The mappings that make the map `now` become `then`.
pub(super) fn map_besides(then: &[u8], now: &[u8]) -> Vec<u8> {
    let has = |map: &[u8], mapping: [u32; 2]| mappings(map).any(|other| other == mapping);
    let stale = mappings(now).filter(|[from, _]| mappings(then).all(|[other, _]| other != *from));
    let missing = mappings(then).filter(|mapping| !has(now, *mapping));
    let mut besides = Vec::new();
    let mut writer = PayloadWriter::new(&mut besides);
    for [from, to] in stale.map(|[from, _]| [from, 0]).chain(missing) {
        writer.attribute(QOS_MAPPING, &[from, to].map(u32::to_ne_bytes).concat());
    }
    besides
}

/// Writes flags as `ip` does, only those in the mask.
pub(super) fn format_flags(f: &mut fmt::Formatter<'_>, payload: &[u8]) -> fmt::Result {
    let mask = payload.get(4..).map_or(0, flags);
    for (flag, name) in FLAGS.iter().filter(|(flag, _)| mask & flag != 0) {
        write!(f, " {name} {}", if flags(payload) & flag != 0 { "on" } else { "off" })?;
    }
    Ok(())
}

/// Writes mappings as `ip` does.
pub(super) fn format_map(f: &mut fmt::Formatter<'_>, payload: &[u8]) -> fmt::Result {
    mappings(payload).try_for_each(|[from, to]| write!(f, " {from}:{to}"))
}

fn flags(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The mappings of a map: from and to.
fn mappings(map: &[u8]) -> impl Iterator<Item = [u32; 2]> {
    attributes(map).flatten().filter_map(|mapping| {
        let (from, rest) = mapping.payload.split_first_chunk()?;
        let to = rest.first_chunk()?;
        Some([u32::from_ne_bytes(*from), u32::from_ne_bytes(*to)])
    })
}
