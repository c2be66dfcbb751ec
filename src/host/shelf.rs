// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Shelved`]: what a link had that nobody has defined, when it was taken down.
//!
//! A definition says what a link is to have when it comes up again; without one nothing does. So what
//! was taken from the link is remembered until the boot ends or somebody else brings the link up, and
//! comes back with `iface-start`. The bytes are for a file that outlives the daemon
//! ([`crate::host::boot_file`]), with netlink's messages for what the kernel says.

use std::time::Duration;

use crate::host::boot_file::{self, BootFileError};
use crate::limits::{SHELVED_LEASE_COUNT_MAX, SHELVED_LEN_MAX};
use crate::model::address::{Family, MacAddr};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::netlink::address::{Lifetime, Origin, Role};
use crate::netlink::link::{Link, LinkIndex};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::netlink::wire::messages;

/// What a link had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shelved {
    pub link: IfName,
    pub index: LinkIndex,
    /// In the kernel's order.
    pub addresses: Vec<AddressRecord>,
    pub routes: Vec<RouteRecord>,
    /// The DHCP clients of ours.
    pub leases: Vec<Lease>,
}

impl Shelved {
    /// What is to be remembered of a link that is taken down. What routers advertise they advertise
    /// again.
    pub fn new(
        link: &Link,
        addresses: &[AddressRecord],
        routes: &[RouteRecord],
        leases: Vec<Lease>,
    ) -> Self {
        Self {
            link: link.name,
            index: link.index,
            addresses: addresses
                .iter()
                .filter(|record| is_kept(record, link.mac))
                .cloned()
                .collect(),
            routes: routes.iter().filter(|route| !route.is_advertised()).cloned().collect(),
            leases,
        }
    }

    /// Whether the link is as it was left: down, no port, and without addresses and routes.
    pub fn is_of(&self, link: &Link, addresses: &[AddressRecord], routes: &[RouteRecord]) -> bool {
        let has_own =
            addresses.iter().any(|record| is_kept(record, link.mac)) || !routes.is_empty();
        self.is_left(link) && link.master.is_none() && !has_own
    }

    /// Whether the link had nothing.
    pub fn is_bare(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty() && self.leases.is_empty()
    }

    /// Whether nobody has brought the link up since, as far as the table tells.
    pub fn is_left(&self, link: &Link) -> bool {
        link.index == self.index && link.name == self.link && !link.up
    }

    /// The bytes of a file that says so, in this boot and so long after its beginning, sleep included.
    pub fn encode(&self, boot: &str, since_boot: Duration) -> Vec<u8> {
        boot_file::encode(boot, |out| {
            out.u64(u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX));
            out.u32(self.index.0);
            out.opaque_by(|told| {
                self.addresses.iter().for_each(|address| address.encode(told));
                self.routes.iter().for_each(|route| route.encode(told, self.index));
            });
            out.count(self.leases.len());
            for lease in &self.leases {
                out.flag(lease.family == Family::Ipv6);
                out.flag(lease.name_servers == NameServers::Left);
            }
        })
    }

    /// What such bytes say of a link, but for what has expired by now.
    ///
    /// # Errors
    /// They are of another boot, or make no sense.
    pub fn decode(
        link: IfName,
        bytes: &[u8],
        boot: &str,
        now: Duration,
    ) -> Result<Self, BootFileError> {
        let mut input = boot_file::decode(boot, bytes)?;
        let since_boot = Duration::from_millis(input.u64("since_boot")?);
        let elapsed = now.checked_sub(since_boot).ok_or(BootFileError::Content)?;
        let index = LinkIndex(input.u32("index")?);
        let told = input.opaque("told", usize::try_from(SHELVED_LEN_MAX).unwrap_or(usize::MAX))?;
        let (mut addresses, mut routes, mut leases) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages(told) {
            let message = message?;
            if let Some(address) = AddressRecord::decode(&message)? {
                addresses.extend(address.aged(elapsed));
            } else if let Some(route) = RouteRecord::decode(&message)? {
                routes.extend(route.aged(elapsed));
            }
        }
        for _ in 0..input.count("leases", SHELVED_LEASE_COUNT_MAX)? {
            let family = if input.flag("family")? { Family::Ipv6 } else { Family::Ipv4 };
            let is_left = input.flag("name_servers")?;
            let name_servers = if is_left { NameServers::Left } else { NameServers::Taken };
            leases.push(Lease { link, family, name_servers, wanted: None, like: None });
        }
        Ok(Self { link, index, addresses, routes, leases })
    }

    /// The addresses that expire and have no client of ours that would renew them.
    pub fn unrenewed(&self) -> impl Iterator<Item = &AddressRecord> {
        self.addresses.iter().filter(|record| {
            let is_renewed = |lease: &Lease| lease.family == record.address.prefix.family();
            record.address.lifetime == Lifetime::Finite && !self.leases.iter().any(is_renewed)
        })
    }
}

