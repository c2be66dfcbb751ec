// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of layout and escaping; those of whole hosts are in `host::describe`.

use super::*;
use crate::model::name::IfName;

fn interface(name: &str, kind: Kind) -> Interface {
    let name = IfName::new(name).unwrap();
    Interface { name, start: None, mtu: None, protocols: Vec::new(), kind }
}

#[test]
fn an_element_that_could_hold_others_has_an_end_tag_of_its_own() {
    let bare = interface("eth0", Kind::Ethernet(Ethernet::default()));
    assert_eq!(format(&bare), "<interface type='ethernet' name='eth0'>\n</interface>\n");
    let bridge = interface("br0", Kind::Bridge(Bridge::default()));
    let want = "<interface type='bridge' name='br0'>\n  <bridge>\n  </bridge>\n</interface>\n";
    assert_eq!(format(&bridge), want);
}

#[test]
fn what_xml_cannot_carry_is_escaped() {
    let odd = interface("<&>'\"ä", Kind::Ethernet(Ethernet::default()));
    let want = "<interface type='ethernet' name='&lt;&amp;&gt;&apos;&quot;ä'>\n</interface>\n";
    assert_eq!(format(&odd), want);
}

#[test]
fn a_delay_is_shown_in_seconds_with_as_few_digits_as_it_takes() {
    for (hundredths, want) in
        [(0, "0"), (1, "0.01"), (10, "0.1"), (100, "1"), (1550, "15.5"), (3000, "30")]
    {
        assert_eq!(ForwardDelay(hundredths).to_string(), want);
    }
}
