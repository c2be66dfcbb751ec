// SPDX-License-Identifier: LGPL-2.1-or-later
//! The built daemon from its command line to its end: options, configuration, sockets, pid file.
//!
//! Each test has namespaces of its own, so the machine's daemon, sockets and configuration are out
//! of reach. The tests need root; without it a test prints `SKIP: reason`, and with `CI` or
//! `REQUIRE_NETNS` set it fails instead.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, waits by sleeping, and says what it measured"
)]

#[path = "../support/mod.rs"]
mod support;

mod activation;
mod background;
mod client_config;
mod command_line;
mod configuration;
mod executor;
mod hooks;
mod lifetime;
mod limits;
mod logging;
mod pid_file;
mod privileges;
mod reload;
mod restart;
mod shares;
mod user;
mod signals;
mod sockets;
