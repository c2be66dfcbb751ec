// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`SurveyInquiry`]: requests the details of a few links from the kernel before they are changed.

use std::collections::BTreeMap;

use crate::error::HostError;
use crate::host::Host;
use crate::host::describe::is_silent;
use crate::host::inquiry::{Inquiry, Topic};
use crate::host::state::LinkState;
use crate::host::survey::{Survey, SurveyOrder};
use crate::model::address::Family;
use crate::netlink::link::{Link, LinkIndex};
use crate::netlink::record::address::AddressRecord;
use crate::netlink::record::bridge_vlan::BridgeVlans;
use crate::netlink::record::link::LinkRecord;
use crate::netlink::record::neighbour::ToldSoFar;
use crate::netlink::record::nexthop::NexthopRecord;
use crate::netlink::record::route::{RouteRecord, leads_through};
use crate::netlink::record::rule::RuleRecord;
use crate::netlink::wire::Message;

/// The query. VLANs come last, as whether they are needed depends on the bridges.
#[derive(Debug)]
pub struct SurveyInquiry {
    order: SurveyOrder,
    links: BTreeMap<LinkIndex, PartialLink>,
    /// All nexthop objects through these links, and all groups.
    nexthops: Vec<NexthopRecord>,
    neighbours: ToldSoFar,
    rules: Vec<RuleRecord>,
    vlans: Vec<(LinkIndex, BridgeVlans)>,
    stage: SurveyStage,
    /// The reason why VLANs or neighbour settings are unknown, if they are.
    lack: Option<HostError>,
}

/// The next topics to request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SurveyStage {
    Links,
    Vlans,
    Nothing,
}

/// The data received about one link.
#[derive(Debug)]
struct PartialLink {
    /// The link in the table, which is current except for links whose changes are not announced.
    known: Link,
    is_silent: bool,
    record: Option<LinkRecord>,
    addresses: Vec<AddressRecord>,
    routes: [Vec<RouteRecord>; 2],
}

impl SurveyInquiry {
    /// Starts a query. Names without a link are ignored.
    pub fn new(order: SurveyOrder, host: &Host) -> Self {
        let partial = |link: &Link| PartialLink {
            known: link.clone(),
            is_silent: is_silent(host, link),
            record: None,
            addresses: Vec::new(),
            routes: [Vec::new(), Vec::new()],
        };
        let links = order.links.iter().filter_map(|name| host.link_named(name));
        let links = links.map(|link| (link.index, partial(link))).collect();
        Self {
            order,
            links,
            nexthops: Vec::new(),
            neighbours: ToldSoFar::default(),
            rules: Vec::new(),
            vlans: Vec::new(),
            stage: SurveyStage::Links,
            lack: None,
        }
    }

    /// Returns the order.
    pub fn order(&self) -> &SurveyOrder {
        &self.order
    }

    /// Returns why a part could not be read and is missing.
    pub fn lack(&self) -> Option<&HostError> {
        self.lack.as_ref()
    }

    /// Returns all data received.
    pub fn finish(mut self) -> Survey {
        let (default_neighbours, neighbours) = self.neighbours.into_parts();
        for told in neighbours {
            let partial = told.link.and_then(|link| self.links.get_mut(&link));
            if let Some(record) = partial.and_then(|partial| partial.record.as_mut()) {
                record.neighbours.set(told.family, told.settings);
            }
        }
        let mut survey = Survey::default();
        survey.default_neighbours = default_neighbours;
        survey.rules = self.rules;
        for PartialLink { record, addresses, routes, .. } in self.links.into_values() {
            // A link without a message has just been removed.
            let Some(record) = record else { continue };
            let mut routes = routes.concat();
            // Possible only now, as some routes come and go with an address.
            routes.retain(|route| record.link.up && !route.goes_with(&addresses));
            survey.insert(LinkState { addresses, routes, ..LinkState::new(record) });
        }
        survey.set_nexthops(&self.nexthops);
        self.vlans.into_iter().for_each(|(link, vlans)| survey.add_vlans(link, vlans));
        survey
    }

    fn routes_mut(&mut self, family: Family, link: LinkIndex) -> Option<&mut Vec<RouteRecord>> {
        let [ipv4, ipv6] = &mut self.links.get_mut(&link)?.routes;
        Some(match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        })
    }

    /// Returns whether a bridge among these links has VLANs, even if it does not filter them yet.
    fn knows_vlans(&self) -> bool {
        let mut records = self.links.values().filter_map(|partial| partial.record.as_ref());
        records.any(|record| record.default_vlan().is_some())
    }
}

