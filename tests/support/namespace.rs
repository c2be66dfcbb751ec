// SPDX-License-Identifier: LGPL-2.1-or-later
//! A network and mount namespace for one test, which isolates it from the machine.
//!
//! Namespaces belong to threads, and child processes inherit them. Each test therefore runs in a
//! thread of its own, which ends with it.

#![allow(unsafe_code, reason = "namespaces are entered by system calls")]

use std::ffi::CString;
use std::path::Path;
use std::sync::{Once, PoisonError, RwLock};
use std::{env, fs, io, panic, ptr, thread};

use super::command::ip;

/// Variables that make a skipped test fail.
const REQUIRING: [&str; 2] = ["CI", "REQUIRE_NETNS"];

/// The UTS namespace, as a hook of dhcpcd may set the host's name.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNET | libc::CLONE_NEWNS | libc::CLONE_NEWUTS;

/// The initial content of a test's resolv.conf.
const NAME_SERVERS: &str = "nameserver 203.0.113.1\n";

/// A test's directory, on the namespace's tmpfs.
pub(crate) const DIR: &str = "/run/test";

/// The processors: shared by all tests, except one that measures.
static PROCESSORS: RwLock<()> = RwLock::new(());

/// Runs `test` in new namespaces that contain only `lo`, which is up.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let _shared = PROCESSORS.read().unwrap_or_else(PoisonError::into_inner);
    run_in_namespace(test);
}

/// As [`in_namespace`], while no other test runs in this process: for one that measures time.
pub(crate) fn in_namespace_alone(test: impl FnOnce() + Send + 'static) {
    let _alone = PROCESSORS.write().unwrap_or_else(PoisonError::into_inner);
    run_in_namespace(test);
}

fn run_in_namespace(test: impl FnOnce() + Send + 'static) {
    let run = || match enter() {
        Ok(()) => test(),
        Err(reason) => skip(&reason),
    };
    let ended = thread::Builder::new().spawn(run).expect("a thread").join();
    ended.unwrap_or_else(|cause| panic::resume_unwind(cause));
}

/// Whether a program that a test needs is installed. If not, the test is reported as skipped.
pub(crate) fn is_installed(program: &str) -> bool {
    let there = Path::new(program).exists();
    if !there {
        skip(&format!("{program} is not installed"));
    }
    there
}

/// Reports that a test did not run, or fails it if tests must run.
pub(crate) fn skip(reason: &str) {
    skip_unless_set(&REQUIRING, reason);
}

/// As [`skip`], where also these variables make the test fail.
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
    // DHCP clients keep their leases below /var/lib, and the daemon its transactions.
    let states = ["/var/lib/dhcp", "/var/lib/dhcpcd"].map(|dir| (dir, Path::new(dir).exists()));
    for dir in ["/etc/libvirt", "/etc/network", "/var/lib"] {
        if Path::new(dir).exists() {
            mount("tmpfs", dir, Some("tmpfs"), 0);
        }
    }
    for (dir, _) in states.into_iter().filter(|(_, is_there)| *is_there) {
        fs::create_dir(dir).unwrap();
    }
    // The machine's sysfs would go on showing the machine's interfaces.
    mount("sysfs", "/sys", Some("sysfs"), 0);
    fs::create_dir(DIR).unwrap();
    // DHCP clients write name servers there.
    if Path::new("/etc/resolv.conf").exists() {
        let names = format!("{DIR}/resolv.conf");
        fs::write(&names, NAME_SERVERS).unwrap();
        mount(&names, "/etc/resolv.conf", None, libc::MS_BIND);
    }
    ip("link set lo up");
    Ok(())
}

/// Raises the limit of open files: the tests open thousands of sockets in total, and the daemons
/// inherit the limit.
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
    // SAFETY: the strings outlive the call; null is valid where neither a type nor data is needed.
    let rc = unsafe { libc::mount(source.as_ptr(), place.as_ptr(), kind, flags, ptr::null()) };
    assert_eq!(rc, 0, "cannot mount on {target}: {}", io::Error::last_os_error());
}
