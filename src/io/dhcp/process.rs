// SPDX-License-Identifier: LGPL-2.1-or-later
//! A client's process: one that the executor has started, or that an earlier daemon has left running.
//!
//! The executor reports the end of its own, whose pid stays reserved until then. The pid of another
//! process is reused after its end; so it is held by a descriptor if the kernel has them
//! (Linux 5.3), else checked before each signal. A descriptor could be polled for the end, but
//! without one a check every few seconds is needed anyway, so it is used in both cases.

use std::io;
use std::os::fd::OwnedFd;

use log::debug;

use super::errand::Errand;
use super::record::ProcessId;
use crate::io::executor::{End, Execution};
use crate::model::lease::Lease;
use crate::sys::process;

#[derive(Debug)]
pub(super) enum Process {
    Child {
        execution: Execution,
        /// `None` if it had ended at once.
        identity: Option<ProcessId>,
    },
    Adopted {
        identity: ProcessId,
        descriptor: Option<OwnedFd>,
    },
    /// The manager of all links, which serves the link for the daemon.
    Manager(Box<Errand>),
}

impl Process {
    /// Returns a process that the executor has started.
    pub(super) fn started(execution: Execution) -> Self {
        let identity = ProcessId::of(execution.pid());
        Self::Child { execution, identity }
    }

    /// Treats the process as one of an earlier daemon, if the executor that would report its end has
    /// died.
    pub(super) fn settle(&mut self) {
        let Self::Child { execution, identity } = self else { return };
        if execution.end() == Some(End::Unknown) {
            if let Some(identity) = identity.take() {
                let ended = || Self::Adopted { identity: identity.clone(), descriptor: None };
                *self = Self::adopt(identity.clone()).unwrap_or_else(ended);
            }
        }
    }

    /// Returns the process with this identity, if it still exists.
    pub(super) fn adopt(identity: ProcessId) -> Option<Self> {
        // Opened first and checked afterwards: the descriptor's process cannot change in between.
        let descriptor = process::open_process(identity.pid).ok();
        let is_same = ProcessId::of(identity.pid).as_ref() == Some(&identity);
        is_same.then_some(Self::Adopted { identity, descriptor })
    }

    /// Returns whether its end is not reported, so that it must be checked.
    pub(super) fn is_adopted(&self) -> bool {
        matches!(self, Self::Adopted { .. })
    }

    /// Returns the manager's task, if it is the manager.
    pub(super) fn errand(&mut self) -> Option<&mut Errand> {
        if let Self::Manager(errand) = self { Some(errand) } else { None }
    }

    /// Returns the identity to be recorded.
    pub(super) fn identity(&self) -> Option<ProcessId> {
        match self {
            Self::Child { identity, .. } => identity.clone(),
            Self::Adopted { identity, .. } => Some(identity.clone()),
            Self::Manager(errand) => Some(errand.manager().clone()),
        }
    }

    /// Returns whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Child { execution, identity } => match execution.end() {
                Some(End::Unknown) => identity.is_none(),
                end => end.is_some(),
            },
            Self::Adopted { descriptor: Some(descriptor), .. } => {
                process::has_process_ended(descriptor)
            }
            Self::Adopted { identity, descriptor: None } => {
                ProcessId::of(identity.pid).as_ref() != Some(identity)
            }
            Self::Manager(errand) => errand.is_over(),
        }
    }

    /// Returns the pid, if the process serves only the daemon.
    pub(super) fn pid(&self) -> Option<libc::pid_t> {
        match self {
            Self::Child { execution, .. } => Some(execution.pid()),
            Self::Adopted { identity, .. } => Some(identity.pid),
            Self::Manager(_) => None,
        }
    }

    /// Asks the client of a lease to end.
    pub(super) fn ask_to_end(&mut self, lease: &Lease) {
        if let Err(err) = self.terminate() {
            debug!("cannot stop the DHCP client of {lease}: {err}");
        }
    }

    /// Asks it to end.
    pub(super) fn terminate(&mut self) -> io::Result<()> {
        match self {
            Self::Manager(errand) => {
                errand.turn_round();
                Ok(())
            }
            Self::Child { execution, .. } => {
                execution.terminate();
                Ok(())
            }
            Self::Adopted { .. } => self.signal(libc::SIGTERM),
        }
    }

    /// Kills it and its descendants.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Child { execution, .. } => {
                execution.kill_group();
                Ok(())
            }
            Self::Manager(errand) => {
                errand.give_up();
                Ok(())
            }
            // Its process group may have been reused, so only the process itself is killed.
            Self::Adopted { .. } => self.signal(libc::SIGKILL),
        }
    }

    fn signal(&self, signal: libc::c_int) -> io::Result<()> {
        match self {
            Self::Manager(_) | Self::Child { .. } => Ok(()),
            Self::Adopted { descriptor: Some(descriptor), .. } => {
                process::signal_process(descriptor, signal)
            }
            Self::Adopted { identity, descriptor: None } => {
                if self.has_ended() {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                process::signal_number(identity.pid, signal)
            }
        }
    }

    /// Cleans up after a client that has ended: kills its helpers and scripts. Returns how it ended, as far as known.
    pub(super) fn clear_away(self) -> String {
        match self {
            Self::Child { execution, .. } => {
                // The pid is still the client's, so no other group can be hit. Most often the group
                // is empty.
                execution.kill_group();
                execution.end().map(|end| end.to_string()).unwrap_or_default()
            }
            Self::Adopted { .. } => {
                "exit status unknown, as an earlier daemon started it".to_owned()
            }
            Self::Manager(_) => "dhcpcd has released the link, or has ended".to_owned(),
        }
    }
}
