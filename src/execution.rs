// SPDX-License-Identifier: LGPL-2.1-or-later
//! The messages between the daemon and the process that executes programs for it (`io::executor`).
//!
//! A request names a program of a fixed list by names and flags only. No path, no command line and
//! no environment passes: the process finds those itself, and decoding checks every name.
//!
//! Each message is XDR, counted. A start is answered by its pid or an errno; an end is reported
//! once, and the pid stays reserved until the daemon forgets the program.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::ifupdown::Dialect;
use crate::limits::{EXECUTION_MESSAGE_LEN_MAX, FILE_NAME_LEN_MAX};
use crate::model::address::{Family, IpPrefix};
use crate::model::foreign::ClientProgram;
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::xdr::reader::{Reader, XdrError};
use crate::xdr::writer::Writer;

/// A program that is executed, told from others that run at the same time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ProgramId(pub u32);

/// The programs that may be executed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// A script of the administrator.
    Hook { script: HookScript, occasion: Occasion },
    /// A DHCP client. If the lease continues another program's, that program's client is started.
    DhcpClient { client: ClientProgram, lease: Lease },
    /// A DHCP client of another program, as the record for its restart describes it.
    ForeignClient { link: IfName, family: Family },
    /// The script that removes the name servers of a lease.
    LeaseEnd { link: IfName, family: Family },
    /// The process that keeps the deadline of a transaction: a time since boot.
    Standby { deadline: Duration },
    /// The host's own program, which reads new text of the network's configuration.
    FileCheck { dialect: Dialect },
}

/// A script below the directory of hooks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HookScript {
    /// The file `daemon`.
    Daemon,
    /// A file of the directory `daemon.d`.
    Part(FileName),
}

/// The name of a file within one directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileName(Vec<u8>);

/// The event for which scripts are run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Occasion {
    Start,
    Reload,
    Shutdown,
}

/// A message to the process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Executes a program. Its process group is killed after `time_max`.
    Start { id: ProgramId, program: Program, time_max: Option<Duration> },
    /// Sends SIGTERM to the program.
    Terminate(ProgramId),
    /// Kills the program's process group.
    KillGroup(ProgramId),
    /// Writes a line to the program's standard input and closes it.
    Dismiss(ProgramId),
    /// Ends the daemon's interest in the program, which is reaped once it has ended.
    Forget(ProgramId),
}

/// A message from the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Report {
    /// The program runs.
    Started { id: ProgramId, pid: i32 },
    /// The program was not executed.
    Refused { id: ProgramId, errno: i32 },
    /// The program has ended, with this status of wait(2).
    Ended { id: ProgramId, status: i32 },
    /// The program was killed because its time was over.
    Overdue { id: ProgramId },
}

/// The reason why a message could not be decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageError {
    Encoding(XdrError),
    /// This field has a value that is not allowed.
    Content(&'static str),
}

