// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Snapshot`]: the state that a rollback restores, and the bytes in which it outlives the daemon.
//!
//! It contains all definition files, and the kernel's messages about every link that is not a
//! guest's. The file is sealed ([`crate::xdr::seal`]). The encoding is XDR (RFC 4506), and
//! netlink's own for the kernel's messages.

pub mod files;
pub mod foreign;
pub mod writer;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::host::record::HostRecord;
use crate::host::{is_out_of_the_way, may_be_guest};
use crate::limits::{KEPT_COUNT_MAX, KEPT_TEXT_LEN_MAX, SNAPSHOT_LEN_MAX};
use crate::model::address::{Family, IpPrefix};
use crate::model::client::Caller;
use crate::model::foreign::ForeignClient;
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::netlink::link::LinkKind;
use crate::xdr::reader::{Reader, XdrError};
use crate::xdr::seal::{Magic, SealError, unseal};
use crate::xdr::writer::Writer;
use files::Files;
use writer::SnapshotWriter;

/// The beginning of a snapshot's file; the number is the format's.
pub(crate) const MAGIC: &Magic = b"vifchg4\n";

/// The state of a host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    pub opening: Opening,
    pub files: Files,
    /// `None` for a daemon that cannot change the network.
    pub network: Option<Network>,
}

/// The running network.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Network {
    /// All links except those of guests.
    pub host: HostRecord,
    /// Guests' links, and the bridge of each.
    pub guests: SortedMap<IfName, IfName>,
    /// The DHCP clients of the daemon.
    pub leases: Vec<Lease>,
    /// The DHCP clients that other programs had started.
    pub foreign: Vec<ForeignClient>,
}

/// The beginning of a transaction: the caller and the time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Opening {
    /// The user and the process that began it, and the number that virt-admin shows of the client.
    pub uid: u32,
    pub pid: i32,
    pub client: u64,
    /// The kernel's id of the boot.
    pub boot: String,
    /// The time since the boot, sleep included (`CLOCK_BOOTTIME`).
    pub at: Duration,
    /// The deadline, as a time since the boot.
    pub deadline: Option<Duration>,
    /// The same in text, for messages: the host's clock may have been set since.
    pub since: String,
    pub until: Option<String>,
}

/// A point in time that does not depend on the host's clock.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Moment {
    /// The kernel's id of the boot.
    pub boot: String,
    /// The time since the boot, sleep included (`CLOCK_BOOTTIME`).
    pub since_boot: Duration,
}

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SnapshotError {
    /// They do not begin as one.
    Foreign,
    /// Another release wrote them, in this format.
    Format(char),
    /// They differ from the bytes that were written.
    Checksum,
    /// A value is impossible.
    Content(&'static str),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is not a snapshot"),
            Self::Format(format) => {
                let own = format_of(MAGIC).unwrap_or_default();
                write!(f, "another release wrote it in format {format}, not {own}")
            }
            Self::Checksum => f.write_str("its checksum is wrong"),
            Self::Content(field) => write!(f, "{field} is invalid"),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl From<SealError> for SnapshotError {
    fn from(err: SealError) -> Self {
        match err {
            SealError::Foreign => Self::Foreign,
            SealError::Checksum => Self::Checksum,
        }
    }
}

impl From<XdrError> for SnapshotError {
    fn from(err: XdrError) -> Self {
        let (XdrError::Truncated(field)
        | XdrError::TooLong { field, .. }
        | XdrError::Discriminant { field, .. }) = err;
        Self::Content(field)
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, pid, client, .. } = self;
        write!(f, "begun at {} by uid {uid}, pid {pid} (client {client})", self.since)?;
        match &self.until {
            Some(until) => write!(f, ", deadline {until}"),
            None => f.write_str(", without a deadline"),
        }
    }
}

impl Opening {
    /// Whether this client began it.
    pub(crate) fn is_by(&self, caller: &Caller) -> bool {
        let by = (caller.subject_uid(), caller.subject_pid(), caller.number);
        by == (self.uid, self.pid, self.client)
    }

    /// Whether it was in the present boot.
    pub(crate) fn is_of_boot(&self, now: &Moment) -> bool {
        self.boot == now.boot && self.at <= now.since_boot
    }

    /// Whether its deadline has passed, at this time since its boot.
    pub fn is_over(&self, since_boot: Duration) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= since_boot)
    }

    /// Whether a daemon that finds it has to roll it back.
    pub(crate) fn is_stale(&self, now: &Moment) -> bool {
        !self.is_of_boot(now) || self.is_over(now.since_boot)
    }
}

