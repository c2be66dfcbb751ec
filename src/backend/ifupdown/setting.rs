// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Key`]: the options of a stanza that libvirt's model can hold, and the spellings of their values.
//!
//! A value is compared and kept in one spelling, whatever the file has; an edit writes that of the
//! dialect. Everything else in a stanza is left alone.

use std::net::{IpAddr, Ipv4Addr};

use crate::ifupdown::Dialect;
use crate::model::address::{IpPrefix, MacAddr};
use crate::model::interface::{BondMode, ForwardDelay};
use crate::model::name::IfName;
use crate::xml::words;

/// An option that the model can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Key {
    Address,
    Netmask,
    Gateway,
    Mtu,
    HwAddress,
    Autoconf,
    AcceptRa,
    /// Of `inet6 auto`: stateless DHCPv6.
    Dhcp,
    /// ifupdown-ng's executors.
    Use,
    BridgePorts,
    BridgeStp,
    BridgeFd,
    BondMembers,
    BondMode,
    BondPrimary,
    BondMiimon,
    BondUpdelay,
    BondDowndelay,
    BondUseCarrier,
    BondArpInterval,
    BondArpTarget,
    BondArpValidate,
    BondMaster,
    VlanRawDevice,
    VlanId,
    /// A command that sets the MTU, where the method has no option for it.
    CommandMtu,
    /// A command that sets the hardware address.
    CommandHwAddress,
    /// A command that accepts router advertisements.
    CommandAcceptRa,
    /// ifupdown-ng's options for templates and other stanzas.
    Inherit,
}

/// Options by their name in each dialect. The first name of a key is the one that is written.
/// ifupdown-ng has no underscores; the others take both.
const NAMES: [(&str, Key); 30] = [
    ("address", Key::Address),
    ("netmask", Key::Netmask),
    ("gateway", Key::Gateway),
    ("mtu", Key::Mtu),
    ("hwaddress", Key::HwAddress),
    ("autoconf", Key::Autoconf),
    ("accept-ra", Key::AcceptRa),
    ("dhcp", Key::Dhcp),
    ("bridge-ports", Key::BridgePorts),
    ("bridge-stp", Key::BridgeStp),
    ("bridge-fd", Key::BridgeFd),
    ("bond-slaves", Key::BondMembers),
    ("bond-members", Key::BondMembers),
    ("slaves", Key::BondMembers),
    ("bond-mode", Key::BondMode),
    ("bond-primary", Key::BondPrimary),
    ("bond-miimon", Key::BondMiimon),
    ("bond-updelay", Key::BondUpdelay),
    ("bond-downdelay", Key::BondDowndelay),
    ("bond-use-carrier", Key::BondUseCarrier),
    ("bond-arp-interval", Key::BondArpInterval),
    ("bond-arp-ip-target", Key::BondArpTarget),
    ("bond-arp-validate", Key::BondArpValidate),
    ("bond-master", Key::BondMaster),
    ("vlan-raw-device", Key::VlanRawDevice),
    ("vlan-id", Key::VlanId),
    ("use", Key::Use),
    ("inherit", Key::Inherit),
    // ifupdown-ng's, where the executor exists.
    ("ipv6-autoconf", Key::Autoconf),
    ("ipv6-accept-ra", Key::AcceptRa),
];

/// The command that accepts router advertisements also on a host that forwards.
const ACCEPT_RA: &str = "echo 2 > /proc/sys/net/ipv6/conf/$IFACE/accept_ra";

