// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel requests of a bridge's life cycle (rtnetlink(7)), encoded once.
//!
//! They are those that the daemon sends, in its order; `changes` compares their texts with the plan
//! that the daemon logs. Shares no code with the daemon.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::isolated_host::{DISCARDED, NEW_BRIDGE, PORT_MACS, PORTS};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;

/// `NLM_F_REQUEST | NLM_F_ACK`, and with `NLM_F_EXCL | NLM_F_CREATE`.
const CHANGE: u16 = 0x5;
const ADD: u16 = 0x605;

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGHTBL: u16 = 66;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `RTEXT_FILTER_SKIP_STATS`.
const SKIP_STATS: u32 = 8;
/// `RTEXT_FILTER_BRVLAN_COMPRESSED`.
const BRIDGE_VLANS: u32 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_MTU: u16 = 4;
const RTA_OIF: u16 = 4;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_BRIDGE: u8 = 7;

/// A request, and its text in the daemon's plan.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

/// The requests of a bridge's life cycle.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) create: Vec<Request>,
    /// All until the bridge is renamed.
    pub(crate) destroy: Vec<Request>,
    /// The deferred deletion.
    pub(crate) delete: Request,
}

impl Requests {
    /// Builds them for ports with these indexes. The bridge requests a fixed index, so none has to
    /// be looked up in between.
    pub(crate) fn new(ports: [u32; 2]) -> Self {
        let bridge = 1_000_000;
        let [first, second] = ports;
        let [first_name, second_name] = PORTS;
        let [mac, _] = PORT_MACS;
        Self {
            create: vec![
                add_bridge(bridge, mac),
                set_up(NEW_BRIDGE, bridge),
                ipv4(RTM_NEWADDR, ADD, bridge),
                ipv6(RTM_NEWADDR, ADD, bridge),
                set_master(first_name, first, bridge),
                set_up(first_name, first),
                set_master(second_name, second, bridge),
                set_up(second_name, second),
            ],
            destroy: vec![
                ipv6(RTM_DELADDR, CHANGE, bridge),
                ipv4(RTM_DELADDR, CHANGE, bridge),
                set_down(NEW_BRIDGE, bridge),
                set_master(first_name, first, 0),
                set_down(first_name, first),
                set_master(second_name, second, 0),
                set_down(second_name, second),
                rename(bridge),
            ],
            delete: Request {
                text: format!("link del {DISCARDED}"),
                bytes: message(RTM_DELLINK, CHANGE, &link_header(bridge, 0, 0)),
            },
        }
    }
}

/// The dumps of all links, addresses, routes, neighbour settings, and bridge VLANs.
pub(crate) fn dump_all() -> Vec<Request> {
    let links = [link_header(0, 0, 0), attribute(IFLA_EXT_MASK, &SKIP_STATS.to_ne_bytes())];
    vec![
        dump("links", RTM_GETLINK, &links.concat()),
        dump("addresses", RTM_GETADDR, &address_header(0, 0, 0)),
        dump("routes of IPv4", RTM_GETROUTE, &[[AF_INET, 0, 0, 0], [0; 4], [0; 4]].concat()),
        dump("routes of IPv6", RTM_GETROUTE, &[[AF_INET6, 0, 0, 0], [0; 4], [0; 4]].concat()),
        dump("settings of neighbours", RTM_GETNEIGHTBL, &[0; 4]),
        dump_vlans(),
    ]
}

