// SPDX-License-Identifier: LGPL-2.1-or-later
//! Addresses: [`MacAddr`] of a link, [`IpPrefix`] of a network, [`Ip`] as a definition has it.
//!
//! Knows their notation, not their owners.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;

use crate::limits::LINK_ADDR_LEN_MAX;

/// A link-layer address: six bytes on Ethernet, four on an IPv4 tunnel, twenty on InfiniBand.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct MacAddr {
    len: u8,
    /// Zero from `len` on.
    bytes: [u8; LINK_ADDR_LEN_MAX],
}

impl MacAddr {
    /// Takes 1 to 32 bytes.
    pub fn new(address: &[u8]) -> Option<Self> {
        let mut bytes = [0; LINK_ADDR_LEN_MAX];
        bytes.get_mut(..address.len())?.copy_from_slice(address);
        let len = u8::try_from(address.len()).ok().filter(|len| *len > 0)?;
        Some(Self { len, bytes })
    }

    /// Reads pairs of hexadecimal digits of either case, separated by colons.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; LINK_ADDR_LEN_MAX];
        let mut len = 0;
        for pair in text.split(':') {
            let is_pair = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            *bytes.get_mut(len)? = u8::from_str_radix(pair, 16).ok().filter(|_| is_pair)?;
            len += 1;
        }
        Self::new(bytes.get(..len)?)
    }

    /// The address's bytes, in the order they are sent.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The address in lower-case hexadecimal pairs, as the kernel prints it. Formatted by hand, as
    /// lists have thousands.
    pub(crate) fn to_text(self) -> String {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
        let mut text = String::with_capacity(self.as_bytes().len() * 3);
        for (position, byte) in self.as_bytes().iter().enumerate() {
            if position > 0 {
                text.push(':');
            }
            text.push(digit(byte >> 4));
            text.push(digit(byte & 0xf));
        }
        text
    }

    /// Whether this has the six bytes of an Ethernet address, the only form the schema knows.
    pub(crate) fn is_ethernet(&self) -> bool {
        self.len == 6
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacAddr({self})")
    }
}

/// The two families of the internet protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// The longest prefix of the family, in bits.
    pub const fn prefix_len_max(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }

    /// The family's name, as definitions have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// The family that `address` belongs to.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// An address with the length of its network's prefix, in bits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IpPrefix {
    address: IpAddr,
    len: u8,
}

impl IpPrefix {
    /// Takes a prefix of at most 32 bits for IPv4, 128 for IPv6.
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        (len <= Family::of(address).prefix_len_max()).then_some(Self { address, len })
    }

    /// The network that contains only `address`.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, len: Family::of(address).prefix_len_max() }
    }

    /// All addresses of a family: the network of a default route.
    pub const fn everything(family: Family) -> Self {
        let address = match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { address, len: 0 }
    }

    /// The address itself, host part included.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix's length in bits.
    pub fn prefix_len(&self) -> u8 {
        self.len
    }

    /// The first address of the network, which stands for all of it.
    pub fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.len)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }

    /// The family of the address.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

/// An address in a definition: the length of its network's prefix may be omitted.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ip {
    address: IpAddr,
    prefix_len: Option<NonZeroU8>,
}

impl Ip {
    /// Takes a prefix of at most 32 bits for IPv4, 128 for IPv6. A prefix of 0 bits counts as
    /// omitted, as in libvirt.
    pub fn new(address: IpAddr, prefix_len: Option<u8>) -> Option<Self> {
        let prefix_len = prefix_len.and_then(NonZeroU8::new);
        let fits = prefix_len.is_none_or(|len| len.get() <= Family::of(address).prefix_len_max());
        fits.then_some(Self { address, prefix_len })
    }

    /// The address itself.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix's length in bits, if it is given.
    pub fn prefix_len(&self) -> Option<u8> {
        self.prefix_len.map(NonZeroU8::get)
    }

    /// The address that a link gets: without a prefix it is a network of its own.
    pub fn prefix(&self) -> IpPrefix {
        let host = IpPrefix::host(self.address);
        IpPrefix { len: self.prefix_len().unwrap_or(host.len), ..host }
    }
}

impl From<IpPrefix> for Ip {
    fn from(prefix: IpPrefix) -> Self {
        Self { address: prefix.address, prefix_len: NonZeroU8::new(prefix.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_in_either_case_and_written_in_lower() {
        let mac = MacAddr::parse("52:54:00:AB:cd:0f").unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:cd:0f");
        assert!(mac.is_ethernet());
        assert_eq!(MacAddr::new(mac.as_bytes()), Some(mac));
    }

    #[test]
    fn what_is_no_mac_is_refused() {
        let long = ["00"; 33].join(":");
        for text in ["", ":", "5", "52:5", "52:+4", "52:54:", "52-54", "52:54:*", &long] {
            assert_eq!(MacAddr::parse(text), None, "{text}");
        }
        assert_eq!(MacAddr::new(&[]), None);
        assert_eq!(MacAddr::new(&[0; 33]), None);
        assert!(MacAddr::new(&[0; 32]).is_some());
    }

    #[test]
    fn a_prefix_is_held_to_its_family() {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        assert!(IpPrefix::new(v4, 32).is_some());
        assert_eq!(IpPrefix::new(v4, 33), None);
        assert_eq!(IpPrefix::new(v6, 128).unwrap().to_string(), "2001:db8::1/128");
        assert_eq!(IpPrefix::new(v6, 129), None);
        assert_eq!((Ip::new(v4, Some(33)), Ip::new(v6, Some(129))), (None, None));
    }

    #[test]
    fn an_address_whose_prefix_is_left_open_is_a_network_of_its_own() {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        assert_eq!(Ip::new(v4, None).unwrap().prefix().to_string(), "192.0.2.1/32");
        assert_eq!(Ip::new(v6, Some(0)).unwrap().prefix().to_string(), "2001:db8::1/128");
        assert_eq!(Ip::from(IpPrefix::new(v4, 24).unwrap()), Ip::new(v4, Some(24)).unwrap());
    }
}
