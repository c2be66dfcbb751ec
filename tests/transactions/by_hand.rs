// SPDX-License-Identifier: LGPL-2.1-or-later
//! Changes that an administrator makes with `ip`, in its syntax, and changes that come from guests
//! or hardware.
//!
//! ```text
//! addr add|del PREFIX dev LINK
//! route add|del default via GATEWAY dev LINK
//! link set LINK up|down|nomaster|mtu BYTES|address MAC|master LINK|stp on
//! link add LINK type bridge
//! link del LINK
//! vlan del NUMBER dev LINK
//! guest on BRIDGE
//! pull LINK
//! ```

use simulation::value_kernel::ValueKernel;
use virtinterfaced::model::address::{IpPrefix, MacAddr};
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::record::address::AddressRecord;
use virtinterfaced::netlink::record::bridge_vlan::BridgeVlans;
use virtinterfaced::netlink::record::route::RouteRecord;
use virtinterfaced::plan::request::{KernelRequest, LinkSpec, LinkValue, SpecKind};
use virtinterfaced::plan::step::Step;

pub(crate) fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

/// Performs a line, if the kernel permits it.
pub(crate) fn perform(kernel: &mut ValueKernel, line: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    let step = match words.as_slice() {
        ["guest", "on", bridge] => return kernel.add_guest(&name(bridge)),
        ["pull", link] => return kernel.pull_out(&name(link)),
        ["addr", verb, prefix, "dev", link] => {
            let (address, len) = prefix.split_once('/').unwrap();
            let prefix = IpPrefix::new(address.parse().unwrap(), len.parse().unwrap()).unwrap();
            let (link, record) = (name(link), AddressRecord::permanent(prefix));
            match *verb {
                "add" => Step::Request(KernelRequest::AddAddress { link, record }),
                _ => Step::Request(KernelRequest::DeleteAddress { link, record }),
            }
        }
        ["route", verb, "default", "via", gateway, "dev", link] => {
            let link = name(link);
            let record = RouteRecord::default_over(gateway.parse().unwrap());
            match *verb {
                "add" => Step::Request(KernelRequest::AddRoute { link, record }),
                _ => Step::Request(KernelRequest::DeleteRoute { link, record }),
            }
        }
        ["vlan", "del", number, "dev", link] => {
            let vlans = BridgeVlans::of_default(number.parse().unwrap());
            Step::Request(KernelRequest::DeleteVlans { link: name(link), vlans })
        }
        ["link", "add", link, "type", "bridge"] => {
            let kind = SpecKind::Bridge { stp: None, delay: None };
            Step::Request(KernelRequest::AddLink(LinkSpec { name: name(link), mac: None, kind }))
        }
        ["link", "del", link] => Step::Request(KernelRequest::DeleteLink(name(link))),
        ["link", "set", link, value @ ..] => {
            let value = match value {
                ["up"] => LinkValue::Up,
                ["down"] => LinkValue::Down,
                ["nomaster"] => LinkValue::NoMaster,
                ["mtu", mtu] => LinkValue::Mtu(mtu.parse().unwrap()),
                ["address", mac] => LinkValue::Mac(MacAddr::parse(mac).unwrap()),
                ["master", master] => LinkValue::Master(name(master)),
                ["stp", "on"] => LinkValue::Stp(true),
                _ => panic!("{line}?"),
            };
            Step::Request(KernelRequest::SetLink { link: name(link), value })
        }
        _ => panic!("{line}?"),
    };
    // The kernel may refuse it.
    let _ = kernel.perform(&step);
}
