// SPDX-License-Identifier: LGPL-2.1-or-later
//! The table's connection to the kernel: an event socket that is always read, and a query socket
//! for dumps and other requests.
//!
//! The kernel queues the event of a change before the system call that made it returns. A caller
//! that drains the event socket before it answers a call therefore includes every change made
//! before that call. When events are lost (`ENOBUFS`) or a dump is interrupted, the table is
//! cleared and dumped again; until that succeeds, [`Kernel::drain`] does not report
//! [`Progress::Drained`].

mod silent;
mod speeds;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use log::{debug, warn};

use crate::error::HostError;
use crate::host::Host;
use crate::host::describe::{Findings, Inspection};
use crate::io::Progress;
use crate::io::room::{Reception, Room};
use crate::io::sysctl;
use crate::limits::{EVENT_BUFFER_LEN, EVENTS_PER_TURN_MAX, RESYNCS_PER_TURN_MAX};
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::conversation::{AnswerState, Conversation};
use crate::netlink::link::{LinkEvent, LinkIndex};
use crate::netlink::route::{self, RouteAnswer};
use crate::netlink::wire::{self, Message, WireError, messages};
use crate::netlink::{Event, address, link};
use crate::sys::netlink::{self as socket, Groups};
pub(crate) use speeds::SpeedRequest;
use speeds::Speeds;

/// Both sockets.
#[derive(Debug)]
pub struct Kernel {
    events: OwnedFd,
    queries: OwnedFd,
    conversation: Conversation,
    room: Room,
    speeds: Speeds,
    /// The current request; kept to reuse its memory, as one description takes several.
    request: Vec<u8>,
    /// Whether the table includes all events so far.
    synced: Synced,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Synced {
    Yes,
    No,
}

impl Kernel {
    /// Opens both sockets. The first [`Kernel::drain`] dumps the table.
    pub fn open() -> Result<Self, HostError> {
        let events = open_socket(Groups::LINKS_AND_ADDRESSES)?;
        let queries = query_socket()?;
        if let Err(err) = socket::set_receive_buffer_len(&events, EVENT_BUFFER_LEN) {
            warn!("netlink: cannot enlarge the receive buffer: {err}");
        }
        Ok(Self {
            events,
            queries,
            conversation: Conversation::default(),
            room: Room::default(),
            speeds: Speeds::default(),
            request: Vec::new(),
            synced: Synced::No,
        })
    }

    /// Applies all waiting events to `host`; `buffer` is scratch space.
    ///
    /// # Errors
    /// The kernel refused to be read or dumped. The table is then incomplete; the caller may drain
    /// again.
    pub fn drain(&mut self, host: &mut Host, buffer: &mut [u8]) -> Result<Progress, HostError> {
        for _ in 0..RESYNCS_PER_TURN_MAX {
            if self.drain_events(host, buffer)? == Progress::Unfinished {
                return Ok(Progress::Unfinished);
            }
            if self.synced == Synced::Yes {
                return Ok(Progress::Drained);
            }
            self.dump(host, buffer)?;
        }
        Ok(Progress::Unfinished)
    }

    /// Requests data that is not in the table, only by requests that do not take the kernel's lock
    /// of network devices.
    pub fn inspect(&mut self, inspection: &Inspection, host: &Host, buffer: &mut [u8]) -> Findings {
        let (gateways, advertised) = self.gateways(inspection.gateways_of, buffer);
        let link = |index: &LinkIndex| Some((*index, silent::read(host.link(*index)?)));
        let links = inspection.silent.iter().filter_map(link).collect();
        let hears_routers = inspection.sysctls_of.is_some_and(|link| sysctl::hear_routers(&link));
        Findings { gateways, advertised, links, hears_routers, ..Findings::default() }
    }

    /// Requests the speeds of these links by a process, unless all are known. Returns the request
    /// to wait for, which may be an earlier one; `None` if there is nothing to wait for.
    pub(crate) fn learn_speeds(&mut self, links: &[(LinkIndex, IfName)]) -> Option<SpeedRequest> {
        self.speeds.learn(links)
    }

    /// The speeds of these links, as far as they are known.
    pub(crate) fn speeds(&self, links: &[(LinkIndex, IfName)]) -> SortedMap<LinkIndex, u32> {
        self.speeds.of(links)
    }

    /// Returns whether such a request has ended since the last [`Self::take_ended_requests`].
    pub(crate) fn has_ended_requests(&self) -> bool {
        self.speeds.has_ended()
    }

    /// Returns the requests for speeds that have ended since the last call.
    pub(crate) fn take_ended_requests(&mut self) -> Vec<SpeedRequest> {
        self.speeds.take_ended()
    }

    /// Handles SIGCHLD, since that process may have ended.
    pub fn handle_child(&mut self) {
        self.speeds.handle_child();
    }

