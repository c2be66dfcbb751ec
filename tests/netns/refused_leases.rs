// SPDX-License-Identifier: LGPL-2.1-or-later
//! A DHCP server must not harm a host: it cannot remove the host's own addresses, assign addresses
//! and routes that no host should accept, or delay a start for ever by refusing the requested
//! address.

use std::fs;

use virtinterfaced::model::address::{Family, IpPrefix};
use virtinterfaced::model::lease::Lease;

use crate::autostart::store;
use crate::dhcp::{
    Clients, Scene, addresses, bound, event, event_command, lease, with_each_client,
};
use crate::host::{define, virsh_destroy};
use crate::leases::configured;
use crate::support::command::{ip, ip_batch, run, virsh};
use crate::support::eventually;
use crate::support::namespace::{DIR, in_namespace};

/// The script's note to the daemon about eth0's lease.
fn refused() -> String {
    let path = format!("{DIR}/eth0.ipv4.refused");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text
}

/// Asserts that the script refuses an event, and changes nothing.
#[track_caller]
fn assert_refused(label: &str, words: (&[&str], &[(&str, &str)]), want: &str) {
    // For IPv6 only the addresses, as the kernel may still be settling the link-local one.
    let facts = || {
        let [v4, v6] = [Family::Ipv4, Family::Ipv6].map(|family| addresses("eth0", family));
        (v4, v6, ip("-4 address show dev eth0"), ip("-4 route"))
    };
    let before = facts();
    let output = run(&mut event_command(words.0, words.1));
    assert!(!output.status.success(), "{label}");
    let said = refused();
    assert!(said.contains(want), "{label}: {want:?} is not in {said:?}");
    assert_eq!(facts(), before, "{label}");
}

#[test]
fn leases_that_no_host_should_take_are_refused() {
    in_namespace(|| {
        let _scene = Scene::new();
        ip("address add 198.51.100.5/24 dev eth0");
        ip("-6 address add 2001:db8:9::5/64 dev eth0 nodad");
        let mask = "255.255.255.0";
        struct Case(&'static str, [&'static str; 3], &'static str);
        let no_host = "is not a host address";
        let cases = [
            Case("nothing", ["0.0.0.0", "255.255.255.0", "600"], no_host),
            Case("this network", ["0.1.2.3", "255.0.0.0", "600"], no_host),
            Case("loopback", ["127.0.0.5", "255.0.0.0", "600"], no_host),
            Case("multicast", ["224.0.0.5", mask, "600"], no_host),
            Case("multicast, the last", ["239.255.255.5", mask, "600"], no_host),
            Case("reserved", ["240.0.0.5", mask, "600"], no_host),
            Case("everybody", ["255.255.255.255", mask, "600"], no_host),
            Case("no address", ["192.0.2", mask, "600"], no_host),
            Case("no mask", ["192.0.2.5", "0.0.0.0", "600"], "without a network mask"),
            Case(
                "a mask with holes",
                ["192.0.2.5", "255.0.255.0", "600"],
                "without a network mask",
            ),
            Case("the network", ["192.0.2.0", mask, "600"], "or its broadcast address"),
            Case("its broadcast", ["192.0.2.255", mask, "600"], "or its broadcast address"),
            Case("no time", ["192.0.2.5", mask, "0"], "lasts for 0 seconds"),
            Case("no number", ["192.0.2.5", mask, ""], "lasts for no seconds"),
            Case("the host's own", ["198.51.100.5", mask, "600"], "is the host's own address"),
            Case("of another mask", ["198.51.100.5", "255.255.0.0", "600"], "the host's own"),
        ];
        for Case(label, [ip, subnet, time], want) in cases {
            let udhcpc = [("ip", ip), ("subnet", subnet), ("lease", time), ("router", "192.0.2.1")];
            assert_refused(label, (&["bound"], &udhcpc), want);
            let dhclient = [
                ("reason", "BOUND"),
                ("new_ip_address", ip),
                ("new_subnet_mask", subnet),
                ("new_dhcp_lease_time", time),
                ("new_routers", "192.0.2.1"),
            ];
            assert_refused(label, (&[], &dhclient), want);
        }
        for (address, time, want) in [
            ("::1", "600", no_host),
            ("fe80::5", "600", no_host),
            ("ff02::5", "600", no_host),
            ("2001:db8::5", "0", "lasts for 0 seconds"),
            ("2001:db8:9::5", "600", "the host's own"),
        ] {
            let dhclient = [
                ("reason", "BOUND6"),
                ("new_ip6_address", address),
                ("new_max_life", time),
                ("new_preferred_life", time),
            ];
            assert_refused(address, (&[], &dhclient), want);
        }
        // The longest lifetime means for ever, and a network may have only two addresses.
        for (ip, subnet, time) in
            [("192.0.2.5", mask, "4294967295"), ("192.0.2.6", "255.255.255.254", "1")]
        {
            event(&["bound"], &[("ip", ip), ("subnet", subnet), ("lease", time)]);
            assert_eq!(refused(), "");
            assert!(addresses("eth0", Family::Ipv4).concat().contains(ip));
        }
        event(&["deconfig"], &[]);
        assert_eq!(addresses("eth0", Family::Ipv4), ["198.51.100.5/24"]);
    });
}

