// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`HostRecord`]: links, addresses, routes, policy rules and bridges' VLANs as they are at one moment, in the
//! kernel's own words, so that they can be set back to that later.
//!
//! The table ([`crate::host::Host`]) has what answers are made from, and of every link; this has all
//! that can be said again. A record is written to a file as the messages that tell of it, and read
//! from there as from the kernel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;

use crate::host::Host;
use crate::model::name::IfName;
use crate::netlink::link::{self, Link, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::apart::Apart;
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::fdb::FdbEntry;
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::link::port::PortRecord;
use crate::netlink::record::neighbour::{Neighbours, ToldNeighbours, ToldSoFar};
use crate::netlink::record::route::{self, RouteRecord};
use crate::netlink::record::wide;
use crate::netlink::wire::{WireError, messages};

/// What there is, by the links' names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostRecord {
    links: BTreeMap<IfName, Recorded>,
    names: BTreeMap<LinkIndex, IfName>,
    /// Those of bridges and of their ports, guests' among them.
    vlans: BTreeMap<LinkIndex, BridgeVlans>,
    /// Entries of forwarding tables, guests' among them.
    fdb: BTreeMap<LinkIndex, BTreeSet<FdbEntry>>,
    /// Rules, next hops and routes of no one link, in the kernel's order.
    apart: Vec<Apart>,
    /// How links look for neighbours that are yet to be made.
    default_neighbours: Neighbours,
    /// Links of which the kernel's message made no sense: they are there, and nothing else is known.
    unread: BTreeSet<LinkIndex>,
    /// What bridges know of ports of which nothing else is known here: guests'.
    ports: BTreeMap<LinkIndex, PortRecord>,
}

/// One link with all that it has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recorded {
    pub record: LinkRecord,
    /// In the kernel's order: of one IPv4 network, the first is the primary address.
    pub addresses: Vec<AddressRecord>,
    /// Those that nobody else would set again ([`RouteRecord::is_kept`]), in the kernel's order.
    pub routes: Vec<RouteRecord>,
    /// Those that the kernel has made along with the addresses, and makes again just with them.
    pub own_routes: Vec<RouteRecord>,
}

/// How much of a record has been encoded.
#[derive(Debug)]
pub struct Place {
    link: Bound<IfName>,
    /// The position of the link's next entry.
    entry_at: usize,
    /// Whether nothing is left but what belongs to no one link.
    is_behind_links: bool,
    apart_at: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { link: Bound::Unbounded, entry_at: 0, is_behind_links: false, apart_at: 0 }
    }
}

/// The addresses along with which the kernel makes routes, by link and network: by their place on the
/// link.
#[derive(Debug)]
pub struct RouteMakers(HashMap<(LinkIndex, IpAddr, u8), Vec<usize>>);

impl Recorded {
    /// As the table has it.
    pub fn link(&self) -> &Link {
        &self.record.link
    }

    /// Appends the entry at a position: the link itself comes first, then what it has. `None` behind the
    /// last.
    fn encode_entry(&self, at: usize, out: &mut Vec<u8>) -> Option<()> {
        let Some(at) = at.checked_sub(1) else {
            self.record.encode(out);
            return Some(());
        };
        let Some(at) = at.checked_sub(self.addresses.len()) else {
            self.addresses.get(at)?.encode(out);
            return Some(());
        };
        let own_at = at.checked_sub(self.routes.len());
        let route = own_at.map_or_else(|| self.routes.get(at), |at| self.own_routes.get(at))?;
        route.encode(out, self.record.link.index);
        Some(())
    }
}

impl HostRecord {
    /// Knows how links are called, and nothing else.
    pub(crate) fn named_as_in(host: &Host) -> Self {
        let names = host.links().map(|link| (link.index, link.name)).collect();
        Self { names, ..Self::default() }
    }

    /// Adds a link, with nothing on it. One that had its name before has gone meanwhile.
    pub fn add_link(&mut self, record: LinkRecord) {
        let (name, index) = (record.link.name, record.link.index);
        let recorded =
            Recorded { record, addresses: Vec::new(), routes: Vec::new(), own_routes: Vec::new() };
        if let Some(gone) = self.links.insert(name, recorded) {
            self.names.remove(&gone.link().index);
        }
        self.names.insert(index, name);
    }

