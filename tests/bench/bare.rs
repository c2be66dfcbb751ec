// SPDX-License-Identifier: LGPL-2.1-or-later
//! The bare server: the throughput of one thread on this kernel when a call costs nothing but IO.
//!
//! It does one read and one write for each ready socket, and answers each call with a frame of the
//! size of the daemon's reply. It decodes only the procedure and checks nothing: the benchmark's
//! calls are small and arrive whole.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::client::procedure;
use crate::sys::Epoll;

/// The argument that makes the benchmark's binary the bare server; the path of its socket follows.
pub(crate) const ARGUMENT: &str = "--bare-server";

const LISTENER: usize = 0;
const HEADER_LEN: usize = 28;
const PROCEDURE_AT: usize = 12;
const TYPE_AT: usize = 16;
const TYPE_REPLY: u32 = 1;

/// Serves until it is killed.
pub(crate) fn serve(path: &Path) -> io::Result<()> {
    virtinterfaced::sys::descriptors::raise_limit()?;
    let listener = UnixListener::bind(path)?;
    let mut epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER)?;
    let mut clients = HashMap::new();
    let mut next_token = LISTENER + 1;
    let mut buffer = vec![0; 65_536];
    let mut ready = Vec::new();
    loop {
        ready.clear();
        ready.extend(epoll.wait()?);
        for token in &ready {
            if *token == LISTENER {
                let (client, _) = listener.accept()?;
                client.set_nonblocking(true)?;
                epoll.add(&client, next_token)?;
                clients.insert(next_token, client);
                next_token += 1;
            } else if let Some(client) = clients.get_mut(token) {
                if !answer(client, &mut buffer).is_ok_and(|len| len > 0) {
                    clients.remove(token);
                }
            }
        }
    }
}

/// Answers all calls of one read in one write, and returns how many bytes were read, 0 at the end.
fn answer(client: &mut UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    let len = client.read(buffer)?;
    let mut calls = buffer.get(..len).unwrap_or_default();
    let mut replies = Vec::new();
    while let Some(call_len) = word(calls, 0).and_then(|len| usize::try_from(len).ok()) {
        let reply_start = replies.len();
        let reply_len = reply_len(word(calls, PROCEDURE_AT));
        replies.extend_from_slice(calls.get(..HEADER_LEN).unwrap_or_default());
        replies.resize(reply_start + reply_len, 0);
        put_word(&mut replies, reply_start, u32::try_from(reply_len).unwrap_or(0));
        put_word(&mut replies, reply_start + TYPE_AT, TYPE_REPLY);
        calls = calls.get(call_len..).unwrap_or_default();
    }
    client.write_all(&replies)?;
    Ok(len)
}

/// The length of the daemon's reply.
fn reply_len(procedure: Option<u32>) -> usize {
    match procedure {
        Some(procedure::AUTH_LIST | procedure::GET_LIB_VERSION) => HEADER_LEN + 8,
        // A short name and a MAC address, each with its length.
        Some(procedure::LOOKUP_BY_NAME) => HEADER_LEN + 8 + 24,
        _ => HEADER_LEN,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

fn put_word(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(word) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *word = value.to_be_bytes();
    }
}
