// SPDX-License-Identifier: LGPL-2.1-or-later
//! Default gateways: which of several default routes a description shows.

use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use crate::support::client::RawClient;
use crate::support::command::{command, ip, ip_batch, run};
use crate::support::daemon::Daemon;
use crate::support::namespace::{DIR, in_namespace};

/// Two links that are up, with an address of each family.
const LINKS: &str = "\
link add veth0 type veth peer name far0
link add veth1 type veth peer name far1
link set veth0 up
link set veth1 up
link set far0 up
link set far1 up
address add 192.0.2.2/24 dev veth0
address add 198.51.100.2/24 dev veth1
address add 2001:db8::2/64 dev veth0 nodad
address add 2001:db8:1::2/64 dev veth1 nodad
";

/// The gateways in a link's description, in order.
fn gateways(client: &mut RawClient, name: &str) -> Vec<String> {
    let xml = client.xml(name);
    let values = xml.split("<route gateway='").skip(1);
    values.map(|rest| rest.split('\'').next().unwrap().to_owned()).collect()
}

#[test]
fn the_default_gateways_of_a_link_are_those_that_the_kernel_would_use() {
    /// Routes, and the expected gateways of `veth0`.
    struct Case(&'static str, &'static str, &'static [&'static str]);
    const CASES: [Case; 14] = [
        Case("none", "", &[]),
        Case("IPv4", "route add default via 192.0.2.1\n", &["192.0.2.1"]),
        Case("IPv6", "route add default via 2001:db8::1\n", &["2001:db8::1"]),
        Case(
            "both",
            "route add default via 2001:db8::1\nroute add default via 192.0.2.1\n",
            &["192.0.2.1", "2001:db8::1"],
        ),
        Case(
            "the better one of two",
            "route add default via 192.0.2.9 metric 200\n\
             route add default via 192.0.2.8 metric 100\n",
            &["192.0.2.8"],
        ),
        Case("through another link", "route add default via 198.51.100.1\n", &[]),
        Case(
            "worse than another link's",
            "route add default via 198.51.100.1 metric 1\n\
             route add default via 192.0.2.1 metric 600\n",
            &["192.0.2.1"],
        ),
        Case("without a gateway", "route add default dev veth0\n", &[]),
        Case(
            "a router's link-local address",
            "route add default via fe80::1 dev veth0\n",
            &["fe80::1"],
        ),
        Case(
            "a gateway of the other family",
            "route add 0.0.0.0/0 via inet6 fe80::1 dev veth0\n",
            &[],
        ),
        Case(
            "shared by two links",
            "route add default nexthop via 198.51.100.1 nexthop via 192.0.2.1\n",
            &["192.0.2.1"],
        ),
        Case(
            "another table's, for what leaves from an address",
            "route add default via 192.0.2.1 table 100\nrule add from 192.0.2.2 table 100\n",
            &[],
        ),
        Case(
            "another table's, for what leaves through the link",
            "route add default via 192.0.2.1 table 100\nrule add oif veth0 table 100\n\
             route add default via 192.0.2.8 metric 300\n",
            &[],
        ),
        Case(
            "beside narrower ones",
            "route add 10.0.0.0/8 via 192.0.2.9\nroute add 240.0.0.0/4 via 192.0.2.9\n\
             route add blackhole 192.0.2.0/25\nroute add default via 192.0.2.200\n",
            &["192.0.2.200"],
        ),
    ];
    for Case(label, routes, want) in CASES {
        in_namespace(move || {
            ip_batch(LINKS);
            let _daemon = Daemon::start();
            let mut client = RawClient::open();
            ip_batch(routes);
            assert_eq!(gateways(&mut client, "veth0"), want, "{label}");
        });
    }
}

#[test]
fn two_hundred_thousand_routes_do_not_hide_the_default_one() {
    const COUNT: u32 = 200_000;
    in_namespace(|| {
        ip_batch(
            "link add veth0 type veth peer name veth1\nlink set veth0 up\nlink set veth1 up\n\
             address add 192.0.2.2/24 dev veth0\n",
        );
        let mut lines = String::new();
        for number in 0..COUNT {
            let [_, a, b, c] = number.to_be_bytes();
            writeln!(lines, "route add 10.{a}.{b}.{c}/32 via 192.0.2.9 dev veth0").unwrap();
        }
        let file = format!("{DIR}/routes");
        fs::write(&file, lines).unwrap();
        run(command("ip").args(["-batch", &file])).ok();
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let start = Instant::now();
        assert_eq!(gateways(&mut client, "veth0"), [""; 0]);
        ip("route add default via 192.0.2.1 dev veth0");
        assert_eq!(gateways(&mut client, "veth0"), ["192.0.2.1"]);
        ip("route del default");
        assert_eq!(gateways(&mut client, "veth0"), [""; 0]);
        println!("three descriptions beside {COUNT} routes: {:?}", start.elapsed());
    });
}
