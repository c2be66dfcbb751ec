// SPDX-License-Identifier: LGPL-2.1-or-later
//! The DHCP clients that a host may have: their location, abilities and command lines.
//!
//! All clients stay in the foreground, and send the server the same client identifier, the link's
//! hardware address. So a lease stays the same whichever client requests it, and when it moves to a
//! bridge that has taken over the address. The clients' usual configuration files are not read, as
//! they are for the *host's* clients; separate ones are written to the run directory. The exception
//! is a client that continues the lease of another program's client: it is the same program, and
//! sends the server the same identification ([`Heritage`]).
//!
//! Where AppArmor confines dhclient, as on Debian, it can run only the host's script and read only
//! the host's configuration: see [`Confinement`].

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::DhcpError;
use super::foreign::heritage::{self, Heritage};
use super::record::{path_of, state_of};
use crate::config::choice::DhcpClient;
use crate::model::address::{Family, IpPrefix};
use crate::model::foreign::{ClientProgram as Kind, ForeignClient};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::sys;
use crate::sys::capability::{Capability, CapabilitySet};
use crate::sys::file::is_executable;

/// The folders that are searched after those of the daemon's PATH.
const USUAL_DIRS: [&str; 4] = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];

/// The capabilities of every client, and of the daemon's script: to configure links, to send packets
/// before there is an address, and to receive them at port 68.
const CLIENT_CAPABILITIES: CapabilitySet = CapabilitySet::NONE
    .with(Capability::NET_ADMIN)
    .with(Capability::NET_RAW)
    .with(Capability::NET_BIND_SERVICE);

/// The capabilities with which dhcpcd runs parts of itself as another user in an empty directory,
/// and ends them.
const DHCPCD_CAPABILITIES: CapabilitySet = CLIENT_CAPABILITIES
    .with(Capability::SETUID)
    .with(Capability::SETGID)
    .with(Capability::SYS_CHROOT)
    .with(Capability::KILL);

/// Returns the client that the setting names.
const fn chosen(choice: DhcpClient) -> Option<Kind> {
    match choice {
        DhcpClient::Auto => None,
        DhcpClient::Udhcpc => Some(Kind::Udhcpc),
        DhcpClient::Dhcpcd => Some(Kind::Dhcpcd),
        DhcpClient::Dhclient => Some(Kind::Dhclient),
    }
}

/// The restrictions on a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Confinement {
    None,
    /// AppArmor enforces a profile for it.
    Profile,
}

/// Facts about the installed programs, which are read from files once. A program that is installed
/// later is examined at each use, until the configuration is reloaded.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownPrograms {
    /// A busybox, and whether it contains udhcpc.
    busybox: Option<(PathBuf, bool)>,
    dhclient: Option<(PathBuf, Confinement)>,
}

impl KnownPrograms {
    pub(super) fn new(dirs: &[PathBuf]) -> Self {
        let busybox = program_in(dirs, "busybox").map(|path| {
            let is_client = has_applet(&path);
            (path, is_client)
        });
        let dhclient = program_in(dirs, Kind::Dhclient.name()).map(|path| {
            let confinement = confinement(&path);
            (path, confinement)
        });
        Self { busybox, dhclient }
    }

    fn has_applet(&self, busybox: &Path) -> bool {
        match &self.busybox {
            Some((path, is_client)) if path == busybox => *is_client,
            Some(_) | None => has_applet(busybox),
        }
    }

    fn confinement(&self, dhclient: &Path) -> Confinement {
        match &self.dhclient {
            Some((path, confinement)) if path == dhclient => *confinement,
            Some(_) | None => confinement(dhclient),
        }
    }
}

/// An installed client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DhcpProgram {
    pub(super) kind: Kind,
    program: PathBuf,
    /// The name of udhcpc as an applet of a busybox that has no link of that name.
    applet: Option<&'static str>,
    confinement: Confinement,
}

