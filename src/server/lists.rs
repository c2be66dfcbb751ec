// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Lists`]: the encoded lists of all interfaces, each made once for a state of the host.
//!
//! A list is the same for all clients, as each that has opened a connection may see all interfaces.

use std::rc::Rc;

use crate::proto::Reply;
use crate::proto::interface::QueryCall;
use crate::xdr::writer::Writer;

/// The number of links' events and of definitions' updates so far.
type Version = (u64, u64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lists {
    version: Version,
    /// By the flags of the call, all of which are below this length.
    lists: [Option<Rc<[u8]>>; 4],
}

impl Lists {
    /// The reply to a call in this version, if it was kept. Those of another version are dropped.
    pub(super) fn get(&mut self, call: &QueryCall, version: Version) -> Option<Reply> {
        if self.version != version {
            *self = Self { version, ..Self::default() };
        }
        self.slot(call)?.clone().map(Reply::Prepared)
    }

    /// Encodes and keeps a reply of the version that [`Lists::get`] was asked for, if it is a list.
    pub(super) fn keep(&mut self, call: &QueryCall, reply: Reply) -> Reply {
        let Some(slot) = self.slot(call) else { return reply };
        let mut bytes = Vec::new();
        reply.encode(&mut Writer::new(&mut bytes));
        Reply::Prepared(Rc::clone(slot.insert(bytes.into())))
    }

    fn slot(&mut self, call: &QueryCall) -> Option<&mut Option<Rc<[u8]>>> {
        match call {
            QueryCall::ListAllInterfaces { need_results: true, flags } => {
                self.lists.get_mut(usize::try_from(*flags).ok()?)
            }
            QueryCall::ListAllInterfaces { need_results: false, .. }
            | QueryCall::NumOfInterfaces
            | QueryCall::ListInterfaces { .. }
            | QueryCall::LookupByName { .. }
            | QueryCall::LookupByMac { .. }
            | QueryCall::GetXmlDesc { .. }
            | QueryCall::NumOfDefinedInterfaces
            | QueryCall::ListDefinedInterfaces { .. }
            | QueryCall::IsActive { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_made_once_for_each_version() {
        let call = |flags| QueryCall::ListAllInterfaces { need_results: true, flags };
        let reply = || Reply::Interfaces { list: Vec::new(), count: 7 };
        let mut lists = Lists::default();
        assert_eq!(lists.get(&call(0), (1, 1)), None);
        let made = lists.keep(&call(0), reply());
        let mut encoded = Vec::new();
        made.encode(&mut Writer::new(&mut encoded));
        assert_eq!(encoded, [0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(lists.get(&call(0), (1, 1)), Some(made));
        assert_eq!(lists.get(&call(1), (1, 1)), None, "other flags");
        assert_eq!(lists.get(&call(0), (1, 2)), None, "another definition");
        lists.keep(&call(0), reply());
        assert_eq!(lists.get(&call(0), (2, 2)), None, "another link");
        let count = QueryCall::ListAllInterfaces { need_results: false, flags: 0 };
        assert_eq!(lists.keep(&count, reply()), reply());
        assert_eq!(lists.get(&count, (2, 2)), None);
    }
}
