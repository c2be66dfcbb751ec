// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of a rollback for forwarding tables: static entries of bridges' ports, of bridges, and
//! of VXLANs.

use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::netlink::record::fdb::FdbEntry;
use crate::plan::request::KernelRequest;

use super::{OutlineBuilder, Pair};

impl OutlineBuilder<'_> {
    /// Restores the entries of a guest's port that joins its bridge in this round.
    pub(super) fn give_fdb(&mut self, guest: IfName, index: LinkIndex) {
        for entry in self.then.host.fdb_of(index).iter().filter(|entry| !entry.is_self()) {
            self.push(KernelRequest::SetFdb { link: guest, entry: entry.clone() });
        }
    }

    /// Adds the missing entries of existing links, and removes entries added since. A port that has
    /// left its bridge has lost its entries there.
    pub(super) fn set_fdb(&mut self) {
        for Pair { then, now, .. } in self.pairs() {
            let Some(now) = now else { continue };
            let link = then.link().name;
            let had = self.then.host.fdb_of(then.link().index);
            let has = self.now.fdb_of(now.link().index);
            let is_moving = self.then.host.master_of(then.link()) != self.master_now(now);
            let is_lost = |entry: &_| is_moving && !FdbEntry::is_self(entry);
            for entry in has.difference(had).filter(|entry| !is_lost(entry)) {
                self.push(KernelRequest::DeleteFdb { link, entry: entry.clone() });
            }
            for entry in had.iter().filter(|entry| is_lost(entry) || !has.contains(*entry)) {
                self.push(KernelRequest::SetFdb { link, entry: entry.clone() });
            }
        }
    }
}