impl DhcpProgram {
    /// Returns the client for a lease of `family`.
    ///
    /// # Errors
    /// No client is installed, or not the configured one, or that one does not support the family.
    pub(super) fn find(
        choice: DhcpClient,
        family: Family,
        dirs: &[PathBuf],
        known: &KnownPrograms,
    ) -> Result<Self, DhcpError> {
        if let Some(kind) = chosen(choice) {
            if !kind.speaks(family) {
                return Err(DhcpError::NoIpv6 { client: kind.name() });
            }
            return Self::installed(kind, dirs, known)
                .ok_or(DhcpError::NotInstalled { client: kind.name() });
        }
        let able = Kind::ALL.into_iter().filter(|kind| kind.speaks(family));
        able.into_iter()
            .find_map(|kind| Self::installed(kind, dirs, known))
            .ok_or(DhcpError::NoneInstalled { family })
    }

    /// Returns the client of a kind, if it is installed.
    pub(super) fn installed(kind: Kind, dirs: &[PathBuf], known: &KnownPrograms) -> Option<Self> {
        if let Some(program) = program_in(dirs, kind.name()) {
            let confinement = match kind {
                Kind::Dhclient => known.confinement(&program),
                Kind::Udhcpc | Kind::Dhcpcd => Confinement::None,
            };
            return Some(Self { kind, program, applet: None, confinement });
        }
        if kind != Kind::Udhcpc {
            return None;
        }
        let busybox = program_in(dirs, "busybox").filter(|busybox| known.has_applet(busybox))?;
        let applet = Some(Kind::Udhcpc.name());
        Some(Self { kind, program: busybox, applet, confinement: Confinement::None })
    }

    /// Returns the program that another program's client ran for a lease.
    pub(super) fn like(before: &ForeignClient, known: &KnownPrograms) -> Self {
        let program = PathBuf::from(OsString::from_vec(before.command.file.clone()));
        let name = program.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let applet = name.starts_with("busybox").then_some(Kind::Udhcpc.name());
        let confinement = match before.program {
            Kind::Dhclient => known.confinement(&program),
            Kind::Udhcpc | Kind::Dhcpcd => Confinement::None,
        };
        Self { kind: before.program, program, applet, confinement }
    }

    /// Checks that the client supports everything that a lease needs.
    pub(super) fn check(&self, lease: &Lease) -> Result<(), DhcpError> {
        // The kernel allows such a link name, but clients would parse it as an option.
        if lease.link.as_str().starts_with('-') {
            return Err(DhcpError::LinkName { link: lease.link });
        }
        match (self.confinement, lease.name_servers) {
            (Confinement::Profile, NameServers::Left) => {
                Err(DhcpError::Confined { client: self.kind.name() })
            }
            (Confinement::Profile, NameServers::Taken) | (Confinement::None, _) => Ok(()),
        }
    }

    /// Checks that the client leaves an address of the host alone, whatever the server leases. Only
    /// the daemon's own script ensures that.
    pub(super) fn check_beside(&self, own: Option<IpPrefix>) -> Result<(), DhcpError> {
        match (self.confinement, own) {
            (Confinement::Profile, Some(address)) => {
                Err(DhcpError::ConfinedBeside { client: self.kind.name(), address })
            }
            (Confinement::Profile, None) | (Confinement::None, _) => Ok(()),
        }
    }

