// SPDX-License-Identifier: LGPL-2.1-or-later
//! Long questions to the kernel: dumps that are asked for one after another ([`Dialogue`]), and what is
//! made of their answers ([`Inquiry`]).
//!
//! Knows no socket: whoever drives a dialogue carries its requests to the kernel, and the kernel's
//! messages back, as many at a time as there is time for. A dump that is torn is asked for anew.

mod parts;
pub mod record;
pub mod survey;

use std::collections::VecDeque;
use std::io;

use crate::error::HostError;
use crate::limits::RESYNCS_PER_TURN_MAX;
use crate::model::address::Family;
use crate::netlink::address;
use crate::netlink::conversation::{Answer, Conversation};
use crate::netlink::link::{self, LinkIndex};
use crate::netlink::record::address::encode_address_dump;
use crate::netlink::record::bridge_vlan;
use crate::netlink::record::fdb;
use crate::netlink::record::neighbour;
use crate::netlink::record::nexthop::encode_nexthop_dump;
use crate::netlink::record::route::encode_route_dump;
use crate::netlink::record::rule::encode_rule_dump;
use crate::netlink::wire::Message;

/// What one request asks for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Topic {
    Links,
    Link(LinkIndex),
    Addresses,
    AddressesOf(LinkIndex),
    Nexthops,
    /// How all links look for neighbours.
    Neighbours,
    Rules(Family),
    /// Of one family; through one link, or all.
    Routes(Family, Option<LinkIndex>),
    /// The VLANs of bridges and their ports.
    Vlans,
    /// The forwarding table of a bridge, with all ports, or of a VXLAN that is no port.
    BridgeFdb(LinkIndex),
    VxlanFdb(LinkIndex),
}

impl Topic {
    fn encode(self, out: &mut Vec<u8>, sequence: u32) {
        match self {
            Self::Links => link::encode_dump(out, sequence),
            Self::Link(index) => link::encode_lookup(out, sequence, index),
            Self::Addresses => address::encode_dump(out, sequence),
            Self::AddressesOf(link) => encode_address_dump(out, sequence, link),
            Self::Neighbours => neighbour::encode_dump(out, sequence),
            Self::Nexthops => encode_nexthop_dump(out, sequence),
            Self::Rules(family) => encode_rule_dump(out, sequence, family),
            Self::Routes(family, link) => encode_route_dump(out, sequence, family, link),
            Self::Vlans => bridge_vlan::encode_dump(out, sequence),
            Self::BridgeFdb(link) => fdb::encode_dump(out, sequence, link, true),
            Self::VxlanFdb(link) => fdb::encode_dump(out, sequence, link, false),
        }
    }

    /// As errors call it.
    fn what(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Link(_) => "a link",
            Self::Addresses | Self::AddressesOf(_) => "addresses",
            Self::Neighbours => "settings of neighbours",
            Self::Nexthops => "next hops",
            Self::Rules(_) => "rules",
            Self::Routes(..) => "routes",
            Self::Vlans => "VLANs of bridges",
            Self::BridgeFdb(_) | Self::VxlanFdb(_) => "a forwarding table",
        }
    }
}

/// What is to be known, and what of it is known.
pub trait Inquiry {
    /// What is to be asked next; nothing, if all is told.
    fn topics(&mut self) -> Vec<Topic>;

    /// Takes a message of the answer.
    fn handle_message(&mut self, topic: Topic, message: &Message<'_>);

    /// Forgets what was told of a topic: it was torn, and is asked for anew.
    fn forget(&mut self, topic: Topic);

    /// A topic is over. An error may be passed on, or done without.
    ///
    /// # Errors
    /// What is to be known cannot be known without this.
    fn handle_end(&mut self, topic: Topic, end: Result<(), HostError>) -> Result<(), HostError>;
}

/// The requests that are under way, and their answers.
#[derive(Debug, Default)]
pub struct Dialogue {
    asked: VecDeque<Asked>,
    /// What is to be asked again, and how often it was asked.
    torn: Vec<(Topic, usize)>,
    /// The answer to the first that is asked.
    conversation: Conversation,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    topic: Topic,
    sequence: u32,
    /// How often it was asked before, and the answer was torn.
    torn_count: usize,
}

impl Dialogue {
    /// Appends the requests that are to be made now to `out`, numbered by `next_sequence`. Nothing is
    /// appended while answers are to come, and when all is told.
    pub fn ask(
        &mut self,
        inquiry: &mut dyn Inquiry,
        out: &mut Vec<u8>,
        mut next_sequence: impl FnMut() -> u32,
    ) {
        for (topic, torn_count) in std::mem::take(&mut self.torn) {
            self.push(Asked { topic, sequence: next_sequence(), torn_count }, out);
        }
        if self.asked.is_empty() {
            for topic in inquiry.topics() {
                self.push(Asked { topic, sequence: next_sequence(), torn_count: 0 }, out);
            }
        }
    }

    /// Whether an answer is to come.
    pub fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Takes one message of the kernel, with its header. What answers no request of ours is passed over.
    ///
    /// # Errors
    /// The kernel does not tell what must be known.
    pub fn handle_message(
        &mut self,
        inquiry: &mut dyn Inquiry,
        message: &[u8],
    ) -> Result<(), HostError> {
        let Some(Asked { topic, torn_count, .. }) = self.asked.front().copied() else {
            return Ok(());
        };
        let hear = |message: Message<'_>| inquiry.handle_message(topic, &message);
        let errno = match self.conversation.handle_datagram(message, hear) {
            Answer::Pending => return Ok(()),
            Answer::Interrupted if torn_count < RESYNCS_PER_TURN_MAX => {
                inquiry.forget(topic);
                self.torn.push((topic, torn_count + 1));
                self.asked.pop_front();
                self.follow();
                return Ok(());
            }
            // A kernel without this family, or a link that has just gone.
            Answer::Refused(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::ENODEV) => None,
            Answer::Complete => None,
            Answer::Refused(errno) => Some(errno),
            Answer::Interrupted => Some(libc::EAGAIN),
            Answer::Malformed(_) => Some(libc::EBADMSG),
        };
        self.asked.pop_front();
        self.follow();
        let end = errno.map(io::Error::from_raw_os_error).map_or(Ok(()), Err);
        inquiry.handle_end(topic, end.map_err(|err| HostError::new("dump", topic.what(), &err)))
    }

    fn push(&mut self, asked: Asked, out: &mut Vec<u8>) {
        asked.topic.encode(out, asked.sequence);
        self.asked.push_back(asked);
        if self.asked.len() == 1 {
            self.follow();
        }
    }

    /// Listens for the answer to the first request.
    fn follow(&mut self) {
        if let Some(Asked { sequence, .. }) = self.asked.front() {
            self.conversation.follow(*sequence);
        }
    }
}
