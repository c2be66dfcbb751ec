// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of numbers and names; those of whole documents are in `tests/golden/xml`.

use super::*;
use crate::model::interface::{Bridge, Ethernet, ForwardDelay, LinkStatus};
use crate::xml::parse::values::{decimal, delay, integer};

fn parse(text: &str) -> Result<Interface, XmlError> {
    remarked(text, Strictness::Parser).map(|(interface, _)| interface)
}

#[test]
fn numbers_are_read_as_c_reads_them() {
    struct Case(&'static str, Option<i32>, Option<i32>);
    let cases = [
        Case("0", Some(0), Some(0)),
        Case("24", Some(24), Some(24)),
        Case("024", Some(24), Some(20)),
        Case("0x18", None, Some(24)),
        Case("0X1f", None, Some(31)),
        Case("08", Some(8), None),
        Case(" \t\n+24", Some(24), Some(24)),
        Case("-24", Some(-24), Some(-24)),
        Case("2147483647", Some(i32::MAX), Some(i32::MAX)),
        Case("2147483648", None, None),
        Case("-2147483648", Some(i32::MIN), Some(i32::MIN)),
        Case("-2147483649", None, None),
        Case("99999999999999999999", None, None),
        Case("", None, None),
        Case("0x", None, None),
        Case("24 ", None, None),
        Case("+-24", None, None),
        Case("0x-1", None, None),
        Case("- 24", None, None),
        Case("2four", None, None),
        Case("٣", None, None),
    ];
    for Case(text, ten, c) in cases {
        assert_eq!((integer(text, Radix::Ten), integer(text, Radix::C)), (ten, c), "{text:?}");
    }
    assert_eq!(unsigned("4294967295", Radix::Ten), Some(u32::MAX));
    for text in ["4294967296", "-1", "-0", ""] {
        assert_eq!(unsigned(text, Radix::Ten), None, "{text:?}");
    }
    assert_eq!([" 7\n", "007", "+7", "", "-0"].map(decimal), [Some(7), Some(7), None, None, None]);
}

#[test]
fn a_delay_is_seconds_that_hundredths_can_hold() {
    struct Case(&'static str, Result<u32, Flaw>);
    let cases = [
        Case("0", Ok(0)),
        Case("15", Ok(1500)),
        Case("1.5", Ok(150)),
        Case("0.01", Ok(1)),
        Case("00.5000", Ok(50)),
        Case(".5", Ok(50)),
        Case("5.", Ok(500)),
        Case(" +2 ", Ok(200)),
        Case("42949672.95", Ok(u32::MAX)),
        Case("42949672.96", Err(Flaw::DelayOver)),
        Case("42949673", Err(Flaw::DelayOver)),
        Case("99999999999999999999", Err(Flaw::DelayOver)),
        Case("0.015", Err(Flaw::Delay)),
        Case("-1", Err(Flaw::Delay)),
        Case("1e1", Err(Flaw::Delay)),
        Case("INF", Err(Flaw::Delay)),
        Case(".", Err(Flaw::Delay)),
        Case("1.2.3", Err(Flaw::Delay)),
        Case("1,5", Err(Flaw::Delay)),
        Case("", Err(Flaw::Delay)),
    ];
    for Case(text, want) in cases {
        assert_eq!(delay(text), want.map(ForwardDelay), "{text:?}");
    }
}

#[test]
fn the_bounds_of_numbers_are_where_they_are_said_to_be() {
    let mtu = |size: u32| {
        parse(&format!("<interface type='ethernet' name='a'><mtu size='{size}'/></interface>"))
    };
    assert_eq!(mtu(MTU_MAX).map(|interface| interface.mtu), Ok(Some(MTU_MAX)));
    assert_eq!(mtu(MTU_MAX + 1), Err(XmlError::Interface(ParseRefusal::MtuOver)));
    let delay = |stp: &str, seconds: &str| {
        parse(&format!(
            "<interface type='bridge' name='a'><bridge {stp} delay='{seconds}'/></interface>"
        ))
        .map(|interface| interface.kind)
    };
    let bridge = |stp, hundredths| {
        let delay = Some(ForwardDelay(hundredths));
        Ok(Kind::Bridge(Bridge { stp, delay, ports: Vec::new() }))
    };
    assert_eq!(delay("stp='on'", "30"), bridge(Some(true), 3000));
    assert_eq!(delay("stp='off'", "30.01"), bridge(Some(false), 3001));
    assert_eq!(delay("", "30.01"), bridge(None, 3001));
    assert_eq!(delay("stp='on'", "100"), bridge(Some(true), 10_000), "the kernel makes it 30");
}

#[test]
fn a_link_that_says_nothing_is_as_none() {
    for link in ["<link/>", "<link speed='0' state=''/>", ""] {
        let text = format!("<interface type='ethernet' name='a'>{link}</interface>");
        let ethernet = Ethernet { link: LinkStatus::default(), mac: None };
        assert_eq!(parse(&text).unwrap().kind, Kind::Ethernet(ethernet), "{link}");
    }
}

#[test]
fn a_thousand_ports_in_a_chain_are_read_in_time() {
    let mut text = "<interface type='bridge' name='b'><bridge>".to_owned();
    for number in 0..2000 {
        text += &format!(
            "<interface type='vlan' name='v{number}'><vlan tag='1'><interface name='v{}'/></vlan></interface>",
            number + 1
        );
    }
    text += "</bridge></interface>";
    assert!(parse(&text).is_ok());
    let circle = text.replace("name='v2000'", "name='v0'");
    assert_eq!(parse(&circle), Err(flaw("interface", "name", "v0", Flaw::OwnParent)));
}
