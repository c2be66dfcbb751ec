// SPDX-License-Identifier: LGPL-2.1-or-later
//! The daemon's memory of a link that was taken down.

use std::time::Duration;

use simulation::value_kernel::ValueKernel;
use virtinterfaced::host::boot_file::BootFileError;
use virtinterfaced::host::shelf::Shelved;
use virtinterfaced::host::state::LinkState;
use virtinterfaced::limits::SHELVED_LEASE_COUNT_MAX;
use virtinterfaced::model::address::Family;
use virtinterfaced::model::lease::Lease;
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::link::LinkIndex;
use virtinterfaced::plan::survey_order;

const HOST: &str = "\
    link eth0 nic up\n\
    addr eth0 192.0.2.1/24\n\
    addr eth0 10.0.0.5/8 finite 3000\n\
    addr eth0 2001:db8::5/64\n\
    addr eth0 2001:db8:1::5/64 finite 3000 origin 2\n\
    route eth0 default via 192.0.2.254\n\
    route eth0 2001:db8:9::/48 via 2001:db8::9 expires 100\n\
    dhcp eth0 ipv4 without-dns\n";

fn shelved() -> (Shelved, LinkState) {
    let kernel: ValueKernel = HOST.parse().unwrap();
    let name = IfName::new("eth0").unwrap();
    let survey = kernel.survey(&survey_order(name, None));
    (survey.shelve(&name).unwrap(), survey.named(&name).unwrap().clone())
}

#[test]
fn a_links_state_is_read_as_it_was_written_and_older() {
    let (shelved, _) = shelved();
    let addresses: Vec<_> =
        shelved.addresses.iter().map(|it| it.address.prefix.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1/24", "10.0.0.5/8", "2001:db8::5/64"]);
    assert_eq!((shelved.routes.len(), shelved.leases.len()), (2, 1));
    let bytes = shelved.encode("a", Duration::from_secs(100));
    let read = |boot: &str, seconds| {
        Shelved::decode(shelved.link, &bytes, boot, Duration::from_secs(seconds))
    };
    assert_eq!(read("a", 100), Ok(shelved.clone()));
    assert_eq!(read("b", 100), Err(BootFileError::OtherBoot));
    assert_eq!(read("a", 99), Err(BootFileError::Content), "from the future");
    let later = read("a", 3_099).unwrap();
    assert_eq!((later.addresses.len(), later.routes.len()), (3, 1));
    let expired = read("a", 3_100).unwrap();
    assert_eq!((expired.addresses.len(), expired.routes.len()), (2, 1));
    for len in 0..bytes.len() {
        let part = bytes.get(..len).unwrap();
        let read = Shelved::decode(shelved.link, part, "a", Duration::from_secs(100));
        assert!(matches!(read, Err(BootFileError::Seal(_))), "{len}: {read:?}");
    }
}

#[test]
fn a_link_has_a_client_for_each_family_and_no_more() {
    let (mut shelved, _) = shelved();
    let time = Duration::from_secs(100);
    let lease = shelved.leases[0];
    let read =
        |shelved: &Shelved| Shelved::decode(shelved.link, &shelved.encode("a", time), "a", time);
    shelved.leases = vec![lease, Lease { family: Family::Ipv6, ..lease }];
    assert_eq!(shelved.leases.len(), SHELVED_LEASE_COUNT_MAX);
    assert_eq!(read(&shelved), Ok(shelved.clone()));
    shelved.leases.push(lease);
    assert_eq!(read(&shelved), Err(BootFileError::Content));
}

#[test]
fn a_link_that_was_changed_since_is_another() {
    let (shelved, mut now) = shelved();
    let is_of = |now: &LinkState| shelved.is_of(now);
    assert!(!is_of(&now), "it is up");
    now.record.link.up = false;
    assert!(!is_of(&now), "it has addresses");
    (now.addresses, now.routes) = (Vec::new(), Vec::new());
    assert!(is_of(&now));
    now.record.link.index = LinkIndex(77);
    assert!(!is_of(&now), "another link");
}

#[test]
fn a_lease_is_renewed_by_a_client_of_its_family() {
    let (mut shelved, _) = shelved();
    assert_eq!(shelved.unrenewed().count(), 0);
    shelved.leases.clear();
    assert_eq!(shelved.unrenewed().count(), 1);
}
