// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the kernel handles requests about addresses and routes (`net/ipv4/devinet.c`,
//! `net/ipv4/fib_frontend.c`, `net/ipv6/addrconf.c`, `net/ipv6/route.c`).

use crate::value_kernel::state::{
    Address, Device, IFA_F_SECONDARY, IPV6_METRIC, Route, TABLE_MAIN,
};
use crate::value_kernel::{Errno, ValueKernel};
use std::net::IpAddr;
use virtinterfaced::model::address::{Family, IpPrefix};
use virtinterfaced::netlink::link::LinkIndex;

const IPV6_MTU_MIN: u32 = 1280;
const PROTOCOL_DHCP: u8 = 16;
pub(super) const PROTOCOL_RA: u8 = 9;

impl ValueKernel {
    pub(super) fn add_address(
        &mut self,
        link: LinkIndex,
        mut address: Address,
    ) -> Result<(), Errno> {
        let device = self.device_mut(link)?;
        let is_same = |own: &Address| match address.family() {
            Family::Ipv4 => {
                own.prefix.address() == address.prefix.address() && own.shares_network(&address)
            }
            Family::Ipv6 => own.prefix.address() == address.prefix.address(),
        };
        if device.addresses.iter().any(is_same) {
            return Err(libc::EEXIST);
        }
        match address.family() {
            Family::Ipv4 => {
                if device.addresses.iter().any(|own| {
                    own.family() == Family::Ipv4
                        && !own.is_secondary()
                        && own.shares_network(&address)
                }) {
                    address.flags |= IFA_F_SECONDARY;
                }
                if address.label.is_none() {
                    address.label = Some(device.name.as_str().to_owned());
                }
            }
            Family::Ipv6 => {
                if device.sysctls.disable_ipv6.is_some_and(|value| value != 0) {
                    return Err(libc::EACCES);
                }
                if device.mtu < IPV6_MTU_MIN {
                    return Err(libc::EINVAL);
                }
            }
        }
        match address.family() {
            Family::Ipv4 => device.addresses.push(address),
            // The kernel lists the newest first.
            Family::Ipv6 => device.addresses.insert(0, address),
        }
        Ok(())
    }

    /// Changes only the lifetime; for IPv6 also flags and origin.
    pub(super) fn change_address(
        &mut self,
        link: LinkIndex,
        address: &Address,
    ) -> Result<(), Errno> {
        let addresses = &mut self.device_mut(link)?.addresses;
        let is_it = |own: &&mut Address| own.prefix == address.prefix && own.peer == address.peer;
        let own = addresses.iter_mut().find(is_it).ok_or(libc::ENOENT)?;
        own.valid = address.valid;
        if own.family() == Family::Ipv6 {
            (own.flags, own.origin) = (address.flags, address.origin);
        }
        Ok(())
    }

    pub(super) fn delete_address(
        &mut self,
        link: LinkIndex,
        address: &Address,
    ) -> Result<(), Errno> {
        let promotes = self.promotes;
        let device = self.device_mut(link)?;
        let is_it = |own: &Address| own.prefix == address.prefix && own.peer == address.peer;
        let at = device.addresses.iter().position(is_it).ok_or(libc::EADDRNOTAVAIL)?;
        let gone = device.addresses.remove(at);
        if gone.family() == Family::Ipv4 {
            if !gone.is_secondary() {
                device.lose_primary(&gone, promotes);
            }
            if !device.addresses.iter().any(|own| own.family() == Family::Ipv4) {
                // With its last address a link loses its IPv4 routes.
                device.lose_routes(|route| route.family == Family::Ipv4);
            }
        }
        self.forget_lost_sources();
        Ok(())
    }

