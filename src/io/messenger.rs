// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Messenger`]: sends netlink requests without making the loop wait for the kernel.
//!
//! The kernel carries out a request during the send, and for most requests it takes its lock of all
//! network devices (RTNL). Any user can keep that lock busy for many seconds, for example by
//! removing a network namespace with hundreds of bridges. Therefore a separate process sends the
//! requests, waits, and passes the kernel's answers on unchanged. It is forked for the first
//! request, and ends after a while without one, or with the daemon. If it cannot be forked, the
//! loop itself waits for the kernel.

mod teller;

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::thread;
use std::time::Duration;

use log::warn;

use crate::error::HostError;
use crate::limits::{
    KERNEL_WAIT_MAX, KERNEL_WAITS_PER_TURN_MAX, MESSENGER_IDLE_TIME_MAX, MESSENGER_RUN_TIME_MAX,
};
use crate::netlink::conversation::{is_end, next_sequence};
use crate::netlink::wire;
use crate::sys::process::{self, Fork};
use crate::sys::signal::Signals;
use crate::sys::{self, clock, descriptors};
use teller::Teller;

pub(crate) use teller::{encode_sysctl, make_conditional};

/// The name of the process in ps(1) and top(1).
const PROCESS_NAME: &str = "virt-messenger";

/// The length of one read of answers: a step's answer takes a hundred bytes, a dump's any length.
const PART_LEN: usize = 16 * 1024;

/// Passes requests to the messenger process.
#[derive(Debug)]
pub struct Messenger {
    /// The loop's end of the socket pair, and the process's. Both stay open here: a new process
    /// needs no new pair, and reads the requests that an ended one has left unread.
    near_end: UnixStream,
    far_end: UnixStream,
    process: Option<libc::pid_t>,
    teller: Teller,
    sequence: u32,
    /// Requests that did not fit in the socket.
    outbox: Vec<u8>,
    /// Answers, and the number of bytes of them already returned.
    inbox: Vec<u8>,
    taken_len: usize,
    unanswered_count: usize,
    /// Whether the loop may wait for an answer before it serves its clients.
    is_awaited: bool,
    /// The end of this turn's waits, once the loop has waited (`CLOCK_MONOTONIC`).
    waits_end: Option<Duration>,
    /// The process was killed while answers were pending, and that was not reported yet.
    is_broken: bool,
}

impl Messenger {
    /// Opens all descriptors that are ever needed. No process is started yet.
    ///
    /// # Errors
    /// The kernel refused.
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

    /// Returns a sequence number for a request.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = next_sequence(self.sequence);
        self.sequence
    }

    /// Notes that the loop has served its clients, and may wait again.
    pub(crate) fn begin_turn(&mut self) {
        self.waits_end = None;
    }

    /// Sends requests, to be carried out in order. Each is a message that the kernel answers with
    /// its own end, or one of [`encode_sysctl`]. A request marked by [`make_conditional`] is
    /// answered with `ECANCELED` if the one before it is refused.
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
            // Storing the answer cannot fail.
            let _ = self.teller.carry_out(&mut request.to_vec(), hear);
        }
    }

    /// Returns the next message of an answer, if one has arrived; waits for it briefly after a
    /// request.
    ///
    /// # Errors
    /// The process was killed: it may or may not have carried out the pending requests.
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

    /// Handles SIGCHLD. Requests that an idle process has left unread go to a new one.
    pub fn handle_child(&mut self) {
        let Some(child) = self.process else { return };
        let end = process::take_end(child);
        if matches!(end, Ok(None)) {
            return;
        }
        self.process = None;
        let was_idle = matches!(end, Ok(Some(true)));
        if self.unanswered_count > 0 && !(was_idle && self.has_process()) {
            warn!("{PROCESS_NAME} has ended before it answered all requests");
            self.give_up();
        }
    }

    /// Returns whether there is a process, after starting one if necessary.
    fn has_process(&mut self) -> bool {
        if self.process.is_none() {
            match self.start() {
                Ok(child) => self.process = Some(child),
                Err(err) => {
                    warn!("cannot fork: {err}; sending requests to the kernel synchronously")
                }
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
                // A connection that a client closes meanwhile must not stay open in this process.
                let mut kept =
                    [&self.far_end.as_fd(), &self.teller.as_fd()].map(AsRawFd::as_raw_fd);
                let _ = descriptors::close_all_but(&mut kept);
                let _ = fs::write("/proc/self/comm", PROCESS_NAME);
                let served = serve(&mut self.far_end, &mut self.teller, daemon);
                process::end_now(if served.is_ok() { 0 } else { 1 })
            }
        }
    }

    /// Waits for an answer, unless the last one did not come at once, or the waits of this turn are
    /// used up. Returns whether there is something to read.
    fn wait(&mut self) -> bool {
        let Ok(now) = clock::monotonic() else { return false };
        let end = *self.waits_end.get_or_insert(now + KERNEL_WAITS_PER_TURN_MAX);
        let left = KERNEL_WAIT_MAX.min(end.saturating_sub(now));
        self.is_awaited = self.is_awaited && sys::wait_readable(&self.near_end, left);
        self.is_awaited
    }

    /// Reads the answers that have arrived. Returns whether there were any.
    fn fill(&mut self) -> io::Result<bool> {
        self.inbox.drain(..self.taken_len);
        self.taken_len = 0;
        let mut part = [0; PART_LEN];
        let len = read_now(&mut self.near_end, &mut part)?;
        self.inbox.extend_from_slice(part.get(..len).unwrap_or_default());
        Ok(len > 0)
    }

    /// Sends as many requests as fit. The rest is sent on a later call, since answers to the first
    /// ones come before that.
    fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.near_end.write(&self.outbox) {
                Ok(len) => drop(self.outbox.drain(..len)),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                // The process has ended, or has not read earlier requests yet.
                Err(_) => return,
            }
        }
        self.outbox = Vec::new();
    }

    /// Discards pending requests and their answers.
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
    /// Returns the end at which answers arrive, for polling.
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

/// Reads from a non-blocking stream; returns 0 if no bytes wait.
fn read_now(stream: &mut UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            read => return read,
        }
    }
}

/// Splits consecutive requests.
fn split(mut requests: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (request, rest) = requests.split_at_checked(wire::first_len(requests)?)?;
        requests = rest;
        Some(request)
    })
}

/// Runs the process, until it has been idle for long or the daemon has ended.
fn serve(way: &mut UnixStream, teller: &mut Teller, daemon: u32) -> io::Result<()> {
    let mut requests = Vec::new();
    let mut buffer = [0; 4096];
    let mut yielded_at = Duration::ZERO;
    loop {
        while let Some(len) = wire::first_len(&requests) {
            let mut request: Vec<u8> = requests.drain(..len).collect();
            // Requests of a daemon that has ended must not be carried out.
            if parent_id() != daemon {
                return Ok(());
            }
            teller.carry_out(&mut request, |answer| {
                way.write_all(answer)?;
                yield_processor(&mut yielded_at);
                Ok(())
            })?;
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

/// Lets waiting processes run, at most once in a while.
fn yield_processor(yielded_at: &mut Duration) {
    let Ok(now) = clock::monotonic() else { return };
    if now.saturating_sub(*yielded_at) >= MESSENGER_RUN_TIME_MAX {
        thread::yield_now();
        // The others may have run for long.
        *yielded_at = clock::monotonic().unwrap_or(now);
    }
}

#[cfg(test)]
mod tests;
