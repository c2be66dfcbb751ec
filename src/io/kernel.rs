// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel's side of the table: an event socket that is always listened to, and a query socket
//! for dumps and questions.
//!
//! The kernel queues the news of a change before the system call that made it returns. Whoever
//! drains the event socket before an answer therefore answers with all that was done before the
//! question. When news is lost (`ENOBUFS`) or a dump is torn, the table is thrown away and dumped
//! anew; until that has succeeded, [`Kernel::drain`] does not report [`Progress::Drained`].

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
use crate::io::room::{Received, Room};
use crate::io::sysctl;
use crate::limits::{EVENT_BUFFER_LEN, EVENTS_PER_TURN_MAX, RESYNCS_PER_TURN_MAX};
use crate::model::address::Family;
use crate::model::sorted::SortedMap;
use crate::netlink::conversation::{Answer, Conversation};
use crate::netlink::link::{LinkEvent, LinkIndex};
use crate::netlink::route::{self, RouteAnswer};
use crate::netlink::wire::{self, Message, WireError, messages};
use crate::netlink::{Event, address, link};
use crate::sys::netlink::{self as socket, Groups};
use speeds::Speeds;

/// Both sockets.
#[derive(Debug)]
pub struct Kernel {
    events: OwnedFd,
    queries: OwnedFd,
    conversation: Conversation,
    room: Room,
    speeds: Speeds,
    /// The request under way; kept for its memory, as one description takes several.
    request: Vec<u8>,
    /// Whether the table holds all the news that came.
    synced: Synced,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Synced {
    Yes,
    No,
}

impl Kernel {
    /// Opens both sockets. The table is dumped by the first [`Kernel::drain`].
    pub fn open() -> Result<Self, HostError> {
        let events = open_socket(Groups::LINKS_AND_ADDRESSES)?;
        let queries = query_socket()?;
        if let Err(err) = socket::set_receive_buffer_len(&events, EVENT_BUFFER_LEN) {
            warn!("netlink: the receive buffer stays as it is: {err}");
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

    /// Folds into `host` all the news that waits; `buffer` is scratch.
    ///
    /// # Errors
    /// The kernel refuses to be read or dumped now. The table is not whole then; draining may be
    /// tried again.
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

    /// Asks what the table does not hold, in no way that waits for whoever changes links.
    pub fn inspect(&mut self, inspection: &Inspection, host: &Host, buffer: &mut [u8]) -> Findings {
        let speeds = self.speeds.of(&inspection.speeds_of);
        let (gateways, advertised) = self.gateways(inspection.gateways_of, buffer);
        let link = |index: &LinkIndex| Some((*index, silent::read(host.link(*index)?)));
        let links = inspection.silent.iter().filter_map(link).collect();
        let hears_routers = inspection.sysctls_of.is_some_and(|link| sysctl::hear_routers(&link));
        Findings { gateways, advertised, links, speeds, clients: Vec::new(), hears_routers }
    }

    /// Whether all is known that [`Kernel::inspect`] cannot ask at once. If not, a process asks for it.
    pub(crate) fn learn(&mut self, inspection: &Inspection) -> bool {
        self.speeds.learn(&inspection.speeds_of)
    }

    /// Whether a process asks for what is not known.
    pub(crate) fn is_asking(&self) -> bool {
        self.speeds.is_asking()
    }

    /// A child may have ended.
    pub fn handle_child(&mut self) {
        self.speeds.handle_child();
    }

    fn drain_events(&mut self, host: &mut Host, buffer: &mut [u8]) -> Result<Progress, HostError> {
        for _ in 0..EVENTS_PER_TURN_MAX {
            match self.room.receive(&self.events, buffer) {
                Ok(Received::Whole(datagram)) => {
                    if fold(datagram, host, &mut self.speeds) == Synced::No {
                        self.synced = Synced::No;
                    }
                }
                Ok(Received::Lost) => self.synced = Synced::No,
                // News is of one thing each, and only a link's may be that long.
                Ok(Received::Front(front)) => {
                    if let Some(link) = wire::cut_message(front).and_then(|it| link::subject(&it)) {
                        let cut = WireError::Truncated("netlink message");
                        host.apply(Event::Link(LinkEvent::Unreadable(link, cut)));
                    }
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Drained);
                }
                Err(err) if err.raw_os_error() == Some(libc::ENOBUFS) => {
                    debug!("netlink: news was lost, the table will be dumped anew");
                    self.synced = Synced::No;
                }
                Err(err) => return Err(HostError::new("read", "netlink events", &err)),
            }
        }
        Ok(Progress::Unfinished)
    }

    /// Throws the table away and makes a new one. A dump that the kernel calls interrupted leaves it
    /// marked as not synced; so does one during which news is lost, which the next drain finds out.
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
                            "netlink: link {} is left out, the kernel's message makes no sense: {err}",
                            link.0
                        );
                    }
                    event.into_iter().for_each(|event| host.apply(event));
                }
                Err(err) => warn!("netlink: a message of the kernel makes no sense: {err}"),
            };
            let err = match self.ask(begin, buffer, each) {
                Ok(Answer::Complete) => continue,
                Ok(Answer::Interrupted) => return Ok(()),
                Ok(Answer::Refused(errno)) => io::Error::from_raw_os_error(errno),
                Ok(Answer::Malformed(_) | Answer::Pending) => {
                    io::Error::from_raw_os_error(libc::EBADMSG)
                }
                Err(err) => err,
            };
            // The rest of a dump that was given up would be in the way of the next one.
            self.queries = query_socket()?;
            return Err(HostError::new("dump", what, &err));
        }
        self.synced = Synced::Yes;
        Ok(())
    }

    /// The gateways of the default routes through one link: look-ups, round by round, of a family
    /// until one is not hidden by a more specific route. Never a dump, as a host may have a
    /// million routes. Those come besides that a router has advertised.
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
                // The last one asked is of IPv6, where this says that there is no route at all.
                Ok(Answer::Refused(libc::ENETUNREACH)) => {
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

    /// Sends the requests of one datagram and reads their answers. The kernel has all of it ready
    /// when the requests are sent, or makes it as it is read, so nothing here ever waits.
    fn ask(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, &mut Conversation),
        buffer: &mut [u8],
        mut each: impl FnMut(&Message<'_>),
    ) -> io::Result<Answer> {
        self.request.clear();
        encode(&mut self.request, &mut self.conversation);
        socket::send(&self.queries, &self.request)?;
        let mut has_lost = false;
        loop {
            let conversation = &mut self.conversation;
            let answer = match self.room.receive(&self.queries, buffer) {
                Ok(Received::Whole(datagram)) => {
                    conversation.handle_datagram(datagram, |message| each(&message))
                }
                Ok(Received::Front(front)) => {
                    conversation.handle_front(front, |message| each(&message))
                }
                Ok(Received::Lost) => {
                    has_lost = true;
                    conversation.handle_loss();
                    continue;
                }
                // The end was in what is lost.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock && has_lost => {
                    Answer::Interrupted
                }
                Err(err) => return Err(err),
            };
            if answer != Answer::Pending {
                return Ok(answer);
            }
        }
    }
}

