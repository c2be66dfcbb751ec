// SPDX-License-Identifier: LGPL-2.1-or-later
//! How a host's files say what is defined: one module for each format, functions of text alone.

pub mod native;
