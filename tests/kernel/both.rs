// SPDX-License-Identifier: LGPL-2.1-or-later
//! The same requests sent to the kernel and to the kernel made of values that tests and fuzzing
//! use: both refuse the same ones with the same errno.

use std::net::IpAddr;

use simulation::value_kernel::ValueKernel;
use virtinterfaced::host::Host;
use virtinterfaced::io::channel::Channel;
use virtinterfaced::io::kernel::Kernel;
use virtinterfaced::model::address::{IpPrefix, MacAddr};
use virtinterfaced::model::interface::{BondMode, BondMonitor, ForwardDelay};
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::record::address::AddressRecord;
use virtinterfaced::netlink::record::route::RouteRecord;
use virtinterfaced::plan::request::{KernelRequest, LinkSpec, LinkValue, SpecKind};
use virtinterfaced::plan::step::Step;

use crate::support::command::ip_batch;
use crate::{BOND, VLAN, on_kernel_with};

/// Lines for `ip -batch`, and the same for the kernel made of values.
const LINKS: &str = "\
link add e0 address 52:54:00:00:00:01 type veth peer name far0
link add e1 address 52:54:00:00:00:02 type veth peer name far1
link add e2 address 52:54:00:00:00:03 type veth peer name far2
link set e0 up
link set e1 up
link set far0 up
link set far1 up
link set far2 up
";
const VALUES: &str = "
link e0 nic up mac 52:54:00:00:00:01
link e1 nic up mac 52:54:00:00:00:02
link e2 nic mac 52:54:00:00:00:03
";

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn add(name_: &str, kind: SpecKind) -> Step {
    Step::Request(KernelRequest::AddLink(LinkSpec { name: name(name_), mac: None, kind }))
}

fn bridge(name: &str) -> Step {
    add(name, SpecKind::Bridge { stp: None, delay: None })
}

fn vlan(name_: &str, parent: &str, tag: u16) -> Step {
    add(name_, SpecKind::Vlan { tag, parent: name(parent) })
}

fn bond(name: &str, mode: BondMode, monitor: Option<BondMonitor>) -> Step {
    add(name, SpecKind::Bond { mode: Some(mode), monitor })
}

fn mii(freq: u32) -> BondMonitor {
    BondMonitor::Mii { freq, downdelay: 0, updelay: 0, carrier: None }
}

fn arp() -> BondMonitor {
    BondMonitor::Arp { interval: 100, target: "192.0.2.9".parse().unwrap(), validate: None }
}

fn set(link: &str, value: LinkValue) -> Step {
    Step::Request(KernelRequest::SetLink { link: name(link), value })
}

fn master(link: &str, master: &str) -> Step {
    set(link, LinkValue::Master(name(master)))
}

fn delete(link: &str) -> Step {
    Step::Request(KernelRequest::DeleteLink(name(link)))
}

fn prefix(text: &str) -> IpPrefix {
    let (address, len) = text.split_once('/').unwrap();
    IpPrefix::new(ip(address), len.parse().unwrap()).unwrap()
}

fn address(link: &str, text: &str) -> Step {
    Step::Request(KernelRequest::AddAddress {
        link: name(link),
        record: AddressRecord::permanent(prefix(text)),
    })
}

fn no_address(link: &str, text: &str) -> Step {
    Step::Request(KernelRequest::DeleteAddress {
        link: name(link),
        record: AddressRecord::permanent(prefix(text)),
    })
}

fn gateway(link: &str, text: &str) -> Step {
    Step::Request(KernelRequest::AddRoute {
        link: name(link),
        record: RouteRecord::default_over(ip(text)),
    })
}

fn no_gateway(link: &str, text: &str) -> Step {
    Step::Request(KernelRequest::DeleteRoute {
        link: name(link),
        record: RouteRecord::default_over(ip(text)),
    })
}

/// The steps in order: each depends on the ones before it.
fn steps() -> Vec<Step> {
    [bridges(), addresses(), vlans(), bonds()].concat()
}

fn bridges() -> Vec<Step> {
    let mac = |text| MacAddr::parse(text).unwrap();
    let delay = |hundredths| LinkValue::Delay(ForwardDelay(hundredths));
    vec![
        bridge("br0"),
        bridge("br0"),
        bridge("e0"),
        bridge("br1"),
        master("br1", "br0"),
        master("e0", "br0"),
        master("e0", "br0"),
        master("e0", "br1"),
        master("e0", "br0"),
        master("e1", "e0"),
        master("br0", "br0"),
        set("e0", LinkValue::NoMaster),
        set("e0", LinkValue::NoMaster),
        master("e0", "br0"),
        set("br0", delay(100)),
        set("br0", LinkValue::Stp(true)),
        set("br0", delay(100)),
        set("br0", delay(4000)),
        set("br0", delay(200)),
        set("br0", LinkValue::Stp(false)),
        set("br0", delay(0)),
        set("br0", LinkValue::Up),
        set("br0", LinkValue::Mtu(67)),
        set("br0", LinkValue::Mtu(1400)),
        set("br0", LinkValue::Mtu(70_000)),
        set("br0", LinkValue::Mac(mac("52:54:00:00:00:99"))),
        set("br0", LinkValue::Mac(mac("01:00:5e:00:00:01"))),
        set("br0", LinkValue::Mac(mac("00:00:00:00:00:00"))),
        set("br1", LinkValue::Name(name("br0"))),
        set("br1", LinkValue::Name(name("br2"))),
    ]
}