impl AsFd for Kernel {
    /// The event socket, to be polled.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// Folds in the news of a datagram. A message that makes no sense is no reason for a dump, which would have
/// it in the same words; but where one ends that cannot be, others may be lost behind it.
fn fold(datagram: &[u8], host: &mut Host, speeds: &mut Speeds) -> Synced {
    for message in messages(datagram) {
        let event = match message {
            Ok(message) => Event::decode(&message),
            Err(err) => {
                debug!("netlink: news without an end, the table will be dumped anew: {err}");
                return Synced::No;
            }
        };
        match event {
            Ok(Some(event)) => {
                if let Event::Link(LinkEvent::Unreadable(link, err)) = &event {
                    debug!(
                        "netlink: link {} is left out, news of it makes no sense: {err}",
                        link.0
                    );
                }
                speeds.handle_event(&event);
                host.apply(event);
            }
            Ok(None) => {}
            Err(err) => debug!("netlink: news that makes no sense is passed over: {err}"),
        }
    }
    Synced::Yes
}

/// The socket for questions. A kernel that takes no filters tells more than is asked.
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
    use crate::netlink::wire::{Header, PayloadWriter, write_message};

    const IFLA_IFNAME: u16 = 3;
    const IFLA_MTU: u16 = 4;

    /// News that a link is there.
    fn news(index: u32, fill: impl FnOnce(&mut PayloadWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write_message(&mut out, Header { kind: 16, flags: 0, sequence: 0 }, |payload| {
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
        // An attribute that is longer than what is left of the message.
        let mut overlong = readable(4, "eth2");
        overlong[32..34].copy_from_slice(&0xffff_u16.to_ne_bytes());
        assert_eq!(fold(&overlong), (Synced::Yes, vec!["eth0".to_owned(), "eth1".to_owned()]));
        // An address of no family's length.
        let mut address = Vec::new();
        write_message(&mut address, Header { kind: 20, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&[2, 24, 0, 0, 3, 0, 0, 0]);
            payload.attribute(1, &[192, 0]);
        });
        assert_eq!(fold(&address).0, Synced::Yes);
        let mut endless = readable(5, "eth3");
        endless[..4].copy_from_slice(&0xffff_u32.to_ne_bytes());
        assert_eq!(fold(&endless).0, Synced::No, "what came behind it is lost");
    }
}
