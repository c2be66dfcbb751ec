// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's language bindings: each runs a script that calls all reading or all changing
//! functions, and prints what is wrong. The scripts rely on the test's scene.

use crate::host::TWO_NICS;
use crate::scene::Scene;
use crate::support::command::{command, ip_batch, run_with_input};
use crate::support::daemon::Daemon;
use crate::support::namespace::{in_namespace, skip};

#[test]
fn python_reads_what_ip_reads() {
    check("/usr/bin/python3", &["-c", "import libvirt"], include_str!("bindings.py"));
}

#[test]
fn perl_reads_what_sysfs_says() {
    check("/usr/bin/perl", &["-e", "use Sys::Virt"], include_str!("bindings.pl"));
}

#[test]
fn python_changes_what_ip_reads() {
    check_changes("/usr/bin/python3", &["-c", "import libvirt"], include_str!("changes.py"));
}

#[test]
fn perl_changes_what_ip_reads() {
    check_changes("/usr/bin/perl", &["-e", "use Sys::Virt"], include_str!("changes.pl"));
}

fn check(interpreter: &'static str, probe: &[&str], script: &'static str) {
    if !has_binding(interpreter, probe) {
        return;
    }
    in_namespace(move || {
        let _scene = Scene::build();
        let _daemon = Daemon::start();
        run_with_input(command(interpreter).arg("-"), script).ok();
    });
}

fn check_changes(interpreter: &'static str, probe: &[&str], script: &'static str) {
    if !has_binding(interpreter, probe) {
        return;
    }
    in_namespace(move || {
        ip_batch(TWO_NICS);
        let _daemon = Daemon::start();
        run_with_input(command(interpreter).arg("-"), script).ok();
    });
}

fn has_binding(interpreter: &str, probe: &[&str]) -> bool {
    let output = command(interpreter).args(probe).output();
    let has_binding = output.is_ok_and(|output| output.status.success());
    if !has_binding {
        skip(&format!("{interpreter} lacks its libvirt binding"));
    }
    has_binding
}
