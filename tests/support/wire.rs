// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's RPC encoded by hand, as the protocol specifies it, without the crate's own encoder.
//!
//! Procedures have the names of `remote_protocol.x`; payloads are lists of [`Arg`]s.

pub(crate) const REMOTE: u32 = 0x2000_8086;
pub(crate) const ADMIN: u32 = 0x0690_0690;
pub(crate) const KEEPALIVE: u32 = 0x6b65_6570;

/// Message types.
pub(crate) const CALL: i32 = 0;
pub(crate) const REPLY: i32 = 1;
pub(crate) const MESSAGE: i32 = 2;
pub(crate) const STREAM: i32 = 3;
pub(crate) const CALL_WITH_FDS: i32 = 4;

/// Message statuses.
pub(crate) const OK: i32 = 0;
pub(crate) const ERROR: i32 = 1;

/// The two procedures of the keepalive program.
pub(crate) const PING: i32 = 1;
pub(crate) const PONG: i32 = 2;

/// Procedures of the remote program.
pub(crate) mod procedure {
    pub(crate) const CONNECT_OPEN: i32 = 1;
    pub(crate) const CONNECT_CLOSE: i32 = 2;
    pub(crate) const CONNECT_GET_TYPE: i32 = 3;
    pub(crate) const CONNECT_SUPPORTS_FEATURE: i32 = 60;
    pub(crate) const AUTH_LIST: i32 = 66;
    pub(crate) const CONNECT_NUM_OF_INTERFACES: i32 = 126;
    pub(crate) const CONNECT_LIST_INTERFACES: i32 = 127;
    pub(crate) const INTERFACE_LOOKUP_BY_NAME: i32 = 128;
    pub(crate) const INTERFACE_LOOKUP_BY_MAC_STRING: i32 = 129;
    pub(crate) const INTERFACE_GET_XML_DESC: i32 = 130;
    pub(crate) const INTERFACE_DEFINE_XML: i32 = 131;
    pub(crate) const INTERFACE_UNDEFINE: i32 = 132;
    pub(crate) const INTERFACE_CREATE: i32 = 133;
    pub(crate) const INTERFACE_DESTROY: i32 = 134;
    pub(crate) const CONNECT_NUM_OF_DEFINED_INTERFACES: i32 = 137;
    pub(crate) const CONNECT_LIST_DEFINED_INTERFACES: i32 = 138;
    pub(crate) const INTERFACE_IS_ACTIVE: i32 = 156;
    pub(crate) const INTERFACE_CHANGE_BEGIN: i32 = 220;
    pub(crate) const INTERFACE_CHANGE_COMMIT: i32 = 221;
    pub(crate) const INTERFACE_CHANGE_ROLLBACK: i32 = 222;
    pub(crate) const CONNECT_LIST_ALL_INTERFACES: i32 = 284;
    pub(crate) const CONNECT_SET_IDENTITY: i32 = 419;
}

/// One argument of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Word(u32),
    Text(&'a str),
    /// An optional string that is present.
    Some(&'a str),
}

/// Arguments encoded as XDR.
pub(crate) fn payload(arguments: &[Arg<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for argument in arguments {
        match argument {
            Arg::Word(word) => bytes.extend(word.to_be_bytes()),
            Arg::Text(text) => push_text(&mut bytes, text),
            Arg::Some(text) => {
                bytes.extend(1_u32.to_be_bytes());
                push_text(&mut bytes, text);
            }
        }
    }
    bytes
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let len = u32::try_from(text.len()).unwrap();
    bytes.extend(len.to_be_bytes());
    bytes.extend(text.bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The six words of a message's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) procedure: i32,
    pub(crate) kind: i32,
    pub(crate) serial: u32,
    pub(crate) status: i32,
}

impl Head {
    /// A call of the remote program.
    pub(crate) const fn call(procedure: i32, serial: u32) -> Self {
        Self { program: REMOTE, version: 1, procedure, kind: CALL, serial, status: OK }
    }

    /// A message of the keepalive program.
    pub(crate) const fn keepalive(procedure: i32) -> Self {
        Self { program: KEEPALIVE, version: 1, procedure, kind: MESSAGE, serial: 0, status: OK }
    }

    /// The header of the reply to this call.
    pub(crate) const fn reply(self, status: i32) -> Self {
        Self { kind: REPLY, status, ..self }
    }

    /// The whole message, length word included.
    pub(crate) fn frame(self, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(28 + payload.len()).unwrap();
        let mut bytes = len.to_be_bytes().to_vec();
        bytes.extend(self.program.to_be_bytes());
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.procedure.to_be_bytes());
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(self.serial.to_be_bytes());
        bytes.extend(self.status.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// Decodes the six words.
    pub(crate) fn decode(bytes: &[u8; 24]) -> Self {
        let word = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap();
        Self {
            program: u32::from_be_bytes(word(0)),
            version: u32::from_be_bytes(word(4)),
            procedure: i32::from_be_bytes(word(8)),
            kind: i32::from_be_bytes(word(12)),
            serial: u32::from_be_bytes(word(16)),
            status: i32::from_be_bytes(word(20)),
        }
    }
}

/// The error of a failed call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    pub(crate) code: u32,
    pub(crate) domain: u32,
    pub(crate) message: String,
}

/// A message from the daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) payload: Vec<u8>,
}

impl Reply {
    /// The results of a call; it must have succeeded.
    #[track_caller]
    pub(crate) fn results(&self) -> Results<'_> {
        assert_eq!(self.head.status, OK, "{:?}", self.fault());
        Results { rest: &self.payload }
    }

    /// The error of a call, if it has failed.
    pub(crate) fn outcome(&self) -> Result<(), Fault> {
        if self.head.status == OK { Ok(()) } else { Err(self.fault()) }
    }

    /// The error of a call; it must have failed.
    #[track_caller]
    pub(crate) fn fault(&self) -> Fault {
        assert_eq!(self.head.status, ERROR, "{self:?}");
        let mut fields = Results { rest: &self.payload };
        let (code, domain) = (fields.word(), fields.word());
        assert_eq!(fields.word(), 1, "an error has a message");
        Fault { code, domain, message: fields.text() }
    }
}

/// A cursor over results.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    rest: &'a [u8],
}

impl Results<'_> {
    pub(crate) fn word(&mut self) -> u32 {
        let (word, rest) = self.rest.split_first_chunk().expect("a word");
        self.rest = rest;
        u32::from_be_bytes(*word)
    }

    pub(crate) fn text(&mut self) -> String {
        let len = usize::try_from(self.word()).unwrap();
        let (text, rest) = self.rest.split_at(len.next_multiple_of(4));
        self.rest = rest;
        String::from_utf8(text[..len].to_vec()).unwrap()
    }

    /// Counted strings.
    pub(crate) fn texts(&mut self) -> Vec<String> {
        (0..self.word()).map(|_| self.text()).collect()
    }

    /// Counted interfaces: each a name and a MAC address.
    pub(crate) fn interfaces(&mut self) -> Vec<(String, String)> {
        (0..self.word()).map(|_| (self.text(), self.text())).collect()
    }
}
