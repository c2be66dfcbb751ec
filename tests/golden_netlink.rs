// SPDX-License-Identifier: LGPL-2.1-or-later
//! Decodes messages that were captured from a real kernel.
//!
//! Each capture is a file of datagrams, from a little-endian machine.

#![cfg(target_endian = "little")]
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write as _;

use golden::{Capture, compare_all, folder};
use simulation::announce::events;
use virtinterfaced::host::Host;
use virtinterfaced::model::address::Family;
use virtinterfaced::netlink::link::LinkIndex;
use virtinterfaced::netlink::wire::{Message, WireError, messages};
use virtinterfaced::netlink::{Event, route};

/// The link of all route look-ups.
const ROUTE_LINK: LinkIndex = LinkIndex(10);

#[test]
fn netlink_messages_are_read_as_the_files_beside_them_say() {
    compare_all("netlink", |capture| {
        let mut text = String::new();
        for datagram in &capture.messages {
            for message in messages(datagram) {
                writeln!(text, "{}", describe(&message.unwrap())).unwrap();
            }
        }
        text
    });
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
    let capture = Capture::read(&folder("netlink").join(name).with_extension("hex"));
    assert!(capture.origin.contains("Linux"), "{name}: of which kernel?");
    for datagram in &capture.messages {
        for event in events(datagram) {
            host.apply(event.unwrap());
        }
    }
}

/// One line about a decoded message.
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
