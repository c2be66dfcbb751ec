// SPDX-License-Identifier: LGPL-2.1-or-later
//! The XML's words for the model's enumerations, once for both directions.
//!
//! Each enumeration has a `match` that names all its values, so that none lacks a word, and a list
//! in the same order, so that a word is found by comparing.

use crate::model::address::Family;
use crate::model::interface::{
    ArpValidate, BondMode, Kind, MiiCarrier, OperState, PortKind, StartMode,
};

/// The value of `all` whose word is `text`.
pub(crate) fn find<T: Copy>(all: &[T], word: fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|value| word(*value) == text)
}

/// A [`Kind`] without what it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KindName {
    Ethernet,
    Bridge,
    Bond,
    Vlan,
}

pub(super) const KINDS: [KindName; 4] =
    [KindName::Ethernet, KindName::Bridge, KindName::Bond, KindName::Vlan];

pub(super) fn kind(name: KindName) -> &'static str {
    match name {
        KindName::Ethernet => "ethernet",
        KindName::Bridge => "bridge",
        KindName::Bond => "bond",
        KindName::Vlan => "vlan",
    }
}

impl From<&Kind> for KindName {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Ethernet(_) => Self::Ethernet,
            Kind::Bridge(_) => Self::Bridge,
            Kind::Bond(_) => Self::Bond,
            Kind::Vlan(_) => Self::Vlan,
        }
    }
}

impl From<&PortKind> for KindName {
    fn from(kind: &PortKind) -> Self {
        match kind {
            PortKind::Ethernet(_) => Self::Ethernet,
            PortKind::Bond(_) => Self::Bond,
            PortKind::Vlan(_) => Self::Vlan,
        }
    }
}

pub(super) const START_MODES: [StartMode; 3] =
    [StartMode::Onboot, StartMode::Hotplug, StartMode::None];

pub(super) fn start_mode(mode: StartMode) -> &'static str {
    match mode {
        StartMode::Onboot => "onboot",
        StartMode::Hotplug => "hotplug",
        StartMode::None => "none",
    }
}

pub(super) const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

pub(crate) fn family(family: Family) -> &'static str {
    family.as_str()
}

pub(super) const YES_NO: [bool; 2] = [true, false];

pub(super) fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

pub(super) const ON_OFF: [bool; 2] = [true, false];

pub(crate) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

pub(super) const OPER_STATES: [OperState; 7] = [
    OperState::Unknown,
    OperState::NotPresent,
    OperState::Down,
    OperState::LowerLayerDown,
    OperState::Testing,
    OperState::Dormant,
    OperState::Up,
];

pub(super) fn oper_state(state: OperState) -> &'static str {
    match state {
        OperState::Unknown => "unknown",
        OperState::NotPresent => "notpresent",
        OperState::Down => "down",
        OperState::LowerLayerDown => "lowerlayerdown",
        OperState::Testing => "testing",
        OperState::Dormant => "dormant",
        OperState::Up => "up",
    }
}

pub(crate) const BOND_MODES: [BondMode; 7] = [
    BondMode::BalanceRr,
    BondMode::ActiveBackup,
    BondMode::BalanceXor,
    BondMode::Broadcast,
    BondMode::Ieee8023ad,
    BondMode::BalanceTlb,
    BondMode::BalanceAlb,
];

pub(crate) fn bond_mode(mode: BondMode) -> &'static str {
    match mode {
        BondMode::BalanceRr => "balance-rr",
        BondMode::ActiveBackup => "active-backup",
        BondMode::BalanceXor => "balance-xor",
        BondMode::Broadcast => "broadcast",
        BondMode::Ieee8023ad => "802.3ad",
        BondMode::BalanceTlb => "balance-tlb",
        BondMode::BalanceAlb => "balance-alb",
    }
}

pub(super) const MII_CARRIERS: [MiiCarrier; 2] = [MiiCarrier::Ioctl, MiiCarrier::Netif];

pub(crate) fn mii_carrier(carrier: MiiCarrier) -> &'static str {
    match carrier {
        MiiCarrier::Ioctl => "ioctl",
        MiiCarrier::Netif => "netif",
    }
}

pub(crate) const ARP_VALIDATES: [ArpValidate; 3] =
    [ArpValidate::Active, ArpValidate::Backup, ArpValidate::All];

pub(crate) fn arp_validate(validate: ArpValidate) -> &'static str {
    match validate {
        ArpValidate::Active => "active",
        ArpValidate::Backup => "backup",
        ArpValidate::All => "all",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_again() {
        fn check<T: Copy + PartialEq + std::fmt::Debug>(all: &[T], word: fn(T) -> &'static str) {
            for value in all {
                assert_eq!(find(all, word, word(*value)), Some(*value));
            }
            assert_eq!(find(all, word, ""), None);
        }
        check(&KINDS, kind);
        check(&START_MODES, start_mode);
        check(&FAMILIES, family);
        check(&YES_NO, yes_no);
        check(&ON_OFF, on_off);
        check(&OPER_STATES, oper_state);
        check(&BOND_MODES, bond_mode);
        check(&MII_CARRIERS, mii_carrier);
        check(&ARP_VALIDATES, arp_validate);
    }

    #[test]
    fn states_have_the_schemas_words() {
        let words = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];
        assert_eq!(OPER_STATES.map(oper_state), words);
    }
}
