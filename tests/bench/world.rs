// SPDX-License-Identifier: LGPL-2.1-or-later
//! The host that the servers see: a network of its own, and directories that are lost at the end.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use virtinterfaced::sys::process;

use crate::server::{Kind, Log};
use crate::sys;

pub(crate) const BRIDGE: &str = "br0";
pub(crate) const ROUTED_LINK: &str = "routed0";

const LIBVIRTD: &str = "/usr/sbin/libvirtd";

/// Where Debian has libvirtd's drivers.
const LIBVIRT_DRIVER: &str =
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_interface.so";

/// What libvirtd writes, beside /run.
const LIBVIRT_DIRS: [&str; 4] =
    ["/etc/libvirt", "/var/cache/libvirt", "/var/lib/libvirt", "/var/log/libvirt"];

const LIBVIRTD_CONFIG: &str = "/run/bench/libvirtd.conf";
const LIBVIRTD_CONFIG_TEXT: &str = "unix_sock_dir = \"/run/bench\"\n\
    auth_unix_rw = \"none\"\n\
    auth_unix_ro = \"none\"\n";

const OUR_CONFIG: &str = "/run/bench/virtinterfaced.conf";

/// libvirtd loads the drivers it finds here.
const DRIVER_DIR: &str = "/run/bench/drivers";

/// Leaves the host behind. To be called first, while there is one thread.
pub(crate) fn enter() -> io::Result<()> {
    if process::effective_uid() != 0 {
        return Err(io::Error::other("only root can make the namespaces that it runs in"));
    }
    process::raise_open_files_limit()?;
    sys::leave_namespaces()?;
    run("mount", &["--make-rprivate", "/"])?;
    run("mount", &["-t", "tmpfs", "bench", "/run"])?;
    for dir in LIBVIRT_DIRS.into_iter().filter(|dir| Path::new(dir).is_dir()) {
        run("mount", &["-t", "tmpfs", "bench", dir])?;
    }
    run("mount", &["-t", "sysfs", "bench", "/sys"])?;
    fs::create_dir_all(DRIVER_DIR)?;
    fs::create_dir("/run/libvirt")?;
    symlink(LIBVIRT_DRIVER, Path::new(DRIVER_DIR).join("libvirt_driver_interface.so"))?;
    ip("link set lo up\n")
}

/// Where a server listens.
pub(crate) fn socket(kind: Kind) -> PathBuf {
    PathBuf::from(match kind {
        Kind::Ours => "/run/libvirt/virtinterfaced-sock",
        Kind::Bare => "/run/bench/bare-sock",
        Kind::Libvirtd => "/run/bench/libvirt-sock",
    })
}

pub(crate) fn has_libvirtd() -> bool {
    Path::new(LIBVIRTD).exists() && Path::new(LIBVIRT_DRIVER).exists()
}

/// What both daemons' configuration says of their log.
fn log_settings(log: Log, file: &str) -> String {
    match log {
        Log::Quiet => "log_level = 4\n".to_owned(),
        Log::Debug => format!("log_level = 1\nlog_outputs = \"1:file:/run/bench/{file}\"\n"),
    }
}

/// Writes our configuration, and returns its path.
pub(crate) fn our_config(log: Log) -> io::Result<&'static Path> {
    fs::write(OUR_CONFIG, log_settings(log, "virtinterfaced.log"))?;
    Ok(Path::new(OUR_CONFIG))
}

/// libvirtd with its interface driver alone, which holds a lock below /run/libvirt as ours does:
/// it is given one of its own.
pub(crate) fn libvirtd(log: Log) -> io::Result<Command> {
    let log = log_settings(log, "libvirtd.log");
    fs::write(LIBVIRTD_CONFIG, format!("{LIBVIRTD_CONFIG_TEXT}{log}"))?;
    let script = format!(
        "mount -t tmpfs bench /run/libvirt && exec {LIBVIRTD} -f {LIBVIRTD_CONFIG} -p /run/libvirt/pid"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("LIBVIRT_DRIVER_DIR", DRIVER_DIR);
    // It complains of each client that hangs up.
    command.stderr(Stdio::null());
    Ok(command)
}

/// A bridge with one port, both up.
pub(crate) fn add_bridge() -> io::Result<()> {
    ip("link add br0 type bridge\n\
        link add port0 type veth peer name guest0\n\
        link set port0 master br0\n\
        link set port0 up\n\
        link set guest0 up\n\
        link set br0 up\n")
}

/// A link with 200,000 routes through it.
pub(crate) fn add_routes() -> io::Result<()> {
    let mut batch = format!(
        "link add {ROUTED_LINK} type veth peer name peer0\n\
         link set {ROUTED_LINK} up\n\
         link set peer0 up\n"
    );
    for number in 0..200_000 {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + number);
        // Writing to a string cannot fail.
        let _ = writeln!(batch, "route add {address} dev {ROUTED_LINK}");
    }
    ip(&batch)
}

/// 4,000 links: as pairs they are quickly made.
pub(crate) fn add_links() -> io::Result<()> {
    let line = |number| format!("link add left{number} type veth peer name right{number}\n");
    ip(&(0..2_000).map(line).collect::<String>())
}

/// Hands lines to ip(8).
fn ip(batch: &str) -> io::Result<()> {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(batch.as_bytes())?;
    }
    check("ip -batch", child.wait()?)
}

fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    check(program, Command::new(program).args(arguments).status()?)
}

fn check(what: &str, status: ExitStatus) -> io::Result<()> {
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{what}: {status}"))) }
}