impl FileName {
    /// Returns a name that leads to a file within one directory.
    pub fn new(name: &[u8]) -> Option<Self> {
        let is_path = name.iter().any(|byte| matches!(byte, b'/' | b'\0'));
        let is_name = (1..=FILE_NAME_LEN_MAX).contains(&name.len()) && !is_path;
        (is_name && !matches!(name, b"." | b"..")).then(|| Self(name.to_vec()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Program {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Hook { script, occasion } => {
                writer.u32(0);
                match script {
                    HookScript::Daemon => writer.opaque(b""),
                    HookScript::Part(name) => writer.opaque(name.as_bytes()),
                }
                writer.u32(match occasion {
                    Occasion::Start => 0,
                    Occasion::Reload => 1,
                    Occasion::Shutdown => 2,
                });
            }
            Self::DhcpClient { client, lease } => {
                writer.u32(1);
                writer.string(client.name());
                encode_lease(writer, lease);
            }
            Self::ForeignClient { link, family } => {
                writer.u32(2);
                encode_link(writer, *link, *family);
            }
            Self::LeaseEnd { link, family } => {
                writer.u32(3);
                encode_link(writer, *link, *family);
            }
            Self::Standby { deadline } => {
                writer.u32(4);
                encode_time(writer, *deadline);
            }
            Self::FileCheck { dialect } => {
                writer.u32(5);
                writer.string(&dialect.to_string());
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        Ok(match reader.u32("program")? {
            0 => {
                let script = match reader.opaque("script", FILE_NAME_LEN_MAX)? {
                    b"" => HookScript::Daemon,
                    name => HookScript::Part(
                        FileName::new(name).ok_or(MessageError::Content("script"))?,
                    ),
                };
                let occasion = match reader.u32("occasion")? {
                    0 => Occasion::Start,
                    1 => Occasion::Reload,
                    2 => Occasion::Shutdown,
                    _ => return Err(MessageError::Content("occasion")),
                };
                Self::Hook { script, occasion }
            }
            1 => {
                let name = reader.string("client", FILE_NAME_LEN_MAX)?;
                let client = ClientProgram::ALL.into_iter().find(|client| client.name() == name);
                let client = client.ok_or(MessageError::Content("client"))?;
                Self::DhcpClient { client, lease: decode_lease(reader)? }
            }
            2 => {
                let (link, family) = decode_link(reader)?;
                Self::ForeignClient { link, family }
            }
            3 => {
                let (link, family) = decode_link(reader)?;
                Self::LeaseEnd { link, family }
            }
            4 => Self::Standby { deadline: decode_time(reader)? },
            5 => {
                let name = reader.string("dialect", FILE_NAME_LEN_MAX)?;
                let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.to_string() == name);
                Self::FileCheck { dialect: dialect.ok_or(MessageError::Content("dialect"))? }
            }
            _ => return Err(MessageError::Content("program")),
        })
    }
}

impl Request {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Writer::new(out).opaque_by(|out| {
            let mut writer = Writer::new(out);
            let (kind, id) = match self {
                Self::Start { id, .. } => (0, id),
                Self::Terminate(id) => (1, id),
                Self::KillGroup(id) => (2, id),
                Self::Dismiss(id) => (3, id),
                Self::Forget(id) => (4, id),
            };
            writer.u32(kind);
            writer.u32(id.0);
            if let Self::Start { program, time_max, .. } = self {
                program.encode(&mut writer);
                writer.flag(time_max.is_some());
                time_max.iter().for_each(|time| encode_time(&mut writer, *time));
            }
        });
    }

    /// Decodes a message that [`take`] has returned.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(message);
        let (kind, id) = (reader.u32("request")?, ProgramId(reader.u32("id")?));
        Ok(match kind {
            0 => {
                let program = Program::decode(&mut reader)?;
                let is_limited = reader.flag("time_max")?;
                let time_max = is_limited.then(|| decode_time(&mut reader)).transpose()?;
                Self::Start { id, program, time_max }
            }
            1 => Self::Terminate(id),
            2 => Self::KillGroup(id),
            3 => Self::Dismiss(id),
            4 => Self::Forget(id),
            _ => return Err(MessageError::Content("request")),
        })
    }
}

impl Report {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Writer::new(out).opaque_by(|out| {
            let mut writer = Writer::new(out);
            let (kind, id, number) = match self {
                Self::Started { id, pid } => (0, id, *pid),
                Self::Refused { id, errno } => (1, id, *errno),
                Self::Ended { id, status } => (2, id, *status),
                Self::Overdue { id } => (3, id, 0),
            };
            writer.u32(kind);
            writer.u32(id.0);
            writer.i32(number);
        });
    }

