// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`RecordInquiry`]: requests everything that can be restored from the kernel, of the whole host
//! or of a few links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::HostError;
use crate::host::Host;
use crate::host::inquiry::parts::Parts;
use crate::host::inquiry::{Inquiry, Topic};
use crate::host::record::{HostRecord, RouteMakers};
use crate::host::state::LinkState;
use crate::limits::RESYNCS_PER_TURN_MAX;
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::address::encode_family;
use crate::netlink::link::{self, Link, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::apart::Apart;
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::fdb::FdbEntry;
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::neighbour::ToldSoFar;
use crate::netlink::record::route::{RouteRecord, link_of};
use crate::netlink::record::wide::is_wide;
use crate::netlink::wire::Message;

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// The query. Links come first, as all other objects refer to them, and VLANs last, as the bridges
/// to be asked for are known only then.
#[derive(Debug)]
pub struct RecordInquiry {
    /// Links, and objects that do not belong to a single link.
    record: HostRecord,
    /// The links that are queried; `None` for all.
    only: Option<Vec<LinkIndex>>,
    links: Vec<LinkRecord>,
    /// Links whose message could not be decoded, with the reason.
    unread: Vec<(LinkIndex, String)>,
    addresses: VecDeque<AddressRecord>,
    aparts: Vec<(Topic, Apart)>,
    routes: [Parts<(LinkIndex, RouteRecord)>; 2],
    /// The number of routes through each link.
    route_counts: [BTreeMap<LinkIndex, usize>; 2],
    /// The forwarding tables that are needed.
    tables: BTreeSet<Topic>,
    fdb: Vec<(Topic, LinkIndex, FdbEntry)>,
    neighbours: ToldSoFar,
    asks_neighbours: bool,
    vlans: Vec<(LinkIndex, BridgeVlans)>,
    /// The bridges and ports whose VLANs are needed.
    sides: Vec<LinkIndex>,
    stage: RecordStage,
    /// The data that could not be read, with the reason.
    lacks: Vec<String>,
    makers: Option<RouteMakers>,
}

/// The next topics to request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RecordStage {
    Links,
    OnLinks,
    /// VLANs, requested this many times. If an answer has several parts, the kernel continues by
    /// counting links, so it skips one if another is removed meanwhile.
    Vlans(usize),
    Nothing,
}

impl RecordInquiry {
    /// Queries all links.
    pub fn of_all() -> Self {
        Self {
            record: HostRecord::default(),
            only: None,
            links: Vec::new(),
            unread: Vec::new(),
            addresses: VecDeque::new(),
            aparts: Vec::new(),
            routes: Default::default(),
            route_counts: Default::default(),
            tables: BTreeSet::new(),
            fdb: Vec::new(),
            neighbours: ToldSoFar::default(),
            asks_neighbours: true,
            vlans: Vec::new(),
            sides: Vec::new(),
            stage: RecordStage::Links,
            lacks: Vec::new(),
            makers: None,
        }
    }

    /// Queries these links alone, except for VLANs and objects that do not belong to a single link.
    /// Unknown names are ignored.
    pub fn of(names: &BTreeSet<IfName>, host: &Host) -> Self {
        let links = names.iter().filter_map(|name| host.link_named(name));
        Self {
            record: HostRecord::named_as_in(host),
            only: Some(links.clone().map(|link| link.index).collect()),
            sides: bridge_sides(host.links()),
            tables: links.clone().flat_map(|link| table_of(link, |it| host.link(it))).collect(),
            ..Self::of_all()
        }
    }

    /// Omits the neighbour settings.
    #[must_use]
    pub(crate) fn without_neighbours(self) -> Self {
        Self { asks_neighbours: false, ..self }
    }

    /// Converts the received data to a record, `entry_count` addresses or routes at a time. Returns
    /// the record after the last.
    pub fn poll(&mut self, entry_count: usize) -> Option<HostRecord> {
        let count = self.addresses.len().min(entry_count);
        if count > 0 {
            self.addresses.drain(..count).for_each(|address| self.record.add_address(address));
            return None;
        }
        if self.makers.is_none() {
            self.expect_routes();
        }
        let makers = self.makers.get_or_insert_with(|| self.record.makers_of_routes());
        for routes in &mut self.routes {
            let part = routes.take(entry_count);
            if !part.is_empty() {
                let routes = part.into_iter();
                routes.for_each(|(link, route)| self.record.add_route(makers, link, route));
                return None;
            }
        }
        // Objects from a repeated dump arrived late, and are sorted to their place.
        self.aparts.sort_by_key(|(topic, _)| *topic);
        self.aparts.drain(..).for_each(|(_, apart)| self.record.add_apart(apart));
        self.fdb.drain(..).for_each(|(_, link, entry)| self.record.add_fdb(link, entry));
        self.record.set_neighbours(std::mem::take(&mut self.neighbours));
        self.vlans.drain(..).for_each(|(link, vlans)| self.record.add_vlans(link, vlans));
        Some(std::mem::take(&mut self.record))
    }

