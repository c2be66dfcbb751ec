// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`]: the steps that no golden plan has. The others are read there.

use super::*;
use crate::definitions::files::FilePath;
use crate::model::interface::MiiCarrier;
use crate::netlink::link::LinkBond;
use crate::plan::request::LinkValue;

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn edit(before: Option<&str>, after: Option<&str>) -> Step {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    let path = FilePath::new("br0.xml").unwrap();
    Step::File(FileStep::Edit(FileEdit { path, before: bytes(before), after: bytes(after) }))
}

#[test]
fn steps_read_as_they_would_be_said() {
    let link = name("eth0");
    let wanted = IpPrefix::new("192.0.2.1".parse().unwrap(), 24);
    let lease =
        Lease { link, family: Family::Ipv6, name_servers: NameServers::Left, wanted, like: None };
    let off = LinkBond { carrier: MiiCarrier::Ioctl, ..LinkBond::default() };
    let drop = Step::Dhcp(DhcpStep::Drop { lease, addresses: Vec::new(), routes: Vec::new() });
    struct Case(Step, &'static str);
    let cases = [
        Case(edit(None, Some("x")), "file write br0.xml"),
        Case(edit(Some("x"), None), "file remove br0.xml"),
        Case(edit(Some("x"), Some("y")), "file rewrite br0.xml"),
        Case(
            Step::Dhcp(DhcpStep::Start(lease)),
            "dhcp start ipv6 on eth0 for 192.0.2.1/24 without name servers",
        ),
        Case(drop, "dhcp drop ipv6 on eth0 for 192.0.2.1/24 without name servers"),
        Case(
            Step::Request(KernelRequest::SetLink {
                link,
                value: LinkValue::MonitorAgain(Box::new(off)),
            }),
            "link set eth0 miimon 0 arp_interval 0",
        ),
        Case(Step::WaitFor(Condition::Down(link)), "wait until eth0 is down"),
    ];
    for Case(step, want) in cases {
        assert_eq!(step.to_string(), want);
    }
}

#[test]
fn an_mtu_is_of_one_link() {
    let request = KernelRequest::SetLink { link: name("eth0"), value: LinkValue::Mtu(9000) };
    assert_eq!(request.mtu_of(&name("eth0")), Some(9000));
    assert_eq!(request.mtu_of(&name("eth1")), None);
    assert_eq!(KernelRequest::DeleteLink(name("eth0")).mtu_of(&name("eth0")), None);
}

#[test]
fn only_what_is_waited_for_in_earnest_is_required() {
    let link = name("eth0");
    let leased = Condition::Leased { link, family: Family::Ipv4, besides: Vec::new() };
    assert!(leased.is_required() && Condition::Gone(link).is_required());
    assert!(!Condition::Up(link).is_required() && !Condition::Down(link).is_required());
}
