// SPDX-License-Identifier: LGPL-2.1-or-later
//! DHCP clients that the host has started, as the real programs: a lease continues on the bridge
//! that takes its link over, with one client and the same address, and later the host's own client
//! is started again with its own command line.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use virtinterfaced::model::address::Family;

use crate::dhcp::{Scene, addresses};
use crate::host::{FOLDER, with_virsh};
use crate::short_leases::{self, ShortLeases};
use crate::support::command::{command, ip, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::{DIR, is_installed};
use crate::support::{PATIENCE, eventually};

/// A host's client, as the host's scripts start it.
#[derive(Clone, Copy, Debug)]
struct HostClient {
    program: &'static str,
    line: &'static str,
    /// Its command line in `/proc`, once it is in the background.
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
    // BusyBox's; it would release its lease when it ends.
    HostClient {
        program: "udhcpc",
        line: "udhcpc -R -b -p /run/udhcpc.eth0.pid -i eth0 -x hostname:box",
        shown: "udhcpc -R -b -p /run/udhcpc.eth0.pid -i eth0 -x hostname:box",
    },
    HostClient { program: "dhcpcd", line: "dhcpcd -4 eth0", shown: "dhcpcd: eth0 [ip4]" },
];

/// The kernel's names of their processes.
const NAMES: [&str; 4] = ["busybox", "dhclient", "dhcpcd", "udhcpc"];

impl HostClient {
    fn start(self) {
        let mut words = self.line.split(' ');
        let mut client = command(words.next().unwrap());
        run(client.args(words).env("IF_METRIC", "7")).ok();
        self.runs_alone();
        eventually("its address", || addresses("eth0", Family::Ipv4).len() == 1);
    }

    /// Waits until it is in the background, and no other client runs.
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

/// The DHCP clients in our network namespace, including their helper processes: numbers and command
/// lines.
fn processes() -> Vec<(String, String)> {
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let is_near = fs::read_link(path.join("ns/net")).is_ok_and(|net| net == own);
        if is_near && NAMES.contains(&name.trim_end()) {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
            processes.push((entry.file_name().into_string().unwrap(), line));
        }
    }
    processes
}

/// The command lines of the DHCP clients in our network namespace, without helper processes.
pub(crate) fn clients() -> Vec<String> {
    let is_client = |line: &String| {
        let is_part = line.starts_with("dhcpcd: [") && !line.starts_with("dhcpcd: [manager]");
        // Nor is the script, which a client of ours becomes for a moment.
        let name = line.split(' ').next().unwrap_or_default();
        !is_part && !name.is_empty() && !name.ends_with("virtinterfaced-lease")
    };
    let mut lines: Vec<_> =
        processes().into_iter().map(|(_, line)| line).filter(is_client).collect();
    lines.sort();
    lines
}

pub(crate) fn acknowledgements(scene: &Scene) -> usize {
    scene.log().matches("DHCPACK").count()
}

/// Kills the clients that a failed test leaves behind.
pub(crate) struct Cleaner;

impl Drop for Cleaner {
    fn drop(&mut self) {
        for (pid, _) in processes() {
            signal(&pid, "-9");
        }
    }
}

fn signal(pid: &str, signal: &str) {
    let _ = run(command("kill").args([signal, pid]));
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
        eventually("one client, at the bridge", || {
            let running = clients();
            let is_heir = |it: &String| it.contains(client.program) && it.contains("br1");
            running.len() == 1 && running.iter().all(is_heir)
        });
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
fn a_process_that_becomes_a_client_between_two_changes_is_found() {
    const LINE: &str = "read line && exec udhcpc -f -R -i eth0";
    if !is_installed("/usr/sbin/udhcpc") || !is_installed("/usr/sbin/dnsmasq") {
        return;
    }
    with_virsh(|| {
        let _cleaner = Cleaner;
        let mut scene = Scene::new();
        scene.serve();
        let mut shell = command("/bin/sh");
        let mut client = shell.args(["-c", LINE]).stdin(Stdio::piped()).spawn().unwrap();
        let _daemon = Daemon::start();
        crate::host::virsh_destroy("eth0").unwrap();
        virsh("iface-start eth0").ok();
        client.stdin.take().unwrap().write_all(b"\n").unwrap();
        eventually("its address", || addresses("eth0", Family::Ipv4).len() == 1);
        let leased = addresses("eth0", Family::Ipv4);
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        assert_eq!(client.wait().unwrap().signal(), Some(9));
        eventually("one client, at the bridge", || {
            let running = clients();
            running.len() == 1 && running.iter().all(|it| it.contains("br1"))
        });
        assert_eq!(addresses("br1", Family::Ipv4), leased);
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

/// The client has just been started again: its arguments may not be visible yet, or it is not in
/// the background.
#[test]
fn a_client_that_was_only_just_given_back_is_ended_and_given_back() {
    with_host_client(|client, scene| {
        let leased = addresses("eth0", Family::Ipv4);
        let _daemon = Daemon::configured("log_level = 1\n");
        for _ in 0..3 {
            virsh("iface-bridge eth0 br1 --no-stp").ok();
            virsh("iface-unbridge br1").ok();
            virsh("iface-begin").ok();
            virsh("iface-bridge eth0 br1 --no-stp").ok();
            virsh("iface-rollback").ok();
        }
        client.runs_alone();
        eventually("its address", || addresses("eth0", Family::Ipv4) == leased);
        assert!(!scene.log().contains("DHCPNAK"), "{}", scene.log());
    });
}

#[test]
fn a_lease_is_renewed_at_the_bridge_beyond_its_end() {
    const SECONDS: u32 = 8;
    with_short_leases(SECONDS, |client, server| {
        let _daemon = Daemon::start();
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        let leased = addresses("br1", Family::Ipv4);
        assert_eq!(leased, [format!("{}/24", short_leases::ADDRESS)]);
        eventually("the lease is the bridge's", || !lifetime("br1").contains("forever"));
        let before = server.acknowledged();
        if client.program == "udhcpc" {
            // It renews after a minute at the earliest, unless it gets a signal.
            for (pid, _) in processes() {
                signal(&pid, "-USR1");
            }
            eventually("it is renewed", || server.acknowledged() > before);
            return;
        }
        // A lease that is not renewed ends within this time.
        let end = Instant::now() + Duration::from_secs(u64::from(SECONDS + 3));
        while Instant::now() < end {
            assert_eq!(addresses("br1", Family::Ipv4), leased);
            thread::sleep(Duration::from_millis(100));
        }
        assert!(server.acknowledged() > before, "it is renewed");
        assert_eq!(clients().len(), 1);
    });
}

/// The `ip` line with the lifetime of a link's address.
fn lifetime(link: &str) -> String {
    ip(&format!("-4 -o address show dev {link}"))
}

#[test]
fn a_change_of_something_else_starts_no_second_client() {
    with_host_client(|client, scene| {
        // The host's own bridge, with the host's own client.
        drop(Cleaner);
        eventually("no client", || clients().is_empty());
        ip("address flush dev eth0");
        ip("link add br0 address 02:00:00:00:00:05 type bridge forward_delay 0");
        ip("link set br0 up");
        ip("link set eth0 master br0");
        let line = client.line.replace("eth0", "br0");
        let mut words = line.split(' ');
        run(command(words.next().unwrap()).args(words)).ok();
        eventually("an address", || addresses("br0", Family::Ipv4).len() == 1);
        let leased = addresses("br0", Family::Ipv4);
        let running = clients();
        assert_eq!(running.len(), 1, "{running:?}");

        let daemon = Daemon::start();
        let xml = virsh("iface-dumpxml --inactive br0").ok();
        assert!(xml.contains("<dhcp/>") && !xml.contains("<ip "), "{xml}");
        let xml = xml.replace("delay='0'", "delay='3'");
        assert!(xml.contains("delay='3'"), "{xml}");
        crate::host::define(&xml);
        let before = acknowledgements(scene);
        virsh("iface-start br0").ok();
        assert_eq!(clients(), running);
        assert_eq!(addresses("br0", Family::Ipv4), leased);
        assert_eq!(crate::scene::fact("br0", "bridge/forward_delay"), "300");
        assert!(daemon.stop().success());
        assert_eq!(clients(), running);
        assert_eq!(acknowledgements(scene), before, "no client was started");
    });
}

#[test]
fn a_client_of_all_links_and_one_that_a_supervisor_starts_again_are_named() {
    with_virsh(|| {
        if !is_installed("/usr/sbin/dhcpcd") || !is_installed("/usr/sbin/dnsmasq") {
            return;
        }
        let _cleaner = Cleaner;
        let mut scene = Scene::new();
        scene.serve();
        let _daemon = Daemon::configured("dhcp_client = 'dhcpcd'\n");
        run(command("dhcpcd").arg("-q")).ok();
        eventually("the manager", || clients() == ["dhcpcd: [manager] [ip4] [ip6]"]);
        crate::host::await_addresses();
        let before = Snapshot::take();
        let said = virsh("iface-bridge eth0 br1 --no-stp").failed();
        assert!(said.contains("dhcpcd on all links (process "), "{said}");
        assert!(said.contains("add 'denyinterfaces eth0' to /etc/dhcpcd.conf"), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "refused");
        virsh("iface-undefine br1").ok();
        // A second client would lose the lease to the manager, again and again.
        ip("link add br0 type bridge");
        crate::host::define(
            "<interface type='bridge' name='br0'><protocol family='ipv4'><dhcp/></protocol><bridge/>\
             </interface>",
        );
        let said = virsh("iface-start br0").failed();
        assert!(said.contains("while another dhcpcd manages all links (process "), "{said}");
        drop(Cleaner);
        eventually("no client", || clients().is_empty());

        // A supervisor is recognized by its name.
        let runsv = format!("{DIR}/runsv");
        fs::copy("/bin/sh", &runsv).unwrap();
        let mut runsv = command(&runsv);
        let mut runsv =
            runsv.args(["-c", "while :; do dhclient -d -q eth0; done"]).spawn().unwrap();
        eventually("its address", || addresses("eth0", Family::Ipv4).len() == 1);
        let said = virsh("iface-bridge eth0 br1 --no-stp").failed();
        assert!(said.contains(", which runsv would start again: stop it there first"), "{said}");
        runsv.kill().unwrap();
        runsv.wait().unwrap();
    });
}

#[test]
fn a_change_that_fails_gives_the_client_back() {
    with_short_leases(3600, |client, _| {
        let leased = addresses("eth0", Family::Ipv4);
        let _daemon = Daemon::configured("dhcp_timeout = 2\n");
        // The server does not support IPv6, whose lease is requested last.
        crate::host::define(
            "<interface type='bridge' name='br1'><protocol family='ipv4'><dhcp/></protocol>\
             <protocol family='ipv6'><dhcp/></protocol><bridge stp='off'>\
             <interface type='ethernet' name='eth0'/></bridge></interface>",
        );
        let said = virsh("iface-start br1").failed();
        assert!(said.contains("the steps already done were undone"), "{said}");
        client.runs_alone();
        eventually("its address", || addresses("eth0", Family::Ipv4) == leased);
        assert!(crate::host::find_link("br1").is_none());
    });
}

/// The same with a server whose leases are as short as requested.
fn with_short_leases(
    seconds: u32,
    test: impl Fn(HostClient, &ShortLeases) + Copy + Send + 'static,
) {
    for client in CLIENTS {
        if !is_installed(&format!("/usr/sbin/{}", client.program)) {
            continue;
        }
        with_virsh(move || {
            println!("{}", client.program);
            let _cleaner = Cleaner;
            let scene = Scene::new();
            let server = ShortLeases::serve(scene.server_pid(), seconds);
            client.start();
            test(client, &server);
        });
    }
}

#[test]
fn a_definition_without_a_lease_ends_the_hosts_client() {
    with_host_client(|_, _| {
        let _daemon = Daemon::start();
        crate::host::define(
            "<interface type='ethernet' name='eth0'><protocol family='ipv4'>\
             <ip address='192.0.2.5' prefix='24'/></protocol></interface>",
        );
        virsh("iface-start eth0").ok();
        assert_eq!(clients(), [""; 0]);
        assert_eq!(addresses("eth0", Family::Ipv4), ["192.0.2.5/24"]);
    });
}

/// udhcpc's script clears the link when it starts, and the server may be away.
#[test]
fn a_client_that_clears_its_link_is_given_back_while_the_server_is_away() {
    with_host_client(|client, scene| {
        if client.program != "udhcpc" {
            return;
        }
        let leased = addresses("eth0", Family::Ipv4);
        let routes = || ip("-4 route show default");
        let _daemon = Daemon::configured("log_level = 1\n");
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        scene.end_server();
        virsh("iface-begin").ok();
        virsh("iface-unbridge br1").ok();
        client.runs_alone();
        // During all of this time, not only at its end.
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            assert_eq!(addresses("eth0", Family::Ipv4), leased);
            assert!(routes().contains("dev eth0"), "{}", routes());
            thread::sleep(Duration::from_millis(50));
        }
        assert!(lifetime("eth0").contains("valid_lft forever"), "{}", lifetime("eth0"));

        // The same for a rollback, from our client on the NIC to the bridge and back.
        virsh("iface-commit").ok();
        virsh("iface-begin").ok();
        virsh("iface-bridge eth0 br1 --no-stp").ok();
        virsh("iface-rollback").ok();
        client.runs_alone();
        eventually("its address", || addresses("eth0", Family::Ipv4) == leased);
        assert!(routes().contains("dev eth0"), "{}", routes());

        // A server that returns, and assigns another address.
        scene.serve_with(("192.0.2.200", "192.0.2.210"), &["--dhcp-option=3,192.0.2.1"]);
        eventually("another address, alone", || {
            let now = addresses("eth0", Family::Ipv4);
            now.len() == 1 && now != leased
        });
    });
}
