// SPDX-License-Identifier: LGPL-2.1-or-later
//! The vocabulary of host networking: values that cannot be wrong.

pub mod address;
pub mod interface;
pub mod name;
