// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Speeds`]: the speeds of links, requested when needed, and cached until the next event of the
//! link.
//!
//! A request for a speed waits for the kernel's lock of all network devices (RTNL). Any user can
//! keep that lock busy for many seconds, for example by removing a network namespace with hundreds
//! of bridges. Therefore a child process makes the requests, one process at a time, and SIGCHLD
//! announces its answers.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use log::{debug, warn};

use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::Event;
use crate::netlink::link::{LinkEvent, LinkIndex};
use crate::sys::descriptors::close_all_but;
use crate::sys::netlink::{self as socket, Groups};
use crate::sys::process::{self, Fork};

/// An answer: the index of a link, and its speed in Mb/s; 0 if it has none.
const ANSWER_LEN: usize = 8;

/// The number of a request, for as long as the daemon runs.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SpeedRequest(pub(crate) u64);

/// The cache, and the process that fills it.
#[derive(Debug, Default)]
pub(super) struct Speeds {
    known: SortedMap<LinkIndex, Option<u32>>,
    asking: Option<SpeedProcess>,
    last_request: SpeedRequest,
    /// The requests that have ended since the last look.
    ended: Vec<SpeedRequest>,
}

/// The process that requests speeds.
#[derive(Debug)]
struct SpeedProcess {
    child: libc::pid_t,
    answers: File,
    /// The incomplete last answer.
    part: Vec<u8>,
    /// Links with events since the request: their answers may be outdated.
    outdated: BTreeSet<LinkIndex>,
    /// All answers may be outdated.
    is_void: bool,
}

impl Speeds {
    /// Removes outdated speeds. The speed of a bond depends on its members.
    pub(super) fn handle_event(&mut self, event: &Event) {
        match event {
            Event::Link(LinkEvent::New(link)) => {
                self.forget(link.index);
                link.master.into_iter().for_each(|master| self.forget(master));
            }
            Event::Link(
                LinkEvent::Unnameable(link)
                | LinkEvent::Unreadable(link, _)
                | LinkEvent::Removed(link),
            ) => self.forget(*link),
            Event::Address(_) => {}
        }
    }

    fn forget(&mut self, link: LinkIndex) {
        self.known.remove(&link);
        if let Some(asking) = &mut self.asking {
            asking.outdated.insert(link);
        }
    }

    /// Removes all speeds, as events were lost.
    pub(super) fn forget_all(&mut self) {
        self.known = SortedMap::default();
        if let Some(asking) = &mut self.asking {
            asking.is_void = true;
        }
    }

    /// Requests the speeds of these links by a process, unless all are known. Returns the request
    /// to wait for, which may be an earlier one; `None` if there is nothing to wait for.
    pub(super) fn learn(&mut self, links: &[(LinkIndex, IfName)]) -> Option<SpeedRequest> {
        let is_unknown = |(link, _): &&(LinkIndex, IfName)| !self.known.contains_key(link);
        let unknown: Vec<_> = links.iter().filter(is_unknown).copied().collect();
        if unknown.is_empty() {
            return None;
        }
        if self.asking.is_none() {
            match ask_aside(&unknown) {
                Ok(asking) => {
                    self.asking = Some(asking);
                    self.last_request.0 += 1;
                }
                Err(err) => warn!("cannot fork: {err}; link speeds are left out"),
            }
        }
        self.asking.is_some().then_some(self.last_request)
    }

    /// Returns the known speeds of these links.
    pub(super) fn of(&self, links: &[(LinkIndex, IfName)]) -> SortedMap<LinkIndex, u32> {
        let speed = |(link, _): &(LinkIndex, IfName)| {
            self.known.get(link).copied().flatten().map(|speed| (*link, speed))
        };
        links.iter().filter_map(speed).collect()
    }

    /// Returns whether a request has ended since the last [`Self::take_ended`].
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Returns the requests that have ended since the last call.
    pub(super) fn take_ended(&mut self) -> Vec<SpeedRequest> {
        std::mem::take(&mut self.ended)
    }

    /// Handles SIGCHLD: reads the answers that have arrived.
    pub(super) fn handle_child(&mut self) {
        let Some(asking) = &mut self.asking else { return };
        let mut buffer = [0; 64 * ANSWER_LEN];
        loop {
            let end = match asking.answers.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => len,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(err) => {
                    debug!("cannot read link speeds from the child process: {err}");
                    break;
                }
            };
            asking.part.extend_from_slice(buffer.get(..end).unwrap_or_default());
            while let Some((answer, rest)) = asking.part.split_first_chunk::<ANSWER_LEN>() {
                let (link, speed) = decode(*answer);
                if !asking.is_void && !asking.outdated.contains(&link) {
                    self.known.insert(link, speed);
                }
                asking.part = rest.to_vec();
            }
        }
        // The process has closed its end, so it is about to end.
        let _ = process::wait_for(asking.child);
        self.asking = None;
        self.ended.push(self.last_request);
    }
}

fn ask_aside(links: &[(LinkIndex, IfName)]) -> io::Result<SpeedProcess> {
    let (reader, writer) = process::pipe_without_waiting()?;
    match process::fork()? {
        Fork::Child => {
            // A connection that a client closes meanwhile must not stay open in this process.
            let _ = close_all_but(&mut [writer.as_raw_fd()]);
            let _ = answer(links, writer);
            process::end_now(0)
        }
        Fork::Parent(child) => Ok(SpeedProcess {
            child,
            answers: File::from(reader),
            part: Vec::new(),
            outdated: BTreeSet::new(),
            is_void: false,
        }),
    }
}

/// Runs the process that requests speeds.
fn answer(links: &[(LinkIndex, IfName)], writer: OwnedFd) -> io::Result<()> {
    let mut writer = File::from(writer);
    let socket = socket::route_socket(Groups::NONE)?;
    for (link, name) in links {
        let speed = socket::link_speed(&socket, name).unwrap_or(0);
        let [link, speed] = [link.0, speed].map(u32::to_ne_bytes);
        writer.write_all(&[link, speed].concat())?;
    }
    Ok(())
}

fn decode(answer: [u8; ANSWER_LEN]) -> (LinkIndex, Option<u32>) {
    let [a, b, c, d, e, f, g, h] = answer;
    let speed = u32::from_ne_bytes([e, f, g, h]);
    (LinkIndex(u32::from_ne_bytes([a, b, c, d])), Some(speed).filter(|speed| *speed > 0))
}
