// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's interface XML.

pub(crate) mod words;
pub mod error;
mod tree;
mod schema;
pub mod format;
pub mod parse;
