// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Errand`]: makes a dhcpcd that manages all links (the manager) take or release one link, by
//! orders over its control socket.
//!
//! The manager takes one order per connection, does not acknowledge it, and drops an order that
//! arrives before it has seen the end of another connection. So it is asked which links it has, and
//! ordered again, until the list is right. After that it is asked at long intervals, since a
//! manager that reloads its configuration takes released links again. Nothing here blocks.
//!
//! Before version 10 dhcpcd took only one order per process, and dropped all others.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use log::debug;

use super::record::ProcessId;
use crate::limits::{DHCP_ANSWER_TIME_MAX, DHCPCD_ANSWER_LEN_MAX};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::sys::{self, socket};

/// The first version that takes more than one order.
const VERSION_MIN: u32 = 10;

/// The control socket for root.
const SOCKET: &str = "/run/dhcpcd/sock";

/// The request for the manager's links.
const QUESTION: &[u8] = b"--getinterfaces\0";

/// The interval at which to check for an answer.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The first pause between an order and the next question; it doubles each time.
const ORDER_TIME: Duration = Duration::from_millis(20);

/// The pause between questions while the manager does not answer, and once its links are right.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
const GUARD_INTERVAL: Duration = Duration::from_secs(5);

/// The desired state of the link in the manager.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goal {
    Has,
    Lacks,
}

/// The task of making the manager take or release one link.
#[derive(Debug)]
pub(super) struct Errand {
    manager: ProcessId,
    link: IfName,
    goal: Goal,
    /// A port of the link, which the manager must not have as well.
    port: Option<IfName>,
    /// Whether the manager was ordered to release that port, where it may leave configuration
    /// (`persistent`).
    has_left_port: bool,
    /// The options of the order to take the link.
    options: Vec<String>,
    talk: Option<Talk>,
    look_at: Instant,
    order_time: Duration,
    /// Whether the manager's last answer was as desired.
    is_done: bool,
    is_given_up: bool,
}

impl Errand {
    /// Creates the task of taking a link back, with its former settings.
    pub(super) fn take(manager: ProcessId, link: IfName, now: Instant) -> Self {
        Self::new(manager, link, Goal::Has, now)
    }

    /// Creates the task of releasing a link with its configuration left in place.
    pub(super) fn let_go(manager: ProcessId, link: IfName, now: Instant) -> Self {
        Self::new(manager, link, Goal::Lacks, now)
    }

    /// Creates the task of continuing a lease on another link.
    pub(super) fn lease(manager: ProcessId, lease: &Lease, now: Instant) -> Self {
        let mut options = vec!["--nodelay".to_owned()];
        if let Some(wanted) = lease.wanted.filter(|it| it.address().is_ipv4()) {
            options.extend(["-r".to_owned(), wanted.address().to_string()]);
        }
        if lease.name_servers == NameServers::Left {
            options.extend(["-C", "resolv.conf"].map(str::to_owned));
        }
        let errand = Self::new(manager, lease.link, Goal::Has, now);
        Self { port: lease.like.filter(|port| *port != lease.link), options, ..errand }
    }

    fn new(manager: ProcessId, link: IfName, goal: Goal, now: Instant) -> Self {
        let (port, options, talk, look_at) = (None, Vec::new(), None, now);
        let (is_done, is_given_up) = (false, false);
        let (order_time, has_left_port) = (ORDER_TIME, false);
        Self {
            manager,
            link,
            goal,
            port,
            has_left_port,
            options,
            talk,
            look_at,
            order_time,
            is_done,
            is_given_up,
        }
    }

    pub(super) fn manager(&self) -> &ProcessId {
        &self.manager
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done || self.has_manager_ended()
    }

    /// Returns whether the manager is done with the link: it has released the link, or has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_given_up || (self.goal == Goal::Lacks && self.is_done) || self.has_manager_ended()
    }

    fn has_manager_ended(&self) -> bool {
        ProcessId::of(self.manager.pid).as_ref() != Some(&self.manager)
    }

    /// Changes the task to releasing the link.
    pub(super) fn turn_round(&mut self) {
        if self.goal == Goal::Has {
            (self.goal, self.talk, self.is_done) = (Goal::Lacks, None, false);
            self.hurry();
        }
    }

    /// Ends the task, without further questions.
    pub(super) fn give_up(&mut self) {
        (self.talk, self.is_given_up) = (None, true);
    }

    /// Returns the port that the manager has released since the last call.
    pub(super) fn take_stray(&mut self) -> Option<IfName> {
        let has_left = self.is_done && std::mem::take(&mut self.has_left_port);
        self.port.filter(|_| has_left)
    }

    fn hurry(&mut self) {
        self.look_at = self.look_at.checked_sub(GUARD_INTERVAL).unwrap_or(self.look_at);
    }

    /// Returns when to continue.
    pub(super) fn deadline(&self) -> Instant {
        self.look_at
    }

    /// Continues as far as possible without blocking.
    pub(super) fn advance(&mut self, now: Instant) {
        if now < self.look_at || self.is_given_up {
            return;
        }
        let Some(mut talk) = self.talk.take().or_else(|| Talk::begin(now)) else {
            self.look_at = now + RETRY_INTERVAL;
            return;
        };
        match talk.poll() {
            ErrandAnswer::Missing if now < talk.until => {
                self.look_at = now + LOOK_INTERVAL;
                self.talk = Some(talk);
            }
            ErrandAnswer::Missing | ErrandAnswer::Refused => self.look_at = now + RETRY_INTERVAL,
            ErrandAnswer::Links(links) => {
                // The manager takes no order from another connection before the end of this one.
                drop(talk);
                if let Some(order) = self.hear(&links, now) {
                    // An order that is lost is sent again later.
                    let _ = open().and_then(|socket| socket::send(&socket, &order));
                }
            }
        }
    }

    /// Returns the order to send to a manager that has these links.
    fn hear(&mut self, links: &[IfName], now: Instant) -> Option<Vec<u8>> {
        let order = self.order(links).inspect(|order| {
            debug!("sending to dhcpcd (process {}): {}", self.manager.pid, order.join(" "));
        });
        let order = order.map(|order| encode(&order));
        self.is_done = order.is_none();
        self.has_left_port |=
            self.goal == Goal::Has && self.port.is_some_and(|port| links.contains(&port));
        self.look_at = now + if self.is_done { GUARD_INTERVAL } else { self.order_time };
        self.order_time = match self.is_done {
            true => ORDER_TIME,
            false => self.order_time.saturating_mul(2).min(RETRY_INTERVAL),
        };
        order
    }

    /// Returns the words of the order that is needed with these links.
    fn order(&self, links: &[IfName]) -> Option<Vec<&str>> {
        let has_link = links.contains(&self.link);
        match self.goal {
            Goal::Lacks => has_link.then(|| vec!["-p", "-x", self.link.as_str()]),
            // The configuration on the port is removed with it.
            Goal::Has => match self.port.as_ref().filter(|port| links.contains(port)) {
                Some(port) => Some(vec!["-x", port.as_str()]),
                None if has_link => None,
                None => {
                    let options = self.options.iter().map(String::as_str);
                    Some(options.chain([self.link.as_str()]).collect())
                }
            },
        }
    }
}

