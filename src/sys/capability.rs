// SPDX-License-Identifier: LGPL-2.1-or-later
//! The capabilities of this process and of programs that it executes (capabilities(7)).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::check;

/// A set of capabilities: bit N stands for the one with number N.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CapabilitySet(u64);

/// The number of a capability, as in linux/capability.h.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capability(pub u8);

impl Capability {
    pub const CHOWN: Self = Self(0);
    pub const DAC_OVERRIDE: Self = Self(1);
    pub const FOWNER: Self = Self(3);
    pub const KILL: Self = Self(5);
    pub const SETGID: Self = Self(6);
    pub const SETUID: Self = Self(7);
    pub const SETPCAP: Self = Self(8);
    pub const NET_BIND_SERVICE: Self = Self(10);
    pub const NET_ADMIN: Self = Self(12);
    pub const NET_RAW: Self = Self(13);
    pub const SYS_CHROOT: Self = Self(18);
    pub const SYS_PTRACE: Self = Self(19);
}

impl CapabilitySet {
    pub const NONE: Self = Self(0);

    /// Returns the set with another capability.
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability.0)
    }

    /// Returns whether a capability is in the set.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & 1 << capability.0 != 0
    }
}

/// The number of a process in [`Header`] that means this one.
const THIS_PROCESS: libc::c_int = 0;

/// The layout of sets of 64 bits.
const VERSION_3: u32 = 0x2008_0522;

/// The kernel's `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// The kernel's `struct __user_cap_data_struct`, once for each half of the sets, the lower one first.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Returns the permitted capabilities of this process.
pub fn permitted() -> io::Result<CapabilitySet> {
    let mut header = Header { version: VERSION_3, pid: THIS_PROCESS };
    let mut halves = [Half::default(); 2];
    let (to, from) = (halves.as_mut_ptr(), &raw mut header);
    // SAFETY: both pointers are to live locals of the kernel's layout; version 3 has two halves.
    let rc = unsafe { libc::syscall(libc::SYS_capget, from, to) };
    check(libc::c_int::try_from(rc).unwrap_or(-1))?;
    let [low, high] = halves.map(|half| u64::from(half.permitted));
    Ok(CapabilitySet(low | high << u32::BITS))
}

/// Gives up all capabilities but these, which must be permitted.
pub fn keep(kept: CapabilitySet) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: THIS_PROCESS };
    let half = |set: u64| {
        let set = u32::try_from(set & u64::from(u32::MAX)).unwrap_or(0);
        Half { effective: set, permitted: set, inheritable: 0 }
    };
    let halves = [half(kept.0), half(kept.0 >> u32::BITS)];
    let (data, header) = (halves.as_ptr(), &raw mut header);
    // SAFETY: both pointers are to live locals of the kernel's layout; the kernel only reads the
    // sets.
    let rc = unsafe { libc::syscall(libc::SYS_capset, header, data) };
    check(libc::c_int::try_from(rc).unwrap_or(-1))?;
    Ok(())
}

/// Removes all capabilities but these from those that this process and the programs that it executes
/// may ever have.
///
/// # Errors
/// `EPERM` without CAP_SETPCAP.
pub fn bound(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..u8::try_from(u64::BITS).unwrap_or(0) {
        if kept.contains(Capability(number)) {
            continue;
        }
        let number = libc::c_ulong::from(number);
        // SAFETY: prctl takes integers.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) }) {
            // The kernel has no capability of this number, nor of a higher one.
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) => break,
            Err(err) => return Err(err),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Makes `command` run with at most these capabilities. If this process may not remove capabilities,
/// the program gets those that this process has.
pub(crate) fn limit(command: &mut Command, kept: CapabilitySet) -> &mut Command {
    let limit = move || {
        let _ = bound(kept);
        Ok(())
    };
    // SAFETY: between fork and exec only functions may be called that are safe in a signal handler.
    // The closure makes system calls; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(limit) }
}

/// Ensures that no program that this process executes gets a privilege that this process does not
/// have (PR_SET_NO_NEW_PRIVS).
pub fn refuse_new_privileges() -> io::Result<()> {
    let (yes, unused) = (libc::c_ulong::from(true), libc::c_ulong::from(false));
    // SAFETY: prctl takes integers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, unused, unused, unused) })?;
    Ok(())
}
