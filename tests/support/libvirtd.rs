// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's own daemon, to hold ours against: with its interface driver alone, and with nothing of
//! the machine's own within its reach.
//!
//! Its interface driver holds a lock below /run/libvirt as ours does, so it is given a /run/libvirt
//! of its own, and its sockets stand in the test's folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::command::command;
use super::daemon::Daemon;

pub(crate) const LIBVIRTD: &str = "/usr/sbin/libvirtd";

/// Where Debian has its drivers.
pub(crate) const DRIVER: &str =
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_interface.so";

pub(crate) const SOCKET: &str = "/run/test/libvirtd/libvirt-sock";
pub(crate) const READ_ONLY_SOCKET: &str = "/run/test/libvirtd/libvirt-sock-ro";
pub(crate) const ADMIN_SOCKET: &str = "/run/test/libvirtd/libvirt-admin-sock";

/// Its sockets, its configuration, and the folder in which it finds drivers.
const DIR: &str = "/run/test/libvirtd";

/// What it writes to, beside its sockets.
const PRIVATE_DIRS: &str =
    "/run/libvirt /etc/libvirt /var/cache/libvirt /var/lib/libvirt /var/log/libvirt";

/// Starts it with these settings beside the necessary ones, and waits until it answers.
pub(crate) fn start(settings: &str) -> Daemon {
    let mut daemon = Daemon::spawn(&mut libvirtd(settings));
    daemon.wait_for(SOCKET);
    daemon
}

fn libvirtd(settings: &str) -> Command {
    let (config, drivers) = (format!("{DIR}/libvirtd.conf"), format!("{DIR}/drivers"));
    fs::create_dir_all(&drivers).unwrap();
    let driver = Path::new(&drivers).join("libvirt_driver_interface.so");
    symlink(DRIVER, driver).unwrap();
    let necessary =
        format!("unix_sock_dir = \"{DIR}\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n");
    fs::write(&config, necessary + settings).unwrap();
    let script = format!(
        "for dir in {PRIVATE_DIRS}; do\n\
         test ! -d $dir || mount -t tmpfs none $dir || exit\n\
         done\n\
         exec {LIBVIRTD} -f {config} -p /run/libvirt/pid"
    );
    let mut command = command("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("LIBVIRT_DRIVER_DIR", drivers);
    command
}
