// SPDX-License-Identifier: LGPL-2.1-or-later
//! virtinterfaced.conf as a file: read and checked as a whole, both at the start and at each
//! reload.
//!
//! Settings are also checked against the host: whether the group exists, and whether the kernel
//! supports auditing. Either all settings can be applied, or the file is refused.

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

/// The configuration file, and how it is read.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    pub presence: FilePresence,
    pub privilege: Privilege,
}

/// Whether the file must exist.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FilePresence {
    /// The file was named explicitly.
    Required,
    /// The file has its default path; without it the default settings apply.
    Optional,
}

/// The file's settings, and the facts about the host that belong to them.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub settings: Settings,
    /// The group of the sockets; `None` keeps the daemon's own.
    pub socket_group: Option<libc::gid_t>,
    /// One line each, beginning with the file's path, about settings that are ignored or have no
    /// effect.
    pub warnings: Vec<String>,
}

/// The reason why a file is refused.
#[derive(Debug)]
pub struct ConfigFileError {
    cause: ConfigFileCause,
    path: PathBuf,
}

#[derive(Debug)]
enum ConfigFileCause {
    Read(HostError),
    Text(ConfigError),
    Unavailable(Unavailable),
    /// There is no such group, or the group file cannot be read.
    Group(String),
    /// Other users can replace sockets there.
    SocketDir(FolderError),
    HostUuid(HostUuidError),
    /// The kernel has no audit system, or refuses to say.
    Audit(Option<HostError>),
}

impl ConfigFile {
    /// Reads and checks the file.
    pub fn load(&self) -> Result<Configuration, ConfigFileError> {
        let refuse = |cause| ConfigFileError { cause, path: self.path.clone() };
        let text = self.read().map_err(|err| refuse(ConfigFileCause::Read(err)))?;
        let (settings, ignored) = Settings::parse(&text, self.privilege)
            .map_err(|err| refuse(ConfigFileCause::Text(err)))?;
        if let Some(unavailable) = settings.unavailable() {
            return Err(refuse(ConfigFileCause::Unavailable(unavailable)));
        }
        let socket_group = match &settings.sockets.group {
            None => None,
            Some(name) => {
                Some(find_group(name).map_err(|err| refuse(ConfigFileCause::Group(err)))?)
            }
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
            FilePresence::Required => files::read_text(&self.path, CONFIG_LEN_MAX),
            FilePresence::Optional => {
                files::read_text_if_any(&self.path, CONFIG_LEN_MAX).map(Option::unwrap_or_default)
            }
        }
    }
}

/// Checks that the host has everything that the settings require.
fn check_host(settings: &Settings) -> Result<(), ConfigFileCause> {
    match settings.sockets.dir.as_deref().map(folders::resolve_private) {
        Some(Err(shared @ FolderError::Shared(_))) => {
            return Err(ConfigFileCause::SocketDir(shared));
        }
        // With a supervisor's sockets the folder is not needed; the daemon's own sockets report its
        // fault.
        Some(Ok(_) | Err(FolderError::Host(_))) | None => {}
    }
    // A UUID in the file takes precedence over all sources.
    if settings.host.uuid.is_none() {
        host_uuid::check(settings.host.uuid_source).map_err(ConfigFileCause::HostUuid)?;
    }
    if settings.audit.level != AuditLevel::Required {
        return Ok(());
    }
    match netlink::has_audit() {
        Ok(true) => Ok(()),
        Ok(false) => Err(ConfigFileCause::Audit(None)),
        Err(err) => {
            Err(ConfigFileCause::Audit(Some(HostError::new("open", "an audit socket", &err))))
        }
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
    /// Returns the exit status of libvirt's daemons for this error.
    pub(crate) fn exit_status(&self) -> u8 {
        const SOCKETS: u8 = 6;
        const AUDIT: u8 = 10;
        const OTHER: u8 = 1;
        match &self.cause {
            ConfigFileCause::Text(err) => err.exit_status(),
            ConfigFileCause::Group(_) | ConfigFileCause::SocketDir(_) => SOCKETS,
            ConfigFileCause::Audit(_) => AUDIT,
            ConfigFileCause::Read(_)
            | ConfigFileCause::Unavailable(_)
            | ConfigFileCause::HostUuid(_) => OTHER,
        }
    }
}

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            ConfigFileCause::Read(err) => err.fmt(f),
            ConfigFileCause::Text(err) => write!(f, "{path}:{err}"),
            ConfigFileCause::Unavailable(err) => write!(f, "{path}: {err}"),
            ConfigFileCause::Group(problem) => write!(f, "{path}: unix_sock_group: {problem}"),
            ConfigFileCause::SocketDir(err) => write!(f, "{path}: unix_sock_dir: {err}"),
            ConfigFileCause::HostUuid(err) => write!(f, "{path}: host_uuid_source: {err}"),
            ConfigFileCause::Audit(None) => {
                write!(f, "{path}: audit_level is 2, and this kernel has no audit system")
            }
            ConfigFileCause::Audit(Some(err)) => write!(f, "{path}: audit_level is 2: {err}"),
        }
    }
}

impl std::error::Error for ConfigFileError {}
