// SPDX-License-Identifier: LGPL-2.1-or-later
//! A kernel, a host and a daemon made of values, for tests; and the fuzz targets, which fuzzers and
//! the tests that replay their corpora run: one module for each target, with a `run` that takes any
//! bytes.
//!
//! Beyond "no panic" each target asserts what the daemon's module promises. The daemon does not
//! depend on this crate. As in the daemon's library, a module may name the modules above it in this
//! list.

mod input;
pub mod announce;
pub mod sample;
pub mod stanzas;
pub mod interface;
pub mod value_kernel;
pub mod view;
pub mod value_disk;
mod fate;
pub mod value_daemon;
pub mod call;
pub mod changes;
pub mod config;
pub mod definition;
pub mod execution;
pub mod frame;
pub mod interfaces;
pub mod netlink;
pub mod session;
pub mod snapshot;
pub mod xml;

/// The entry point of a target: returns, or panics.
pub type Run = fn(&[u8]);

/// The targets, by the names of their corpus directories.
pub const TARGETS: [(&str, Run); 11] = [
    ("call", call::run),
    ("changes", changes::run),
    ("config", config::run),
    ("definition", definition::run),
    ("execution", execution::run),
    ("frame", frame::run),
    ("interfaces", interfaces::run),
    ("netlink", netlink::run),
    ("session", session::run),
    ("snapshot", snapshot::run),
    ("xml", xml::run),
];
