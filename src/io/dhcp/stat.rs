// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Stat`]: the kernel's account of one process, /proc/PID/stat (proc_pid_stat(5)).

use std::path::Path;

use crate::io::files;
use crate::limits::DHCP_RECORD_LEN_MAX;

/// `PF_EXITING`
const EXITING: u64 = 0x4;
/// `PF_KTHREAD`
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The fields of /proc/PID/stat that distinguish processes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stat {
    /// The kernel's name for the program: at most 15 bytes.
    pub(super) program: String,
    /// Whether the process is a zombie, or gone altogether.
    pub(super) has_ended: bool,
    /// Clock ticks between the boot and the process's start.
    pub(super) started: u64,
    flags: u64,
}

impl Stat {
    /// Reads the account of a process; `None` if it does not exist.
    pub(super) fn of(pid: libc::pid_t) -> Option<Self> {
        let stat = files::read(Path::new(&format!("/proc/{pid}/stat")), DHCP_RECORD_LEN_MAX);
        Self::parse(&String::from_utf8_lossy(&stat.ok()?))
    }

    /// Parses the text. The program's name is in brackets, and may contain brackets.
    pub(super) fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.split_once('(')?;
        let (program, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let has_ended = matches!(fields.next()?, "Z" | "X");
        // The flags are the sixth field after the state, and the start time is the 19th.
        let flags = fields.nth(5)?.parse().ok()?;
        let started = fields.nth(12)?.parse().ok()?;
        Some(Self { program: program.to_owned(), has_ended, started, flags })
    }

    /// Returns whether the process is exiting: it no longer shows its arguments, and may not be
    /// reaped yet.
    pub(super) fn is_exiting(&self) -> bool {
        self.flags & EXITING != 0
    }

    /// Returns whether the process is a thread of the kernel.
    pub(super) fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "42 (a) b (c)) S 1 42 42 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 777 88 99\n";

    fn of_flags(flags: &str) -> Stat {
        Stat::parse(&STAT.replace("4194560", flags)).unwrap()
    }

    #[test]
    fn the_fields_are_found_behind_a_name_with_brackets() {
        let stat = Stat::parse(STAT).unwrap();
        assert_eq!((stat.program.as_str(), stat.started), ("a) b (c)", 777));
        assert!(!stat.has_ended);
        assert!(Stat::parse(&STAT.replace(" S ", " Z ")).unwrap().has_ended);
        for (label, text) in [
            ("is torn", STAT.split_once("777").unwrap().0),
            ("has no name", "42 S 1"),
            ("is empty", ""),
        ] {
            assert_eq!(Stat::parse(text), None, "{label}");
        }
    }

    #[test]
    fn flags_tell_exiting_processes_and_kernel_threads() {
        for (flags, is_exiting, is_thread) in
            [("4194560", false, false), ("4194564", true, false), ("2129984", false, true)]
        {
            let stat = of_flags(flags);
            assert_eq!((stat.is_exiting(), stat.is_kernel_thread()), (is_exiting, is_thread));
        }
        let own = libc::pid_t::try_from(std::process::id()).unwrap();
        assert!(!Stat::of(own).unwrap().is_exiting());
        assert_eq!(Stat::of(libc::pid_t::MAX), None, "there is no such process");
    }
}