    fn drain_events(&mut self, host: &mut Host, buffer: &mut [u8]) -> Result<Progress, HostError> {
        for _ in 0..EVENTS_PER_TURN_MAX {
            match self.room.receive(&self.events, buffer) {
                Ok(Reception::Whole(datagram)) => {
                    if fold(datagram, host, &mut self.speeds) == Synced::No {
                        self.synced = Synced::No;
                    }
                }
                Ok(Reception::Lost) => self.synced = Synced::No,
                // A datagram has one event, and only a link's event may be that long.
                Ok(Reception::Front(front)) => {
                    if let Some(link) = wire::cut_message(front).and_then(|it| link::subject(&it)) {
                        let cut = WireError::Truncated("netlink message");
                        host.apply(Event::Link(LinkEvent::Unreadable(link, cut)));
                    }
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Drained);
                }
                Err(err) if err.raw_os_error() == Some(libc::ENOBUFS) => {
                    debug!("netlink: events were lost; dumping the table again");
                    self.synced = Synced::No;
                }
                Err(err) => return Err(HostError::new("read", "netlink events", &err)),
            }
        }
        Ok(Progress::Unfinished)
    }

    /// Clears the table and dumps it again. After an interrupted dump it stays marked as not
    /// synced; if events are lost during the dump, the next drain notices.
    fn dump(&mut self, host: &mut Host, buffer: &mut [u8]) -> Result<(), HostError> {
        host.clear();
        self.speeds.forget_all();
        for (what, encode) in [
            ("links", link::encode_dump as fn(&mut Vec<u8>, u32)),
            ("addresses", address::encode_dump),
        ] {
            let begin = |out: &mut Vec<u8>, conversation: &mut Conversation| {
                encode(out, conversation.begin());
            };
            let each = |message: &Message<'_>| match Event::decode(message) {
                Ok(event) => {
                    if let Some(Event::Link(LinkEvent::Unreadable(link, err))) = &event {
                        warn!(
                            "netlink: cannot decode the kernel's message about link {}, which is \
                             left out: {err}",
                            link.0
                        );
                    }
                    event.into_iter().for_each(|event| host.apply(event));
                }
                Err(err) => warn!("netlink: cannot decode a message of the kernel: {err}"),
            };
            let err = match self.ask(begin, buffer, each) {
                Ok(AnswerState::Complete) => continue,
                Ok(AnswerState::Interrupted) => return Ok(()),
                Ok(AnswerState::Refused(errno)) => io::Error::from_raw_os_error(errno),
                Ok(AnswerState::Malformed(_) | AnswerState::Pending) => {
                    io::Error::from_raw_os_error(libc::EBADMSG)
                }
                Err(err) => err,
            };
            // The unread rest of a failed dump would disturb the next one.
            self.queries = query_socket()?;
            return Err(HostError::new("dump", what, &err));
        }
        self.synced = Synced::Yes;
        Ok(())
    }

    /// Returns the gateways of the default routes through one link, and those among them that a
    /// router has advertised. Looks up addresses, round by round, in each family until one is not
    /// hidden by a more specific route. It never dumps, as a host may have a million routes.
    fn gateways(&mut self, link: LinkIndex, buffer: &mut [u8]) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let mut advertised = Vec::new();
        let mut defaults = SortedMap::default();
        for round in route::PROBE_ROUNDS {
            let is_open = |probe: &&IpAddr| !defaults.contains_key(&Family::of(**probe));
            let probes: Vec<_> = round.iter().filter(is_open).collect();
            let Some((first, others)) = probes.split_first() else { break };
            let encode = |out: &mut Vec<u8>, conversation: &mut Conversation| {
                route::encode_lookup(out, conversation.begin(), link, **first);
                for probe in others {
                    route::encode_lookup(out, conversation.join(), link, **probe);
                }
            };
            let answer = self.ask(encode, buffer, |message| {
                for family in [Family::Ipv4, Family::Ipv6] {
                    let answer = route::decode(message, link, family);
                    if let Ok(Some(RouteAnswer::Default { gateway, is_advertised })) = answer {
                        defaults.insert(family, gateway);
                        advertised.extend(gateway.filter(|_| is_advertised));
                    }
                }
            });
            match answer {
                // The last address is an IPv6 one, for which this errno means that there is no
                // route at all.
                Ok(AnswerState::Refused(libc::ENETUNREACH)) => {
                    if !defaults.contains_key(&Family::Ipv6) {
                        defaults.insert(Family::Ipv6, None);
                    }
                }
                Ok(_) => {}
                Err(err) => {
                    debug!("netlink: cannot ask for a route: {err}");
                    break;
                }
            }
        }
        (defaults.values().flatten().copied().collect(), advertised)
    }

    /// Sends the requests of one datagram and reads their answers. The kernel has prepared the
    /// answers when the send returns, or creates them during the read, so this never blocks.
    fn ask(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, &mut Conversation),
        buffer: &mut [u8],
        mut each: impl FnMut(&Message<'_>),
    ) -> io::Result<AnswerState> {
        self.request.clear();
        encode(&mut self.request, &mut self.conversation);
        socket::send(&self.queries, &self.request)?;
        let mut has_lost = false;
        loop {
            let conversation = &mut self.conversation;
            let answer = match self.room.receive(&self.queries, buffer) {
                Ok(Reception::Whole(datagram)) => {
                    conversation.handle_datagram(datagram, |message| each(&message))
                }
                Ok(Reception::Front(front)) => {
                    conversation.handle_front(front, |message| each(&message))
                }
                Ok(Reception::Lost) => {
                    has_lost = true;
                    conversation.handle_loss();
                    continue;
                }
                // The end of the answer was in the lost datagram.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock && has_lost => {
                    AnswerState::Interrupted
                }
                Err(err) => return Err(err),
            };
            if answer != AnswerState::Pending {
                return Ok(answer);
            }
        }
    }
}

