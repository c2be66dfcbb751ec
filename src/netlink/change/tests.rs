// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`]: requests as the kernel gets them, on a little-endian machine.

#![cfg(target_endian = "little")]

use std::net::Ipv4Addr;

use super::*;
use crate::model::interface::{ArpValidate, MiiCarrier};

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

/// The bytes that an encoder appends, as hexadecimal words of four bytes, without the message's
/// length and port.
fn hex(encode: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = vec![0xa5; 3];
    encode(&mut out);
    let message = out.split_off(3);
    assert_eq!(out, [0xa5; 3], "appended");
    let len = u32::try_from(message.len()).unwrap();
    assert_eq!(message.get(..4).unwrap(), len.to_ne_bytes());
    assert_eq!(message.get(12..16).unwrap(), [0; 4], "the port");
    let word = |word: &[u8]| word.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (head, rest) = (message.get(4..12).unwrap(), message.get(16..).unwrap());
    head.chunks(4).chain(rest.chunks(4)).map(word).collect::<Vec<_>>().join(" ")
}

/// Type 16, flags 5 (request, acknowledged), sequence 7; link 9 with no flag.
const SET: &str = "10000500 07000000 00000000 09000000 00000000 00000000";

#[test]
fn what_is_set_of_a_link_is_all_that_the_request_says() {
    struct Case(&'static str, Setting<'static>, &'static str);
    let cases = [
        Case("mtu", Setting::Mtu(9000), "08000400 28230000"),
        Case(
            "mac",
            Setting::Mac(MacAddr::new(&[2, 0, 0, 0, 0, 1]).unwrap()),
            "0a000100 02000000 00010000",
        ),
        Case("master", Setting::Master(Some(LinkIndex(3))), "08000a00 03000000"),
        Case("no master", Setting::Master(None), "08000a00 00000000"),
        Case(
            "stp",
            Setting::Stp(true),
            "1c001200 0b000100 62726964 67650000 0c000200 08000500 01000000",
        ),
        Case(
            "delay",
            Setting::ForwardDelay(ForwardDelay(1500)),
            "1c001200 0b000100 62726964 67650000 0c000200 08000100 dc050000",
        ),
    ];
    for Case(label, setting, want) in cases {
        let got = hex(|out| encode_set(out, 7, LinkIndex(9), setting));
        assert_eq!(got, format!("{SET} {want}"), "{label}");
    }
}

#[test]
fn a_bonds_monitor_is_set_with_what_belongs_to_it() {
    let mii = BondMonitor::Mii { freq: 100, downdelay: 200, updelay: 300, carrier: None };
    let off =
        BondMonitor::Mii { freq: 0, downdelay: 0, updelay: 0, carrier: Some(MiiCarrier::Ioctl) };
    let arp = BondMonitor::Arp {
        interval: 100,
        target: Ipv4Addr::new(192, 0, 2, 1),
        validate: Some(ArpValidate::All),
    };
    let bond = |mode, miimon, arp_interval| LinkBond {
        mode: Some(mode),
        miimon,
        updelay: miimon,
        arp_interval,
        arp_targets: vec![Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)],
        ..LinkBond::default()
    };
    let was_arp = bond(BondMode::ActiveBackup, 0, 500);
    let was_mii = bond(BondMode::Ieee8023ad, 100, 0);
    struct Case<'a>(&'static str, Setting<'a>, &'static str);
    let cases = [
        Case(
            "mii",
            Setting::Monitor(&mii),
            "2c001200 09000100 626f6e64 00000000 1c000200 08000300 64000000 \
             08000400 2c010000 08000500 c8000000",
        ),
        Case(
            "mii off",
            Setting::Monitor(&off),
            "24001200 09000100 626f6e64 00000000 14000200 08000300 00000000 05000600 00000000",
        ),
        Case(
            "arp",
            Setting::Monitor(&arp),
            "30001200 09000100 626f6e64 00000000 20000200 08000700 64000000 \
             0c000800 08000000 c0000201 08000900 03000000",
        ),
        Case(
            "arp again",
            Setting::MonitorAgain(&was_arp),
            "40001200 09000100 626f6e64 00000000 30000200 05000600 01000000 08000700 f4010000 \
             14000800 08000000 c0000201 08000000 c0000202 08000900 00000000",
        ),
        Case(
            "mii again, where ARP is unknown",
            Setting::MonitorAgain(&was_mii),
            "34001200 09000100 626f6e64 00000000 24000200 08000300 64000000 \
             08000400 64000000 08000500 00000000 05000600 01000000",
        ),
    ];
    for Case(label, setting, want) in cases {
        let got = hex(|out| encode_set(out, 7, LinkIndex(9), setting));
        assert_eq!(got, format!("{SET} {want}"), "{label}");
    }
}

#[test]
fn up_and_down_change_one_flag() {
    let head = "10000500 07000000 00000000 09000000";
    let up = hex(|out| encode_set(out, 7, LinkIndex(9), Setting::Up));
    assert_eq!(up, format!("{head} 01000000 01000000"));
    let down = hex(|out| encode_set(out, 7, LinkIndex(9), Setting::Down));
    assert_eq!(down, format!("{head} 00000000 01000000"));
}

#[test]
fn a_link_is_made_exclusively_and_whole() {
    struct Case<'a>(&'static str, NewLink<'a>, &'static str);
    let (br0, bond0, vlan) = (name("br0"), name("bond0"), name("eth0.5"));
    let arp = BondMonitor::Arp { interval: 1, target: Ipv4Addr::new(1, 2, 3, 4), validate: None };
    let mac = MacAddr::new(&[2, 0, 0, 0, 0, 1]);
    let cases = [
        Case(
            "a bridge that says nothing",
            NewLink { name: &br0, mac: None, kind: NewKind::Bridge { stp: None, delay: None } },
            "08000300 62723000 14001200 0b000100 62726964 67650000 04000200",
        ),
        Case(
            "a bridge: the delay before STP",
            NewLink {
                name: &br0,
                mac,
                kind: NewKind::Bridge { stp: Some(true), delay: Some(ForwardDelay(0)) },
            },
            "08000300 62723000 0a000100 02000000 00010000 24001200 0b000100 62726964 67650000 \
             14000200 08000100 00000000 08000500 01000000",
        ),
        Case(
            "a bond: the mode before the monitor",
            NewLink {
                name: &bond0,
                mac: None,
                kind: NewKind::Bond { mode: Some(BondMode::ActiveBackup), monitor: Some(&arp) },
            },
            "0a000300 626f6e64 30000000 30001200 09000100 626f6e64 00000000 20000200 \
             05000100 01000000 08000700 01000000 0c000800 08000000 01020304",
        ),
        Case(
            "a VLAN",
            NewLink {
                name: &vlan,
                mac: None,
                kind: NewKind::Vlan { tag: 5, parent: LinkIndex(3) },
            },
            "0b000300 65746830 2e350000 08000500 03000000 1c001200 09000100 766c616e 00000000 \
             0c000200 06000100 05000000",
        ),
    ];
    // In addition: create, exclusive.
    let head = "10000506 07000000 00000000 00000000 00000000 00000000";
    for Case(label, link, want) in cases {
        assert_eq!(hex(|out| encode_add(out, 7, &link)), format!("{head} {want}"), "{label}");
    }
}

#[test]
fn a_link_is_deleted_by_its_number() {
    let got = hex(|out| encode_delete(out, 7, LinkIndex(9)));
    assert_eq!(got, "11000500 07000000 00000000 09000000 00000000 00000000");
}
