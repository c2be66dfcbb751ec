// SPDX-License-Identifier: LGPL-2.1-or-later
//! A daemon that is killed at any instant of a define: each file has its old or its new content.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::host::{FOLDER, definition_file};
use crate::random::{Rng, seed};
use crate::support::client::RawClient;
use crate::support::daemon::Daemon;
use crate::support::namespace::in_namespace;
use crate::support::wire::{Arg, procedure};

/// The number of definitions that are sent, to all daemons together.
const DEFINE_COUNT: u32 = 1_000;

/// The largest number of definitions that one daemon answers before it is killed in the next one.
const ANSWERED_MAX: u32 = 16;

/// The latest kill, as a multiple of the time of an answered define.
const INSTANT_FACTOR: f64 = 1.5;

const NAMES: [&str; 3] = ["eth0", "eth1", "br0"];

/// A definition of `name` whose MTU shows its number, in the daemon's format. Some are longer than
/// a page.
fn version(name: &str, number: u32) -> String {
    let mtu = 1_000 + number;
    let addresses: String = (0..number % 150)
        .map(|at| format!("    <ip address='10.0.{at}.1' prefix='24'/>\n"))
        .collect();
    let protocol = match addresses.as_str() {
        "" => String::new(),
        addresses => format!("  <protocol family='ipv4'>\n{addresses}  </protocol>\n"),
    };
    let (kind, element) = match name {
        "br0" => ("bridge", "  <bridge stp='off'>\n  </bridge>\n"),
        _ => ("ethernet", ""),
    };
    format!(
        "<interface type='{kind}' name='{name}'>\n  <mtu size='{mtu}'/>\n{protocol}{element}\
         </interface>\n"
    )
}

fn content(name: &str) -> Option<String> {
    fs::read_to_string(definition_file(name)).ok()
}

/// Waits for a time that is too short for a sleep.
fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn killed_in_the_middle_of_a_define_each_file_is_old_or_new() {
    in_namespace(|| {
        let seed = seed("KILL_SEED");
        println!("KILL_SEED={seed}");
        let mut rng = Rng::with_seed(seed);
        let mut stored: BTreeMap<&str, u32> = BTreeMap::new();
        let (mut number, mut kill_count) = (0, 0);
        let (mut old_count, mut new_count) = (0, 0);
        // A running average of the time of a define.
        let mut usual = Duration::from_millis(1);
        while number < DEFINE_COUNT {
            let daemon = Daemon::start();
            let mut client = RawClient::open();
            for name in NAMES {
                let want = stored.get(name).map(|number| version(name, *number));
                assert_eq!(content(name), want, "after the start, kill {kill_count}");
                let arguments = [Arg::Text(name), Arg::Text(""), Arg::Word(1)];
                let reply = client.call(procedure::INTERFACE_GET_XML_DESC, &arguments);
                match want {
                    Some(want) => assert_eq!(reply.results().text(), want),
                    None => assert_eq!(reply.fault().code, 57),
                }
            }
            let files: Vec<_> = fs::read_dir(FOLDER).into_iter().flatten().collect();
            assert_eq!(files.len(), stored.len(), "{files:?}: temporary files are gone");
            let answered_count = rng.u32(..ANSWERED_MAX);
            let part = rng.f64();
            let mut define = |client: &mut RawClient| {
                number += 1;
                let name = NAMES[rng.usize(..NAMES.len())];
                let xml = version(name, number);
                client.send_call(procedure::INTERFACE_DEFINE_XML, &[Arg::Text(&xml), Arg::Word(0)]);
                (name, number)
            };
            for _ in 0..answered_count {
                let begun = Instant::now();
                let (name, number) = define(&mut client);
                client.receive().expect("a reply").results();
                usual = (usual * 7 + begun.elapsed()) / 8;
                stored.insert(name, number);
                assert_eq!(content(name), Some(version(name, number)), "answered is stored");
            }
            let (name, new) = define(&mut client);
            spin(usual.mul_f64(INSTANT_FACTOR * part));
            daemon.kill();
            kill_count += 1;
            let old = stored.get(name).map(|number| version(name, *number));
            let found = content(name);
            if found == Some(version(name, new)) {
                stored.insert(name, new);
                new_count += 1;
            } else {
                assert_eq!(found, old, "kill {kill_count}: neither old nor new");
                old_count += 1;
            }
        }
        println!("{kill_count} kills: {old_count} times the old file, {new_count} times the new");
        // Otherwise all kills came too early or too late.
        assert!(old_count > 0 && new_count > 0);
    });
}
