// SPDX-License-Identifier: LGPL-2.1-or-later
//! All that can be set back, asked of the kernel: the whole host, or a few of its links.

use std::collections::BTreeSet;

use log::{debug, warn};

use crate::error::HostError;
use crate::host::Host;
use crate::host::record::{HostRecord, Recorded};
use crate::io::kernel::Kernel;
use crate::limits::RESYNCS_PER_TURN_MAX;
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::bridge_vlan::{self, BridgeVlans};
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::route::{RouteRecord, encode_route_dump, link_of};
use crate::netlink::wire::Message;
use crate::netlink::{address, link};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

impl Kernel {
    /// All links with their addresses, routes and VLANs, in the kernel's own words.
    ///
    /// # Errors
    /// The kernel does not tell: what it keeps back could not be put back.
    pub fn record(&mut self, buffer: &mut [u8]) -> Result<HostRecord, HostError> {
        let mut record = HostRecord::default();
        let links = self.collect("links", link::encode_dump, buffer, link_record)?;
        links.into_iter().for_each(|link| record.add_link(link));
        let address = |message: &Message<'_>| AddressRecord::decode(message).ok().flatten();
        let addresses = self.collect("addresses", address::encode_dump, buffer, address)?;
        addresses.into_iter().for_each(|address| record.add_address(address));
        for family in FAMILIES {
            let encode = |out: &mut Vec<u8>, sequence| {
                encode_route_dump(out, sequence, family, None);
            };
            let routes = self.collect("routes", encode, buffer, |message| {
                let route = RouteRecord::decode(message).ok().flatten();
                link_of(message).zip(route.filter(RouteRecord::may_be_kept))
            })?;
            routes.into_iter().for_each(|(link, route)| record.add_route(link, route));
        }
        let sides = bridge_sides(record.iter().map(Recorded::link));
        self.record_vlans(&mut record, &sides, buffer);
        Ok(record)
    }

    /// The same of these links alone, but for VLANs; of names that no link has, nothing.
    ///
    /// # Errors
    /// As [`Kernel::record`].
    pub fn record_only(
        &mut self,
        names: &BTreeSet<IfName>,
        host: &Host,
        buffer: &mut [u8],
    ) -> Result<HostRecord, HostError> {
        let mut record = HostRecord::named_as_in(host);
        for index in names.iter().filter_map(|name| Some(host.link_named(name)?.index)) {
            let encode = |out: &mut Vec<u8>, sequence| link::encode_lookup(out, sequence, index);
            match self.collect("a link", encode, buffer, link_record) {
                Ok(links) => links.into_iter().for_each(|link| record.add_link(link)),
                Err(err) => debug!("{err}"),
            }
            let addresses = self.addresses(index, buffer)?;
            addresses.into_iter().for_each(|address| record.add_address(address));
            for family in FAMILIES {
                let encode = |out: &mut Vec<u8>, sequence| {
                    encode_route_dump(out, sequence, family, Some(index));
                };
                // A route over several links is the first one's, here as in a whole record.
                let routes = self.collect("routes", encode, buffer, |message| {
                    let is_its = link_of(message) == Some(index);
                    RouteRecord::decode(message).ok().flatten().filter(|_| is_its)
                })?;
                routes.into_iter().for_each(|route| record.add_route(index, route));
            }
        }
        self.record_vlans(&mut record, &bridge_sides(host.links()), buffer);
        Ok(record)
    }

    /// Adds the VLANs of these bridges and ports. The kernel is asked for all at once, and asks the
    /// drivers of NICs too, one of whose errors is no reason to keep or restore nothing at all. It
    /// counts links where an answer is in parts, and so passes over one where another has just gone.
    fn record_vlans(&mut self, record: &mut HostRecord, sides: &[LinkIndex], buffer: &mut [u8]) {
        for _ in 0..RESYNCS_PER_TURN_MAX {
            if sides.iter().all(|side| record.vlans_of(*side).is_some()) {
                return;
            }
            let told =
                self.collect("VLANs of bridges", bridge_vlan::encode_dump, buffer, |message| {
                    BridgeVlans::decode(message).ok().flatten()
                });
            match told {
                Ok(told) => told.into_iter().for_each(|(link, it)| record.add_vlans(link, it)),
                Err(err) => return warn!("{err}: a rollback leaves them alone"),
            }
        }
    }
}

/// Bridges and their ports.
fn bridge_sides<'a>(links: impl Iterator<Item = &'a Link> + Clone) -> Vec<LinkIndex> {
    let is_bridge = |link: &&Link| matches!(link.kind, LinkKind::Bridge(_));
    let bridges: Vec<_> = links.clone().filter(is_bridge).map(|link| link.index).collect();
    let is_side = |link: &&Link| {
        is_bridge(link) || link.master.is_some_and(|master| bridges.contains(&master))
    };
    links.filter(is_side).map(|link| link.index).collect()
}

fn link_record(message: &Message<'_>) -> Option<LinkRecord> {
    LinkRecord::decode(message).ok().flatten()
}