    /// Returns the command that obtains and keeps a lease for as long as it runs.
    pub(super) fn command(
        &self,
        lease: &Lease,
        files: &Files,
        host: Option<&str>,
        heritage: Option<&Heritage>,
    ) -> Command {
        let inherited = heritage.map(|heritage| heritage::arguments(&heritage.before));
        let inherited = inherited.as_deref();
        let mut command = Command::new(&self.program);
        command.args(self.applet);
        match self.kind {
            Kind::Udhcpc => command.args(udhcpc_arguments(lease, files, host, inherited)),
            Kind::Dhcpcd => command.args(dhcpcd_arguments(lease, files)),
            Kind::Dhclient => match self.confinement {
                Confinement::None => command.args(dhclient_arguments(lease, files, inherited)),
                Confinement::Profile => command.args(confined_arguments(lease, inherited)),
            },
        }
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env(super::script::STATE_VARIABLE, &files.state)
        .env(super::script::PEER_DNS_VARIABLE, lease.name_servers.as_str());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Returns the capabilities that the client may have; `None` if its AppArmor profile decides, since
    /// it runs the host's own script.
    pub(super) fn capabilities(&self) -> Option<CapabilitySet> {
        match (self.confinement, self.kind) {
            (Confinement::Profile, _) => None,
            (Confinement::None, Kind::Dhcpcd) => Some(DHCPCD_CAPABILITIES),
            (Confinement::None, Kind::Udhcpc | Kind::Dhclient) => Some(CLIENT_CAPABILITIES),
        }
    }

    /// Returns the client's configuration file, if the client uses one of the daemon's.
    pub(super) fn configuration(
        &self,
        lease: &Lease,
        files: &Files,
        heritage: Option<&Heritage>,
    ) -> Option<String> {
        match self.kind {
            Kind::Udhcpc => None,
            Kind::Dhcpcd => Some(dhcpcd_configuration(lease, files, heritage)),
            Kind::Dhclient => Some(dhclient_configuration(lease, heritage)),
        }
    }

    /// Returns dhclient's initial lease file, if an address is wanted: dhclient then asks to keep
    /// that address (INIT-REBOOT), and requests any other if the server refuses. An address in its
    /// configuration would be sent in each request, and be refused each time.
    pub(super) fn leases(&self, lease: &Lease) -> Option<String> {
        let wanted = lease.wanted.filter(|wanted| wanted.family() == Family::Ipv4)?;
        (self.kind == Kind::Dhclient).then(|| dhclient_lease(lease.link, wanted))
    }

    /// Returns the path of dhclient's lease file.
    pub(super) fn lease_file(&self, lease: &Lease, files: &Files) -> PathBuf {
        match self.confinement {
            Confinement::None => files.leases.clone(),
            Confinement::Profile => confined_leases(lease),
        }
    }
}

/// The files that a client uses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Files {
    /// The script that the client runs for each event.
    pub(super) script: PathBuf,
    /// The prefix of the paths of the script's files.
    pub(super) state: PathBuf,
    pub(super) configuration: PathBuf,
    pub(super) leases: PathBuf,
}

impl Files {
    pub(super) fn new(dir: &Path, lease: &Lease) -> Self {
        Self {
            script: dir.join(super::script::NAME),
            state: state_of(dir, lease.link, lease.family),
            configuration: path_of(dir, lease, "conf"),
            leases: path_of(dir, lease, "leases"),
        }
    }
}

/// Makes `link` a symbolic link to the daemon's program, whose path may change with its package.
pub(super) fn link_script(program: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|there| there == program) {
        return Ok(());
    }
    let new = link.with_extension("new");
    let _ = fs::remove_file(&new);
    symlink(program, &new)?;
    fs::rename(&new, link)
}

/// Returns the folders to be searched: those of PATH, then the usual ones.
pub(super) fn search_dirs(path: Option<&OsStr>) -> Vec<PathBuf> {
    let own = path.map(std::env::split_paths).into_iter().flatten();
    let own = own.filter(|dir| dir.is_absolute());
    own.chain(USUAL_DIRS.map(PathBuf::from)).collect()
}

/// Returns the host's name as sent to servers, if it is valid in DNS.
pub(super) fn host_name() -> Option<String> {
    let name = sys::process::hostname().ok()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_own = !name.is_empty() && name != "localhost" && name.chars().all(is_name);
    is_own.then_some(name)
}

/// Returns the first program of this name.
fn program_in(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file() && is_executable(path))
}

/// Returns whether a busybox contains udhcpc. `--list` would say so, but would have to be waited
/// for. The file contains the names of the applets one after the other, each followed by a NUL.
fn has_applet(busybox: &Path) -> bool {
    let name = Kind::Udhcpc.name().as_bytes();
    let bytes = crate::io::files::read(busybox, crate::limits::BUSYBOX_LEN_MAX);
    bytes.is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|part| part == name))
}

