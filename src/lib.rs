// SPDX-License-Identifier: LGPL-2.1-or-later
//! libvirt's daemon for host network interfaces, for hosts without systemd.
//!
//! This list is the architecture: a module may use only the modules above it, which `tests/tidy.rs`
//! checks for each file.

// Vocabulary.
pub mod release;
pub mod limits;
pub mod error;
// Bytes <-> values; pure.
pub mod model;
pub mod xdr;
pub mod netlink;
pub mod rpc;
// Values <-> meaning; pure.
pub mod xml;
pub mod config;
pub mod ifupdown;
pub mod managers;
pub mod call_errors;
pub mod proto;
pub mod host;
pub mod definitions;
pub mod snapshot;
pub mod execution;
pub mod backend;
pub mod plan;
pub mod auth;
// State over time; input and `now` go in, outputs are polled out.
pub mod shares;
pub mod session;
pub mod change;
pub mod handler;
// The outside world; thin and dull.
#[allow(unsafe_code, reason = "system calls; the only module that may")]
pub mod sys;
pub mod io;
pub mod logging;
// The loop, and the start of the program.
pub mod server;
pub mod cli;
pub mod daemon;
