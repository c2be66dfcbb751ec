// SPDX-License-Identifier: LGPL-2.1-or-later
//! The order of start and stop.
//!
//! Each step of the start either succeeds or ends it with one line that says what to do, and with
//! the exit status that libvirt's daemons have for that step. Whatever was made is removed again,
//! by the values that own it.

use std::ffi::OsString;
use std::fmt;
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use log::{error, info, warn};

use crate::cli::{self, Invocation, Run};
use crate::config::Settings;
use crate::config::logging_spec::LogLevel;
use crate::config::settings::SocketMode;
use crate::error::HostError;
use crate::io::kernel::Kernel;
use crate::io::listener::{Listener, ListenerSpec};
use crate::io::pid_file::PidFile;
use crate::io::{files, groups};
use crate::limits::CONFIG_LEN_MAX;
use crate::logging;
use crate::model::client::{Entrance, Privilege};
use crate::server::{Facts, Server, ServerParts};
use crate::sys::{process, signal::Signals};

/// libvirt's exit statuses (`virDaemonErr`), as far as this daemon has a use for them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Exit {
    /// Usage, configuration, pid file.
    Failure = 1,
    RunDir = 2,
    Signals = 4,
    Sockets = 6,
    Driver = 11,
}

/// Why the daemon did not start, or ended early.
struct StartError {
    exit: u8,
    message: String,
}

impl StartError {
    fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit: exit as u8, message: message.to_string() }
    }
}

/// Where everything is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Paths {
    config: PathBuf,
    client_config: PathBuf,
    run_dir: PathBuf,
    pid_file: PathBuf,
}

/// What the environment says, read once.
#[derive(Clone, Debug, Default)]
struct Environment {
    home: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    config_home: Option<PathBuf>,
    cache_home: Option<PathBuf>,
    debug: Option<String>,
    default_uri: Option<String>,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "here the environment is read, once")]
    fn read() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        // The XDG rules: a path that is not absolute counts as not set.
        let path = |name| text(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            home: path("HOME"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            config_home: path("XDG_CONFIG_HOME"),
            cache_home: path("XDG_CACHE_HOME"),
            debug: text("LIBVIRT_DEBUG"),
            default_uri: text("LIBVIRT_DEFAULT_URI"),
        }
    }
}

/// Runs the daemon from its arguments to its exit status.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let environment = Environment::read();
    let privilege = match process::effective_uid() {
        0 => Privilege::System,
        _ => Privilege::Session,
    };
    let result = match cli::parse(arguments) {
        Ok(Invocation::Version) => return say(&mut io::stdout(), cli::VERSION_TEXT),
        Ok(Invocation::Help) => {
            let paths = Paths::new(privilege, &environment);
            return say(&mut io::stderr(), &help(paths.as_ref()));
        }
        Ok(Invocation::Run(run)) => start(&run, privilege, &environment),
        Err(err) => {
            let message = format!("{err} (--help lists the options)");
            Err(StartError::new(Exit::Failure, message))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError { exit, message }) => {
            say(&mut io::stderr(), &format!("virtinterfaced: {message}\n"));
            ExitCode::from(exit)
        }
    }
}

