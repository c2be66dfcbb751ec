// SPDX-License-Identifier: LGPL-2.1-or-later
//! The environment variables, read once, and the paths of all files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::io::{activation, hooks};
use crate::model::client::Privilege;

/// The host's directories for configuration, run-time state and logs. The Makefile sets the
/// variables if it was given other directories; clients and init systems expect the defaults.
const SYSCONFDIR: &str = built_for(option_env!("VIRTINTERFACED_SYSCONFDIR"), "/etc");
const RUNSTATEDIR: &str = built_for(option_env!("VIRTINTERFACED_RUNSTATEDIR"), "/run");
const LOCALSTATEDIR: &str = built_for(option_env!("VIRTINTERFACED_LOCALSTATEDIR"), "/var");

const fn built_for(dir: Option<&'static str>, usual: &'static str) -> &'static str {
    match dir {
        Some(dir) => dir,
        None => usual,
    }
}

/// The variables that matter to the daemon. Empty ones count as unset.
#[derive(Debug)]
pub(super) struct Environment {
    home: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    config_home: Option<PathBuf>,
    cache_home: Option<PathBuf>,
    state_home: Option<PathBuf>,
    pub(super) default_uri: Option<String>,
    /// LIBVIRT_DEBUG, LIBVIRT_LOG_FILTERS and LIBVIRT_LOG_OUTPUTS.
    pub(super) log_level: Option<OsString>,
    pub(super) log_filters: Option<OsString>,
    pub(super) log_outputs: Option<OsString>,
    /// The supervisor's description of the sockets that it passes.
    pub(super) activation: activation::Variables,
    /// The socket on which a supervisor expects the daemon's state (sd_notify(3)).
    pub(super) notify_socket: Option<OsString>,
    pub(super) passed_on: Vec<(OsString, OsString)>,
    /// The search path of programs.
    pub(super) path: Option<OsString>,
    /// The path of this program's file.
    pub(super) program: PathBuf,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "here the environment is read, once")]
    pub(super) fn read() -> Self {
        let raw = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| raw(name).and_then(|value| value.into_string().ok());
        // The XDG rules: a path that is not absolute counts as unset.
        let path = |name: &str| raw(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let pair = |name: &&str| Some((OsString::from(name), raw(name)?));
        Self {
            home: path("HOME"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            config_home: path("XDG_CONFIG_HOME"),
            cache_home: path("XDG_CACHE_HOME"),
            state_home: path("XDG_STATE_HOME"),
            default_uri: text("LIBVIRT_DEFAULT_URI"),
            log_level: raw("LIBVIRT_DEBUG"),
            log_filters: raw("LIBVIRT_LOG_FILTERS"),
            log_outputs: raw("LIBVIRT_LOG_OUTPUTS"),
            activation: activation::Variables {
                pid: text("LISTEN_PID"),
                fds: text("LISTEN_FDS"),
                names: text("LISTEN_FDNAMES"),
            },
            notify_socket: raw("NOTIFY_SOCKET"),
            path: raw("PATH"),
            // Unknown without /proc; the code that needs it reports that.
            program: std::env::current_exe().unwrap_or_default(),
            passed_on: hooks::PASSED_ON.iter().filter_map(pair).collect(),
        }
    }
}

/// The paths of all files and directories.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Paths {
    pub(super) config: PathBuf,
    pub(super) client_config: PathBuf,
    /// The definitions: one file for each interface.
    pub(super) definition_dir: PathBuf,
    /// The files of an open transaction, which persist across a boot.
    pub(super) transaction_dir: PathBuf,
    pub(super) run_dir: PathBuf,
    /// The driver's files that must not persist across a boot.
    pub(super) driver_dir: PathBuf,
    pub(super) pid_file: PathBuf,
    /// The log file of a daemon without a configured output and without a visible standard error.
    pub(super) log_file: PathBuf,
    pub(super) hook_dir: PathBuf,
}

impl Paths {
    /// Returns `None` if the user of a session daemon has no home directory, and the variables do
    /// not name all directories that replace it.
    pub(super) fn new(privilege: Privilege, environment: &Environment) -> Option<Self> {
        let (config_dir, run_dir, driver_dir, pid_dir, log_dir) = match privilege {
            Privilege::System => {
                let config_dir = Path::new(SYSCONFDIR).join("libvirt");
                let run_dir = Path::new(RUNSTATEDIR).join("libvirt");
                let driver_dir = run_dir.join("interface");
                let log_dir = Path::new(LOCALSTATEDIR).join("log/libvirt");
                (config_dir, run_dir, driver_dir, PathBuf::from(RUNSTATEDIR), log_dir)
            }
            Privilege::Session => {
                let below_home = |dir: &str| environment.home.as_ref().map(|home| home.join(dir));
                let config = environment.config_home.clone().or_else(|| below_home(".config"))?;
                let cache = environment.cache_home.clone().or_else(|| below_home(".cache"));
                let run_dir = environment.runtime_dir.as_ref().or(cache.as_ref())?.join("libvirt");
                let log_dir = cache.map_or_else(|| run_dir.clone(), |dir| dir.join("libvirt"));
                let driver_dir = run_dir.join("interface/run");
                (config.join("libvirt"), run_dir.clone(), driver_dir, run_dir, log_dir)
            }
        };
        let transaction_dir = match privilege {
            Privilege::System => Path::new(LOCALSTATEDIR).join("lib/libvirt/interface/change"),
            Privilege::Session => {
                let below_home = || environment.home.as_ref().map(|home| home.join(".local/state"));
                let state = environment.state_home.clone().or_else(below_home);
                let state = state.map_or_else(|| config_dir.clone(), |dir| dir.join("libvirt"));
                state.join("interface/change")
            }
        };
        Some(Self {
            transaction_dir,
            config: config_dir.join("virtinterfaced.conf"),
            client_config: config_dir.join("libvirt.conf"),
            definition_dir: config_dir.join("interface"),
            pid_file: pid_dir.join("virtinterfaced.pid"),
            log_file: log_dir.join("virtinterfaced.log"),
            hook_dir: Path::new(SYSCONFDIR).join("libvirt/hooks"),
            run_dir,
            driver_dir,
        })
    }

    /// Returns the lock of the daemon that serves this host's interfaces, whichever pid file it
    /// uses. libvirtd's interface driver shares the folder, and locks `driver.pid` there.
    pub(super) fn driver_lock(&self) -> PathBuf {
        self.driver_dir.join("virtinterfaced.pid")
    }

    /// Returns the lock of the standby process, which rolls back an open transaction at its
    /// deadline.
    pub(super) fn standby_lock(&self) -> PathBuf {
        self.driver_dir.join("deadline.pid")
    }
}
