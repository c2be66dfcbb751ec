// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`HostRecord`]: links, addresses, routes, policy rules and bridges' VLANs at one moment, as
//! netlink describes them, so that a rollback can restore them.
//!
//! The table ([`crate::host::Host`]) has the fields that replies need, for every link; a record has
//! every attribute that can be set again. It is written to a file as the netlink messages that
//! describe it, and read from there as from the kernel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;

use crate::host::Host;
use crate::host::state::LinkState;
use crate::model::name::IfName;
use crate::model::shed::shed;
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

/// The recorded objects, by the links' names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostRecord {
    links: BTreeMap<IfName, LinkState>,
    names: BTreeMap<LinkIndex, IfName>,
    /// VLANs of bridges and of their ports, including guests'.
    vlans: BTreeMap<LinkIndex, BridgeVlans>,
    /// Entries of forwarding tables, including guests'.
    fdb: BTreeMap<LinkIndex, BTreeSet<FdbEntry>>,
    /// Rules, next hops and routes that do not belong to a single link, in the kernel's order.
    apart: Vec<Apart>,
    /// The neighbour settings of links that are yet to be created.
    default_neighbours: Neighbours,
    /// Links whose message could not be decoded: they exist, and nothing else is known of them.
    unread: BTreeSet<LinkIndex>,
    /// The bridge's settings for ports that have no other record here: guests' ports.
    ports: BTreeMap<LinkIndex, PortRecord>,
}

/// The position that the encoding of a record has reached.
#[derive(Debug)]
pub struct RecordPosition {
    link: Bound<IfName>,
    /// The position of the link's next entry.
    entry_at: usize,
    /// Whether only objects remain that do not belong to a single link.
    is_behind_links: bool,
    apart_at: usize,
}

impl Default for RecordPosition {
    fn default() -> Self {
        Self { link: Bound::Unbounded, entry_at: 0, is_behind_links: false, apart_at: 0 }
    }
}

/// The addresses with which the kernel creates routes: by link and network, as their positions on
/// the link.
#[derive(Debug)]
pub struct RouteMakers(HashMap<(LinkIndex, IpAddr, u8), Vec<usize>>);

impl LinkState {
    /// Appends the entry at a position: the link itself comes first, then the objects on it.
    /// Returns `None` after the last entry.
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
    /// Creates a record that has the names of links only.
    pub(crate) fn named_as_in(host: &Host) -> Self {
        let names = host.links().map(|link| (link.index, link.name)).collect();
        Self { names, ..Self::default() }
    }

    /// Adds a link with nothing on it. A link that had its name before is gone, and is replaced.
    pub fn add_link(&mut self, record: LinkRecord) {
        let (name, index) = (record.link.name, record.link.index);
        if let Some(gone) = self.links.insert(name, LinkState::new(record)) {
            self.names.remove(&gone.link().index);
        }
        self.names.insert(index, name);
    }

    /// Adds a link whose message could not be decoded.
    pub fn add_unread(&mut self, index: LinkIndex) {
        self.unread.insert(index);
    }

    /// Returns whether a link existed whose message could not be decoded.
    pub fn is_unread(&self, index: LinkIndex) -> bool {
        self.unread.contains(&index)
    }

    /// Adds an address to its link, if that is known.
    pub fn add_address(&mut self, address: AddressRecord) {
        if let Some(recorded) = self.of_index_mut(address.address.link) {
            recorded.addresses.push(address);
        }
    }

    /// Adds routes to their links, if those are known, without routes that the kernel creates again
    /// by itself. The links' addresses must have been added before, as some create routes.
    pub fn add_routes(&mut self, routes: impl IntoIterator<Item = (LinkIndex, RouteRecord)>) {
        let makers = self.makers_of_routes();
        routes.into_iter().for_each(|(link, route)| self.add_route(&makers, link, route));
    }

