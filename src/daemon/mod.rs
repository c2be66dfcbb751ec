// SPDX-License-Identifier: LGPL-2.1-or-later
//! The order of start and stop.
//!
//! Each step of the start succeeds, or ends the start with a one-line remedy and the exit status
//! that libvirt's daemons use for that step. Resources are removed again by the values that own
//! them.

mod environment;
mod definitions;
mod privilege;
pub mod standby;
mod online;

use std::ffi::OsString;
use std::fmt;
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::iter;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;

use log::{error, warn};

use crate::backend::Backend;
use crate::change::rollback::Recovery;
use crate::cli::{self, Invocation, Run, UsageError};
use crate::config::Settings;
use crate::daemon::environment::{Environment, Paths};
use crate::error::HostError;
use crate::io::activation;
use crate::io::background::{self, ForkSide, Report, StartVerdict};
use crate::io::boot_marker::BootMarker;
use crate::io::channel::Channel;
use crate::io::config_file::{ConfigFile, ConfigFileError, Configuration, FilePresence};
use crate::io::definitions::DefinitionStore;
use crate::io::dhcp::DhcpCommands;
use crate::io::executor::Executor;
use crate::io::file_check::{CheckCommands, FileChecks};
use crate::io::folders;
use crate::io::hooks::{HookFolder, Hooks};
use crate::io::kernel::Kernel;
use crate::io::listener::{Listener, ListenerSpec};
use crate::io::pid_file::{PidFile, PidFileError};
use crate::io::programs::Programs;
use crate::io::standby::{StandbySpec, lock_after_rollback};
use crate::io::supervisor::Supervisor;
use crate::io::transaction_dir::TransactionDir;
use crate::logging::{self, Circumstances};
use crate::model::client::{Endpoint, Privilege};
use crate::server::{DhcpParts, Facts, Server, ServerParts};
use crate::sys::{descriptors, process, signal::Signals};

/// libvirt's exit statuses (`virDaemonErr`) that this daemon uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Exit {
    /// Usage, configuration, logging, pid file.
    Failure = 1,
    RunDir = 2,
    Signals = 4,
    Sockets = 6,
    Driver = 11,
}

/// The error if the paths of files cannot be determined.
const NO_HOME: &str = "HOME is not set, and the XDG variables do not replace it";

/// The reason why the daemon did not start, or ended early.
struct StartError {
    exit: u8,
    message: String,
}

impl StartError {
    fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit: exit as u8, message: message.to_string() }
    }
}

impl From<ConfigFileError> for StartError {
    fn from(err: ConfigFileError) -> Self {
        Self { exit: err.exit_status(), message: err.to_string() }
    }
}

/// The reaction to an invalid configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OnBadFile {
    Refuse,
    UseDefaults,
}

/// The inputs that are determined before the daemon goes to the background: the administrator's
/// options and files, and the state that only the started process can read.
struct Preparations<'a> {
    run: &'a Run,
    privilege: Privilege,
    environment: &'a Environment,
    paths: Paths,
    pid_file: PathBuf,
    config_file: ConfigFile,
    configuration: Configuration,
    activated: Activated,
}

/// The sockets that a supervisor passes; `None` without such a supervisor.
type Activated = Option<Vec<(Endpoint, OwnedFd)>>;

/// Runs the daemon from its arguments to its exit status.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let privilege = own_privilege();
    let environment = Environment::read();
    // First of all, since programs that outlive the daemon would inherit these descriptors.
    descriptors::close_inherited(activation::passed_count(&environment.activation));
    let result = match cli::parse(arguments) {
        Ok(Invocation::Version) => return say(&mut io::stdout(), &cli::version()),
        Ok(Invocation::Help) => {
            return say(&mut io::stderr(), &help(privilege, &environment));
        }
        Ok(Invocation::Run(run)) => start(&run, privilege, &environment),
        Ok(Invocation::RollBackStale(run)) => roll_back_stale(&run, privilege, &environment),
        Ok(Invocation::WaitOnline(limit)) => match Paths::new(privilege, &environment) {
            Some(paths) => online::wait(limit, &BootMarker::within(&paths.driver_dir)),
            None => Err(StartError::new(Exit::RunDir, NO_HOME)),
        },
        Ok(Invocation::CheckConfig(run)) => check_config(&run, privilege, &environment),
        Err(err @ UsageError::Option(_)) => {
            let usage = help(privilege, &environment);
            Err(StartError::new(Exit::Failure, format!("{err}\n\n{}", usage.trim_end())))
        }
        Err(err @ UsageError::Other(_)) => {
            let message = format!("{err} (--help lists the options)");
            Err(StartError::new(Exit::Failure, message))
        }
    };
    result.map_or_else(|err| report(&err), |()| ExitCode::SUCCESS)
}

