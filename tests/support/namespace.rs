// SPDX-License-Identifier: LGPL-2.1-or-later
//! A network and mount namespace for one test: nothing of the machine's own is seen or touched.
//!
//! Namespaces belong to threads, and what a thread starts inherits them. Each test therefore runs
//! in a thread of its own, which ends with it.

#![allow(unsafe_code, reason = "namespaces are entered by system calls")]

use std::ffi::CString;
use std::path::Path;
use std::sync::Once;
use std::{env, fs, io, panic, ptr, thread};

use super::command::ip;

/// The variables that turn a skipped test into a failed one.
const REQUIRING: [&str; 2] = ["CI", "REQUIRE_NETNS"];

/// A hook of dhcpcd's may set the host's name.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNET | libc::CLONE_NEWNS | libc::CLONE_NEWUTS;

/// What a test finds in resolv.conf.
const NAME_SERVERS: &str = "nameserver 203.0.113.1\n";

/// Where a test keeps its files: on the namespace's tmpfs.
pub(crate) const DIR: &str = "/run/test";

/// Runs `test` in namespaces of its own, with nothing but `lo` in them, and `lo` up.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let run = || match enter() {
        Ok(()) => test(),
        Err(reason) => skip(&reason),
    };
    let ended = thread::Builder::new().spawn(run).expect("a thread").join();
    ended.unwrap_or_else(|cause| panic::resume_unwind(cause));
}

/// What must be there for a test, beyond the build's own tools. Where it lacks, the test says so.
pub(crate) fn is_installed(program: &str) -> bool {
    let there = Path::new(program).exists();
    if !there {
        skip(&format!("{program} is not installed"));
    }
    there
}

/// Says that a test did not run, or fails it where it has to.
pub(crate) fn skip(reason: &str) {
    skip_unless_set(&REQUIRING, reason);
}

/// As [`skip`], where any of these variables makes the test one that has to run.
pub(crate) fn skip_unless_set(requiring: &[&str], reason: &str) {
    let set = requiring.iter().find(|name| env::var_os(name).is_some());
    assert!(set.is_none(), "cannot run, though {} is set: {reason}", set.unwrap_or(&""));
    println!("SKIP: {reason}");
}

fn enter() -> Result<(), String> {
    // SAFETY: geteuid takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Err("needs root to make a network namespace".to_owned());
    }
    open_files_for_all();
    // SAFETY: unshare takes an integer; it moves this thread alone.
    if unsafe { libc::unshare(NAMESPACES) } != 0 {
        return Err(format!("cannot make a network namespace: {}", io::Error::last_os_error()));
    }
    // From here on the machine's own files are out of reach, so any failure is the test's.
    mount("none", "/", None, libc::MS_REC | libc::MS_PRIVATE);
    mount("tmpfs", "/run", Some("tmpfs"), 0);
    // DHCP clients keep their leases below /var/lib, and the daemon what an open change goes back to.
    let states = ["/var/lib/dhcp", "/var/lib/dhcpcd"].map(|dir| (dir, Path::new(dir).exists()));
    for dir in ["/etc/libvirt", "/var/lib"] {
        if Path::new(dir).exists() {
            mount("tmpfs", dir, Some("tmpfs"), 0);
        }
    }
    for (dir, _) in states.into_iter().filter(|(_, is_there)| *is_there) {
        fs::create_dir(dir).unwrap();
    }
    // The machine's sysfs goes on showing the machine's own interfaces.
    mount("sysfs", "/sys", Some("sysfs"), 0);
    fs::create_dir(DIR).unwrap();
    // Where they put name servers.
    if Path::new("/etc/resolv.conf").exists() {
        let names = format!("{DIR}/resolv.conf");
        fs::write(&names, NAME_SERVERS).unwrap();
        mount(&names, "/etc/resolv.conf", None, libc::MS_BIND);
    }
    ip("link set lo up");
    Ok(())
}

/// The tests open thousands of sockets between them, and the daemons inherit the limit.
fn open_files_for_all() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointer is to a live local of the type that getrlimit fills.
        unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to a live local, which setrlimit only reads.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    });
}

fn mount(source: &str, target: &str, kind: Option<&str>, flags: libc::c_ulong) {
    let text = |text: &str| CString::new(text).unwrap();
    let (source, place, kind) = (text(source), text(target), kind.map(text));
    let kind = kind.as_ref().map_or(ptr::null(), |kind| kind.as_ptr());
    // SAFETY: the strings outlive the call; neither a kind nor data is needed where they are null.
    let rc = unsafe { libc::mount(source.as_ptr(), place.as_ptr(), kind, flags, ptr::null()) };
    assert_eq!(rc, 0, "cannot mount on {target}: {}", io::Error::last_os_error());
}
