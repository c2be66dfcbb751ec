// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the environment says, read once, and where everything is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::io::{activation, hooks};
use crate::model::client::Privilege;

/// Where a host keeps its configuration, what runs, and its logs. The Makefile says so when it was
/// told of others; clients and init systems expect these.
const SYSCONFDIR: &str = built_for(option_env!("VIRTINTERFACED_SYSCONFDIR"), "/etc");
const RUNSTATEDIR: &str = built_for(option_env!("VIRTINTERFACED_RUNSTATEDIR"), "/run");
const LOCALSTATEDIR: &str = built_for(option_env!("VIRTINTERFACED_LOCALSTATEDIR"), "/var");

const fn built_for(dir: Option<&'static str>, usual: &'static str) -> &'static str {
    match dir {
        Some(dir) => dir,
        None => usual,
    }
}

/// The variables that matter to the daemon. One that is empty counts as not set.
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
    /// What a supervisor says of the sockets that it passes.
    pub(super) activation: activation::Variables,
    /// Where a supervisor wants to be told how the daemon is.
    pub(super) notify_socket: Option<OsString>,
    pub(super) passed_on: Vec<(OsString, OsString)>,
    /// Where programs are looked for.
    pub(super) path: Option<OsString>,
    /// The file that this program is.
    pub(super) program: PathBuf,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "here the environment is read, once")]
    pub(super) fn read() -> Self {
        let raw = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| raw(name).and_then(|value| value.into_string().ok());
        // The XDG rules: a path that is not absolute counts as not set.
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
            // Without /proc nobody knows; what needs it says so then.
            program: std::env::current_exe().unwrap_or_default(),
            passed_on: hooks::PASSED_ON.iter().filter_map(pair).collect(),
        }
    }
}

/// Where everything is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Paths {
    pub(super) config: PathBuf,
    pub(super) client_config: PathBuf,
    /// What is defined: a file for each interface.
    pub(super) definition_dir: PathBuf,
    /// What an open change goes back to: it outlives a boot.
    pub(super) transaction_dir: PathBuf,
    pub(super) run_dir: PathBuf,
    /// Where the driver keeps what must not outlive a boot.
    pub(super) driver_dir: PathBuf,
    pub(super) pid_file: PathBuf,
    /// Where log lines go if nothing says otherwise and nobody sees standard error.
    pub(super) log_file: PathBuf,
    pub(super) hook_dir: PathBuf,
}

impl Paths {
    /// Nothing if a session's user has no home, and not all directories that stand for it.
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

    /// Held by the daemon that serves this host's interfaces, whatever its pid file is. libvirtd's
    /// interface driver has the folder in common with us, and locks `driver.pid` there.
    pub(super) fn driver_lock(&self) -> PathBuf {
        self.driver_dir.join("virtinterfaced.pid")
    }

    /// Held by the process that stands by for an open change.
    pub(super) fn standby_lock(&self) -> PathBuf {
        self.driver_dir.join("deadline.pid")
    }
}
