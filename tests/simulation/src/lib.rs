// SPDX-License-Identifier: LGPL-2.1-or-later
//! A kernel, a host and a daemon that are values, for tests; and what fuzzers and the tests that
//! replay their corpora call: one module a target, each with a `run` that takes any bytes at all.
//!
//! Beyond "no panic" each target asserts what the daemon's module promises. The daemon knows nothing
//! of this crate. As in its own library, a module may name the modules above it in this list.

mod input;
pub mod sample;
pub mod interface;
pub mod value_kernel;
pub mod view;
pub mod value_daemon;
pub mod call;
pub mod changes;
pub mod config;
pub mod definition;
pub mod frame;
pub mod netlink;
pub mod session;
pub mod snapshot;
pub mod xml;

/// What a target does with an input: return, or panic.
pub type Run = fn(&[u8]);

/// The targets, by the names of their corpus folders.
pub const TARGETS: [(&str, Run); 9] = [
    ("call", call::run),
    ("changes", changes::run),
    ("config", config::run),
    ("definition", definition::run),
    ("frame", frame::run),
    ("netlink", netlink::run),
    ("session", session::run),
    ("snapshot", snapshot::run),
    ("xml", xml::run),
];
