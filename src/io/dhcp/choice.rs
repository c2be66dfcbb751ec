// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Choice`]: selects the DHCP client program for a lease.
//!
//! Knows nothing of running clients.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::DhcpError;
use super::client::{self, DhcpProgram, KnownPrograms};
use crate::config::choice::DhcpClient;
use crate::model::lease::Lease;

/// The folders with DHCP clients, and the rule for choosing one.
#[derive(Clone, Debug)]
pub struct Choice {
    pub(super) choice: DhcpClient,
    pub(super) dirs: Vec<PathBuf>,
    pub(super) known: KnownPrograms,
}

impl Choice {
    /// Reads facts about the installed clients. `path` is the daemon's own PATH, which is searched
    /// before the usual folders.
    pub fn new(choice: DhcpClient, path: Option<&OsStr>) -> Self {
        Self::within(choice, client::search_dirs(path))
    }

    pub(super) fn within(choice: DhcpClient, dirs: Vec<PathBuf>) -> Self {
        let known = KnownPrograms::new(&dirs);
        Self { choice, dirs, known }
    }

    /// Returns the client for a lease, which supports everything that the lease needs.
    pub(super) fn client(&self, lease: &Lease) -> Result<DhcpProgram, DhcpError> {
        let client = DhcpProgram::find(self.choice, lease.family, &self.dirs, &self.known)?;
        client.check(lease)?;
        Ok(client)
    }
}
