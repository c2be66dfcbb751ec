// SPDX-License-Identifier: LGPL-2.1-or-later
//! Arguments in, exit code out.

fn main() {}
