// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's language bindings: each runs a script that calls all that reads, and says what is
//! wrong. The scripts know the scene.

use crate::scene::Scene;
use crate::support::command::{command, run_with_input};
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

fn check(interpreter: &str, probe: &[&str], script: &'static str) {
    let has_binding = command(interpreter).args(probe).output();
    if !has_binding.is_ok_and(|output| output.status.success()) {
        return skip(&format!("{interpreter} lacks its libvirt binding"));
    }
    let mut interpreter = command(interpreter);
    in_namespace(move || {
        let _scene = Scene::build();
        let _daemon = Daemon::start();
        run_with_input(interpreter.arg("-"), script).ok();
    });
}
