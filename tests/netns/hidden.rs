// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which interfaces lists leave out, and which one a MAC address finds.

use crate::support::client::RawClient;
use crate::support::command::{ip, ip_batch};
use crate::support::daemon::Daemon;
use crate::support::link::Tunnel;
use crate::support::namespace::in_namespace;
use crate::support::wire::{Arg, Fault, procedure};

fn by_mac(client: &mut RawClient, mac: &str) -> Result<String, Fault> {
    let reply = client.call(procedure::INTERFACE_LOOKUP_BY_MAC_STRING, &[Arg::Text(mac)]);
    if reply.head.status == 0 { Ok(reply.results().text()) } else { Err(reply.fault()) }
}

#[test]
fn ports_and_taps_are_not_listed_but_found_by_name() {
    in_namespace(|| {
        let tap = Tunnel::tap("tap0");
        ip_batch(
            "link add br0 address 52:54:00:00:00:02 type bridge\n\
             link add port0 address 52:54:00:00:00:01 type veth peer name far0\n",
        );
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        assert_eq!(client.list_all(), ["br0", "far0", "lo", "port0"]);
        ip("link set port0 master br0");
        assert_eq!(client.list_all(), ["br0", "far0", "lo"]);
        assert_eq!(by_mac(&mut client, "52:54:00:00:00:01").unwrap_err().code, 57);
        for name in ["tap0", "port0"] {
            let reply = client.call(procedure::INTERFACE_LOOKUP_BY_NAME, &[Arg::Text(name)]);
            assert_eq!(reply.results().text(), name);
            assert!(client.xml(name).contains(&format!("name='{name}'")));
        }
        assert!(client.xml("br0").contains("<interface type='ethernet' name='port0'>"));
        ip("link set port0 nomaster");
        drop(tap);
        assert_eq!(client.list_all(), ["br0", "far0", "lo", "port0"]);
        assert_eq!(by_mac(&mut client, "52:54:00:00:00:01").unwrap(), "port0");
    });
}

#[test]
fn a_mac_address_finds_none_one_or_too_many() {
    in_namespace(|| {
        ip_batch(
            "link add one address 52:54:00:aa:bb:01 type veth peer name far1\n\
             link add two address 52:54:00:aa:bb:02 type veth peer name also2\n\
             link set also2 address 52:54:00:aa:bb:02\n",
        );
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for mac in ["52:54:00:aa:bb:01", "52:54:00:AA:BB:01", "52:54:00:aA:Bb:01"] {
            assert_eq!(by_mac(&mut client, mac).unwrap(), "one", "{mac}");
        }
        for mac in ["52:54:00:aa:bb:03", "52:54:00:aa:bb", "*", "", "52:54:00:aa:bb:01\u{e9}"] {
            let message =
                format!("Interface not found: couldn't find interface with MAC address '{mac}'");
            let want = Fault { code: 57, domain: 26, message };
            assert_eq!(by_mac(&mut client, mac).unwrap_err(), want, "{mac}");
        }
        let message = "multiple matching interfaces found: \
            the MAC address '52:54:00:aa:bb:02' matches multiple interfaces";
        let want = Fault { code: 59, domain: 26, message: message.to_owned() };
        assert_eq!(by_mac(&mut client, "52:54:00:aa:bb:02").unwrap_err(), want);
    });
}
