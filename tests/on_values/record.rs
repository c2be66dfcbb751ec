// SPDX-License-Identifier: LGPL-2.1-or-later
//! The record of a host: it decodes to what was encoded, and describes each link.

use simulation::value_kernel::ValueKernel;
use virtinterfaced::host::record::HostRecord;
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::link::LinkIndex;

const HOST: &str = "
    bridge-vlans
    link eth0 nic up
    addr eth0 192.0.2.1/24
    addr eth0 192.0.2.3/24 secondary
    addr eth0 2001:db8::1/64
    route eth0 default via 192.0.2.254
    route eth0 192.0.2.0/24 src 192.0.2.1 proto kernel
    link eth1 nic up
    route eth1 default via fe80::fd proto ra expires 1000
    link br0 bridge up
    link eth2 nic up master br0
    vlan eth2 20
    vlan eth2 21
    link vnet0 tun up master br0
    vlan vnet0 none
    link eth0.5 vlan parent eth0 tag 5
";

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn without_all_but(host: &HostRecord, link: IfName) -> HostRecord {
    let all = host.iter().map(|it| it.link().name);
    host.clone().without(&all.filter(|it| *it != link).collect())
}

fn host() -> HostRecord {
    HOST.parse::<ValueKernel>().unwrap().record()
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let host = host();
    let mut bytes = Vec::new();
    host.encode(&mut bytes);
    assert_eq!(HostRecord::decode(&bytes), Ok(host));
}

/// A link is removed during a dump, and another takes its name.
#[test]
fn messages_of_a_removed_link_are_not_its_successors() {
    let mut host = host();
    let mut second = host.named(&name("eth1")).unwrap().record.clone();
    let gone = second.link.index;
    second.link.index = LinkIndex(77);
    let address = host.named(&name("eth0")).unwrap().addresses[0].clone();
    host.add_link(second);
    let told = |link| {
        let mut address = address.clone();
        address.address.link = link;
        address
    };
    host.add_address(told(gone));
    assert!(host.named(&name("eth1")).unwrap().addresses.is_empty());
    host.add_address(told(LinkIndex(77)));
    assert_eq!(host.named(&name("eth1")).unwrap().addresses.len(), 1);
}

#[test]
fn each_link_has_its_own_in_the_kernels_order() {
    let host = host();
    let eth0 = host.named(&name("eth0")).unwrap();
    let addresses: Vec<_> = eth0.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1/24", "192.0.2.3/24", "2001:db8::1/64"]);
    let routes: Vec<_> = eth0.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["default via 192.0.2.254"], "the kernel makes its own again");
    assert_eq!(host.named(&name("eth1")).unwrap().routes.len(), 1);
}

#[test]
fn links_are_related_by_name() {
    let host = host();
    let link = |of: &str| host.named(&name(of)).unwrap().link().clone();
    assert_eq!(host.master_of(&link("eth2")), Some(name("br0")));
    assert_eq!(host.parent_of(&link("eth0.5")), Some(name("eth0")));
    let ports: Vec<_> = host.ports_of(&name("br0")).map(|port| port.link().name).collect();
    assert_eq!(ports, [name("eth2"), name("vnet0")]);
    assert_eq!(host.ports_of(&name("nowhere")).count(), 0);
    let few = without_all_but(&host, name("eth2"));
    assert_eq!(few.iter().map(|it| it.link().name).collect::<Vec<_>>(), [name("eth2")]);
    assert_eq!(few.master_of(&link("eth2")), Some(name("br0")), "others are still known by name");
}

#[test]
fn vlans_are_known_for_bridges_and_their_ports_only() {
    let host = host();
    let index = |of: &str| host.named(&name(of)).unwrap().link().index;
    let few = without_all_but(&host, name("eth2"));
    for host in [&host, &few] {
        let text = |of: &str| host.vlans_of(index(of)).map(ToString::to_string);
        assert_eq!(text("eth2").as_deref(), Some("vid 1 pvid untagged, vid 20-21"));
        assert_eq!(text("br0").as_deref(), Some("vid 1 pvid untagged"));
        assert_eq!(text("vnet0").as_deref(), Some(""));
        assert_eq!(text("eth0"), None);
    }
}
