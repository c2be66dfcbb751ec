// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`DhcpCommands`]: the commands of DHCP clients and of their script, for the process that executes
//! them.
//!
//! It gets names only, and finds programs, arguments and environments itself: in the folders of
//! programs, and in records below the run directory that only root can write.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::{self, DhcpProgram, Files, KnownPrograms};
use super::{foreign, names};
use crate::model::address::Family;
use crate::model::foreign::ClientProgram;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::sys::capability;

/// See the module.
#[derive(Clone, Debug)]
pub struct DhcpCommands {
    /// `dhcp` below the driver's run directory.
    dir: PathBuf,
    /// The folders with DHCP clients.
    dirs: Vec<PathBuf>,
}

impl DhcpCommands {
    /// `path` is the daemon's own PATH, which is searched before the usual folders.
    pub fn new(run_dir: &Path, path: Option<&OsStr>) -> Self {
        Self::within(run_dir, client::search_dirs(path))
    }

    pub(super) fn within(run_dir: &Path, dirs: Vec<PathBuf>) -> Self {
        Self { dir: super::dir_within(run_dir), dirs }
    }

    /// Returns the command of a client for a lease. If the lease continues that of another
    /// program's client, it is that client's program.
    pub(in crate::io) fn client(&self, kind: ClientProgram, lease: &Lease) -> io::Result<Command> {
        let known = KnownPrograms::default();
        let heritage = foreign::heritage(&self.dir, lease);
        let program = match &heritage {
            Some(heritage) => {
                foreign::require_trusted(&heritage.before)?;
                DhcpProgram::like(&heritage.before, &known)
            }
            None => DhcpProgram::installed(kind, &self.dirs, &known)
                .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?,
        };
        program.check(lease).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let (files, host) = (Files::new(&self.dir, lease), client::host_name());
        let mut command = program.command(lease, &files, host.as_deref(), heritage.as_ref());
        command.process_group(0);
        if let Some(kept) = program.capabilities() {
            capability::limit(&mut command, kept);
        }
        Ok(command)
    }

    /// Returns the command of another program's client that is restarted.
    pub(in crate::io) fn foreign(&self, link: IfName, family: Family) -> io::Result<Command> {
        foreign::restart_command(&self.dir, link, family)
    }

    /// Returns the command that removes the name servers of a lease.
    pub(in crate::io) fn lease_end(&self, link: IfName, family: Family) -> Command {
        names::command(&self.dir, link, family)
    }
}
