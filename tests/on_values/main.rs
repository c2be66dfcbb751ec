// SPDX-License-Identifier: LGPL-2.1-or-later
//! Single modules of the library, on hosts and definitions that the simulation makes.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod announcements;
mod backend;
mod inquiry;
mod losses;
mod record;
mod removed;
mod restore;
mod rollback;
mod shelf;
mod snapshot;
mod definition_texts;
