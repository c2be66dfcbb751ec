// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Requirement`]: the state of a connection that a call requires.

use crate::call_errors::Driver;
use crate::error::Domain;

/// See the module. The content of each variant determines the text of the refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Requirement {
    /// Connected.
    Nothing,
    /// Opened by CONNECT_OPEN.
    Open(Driver),
    /// Opened, and not read-only.
    Write { driver: Driver, domain: Domain, api: &'static str },
}
