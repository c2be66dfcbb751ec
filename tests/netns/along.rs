// SPDX-License-Identifier: LGPL-2.1-or-later
//! The link that takes a NIC's place takes over its addresses and routes: by `iface-bridge`, by a
//! definition of a bridge, and by a start. Every attribute of every route is compared with the
//! earlier output of `ip`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dhcp::Scene;
use crate::host::{
    TWO_NICS, VIRSH, addresses, await_addresses, bridge, define, ethernet, ip_json, ports, sorted,
    text, virsh_destroy, with_virsh,
};
use crate::support::command::{ip, ip_batch, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::{in_namespace, is_installed};

/// How long the kernel may need to settle new addresses.
const SETTLING_TIME: Duration = Duration::from_secs(10);

/// Each route through a link with all attributes that `ip` shows, except the link's name and the
/// lifetime. The kernel itself adds those of the link-local network.
#[track_caller]
pub(crate) fn all_routes(name: &str) -> Vec<String> {
    let mut routes = Vec::new();
    for family in ["-4", "-6"] {
        for mut route in ip_json(&format!("{family} route show table all dev {name}")) {
            let is_of_link =
                ["fe80::", "ff00::"].iter().any(|it| text(&route["dst"]).starts_with(it));
            if is_of_link && route["protocol"] == "kernel" {
                continue;
            }
            let fields = route.as_object_mut().unwrap();
            fields.retain(|key, _| !["dev", "expires"].contains(&key.as_str()));
            routes.push(format!("{family} {}", Value::Object(fields.clone())));
        }
    }
    sorted(routes)
}

/// Each address of a link with all attributes that `ip` shows, except the lifetime. The kernel
/// itself adds the one made from the MAC address.
#[track_caller]
fn all_addresses(name: &str) -> Vec<String> {
    let link = ip_json(&format!("address show dev {name}")).remove(0);
    let mut addresses = Vec::new();
    for info in link["addr_info"].as_array().unwrap() {
        let mut fields = info.as_object().unwrap().clone();
        let passing = ["valid_life_time", "preferred_life_time", "nodad"];
        fields.retain(|key, _| !passing.contains(&key.as_str()));
        if let Some(label) = fields.get_mut("label") {
            *label = text(label).replacen(name, "LINK", 1).into();
        }
        if info["scope"] != "link" || !text(&info["local"]).contains("ff:fe") {
            addresses.push(Value::Object(fields).to_string());
        }
    }
    sorted(addresses)
}

/// All addresses and routes of a link.
#[track_caller]
fn state(name: &str) -> Vec<String> {
    [all_addresses(name), all_routes(name)].concat()
}

/// Fails unless a link gets exactly these addresses and routes. IPv6 adds some of its own routes a
/// moment later.
#[track_caller]
fn assert_comes_to_have(name: &str, want: &[String], label: &str) {
    let deadline = Instant::now() + SETTLING_TIME;
    while Instant::now() < deadline && state(name) != want {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(state(name), want, "{label}");
}

/// An `eth0` and an `eth1`, both up, as are their peers. Routes are added after IPv6 has settled
/// the addresses.
fn with_nics(commands: &'static str, test: impl FnOnce(&Daemon) + Send + 'static) {
    with_virsh(move || {
        ip_batch(&format!("{TWO_NICS}link set eth0 up\nlink set eth1 up\n"));
        let is_address = |line: &&str| line.starts_with("address");
        let lines = commands.lines().map(str::trim);
        let (addresses, others): (Vec<_>, Vec<_>) = lines.partition(is_address);
        ip_batch(&(addresses.join("\n") + "\n"));
        await_addresses();
        ip_batch(&(others.join("\n") + "\n"));
        let daemon = Daemon::start();
        test(&daemon);
    });
}

struct Case {
    label: &'static str,
    commands: &'static str,
}

/// Configurations of `eth0` that no definition can express.
const CASES: [Case; 12] = [
    Case {
        label: "several default routes",
        commands: "address add 192.0.2.2/24 dev eth0\n\
            route add default via 192.0.2.1 dev eth0 metric 100 mtu 1400 proto static\n\
            route add default via 192.0.2.3 dev eth0 metric 200\n\
            route append default via 192.0.2.4 dev eth0 metric 200\n\
            route add default via 192.0.2.5 dev eth0 tos 0x10\n\
            address add 2001:db8::2/64 dev eth0 nodad\n\
            route add default via 2001:db8::1 dev eth0 metric 100 mtu 1400\n\
            route add default via 2001:db8::3 dev eth0 metric 200\n",
    },
    Case {
        label: "a default route without a gateway",
        commands: "address add 192.0.2.2/24 dev eth0\nroute add default dev eth0 scope link\n\
            address add 2001:db8::2/64 dev eth0 nodad\nroute add default dev eth0 metric 5\n\
            route add ::/0 dev eth0 metric 77\n",
    },
    Case {
        label: "a peer, its network, and a default route over it",
        commands: "address add 203.0.113.5 peer 203.0.113.1/32 dev eth0\n\
            address add 203.0.113.5 peer 203.0.113.2/32 dev eth0\n\
            route add default via 203.0.113.1 dev eth0 metric 50 mtu 1400\n\
            route add 198.51.100.0/24 via 203.0.113.1 dev eth0\n\
            address add 2001:db8::5 peer 2001:db8::1/128 dev eth0 nodad\n\
            route add default via 2001:db8::1 dev eth0 metric 50\n\
            route add 2001:db8:1::/48 via 2001:db8::1 dev eth0\n",
    },
    Case {
        label: "addresses as NetworkManager adds them",
        commands: "address add 192.0.2.10/24 dev eth0 noprefixroute\n\
            route add 192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10 metric 100\n\
            route add default via 192.0.2.1 dev eth0 proto static metric 100\n\
            address add 2001:db8::2/64 dev eth0 nodad noprefixroute\n\
            route add 2001:db8::/64 dev eth0 proto kernel metric 100\n\
            route add default via 2001:db8::1 dev eth0 proto static metric 100\n",
    },
    Case {
        label: "addresses with a metric",
        commands: "address add 192.0.2.10/24 dev eth0 metric 100\n\
            address add 2001:db8::2/64 dev eth0 nodad metric 100\n",
    },
    Case {
        label: "a gateway that no address reaches",
        commands: "address add 203.0.113.5/32 dev eth0\n\
            route add default via 172.31.1.1 dev eth0 onlink\n\
            address add 2001:db8::5/128 dev eth0 nodad\n\
            route add default via 2001:db8:ffff::1 dev eth0 onlink\n",
    },
    Case {
        label: "a gateway behind a route of its own",
        commands: "address add 203.0.113.5/32 dev eth0\n\
            route add 172.31.1.1 dev eth0 scope link\n\
            route add default via 172.31.1.1 dev eth0 src 203.0.113.5 initcwnd 20\n",
    },
    Case {
        label: "gateways of the other family, sources, types of service",
        commands: "address add 192.0.2.2/24 dev eth0\naddress add 192.0.2.3/24 dev eth0\n\
            route add default via inet6 fe80::1 dev eth0\n\
            route add 10.1.0.0/16 via inet6 fe80::1 dev eth0\n\
            route add 10.1.0.0/16 via inet6 fe80::2 dev eth0 metric 7\n\
            route add 10.2.0.0/16 via 192.0.2.9 dev eth0 src 192.0.2.3\n\
            route add 10.2.0.0/16 via 192.0.2.9 dev eth0 tos 0x08\n\
            route add local 10.3.0.1 dev eth0\n\
            address add 2001:db8::2/64 dev eth0 nodad\naddress add 2001:db8::3/64 dev eth0 nodad\n\
            route add 2001:db8:1::/48 from 2001:db8:a::/48 via 2001:db8::9 dev eth0\n\
            route add 2001:db8:1::/48 from 2001:db8:b::/48 via 2001:db8::9 dev eth0\n\
            route add 2001:db8:2::/48 via 2001:db8::9 dev eth0 src 2001:db8::3 pref high\n",
    },
    Case {
        label: "labels, and several addresses of one network",
        commands: "address add 192.0.2.9/24 dev eth0 label eth0:1\n\
            address add 192.0.2.2/24 dev eth0 label eth0:vip\n\
            address add 198.51.100.2/24 broadcast 198.51.100.200 dev eth0\n\
            address add 192.0.2.5/24 dev eth0\n",
    },
    Case {
        label: "addresses of the link and of the host alone",
        commands: "address add 192.0.2.2/24 dev eth0\n\
            address add 169.254.7.7/16 dev eth0 scope link\n\
            address add 198.51.100.9/32 dev eth0 scope host label eth0:vip\n\
            route add 169.254.169.254 dev eth0 src 169.254.7.7\n\
            address add 2001:db8::2/64 dev eth0 nodad\naddress add fe80::7/64 dev eth0 nodad\n\
            route add 2001:db8:9::/48 via fe80::1 dev eth0 src fe80::7\n",
    },
    Case {
        label: "hops that count as on the link",
        commands: "address add 192.0.2.2/32 dev eth0\n\
            route add default metric 50 nexthop via 172.31.1.1 dev eth0 onlink \
            nexthop via 172.31.1.2 dev eth0 onlink weight 2\n\
            address add 2001:db8::2/64 dev eth0 nodad\n\
            route add default nexthop via fe80::1 dev eth0 onlink nexthop via fe80::2 dev eth0 onlink\n",
    },
    Case {
        label: "other tables",
        commands: "address add 192.0.2.2/24 dev eth0\n\
            route add default via 192.0.2.1 dev eth0 table 100\n\
            route add 192.0.2.0/24 dev eth0 scope link table 100\n\
            route add 10.0.0.0/8 via 192.0.2.9 dev eth0 table 1000 metric 3\n\
            rule add from 192.0.2.2 table 100\n\
            address add 2001:db8::2/64 dev eth0 nodad\n\
            route add default via 2001:db8::1 dev eth0 table 100\n",
    },
];

#[test]
fn all_routes_and_addresses_of_a_nic_move_to_the_bridge() {
    for Case { label, commands } in CASES {
        with_nics(commands, move |_| {
            let before = state("eth0");
            virsh("iface-bridge eth0 br0 --no-stp").ok();
            assert_comes_to_have("br0", &before, label);
            assert_eq!(ports("br0"), ["eth0"], "{label}");
            assert_eq!(state("eth0"), [""; 0], "{label}");
            // It matches its definition: a start would not remove any of that.
            let said = virsh("iface-start br0").failed();
            assert!(said.contains("already running"), "{label}: {said}");
        });
    }
}

#[test]
fn iface_unbridge_moves_them_back_to_the_nic() {
    for Case { label, commands } in CASES {
        with_nics(commands, move |_| {
            let (before, judge) = (state("eth0"), Snapshot::take());
            virsh("iface-bridge eth0 br0 --no-stp").ok();
            virsh("iface-unbridge br0").ok();
            judge.assert_unchanged(Strictness::AlikeLinks, label);
            // The NIC becomes a port again, and the bridge is stopped and started.
            virsh("iface-bridge eth0 br1 --no-stp").ok();
            let _ = virsh("iface-destroy br1");
            virsh("iface-start br1").ok();
            assert_comes_to_have("br1", &before, label);
        });
    }
}

/// A NIC that goes down and up keeps its own routes; another link with the same address does not
/// get them.
#[test]
fn a_nic_that_is_started_again_has_its_routes_and_no_other_link_has_them() {
    const COMMANDS: &str = "address add 192.0.2.2/24 dev eth0\n\
        route add 198.51.100.0/24 dev eth0 scope link\n\
        route add default via 192.0.2.1 dev eth0 metric 500\n";
    with_nics(COMMANDS, |_| {
        define(&ethernet("eth0", &["192.0.2.2/24"], &["192.0.2.1"]));
        define(&ethernet("eth1", &[], &[]));
        ip_batch("link set eth1 down\nlink set eth1 address 52:54:00:00:00:01\n");
        let before = state("eth0");
        let _ = virsh("iface-destroy eth0");
        virsh("iface-start eth1").ok();
        assert_eq!(state("eth1"), [""; 0]);
        virsh("iface-start eth0").ok();
        assert_comes_to_have("eth0", &before, "started again");
        // A route that is removed by hand afterwards stays removed.
        ip_batch("route del 198.51.100.0/24 dev eth0\n");
        let said = virsh("iface-start eth0").failed();
        assert!(said.contains("already running"), "{said}");
    });
}

/// The configuration from before the destroy no longer counts.
#[test]
fn a_nic_that_others_have_brought_up_again_has_what_they_gave_it() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let _daemon = Daemon::start();
        define(&ethernet("eth0", &["192.0.2.2/24"], &[]));
        virsh("iface-start eth0").ok();
        virsh_destroy("eth0").unwrap();
        ip_batch("address add 192.0.2.3/24 dev eth0\nlink set eth0 up\n");
        virsh("iface-undefine eth0").ok();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!(addresses("br0"), ["192.0.2.3/24"]);
    });
}

