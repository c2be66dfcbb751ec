// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's daemon for host network interfaces, for hosts without systemd.
//!
//! This list is the architecture: a module may name the modules above it, and nothing else.
//! `tests/tidy.rs` holds every file to that.

// Vocabulary.
pub mod limits;
pub mod error;
// Bytes <-> values; pure.
pub mod model;
pub mod xdr;
pub mod rpc;
