// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Apart`]: rules, nexthop objects and routes that belong to no one link.

use std::fmt;

use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::netlink::record::nexthop::{NexthopRecord, RTM_DELNEXTHOP, RTM_NEWNEXTHOP};
use crate::netlink::record::rule::{RTM_DELRULE, RTM_NEWRULE, RuleRecord};
use crate::netlink::record::wide::WideRoute;
use crate::netlink::route::{RTM_DELROUTE, RTM_NEWROUTE};
use crate::netlink::wire::{self, Message, NetlinkHeader, WireError};

/// See the module.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Apart {
    Rule(RuleRecord),
    Nexthop(NexthopRecord),
    Route(WideRoute),
}

impl Apart {
    /// Decodes a message. `None` if the message is about something else, or about an object that a
    /// rollback does not restore.
    pub fn decode(
        message: &Message<'_>,
        name_of: impl Fn(LinkIndex) -> Option<IfName>,
    ) -> Result<Option<Self>, WireError> {
        Ok(match message.kind {
            RTM_NEWRULE => RuleRecord::decode(message)?.map(Self::Rule),
            RTM_NEWNEXTHOP => NexthopRecord::decode(message, name_of)?.map(Self::Nexthop),
            RTM_NEWROUTE => WideRoute::decode(message, name_of)?.map(Self::Route),
            _ => None,
        })
    }

    /// The links that it leads through.
    pub fn links(&self) -> &[IfName] {
        match self {
            Self::Rule(_) => &[],
            Self::Nexthop(nexthop) => nexthop.link.as_slice(),
            Self::Route(route) => &route.links,
        }
    }

    /// Appends the record as the kernel would announce it.
    ///
    /// # Errors
    /// The name of a missing link, also in the functions below.
    pub fn encode(&self, out: &mut Vec<u8>, index_of: IndexOf<'_>) -> Result<(), IfName> {
        self.write_new(out, 0, 0, index_of)
    }

    /// Appends the request to add it. It replaces a nexthop of the same id, and routes over that
    /// lead over this one.
    ///
    /// # Errors
    /// As for [`Apart::encode`].
    pub(crate) fn encode_add(
        &self,
        out: &mut Vec<u8>,
        sequence: u32,
        index_of: IndexOf<'_>,
    ) -> Result<(), IfName> {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_CREATE;
        let more = match self {
            Self::Rule(_) => wire::FLAG_EXCLUSIVE,
            Self::Nexthop(_) => wire::FLAG_REPLACE,
            Self::Route(_) => 0,
        };
        self.write_new(out, sequence, flags | more, index_of)
    }

    /// Appends the request to remove it.
    ///
    /// # Errors
    /// As for [`Apart::encode`].
    pub(crate) fn encode_delete(
        &self,
        out: &mut Vec<u8>,
        sequence: u32,
        index_of: IndexOf<'_>,
    ) -> Result<(), IfName> {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
        match self {
            Self::Rule(rule) => {
                rule.encode(out, NetlinkHeader { kind: RTM_DELRULE, flags, sequence })
            }
            Self::Nexthop(nexthop) => {
                nexthop.encode_delete(out, NetlinkHeader { kind: RTM_DELNEXTHOP, flags, sequence });
            }
            Self::Route(route) => {
                route.encode(
                    out,
                    NetlinkHeader { kind: RTM_DELROUTE, flags, sequence },
                    index_of,
                )?;
            }
        }
        Ok(())
    }

    fn write_new(
        &self,
        out: &mut Vec<u8>,
        sequence: u32,
        flags: u16,
        index_of: IndexOf<'_>,
    ) -> Result<(), IfName> {
        match self {
            Self::Rule(rule) => {
                rule.encode(out, NetlinkHeader { kind: RTM_NEWRULE, flags, sequence })
            }
            Self::Nexthop(nexthop) => {
                let index = nexthop.link.as_ref().map(index_of).transpose()?;
                nexthop.encode(out, NetlinkHeader { kind: RTM_NEWNEXTHOP, flags, sequence }, index);
            }
            Self::Route(route) => {
                route.encode(
                    out,
                    NetlinkHeader { kind: RTM_NEWROUTE, flags, sequence },
                    index_of,
                )?;
            }
        }
        Ok(())
    }
}

/// The index of the link of a name.
pub type IndexOf<'a> = &'a dyn Fn(&IfName) -> Result<LinkIndex, IfName>;

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::Nexthop(nexthop) => nexthop.fmt(f),
            Self::Route(route) => route.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
