// SPDX-License-Identifier: LGPL-2.1-or-later
//! A rollback restores the entries of forwarding tables that were set explicitly: of a bridge's
//! ports, including a guest's, of the bridge itself, and of a VXLAN.

use crate::host::{TWO_NICS, await_addresses, with_virsh};
use crate::support::command::{command, ip_batch, run_with_input};
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::transaction::{begin, roll_back};

const HOST: &str = "\
link add br0 address 52:54:00:00:00:b0 type bridge
link set eth1 master br0
link add x0 address 52:54:00:00:00:a1 type vxlan id 7 dstport 4789 local 192.0.2.1 remote 192.0.2.9
link set x0 master br0
link add x1 address 52:54:00:00:00:a2 type vxlan id 8 dstport 4790 local 192.0.2.1
link add vnet0 type veth peer name in-guest
link set vnet0 master br0
link set eth0 up
link set eth1 up
link set vnet0 up
link set in-guest up
link set x0 up
link set x1 up
link set br0 up
";

const ENTRIES: &str = "\
fdb add 52:54:00:00:01:01 dev eth1 master static
fdb add 52:54:00:00:01:02 dev eth1 master static
fdb add 52:54:00:00:01:03 dev eth1 master permanent
fdb add 52:54:00:00:01:04 dev eth1 master static sticky
fdb add 52:54:00:00:01:05 dev br0 self permanent
fdb add 52:54:00:00:01:06 dev vnet0 master static
fdb add 52:54:00:00:01:07 dev x0 master static
fdb append 00:00:00:00:00:00 dev x0 dst 192.0.2.7 self permanent
fdb append 00:00:00:00:00:00 dev x0 dst 192.0.2.8 self permanent
fdb add 52:54:00:00:01:08 dev x0 dst 192.0.2.8 vni 9 self static
fdb add 52:54:00:00:01:09 dev x1 dst 192.0.2.8 port 4000 self permanent
";

/// Lines for `ip` and for `bridge`: each pair is a change of its own.
const CHANGES: &[(&str, &str)] = &[
    ("", "fdb del 52:54:00:00:01:02 dev eth1 master\n"),
    ("", "fdb add 52:54:00:00:02:02 dev eth1 master static\n"),
    ("", "fdb replace 52:54:00:00:01:01 dev x0 master static\n"),
    ("", "fdb del 52:54:00:00:01:05 dev br0 self\n"),
    ("", "fdb del 00:00:00:00:00:00 dev x0 dst 192.0.2.7\nfdb del 52:54:00:00:01:09 dev x1\n"),
    ("", "fdb append 00:00:00:00:00:00 dev x1 dst 192.0.2.8 self permanent\n"),
    ("link set eth1 nomaster\n", ""),
    ("link del x0\nlink del x1\n", ""),
    ("link del br0\n", ""),
    ("link del br0\nlink del x0\n", ""),
];

#[test]
fn explicit_entries_are_restored() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(HOST);
        let bridge = |lines: &str| {
            run_with_input(command("bridge").args(["-batch", "-"]), lines).ok();
        };
        bridge(ENTRIES);
        await_addresses();
        let _daemon = Daemon::start();
        let before = Snapshot::take();
        for (links, entries) in CHANGES {
            let label = format!("{links}{entries}");
            begin();
            ip_batch(links);
            bridge(entries);
            let changed = before.differences(&Snapshot::take(), Strictness::AlikeLinks);
            assert!(!changed.is_empty(), "{label} changes nothing");
            roll_back();
            before.assert_unchanged(Strictness::AlikeLinks, &label);
        }
    });
}