#[test]
fn a_rollback_moves_them_back_to_the_nic() {
    for Case { label, commands } in CASES {
        with_nics(commands, move |_| {
            let judge = Snapshot::take();
            virsh("iface-begin").ok();
            virsh("iface-bridge eth0 br0 --no-stp").ok();
            virsh("iface-rollback").ok();
            judge.assert_unchanged(Strictness::SameLinks, label);
        });
    }
}

/// The first address of a network is the source of packets to that network, whether it expires or
/// not.
#[test]
fn addresses_of_one_network_are_listed_as_they_were() {
    const COMMANDS: &str = "address add 192.0.2.7/24 dev eth0 valid_lft 3000 preferred_lft 2000\n\
        address add 192.0.2.3/24 dev eth0\naddress add 192.0.2.9/24 dev eth0\n\
        address add 2001:db8::9/64 dev eth0 nodad\naddress add 2001:db8::3/64 dev eth0 nodad\n";
    with_nics(COMMANDS, |_| {
        let (before, judge) = (addresses("eth0"), Snapshot::take());
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!(addresses("br0"), before);
        virsh("iface-unbridge br0").ok();
        assert_eq!(addresses("eth0"), before);
        judge.assert_unchanged(Strictness::AlikeLinks, "unbridged");
    });
}

