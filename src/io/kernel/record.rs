// SPDX-License-Identifier: LGPL-2.1-or-later
//! All that can be set back, asked of the kernel: the whole host, or a few of its links.

use std::collections::BTreeSet;

use log::{debug, warn};

use crate::error::HostError;
use crate::host::Host;
use crate::host::record::{HostRecord, Recorded};
use crate::host::survey::Survey;
use crate::io::kernel::Kernel;
use crate::limits::RESYNCS_PER_TURN_MAX;
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::address::encode_family;
use crate::netlink::link::{Link, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::apart::Apart;
use crate::netlink::record::bridge_vlan::{self, BridgeVlans};
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::nexthop::{NexthopRecord, encode_nexthop_dump};
use crate::netlink::record::route::{RouteRecord, encode_route_dump, link_of};
use crate::netlink::record::rule::encode_rule_dump;
use crate::netlink::record::wide::is_wide;
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
        self.record_ways(&mut record, buffer)?;
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
            if let Some(link) = self.link_record(index, buffer) {
                record.add_link(link);
            }
            let addresses = self.addresses(index, buffer)?;
            addresses.into_iter().for_each(|address| record.add_address(address));
        }
        self.record_ways(&mut record, buffer)?;
        self.record_vlans(&mut record, &bridge_sides(host.links()), buffer);
        Ok(record)
    }

    /// One link in the kernel's own words. `None` if it is gone.
    pub(super) fn link_record(
        &mut self,
        index: LinkIndex,
        buffer: &mut [u8],
    ) -> Option<LinkRecord> {
        let encode = |out: &mut Vec<u8>, sequence| link::encode_lookup(out, sequence, index);
        let told = self.collect("a link", encode, buffer, link_record);
        told.map_err(|err| debug!("{err}")).ok()?.into_iter().next()
    }

    /// Adds the routes of the links that are in the record, and all that decides where packets go and
    /// belongs to no one link.
    fn record_ways(&mut self, record: &mut HostRecord, buffer: &mut [u8]) -> Result<(), HostError> {
        let name_of = |index| record.name_of(index);
        let apart = |message: &Message<'_>| Apart::decode(message, name_of).ok().flatten();
        let mut aparts = self.collect("next hops", encode_nexthop_dump, buffer, apart)?;
        let mut routes = Vec::new();
        for family in FAMILIES {
            let rules = |out: &mut Vec<u8>, sequence| encode_rule_dump(out, sequence, family);
            aparts.extend(self.collect("rules", rules, buffer, |message| {
                apart(message).filter(|_| is_of_family(message, family))
            })?);
            let all = |out: &mut Vec<u8>, sequence| {
                encode_route_dump(out, sequence, family, None);
            };
            let told = self.collect("routes", all, buffer, |message| match () {
                () if !is_of_family(message, family) => None,
                () if is_wide(message) => apart(message).map(Way::Apart),
                () => {
                    let link = link_of(message).filter(|link| {
                        name_of(*link).is_some_and(|it| record.named(&it).is_some())
                    });
                    let route = link.and_then(|_| RouteRecord::decode(message).ok().flatten());
                    link.zip(route.filter(RouteRecord::may_be_kept))
                        .map(|(link, it)| Way::Of(link, it))
                }
            })?;
            for way in told {
                match way {
                    Way::Of(link, route) => routes.push((link, route)),
                    Way::Apart(apart) => aparts.push(apart),
                }
            }
        }
        record.add_routes(routes);
        aparts.into_iter().for_each(|apart| record.add_apart(apart));
        Ok(())
    }

    /// All nexthop objects, but for those of routing daemons.
    pub(super) fn nexthops(
        &mut self,
        host: &Host,
        buffer: &mut [u8],
    ) -> Result<Vec<NexthopRecord>, HostError> {
        let name_of = |index| host.link(index).map(|link| link.name);
        self.collect("next hops", encode_nexthop_dump, buffer, |message| {
            NexthopRecord::decode(message, name_of).ok().flatten()
        })
    }

    /// Adds the VLANs of bridges and ports to a survey.
    pub(super) fn survey_vlans(&mut self, survey: &mut Survey, buffer: &mut [u8]) {
        match self.bridge_vlans(buffer) {
            Ok(told) => told.into_iter().for_each(|(link, it)| survey.set_vlans(link, it)),
            Err(err) => warn!("{err}: links that are made again do not get them back"),
        }
    }

    fn bridge_vlans(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Vec<(LinkIndex, BridgeVlans)>, HostError> {
        self.collect("VLANs of bridges", bridge_vlan::encode_dump, buffer, |message| {
            BridgeVlans::decode(message).ok().flatten()
        })
    }

    /// Adds the VLANs of these bridges and ports. The kernel is asked for all at once, and asks the
    /// drivers of NICs too, one of whose errors is no reason to keep or restore nothing at all. It
    /// counts links where an answer is in parts, and so passes over one where another has just gone.
    fn record_vlans(&mut self, record: &mut HostRecord, sides: &[LinkIndex], buffer: &mut [u8]) {
        for _ in 0..RESYNCS_PER_TURN_MAX {
            if sides.iter().all(|side| record.vlans_of(*side).is_some()) {
                return;
            }
            match self.bridge_vlans(buffer) {
                Ok(told) => told.into_iter().for_each(|(link, it)| record.add_vlans(link, it)),
                Err(err) => return warn!("{err}: a rollback leaves them alone"),
            }
        }
    }
}

/// A route as a dump tells of it.
enum Way {
    Of(LinkIndex, RouteRecord),
    Apart(Apart),
}

/// Whether a message of a dump is of the family that was asked for. A kernel without IPv6 answers the
/// question for that family's with all that it has.
fn is_of_family(message: &Message<'_>, family: Family) -> bool {
    message.payload.first() == Some(&encode_family(family))
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
