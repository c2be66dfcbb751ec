// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every description can be defined again: links of every kind that the kernel supports, with
//! random attributes, ports and addresses, described live and inactive.

use std::path::Path;

use crate::host::{INTERFACE_DEFINE_XML, Scene, on_host};
use crate::random::{Chance, Rng, seed};
use crate::support::command::{command, run_with_input};
use crate::support::link::Tunnel;
use crate::support::wire::{Arg, procedure};
use crate::{BOND, DUMMY, VLAN};

/// The number of random hosts.
const HOST_COUNT: usize = 3;

/// `VIR_INTERFACE_XML_INACTIVE`.
const INACTIVE: u32 = 1;

/// Names within the schema's characters, and some with characters that XML must escape.
const NAMES: [&str; 12] =
    ["e0", "e1", "e2", "e3", "e4", "e.5", "e-6", "e_7", "e@8", "e+9", "e'<&10", "\u{e9}11"];

/// MTUs at the bounds of kernels, drivers and parsers.
const MTUS: [u32; 10] =
    [0, 68, 1_280, 1_500, 9_000, 65_535, 65_536, 100_000, 100_001, 2_147_483_647];

const ADDRESSES: [&str; 21] = [
    "192.0.2.1/24",
    "192.0.2.9/32",
    "192.0.2.10/31",
    "198.51.100.1/0",
    "203.0.113.5/32 peer 203.0.113.1/32",
    "0.0.0.0/8",
    "127.0.0.2/8",
    "169.254.1.1/16 scope link",
    "240.0.0.1/4",
    "224.0.0.9/24",
    "255.255.255.255/32",
    "192.0.2.77/24 valid_lft 1000 preferred_lft 500",
    "2001:db8::1/64 nodad",
    "2001:db8::2/128 nodad",
    "2001:db8::3/0 nodad",
    "fe80::7/64 nodad",
    "fc00::1/7 nodad",
    "::ffff:192.0.2.1/96 nodad",
    "::1/128",
    "2001:db8:1::1/128 peer 2001:db8:1::2/128 nodad",
    "2001:db8::77/64 nodad valid_lft 1000 preferred_lft 500",
];

const ROUTES: [&str; 7] = [
    "default via 192.0.2.254 dev",
    "default via 172.31.1.1 onlink dev",
    "default via 192.0.2.254 metric 700 dev",
    "default scope link dev",
    "-6 default via fe80::1 dev",
    "-6 default via 2001:db8::ffff dev",
    "-6 default dev",
];

/// Kinds of links for which libvirt's schema has no element of their own: the kernel's module, a
/// name, and the arguments that add such a link. Those over another link have a link of their own
/// below them.
const KINDS: [(&str, &str, &str); 18] = [
    ("vxlan", "k-vxlan", "type vxlan id 7 dstport 4789 remote 192.0.2.9"),
    ("vxlan", "k-vxlan-ext", "type vxlan external dstport 4790"),
    ("geneve", "k-geneve", "type geneve id 7 remote 2001:db8::9"),
    ("macvlan", "k-macvlan", "link below1 type macvlan mode bridge"),
    ("macvlan", "k-macvlan-pt", "link below2 type macvlan mode passthru"),
    ("ipvlan", "k-ipvlan", "link below3 type ipvlan mode l2"),
    ("ip_gre", "k-gre", "type gre local 192.0.2.1 remote 192.0.2.9 key 7"),
    ("ip_gre", "k-gretap", "type gretap local 192.0.2.1 remote 192.0.2.10"),
    (
        "ip_gre",
        "k-erspan",
        "type erspan seq key 7 local 192.0.2.1 remote 192.0.2.11 erspan_ver 1 erspan 5",
    ),
    ("ip6_gre", "k-ip6gre", "type ip6gre local 2001:db8::1 remote 2001:db8::9"),
    ("ip6_gre", "k-ip6gretap", "type ip6gretap local 2001:db8::1 remote 2001:db8::10"),
    ("ipip", "k-ipip", "type ipip local 192.0.2.1 remote 192.0.2.9"),
    ("sit", "k-sit", "type sit local 192.0.2.1 remote 192.0.2.9"),
    ("ip6_tunnel", "k-ip6tnl", "type ip6tnl mode any local 2001:db8::1 remote 2001:db8::9"),
    ("ip_vti", "k-vti", "type vti local 192.0.2.1 remote 192.0.2.9 key 7"),
    ("vrf", "k-vrf", "type vrf table 77"),
    ("ifb", "k-ifb", "type ifb"),
    ("nlmon", "k-nlmon", "type nlmon"),
];