/// The kernel adds no addresses on this host, which has one of its own.
#[test]
fn address_generation_moves_to_the_bridge() {
    const COMMANDS: &str = "address add 192.0.2.2/24 dev eth0\n\
        address add fe80::7/64 dev eth0 nodad\naddress add 2001:db8::2/64 dev eth0 nodad\n\
        address del fe80::5054:ff:fe00:1/64 dev eth0\nlink set eth0 addrgenmode none\n\
        route add default via fe80::1 dev eth0\ntoken set ::50 dev eth0\n";
    with_nics(COMMANDS, |_| {
        let own = |link: &str| {
            let lines = ip(&format!("-6 -o address show dev {link} scope link"));
            let address = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
            let making = ip_json(&format!("link show {link}")).remove(0);
            let making = text(&making["inet6_addr_gen_mode"]);
            let token = ip(&format!("token get dev {link}")).replace(link, "LINK");
            (lines.lines().filter_map(address).collect::<Vec<_>>(), making, token)
        };
        let (before, judge) = (own("eth0"), Snapshot::take());
        assert_eq!(
            (before.0.as_slice(), before.1.as_str()),
            (&["fe80::7/64".to_owned()][..], "none")
        );
        assert!(before.2.contains("::50"), "{before:?}");
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!(own("br0"), before);
        virsh("iface-unbridge br0").ok();
        assert_eq!(own("eth0"), before);
        judge.assert_unchanged(Strictness::AlikeLinks, "unbridged");
    });
}