/// Writes a whole text. Where it cannot be written nobody is left to be told.
fn say(out: &mut impl Write, text: &str) -> ExitCode {
    match out.write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn help(paths: Option<&Paths>) -> String {
    let Some(paths) = paths else { return cli::help(&[]) };
    let file = |path: &Path| path.display().to_string();
    cli::help(&[
        ("configuration:", file(&paths.config)),
        ("sockets:", file(&paths.run_dir.join("virtinterfaced-sock"))),
        ("pid file:", file(&paths.pid_file)),
    ])
}

fn start(run: &Run, privilege: Privilege, environment: &Environment) -> Result<(), StartError> {
    if run.daemonize {
        let message = "--daemon is not available in this release: \
            run it in the foreground, under your init system's supervisor";
        return Err(StartError::new(Exit::Failure, message));
    }
    let paths = Paths::new(privilege, environment).ok_or_else(|| {
        StartError::new(Exit::RunDir, "HOME is not set, nor all directories in its place")
    })?;
    let settings = configure(run, privilege, &paths)?;
    logging::start(log_level(run, environment, &settings)?);
    let pid_path = run.pid_file.as_ref().unwrap_or(&paths.pid_file);
    // What we make does not depend on whose shell started us.
    process::set_umask(match privilege {
        Privilege::System => 0o022,
        Privilege::Session => 0o077,
    });
    make_run_dirs(&paths)?;
    let _pid_file = claim(pid_path)?;
    let _driver_lock = claim(&paths.driver_lock())?;
    if let Err(err) = process::raise_open_files_limit() {
        warn!("the limit of open files stays as it is: {err}");
    }
    let signals = Signals::install()
        .map_err(|err| StartError::new(Exit::Signals, HostError::new("handle", "signals", &err)))?;
    let group = socket_group(&settings, run.config.as_ref().unwrap_or(&paths.config))?;
    let listeners = listen(&settings, group, &paths, privilege)?;
    let kernel = Kernel::open().map_err(|err| StartError::new(Exit::Driver, err))?;
    let facts = Facts {
        privilege,
        default_uri: environment.default_uri.clone(),
        client_config: paths.client_config,
    };
    let idle_limit = run.idle_limit;
    let parts = ServerParts { settings, facts, listeners, kernel, signals, idle_limit };
    let mut server = Server::new(parts).map_err(|err| StartError::new(Exit::Driver, err))?;
    info!("ready");
    server.run().map_err(|err| {
        error!("{err}");
        StartError::new(Exit::Failure, err)
    })
}

fn configure(run: &Run, privilege: Privilege, paths: &Paths) -> Result<Settings, StartError> {
    let (path, text) = match &run.config {
        Some(path) => (path, files::read_text(path, CONFIG_LEN_MAX).map(Some)),
        None => (&paths.config, files::read_text_if_any(&paths.config, CONFIG_LEN_MAX)),
    };
    let text = text.map_err(|err| StartError::new(Exit::Failure, err))?.unwrap_or_default();
    let file = path.display();
    let (settings, warnings) = Settings::parse(&text, privilege)
        .map_err(|err| StartError { exit: err.exit_status(), message: format!("{file}:{err}") })?;
    if let Some(unavailable) = settings.unavailable() {
        return Err(StartError::new(Exit::Failure, format!("{file}: {unavailable}")));
    }
    for key in settings.without_effect(privilege) {
        let warning = format!("virtinterfaced: {file}: {key} has no effect in this release\n");
        say(&mut io::stderr(), &warning);
    }
    for warning in warnings {
        say(&mut io::stderr(), &format!("virtinterfaced: {file}:{warning}\n"));
    }
    Ok(settings)
}

/// The configuration's level, unless the environment names one; `-v` makes it info at least.
fn log_level(
    run: &Run,
    environment: &Environment,
    settings: &Settings,
) -> Result<LogLevel, StartError> {
    let level = match &environment.debug {
        None => settings.logging.level,
        Some(text) => logging::parse_level(text).ok_or_else(|| {
            let message = format!("Failed to set logging priority, argument '{text}' is invalid");
            StartError::new(Exit::Failure, message)
        })?,
    };
    Ok(if run.verbose { level.min(LogLevel::Info) } else { level })
}

fn claim(path: &Path) -> Result<PidFile, StartError> {
    PidFile::claim(path).map_err(|err| StartError::new(Exit::Failure, err))
}

/// The run directory is for everybody to enter, a session's for its user alone (the mask sees to
/// it); what the driver keeps below it is nobody else's in either case.
fn make_run_dirs(paths: &Paths) -> Result<(), StartError> {
    for (dir, mode) in [(paths.run_dir.clone(), 0o777), (paths.driver_dir(), 0o700)] {
        let made = DirBuilder::new().recursive(true).mode(mode).create(&dir);
        made.map_err(|err| {
            let err = HostError::new("create", dir.display().to_string(), &err);
            StartError::new(Exit::RunDir, err)
        })?;
    }
    Ok(())
}

/// The group that the configuration gives the sockets to.
fn socket_group(settings: &Settings, file: &Path) -> Result<Option<libc::gid_t>, StartError> {
    let Some(name) = &settings.sockets.group else { return Ok(None) };
    let problem = match groups::find(name) {
        Ok(Some(gid)) => return Ok(Some(gid)),
        Ok(None) => format!("no such group: '{name}'"),
        Err(err) => err.to_string(),
    };
    let message = format!("{}: unix_sock_group: {problem}", file.display());
    Err(StartError::new(Exit::Sockets, message))
}

fn listen(
    settings: &Settings,
    group: Option<libc::gid_t>,
    paths: &Paths,
    privilege: Privilege,
) -> Result<Vec<Listener>, StartError> {
    let sockets = &settings.sockets;
    let dir = sockets.dir.as_ref().unwrap_or(&paths.run_dir);
    let (main, admin) = (settings.main.queued_count_max, settings.admin.queued_count_max);
    let rw = (Entrance::ReadWrite, "virtinterfaced-sock", sockets.rw_mode, main);
    let ro = (Entrance::ReadOnly, "virtinterfaced-sock-ro", sockets.ro_mode, main);
    let admin = (Entrance::Admin, "virtinterfaced-admin-sock", sockets.admin_mode, admin);
    // Clients are accepted in this order: where everybody may knock comes last, so that a crowd
    // there keeps nobody else waiting.
    let wanted = match privilege {
        Privilege::System => vec![admin, rw, ro],
        Privilege::Session => vec![admin, rw],
    };
    let bind = |(entrance, name, mode, backlog): (_, _, SocketMode, _)| {
        let (path, mode) = (dir.join(name), mode.bits());
        Listener::bind(&ListenerSpec { entrance, path, mode, group, backlog })
    };
    let listeners: Result<_, _> = wanted.into_iter().map(bind).collect();
    listeners.map_err(|err| StartError::new(Exit::Sockets, err))
}

impl Paths {
    /// Nothing if a session's user has no home, and not all directories that stand for it.
    fn new(privilege: Privilege, environment: &Environment) -> Option<Self> {
        let (config_dir, run_dir, pid_dir) = match privilege {
            Privilege::System => {
                let run_dir = PathBuf::from("/run/libvirt");
                (PathBuf::from("/etc/libvirt"), run_dir, PathBuf::from("/run"))
            }
            Privilege::Session => {
                let below_home = |dir: &str| environment.home.as_ref().map(|home| home.join(dir));
                let config = environment.config_home.clone().or_else(|| below_home(".config"))?;
                let cache = environment.cache_home.clone().or_else(|| below_home(".cache"));
                let run_dir = environment.runtime_dir.clone().or(cache)?.join("libvirt");
                (config.join("libvirt"), run_dir.clone(), run_dir)
            }
        };
        Some(Self {
            config: config_dir.join("virtinterfaced.conf"),
            client_config: config_dir.join("libvirt.conf"),
            pid_file: pid_dir.join("virtinterfaced.pid"),
            run_dir,
        })
    }

    /// Where the driver keeps what must not outlive a boot.
    fn driver_dir(&self) -> PathBuf {
        self.run_dir.join("interface")
    }

    /// Held by whoever serves this host's interfaces, whatever its pid file is.
    fn driver_lock(&self) -> PathBuf {
        self.driver_dir().join("driver.pid")
    }
}