/// Runs lines of `ip`, some of which this kernel may refuse.
fn try_each(lines: &str) {
    run_with_input(command("ip").args(["-force", "-batch", "-"]), lines);
}

/// The lines that add links of the [`KINDS`].
fn kinds() -> String {
    let below = (1..4).map(|it| format!("link add below{it} type dummy\n"));
    let kinds = KINDS.iter().map(|(_, name, added)| format!("link add {name} {added}\n"));
    below.chain(kinds).chain(["link add k.5 link k-vxlan type vlan id 5\n".to_owned()]).collect()
}

/// The lines that change them, and make some of them ports of a bridge or of the VRF.
fn changes_of_kinds(rng: &mut Rng) -> String {
    let mut lines = String::new();
    for (_, name, _) in KINDS {
        if rng.bool() {
            lines.push_str(&format!("link set {name} mtu {}\n", rng.pick(&MTUS)));
        }
        match rng.usize(..4) {
            0 => lines.push_str(&format!("link set {name} master br3\n")),
            1 => lines.push_str(&format!("link set {name} master k-vrf\n")),
            _ => {}
        }
        if rng.bool() {
            lines.push_str(&format!("link set {name} up\n"));
        }
        for address in rng.choose_multiple(ADDRESSES.iter(), 2) {
            lines.push_str(&format!("address add {address} dev {name}\n"));
        }
        if rng.bool() {
            lines.push_str(&format!("route append {} {name}\n", rng.pick(&ROUTES)));
        }
    }
    lines
}

/// The lines that set up a host: NICs, VLANs over them, bonds and bridges with some of them as
/// ports.
fn host(rng: &mut Rng) -> String {
    let mut lines = String::new();
    let mut line = |text: String| lines.push_str(&(text + "\n"));
    for name in NAMES {
        match rng.usize(..3) {
            0 => line(format!("link add {name} type dummy")),
            1 => line(format!(
                "link add {name} address 02:00:00:00:00:{:02x} type dummy",
                rng.u8(..)
            )),
            _ => line(format!("link add {name} type veth")),
        }
        if rng.once_in(2) {
            line(format!("link set {name} mtu {}", rng.pick(&MTUS)));
        }
        if rng.bool() {
            line(format!("link set {name} up"));
        }
    }
    for tag in [0, 1, 4094, 0, 1] {
        let (parent, protocol) = (rng.pick(&NAMES), rng.pick(&["802.1Q", "802.1ad"]));
        let name = format!("v{}", rng.u16(..1_000));
        line(format!("link add {name} link {parent} type vlan protocol {protocol} id {tag}"));
        line(format!("link add {name}.9 link {name} type vlan id 9"));
    }
    // The same tag twice on one parent, as links of two protocols, in one bridge.
    line("link add q link e0 type vlan protocol 802.1Q id 5".to_owned());
    line("link add q.ad link e0 type vlan protocol 802.1ad id 5".to_owned());
    for mode in 0..7 {
        let monitor = match rng.usize(..4) {
            0 => String::new(),
            1 => format!("miimon {} updelay 200 downdelay 400", rng.pick(&[1, 100, 2_147_483_647])),
            2 => format!("miimon 100 use_carrier {}", rng.usize(..2)),
            _ => "arp_interval 100 arp_ip_target 192.0.2.1,192.0.2.2 arp_validate 3".to_owned(),
        };
        line(format!("link add bond{mode} type bond mode {mode}"));
        // Some modes do not support the ARP monitor.
        line(format!("link set bond{mode} type bond {monitor}"));
        for member in rng.choose_multiple(NAMES.iter(), 2) {
            line(format!("link set {member} down"));
            line(format!("link set {member} master bond{mode}"));
        }
    }
    for number in 0..4 {
        let (stp, delay) = (rng.usize(..2), rng.pick(&[0, 1, 200, 1_500, 3_000, 10_000]));
        line(format!("link add br{number} type bridge forward_delay {delay}"));
        line(format!("link set br{number} type bridge stp_state {stp}"));
    }
    for (port, bridge) in [("q", 0), ("q.ad", 0), ("bond1", 1), ("tap0", 1), ("e2", 2), ("e@8", 2)]
    {
        line(format!("link set {port} master br{bridge}"));
    }
    line("link add br9.7 link br2 type vlan id 7".to_owned());
    for name in NAMES.iter().chain(&["lo", "br0", "br1", "br2", "bond0", "q"]) {
        if rng.bool() {
            line(format!("link set {name} up"));
        }
        for address in rng.choose_multiple(ADDRESSES.iter(), 4) {
            line(format!("address add {address} dev {name}"));
        }
        if rng.bool() {
            line(format!("route append {} {name}", rng.pick(&ROUTES)));
        }
    }
    lines
}

