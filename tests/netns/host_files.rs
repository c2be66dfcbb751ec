// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions in the host's own `/etc/network/interfaces`, with the real programs that read it.

use std::fs;

use crate::host::{
    TWO_NICS, addresses, bridge, define, ethernet, link, listed, virsh_define, with_virsh,
};
use crate::support::command::{command, ip_batch, run, virsh};
use crate::support::daemon::Daemon;
use crate::support::namespace::is_installed;

const MAIN: &str = "/etc/network/interfaces";
const LAN: &str = "/etc/network/interfaces.d/lan";
const CONFIG: &str = "interface_backend = 'ifupdown'\n";

/// Gives the namespace this file of interfaces, and what belongs to it.
pub(crate) fn own_interfaces(text: &str) {
    fs::create_dir("/run/network").unwrap();
    for folder in ["interfaces.d", "if-pre-up.d", "if-up.d", "if-down.d", "if-post-down.d"] {
        fs::create_dir(format!("/etc/network/{folder}")).unwrap();
    }
    fs::write(MAIN, text).unwrap();
}

/// Puts another program in the place of this one.
fn replace_program(path: &str, program: &str) {
    run(command("mount").args(["--bind", program, path])).ok();
}

fn with_ifupdown(test: impl FnOnce() + Send + 'static) {
    if is_installed("/usr/sbin/ifup") {
        with_virsh(test);
    }
}

#[test]
fn the_hosts_file_is_the_definitions_and_its_scripts_bring_them_up() {
    with_ifupdown(|| {
        ip_batch(TWO_NICS);
        let text = "# mine\nauto lo\niface lo inet loopback\nsource interfaces.d/*\n";
        own_interfaces(text);
        let lan = "auto eth0\niface eth0 inet static\n\taddress 192.0.2.2/24 # lab\n\tup true\n";
        fs::write(LAN, lan).unwrap();
        fs::create_dir_all("/etc/libvirt/interface").unwrap();
        fs::write("/etc/libvirt/interface/eth7.xml", "<interface/>").unwrap();
        let daemon = Daemon::configured(CONFIG);
        let said = daemon.stderr();
        assert!(said.contains("/etc/libvirt/interface are not used: eth7"), "{said}");
        // Neither brought up nor named as another program's.
        assert_eq!(addresses("eth0"), [""; 0]);
        assert!(!said.contains("manages eth0"), "{said}");
        assert!(listed("--all").iter().any(|(name, _)| name == "eth0"));
        virsh("iface-start eth0").ok();
        assert_eq!(addresses("eth0"), ["192.0.2.2/24"]);

        define(&ethernet("eth1", &["198.51.100.1/24"], &[]));
        let written = fs::read_to_string(MAIN).unwrap();
        assert!(written.starts_with(text), "{written}");
        run(command("ifup").arg("eth1")).ok();
        assert_eq!(addresses("eth1"), ["198.51.100.1/24"], "{written}");
        // An edit by hand counts from the next call on.
        fs::write(LAN, lan.replace("2.2/24", "2.7/24")).unwrap();
        let xml = virsh("iface-dumpxml --inactive eth0").ok();
        assert!(xml.contains("192.0.2.7"), "{xml}");
        virsh("iface-undefine eth1").ok();
        assert_eq!(fs::read_to_string(MAIN).unwrap(), text);
        // A tool that is missing at boot is named.
        let needed = "the bridge br0 cannot be brought up at boot";
        let hook = "/etc/network/if-pre-up.d/bridge";
        for (script, count) in [("true", 1), ("touch", 1), ("rm", 2)] {
            run(command(script).arg(hook)).ok();
            define(&bridge("br0", "stp='off'", &["eth1"], &[]));
            virsh("iface-undefine br0").ok();
            assert_eq!(daemon.stderr().matches(needed).count(), count, "{script}");
        }
        assert!(daemon.stop().success());
    });
}

