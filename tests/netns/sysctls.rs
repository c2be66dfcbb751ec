// SPDX-License-Identifier: LGPL-2.1-or-later
//! Sysctls of links that were changed in a change, or that went with their link, are as they were after
//! a rollback: all that this kernel has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::{TWO_NICS, await_addresses, with_virsh};
use crate::scene::fact;
use crate::support::command::{ip, ip_batch};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::snapshot::{Snapshot, Strictness};
use crate::transaction::{begin, roll_back};

const HOST: &str = "\
link set eth0 up
link add br0 type bridge
link set eth1 master br0
link set eth1 up
link set br0 up
";

/// What a rollback leaves as it is, with the reason.
const LEFT: [(&str, &str); 7] = [
    ("addr_gen_mode", "an attribute of the link, which the rollback sets as such"),
    ("ioam6_id_wide", "the kernel tells half of it"),
    ("mc_forwarding", "read only"),
    ("ra_honor_pio_life", "the kernel does not tell it"),
    ("ra_honor_pio_pflag", "the kernel does not tell it"),
    ("regen_min_advance", "the kernel does not tell it"),
    ("stable_secret", "the kernel does not tell it"),
];

/// The sysctls of a link, but for those of its neighbours.
fn files(link: &str) -> Vec<PathBuf> {
    let folders = ["ipv4", "ipv6"].map(|family| format!("/proc/sys/net/{family}/conf/{link}"));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let is_left = |path: &Path| LEFT.iter().any(|(name, _)| path.ends_with(name));
    entries.map(|entry| entry.unwrap().path()).filter(|path| !is_left(path)).collect()
}

/// Gives each sysctl of a link another value, and says how many take one.
fn change_all(link: &str) -> usize {
    let change = |path: &PathBuf| {
        let now: i64 = fs::read_to_string(path).unwrap().trim().parse().unwrap();
        // The last: IPv6 goes with it, and its sysctls do not.
        if path.ends_with("disable_ipv6") {
            return false;
        }
        [now + 1, now - 1].iter().any(|value| {
            fs::write(path, value.to_string()).is_ok()
                && fs::read_to_string(path).unwrap().trim() == value.to_string()
        })
    };
    files(link).iter().filter(|path| change(path)).count()
}

fn on_host(test: impl FnOnce() + Send + 'static) {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        ip_batch(HOST);
        for name in ["eth0", "eth1", "br0"] {
            eventually(name, || fact(name, "operstate") == "up");
        }
        await_addresses();
        test();
    });
}

#[test]
fn each_sysctl_of_a_link_that_stays_is_set_back() {
    on_host(|| {
        let _daemon = Daemon::start();
        let before = Snapshot::take();
        begin();
        let counts = ["eth0", "br0"].map(change_all);
        assert!(counts.iter().all(|count| *count > 60), "{counts:?}");
        fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
        roll_back();
        before.assert_unchanged(Strictness::SameLinks, "sysctls were changed");
    });
}

#[test]
fn each_sysctl_comes_back_with_its_link() {
    on_host(|| {
        change_all("br0");
        let _daemon = Daemon::start();
        let before = Snapshot::take();
        begin();
        ip("link del br0");
        roll_back();
        before.assert_unchanged(Strictness::AlikeLinks, "a bridge was deleted");
    });
}
