// SPDX-License-Identifier: LGPL-2.1-or-later
//! A VLAN's attributes other than its tag, and the requests for them that the kernel refuses
//! (`net/8021q/vlan_netlink.c`). `tests/kernel/restore_links.rs` compares this with a real kernel.

use std::collections::BTreeMap;

use crate::value_kernel::Errno;
use virtinterfaced::netlink::wire::{PayloadWriter, attributes};

/// `VLAN_FLAG_*`: all of them, and the one of a new VLAN.
const KNOWN: u32 = 0x1f;
const REORDER_HDR: u32 = 1;

/// Flags, and the mappings of priorities for egress and ingress.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct VlanOptions {
    pub(super) flags: u32,
    pub(super) egress: BTreeMap<u32, u32>,
    pub(super) ingress: BTreeMap<u32, u32>,
}

impl Default for VlanOptions {
    fn default() -> Self {
        Self { flags: REORDER_HDR, egress: BTreeMap::new(), ingress: BTreeMap::new() }
    }
}

impl VlanOptions {
    /// These options, changed by a request whose attributes `asked` returns.
    pub(super) fn tuned<'a>(
        mut self,
        asked: impl Fn(u16) -> Option<&'a [u8]>,
    ) -> Result<Self, Errno> {
        if let Some(bytes) = asked(2) {
            let mut words = bytes.chunks_exact(4).map(number);
            let (flags, mask) = words.next().zip(words.next()).ok_or(libc::ERANGE)?;
            if mask & !KNOWN != 0 {
                return Err(libc::EINVAL);
            }
            self.flags = (self.flags & !mask) | (flags & mask);
        }
        for (kind, map) in [(3, &mut self.egress), (4, &mut self.ingress)] {
            for mapping in asked(kind).map(attributes).into_iter().flatten().flatten() {
                let mut words = mapping.payload.chunks_exact(4).map(number);
                let (from, to) = words.next().zip(words.next()).ok_or(libc::EINVAL)?;
                match to {
                    0 => map.remove(&from),
                    to => map.insert(from, to),
                };
            }
        }
        Ok(self)
    }

    /// Encodes them as the kernel does: the mask has all bits, and empty maps are left out.
    pub(super) fn encode(&self, data: &mut PayloadWriter<'_>) {
        if self.flags != 0 {
            data.attribute(2, &[self.flags, u32::MAX].map(u32::to_ne_bytes).concat());
        }
        for (kind, map) in [(3, &self.egress), (4, &self.ingress)] {
            if !map.is_empty() {
                data.nested(kind, |list| {
                    for (from, to) in map {
                        list.attribute(1, &[*from, *to].map(u32::to_ne_bytes).concat());
                    }
                });
            }
        }
        // `IFLA_VLAN_PROTOCOL`: 802.1Q.
        data.attribute(5, &0x8100_u16.to_be_bytes());
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}