    pub(super) fn add_route(&mut self, link: LinkIndex, mut route: Route) -> Result<(), Errno> {
        if route.source.is_some_and(|source| !self.is_local(source)) {
            return Err(libc::EINVAL);
        }
        let device = self.device_mut(link)?;
        let is_looked_for = route.gateway.is_some() && !route.on_link;
        if !device.up && !is_looked_for {
            return Err(libc::ENETDOWN);
        }
        match route.family {
            Family::Ipv4 => {}
            Family::Ipv6 => {
                if device.sysctls.disable_ipv6.is_some_and(|value| value != 0) {
                    return Err(libc::EACCES);
                }
                route.metric = if route.metric == 0 { IPV6_METRIC } else { route.metric };
            }
        }
        let is_found = route.gateway.is_none_or(|gateway| device.up && device.reaches(gateway));
        if is_looked_for && !is_found {
            return Err(match route.family {
                Family::Ipv4 => libc::ENETUNREACH,
                Family::Ipv6 => libc::EHOSTUNREACH,
            });
        }
        let is_same = |own: &Route| match route.family {
            Family::Ipv4 => *own == route,
            Family::Ipv6 => {
                (own.destination, own.gateway, own.metric, own.table)
                    == (route.destination, route.gateway, route.metric, route.table)
            }
        };
        if let Some(own) = device.routes.iter_mut().find(|own| is_same(own)) {
            // The request is refused, and yet its lifetime is applied (`fib6_add_rt2node`).
            own.expires = route.expires;
            return Err(libc::EEXIST);
        }
        // New routes come first among equals.
        let key = |route: &Route| (route.family, route.destination, route.metric, route.table);
        let at = device.routes.iter().position(|own| key(own) >= key(&route));
        device.routes.insert(at.unwrap_or(device.routes.len()), route);
        Ok(())
    }

    pub(super) fn delete_route(&mut self, link: LinkIndex, route: &Route) -> Result<(), Errno> {
        let device = self.device_mut(link)?;
        let is_it = |own: &Route| {
            own.destination == route.destination
                && own.table == route.table
                && own.family == route.family
                && (route.gateway.is_none() || own.gateway == route.gateway)
                && (route.metric == 0 || own.metric == route.metric)
                && (route.protocol == 0 || own.protocol == route.protocol)
                && (route.family == Family::Ipv6 || own.scope == route.scope)
        };
        let at = device.routes.iter().position(is_it).ok_or(libc::ESRCH)?;
        device.routes.remove(at);
        Ok(())
    }

    /// How a DHCP client applies a lease: it sets the address, even if the link has it already, and
    /// adds a default route if there is none.
    pub(super) fn lease(&mut self, link: LinkIndex, address: Address) -> Result<(), Errno> {
        let family = address.family();
        let gateway = match (address.prefix.network(), family) {
            (IpAddr::V4(network), Family::Ipv4) => IpAddr::V4((network.to_bits() | 1).into()),
            _ => return self.add_address(link, address),
        };
        self.add_address(link, address)?;
        let has_default = self
            .device(link)?
            .routes
            .iter()
            .any(|route| route.family == family && route.destination.prefix_len() == 0);
        if has_default {
            return Ok(());
        }
        self.add_route(
            link,
            Route {
                family,
                destination: IpPrefix::everything(family),
                gateway: Some(gateway),
                source: None,
                metric: 0,
                table: TABLE_MAIN,
                protocol: PROTOCOL_DHCP,
                scope: 0,
                on_link: false,
                expires: None,
            },
        )
    }

    /// Removes routes whose source address the host no longer has.
    pub(super) fn forget_lost_sources(&mut self) {
        let local: Vec<_> = self.devices.values().flat_map(|device| &device.addresses).collect();
        let local: Vec<_> = local.iter().map(|address| address.prefix.address()).collect();
        for device in self.devices.values_mut() {
            device.lose_routes(|route| route.source.is_some_and(|source| !local.contains(&source)));
        }
    }

    fn is_local(&self, address: IpAddr) -> bool {
        let mut addresses = self.devices.values().flat_map(|device| &device.addresses);
        addresses.any(|own| own.prefix.address() == address)
    }
}

impl Device {
    /// Handles the removal of the primary address of a network.
    fn lose_primary(&mut self, gone: &Address, promotes: bool) {
        let hangs_on_it = |own: &Address| own.is_secondary() && own.shares_network(gone);
        if !promotes {
            self.addresses.retain(|own| !hangs_on_it(own));
            return;
        }
        if let Some(heir) = self.addresses.iter_mut().find(|own| hangs_on_it(own)) {
            heir.flags &= !IFA_F_SECONDARY;
        }
    }
}
