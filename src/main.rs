// SPDX-License-Identifier: LGPL-2.1-or-later
//! Arguments in, exit code out.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    virtinterfaced::daemon::main(&arguments)
}
