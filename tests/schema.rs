// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every XML document from the daemon is valid by libvirt's own schema: xmllint validates the live
//! and inactive descriptions of links of every kind on random hosts.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect, and talks"
)]

#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "support/random.rs"]
mod random;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use virtinterfaced::host::Host;
use virtinterfaced::host::describe::{self, Findings, View};
use virtinterfaced::model::address::{Family, IpPrefix, MacAddr};
use virtinterfaced::model::interface::{
    ArpValidate, BondMode, ForwardDelay, MiiCarrier, OperState,
};
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::Event;
use virtinterfaced::netlink::address::{
    Address, AddressEvent, AddressOrigin, Lifetime, Role, Scope,
};
use virtinterfaced::netlink::link::{Link, LinkBond, LinkBridge, LinkEvent, LinkIndex, LinkKind};
use virtinterfaced::xml::format;

const SCHEMA: &str = "/usr/share/libvirt/schemas/interface.rng";
const HOST_COUNT: usize = 60;

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

fn some<T>(rng: &mut Rng, value: T) -> Option<T> {
    rng.bool().then_some(value)
}

fn bond(rng: &mut Rng) -> LinkBond {
    use BondMode::{
        ActiveBackup, BalanceAlb, BalanceRr, BalanceTlb, BalanceXor, Broadcast, Ieee8023ad,
    };
    let modes =
        [BalanceRr, ActiveBackup, BalanceXor, Broadcast, Ieee8023ad, BalanceTlb, BalanceAlb];
    let (mode, validate) = (
        pick(rng, &modes),
        pick(rng, &[ArpValidate::Active, ArpValidate::Backup, ArpValidate::All]),
    );
    LinkBond {
        mode: some(rng, mode),
        miimon: rng.u32(0..3) * 100,
        updelay: rng.u32(0..2) * 200,
        downdelay: rng.u32(0..2) * 300,
        carrier: pick(rng, &[MiiCarrier::Ioctl, MiiCarrier::Netif]),
        arp_interval: rng.u32(0..2) * 50,
        arp_targets: (0..rng.usize(0..3)).map(|_| Ipv4Addr::from_bits(rng.u32(..))).collect(),
        arp_validate: some(rng, validate),
    }
}

fn kind(rng: &mut Rng) -> LinkKind {
    match rng.u8(0..6) {
        0 => LinkKind::Bridge(LinkBridge {
            stp: rng.bool(),
            forward_delay: ForwardDelay(rng.u32(0..4000)),
        }),
        1 => LinkKind::Bond(Box::new(bond(rng))),
        2 => LinkKind::Vlan { tag: rng.u16(0..4096) },
        3 => LinkKind::Tun,
        4 => LinkKind::Veth,
        _ => LinkKind::Nic,
    }
}

fn link(rng: &mut Rng, index: u32, count: u32) -> Link {
    use OperState::{Dormant, Down, LowerLayerDown, NotPresent, Testing, Unknown, Up};
    let mac_len = pick(rng, &[0, 4, 6, 6, 6, 20]);
    let mac: Vec<u8> = (0..mac_len).map(|_| rng.u8(..)).collect();
    let (master, parent) = (LinkIndex(rng.u32(1..=count)), LinkIndex(rng.u32(1..=count + 1)));
    Link {
        index: LinkIndex(index),
        name: IfName::new(format!("{}{index}", pick(rng, &["eth", "br-", "vnet", "a.b_"])))
            .unwrap(),
        up: rng.bool(),
        carrier: rng.bool(),
        mtu: rng.u32(68..65_537),
        mac: MacAddr::new(&mac),
        oper_state: pick(
            rng,
            &[Unknown, NotPresent, Down, LowerLayerDown, Testing, Dormant, Up, Up, Up],
        ),
        // Only earlier links, as the kernel permits no cycles.
        master: some(rng, master).filter(|master| master.0 < index),
        parent: some(rng, parent),
        kind: kind(rng),
    }
}

fn ip(rng: &mut Rng) -> IpAddr {
    if rng.bool() {
        IpAddr::V4(Ipv4Addr::from_bits(rng.u32(..)))
    } else {
        // Runs of zeros and IPv4-mapped addresses, which a schema's pattern may miss.
        let groups = [0; 8].map(|_: u16| if rng.bool() { rng.u16(..) } else { 0 });
        IpAddr::V6(Ipv6Addr::from(groups))
    }
}

fn address(rng: &mut Rng, count: u32) -> Address {
    let ip = ip(rng);
    let len = rng.u8(0..=Family::of(ip).prefix_len_max());
    Address {
        link: LinkIndex(rng.u32(1..=count)),
        prefix: IpPrefix::new(ip, len).unwrap(),
        peer: None,
        role: pick(rng, &[Role::Primary, Role::Secondary, Role::Temporary]),
        scope: pick(rng, &[Scope::Global, Scope::Site, Scope::Link, Scope::Host]),
        lifetime: pick(rng, &[Lifetime::Permanent, Lifetime::Finite]),
        origin: pick(rng, &[AddressOrigin::Unknown, AddressOrigin::RouterAdvertisement]),
    }
}

fn host(rng: &mut Rng) -> Host {
    let count = rng.u32(1..25);
    let mut host = Host::default();
    for index in 1..=count {
        host.apply(Event::Link(LinkEvent::New(link(rng, index, count))));
    }
    for _ in 0..rng.u32(0..40) {
        host.apply(Event::Address(AddressEvent::New(address(rng, count))));
    }
    host
}

fn findings(rng: &mut Rng, host: &Host) -> Findings {
    let speeds = host.links().filter(|_| rng.bool()).map(|link| (link.index, 10_000)).collect();
    let gateways = (0..rng.u8(0..3)).map(|_| ip(rng)).collect();
    Findings { gateways, speeds, ..Findings::default() }
}

/// Writes the XML of every link of every host into `folder`, and returns the number of files.
fn write_all(rng: &mut Rng, folder: &Path) -> usize {
    let mut count = 0;
    for _ in 0..HOST_COUNT {
        let host = host(rng);
        let findings = findings(rng, &host);
        for link in host.links() {
            for view in [View::Live, View::Inactive] {
                let xml = format::format(&describe::interface(&host, link, &findings, view));
                fs::write(folder.join(format!("{count}.xml")), xml).unwrap();
                count += 1;
            }
        }
    }
    count
}

#[test]
fn every_description_is_valid_by_libvirts_schema() {
    let has_xmllint = Command::new("xmllint").arg("--version").output().is_ok();
    if !has_xmllint || !Path::new(SCHEMA).exists() {
        let must = ["CI", "REQUIRE_NETNS"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!must, "xmllint or {SCHEMA} is missing");
        eprintln!("SKIP: xmllint or {SCHEMA} is missing");
        return;
    }
    let seed = random::seed("SCHEMA_SEED");
    println!("SCHEMA_SEED={seed}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("schema-{seed}"));
    fs::create_dir_all(&folder).unwrap();
    let count = write_all(&mut Rng::with_seed(seed), &folder);
    let files = (0..count).map(|number| folder.join(format!("{number}.xml")));
    let output = Command::new("xmllint")
        .args(["--noout", "--relaxng", SCHEMA])
        .args(files)
        .output()
        .unwrap();
    let verdict = String::from_utf8_lossy(&output.stderr);
    let bad: Vec<_> = verdict.lines().filter(|line| !line.ends_with("validates")).collect();
    assert!(bad.is_empty(), "in {}: {bad:#?}", folder.display());
    assert_eq!(verdict.lines().count(), count, "each file was judged");
    fs::remove_dir_all(folder).unwrap();
}
