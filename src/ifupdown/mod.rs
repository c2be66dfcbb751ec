// SPDX-License-Identifier: LGPL-2.1-or-later
//! `/etc/network/interfaces` (interfaces(5)) without loss: each byte of a file has its place.
//!
//! Three programs read this file, and their languages only look alike: [`Dialect`]. A [`tree`]
//! has the lines and stanzas of one file; [`mod@include`] finds the files that it names, and
//! [`verdict`] is for what the program itself says about a file,
//! and [`program`] recognises the program. Their meaning
//! is for [`crate::managers`] and [`crate::backend`].

pub mod line;
pub mod tree;
pub mod include;
pub mod verdict;
pub mod program;
pub mod needs;

use std::fmt;

/// The file that names all others.
pub const MAIN: &str = "/etc/network/interfaces";

/// The program that reads the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// Debian's ifupdown.
    Classic,
    /// ifupdown-ng.
    Ng,
    BusyBox,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 3] = [Self::Classic, Self::Ng, Self::BusyBox];
}

/// The name of the program.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "ifupdown",
            Self::Ng => "ifupdown-ng",
            Self::BusyBox => "BusyBox ifup",
        })
    }
}
