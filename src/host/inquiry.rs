// SPDX-License-Identifier: LGPL-2.1-or-later
//! Long queries to the kernel: consecutive dumps ([`Dialogue`]), and the processing of their
//! answers ([`Inquiry`]).
//!
//! Knows no socket: the caller of a dialogue sends its requests to the kernel and passes the
//! kernel's messages in, as many at a time as it has time for. An interrupted dump is requested
//! again.

mod parts;
pub mod record;
pub mod survey;

use std::collections::VecDeque;
use std::io;

use crate::error::HostError;
use crate::limits::RESYNCS_PER_TURN_MAX;
use crate::model::address::Family;
use crate::netlink::address;
use crate::netlink::conversation::{AnswerState, Conversation};
use crate::netlink::link::{self, LinkIndex};
use crate::netlink::record::address::encode_address_dump;
use crate::netlink::record::bridge_vlan;
use crate::netlink::record::fdb;
use crate::netlink::record::neighbour;
use crate::netlink::record::nexthop::encode_nexthop_dump;
use crate::netlink::record::route::encode_route_dump;
use crate::netlink::record::rule::encode_rule_dump;
use crate::netlink::wire::Message;

/// The subject of one request.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Topic {
    Links,
    Link(LinkIndex),
    Addresses,
    AddressesOf(LinkIndex),
    Nexthops,
    /// The neighbour settings of all links.
    Neighbours,
    Rules(Family),
    /// Routes of one family, through one link or all links.
    Routes(Family, Option<LinkIndex>),
    /// The VLANs of bridges and their ports.
    Vlans,
    /// The forwarding table of a bridge, with all its ports, or of a VXLAN that is not a port.
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

    /// Returns the subject's name in errors.
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

/// A query: the data it needs, and the data received so far.
pub trait Inquiry {
    /// Returns the next topics to request; none if everything was received.
    fn topics(&mut self) -> Vec<Topic>;

    /// Takes a message of the answer.
    fn handle_message(&mut self, topic: Topic, message: &Message<'_>);

    /// Discards the data received for a topic, whose dump was interrupted and is requested again.
    fn forget(&mut self, topic: Topic);

    /// Ends a topic. An error may be passed on, or tolerated.
    ///
    /// # Errors
    /// The query cannot be answered without this topic.
    fn handle_end(&mut self, topic: Topic, end: Result<(), HostError>) -> Result<(), HostError>;
}

/// The pending requests of a query, and their answers.
#[derive(Debug, Default)]
pub struct Dialogue {
    asked: VecDeque<Asked>,
    /// Topics whose dump was interrupted, with the number of tries.
    torn: Vec<(Topic, usize)>,
    /// The answer to the first pending request.
    conversation: Conversation,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    topic: Topic,
    sequence: u32,
    /// The number of earlier tries, whose dumps were interrupted.
    torn_count: usize,
}

impl Dialogue {
    /// Appends the next requests to `out`, numbered by `next_sequence`. Appends none while answers
    /// are pending, or once everything was received.
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

    /// Returns whether an answer is pending.
    pub fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Takes one netlink message, with its header. Messages that do not answer a pending request
    /// are ignored.
    ///
    /// # Errors
    /// The kernel refused a topic that the query cannot do without.
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
            AnswerState::Pending => return Ok(()),
            AnswerState::Interrupted if torn_count < RESYNCS_PER_TURN_MAX => {
                inquiry.forget(topic);
                self.torn.push((topic, torn_count + 1));
                self.asked.pop_front();
                self.follow();
                return Ok(());
            }
            // The kernel lacks this family, or the link has just been removed.
            AnswerState::Refused(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::ENODEV) => None,
            AnswerState::Complete => None,
            AnswerState::Refused(errno) => Some(errno),
            AnswerState::Interrupted => Some(libc::EAGAIN),
            AnswerState::Malformed(_) => Some(libc::EBADMSG),
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

    /// Follows the answer to the first request.
    fn follow(&mut self) {
        if let Some(Asked { sequence, .. }) = self.asked.front() {
            self.conversation.follow(*sequence);
        }
    }
}
