// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads links whose changes are not announced: bridges and bonds that are down, and the members of
//! a balance-tlb bond.
//!
//! They are read below /sys, which takes no lock. A netlink request would wait for the kernel's
//! lock of all network devices (RTNL), which any user can keep busy for many seconds.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::io::files;
use crate::limits::{BOND_TARGET_COUNT_MAX, SYS_VALUE_LEN_MAX};
use crate::model::address::MacAddr;
use crate::model::interface::ForwardDelay;
use crate::netlink::link::{
    Link, LinkBond, LinkBridge, LinkKind, decode_arp_validate, decode_bond_mode, decode_carrier,
};

const DIR: &str = "/sys/class/net";

/// Reads a link. Attributes that /sys does not have are taken from `known`.
pub(super) fn read(known: &Link) -> Link {
    let dir = Path::new(DIR).join(known.name.as_str());
    let text = |file: &str| files::read_text(&dir.join(file), SYS_VALUE_LEN_MAX).ok();
    let mac = text("address").and_then(|text| MacAddr::parse(text.trim()));
    let kind = match &known.kind {
        LinkKind::Bridge(bridge) => LinkKind::Bridge(read_bridge(*bridge, text)),
        LinkKind::Bond(bond) => LinkKind::Bond(Box::new(read_bond(bond, text))),
        LinkKind::Nic
        | LinkKind::Tun
        | LinkKind::Veth
        | LinkKind::Vlan { .. }
        | LinkKind::Other => known.kind.clone(),
    };
    Link { mac: mac.or(known.mac), kind, ..known.clone() }
}

fn read_bridge(known: LinkBridge, text: impl Fn(&str) -> Option<String>) -> LinkBridge {
    let number = |file: &str| text(file)?.trim().parse().ok();
    LinkBridge {
        stp: number("bridge/stp_state").map_or(known.stp, |state: u32| state != 0),
        forward_delay: number("bridge/forward_delay").map_or(known.forward_delay, ForwardDelay),
    }
}

/// Reads a bond. Most files have a word and its number, such as `active-backup 1`.
fn read_bond(known: &LinkBond, text: impl Fn(&str) -> Option<String>) -> LinkBond {
    let number = |file: &str| -> Option<u32> {
        text(&format!("bonding/{file}"))?.split_whitespace().next_back()?.parse().ok()
    };
    let byte = |file: &str| number(file).and_then(|number| u8::try_from(number).ok());
    let targets = text("bonding/arp_ip_target").map(|targets| {
        let targets = targets.split_whitespace().filter_map(|it| it.parse::<Ipv4Addr>().ok());
        targets.take(BOND_TARGET_COUNT_MAX).collect()
    });
    LinkBond {
        mode: byte("mode").map_or(known.mode, decode_bond_mode),
        miimon: number("miimon").unwrap_or(known.miimon),
        updelay: number("updelay").unwrap_or(known.updelay),
        downdelay: number("downdelay").unwrap_or(known.downdelay),
        carrier: byte("use_carrier").map_or(known.carrier, decode_carrier),
        arp_interval: number("arp_interval").unwrap_or(known.arp_interval),
        arp_targets: targets.unwrap_or_else(|| known.arp_targets.clone()),
        arp_validate: number("arp_validate").map_or(known.arp_validate, decode_arp_validate),
    }
}
