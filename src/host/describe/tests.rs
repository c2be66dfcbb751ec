// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of the XML of hosts: clients read this text, so it shows a description best.

use std::net::Ipv4Addr;

use super::*;
use crate::model::address::{IpPrefix, MacAddr};
use crate::model::interface::{ArpValidate, BondMode, ForwardDelay, MiiCarrier};
use crate::netlink::Event;
use crate::netlink::address::AddressEvent;
use crate::netlink::link::{LinkBridge, LinkEvent};
use crate::xml::format;

fn link(index: u32, name: &str) -> Link {
    Link {
        index: LinkIndex(index),
        name: IfName::new(name).unwrap(),
        up: true,
        mtu: 1500,
        mac: MacAddr::new(&[2, 0, 0, 0, 0, u8::try_from(index).unwrap()]),
        carrier: true,
        oper_state: OperState::Up,
        master: None,
        parent: None,
        kind: LinkKind::Nic,
    }
}

fn port(index: u32, name: &str, master: u32) -> Link {
    Link { master: Some(LinkIndex(master)), ..link(index, name) }
}

fn bridge(index: u32, name: &str, delay: u32) -> Link {
    let kind = LinkKind::Bridge(LinkBridge { stp: true, forward_delay: ForwardDelay(delay) });
    Link { kind, ..link(index, name) }
}

fn bond(index: u32, name: &str, change: impl FnOnce(&mut LinkBond)) -> Link {
    let mut bond = LinkBond { mode: Some(BondMode::ActiveBackup), ..LinkBond::default() };
    change(&mut bond);
    Link { kind: LinkKind::Bond(Box::new(bond)), ..link(index, name) }
}

fn host(links: &[Link], addresses: &[Address]) -> Host {
    let mut host = Host::default();
    for link in links {
        host.apply(Event::Link(LinkEvent::New(link.clone())));
    }
    for address in addresses {
        host.apply(Event::Address(AddressEvent::New(*address)));
    }
    host
}

fn xml(host: &Host, name: &str, findings: &Findings, view: View) -> String {
    let link = host.link_named(&IfName::new(name).unwrap()).unwrap();
    format::format(&interface(host, link, findings, view))
}

/// Returns the XML of `name` without its first two lines and its last, which every link has.
fn body(host: &Host, name: &str) -> String {
    let text = xml(host, name, &Findings::default(), View::Live);
    let lines: Vec<_> = text.lines().collect();
    lines[2..lines.len() - 1].join("\n")
}

#[test]
fn a_bridge_holds_ports_of_every_kind_in_the_order_of_their_names() {
    let vlan = Link {
        kind: LinkKind::Vlan { tag: 42 },
        parent: Some(LinkIndex(5)),
        ..port(4, "eth1.42", 1)
    };
    let links = [
        bridge(1, "br0", 1550),
        port(2, "tap0", 1),
        Link { master: Some(LinkIndex(1)), ..bond(3, "bond0", |bond| bond.miimon = 100) },
        port(6, "eth2", 3),
        vlan,
        link(5, "eth1"),
        port(7, "vnet0", 1),
        port(8, "vnetwork", 1),
    ];
    let want = "  <bridge stp='on' delay='15.5'>
    <interface type='bond' name='bond0'>
      <link state='up'/>
      <bond mode='active-backup'>
        <miimon freq='100' carrier='netif'/>
        <interface type='ethernet' name='eth2'>
          <link state='up'/>
          <mac address='02:00:00:00:00:06'/>
        </interface>
      </bond>
    </interface>
    <interface type='vlan' name='eth1.42'>
      <link state='up'/>
      <vlan tag='42'>
        <interface name='eth1'/>
      </vlan>
    </interface>
    <interface type='ethernet' name='tap0'>
      <link state='up'/>
      <mac address='02:00:00:00:00:02'/>
    </interface>
    <interface type='ethernet' name='vnetwork'>
      <link state='up'/>
      <mac address='02:00:00:00:00:08'/>
    </interface>
  </bridge>";
    assert_eq!(body(&host(&links, &[]), "br0"), want);
}

#[test]
fn what_the_schema_has_no_place_for_is_ethernet() {
    let adrift = Link { kind: LinkKind::Vlan { tag: 1 }, ..link(1, "vlan1") };
    let dangling = Link { parent: Some(LinkIndex(9)), ..adrift.clone() };
    let tunnel = Link { mac: MacAddr::new(&[192, 0, 2, 1]), ..link(1, "tunl0") };
    let with_mac = "  <link state='up'/>\n  <mac address='02:00:00:00:00:01'/>";
    struct Case(&'static str, Link, &'static str);
    let cases = [
        Case("bond without members", bond(1, "bond0", |_| {}), with_mac),
        Case("vlan whose parent is elsewhere", adrift, with_mac),
        Case("vlan whose parent has gone", dangling, with_mac),
        Case("address that is not a MAC", tunnel, "  <link state='up'/>"),
    ];
    for Case(label, link, want) in cases {
        let name = link.name.to_string();
        assert_eq!(body(&host(&[link], &[]), &name), want, "{label}");
    }
}

