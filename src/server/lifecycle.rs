// SPDX-License-Identifier: LGPL-2.1-or-later
//! The daemon's life, from the first turn to the last: the start, signals, reloads, the stop.
//!
//! Nothing here blocks. Anything that takes time (a hook, a client that has to read its replies)
//! has a deadline, and each turn proceeds as far as it can.

use std::ffi::OsString;
use std::fmt;
use std::time::{Duration, Instant};

use log::{error, info, warn};

use crate::config::Settings;
use crate::io::background::Report;
use crate::io::config_file::{ConfigFile, Configuration};
use crate::io::dhcp::Choice;
use crate::io::hooks::{Hooks, Occasion};
use crate::io::supervisor::Supervisor;
use crate::limits::{FAREWELL_TIME_MAX, STOP_TIME_MAX};
use crate::logging;
use crate::model::client::ClientId;
use crate::model::server::ServerName;
use crate::server::{Next, Server};
use crate::sys::process;
use crate::sys::signal::Signals;

/// The exit status of `--daemon`, if the daemon is stopped before it is ready.
const STOPPED_EARLY: u8 = 1;

/// The status text for a supervisor.
const SERVING: &str = "serving";

/// The parts of the daemon that begin, reload and end it.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    pub(super) signals: Signals,
    pub(super) hooks: Hooks,
    pub(super) supervisor: Supervisor,
    pub(super) phase: Phase,
    pub(super) reload: Reload,
    pub(super) config_file: ConfigFile,
    /// The last configuration that was applied.
    pub(super) configuration: Configuration,
    /// The settings of the start, some of which stay in force.
    pub(super) started_with: Settings,
    /// The path in which programs of DHCP clients are looked up.
    pub(super) path: Option<OsString>,
    /// How long to run without clients.
    pub(super) idle_limit: Option<Duration>,
}

/// The phase of the daemon's life.
#[derive(Debug)]
pub(crate) enum Phase {
    /// A change that an earlier daemon left is resumed or rolled back. There is no socket yet.
    Recovering,
    /// The hooks of the start run. Clients that connect wait in the backlog.
    Starting {
        report: Option<Report>,
    },
    Serving,
    /// Stopping: clients get their remaining replies.
    Stopping {
        deadline: Instant,
        farewell: Option<Farewell>,
    },
}

/// The client that has asked for the stop, and may go on until it closes the connection: virt-admin
/// dies of SIGPIPE if the connection ends right after the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    client: ClientId,
    deadline: Instant,
}

/// Whether the configuration is to be read again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reload {
    NotAsked,
    /// As soon as the hooks have run.
    Pending,
}

impl Phase {
    /// Whether clients are accepted.
    pub(crate) fn lets_clients_in(&self) -> bool {
        matches!(self, Self::Serving)
    }
}

impl Server {
    /// Runs the start's hooks.
    pub(super) fn begin(&mut self, report: Option<Report>) {
        if self.is_stopping() {
            if let Some(report) = report {
                report.failed(STOPPED_EARLY, "stopped before it was ready");
            }
            return;
        }
        self.lifecycle.phase = Phase::Starting { report };
        self.lifecycle.hooks.begin(Occasion::Start);
    }

    /// Handles pending signals. A second signal to stop ends the daemon at once.
    pub(super) fn handle_signals(&mut self, now: Instant) -> Next {
        while let Some(signal) = self.lifecycle.signals.take() {
            match signal {
                libc::SIGCHLD => {
                    self.changes.handle_child();
                    self.world.kernel.handle_child();
                    self.executor.read();
                }
                libc::SIGHUP => self.handle_hangup(),
                // The write beyond the limit has failed, and its caller handles that.
                libc::SIGXFSZ => {}
                _ if self.is_stopping() => {
                    warn!("signal {signal} again: ending at once");
                    self.lifecycle.hooks.abandon();
                    return Next::Stop;
                }
                _ => {
                    info!("signal {signal}: stopping");
                    self.stop(None, now);
                }
            }
        }
        Next::Turn
    }

    /// Takes note of programs that have ended.
    pub(super) fn handle_ends(&mut self, now: Instant) {
        self.lifecycle.hooks.handle_end();
        self.changes.standby.handle_end(now);
        self.world.leases.handle_child(now);
    }

