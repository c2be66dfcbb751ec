// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a real kernel said, and what we make of it.
//!
//! Each folder under `tests/golden` is listed, never named file by file: a fixture without its
//! partner fails. `UPDATE_GOLDEN=1` rewrites the partners, and the difference is read like code.
//! A `.hex` file starts with a line that tells how it was captured; then come datagrams, an empty
//! line between two. They come from a little-endian machine.

#![cfg(target_endian = "little")]
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use virtinterfaced::host::Host;
use virtinterfaced::model::address::Family;
use virtinterfaced::netlink::link::LinkIndex;
use virtinterfaced::netlink::wire::{Message, WireError, messages};
use virtinterfaced::netlink::{Event, events, route};

/// The link that all look-ups of routes were about.
const ROUTE_LINK: LinkIndex = LinkIndex(10);

#[test]
fn netlink_messages_are_read_as_the_files_beside_them_say() {
    let fixtures = fixtures("netlink", "hex");
    assert!(!fixtures.is_empty(), "no fixture found");
    for path in &fixtures {
        let mut text = String::new();
        for datagram in datagrams(path) {
            for message in messages(&datagram) {
                writeln!(text, "{}", describe(&message.unwrap())).unwrap();
            }
        }
        compare(&path.with_extension("txt"), &text);
    }
    for path in self::fixtures("netlink", "txt") {
        assert!(path.with_extension("hex").exists(), "{}: no .hex beside it", path.display());
    }
}

#[test]
fn events_from_the_start_and_a_dump_at_the_end_make_the_same_host() {
    let events = host_of("life-events");
    let dump = host_of("life-dump");
    assert!(dump.link_count() > 5, "the dump is there");
    assert_eq!(events, dump);
}

#[test]
fn events_replayed_over_the_dump_they_led_to_change_nothing() {
    let mut host = host_of("life-dump");
    fold("life-events", &mut host);
    assert_eq!(host, host_of("life-dump"));
}

fn host_of(name: &str) -> Host {
    let mut host = Host::default();
    fold(name, &mut host);
    host
}

fn fold(name: &str, host: &mut Host) {
    for datagram in datagrams(&folder("netlink").join(name).with_extension("hex")) {
        for event in events(&datagram) {
            host.apply(event.unwrap());
        }
    }
}

/// One line on what we read in a message.
fn describe(message: &Message<'_>) -> String {
    let event = match Event::decode(message) {
        Ok(event) => event,
        Err(err) => return format!("{}: {err}", message.kind),
    };
    if let Some(event) = event {
        return format!("{event:?}");
    }
    match route_answer(message) {
        Ok(Some(answer)) => answer,
        Ok(None) => format!("{}: ignored", message.kind),
        Err(err) => format!("{}: {err}", message.kind),
    }
}

fn route_answer(message: &Message<'_>) -> Result<Option<String>, WireError> {
    for family in [Family::Ipv4, Family::Ipv6] {
        if let Some(answer) = route::decode(message, ROUTE_LINK, family)? {
            return Ok(Some(format!("{family:?} {answer:?}")));
        }
    }
    Ok(None)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn fixtures(name: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

fn datagrams(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path).unwrap();
    let (origin, body) = text.split_once("\n\n").unwrap();
    assert!(origin.starts_with("# "), "{}: how was it captured?", path.display());
    body.split("\n\n").map(unhex).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// Holds `actual` against the file, or writes it there if asked to.
fn compare(path: &Path, actual: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test has no daemon.rs to ask")]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|err| panic!("{}: {err}; UPDATE_GOLDEN=1 writes it", path.display()));
    assert_eq!(actual, expected, "{}", path.display());
}
