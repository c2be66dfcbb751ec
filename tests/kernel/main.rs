// SPDX-License-Identifier: LGPL-2.1-or-later
//! Features that only some kernels have, and hosts that lack usual facilities: bonds, VLANs,
//! bridges with every kind of port, both described and defined; no /proc, no /sys, no syslog, full
//! disks.
//!
//! `tests/vm/kernel.sh` runs this program on a kernel with all these features. Elsewhere a test
//! prints `SKIP: reason` if the kernel lacks a module: loading one might create an interface on the
//! developer's machine. With `REQUIRE_KERNEL` set it fails instead.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, waits by sleeping, and says why it does not run"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/random.rs"]
mod random;

mod advertised;
mod bonds;
mod both;
mod bridge_vlans;
mod bridges;
mod change_shortages;
mod freshness;
mod define_bonds;
mod define_shortages;
mod define_vlans;
mod definable;
mod late;
mod nesting;
mod no_ipv6;
mod restore_links;
mod restore_kinds;
mod rules;
mod host;
mod shortages;
mod taken_over;
mod undefined;
mod vlans;

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use support::PATIENCE;
use support::client::RawClient;
use support::namespace::{in_namespace, skip_unless_set};

const BOND: &str = "bonding";
const DUMMY: &str = "dummy";
const VLAN: &str = "8021q";

/// Two cables, whose near ends become members of a bond.
const MEMBERS: &str = "\
link add m0 address 52:54:00:00:00:11 type veth peer name far0
link add m1 address 52:54:00:00:00:12 type veth peer name far1
link set far0 up
link set far1 up
";

/// Runs `test` in namespaces of its own, on a kernel with these modules.
fn on_kernel_with(modules: &[&str], test: impl FnOnce() + Send + 'static) {
    let is_missing = |module: &&&str| !Path::new("/sys/module").join(module).exists();
    match modules.iter().find(is_missing) {
        None => in_quiet_namespace(test),
        Some(module) => skip(&format!("the kernel has no {module}, or has not loaded it")),
    }
}

/// Runs `test` in namespaces of its own, where no link gets an address automatically.
fn in_quiet_namespace(test: impl FnOnce() + Send + 'static) {
    in_namespace(|| {
        const NONE: &str = "1";
        const MODE: &str = "/proc/sys/net/ipv6/conf/default/addr_gen_mode";
        // The kernel may lack IPv6.
        if Path::new("/proc/sys/net/ipv6").exists() {
            fs::write(MODE, NONE).unwrap();
        }
        test();
    });
}

/// Reports that a test did not run, or fails it if tests must run.
fn skip(reason: &str) {
    skip_unless_set(&["REQUIRE_KERNEL"], reason);
}

/// A sysfs attribute of a link.
fn fact(name: &str, attribute: &str) -> String {
    let path = format!("/sys/class/net/{name}/{attribute}");
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{path}: {err}")).trim().to_owned()
}

/// Changes a sysfs attribute of a link.
#[track_caller]
fn set(name: &str, attribute: &str, value: &str) {
    let path = format!("/sys/class/net/{name}/{attribute}");
    fs::write(&path, value).unwrap_or_else(|err| panic!("{path}: {value}: {err}"));
}

/// Waits until a link has this description, where the kernel acts with a delay.
#[track_caller]
fn await_xml(client: &mut RawClient, name: &str, want: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = client.xml(name);
        if got == want {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is still\n{got}and not yet\n{want}");
        thread::sleep(Duration::from_millis(5));
    }
}
