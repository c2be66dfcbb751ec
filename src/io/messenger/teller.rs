// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Teller`]: carries out requests in order, waits for the kernel, and passes its answers on.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use log::debug;

use crate::error::HostError;
use crate::io::room::{Reception, Room};
use crate::limits::READ_BUFFER_LEN;
use crate::netlink::conversation::{AnswerState, Conversation, encode_end, encode_loss};
use crate::netlink::link;
use crate::netlink::record::route::{ADD_STAND_IN, StandIn};
use crate::netlink::wire::{self, Message, NetlinkHeader};
use crate::sys::netlink::{self as socket, Groups};
use crate::sys::route::add_router;

/// A message type for setting a sysctl, not known to the kernel. Its payload is the file's path, a
/// NUL, and the value. It is answered as the kernel would answer.
const SET_SYSCTL: u16 = 0xfff0;

/// A flag, not known to the kernel: the request is carried out only if the one before it succeeded.
const ONLY_AFTER_SUCCESS: u16 = 0x8000;

/// The position of the flags in a message (`nlmsghdr`).
const FLAGS_AT: usize = 6;

/// Carries out requests.
#[derive(Debug)]
pub(super) struct Teller {
    socket: OwnedFd,
    conversation: Conversation,
    room: Room,
    /// Empty until the first request.
    buffer: Vec<u8>,
    /// Whether the last request was refused, or cancelled for that reason.
    has_refused: bool,
}

/// Appends the request to write a value to a file below /proc/sys.
pub(crate) fn encode_sysctl(out: &mut Vec<u8>, sequence: u32, path: &str, value: i32) {
    let header =
        NetlinkHeader { kind: SET_SYSCTL, flags: wire::FLAG_REQUEST | wire::FLAG_ACK, sequence };
    wire::write_message(out, header, |payload| {
        let mut text = format!("{path}\0{value}").into_bytes();
        // Messages have a multiple of four bytes.
        text.resize(text.len().next_multiple_of(4), b'\n');
        payload.bytes(&text);
    });
}

/// Marks a request to be carried out only if the one before it succeeds.
pub(crate) fn make_conditional(request: &mut [u8]) {
    change_flags(request, |flags| flags | ONLY_AFTER_SUCCESS);
}

fn change_flags(request: &mut [u8], change: impl FnOnce(u16) -> u16) {
    if let Some(flags) = request.get_mut(FLAGS_AT..).and_then(<[u8]>::first_chunk_mut) {
        *flags = change(u16::from_ne_bytes(*flags)).to_ne_bytes();
    }
}

impl Teller {
    /// Opens the netlink socket.
    pub(super) fn open() -> Result<Self, HostError> {
        let socket = socket::route_socket(Groups::NONE)
            .map_err(|err| HostError::new("open", "a route netlink socket", &err))?;
        if let Err(err) = socket::ask_for_reasons(&socket) {
            debug!("netlink: the kernel sends no extended error messages: {err}");
        }
        if let Err(err) = socket::check_strictly(&socket) {
            debug!("netlink: dumps are not filtered by the kernel: {err}");
        }
        let (conversation, room) = (Conversation::default(), Room::default());
        Ok(Self { socket, conversation, room, buffer: Vec::new(), has_refused: false })
    }

    /// Carries out a request and passes the whole answer to `tell`, in whole messages.
    ///
    /// # Errors
    /// The error of `tell`.
    pub(super) fn carry_out(
        &mut self,
        request: &mut [u8],
        mut tell: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(Ok(Message { kind, flags, sequence, .. })) = wire::messages(request).next() else {
            return Ok(());
        };
        change_flags(request, |flags| flags & !ONLY_AFTER_SUCCESS);
        let errno = match kind {
            _ if flags & ONLY_AFTER_SUCCESS != 0 && self.has_refused => Some(libc::ECANCELED),
            SET_SYSCTL => Some(set_sysctl(request).map_or_else(|err| errno(&err), |()| 0)),
            ADD_STAND_IN => Some(add_stand_in(request).map_or_else(|err| errno(&err), |()| 0)),
            _ => self.ask(request, sequence, &mut tell)?,
        };
        let Some(errno) = errno else { return Ok(()) };
        self.has_refused = errno != 0;
        let mut end = Vec::new();
        encode_end(&mut end, sequence, errno);
        tell(&end)
    }

    /// Sends a request to the kernel and passes its answer on. If the answer has no end that could
    /// be passed on, returns its result: an `errno`, or 0.
    fn ask(
        &mut self,
        request: &[u8],
        sequence: u32,
        tell: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Option<i32>> {
        if let Err(err) = socket::send(&self.socket, request) {
            return Ok(Some(errno(&err)));
        }
        self.conversation.follow(sequence);
        self.buffer.resize(READ_BUFFER_LEN, 0);
        let mut has_lost = false;
        loop {
            let (told, answer) = match self.room.receive(&self.socket, &mut self.buffer) {
                Ok(Reception::Whole(datagram)) => {
                    (datagram, self.conversation.handle_datagram(datagram, |_| {}))
                }
                Ok(Reception::Front(front)) => {
                    (front, self.conversation.handle_front(front, |_| {}))
                }
                Ok(Reception::Lost) => {
                    has_lost = true;
                    let mut loss = Vec::new();
                    encode_loss(&mut loss, sequence);
                    tell(&loss)?;
                    continue;
                }
                // The end of the answer was in the lost datagram.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock && has_lost => {
                    return Ok(Some(0));
                }
                Err(err) => return Ok(Some(errno(&err))),
            };
            let whole = whole_part(told);
            tell(whole)?;
            let cut = told.get(whole.len()..).and_then(wire::cut_message);
            if let Some(link) = cut.and_then(|message| link::subject(&message)) {
                let mut unread = Vec::new();
                link::encode_unread(&mut unread, sequence, link);
                tell(&unread)?;
            }
            self.has_refused = matches!(answer, AnswerState::Refused(_));
            match answer {
                AnswerState::Pending => {}
                AnswerState::Malformed(_) => return Ok(Some(libc::EBADMSG)),
                AnswerState::Complete | AnswerState::Interrupted | AnswerState::Refused(_) => {
                    return Ok(None);
                }
            }
        }
    }
}

impl AsFd for Teller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn errno(err: &io::Error) -> i32 {
    err.raw_os_error().unwrap_or(libc::EIO)
}

/// Returns the whole messages at the beginning of a datagram, which may be cut.
fn whole_part(front: &[u8]) -> &[u8] {
    let mut len = 0;
    while let Some(next) = front.get(len..).and_then(wire::first_len) {
        len += next;
    }
    front.get(..len).unwrap_or_default()
}

fn set_sysctl(request: &[u8]) -> io::Result<()> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let message = wire::messages(request).next().and_then(Result::ok).ok_or_else(invalid)?;
    let text = std::str::from_utf8(message.payload).map_err(|_| invalid())?;
    let (path, value) = text.split_once('\0').ok_or_else(invalid)?;
    fs::write(path, value)
}

fn add_stand_in(request: &[u8]) -> io::Result<()> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let message = wire::messages(request).next().and_then(Result::ok).ok_or_else(invalid)?;
    let StandIn { link, router, metric, lifetime, preference } =
        StandIn::decode(&message).ok_or_else(invalid)?;
    add_router(link.0, router, metric, lifetime, preference)
}
