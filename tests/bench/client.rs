// SPDX-License-Identifier: LGPL-2.1-or-later
//! A raw client: it encodes frames once, writes them whole, and decodes only the header of replies.
//!
//! It costs so little that the server dominates each measurement. Shares no code with the daemon.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Procedure numbers of the remote program.
pub(crate) mod procedure {
    pub(crate) const OPEN: u32 = 1;
    pub(crate) const CLOSE: u32 = 2;
    pub(crate) const SUPPORTS_FEATURE: u32 = 60;
    pub(crate) const AUTH_LIST: u32 = 66;
    pub(crate) const LOOKUP_BY_NAME: u32 = 128;
    pub(crate) const LOOKUP_BY_MAC: u32 = 129;
    pub(crate) const GET_XML_DESC: u32 = 130;
    pub(crate) const DEFINE_XML: u32 = 131;
    pub(crate) const UNDEFINE: u32 = 132;
    pub(crate) const CREATE: u32 = 133;
    pub(crate) const DESTROY: u32 = 134;
    pub(crate) const IS_ACTIVE: u32 = 156;
    pub(crate) const GET_LIB_VERSION: u32 = 157;
    pub(crate) const CHANGE_BEGIN: u32 = 220;
    pub(crate) const CHANGE_COMMIT: u32 = 221;
    pub(crate) const CHANGE_ROLLBACK: u32 = 222;
    pub(crate) const LIST_ALL: u32 = 284;
}

const REMOTE_PROGRAM: u32 = 0x2000_8086;
const HEADER_LEN: usize = 28;
const NO_FLAGS: u32 = 0;

/// An encoded call.
#[derive(Clone, Debug)]
pub(crate) struct CallFrame(Vec<u8>);

impl CallFrame {
    pub(crate) fn auth_list() -> Self {
        Self::new(procedure::AUTH_LIST, &[])
    }

    pub(crate) fn open() -> Self {
        let present = 1;
        let name = string("interface:///system");
        Self::new(procedure::OPEN, &[&word(present), &name, &word(NO_FLAGS)])
    }

    /// Requests pings from the daemon.
    pub(crate) fn keepalive() -> Self {
        let feature = 10;
        Self::new(procedure::SUPPORTS_FEATURE, &[&word(feature)])
    }

    /// The answer to a ping.
    pub(crate) fn pong() -> Self {
        let (len, program, version, pong, message) = (28, 0x6b65_6570, 1, 2, 2);
        Self([len, program, version, pong, message, 0, 0].map(u32::to_be_bytes).concat())
    }

    pub(crate) fn close() -> Self {
        Self::new(procedure::CLOSE, &[])
    }

    pub(crate) fn lib_version() -> Self {
        Self::new(procedure::GET_LIB_VERSION, &[])
    }

    pub(crate) fn lookup_by_name(name: &str) -> Self {
        Self::new(procedure::LOOKUP_BY_NAME, &[&string(name)])
    }

    pub(crate) fn xml_desc(name: &str) -> Self {
        Self::new(procedure::GET_XML_DESC, &[&interface(name), &word(NO_FLAGS)])
    }

    pub(crate) fn define(xml: &str) -> Self {
        Self::new(procedure::DEFINE_XML, &[&string(xml), &word(NO_FLAGS)])
    }

    pub(crate) fn undefine(name: &str) -> Self {
        Self::new(procedure::UNDEFINE, &[&interface(name)])
    }

    pub(crate) fn create(name: &str) -> Self {
        Self::new(procedure::CREATE, &[&interface(name), &word(NO_FLAGS)])
    }

    pub(crate) fn destroy(name: &str) -> Self {
        Self::new(procedure::DESTROY, &[&interface(name), &word(NO_FLAGS)])
    }

    pub(crate) fn begin() -> Self {
        Self::new(procedure::CHANGE_BEGIN, &[&word(NO_FLAGS)])
    }

    pub(crate) fn commit() -> Self {
        Self::new(procedure::CHANGE_COMMIT, &[&word(NO_FLAGS)])
    }

    pub(crate) fn rollback() -> Self {
        Self::new(procedure::CHANGE_ROLLBACK, &[&word(NO_FLAGS)])
    }

