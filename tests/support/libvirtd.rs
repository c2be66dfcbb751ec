// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's own daemon, isolated from the machine: apart from ours, to compare answers, or beside
//! it, as on a host that runs guests.
//!
//! Apart, it has only its interface driver and a /run/libvirt of its own, and its sockets are in
//! the test's directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::command::{command, run};
use super::daemon::Daemon;

pub(crate) const LIBVIRTD: &str = "/usr/sbin/libvirtd";

/// Debian's directory of its drivers.
const DRIVERS: &str = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver";

/// The interface driver.
pub(crate) const DRIVER: &str =
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_interface.so";

pub(crate) const QEMU_DRIVER: &str =
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so";

pub(crate) const SOCKET: &str = "/run/test/libvirtd/libvirt-sock";
pub(crate) const READ_ONLY_SOCKET: &str = "/run/test/libvirtd/libvirt-sock-ro";
pub(crate) const ADMIN_SOCKET: &str = "/run/test/libvirtd/libvirt-admin-sock";

/// The directory of its sockets, its configuration and its drivers.
const DIR: &str = "/run/test/libvirtd";

/// The directories that it writes to, beside its sockets.
const PRIVATE_DIRS: &str =
    "/run/libvirt /etc/libvirt /var/cache/libvirt /var/lib/libvirt /var/log/libvirt";

/// Starts it with these settings in addition to the necessary ones, and waits until it answers.
pub(crate) fn start(settings: &str) -> Daemon {
    let mut daemon = Daemon::spawn(&mut libvirtd(settings));
    daemon.wait_for(SOCKET);
    daemon
}

/// Its socket when it runs beside ours.
pub(crate) const USUAL_SOCKET: &str = "/run/libvirt/libvirt-sock";

/// Guests run as root, without what a namespace lacks: a security module, control groups, virtlogd.
const QEMU_SETTINGS: &str = "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\n\
    cgroup_controllers = []\nstdio_handler = \"file\"\n";

/// Prepares to run it beside ours, with its interface and QEMU drivers, in the default directories
/// of both daemons. The QEMU driver requires the user that its package creates.
pub(crate) fn prepare_beside() {
    const USER: &str = "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n";
    const GROUP: &str = "libvirt-qemu:x:64055:\n";
    write_files("", &["interface", "qemu"]);
    fs::write("/etc/libvirt/qemu.conf", QEMU_SETTINGS).unwrap();
    for (path, line) in [("/etc/passwd", USER), ("/etc/group", GROUP)] {
        let ours = format!("{DIR}/{}", path.replace('/', "-"));
        fs::write(&ours, fs::read_to_string(path).unwrap() + line).unwrap();
        run(command("mount").args(["--bind", &ours, path])).ok();
    }
    for dir in ["/var/cache/libvirt", "/var/log/libvirt"] {
        if Path::new(dir).exists() {
            run(command("mount").args(["-t", "tmpfs", "none", dir])).ok();
        }
    }
}

/// Starts it beside ours, and waits until it answers.
pub(crate) fn start_beside() -> Daemon {
    let mut libvirtd = command(LIBVIRTD);
    libvirtd.args(["-f", &format!("{DIR}/libvirtd.conf"), "-p", &format!("{DIR}/libvirtd.pid")]);
    let mut daemon = Daemon::spawn(libvirtd.env("LIBVIRT_DRIVER_DIR", format!("{DIR}/drivers")));
    daemon.wait_for(USUAL_SOCKET);
    daemon
}

/// Writes its configuration, and fills a directory with the drivers that it is to load.
fn write_files(settings: &str, drivers: &[&str]) {
    let folder = Path::new(DIR).join("drivers");
    fs::create_dir_all(&folder).unwrap();
    for driver in drivers {
        let file = format!("libvirt_driver_{driver}.so");
        symlink(Path::new(DRIVERS).join(&file), folder.join(&file)).unwrap();
    }
    let necessary = "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n";
    fs::write(Path::new(DIR).join("libvirtd.conf"), format!("{necessary}{settings}")).unwrap();
}

fn libvirtd(settings: &str) -> Command {
    let (config, drivers) = (format!("{DIR}/libvirtd.conf"), format!("{DIR}/drivers"));
    write_files(&format!("unix_sock_dir = \"{DIR}\"\n{settings}"), &["interface"]);
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
