// SPDX-License-Identifier: LGPL-2.1-or-later
//! The host that the servers see: a network of its own, and directories that are lost at the end.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use virtinterfaced::sys::{descriptors, process};

use crate::server::{Kind, Log};
use crate::sys;

pub(crate) const BRIDGE: &str = "br0";
pub(crate) const ROUTED_LINK: &str = "routed0";

/// The bridge that comes and goes, and what it is made of.
pub(crate) const NEW_BRIDGE: &str = "br1";
/// What the name of a bridge begins with that the daemon has yet to delete.
pub(crate) const DISCARDED: &str = "gone-";
pub(crate) const PORTS: [&str; 2] = ["port1", "port2"];
pub(crate) const PORT_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];

pub(crate) const NEW_BRIDGE_XML: &str = "<interface type='bridge' name='br1'>
  <start mode='none'/>
  <protocol family='ipv4'><ip address='192.0.2.1' prefix='24'/></protocol>
  <protocol family='ipv6'><ip address='2001:db8::1' prefix='64'/></protocol>
  <bridge stp='off' delay='0'>
    <interface type='ethernet' name='port1'/>
    <interface type='ethernet' name='port2'/>
  </bridge>
</interface>
";

/// Between two looks whether a bridge is deleted.
const TIDY_PAUSE: Duration = Duration::from_micros(500);

/// The same bridge for ifupdown, told not to wait for anything that we do not wait for either.
const INTERFACES: &str = "/run/bench/interfaces";
const INTERFACES_TEXT: &str = "iface br1 inet static
    address 192.0.2.1/24
    bridge_ports port1 port2
    bridge_stp off
    bridge_fd 0
    bridge_maxwait 0
iface br1 inet6 static
    address 2001:db8::1/64
    accept_ra 0
    autoconf 0
    dad-attempts 0
";
const IFUPDOWN_STATE: &str = "/run/bench/ifupdown";
const IFUP: &str = "/sbin/ifup";
const IFUPDOWN_DIR: &str = "/etc/network";
const BRIDGE_SCRIPT: &str = "/lib/bridge-utils/ifupdown.sh";

/// Where our definitions are.
const DEFINITION_DIR: &str = "/etc/libvirt/interface";

/// A folder of the build's own, on whatever the build tree is on.
const DISK_DIR: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench");

/// How many links with definitions there are: a right and a left one of so many pairs.
pub(crate) const DEFINITION_COUNT: usize = 1_000;

const LIBVIRTD: &str = "/usr/sbin/libvirtd";

/// Where Debian has libvirtd's drivers.
const LIBVIRT_DRIVER: &str =
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_interface.so";

/// What libvirtd writes, beside /run, and where ours keeps an open change.
const LIBVIRT_DIRS: [&str; 4] =
    ["/etc/libvirt", "/var/cache/libvirt", "/var/lib", "/var/log/libvirt"];

const LIBVIRTD_CONFIG: &str = "/run/bench/libvirtd.conf";
const LIBVIRTD_LOG: &str = "/run/bench/libvirtd.log";
const LIBVIRTD_CONFIG_TEXT: &str = "unix_sock_dir = \"/run/bench\"\n\
    auth_unix_rw = \"none\"\n\
    auth_unix_ro = \"none\"\n";

const OUR_CONFIG: &str = "/run/bench/virtinterfaced.conf";
const OUR_LOG: &str = "/run/bench/virtinterfaced.log";

/// libvirtd loads the drivers it finds here.
const DRIVER_DIR: &str = "/run/bench/drivers";

/// Leaves the host behind. To be called first, while there is one thread.
pub(crate) fn enter() -> io::Result<()> {
    if process::effective_uid() != 0 {
        return Err(io::Error::other("only root can make the namespaces that it runs in"));
    }
    // The tmpfs that is put over it takes the definitions.
    if !Path::new("/etc/libvirt").is_dir() {
        return Err(io::Error::other(
            "there must be a folder /etc/libvirt, though none of it is used",
        ));
    }
    descriptors::raise_limit()?;
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
    if has_ifupdown() {
        prepare_ifupdown()?;
    }
    set_lo_up()
}

pub(crate) fn set_lo_up() -> io::Result<()> {
    ip("link set lo up\n")
}

/// ifupdown with the scripts of bridge-utils and without all others that the machine may have.
fn prepare_ifupdown() -> io::Result<()> {
    run("mount", &["-t", "tmpfs", "bench", IFUPDOWN_DIR])?;
    for phase in ["if-pre-up.d", "if-up.d", "if-down.d", "if-post-down.d"] {
        let dir = Path::new(IFUPDOWN_DIR).join(phase);
        fs::create_dir(&dir)?;
        if phase != "if-up.d" {
            symlink(BRIDGE_SCRIPT, dir.join("bridge"))?;
        }
    }
    fs::create_dir(IFUPDOWN_STATE)?;
    fs::write(INTERFACES, INTERFACES_TEXT)
}

pub(crate) fn has_ifupdown() -> bool {
    [IFUP, BRIDGE_SCRIPT, IFUPDOWN_DIR].iter().all(|path| Path::new(path).exists())
}

/// ifup or ifdown of the bridge, as `program` says. What it says itself is left out: it takes the
/// bridge away with its first address, and complains at the second.
pub(crate) fn ifupdown(program: &str) -> io::Result<()> {
    let mut command = Command::new(Path::new(IFUP).with_file_name(program));
    command.args(["-i", INTERFACES, "--state-dir", IFUPDOWN_STATE, NEW_BRIDGE]);
    check(program, command.stdout(Stdio::null()).stderr(Stdio::null()).status()?)
}

