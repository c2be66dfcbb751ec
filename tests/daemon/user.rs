// SPDX-License-Identifier: LGPL-2.1-or-later
//! The daemon of an ordinary user.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::support::command::{command, run};
use crate::support::daemon::{Daemon, daemon_program};
use crate::support::namespace::{DIR, in_namespace, is_installed};

const VIRSH: &str = "/usr/bin/virsh";
const USER: u32 = 65_534;
const HOME: &str = "/run/home";
const RUNTIME_DIR: &str = "/run/user";

/// A copy of the daemon that any user may run, as the build directory may be closed to others.
const DAEMON: &str = "/run/test/virtinterfaced";

fn prepare() {
    // Copied by another process: children of other tests could inherit a descriptor of this one
    // that is open for writing, and the file could not be executed.
    run(command("cp").args([&daemon_program(), DAEMON])).ok();
    for dir in [HOME, RUNTIME_DIR] {
        fs::create_dir(dir).unwrap();
        chown(dir, Some(USER), Some(USER)).unwrap();
    }
}

/// A command run as the user.
fn as_user(program: &str) -> Command {
    let mut command = command(program);
    command.uid(USER).gid(USER).env("HOME", HOME);
    command
}

fn file_names(dir: &str) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

/// Starts it, checks that all its files are below `run_dir`, and queries it with virsh.
fn check(run_dir: &str, environment: &[(&str, &str)]) {
    let mut daemon = Daemon::spawn(as_user(DAEMON).envs(environment.iter().copied()));
    daemon.wait_for(format!("{run_dir}/virtinterfaced-sock"));
    let made = ["interface", "virtinterfaced-admin-sock", "virtinterfaced-sock"];
    let made = [&made[..], &["virtinterfaced.pid"]].concat();
    assert_eq!(file_names(run_dir), made);
    assert_eq!(fs::metadata(run_dir).unwrap().mode() & 0o777, 0o700);
    assert!(!Path::new("/run/libvirt").exists());
    if Path::new(VIRSH).exists() {
        let mut virsh = as_user(VIRSH);
        virsh.envs(environment.iter().copied()).args(["-c", "interface:///session"]);
        assert!(run(virsh.args(["iface-list"])).ok().contains(" lo     active "));
    }
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    for line in ["CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.lines().any(|it| it == line), "{status}");
    }
    assert!(!daemon.stderr().contains("is missing"), "{}", daemon.stderr());
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(file_names(run_dir), ["interface"]);
}

#[test]
fn its_files_are_in_the_runtime_directory() {
    in_namespace(|| {
        prepare();
        check("/run/user/libvirt", &[("XDG_RUNTIME_DIR", RUNTIME_DIR)]);
        assert_eq!(file_names(HOME), [""; 0]);
    });
}

#[test]
fn without_a_runtime_directory_they_are_in_the_cache() {
    in_namespace(|| {
        prepare();
        check("/run/home/.cache/libvirt", &[]);
        check("/run/home/elsewhere/libvirt", &[("XDG_CACHE_HOME", "/run/home/elsewhere")]);
    });
}

#[test]
fn a_run_directory_that_is_not_the_users_own_is_refused() {
    const STRANGER: u32 = 4_321;
    in_namespace(|| {
        prepare();
        fs::create_dir("/run/user/libvirt").unwrap();
        let refused_for = |shared: &str, owner: u32, mode: u32| {
            chown(shared, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(shared, Permissions::from_mode(mode)).unwrap();
            let output = run(as_user(DAEMON).env("XDG_RUNTIME_DIR", RUNTIME_DIR));
            let reason = format!(
                "other users can write to {shared}; use a folder that only the daemon's user can \
                 change"
            );
            let want = format!("virtinterfaced: {reason}\n");
            assert_eq!((output.stderr, output.status.code()), (want, Some(2)), "{shared} {mode:o}");
            chown(shared, Some(USER), Some(USER)).unwrap();
            fs::set_permissions(shared, Permissions::from_mode(0o700)).unwrap();
        };
        for shared in ["/run/user/libvirt", RUNTIME_DIR] {
            refused_for(shared, STRANGER, 0o777);
            refused_for(shared, USER, 0o777);
        }
        check("/run/user/libvirt", &[("XDG_RUNTIME_DIR", RUNTIME_DIR)]);
    });
}

#[test]
fn it_reads_the_users_own_configuration() {
    in_namespace(|| {
        prepare();
        let dir = "/run/home/.config/libvirt";
        fs::create_dir_all(dir).unwrap();
        fs::write(format!("{dir}/virtinterfaced.conf"), "log_level = 'x'\n").unwrap();
        let output = run(&mut as_user(DAEMON));
        let want = format!(
            "virtinterfaced: {dir}/virtinterfaced.conf:1:13: \
             log_level: expected an unsigned integer\n"
        );
        assert_eq!((output.stderr, output.status.code()), (want, Some(1)));
    });
}

#[test]
fn without_any_home_it_says_so() {
    in_namespace(|| {
        prepare();
        let output = run(as_user(DAEMON).env_remove("HOME"));
        let want = "virtinterfaced: HOME is not set, and the XDG variables do not replace it\n";
        assert_eq!((output.stderr.as_str(), output.status.code()), (want, Some(2)));
    });
}

#[test]
fn virsh_starts_it_when_no_daemon_answers() {
    if !is_installed(VIRSH) {
        return;
    }
    in_namespace(|| {
        prepare();
        let mut virsh = as_user(VIRSH);
        // libvirt looks for its daemons in this directory.
        virsh.env("XDG_RUNTIME_DIR", RUNTIME_DIR).env("LIBVIRTD_PATH", DIR);
        let listed = run(virsh.args(["-c", "interface:///session?mode=direct", "iface-list"]));
        let pid = fs::read_to_string("/run/user/libvirt/virtinterfaced.pid");
        if let Ok(pid) = pid {
            run(command("kill").arg(pid.trim())).ok();
        }
        assert!(listed.ok().contains(" lo     active "));
    });
}