impl Key {
    /// The key of an option of the interface `name`, and its value as the file has it.
    pub(super) fn of<'a>(
        option: &str,
        value: &'a str,
        name: &str,
        dialect: Dialect,
    ) -> Option<(Self, &'a str)> {
        if matches!(option, "up" | "pre-up" | "post-up") {
            return command(value, name);
        }
        let dashed;
        let option = match dialect {
            Dialect::Ng => option,
            Dialect::Classic | Dialect::BusyBox => {
                dashed = option.replace('_', "-");
                &dashed
            }
        };
        let (_, key) = NAMES.iter().find(|(name, _)| *name == option)?;
        let is_ng = matches!(key, Self::Use | Self::Inherit) || option.starts_with("ipv6-");
        (is_ng <= (dialect == Dialect::Ng)).then_some((*key, value))
    }

    /// Whether it describes the device, and not an address: it may be in any stanza of the
    /// interface.
    pub(super) const fn is_device(self) -> bool {
        !matches!(
            self,
            Self::Address
                | Self::Netmask
                | Self::Gateway
                | Self::Autoconf
                | Self::AcceptRa
                | Self::Dhcp
        )
    }

    /// The value in the spelling in which values are compared; `None` if it is not understood.
    pub(super) fn canonical(self, value: &str, dialect: Dialect) -> Option<String> {
        let first = || value.split_ascii_whitespace().next();
        let number = || first()?.parse::<u32>().ok().map(|number| number.to_string());
        match self {
            Self::Address => Some(first()?.to_owned()),
            Self::Gateway => first()?.parse::<IpAddr>().ok().map(|it| it.to_string()),
            Self::HwAddress | Self::CommandHwAddress => {
                let mac = match (value.split_once(char::is_whitespace), dialect) {
                    (Some(("ether", mac)), Dialect::Classic | Dialect::BusyBox) => mac.trim(),
                    (_, Dialect::BusyBox) if self == Self::HwAddress => return None,
                    _ => value,
                };
                let mac = MacAddr::parse(mac).filter(MacAddr::is_ethernet)?;
                Some(mac.to_string())
            }
            Self::BridgePorts | Self::BondMembers => {
                let words = value.split_ascii_whitespace().filter(|word| *word != "none");
                let names: Result<Vec<_>, _> = words.map(IfName::new).collect();
                let names = names.ok()?.into_iter();
                Some(names.map(|name| name.to_string()).collect::<Vec<_>>().join(" "))
                    .filter(|_| !value.contains("regex") && value != "all")
            }
            Self::BridgeStp => Some(words::on_off(matches!(first()?, "on" | "yes")).to_owned()),
            Self::BridgeFd => delay(first()?).map(|delay| delay.to_string()),
            Self::BondMode => mode(first()?).map(|mode| words::bond_mode(mode).to_owned()),
            Self::Mtu
            | Self::CommandMtu
            | Self::VlanId
            | Self::BondMiimon
            | Self::BondUpdelay
            | Self::BondDowndelay
            | Self::BondUseCarrier
            | Self::BondArpInterval => number(),
            Self::BondArpTarget => value.parse::<Ipv4Addr>().ok().map(|it| it.to_string()),
            Self::Netmask
            | Self::Autoconf
            | Self::AcceptRa
            | Self::Dhcp
            | Self::Use
            | Self::BondPrimary
            | Self::BondArpValidate
            | Self::BondMaster
            | Self::VlanRawDevice
            | Self::CommandAcceptRa
            | Self::Inherit => Some(first()?.to_owned()),
        }
    }

    /// The lines that express a canonical value: options and values. `underscores` is the style of
    /// the file.
    pub(super) fn lines(
        self,
        value: &str,
        dialect: Dialect,
        underscores: bool,
    ) -> Vec<(String, String)> {
        let command = if self == Self::CommandMtu {
            Some(format!("ip link set dev $IFACE mtu {value}"))
        } else if self == Self::CommandHwAddress {
            Some(format!("ip link set dev $IFACE address {value}"))
        } else if self == Self::CommandAcceptRa {
            Some(ACCEPT_RA.to_owned())
        } else {
            None
        };
        if let Some(command) = command {
            return vec![("pre-up".to_owned(), command)];
        }
        let name = NAMES.iter().find(|(_, key)| *key == self).map_or("", |(name, _)| name);
        let name = match (self, dialect) {
            (Self::BondMembers, Dialect::Ng) => "bond-members".to_owned(),
            (Self::AcceptRa, Dialect::Classic | Dialect::BusyBox) => "accept_ra".to_owned(),
            (Self::BridgePorts | Self::BridgeStp | Self::BridgeFd, _) if underscores => {
                name.replace('-', "_")
            }
            _ => name.to_owned(),
        };
        match (self, dialect) {
            (Self::BridgePorts | Self::BondMembers, _) if value.is_empty() => {
                vec![(name, "none".to_owned())]
            }
            (Self::HwAddress, Dialect::BusyBox) => vec![(name, format!("ether {value}"))],
            (Self::Address, Dialect::BusyBox) => {
                let Some(prefix) = prefix(value) else { return vec![(name, value.to_owned())] };
                let mask = mask(prefix);
                vec![(name, prefix.address().to_string()), ("netmask".to_owned(), mask)]
            }
            _ => vec![(name, value.to_owned())],
        }
    }
}

