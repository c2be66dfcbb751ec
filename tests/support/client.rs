// SPDX-License-Identifier: LGPL-2.1-or-later
//! A client that sends raw bytes, including those that no well-behaved client sends.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;
use super::daemon::SOCKET;
use super::wire::{Arg, Head, Reply, payload, procedure};

/// A connection and the serial of its last call.
#[derive(Debug)]
pub(crate) struct RawClient {
    pub(crate) stream: UnixStream,
    serial: u32,
}

impl RawClient {
    /// Connects, and sends nothing yet.
    pub(crate) fn connect_to(path: impl AsRef<Path>) -> io::Result<Self> {
        UnixStream::connect(path).map(Self::from)
    }

    /// Connects to the read-write socket.
    pub(crate) fn connect() -> Self {
        Self::connect_to(SOCKET).unwrap()
    }

    /// Connects to the read-write socket and opens the interface driver.
    pub(crate) fn open() -> Self {
        let mut client = Self::connect();
        client.call_open();
        client
    }

    /// Opens the interface driver.
    pub(crate) fn call_open(&mut self) {
        let arguments = [Arg::Some("interface:///system"), Arg::Word(0)];
        self.call(procedure::CONNECT_OPEN, &arguments).results();
    }

    /// Calls and waits for the reply.
    #[track_caller]
    pub(crate) fn call(&mut self, procedure: i32, arguments: &[Arg<'_>]) -> Reply {
        let head = self.send_call(procedure, arguments);
        let reply = self.receive().expect("a reply");
        assert_eq!(reply.head, head.reply(reply.head.status), "not the reply to the last call");
        reply
    }

    /// Calls, and does not read the reply.
    pub(crate) fn send_call(&mut self, procedure: i32, arguments: &[Arg<'_>]) -> Head {
        self.serial += 1;
        let head = Head::call(procedure, self.serial);
        self.send(&head.frame(&payload(arguments)));
        head
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next message, or `None` if the daemon has closed the connection.
    pub(crate) fn receive(&mut self) -> Option<Reply> {
        let mut word = [0; 4];
        match self.stream.read_exact(&mut word) {
            Ok(()) => {}
            Err(err) if is_end(&err) => return None,
            Err(err) => panic!("no reply: {err}"),
        }
        let len = usize::try_from(u32::from_be_bytes(word)).unwrap() - word.len();
        let mut message = vec![0; len];
        self.stream.read_exact(&mut message).unwrap();
        let (head, payload) = message.split_first_chunk().expect("a whole header");
        Some(Reply { head: Head::decode(head), payload: payload.to_vec() })
    }

    /// Closes the sending side.
    pub(crate) fn hang_up(&self) {
        self.stream.shutdown(Shutdown::Both).unwrap();
    }

    /// Closes the sending side, and waits until the daemon has closed the connection too.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(self.receive(), None);
    }

    /// The names of all listed interfaces.
    pub(crate) fn list_all(&mut self) -> Vec<String> {
        self.list(0)
    }

    /// The names of the interfaces that are listed with these flags.
    pub(crate) fn list(&mut self, flags: u32) -> Vec<String> {
        self.send_list(flags);
        self.receive_list()
    }

    /// Sends the call for a list, and does not read the reply.
    pub(crate) fn send_list(&mut self, flags: u32) {
        self.send_call(procedure::CONNECT_LIST_ALL_INTERFACES, &[Arg::Word(1), Arg::Word(flags)]);
    }

    /// Reads the reply to a list call: the names in it.
    #[track_caller]
    pub(crate) fn receive_list(&mut self) -> Vec<String> {
        let reply = self.receive().expect("a reply");
        assert_eq!(reply.head.procedure, procedure::CONNECT_LIST_ALL_INTERFACES);
        let mut results = reply.results();
        let interfaces = results.interfaces();
        assert_eq!(usize::try_from(results.word()).unwrap(), interfaces.len());
        interfaces.into_iter().map(|(name, _)| name).collect()
    }

    /// The live XML of one interface.
    pub(crate) fn xml(&mut self, name: &str) -> String {
        let arguments = [Arg::Text(name), Arg::Text(""), Arg::Word(0)];
        self.call(procedure::INTERFACE_GET_XML_DESC, &arguments).results().text()
    }
}

impl From<UnixStream> for RawClient {
    fn from(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, serial: 0 }
    }
}

fn is_end(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
