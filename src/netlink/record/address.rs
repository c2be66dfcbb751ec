// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of addresses (`linux/if_addr.h`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::limits::IFNAME_LEN_MAX;
use crate::model::address::{Family, IpPrefix};
use crate::model::name::IfName;
use crate::netlink::address::{
    self, Address, AddressEvent, AddressId, AddressOrigin, IFA_ADDRESS, IFA_CACHEINFO, IFA_FLAGS,
    IFA_LOCAL, Lifetime, RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR, Role, Scope, encode_family,
    with_octets,
};
use crate::netlink::link::LinkIndex;
use crate::netlink::record::{left_of, rewritten};
use crate::netlink::wire::{
    self, Message, NetlinkHeader, PayloadWriter, WireError, attributes, take_array, take_u32,
};

const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_HOMEADDRESS: u32 = 0x10;
const IFA_F_PERMANENT: u32 = 0x80;
const IFA_F_MANAGETEMPADDR: u32 = 0x100;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;

/// The metric of the routes that the kernel makes for IPv6 addresses (`IP6_RT_PRIO_ADDRCONF`),
/// unless an address sets another.
const IPV6_PREFIX_METRIC: u32 = 256;

/// The longest IPv4 prefix whose network has a broadcast address (RFC 3021 has none).
const BROADCAST_PREFIX_LEN_MAX: u8 = 30;

/// The identity of an address on its link.
pub type AddressKey = (IpPrefix, Option<IpAddr>);

/// An address with all its attributes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressRecord {
    /// As the table has it. The link is the one where it was, or 0 if it was on none.
    pub address: Address,
    /// The header's flags and scope.
    flags: u8,
    scope: u8,
    attributes: Vec<u8>,
}

impl AddressRecord {
    /// A permanent address that was added by hand.
    pub fn permanent(prefix: IpPrefix) -> Self {
        let mut attributes = Vec::new();
        let mut writer = PayloadWriter::new(&mut attributes);
        let local = prefix.address();
        with_octets(local, |octets| writer.attribute(IFA_LOCAL, octets));
        with_octets(local, |octets| writer.attribute(IFA_ADDRESS, octets));
        if let Some(broadcast) = broadcast_of(prefix) {
            writer.attribute(IFA_BROADCAST, &broadcast.octets());
        }
        let address = Address {
            link: LinkIndex(0),
            prefix,
            peer: None,
            role: Role::Primary,
            scope: Scope::Global,
            lifetime: Lifetime::Permanent,
            origin: AddressOrigin::Unknown,
        };
        Self { address, flags: 0, scope: 0, attributes }
    }

