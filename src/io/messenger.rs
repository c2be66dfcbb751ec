// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Messenger`]: a route netlink socket that the loop never waits for.
//!
//! The kernel carries a request out while it is being sent, and for most it takes its lock of all
//! network devices (RTNL). Anybody may keep that busy for many seconds: a user who leaves a network
//! namespace with hundreds of bridges does. So a process of its own sends, waits, and hands on word for
//! word what the kernel answers. It is made for the first request, and ends after a while without one,
//! or with the daemon. Where none can be made, the loop waits for the kernel itself.

mod teller;

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::time::Duration;

use log::warn;

use crate::error::HostError;
use crate::limits::{KERNEL_WAIT_MAX, KERNEL_WAITS_PER_TURN_MAX, MESSENGER_IDLE_TIME_MAX};
use crate::netlink::conversation::{is_end, next_sequence};
use crate::netlink::wire;
use crate::sys::process::{self, Fork};
use crate::sys::signal::Signals;
use crate::sys::{self, clock, descriptors};
use teller::Teller;

pub(crate) use teller::{encode_sysctl, make_conditional};

/// What ps(1) and top(1) call the process.
const PROCESS_NAME: &str = "virt-messenger";

/// How much of an answer is read at a time: a step's is a tenth of a kilobyte, a dump's any length.
const PART_LEN: usize = 16 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Messenger {
    /// The loop's end of the way to the process, and the process's. Both stay open here: another process
    /// needs no new descriptor, and finds what one that has just ended has not read.
    near_end: UnixStream,
    far_end: UnixStream,
    process: Option<libc::pid_t>,
    teller: Teller,
    sequence: u32,
    /// Requests for which there was no room on the way.
    outbox: Vec<u8>,
    /// Answers, and how much of that has been handed out.
    inbox: Vec<u8>,
    taken_len: usize,
    unanswered_count: usize,
    /// Whether the loop may wait for an answer before it sees to its clients.
    is_awaited: bool,
    /// Until when it may do so in this turn, once it has waited (`CLOCK_MONOTONIC`).
    waits_end: Option<Duration>,
    /// The process was killed while it owed answers, and nobody has been told.
    is_broken: bool,
}

