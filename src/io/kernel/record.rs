// SPDX-License-Identifier: LGPL-2.1-or-later
//! All that can be set back, asked of the kernel: the whole host, or a few of its links.

use std::collections::BTreeSet;

use log::debug;

use crate::error::HostError;
use crate::host::Host;
use crate::host::record::HostRecord;
use crate::io::kernel::Kernel;
use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::conversation::Conversation;
use crate::netlink::link::LinkKind;
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
                link_of(message).zip(route.filter(RouteRecord::is_kept))
            })?;
            routes.into_iter().for_each(|(link, route)| record.add_route(link, route));
        }
        if record.has_bridge() {
            self.record_vlans(&mut record, buffer)?;
        }
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
            let encode = |out: &mut Vec<u8>, conversation: &mut Conversation| {
                link::encode_lookup(out, conversation.begin(), index);
            };
            let asked = self.ask(encode, buffer, |message| {
                link_record(message).into_iter().for_each(|link| record.add_link(link));
            });
            if let Err(err) = asked {
                debug!("netlink: cannot ask for a link: {err}");
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
        if host.links().any(|link| matches!(link.kind, LinkKind::Bridge(_))) {
            self.record_vlans(&mut record, buffer)?;
        }
        Ok(record)
    }

    /// Adds the VLANs of bridges and their ports. The kernel can only be asked for all at once.
    fn record_vlans(
        &mut self,
        record: &mut HostRecord,
        buffer: &mut [u8],
    ) -> Result<(), HostError> {
        let vlans =
            self.collect("VLANs of bridges", bridge_vlan::encode_dump, buffer, |message| {
                BridgeVlans::decode(message).ok().flatten()
            })?;
        vlans.into_iter().for_each(|(link, name, vlans)| record.add_vlans(link, name, vlans));
        Ok(())
    }
}

fn link_record(message: &Message<'_>) -> Option<LinkRecord> {
    LinkRecord::decode(message).ok().flatten()
}
