// SPDX-License-Identifier: LGPL-2.1-or-later
//! Other programs that manage links: the daemon names them when a definition is stored or started
//! and when it starts itself, and refuses a start that would break a lease.
//!
//! ifupdown and dhcpcd are the real programs. NetworkManager, connman and systemd-networkd would
//! need D-Bus or udev here, so their files are imitated (see the unit tests of
//! `src/managers/state.rs`), and a process of their name stands for them.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::autostart::store;
use crate::host::{
    FOLDER, TWO_NICS, addresses, bridge, define, ethernet, find_link, folder, link, listed,
    virsh_destroy, with_virsh,
};
use crate::host_files::own_interfaces;
use crate::support::command::{command, ip_batch, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::namespace::{DIR, is_installed};

/// How many times the log contains this.
fn count(daemon: &Daemon, text: &str) -> usize {
    daemon.stderr().matches(text).count()
}

#[track_caller]
fn assert_said(daemon: &Daemon, text: &str, times: usize) {
    assert_eq!(count(daemon, text), times, "{text}\n{}", daemon.stderr());
}

/// Gives the namespace a file of interfaces that includes one with this text.
fn with_stanza(text: &str) {
    own_interfaces("source /etc/network/interfaces.d/*\n");
    fs::write("/etc/network/interfaces.d/lan", text).unwrap();
}

#[test]
fn a_stanza_of_ifupdown_is_named_with_its_line() {
    if !is_installed("/usr/sbin/ifup") {
        return;
    }
    with_virsh(|| {
        ip_batch(TWO_NICS);
        with_stanza("auto lo eth0\n\niface eth0 inet static\n\taddress 192.0.2.2/24\n");
        // ifup parses the file as we do.
        run(command("ifup").arg("eth0")).ok();
        assert_eq!(addresses("eth0"), ["192.0.2.2/24"]);
        let daemon = Daemon::start();
        let eth0 = "ifupdown manages eth0 (/etc/network/interfaces.d/lan:1): remove eth0 from that \
                    file";
        define(&bridge("br0", "stp='off'", &["eth0"], &["192.0.2.2/24"]));
        assert_said(&daemon, eth0, 1);
        virsh("iface-start br0").ok();
        assert_said(&daemon, eth0, 2);
        // The manual describes the effect of ifup on the port, and the remedy.
        run(command("ifdown").arg("eth0")).ok();
        run(command("ifup").arg("eth0")).ok();
        assert_eq!(addresses("eth0"), addresses("br0"), "{}", daemon.stderr());
        virsh("iface-start br0").ok();
        assert_eq!(addresses("eth0"), [""; 0]);
        assert_eq!(addresses("br0"), ["192.0.2.2/24"]);
        assert_said(&daemon, eth0, 3);
        // Other interfaces are not mentioned.
        define(&ethernet("eth1", &["198.51.100.1/24"], &[]));
        listed("--all");
        virsh("iface-dumpxml br0").ok();
        virsh_destroy("br0").unwrap();
        assert_said(&daemon, eth0, 3);
        assert_said(&daemon, "manages eth1", 0);
        assert!(daemon.stop().success());

        let daemon = Daemon::start();
        assert_said(&daemon, eth0, 1);
        assert!(daemon.stop().success());

        // The advice in the warning works.
        fs::write("/etc/network/interfaces.d/lan", "auto lo\niface lo inet loopback\n").unwrap();
        let daemon = Daemon::start();
        virsh("iface-start br0").ok();
        assert_said(&daemon, "manages", 0);
    });
}

/// A dhcpcd that manages all links; it is ended when dropped.
struct Dhcpcd(String);

impl Dhcpcd {
    fn start(configuration: &str) -> Self {
        let path = format!("{DIR}/dhcpcd.conf");
        fs::write(&path, configuration).unwrap();
        run(command("mount").args(["--bind", &path, "/etc/dhcpcd.conf"])).ok();
        run(command("dhcpcd").args(["-b", "-q"])).ok();
        let mut pid = String::new();
        eventually("dhcpcd runs", || {
            pid = fs::read_to_string("/run/dhcpcd/pid").unwrap_or_default().trim().to_owned();
            fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|it| it.contains("manager"))
        });
        Self(pid)
    }
}

impl Drop for Dhcpcd {
    fn drop(&mut self) {
        let _ = run(command("dhcpcd").arg("-x"));
        eventually("dhcpcd ends", || fs::metadata(format!("/proc/{}", self.0)).is_err());
        let _ = run(command("umount").arg("/etc/dhcpcd.conf"));
    }
}

