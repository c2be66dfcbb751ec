// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Shelved`]: the configuration of a link without a definition, kept when the link is taken down.
//!
//! A definition says what a link gets when it is started again; without one, only this record does.
//! It is kept until the next boot, or until another program brings the link up, and `iface-start`
//! restores it. It is stored in a file that outlives the daemon ([`crate::host::boot_file`]), as
//! netlink messages where it came from the kernel.

use std::time::Duration;

use crate::host::boot_file::{self, BootFileError};
use crate::host::state::LinkState;
use crate::limits::{SHELVED_LEASE_COUNT_MAX, SHELVED_LEN_MAX};
use crate::model::address::{Family, MacAddr};
use crate::model::lease::{Lease, NameServers};
use crate::model::name::IfName;
use crate::netlink::address::{AddressOrigin, Lifetime, Role};
use crate::netlink::link::{Link, LinkIndex};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::route::RouteRecord;
use crate::netlink::wire::messages;

/// The configuration of one link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shelved {
    pub link: IfName,
    pub index: LinkIndex,
    /// In the kernel's order.
    pub addresses: Vec<AddressRecord>,
    pub routes: Vec<RouteRecord>,
    /// The DHCP clients that this daemon ran.
    pub leases: Vec<Lease>,
}

impl Shelved {
    /// Creates the record of a link that is taken down. Routes and addresses from router
    /// advertisements are omitted, as routers advertise them again.
    pub fn new(state: &LinkState, leases: Vec<Lease>) -> Self {
        let Link { name, index, mac, .. } = *state.link();
        let addresses = state.addresses.iter().filter(|record| is_kept(record, mac));
        let routes = state.routes.iter().filter(|route| !route.is_advertised());
        let (addresses, routes) = (addresses.cloned().collect(), routes.cloned().collect());
        Self { link: name, index, addresses, routes, leases }
    }

    /// Returns whether the link has not changed since: it is down, without a master, addresses and
    /// routes.
    pub fn is_of(&self, now: &LinkState) -> bool {
        let link = now.link();
        let has_own =
            now.addresses.iter().any(|record| is_kept(record, link.mac)) || !now.routes.is_empty();
        self.is_left(link) && link.master.is_none() && !has_own
    }

    /// Returns whether the link had no configuration.
    pub(crate) fn is_bare(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty() && self.leases.is_empty()
    }

    /// Returns whether the link was not brought up since, as far as the table shows.
    pub fn is_left(&self, link: &Link) -> bool {
        link.index == self.index && link.name == self.link && !link.up
    }

    /// Encodes the file, for this boot and with the time since its beginning, including sleep.
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

    /// Decodes such a file, without addresses and routes that have expired since.
    ///
    /// # Errors
    /// It belongs to another boot, or is invalid.
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

    /// Iterates over the addresses that expire and have no DHCP client of this daemon to renew
    /// them.
    pub fn unrenewed(&self) -> impl Iterator<Item = &AddressRecord> {
        self.addresses.iter().filter(|record| {
            let is_renewed = |lease: &Lease| lease.family == record.address.prefix.family();
            record.address.lifetime == Lifetime::Finite && !self.leases.iter().any(is_renewed)
        })
    }
}

/// Returns whether an address would be lost without this record: the kernel and routers do not set
/// it again.
fn is_kept(record: &AddressRecord, mac: Option<MacAddr>) -> bool {
    /// A DHCPv6 lease is a single address; an autoconfigured one has the prefix of a network.
    const LEASED_PREFIX_LEN: u8 = 128;
    let address = &record.address;
    let is_advertised = address.prefix.family() == Family::Ipv6
        && (address.origin == AddressOrigin::RouterAdvertisement
            || address.role == Role::Temporary
            || (address.lifetime == Lifetime::Finite
                && address.prefix.prefix_len() != LEASED_PREFIX_LEN));
    !address.is_of_link(mac) && !is_advertised
}
