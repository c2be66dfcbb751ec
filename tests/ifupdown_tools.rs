// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files of `golden_ifupdown.rs`, before and after edits, read by the hosts' own programs:
//! `ifquery` of ifupdown and of ifupdown-ng, from Debian's packages, which are not installed.
//!
//! Each of them must accept the files, and start at boot what the definitions say. They see
//! directories of their own in place of /etc/network and /run.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it did not run"
)]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/ifupdown.rs"]
mod ifupdown;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ifupdown::{Host, after, bridge_over, hosts, with_mtu};
use virtinterfaced::backend::Backend;
use virtinterfaced::definitions::files::FileSet;
use virtinterfaced::ifupdown::Dialect;
use virtinterfaced::model::interface::{Interface, StartMode};

/// Arguments: the program and the files' directory. Lists what is started at boot.
const LIST: &str = "mount -t tmpfs none /run && mkdir /run/network && \\
                    mount --bind \"$2\" /etc/network && exec \"$1\" --list --auto";
/// The program's option differs.
const ALL: &str = "--auto";
const CLASSIC_ALL: &str = "--all";

fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("ifupdown-tools")
}

/// The program of a dialect, unpacked; `None` if it cannot be had here.
fn program(dialect: Dialect) -> Option<PathBuf> {
    let package = match dialect {
        Dialect::Classic => "ifupdown",
        Dialect::Ng => "ifupdown-ng",
        Dialect::BusyBox => return None,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new(root.join("tests/fetch.sh")).arg(scratch()).arg(package).output();
    let fetched = fetched.ok().filter(|it| it.status.success())?;
    let archive = String::from_utf8(fetched.stdout).unwrap();
    let folder = scratch().join(package);
    let status = Command::new("dpkg-deb").arg("-x").arg(archive.trim()).arg(&folder).status();
    assert!(status.unwrap().success(), "{package} is unpacked");
    Some(folder.join("sbin/ifquery"))
}

fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["-mn", "mount", "-t", "tmpfs", "none", "/run"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// The names that the program starts at boot.
fn started(program: &Path, host: &Host, files: &FileSet) -> BTreeSet<String> {
    let folder = scratch().join("files");
    let _ = fs::remove_dir_all(&folder);
    for (path, state) in files.iter() {
        let path = folder.join(path.to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, state.content().unwrap()).unwrap();
    }
    let all = if host.dialect == Dialect::Classic { CLASSIC_ALL } else { ALL };
    let script = LIST.replace(ALL, all);
    let mut command = Command::new("unshare");
    command.args(["-mn", "sh", "-c", &script, "sh"]).arg(program).arg(&folder);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let shown = host.folder.display();
    // Words of an `auto` line that has a comment behind it.
    let is_known = |line: &str| line.contains("unknown interface");
    assert!(errors.lines().all(is_known), "{shown}: {errors}");
    assert!(output.status.success() || !errors.is_empty(), "{shown}: {}", output.status);
    let names = String::from_utf8(output.stdout).unwrap();
    names.split_whitespace().map(str::to_owned).collect()
}

fn check(program: &Path, host: &Host, files: &FileSet, what: &str) {
    let started = started(program, host, files);
    for interface in host.backend().parse(files).iter() {
        let is_onboot = interface.start == Some(StartMode::Onboot);
        let shown = host.folder.display();
        let name = interface.name.as_str();
        assert_eq!(started.contains(name), is_onboot, "{shown}, {what}: {name}");
    }
}

fn variants(host: &Host) -> Vec<(String, FileSet)> {
    let backend = host.backend();
    let mut variants = vec![("as it is".to_owned(), host.files.clone())];
    for interface in host.parse().iter() {
        let name = interface.name;
        let is_none = interface.start == Some(StartMode::None);
        let start = Some(if is_none { StartMode::Onboot } else { StartMode::None });
        let defined = [
            Some(with_mtu(interface)),
            bridge_over(interface),
            Some(Interface { start, ..interface.clone() }),
        ];
        let edits = defined.into_iter().flatten().map(|it| backend.define(&it, &host.files));
        let edits = edits.chain([backend.undefine(&name, &host.files)]);
        for (number, edits) in edits.enumerate() {
            let files = edits.map(|edits| after(&host.files, &edits));
            variants.extend(files.map(|files| (format!("{name}, edit {number}"), files)));
        }
    }
    variants
}

#[test]
fn the_hosts_own_programs_accept_files_before_and_after_edits() {
    if !may_mount() {
        println!("SKIP: no mount namespace");
        return;
    }
    let mut count = 0;
    for dialect in [Dialect::Classic, Dialect::Ng] {
        let Some(program) = program(dialect) else {
            println!("SKIP: no package of {dialect}");
            continue;
        };
        for host in hosts().into_iter().filter(|host| host.dialect == dialect) {
            // It depends on the links that exist.
            if host.folder.ends_with("classic-pattern-auto") {
                continue;
            }
            for (what, files) in variants(&host) {
                check(&program, &host, &files, &what);
                count += 1;
            }
        }
    }
    println!("{count} sets of files");
}
