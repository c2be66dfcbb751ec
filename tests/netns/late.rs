// SPDX-License-Identifier: LGPL-2.1-or-later
//! Interfaces that start automatically while a DHCP server, a port or a NIC is missing. It is added
//! when it appears, without a change to what runs, and not against an administrator's decision.
//! `tests/kernel` covers parents of VLANs and members of bonds, which not every kernel supports.

use std::fs;

use virtinterfaced::model::address::Family;

use crate::autostart::{MARKER, await_address, store};
use crate::dhcp::{self, Scene, with_each_client};
use crate::host::{
    TWO_NICS, addresses, await_addresses, bridge, define, ethernet, is_up, link, ports,
    virsh_destroy, with_virsh,
};
use crate::leases::{client_pid, configured};
use crate::scene::fact;
use crate::support::command::{ip, ip_batch, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};

/// The incomplete interfaces in the marker, with the reason and the state of each.
fn incomplete() -> Option<Vec<String>> {
    let text = fs::read_to_string(MARKER).ok()?;
    Some(text.lines().skip(1).map(str::to_owned).collect())
}

fn await_incomplete(want: &[&str]) {
    eventually(&format!("the marker says {want:?}"), || {
        incomplete().is_some_and(|lines| lines == want)
    });
}

fn log_has(daemon: &Daemon, want: &str) {
    eventually(&format!("a log line: {want}"), || daemon.stderr().contains(want));
}

/// Sends the daemon an event, and waits until it has handled it, and so all earlier ones.
fn settle() {
    store("last0", &bridge("last0", "stp='off'", &["news0"], &[]), "hotplug");
    ip("link add news0 type veth peer name news1");
    eventually("the daemon has heard the news", || ports_of("last0") == ["news0"]);
    virsh_destroy("last0").unwrap();
    virsh("iface-undefine last0").ok();
    ip("link del news0");
}

/// The ports of a bridge, if it exists.
fn ports_of(bridge: &str) -> Vec<String> {
    match crate::host::find_link(bridge) {
        Some(_) => ports(bridge),
        None => Vec::new(),
    }
}

const NIC_BY_DHCP: &str = "<interface type='ethernet' name='eth0'>\
    <protocol family='ipv4'><dhcp/><route gateway='192.0.2.1'/></protocol></interface>";

#[test]
fn a_dhcp_server_that_comes_late_is_asked_until_it_answers() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        ip("link set eth0 down");
        store("eth0", NIC_BY_DHCP, "onboot");
        let daemon = configured(client, "dhcp_timeout = 1\n");
        await_incomplete(&["eth0 onboot up"]);
        assert!(is_up("eth0"));
        let want =
            "eth0 is brought up in part (at boot): no DHCP server has given a lease for ipv4";
        log_has(&daemon, want);
        assert_eq!(daemon.stderr().matches("eth0 is brought up").count(), 1, "said once");
        let pid = client_pid();

        // The next daemon continues, with the same client.
        assert!(daemon.stop().success());
        let daemon = configured(client, "dhcp_timeout = 1\n");
        await_incomplete(&["eth0 onboot up"]);
        assert_eq!(client_pid(), pid);

        scene.serve();
        eventually("a lease", || addresses("eth0").len() == 1);
        await_incomplete(&[]);
        eventually("the gateway", || ip("-4 route").contains("default via 192.0.2.1 dev eth0"));
        log_has(&daemon, "eth0 is complete (incomplete since boot)");
        assert_eq!(client_pid(), pid, "one client all the time");
        virsh_destroy("eth0").unwrap();
    });
}

/// The interface does not match its definition, so it can be started explicitly.
#[test]
fn a_start_of_what_lacks_only_its_lease_waits_for_that() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        ip("link set eth0 down");
        store("eth0", NIC_BY_DHCP, "onboot");
        let daemon = configured(client, "dhcp_timeout = 1\n");
        await_incomplete(&["eth0 onboot up"]);
        let pid = client_pid();
        let said = virsh("iface-start eth0").failed();
        let want = "wait until eth0 has a lease for ipv4: Connection timed out; \
                    nothing has been changed";
        assert!(said.contains(want), "{said}");
        assert!(is_up("eth0"));
        assert_eq!(client_pid(), pid, "the client goes on");
        assert_eq!(incomplete().unwrap(), ["eth0 onboot up"]);

        assert!(daemon.stop().success());
        let _daemon = configured(client, "");
        std::thread::scope(|scope| {
            let started = scope.spawn(|| virsh("iface-start eth0").ok());
            scene.serve();
            started.join().unwrap();
        });
        assert_eq!(dhcp::addresses("eth0", Family::Ipv4).len(), 1);
        let said = virsh("iface-start eth0").failed();
        assert!(said.contains("already running"), "{said}");
        assert_eq!(client_pid(), pid, "one client all the time");
        virsh_destroy("eth0").unwrap();
    });
}