impl Messenger {
    /// Opens all that is ever needed. No process is made yet.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> Result<Self, HostError> {
        let (near_end, far_end) =
            pair().map_err(|err| HostError::new("open", "a pair of sockets", &err))?;
        Ok(Self {
            near_end,
            far_end,
            process: None,
            teller: Teller::open()?,
            sequence: 0,
            outbox: Vec::new(),
            inbox: Vec::new(),
            taken_len: 0,
            unanswered_count: 0,
            is_awaited: false,
            waits_end: None,
            is_broken: false,
        })
    }

    /// A number for a request, by which its answer is known.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = next_sequence(self.sequence);
        self.sequence
    }

    /// The loop has seen to its clients, and may wait anew.
    pub(crate) fn begin_turn(&mut self) {
        self.waits_end = None;
    }

    /// Has requests carried out, one after the other. Each is a message that the kernel answers with an
    /// end of its own, or one of [`encode_sysctl`]; what [`make_conditional`] has marked is answered with
    /// `ECANCELED` if the one before it is refused.
    pub fn send(&mut self, requests: &[u8]) {
        self.unanswered_count += split(requests).count();
        self.is_awaited = true;
        if self.has_process() {
            self.outbox.extend_from_slice(requests);
            self.flush();
            return;
        }
        for request in split(requests) {
            let hear = |answer: &[u8]| {
                self.inbox.extend_from_slice(answer);
                Ok(())
            };
            // Nothing is between teller and hearer that could fail.
            let _ = self.teller.carry_out(&mut request.to_vec(), hear);
        }
    }

    /// The next message of an answer, if one is there. A moment after a request it is waited for.
    ///
    /// # Errors
    /// The process was killed: whatever was asked may be done or not, and has no answer.
    pub fn receive(&mut self) -> io::Result<Option<&[u8]>> {
        self.flush();
        let len = loop {
            if std::mem::take(&mut self.is_broken) {
                return Err(io::Error::from_raw_os_error(libc::ECHILD));
            }
            if let Some(len) = self.inbox.get(self.taken_len..).and_then(wire::first_len) {
                break len;
            }
            if !self.fill()? && !self.wait() {
                return Ok(None);
            }
        };
        let message = self.inbox.get(self.taken_len..).and_then(|rest| rest.get(..len));
        self.taken_len += len;
        if message.is_some_and(is_end) {
            self.unanswered_count = self.unanswered_count.saturating_sub(1);
        }
        Ok(message)
    }

    /// A child may have ended. What one that was idle has not read is for another.
    pub fn handle_child(&mut self) {
        let Some(child) = self.process else { return };
        let end = process::take_end(child);
        if matches!(end, Ok(None)) {
            return;
        }
        self.process = None;
        let was_idle = matches!(end, Ok(Some(true)));
        if self.unanswered_count > 0 && !(was_idle && self.has_process()) {
            warn!("{PROCESS_NAME} has ended: what it was to ask the kernel has no answer");
            self.give_up();
        }
    }

    /// Whether there is a process, now if there was none.
    fn has_process(&mut self) -> bool {
        if self.process.is_none() {
            match self.start() {
                Ok(child) => self.process = Some(child),
                Err(err) => warn!("the kernel is waited for: no process can be made: {err}"),
            }
        }
        self.process.is_some()
    }

    fn start(&mut self) -> io::Result<libc::pid_t> {
        let daemon = std::process::id();
        match process::fork()? {
            Fork::Parent(child) => Ok(child),
            Fork::Child => {
                Signals::disconnect();
                // Clients that hang up meanwhile must not find their connection open still.
                let mut kept =
                    [&self.far_end.as_fd(), &self.teller.as_fd()].map(AsRawFd::as_raw_fd);
                let _ = descriptors::close_all_but(&mut kept);
                let _ = fs::write("/proc/self/comm", PROCESS_NAME);
                let served = serve(&mut self.far_end, &mut self.teller, daemon);
                process::end_now(if served.is_ok() { 0 } else { 1 })
            }
        }
    }

    /// Waits for an answer, unless the last one did not come at once, or the loop has waited enough in
    /// this turn. Tells whether there is something to be read.
    fn wait(&mut self) -> bool {
        let Ok(now) = clock::monotonic() else { return false };
        let end = *self.waits_end.get_or_insert(now + KERNEL_WAITS_PER_TURN_MAX);
        let left = KERNEL_WAIT_MAX.min(end.saturating_sub(now));
        self.is_awaited = self.is_awaited && sys::wait_readable(&self.near_end, left);
        self.is_awaited
    }

    /// Reads what has come. Tells whether anything has.
    fn fill(&mut self) -> io::Result<bool> {
        self.inbox.drain(..self.taken_len);
        self.taken_len = 0;
        let mut part = [0; PART_LEN];
        let len = read_now(&mut self.near_end, &mut part)?;
        self.inbox.extend_from_slice(part.get(..len).unwrap_or_default());
        Ok(len > 0)
    }

    /// Sends what the way has room for. Whoever waits for the answer to the rest comes here again, as
    /// there are answers before that.
    fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.near_end.write(&self.outbox) {
                Ok(len) => drop(self.outbox.drain(..len)),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                // It has gone, or reads what is before this.
                Err(_) => return,
            }
        }
        self.outbox = Vec::new();
    }

    /// Forgets what is asked for, and what may have been answered.
    fn give_up(&mut self) {
        self.outbox.clear();
        self.inbox.clear();
        self.taken_len = 0;
        self.unanswered_count = 0;
        self.is_broken = true;
        let mut rest = [0; 4096];
        while matches!(read_now(&mut self.near_end, &mut rest), Ok(1..)) {}
        let _ = self.far_end.set_nonblocking(true);
        while matches!(read_now(&mut self.far_end, &mut rest), Ok(1..)) {}
        let _ = self.far_end.set_nonblocking(false);
    }
}

impl AsFd for Messenger {
    /// The end at which answers arrive, to be polled.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.near_end.as_fd()
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (near_end, far_end) = UnixStream::pair()?;
    near_end.set_nonblocking(true)?;
    far_end.set_read_timeout(Some(MESSENGER_IDLE_TIME_MAX))?;
    Ok((near_end, far_end))
}

/// Reads from a stream that does not block; 0 if nothing waits.
fn read_now(stream: &mut UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            read => return read,
        }
    }
}

/// The requests that stand behind each other.
fn split(mut requests: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (request, rest) = requests.split_at_checked(wire::first_len(requests)?)?;
        requests = rest;
        Some(request)
    })
}

/// What the process does: until there is nothing more to do, or nobody to do it for.
fn serve(way: &mut UnixStream, teller: &mut Teller, daemon: u32) -> io::Result<()> {
    let mut requests = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(len) = wire::first_len(&requests) {
            let mut request: Vec<u8> = requests.drain(..len).collect();
            // What a daemon has wanted that is dead may not be wanted any more.
            if parent_id() != daemon {
                return Ok(());
            }
            teller.carry_out(&mut request, |answer| way.write_all(answer))?;
        }
        match way.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => requests.extend_from_slice(buffer.get(..len).unwrap_or_default()),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock && requests.is_empty() => {
                return Ok(());
            }
            Err(err) => return Err(err),
        }
    }
}

#[cfg(test)]
mod tests;