    /// Adds a link of which nothing can be read.
    pub fn add_unread(&mut self, index: LinkIndex) {
        self.unread.insert(index);
    }

    /// Whether a link was there of which nothing could be read.
    pub fn is_unread(&self, index: LinkIndex) -> bool {
        self.unread.contains(&index)
    }

    /// Adds an address to the link that it is on, if that is known.
    pub fn add_address(&mut self, address: AddressRecord) {
        if let Some(recorded) = self.of_index_mut(address.address.link) {
            recorded.addresses.push(address);
        }
    }

    /// Adds routes through links, as far as those are known and somebody may have to set the routes again.
    /// The links' addresses have been added, as some bring routes with them.
    pub fn add_routes(&mut self, routes: impl IntoIterator<Item = (LinkIndex, RouteRecord)>) {
        let makers = self.makers_of_routes();
        routes.into_iter().for_each(|(link, route)| self.add_route(&makers, link, route));
    }

    /// Makes room for so many more routes through a link: to make it by and by takes longer than a turn of
    /// the loop, as all that there are by then have to be moved.
    pub(crate) fn expect_routes(&mut self, link: LinkIndex, count: usize) {
        if let Some(recorded) = self.of_index_mut(link) {
            let _ = recorded.routes.try_reserve(count);
        }
    }

    /// The same of one route.
    pub fn add_route(&mut self, makers: &RouteMakers, link: LinkIndex, route: RouteRecord) {
        let Some(recorded) = self.of_index_mut(link) else { return };
        let to = (link, route.destination.address(), route.destination.prefix_len());
        let makers = makers.0.get(&to).into_iter().flatten();
        let makers = makers.filter_map(|at| recorded.addresses.get(*at));
        if route.is_kept(makers) {
            recorded.routes.push(route);
        } else if route.may_be_kept() && route.is_lasting() {
            recorded.own_routes.push(route);
        }
    }

    /// What brings routes with it, of all addresses that were added.
    pub(crate) fn makers_of_routes(&self) -> RouteMakers {
        let mut makers = HashMap::<_, Vec<usize>>::new();
        for Recorded { record, addresses, .. } in self.links.values() {
            for (at, address) in addresses.iter().enumerate() {
                for network in address.networks() {
                    let to = (record.link.index, network.network(), network.prefix_len());
                    makers.entry(to).or_default().push(at);
                }
            }
        }
        RouteMakers(makers)
    }

    /// Adds an entry of a forwarding table, if the link is known and the kernel has not made it.
    pub(crate) fn add_fdb(&mut self, link: LinkIndex, entry: FdbEntry) {
        let recorded = self.of_index_mut(link);
        if recorded.is_some_and(|recorded| !entry.is_of(recorded.link())) {
            self.fdb.entry(link).or_default().insert(entry);
        }
    }

    /// The entries of forwarding tables at a link.
    pub(crate) fn fdb_of(&self, link: LinkIndex) -> &BTreeSet<FdbEntry> {
        const NONE: &BTreeSet<FdbEntry> = &BTreeSet::new();
        self.fdb.get(&link).unwrap_or(NONE)
    }

    /// Sets how links look for neighbours, as a dump has told it.
    pub(crate) fn set_neighbours(&mut self, told: ToldSoFar) {
        let (defaults, links) = told.into_parts();
        self.default_neighbours = defaults;
        links.iter().for_each(|told| self.add_neighbours(told));
    }

    /// Adds how a link looks for neighbours, or those do that are yet to be made.
    fn add_neighbours(&mut self, told: &ToldNeighbours) {
        let ToldNeighbours { family, link, settings } = *told;
        match link {
            None => self.default_neighbours.set(family, settings),
            Some(link) => {
                if let Some(recorded) = self.of_index_mut(link) {
                    recorded.record.neighbours.set(family, settings);
                }
            }
        }
    }

    /// Whether any link looks for them in a way of its own.
    pub(crate) fn has_neighbours(&self) -> bool {
        self.iter().any(|recorded| recorded.record.neighbours != Neighbours::default())
    }

