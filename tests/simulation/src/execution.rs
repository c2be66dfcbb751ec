// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `execution`: the bytes that arrive at the process that executes programs, or at the daemon.
//!
//! Every message that is accepted can be encoded again, and decodes to the same message. Every name
//! in an accepted request is that of a file in one directory, whatever it is joined to.

use std::path::{Component, Path};

use virtinterfaced::execution::{HookScript, Program, Report, Request, take};
use virtinterfaced::model::name::IfName;

/// See the module.
pub fn run(input: &[u8]) {
    let mut arrived = input.to_vec();
    while let Ok(Some(message)) = take(&mut arrived) {
        if let Ok(request) = Request::decode(&message) {
            let again = encoded(|out| request.encode(out));
            assert_eq!(Request::decode(&again).as_ref(), Ok(&request));
            check_names(&request);
        }
        if let Ok(report) = Report::decode(&message) {
            let again = encoded(|out| report.encode(out));
            assert_eq!(Report::decode(&again), Ok(report));
        }
    }
    assert!(arrived.len() <= input.len());
}

/// Encodes a message, and returns it as it arrives.
#[expect(clippy::expect_used, reason = "a target fails by panicking")]
fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    let message = take(&mut bytes).expect("a message that is not too long");
    assert!(bytes.is_empty());
    message.expect("a whole message")
}

fn check_names(request: &Request) {
    let Request::Start { program, .. } = request else { return };
    match program {
        Program::Hook { script: HookScript::Part(name), .. } => check_name(name.as_bytes()),
        Program::Hook { script: HookScript::Daemon, .. }
        | Program::Standby { .. }
        | Program::FileCheck { .. } => {}
        Program::DhcpClient { lease, .. } => {
            check_link(lease.link);
            lease.like.into_iter().for_each(check_link);
        }
        Program::ForeignClient { link, .. } | Program::LeaseEnd { link, .. } => check_link(*link),
    }
}

fn check_link(link: IfName) {
    assert!(link.as_str().len() < 16);
    check_name(link.as_str().as_bytes());
}

fn check_name(name: &[u8]) {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(name));
    let mut parts = path.components();
    assert!(matches!(parts.next(), Some(Component::Normal(part)) if part.as_bytes() == name));
    assert_eq!(parts.next(), None);
}