#[test]
fn routes_that_a_server_must_not_set_are_left_out() {
    in_namespace(|| {
        let _scene = Scene::new();
        ip_batch(
            "link set lo up\naddress add 203.0.113.1/32 dev lo\n\
             link add eth1 type veth peer name far1\nlink set eth1 up\nlink set far1 up\n\
             address add 10.66.0.1/16 dev eth1\n\
             link add eth2 type veth peer name far2\nlink set eth2 up\n\
             address add 10.77.0.1 peer 10.77.0.2/32 dev eth2\n",
        );
        struct Case(&'static str, bool);
        let cases = [
            Case("10.9.0.0/16 192.0.2.9", true),
            Case("10.10.0.0/16 0.0.0.0", true),
            Case("0.0.0.0/0 192.0.2.1", true),
            // Wider than another link's network, whose own route remains more specific.
            Case("10.0.0.0/8 192.0.2.9", true),
            Case("127.0.0.0/8 192.0.2.9", false),
            Case("224.0.0.0/4 192.0.2.9", false),
            Case("10.66.0.0/16 192.0.2.9", false),
            Case("10.66.7.0/24 0.0.0.0", false),
            Case("10.77.0.2/32 192.0.2.9", false),
            Case("203.0.113.1/32 192.0.2.9", false),
            Case("10.11.0.0/16 127.0.0.1", false),
            Case("10.11.0.0/16 224.0.0.1", false),
            Case("0.0.0.0/0 255.255.255.255", false),
        ];
        let base = [("ip", "192.0.2.5"), ("subnet", "255.255.255.0"), ("lease", "600")];
        let of_lease = || ip("-4 route show dev eth0 proto dhcp");
        for Case(route, is_taken) in cases {
            let udhcpc = [&base[..], &[("staticroutes", route)]].concat();
            let dhcpcd = [
                ("reason", "RENEW"),
                ("new_ip_address", "192.0.2.5"),
                ("new_subnet_mask", "255.255.255.0"),
                ("new_dhcp_lease_time", "600"),
                ("new_classless_static_routes", route),
            ];
            for (arguments, variables) in [(&["bound"][..], &udhcpc[..]), (&[], &dhcpcd)] {
                event(arguments, variables);
                assert_eq!(of_lease().lines().count(), usize::from(is_taken), "{route}");
                assert_eq!(refused().contains("a route to"), !is_taken, "{route}");
                assert_eq!(addresses("eth0", Family::Ipv4), ["192.0.2.5/24"], "{route}");
            }
        }
        event(&["bound"], &[&base[..], &[("router", "127.0.0.1")]].concat());
        assert_eq!(of_lease(), "");
        assert!(refused().contains("over 127.0.0.1, which is not a host address"));
    });
}

/// The kernel deletes the other addresses of a network with its first one.
#[test]
fn an_own_address_survives_a_lease_of_its_network() {
    in_namespace(|| {
        let _scene = Scene::new();
        let base = [("ip", "192.0.2.5"), ("subnet", "255.255.255.0"), ("lease", "600")];
        event(&["bound"], &base);
        ip("address add 192.0.2.77/24 dev eth0");
        event(&["renew"], &base);
        event(&["deconfig"], &[]);
        assert_eq!(addresses("eth0", Family::Ipv4), ["192.0.2.77/24"]);
        // A leased address that was made permanent since no longer belongs to the lease.
        event(&["bound"], &base);
        ip("address change 192.0.2.5/24 dev eth0 valid_lft forever preferred_lft forever");
        assert_refused("renewed", (&["renew"], &base), "192.0.2.5 is the host's own address");
        event(&["deconfig"], &[]);
        assert_eq!(addresses("eth0", Family::Ipv4), ["192.0.2.77/24", "192.0.2.5/24"]);
    });
}

#[test]
fn a_server_that_leases_the_hosts_own_address_does_not_get_it() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve_with(("192.0.2.77", "192.0.2.77"), &[]);
        store(
            "eth0",
            "<interface type='ethernet' name='eth0'><protocol family='ipv4'><dhcp/>\
             <ip address='192.0.2.77' prefix='24'/></protocol></interface>",
            "onboot",
        );
        let daemon = configured(client, "");
        let want =
            "DHCP lease of eth0 (ipv4) refused, in whole or in part: 192.0.2.77 is the host's own";
        eventually("the lease is refused", || daemon.stderr().contains(want));
        assert!(scene.log().contains("DHCPACK(far0) 192.0.2.77"), "{}", scene.log());
        assert_eq!(addresses("eth0", Family::Ipv4), ["192.0.2.77/24"]);
        assert!(!ip("-4 address show dev eth0").contains("dynamic"), "it lasts");
        virsh_destroy("eth0").unwrap();
    });
}