    /// Asks for a reload. A pending one will read the newest file.
    fn handle_hangup(&mut self) {
        if self.is_stopping() {
            info!("SIGHUP: stopping already");
        } else if self.lifecycle.reload == Reload::NotAsked {
            self.lifecycle.reload = Reload::Pending;
            self.lifecycle.hooks.begin(Occasion::Reload);
        }
    }

    /// When [`Server::proceed`] next has something to do, if no event comes before.
    pub(super) fn lifecycle_deadline(&self) -> Option<Instant> {
        match self.lifecycle.phase {
            Phase::Recovering | Phase::Starting { .. } => None,
            Phase::Serving => self.idle_end(),
            Phase::Stopping { deadline, farewell } => {
                Some(farewell.map_or(deadline, |farewell| farewell.deadline))
            }
        }
    }

    /// Proceeds as far as possible at `now`, through several phases if none has to wait.
    pub(super) fn proceed(&mut self, now: Instant) -> Next {
        loop {
            let (is_idle, idle_end) = (self.lifecycle.hooks.is_idle(), self.idle_end());
            match &mut self.lifecycle.phase {
                Phase::Starting { report } if is_idle => {
                    let report = report.take();
                    self.open(report, now);
                }
                Phase::Serving if is_idle && self.lifecycle.reload == Reload::Pending => {
                    self.lifecycle.reload = Reload::NotAsked;
                    self.read_configuration(now);
                }
                Phase::Serving if idle_end.is_some_and(|end| end <= now) => {
                    info!("no client within the timeout: stopping");
                    self.stop(None, now);
                }
                Phase::Stopping { farewell, .. }
                    if farewell.is_some_and(|farewell| farewell.deadline <= now) =>
                {
                    let farewell = farewell.take();
                    let is_it = |id| farewell.is_some_and(|farewell| farewell.client == id);
                    self.clients.dismiss(is_it, &mut self.world.buffer);
                }
                Phase::Stopping { deadline, .. } if *deadline <= now => {
                    self.lifecycle.hooks.abandon();
                    return Next::Stop;
                }
                Phase::Stopping { .. }
                    if is_idle && self.changes.coordinator.is_done() && self.clients.is_empty() =>
                {
                    return Next::Stop;
                }
                Phase::Recovering
                | Phase::Starting { .. }
                | Phase::Serving
                | Phase::Stopping { .. } => {
                    return Next::Turn;
                }
            }
        }
    }

    /// Opens the sockets to clients, and reports that the daemon is ready.
    fn open(&mut self, report: Option<Report>, now: Instant) {
        self.lifecycle.phase = Phase::Serving;
        self.warn_of_shortage();
        self.clients.begin_idling(now);
        self.world.warn_of_managers();
        self.changes.begin_autostart(&self.world, now);
        info!("ready");
        self.lifecycle.supervisor.ready(SERVING);
        if let Some(report) = report {
            report.ready();
        }
    }