    fn expect_routes(&mut self) {
        let [ipv4, mut counts] = std::mem::take(&mut self.route_counts);
        ipv4.into_iter().for_each(|(link, count)| *counts.entry(link).or_default() += count);
        counts.into_iter().for_each(|(link, count)| self.record.expect_routes(link, count));
    }

    /// Returns the data that could not be read and is missing from the record, with the reasons.
    pub fn lacks(&self) -> &[String] {
        &self.lacks
    }

    /// Takes a link. If its message is invalid, only this link is missing.
    fn handle_link(&mut self, message: &Message<'_>) {
        match LinkRecord::decode(message) {
            Ok(record) => self.links.extend(record),
            Err(err) => self.unread.extend(link::subject(message).map(|index| {
                let name = link::told_name(message);
                let name = name.map_or_else(|| "a link".to_owned(), |name| name.to_string());
                let lack = format!(
                    "cannot decode the kernel's message about {name} (index {}): {err}",
                    index.0
                );
                (index, lack)
            })),
        }
    }

    /// Takes a route, which is stored separately if it does not lead through a single link.
    fn handle_route(&mut self, topic: Topic, family: Family, message: &Message<'_>) {
        if !is_of_family(message, family) {
            return;
        }
        if is_wide(message) {
            return self.handle_apart(topic, message);
        }
        let is_known = |link: &LinkIndex| {
            self.record.name_of(*link).is_some_and(|it| self.record.named(&it).is_some())
        };
        let Some(link) = link_of(message).filter(is_known) else { return };
        let route = RouteRecord::decode(message).ok().flatten();
        if let Some(route) = route.filter(RouteRecord::may_be_kept) {
            let (routes, counts) = self.routes_of(family);
            routes.push((link, route));
            *counts.entry(link).or_default() += 1;
        }
    }

    /// Returns the routes of one family, and the number of them through each link.
    fn routes_of(
        &mut self,
        family: Family,
    ) -> (&mut Parts<(LinkIndex, RouteRecord)>, &mut BTreeMap<LinkIndex, usize>) {
        let [ipv4, ipv6] = &mut self.routes;
        let [ipv4_counts, ipv6_counts] = &mut self.route_counts;
        match family {
            Family::Ipv4 => (ipv4, ipv4_counts),
            Family::Ipv6 => (ipv6, ipv6_counts),
        }
    }

    fn handle_apart(&mut self, topic: Topic, message: &Message<'_>) {
        let apart = Apart::decode(message, |index| self.record.name_of(index));
        self.aparts.extend(apart.ok().flatten().map(|apart| (topic, apart)));
    }

    /// Continues when all links are known.
    fn take_links(&mut self) {
        let is_vxlan = |it: &&LinkRecord| it.kind_name() == Some("vxlan");
        let vxlans = self.links.iter().filter(is_vxlan).map(|it| it.link.clone());
        let vxlans: Vec<_> = vxlans.collect();
        self.links.drain(..).for_each(|link| self.record.add_link(link));
        for (index, lack) in self.unread.drain(..) {
            self.record.add_unread(index);
            self.lacks.push(lack);
        }
        if self.only.is_none() {
            let links = self.record.iter().map(LinkState::link);
            self.sides = bridge_sides(links.clone());
            let bridges = links.filter(|link| matches!(link.kind, LinkKind::Bridge(_)));
            self.tables.extend(bridges.map(|bridge| Topic::BridgeFdb(bridge.index)));
        }
        let is_port = |link: &Link| self.sides.contains(&link.index);
        let apart = vxlans.iter().filter(|link| !is_port(link));
        self.tables.extend(apart.map(|link| Topic::VxlanFdb(link.index)));
    }

    fn has_all_vlans(&self) -> bool {
        let told: BTreeSet<_> = self.vlans.iter().map(|(link, _)| *link).collect();
        self.sides.iter().all(|side| told.contains(side))
    }
}

impl Inquiry for RecordInquiry {
    fn topics(&mut self) -> Vec<Topic> {
        match self.stage {
            RecordStage::Links => {
                self.stage = RecordStage::OnLinks;
                match &self.only {
                    None => vec![Topic::Links],
                    // The other topics are still requested.
                    Some(links) if links.is_empty() => self.topics(),
                    Some(links) => links.iter().copied().map(Topic::Link).collect(),
                }
            }
            RecordStage::OnLinks => {
                self.stage = RecordStage::Vlans(0);
                self.take_links();
                let mut topics = match &self.only {
                    None => vec![Topic::Addresses],
                    Some(links) => links.iter().copied().map(Topic::AddressesOf).collect(),
                };
                topics.extend(self.asks_neighbours.then_some(Topic::Neighbours));
                topics.extend(self.tables.iter().copied());
                topics.push(Topic::Nexthops);
                for family in FAMILIES {
                    topics.extend([Topic::Rules(family), Topic::Routes(family, None)]);
                }
                topics
            }
            RecordStage::Vlans(count) if count < RESYNCS_PER_TURN_MAX && !self.has_all_vlans() => {
                self.stage = RecordStage::Vlans(count + 1);
                vec![Topic::Vlans]
            }
            RecordStage::Vlans(_) | RecordStage::Nothing => Vec::new(),
        }
    }

