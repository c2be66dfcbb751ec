// SPDX-License-Identifier: LGPL-2.1-or-later
//! Changes of the host: a plan under way, the way back, and the life of a transaction.

pub mod job;
pub mod rollback;
pub mod transaction;