    /// Whether the daemon stops and begins nothing new.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.lifecycle.phase, Phase::Stopping { .. })
    }

    /// Stops in good order: accepts no client, reads no further calls, and answers the calls that
    /// have arrived. A client that has asked for the stop is served a little longer.
    pub(super) fn stop(&mut self, asked_by: Option<ClientId>, now: Instant) {
        if self.is_stopping() {
            return;
        }
        let farewell =
            asked_by.map(|client| Farewell { client, deadline: now + FAREWELL_TIME_MAX });
        let stopping = Phase::Stopping { deadline: now + STOP_TIME_MAX, farewell };
        if let Phase::Starting { report: Some(report) } =
            std::mem::replace(&mut self.lifecycle.phase, stopping)
        {
            report.failed(STOPPED_EARLY, "stopped before it was ready");
        }
        self.lifecycle.supervisor.stopping();
        self.clients.acceptor.close();
        // The hooks of the stop must not wait for a hook that hangs.
        self.lifecycle.hooks.abandon();
        self.lifecycle.hooks.begin(Occasion::Shutdown);
        self.clients.questions.hurry(now);
        self.changes.handle_stop(&self.world, now);
        self.clients.dismiss(|id| Some(id) != asked_by, &mut self.world.buffer);
    }

    /// When the daemon has been without clients for too long. Running hooks count as work.
    fn idle_end(&self) -> Option<Instant> {
        let (since, limit) = self.clients.idle_since().zip(self.lifecycle.idle_limit)?;
        // The client that began a change may be about to come back, and the change's deadline must
        // be kept.
        let is_awaited = self.changes.coordinator.is_awaited();
        (self.lifecycle.hooks.is_idle() && !is_awaited).then(|| since + limit)
    }

    /// Reads the configuration again. It is applied whole, or not at all.
    fn read_configuration(&mut self, now: Instant) {
        self.lifecycle.supervisor.reloading();
        match self.take_configuration(now) {
            Ok(()) => {
                info!("configuration reloaded");
                self.lifecycle.supervisor.reloaded(SERVING);
            }
            Err(err) => {
                // The script that has moved the log files does not know of the error.
                logging::reopen();
                error!("reload failed: {err}; the settings are unchanged");
                self.lifecycle
                    .supervisor
                    .reloaded("serving; the configuration was refused, see the log");
            }
        }
    }

    /// The steps that can fail come first, and are undone if a later one fails.
    fn take_configuration(&mut self, now: Instant) -> Result<(), RefusedReload> {
        let new = self.lifecycle.config_file.load()?;
        let group = self.group_of_sockets(&new);
        let taken = self.clients.acceptor.apply(&new.settings, group).map_err(RefusedReload::from);
        let taken = taken.and_then(|()| self.take_logging(&new));
        if let Err(err) = taken {
            let group = self.group_of_sockets(&self.lifecycle.configuration);
            if let Err(err) =
                self.clients.acceptor.apply(&self.lifecycle.configuration.settings, group)
            {
                warn!("{err}");
            }
            return Err(err);
        }
        self.apply(new, now);
        Ok(())
    }

    /// Without a group the sockets belong to the daemon's own, also if they had one before.
    fn group_of_sockets(&self, configuration: &Configuration) -> Option<libc::gid_t> {
        let had_one = self.lifecycle.configuration.socket_group.is_some();
        configuration.socket_group.or_else(|| had_one.then(process::effective_gid))
    }

    fn take_logging(&self, new: &Configuration) -> Result<(), RefusedReload> {
        logging::reload(&new.settings.logging).map_err(|err| {
            let path = self.lifecycle.config_file.path.display();
            RefusedReload(format!("{path}: log_outputs: {err}"))
        })
    }

    /// Warns if the limit of open files is lower than that of clients.
    pub(super) fn warn_of_shortage(&self) {
        if let Some(count) = self.clients.occupancy.shortage() {
            warn!(
                "max_clients: the limit of open files has room for {count} clients; raise the hard \
                 limit (ulimit -Hn) before the daemon starts, or lower max_clients"
            );
        }
    }

    /// Applies the new settings, to connected clients too.
    fn apply(&mut self, new: Configuration, now: Instant) {
        let old = std::mem::replace(&mut self.lifecycle.configuration, new);
        let new = &self.lifecycle.configuration;
        new.warnings.iter().for_each(|warning| warn!("{warning}"));
        for key in Settings::fixed_at_start(&self.lifecycle.started_with, &new.settings) {
            warn!(
                "{}: {key} takes effect at the next start",
                self.lifecycle.config_file.path.display()
            );
        }
        if self.clients.acceptor.is_a_supervisors() && old.settings.sockets != new.settings.sockets
        {
            warn!("unix_sock_*: no effect, as the sockets belong to the supervisor");
        }
        self.world
            .leases
            .choose(Choice::new(new.settings.changes.dhcp_client, self.lifecycle.path.as_deref()));
        self.changes.coordinator.settings.dhcp_timeout = new.settings.changes.dhcp_timeout;
        self.changes.coordinator.settings.change_timeout = new.settings.changes.change_timeout;
        self.clients.occupancy.of_mut(ServerName::Main).limits = new.settings.main;
        self.clients.occupancy.of_mut(ServerName::Admin).limits = new.settings.admin;
        self.warn_of_shortage();
        self.clients.apply_limits(now);
    }
}

/// Why a reload has changed nothing, in one line.
struct RefusedReload(String);

impl<E: std::error::Error> From<E> for RefusedReload {
    fn from(err: E) -> Self {
        Self(err.to_string())
    }
}

impl fmt::Display for RefusedReload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
