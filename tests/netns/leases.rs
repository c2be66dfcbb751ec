// SPDX-License-Identifier: LGPL-2.1-or-later
//! Leases as a user of virsh sees them: an interface with `<dhcp/>` that is started and destroyed,
//! with each client, and a daemon that dies in between.

use std::fs;
use std::time::Duration;

use virtinterfaced::config::choice::DhcpClient;
use virtinterfaced::model::address::Family;

use crate::dhcp::{Scene, addresses, processes, with_each_client};
use crate::host::{define, is_up, virsh_destroy, with_virsh};
use crate::support::client::RawClient;
use crate::support::command::{command, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::namespace::is_installed;
use crate::support::wire::{Arg, procedure};

const RECORD: &str = "/run/libvirt/interface/dhcp/eth0.ipv4.pid";

pub(crate) fn defined(dhcp: &str) {
    define(&format!(
        "<interface type='ethernet' name='eth0'><protocol family='ipv4'>{dhcp}</protocol></interface>"
    ));
}

fn name_of(client: DhcpClient) -> &'static str {
    match client {
        DhcpClient::Auto => "auto",
        DhcpClient::Udhcpc => "udhcpc",
        DhcpClient::Dhcpcd => "dhcpcd",
        DhcpClient::Dhclient => "dhclient",
    }
}

pub(crate) fn configured(client: DhcpClient, more: &str) -> Daemon {
    Daemon::configured(&format!("dhcp_client = '{}'\n{more}", name_of(client)))
}

fn has_name_server() -> bool {
    fs::read_to_string("/etc/resolv.conf").unwrap().contains("192.0.2.53")
}

/// The process number of the client that the daemon has started.
pub(crate) fn client_pid() -> u32 {
    fs::read_to_string(RECORD).unwrap().lines().next().unwrap().parse().unwrap()
}

#[test]
fn a_start_returns_with_the_lease_and_a_destroy_ends_the_client() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve();
        let _daemon = configured(client, "");
        defined("<dhcp/>");
        virsh("iface-start eth0").ok();
        let leased = addresses("eth0", Family::Ipv4);
        assert_eq!(leased.len(), 1, "the answer comes with the lease: {leased:?}");
        let xml = virsh("iface-dumpxml eth0").ok();
        let ip = leased[0].split('/').next().unwrap();
        assert!(xml.contains(&format!("<ip address='{ip}' prefix='24'/>")), "{xml}");
        // The client sets name servers after the address.
        eventually("name servers", has_name_server);
        let again = virsh("iface-start eth0").failed();
        assert!(again.contains("interface is already running"), "{again}");
        let pid = client_pid();

        virsh_destroy("eth0").unwrap();
        assert!(!is_up("eth0"));
        assert_eq!(addresses("eth0", Family::Ipv4), [""; 0]);
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "the client has ended");
        assert!(!scene.log().contains("DHCPRELEASE"), "the lease is kept");
        assert!(has_name_server(), "another link may take the lease over");
        eventually("the host's own name servers", || {
            fs::read_to_string("/etc/resolv.conf").unwrap() == "nameserver 203.0.113.1\n"
        });
    });
}

#[test]
fn name_servers_are_left_alone_where_the_definition_says_so() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve();
        let _daemon = configured(client, "");
        defined("<dhcp peerdns='no'/>");
        virsh("iface-start eth0").ok();
        // Twice as long as other clients need for it on a busy machine.
        std::thread::sleep(Duration::from_secs(1));
        assert!(!has_name_server());
        virsh_destroy("eth0").unwrap();
    });
}

#[test]
fn a_server_that_never_answers_fails_the_start_and_all_is_as_before() {
    with_each_client(|client| {
        let _scene = Scene::new();
        let _daemon = configured(client, "dhcp_timeout = 2\n");
        defined("<dhcp/>");
        virsh_destroy("eth0").unwrap();
        let before = match client {
            DhcpClient::Dhcpcd => Snapshot::take().beside_dhcpcd(),
            DhcpClient::Auto | DhcpClient::Dhclient | DhcpClient::Udhcpc => Snapshot::take(),
        };
        let said = virsh("iface-start eth0").failed();
        let want = "failed to create (start) interface eth0: wait until eth0 has a lease for ipv4: \
                    Connection timed out; the steps already done were undone";
        assert!(said.contains(want), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "no lease");
        eventually("the client has ended", || processes("eth0").is_empty());
    });
}

#[test]
fn calls_that_look_are_answered_while_a_start_waits_for_its_lease() {
    with_each_client(|client| {
        let _scene = Scene::new();
        let daemon = configured(client, "dhcp_timeout = 60\n");
        defined("<dhcp/>");
        std::thread::scope(|scope| {
            let start = scope.spawn(|| virsh("iface-start eth0").failed());
            eventually("a client", || fs::exists(RECORD).unwrap());
            virsh("iface-list --all").ok();
            assert!(!start.is_finished(), "the start waits still");
            // Stopping the daemon does not wait for the lease either.
            assert!(daemon.stop().success());
            let said = start.join().unwrap();
            assert!(
                said.contains("the daemon is stopping; the steps already done were undone"),
                "{said}"
            );
        });
        assert!(addresses("eth0", Family::Ipv4).is_empty());
    });
}

