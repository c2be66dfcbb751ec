// SPDX-License-Identifier: LGPL-2.1-or-later
//! The entry point: arguments in, exit code out.

use std::ffi::OsString;
use std::process::ExitCode;

use virtinterfaced::io::dhcp::script;
use virtinterfaced::io::standby;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next();
    let arguments: Vec<OsString> = arguments.collect();
    if script::is_called(program.as_deref()) {
        return script::run(&arguments);
    }
    if standby::is_called(program.as_deref()) {
        return virtinterfaced::daemon::standby::main(&arguments);
    }
    virtinterfaced::daemon::main(&arguments)
}
