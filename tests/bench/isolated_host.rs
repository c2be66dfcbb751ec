// SPDX-License-Identifier: LGPL-2.1-or-later
//! The host of the servers: a network namespace, and directories that vanish at the end.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::ops::Range;
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

/// The bridge that is created and destroyed, and its ports.
pub(crate) const NEW_BRIDGE: &str = "br1";
/// The prefix of the names of bridges that the daemon has yet to delete.
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

/// The pause between two checks whether a bridge is deleted.
const TIDY_PAUSE: Duration = Duration::from_micros(500);

/// The same bridge for ifupdown, configured not to wait, as our daemon does not wait either.
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

/// The directory of our definitions.
const DEFINITION_DIR: &str = "/etc/libvirt/interface";

/// A directory of the build, on the file system of the build tree.
const DISK_DIR: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench");

/// The number of links with definitions: half as many veth pairs.
pub(crate) const DEFINITION_COUNT: usize = 1_000;

const LIBVIRTD: &str = "/usr/sbin/libvirtd";

/// Debian's path of libvirtd's driver.
const LIBVIRT_DRIVER: &str =
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_interface.so";

/// Directories beside /run that libvirtd writes to; ours keeps transactions in one of them.
const LIBVIRT_DIRS: [&str; 4] =
    ["/etc/libvirt", "/var/cache/libvirt", "/var/lib", "/var/log/libvirt"];

const LIBVIRTD_CONFIG: &str = "/run/bench/libvirtd.conf";
const LIBVIRTD_LOG: &str = "/run/bench/libvirtd.log";
const LIBVIRTD_CONFIG_TEXT: &str = "unix_sock_dir = \"/run/bench\"\n\
    auth_unix_rw = \"none\"\n\
    auth_unix_ro = \"none\"\n";

const OUR_CONFIG: &str = "/run/bench/virtinterfaced.conf";
const OUR_LOG: &str = "/run/bench/virtinterfaced.log";

/// The group of the links that are removed together.
const SHARED_GROUP: u32 = 77;

/// The directory from which libvirtd loads its drivers.
const DRIVER_DIR: &str = "/run/bench/drivers";

