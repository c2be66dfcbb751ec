// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Settings`]: the settings of virtinterfaced.conf, typed and grouped by their users.
//!
//! Does not know the file's syntax nor its keys. The daemon can act on every value, except for
//! those that [`Settings::unavailable`] names.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::choice::{
    AccessDriver, AuditLevel, AuthScheme, BackendChoice, DhcpClient, Named, UuidSource,
};
use crate::config::logging_spec::{LogFilter, LogLevel, LogOutput};
use crate::config::uuid::Uuid;
use crate::model::client::{Endpoint, Privilege};
use crate::model::server::ServerName;
use crate::rpc::keepalive;

/// All of virtinterfaced.conf.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    pub sockets: Sockets,
    pub auth: Auth,
    /// Limits of the server behind the read-write and the read-only socket.
    pub main: ServerLimits,
    /// Limits of the server behind the admin socket.
    pub admin: ServerLimits,
    pub logging: Logging,
    pub audit: Audit,
    pub host: HostIdentity,
    pub changes: InterfaceSettings,
    /// How long to wait for Open vSwitch, which this daemon never does. Exists only for its key.
    pub ovs_timeout: Duration,
}

/// The sockets of clients. Has no effect on sockets that a supervisor passes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sockets {
    /// The owning group's name or number; `None` keeps the daemon's own.
    pub group: Option<String>,
    /// An absolute path; `None` means the run directory.
    pub dir: Option<PathBuf>,
    pub ro_mode: SocketMode,
    pub rw_mode: SocketMode,
    pub admin_mode: SocketMode,
}

/// Permission bits of a socket, at most 0777.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct SocketMode {
    bits: u32,
}

impl SocketMode {
    /// 0777: every user of the host may connect.
    pub(crate) const EVERYONE: Self = Self { bits: 0o777 };
    /// 0700: only the daemon's own user may.
    pub(crate) const OWNER: Self = Self { bits: 0o700 };

    /// Reads octal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let bits = u32::from_str_radix(text, 8).ok().filter(|_| is_octal)?;
        (bits <= 0o777).then_some(Self { bits })
    }

    /// The bits as `chmod` takes them.
    pub const fn bits(self) -> u32 {
        self.bits
    }
}

impl fmt::Debug for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketMode({:04o})", self.bits)
    }
}

/// Authentication and access control.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Auth {
    pub ro_scheme: AuthScheme,
    pub rw_scheme: AuthScheme,
    /// All of them must agree to a call; with none, no driver is asked.
    pub access_drivers: Vec<AccessDriver>,
    /// Globs over SASL user names: `None` accepts all of them, an empty list none.
    pub sasl_users: Option<Vec<String>>,
}

/// The limits of one server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerLimits {
    /// Clients connected at a time.
    pub client_count_max: u32,
    /// Clients that may wait to be accepted: the backlog.
    pub queued_count_max: u32,
    /// Clients that may be connected without having authenticated; 0 sets no limit.
    pub anonymous_count_max: u32,
    /// Calls that one client may have unanswered.
    pub call_count_max: u32,
    pub workers: Workers,
    pub keepalive: keepalive::Policy,
}

/// Threads that libvirt's own daemon would run. Ours only reports them to virt-admin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Workers {
    /// At most `count_max`.
    pub count_min: u32,
    pub count_max: u32,
    /// Threads for calls that end at once.
    pub priority_count: u32,
}

/// The log's settings in the file, which the environment and the command line override.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Logging {
    pub level: LogLevel,
    pub filters: Vec<LogFilter>,
    /// Empty means the default output, which depends on how the daemon was started.
    pub outputs: Vec<LogOutput>,
}

/// The kernel's audit system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Audit {
    pub level: AuditLevel,
    /// Whether audit records are logged too.
    pub is_logged: bool,
}

/// The identity of the host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostIdentity {
    /// Overrides `uuid_source`.
    pub uuid: Option<Uuid>,
    pub uuid_source: UuidSource,
}

/// Changes of the host's interfaces. These settings are ours, not libvirt's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterfaceSettings {
    pub backend: BackendChoice,
    pub dhcp_client: DhcpClient,
    /// How long a create waits for a lease; never zero.
    pub dhcp_timeout: Duration,
    /// The time after which an open change is rolled back; `None` leaves it open.
    pub change_timeout: Option<Duration>,
}

/// A valid setting that this release does not support.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unavailable {
    pub key: &'static str,
    pub value: &'static str,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} is not available in this release", self.key, self.value)
    }
}

impl std::error::Error for Unavailable {}