fn describe(scene: &mut Scene, name: &str, flags: u32) -> String {
    let arguments = [Arg::Text(name), Arg::Text(""), Arg::Word(flags)];
    scene.client.call(procedure::INTERFACE_GET_XML_DESC, &arguments).results().text()
}

/// Whether the names in a description have only characters of the schema. Otherwise the description
/// is invalid.
fn has_names_of_the_schema(xml: &str) -> bool {
    let names = xml.split(" name='").skip(1).filter_map(|rest| rest.split('\'').next());
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_-.:/\\".contains(c);
    names.flat_map(str::chars).all(is_known)
}

fn link_names() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").unwrap().map(Result::unwrap);
    let links = entries.filter(|entry| entry.path().is_dir());
    links.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn every_description_can_be_defined() {
    let seed = seed("DEFINABLE");
    println!("DEFINABLE={seed}");
    for number in 0..HOST_COUNT {
        on_host(move || {
            let mut rng = Rng::with_seed(seed.wrapping_add(u64::try_from(number).unwrap()));
            let _tap = Tunnel::tap("tap0");
            try_each(&host(&mut rng));
            try_each(&kinds());
            try_each(&changes_of_kinds(&mut rng));
            let names = link_names();
            let others = KINDS.iter().map(|(module, name, _)| (*module, *name));
            let known = [(DUMMY, "e0"), (BOND, "bond6"), (VLAN, "q"), (VLAN, "q.ad")];
            for (module, name) in known.into_iter().chain(others) {
                let is_there = names.iter().any(|it| it == name);
                assert!(is_there || !Path::new("/sys/module").join(module).exists(), "{name}");
            }
            let mut scene = Scene::start();
            for name in &names {
                for flags in [0, INACTIVE] {
                    let xml = describe(&mut scene, name, flags);
                    let validity = u32::from(has_names_of_the_schema(&xml));
                    let arguments = [Arg::Text(&xml), Arg::Word(validity)];
                    let defined = scene.client.call(INTERFACE_DEFINE_XML, &arguments).outcome();
                    assert_eq!(defined, Ok(()), "{xml}");
                    if flags == INACTIVE {
                        assert_eq!(describe(&mut scene, name, INACTIVE), xml);
                    }
                    scene.undefine(name);
                }
            }
        });
    }
}
