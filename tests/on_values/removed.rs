// SPDX-License-Identifier: LGPL-2.1-or-later
//! The daemon's memory of deleted links.

use std::collections::BTreeSet;

use simulation::value_kernel::ValueKernel;
use virtinterfaced::host::boot_file::BootFileError;
use virtinterfaced::host::removed::LinkMemory;
use virtinterfaced::limits::LINK_MEMORY_LEN_MAX;
use virtinterfaced::model::name::IfName;
use virtinterfaced::model::sorted::SortedMap;
use virtinterfaced::netlink::link::LinkIndex;
use virtinterfaced::netlink::record::bridge_vlan::BridgeVlans;
use virtinterfaced::plan::survey_order;
use virtinterfaced::xdr::seal::SealError;

const HOST: &str = "\
    link eth0 nic up\n\
    link v5 vlan parent eth0 tag 5 up\n\
    link br0 bridge up\n\
    link eth1 nic master br0 up\n";

/// A memory of all links of the host.
fn memory() -> LinkMemory {
    let kernel: ValueKernel = HOST.parse().unwrap();
    let host = kernel.host();
    let mut memory = LinkMemory::default();
    for name in ["eth1", "v5", "br0"].map(|name| IfName::new(name).unwrap()) {
        let survey = kernel.survey(&survey_order(name, None));
        let mut link = survey.removable(&name, &host).unwrap();
        link.vlans = (name.as_str() == "br0").then(|| BridgeVlans::of_default(7));
        if name.as_str() == "v5" {
            // The VLAN follows its parent's address.
            link.record.link.mac = None;
        }
        memory.removed.insert(name, link);
    }
    memory.found = BTreeSet::from([LinkIndex(3), LinkIndex(9)]);
    memory
}

#[test]
fn links_are_read_as_they_were_written_and_in_their_boot_alone() {
    let memory = memory();
    let bytes = memory.encode("a");
    assert_eq!(LinkMemory::decode(&bytes, "a"), Ok(memory));
    assert_eq!(LinkMemory::decode(&bytes, "b"), Err(BootFileError::OtherBoot));
    for len in 0..bytes.len() {
        let read = LinkMemory::decode(&bytes[..len], "a");
        assert!(matches!(read, Err(BootFileError::Seal(_))), "{len}: {read:?}");
    }
    let mut rotten = bytes;
    *rotten.last_mut().unwrap() ^= 1;
    let want = Err(BootFileError::Seal(SealError::Checksum));
    assert_eq!(LinkMemory::decode(&rotten, "a"), want);
    let empty = LinkMemory::default();
    assert_eq!(LinkMemory::decode(&empty.encode("a"), "a"), Ok(empty));
}

#[test]
fn links_that_make_the_file_too_long_are_left_out() {
    let mut memory = memory();
    let br0 = IfName::new("br0").unwrap();
    let mut long = memory.removed.get(&br0).unwrap().clone();
    let room = usize::try_from(LINK_MEMORY_LEN_MAX).unwrap();
    let without = LinkMemory { removed: SortedMap::default(), ..memory.clone() };
    // Each entry is preceded by its length.
    let others = memory.encode("a").len() - without.encode("a").len() - 3 * size_of::<u32>();
    // A port's name takes eight bytes.
    let count = (room - others) / 8;
    for (missing, count) in [(0, count), (1, 1)] {
        long.ports.extend(vec![IfName::new("eth1").unwrap(); count]);
        memory.removed.insert(br0, long.clone());
        let read = LinkMemory::decode(&memory.encode("a"), "a").unwrap();
        assert_eq!(read.removed.len(), 3 - missing);
        assert_eq!(read.found, memory.found);
    }
}