impl Snapshot {
    /// Encodes its file.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = SnapshotWriter::new(self);
        while !writer.poll(self, usize::MAX) {}
        writer.into_file()
    }

    /// Decodes the bytes of a file.
    ///
    /// # Errors
    /// The bytes are not a snapshot, or not whole.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let body = unseal(MAGIC, bytes).map_err(|err| match (err, format_of(bytes)) {
            (SealError::Foreign, Some(format)) => SnapshotError::Format(format),
            (err, _) => SnapshotError::from(err),
        })?;
        let mut reader = Reader::new(body);
        let opening = decode_opening(&mut reader)?;
        let files = files::decode(&mut reader)?;
        let has_network = reader.flag("network")?;
        let network = has_network.then(|| decode_network(&mut reader)).transpose()?;
        Ok(Self { opening, files, network })
    }
}

impl Network {
    /// The kernel's messages, without those about guests. `members` are links that definitions
    /// name, which are not guests'.
    pub fn new(host: HostRecord, members: &BTreeSet<IfName>, leases: Vec<Lease>) -> Self {
        let mut guests = SortedMap::default();
        let mut others = BTreeSet::new();
        for recorded in host.iter() {
            let link = recorded.link();
            if is_out_of_the_way(link) {
                others.insert(link.name);
                continue;
            }
            let master = host.master_of(link);
            let is_bridge = |name: &IfName| {
                host.named(name).is_some_and(|it| matches!(it.link().kind, LinkKind::Bridge(_)))
            };
            let bridge = master.filter(is_bridge);
            // A link that its dump is enough to make again belongs to the host: a dummy, a VXLAN, a
            // veth whose other end is here.
            let can_be_made = || recorded.record.can_be_made() || host.peer_of(recorded).is_some();
            let may_be_guest = || may_be_guest(link) && !can_be_made();
            let is_guest = link.kind == LinkKind::Tun
                || (bridge.is_some() && !members.contains(&link.name) && may_be_guest());
            if is_guest {
                others.insert(link.name);
                guests.extend(bridge.map(|bridge| (link.name, bridge)));
            }
        }
        Self { host: host.without(&others), guests, leases, foreign: Vec::new() }
    }
}

/// The number of the format that a snapshot's file begins with; `None` of another file.
fn format_of(bytes: &[u8]) -> Option<char> {
    let (name, rest) = MAGIC.split_at_checked(MAGIC.len().checked_sub(2)?)?;
    let format = bytes.strip_prefix(name)?;
    let is_number = format.get(1) == rest.get(1);
    format.first().map(|byte| char::from(*byte)).filter(|it| it.is_ascii_digit() && is_number)
}

fn encode_opening(writer: &mut Writer<'_>, opening: &Opening) {
    let Opening { uid, pid, client, boot, at, deadline, since, until } = opening;
    writer.u32(*uid);
    writer.i32(*pid);
    writer.u64(*client);
    writer.string(boot);
    writer.u64(millis(*at));
    writer.flag(deadline.is_some());
    writer.u64(deadline.map_or(0, millis));
    writer.string(since);
    writer.optional_string(until.as_deref());
}

