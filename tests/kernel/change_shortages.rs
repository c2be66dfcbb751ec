// SPDX-License-Identifier: LGPL-2.1-or-later
//! Transactions on hosts that lack usual facilities: one that cannot be saved is not begun, the
//! error names what cannot be restored, and the rest is restored.

use crate::define_shortages::{IPV4, NIC, bridge_xml, files, remount};
use crate::host::{
    OPERATION_INVALID, SYSTEM_ERROR, Scene, addresses, assert_unchanged, assert_words, cover,
    exists, on_host, picture,
};
use crate::support::command::ip_batch;
use crate::support::eventually;
use crate::support::wire::{Arg, Reply, procedure};

fn call(scene: &mut Scene, procedure: i32) -> Reply {
    scene.client.call(procedure, &[Arg::Word(0)])
}

#[track_caller]
fn begin(scene: &mut Scene) {
    call(scene, procedure::INTERFACE_CHANGE_BEGIN).results();
}

#[test]
fn a_change_is_undone_on_a_host_without_sys() {
    on_host(|| {
        ip_batch(NIC);
        cover("/sys", "ro");
        let mut scene = Scene::start();
        begin(&mut scene);
        scene.define(&bridge_xml(IPV4, "0"));
        scene.create("br0");
        assert_eq!(addresses("br0"), ["192.0.2.1/24"]);
        call(&mut scene, procedure::INTERFACE_CHANGE_ROLLBACK).results();
        assert!(!exists("br0") && addresses("p0").is_empty());
        assert_eq!(files(), [""; 0]);
        assert_eq!(scene.client.list_all(), ["far0", "lo", "p0"]);
        assert!(scene.daemon.stop().success());
    });
}

/// The daemon could not recognize later whether the transaction belongs to that boot.
#[test]
fn a_change_is_not_begun_on_a_host_without_proc() {
    on_host(|| {
        ip_batch(NIC);
        cover("/proc", "ro");
        let mut scene = Scene::start();
        let fault = call(&mut scene, procedure::INTERFACE_CHANGE_BEGIN).fault();
        assert_words(&fault, SYSTEM_ERROR, &["cannot read the kernel's boot id"]);
        scene.define(&bridge_xml(IPV4, "0"));
        scene.create("br0");
        scene.assert_live_as_defined("br0");
    });
}

#[test]
fn a_read_only_var_keeps_no_change_and_lets_others_be_made() {
    on_host(|| {
        ip_batch(NIC);
        remount("/var/lib", "ro");
        let mut scene = Scene::start();
        let fault = call(&mut scene, procedure::INTERFACE_CHANGE_BEGIN).fault();
        assert_words(&fault, SYSTEM_ERROR, &["/var/lib/libvirt", ": Read-only file system"]);
        let fault = call(&mut scene, procedure::INTERFACE_CHANGE_COMMIT).fault();
        assert_words(&fault, OPERATION_INVALID, &[]);
        scene.define(&bridge_xml(IPV4, "0"));
        scene.create("br0");
        scene.assert_live_as_defined("br0");
    });
}

#[test]
fn a_read_only_etc_holds_up_only_its_own_part_of_a_rollback() {
    on_host(|| {
        ip_batch(NIC);
        let mut scene = Scene::start();
        let before = picture();
        begin(&mut scene);
        scene.define(&bridge_xml(IPV4, "0"));
        scene.create("br0");
        remount("/etc", "ro");
        let fault = call(&mut scene, procedure::INTERFACE_CHANGE_ROLLBACK).fault();
        assert_words(&fault, SYSTEM_ERROR, &["br0.xml: Read-only file system"]);
        assert_unchanged(&before, "the kernel's part is restored");
        assert_eq!(files(), ["br0.xml"]);
        remount("/etc", "rw");
        eventually("the rest is restored", || files().is_empty());
        begin(&mut scene);
    });
}
