// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions that are refused because the kernel would refuse them: each such rule is compared
//! with the kernel.
//!
//! A rule that the kernel does not have would needlessly restrict users. A missing rule makes a
//! change fail late.

use crate::host::{Scene, assert_words, on_host_with};
use crate::support::command::{command, run};
use crate::{BOND, VLAN};

/// `VIR_ERR_XML_ERROR`.
const XML_ERROR: u32 = 27;

/// Whether the kernel creates such a link, which is deleted again.
fn kernel_takes(arguments: &str) -> bool {
    let words = format!("link add x0 {arguments}");
    let is_taken = run(command("ip").args(words.split_whitespace())).status.success();
    if is_taken {
        run(command("ip").args(["link", "del", "x0"])).ok();
    }
    is_taken
}

/// Asserts that a bond's definition is accepted, or refused with this message.
#[track_caller]
fn assert_taken(scene: &mut Scene, bond: &str, refusal: Option<&str>) {
    let reply = scene.call_define(&format!(
        "<interface type='bond' name='bond0'><start mode='none'/>{bond}</interface>"
    ));
    match refusal {
        None => drop(reply.results()),
        Some(words) => assert_words(&reply.fault(), XML_ERROR, &[words]),
    }
}

#[test]
fn modes_that_exclude_arp_exclude_it_in_the_kernel_and_in_definitions() {
    on_host_with(&[BOND], || {
        let mut scene = Scene::start();
        let modes = [
            ("balance-rr", true),
            ("active-backup", true),
            ("balance-xor", true),
            ("broadcast", true),
            ("802.3ad", false),
            ("balance-tlb", false),
            ("balance-alb", false),
        ];
        for (mode, is_taken) in modes {
            let arp = "arp_interval 100 arp_ip_target 192.0.2.1";
            assert_eq!(kernel_takes(&format!("type bond mode {mode} {arp}")), is_taken, "{mode}");
            let refusal = (!is_taken).then_some("this mode excludes arpmon");
            let monitor = "<arpmon interval='100' target='192.0.2.1'/>";
            let member = "<interface type='ethernet' name='m0'/>";
            assert_taken(
                &mut scene,
                &format!("<bond mode='{mode}'>{monitor}{member}</bond>"),
                refusal,
            );
        }
    });
}

#[test]
fn delays_without_an_interval_are_refused_by_the_kernel_and_in_definitions() {
    on_host_with(&[BOND], || {
        let mut scene = Scene::start();
        for (freq, delay, is_taken) in [(0, 100, false), (0, 0, true), (100, 50, true)] {
            for which in ["updelay", "downdelay"] {
                // The kernel accepts a delay of 0 only with an interval; the daemon does not send
                // it without one.
                if delay > 0 {
                    let options = format!("type bond miimon {freq} {which} {delay}");
                    assert_eq!(kernel_takes(&options), is_taken, "{options}");
                }
                let refusal = (!is_taken).then_some("a delay needs a freq");
                let bond = format!(
                    "<bond><miimon freq='{freq}' {which}='{delay}'/>\
                     <interface type='ethernet' name='m0'/></bond>"
                );
                assert_taken(&mut scene, &bond, refusal);
            }
        }
        assert!(kernel_takes("type bond miimon 2147483647 updelay 2147483647"));
        assert!(!kernel_takes("type bond miimon 2147483648"));
    });
}

#[test]
fn targets_that_no_host_can_have_are_refused_by_the_kernel_and_in_definitions() {
    on_host_with(&[BOND], || {
        let mut scene = Scene::start();
        let targets = [
            ("0.0.0.0", false),
            ("0.0.0.1", true),
            ("1.0.0.0", true),
            ("127.0.0.1", true),
            ("224.0.0.1", true),
            ("240.0.0.1", true),
            ("255.255.255.254", true),
            ("255.255.255.255", false),
        ];
        for (target, is_taken) in targets {
            let options = format!("type bond arp_interval 100 arp_ip_target {target}");
            assert_eq!(kernel_takes(&options), is_taken, "{target}");
            let refusal = (!is_taken).then_some("no host can have this address");
            let bond = format!(
                "<bond><arpmon interval='100' target='{target}'/>\
                 <interface type='ethernet' name='m0'/></bond>"
            );
            assert_taken(&mut scene, &bond, refusal);
        }
    });
}

#[test]
fn tags_are_those_that_the_kernel_takes() {
    on_host_with(&[VLAN], || {
        run(command("ip").args(["link", "add", "eth0", "type", "dummy"])).ok();
        let mut scene = Scene::start();
        for (tag, is_taken) in [(0, true), (1, true), (4094, true), (4095, false)] {
            assert_eq!(kernel_takes(&format!("link eth0 type vlan id {tag}")), is_taken, "{tag}");
            let reply = scene.call_define(&format!(
                "<interface type='vlan' name='v0'><start mode='none'/>\
                 <vlan tag='{tag}'><interface name='eth0'/></vlan></interface>"
            ));
            if is_taken {
                reply.results();
            } else {
                // The schema has the same rule.
                assert_ne!(reply.fault().code, 0);
            }
        }
    });
}
