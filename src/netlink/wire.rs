// SPDX-License-Identifier: LGPL-2.1-or-later
//! Netlink's framing (`linux/netlink.h`, `linux/rtnetlink.h`): messages in a datagram, attributes
//! in a message or in each other, both ways.
//!
//! Knows no message type and no attribute by name. No length is trusted: an iterator returns only
//! bytes that exist, moves on by at least a header each time, and ends for good at the first
//! impossible length. Numbers are in the machine's byte order, as the kernel's are.

use std::fmt;

/// The kernel answers a request (`NLM_F_REQUEST`).
pub const FLAG_REQUEST: u16 = 0x1;
/// An acknowledgement is wanted, also of success (`NLM_F_ACK`).
pub const FLAG_ACK: u16 = 0x4;
/// The table changed while it was dumped (`NLM_F_DUMP_INTR`).
pub const FLAG_DUMP_INTERRUPTED: u16 = 0x10;
/// The whole table is wanted (`NLM_F_DUMP`).
pub(crate) const FLAG_DUMP: u16 = 0x300;
/// Replaces the object (`NLM_F_REPLACE`).
pub const FLAG_REPLACE: u16 = 0x100;
/// The object must not exist yet (`NLM_F_EXCL`).
pub const FLAG_EXCLUSIVE: u16 = 0x200;
/// Creates the object if it does not exist (`NLM_F_CREATE`).
pub const FLAG_CREATE: u16 = 0x400;

/// The type bits of an attribute, without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;
/// Messages and attributes start at multiples of this (`NLMSG_ALIGNTO`, `RTA_ALIGNTO`).
const ALIGNMENT: usize = 4;
/// The name of a message in errors.
const MESSAGE: &str = "netlink message";
const MESSAGE_HEADER_LEN: usize = 16;
const ATTRIBUTE_HEADER_LEN: usize = 4;
const PADDING: [u8; ALIGNMENT] = [0; ALIGNMENT];

/// Why a message could not be decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WireError {
    /// This part declares a length that is shorter than its header or longer than its container.
    Length { part: &'static str, len: u32 },
    /// A message without this field has no meaning.
    Missing(&'static str),
    /// The input ends inside this part.
    Truncated(&'static str),
    /// This field has an impossible value.
    Value(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { part, len } => write!(f, "{part}: length {len} is impossible"),
            Self::Missing(field) => write!(f, "{field}: missing"),
            Self::Truncated(part) => write!(f, "{part}: input ends early"),
            Self::Value(field) => write!(f, "{field}: impossible value"),
        }
    }
}

impl std::error::Error for WireError {}

/// One netlink message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// `RTM_*` or `NLMSG_*`.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The number of the request that this answers.
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// The messages of a datagram, in order. Nothing follows an error.
pub fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram }
}

/// See [`messages`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Taken, and put back only after success, so that an error is the last item.
        let mut input = std::mem::take(&mut self.rest);
        if input.is_empty() {
            return None;
        }
        Some(read_message(&mut input).inspect(|_| self.rest = input))
    }
}

/// The length of the first message of some bytes, with its padding. `None` if it is not whole.
pub fn first_len(bytes: &[u8]) -> Option<usize> {
    let (len, _) = read_header(&mut { bytes }).ok()?;
    let len = usize::try_from(len).ok().filter(|len| *len >= MESSAGE_HEADER_LEN)?;
    len.checked_next_multiple_of(ALIGNMENT).filter(|len| *len <= bytes.len())
}

/// The first message of a datagram that was too long for the buffer: its payload is cut.
pub(crate) fn cut_message(front: &[u8]) -> Option<Message<'_>> {
    let mut header = front;
    read_header(&mut header).ok().map(|(_len, message)| Message { payload: header, ..message })
}

/// Takes one message and its padding off the front of `input`.
fn read_message<'a>(input: &mut &'a [u8]) -> Result<Message<'a>, WireError> {
    let (len, message) = read_header(&mut { *input })?;
    let wrong_length = WireError::Length { part: MESSAGE, len };
    let len = usize::try_from(len).map_err(|_| wrong_length)?;
    let payload = take_part(input, len, MESSAGE_HEADER_LEN).ok_or(wrong_length)?;
    Ok(Message { payload, ..message })
}

/// Takes a message's header off the front of `input`: its length, and the rest without a payload.
fn read_header<'a>(input: &mut &'a [u8]) -> Result<(u32, Message<'a>), WireError> {
    let len = take_u32(input, MESSAGE)?;
    let kind = take_u16(input, MESSAGE)?;
    let flags = take_u16(input, MESSAGE)?;
    let sequence = take_u32(input, MESSAGE)?;
    let _port = take_u32(input, MESSAGE)?;
    Ok((len, Message { kind, flags, sequence, payload: &[] }))
}

/// One attribute. Of a value that is longer than expected the front is read, as the kernel does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attribute<'a> {
    /// `IFLA_*`, `IFA_*` and so on, without flags.
    pub kind: u16,
    pub payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// An 8-bit number.
    pub fn u8(&self, field: &'static str) -> Result<u8, WireError> {
        take_array(&mut { self.payload }, field).map(u8::from_ne_bytes)
    }

    /// A 16-bit number.
    pub fn u16(&self, field: &'static str) -> Result<u16, WireError> {
        take_u16(&mut { self.payload }, field)
    }

    /// A 32-bit number.
    pub fn u32(&self, field: &'static str) -> Result<u32, WireError> {
        take_u32(&mut { self.payload }, field)
    }

    /// A 64-bit number.
    pub fn u64(&self, field: &'static str) -> Result<u64, WireError> {
        take_array(&mut { self.payload }, field).map(u64::from_ne_bytes)
    }

    /// Text without the NUL that the kernel ends it with.
    pub fn text(&self) -> &'a [u8] {
        self.payload.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The attributes inside this one.
    pub fn nested(&self) -> Attributes<'a> {
        attributes(self.payload)
    }
}