    /// Reserves space for so many more routes through a link: growing the list step by step would
    /// move all its entries, which takes longer than a turn of the loop.
    pub(crate) fn expect_routes(&mut self, link: LinkIndex, count: usize) {
        if let Some(recorded) = self.of_index_mut(link) {
            let _ = recorded.routes.try_reserve(count);
        }
    }

    /// Adds one route, as [`Self::add_routes`] does.
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

    /// Returns the addresses with which the kernel creates routes, of all that were added.
    pub(crate) fn makers_of_routes(&self) -> RouteMakers {
        let mut makers = HashMap::<_, Vec<usize>>::new();
        for LinkState { record, addresses, .. } in self.links.values() {
            for (at, address) in addresses.iter().enumerate() {
                for network in address.networks() {
                    let to = (record.link.index, network.network(), network.prefix_len());
                    makers.entry(to).or_default().push(at);
                }
            }
        }
        RouteMakers(makers)
    }

    /// Adds an entry of a forwarding table, if the link is known and the kernel has not created the
    /// entry itself.
    pub(crate) fn add_fdb(&mut self, link: LinkIndex, entry: FdbEntry) {
        let recorded = self.of_index_mut(link);
        if recorded.is_some_and(|recorded| !entry.is_of(recorded.link())) {
            self.fdb.entry(link).or_default().insert(entry);
        }
    }

    /// Returns the entries of forwarding tables at a link.
    pub(crate) fn fdb_of(&self, link: LinkIndex) -> &BTreeSet<FdbEntry> {
        const NONE: &BTreeSet<FdbEntry> = &BTreeSet::new();
        self.fdb.get(&link).unwrap_or(NONE)
    }

    /// Sets the neighbour settings of links from a dump.
    pub(crate) fn set_neighbours(&mut self, told: ToldSoFar) {
        let (defaults, links) = told.into_parts();
        self.default_neighbours = defaults;
        links.iter().for_each(|told| self.add_neighbours(told));
    }

    /// Adds the neighbour settings of a link, or those of links that are yet to be created.
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

    /// Returns whether any link has neighbour settings that differ from the defaults.
    pub(crate) fn has_neighbours(&self) -> bool {
        self.iter().any(|recorded| recorded.record.neighbours != Neighbours::default())
    }

    /// Returns the neighbour settings of links that are yet to be created.
    pub(crate) fn default_neighbours(&self) -> &Neighbours {
        &self.default_neighbours
    }

    /// Adds the VLANs of a bridge, or of a bridge's port.
    pub(crate) fn add_vlans(&mut self, link: LinkIndex, vlans: BridgeVlans) {
        self.vlans.insert(link, vlans);
    }

    /// Adds an object that does not belong to a single link.
    pub fn add_apart(&mut self, apart: Apart) {
        self.apart.push(apart);
    }

    /// Returns the bridge's settings for a port, or `None` if `link` is not a bridge's port.
    pub(crate) fn port_of(&self, link: &Link) -> Option<PortRecord> {
        let own = self.links.get(&link.name).filter(|own| own.link().index == link.index);
        own.map_or_else(|| self.ports.get(&link.index).cloned(), |own| own.record.port())
    }

    /// Removes a link, and everything on it.
    pub fn remove(&mut self, name: &IfName) {
        if let Some(gone) = self.links.remove(name) {
            self.names.remove(&gone.link().index);
        }
    }

    /// Renames links: each pair is the current name and the new one.
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

    /// Replaces the records of these links, and all names, all VLANs of bridges, and all objects
    /// that do not belong to a single link, by those of `fresh`. Returns the replaced records of
    /// the links.
    pub fn update(&mut self, names: &BTreeSet<IfName>, fresh: Self) -> Self {
        let stale = names.iter().filter_map(|name| self.links.remove_entry(name)).collect();
        self.links.extend(fresh.links);
        (self.names, self.vlans, self.apart) = (fresh.names, fresh.vlans, fresh.apart);
        self.default_neighbours = fresh.default_neighbours;
        self.unread.extend(fresh.unread);
        let is_fresh = |link: LinkIndex| self.names.get(&link).is_none_or(|it| names.contains(it));
        self.fdb.retain(|link, _| !is_fresh(*link));
        self.fdb.extend(fresh.fdb);
        Self { links: stale, ..Self::default() }
    }

