// SPDX-License-Identifier: LGPL-2.1-or-later
//! virtinterfaced.conf as a file: read and checked whole, at the start and at each reload alike.
//!
//! What it says is also held against the host here: whether the group exists, whether the kernel
//! has what is required. Either all of it can be acted on, or it is refused and nothing is.

use std::fmt;
use std::path::PathBuf;

use crate::config::choice::AuditLevel;
use crate::config::settings::Unavailable;
use crate::config::{ConfigError, Settings};
use crate::error::HostError;
use crate::io::folders::{self, FolderError};
use crate::io::host_uuid::{self, HostUuidError};
use crate::io::{accounts, files};
use crate::limits::CONFIG_LEN_MAX;
use crate::model::client::Privilege;
use crate::sys::netlink;

/// The file, and what it is read for.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    pub presence: Presence,
    pub privilege: Privilege,
}

/// Whether there must be a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// Somebody named it.
    Required,
    /// It is where the file usually is; without it the defaults hold.
    Optional,
}

/// What the file says, and what was found out on the host to go with it.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub settings: Settings,
    /// The group of the sockets; `None` keeps the daemon's own.
    pub socket_group: Option<libc::gid_t>,
    /// What is ignored, or has no effect. One line each, which begins with the file's path.
    pub warnings: Vec<String>,
}

/// Why a file is refused.
#[derive(Debug)]
pub struct ConfigFileError {
    cause: Cause,
    path: PathBuf,
}

#[derive(Debug)]
enum Cause {
    Read(HostError),
    Text(ConfigError),
    Unavailable(Unavailable),
    /// No such group, or nobody can tell.
    Group(String),
    /// Other users can exchange sockets there.
    SocketDir(FolderError),
    HostUuid(HostUuidError),
    /// The kernel has none, or does not tell.
    Audit(Option<HostError>),
}

impl ConfigFile {
    /// Reads and checks it.
    pub fn load(&self) -> Result<Configuration, ConfigFileError> {
        let refuse = |cause| ConfigFileError { cause, path: self.path.clone() };
        let text = self.read().map_err(|err| refuse(Cause::Read(err)))?;
        let (settings, ignored) =
            Settings::parse(&text, self.privilege).map_err(|err| refuse(Cause::Text(err)))?;
        if let Some(unavailable) = settings.unavailable() {
            return Err(refuse(Cause::Unavailable(unavailable)));
        }
        let socket_group = match &settings.sockets.group {
            None => None,
            Some(name) => Some(find_group(name).map_err(|err| refuse(Cause::Group(err)))?),
        };
        check_host(&settings).map_err(refuse)?;
        let path = self.path.display();
        let without_effect = settings.without_effect();
        let warnings = without_effect
            .iter()
            .map(|key| format!("{path}: {key} has no effect in this release"))
            .chain(ignored.iter().map(|warning| format!("{path}:{warning}")))
            .collect();
        Ok(Configuration { settings, socket_group, warnings })
    }

    fn read(&self) -> Result<String, HostError> {
        match self.presence {
            Presence::Required => files::read_text(&self.path, CONFIG_LEN_MAX),
            Presence::Optional => {
                files::read_text_if_any(&self.path, CONFIG_LEN_MAX).map(Option::unwrap_or_default)
            }
        }
    }
}

/// Whether the host has what the file says that it has.
fn check_host(settings: &Settings) -> Result<(), Cause> {
    match settings.sockets.dir.as_deref().map(folders::resolve_private) {
        Some(Err(shared @ FolderError::Shared(_))) => return Err(Cause::SocketDir(shared)),
        // A supervisor's sockets need no folder of ours; the daemon's own say what is wrong with it.
        Some(Ok(_) | Err(FolderError::Host(_))) | None => {}
    }
    // A UUID of the file's own goes before all sources.
    if settings.host.uuid.is_none() {
        host_uuid::check(settings.host.uuid_source).map_err(Cause::HostUuid)?;
    }
    if settings.audit.level != AuditLevel::Required {
        return Ok(());
    }
    match netlink::has_audit() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Cause::Audit(None)),
        Err(err) => Err(Cause::Audit(Some(HostError::new("open", "an audit socket", &err)))),
    }
}

fn find_group(name: &str) -> Result<libc::gid_t, String> {
    match accounts::group_id(name) {
        Ok(Some(gid)) => Ok(gid),
        Ok(None) => Err(format!("no such group: '{name}'")),
        Err(err) => Err(err.to_string()),
    }
}

impl ConfigFileError {
    /// The status with which libvirt's daemons exit for it.
    pub(crate) fn exit_status(&self) -> u8 {
        const SOCKETS: u8 = 6;
        const AUDIT: u8 = 10;
        const OTHER: u8 = 1;
        match &self.cause {
            Cause::Text(err) => err.exit_status(),
            Cause::Group(_) | Cause::SocketDir(_) => SOCKETS,
            Cause::Audit(_) => AUDIT,
            Cause::Read(_) | Cause::Unavailable(_) | Cause::HostUuid(_) => OTHER,
        }
    }
}

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            Cause::Read(err) => err.fmt(f),
            Cause::Text(err) => write!(f, "{path}:{err}"),
            Cause::Unavailable(err) => write!(f, "{path}: {err}"),
            Cause::Group(problem) => write!(f, "{path}: unix_sock_group: {problem}"),
            Cause::SocketDir(err) => write!(f, "{path}: unix_sock_dir: {err}"),
            Cause::HostUuid(err) => write!(f, "{path}: host_uuid_source: {err}"),
            Cause::Audit(None) => {
                write!(f, "{path}: audit_level is 2, and this kernel has no audit system")
            }
            Cause::Audit(Some(err)) => write!(f, "{path}: audit_level is 2: {err}"),
        }
    }
}

impl std::error::Error for ConfigFileError {}