/// Returns the daemon's privilege: root's daemon serves the host, any other serves its user.
fn own_privilege() -> Privilege {
    match process::effective_uid() {
        0 => Privilege::System,
        _ => Privilege::Session,
    }
}

/// Reports why the daemon does not run.
fn report(StartError { exit, message }: &StartError) -> ExitCode {
    say(&mut io::stderr(), &format!("virtinterfaced: {message}\n"));
    ExitCode::from(*exit)
}

/// Writes a whole text. A failed write cannot be reported anywhere.
fn say(out: &mut impl Write, text: &str) -> ExitCode {
    match out.write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn help(privilege: Privilege, environment: &Environment) -> String {
    let Some(paths) = Paths::new(privilege, environment) else { return cli::help(&[]) };
    let file = |path: &Path| path.display().to_string();
    cli::help(&[
        ("configuration:", file(&paths.config)),
        ("sockets:", file(&paths.run_dir.join(Endpoint::ReadWrite.socket_name()))),
        ("pid file:", file(&paths.pid_file)),
    ])
}

fn start(run: &Run, privilege: Privilege, environment: &Environment) -> Result<(), StartError> {
    // Before any file is opened, while descriptor numbers still mean what the supervisor says.
    let activated = activation::take(&environment.activation, privilege)
        .map_err(|err| StartError::new(Exit::Sockets, err))?;
    // Next, as a supervisor may send a signal as soon as the process exists. A process that only
    // starts a daemon in the background keeps the default actions of signals.
    let signals = (!run.daemonize).then(install_signals).transpose()?;
    let preparations = prepare(run, privilege, environment, activated, OnBadFile::Refuse)?;
    let report = match run.daemonize {
        false => None,
        true => match background::enter().map_err(|err| StartError::new(Exit::Failure, err))? {
            ForkSide::Daemon(report) => Some(report),
            ForkSide::Starter(StartVerdict::Ready) => return Ok(()),
            ForkSide::Starter(StartVerdict::Failed { status, reason }) => {
                let message = format!("{reason} (exit status {status})");
                return Err(StartError { exit: status, message });
            }
            ForkSide::Starter(StartVerdict::Lost) => {
                let message = "the daemon ended before it was ready, and did not say why";
                return Err(StartError::new(Exit::Failure, message));
            }
        },
    };
    live(preparations, signals, report).inspect_err(|err| {
        // The process that started the daemon reports the error on standard error.
        if !logging::writes_to_stderr() {
            error!("{}", err.message);
        }
    })
}

/// Rolls back a transaction that must not stay open, and does nothing else. A running daemon has
/// already rolled it back.
fn roll_back_stale(
    run: &Run,
    privilege: Privilege,
    environment: &Environment,
) -> Result<(), StartError> {
    let signals = install_signals()?;
    // The transaction to be undone may itself have made the configuration invalid.
    let preparations = prepare(run, privilege, environment, None, OnBadFile::UseDefaults)?;
    set_umask(privilege);
    let executor = fork_executor(&preparations)?;
    make_run_dirs(&preparations.paths)?;
    let _lock = match lock_after_rollback(&preparations.paths.driver_lock()) {
        Err(PidFileError::Held { .. }) => return Ok(()),
        claimed => claimed.map_err(|err| StartError::new(Exit::Failure, err))?,
    };
    let (mut server, _) = make_server(preparations, executor, signals)?;
    server.recover(Recovery::StaleAlone).map_err(|err| StartError::new(Exit::Driver, err))?;
    server.recovered().clone().map_err(|err| StartError::new(Exit::Driver, err))
}

/// Checks whether a daemon with these options would accept its configuration, at a start or a
/// reload.
fn check_config(
    run: &Run,
    privilege: Privilege,
    environment: &Environment,
) -> Result<(), StartError> {
    let (paths, config_file) = locate(run, privilege, environment)?;
    let configuration = config_file.load().map_err(StartError::from)?;
    let circumstances = circumstances(run, privilege, environment, &paths)?;
    logging::check(circumstances, &configuration.settings.logging).map_err(|err| {
        let path = config_file.path.display();
        StartError::new(Exit::Failure, format!("{path}: log_outputs: {err}"))
    })?;
    for warning in &configuration.warnings {
        say(&mut io::stderr(), &format!("virtinterfaced: warning: {warning}\n"));
    }
    Ok(())
}

/// Returns all paths, and the configuration file.
fn locate(
    run: &Run,
    privilege: Privilege,
    environment: &Environment,
) -> Result<(Paths, ConfigFile), StartError> {
    let paths =
        Paths::new(privilege, environment).ok_or_else(|| StartError::new(Exit::RunDir, NO_HOME))?;
    let (path, presence) = match &run.config {
        Some(path) => (absolute(path)?, FilePresence::Required),
        None => (paths.config.clone(), FilePresence::Optional),
    };
    Ok((paths, ConfigFile { path, presence, privilege }))
}

/// Returns what the log depends on besides the configuration.
fn circumstances(
    run: &Run,
    privilege: Privilege,
    environment: &Environment,
    paths: &Paths,
) -> Result<Circumstances, StartError> {
    Ok(Circumstances {
        privilege,
        is_verbose: run.verbose,
        is_daemonized: run.daemonize,
        debug: utf8("LIBVIRT_DEBUG", environment.log_level.as_ref())?,
        filters: utf8("LIBVIRT_LOG_FILTERS", environment.log_filters.as_ref())?,
        outputs: utf8("LIBVIRT_LOG_OUTPUTS", environment.log_outputs.as_ref())?,
        default_file: paths.log_file.clone(),
    })
}

/// Checks everything that can be checked before any file is created.
fn prepare<'a>(
    run: &'a Run,
    privilege: Privilege,
    environment: &'a Environment,
    activated: Activated,
    on_bad_file: OnBadFile,
) -> Result<Preparations<'a>, StartError> {
    let (paths, config_file) = locate(run, privilege, environment)?;
    let configuration = match (config_file.load(), on_bad_file) {
        (Ok(configuration), _) => configuration,
        (Err(err), OnBadFile::UseDefaults) => Configuration {
            settings: Settings::defaults(privilege),
            socket_group: None,
            warnings: vec![format!("{err}: using the default settings")],
        },
        (Err(err), OnBadFile::Refuse) => return Err(err.into()),
    };
    let circumstances = circumstances(run, privilege, environment, &paths)?;
    logging::start(circumstances, &configuration.settings.logging)
        .map_err(|err| StartError::new(Exit::Failure, err))?;
    configuration.warnings.iter().for_each(|warning| warn!("{warning}"));
    let pid_file = absolute(run.pid_file.as_ref().unwrap_or(&paths.pid_file))?;
    Ok(Preparations {
        run,
        privilege,
        environment,
        paths,
        pid_file,
        config_file,
        configuration,
        activated,
    })
}