/// Whether ifupdown makes the bridge that we make, and takes it away.
pub(crate) fn check_ifupdown() -> io::Result<()> {
    ifupdown("ifup")?;
    let shown = Command::new("ip").args(["-br", "address", "show", "dev", NEW_BRIDGE]).output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let has_addresses = ["192.0.2.1/24", "2001:db8::1/64"].iter().all(|it| shown.contains(it));
    let is_port = |port: &&str| Path::new("/sys/class/net").join(port).join("brport").exists();
    let has_ports = PORTS.iter().all(is_port);
    ifupdown("ifdown")?;
    let is_gone = sys::link_index(NEW_BRIDGE).is_err();
    if has_addresses && has_ports && is_gone {
        return Ok(());
    }
    Err(io::Error::other(format!("ifupdown makes another bridge, or leaves it there: {shown}")))
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

/// What our daemon has logged so far, if it logs to a file.
pub(crate) fn our_log() -> io::Result<String> {
    fs::read_to_string(OUR_LOG)
}

/// What both daemons' configuration says of their log.
fn log_settings(log: Log, file: &str) -> String {
    match log {
        Log::Quiet => "log_level = 4\n".to_owned(),
        Log::Debug => format!("log_level = 1\nlog_outputs = \"1:file:{file}\"\n"),
    }
}

/// Writes our configuration, and returns its path.
pub(crate) fn our_config(log: Log) -> io::Result<&'static Path> {
    fs::write(OUR_CONFIG, log_settings(log, OUR_LOG))?;
    Ok(Path::new(OUR_CONFIG))
}

/// libvirtd with its interface driver alone, which holds a lock below /run/libvirt as ours does:
/// it is given one of its own.
pub(crate) fn libvirtd(log: Log) -> io::Result<Command> {
    let log = log_settings(log, LIBVIRTD_LOG);
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

/// What is to be the ports of the bridge that comes and goes. The far ends are up, so that there is
/// a carrier.
pub(crate) fn add_ports() -> io::Result<()> {
    let add = |(port, [a, b, c, d, e, f]): (&str, [u8; 6])| {
        format!(
            "link add {port} address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} \
             type veth peer name far-{port}\n\
             link set far-{port} up\n"
        )
    };
    ip(&PORTS.into_iter().zip(PORT_MACS).map(add).collect::<String>())
}

/// Waits until all bridges are deleted that were destroyed.
pub(crate) fn wait_until_tidy() -> io::Result<()> {
    while !is_tidy()? {
        thread::sleep(TIDY_PAUSE);
    }
    Ok(())
}

fn is_tidy() -> io::Result<bool> {
    for link in fs::read_dir("/sys/class/net")? {
        if link?.file_name().to_string_lossy().starts_with(DISCARDED) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The kernel's numbers for the ports.
pub(crate) fn port_indices() -> io::Result<[u32; 2]> {
    let [first, second] = PORTS.map(sys::link_index);
    Ok([first?, second?])
}

/// Has the folder of the definitions on the disk, until it is [`leave_disk`]'s turn.
pub(crate) fn enter_disk() -> io::Result<()> {
    fs::create_dir_all(DISK_DIR)?;
    fs::create_dir_all(DEFINITION_DIR)?;
    run("mount", &["--bind", DISK_DIR, DEFINITION_DIR])
}

pub(crate) fn leave_disk() -> io::Result<()> {
    run("umount", &[DEFINITION_DIR])?;
    fs::remove_dir(DISK_DIR)
}

/// What a definition costs at the least: a file that is written, on the disk, in its place, and its
/// folder on the disk.
pub(crate) fn write_durably() -> io::Result<()> {
    let dir = Path::new(DEFINITION_DIR);
    let (temporary, path) = (dir.join(".bare-new"), dir.join("bare"));
    let mut file = File::create_new(&temporary)?;
    file.write_all(NEW_BRIDGE_XML.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(dir)?.sync_all()
}

/// What the end of one costs.
pub(crate) fn remove_durably() -> io::Result<()> {
    let dir = Path::new(DEFINITION_DIR);
    fs::remove_file(dir.join("bare"))?;
    File::open(dir)?.sync_all()
}

/// The links that may have definitions.
pub(crate) fn add_definable_links() -> io::Result<()> {
    let line = |number| format!("link add def{number}a type veth peer name def{number}b\n");
    ip(&(0..DEFINITION_COUNT / 2).map(line).collect::<String>())
}

fn definable_links() -> impl Iterator<Item = String> {
    (0..DEFINITION_COUNT / 2).flat_map(|number| ["a", "b"].map(|end| format!("def{number}{end}")))
}

/// Writes all definitions by hand.
pub(crate) fn write_definitions() -> io::Result<()> {
    fs::create_dir_all(DEFINITION_DIR)?;
    for name in definable_links() {
        fs::write(definition_path(&name), definition(&name))?;
    }
    Ok(())
}

pub(crate) fn remove_definitions() -> io::Result<()> {
    definable_links().try_for_each(|name| fs::remove_file(definition_path(&name)))
}

fn definition_path(name: &str) -> PathBuf {
    Path::new(DEFINITION_DIR).join(format!("{name}.xml"))
}

/// The definition of a link with an address.
pub(crate) fn definition(name: &str) -> String {
    format!(
        "<interface type='ethernet' name='{name}'>\n  \
         <start mode='none'/>\n  \
         <protocol family='ipv4'><ip address='198.51.100.1' prefix='24'/></protocol>\n\
         </interface>\n"
    )
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
pub(crate) fn ip(batch: &str) -> io::Result<()> {
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
