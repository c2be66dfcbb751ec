// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`] in a process of several threads, which cannot fork, so requests are made
//! directly. The daemon's tests cover the messenger process.

use super::*;
use crate::netlink::conversation::{AnswerState, Conversation};
use crate::netlink::link::{LinkIndex, encode_dump, encode_lookup};
use crate::netlink::{Event, link::LinkEvent};

const LO: LinkIndex = LinkIndex(1);

/// Returns how the request with this sequence number ends, and the names of the reported links.
fn hear(messenger: &mut Messenger, sequence: u32) -> (AnswerState, Vec<String>) {
    let mut conversation = Conversation::default();
    conversation.follow(sequence);
    let mut names = Vec::new();
    while let Some(message) = messenger.receive().unwrap() {
        let answer = conversation.handle_datagram(message, |message| {
            if let Ok(Some(Event::Link(LinkEvent::New(link)))) = Event::decode(&message) {
                names.push(link.name.to_string());
            }
        });
        if answer != AnswerState::Pending {
            return (answer, names);
        }
    }
    panic!("request {sequence} has no answer");
}

#[test]
fn requests_are_answered_in_their_order() {
    let mut messenger = Messenger::open().unwrap();
    let mut requests = Vec::new();
    let [lookup, sysctl, dump, missing] = [(); 4].map(|()| messenger.next_sequence());
    encode_lookup(&mut requests, lookup, LO);
    encode_sysctl(&mut requests, sysctl, "/proc/sys/net/ipv4/conf/no such link/forwarding", 1);
    encode_dump(&mut requests, dump);
    encode_lookup(&mut requests, missing, LinkIndex(0x7fff_fff0));
    messenger.send(&requests);
    assert_eq!(hear(&mut messenger, lookup), (AnswerState::Complete, vec!["lo".to_owned()]));
    assert_eq!(hear(&mut messenger, sysctl), (AnswerState::Refused(libc::ENOENT), Vec::new()));
    let (answer, names) = hear(&mut messenger, dump);
    // Other tests that create links interrupt the dump.
    assert!(matches!(answer, AnswerState::Complete | AnswerState::Interrupted), "{answer:?}");
    assert!(names.contains(&"lo".to_owned()));
    assert_eq!(hear(&mut messenger, missing), (AnswerState::Refused(libc::ENODEV), Vec::new()));
    assert_eq!(messenger.receive().unwrap(), None, "nothing is left");
    assert_eq!(messenger.unanswered_count, 0);
}

#[test]
fn what_depends_on_what_is_refused_is_not_done() {
    let mut messenger = Messenger::open().unwrap();
    let mut requests = Vec::new();
    let sequences = [(); 5].map(|()| messenger.next_sequence());
    let links = [LO, LinkIndex(0x7fff_fff0), LO, LO, LO];
    for (at, (sequence, link)) in sequences.into_iter().zip(links).enumerate() {
        let start = requests.len();
        encode_lookup(&mut requests, sequence, link);
        if (1..4).contains(&at) {
            make_conditional(&mut requests[start..]);
        }
    }
    messenger.send(&requests);
    let cancelled = AnswerState::Refused(libc::ECANCELED);
    let want = [
        AnswerState::Complete,
        AnswerState::Refused(libc::ENODEV),
        cancelled,
        cancelled,
        // This one depends on no other.
        AnswerState::Complete,
    ];
    for (sequence, want) in sequences.into_iter().zip(want) {
        assert_eq!(hear(&mut messenger, sequence).0, want, "{sequence}");
    }
}

#[test]
fn what_nobody_has_heard_is_passed_over() {
    let mut messenger = Messenger::open().unwrap();
    let mut request = Vec::new();
    encode_lookup(&mut request, messenger.next_sequence(), LO);
    messenger.send(&request);
    let mut request = Vec::new();
    let second = messenger.next_sequence();
    encode_lookup(&mut request, second, LO);
    messenger.send(&request);
    assert_eq!(hear(&mut messenger, second), (AnswerState::Complete, vec!["lo".to_owned()]));
}

#[test]
fn requests_stand_behind_each_other() {
    let mut requests = Vec::new();
    encode_lookup(&mut requests, 7, LO);
    let len = requests.len();
    encode_sysctl(&mut requests, 8, "/proc/sys/x", -1);
    let parts: Vec<_> = split(&requests).map(<[u8]>::len).collect();
    assert_eq!(parts, [len, requests.len() - len]);
    requests.pop();
    assert_eq!(split(&requests).count(), 1, "the second is not whole");
    assert_eq!(split(b"").count(), 0);
}
