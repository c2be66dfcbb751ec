// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`], on hosts that a kernel made of values has.

use super::*;
use crate::fuzzing::value_kernel::ValueKernel;

const HOST: &str = "
    link eth0 nic up
    addr eth0 192.0.2.1/24
    addr eth0 192.0.2.3/24 secondary
    addr eth0 2001:db8::1/64
    route eth0 default via 192.0.2.254
    route eth0 198.51.100.0/24 via 192.0.2.253 proto kernel
    link eth1 nic up
    route eth1 default via fe80::fd proto ra expires 1000
    link br0 bridge up
    link eth2 nic up master br0
    link eth0.5 vlan parent eth0 tag 5
";

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
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
fn links_are_told_by_name_what_they_belong_to() {
    let host = host();
    let link = |of: &str| host.named(&name(of)).unwrap().link().clone();
    assert_eq!(host.master_of(&link("eth2")), Some(name("br0")));
    assert_eq!(host.parent_of(&link("eth0.5")), Some(name("eth0")));
    let ports: Vec<_> = host.ports_of(&name("br0")).map(|port| port.link().name).collect();
    assert_eq!(ports, [name("eth2")]);
    assert_eq!(host.ports_of(&name("nowhere")).count(), 0);
    let few = host.only(&BTreeSet::from([name("eth2")]));
    assert_eq!(few.iter().count(), 1);
    assert_eq!(few.master_of(&link("eth2")), Some(name("br0")), "others are still known by name");
}
