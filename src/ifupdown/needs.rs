// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files that the host's program needs, beside itself, to bring an interface up at boot.

use crate::ifupdown::Dialect;
use crate::model::address::Family;
use crate::model::interface::{Interface, Kind, PortKind};

/// Files of which one must exist.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Need {
    /// Its use: "the bridge br0".
    pub purpose: String,
    pub any_of: &'static [&'static str],
    /// The packages that have it.
    pub packages: &'static str,
}

const BRIDGE: &[&str] = &["/etc/network/if-pre-up.d/bridge", "/usr/libexec/ifupdown-ng/bridge"];
const BOND: &[&str] = &[
    "/etc/network/if-pre-up.d/ifenslave",
    "/etc/network/if-pre-up.d/bonding",
    "/usr/libexec/ifupdown-ng/bond",
];
const VLAN: &[&str] = &["/etc/network/if-pre-up.d/vlan", "/usr/libexec/ifupdown-ng/link"];
const DHCP: &[&str] = &[
    "/sbin/dhclient",
    "/usr/sbin/dhclient",
    "/sbin/dhcpcd",
    "/usr/sbin/dhcpcd",
    "/sbin/udhcpc",
    "/usr/sbin/udhcpc",
    "/usr/bin/udhcpc",
];
/// The only client that ifupdown runs for IPv6.
const DHCP6: &[&str] = &["/sbin/dhclient", "/usr/sbin/dhclient"];

/// The files that this interface needs.
pub fn needs(interface: &Interface, dialect: Dialect) -> Vec<Need> {
    let name = interface.name;
    let need = |what: &str, any_of, packages| {
        vec![Need { purpose: format!("{what} {name}"), any_of, packages }]
    };
    let is_classic = dialect == Dialect::Classic;
    let bond = |what| need(what, BOND, if is_classic { "ifenslave" } else { "bonding" });
    let mut needs = match &interface.kind {
        Kind::Ethernet(_) => Vec::new(),
        Kind::Bridge(bridge) => {
            let package = if is_classic { "bridge-utils" } else { "bridge" };
            let mut needs = need("the bridge", BRIDGE, package);
            if bridge.ports.iter().any(|port| matches!(port.kind, PortKind::Bond(_))) {
                needs.extend(bond("the bond below"));
            }
            needs
        }
        Kind::Bond(_) => bond("the bond"),
        // ifupdown makes this one without help.
        Kind::Vlan(vlan)
            if is_classic && name.as_str() == format!("{}.{}", vlan.parent, vlan.tag) =>
        {
            Vec::new()
        }
        Kind::Vlan(_) => need("the VLAN", VLAN, "vlan"),
    };
    for protocol in interface.protocols.iter().filter(|protocol| protocol.dhcp.is_some()) {
        needs.extend(match protocol.family {
            Family::Ipv6 if is_classic => need("DHCPv6 on", DHCP6, "isc-dhcp-client"),
            Family::Ipv4 | Family::Ipv6 => {
                need("DHCP on", DHCP, "udhcpc, dhcpcd or isc-dhcp-client")
            }
        });
    }
    needs
}

impl Need {
    /// The warning that no such file exists.
    pub fn warning(&self) -> String {
        let Self { purpose, any_of, packages } = self;
        format!(
            "{purpose} cannot be brought up at boot: none of {} exists; install {packages}",
            any_of.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse::{Strictness, remarked};

    #[test]
    fn each_kind_needs_what_its_dialect_does_not_make_alone() {
        const DHCP4: &str = "<protocol family='ipv4'><dhcp/></protocol>";
        const BOND0: &str = "<interface type='bond' name='bond0'><bond>\
            <interface type='ethernet' name='eth0'/></bond></interface>";
        let vlan = |name: &str| {
            format!(
                "<interface type='vlan' name='{name}'><vlan tag='7'>\
                <interface name='eth0'/></vlan></interface>"
            )
        };
        let bridge = format!(
            "<interface type='bridge' name='br0'>{DHCP4}<bridge>{BOND0}</bridge></interface>"
        );
        let all = Dialect::ALL;
        struct Case<'a>(&'a str, &'a [Dialect], &'a [&'a str]);
        let (dotted, other) = (vlan("eth0.7"), vlan("vlan7"));
        let cases = [
            Case("<interface type='ethernet' name='eth0'/>", &all, &[]),
            Case(&bridge, &all, &["the bridge br0", "the bond below br0", "DHCP on br0"]),
            Case(BOND0, &all, &["the bond bond0"]),
            Case(&dotted, &[Dialect::Classic], &[]),
            Case(&dotted, &[Dialect::Ng, Dialect::BusyBox], &["the VLAN eth0.7"]),
            Case(&other, &all, &["the VLAN vlan7"]),
        ];
        for Case(xml, dialects, want) in cases {
            for dialect in dialects {
                let found = needs(&remarked(xml, Strictness::Parser).unwrap().0, *dialect);
                let purposes: Vec<_> = found.iter().map(|need| need.purpose.as_str()).collect();
                assert_eq!(purposes, want, "{dialect}: {xml}");
            }
        }
    }
}