impl AsFd for Kernel {
    /// Returns the event socket, for polling.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// Applies the events of a datagram. After an invalid message no dump is made, since it would
/// contain the same message; but if the length of one is invalid, further ones after it may be
/// lost.
fn fold(datagram: &[u8], host: &mut Host, speeds: &mut Speeds) -> Synced {
    for message in messages(datagram) {
        let event = match message {
            Ok(message) => Event::decode(&message),
            Err(err) => {
                debug!("netlink: malformed events; dumping the table again: {err}");
                return Synced::No;
            }
        };
        match event {
            Ok(Some(event)) => {
                if let Event::Link(LinkEvent::Unreadable(link, err)) = &event {
                    debug!(
                        "netlink: cannot decode an event about link {}, which is left out: {err}",
                        link.0
                    );
                }
                speeds.handle_event(&event);
                host.apply(event);
            }
            Ok(None) => {}
            Err(err) => debug!("netlink: ignoring an event that cannot be decoded: {err}"),
        }
    }
    Synced::Yes
}

/// Opens the socket for requests. A kernel without filters reports more than is requested.
fn query_socket() -> Result<OwnedFd, HostError> {
    let queries = open_socket(Groups::NONE)?;
    if let Err(err) = socket::check_strictly(&queries) {
        debug!("netlink: dumps are not filtered by the kernel: {err}");
    }
    Ok(queries)
}

fn open_socket(groups: Groups) -> Result<OwnedFd, HostError> {
    let fail = |err: io::Error| HostError::new("open", "a route netlink socket", &err);
    socket::route_socket(groups).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::IfName;
    use crate::netlink::wire::{NetlinkHeader, PayloadWriter, write_message};

    const IFLA_IFNAME: u16 = 3;
    const IFLA_MTU: u16 = 4;

    /// Encodes a link event.
    fn news(index: u32, fill: impl FnOnce(&mut PayloadWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write_message(&mut out, NetlinkHeader { kind: 16, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&[0; 4]);
            payload.bytes(&index.to_ne_bytes());
            payload.bytes(&[0; 8]);
            fill(payload);
        });
        out
    }

    fn readable(index: u32, name: &str) -> Vec<u8> {
        news(index, |payload| {
            payload.attribute_text(IFLA_IFNAME, name);
            payload.attribute_u32(IFLA_MTU, 1500);
        })
    }

    #[test]
    fn a_link_whose_news_makes_no_sense_costs_that_link_and_no_dump() {
        let mut host = Host::default();
        let mut fold = |datagram: &[u8]| {
            let synced = super::fold(datagram, &mut host, &mut Speeds::default());
            (synced, host.link_names().map(IfName::to_string).collect::<Vec<_>>())
        };
        let both = [readable(2, "eth0"), readable(3, "eth1")].concat();
        assert_eq!(fold(&both), (Synced::Yes, vec!["eth0".to_owned(), "eth1".to_owned()]));
        let short_mtu = news(2, |payload| {
            payload.attribute_text(IFLA_IFNAME, "eth0");
            payload.attribute(IFLA_MTU, &[0, 5]);
        });
        let left = vec!["eth1".to_owned()];
        assert_eq!(fold(&short_mtu), (Synced::Yes, left.clone()));
        assert_eq!(fold(&[short_mtu, readable(4, "eth2")].concat()).1, ["eth1", "eth2"]);
        assert_eq!(fold(&readable(2, "eth0")).1, ["eth0", "eth1", "eth2"], "it is known again");
        // An attribute that is longer than the rest of the message.
        let mut overlong = readable(4, "eth2");
        overlong[32..34].copy_from_slice(&0xffff_u16.to_ne_bytes());
        assert_eq!(fold(&overlong), (Synced::Yes, vec!["eth0".to_owned(), "eth1".to_owned()]));
        // An address whose length fits no family.
        let mut address = Vec::new();
        write_message(&mut address, NetlinkHeader { kind: 20, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&[2, 24, 0, 0, 3, 0, 0, 0]);
            payload.attribute(1, &[192, 0]);
        });
        assert_eq!(fold(&address).0, Synced::Yes);
        let mut endless = readable(5, "eth3");
        endless[..4].copy_from_slice(&0xffff_u32.to_ne_bytes());
        assert_eq!(fold(&endless).0, Synced::No, "what came behind it is lost");
    }
}