#[test]
fn a_dhcpcd_that_manages_all_is_named_unless_it_leaves_the_link_alone() {
    const DHCPCD_CONF: &str = "noipv6\nnohook resolv.conf\nnohook hostname\n";
    if !is_installed("/usr/sbin/dhcpcd") {
        return;
    }
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch("link set eth1 up\n");
        let daemon = Daemon::start();
        let eth1 = ethernet("eth1", &["198.51.100.1/24"], &[]);
        {
            let dhcpcd = Dhcpcd::start(DHCPCD_CONF);
            define(&eth1);
            let warning = format!(
                "dhcpcd manages eth1 (process {}): add 'denyinterfaces eth1' to /etc/dhcpcd.conf",
                dhcpcd.0
            );
            assert_said(&daemon, &warning, 1);
        }
        define(&ethernet("eth1", &["198.51.100.2/24"], &[]));
        assert_said(&daemon, "dhcpcd manages eth1", 1);
        let _dhcpcd = Dhcpcd::start(&format!("{DHCPCD_CONF}denyinterfaces eth1\n"));
        define(&eth1);
        assert_said(&daemon, "dhcpcd manages eth1", 1);
    });
}

/// A process of another program's name, which is killed when dropped.
struct Namesake(Child);

impl Namesake {
    fn start(name: &str) -> Self {
        let path = format!("{DIR}/{name}");
        fs::copy("/bin/sleep", &path).unwrap();
        let mut sleep = Command::new(path);
        sleep.arg("600").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = None;
        // A process that another test has just forked may still have the copy open for writing.
        eventually(name, || {
            child = sleep.spawn().ok();
            child.is_some()
        });
        Self(child.unwrap())
    }
}

impl Drop for Namesake {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write(path: &str, text: &str) {
    let (folder, _) = path.rsplit_once('/').unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(path, text).unwrap();
}

/// For each manager that has its own lease for the link of this index: its process, a file that it
/// writes, the content, and the daemon's message.
fn managers(index: &Value) -> [(&'static str, String, &'static str, String); 3] {
    let device = format!("/run/NetworkManager/devices/{index}");
    let network_manager = format!("NetworkManager manages eth0 ({device}): ");
    let network = "/etc/systemd/network/10-lan.network";
    [
        (
            "NetworkManager",
            device,
            "[device]\nmanaged=true\nperm-hw-addr-fake=52:54:00:00:00:01\nnm-owned=false\n",
            network_manager,
        ),
        (
            "systemd-networkd",
            format!("/run/systemd/netif/links/{index}"),
            "ADMIN_STATE=configured\nOPER_STATE=routable\n\
             NETWORK_FILE=/etc/systemd/network/10-lan.network\n",
            format!("systemd-networkd manages eth0 ({network}): add 'Unmanaged=yes'"),
        ),
        (
            "connmand",
            "/var/lib/connman/settings".to_owned(),
            "[global]\nOfflineMode=false\n",
            "connman manages eth0 (process ".to_owned(),
        ),
    ]
}

#[test]
fn a_nic_is_not_taken_from_a_manager_that_would_keep_its_lease() {
    for number in 0..3 {
        with_virsh(move || {
            ip_batch(TWO_NICS);
            ip_batch("address add 192.0.2.2/24 dev eth0\nlink set eth0 up\n");
            let (name, path, text, said) = &managers(&link("eth0")["ifindex"])[number];
            write(path, text);
            let daemon = Daemon::start();
            let manager = Namesake::start(name);
            define(&bridge("br0", "stp='off'", &["eth0"], &["192.0.2.2/24"]));
            assert_said(&daemon, said, 1);
            let refused = virsh("iface-start br0").failed();
            let want = format!(
                "Requested operation is not valid: its lease cannot be carried over: {said}"
            );
            assert!(refused.contains(&want), "{name}: {refused}");
            assert!(find_link("br0").is_none());
            assert_eq!(addresses("eth0"), ["192.0.2.2/24"]);
            virsh("iface-undefine br0").ok();

            // A second client is refused too; for static addresses there is only a warning.
            let dhcp = "<interface type='ethernet' name='eth0'><protocol family='ipv4'><dhcp/>\
                        </protocol></interface>";
            define(dhcp);
            let refused = virsh("iface-start eth0").failed();
            assert!(refused.contains(said), "{name}: {refused}");
            define(&ethernet("eth0", &["192.0.2.2/24", "192.0.2.3/24"], &[]));
            virsh("iface-start eth0").ok();
            assert_eq!(addresses("eth0"), ["192.0.2.2/24", "192.0.2.3/24"]);

            // Without a running manager its files are ignored.
            drop(manager);
            let before = count(&daemon, said);
            define(&bridge("br0", "stp='off'", &["eth0"], &["192.0.2.2/24"]));
            virsh("iface-start br0").ok();
            assert_said(&daemon, said, before);
        });
    }
}

#[test]
fn an_automatic_start_does_not_take_it_either() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let (name, path, text, said) = &managers(&link("eth0")["ifindex"])[0];
        write(path, text);
        let _manager = Namesake::start(name);
        store("br0", &bridge("br0", "stp='off'", &["eth0"], &["192.0.2.2/24"]), "onboot");
        assert_eq!(folder(), ["br0.xml"], "{FOLDER}");
        let daemon = Daemon::start();
        eventually("the daemon has tried", || count(&daemon, said) == 2);
        assert!(find_link("br0").is_none());
    });
}