/// The bridge has the traffic of the NIC, so a rule that names the NIC must apply to the bridge.
#[test]
fn a_rule_of_the_port_is_for_the_bridge_too() {
    const COMMANDS: &str = "address add 192.0.2.2/24 dev eth0\naddress add 2001:db8::2/64 dev eth0 nodad\n\
        route add 10.9.0.0/16 via 192.0.2.9 dev eth0 table 100\n\
        rule add iif eth0 table 100 priority 200\nrule add oif eth0 to 10.9.0.0/16 table 100 priority 201\n\
        rule add iif eth1 table 101 priority 202\n";
    with_nics(COMMANDS, |_| {
        ip("-6 rule add iif eth0 table 100 priority 200");
        let rules = |link: &str| {
            let rules = ["-4", "-6"].map(|family| ip(&format!("{family} rule"))).concat();
            let names_link = |line: &&str| line.split(' ').any(|word| word == link);
            let lines = rules.lines().filter(names_link).map(|line| line.replace(link, "LINK"));
            lines.map(|line| line.replace(" [detached]", "")).collect::<Vec<_>>()
        };
        let (before, judge) = (rules("eth0"), Snapshot::take());
        assert_eq!(before.len(), 3);
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!((rules("br0"), rules("eth0")), (before.clone(), before.clone()));
        let said = virsh("iface-start br0").failed();
        assert!(said.contains("already running"), "{said}");
        let _ = virsh("iface-destroy br0");
        assert_eq!(rules("br0"), [""; 0]);
        virsh("iface-start br0").ok();
        assert_eq!(rules("br0"), before);
        virsh("iface-unbridge br0").ok();
        judge.assert_unchanged(Strictness::AlikeLinks, "unbridged");
    });
}

