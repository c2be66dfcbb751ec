// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Speeds`]: how fast links are, asked for when somebody wants to know, and remembered until the kernel
//! has news of the link.
//!
//! Whoever asks for a speed waits for the kernel's lock of all network devices (RTNL). Anybody may keep
//! that busy for many seconds: a user who leaves a network namespace with hundreds of bridges does. So a
//! process of its own asks, one at a time, and its end is the loop's news.

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

/// An answer: the number of a link, and its speed in Mb/s; 0 if it has none.
const ANSWER_LEN: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Speeds {
    known: SortedMap<LinkIndex, Option<u32>>,
    asking: Option<Asking>,
}

/// A process that asks.
#[derive(Debug)]
struct Asking {
    child: libc::pid_t,
    answers: File,
    /// What has come of an answer.
    part: Vec<u8>,
    /// Links of which there was news since: the answer may be older.
    outdated: BTreeSet<LinkIndex>,
    /// All answers may be older than what is known.
    is_void: bool,
}

impl Speeds {
    /// There is news. A bond is as fast as its members are together.
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

    /// News was lost.
    pub(super) fn forget_all(&mut self) {
        self.known = SortedMap::default();
        if let Some(asking) = &mut self.asking {
            asking.is_void = true;
        }
    }

    /// Whether the speeds of these links are known. If not, a process asks for them, unless one asks
    /// already.
    pub(super) fn learn(&mut self, links: &[(LinkIndex, IfName)]) -> bool {
        let is_unknown = |(link, _): &&(LinkIndex, IfName)| !self.known.contains_key(link);
        let unknown: Vec<_> = links.iter().filter(is_unknown).copied().collect();
        if unknown.is_empty() {
            return true;
        }
        if self.asking.is_none() {
            match ask_aside(&unknown) {
                Ok(asking) => self.asking = Some(asking),
                Err(err) => warn!("speeds are left out: no process can be made that asks: {err}"),
            }
        }
        self.asking.is_none()
    }

    /// The speeds of these links, as far as they are known.
    pub(super) fn of(&self, links: &[(LinkIndex, IfName)]) -> SortedMap<LinkIndex, u32> {
        let speed = |(link, _): &(LinkIndex, IfName)| {
            self.known.get(link).copied().flatten().map(|speed| (*link, speed))
        };
        links.iter().filter_map(speed).collect()
    }

    /// Whether a process asks.
    pub(super) fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Takes the answers that have come: a child may have ended.
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
                    debug!("the answers about speeds cannot be read: {err}");
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
        // It has closed its end, so it is about to end itself.
        let _ = process::wait_for(asking.child);
        self.asking = None;
    }
}

fn ask_aside(links: &[(LinkIndex, IfName)]) -> io::Result<Asking> {
    let (reader, writer) = process::pipe_without_waiting()?;
    match process::fork()? {
        Fork::Child => {
            // Clients that hang up meanwhile must not find their connection open still.
            let _ = close_all_but(&mut [writer.as_raw_fd()]);
            let _ = answer(links, writer);
            process::end_now(0)
        }
        Fork::Parent(child) => Ok(Asking {
            child,
            answers: File::from(reader),
            part: Vec::new(),
            outdated: BTreeSet::new(),
            is_void: false,
        }),
    }
}

/// What the process does that asks.
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
