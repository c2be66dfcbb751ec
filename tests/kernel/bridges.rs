// SPDX-License-Identifier: LGPL-2.1-or-later
//! Bridges with every kind of port, and their spanning tree.

use crate::support::client::RawClient;
use crate::support::command::{ip, ip_batch};
use crate::support::daemon::Daemon;
use crate::support::link::Tunnel;
use crate::{BOND, DUMMY, MEMBERS, VLAN, await_xml, on_kernel_with, set};

#[test]
fn a_bridge_is_described_with_every_kind_of_port() {
    on_kernel_with(&[BOND, DUMMY, VLAN], || {
        let _tap = Tunnel::tap("tap0");
        ip_batch(MEMBERS);
        ip_batch(
            "link add br0 type bridge stp_state 1 forward_delay 400\n\
             link add bond0 type bond mode active-backup miimon 100\n\
             link set m0 master bond0\n\
             link set bond0 master br0\n\
             link set bond0 up\n\
             link add d0 address 52:54:00:00:00:41 type dummy\n\
             link set d0 master br0 up\n\
             link add m1.5 link m1 type vlan id 5\n\
             link set m1 up\n\
             link set m1.5 master br0\n\
             link set m1.5 up\n\
             link add p0 address 52:54:00:00:00:42 type veth peer name far2\n\
             link set p0 master br0\n\
             link set tap0 address 52:54:00:00:00:43 master br0\n\
             link set br0 up\n",
        );
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let want = "\
<interface type='bridge' name='br0'>
  <mtu size='1500'/>
  <bridge stp='on' delay='4'>
    <interface type='bond' name='bond0'>
      <link speed='10000' state='up'/>
      <bond mode='active-backup'>
        <miimon freq='100' carrier='netif'/>
        <interface type='ethernet' name='m0'>
          <link speed='10000' state='up'/>
          <mac address='52:54:00:00:00:11'/>
        </interface>
      </bond>
    </interface>
    <interface type='ethernet' name='d0'>
      <link state='unknown'/>
      <mac address='52:54:00:00:00:41'/>
    </interface>
    <interface type='vlan' name='m1.5'>
      <link speed='10000' state='up'/>
      <vlan tag='5'>
        <interface name='m1'/>
      </vlan>
    </interface>
    <interface type='ethernet' name='p0'>
      <link state='down'/>
      <mac address='52:54:00:00:00:42'/>
    </interface>
    <interface type='ethernet' name='tap0'>
      <link state='down'/>
      <mac address='52:54:00:00:00:43'/>
    </interface>
  </bridge>
</interface>
";
        await_xml(&mut client, "br0", want);
        assert_eq!(client.list_all(), ["br0", "far0", "far1", "far2", "lo", "m1"]);
    });
}

#[test]
fn ports_that_come_and_go_are_seen_by_the_next_call() {
    on_kernel_with(&[BOND, DUMMY, VLAN], || {
        let _tap = Tunnel::tap("tap0");
        ip_batch(MEMBERS);
        ip_batch(
            "link add br0 type bridge\n\
             link add bond0 type bond mode active-backup\n\
             link set m0 master bond0\n\
             link add d0 type dummy\n\
             link add m1.5 link m1 type vlan id 5\n",
        );
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let ports = [("bond0", "bond"), ("d0", "ethernet"), ("m1.5", "vlan"), ("tap0", "ethernet")];
        for (port, kind) in ports {
            let element = format!("    <interface type='{kind}' name='{port}'>\n");
            // Links that are not ports are listed, except taps.
            let is_listed_alone = !port.starts_with("tap");
            for state in ["up", "down"] {
                ip(&format!("link set br0 {state}"));
                ip(&format!("link set {port} master br0"));
                assert!(client.xml("br0").contains(&element), "{port}, bridge {state}");
                assert!(!client.list_all().contains(&port.to_owned()), "{port}, bridge {state}");
                ip(&format!("link set {port} nomaster"));
                assert!(!client.xml("br0").contains("<interface type='ethernet'"), "{port}");
                assert!(!client.xml("br0").contains(&element), "{port}, bridge {state}");
                let is_listed = client.list_all().contains(&port.to_owned());
                assert_eq!(is_listed, is_listed_alone, "{port}, bridge {state}");
            }
        }
    });
}

#[test]
fn the_spanning_tree_and_its_delay_in_seconds_are_seen_by_the_next_call() {
    on_kernel_with(&[], || {
        ip("link add br0 type bridge");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        // In hundredths of a second, the kernel's unit. Delays below two seconds are accepted only
        // without the spanning tree.
        let delays = [
            ("off", "0", "0"),
            ("off", "50", "0.5"),
            ("off", "120", "1.2"),
            ("off", "1500", "15"),
            ("on", "200", "2"),
            ("on", "1550", "15.5"),
            ("on", "3000", "30"),
            ("off", "3000", "30"),
        ];
        for state in ["up", "down"] {
            ip(&format!("link set br0 {state}"));
            for (stp, hundredths, delay) in delays {
                let want = format!("  <bridge stp='{stp}' delay='{delay}'>\n");
                let number = ["off", "on"].iter().position(|it| *it == stp).unwrap().to_string();
                set("br0", "bridge/stp_state", &number);
                set("br0", "bridge/forward_delay", hundredths);
                assert!(client.xml("br0").contains(&want), "{want} {state}, by sysfs");
                ip("link set br0 type bridge forward_delay 700 stp_state 0");
                ip(&format!("link set br0 type bridge stp_state {number}"));
                ip(&format!("link set br0 type bridge forward_delay {hundredths}"));
                assert!(client.xml("br0").contains(&want), "{want} {state}, by netlink");
                set("br0", "bridge/forward_delay", "1500");
                set("br0", "bridge/stp_state", "0");
            }
        }
    });
}