/// Enters new namespaces. To be called first, while there is one thread.
pub(crate) fn enter() -> io::Result<()> {
    if process::effective_uid() != 0 {
        return Err(io::Error::other("only root can make the namespaces that it runs in"));
    }
    // A tmpfs is mounted there for the definitions.
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

/// Sets up ifupdown with the scripts of bridge-utils, without other scripts of the machine.
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

/// Runs `program`, ifup or ifdown, for the bridge. Its output is discarded: it removes the bridge
/// with the first address, and complains about the second.
pub(crate) fn ifupdown(program: &str) -> io::Result<()> {
    let mut command = Command::new(Path::new(IFUP).with_file_name(program));
    command.args(["-i", INTERFACES, "--state-dir", IFUPDOWN_STATE, NEW_BRIDGE]);
    check(program, command.stdout(Stdio::null()).stderr(Stdio::null()).status()?)
}

/// Checks that ifupdown creates the same bridge as our daemon, and removes it.
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

/// The path of a server's socket.
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

/// The log of our daemon so far, if it logs to a file.
pub(crate) fn our_log() -> io::Result<String> {
    fs::read_to_string(OUR_LOG)
}

/// The log settings in both daemons' configuration.
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

/// A command that runs libvirtd with its interface driver alone. The driver holds a lock below
/// /run/libvirt, as ours does, so libvirtd gets a /run/libvirt of its own.
pub(crate) fn libvirtd(log: Log) -> io::Result<Command> {
    let log = log_settings(log, LIBVIRTD_LOG);
    fs::write(LIBVIRTD_CONFIG, format!("{LIBVIRTD_CONFIG_TEXT}{log}"))?;
    let script = format!(
        "mount -t tmpfs bench /run/libvirt && exec {LIBVIRTD} -f {LIBVIRTD_CONFIG} -p /run/libvirt/pid"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("LIBVIRT_DRIVER_DIR", DRIVER_DIR);
    // libvirtd complains about each client that hangs up.
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

/// Adds the links that become ports of the new bridge. Their peers are up, so there is a carrier.
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

/// Waits until all destroyed bridges are deleted.
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

/// The indexes of the ports.
pub(crate) fn port_indices() -> io::Result<[u32; 2]> {
    let [first, second] = PORTS.map(sys::link_index);
    Ok([first?, second?])
}

/// Mounts the directory of definitions from the disk, until [`leave_disk`].
pub(crate) fn enter_disk() -> io::Result<()> {
    fs::create_dir_all(DISK_DIR)?;
    fs::create_dir_all(DEFINITION_DIR)?;
    run("mount", &["--bind", DISK_DIR, DEFINITION_DIR])
}

pub(crate) fn leave_disk() -> io::Result<()> {
    run("umount", &[DEFINITION_DIR])?;
    fs::remove_dir(DISK_DIR)
}

/// The minimal cost of a definition: a file is written, synced and renamed, and its directory
/// synced.
pub(crate) fn write_durably() -> io::Result<()> {
    let dir = Path::new(DEFINITION_DIR);
    let (temporary, path) = (dir.join(".bare-new"), dir.join("bare"));
    let mut file = File::create_new(&temporary)?;
    file.write_all(NEW_BRIDGE_XML.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(dir)?.sync_all()
}

/// The minimal cost of removing one.
pub(crate) fn remove_durably() -> io::Result<()> {
    let dir = Path::new(DEFINITION_DIR);
    fs::remove_file(dir.join("bare"))?;
    File::open(dir)?.sync_all()
}

/// Adds the links for the definitions.
pub(crate) fn add_definable_links() -> io::Result<()> {
    let line = |number| format!("link add def{number}a type veth peer name def{number}b\n");
    ip(&(0..DEFINITION_COUNT / 2).map(line).collect::<String>())
}

fn definable_links() -> impl Iterator<Item = String> {
    (0..DEFINITION_COUNT / 2).flat_map(|number| ["a", "b"].map(|end| format!("def{number}{end}")))
}

/// Writes the files of all definitions.
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

/// Adds the link that gets routes.
pub(crate) fn add_routed_link() -> io::Result<()> {
    ip(&format!(
        "link add {ROUTED_LINK} type veth peer name peer0\n\
         link set {ROUTED_LINK} up\n\
         link set peer0 up\n"
    ))
}

/// Adds 200,000 routes through it.
pub(crate) fn add_routes() -> io::Result<()> {
    let mut batch = String::new();
    for number in 0..200_000 {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + number);
        // Writing to a string cannot fail.
        let _ = writeln!(batch, "route add {address} dev {ROUTED_LINK}");
    }
    ip(&batch)
}

/// Adds two links for each number, as veth pairs, which are quickly made.
pub(crate) fn add_links(numbers: Range<usize>) -> io::Result<()> {
    let line = |number| format!("link add left{number} type veth peer name right{number}\n");
    ip(&numbers.map(line).collect::<String>())
}

/// Continues in a new network namespace. The old one lasts as long as the returned file, since its
/// removal would keep the kernel busy. The process must have only one thread.
pub(crate) fn renew_network() -> io::Result<File> {
    let old = File::open("/proc/self/ns/net")?;
    sys::leave_network()?;
    run("mount", &["-t", "sysfs", "bench", "/sys"])?;
    set_lo_up()?;
    Ok(old)
}

/// A thousand links, for lists that many clients ask for.
pub(crate) fn add_shared_links() -> io::Result<()> {
    let pair = |number| {
        format!("link add near{number} group {SHARED_GROUP} type veth peer name far{number}\n")
    };
    ip(&(0..500).map(pair).collect::<String>())
}

/// Removes them, and so their peers.
pub(crate) fn remove_shared_links() -> io::Result<()> {
    ip(&format!("link delete group {SHARED_GROUP}\n"))
}

/// Runs `ip -batch` with these lines.
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
