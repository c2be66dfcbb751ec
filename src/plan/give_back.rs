// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of a plan that gives a link without a definition back the settings that it had when it
//! was taken down.

use crate::host::shelf::Shelved;
use crate::host::state::LinkState;
use crate::model::address::Family;
use crate::model::lease::Lease;
use crate::netlink::address::Lifetime;
use crate::netlink::record::address::AddressRecord;
use crate::plan::addressing::in_order_to_go;
use crate::plan::builder::Builder;
use crate::plan::request::KernelRequest;
use crate::plan::step::{DhcpStep, Step};
use crate::plan::ways::{is_reached, routes_in_order};

impl Builder<'_> {
    /// Adds the addresses, routes and DHCP clients that `now` had before it was taken down.
    pub(super) fn give_back(&mut self, now: &LinkState, shelved: &Shelved) {
        let link = shelved.link;
        let (addresses, routes) = (shelved.addresses.clone(), shelved.routes.clone());
        let then = LinkState { addresses, routes, ..now.clone() };
        for record in in_order_to_go(then.addresses.iter().collect()).rev() {
            self.add_address(link, record.clone());
        }
        for route in routes_in_order(&then) {
            let is_reached = is_reached(&then, route);
            let route = route.clone().without_object();
            self.add_route(link, if is_reached { route } else { route.on_link() });
        }
        for lease in &shelved.leases {
            let is_leased = |record: &&AddressRecord| {
                let address = &record.address;
                address.prefix.family() == lease.family && address.lifetime == Lifetime::Finite
            };
            let wanted = then.addresses.iter().find(is_leased).map(|it| it.address.prefix);
            let lease = Lease { wanted, ..*lease };
            self.push(DhcpStep::Start(lease), vec![Step::Dhcp(DhcpStep::Stop(lease))]);
        }
    }
}

/// The requests that restore a link's present settings of a family after it is cleared: without
/// lifetimes, as the script of the client that will renew them sets none.
pub(crate) fn put_back(now: &LinkState, family: Family) -> Vec<KernelRequest> {
    let link = now.link().name;
    let addresses = now.addresses.iter().filter(|it| it.address.prefix.family() == family);
    let mut requests = Vec::new();
    for record in in_order_to_go(addresses.collect()).rev() {
        requests.push(KernelRequest::AddAddress { link, record: record.lasting() });
    }
    let routes = routes_in_order(now).into_iter().filter(|route| route.family == family);
    requests.extend(routes.cloned().map(|record| KernelRequest::AddRoute { link, record }));
    requests
}
