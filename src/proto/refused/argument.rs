// SPDX-License-Identifier: LGPL-2.1-or-later
//! The arguments of procedures that are refused in any case, as far as they determine the error.
//!
//! libvirt checks the arguments of a call before it looks for a driver that could serve it, so a
//! call with bad arguments gets an error about them. Here an argument is only a [`Shape`] to decode
//! and a [`Demand`] on it; its value is not kept. All arguments are decoded before one is checked,
//! as libvirt decodes the whole payload first.

use crate::error::{CallError, Domain};
use crate::limits::STRING_LEN_MAX;
use crate::xdr::reader::{Reader, XdrError};

use Demand::{Any, NotEmpty, NotNull, NotZero, Positive};
use Shape::{Bytes, Hyper, Int, OptionalText, Params, Room, Text, Texts, Word};

/// One argument. A procedure's arguments are in the order of the wire, which is also libvirt's
/// order of checks.
pub(super) type Argument = (Shape, Demand);

pub(super) const DOMAIN: Argument = (Shape::Domain, Any);
pub(super) const OPTIONAL_DOMAIN: Argument = (Shape::OptionalDomain, Any);
pub(super) const INT: Argument = (Int, Any);
pub(super) const WORD: Argument = (Word, Any);
pub(super) const FLAGS: Argument = WORD;
pub(super) const HYPER: Argument = (Hyper, Any);
pub(super) const TEXT: Argument = (Text, Any);
pub(super) const URI: Argument = (OptionalText, Any);
pub(super) const COOKIE: Argument = (Bytes(4_194_304), Any);
pub(super) const CPUMAP: Argument = (Bytes(2_048), NotNull("cpumap"));
pub(super) const CPUMAP_ROOM: Argument = (Room, NotNull("cpumap"));
pub(super) const CPUMAPS: Argument = (Int, Positive("ncpumaps"));
pub(super) const CPUMAPS_ROOM: Argument = (Room, NotNull("cpumaps"));
pub(super) const CPUS: Argument = (Texts(256), NotNull("xmlCPUs"));
pub(super) const CELL_COUNT: Argument = (Word, NotZero("cellCount"));
pub(super) const DISK: Argument = (Text, NotEmpty("disk"));
pub(super) const DNAME: Argument = (Text, NotEmpty("dname"));
pub(super) const IOTHREAD: Argument = (Word, NotZero("iothread_id"));
pub(super) const KEYCODES: Argument = (Shape::Words(16), NotNull("keycodes"));
pub(super) const MAX_CELLS: Argument = (Int, Positive("maxCells"));
pub(super) const MEMORY: Argument = (Hyper, NotZero("memory"));
pub(super) const NEW_NAME: Argument = (OptionalText, NotEmpty("new_name"));
pub(super) const NPARAMS: Argument = (Room, NotNull("params"));
pub(super) const PAGES: Argument = (Shape::Words(1_024), NotZero("npages"));
pub(super) const PAGE_COUNTS: Argument = (Shape::Hypers(1_024), NotNull("pageCounts"));
pub(super) const PARAMS: Argument = (Params(16), NotNull("params"));
pub(super) const MANY_PARAMS: Argument = (Params(64), NotNull("params"));
pub(super) const TUNE_PARAMS: Argument = (Params(32), Positive("nparams"));
pub(super) const PASSWORD: Argument = (OptionalText, NotNull("password"));
pub(super) const PID: Argument = (Hyper, NotZero("pid_value"));
pub(super) const PID_WORD: Argument = (Word, NotZero("pid_value"));
pub(super) const USER: Argument = (OptionalText, NotNull("user"));
pub(super) const VCPU_INFO: Argument = (Room, NotNull("info"));
pub(super) const VCPUS: Argument = (Word, NotZero("nvcpus"));

/// The encoding of an argument. Numbers are the most elements that the protocol allows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Int,
    Word,
    Hyper,
    /// The number of elements that an answer may have: libvirt reserves them, and passes NULL for
    /// none.
    Room,
    Text,
    OptionalText,
    /// A domain's name, UUID and id.
    Domain,
    OptionalDomain,
    Bytes(usize),
    Words(usize),
    Hypers(usize),
    Texts(usize),
    Params(usize),
}

