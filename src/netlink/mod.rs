// SPDX-License-Identifier: LGPL-2.1-or-later
//! Netlink, the kernel's language for links, addresses and routes: [`Event`], one piece of its
//! news.
//!
//! Knows messages, not sockets, and remembers nothing but the numbers of a
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
use wire::{Message, WireError, messages};

/// News of the host, from a dump or as it happens: both are told in the same words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    Link(LinkEvent),
    Address(AddressEvent),
}

impl Event {
    /// Reads a message. `None` if it is not about a link or an address as such. One about a link that
    /// makes no sense is still news: that nothing is known of that link any more.
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

/// The news in a datagram, in order. After an error within a message the next one is read.
pub fn events(datagram: &[u8]) -> impl Iterator<Item = Result<Event, WireError>> {
    messages(datagram).filter_map(|message| match message {
        Ok(message) => Event::decode(&message).transpose(),
        Err(err) => Some(Err(err)),
    })
}

#[cfg(test)]
mod tests;