/// Returns the text of a variable.
fn utf8(name: &str, value: Option<&OsString>) -> Result<Option<String>, StartError> {
    let text = value.map(|value| value.clone().into_string()).transpose();
    text.map_err(|value| StartError::new(Exit::Failure, format!("{name}: {value:?} is not UTF-8")))
}

/// Returns an absolute path, which stays valid after the daemon changes its directory.
fn absolute(path: &Path) -> Result<PathBuf, StartError> {
    path::absolute(path).map_err(|err| {
        let err = HostError::new("resolve", path.display().to_string(), &err);
        StartError::new(Exit::Failure, err)
    })
}

/// Runs the daemon, in the started process or in the background.
fn live(
    preparations: Preparations<'_>,
    signals: Option<Signals>,
    report: Option<Report>,
) -> Result<(), StartError> {
    // The modes of created files must not depend on the mask of the shell that started the daemon.
    set_umask(preparations.privilege);
    let signals = signals.map_or_else(install_signals, Ok);
    match signals.and_then(|signals| build(preparations, signals)) {
        Ok((_locks, mut server)) => {
            server.run(report).map_err(|err| StartError::new(Exit::Failure, err))
        }
        Err(err) => {
            if let Some(report) = report {
                report.failed(err.exit, &err.message);
            }
            Err(err)
        }
    }
}

