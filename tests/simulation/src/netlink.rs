// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `netlink`: datagrams, each preceded by two bytes with its length.
//!
//! A decoded message can be encoded and decoded again; the same event applied twice changes nothing
//! the second time; every link of any host can be described; a conversation returns only messages
//! that answer its request, and none after its end.

use crate::announce::{self, events};
use crate::input::Input;
use crate::sample;
use virtinterfaced::host::Host;
use virtinterfaced::host::describe::{self, View};
use virtinterfaced::model::address::Family;
use virtinterfaced::netlink::address::AddressEvent;
use virtinterfaced::netlink::conversation::{self, Conversation};
use virtinterfaced::netlink::link::{LinkEvent, LinkIndex};
use virtinterfaced::netlink::wire::{Message, messages};
use virtinterfaced::netlink::{Event, route};
use virtinterfaced::xml::format;

/// See the module.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut datagrams = Vec::new();
    while let Some(len) = input.number() {
        datagrams.push(input.bytes(usize::from(len)));
    }
    let mut host = Host::default();
    for datagram in &datagrams {
        for event in events(datagram).flatten() {
            check_round_trip(&event);
            host.apply(event);
        }
        for message in messages(datagram).flatten() {
            decode_route(&message);
        }
    }
    check_host(&host);
    let mut again = host.clone();
    for event in datagrams.iter().flat_map(|datagram| events(datagram)).flatten() {
        again.apply(event);
    }
    assert_eq!(again, host, "the same news twice");
    check_conversation(&datagrams);
}

fn check_round_trip(event: &Event) {
    let mut bytes = Vec::new();
    match event {
        Event::Link(LinkEvent::New(link)) => announce::link(&mut bytes, 1, link),
        Event::Address(AddressEvent::New(address)) => announce::address(&mut bytes, 1, address),
        Event::Link(
            LinkEvent::Unnameable(_) | LinkEvent::Unreadable(..) | LinkEvent::Removed(_),
        )
        | Event::Address(AddressEvent::Removed(_)) => return,
    }
    let decoded: Vec<_> = events(&bytes).collect();
    assert_eq!(decoded, [Ok(event.clone())]);
}

fn decode_route(message: &Message<'_>) {
    for family in [Family::Ipv4, Family::Ipv6] {
        if let Ok(Some(route::RouteAnswer::Default { gateway: Some(gateway), .. })) =
            route::decode(message, LinkIndex(2), family)
        {
            assert_eq!(Family::of(gateway), family);
        }
    }
}

fn check_host(host: &Host) {
    assert_eq!(host.links().count(), host.link_count(), "each link stands once under its name");
    for link in host.links() {
        let named = host.link_named(&link.name).map(|named| named.name);
        assert_eq!(named, Some(link.name));
        assert_eq!(host.link(link.index), Some(link));
        let addresses = host.addresses_of(link.index);
        assert!(addresses.iter().all(|address| address.link == link.index));
        for view in [View::Live, View::Inactive] {
            let findings = sample::findings(&describe::inspection(host, link));
            let text = format::format(&describe::interface(host, link, &findings, view));
            assert!(text.ends_with("</interface>\n"), "a whole document");
            let readable = |c: char| !c.is_control() || c == '\n';
            assert!(text.chars().all(readable), "characters that XML can carry");
        }
    }
}

fn check_conversation(datagrams: &[&[u8]]) {
    let mut conversation = Conversation::default();
    for datagram in datagrams {
        let answer = conversation.handle_datagram(datagram, |_| {});
        assert!(is_no_end(answer), "nothing was asked");
    }
    let sequence = conversation.begin();
    let mut is_over = false;
    for datagram in datagrams {
        let answer = conversation.handle_datagram(datagram, |message| {
            assert!(!is_over, "a message behind the end");
            assert_eq!(message.sequence, sequence, "an unexpected message");
        });
        assert!(!is_over || is_no_end(answer), "a second end");
        is_over |= answer != conversation::AnswerState::Pending;
    }
}

/// Whether this answer is allowed after the end of a conversation: malformed messages are reported
/// at any time.
fn is_no_end(answer: conversation::AnswerState) -> bool {
    matches!(answer, conversation::AnswerState::Pending | conversation::AnswerState::Malformed(_))
}
