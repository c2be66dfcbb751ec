// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`]. `tests/golden.rs` replays the events of a real kernel.

use super::*;
use crate::model::address::IpPrefix;
use crate::model::interface::OperState;
use crate::netlink::address::{AddressOrigin, Lifetime, Role, Scope};
use crate::netlink::link::LinkBridge;

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn link(index: u32, called: &str) -> Link {
    Link {
        index: LinkIndex(index),
        name: name(called),
        up: false,
        mtu: 1500,
        mac: None,
        carrier: true,
        oper_state: OperState::Down,
        master: None,
        parent: None,
        kind: LinkKind::Nic,
    }
}

fn there(index: u32, called: &str) -> Event {
    Event::Link(LinkEvent::New(link(index, called)))
}

fn gone(index: u32) -> Event {
    Event::Link(LinkEvent::Removed(LinkIndex(index)))
}

fn address(index: u32, ip: &str, role: Role) -> Address {
    Address {
        link: LinkIndex(index),
        prefix: IpPrefix::new(ip.parse().unwrap(), 24).unwrap(),
        peer: None,
        role,
        scope: Scope::Global,
        lifetime: Lifetime::Permanent,
        origin: AddressOrigin::Unknown,
    }
}

fn has(address: Address) -> Event {
    Event::Address(AddressEvent::New(address))
}

fn host(events: impl IntoIterator<Item = Event>) -> Host {
    let mut host = Host::default();
    events.into_iter().for_each(|event| host.apply(event));
    host
}

fn names<'a>(links: impl IntoIterator<Item = &'a Link>) -> Vec<&'a str> {
    links.into_iter().map(|link| link.name.as_str()).collect()
}

#[test]
fn links_are_found_by_index_and_name_and_listed_by_name() {
    let mut host = host([there(3, "c"), there(1, "b"), there(2, "a")]);
    assert_eq!(names(host.links()), ["a", "b", "c"]);
    assert_eq!(host.link(LinkIndex(1)), Some(&link(1, "b")));
    assert_eq!(host.link_named(&name("c")), Some(&link(3, "c")));
    assert_eq!(host.link_named(&name("d")), None);
    assert_eq!(host.link_count(), 3);
    host.clear();
    assert_eq!(host, Host::default());
}

#[test]
fn links_come_leave_and_are_renamed() {
    let mut host = host([there(1, "a"), there(2, "b"), there(1, "a")]);
    let came = |index, called| LinkNews::Came((name(called), LinkIndex(index)));
    let left = |index, called| LinkNews::Left((name(called), LinkIndex(index)));
    assert_eq!(host.take_link_news(), [came(1, "a"), came(2, "b")]);
    host.apply(there(2, "c"));
    assert_eq!(host.take_link_news(), [left(2, "b"), came(2, "c")]);
    host.apply(gone(2));
    host.apply(gone(2));
    host.apply(there(1, "a"));
    assert_eq!(host.take_link_news(), [left(2, "c")]);
    host.clear();
    host.apply(there(1, "a"));
    assert_eq!(host.take_link_news(), [came(1, "a")]);
}

#[test]
fn a_link_is_what_its_last_message_says() {
    let mut host = host([there(1, "a"), has(address(1, "192.0.2.1", Role::Primary))]);
    host.apply(there(1, "b"));
    assert_eq!(names(host.links()), ["b"]);
    assert_eq!(host.addresses_of(LinkIndex(1)).len(), 1);
    host.apply(gone(1));
    assert_eq!(host, Host::default());
    host.apply(gone(1));
    assert_eq!(host, Host::default());
}

#[test]
fn an_unnameable_link_is_left_out_until_it_gets_a_name() {
    let mut host = host([there(1, "a"), has(address(1, "192.0.2.1", Role::Primary))]);
    host.apply(Event::Link(LinkEvent::Unnameable(LinkIndex(1))));
    assert_eq!((host.link_count(), host.links().count()), (0, 0));
    host.apply(there(1, "b"));
    assert_eq!(host.addresses_of(LinkIndex(1)).len(), 1, "its addresses are still known");
}

#[test]
fn events_older_than_the_dump_lead_to_the_same_host() {
    let first = address(1, "192.0.2.1", Role::Primary);
    let second = address(1, "198.51.100.1", Role::Primary);
    let without = |address: Address| Event::Address(AddressEvent::Removed(address.id()));
    let histories = [
        ("a rename", vec![there(1, "a"), there(1, "b")]),
        ("and back", vec![there(1, "a"), there(1, "b"), there(1, "a")]),
        (
            "two names swapped",
            vec![there(1, "a"), there(2, "b"), there(1, "t"), there(2, "a"), there(1, "b")],
        ),
        ("a name passed on", vec![there(1, "a"), gone(1), there(2, "a"), gone(2), there(3, "a")]),
        ("a name taken from a younger link", vec![there(2, "a"), there(2, "b"), there(1, "a")]),
        (
            "an index used again",
            vec![there(1, "a"), has(first), gone(1), there(1, "a"), has(second)],
        ),
        ("an address that moves", vec![has(first), has(second), without(first), has(first)]),
        ("an address before its link", vec![has(first), there(1, "a")]),
    ];
    for (label, history) in histories {
        let now = host(history.clone());
        // The dump may come after any part of the history, all of which was queued meanwhile.
        for start in 0..history.len() {
            let before = host(history[..start].to_vec());
            let mut replayed = now.clone();
            history[start..].iter().for_each(|event| replayed.apply(event.clone()));
            assert_eq!(replayed, now, "{label}, from {start}");
            // A dump in the middle leads to the same host.
            let mut caught_up = before;
            history[start..].iter().for_each(|event| caught_up.apply(event.clone()));
            assert_eq!(caught_up, now, "{label}, up from {start}");
        }
    }
}

