// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`LinkSetting`]: one attribute of a link that can be set, and the request that sets it.

use std::fmt;

use crate::netlink::link::{
    AF_UNSPEC, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, LinkIndex, RTM_NEWLINK,
};
use crate::netlink::record::link::kinds::{
    IFLA_BR_VLAN_DEFAULT_PVID, IFLA_IFALIAS, IFLA_VLAN_EGRESS_QOS, IFLA_VLAN_FLAGS,
    IFLA_VLAN_INGRESS_QOS, is_left_out_when_empty, needs_bond_down,
};
use crate::netlink::record::link::{
    AF_INET6, IFLA_AF_SPEC, IFLA_ALT_IFNAME, IFLA_INFO_SLAVE_DATA, IFLA_INFO_SLAVE_KIND,
    IFLA_PROP_LIST, vlan,
};
use crate::netlink::wire::{self, NetlinkHeader, PayloadWriter};

const RTM_NEWLINKPROP: u16 = 108;
const RTM_DELLINKPROP: u16 = 109;
/// `NLA_F_NESTED`, which the kernel wants to see where it is strict.
const NESTED: u16 = 0x8000;

/// One attribute of a link, and its place in a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkSetting {
    pub(super) place: AttributeOwner,
    pub(super) kind: u16,
    pub(super) name: &'static str,
    pub(super) payload: Vec<u8>,
}

/// The owner of an attribute.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AttributeOwner {
    /// Any link's.
    Link,
    /// One of any link's flags: this one.
    Flag(u32),
    /// IPv6's.
    Inet6,
    /// One of any link's other names, which it gets.
    AltName,
    /// One of any link's other names, which it loses.
    NoAltName,
    /// An attribute of a link of this kind.
    Kind(&'static str),
    /// An attribute of a port of such a link.
    Port(&'static str),
}

impl LinkSetting {
    /// Whether only links of one kind have it.
    pub fn is_of_kind(&self) -> bool {
        matches!(self.place, AttributeOwner::Kind(_))
    }

    /// Whether it belongs to a port of a bridge or bond.
    pub(crate) fn is_of_port(&self) -> bool {
        matches!(self.place, AttributeOwner::Port(_))
    }

    /// Whether the kernel changes it only while the link is down.
    pub(crate) fn needs_down(&self) -> bool {
        self.place == AttributeOwner::Kind("bond") && needs_bond_down(self.kind)
    }

    /// The default VLAN for new ports of the bridge, or 0, if this is that attribute.
    pub fn default_vlan(&self) -> Option<u16> {
        let is_it = self.is_of_kind() && self.kind == IFLA_BR_VLAN_DEFAULT_PVID;
        let bytes = self.payload.first_chunk().filter(|_| is_it)?;
        Some(u16::from_ne_bytes(*bytes))
    }

    /// Whether it is another value of the same attribute.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let is_same_name = self.place != AttributeOwner::AltName || self.payload == other.payload;
        (self.place, self.kind) == (other.place, other.kind) && is_same_name
    }

    /// The setting that removes it from a link whose record does not have it: the kernel omits
    /// empty values. `None` if the kernel always reports the attribute, and so does not know it.
    pub(super) fn absent(&self) -> Option<Self> {
        match self.place {
            AttributeOwner::AltName => {
                Some(Self { place: AttributeOwner::NoAltName, ..self.clone() })
            }
            AttributeOwner::Link if self.kind == IFLA_IFALIAS => {
                Some(Self { payload: Vec::new(), ..self.clone() })
            }
            AttributeOwner::Kind(kind) if is_left_out_when_empty(kind, self.kind) => {
                Some(Self { payload: Vec::new(), ..self.clone() })
            }
            AttributeOwner::Link
            | AttributeOwner::Flag(_)
            | AttributeOwner::Inet6
            | AttributeOwner::NoAltName
            | AttributeOwner::Kind(_)
            | AttributeOwner::Port(_) => None,
        }
    }

    /// Leaves out the parts that equal the present value `now`, for attributes of which the kernel
    /// accepts only the changes.
    pub(super) fn leave_out(&mut self, now: &[u8]) {
        if self.place == AttributeOwner::Kind("vlan") {
            self.payload = match self.kind {
                IFLA_VLAN_FLAGS => vlan::flags_besides(&self.payload, now),
                _ => vlan::map_besides(&self.payload, now),
            };
        }
    }

    /// The value, if it is a number.
    pub(super) fn number(&self) -> Option<u32> {
        match *self.payload.as_slice() {
            [byte] => Some(u32::from(byte)),
            [a, b] => Some(u32::from(u16::from_ne_bytes([a, b]))),
            [a, b, c, d] => Some(u32::from_ne_bytes([a, b, c, d])),
            _ => None,
        }
    }

    /// Appends the request that sets this on `link`.
    pub fn encode(&self, out: &mut Vec<u8>, sequence: u32, link: LinkIndex) {
        let flags = wire::FLAG_REQUEST | wire::FLAG_ACK;
        let kind = match self.place {
            AttributeOwner::AltName => RTM_NEWLINKPROP,
            AttributeOwner::NoAltName => RTM_DELLINKPROP,
            AttributeOwner::Link
            | AttributeOwner::Flag(_)
            | AttributeOwner::Inet6
            | AttributeOwner::Kind(_)
            | AttributeOwner::Port(_) => RTM_NEWLINK,
        };
        wire::write_message(out, NetlinkHeader { kind, flags, sequence }, |payload| {
            payload.bytes(&[AF_UNSPEC, 0, 0, 0]);
            payload.bytes(&link.0.to_ne_bytes());
            match self.place {
                AttributeOwner::Flag(flag) => {
                    payload.bytes(&self.payload);
                    payload.bytes(&flag.to_ne_bytes());
                }
                AttributeOwner::Link
                | AttributeOwner::Inet6
                | AttributeOwner::AltName
                | AttributeOwner::NoAltName
                | AttributeOwner::Kind(_)
                | AttributeOwner::Port(_) => payload.bytes(&[0; 8]),
            }
            self.write(payload);
        });
    }

    pub(super) fn write(&self, payload: &mut PayloadWriter<'_>) {
        match self.place {
            AttributeOwner::Flag(_) => {}
            AttributeOwner::Link => payload.attribute(self.kind, &self.payload),
            AttributeOwner::Inet6 => payload.nested(IFLA_AF_SPEC, |families| {
                families.nested(AF_INET6, |ipv6| ipv6.attribute(self.kind, &self.payload));
            }),
            AttributeOwner::AltName | AttributeOwner::NoAltName => {
                payload.nested(NESTED | IFLA_PROP_LIST, |names| {
                    names.attribute(IFLA_ALT_IFNAME, &self.payload);
                })
            }
            AttributeOwner::Kind(name) => payload.nested(IFLA_LINKINFO, |info| {
                info.attribute_text(IFLA_INFO_KIND, name);
                info.nested(IFLA_INFO_DATA, |data| data.attribute(self.kind, &self.payload));
            }),
            AttributeOwner::Port(name) => payload.nested(IFLA_LINKINFO, |info| {
                info.attribute_text(IFLA_INFO_SLAVE_KIND, name);
                info.nested(IFLA_INFO_SLAVE_DATA, |data| {
                    data.attribute(self.kind, &self.payload);
                });
            }),
        }
    }
}

