// SPDX-License-Identifier: LGPL-2.1-or-later
//! XDR (RFC 4506), the encoding of every payload.

pub mod reader;
pub mod writer;
pub mod seal;
