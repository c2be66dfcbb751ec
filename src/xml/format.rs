// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Interface`] to XML, in libvirt's canonical layout.
//!
//! Two blanks a level, a line an element, attributes in single quotes and in libvirt's order. An
//! element that could hold others always has its own end tag. Every value is escaped, although
//! libvirt escapes only names. The output is valid by libvirt's `interface.rng`, except for names
//! that the kernel accepts and the schema does not.

use std::fmt::{self, Display, Write};

use crate::model::interface::{
    Bond, BondMember, BondMonitor, Bridge, Dhcp, Ethernet, ForwardDelay, Interface, Kind,
    LinkStatus, Port, PortKind, Protocol, Vlan,
};
use crate::xml::words::{self, KindName};

/// Room for a bridge with a few ports, so that most documents are written in place.
const USUAL_LEN: usize = 1024;

/// The whole document, ending with a line feed.
pub fn format(interface: &Interface) -> String {
    let mut doc = Document { text: String::with_capacity(USUAL_LEN), depth: 0 };
    let kind = words::kind(KindName::from(&interface.kind));
    doc.open("interface", &[("type", &kind), ("name", &interface.name)]);
    if let Some(start) = interface.start {
        doc.leaf("start", &[("mode", &words::start_mode(start))]);
    }
    if let Some(mtu) = interface.mtu {
        doc.leaf("mtu", &[("size", &mtu)]);
    }
    for protocol in &interface.protocols {
        format_protocol(&mut doc, protocol);
    }
    match &interface.kind {
        Kind::Ethernet(ethernet) => format_ethernet(&mut doc, ethernet),
        Kind::Bridge(bridge) => format_bridge(&mut doc, bridge),
        Kind::Bond(bond) => format_bond(&mut doc, bond),
        Kind::Vlan(vlan) => format_vlan(&mut doc, vlan),
    }
    doc.close("interface");
    doc.text
}

fn format_protocol(doc: &mut Document, protocol: &Protocol) {
    doc.open("protocol", &[("family", &words::family(protocol.family))]);
    if protocol.autoconf {
        doc.leaf("autoconf", &[]);
    }
    match protocol.dhcp {
        Some(Dhcp { peer_dns: Some(peer_dns) }) => {
            doc.leaf("dhcp", &[("peerdns", &words::yes_no(peer_dns))]);
        }
        Some(Dhcp { peer_dns: None }) => doc.leaf("dhcp", &[]),
        None => {}
    }
    for ip in &protocol.addresses {
        match ip.prefix_len() {
            Some(len) => doc.leaf("ip", &[("address", &ip.address()), ("prefix", &len)]),
            None => doc.leaf("ip", &[("address", &ip.address())]),
        }
    }
    if let Some(gateway) = protocol.gateway {
        doc.leaf("route", &[("gateway", &gateway)]);
    }
    doc.close("protocol");
}

fn format_ethernet(doc: &mut Document, ethernet: &Ethernet) {
    format_link(doc, ethernet.link);
    if let Some(mac) = &ethernet.mac {
        doc.leaf("mac", &[("address", mac)]);
    }
}

fn format_link(doc: &mut Document, link: LinkStatus) {
    let speed = link.speed.map(|speed| ("speed", speed.to_string()));
    let state = link.state.map(|state| ("state", words::oper_state(state).to_owned()));
    let attributes: Vec<_> = speed.into_iter().chain(state).collect();
    if !attributes.is_empty() {
        let borrowed: Vec<_> = attributes.iter().map(|(key, value)| (*key, value as _)).collect();
        doc.leaf("link", &borrowed);
    }
}

fn format_bridge(doc: &mut Document, bridge: &Bridge) {
    let stp = bridge.stp.map(|stp| ("stp", words::on_off(stp).to_owned()));
    let delay = bridge.delay.map(|delay| ("delay", delay.to_string()));
    let attributes: Vec<_> = stp.into_iter().chain(delay).collect();
    let borrowed: Vec<_> = attributes.iter().map(|(key, value)| (*key, value as _)).collect();
    doc.open("bridge", &borrowed);
    for port in &bridge.ports {
        format_port(doc, port);
    }
    doc.close("bridge");
}