#[test]
fn an_address_of_a_removed_link_is_gone_and_no_other() {
    let of = |index| address(index, "192.0.2.1", Role::Primary);
    let host = host([has(of(1)), has(of(2)), has(of(3)), gone(2)]);
    assert_eq!(host.addresses_of(LinkIndex(1)), [of(1)]);
    assert_eq!(host.addresses_of(LinkIndex(2)), []);
    assert_eq!(host.addresses_of(LinkIndex(3)), [of(3)]);
}

#[test]
fn addresses_come_by_family_then_role_then_value() {
    let sorted = [
        address(1, "192.0.2.9", Role::Primary),
        address(1, "198.51.100.1", Role::Primary),
        address(1, "192.0.2.1", Role::Secondary),
        address(1, "2001:db8::2", Role::Primary),
        address(1, "2001:db8::1", Role::Temporary),
    ];
    let forward = host(sorted.map(has));
    let backward = host(sorted.map(has).into_iter().rev());
    assert_eq!(forward.addresses_of(LinkIndex(1)), sorted);
    assert_eq!(forward, backward);
}

#[test]
fn two_peers_make_two_addresses() {
    let peer = |ip: &str| Some(ip.parse().unwrap());
    let near = address(1, "192.0.2.1", Role::Primary);
    let (one, two) =
        (Address { peer: peer("192.0.2.2"), ..near }, Address { peer: peer("192.0.2.3"), ..near });
    let mut host = host([has(one), has(two)]);
    assert_eq!(host.addresses_of(LinkIndex(1)), [one, two]);
    host.apply(Event::Address(AddressEvent::Removed(one.id())));
    assert_eq!(host.addresses_of(LinkIndex(1)), [two]);
}

#[test]
fn ports_and_taps_are_hidden() {
    let bridge = Link { kind: LinkKind::Bridge(LinkBridge::default()), ..link(1, "br0") };
    let bond = Link { kind: LinkKind::Bond(Box::default()), ..link(2, "bond0") };
    let port =
        |index, called, master| Link { master: Some(LinkIndex(master)), ..link(index, called) };
    let cases = [
        ("a bridge", bridge, false),
        ("a bond", bond, false),
        ("a VRF", link(3, "vrf0"), false),
        ("a port of a bridge", port(4, "z", 1), true),
        ("another, found first by name", port(5, "y", 1), true),
        ("a member of a bond", port(6, "x", 2), true),
        ("a port of something else", port(7, "w", 3), false),
        ("a port of a link that is not there", port(8, "v", 99), false),
        ("a tap", Link { kind: LinkKind::Tun, ..link(9, "u") }, true),
    ];
    let host = host(cases.iter().map(|(_, link, _)| Event::Link(LinkEvent::New(link.clone()))));
    for (label, link, want) in &cases {
        assert_eq!(host.is_hidden(link), *want, "{label}");
    }
    assert_eq!(names(host.ports_of(LinkIndex(1))), ["y", "z"]);
    assert_eq!(names(host.ports_of(LinkIndex(2))), ["x"]);
    assert!(host.ports_of(LinkIndex(98)).is_empty());
}

#[test]
fn a_port_moves_is_renamed_and_goes() {
    let port = |index, called, master| {
        let master = Some(LinkIndex(master));
        Event::Link(LinkEvent::New(Link { master, ..link(index, called) }))
    };
    let mut host = host([there(1, "b"), there(2, "c"), port(3, "x", 1), port(4, "y", 1)]);
    host.apply(port(3, "z", 1));
    assert_eq!(names(host.ports_of(LinkIndex(1))), ["y", "z"]);
    host.apply(port(4, "y", 2));
    assert_eq!(names(host.ports_of(LinkIndex(1))), ["z"]);
    assert_eq!(names(host.ports_of(LinkIndex(2))), ["y"]);
    host.apply(there(3, "z"));
    host.apply(gone(4));
    assert!(host.ports_of(LinkIndex(1)).is_empty());
    assert!(host.ports_of(LinkIndex(2)).is_empty());
}

#[test]
fn each_event_about_a_link_makes_another_version() {
    let mut host = host([there(1, "a")]);
    let mut seen = vec![host.version()];
    for event in [there(2, "b"), there(2, "c"), gone(2)] {
        host.apply(event);
        assert!(!seen.contains(&host.version()));
        seen.push(host.version());
    }
    host.apply(has(address(1, "192.0.2.1", Role::Primary)));
    assert_eq!(seen.last(), Some(&host.version()), "lists show no addresses");
    host.clear();
    assert!(!seen.contains(&host.version()));
}
