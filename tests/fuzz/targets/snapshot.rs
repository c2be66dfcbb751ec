// SPDX-License-Identifier: LGPL-2.1-or-later
//! See `virtinterfaced::fuzzing::snapshot`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtinterfaced::fuzzing::snapshot::run(input));
