// SPDX-License-Identifier: LGPL-2.1-or-later
//! One hostile client beside many well-behaved ones: all of those get all their answers.
//!
//! Waiting times are printed (`cargo test -- --nocapture`) but not checked, as they depend on the
//! machine.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::StopOnDrop;
use crate::support::client::RawClient;
use crate::support::command::ip_batch;
use crate::support::daemon::{Daemon, SOCKET};
use crate::support::namespace::in_namespace;
use crate::support::wire::{Arg, Head, payload, procedure};

const GOOD_CLIENT_COUNT: usize = 63;
const ROUND_COUNT: usize = 40;
const NAMES: [&str; 3] = ["lo", "veth0", "veth1"];

/// The bytes that a hostile client sends without end, and its treatment of the answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hostility {
    None,
    Garbage,
    HugeLengths,
    /// Complete messages of the maximum size, for a cheap procedure.
    HugeCalls,
    /// Valid calls whose replies are never read.
    UnreadCalls,
    /// Valid calls whose replies are read and discarded.
    ReadCalls,
    /// Connections that are closed at once.
    Connections,
}

impl Hostility {
    const ALL: [Self; 7] = [
        Self::None,
        Self::Garbage,
        Self::HugeLengths,
        Self::HugeCalls,
        Self::UnreadCalls,
        Self::ReadCalls,
        Self::Connections,
    ];

    /// The bytes that are sent repeatedly.
    fn bytes(self) -> Vec<u8> {
        let xml = payload(&[Arg::Text("veth0"), Arg::Text(""), Arg::Word(0)]);
        let call = Head::call(procedure::INTERFACE_GET_XML_DESC, 1).frame(&xml);
        match self {
            Self::None | Self::Connections => Vec::new(),
            // 41 bytes each, with every field out of its range.
            Self::Garbage => [&41_u32.to_be_bytes()[..], &[0xa5; 37]].concat().repeat(1_000),
            Self::HugeLengths => [&33_554_436_u32.to_be_bytes()[..], &[0; 60_000]].concat(),
            Self::HugeCalls => {
                Head::call(procedure::CONNECT_GET_TYPE, 1).frame(&vec![0; 33_554_408])
            }
            Self::UnreadCalls | Self::ReadCalls => call.repeat(1_000),
        }
    }

    fn flood(self, stop: &AtomicBool) {
        let bytes = self.bytes();
        while !stop.load(Ordering::Relaxed) {
            if self == Self::None {
                return;
            }
            let mut stream = UnixStream::connect(SOCKET).unwrap();
            stream.set_nonblocking(true).unwrap();
            let open = payload(&[Arg::Some("interface:///system"), Arg::Word(0)]);
            let _ = stream.write(&Head::call(procedure::CONNECT_OPEN, 1).frame(&open));
            self.flood_connection(&mut stream, &bytes, stop);
        }
    }

    /// Sends until the daemon closes this connection.
    fn flood_connection(self, stream: &mut UnixStream, bytes: &[u8], stop: &AtomicBool) {
        let mut at = 0;
        while !stop.load(Ordering::Relaxed) && self != Self::Connections {
            match stream.write(&bytes[at..]) {
                Ok(len) => at = (at + len) % bytes.len(),
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => thread::yield_now(),
                Err(_) => return,
            }
            if self != Self::UnreadCalls {
                let _ = stream.read(&mut [0; 65_536]);
            }
        }
    }
}

/// One good client's calls, whose answers are checked; returns how long each call took.
fn work() -> Vec<Duration> {
    let mut client = RawClient::open();
    let mut latencies = Vec::new();
    for _ in 0..ROUND_COUNT {
        let start = Instant::now();
        assert_eq!(client.list_all(), NAMES);
        latencies.push(start.elapsed());
        let start = Instant::now();
        assert!(client.xml("veth1").starts_with("<interface type='ethernet' name='veth1'>"));
        latencies.push(start.elapsed());
    }
    latencies
}

fn work_beside(hostility: Hostility) -> Vec<Duration> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| hostility.flood(&stop));
        let crowd: Vec<_> = (0..GOOD_CLIENT_COUNT).map(|_| scope.spawn(work)).collect();
        crowd.into_iter().flat_map(|client| client.join().expect("a good client")).collect()
    })
}

#[test]
fn one_hostile_client_does_not_keep_others_from_their_answers() {
    in_namespace(|| {
        ip_batch("link add veth0 type veth peer name veth1\nlink set veth0 up\n");
        let _daemon = Daemon::start();
        println!("latency of {GOOD_CLIENT_COUNT} clients beside one hostile, in microseconds:");
        println!("{:<12} {:>8} {:>8} {:>8}", "hostility", "median", "99 %", "worst");
        for hostility in Hostility::ALL {
            let mut latencies = work_beside(hostility);
            assert_eq!(latencies.len(), GOOD_CLIENT_COUNT * ROUND_COUNT * 2, "{hostility:?}");
            latencies.sort();
            let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_micros();
            println!("{:<12} {:>8} {:>8} {:>8}", format!("{hostility:?}"), at(50), at(99), at(100));
        }
    });
}
