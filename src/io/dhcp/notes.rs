// SPDX-License-Identifier: LGPL-2.1-or-later
//! Log lines about the events of leases that the script records: bound, ended, refused.
//!
//! The script writes files below the run directory, and inotify reports when it has written one.
//! Only the files count, so lost events do no harm.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use log::{debug, warn};

use super::{record, script};
use crate::io::files;
use crate::limits::{DHCP_RECORD_LEN_MAX, FOLDER_NEWS_PER_TURN_MAX};
use crate::model::address::IpPrefix;
use crate::model::lease::Lease;
use crate::sys::inotify::{self, Watch};

/// Space for the events of a lease (inotify(7) requires at least 272 bytes).
const NEWS_LEN: usize = 4096;

/// The known states of the leases.
#[derive(Debug)]
pub(super) struct Notes {
    queue: Option<OwnedFd>,
    watch: Option<Watch>,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    lease: Lease,
    bound: Option<IpPrefix>,
    refused: String,
}

impl Notes {
    pub(super) fn new() -> Self {
        let queue = inotify::queue().inspect_err(|err| warn!("leases are not logged: {err}")).ok();
        Self { queue, watch: None, known: Vec::new() }
    }

    /// Returns the inotify queue, for polling.
    pub(super) fn queue(&self) -> Option<BorrowedFd<'_>> {
        self.queue.as_ref().map(AsFd::as_fd)
    }

    /// Watches `dir`, once it exists.
    pub(super) fn watch(&mut self, dir: &Path) {
        if let (Some(queue), None) = (&self.queue, self.watch) {
            let watch = inotify::watch_folder(queue, dir);
            self.watch = watch.inspect_err(|err| debug!("cannot watch leases: {err}")).ok();
        }
    }

    /// Discards the events; the files have the state.
    pub(super) fn drain(&self) {
        let Some(queue) = &self.queue else { return };
        let mut buffer = [0; NEWS_LEN];
        for _ in 0..FOLDER_NEWS_PER_TURN_MAX {
            match inotify::read(queue, &mut buffer) {
                Ok(_) => {}
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Takes the state of a lease of an earlier daemon, without logging it.
    pub(super) fn adopt(&mut self, dir: &Path, lease: &Lease) {
        let bound = record::read_address(&record::path_of(dir, lease, "bound"));
        self.known.push(Known { lease: *lease, bound, refused: String::new() });
    }

    /// Logs changes of these leases, which are all desired leases.
    pub(super) fn look(&mut self, dir: &Path, leases: &[Lease]) {
        let is_wanted =
            |known: &Known| leases.iter().any(|it| it.is_for(known.lease.link, known.lease.family));
        self.known.retain(is_wanted);
        for lease in leases {
            let is_same = |known: &&mut Known| known.lease.is_for(lease.link, lease.family);
            match self.known.iter_mut().find(is_same) {
                Some(known) => known.look(dir),
                None => {
                    let mut known = Known { lease: *lease, bound: None, refused: String::new() };
                    known.look(dir);
                    self.known.push(known);
                }
            }
        }
    }
}

impl Known {
    fn look(&mut self, dir: &Path) {
        let lease = &self.lease;
        let path = |suffix| record::path_of(dir, lease, suffix);
        let refused = path(script::REFUSED_SUFFIX);
        if let Ok(text) = files::read_text(&refused, DHCP_RECORD_LEN_MAX) {
            let _ = fs::remove_file(&refused);
            if text != self.refused {
                warn!("DHCP lease of {lease} refused, in whole or in part: {}", text.trim_end());
                self.refused = text;
            }
        }
        let bound = record::read_address(&path("bound"));
        match (self.bound, bound) {
            (before, Some(now)) if before != Some(now) => {
                warn!("DHCP lease of {lease} bound: {now}");
            }
            // A restarted client has not asked for the address yet.
            (Some(_), None) if path("wanted").exists() => return,
            (Some(before), None) => warn!("DHCP lease of {lease} ended: {before}"),
            (_, Some(_)) | (None, None) => {}
        }
        self.bound = bound;
    }
}
