// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Choice`]: which of the host's programs gets a lease.
//!
//! Knows nothing of those that run.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::DhcpError;
use super::client::{self, Client, Known};
use crate::config::choice::DhcpClient;
use crate::model::lease::Lease;

/// Where clients are found, and how they are chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    pub(super) choice: DhcpClient,
    pub(super) dirs: Vec<PathBuf>,
    pub(super) known: Known,
}

impl Choice {
    /// `path` is the daemon's own PATH; the usual folders are looked through as well. What there is
    /// to be read about the clients is read here.
    pub fn new(choice: DhcpClient, path: Option<&OsStr>) -> Self {
        Self::within(choice, client::search_dirs(path))
    }

    pub(super) fn within(choice: DhcpClient, dirs: Vec<PathBuf>) -> Self {
        let known = Known::new(&dirs);
        Self { choice, dirs, known }
    }

    /// The client for a lease, if there is one and it can do what is asked for. A plan asks before
    /// it changes anything.
    pub fn check(&self, lease: &Lease) -> Result<(), DhcpError> {
        self.client(lease).map(|_| ())
    }

    pub(super) fn client(&self, lease: &Lease) -> Result<Client, DhcpError> {
        let client = Client::find(self.choice, lease.family, &self.dirs, &self.known)?;
        client.check(lease)?;
        Ok(client)
    }
}
