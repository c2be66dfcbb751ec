// SPDX-License-Identifier: LGPL-2.1-or-later
//! The built daemon on a real kernel, with real clients: each test in a network namespace.
//!
//! The tests need root, iproute2, and the clients that the modules name; without them a test prints
//! `SKIP: reason`, and with `CI` or `REQUIRE_NETNS` set it fails instead.

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

#[path = "../support/random.rs"]
mod random;

mod host;
mod scene;
mod ways;
mod full_host;

mod advertised;
mod along;
mod attributes;
mod autostart;
mod beside_libvirtd;
mod bindings;
mod bridge;
mod crash;
mod crowd;
mod define;
mod dhcp;
mod faults;
mod fdb;
mod foreign;
mod freshness;
mod guests;
mod hidden;
mod host_files;
mod hostile;
mod judge;
mod keepalive;
mod late;
mod leases;
mod manager;
mod managers;
mod lockout;
mod kill;
mod misbehaviour;
mod races;
mod recovery;
mod refused_leases;
mod routes;
mod rtnl;
mod schema;
mod rollback_shortages;
mod sequences;
mod short_leases;
mod start;
mod survival;
mod sysctls;
mod transaction;
mod undefined;
mod undo;
mod user;
mod virsh;
mod virt_admin;