/// Whether an address is one that only somebody who knows it would set again.
fn is_kept(record: &AddressRecord, mac: Option<MacAddr>) -> bool {
    /// A DHCPv6 lease is a single address; what a router advertises is a network's.
    const LEASED_PREFIX_LEN: u8 = 128;
    let address = &record.address;
    let is_advertised = address.prefix.family() == Family::Ipv6
        && (address.origin == Origin::RouterAdvertisement
            || address.role == Role::Temporary
            || (address.lifetime == Lifetime::Finite
                && address.prefix.prefix_len() != LEASED_PREFIX_LEN));
    !address.is_of_link(mac) && !is_advertised
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::value_kernel::ValueKernel;
    use crate::host::survey::Surveyed;
    use crate::plan::survey_order;

    const HOST: &str = "\
        link eth0 nic up\n\
        addr eth0 192.0.2.1/24\n\
        addr eth0 10.0.0.5/8 finite 3000\n\
        addr eth0 2001:db8::5/64\n\
        addr eth0 2001:db8:1::5/64 finite 3000 origin 2\n\
        route eth0 default via 192.0.2.254\n\
        route eth0 2001:db8:9::/48 via 2001:db8::9 expires 100\n\
        dhcp eth0 ipv4 without-dns\n";

    fn shelved() -> (Shelved, Surveyed) {
        let kernel: ValueKernel = HOST.parse().unwrap();
        let name = IfName::new("eth0").unwrap();
        let survey = kernel.survey(&survey_order(name, None));
        (survey.shelve(&name).unwrap(), survey.named(&name).unwrap().clone())
    }

    #[test]
    fn what_a_link_had_is_read_as_it_was_written_and_older() {
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
        let read = |shelved: &Shelved| {
            Shelved::decode(shelved.link, &shelved.encode("a", time), "a", time)
        };
        shelved.leases = vec![lease, Lease { family: Family::Ipv6, ..lease }];
        assert_eq!(shelved.leases.len(), SHELVED_LEASE_COUNT_MAX);
        assert_eq!(read(&shelved), Ok(shelved.clone()));
        shelved.leases.push(lease);
        assert_eq!(read(&shelved), Err(BootFileError::Content));
    }

    #[test]
    fn a_link_that_was_changed_since_is_another() {
        let (shelved, mut now) = shelved();
        let is_of = |now: &Surveyed| shelved.is_of(&now.link, &now.addresses, &now.routes);
        assert!(!is_of(&now), "it is up");
        now.link.up = false;
        assert!(!is_of(&now), "it has addresses");
        (now.addresses, now.routes) = (Vec::new(), Vec::new());
        assert!(is_of(&now));
        now.link.index = LinkIndex(77);
        assert!(!is_of(&now), "another link");
    }

    #[test]
    fn a_lease_is_renewed_by_a_client_of_its_family() {
        let (mut shelved, _) = shelved();
        assert_eq!(shelved.unrenewed().count(), 0);
        shelved.leases.clear();
        assert_eq!(shelved.unrenewed().count(), 1);
    }
}