    /// How links look for neighbours that are yet to be made.
    pub(crate) fn default_neighbours(&self) -> &Neighbours {
        &self.default_neighbours
    }

    /// Adds the VLANs that a bridge lets through to a port of it, or to itself.
    pub(crate) fn add_vlans(&mut self, link: LinkIndex, vlans: BridgeVlans) {
        self.vlans.insert(link, vlans);
    }

    /// Adds what belongs to no one link.
    pub fn add_apart(&mut self, apart: Apart) {
        self.apart.push(apart);
    }

    /// What the bridge knows of a port. `None` of what is no bridge's port.
    pub(crate) fn port_of(&self, link: &Link) -> Option<PortRecord> {
        let own = self.links.get(&link.name).filter(|own| own.link().index == link.index);
        own.map_or_else(|| self.ports.get(&link.index).cloned(), |own| own.record.port())
    }

    /// Forgets a link, and what is on it.
    pub fn remove(&mut self, name: &IfName) {
        if let Some(gone) = self.links.remove(name) {
            self.names.remove(&gone.link().index);
        }
    }

    /// Knows links by other names: each has the first of two, and is to have the second.
    pub fn rename(&mut self, names: &[(IfName, IfName)]) {
        let renamed = |(has, name): &(IfName, IfName)| {
            let mut recorded = self.links.remove(has)?;
            recorded.record.link.name = *name;
            recorded.addresses.iter_mut().for_each(|address| address.follow_name(has, name));
            Some((*name, recorded))
        };
        let renamed: Vec<_> = names.iter().filter_map(renamed).collect();
        self.names.extend(renamed.iter().map(|(name, it)| (it.link().index, *name)));
        self.links.extend(renamed);
    }

    /// Takes over what is known of these links by now, how all are called, all VLANs of bridges, and all
    /// that belongs to no one link.
    pub fn update(&mut self, names: &BTreeSet<IfName>, fresh: Self) {
        self.links.retain(|name, _| !names.contains(name));
        self.links.extend(fresh.links);
        (self.names, self.vlans, self.apart) = (fresh.names, fresh.vlans, fresh.apart);
        self.default_neighbours = fresh.default_neighbours;
        self.unread.extend(fresh.unread);
        let is_fresh = |link: LinkIndex| self.names.get(&link).is_none_or(|it| names.contains(it));
        self.fdb.retain(|link, _| !is_fresh(*link));
        self.fdb.extend(fresh.fdb);
    }