fn decode_opening(reader: &mut Reader<'_>) -> Result<Opening, SnapshotError> {
    let (uid, pid, client) = (reader.u32("uid")?, reader.i32("pid")?, reader.u64("client")?);
    let boot = decode_text(reader, "boot")?;
    let at = Duration::from_millis(reader.u64("at")?);
    let has_deadline = reader.flag("deadline")?;
    let deadline = Duration::from_millis(reader.u64("deadline")?);
    let deadline = has_deadline.then_some(deadline);
    let since = decode_text(reader, "since")?;
    let until = reader.flag("until")?.then(|| decode_text(reader, "until")).transpose()?;
    Ok(Opening { uid, pid, client, boot, at, deadline, since, until })
}

/// Encodes a text of the daemon; other bytes are not replaced.
fn decode_text(reader: &mut Reader<'_>, field: &'static str) -> Result<String, SnapshotError> {
    match reader.string(field, KEPT_TEXT_LEN_MAX)? {
        Cow::Borrowed(text) => Ok(text.to_owned()),
        Cow::Owned(_) => Err(SnapshotError::Content(field)),
    }
}

/// All but the kernel's messages, which follow.
fn encode_network(writer: &mut Writer<'_>, network: &Network) {
    let Network { guests, leases, foreign, .. } = network;
    writer.count(guests.len());
    for (guest, bridge) in guests.iter() {
        writer.string(guest.as_str());
        writer.string(bridge.as_str());
    }
    writer.count(leases.len());
    for Lease { link, family, name_servers, wanted, like } in leases {
        writer.string(link.as_str());
        writer.flag(*family == Family::Ipv6);
        writer.flag(*name_servers == NameServers::Taken);
        let address = wanted.map(|wanted| wanted.address().to_string());
        writer.optional_string(address.as_deref());
        writer.u32(wanted.map_or(0, |wanted| wanted.prefix_len().into()));
        writer.optional_string(like.as_ref().map(IfName::as_str));
    }
    writer.count(foreign.len());
    foreign.iter().for_each(|client| foreign::encode(writer, client));
}

fn decode_network(reader: &mut Reader<'_>) -> Result<Network, SnapshotError> {
    let mut network = Network::default();
    for _ in 0..reader.count("guests", KEPT_COUNT_MAX)? {
        network.guests.insert(decode_name(reader)?, decode_name(reader)?);
    }
    for _ in 0..reader.count("leases", KEPT_COUNT_MAX)? {
        let link = decode_name(reader)?;
        let family = if reader.flag("family")? { Family::Ipv6 } else { Family::Ipv4 };
        let is_taken = reader.flag("name servers")?;
        let name_servers = if is_taken { NameServers::Taken } else { NameServers::Left };
        let address = reader.optional_string("wanted", KEPT_TEXT_LEN_MAX)?;
        let prefix_len = u8::try_from(reader.u32("prefix")?).unwrap_or(u8::MAX);
        let wanted = address.and_then(|text| IpPrefix::new(text.parse().ok()?, prefix_len));
        let like = reader.flag("like")?.then(|| decode_name(reader)).transpose()?;
        network.leases.push(Lease { link, family, name_servers, wanted, like });
    }
    for _ in 0..reader.count("foreign clients", KEPT_COUNT_MAX)? {
        network.foreign.push(foreign::decode(reader)?);
    }
    let len_max = usize::try_from(SNAPSHOT_LEN_MAX).unwrap_or(usize::MAX);
    let messages = reader.opaque("links", len_max)?;
    network.host =
        HostRecord::decode(messages).map_err(|_| SnapshotError::Content("the kernel's record"))?;
    Ok(network)
}

fn decode_name(reader: &mut Reader<'_>) -> Result<IfName, SnapshotError> {
    let name = reader.string("name", KEPT_TEXT_LEN_MAX)?;
    IfName::new(name.as_ref()).map_err(|_| SnapshotError::Content("name"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
