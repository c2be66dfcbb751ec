// SPDX-License-Identifier: LGPL-2.1-or-later
//! The three servers that are compared: starts them, waits until they answer, and ends them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::bare;
use crate::client::{CallFrame, Client};
use crate::isolated_host;
use crate::sys;
use crate::table::Figures;

/// How long a server may take to answer, or to end, before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two checks for that.
const PAUSE: Duration = Duration::from_micros(50);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Ours,
    Bare,
    Libvirtd,
}

/// Where the measured processes run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Placement {
    Apart,
    Free,
}

/// How much a server writes to its log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Log {
    Quiet,
    /// Everything, to a file.
    Debug,
}

/// A server that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    path: PathBuf,
}

impl Server {
    /// Starts a server, and waits until it has answered a call.
    pub(crate) fn start(kind: Kind, log: Log) -> io::Result<Self> {
        let path = isolated_host::socket(kind);
        // Only the bare server leaves its socket behind.
        match fs::remove_file(&path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            Ok(()) | Err(_) => {}
        }
        let child = command(kind, log, &path)?.stdin(Stdio::null()).spawn()?;
        let mut server = Self { child, path };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match server.first_answer() {
                Ok(()) => return Ok(server),
                Err(err) if server.child.try_wait()?.is_some() || Instant::now() > deadline => {
                    return Err(io::Error::other(format!("{kind:?} does not answer: {err}")));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A field of `/proc/PID/status`, in its unit.
    pub(crate) fn status(&self, field: &str) -> io::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        value.ok_or_else(|| io::Error::other(format!("/proc/PID/status: no {field}")))
    }

    /// How many bytes it has read from files and the like, sockets excluded.
    pub(crate) fn bytes_read(&self) -> io::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let value = text.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok());
        value.ok_or_else(|| io::Error::other("/proc/PID/io: no rchar"))
    }

    /// Processor time of all its threads so far, in seconds.
    pub(crate) fn processor_time(&self) -> io::Result<f64> {
        let mut nanoseconds = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok());
            nanoseconds += first.ok_or_else(|| io::Error::other("schedstat: no time"))?;
        }
        Ok(nanoseconds / 1e9)
    }

    /// Has it reload its configuration.
    pub(crate) fn hang_up(&self) -> io::Result<()> {
        sys::signal(&self.child, libc::SIGHUP)
    }

    fn first_answer(&self) -> io::Result<()> {
        Client::connect(&self.path)?.call(&CallFrame::auth_list())
    }

    fn stop(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        sys::signal(&self.child, libc::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.child.kill()?;
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(err) = self.stop() {
            eprintln!("bench: process {} could not be ended: {err}", self.child.id());
        }
    }
}

fn command(kind: Kind, log: Log, path: &Path) -> io::Result<Command> {
    match kind {
        Kind::Ours => {
            // As in the tests, `TEST_DAEMON` may name another daemon than the one just built.
            let carried = std::env::var("TEST_DAEMON");
            let program =
                carried.unwrap_or_else(|_| env!("CARGO_BIN_EXE_virtinterfaced").to_owned());
            let mut command = Command::new(program);
            command.arg("-f").arg(isolated_host::our_config(log)?);
            Ok(command)
        }
        Kind::Bare => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(bare::ARGUMENT).arg(path);
            Ok(command)
        }
        Kind::Libvirtd => isolated_host::libvirtd(log),
    }
}

/// All servers of the comparison; without libvirtd where it is not installed.
#[derive(Debug)]
pub(crate) struct Servers {
    ours: Server,
    bare: Server,
    libvirtd: Option<Server>,
}

impl Servers {
    pub(crate) fn start() -> io::Result<Self> {
        Self::start_logging(Log::Quiet)
    }

    pub(crate) fn start_logging(log: Log) -> io::Result<Self> {
        let start = |kind| Server::start(kind, log);
        let libvirtd = isolated_host::has_libvirtd().then(|| start(Kind::Libvirtd)).transpose()?;
        Ok(Self { ours: start(Kind::Ours)?, bare: start(Kind::Bare)?, libvirtd })
    }

    pub(crate) fn get(&self, kind: Kind) -> Option<&Server> {
        match kind {
            Kind::Ours => Some(&self.ours),
            Kind::Bare => Some(&self.bare),
            Kind::Libvirtd => self.libvirtd.as_ref(),
        }
    }

    /// Places the servers: lets the scheduler choose, or restricts ours and the bare server to a
    /// processor that the client does not use. Sharing a processor with the client would matter
    /// more than any difference between those two. libvirtd's threads are never restricted.
    pub(crate) fn place(&self, placement: Placement, processor_count: usize) -> io::Result<()> {
        let (servers, client) = match placement {
            Placement::Apart if processor_count > 1 => (0..1, 1..processor_count),
            Placement::Apart | Placement::Free => (0..processor_count, 0..processor_count),
        };
        for server in [&self.ours, &self.bare] {
            sys::stay_on(server.child.id(), servers.clone())?;
        }
        sys::stay_on(0, client)
    }

    /// Measures each server that is a whole daemon.
    pub(crate) fn each_daemon(
        &self,
        measure: impl Fn(&Server) -> io::Result<f64>,
    ) -> io::Result<Figures> {
        let libvirtd = self.libvirtd.as_ref().map(&measure).transpose()?;
        Ok(Figures { libvirtd, ..Figures::of_ours(measure(&self.ours)?) })
    }

    /// Measures each server.
    pub(crate) fn each(&self, measure: impl Fn(&Server) -> io::Result<f64>) -> io::Result<Figures> {
        let libvirtd = self.libvirtd.as_ref().map(&measure).transpose()?;
        Ok(Figures { libvirtd, ..Figures::beside_bare(measure(&self.ours)?, measure(&self.bare)?) })
    }
}
