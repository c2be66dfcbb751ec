// SPDX-License-Identifier: LGPL-2.1-or-later
//! DHCP clients that the host itself has started, by the real programs: a lease goes on at the bridge
//! that takes its link over, with one client and the same address, and the host's own client comes back
//! with its own command line.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use virtinterfaced::model::address::Family;

use crate::dhcp::{Scene, addresses};
use crate::host::{FOLDER, with_virsh};
use crate::support::command::{command, ip, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::namespace::is_installed;
use crate::support::{PATIENCE, eventually};

/// A host's client, as its own scripts start it.
#[derive(Clone, Copy, Debug)]
struct HostClient {
    program: &'static str,
    line: &'static str,
    /// What `/proc` has of it, once it is in the background.
    shown: &'static str,
}

const CLIENTS: [HostClient; 3] = [
    // Debian's ifupdown.
    HostClient {
        program: "dhclient",
        line: "dhclient -4 -v -i -pf /run/dhclient.eth0.pid -lf /var/lib/dhcp/dhclient.eth0.leases \
               -I -df /var/lib/dhcp/dhclient6.eth0.leases eth0",
        shown: "dhclient -4 -v -i -pf /run/dhclient.eth0.pid -lf /var/lib/dhcp/dhclient.eth0.leases \
                -I -df /var/lib/dhcp/dhclient6.eth0.leases eth0",
    },
    // BusyBox's; it would give its lease back at its end.
    HostClient {
        program: "udhcpc",
        line: "udhcpc -R -b -p /run/udhcpc.eth0.pid -i eth0 -x hostname:box",
        shown: "udhcpc -R -b -p /run/udhcpc.eth0.pid -i eth0 -x hostname:box",
    },
    HostClient { program: "dhcpcd", line: "dhcpcd -4 eth0", shown: "dhcpcd: eth0 [ip4]" },
];

/// What the kernel calls their processes.
const NAMES: [&str; 4] = ["busybox", "dhclient", "dhcpcd", "udhcpc"];

impl HostClient {
    fn start(self) {
        let mut words = self.line.split(' ');
        let mut client = command(words.next().unwrap());
        run(client.args(words).env("IF_METRIC", "7")).ok();
        self.runs_alone();
        eventually("its address", || addresses("eth0", Family::Ipv4).len() == 1);
    }

    /// Waits until it is the only client, in the background.
    #[track_caller]
    fn runs_alone(self) {
        let deadline = Instant::now() + PATIENCE;
        let mut running = clients();
        while running != [self.shown] {
            assert!(Instant::now() < deadline, "not {} alone: {running:?}", self.shown);
            thread::sleep(Duration::from_millis(10));
            running = clients();
        }
    }
}

/// The command lines of the DHCP clients in our network namespace, without parts of them.
fn clients() -> Vec<String> {
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let mut lines = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let is_near = fs::read_link(path.join("ns/net")).is_ok_and(|net| net == own);
        let is_client = NAMES.contains(&name.trim_end());
        if !is_near || !is_client {
            continue;
        }
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
        // Nor is the script that one of ours runs a client.
        let is_part = line.starts_with("dhcpcd: [") || line.contains("virtinterfaced-lease");
        if !line.is_empty() && !is_part {
            lines.push(line);
        }
    }
    lines.sort();
    lines
}

fn acknowledgements(scene: &Scene) -> usize {
    scene.log().matches("DHCPACK").count()
}

/// Kills what a test leaves behind, should it fail.
struct Cleaner;

impl Drop for Cleaner {
    fn drop(&mut self) {
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let is_near = fs::read_link(entry.path().join("ns/net")).is_ok_and(|net| net == own);
            if is_near && NAMES.contains(&name.trim_end()) {
                kill(entry.file_name().to_str().unwrap());
            }
        }
    }
}

fn kill(pid: &str) {
    let _ = run(command("kill").args(["-9", pid]));
}

fn with_host_client(test: impl Fn(HostClient, &mut Scene) + Copy + Send + 'static) {
    for client in CLIENTS {
        if !is_installed(&format!("/usr/sbin/{}", client.program))
            || !is_installed("/usr/sbin/dnsmasq")
        {
            continue;
        }
        with_virsh(move || {
            println!("{}", client.program);
            let started = Instant::now();
            let _cleaner = Cleaner;
            let mut scene = Scene::new();
            scene.serve();
            client.start();
            test(client, &mut scene);
            println!("{}: {:?}", client.program, started.elapsed());
        });
    }
}

#[test]
fn a_lease_goes_on_at_the_bridge_and_its_client_comes_back() {
    with_host_client(|client, scene| {
        let leased = addresses("eth0", Family::Ipv4);
        assert_eq!(leased.len(), 1, "{leased:?}");
        let _daemon = Daemon::configured("log_level = 1\n");
        let before = acknowledgements(scene);
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        let running = clients();
        assert_eq!(running.len(), 1, "{running:?}");
        assert!(running[0].contains(client.program) && running[0].contains("br1"), "{running:?}");
        assert_eq!(addresses("br1", Family::Ipv4), leased);
        assert_eq!(addresses("eth0", Family::Ipv4), [""; 0]);
        assert!(ip("-4 route show default").contains("dev br1"), "{}", ip("-4 route"));
        eventually("the server acknowledges", || acknowledgements(scene) > before);
        assert_eq!(addresses("br1", Family::Ipv4), leased);
        let log = scene.log();
        assert!(!log.contains("DHCPRELEASE") && !log.contains("DHCPNAK"), "{log}");
        let definition = fs::read_to_string(format!("{FOLDER}/br1.xml")).unwrap();
        assert!(definition.contains("<dhcp/>"), "{definition}");
        assert!(!definition.contains("<ip "), "no lease is a fixed address: {definition}");

        virsh("iface-unbridge br1").ok();
        client.runs_alone();
        eventually("its address", || addresses("eth0", Family::Ipv4) == leased);
        let log = scene.log();
        assert!(!log.contains("DHCPRELEASE") && !log.contains("DHCPNAK"), "{log}");
    });
}

#[test]
fn a_rollback_starts_the_client_again_that_ran_when_the_change_began() {
    with_host_client(|client, scene| {
        let leased = addresses("eth0", Family::Ipv4);
        let _daemon = Daemon::start();
        virsh("iface-begin").ok();
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        virsh("iface-rollback").ok();
        client.runs_alone();
        eventually("its address", || addresses("eth0", Family::Ipv4) == leased);

        // As ifdown does it.
        virsh("iface-begin").ok();
        drop(Cleaner);
        eventually("no client", || clients().is_empty());
        ip("address flush dev eth0");
        ip("link set eth0 down");
        virsh("iface-rollback").ok();
        client.runs_alone();
        eventually("its address", || addresses("eth0", Family::Ipv4) == leased);
        assert!(!scene.log().contains("DHCPNAK"), "{}", scene.log());
    });
}