/// The attributes that fill `payload`, in order. Nothing follows an error.
pub fn attributes(payload: &[u8]) -> Attributes<'_> {
    Attributes { rest: payload }
}

/// See [`attributes`].
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut input = std::mem::take(&mut self.rest);
        if input.is_empty() {
            return None;
        }
        Some(read_attribute(&mut input).inspect(|_| self.rest = input))
    }
}

/// The length of an attribute with a payload this long, with its header and padding.
pub(crate) fn attribute_len(payload_len: usize) -> usize {
    (ATTRIBUTE_HEADER_LEN + payload_len).next_multiple_of(4)
}

/// Takes one attribute and its padding off the front of `input`.
fn read_attribute<'a>(input: &mut &'a [u8]) -> Result<Attribute<'a>, WireError> {
    const PART: &str = "netlink attribute";
    let header = input.first_chunk::<ATTRIBUTE_HEADER_LEN>().ok_or(WireError::Truncated(PART))?;
    let [low, high, kind @ ..] = *header;
    let len = u16::from_ne_bytes([low, high]);
    let payload = take_part(input, usize::from(len), ATTRIBUTE_HEADER_LEN)
        .ok_or(WireError::Length { part: PART, len: u32::from(len) })?;
    Ok(Attribute { kind: u16::from_ne_bytes(kind) & ATTRIBUTE_TYPE_MASK, payload })
}

/// Takes `len` bytes and their padding off the front of `input`, and returns them from `header_len`
/// on. The padding behind the last part may be missing.
pub(crate) fn take_part<'a>(
    input: &mut &'a [u8],
    len: usize,
    header_len: usize,
) -> Option<&'a [u8]> {
    let payload = input.get(header_len..len)?;
    let padded_len = len.checked_next_multiple_of(ALIGNMENT)?;
    *input = input.get(padded_len..).unwrap_or_default();
    Some(payload)
}

/// Takes `N` bytes off the front of `input`.
pub fn take_array<const N: usize>(
    input: &mut &[u8],
    field: &'static str,
) -> Result<[u8; N], WireError> {
    let (bytes, rest) = input.split_first_chunk().ok_or(WireError::Truncated(field))?;
    *input = rest;
    Ok(*bytes)
}

/// Takes a 16-bit number off the front of `input`.
pub fn take_u16(input: &mut &[u8], field: &'static str) -> Result<u16, WireError> {
    take_array(input, field).map(u16::from_ne_bytes)
}

/// Takes a 32-bit number off the front of `input`.
pub fn take_u32(input: &mut &[u8], field: &'static str) -> Result<u32, WireError> {
    take_array(input, field).map(u32::from_ne_bytes)
}

/// The fields of a message's header besides its length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NetlinkHeader {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
}

/// Appends a message to `out`. `fill` writes the payload; the length is filled in afterwards.
pub fn write_message(
    out: &mut Vec<u8>,
    header: NetlinkHeader,
    fill: impl FnOnce(&mut PayloadWriter<'_>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.kind.to_ne_bytes());
    out.extend_from_slice(&header.flags.to_ne_bytes());
    out.extend_from_slice(&header.sequence.to_ne_bytes());
    // The kernel knows our port from the socket.
    out.extend_from_slice(&[0; 4]);
    fill(&mut PayloadWriter { out });
    let len = out.len() - start;
    debug_assert!(u32::try_from(len).is_ok(), "a message holds one link, address or route");
    patch(out, start, u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
}

/// Appends the payload of one message: first its fixed part, then attributes.
#[derive(Debug)]
pub struct PayloadWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> PayloadWriter<'a> {
    /// Appends to `out`: attributes that will be part of some message.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// A piece of the fixed part. Together the pieces fill a multiple of four.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// An attribute with `payload` unchanged.
    pub fn attribute(&mut self, kind: u16, payload: &[u8]) {
        let start = self.begin(kind);
        self.bytes(payload);
        self.end(start);
    }

    /// An attribute with a 32-bit number.
    pub fn attribute_u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// An attribute with a text, and the NUL that the kernel expects behind it.
    pub fn attribute_text(&mut self, kind: u16, text: &str) {
        self.nested(kind, |attribute| {
            attribute.bytes(text.as_bytes());
            attribute.bytes(&[0]);
        });
    }

    /// An attribute whose value `fill` writes; length and padding are filled in afterwards.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.begin(kind);
        fill(self);
        self.end(start);
    }

    /// The header of an attribute without its length, and its position.
    fn begin(&mut self, kind: u16) -> usize {
        let start = self.out.len();
        let [low, high] = kind.to_ne_bytes();
        self.out.extend_from_slice(&[0, 0, low, high]);
        start
    }

    /// Ends the attribute that begins there: fills in its length, and pads.
    fn end(&mut self, start: usize) {
        let len = self.out.len() - start;
        debug_assert!(u16::try_from(len).is_ok(), "values are capped where they are decoded");
        patch(self.out, start, u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes());
        let padding_len = len.next_multiple_of(ALIGNMENT) - len;
        self.out.extend_from_slice(PADDING.get(..padding_len).unwrap_or_default());
    }
}

/// Overwrites the bytes from `start` on with `value`.
fn patch<const N: usize>(out: &mut [u8], start: usize, value: [u8; N]) {
    let slot = out.get_mut(start..).and_then(|tail| tail.first_chunk_mut());
    debug_assert!(slot.is_some(), "the length field was written before its content");
    if let Some(slot) = slot {
        *slot = value;
    }
}

#[cfg(test)]
mod tests;
