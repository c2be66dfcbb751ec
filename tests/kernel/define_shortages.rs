// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions and changes on hosts that lack usual facilities: a clear error, no partial change,
//! and a daemon that continues.

use std::fs;

use crate::host::{
    DEFINITIONS, NO_INTERFACE, SYSTEM_ERROR, Scene, addresses, assert_words, cover, exists, on_host,
};
use crate::support::command::{command, ip_batch, run};

pub(crate) const NIC: &str = "\
link add p0 address 52:54:00:00:00:51 type veth peer name far0
link set far0 up
";

pub(crate) const IPV4: &str =
    "<protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/></protocol>";
const IPV6: &str = "<protocol family='ipv6'><ip address='2001:db8::1' prefix='64'/></protocol>";

pub(crate) fn bridge_xml(protocols: &str, delay: &str) -> String {
    format!(
        "<interface type='bridge' name='br0'><start mode='none'/>{protocols}\
         <bridge stp='off' delay='{delay}'><interface type='ethernet' name='p0'/></bridge></interface>"
    )
}

fn nic_xml() -> String {
    format!("<interface type='ethernet' name='p0'><start mode='none'/>{IPV4}</interface>")
}

/// The names of the files in the directory of definitions, including hidden ones.
pub(crate) fn files() -> Vec<String> {
    let Ok(entries) = fs::read_dir(DEFINITIONS) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn content(name: &str) -> String {
    fs::read_to_string(format!("{DEFINITIONS}/{name}.xml")).unwrap()
}

#[track_caller]
fn assert_define_fails(scene: &mut Scene, xml: &str, words: &[&str]) {
    assert_words(&scene.call_define(xml).fault(), SYSTEM_ERROR, words);
}

/// Changes the options of a mounted file system.
pub(crate) fn remount(place: &str, options: &str) {
    run(command("mount").args(["-o", &format!("remount,{options}"), place])).ok();
}

#[test]
fn a_host_without_proc_or_sys_is_changed_like_any_other() {
    for missing in [&["/sys"][..], &["/proc"], &["/proc", "/sys"]] {
        on_host(move || {
            ip_batch(NIC);
            missing.iter().for_each(|place| cover(place, "ro"));
            let mut scene = Scene::start();
            for round in 0..2 {
                scene.define(&bridge_xml(IPV4, "0"));
                scene.create("br0");
                scene.assert_live_as_defined("br0");
                assert_eq!(addresses("br0"), ["192.0.2.1/24"], "{missing:?}, round {round}");
                scene.destroy("br0");
                assert!(!exists("br0"), "{missing:?}, round {round}");
                scene.undefine("br0");
            }
            assert_eq!(scene.client.list_all(), ["far0", "lo", "p0"]);
            assert!(scene.daemon.stop().success(), "{missing:?}");
        });
    }
}

/// IPv6 sysctls are accessible only through /proc.
#[test]
fn a_host_without_proc_says_what_ipv6_lacks_and_is_as_before() {
    on_host(|| {
        ip_batch(NIC);
        cover("/proc", "ro");
        let mut scene = Scene::start();
        scene.define(&bridge_xml(&format!("{IPV4}{IPV6}"), "0"));
        let fault = scene.call_create("br0").fault();
        let words =
            ["cannot write /proc/sys/net/ipv6/conf/br0/disable_ipv6: No such file or directory"];
        assert_words(&fault, SYSTEM_ERROR, &[words[0], "undone"]);
        assert!(!exists("br0") && addresses("p0").is_empty());
        assert_eq!(scene.client.list_all(), ["far0", "lo", "p0", "br0"]);
    });
}

#[test]
fn a_read_only_etc_without_definitions_takes_none() {
    on_host(|| {
        ip_batch(NIC);
        remount("/etc", "ro");
        let mut scene = Scene::start();
        let words = ["failed to define interface br0: ", "/etc/libvirt: Read-only file system"];
        assert_define_fails(&mut scene, &bridge_xml(IPV4, "0"), &words);
        assert_eq!(scene.client.list_all(), ["far0", "lo", "p0"]);
        assert_words(&scene.call_create("br0").fault(), NO_INTERFACE, &["'br0'"]);
        remount("/etc", "rw");
        scene.define(&bridge_xml(IPV4, "0"));
        scene.create("br0");
    });
}

#[test]
fn a_read_only_etc_keeps_its_definitions_which_come_up_all_the_same() {
    on_host(|| {
        ip_batch(NIC);
        let mut scene = Scene::start();
        scene.define(&bridge_xml(IPV4, "0"));
        let before = content("br0");
        remount("/etc", "ro");
        let words = ["failed to define interface br0: ", "br0.xml: Read-only file system"];
        assert_define_fails(&mut scene, &bridge_xml(IPV4, "5"), &words);
        let words = ["failed to undefine interface br0: ", "br0.xml: Read-only file system"];
        assert_words(&scene.call_undefine("br0").fault(), SYSTEM_ERROR, &words);
        assert_eq!((content("br0"), files()), (before, vec!["br0.xml".to_owned()]));
        scene.create("br0");
        scene.assert_live_as_defined("br0");
        scene.destroy("br0");
        remount("/etc", "rw");
        scene.undefine("br0");
        assert_eq!(files(), [""; 0]);
    });
}

#[test]
fn a_disk_without_room_for_the_folder_takes_no_definition() {
    // Each directory and file takes an inode, and the file system itself another.
    let cases = [
        ("no folder", 1, "/etc/libvirt: No space left on device"),
        ("no second", 2, "/etc/libvirt/interface: No space left on device"),
        ("no file", 3, "br0.xml: No space left on device"),
    ];
    for (label, count, words) in cases {
        on_host(move || {
            ip_batch(NIC);
            cover("/etc", &format!("nr_inodes={count}"));
            let mut scene = Scene::start();
            let words = ["failed to define interface br0: ", words];
            assert_define_fails(&mut scene, &bridge_xml(IPV4, "0"), &words);
            assert_eq!(scene.client.list_all(), ["far0", "lo", "p0"], "{label}");
            assert_eq!(files(), [""; 0], "{label}");
            remount("/etc", "nr_inodes=100");
            scene.define(&bridge_xml(IPV4, "0"));
            assert_eq!(files(), ["br0.xml"], "{label}");
        });
    }
}

#[test]
fn a_definition_on_a_full_disk_is_the_old_one_or_the_new_one() {
    on_host(|| {
        ip_batch(NIC);
        // Each non-empty file takes a page.
        cover("/etc", "size=12k");
        let mut scene = Scene::start();
        scene.define(&nic_xml());
        let before = content("p0");
        for page in ["/etc/a", "/etc/b"] {
            fs::write(page, "full").unwrap();
        }
        let words = ["failed to define interface ", ".xml: No space left on device"];
        for round in 0..3 {
            let more = nic_xml().replace("192.0.2.1", "192.0.2.77");
            assert_define_fails(&mut scene, &more, &words);
            // It would replace the definition of its port.
            assert_define_fails(&mut scene, &bridge_xml(IPV4, "0"), &words);
            assert_eq!(
                (content("p0"), files()),
                (before.clone(), vec!["p0.xml".to_owned()]),
                "{round}"
            );
            assert_eq!(scene.client.list_all(), ["far0", "lo", "p0"], "{round}");
        }
        scene.create("p0");
        assert_eq!(addresses("p0"), ["192.0.2.1/24"]);
        fs::remove_file("/etc/b").unwrap();
        scene.define(&bridge_xml(IPV4, "0"));
        assert_eq!(files(), ["br0.xml"]);
        scene.create("br0");
        assert_eq!((addresses("p0"), addresses("br0")), (vec![], vec!["192.0.2.1/24".to_owned()]));
        // Operations that free space always succeed.
        fs::write("/etc/b", "full").unwrap();
        scene.destroy("br0");
        scene.undefine("br0");
        assert_eq!(files(), [""; 0]);
    });
}
