// SPDX-License-Identifier: LGPL-2.1-or-later
//! The vocabulary of host networking and of clients: values that cannot be wrong.

pub mod name;
pub mod glob;
pub mod address;
pub mod interface;
pub mod ipv6;
pub mod sorted;
pub(crate) mod shed;
pub mod utc;
pub mod sysctl;
pub mod lease;
pub mod foreign;
pub mod client;
pub mod server;