    pub(crate) fn is_active(name: &str) -> Self {
        Self::new(procedure::IS_ACTIVE, &[&interface(name)])
    }

    /// A list of all interfaces, active and inactive.
    pub(crate) fn list_all() -> Self {
        let need_results = 1;
        Self::new(procedure::LIST_ALL, &[&word(need_results), &word(NO_FLAGS)])
    }

    fn new(procedure: u32, arguments: &[&[u8]]) -> Self {
        let payload = arguments.concat();
        let len = u32::try_from(HEADER_LEN + payload.len()).unwrap_or(u32::MAX);
        let (version, call, serial, status) = (1, 0, 0, 0);
        let head = [len, REMOTE_PROGRAM, version, procedure, call, serial, status];
        let mut bytes = head.map(u32::to_be_bytes).concat();
        bytes.extend(payload);
        Self(bytes)
    }

    pub(crate) fn lookup_by_mac() -> Self {
        Self::new(procedure::LOOKUP_BY_MAC, &[&string("02:00:00:00:00:00")])
    }

    pub(crate) fn ping() -> Self {
        let (len, program, version, ping, message) = (28, 0x6b65_6570, 1, 1, 2);
        Self([len, program, version, ping, message, 0, 0].map(u32::to_be_bytes).concat())
    }

    /// A call whose last byte is missing.
    pub(crate) fn half() -> Self {
        let Self(mut bytes) = Self::of_len(1_024);
        bytes.pop();
        Self(bytes)
    }

    /// A call of this length, whose arguments are ignored.
    pub(crate) fn of_len(len: usize) -> Self {
        Self::new(procedure::AUTH_LIST, &[&vec![0; len.saturating_sub(HEADER_LEN)]])
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same frame `count` times, to be written at once.
    pub(crate) fn repeated(&self, count: usize) -> Self {
        Self(self.0.repeat(count))
    }
}

fn word(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

/// An interface as an argument: its name, and its MAC address, which servers ignore.
fn interface(name: &str) -> Vec<u8> {
    [string(name), string("")].concat()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = word(u32::try_from(text.len()).unwrap_or(u32::MAX)).to_vec();
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    socket: UnixStream,
    /// Bytes of replies that are not counted yet.
    unread: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        Ok(Self { socket, unread: Vec::new(), buffer: vec![0; 4096] })
    }

    /// Connects, authenticates and opens the driver.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut client = Self::connect(path)?;
        client.call(&CallFrame::auth_list())?;
        client.call(&CallFrame::open())?;
        Ok(client)
    }

    /// Makes a call and waits for its reply.
    pub(crate) fn call(&mut self, call: &CallFrame) -> io::Result<()> {
        self.send(call)?;
        while self.receive()? == 0 {}
        Ok(())
    }

    pub(crate) fn send(&mut self, call: &CallFrame) -> io::Result<()> {
        self.socket.write_all(&call.0)
    }

    /// Reads once, and counts the complete replies. An error reply ends the benchmark, as a refusal
    /// is answered faster than the requested work.
    pub(crate) fn receive(&mut self) -> io::Result<usize> {
        let len = self.socket.read(&mut self.buffer)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(self.buffer.get(..len).unwrap_or_default());
        let mut count = 0;
        let mut rest = self.unread.as_slice();
        while let Some(([_, _, _, procedure, _, _, status], after)) = split_reply(rest) {
            if status != 0 {
                return Err(io::Error::other(format!("procedure {procedure} was refused")));
            }
            rest = after;
            count += 1;
        }
        self.unread.drain(..self.unread.len() - rest.len());
        Ok(count)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The words of a reply's header, and the bytes after the reply.
fn split_reply(bytes: &[u8]) -> Option<([u32; 7], &[u8])> {
    let head: &[u8; HEADER_LEN] = bytes.first_chunk()?;
    let mut words = [0; 7];
    for (word, bytes) in words.iter_mut().zip(head.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().ok()?);
    }
    let [len, ..] = words;
    Some((words, bytes.get(usize::try_from(len).ok()?..)?))
}