impl Settings {
    /// The settings of an empty file.
    pub fn defaults(privilege: Privilege) -> Self {
        let scheme = default_scheme(privilege);
        let keepalive = keepalive::Policy { interval: Some(Duration::from_secs(5)), count: 5 };
        Self {
            sockets: Sockets {
                group: None,
                dir: None,
                ro_mode: SocketMode::EVERYONE,
                rw_mode: default_rw_mode(scheme),
                admin_mode: SocketMode::OWNER,
            },
            auth: Auth {
                ro_scheme: scheme,
                rw_scheme: scheme,
                access_drivers: Vec::new(),
                sasl_users: None,
            },
            main: ServerLimits {
                client_count_max: 5_000,
                queued_count_max: 1_000,
                anonymous_count_max: 20,
                call_count_max: 5,
                workers: Workers { count_min: 5, count_max: 20, priority_count: 5 },
                keepalive,
            },
            admin: ServerLimits {
                client_count_max: 5_000,
                queued_count_max: 20,
                // The admin server has neither key: it knows each client by its uid at once.
                anonymous_count_max: 0,
                call_count_max: 5,
                workers: Workers { count_min: 5, count_max: 20, priority_count: 0 },
                keepalive,
            },
            logging: Logging { level: LogLevel::Warning, filters: Vec::new(), outputs: Vec::new() },
            audit: Audit { level: AuditLevel::IfPossible, is_logged: false },
            host: HostIdentity { uuid: None, uuid_source: UuidSource::Smbios },
            changes: InterfaceSettings {
                backend: BackendChoice::Auto,
                dhcp_client: DhcpClient::Auto,
                dhcp_timeout: Duration::from_secs(30),
                change_timeout: None,
            },
            ovs_timeout: Duration::from_secs(5),
        }
    }

    /// The permissions of the socket `endpoint`.
    pub fn mode(&self, endpoint: Endpoint) -> SocketMode {
        match endpoint {
            Endpoint::ReadWrite => self.sockets.rw_mode,
            Endpoint::ReadOnly => self.sockets.ro_mode,
            Endpoint::Admin => self.sockets.admin_mode,
        }
    }

    /// The number of clients that may wait to be accepted at `endpoint`.
    pub(crate) fn backlog(&self, endpoint: Endpoint) -> u32 {
        match ServerName::behind(endpoint) {
            ServerName::Main => self.main.queued_count_max,
            ServerName::Admin => self.admin.queued_count_max,
        }
    }

    /// The first setting whose function this release lacks. A start in spite of it would leave a
    /// host open that was meant to be guarded.
    pub(crate) fn unavailable(&self) -> Option<Unavailable> {
        let schemes =
            [("auth_unix_ro", self.auth.ro_scheme), ("auth_unix_rw", self.auth.rw_scheme)];
        for (key, scheme) in schemes {
            if scheme != AuthScheme::None {
                return Some(Unavailable { key, value: scheme.name() });
            }
        }
        let driver =
            self.auth.access_drivers.iter().find(|driver| **driver != AccessDriver::None)?;
        Some(Unavailable { key: "access_drivers", value: driver.name() })
    }

    /// The keys with a value other than the default whose function this release lacks. A start
    /// without them does no harm, but the administrator should know.
    pub(crate) fn without_effect(&self) -> Vec<&'static str> {
        let is_foreign = self.changes.backend == BackendChoice::Netifrc;
        is_foreign.then_some("interface_backend").into_iter().collect()
    }

    /// The keys that differ in `new` and apply only at a start: the sockets' places, and checks
    /// that the start has done.
    pub(crate) fn fixed_at_start(old: &Self, new: &Self) -> Vec<&'static str> {
        let keys = [
            ("unix_sock_dir", old.sockets.dir != new.sockets.dir),
            ("interface_backend", old.changes.backend != new.changes.backend),
            ("audit_level", old.audit.level != new.audit.level),
            ("audit_logging", old.audit.is_logged != new.audit.is_logged),
            ("host_uuid", old.host.uuid != new.host.uuid),
            ("host_uuid_source", old.host.uuid_source != new.host.uuid_source),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// libvirt uses polkit if root's daemon was built with it. This one never does.
const fn default_scheme(privilege: Privilege) -> AuthScheme {
    match privilege {
        Privilege::System | Privilege::Session => AuthScheme::None,
    }
}

/// The mode of the read-write socket unless the file sets one: if clients authenticate, all users
/// may connect.
pub(crate) const fn default_rw_mode(scheme: AuthScheme) -> SocketMode {
    match scheme {
        AuthScheme::None => SocketMode::OWNER,
        AuthScheme::Sasl | AuthScheme::Polkit => SocketMode::EVERYONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_at_most_0777() {
        let cases = [
            ("none", "0", Some(0)),
            ("largest", "0777", Some(0o777)),
            ("one past it", "01000", None),
            ("no leading zero", "660", Some(0o660)),
            ("many leading zeros", "00000000000000000660", Some(0o660)),
            ("empty", "", None),
            ("decimal digit", "0780", None),
            ("signed", "+660", None),
            ("negative", "-660", None),
            ("blank", " 660", None),
            ("C prefix", "0o660", None),
            ("over 32 bits", "77777777777777777777", None),
        ];
        for (label, input, want) in cases {
            assert_eq!(SocketMode::parse(input).map(SocketMode::bits), want, "{label}");
        }
    }

    #[test]
    fn nobody_but_root_may_write_by_default() {
        for privilege in [Privilege::System, Privilege::Session] {
            let settings = Settings::defaults(privilege);
            assert_eq!(settings.sockets.rw_mode, SocketMode::OWNER);
            assert_eq!(settings.sockets.admin_mode, SocketMode::OWNER);
            assert_eq!(settings.unavailable(), None);
        }
    }
}