/// As in `ip link set`, but without a name for the value.
impl fmt::Display for LinkSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_text = match self.place {
            AttributeOwner::Flag(_) => {
                let is_set = self.payload.iter().any(|byte| *byte != 0);
                return write!(f, "{} {}", self.name, if is_set { "on" } else { "off" });
            }
            AttributeOwner::Kind("vlan") => {
                f.write_str("type vlan")?;
                return match self.kind {
                    IFLA_VLAN_EGRESS_QOS | IFLA_VLAN_INGRESS_QOS => {
                        write!(f, " {}", self.name)?;
                        vlan::format_map(f, &self.payload)
                    }
                    _ => vlan::format_flags(f, &self.payload),
                };
            }
            AttributeOwner::Kind(name) => write!(f, "type {name} ").map(|()| false)?,
            AttributeOwner::Port(name) => write!(f, "type {name}_slave ").map(|()| false)?,
            AttributeOwner::NoAltName => f.write_str("no ").map(|()| true)?,
            AttributeOwner::AltName => true,
            AttributeOwner::Link => self.kind == IFLA_IFALIAS,
            AttributeOwner::Inet6 => false,
        };
        write!(f, "{} ", self.name)?;
        let bytes = self.payload.as_slice();
        match self.number().filter(|_| !is_text) {
            Some(number) => write!(f, "{number}"),
            None if is_text => {
                let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
                write!(f, "\"{}\"", text.escape_ascii())
            }
            None => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}