impl Shape {
    /// Decodes one argument and measures it: a number's value, a text's length, an array's count.
    /// An argument that libvirt passes to its functions as NULL, also an empty array, has no
    /// measure.
    pub(super) fn measure(self, reader: &mut Reader<'_>) -> Result<Option<i64>, XdrError> {
        match self {
            Self::Int => reader.i32("int").map(|value| Some(i64::from(value))),
            Self::Word => reader.u32("word").map(|value| Some(i64::from(value))),
            Self::Hyper => reader.u64("hyper").map(|value| Some(i64::from(value != 0))),
            Self::Room => reader.i32("room").map(|room| Some(i64::from(room)).filter(|n| *n != 0)),
            Self::Text => text(reader).map(Some),
            Self::OptionalText => present(reader)?.then(|| text(reader)).transpose(),
            Self::Domain => domain(reader).map(Some),
            Self::OptionalDomain => present(reader)?.then(|| domain(reader)).transpose(),
            Self::Bytes(max) => reader.opaque("bytes", max).map(|bytes| size(bytes.len())),
            Self::Words(max) => array(reader, max, |reader| reader.u32("word").map(drop)),
            Self::Hypers(max) => array(reader, max, |reader| reader.u64("hyper").map(drop)),
            Self::Texts(max) => array(reader, max, |reader| text(reader).map(drop)),
            Self::Params(max) => array(reader, max, param),
        }
    }
}

/// The condition that libvirt's function puts on an argument, with its name there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Demand {
    Any,
    NotNull(&'static str),
    NotZero(&'static str),
    Positive(&'static str),
    /// The text is present and not empty.
    NotEmpty(&'static str),
}

impl Demand {
    /// The argument's name and libvirt's error about it, if its measure fails the demand.
    fn complaint(self, measure: Option<i64>, function: &str) -> Option<(&'static str, String)> {
        match (self, measure) {
            (NotNull(name) | NotEmpty(name), None) => {
                Some((name, format!("{name} in {function} must not be NULL")))
            }
            (NotEmpty(name), Some(0)) => {
                Some((name, format!("string {name} in {function} must not be empty")))
            }
            (NotZero(name), None | Some(0)) => {
                Some((name, format!("{name} in {function} must not be zero")))
            }
            (Positive(name), None | Some(..=0)) => {
                Some((name, format!("{name} in {function} must be greater than zero")))
            }
            (Any | NotNull(_) | NotZero(_) | Positive(_) | NotEmpty(_), _) => None,
        }
    }
}

/// The error of libvirt's `function` about the arguments in `payload`, if any.
pub(super) fn complaint(
    arguments: &[Argument],
    payload: &[u8],
    domain: Domain,
    function: &str,
) -> Result<Option<CallError>, XdrError> {
    let mut reader = Reader::new(payload);
    let mut first = None;
    for (shape, demand) in arguments {
        let measure = shape.measure(&mut reader)?;
        first = first.or_else(|| demand.complaint(measure, function));
    }
    Ok(first.map(|(name, text)| CallError::argument(domain, function, name, text)))
}

fn present(reader: &mut Reader<'_>) -> Result<bool, XdrError> {
    reader.flag("present")
}

/// A text's length. libvirt accepts any bytes as a text, up to the first NUL.
fn text(reader: &mut Reader<'_>) -> Result<i64, XdrError> {
    let bytes = reader.opaque("text", STRING_LEN_MAX)?;
    let len = bytes.iter().take_while(|byte| **byte != 0).count();
    Ok(size(len).unwrap_or(0))
}

fn domain(reader: &mut Reader<'_>) -> Result<i64, XdrError> {
    let name_len = text(reader)?;
    reader.u64("uuid")?;
    reader.u64("uuid")?;
    reader.i32("id")?;
    Ok(name_len)
}

/// Skips a typed parameter: its name, its type, and a value of that type.
fn param(reader: &mut Reader<'_>) -> Result<(), XdrError> {
    text(reader)?;
    match reader.i32("type")? {
        1 | 2 | 6 => reader.u32("value").map(drop),
        3..=5 => reader.u64("value").map(drop),
        7 => text(reader).map(drop),
        value => Err(XdrError::Discriminant { field: "type", value }),
    }
}

fn array<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    mut element: impl FnMut(&mut Reader<'a>) -> Result<(), XdrError>,
) -> Result<Option<i64>, XdrError> {
    let count = reader.count("array", max)?;
    for _ in 0..count {
        element(reader)?;
    }
    Ok(size(count))
}

/// A count as a measure; `None` if it is zero.
fn size(count: usize) -> Option<i64> {
    i64::try_from(count).ok().filter(|count| *count != 0)
}
