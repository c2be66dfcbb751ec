// SPDX-License-Identifier: LGPL-2.1-or-later
//! A host with links of every kind that this kernel supports, and their state according to `ip`.

use std::fs;

use crate::support::command::{ip, ip_batch};
use crate::support::eventually;
use crate::support::link::Tunnel;

/// Links whose descriptions depend only on these lines. IPv6 link-local addresses are off where
/// they would come a moment later.
const LINKS: &str = "\
link add eth0 address 52:54:00:00:00:01 mtu 1400 type veth peer name far0
link add eth1 address 52:54:00:00:00:02 type veth peer name far1
link add eth2 address 52:54:00:00:00:03 type veth peer name far2
link add port0 address 52:54:00:00:00:04 type veth peer name far3
link add vxlan0 address 52:54:00:00:00:05 type vxlan id 7 dstport 4789 local 127.0.0.1
link add macvlan0 link eth1 address 52:54:00:00:00:06 type macvlan
link add ifb9 address 52:54:00:00:00:07 type ifb
link add br0 address 52:54:00:00:00:08 type bridge stp_state 1 forward_delay 250
link add br1 address 52:54:00:00:00:09 type bridge
link set eth0 addrgenmode none up
link set eth1 addrgenmode none up
link set far0 up
link set far1 up
link set far2 up
link set far3 up
link set port0 master br0 up
link set vxlan0 master br0 up
link set tap0 address 52:54:00:00:00:0a master br0
link set vnet1 master br0
link set br0 addrgenmode none up
";

const ADDRESSES: &str = "\
address add 192.0.2.2/24 dev eth0
address add 192.0.2.3/24 dev eth0
address add 198.51.100.1/32 dev eth0
address add 2001:db8::2/64 dev eth0 nodad
address add 2001:db8::1:2/112 dev eth0 nodad
address add fe80::7/64 dev eth0 nodad
route add default via 192.0.2.1 dev eth0
route add default via 2001:db8::1 dev eth0
route add 203.0.113.0/24 via 192.0.2.9 dev eth0
address add 10.1.0.5/16 dev eth1 valid_lft 3600 preferred_lft 3600
address add 2001:db8:1::5/64 dev eth1 nodad valid_lft 3600 preferred_lft 1800
address add 2001:db8:2::5/128 dev eth1 nodad valid_lft 3600 preferred_lft 1800
route add default via 10.1.0.1 dev eth1 metric 50
address add 172.16.0.1/12 dev br0
address add 10.9.0.1 peer 10.9.0.2/32 dev br1
address add 2001:db8:9::1 peer 2001:db8:9::2/128 dev br1 nodad
address add 10.8.0.1 peer 10.8.0.2/31 dev tun0
";

/// A host under test; its tunnels are deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct Scene {
    _tunnels: [Tunnel; 4],
}

impl Scene {
    /// Creates everything, and waits until the kernel has settled.
    pub(crate) fn build() -> Self {
        let [tap0, tap1, vnet1] = ["tap0", "tap1", "vnet1"].map(Tunnel::tap);
        let tunnels = [tap0, tap1, Tunnel::tun("tun0"), vnet1];
        ip_batch(LINKS);
        ip_batch(ADDRESSES);
        for name in ["eth0", "eth1", "port0", "far0", "far1", "far3"] {
            eventually(&format!("carrier on {name}"), || fact(name, "operstate") == "up");
        }
        Self { _tunnels: tunnels }
    }
}

/// A sysfs attribute of a link.
pub(crate) fn fact(name: &str, attribute: &str) -> String {
    let path = format!("/sys/class/net/{name}/{attribute}");
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{path}: {err}")).trim().to_owned()
}

/// A link in the format of `ip -brief`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) mac: String,
}

/// All links, or those that `selection` chooses, by name.
pub(crate) fn shown(selection: &str) -> Vec<Shown> {
    let text = ip(&format!("-brief link show {selection}"));
    let mut links: Vec<_> = text.lines().map(parse).collect();
    links.sort_by(|a, b| a.name.cmp(&b.name));
    links
}

/// `eth0@far0  UP  52:54:00:00:00:01  <BROADCAST,MULTICAST,UP,LOWER_UP>`. The third column is empty
/// for a link without an address.
fn parse(line: &str) -> Shown {
    let columns: Vec<_> = line.split_whitespace().collect();
    let (name, address, flags) = match columns[..] {
        [name, _operstate, address, flags] => (name, address, flags),
        [name, _operstate, flags] => (name, "", flags),
        _ => panic!("{line}"),
    };
    let is_up = flags.trim_matches(['<', '>']).split(',').any(|flag| flag == "UP");
    Shown {
        name: name.split('@').next().unwrap_or(name).to_owned(),
        state: if is_up { "active" } else { "inactive" },
        mac: address.to_owned(),
    }
}