#[test]
fn what_the_hosts_program_cannot_read_is_not_put_in_place() {
    with_ifupdown(|| {
        ip_batch(TWO_NICS);
        let text =
            "auto lo\niface lo inet loopback\niface x inet nonsense\nsource interfaces.d/*\n";
        own_interfaces(text);
        fs::write(LAN, "iface eth0 inet manual\n").unwrap();
        let daemon = Daemon::configured(CONFIG);
        let refused = virsh_define(&ethernet("eth1", &["198.51.100.1/24"], &[]), "").failed();
        assert!(refused.contains("ifquery: /etc/network/interfaces:3: unknown"), "{refused}");
        let refused = virsh_define(&ethernet("eth0", &["192.0.2.1/24"], &[]), "").failed();
        assert!(refused.contains("ifquery: /etc/network/interfaces:3: unknown"), "{refused}");
        assert_eq!(fs::read_to_string(MAIN).unwrap(), text);
        assert_eq!(fs::read_to_string(LAN).unwrap(), "iface eth0 inet manual\n");
        assert_eq!(fs::read_dir("/etc/network").unwrap().count(), 6, "nothing is left");

        fs::write(MAIN, text.replace("iface x inet nonsense\n", "")).unwrap();
        define(&ethernet("eth0", &["192.0.2.1/24"], &[]));
        assert!(fs::read_to_string(LAN).unwrap().contains("address 192.0.2.1/24"));
        assert!(daemon.stop().success());
    });
}

#[test]
fn busybox_reads_its_own_dialect() {
    with_ifupdown(|| {
        if !is_installed("/bin/busybox") {
            return;
        }
        ip_batch(TWO_NICS);
        replace_program("/sbin/ifup", "/bin/busybox");
        let text = "auto lo\niface lo inet loopback\n";
        own_interfaces(text);
        let daemon = Daemon::configured(CONFIG);
        define(&ethernet("eth1", &["198.51.100.1/24"], &[]));
        let written = fs::read_to_string(MAIN).unwrap();
        assert!(written.contains("netmask 255.255.255.0"), "{written}");
        run(command("/bin/busybox").args(["ifup", "eth1"])).ok();
        assert_eq!(addresses("eth1"), ["198.51.100.1/24"], "{written}");
        let broken = format!("{text}iface eth5 inet nonsense\n");
        fs::write(MAIN, &broken).unwrap();
        let refused = virsh_define(&ethernet("eth1", &["198.51.100.1/24"], &[]), "").failed();
        assert!(refused.contains("ifup: unknown method"), "{refused}");
        assert_eq!(fs::read_to_string(MAIN).unwrap(), broken);
        assert!(daemon.stop().success());
    });
}

#[test]
fn a_rollback_restores_the_hosts_files_and_links() {
    with_ifupdown(|| {
        ip_batch(TWO_NICS);
        own_interfaces("source interfaces.d/*\n");
        fs::create_dir("/etc/network/real").unwrap();
        fs::write("/etc/network/real/main", "source interfaces.d/*\n").unwrap();
        fs::remove_file(MAIN).unwrap();
        std::os::unix::fs::symlink("real/main", MAIN).unwrap();
        let lan = "iface eth0 inet static\n  address 192.0.2.2/24\n";
        fs::write(LAN, lan).unwrap();
        run(command("chmod").args(["640", LAN])).ok();
        run(command("chown").args(["5:6", LAN])).ok();
        let daemon = Daemon::configured(CONFIG);
        virsh("iface-begin").ok();
        define(&ethernet("eth1", &["198.51.100.1/24"], &[]));
        define(&ethernet("eth0", &["192.0.2.9/24"], &[]));
        fs::write("/etc/network/interfaces.d/new", "iface eth2 inet manual\n").unwrap();
        assert!(fs::read_to_string(LAN).unwrap().contains("192.0.2.9"));
        virsh("iface-rollback").ok();
        assert!(fs::symlink_metadata(MAIN).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(MAIN).unwrap(), "source interfaces.d/*\n");
        let stat = run(command("stat").args(["-c", "%a %u %g", LAN])).ok();
        assert_eq!((fs::read_to_string(LAN).unwrap().as_str(), stat.trim()), (lan, "640 5 6"));
        assert_eq!(fs::read_dir("/etc/network/interfaces.d").unwrap().count(), 1);
        assert_eq!(link("eth0")["ifname"], "eth0");
        assert!(daemon.stop().success());
    });
}