fn format_port(doc: &mut Document, port: &Port) {
    let kind = words::kind(KindName::from(&port.kind));
    doc.open("interface", &[("type", &kind), ("name", &port.name)]);
    match &port.kind {
        PortKind::Ethernet(ethernet) => format_ethernet(doc, ethernet),
        PortKind::Bond(bond) => format_bond(doc, bond),
        PortKind::Vlan(vlan) => format_vlan(doc, vlan),
    }
    doc.close("interface");
}

fn format_bond(doc: &mut Document, bond: &Bond) {
    format_link(doc, bond.link);
    match bond.mode {
        Some(mode) => doc.open("bond", &[("mode", &words::bond_mode(mode))]),
        None => doc.open("bond", &[]),
    }
    if let Some(monitor) = &bond.monitor {
        format_monitor(doc, monitor);
    }
    for member in &bond.members {
        format_member(doc, member);
    }
    doc.close("bond");
}

fn format_member(doc: &mut Document, member: &BondMember) {
    let kind = words::kind(KindName::Ethernet);
    doc.open("interface", &[("type", &kind), ("name", &member.name)]);
    format_ethernet(doc, &member.ethernet);
    doc.close("interface");
}

fn format_monitor(doc: &mut Document, monitor: &BondMonitor) {
    match monitor {
        BondMonitor::Mii { freq, downdelay, updelay, carrier } => {
            let carrier = carrier.map(words::mii_carrier);
            let mut attributes: Vec<(&str, &dyn Display)> = vec![("freq", freq)];
            if *downdelay > 0 {
                attributes.push(("downdelay", downdelay));
            }
            if *updelay > 0 {
                attributes.push(("updelay", updelay));
            }
            if let Some(carrier) = &carrier {
                attributes.push(("carrier", carrier));
            }
            doc.leaf("miimon", &attributes);
        }
        BondMonitor::Arp { interval, target, validate } => {
            let validate = validate.map(words::arp_validate);
            let mut attributes: Vec<(&str, &dyn Display)> =
                vec![("interval", interval), ("target", target)];
            if let Some(validate) = &validate {
                attributes.push(("validate", validate));
            }
            doc.leaf("arpmon", &attributes);
        }
    }
}

fn format_vlan(doc: &mut Document, vlan: &Vlan) {
    format_link(doc, vlan.link);
    doc.open("vlan", &[("tag", &vlan.tag)]);
    doc.leaf("interface", &[("name", &vlan.parent)]);
    doc.close("vlan");
}

impl Display for ForwardDelay {
    /// Seconds, with as many decimals as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(hundredths) = self;
        match (hundredths / 100, hundredths % 100) {
            (seconds, 0) => write!(f, "{seconds}"),
            (seconds, rest) if rest % 10 == 0 => write!(f, "{seconds}.{}", rest / 10),
            (seconds, rest) => write!(f, "{seconds}.{rest:02}"),
        }
    }
}

/// A document that is being written.
struct Document {
    text: String,
    depth: usize,
}

impl Document {
    fn open(&mut self, element: &str, attributes: &[(&str, &dyn Display)]) {
        self.tag(element, attributes);
        self.text.push_str(">\n");
        self.depth += 1;
    }

    fn leaf(&mut self, element: &str, attributes: &[(&str, &dyn Display)]) {
        self.tag(element, attributes);
        self.text.push_str("/>\n");
    }

    fn close(&mut self, element: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.indent();
        self.text.push_str("</");
        self.text.push_str(element);
        self.text.push_str(">\n");
    }

    /// All of a start tag but its end.
    fn tag(&mut self, element: &str, attributes: &[(&str, &dyn Display)]) {
        self.indent();
        self.text.push('<');
        self.text.push_str(element);
        for (key, value) in attributes {
            self.text.push(' ');
            self.text.push_str(key);
            self.text.push_str("='");
            // Writing to a String cannot fail.
            let _ = write!(Escaped(&mut self.text), "{value}");
            self.text.push('\'');
        }
    }

    fn indent(&mut self) {
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }
}

/// Escapes what XML 1.0 does not allow in an attribute between single quotes.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_special = |byte: u8| matches!(byte, b'&' | b'<' | b'>' | b'\'' | b'"');
        if !text.bytes().any(is_special) {
            // Almost always; names with special characters take the other branch.
            self.0.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '\'' => self.0.push_str("&apos;"),
                '"' => self.0.push_str("&quot;"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
