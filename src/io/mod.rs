// SPDX-License-Identifier: LGPL-2.1-or-later
//! The outside world: files, sockets, processes, the kernel. This code makes no decisions.

pub mod folders;
pub mod files;
pub mod definitions;
pub mod boot;
pub mod boot_marker;
mod boot_file;
pub mod shelf;
pub mod link_memory;
pub mod transaction_dir;
pub mod accounts;
pub mod host_uuid;
pub mod config_file;
pub mod pid_file;
pub mod background;
pub mod listener;
pub mod activation;
pub mod executor;
pub mod standby;
pub mod supervisor;
pub mod hooks;
pub mod file_check;
pub mod ifup;
pub mod sysctl;
pub mod managers;
pub mod dhcp;
pub mod programs;
mod room;
pub mod messenger;
pub mod kernel;
pub mod channel;

/// The state after one turn of reading or writing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// No more data waits; epoll will report new data.
    Drained,
    /// The budget ran out first; edge-triggered epoll will *not* report the rest.
    Unfinished,
}