    /// Decodes a message that [`take`] has returned.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(message);
        let (kind, id) = (reader.u32("report")?, ProgramId(reader.u32("id")?));
        let number = reader.i32("number")?;
        Ok(match kind {
            0 => Self::Started { id, pid: number },
            1 => Self::Refused { id, errno: number },
            2 => Self::Ended { id, status: number },
            3 => Self::Overdue { id },
            _ => return Err(MessageError::Content("report")),
        })
    }
}

/// Takes the next message out of the bytes that have arrived; `None` until all of it is there.
///
/// # Errors
/// It is longer than any message.
pub fn take(arrived: &mut Vec<u8>) -> Result<Option<Vec<u8>>, MessageError> {
    if arrived.len() < size_of::<u32>() {
        return Ok(None);
    }
    let message = match Reader::new(arrived).opaque("message", EXECUTION_MESSAGE_LEN_MAX) {
        Ok(message) => message.to_vec(),
        Err(XdrError::Truncated(_)) => return Ok(None),
        Err(err) => return Err(err.into()),
    };
    arrived.drain(..size_of::<u32>() + message.len().next_multiple_of(4));
    Ok(Some(message))
}

fn encode_lease(writer: &mut Writer<'_>, lease: &Lease) {
    encode_link(writer, lease.link, lease.family);
    writer.flag(lease.name_servers == NameServers::Taken);
    writer.flag(lease.wanted.is_some());
    if let Some(wanted) = lease.wanted {
        match wanted.address() {
            IpAddr::V4(address) => writer.opaque(&address.octets()),
            IpAddr::V6(address) => writer.opaque(&address.octets()),
        }
        writer.u32(wanted.prefix_len().into());
    }
    writer.optional_string(lease.like.as_ref().map(IfName::as_str));
}

fn decode_lease(reader: &mut Reader<'_>) -> Result<Lease, MessageError> {
    let (link, family) = decode_link(reader)?;
    let name_servers = if reader.flag("peerdns")? { NameServers::Taken } else { NameServers::Left };
    let wanted = reader.flag("wanted")?.then(|| decode_prefix(reader)).transpose()?;
    let like = reader.flag("like")?.then(|| decode_name(reader)).transpose()?;
    Ok(Lease { link, family, name_servers, wanted, like })
}

fn decode_prefix(reader: &mut Reader<'_>) -> Result<IpPrefix, MessageError> {
    let bytes = reader.opaque("address", size_of::<Ipv6Addr>())?;
    let v4 = || <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 = || <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::from(Ipv6Addr::from(octets)));
    let address = v4().or_else(|_| v6()).map_err(|_| MessageError::Content("address"))?;
    let len = u8::try_from(reader.u32("prefix")?).ok();
    len.and_then(|len| IpPrefix::new(address, len)).ok_or(MessageError::Content("prefix"))
}

fn encode_link(writer: &mut Writer<'_>, link: IfName, family: Family) {
    writer.string(link.as_str());
    writer.flag(family == Family::Ipv6);
}

fn decode_link(reader: &mut Reader<'_>) -> Result<(IfName, Family), MessageError> {
    let link = decode_name(reader)?;
    Ok((link, if reader.flag("family")? { Family::Ipv6 } else { Family::Ipv4 }))
}

fn decode_name(reader: &mut Reader<'_>) -> Result<IfName, MessageError> {
    let name = reader.opaque("link", FILE_NAME_LEN_MAX)?;
    IfName::new(name).map_err(|_| MessageError::Content("link"))
}

fn encode_time(writer: &mut Writer<'_>, time: Duration) {
    writer.u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

fn decode_time(reader: &mut Reader<'_>) -> Result<Duration, MessageError> {
    Ok(Duration::from_millis(reader.u64("time")?))
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(err) => err.fmt(f),
            Self::Content(field) => write!(f, "{field}: a value that is not allowed"),
        }
    }
}

impl std::error::Error for MessageError {}

impl From<XdrError> for MessageError {
    fn from(err: XdrError) -> Self {
        Self::Encoding(err)
    }
}

#[cfg(test)]
mod tests;