fn addresses() -> Vec<Step> {
    vec![
        address("br0", "192.0.2.1/24"),
        address("br0", "192.0.2.1/24"),
        address("br0", "192.0.2.2/24"),
        address("br0", "192.0.2.1/25"),
        no_address("br0", "192.0.2.9/24"),
        no_address("br0", "192.0.2.2/24"),
        no_address("br0", "192.0.2.2/24"),
        address("br0", "2001:db8::1/64"),
        address("br0", "2001:db8::1/64"),
        no_address("br0", "2001:db8::2/64"),
        gateway("br0", "192.0.2.254"),
        gateway("br0", "192.0.2.254"),
        gateway("br0", "203.0.113.1"),
        gateway("br0", "192.0.2.1"),
        gateway("e2", "192.0.2.254"),
        gateway("e2", "2001:db8::9"),
        address("e2", "198.51.100.1/24"),
        gateway("e2", "198.51.100.254"),
        no_gateway("br0", "192.0.2.253"),
        no_gateway("br0", "192.0.2.254"),
        no_gateway("br0", "192.0.2.254"),
        gateway("br0", "2001:db8::9"),
        gateway("br0", "2001:db8::9"),
        no_gateway("br0", "2001:db8::8"),
    ]
}

fn vlans() -> Vec<Step> {
    vec![
        vlan("e1.5", "e1", 5),
        vlan("e1.5", "e1", 6),
        vlan("e1.x", "e1", 5),
        vlan("e1.0", "e1", 0),
        vlan("e1.m", "e1", 4094),
        vlan("br0.7", "br0", 7),
        vlan("e1.5.6", "e1.5", 6),
        set("e1.5", LinkValue::Mtu(1600)),
        set("e1.5", LinkValue::Mtu(1300)),
        set("e1.5", LinkValue::Up),
        master("e1.5", "br2"),
        master("br2", "e1.5"),
        delete("e1.5"),
        delete("e1.0"),
    ]
}

fn bonds() -> Vec<Step> {
    vec![
        bond("bond0", BondMode::ActiveBackup, Some(mii(100))),
        bond("bond0", BondMode::ActiveBackup, None),
        bond("bond1", BondMode::BalanceTlb, Some(arp())),
        bond("bond2", BondMode::Ieee8023ad, Some(arp())),
        bond("bond3", BondMode::ActiveBackup, Some(arp())),
        master("e1", "bond0"),
        set("e1", LinkValue::Down),
        master("e1", "bond0"),
        master("e1", "br2"),
        set("bond0", LinkValue::Primary(name("e1"))),
        set("bond0", LinkValue::Primary(name("e2"))),
        set("bond0", LinkValue::NoPrimary),
        set("bond0", LinkValue::Monitor(mii(0))),
        set("bond0", LinkValue::Monitor(arp())),
        set("bond0", LinkValue::Monitor(mii(50))),
        master("bond0", "br2"),
        set("e1", LinkValue::NoMaster),
        delete("bond0"),
        delete("br2"),
        delete("br0"),
    ]
}

#[test]
fn the_kernel_made_of_values_refuses_what_the_kernel_refuses() {
    on_kernel_with(&[BOND, VLAN], || {
        ip_batch(LINKS);
        let mut values: ValueKernel = VALUES.parse().unwrap();
        let mut kernel = Kernel::open().unwrap();
        let mut changes = Channel::open().unwrap();
        let (mut host, mut buffer) = (Host::default(), vec![0; 65_536]);
        let mut differences = Vec::new();
        for step in steps() {
            kernel.drain(&mut host, &mut buffer).unwrap();
            changes.begin();
            let Step::Request(request) = &step else { panic!("{step} is not a request") };
            let added = changes.add(|out, sequence| request.encode(out, sequence, &host));
            let answer = added.map(|()| {
                changes.send();
                changes.poll_answer().expect("it is answered at once")
            });
            let real = match answer {
                Ok(answer) => answer.err().map(|err| err.errno),
                Err(_) => Some(libc::ENODEV),
            };
            let simulated = values.perform(&step).err().map(|err| err.errno);
            if real != simulated {
                differences.push(format!("{step}: {real:?}, and of values: {simulated:?}"));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    });
}