/// Returns whether the kernel enforces a profile for a program. A profile's name may be a pattern,
/// such as Debian's `/{,usr/}sbin/dhclient`.
fn confinement(program: &Path) -> Confinement {
    let list = Path::new("/sys/kernel/security/apparmor/profiles");
    let profiles = crate::io::files::read_text(list, crate::limits::APPARMOR_PROFILES_LEN_MAX);
    match profiles {
        Ok(profiles) if is_enforced(&profiles, program) => Confinement::Profile,
        Ok(_) | Err(_) => Confinement::None,
    }
}

fn is_enforced(profiles: &str, program: &Path) -> bool {
    let name = program.file_name().and_then(OsStr::to_str).unwrap_or_default();
    profiles.lines().filter_map(|line| line.strip_suffix(" (enforce)")).any(|profile| {
        // Names of nested profiles contain "//".
        !profile.contains("//") && profile.rsplit('/').next() == Some(name)
    })
}

/// Returns udhcpc's arguments. It never gives up: it sends three requests, waits five seconds, and
/// repeats.
fn udhcpc_arguments(
    lease: &Lease,
    files: &Files,
    host: Option<&str>,
    inherited: Option<&[OsString]>,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["-f", "-t", "3", "-T", "3", "-A", "5"].map(OsString::from).into();
    arguments.extend(["-i".into(), lease.link.as_str().into()]);
    arguments.extend(["-s".into(), files.script.clone().into()]);
    // Classless routes (RFC 3442), and the domain search list.
    arguments.extend(["-O", "121", "-O", "119"].map(OsString::from));
    if let Some(wanted) = lease.wanted {
        arguments.extend(["-r".into(), wanted.address().to_string().into()]);
    }
    match (inherited, host) {
        (Some(inherited), _) => arguments.extend_from_slice(inherited),
        (None, Some(host)) => {
            arguments.extend(["-x".into(), format!("hostname:{host}").into()]);
        }
        (None, None) => {}
    }
    arguments
}

/// Returns dhcpcd's arguments. The address is used without probing for conflicts, which would take
/// five seconds; the other clients do not probe either.
fn dhcpcd_arguments(lease: &Lease, files: &Files) -> Vec<OsString> {
    let family = match lease.family {
        Family::Ipv4 => "-4",
        Family::Ipv6 => "-6",
    };
    let mut arguments: Vec<OsString> = ["-B", "-q", family].map(OsString::from).into();
    arguments.extend(["-f".into(), files.configuration.clone().into()]);
    arguments.push(lease.link.as_str().into());
    arguments
}

/// Returns dhcpcd's configuration. It disables dhcpcd's own configuration of links and name
/// servers, which the daemon's script does as for the other clients; a dhcpcd too old for that
/// setting makes the same changes as the script.
fn dhcpcd_configuration(lease: &Lease, files: &Files, heritage: Option<&Heritage>) -> String {
    let mut text = String::from(
        "# Written by virtinterfaced for each start.\n\
         persistent\nnodelay\ntimeout 0\nnoconfigure\n",
    );
    text.push_str(&format!("script {}\n", files.script.display()));
    text.push_str(&format!("env {}={}\n", super::script::STATE_VARIABLE, files.state.display()));
    let peer_dns = lease.name_servers.as_str();
    text.push_str(&format!("env {}={peer_dns}\n", super::script::PEER_DNS_VARIABLE));
    match (heritage, lease.family) {
        (Some(heritage), _) => text.push_str(&heritage.dhcpcd_lines()),
        (None, Family::Ipv4) => text.push_str("clientid\nhostname\n"),
        (None, Family::Ipv6) => text.push_str("duid ll\n"),
    }
    text.push_str(match lease.family {
        Family::Ipv4 => {
            "noarp\nnoipv4ll\nrequire dhcp_server_identifier\n\
             option domain_name_servers, domain_name, domain_search, classless_static_routes\n"
        }
        // The kernel handles router advertisements.
        Family::Ipv6 => "noipv6rs\nia_na\noption domain_name_servers, domain_search\n",
    });
    if let (Family::Ipv4, Some(wanted)) = (lease.family, lease.wanted) {
        text.push_str(&format!("request {}\n", wanted.address()));
    }
    text
}