impl Inquiry for SurveyInquiry {
    fn topics(&mut self) -> Vec<Topic> {
        match self.stage {
            SurveyStage::Links => {
                self.stage = SurveyStage::Vlans;
                let mut topics = vec![Topic::Nexthops, Topic::Neighbours];
                topics.extend([Family::Ipv4, Family::Ipv6].map(Topic::Rules));
                for (index, PartialLink { known, is_silent, .. }) in &self.links {
                    topics.extend([Topic::Link(*index), Topic::AddressesOf(*index)]);
                    if known.up || *is_silent {
                        let families = [Family::Ipv4, Family::Ipv6];
                        topics.extend(families.map(|family| Topic::Routes(family, Some(*index))));
                    }
                }
                topics
            }
            SurveyStage::Vlans => {
                self.stage = SurveyStage::Nothing;
                if self.knows_vlans() { vec![Topic::Vlans] } else { Vec::new() }
            }
            SurveyStage::Nothing => Vec::new(),
        }
    }

    fn handle_message(&mut self, topic: Topic, message: &Message<'_>) {
        match topic {
            Topic::Link(index) => {
                let record = LinkRecord::decode(message).ok().flatten();
                let record = record.filter(|record| record.link.index == index);
                if let (Some(record), Some(partial)) = (record, self.links.get_mut(&index)) {
                    partial.record = Some(record);
                }
            }
            Topic::AddressesOf(index) => {
                // A kernel without strict checks reports all links.
                let record = AddressRecord::decode(message).ok().flatten();
                let record = record.filter(|record| record.address.link == index);
                if let (Some(record), Some(partial)) = (record, self.links.get_mut(&index)) {
                    partial.addresses.push(record);
                }
            }
            Topic::Routes(family, Some(index)) if leads_through(message, index) => {
                // A kernel without IPv6 answers a request for IPv6 routes with all families.
                let route = RouteRecord::decode(message).ok().flatten();
                let route = route.filter(|route| route.family == family);
                if let (Some(route), Some(routes)) = (route, self.routes_mut(family, index)) {
                    routes.push(route.seen_from(&[index]));
                }
            }
            Topic::Nexthops => {
                let name_of = |index| self.links.get(&index).map(|partial| partial.known.name);
                self.nexthops.extend(NexthopRecord::decode(message, name_of).ok().flatten());
            }
            Topic::Neighbours => self.neighbours.add(message),
            Topic::Vlans => self.vlans.extend(BridgeVlans::decode(message).ok().flatten()),
            Topic::Rules(family) => {
                // A kernel without IPv6 reports all families.
                let rule = RuleRecord::decode(message).ok().flatten();
                self.rules.extend(rule.filter(|rule| rule.family == family));
            }
            Topic::Addresses
            | Topic::BridgeFdb(_)
            | Topic::Links
            | Topic::Routes(..)
            | Topic::VxlanFdb(_) => {}
        }
    }

    fn forget(&mut self, topic: Topic) {
        match topic {
            Topic::AddressesOf(index) => {
                if let Some(partial) = self.links.get_mut(&index) {
                    partial.addresses.clear();
                }
            }
            Topic::Routes(family, Some(index)) => {
                if let Some(routes) = self.routes_mut(family, index) {
                    routes.clear();
                }
            }
            Topic::Neighbours => self.neighbours = ToldSoFar::default(),
            Topic::Nexthops => self.nexthops.clear(),
            Topic::Vlans => self.vlans.clear(),
            Topic::Rules(family) => self.rules.retain(|rule| rule.family != family),
            Topic::Addresses
            | Topic::BridgeFdb(_)
            | Topic::Link(_)
            | Topic::Links
            | Topic::Routes(_, None)
            | Topic::VxlanFdb(_) => {}
        }
    }

    fn handle_end(&mut self, topic: Topic, end: Result<(), HostError>) -> Result<(), HostError> {
        match (topic, end) {
            // The link has been removed.
            (Topic::Link(_), Err(_)) => Ok(()),
            (Topic::Neighbours | Topic::Vlans, Err(err)) => {
                self.lack = Some(err);
                Ok(())
            }
            (_, end) => end,
        }
    }
}