#[test]
fn a_bond_shows_the_monitor_it_uses() {
    struct Case(&'static str, fn(&mut LinkBond), &'static str);
    let target = |bond: &mut LinkBond| {
        bond.arp_interval = 50;
        bond.arp_targets = vec![Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
    };
    let cases = [
        Case("none", |_| {}, ""),
        Case(
            "MII with delays",
            |bond| {
                (bond.miimon, bond.updelay, bond.downdelay) = (100, 200, 300);
                bond.carrier = MiiCarrier::Ioctl;
            },
            "<miimon freq='100' downdelay='300' updelay='200' carrier='ioctl'/>",
        ),
        Case("ARP, first target", target, "<arpmon interval='50' target='192.0.2.1'/>"),
        Case(
            "ARP wins",
            |bond| {
                (bond.arp_interval, bond.miimon) = (50, 100);
                bond.arp_targets = vec![Ipv4Addr::new(192, 0, 2, 1)];
                bond.arp_validate = Some(ArpValidate::All);
            },
            "<arpmon interval='50' target='192.0.2.1' validate='all'/>",
        ),
        Case("ARP without a target", |bond| bond.arp_interval = 50, ""),
    ];
    for Case(label, change, want) in cases {
        let host = host(&[bond(1, "bond0", change), port(2, "eth0", 1)], &[]);
        let body = body(&host, "bond0");
        let lines: Vec<_> = body.lines().map(str::trim).collect();
        let monitor = lines.iter().find(|line| line.contains("mon ")).copied();
        assert_eq!(monitor.unwrap_or(""), want, "{label}");
        assert_eq!(lines[1], "<bond mode='active-backup'>", "{label}");
    }
}

#[test]
fn what_the_kernel_said_last_of_a_bridge_counts() {
    let host = host(&[bridge(1, "br0", 1500)], &[]);
    let now = bridge(1, "br0", 200);
    let findings = Findings { links: [(LinkIndex(1), now)].into(), ..Findings::default() };
    let text = xml(&host, "br0", &findings, View::Live);
    assert!(text.contains("<bridge stp='on' delay='2'>"), "{text}");
}

#[test]
fn all_that_is_shown_is_inspected_and_nothing_else() {
    let down = Link { oper_state: OperState::Down, ..port(4, "eth1", 1) };
    let links = [
        Link { up: false, ..bridge(1, "br0", 0) },
        Link { master: Some(LinkIndex(1)), ..bond(2, "bond0", |_| {}) },
        port(3, "eth0", 2),
        down,
        port(5, "vnet7", 1),
        link(6, "other"),
    ];
    let host = host(&links, &[]);
    let inspection = inspection(&host, host.link(LinkIndex(1)).unwrap());
    assert_eq!(inspection.gateways_of, LinkIndex(1));
    assert_eq!(inspection.silent, [LinkIndex(1)], "of the bond, which is up, all is announced");
    let speeds: Vec<_> = inspection.speeds_of.iter().map(|(index, _)| *index).collect();
    assert_eq!(speeds, [LinkIndex(2), LinkIndex(3)]);
}

#[test]
fn members_of_a_bond_that_swaps_their_addresses_are_asked_about() {
    for (mode, silent) in
        [(BondMode::BalanceTlb, vec![LinkIndex(2)]), (BondMode::BalanceAlb, Vec::new())]
    {
        let host =
            host(&[bond(1, "bond0", |bond| bond.mode = Some(mode)), port(2, "eth0", 1)], &[]);
        let asked = inspection(&host, host.link(LinkIndex(1)).unwrap()).silent;
        assert_eq!(asked, silent, "{mode:?}");
        let swapped = Link { mac: MacAddr::new(&[2, 0, 0, 0, 0, 9]), ..port(2, "eth0", 1) };
        let findings = Findings { links: [(LinkIndex(2), swapped)].into(), ..Findings::default() };
        let text = xml(&host, "bond0", &findings, View::Live);
        assert!(text.contains("<mac address='02:00:00:00:00:09'/>"), "{text}");
    }
}

fn address(text: &str) -> Address {
    let (ip, len) = text.split_once('/').unwrap();
    Address {
        link: LinkIndex(1),
        prefix: IpPrefix::new(ip.parse().unwrap(), len.parse().unwrap()).unwrap(),
        peer: None,
        role: Role::Primary,
        scope: Scope::Global,
        lifetime: Lifetime::Permanent,
        origin: AddressOrigin::Unknown,
    }
}

fn finite(text: &str) -> Address {
    Address { lifetime: Lifetime::Finite, ..address(text) }
}

#[test]
fn the_live_view_tells_all_addresses_and_both_gateways() {
    let link_local = Address { scope: Scope::Link, ..address("fe80::1/64") };
    let addresses = [address("192.0.2.1/24"), finite("198.51.100.7/25"), link_local];
    let findings = Findings {
        gateways: vec!["192.0.2.254".parse().unwrap(), "fe80::ff".parse().unwrap()],
        speeds: [(LinkIndex(1), 2500)].into(),
        ..Findings::default()
    };
    let want = "<interface type='ethernet' name='eth0'>
  <mtu size='1500'/>
  <protocol family='ipv4'>
    <ip address='192.0.2.1' prefix='24'/>
    <ip address='198.51.100.7' prefix='25'/>
    <route gateway='192.0.2.254'/>
  </protocol>
  <protocol family='ipv6'>
    <ip address='fe80::1' prefix='64'/>
    <route gateway='fe80::ff'/>
  </protocol>
  <link speed='2500' state='up'/>
  <mac address='02:00:00:00:00:01'/>
</interface>
";
    let host = host(&[link(1, "eth0")], &addresses);
    assert_eq!(xml(&host, "eth0", &findings, View::Live), want);
}

#[test]
fn the_inactive_view_tells_how_the_addresses_came() {
    let advertised =
        Address { origin: AddressOrigin::RouterAdvertisement, ..finite("2001:db8::2/128") };
    let temporary = Address { role: Role::Temporary, ..finite("2001:db8::3/128") };
    let on_link = Address { scope: Scope::Link, ..address("169.254.1.1/16") };
    let on_host = Address { scope: Scope::Host, ..address("127.0.0.1/8") };
    const V4_GATEWAY: &str = "<route gateway='192.0.2.254'/>";
    const V6_GATEWAY: &str = "<route gateway='2001:db8::ff'/>";
    struct Case(&'static str, Address, String);
    let cases = [
        Case(
            "static",
            address("192.0.2.1/24"),
            format!("ipv4 <ip address='192.0.2.1' prefix='24'/> {V4_GATEWAY}"),
        ),
        Case("lease", finite("192.0.2.1/24"), "ipv4 <dhcp/>".to_owned()),
        Case("link scope", on_link, String::new()),
        Case("host scope", on_host, String::new()),
        Case("advertised", advertised, "ipv6 <autoconf/>".to_owned()),
        Case("temporary", temporary, "ipv6 <autoconf/>".to_owned()),
        Case("advertised, old kernel", finite("2001:db8::4/64"), "ipv6 <autoconf/>".to_owned()),
        Case("DHCPv6 lease", finite("2001:db8::5/128"), "ipv6 <dhcp/>".to_owned()),
        Case(
            "static IPv6",
            address("2001:db8::6/64"),
            format!("ipv6 <ip address='2001:db8::6' prefix='64'/> {V6_GATEWAY}"),
        ),
    ];
    let findings = Findings {
        gateways: vec!["192.0.2.254".parse().unwrap(), "2001:db8::ff".parse().unwrap()],
        ..Findings::default()
    };
    for Case(label, address, want) in cases {
        let host = host(&[link(1, "eth0")], &[address]);
        let text = xml(&host, "eth0", &findings, View::Inactive);
        let inner: Vec<_> = text.lines().map(str::trim).collect();
        let protocols = inner[3..inner.len() - 2].join(" ");
        let protocols = protocols.replace("<protocol family='ipv4'>", "ipv4");
        let protocols = protocols.replace("<protocol family='ipv6'>", "ipv6");
        assert_eq!(protocols.replace("</protocol>", "").trim(), want, "{label}");
        assert!(!text.contains("<link"), "{label}: a definition has no link state");
    }
}

#[test]
fn a_router_that_was_heard_of_is_no_gateway_of_a_definition() {
    const ADDRESS: &str = "<ip address='2001:db8::6' prefix='64'/>";
    let gateway = "fe80::1".parse().unwrap();
    struct Case(&'static str, Findings, String);
    let findings = || Findings { gateways: vec![gateway], ..Findings::default() };
    let cases = [
        Case("another owner's", findings(), format!("{ADDRESS} <route gateway='fe80::1'/>")),
        Case("heard", Findings { advertised: vec![gateway], ..findings() }, ADDRESS.to_owned()),
        Case(
            "heard, with the kernel's own addresses",
            Findings { advertised: vec![gateway], hears_routers: true, ..findings() },
            format!("<autoconf/> {ADDRESS}"),
        ),
        Case(
            "not heard yet",
            Findings { hears_routers: true, ..findings() },
            format!("<autoconf/> {ADDRESS} <route gateway='fe80::1'/>"),
        ),
    ];
    for Case(label, findings, want) in cases {
        let host = host(&[link(1, "eth0")], &[address("2001:db8::6/64")]);
        let text = xml(&host, "eth0", &findings, View::Inactive);
        let inner: Vec<_> = text.lines().map(str::trim).collect();
        assert!(
            inner.join(" ").contains(&format!("'ipv6'> {want} </protocol>")),
            "{label}: {text}"
        );
        let live = xml(&host, "eth0", &findings, View::Live);
        assert!(live.contains("<route gateway='fe80::1'/>"), "{label}: {live}");
    }
}

#[test]
fn what_is_up_and_the_hosts_own_is_to_be_up_after_the_next_boot() {
    let bridge = LinkKind::Bridge(LinkBridge { stp: false, forward_delay: ForwardDelay(0) });
    struct Case(&'static str, &'static str, LinkKind, bool, bool);
    let cases = [
        Case("a NIC", "eth0", LinkKind::Nic, true, true),
        Case("a NIC that is down", "eth0", LinkKind::Nic, false, false),
        Case("loopback", "lo", LinkKind::Nic, true, false),
        Case("a bridge", "br0", bridge, true, true),
        Case("a VLAN", "eth0.5", LinkKind::Vlan { tag: 5 }, true, true),
        Case("a container's NIC", "eth0", LinkKind::Veth, true, true),
        Case("a guest's tap", "vnet0", LinkKind::Tun, true, false),
        Case("a tunnel", "wg0", LinkKind::Other, true, false),
    ];
    for Case(label, name, kind, up, want) in cases {
        let host = host(&[Link { kind, up, ..link(1, name) }], &[]);
        let [live, inactive] =
            [View::Live, View::Inactive].map(|view| xml(&host, name, &Findings::default(), view));
        assert!(!live.contains("<start"), "{label}: {live}");
        assert_eq!(inactive.contains("<start mode='onboot'/>"), want, "{label}: {inactive}");
    }
}

#[test]
fn an_address_without_a_lifetime_is_a_lease_where_a_client_runs() {
    let dhcp = "<dhcp/>";
    let ip = |ip: &str| format!("<ip address='{ip}' prefix='24'/>");
    let (first, second) = ("10.0.0.1", "192.0.2.1");
    for (label, clients, addresses, want) in [
        ("no client", vec![], vec![address("192.0.2.1/24")], ip(second)),
        ("another family's", vec![Family::Ipv6], vec![address("192.0.2.1/24")], ip(second)),
        ("its client", vec![Family::Ipv4], vec![address("192.0.2.1/24")], dhcp.to_owned()),
        (
            "that towards the gateway",
            vec![Family::Ipv4],
            vec![address("10.0.0.1/24"), address("192.0.2.1/24")],
            dhcp.to_owned() + &ip(first),
        ),
        (
            "the first",
            vec![Family::Ipv4],
            vec![address("10.0.0.1/24"), address("10.0.1.1/24")],
            dhcp.to_owned() + &ip("10.0.1.1"),
        ),
        (
            "one with a lifetime",
            vec![Family::Ipv4],
            vec![finite("192.0.2.7/24"), address("192.0.2.1/24")],
            dhcp.to_owned() + &ip(second),
        ),
    ] {
        let host = host(&[link(1, "eth0")], &addresses);
        let gateways = vec!["192.0.2.254".parse().unwrap()];
        let findings = Findings { clients, gateways, ..Findings::default() };
        let asked = inspection_to_define(&host, host.link(LinkIndex(1)).unwrap()).clients_of;
        assert!(asked.is_some(), "{label}");
        let text = xml(&host, "eth0", &findings, View::Inactive);
        let protocol = text.split_once("<protocol family='ipv4'>").unwrap().1;
        let protocol = protocol.split_once("</protocol>").unwrap().0;
        let protocol: String = protocol.lines().map(str::trim).collect();
        let protocol = protocol.replace("<route gateway='192.0.2.254'/>", "");
        assert_eq!(protocol, want, "{label}");
    }
    let host = host(&[link(1, "eth0")], &[finite("192.0.2.7/24")]);
    let asked = inspection_to_define(&host, host.link(LinkIndex(1)).unwrap()).clients_of;
    assert_eq!(asked, None, "a lifetime says it");
}