/// As large hosters assign addresses: only the definition knows the gateway.
#[test]
fn a_gateway_that_no_address_reaches_is_on_the_link() {
    with_nics("", |_| {
        let gateways = ["172.31.1.1", "2001:db8:ffff::1"];
        define(&ethernet("eth0", &["203.0.113.5/32", "2001:db8::5/128"], &gateways));
        virsh("iface-start eth0").ok();
        await_addresses();
        let before = state("eth0");
        let has_flag = |route: &&String| route.contains("onlink");
        assert_eq!(before.iter().filter(has_flag).count(), 2, "{before:?}");
        let said = virsh("iface-start eth0").failed();
        assert!(said.contains("already running"), "{said}");
        let _ = virsh("iface-destroy eth0");
        virsh("iface-start eth0").ok();
        assert_comes_to_have("eth0", &before, "started again");
    });
}

/// A route that contradicts the definition's gateway is logged before it is lost.
#[test]
fn a_default_route_of_the_port_that_contradicts_the_definition_is_named() {
    const COMMANDS: &str = "address add 192.0.2.2/24 dev eth0\n\
        route add default via 192.0.2.1 dev eth0\n\
        route add default via 192.0.2.3 dev eth0 metric 10\n";
    with_nics(COMMANDS, |daemon| {
        let xml = bridge("br0", "stp='off'", &["eth0"], &["192.0.2.2/24"]);
        define(&xml.replace("</protocol>", "<route gateway='192.0.2.9'/></protocol>"));
        virsh("iface-start br0").ok();
        let defaults: Vec<_> = ip_json("-4 route show default dev br0")
            .iter()
            .map(|route| (text(&route["gateway"]), route["metric"].as_u64()))
            .collect();
        let want = [("192.0.2.9".to_owned(), None), ("192.0.2.3".to_owned(), Some(10))];
        assert_eq!(defaults, want);
        let log = daemon.stderr();
        let named = "route default via 192.0.2.1 of eth0 is not carried over to br0: br0 is \
                     defined with another gateway";
        assert!(log.contains(named), "{log}");
        assert!(!log.contains("192.0.2.3"), "{log}");
    });
}

