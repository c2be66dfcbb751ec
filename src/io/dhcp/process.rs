// SPDX-License-Identifier: LGPL-2.1-or-later
//! A client's process: our child, or one that an earlier daemon has left running.
//!
//! The kernel tells when a child ends (SIGCHLD), and keeps its number until it is waited for. The
//! number of another is its own only as long as it lives; so it is held by a descriptor where the
//! kernel has such (Linux 5.3), else looked at again before each signal. A descriptor could be polled
//! for the end; we look every few seconds, as we must without one.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;

use super::errand::Errand;
use super::record::Identity;
use crate::sys::process;

#[derive(Debug)]
pub(super) enum Process {
    Child(Child),
    Adopted {
        identity: Identity,
        descriptor: Option<OwnedFd>,
    },
    /// The manager of all links, which has the link on our behalf.
    Manager(Box<Errand>),
}

impl Process {
    /// The process with this identity, if it is still there.
    pub(super) fn adopt(identity: Identity) -> Option<Self> {
        // Opened first and looked at then: what the descriptor is for cannot change in between.
        let descriptor = process::open_process(identity.pid).ok();
        let is_same = Identity::of(identity.pid).as_ref() == Some(&identity);
        is_same.then_some(Self::Adopted { identity, descriptor })
    }

    /// Whether no SIGCHLD comes with its end, so that it must be looked at.
    pub(super) fn is_adopted(&self) -> bool {
        matches!(self, Self::Adopted { .. })
    }

    /// What the manager of all links is to do, if it is that.
    pub(super) fn errand(&mut self) -> Option<&mut Errand> {
        if let Self::Manager(errand) = self { Some(errand) } else { None }
    }

    /// The process that a record is of.
    pub(super) fn identity(&self) -> Option<Identity> {
        match self {
            Self::Child(child) => libc::pid_t::try_from(child.id()).ok().and_then(Identity::of),
            Self::Adopted { identity, .. } => Some(identity.clone()),
            Self::Manager(errand) => Some(errand.manager().clone()),
        }
    }

    /// Whether it has ended. A child is not forgotten by this.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            // A child that somebody else has waited for has ended as well.
            Self::Child(child) => process::has_ended(child).unwrap_or(true),
            Self::Adopted { descriptor: Some(descriptor), .. } => {
                process::has_process_ended(descriptor)
            }
            Self::Adopted { identity, descriptor: None } => {
                Identity::of(identity.pid).as_ref() != Some(identity)
            }
            Self::Manager(errand) => errand.is_over(),
        }
    }

    /// The number of a process that is ours alone.
    pub(super) fn pid(&self) -> Option<libc::pid_t> {
        match self {
            Self::Child(child) => libc::pid_t::try_from(child.id()).ok(),
            Self::Adopted { identity, .. } => Some(identity.pid),
            Self::Manager(_) => None,
        }
    }

    /// Asks it to end.
    pub(super) fn terminate(&mut self) -> io::Result<()> {
        match self {
            Self::Manager(errand) => {
                errand.turn_round();
                Ok(())
            }
            Self::Child(_) | Self::Adopted { .. } => self.signal(libc::SIGTERM),
        }
    }

    /// Kills it, and whatever it has started.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Child(child) => process::kill_group(child),
            Self::Manager(errand) => {
                errand.give_up();
                Ok(())
            }
            // Its group's number may be another's by now: only the process itself is known.
            Self::Adopted { .. } => self.signal(libc::SIGKILL),
        }
    }

    fn signal(&self, signal: libc::c_int) -> io::Result<()> {
        match self {
            Self::Manager(_) => Ok(()),
            Self::Child(child) => process::signal_child(child, signal),
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

    /// Clears away what is left of one that has ended: its helpers and scripts, then itself. Says
    /// how it has ended, as far as that is known.
    pub(super) fn clear_away(self) -> String {
        match self {
            Self::Child(mut child) => {
                // The number is still the child's, so that no other group can be meant. Most often
                // the group is empty.
                let _ = process::kill_group(&child);
                child.wait().map_or_else(|err| err.to_string(), |status| status.to_string())
            }
            Self::Adopted { .. } => "no child of this daemon's".to_owned(),
            Self::Manager(_) => "dhcpcd has let go of it, or has ended".to_owned(),
        }
    }
}
