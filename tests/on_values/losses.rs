// SPDX-License-Identifier: LGPL-2.1-or-later
//! Warns of a change to a bridge that may lose the address by which the host is reached.

use simulation::value_kernel::ValueKernel;
use simulation::xml::parse;
use virtinterfaced::model::address::IpPrefix;
use virtinterfaced::model::name::IfName;
use virtinterfaced::plan::losses::losses;
use virtinterfaced::plan::refusal::PlanRefusal;
use virtinterfaced::plan::survey_order;

#[test]
fn the_way_in_is_the_address_that_a_default_route_leads_over() {
    struct Case(&'static str, &'static str, Option<&'static str>);
    let cases = [
        Case("by its network", "route eth0 default via 192.0.2.254", Some("192.0.2.1/24")),
        Case("another table", "route eth0 default via 192.0.2.254 table 100", Some("192.0.2.1/24")),
        Case("by its source", "route eth0 default via 10.0.0.1 src 10.0.0.9", Some("10.0.0.9/16")),
        Case(
            "by a peer",
            "addr eth0 10.9.0.1/32 peer 10.9.0.2\nroute eth0 default via 10.9.0.2",
            Some("10.9.0.1/32"),
        ),
        Case(
            "a gateway on no network",
            "route eth0 default via 172.31.1.1 onlink",
            Some("192.0.2.1/24"),
        ),
        Case("no gateway", "route eth0 default scope 253", Some("192.0.2.1/24")),
        Case(
            "a neighbour's own address",
            "addr eth0 2001:db8::1/64\nroute eth0 ::/0 via fe80::9",
            Some("2001:db8::1/64"),
        ),
        Case(
            "a lease that is not asked for",
            "addr eth0 10.7.0.5/16 finite 3000\nroute eth0 default via 10.7.0.1 proto dhcp",
            Some("10.7.0.5/16"),
        ),
        Case(
            "one that stays",
            "addr eth0 198.51.100.1/24\nroute eth0 default via 198.51.100.254",
            None,
        ),
        Case(
            "one of them stays",
            "addr eth0 198.51.100.1/24\nroute eth0 default via 172.31.1.1 onlink",
            None,
        ),
        Case("no default route", "route eth0 203.0.113.0/24 via 192.0.2.254", None),
        Case("of another link", "route eth1 default via 192.0.2.254", None),
    ];
    let definition = parse(
        "<interface type='bridge' name='br0'><protocol family='ipv4'>\
         <ip address='198.51.100.1' prefix='24'/></protocol>\
         <bridge><interface type='ethernet' name='eth0'/></bridge></interface>",
    );
    let definition = definition.unwrap();
    for Case(label, lines, want) in cases {
        let text = format!(
            "link eth0 nic up\nlink eth1 nic up\naddr eth1 192.0.2.9/24\n\
             addr eth0 192.0.2.1/24\naddr eth0 10.0.0.9/16\n{lines}\n"
        );
        let kernel: ValueKernel = text.parse().unwrap();
        let survey = kernel.survey(&survey_order(definition.name, Some(&definition)));
        let refused = losses(&definition, &survey).err();
        let want = want.map(|prefix| {
            let port = IfName::new("eth0").unwrap();
            let (address, len) = prefix.split_once('/').unwrap();
            let prefix = IpPrefix::new(address.parse().unwrap(), len.parse().unwrap());
            PlanRefusal::WayIn { name: definition.name, port, prefix: prefix.unwrap() }
        });
        assert_eq!(refused, want, "{label}");
    }
}