/// When the address moves, the kernel leaves the route to an advertised prefix on the port.
#[test]
fn an_advertised_network_is_reached_through_the_bridge_at_once() {
    if !is_installed(VIRSH) || !is_installed("/usr/sbin/dnsmasq") {
        return;
    }
    in_namespace(|| {
        let mut scene = Scene::new();
        scene.advertise();
        let own = || addresses("eth0").into_iter().find(|it| it.starts_with("2001:db8:7:"));
        eventually("an address of the advertised prefix", || own().is_some());
        await_addresses();
        let before = own().unwrap();
        assert!(scene.reaches("2001:db8:7::1"));
        let daemon = Daemon::start();
        let nothing_but_bridged = |label: &str, link: &str| {
            let routes = ip_json("-6 route show table main");
            let of_prefix = routes.iter().filter(|route| route["dst"] == "2001:db8:7::/64");
            let links: Vec<_> = of_prefix.map(|route| text(&route["dev"])).collect();
            assert_eq!(links, [link], "{label}");
            assert!(addresses(link).contains(&before), "{label}");
            assert!(scene.reaches("2001:db8:7::1"), "{label}");
        };
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        nothing_but_bridged("bridged", "br0");
        virsh("iface-unbridge br0").ok();
        nothing_but_bridged("unbridged", "eth0");
        virsh("iface-begin").ok();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        virsh("iface-rollback").ok();
        nothing_but_bridged("rolled back", "eth0");
        drop(daemon);
    });
}

/// All routes of the host that were added explicitly, in the format of `ip`, with sorted hops: IPv6
/// lists the newest last.
fn host_routes() -> Vec<String> {
    let families = ["-4", "-6"].map(|family| ip(&format!("{family} -o route show table all")));
    let text = families.concat().replace(['\\', '\t'], " ");
    let lines = text.lines().filter(|line| !line.contains("proto kernel"));
    let in_order = |line: &str| {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut hops = words.split(" nexthop ").map(str::to_owned).collect::<Vec<_>>();
        hops[1..].sort();
        hops.join(" nexthop ")
    };
    lines.map(in_order).collect()
}

#[test]
fn a_route_over_several_ways_leads_through_the_bridge_and_back() {
    const COMMANDS: &str = "address add 192.0.2.2/24 dev eth0\n\
        address add 203.0.113.2/24 dev eth1\n\
        address add 2001:db8::2/64 dev eth0 nodad\n\
        address add 2001:db8:1::2/64 dev eth1 nodad\n\
        route add default nexthop via 192.0.2.1 dev eth0 weight 3 nexthop via 192.0.2.9 dev eth0\n\
        route add 10.1.0.0/16 nexthop via 192.0.2.1 dev eth0 nexthop via 203.0.113.1 dev eth1 weight 9\n\
        route add 2001:db8:a::/48 nexthop via 2001:db8::1 dev eth0 nexthop via 2001:db8::9 dev eth0\n\
        route add 2001:db8:b::/48 nexthop via 2001:db8::1 dev eth0 nexthop via 2001:db8:1::1 dev eth1 weight 4\n";
    with_nics(COMMANDS, |_| {
        let (before, judge) = (sorted(host_routes()), Snapshot::take());
        let as_before = |link: &str| {
            let with_nic = |line: String| line.replace(link, "eth0");
            sorted(host_routes().into_iter().map(with_nic).collect())
        };
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!(as_before("br0"), before);
        let _ = virsh("iface-destroy br0");
        let rest = host_routes().join("\n");
        assert!(rest.contains("10.1.0.0/16 via 203.0.113.1 dev eth1"), "{rest}");
        assert!(rest.contains("2001:db8:b::/48 via 2001:db8:1::1 dev eth1"), "{rest}");
        virsh("iface-start br0").ok();
        assert_eq!(as_before("br0"), before);
        virsh("iface-unbridge br0").ok();
        judge.assert_unchanged(Strictness::AlikeLinks, "unbridged");
    });
}