    fn handle_message(&mut self, topic: Topic, message: &Message<'_>) {
        match topic {
            Topic::Links | Topic::Link(_) => {
                self.handle_link(message);
            }
            Topic::Addresses => {
                self.addresses.extend(AddressRecord::decode(message).ok().flatten())
            }
            Topic::AddressesOf(link) => {
                let address = AddressRecord::decode(message).ok().flatten();
                self.addresses.extend(address.filter(|record| record.address.link == link));
            }
            Topic::BridgeFdb(_) | Topic::VxlanFdb(_) => {
                let entry = FdbEntry::decode(message).ok().flatten();
                self.fdb.extend(entry.map(|(link, entry)| (topic, link, entry)));
            }
            Topic::Neighbours => self.neighbours.add(message),
            Topic::Nexthops => self.handle_apart(topic, message),
            Topic::Rules(family) => {
                if is_of_family(message, family) {
                    self.handle_apart(topic, message);
                }
            }
            Topic::Routes(family, _) => self.handle_route(topic, family, message),
            Topic::Vlans => self.vlans.extend(BridgeVlans::decode(message).ok().flatten()),
        }
    }

    fn forget(&mut self, topic: Topic) {
        match topic {
            Topic::Links => {
                self.links.clear();
                self.unread.clear();
            }
            Topic::Link(link) => {
                self.links.retain(|record| record.link.index != link);
                self.unread.retain(|(index, _)| *index != link);
            }
            Topic::Addresses => self.addresses.clear(),
            Topic::AddressesOf(link) => self.addresses.retain(|it| it.address.link != link),
            Topic::Routes(family, _) => {
                let (routes, counts) = self.routes_of(family);
                routes.clear();
                counts.clear();
            }
            Topic::Vlans => self.vlans.clear(),
            Topic::Neighbours => self.neighbours = ToldSoFar::default(),
            Topic::BridgeFdb(_) | Topic::VxlanFdb(_) => self.fdb.retain(|(of, ..)| *of != topic),
            Topic::Nexthops | Topic::Rules(_) => {}
        }
        self.aparts.retain(|(of, _)| *of != topic);
    }

    fn handle_end(&mut self, topic: Topic, end: Result<(), HostError>) -> Result<(), HostError> {
        match (topic, end) {
            // The link has been removed.
            (Topic::Link(_), Err(_)) => Ok(()),
            // The kernel asks the drivers of NICs for VLANs. An error of one driver must not
            // prevent a snapshot or a rollback.
            (Topic::Vlans, Err(err)) => {
                self.lacks.push(err.to_string());
                self.stage = RecordStage::Nothing;
                Ok(())
            }
            // A link that is no longer a bridge has no table.
            (Topic::BridgeFdb(_) | Topic::VxlanFdb(_), Err(err)) if err.errno() == libc::EINVAL => {
                Ok(())
            }
            (Topic::BridgeFdb(_) | Topic::Neighbours | Topic::VxlanFdb(_), Err(err)) => {
                self.lacks.push(err.to_string());
                Ok(())
            }
            (_, end) => end,
        }
    }
}

/// Returns whether a message of a dump is of the requested family. A kernel without IPv6 answers a
/// request for IPv6 with all families.
fn is_of_family(message: &Message<'_>, family: Family) -> bool {
    message.payload.first() == Some(&encode_family(family))
}

/// Returns the bridges and their ports.
fn bridge_sides<'a>(links: impl Iterator<Item = &'a Link> + Clone) -> Vec<LinkIndex> {
    let is_bridge = |link: &&Link| matches!(link.kind, LinkKind::Bridge(_));
    let bridges: BTreeSet<_> = links.clone().filter(is_bridge).map(|link| link.index).collect();
    let is_side = |link: &&Link| {
        is_bridge(link) || link.master.is_some_and(|master| bridges.contains(&master))
    };
    links.filter(is_side).map(|link| link.index).collect()
}

/// Returns the forwarding table of the link's bridge, or of the link itself.
fn table_of<'a>(link: &Link, find: impl Fn(LinkIndex) -> Option<&'a Link>) -> Option<Topic> {
    let is_bridge = |link: &Link| matches!(link.kind, LinkKind::Bridge(_));
    let bridge = if is_bridge(link) { Some(link.index) } else { link.master };
    let is_there = bridge == Some(link.index) || bridge.and_then(find).is_some_and(is_bridge);
    bridge.filter(|_| is_there).map(Topic::BridgeFdb)
}