/// Recognises the commands that stand for an option.
fn command<'a>(value: &'a str, name: &str) -> Option<(Key, &'a str)> {
    if value == ACCEPT_RA {
        return Some((Key::CommandAcceptRa, "2"));
    }
    let mut words = value.split_ascii_whitespace();
    let program = words.next()?;
    if !matches!(program, "ip" | "/sbin/ip" | "/bin/ip" | "/usr/sbin/ip" | "/usr/bin/ip") {
        return None;
    }
    let mut words = words.skip_while(|word| matches!(*word, "link" | "set" | "dev"));
    let device = words.next()?;
    let key = match words.next()? {
        "mtu" => Key::CommandMtu,
        "address" => Key::CommandHwAddress,
        _ => return None,
    };
    let value = words.next()?;
    let is_own = [name, "$IFACE", "${IFACE}", "\"$IFACE\""].contains(&device);
    (is_own && words.next().is_none()).then_some((key, value))
}

/// An address with its prefix.
pub(super) fn prefix(value: &str) -> Option<IpPrefix> {
    let (address, len) = value.split_once('/')?;
    IpPrefix::new(address.parse().ok()?, len.parse().ok()?)
}

/// The prefix of an address and the value of `netmask`.
pub(super) fn with_netmask(
    address: &str,
    netmask: Option<&str>,
    dialect: Dialect,
) -> Option<IpPrefix> {
    if address.contains('/') {
        return prefix(address).filter(|_| dialect != Dialect::BusyBox);
    }
    let address: IpAddr = address.parse().ok()?;
    let len = match netmask {
        Some(mask) => match mask.parse::<Ipv4Addr>() {
            Ok(mask) => {
                let bits = mask.to_bits();
                (bits.leading_ones() + bits.trailing_zeros() >= 32).then_some(())?;
                u8::try_from(bits.leading_ones()).ok()?
            }
            Err(_) if dialect == Dialect::BusyBox && address.is_ipv4() => return None,
            Err(_) => mask.parse().ok()?,
        },
        None => default_len(address, dialect)?,
    };
    IpPrefix::new(address, len)
}

/// The length of the prefix where the file has none.
fn default_len(address: IpAddr, dialect: Dialect) -> Option<u8> {
    match (address, dialect) {
        (IpAddr::V4(_), Dialect::Ng) => Some(24),
        (IpAddr::V6(_), Dialect::Ng) => Some(64),
        (IpAddr::V4(address), Dialect::Classic) => match address.octets() {
            [..128, _, _, _] => Some(8),
            [128..192, _, _, _] => Some(16),
            [192..224, _, _, _] => Some(24),
            _ => None,
        },
        (IpAddr::V6(_), Dialect::Classic) => Some(128),
        (_, Dialect::BusyBox) => None,
    }
}

/// The value of `netmask`: a dotted quad, or a number for IPv6.
pub(super) fn mask(prefix: IpPrefix) -> String {
    if prefix.address().is_ipv6() {
        return prefix.prefix_len().to_string();
    }
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix.prefix_len())).unwrap_or(0);
    Ipv4Addr::from_bits(bits).to_string()
}

/// Seconds with at most two decimals.
fn delay(text: &str) -> Option<ForwardDelay> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let hundredths = match fraction.len() {
        0 => 0,
        1 => fraction.parse::<u32>().ok()?.checked_mul(10)?,
        2 => fraction.parse().ok()?,
        _ => return None,
    };
    let whole: u32 = whole.parse().ok()?;
    whole.checked_mul(100)?.checked_add(hundredths).map(ForwardDelay)
}

/// A bond's mode, by its name or the kernel's number.
pub(super) fn mode(text: &str) -> Option<BondMode> {
    let by_number = text.parse().ok().and_then(|at: usize| words::BOND_MODES.get(at).copied());
    by_number.or_else(|| words::find(&words::BOND_MODES, words::bond_mode, text))
}

/// The delay in a canonical value.
pub(super) fn forward_delay(value: &str) -> Option<ForwardDelay> {
    delay(value)
}
