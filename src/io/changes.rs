// SPDX-License-Identifier: LGPL-2.1-or-later
//! The socket over which the host is changed.
//!
//! The kernel carries a request out while it is being sent, and its answer waits when that is done.
//! For most that takes a fraction of a millisecond. Over the deletion of a link it can take fifty,
//! most of them after the link is gone to all who ask, so such a request is sent by a process of its
//! own that shares the socket and does nothing else; its answer is read here like any other.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use log::{debug, warn};

use crate::error::HostError;
use crate::job::StepError;
use crate::netlink::conversation::{Answer, Conversation};
use crate::sys::descriptors;
use crate::sys::netlink::{self as socket, Datagram, Groups};
use crate::sys::process::{self, Fork};

/// The socket, and what was sent over it last.
#[derive(Debug)]
pub struct Changes {
    socket: OwnedFd,
    conversation: Conversation,
    request: Vec<u8>,
    /// Processes that send, or have sent.
    senders: Vec<libc::pid_t>,
}

impl Changes {
    /// Opens the socket.
    pub fn open() -> Result<Self, HostError> {
        let socket = socket::route_socket(Groups::NONE)
            .map_err(|err| HostError::new("open", "a route netlink socket", &err))?;
        if let Err(err) = socket::ask_for_reasons(&socket) {
            debug!("netlink: the kernel gives no reasons: {err}");
        }
        let (conversation, request) = (Conversation::default(), Vec::new());
        Ok(Self { socket, conversation, request, senders: Vec::new() })
    }

    /// Puts a request together, and gives up the answer to the one before.
    pub fn begin<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), E>,
    ) -> Result<(), E> {
        self.request.clear();
        encode(&mut self.request, self.conversation.begin())
    }

    /// Sends what was begun.
    pub fn send(&self) -> io::Result<()> {
        socket::send(&self.socket, &self.request)
    }

    /// Has what was begun sent by another process. Where none can be made it is sent all the same.
    pub fn send_aside(&mut self) -> io::Result<()> {
        match process::fork() {
            Ok(Fork::Child) => {
                // Clients that hang up meanwhile must not find their connection open still.
                let _ = descriptors::close_all_but(self.socket.as_raw_fd());
                let _ = socket::send(&self.socket, &self.request);
                process::end_now(0)
            }
            Ok(Fork::Parent(sender)) => {
                self.senders.push(sender);
                Ok(())
            }
            Err(err) => {
                warn!("the kernel is waited for: no process can be made: {err}");
                self.send()
            }
        }
    }

    /// The answer to what was sent last, if it is there.
    pub fn poll_answer(&mut self, buffer: &mut [u8]) -> Option<Result<(), StepError>> {
        loop {
            let len = match socket::receive(&self.socket, buffer) {
                Ok(Datagram::Kernel(len)) => len,
                Ok(Datagram::Stranger | Datagram::Cut(_)) => continue,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return None,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Some(Err(StepError::from(&err))),
            };
            let datagram = buffer.get(..len).unwrap_or_default();
            match self.conversation.handle_datagram(datagram, |_| {}) {
                Answer::Pending => {}
                Answer::Complete | Answer::Interrupted => return Some(Ok(())),
                Answer::Refused(errno) => {
                    let reason = self.conversation.complaint();
                    return Some(Err(StepError::kernel(errno, reason)));
                }
                Answer::Malformed(err) => {
                    let text = err.to_string();
                    return Some(Err(StepError { errno: libc::EBADMSG, text }));
                }
            }
        }
    }

    /// A child may have ended: forgets the senders that have.
    pub fn handle_child(&mut self) {
        self.senders.retain(|sender| matches!(process::forget_if_ended(*sender), Ok(false)));
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
