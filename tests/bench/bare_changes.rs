// SPDX-License-Identifier: LGPL-2.1-or-later
//! The bare program that changes a host: it sends the requests that the daemon sends, each when the
//! previous one is acknowledged, and does nothing else.
//!
//! It has a network namespace of its own, where no other program listens, and measures its own
//! time: a line on standard input starts one life cycle of a bridge, a line on standard output
//! reports how long each part took, in nanoseconds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::isolated_host;
use crate::request::{Request, Requests};
use crate::sys;

/// The argument that makes the benchmark's binary this program.
pub(crate) const ARGUMENT: &str = "--bare-changes";

/// The length of an acknowledgement's header. An errno follows, 0 on success.
const ERRNO_AT: usize = 16;

/// How long the parts of a bridge's life cycle take, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BareLife {
    pub(crate) create: f64,
    /// Until the bridge is renamed, ready to be deleted.
    pub(crate) destroy: f64,
    pub(crate) delete: f64,
}

/// Runs life cycles on request, until standard input is closed.
pub(crate) fn serve() -> io::Result<()> {
    sys::leave_namespaces()?;
    isolated_host::set_lo_up()?;
    isolated_host::add_ports()?;
    let requests = Requests::new(isolated_host::port_indices()?);
    let mut socket = File::from(sys::route_socket()?);
    for line in io::stdin().lines() {
        line?;
        let create = timed(|| send_all(&mut socket, &requests.create))?;
        let destroy = timed(|| send_all(&mut socket, &requests.destroy))?;
        let delete = timed(|| send(&mut socket, &requests.delete))?;
        println!("{create} {destroy} {delete}");
    }
    Ok(())
}

fn timed(action: impl FnOnce() -> io::Result<()>) -> io::Result<u128> {
    let begin = Instant::now();
    action()?;
    Ok(begin.elapsed().as_nanos())
}

fn send_all(socket: &mut File, requests: &[Request]) -> io::Result<()> {
    requests.iter().try_for_each(|request| send(socket, request))
}

fn send(socket: &mut File, request: &Request) -> io::Result<()> {
    socket.write_all(&request.bytes)?;
    let mut answer = [0; 1024];
    let len = socket.read(&mut answer)?;
    let errno = answer.get(..len).and_then(|answer| answer.get(ERRNO_AT..)?.first_chunk());
    match errno.map(|errno| i32::from_ne_bytes(*errno)) {
        Some(0) => Ok(()),
        Some(errno) => {
            let err = io::Error::from_raw_os_error(errno.saturating_neg());
            Err(io::Error::other(format!("{}: {err}", request.text)))
        }
        None => Err(io::Error::other(format!("{}: no answer", request.text))),
    }
}

/// The running program, as the benchmark sees it.
#[derive(Debug)]
pub(crate) struct BareChanges {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl BareChanges {
    pub(crate) fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// Has it run one life cycle of a bridge.
    pub(crate) fn live(&mut self) -> io::Result<BareLife> {
        if let Some(stdin) = &mut self.stdin {
            stdin.write_all(b"\n")?;
        }
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let mut times = line.split_whitespace().map(str::parse::<f64>);
        let mut next = || match times.next() {
            Some(Ok(nanoseconds)) => Ok(nanoseconds / 1e9),
            Some(Err(_)) | None => Err(io::Error::other("the bare program has failed")),
        };
        Ok(BareLife { create: next()?, destroy: next()?, delete: next()? })
    }
}

impl Drop for BareChanges {
    fn drop(&mut self) {
        self.stdin = None;
        if let Err(err) = self.child.wait() {
            eprintln!("bench: the bare program could not be waited for: {err}");
        }
    }
}