    /// Decodes an address. `None` if the message is about something else, or about an address that
    /// another host has.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        if message.kind != RTM_NEWADDR {
            return Ok(None);
        }
        let Some(AddressEvent::New(address)) = address::decode(message)? else { return Ok(None) };
        let mut rest = message.payload;
        let [_family, _prefix_len, flags, scope] = take_array(&mut rest, "ifaddrmsg")?;
        take_u32(&mut rest, "ifaddrmsg")?;
        Ok(Some(Self { address, flags, scope, attributes: rest.to_vec() }))
    }

    /// The same address when its link has another name: the kernel renames the label, too.
    pub(crate) fn follow_name(&mut self, has: &IfName, name: &IfName) {
        let renamed = rewritten(&self.attributes, |attribute, out| {
            match label_at(attribute.text(), has, name).filter(|_| attribute.kind == IFA_LABEL) {
                Some(label) => out.attribute_text(IFA_LABEL, &label),
                None => out.attribute(attribute.kind, attribute.payload),
            }
            Some(())
        });
        self.attributes = renamed.unwrap_or_default();
    }

    /// Its identity, on the link where it was.
    pub fn id(&self) -> AddressId {
        self.address.id()
    }

    /// Its identity on any link.
    pub fn key(&self) -> AddressKey {
        (self.address.prefix, self.address.peer)
    }

    /// Whether both have the same properties, among those that the kernel takes only when it adds
    /// an address.
    pub(crate) fn has_form_of(&self, other: &Self) -> bool {
        let family = self.address.prefix.family();
        let is_lasting = |kind: u16| matches!(kind, IFA_LABEL | IFA_BROADCAST);
        let flags = IFA_F_NOPREFIXROUTE;
        (self.address.prefix, self.address.peer) == (other.address.prefix, other.address.peer)
            && (family == Family::Ipv6
                || (self.scope == other.scope
                    && self.all_flags() & flags == other.all_flags() & flags
                    && self.of_kinds(is_lasting).eq(other.of_kinds(is_lasting))))
    }

    /// Whether both have the same properties, except for lifetimes and for the kernel's findings
    /// about the address.
    pub(crate) fn is_used_as(&self, other: &Self) -> bool {
        let flags = match self.address.prefix.family() {
            Family::Ipv4 => 0,
            Family::Ipv6 => IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE,
        };
        let can_change = |kind: u16| matches!(kind, IFA_RT_PRIORITY | IFA_PROTO);
        self.all_flags() & flags == other.all_flags() & flags
            && self.of_kinds(can_change).eq(other.of_kinds(can_change))
    }

    /// The networks to which the kernel makes a route along with the address: its own, or its peer's.
    /// IPv6 makes both.
    pub fn networks(&self) -> impl Iterator<Item = IpPrefix> {
        let Address { prefix, peer, .. } = self.address;
        let (at, beside) = match prefix.family() {
            Family::Ipv4 => (peer.unwrap_or(prefix.address()), None),
            Family::Ipv6 => (prefix.address(), peer.map(IpPrefix::host)),
        };
        let has_network = self.all_flags() & IFA_F_NOPREFIXROUTE == 0;
        let network = IpPrefix::new(at, prefix.prefix_len()).filter(|_| has_network);
        network.into_iter().chain(beside)
    }

    /// Whether the kernel makes this route along with the address.
    pub(crate) fn makes_route(&self, to: IpPrefix, metric: u32, source: Option<IpAddr>) -> bool {
        let fits_source = match self.address.prefix.family() {
            Family::Ipv4 => {
                let has_source = source == Some(self.address.prefix.address());
                has_source && self.address.role == Role::Primary
            }
            Family::Ipv6 => true,
        };
        let is_to = |network: IpPrefix| {
            (network.network(), network.prefix_len()) == (to.address(), to.prefix_len())
        };
        fits_source && metric == self.route_metric() && self.networks().any(is_to)
    }

    /// Whether it was added without a lifetime: the kernel removes its network's route along with
    /// it.
    pub(crate) fn is_permanent(&self) -> bool {
        self.all_flags() & IFA_F_PERMANENT != 0
    }

    /// The metric of the routes that the kernel makes along with the address.
    pub(crate) fn route_metric(&self) -> u32 {
        let own = attributes(&self.attributes).flatten().find(|it| it.kind == IFA_RT_PRIORITY);
        let own = own.and_then(|it| it.u32("IFA_RT_PRIORITY").ok()).filter(|metric| *metric > 0);
        own.unwrap_or(match self.address.prefix.family() {
            Family::Ipv4 => 0,
            Family::Ipv6 => IPV6_PREFIX_METRIC,
        })
    }

    fn of_kinds(&self, is_wanted: fn(u16) -> bool) -> impl Iterator<Item = (u16, &[u8])> {
        let found = attributes(&self.attributes).flatten().filter(move |it| is_wanted(it.kind));
        found.map(|attribute| (attribute.kind, attribute.payload))
    }

    fn all_flags(&self) -> u32 {
        let flags = attributes(&self.attributes).flatten().find(|it| it.kind == IFA_FLAGS);
        flags.and_then(|it| it.u32("IFA_FLAGS").ok()).unwrap_or(u32::from(self.flags))
    }

    /// The same address for another link, with a label that begins with the name of that. It is
    /// marked as known to be unique, so the host need not check for duplicates again and may use it
    /// at once.
    #[must_use]
    pub fn moved(&self, from: &IfName, to: &IfName) -> Self {
        let mut kept = Vec::new();
        let mut flags = u32::from(self.flags);
        for attribute in attributes(&self.attributes).flatten() {
            match attribute.kind {
                IFA_LABEL => {
                    if let Some(label) = label_at(attribute.text(), from, to) {
                        PayloadWriter::new(&mut kept).attribute_text(IFA_LABEL, &label);
                    }
                }
                IFA_FLAGS => flags = attribute.u32("IFA_FLAGS").unwrap_or(flags),
                kind => PayloadWriter::new(&mut kept).attribute(kind, attribute.payload),
            }
        }
        if self.address.prefix.family() == Family::Ipv6 {
            flags |= IFA_F_NODAD;
        }
        PayloadWriter::new(&mut kept).attribute_u32(IFA_FLAGS, flags);
        Self { attributes: kept, ..self.clone() }
    }

    /// The same address without a lifetime.
    #[must_use]
    pub fn lasting(&self) -> Self {
        let mut kept = Vec::new();
        let is_lasting = |kind: u16| kind != IFA_CACHEINFO;
        for (kind, payload) in self.of_kinds(is_lasting) {
            PayloadWriter::new(&mut kept).attribute(kind, payload);
        }
        let address = Address { lifetime: Lifetime::Permanent, ..self.address };
        Self { address, attributes: kept, ..self.clone() }
    }

    /// The same address `elapsed` later; nothing if it has expired meanwhile.
    #[must_use]
    pub(crate) fn aged(&self, elapsed: Duration) -> Option<Self> {
        let attributes = rewritten(&self.attributes, |attribute, out| {
            if attribute.kind != IFA_CACHEINFO {
                out.attribute(attribute.kind, attribute.payload);
                return Some(());
            }
            let mut info = attribute.payload;
            let preferred = take_u32(&mut info, "ifa_prefered").ok()?;
            let valid = take_u32(&mut info, "ifa_valid").ok()?;
            let valid = left_of(valid, elapsed).filter(|left| *left > 0)?;
            let preferred = left_of(preferred, elapsed).unwrap_or_default();
            out.nested(IFA_CACHEINFO, |out| {
                out.bytes(&preferred.to_ne_bytes());
                out.bytes(&valid.to_ne_bytes());
                out.bytes(info);
            });
            Some(())
        })?;
        Some(Self { attributes, ..self.clone() })
    }

    /// Appends the record as the kernel would announce it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let header = NetlinkHeader { kind: RTM_NEWADDR, flags: 0, sequence: 0 };
        self.write(out, header, self.address.link);
    }

    /// Appends the request to add the address to `link`.
    pub(crate) fn encode_add(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_CREATE | wire::FLAG_EXCLUSIVE;
        self.write(out, NetlinkHeader { kind: RTM_NEWADDR, flags, sequence }, link);
    }

    /// Appends the request to give the address of `link` the lifetime of this one.
    pub(crate) fn encode_change(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK | wire::FLAG_REPLACE;
        self.write(out, NetlinkHeader { kind: RTM_NEWADDR, flags, sequence }, link);
    }

    /// Appends the request to remove the address from `link`.
    pub(crate) fn encode_delete(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
        self.write(out, NetlinkHeader { kind: RTM_DELADDR, flags, sequence }, link);
    }

    fn write(&self, out: &mut Vec<u8>, header: NetlinkHeader, link: LinkIndex) {
        wire::write_message(out, header, |payload| {
            let prefix = self.address.prefix;
            let family = encode_family(prefix.family());
            payload.bytes(&[family, prefix.prefix_len(), self.flags, self.scope]);
            payload.bytes(&link.0.to_ne_bytes());
            payload.bytes(&self.attributes);
        });
    }
}