/// Nexthop objects of both families and a group of them, with routes over them.
const OBJECTS: &str = "address add 192.0.2.2/24 dev eth0\n\
    address add 2001:db8::2/64 dev eth0 nodad\n\
    address add 203.0.113.2/24 dev eth1\n\
    nexthop add id 7 via 192.0.2.1 dev eth0\n\
    nexthop add id 8 via 192.0.2.9 dev eth0\n\
    nexthop add id 6 via 2001:db8::1 dev eth0\n\
    nexthop add id 5 via fe80::1 dev eth0\n\
    nexthop add id 9 via 203.0.113.1 dev eth1\n\
    nexthop add id 20 group 7,3/8\n\
    nexthop add id 21 group 7/9\n\
    route add default nhid 7 metric 9\n\
    route add 10.1.0.0/16 nhid 7\n\
    route add 10.2.0.0/16 nhid 20\n\
    route add 10.3.0.0/16 nhid 21\n\
    route add 10.4.0.0/16 nhid 5\n\
    route add 10.5.0.0/16 nhid 8 table 100 mtu 1300\n\
    route add 2001:db8:a::/48 nhid 6\n";

/// All nexthop objects, as `ip` writes them.
fn objects() -> Vec<String> {
    sorted(ip("nexthop show").lines().map(|line| line.trim_end().to_owned()).collect())
}

#[test]
fn nexthop_objects_lead_through_the_bridge_and_back() {
    with_nics(OBJECTS, |daemon| {
        let picture = |link: &str| {
            let with_nic = |line: String| line.replace(link, "eth0");
            sorted([host_routes(), objects()].concat().into_iter().map(with_nic).collect())
        };
        let (before, judge) = (picture("eth0"), Snapshot::take());
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!(picture("br0"), before);
        virsh("iface-unbridge br0").ok();
        judge.assert_unchanged(Strictness::AlikeLinks, "unbridged");
        let _ = virsh("iface-destroy eth0");
        virsh("iface-start eth0").ok();
        judge.assert_unchanged(Strictness::AlikeLinks, "started again");
        virsh("iface-begin").ok();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        virsh("iface-rollback").ok();
        judge.assert_unchanged(Strictness::SameLinks, "rolled back");
        let log = daemon.stderr();
        assert!(!log.contains("nexthop"), "{log}");
    });
}

/// An undo restores them and the routes over them.
#[test]
fn nexthop_objects_come_back_with_what_is_undone() {
    with_nics(OBJECTS, |_| {
        let before = Snapshot::take();
        let xml = bridge("br0", "stp='off'", &["eth0"], &["192.0.2.2/24"]);
        // The last step fails, as there is no DHCPv6 server.
        let ipv6 = "<protocol family='ipv6'><dhcp/></protocol>";
        define(&xml.replace("<bridge ", &format!("{ipv6}<bridge ")));
        let said = virsh("iface-start br0").failed();
        assert!(said.contains("the steps already done were undone"), "{said}");
        before.assert_unchanged(Strictness::AlikeLinks, "undone");
    });
}

/// The kernel refuses nexthop objects on a link without a carrier.
#[test]
fn a_nexthop_object_that_does_not_go_along_is_named() {
    const COMMANDS: &str = "address add 192.0.2.2/24 dev eth0\n\
        nexthop add id 7 via 192.0.2.1 dev eth0\n\
        route add default nhid 7 metric 9\n\
        route add 10.1.0.0/16 nhid 7\n";
    with_nics(COMMANDS, |daemon| {
        virsh("iface-bridge eth0 br0").ok();
        let want = ["10.1.0.0/16 via 192.0.2.1 dev br0", "default via 192.0.2.1 dev br0 metric 9"];
        let routes: Vec<_> = host_routes().iter().map(|it| it.replace(" linkdown", "")).collect();
        assert_eq!(sorted(routes), want);
        let log = daemon.stderr();
        assert!(log.contains("not restored: nexthop add id 7 dev br0"), "{log}");
    });
}
