// SPDX-License-Identifier: LGPL-2.1-or-later
//! Netlink, the kernel's protocol for links, addresses and routes. [`Event`] is one message of it.
//!
//! Knows messages, not sockets, and keeps no state but the numbers of a
//! [`conversation::Conversation`].

pub mod wire;
pub mod link;
pub mod address;
pub mod route;
pub mod change;
pub mod record;
pub mod conversation;

use address::{AddressEvent, RTM_DELADDR, RTM_NEWADDR};
use link::{LinkEvent, RTM_DELLINK, RTM_NEWLINK};
use wire::{Message, WireError};

/// A change of the host, from a dump or an event: both have the same messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    Link(LinkEvent),
    Address(AddressEvent),
}

impl Event {
    /// Decodes a message. `None` if it is not about a link or an address as such. A message about a
    /// link that cannot be decoded is an event too: nothing is known of that link any more.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        match message.kind {
            RTM_NEWLINK | RTM_DELLINK => {
                let event = link::decode(message).or_else(|err| match link::subject(message) {
                    Some(link) => Ok(Some(LinkEvent::Unreadable(link, err))),
                    None => Err(err),
                })?;
                Ok(event.map(Self::Link))
            }
            RTM_NEWADDR | RTM_DELADDR => Ok(address::decode(message)?.map(Self::Address)),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