fn set_umask(privilege: Privilege) {
    process::set_umask(match privilege {
        Privilege::System => 0o022,
        Privilege::Session => 0o077,
    });
}

fn install_signals() -> Result<Signals, StartError> {
    Signals::install()
        .map_err(|err| StartError::new(Exit::Signals, HostError::new("handle", "signals", &err)))
}

/// Takes the locks, creates everything that the loop owns, and recovers what an earlier daemon
/// left, before clients can connect. Values are dropped in the reverse order of their creation.
fn build(
    preparations: Preparations<'_>,
    signals: Signals,
) -> Result<([PidFile; 2], Server), StartError> {
    let executor = fork_executor(&preparations)?;
    privilege::give_up(preparations.privilege);
    make_run_dirs(&preparations.paths)?;
    let paths = preparations.paths.clone();
    let refuse = |err: PidFileError| StartError::new(Exit::Failure, err);
    let lock = lock_after_rollback(&paths.driver_lock()).map_err(refuse)?;
    let pid_file = PidFile::publish(&preparations.pid_file, &lock).map_err(refuse)?;
    let (privilege, configuration) = (preparations.privilege, preparations.configuration.clone());
    let (mut server, activated) = make_server(preparations, executor, signals)?;
    let refuse = |err| StartError::new(Exit::Driver, err);
    server.recover(Recovery::Whole).map_err(refuse)?;
    let listeners = match activated {
        Some(sockets) => adopt(sockets, &configuration)?,
        None => listen(&configuration, &paths, privilege)?,
    };
    server.listen(listeners).map_err(refuse)?;
    Ok(([pid_file, lock], server))
}

/// Forks the process that executes programs, before anything is open that it does not need.
fn fork_executor(preparations: &Preparations<'_>) -> Result<Executor, StartError> {
    let Preparations { run, environment, paths, config_file, .. } = preparations;
    let programs = Programs {
        hooks: HookFolder {
            dir: paths.hook_dir.clone(),
            environment: environment.passed_on.clone(),
        },
        dhcp: DhcpCommands::new(&paths.driver_dir, environment.path.as_deref()),
        standby: StandbySpec {
            program: environment.program.clone(),
            options: standby_options(run, config_file),
        },
        checks: CheckCommands::new(&paths.driver_dir),
    };
    Executor::fork(programs.spawn()).map_err(|err| {
        let err = HostError::new("start", "the process that executes programs", &err);
        StartError::new(Exit::Failure, err)
    })
}

/// Creates everything that the loop owns except the listeners, and returns the sockets for them.
fn make_server(
    preparations: Preparations<'_>,
    executor: Executor,
    signals: Signals,
) -> Result<(Server, Activated), StartError> {
    let Preparations { run, privilege, environment, paths, activated, .. } = preparations;
    let (config_file, configuration) = (preparations.config_file, preparations.configuration);
    let backend = definitions::choose(
        configuration.settings.changes.backend,
        paths.definition_dir,
        privilege,
    );
    let parts = ServerParts {
        config_file,
        configuration,
        facts: Facts { privilege, uid: process::effective_uid() },
        client_config: paths.client_config,
        default_uri: environment.default_uri.clone(),
        transaction_dir: TransactionDir::new(paths.transaction_dir),
        executor: executor.clone(),
        file_checks: FileChecks::new(executor.clone(), &paths.driver_dir),
        kernel: Kernel::open().map_err(|err| StartError::new(Exit::Driver, err))?,
        descriptor_limit: descriptors::raise_limit().map_err(|err| {
            let err = HostError::new("raise", "the limit of open files", &err);
            StartError::new(Exit::Failure, err)
        })?,
        changes: Channel::open().map_err(|err| StartError::new(Exit::Driver, err))?,
        // Only root's daemon can bring interfaces up.
        boot_marker: match privilege {
            Privilege::System => boot_marker(&*backend, &paths.driver_dir),
            Privilege::Session => None,
        },
        dhcp: DhcpParts {
            run_dir: paths.driver_dir,
            program: environment.program.clone(),
            path: environment.path.clone(),
        },
        store: DefinitionStore::open(backend, privilege),
        signals,
        hooks: Hooks::new(paths.hook_dir, executor),
        supervisor: Supervisor::new(environment.notify_socket.clone()),
        idle_limit: run.idle_limit,
    };
    let server = Server::new(parts).map_err(|err| StartError::new(Exit::Driver, err))?;
    Ok((server, activated))
}

