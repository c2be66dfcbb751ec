// SPDX-License-Identifier: LGPL-2.1-or-later
//! The capabilities that the daemon keeps once the process that executes programs is forked.

use log::warn;

use crate::error::HostError;
use crate::model::client::Privilege;
use crate::sys::capability::{self, Capability, CapabilitySet};

/// The capabilities of root's daemon, each with the operations that need it.
const KEPT: [(Capability, &str, &str); 6] = [
    (Capability::NET_ADMIN, "CAP_NET_ADMIN", "changing links, addresses, routes and sysctls"),
    // A directory or a log file that another user owns.
    (Capability::DAC_OVERRIDE, "CAP_DAC_OVERRIDE", "files of other users"),
    // The group of a socket; the owner of a definition file that is replaced.
    (Capability::CHOWN, "CAP_CHOWN", "keeping the owners of files, and giving sockets a group"),
    // The mode of such a file, set after its owner.
    (Capability::FOWNER, "CAP_FOWNER", "keeping the modes of files of other users"),
    // /proc/PID/exe, cwd, environ and ns of a process that has more capabilities.
    (Capability::SYS_PTRACE, "CAP_SYS_PTRACE", "recognising the DHCP clients of other programs"),
    // dhcpcd runs parts of itself as another user.
    (Capability::KILL, "CAP_KILL", "ending the DHCP clients of other programs"),
];

/// Gives up all privileges but those that the daemon needs. A user's daemon needs none.
pub(super) fn give_up(privilege: Privilege) {
    let wanted: &[_] = match privilege {
        Privilege::System => &KEPT,
        Privilege::Session => &[],
    };
    let permitted = match capability::permitted() {
        Ok(permitted) => permitted,
        Err(err) => return complain(&HostError::new("read", "the capabilities", &err)),
    };
    let mut kept = CapabilitySet::NONE;
    for (capability, name, operation) in wanted {
        if permitted.contains(*capability) {
            kept = kept.with(*capability);
        } else {
            warn!("{name} is missing: {operation} may fail");
        }
    }
    // A container may have removed the right to do this, and then has most often done so itself.
    if permitted.contains(Capability::SETPCAP) {
        if let Err(err) = capability::bound(CapabilitySet::NONE) {
            complain(&HostError::new("limit", "the capabilities", &err));
        }
    }
    if let Err(err) = capability::keep(kept) {
        complain(&HostError::new("give up", "capabilities", &err));
    }
    if let Err(err) = capability::refuse_new_privileges() {
        complain(&HostError::new("refuse", "new privileges", &err));
    }
}

fn complain(err: &HostError) {
    warn!("{err}: the daemon keeps more privileges than it needs");
}