#[test]
fn a_cable_that_is_plugged_in_late_brings_the_lease() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve();
        run(scene.far("ip").args(["link", "set", "far0", "down"])).ok();
        eventually("the carrier is gone", || fact("eth0", "carrier") == "0");
        store("eth0", NIC_BY_DHCP, "onboot");
        let _daemon = configured(client, "");
        await_incomplete(&["eth0 onboot up"]);
        assert_eq!(addresses("eth0"), [""; 0]);
        run(scene.far("ip").args(["link", "set", "far0", "up"])).ok();
        await_incomplete(&[]);
        assert_eq!(dhcp::addresses("eth0", Family::Ipv4).len(), 1);
        virsh_destroy("eth0").unwrap();
    });
}

/// The gateway can be reached only through the lease.
#[test]
fn a_defined_gateway_follows_the_lease() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        // A gateway that the server does not announce.
        store("eth0", &NIC_BY_DHCP.replace("192.0.2.1", "192.0.2.77"), "onboot");
        let _daemon = configured(client, "");
        await_incomplete(&["eth0 onboot up"]);
        scene.serve();
        eventually("a lease", || dhcp::addresses("eth0", Family::Ipv4).len() == 1);
        eventually("the gateway", || ip("-4 route").contains("default via 192.0.2.77"));
        await_incomplete(&[]);
        virsh_destroy("eth0").unwrap();
    });
}

#[test]
fn ports_and_nics_that_come_late_are_added_beside_what_runs() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let br0 = bridge("br0", "stp='off'", &["eth0", "nic7", "nic8"], &["192.0.2.2/24"]);
        store("br0", &br0, "onboot");
        store("nic9", &ethernet("nic9", &["198.51.100.9/24"], &[]), "onboot");
        let daemon = Daemon::start();
        await_address("br0", "192.0.2.2/24");
        await_incomplete(&["br0 onboot usable", "nic9 onboot down"]);
        assert_eq!(ports("br0"), ["eth0"]);
        log_has(&daemon, "br0 is brought up in part (at boot): there is no link nic7; there is no");
        log_has(&daemon, "nic9 is not brought up (at boot): there is no link nic9");

        // Meanwhile an administrator makes changes.
        ip_batch(
            "address add 192.0.2.99/24 dev br0\nlink set br0 mtu 1400\n\
             link add far5 type veth peer name nic5\nlink set far5 master br0\nlink set eth0 down\n",
        );
        let facts = || {
            let index = |name| link(name)["ifindex"].clone();
            (index("br0"), addresses("br0"), fact("br0", "mtu"), is_up("eth0"))
        };
        let before = facts();
        ip("link add nic7 type veth peer name far7");
        eventually("the port", || ports("br0") == ["eth0", "far5", "nic7"]);
        eventually("the port is up", || is_up("nic7"));
        await_incomplete(&["br0 onboot usable", "nic9 onboot down"]);
        assert_eq!(facts(), before);

        // Another daemon in the same boot continues with the rest.
        daemon.kill();
        let daemon = Daemon::start();
        ip("link add nic9 type veth peer name far9");
        await_address("nic9", "198.51.100.9/24");
        log_has(&daemon, "nic9 is brought up (incomplete since boot)");
        ip("link add nic8 type veth peer name far8");
        eventually("the port", || ports("br0") == ["eth0", "far5", "nic7", "nic8"]);
        await_incomplete(&[]);
        assert_eq!(facts(), before);
        log_has(&daemon, "br0 is complete (incomplete since boot)");
    });
}

/// A bridge has the MAC address of its first port, and its lease depends on that.
#[test]
fn a_bridge_asks_for_a_lease_when_it_has_a_port() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve();
        ip_batch("link set eth0 down\nlink set eth0 name late0\n");
        let ports_and = "<bridge stp='off'><interface type='ethernet' name='eth0'/></bridge>";
        let dhcp = "<protocol family='ipv4'><dhcp/></protocol>";
        let xml = format!("<interface type='bridge' name='br0'>{dhcp}{ports_and}</interface>");
        store("br0", &xml, "onboot");
        let _daemon = configured(client, "");
        await_incomplete(&["br0 onboot up"]);
        assert!(dhcp::processes("br0").is_empty());
        ip("link set late0 name eth0");
        eventually("a lease", || dhcp::addresses("br0", Family::Ipv4).len() == 1);
        await_incomplete(&[]);
        assert_eq!(fact("br0", "address"), "02:00:00:00:00:05");
        virsh_destroy("br0").unwrap();
    });
}

