// SPDX-License-Identifier: LGPL-2.1-or-later
//! See `virtinterfaced::fuzzing::netlink`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtinterfaced::fuzzing::netlink::run(input));
