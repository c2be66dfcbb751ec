// SPDX-License-Identifier: LGPL-2.1-or-later
//! `virsh iface-begin`, `iface-commit` and `iface-rollback`: what has been changed since is undone,
//! the files byte for byte and the network field by field, by whomever it was changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host::{
    FOLDER, TWO_NICS, await_addresses, find_link, folder, ports, virsh_destroy, with_virsh,
};
use crate::snapshot::{Snapshot, Strictness};
use crate::support::command::{ip_batch, virsh};
use crate::support::daemon::Daemon;

/// Everything that a NIC may have and lose.
const BUSY: &str = "\
link set eth0 up
link set eth1 up
address add 192.0.2.2/24 dev eth0
address add 192.0.2.3/24 dev eth0
address add 192.0.2.4/24 dev eth0 label eth0:web
address add 198.51.100.1/32 dev eth0
address add 10.9.0.1 peer 10.9.0.2/32 dev eth0
address add 10.6.0.1/16 dev eth1
address add 2001:db8::2/64 dev eth0 nodad
route add default via 192.0.2.1 dev eth0
route add 203.0.113.0/24 via 192.0.2.9 dev eth0 src 192.0.2.3 mtu 1300
route add 203.0.114.0/24 dev eth0 scope link
route add 203.0.115.0/24 via 192.0.2.9 dev eth0 table 100
route add default via 2001:db8::1 dev eth0
route add 2001:db8:ffff::/48 via 2001:db8::9 dev eth0 metric 7
";

/// The definition files: names, bytes, modes, owners, and what links say.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Tree(Vec<(String, u32, u32, u32, Vec<u8>)>);

impl Tree {
    pub(crate) fn take() -> Self {
        let read = |name: String| {
            let path = Path::new(FOLDER).join(&name);
            let metadata = fs::symlink_metadata(&path).unwrap();
            let bytes = match metadata.is_symlink() {
                true => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
                false => fs::read(&path).unwrap(),
            };
            (name, metadata.mode(), metadata.uid(), metadata.gid(), bytes)
        };
        Self(folder().into_iter().map(read).collect())
    }
}

pub(crate) fn begin() {
    assert_eq!(virsh("iface-begin").ok(), "Network config change transaction started\n\n");
}

pub(crate) fn commit() {
    assert_eq!(virsh("iface-commit").ok(), "Network config change transaction committed\n\n");
}

pub(crate) fn roll_back() {
    assert_eq!(virsh("iface-rollback").ok(), "Network config change transaction rolled back\n\n");
}

fn on_busy_host(test: impl FnOnce(Daemon) + Send + 'static) {
    with_virsh(move || {
        ip_batch(TWO_NICS);
        ip_batch(BUSY);
        await_addresses();
        test(Daemon::start());
    });
}

#[test]
fn a_bridged_nic_is_as_it_was_after_a_rollback() {
    on_busy_host(|_daemon| {
        let before = Snapshot::take();
        begin();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        assert_eq!(ports("br0"), ["eth0"]);
        roll_back();
        before.assert_unchanged(Strictness::AlikeLinks, "after iface-bridge");
        assert_eq!(folder(), [""; 0]);
    });
}

#[test]
fn what_was_committed_stays_and_what_was_begun_after_it_goes() {
    on_busy_host(|_daemon| {
        begin();
        virsh("iface-bridge eth0 br0 --no-stp").ok();
        commit();
        await_addresses();
        let (tree, before) = (Tree::take(), Snapshot::take());
        begin();
        virsh_destroy("br0").unwrap();
        virsh("iface-undefine br0").ok();
        assert!(find_link("br0").is_none());
        roll_back();
        before.assert_unchanged(Strictness::AlikeLinks, "after iface-destroy");
        assert_eq!(Tree::take(), tree);
    });
}