/// A pending question.
#[derive(Debug)]
struct Talk {
    socket: OwnedFd,
    answer: Vec<u8>,
    until: Instant,
}

enum ErrandAnswer {
    /// The answer is incomplete.
    Missing,
    Refused,
    Links(Vec<IfName>),
}

impl Talk {
    fn begin(now: Instant) -> Option<Self> {
        let socket = open().ok()?;
        socket::send(&socket, QUESTION).ok()?;
        Some(Self { socket, answer: Vec::new(), until: now + DHCP_ANSWER_TIME_MAX })
    }

    fn poll(&mut self) -> ErrandAnswer {
        const CHUNK_LEN: usize = 16 * 1024;
        let mut chunk = [0; CHUNK_LEN];
        while self.answer.len() < DHCPCD_ANSWER_LEN_MAX {
            match socket::receive(&self.socket, &mut chunk) {
                Ok(received) if received.len > 0 => {
                    self.answer.extend_from_slice(chunk.get(..received.len).unwrap_or_default());
                }
                Ok(_) => {
                    return decode(&self.answer).map_or(ErrandAnswer::Refused, ErrandAnswer::Links);
                }
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {
                    return decode(&self.answer).map_or(ErrandAnswer::Missing, ErrandAnswer::Links);
                }
                Err(_) => return ErrandAnswer::Refused,
            }
        }
        ErrandAnswer::Refused
    }
}

fn open() -> std::io::Result<OwnedFd> {
    let socket = socket::stream()?;
    socket::connect(&socket, Path::new(SOCKET))?;
    // Orders go only to a socket of the daemon's own user.
    let is_roots = socket::peer_creds(&socket)?.uid == sys::process::effective_uid();
    is_roots.then_some(socket).ok_or_else(|| std::io::ErrorKind::PermissionDenied.into())
}

/// Encodes an order: a command line, as dhcpcd takes it.
fn encode(words: &[&str]) -> Vec<u8> {
    let words = std::iter::once("dhcpcd").chain(words.iter().copied());
    words.flat_map(|word| word.bytes().chain([0])).collect()
}

/// Decodes the links of an answer, which has several entries for each. The answer is the number of
/// entries, followed by each entry: an environment after its length.
fn decode(answer: &[u8]) -> Option<Vec<IfName>> {
    let mut rest = answer;
    let mut links = Vec::new();
    for _ in 0..take_number(&mut rest)? {
        let len = take_number(&mut rest)?;
        let (entry, behind) = rest.split_at_checked(len)?;
        rest = behind;
        let variables = entry.split(|byte| *byte == 0);
        let names = variables.filter_map(|it| it.strip_prefix(b"interface="));
        let names = names.filter_map(|name| std::str::from_utf8(name).ok());
        links.extend(names.filter_map(|name| IfName::new(name).ok()));
    }
    Some(links)
}

/// Takes a `size_t` of a program with the daemon's word size.
fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(usize::from_ne_bytes(*number))
}

/// Returns whether a dhcpcd takes such orders, judging by its program file.
pub(super) fn is_understood_by(program: &[u8]) -> bool {
    const NAME: &[u8] = b"dhcpcd-";
    let versions = program.split(|byte| *byte == 0).filter_map(|text| text.strip_prefix(NAME));
    let mut majors = versions.filter_map(|version| {
        // The text that it prints at its start.
        let (version, rest) =
            version.split_at_checked(version.iter().position(|it| *it == b' ')?)?;
        let major = version.split(|byte| *byte == b'.').next()?;
        (rest == b" starting").then(|| std::str::from_utf8(major).ok()?.parse::<u32>().ok())?
    });
    majors.any(|major| major >= VERSION_MIN)
}

#[cfg(test)]
mod tests;