fn dump_vlans() -> Request {
    let header = [[AF_BRIDGE, 0, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
    let mask = attribute(IFLA_EXT_MASK, &BRIDGE_VLANS.to_ne_bytes());
    dump("VLANs of bridges", RTM_GETLINK, &[header, mask].concat())
}

/// The request for one link, the dumps of its addresses and routes, and that of all bridge VLANs.
pub(crate) fn dump_of(index: u32) -> Vec<Request> {
    let mask = attribute(IFLA_EXT_MASK, &SKIP_STATS.to_ne_bytes());
    let look = [link_header(index, 0, 0), mask].concat();
    let through = attribute(RTA_OIF, &index.to_ne_bytes());
    let routes = |family| [[family, 0, 0, 0], [0; 4], [0; 4]].concat();
    vec![
        Request { text: "a link".to_owned(), bytes: message(RTM_GETLINK, CHANGE, &look) },
        dump("its addresses", RTM_GETADDR, &address_header(0, 0, index)),
        dump("its routes", RTM_GETROUTE, &[routes(AF_INET), through.clone()].concat()),
        dump("its routes", RTM_GETROUTE, &[routes(AF_INET6), through].concat()),
        dump_vlans(),
    ]
}

/// Sets a link's MTU.
pub(crate) fn set_mtu(name: &str, index: u32, mtu: u32) -> Request {
    let payload = [link_header(index, 0, 0), attribute(IFLA_MTU, &mtu.to_ne_bytes())].concat();
    let bytes = message(RTM_NEWLINK, CHANGE, &payload);
    Request { text: format!("link set {name} mtu {mtu}"), bytes }
}

fn dump(what: &str, kind: u16, payload: &[u8]) -> Request {
    Request { text: format!("dump {what}"), bytes: message(kind, DUMP, payload) }
}

fn add_bridge(index: u32, mac: [u8; 6]) -> Request {
    let [a, b, c, d, e, f] = mac;
    let text = format!(
        "link add {NEW_BRIDGE} address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} \
         type bridge stp off delay 0"
    );
    let zero = 0_u32.to_ne_bytes();
    let data =
        [attribute(IFLA_BR_FORWARD_DELAY, &zero), attribute(IFLA_BR_STP_STATE, &zero)].concat();
    let info = [attribute(IFLA_INFO_KIND, b"bridge\0"), attribute(IFLA_INFO_DATA, &data)].concat();
    let payload = [
        link_header(index, 0, 0),
        attribute(IFLA_IFNAME, format!("{NEW_BRIDGE}\0").as_bytes()),
        attribute(IFLA_ADDRESS, &mac),
        attribute(IFLA_LINKINFO, &info),
    ];
    Request { text, bytes: message(RTM_NEWLINK, ADD, &payload.concat()) }
}

fn set_up(name: &str, index: u32) -> Request {
    let bytes = message(RTM_NEWLINK, CHANGE, &link_header(index, IFF_UP, IFF_UP));
    Request { text: format!("link set {name} up"), bytes }
}

fn set_down(name: &str, index: u32) -> Request {
    let bytes = message(RTM_NEWLINK, CHANGE, &link_header(index, 0, IFF_UP));
    Request { text: format!("link set {name} down"), bytes }
}

/// Renames the bridge, as before a deferred deletion.
fn rename(index: u32) -> Request {
    let name = attribute(IFLA_IFNAME, format!("{DISCARDED}{index}\0").as_bytes());
    let bytes = message(RTM_NEWLINK, CHANGE, &[link_header(index, 0, 0), name].concat());
    Request { text: format!("link set {NEW_BRIDGE} name {DISCARDED}"), bytes }
}

/// Sets a link's master; 0 removes it.
fn set_master(name: &str, index: u32, master: u32) -> Request {
    let wish = if master == 0 { "nomaster".to_owned() } else { format!("master {NEW_BRIDGE}") };
    let attribute = attribute(IFLA_MASTER, &master.to_ne_bytes());
    let payload = [link_header(index, 0, 0), attribute].concat();
    let bytes = message(RTM_NEWLINK, CHANGE, &payload);
    Request { text: format!("link set {name} {wish}"), bytes }
}

fn ipv4(kind: u16, flags: u16, index: u32) -> Request {
    let address = Ipv4Addr::new(192, 0, 2, 1).octets();
    let payload = [
        address_header(AF_INET, 24, index),
        attribute(IFA_LOCAL, &address),
        attribute(IFA_ADDRESS, &address),
        attribute(IFA_BROADCAST, &Ipv4Addr::new(192, 0, 2, 255).octets()),
    ];
    of_address(kind, flags, "192.0.2.1/24", &payload.concat())
}

fn ipv6(kind: u16, flags: u16, index: u32) -> Request {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets();
    let payload = [
        address_header(AF_INET6, 64, index),
        attribute(IFA_LOCAL, &address),
        attribute(IFA_ADDRESS, &address),
    ];
    of_address(kind, flags, "2001:db8::1/64", &payload.concat())
}

fn of_address(kind: u16, flags: u16, address: &str, payload: &[u8]) -> Request {
    let verb = if kind == RTM_NEWADDR { "add" } else { "del" };
    let text = format!("addr {verb} {address} dev {NEW_BRIDGE}");
    Request { text, bytes: message(kind, flags, payload) }
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, mask: u32) -> Vec<u8> {
    [0, index, flags, mask].map(u32::to_ne_bytes).concat()
}

/// `struct ifaddrmsg`.
fn address_header(family: u8, prefix_len: u8, index: u32) -> Vec<u8> {
    let (flags, scope) = (0, 0);
    [[family, prefix_len, flags, scope], index.to_ne_bytes()].concat()
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = [len, kind].map(u16::to_ne_bytes).concat();
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `struct nlmsghdr` and its payload. The sequence number is not used.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + payload.len()).unwrap_or(u32::MAX);
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend([kind, flags].map(u16::to_ne_bytes).concat());
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes
}