#[test]
fn a_defined_address_outlives_its_lease() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve_with(("192.0.2.77", "192.0.2.77"), &[]);
        let _daemon = configured(client, "");
        let definition = |fixed| {
            format!(
                "<interface type='ethernet' name='eth0'><protocol family='ipv4'><dhcp/>{fixed}\
                 </protocol></interface>"
            )
        };
        define(&definition(""));
        virsh("iface-start eth0").ok();
        assert!(ip("-4 address show dev eth0").contains("dynamic"));
        // The administrator adds the leased address to the definition.
        define(&definition("<ip address='192.0.2.77' prefix='24'/>"));
        virsh("iface-start eth0").ok();
        assert!(!ip("-4 address show dev eth0").contains("dynamic"));
        assert_eq!(addresses("eth0", Family::Ipv4), ["192.0.2.77/24"]);
        virsh_destroy("eth0").unwrap();
    });
}

#[test]
fn another_address_than_the_wanted_one_is_taken() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        let clients = Clients::open(client);
        scene.serve();
        ip("address add 192.0.2.50/24 dev eth0 valid_lft 900 preferred_lft 900");
        let wanted = IpPrefix::new("192.0.2.50".parse().unwrap(), 24);
        let eth0 = Lease { wanted, ..lease("eth0") };
        clients.start(&eth0);
        clients.until("the other address", || {
            !addresses("eth0", Family::Ipv4).contains(&"192.0.2.50/24".to_owned())
        });
        let address = bound(&clients, "eth0").to_string();
        assert!(address.starts_with("192.0.2.1"), "{address}");
        let log = scene.log();
        assert!(log.matches("DHCPNAK").count() <= 1, "{log}");
        clients.end(&eth0);
    });
}

#[test]
fn a_lease_without_name_servers_leaves_the_hosts() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve_with(("192.0.2.100", "192.0.2.120"), &["--dhcp-option=6"]);
        let daemon = configured(client, "");
        let own = "# The administrator's.\nnameserver 203.0.113.1\n";
        fs::write("/etc/resolv.conf", own).unwrap();
        crate::leases::defined("<dhcp/>");
        virsh("iface-start eth0").ok();
        // The event is logged after the script has applied the lease.
        eventually("the lease is logged", || {
            daemon.stderr().contains("DHCP lease of eth0 (ipv4) bound: 192.0.2.1")
        });
        eventually("a default route", || ip("-4 route").contains("default via 192.0.2.1"));
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), own);
        virsh_destroy("eth0").unwrap();
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), own);
    });
}
