// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`].

#![cfg(target_endian = "little")]

use super::*;

/// Over 192.0.2.1 through link 3, which is dead, and over 192.0.2.9 through link 4.
const LIST: &[u8] = b"\x10\0\x11\x02\x03\0\0\0\x08\0\x05\0\xc0\0\x02\x01\
    \x10\0\x04\0\x04\0\0\0\x08\0\x05\0\xc0\0\x02\x09";

#[test]
fn a_hop_of_the_links_own_leads_through_the_link_that_it_is_said_of() {
    let own = with_links(LIST, |link| Some(if link == 3 { 0 } else { link }));
    let want = b"\x10\0\0\x02\0\0\0\0\x08\0\x05\0\xc0\0\x02\x01\
        \x10\0\x04\0\x04\0\0\0\x08\0\x05\0\xc0\0\x02\x09";
    assert_eq!(own, want, "flags that the kernel refuses are left out");
    let gateway: IpAddr = "192.0.2.1".parse().unwrap();
    assert_eq!(own_gateways(&own, Family::Ipv4), [(gateway, false)]);
    let moved = with_links(&own, |link| Some(if link == 0 { 9 } else { link }));
    assert_eq!(moved.get(4..8), Some(&9_u32.to_ne_bytes()[..]));
    let rest = with_links(&own, |link| (link != 0).then_some(link));
    assert_eq!(rest, LIST[16..]);
}

#[test]
fn a_list_that_makes_no_sense_ends_where_it_does() {
    for len in 0..LIST.len() {
        let cut = with_links(&LIST[..len], Some);
        assert!(cut.len() <= len, "{len}");
    }
    assert!(with_links(b"\0\0\0\0\0\0\0\0", Some).is_empty());
}