/// The kernel refuses a link as a port while a macvlan depends on it.
#[test]
fn requests_that_the_kernel_refuses_are_tried_again() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip("link add over0 link eth1 type macvlan mode bridge");
        store("br0", &bridge("br0", "stp='off'", &["eth0", "eth1"], &["192.0.2.2/24"]), "onboot");
        let daemon = Daemon::start();
        await_incomplete(&["br0 onboot up"]);
        assert_eq!(addresses("br0"), ["192.0.2.2/24"]);
        assert_eq!(ports("br0"), ["eth0"]);
        log_has(&daemon, "br0 is brought up in part (at boot): link set eth1 master br0: ");
        ip("link del over0");
        eventually("the port", || ports("br0") == ["eth0", "eth1"]);
        await_incomplete(&[]);
        log_has(&daemon, "br0 is complete (at boot)");
    });
}

/// A definition that waits for a port, and is up already.
fn waiting(name: &str, port: &str, late: &str) {
    store(name, &bridge(name, "stp='off'", &[port, late], &[]), "onboot");
}

#[test]
fn an_administrators_call_ends_the_daemons_attempts() {
    with_virsh(|| {
        ip_batch(
            "link add p1 type veth peer name q1\nlink add p2 type veth peer name q2\n\
             link add p3 type veth peer name q3\nlink add p4 type veth peer name q4\n\
             link add p5 type veth peer name q5\n",
        );
        for at in 1..=5 {
            waiting(&format!("br{at}"), &format!("p{at}"), &format!("l{at}"));
        }
        let daemon = Daemon::start();
        let line = |at| format!("br{at} onboot usable");
        let lines: Vec<_> = (1..=5).map(line).collect();
        await_incomplete(&lines.iter().map(String::as_str).collect::<Vec<_>>());

        virsh_destroy("br1").unwrap();
        virsh("iface-undefine br2").ok();
        ip("link set br3 down");
        define(&bridge("br4", "stp='off'", &["p4", "l4"], &["203.0.113.4/24"]));
        ip("link del br5");
        await_incomplete(&["br3 onboot usable", "br4 onboot usable"]);
        let before = ["br2", "br4"].map(|name| (ports(name), addresses(name)));
        for at in 1..=5 {
            ip(&format!("link add l{at} type veth peer name m{at}"));
        }
        await_incomplete(&[]);
        settle();
        assert_eq!(ports_of("br1"), [""; 0]);
        assert!(!is_up("br3"));
        assert_eq!(ports("br3"), ["p3"]);
        assert_eq!(["br2", "br4"].map(|name| (ports(name), addresses(name))), before);
        assert_eq!(ports_of("br5"), [""; 0]);
        for want in
            ["giving up on bringing br3 up: it has been taken down", "giving up on bringing br4 up"]
        {
            log_has(&daemon, want);
        }
    });
}

#[test]
fn a_rollback_is_not_undone_by_what_comes_late() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(
            "link add br9 type bridge\nlink add l1 type veth peer name m1\n\
             link set l1 up\nlink set l1 down\nlink set l1 master br9\n",
        );
        store("br0", &bridge("br0", "stp='off'", &["eth0", "l1", "l2"], &[]), "onboot");
        store("br1", &bridge("br1", "stp='off'", &["eth1", "l3"], &[]), "onboot");
        let daemon = Daemon::start();
        await_incomplete(&["br0 onboot usable", "br1 onboot usable"]);
        log_has(&daemon, "l1 is a port of br9");
        await_addresses();
        let judge = Snapshot::take();
        virsh("iface-begin").ok();
        ip("link set l1 nomaster");
        eventually("the port", || ports("br0") == ["eth0", "l1"]);
        virsh("iface-rollback").ok();
        judge.assert_unchanged(Strictness::SameLinks, "rolled back");
        assert_eq!((ports("br0"), ports("br9")), (vec!["eth0".to_owned()], vec!["l1".to_owned()]));
        await_incomplete(&["br1 onboot usable"]);
        ip("link set l1 nomaster");
        ip_batch("link add l2 type veth peer name m2\nlink add l3 type veth peer name m3\n");
        // An interface that the transaction did not affect is still completed.
        eventually("the port", || ports("br1") == ["eth1", "l3"]);
        await_incomplete(&[]);
        settle();
        assert_eq!(ports("br0"), ["eth0"]);
    });
}