/// Returns the marker of the interfaces that the daemon has yet to bring up; `None` if the host's own
/// program does that. `--wait-online` then waits for none.
fn boot_marker(backend: &dyn Backend, driver_dir: &Path) -> Option<BootMarker> {
    let mut marker = BootMarker::within(driver_dir);
    if backend.manager().is_none() {
        return Some(marker);
    }
    if let Err(err) = marker.write(iter::empty()) {
        warn!("{}", HostError::new("write", "the marker of interfaces to be started", &err));
    }
    None
}

/// Returns the options with which the standby process rolls a transaction back.
fn standby_options(run: &Run, config_file: &ConfigFile) -> Vec<OsString> {
    let mut options = Vec::new();
    if run.verbose {
        options.push("--verbose".into());
    }
    // Its log goes to the same outputs as the daemon's.
    if run.daemonize {
        options.push("--daemon".into());
    }
    if config_file.presence == FilePresence::Required {
        options.extend(["--config".into(), config_file.path.clone().into_os_string()]);
    }
    options
}

/// Creates the run directory, which all users may enter (in a session only its user, by the umask),
/// and the driver's directory in it, which only the daemon's user may. Existing directories must
/// not be writable for other users.
fn make_run_dirs(paths: &Paths) -> Result<(), StartError> {
    for (dir, mode) in [(paths.run_dir.clone(), 0o777), (paths.driver_dir.clone(), 0o700)] {
        let made = DirBuilder::new().recursive(true).mode(mode).create(&dir);
        made.map_err(|err| {
            let err = HostError::new("create", dir.display().to_string(), &err);
            StartError::new(Exit::RunDir, err)
        })?;
        folders::resolve_private(&dir).map_err(|err| StartError::new(Exit::RunDir, err))?;
    }
    Ok(())
}

/// Serves the sockets that a supervisor has opened, and no others.
fn adopt(
    sockets: Vec<(Endpoint, OwnedFd)>,
    configuration: &Configuration,
) -> Result<Vec<Listener>, StartError> {
    let adopt = |(endpoint, socket)| {
        Listener::adopt(endpoint, socket, configuration.settings.backlog(endpoint))
    };
    let listeners: Result<_, _> = sockets.into_iter().map(adopt).collect();
    listeners.map_err(|err| StartError::new(Exit::Sockets, err))
}

fn listen(
    configuration: &Configuration,
    paths: &Paths,
    privilege: Privilege,
) -> Result<Vec<Listener>, StartError> {
    let settings = &configuration.settings;
    let dir = settings.sockets.dir.as_ref().unwrap_or(&paths.run_dir);
    let dir = folders::resolve_private(dir).map_err(|err| StartError::new(Exit::Sockets, err))?;
    let endpoints: &[Endpoint] = match privilege {
        Privilege::System => &[Endpoint::Admin, Endpoint::ReadWrite, Endpoint::ReadOnly],
        Privilege::Session => &[Endpoint::Admin, Endpoint::ReadWrite],
    };
    let bind = |endpoint: &Endpoint| {
        Listener::bind(&ListenerSpec {
            endpoint: *endpoint,
            path: dir.join(endpoint.socket_name()),
            mode: settings.mode(*endpoint).bits(),
            group: configuration.socket_group,
            backlog: settings.backlog(*endpoint),
        })
    };
    let listeners: Result<_, _> = endpoints.iter().map(bind).collect();
    listeners.map_err(|err| StartError::new(Exit::Sockets, err))
}
