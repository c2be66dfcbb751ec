// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of orders and answers as values, without a manager.

use super::*;
use crate::model::address::{Family, IpPrefix};

#[allow(clippy::disallowed_methods, reason = "there is no loop here")]
fn now() -> Instant {
    Instant::now()
}

fn link(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn errand(like: Option<&str>, name_servers: NameServers) -> Errand {
    let wanted = IpPrefix::new([192, 0, 2, 5].into(), 24);
    let like = like.map(link);
    let lease = Lease { link: link("br0"), family: Family::Ipv4, name_servers, wanted, like };
    Errand::lease(ProcessId::of(1).unwrap(), &lease, now())
}

#[test]
fn it_is_told_until_it_has_the_right_links() {
    let errand = errand(Some("eth0"), NameServers::Taken);
    for (has, want) in [
        (&["eth0", "eth1"][..], Some("-x eth0")),
        (&["eth0", "br0"], Some("-x eth0")),
        (&["eth1"], Some("--nodelay -r 192.0.2.5 br0")),
        (&["br0", "eth1"], None),
    ] {
        let has: Vec<_> = has.iter().map(|name| link(name)).collect();
        let order = errand.order(&has).map(|words| words.join(" "));
        assert_eq!(order.as_deref(), want, "{has:?}");
    }
}

#[test]
fn what_it_may_have_left_on_a_port_is_told_once() {
    let mut errand = errand(Some("eth0"), NameServers::Taken);
    errand.hear(&[link("br0")], now());
    assert_eq!(errand.take_stray(), None);
    errand.hear(&[link("br0"), link("eth0")], now());
    assert_eq!(errand.take_stray(), None, "the order is under way");
    errand.hear(&[link("br0")], now());
    assert_eq!(errand.take_stray(), Some(link("eth0")));
    assert_eq!(errand.take_stray(), None);
}

#[test]
fn it_lets_go_of_a_link_and_leaves_everything_there() {
    let mut errand = errand(Some("eth0"), NameServers::Left);
    assert_eq!(errand.order(&[]).unwrap().join(" "), "--nodelay -r 192.0.2.5 -C resolv.conf br0");
    errand.turn_round();
    assert_eq!(errand.order(&[link("br0")]).unwrap().join(" "), "-p -x br0");
    assert_eq!(errand.order(&[link("eth0")]), None, "it may take it by itself");
    errand.hear(&[], now());
    assert!(errand.is_over());
}

#[test]
fn orders_and_answers_are_what_dhcpcd_understands() {
    assert_eq!(encode(&["-x", "eth0"]), b"dhcpcd\0-x\0eth0\0");
    let entries = ["pid=7\0reason=CARRIER\0interface=eth0\0", "interface=eth0\0reason=BOUND\0"];
    let mut answer = entries.len().to_ne_bytes().to_vec();
    for entry in entries {
        answer.extend(entry.len().to_ne_bytes());
        answer.extend(entry.bytes());
    }
    assert_eq!(decode(&answer), Some(vec![link("eth0"), link("eth0")]));
    for len in 0..answer.len() {
        assert_eq!(decode(&answer[..len]), None, "{len}");
    }
    assert_eq!(decode(&0_usize.to_ne_bytes()), Some(Vec::new()));
    assert_eq!(decode(&[0xff; 64]), None);
}

#[test]
fn older_ones_take_no_second_order() {
    for (text, want) in [
        ("\0dhcpcd-9.4.1 starting\0", false),
        ("\0dhcpcd-10.0.6 starting\0x", true),
        ("\0dhcpcd-10.1.0 starting\0", true),
        ("dhcpcd-11 starting", true),
        ("\0dhcpcd-10.1.0\0", false),
        ("\0dhcpcd-x starting\0", false),
        ("", false),
    ] {
        assert_eq!(is_understood_by(text.as_bytes()), want, "{text}");
    }
}
