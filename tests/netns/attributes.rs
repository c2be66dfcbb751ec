// SPDX-License-Identifier: LGPL-2.1-or-later
//! A rollback restores the attributes of links that no definition covers, whether they were changed
//! or lost with their link.

use crate::host::{TWO_NICS, await_addresses, with_virsh};
use crate::support::command::ip_batch;
use crate::support::daemon::Daemon;
use crate::support::judge::{Snapshot, Strictness};
use crate::support::link_numbers::{link_number, set_link_number};
use crate::transaction::{begin, roll_back};

/// Each link has an attribute with a value other than the default. Only some kinds, such as macvlan
/// and VXLAN, support `protodown`.
const HOST: &str = "\
link set eth0 gso_max_size 60000 gso_max_segs 60 gro_max_size 50000 up
link set eth0 broadcast 01:02:03:04:05:06
link add br0 address 52:54:00:00:00:b0 type bridge
link set br0 gso_max_size 40000 gso_max_segs 50 gro_max_size 45000
link set br0 broadcast 01:02:03:04:05:07
link set eth1 master br0
link set eth1 up
link set br0 up
link add m0 link eth0 address 52:54:00:00:00:a0 type macvlan mode bridge
link set m0 gso_max_size 30000 protodown on
link add x0 address 52:54:00:00:00:a1 type vxlan id 7 dstport 4789 local 192.0.2.1
link set x0 protodown on
link set x0 gro_max_size 44000 broadcast 01:02:03:04:05:08
";

/// Each line is a change of its own.
const CHANGES: &[&str] = &[
    "link set eth0 gso_max_size 65536 gso_max_segs 65535 gro_max_size 65536",
    "link set eth0 broadcast ff:ff:ff:ff:ff:ff\nlink set br0 broadcast ff:ff:ff:ff:ff:ff",
    "link set br0 gso_max_size 20000 gro_max_size 30000",
    "link set m0 protodown off\nlink set x0 protodown off",
    "link set x0 gro_max_size 65536",
    "link del br0",
    "link del m0",
    "link del x0",
    "link del br0\nlink del m0\nlink del x0\nlink set eth0 gso_max_segs 1",
];

/// Attributes that `ip` knows since 6.3, as the kernel does: `IFLA_GSO_IPV4_MAX_SIZE` and
/// `IFLA_GRO_IPV4_MAX_SIZE`. The kernel sets them along with those of all families.
const IPV4_SIZES: [u16; 2] = [63, 64];

#[test]
fn attributes_that_ip_does_not_know_are_restored_too() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch("link add br0 address 52:54:00:00:00:b0 type bridge\nlink set eth1 master br0\n");
        ip_batch("link set eth0 up\nlink set eth1 up\nlink set br0 up\n");
        await_addresses();
        if link_number("eth0", IPV4_SIZES[0]).is_none() {
            println!("SKIP: this kernel has no sizes of IPv4 alone");
            return;
        }
        for (attribute, value) in IPV4_SIZES.iter().zip([30_000, 20_000]) {
            ["eth0", "br0"].iter().for_each(|link| set_link_number(link, *attribute, value));
        }
        let sizes = || {
            let of_link = |link| IPV4_SIZES.map(|attribute| link_number(link, attribute));
            ["eth0", "br0"].map(of_link)
        };
        assert_eq!(sizes(), [[Some(30_000), Some(20_000)]; 2]);
        let _daemon = Daemon::start();
        let before = Snapshot::take();
        let deeds: [(&str, fn()); 3] = [
            ("set", || IPV4_SIZES.iter().for_each(|it| set_link_number("eth0", *it, 10_000))),
            ("set along", || ip_batch("link set br0 gso_max_size 40000 gro_max_size 50000\n")),
            ("deleted", || ip_batch("link del br0\n")),
        ];
        for (label, deed) in deeds {
            begin();
            deed();
            roll_back();
            assert_eq!(sizes(), [[Some(30_000), Some(20_000)]; 2], "{label}");
            before.assert_unchanged(Strictness::AlikeLinks, label);
        }
    });
}

#[test]
fn attributes_of_any_link_are_set_back_and_come_back_with_it() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(HOST);
        await_addresses();
        let _daemon = Daemon::start();
        let before = Snapshot::take();
        for change in CHANGES {
            begin();
            ip_batch(&format!("{change}\n"));
            let changed = before.differences(&Snapshot::take(), Strictness::AlikeLinks);
            assert!(!changed.is_empty(), "{change} changes nothing");
            roll_back();
            before.assert_unchanged(Strictness::AlikeLinks, change);
        }
    });
}
