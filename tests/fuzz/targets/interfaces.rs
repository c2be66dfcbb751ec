// SPDX-License-Identifier: LGPL-2.1-or-later
//! See `simulation::interfaces`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| simulation::interfaces::run(input));