fn dhclient_arguments(
    lease: &Lease,
    files: &Files,
    inherited: Option<&[OsString]>,
) -> Vec<OsString> {
    let mut arguments = dhclient_common(lease);
    arguments.extend_from_slice(inherited.unwrap_or_default());
    arguments.extend(["-lf".into(), files.leases.clone().into()]);
    arguments.extend(["-cf".into(), files.configuration.clone().into()]);
    arguments.extend(["-sf".into(), files.script.clone().into()]);
    for (name, value) in [
        (super::script::STATE_VARIABLE, files.state.as_os_str()),
        (super::script::PEER_DNS_VARIABLE, OsStr::new(lease.name_servers.as_str())),
    ] {
        // The script gets the environment that dhclient passes to it, not dhclient's own.
        let mut pair = OsString::from(name);
        pair.push("=");
        pair.push(value);
        arguments.extend(["-e".into(), pair]);
    }
    arguments.push(lease.link.as_str().into());
    arguments
}

/// Returns arguments with the host's script and configuration, and a lease file at a path that the
/// profile allows.
fn confined_arguments(lease: &Lease, inherited: Option<&[OsString]>) -> Vec<OsString> {
    let mut arguments = dhclient_common(lease);
    arguments.extend_from_slice(inherited.unwrap_or_default());
    arguments.extend(["-lf".into(), confined_leases(lease).into()]);
    arguments.push(lease.link.as_str().into());
    arguments
}

fn confined_leases(lease: &Lease) -> PathBuf {
    let (link, family) = (lease.link, lease.family.as_str());
    PathBuf::from(format!("/run/dhclient-{link}.{family}.leases"))
}

fn dhclient_common(lease: &Lease) -> Vec<OsString> {
    let family: &[&str] = match lease.family {
        Family::Ipv4 => &["-4"],
        // A client identifier made of the hardware address, as for IPv4, instead of a number
        // generated at each boot.
        Family::Ipv6 => &["-6", "-D", "LL"],
    };
    ["-d", "-q", "--no-pid"].iter().chain(family).map(OsString::from).collect()
}

fn dhclient_configuration(lease: &Lease, heritage: Option<&Heritage>) -> String {
    let mut text = String::from(
        "# Written by virtinterfaced for each start.\n\
         timeout 30;\nretry 5;\nreboot 3;\ninitial-interval 2;\nbackoff-cutoff 8;\n",
    );
    if let Some(heritage) = heritage {
        // The inherited configuration has everything that identifies the client, and the lease file
        // has the address.
        text.push_str(&heritage.dhclient_configuration(lease.link));
        return text;
    }
    match lease.family {
        Family::Ipv4 => text.push_str(
            "option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;\n\
             send host-name = gethostname();\n\
             send dhcp-client-identifier = hardware;\n\
             request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers,\n\
             \x20   domain-search, rfc3442-classless-static-routes;\n\
             require subnet-mask;\n",
        ),
        Family::Ipv6 => {
            text.push_str("request dhcp6.name-servers, dhcp6.domain-search;\n");
        }
    }
    text
}

/// Formats a lease of an earlier client as dhclient writes it; dhclient has yet to confirm it.
fn dhclient_lease(link: IfName, wanted: IpPrefix) -> String {
    let mask = IpPrefix::new(IpAddr::from([255; 4]), wanted.prefix_len());
    let mask = mask.map_or(wanted.address(), |mask| mask.network());
    format!(
        "lease {{\n  interface \"{link}\";\n  fixed-address {};\n  option subnet-mask {mask};\n  \
         renew never;\n  rebind never;\n  expire never;\n}}\n",
        wanted.address()
    )
}

#[cfg(test)]
mod tests;