/// As `ip address` writes it.
impl fmt::Display for AddressRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.address.prefix;
        match self.address.peer {
            Some(peer) => write!(f, "{} peer {peer}/{}", prefix.address(), prefix.prefix_len()),
            None => prefix.fmt(f),
        }
    }
}

/// The label of an address after its link `from` is called `to`. The kernel chooses a label where
/// this one would not fit.
fn label_at(label: &[u8], from: &IfName, to: &IfName) -> Option<String> {
    let label = std::str::from_utf8(label).ok()?;
    let label = match label.strip_prefix(from.as_str()) {
        Some(rest) => format!("{to}{rest}"),
        None => label.to_owned(),
    };
    (label.len() <= IFNAME_LEN_MAX).then_some(label)
}

/// The broadcast address of an IPv4 network, if it has one.
fn broadcast_of(prefix: IpPrefix) -> Option<Ipv4Addr> {
    match prefix.address() {
        IpAddr::V4(address) if prefix.prefix_len() <= BROADCAST_PREFIX_LEN_MAX => {
            let hosts = u32::MAX.checked_shr(u32::from(prefix.prefix_len())).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() | hosts))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Appends the request for the addresses of both families of one link. A kernel without strict
/// checks (before Linux 4.20) reports all links.
pub(crate) fn encode_address_dump(out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
    let flags = wire::FLAG_REQUEST | wire::FLAG_DUMP;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETADDR, flags, sequence }, |payload| {
        payload.bytes(&[0; 4]);
        payload.bytes(&link.0.to_ne_bytes());
    });
}

#[cfg(test)]
mod tests;