#[test]
fn a_client_outlives_a_daemon_that_is_killed_and_the_next_one_ends_it() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve();
        let daemon = configured(client, "");
        defined("<dhcp/>");
        virsh("iface-start eth0").ok();
        let (pid, leased) = (client_pid(), addresses("eth0", Family::Ipv4));
        daemon.kill();
        let _next = configured(client, "");
        assert_eq!((client_pid(), addresses("eth0", Family::Ipv4)), (pid, leased.clone()));
        let again = virsh("iface-start eth0").failed();
        assert!(again.contains("interface is already running"), "{again}");
        virsh_destroy("eth0").unwrap();
        eventually("the client has ended", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
    });
}

#[test]
fn an_edit_goes_from_a_lease_to_a_fixed_address_and_back() {
    with_each_client(|client| {
        let mut scene = Scene::new();
        scene.serve();
        let _daemon = configured(client, "");
        defined("<dhcp/>");
        virsh("iface-start eth0").ok();
        let leased = addresses("eth0", Family::Ipv4);
        defined("<ip address='192.0.2.77' prefix='24'/>");
        virsh("iface-start eth0").ok();
        assert_eq!(addresses("eth0", Family::Ipv4), ["192.0.2.77/24"]);
        assert!(!fs::exists(RECORD).unwrap(), "the client has ended");
        defined("<dhcp/>");
        virsh("iface-start eth0").ok();
        assert_eq!(addresses("eth0", Family::Ipv4), leased, "of the same server, the same lease");
        virsh_destroy("eth0").unwrap();
    });
}

#[test]
fn unsupported_leases_are_refused_before_anything_is_changed() {
    crate::host::with_virsh(|| {
        let _scene = Scene::new();
        let _daemon = configured(DhcpClient::Udhcpc, "");
        define(
            "<interface type='ethernet' name='eth0'><protocol family='ipv6'><dhcp/></protocol>\
             </interface>",
        );
        virsh_destroy("eth0").unwrap();
        let before = Snapshot::take();
        let said = virsh("iface-start eth0").failed();
        let want = "unsupported configuration: cannot obtain a lease for eth0 (ipv6): udhcpc, \
                    which dhcp_client names, does not support IPv6";
        assert!(said.contains(want), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "udhcpc and IPv6");
    });
}

/// As on Debian, where the host's script would remove an address that a server leases.
#[test]
fn a_confined_client_gets_no_lease_beside_an_address_of_the_hosts_own() {
    with_virsh(|| {
        const SECURITY: &str = "/sys/kernel/security";
        if !is_installed("/usr/sbin/dhclient") || !is_installed(SECURITY) {
            return;
        }
        run(command("mount").args(["-t", "tmpfs", "apparmor", SECURITY])).ok();
        fs::create_dir(format!("{SECURITY}/apparmor")).unwrap();
        let profile = "/{,usr/}sbin/dhclient (enforce)\n";
        fs::write(format!("{SECURITY}/apparmor/profiles"), profile).unwrap();
        let _scene = Scene::new();
        let _daemon = configured(DhcpClient::Dhclient, "");
        defined("<dhcp/><ip address='192.0.2.10' prefix='24'/>");
        virsh_destroy("eth0").unwrap();
        let before = Snapshot::take();
        let said = virsh("iface-start eth0").failed();
        let want = "dhclient under its AppArmor profile runs the host's own script, which could \
                    remove 192.0.2.10/24: install udhcpc or dhcpcd, or choose one by dhcp_client";
        assert!(said.contains(want), "{said}");
        before.assert_unchanged(Strictness::SameLinks, "refused");
        assert!(processes("eth0").is_empty());
    });
}

/// A client that calls, leaves and calls again cannot exhaust memory.
#[test]
fn waiting_changes_are_limited() {
    const WAITING_MAX: usize = 512;
    // One less than the limit of calls in flight.
    const CALLS_MAX: usize = 4;
    with_virsh(|| {
        if !is_installed("/usr/sbin/udhcpc") {
            return;
        }
        let _scene = Scene::new();
        let _daemon = configured(DhcpClient::Udhcpc, "dhcp_timeout = 60\n");
        defined("<dhcp/>");
        let name = [Arg::Text("eth0"), Arg::Text(""), Arg::Word(0)];
        let mut waits = RawClient::open();
        waits.send_call(procedure::INTERFACE_CREATE, &name);
        eventually("the client runs", || !processes("eth0").is_empty());
        for sent in (0..WAITING_MAX).step_by(CALLS_MAX) {
            let mut client = RawClient::open();
            for _ in sent..WAITING_MAX.min(sent + CALLS_MAX) {
                client.send_call(procedure::INTERFACE_UNDEFINE, &name[..2]);
            }
            // It is handled after the others, so they have been accepted.
            client.call(procedure::CONNECT_NUM_OF_INTERFACES, &[]);
        }
        let mut last = RawClient::open();
        let fault = last.call(procedure::INTERFACE_UNDEFINE, &name[..2]).fault();
        assert_eq!(fault.code, 55);
        assert!(fault.message.ends_with("too many changes are queued"), "{fault:?}");
        assert!(!last.list_all().is_empty(), "calls that look are answered");
    });
}
