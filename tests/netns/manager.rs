// SPDX-License-Identifier: LGPL-2.1-or-later
//! A real dhcpcd that manages all links: a lease moves to the bridge that takes its link over, with
//! the same process, and back.
//!
//! dhcpcd accepts commands from version 10 on. If the host's is older, `TEST_DHCPCD` names a
//! directory that is mounted over /usr; without it only the test hosts (`tests/vm`) run this.
//! dhcpcd ignores veths by default, so they are named explicitly.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use virtinterfaced::model::address::Family;

use crate::dhcp::{Scene, addresses};
use crate::foreign::{Cleaner, acknowledgements, clients};
use crate::host::{find_link, with_virsh};
use crate::support::command::{command, ip, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::namespace::DIR;

const TITLE: &str = "dhcpcd: [manager] [ip4] [ip6]";
const CONFIGURATION: &str = "nodev\nduid\npersistent\nnoarp\nnodelay\nvendorclassid\n";

/// Runs a test where the manager has a lease for eth0, and no other link.
fn with_manager(test: impl Fn(&Scene, &[String]) + Copy + Send + 'static) {
    with_virsh(move || {
        if let Some(newer) = std::env::var_os("TEST_DHCPCD") {
            let layers = format!("lowerdir={}:/usr", Path::new(&newer).display());
            run(command("mount").args(["-t", "overlay", "-o", &layers, "overlay", "/usr"])).ok();
        }
        let version = run(command("dhcpcd").arg("--version")).ok();
        let major = version.split([' ', '.']).nth(1).and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < 10) {
            println!("SKIP: no dhcpcd that takes orders is installed");
            return;
        }
        let path = format!("{DIR}/dhcpcd.conf");
        fs::write(&path, CONFIGURATION).unwrap();
        run(command("mount").args(["--bind", &path, "/etc/dhcpcd.conf"])).ok();
        let _cleaner = Cleaner;
        let mut scene = Scene::new();
        scene.serve();
        manage();
        let leased = addresses("eth0", Family::Ipv4);
        test(&scene, &leased);
        let log = scene.log();
        assert!(!log.contains("DHCPRELEASE") && !log.contains("DHCPNAK"), "{log}");
    });
}

fn manage() {
    run(command("dhcpcd").args(["-b", "-q", "-M", "eth0"])).ok();
    eventually("the manager has an address", || {
        clients() == [TITLE] && addresses("eth0", Family::Ipv4).len() == 1
    });
}

/// Whether the manager reports a link as managed.
fn managed(link: &str) -> bool {
    let said = run(command("dhcpcd").args(["-U", link]));
    said.stdout.contains("interface=") || said.stdout.contains("reason=")
}

/// Waits until the lease is on `link`, with the manager as the only client, and not on `other`.
#[track_caller]
fn is_at(link: &str, other: &str, leased: &[String]) {
    eventually("the manager has the link", || managed(link) && !managed(other));
    eventually("its address", || addresses(link, Family::Ipv4) == leased);
    eventually("no second address", || {
        find_link(other).is_none() || addresses(other, Family::Ipv4).is_empty()
    });
    assert_eq!(clients(), [TITLE]);
    eventually("its route", || {
        let routes = ip("-4 route show default");
        routes.contains(&format!("dev {link}")) && routes.lines().count() == 1
    });
}

#[test]
fn a_managers_lease_goes_on_at_the_bridge_and_comes_back() {
    with_manager(|scene, leased| {
        let daemon = Daemon::configured("log_level = 1\n");
        let before = acknowledgements(scene);
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        assert_eq!(addresses("br1", Family::Ipv4), leased);
        eventually("the server acknowledges", || acknowledgements(scene) > before);
        is_at("br1", "eth0", leased);

        // The next daemon continues with it.
        assert!(daemon.stop().success());
        let _daemon = Daemon::configured("log_level = 1\n");
        is_at("br1", "eth0", leased);
        virsh("iface-unbridge br1").ok();
        is_at("eth0", "br1", leased);
    });
}

#[test]
fn a_rollback_gives_the_manager_its_link_back() {
    with_manager(|_, leased| {
        let _daemon = Daemon::configured("log_level = 1\n");
        for _ in 0..3 {
            virsh("iface-begin").ok();
            virsh("iface-bridge eth0 br1 --no-stp").ok();
            virsh("iface-rollback").ok();
            is_at("eth0", "br1", leased);
        }
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        is_at("br1", "eth0", leased);
        virsh("iface-begin").ok();
        virsh("iface-unbridge br1").ok();
        virsh("iface-rollback").ok();
        is_at("br1", "eth0", leased);
    });
}

#[test]
fn a_manager_that_takes_the_port_again_is_told_to_let_go_of_it() {
    with_manager(|_, leased| {
        let _daemon = Daemon::configured("log_level = 1\n");
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        is_at("br1", "eth0", leased);
        eventually("it has the port", || {
            // dhcpcd drops a command that arrives while it handles another connection.
            run(command("dhcpcd").arg("eth0")).ok();
            thread::sleep(Duration::from_millis(50));
            managed("eth0")
        });
        is_at("br1", "eth0", leased);

        // A restart of its service.
        run(command("dhcpcd").arg("-x")).ok();
        eventually("it has ended", || clients().is_empty());
        manage();
        is_at("br1", "eth0", leased);
        // The restarted manager leaves the port alone for good.
        let end = Instant::now() + Duration::from_secs(6);
        while Instant::now() < end {
            assert_eq!(addresses("br1", Family::Ipv4), leased);
            thread::sleep(Duration::from_millis(100));
        }
        is_at("br1", "eth0", leased);
    });
}