    /// Frees up to `count` addresses and routes, and subtracts their number from it. Returns
    /// whether none are left.
    pub(crate) fn free_part(&mut self, count: &mut usize) -> bool {
        while let Some(mut link) = self.links.last_entry() {
            let LinkState { addresses, routes, own_routes, .. } = link.get_mut();
            if !(shed(routes, count) && shed(own_routes, count) && shed(addresses, count)) {
                return false;
            }
            link.remove();
        }
        true
    }

    /// Decodes the output of [`HostRecord::encode`].
    ///
    /// # Errors
    /// The error of the first message that is invalid.
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
                // The route leads through a link that is not in the record.
            } else if let Some(link) = route::link_of(&message) {
                routes.extend(RouteRecord::decode(&message)?.map(|route| (link, route)));
            }
        }
        host.add_routes(routes);
        Ok(host)
    }

    /// Appends everything, as netlink messages.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_part(&mut RecordPosition::default(), out, &mut { usize::MAX });
    }

    /// Appends the messages that follow a position, at most `count`, from which their number is
    /// subtracted. Returns whether those were the last.
    pub(crate) fn encode_part(
        &self,
        place: &mut RecordPosition,
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
                // The object leads through a link that is not in the record, so it could not be set
                // again.
                out.truncate(len);
            }
            place.apart_at += 1;
            *count -= 1;
        }
        true
    }

    /// Returns rules, next hops and routes that do not belong to a single link, in the kernel's
    /// order.
    pub fn apart(&self) -> &[Apart] {
        &self.apart
    }

    /// Returns the link of this name.
    pub fn named(&self, name: &IfName) -> Option<&LinkState> {
        self.links.get(name)
    }

    /// Returns the name of a link.
    pub fn name_of(&self, index: LinkIndex) -> Option<IfName> {
        self.names.get(&index).copied()
    }

    /// Returns the name of a link's master.
    pub fn master_of(&self, link: &Link) -> Option<IfName> {
        self.name_of(link.master?)
    }

    /// Returns the name of the link below this one, which this one needs to exist: that of a VLAN,
    /// a macvlan, a tunnel. The other end of a veth does not count.
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

    /// Returns the other end of a veth, if both are known.
    pub(crate) fn peer_of(&self, veth: &LinkState) -> Option<&LinkState> {
        let peer = self.named(&self.name_of(veth.record.peer()?)?)?;
        (peer.record.peer() == Some(veth.link().index)).then_some(peer)
    }

    /// Iterates over all links, by name.
    pub fn iter(&self) -> impl Iterator<Item = &LinkState> + Clone {
        self.links.values()
    }

    /// Iterates over the ports of a bridge or bond, by name.
    pub fn ports_of(&self, master: &IfName) -> impl Iterator<Item = &LinkState> {
        let index = self.named(master).map(|master| master.link().index);
        self.iter().filter(move |port| index.is_some() && port.link().master == index)
    }

    /// Returns the VLANs of a bridge, or of a bridge's port (a guest's included). `None` for other
    /// links, and if the kernel did not report them.
    pub fn vlans_of(&self, link: LinkIndex) -> Option<&BridgeVlans> {
        self.vlans.get(&link)
    }

    /// Removes these links from the record, but keeps their settings as ports.
    #[must_use]
    pub fn without(mut self, names: &BTreeSet<IfName>) -> Self {
        let gone = names.iter().filter_map(|name| self.links.remove(name));
        self.ports.extend(gone.filter_map(|it| Some((it.link().index, it.record.port()?))));
        self
    }

    fn of_index_mut(&mut self, index: LinkIndex) -> Option<&mut LinkState> {
        self.links.get_mut(self.names.get(&index)?)
    }
}