    /// Reads what [`HostRecord::encode`] has written.
    ///
    /// # Errors
    /// The first message that makes no sense.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut host = Self::default();
        let mut routes = Vec::new();
        for message in messages(bytes) {
            let message = message?;
            if let Some(link) = link::decode_unread(&message) {
                host.add_unread(link);
            } else if let Some(link) = LinkRecord::decode(&message)? {
                host.add_link(link);
            } else if let Some((link, port)) = PortRecord::decode(&message)? {
                host.ports.insert(link, port);
            } else if let Some((link, vlans)) = BridgeVlans::decode(&message)? {
                host.add_vlans(link, vlans);
            } else if let Some((link, entry)) = FdbEntry::decode(&message)? {
                host.fdb.entry(link).or_default().insert(entry);
            } else if let Some(told) = ToldNeighbours::decode(&message)? {
                host.add_neighbours(&told);
            } else if let Some(address) = AddressRecord::decode(&message)? {
                host.add_address(address);
            } else if let Some(apart) = Apart::decode(&message, |index| host.name_of(index))? {
                host.add_apart(apart);
            } else if wide::is_wide(&message) {
                // It leads through a link that is not known.
            } else if let Some(link) = route::link_of(&message)
                && let Some(route) = RouteRecord::decode(&message)?
            {
                routes.push((link, route));
            }
        }
        host.add_routes(routes);
        Ok(host)
    }

    /// Appends everything, as messages.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_part(&mut Place::default(), out, &mut { usize::MAX });
    }

    /// Appends the next messages behind a place, so many at most, and takes them off the count. Tells
    /// whether those were the last.
    pub(crate) fn encode_part(
        &self,
        place: &mut Place,
        out: &mut Vec<u8>,
        count: &mut usize,
    ) -> bool {
        for (name, recorded) in self.links.range((place.link, Bound::Unbounded)) {
            place.link = Bound::Included(*name);
            loop {
                if *count == 0 {
                    return false;
                }
                if recorded.encode_entry(place.entry_at, out).is_none() {
                    break;
                }
                place.entry_at += 1;
                *count -= 1;
            }
            (place.link, place.entry_at) = (Bound::Excluded(*name), 0);
        }
        if !std::mem::replace(&mut place.is_behind_links, true) {
            self.default_neighbours.encode(out, None);
            self.vlans.iter().for_each(|(link, vlans)| vlans.encode(out, *link));
            for (link, entries) in &self.fdb {
                entries.iter().for_each(|entry| entry.encode(out, *link));
            }
            self.ports.iter().for_each(|(link, port)| port.encode(out, *link));
            self.unread.iter().for_each(|link| link::encode_unread(out, 0, *link));
        }
        let index_of = |name: &IfName| Ok(self.named(name).ok_or(*name)?.link().index);
        for apart in self.apart.get(place.apart_at..).unwrap_or_default() {
            if *count == 0 {
                return false;
            }
            let len = out.len();
            if apart.encode(out, &index_of).is_err() {
                // It leads through a link that is not in the record, and could not be set again.
                out.truncate(len);
            }
            place.apart_at += 1;
            *count -= 1;
        }
        true
    }

    /// Rules, next hops and routes of no one link, in the kernel's order.
    pub fn apart(&self) -> &[Apart] {
        &self.apart
    }

    /// The link of this name.
    pub fn named(&self, name: &IfName) -> Option<&Recorded> {
        self.links.get(name)
    }

    /// The name of a link.
    pub fn name_of(&self, index: LinkIndex) -> Option<IfName> {
        self.names.get(&index).copied()
    }

    /// The name of the link whose port a link is.
    pub fn master_of(&self, link: &Link) -> Option<IfName> {
        self.name_of(link.master?)
    }

    /// The name of the link that one is over, and cannot be without: that of a VLAN, a macvlan, a
    /// tunnel. The other end of a veth is none.
    pub fn parent_of(&self, link: &Link) -> Option<IfName> {
        match link.kind {
            LinkKind::Vlan { .. } | LinkKind::Other => self.name_of(link.parent?),
            LinkKind::Bond(_)
            | LinkKind::Bridge(_)
            | LinkKind::Nic
            | LinkKind::Tun
            | LinkKind::Veth => None,
        }
    }

    /// The other end of a veth, where both are known.
    pub(crate) fn peer_of(&self, veth: &Recorded) -> Option<&Recorded> {
        let peer = self.named(&self.name_of(veth.record.peer()?)?)?;
        (peer.record.peer() == Some(veth.link().index)).then_some(peer)
    }

    /// All links, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Recorded> + Clone {
        self.links.values()
    }

    /// The ports of a bridge or bond, by name.
    pub fn ports_of(&self, master: &IfName) -> impl Iterator<Item = &Recorded> {
        let index = self.named(master).map(|master| master.link().index);
        self.iter().filter(move |port| index.is_some() && port.link().master == index)
    }

    /// The VLANs that a bridge lets through to a port of it, be that a guest's, or to itself. `None` of
    /// what is neither, and where the kernel has not told.
    pub fn vlans_of(&self, link: LinkIndex) -> Option<&BridgeVlans> {
        self.vlans.get(&link)
    }

    /// The same of these links alone.
    #[must_use]
    pub fn only(self, names: &BTreeSet<IfName>) -> Self {
        let others = self.links.keys().filter(|name| !names.contains(*name));
        let others = others.copied().collect();
        self.without(&others)
    }

    /// The same without these links. Who is whose port, and what as, is known of them still.
    #[must_use]
    pub fn without(mut self, names: &BTreeSet<IfName>) -> Self {
        let gone = names.iter().filter_map(|name| self.links.remove(name));
        self.ports.extend(gone.filter_map(|it| Some((it.link().index, it.record.port()?))));
        self
    }

    fn of_index_mut(&mut self, index: LinkIndex) -> Option<&mut Recorded> {
        self.links.get_mut(self.names.get(&index)?)
    }
}
