// SPDX-License-Identifier: LGPL-2.1-or-later
//! VLANs on every kind of parent, and as a part of another interface.

use crate::support::client::RawClient;
use crate::support::command::ip_batch;
use crate::support::daemon::Daemon;
use crate::{BOND, DUMMY, MEMBERS, VLAN, await_xml, on_kernel_with};

/// The description of a VLAN without addresses; `link` is a whole element.
fn vlan_xml(name: &str, link: &str, tag: u16, parent: &str) -> String {
    format!(
        "\
<interface type='vlan' name='{name}'>
  <mtu size='1500'/>
  {link}
  <vlan tag='{tag}'>
    <interface name='{parent}'/>
  </vlan>
</interface>
"
    )
}

#[test]
fn a_vlan_is_described_with_its_tag_and_parent_whatever_the_parent_is() {
    on_kernel_with(&[BOND, DUMMY, VLAN], || {
        ip_batch(MEMBERS);
        ip_batch(
            "link add eth0 type veth peer name far2\n\
             link set far2 up\n\
             link set eth0 up\n\
             link add d0 type dummy\n\
             link set d0 up\n\
             link add bond0 type bond mode active-backup miimon 100\n\
             link set m0 master bond0\n\
             link set bond0 up\n\
             link add br0 type bridge\n\
             link set m1 master br0\n\
             link set m1 up\n\
             link set br0 up\n\
             link add eth0.1 link eth0 type vlan id 1\n\
             link add eth0.4094 link eth0 type vlan id 4094\n\
             link add d0.7 link d0 type vlan id 7\n\
             link add bond0.100 link bond0 type vlan id 100\n\
             link add vlan200 link br0 type vlan id 200\n\
             link add outer link eth0 type vlan protocol 802.1ad id 3000\n\
             link set outer up\n\
             link add inner link outer type vlan id 8\n",
        );
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let rows = [
            ("eth0.1", 1, "eth0", "speed='10000' "),
            ("eth0.4094", 4094, "eth0", "speed='10000' "),
            ("d0.7", 7, "d0", ""),
            ("bond0.100", 100, "bond0", "speed='10000' "),
            ("vlan200", 200, "br0", "speed='10000' "),
            ("inner", 8, "outer", "speed='10000' "),
        ];
        for (name, tag, parent, speed) in rows {
            await_xml(&mut client, name, &vlan_xml(name, "<link state='down'/>", tag, parent));
            ip_batch(&format!("link set {name} up\n"));
            let link = format!("<link {speed}state='up'/>");
            await_xml(&mut client, name, &vlan_xml(name, &link, tag, parent));
        }
        let names = rows.map(|(name, ..)| name);
        let listed = client.list_all();
        assert!(names.iter().all(|name| listed.iter().any(|it| it == name)), "{listed:?}");
    });
}

#[test]
fn a_vlan_with_addresses_is_described_with_them() {
    on_kernel_with(&[VLAN], || {
        ip_batch(
            "link add eth0 mtu 1400 type veth peer name far0\n\
             link set far0 up\n\
             link set eth0 up\n\
             link add eth0.5 link eth0 type vlan id 5\n\
             link set eth0.5 up\n\
             address add 192.0.2.1/24 dev eth0.5\n\
             address add 2001:db8::1/64 dev eth0.5 nodad\n\
             route add default via 192.0.2.254 dev eth0.5\n",
        );
        let _daemon = Daemon::start();
        let want = "\
<interface type='vlan' name='eth0.5'>
  <mtu size='1400'/>
  <protocol family='ipv4'>
    <ip address='192.0.2.1' prefix='24'/>
    <route gateway='192.0.2.254'/>
  </protocol>
  <protocol family='ipv6'>
    <ip address='2001:db8::1' prefix='64'/>
  </protocol>
  <link speed='10000' state='up'/>
  <vlan tag='5'>
    <interface name='eth0'/>
  </vlan>
</interface>
";
        await_xml(&mut RawClient::open(), "eth0.5", want);
    });
}

#[test]
fn a_vlan_that_is_a_member_of_a_bond_is_described_as_its_member() {
    on_kernel_with(&[BOND, VLAN], || {
        ip_batch(
            "link add eth0 address 52:54:00:00:00:31 type veth peer name far0\n\
             link set far0 up\n\
             link set eth0 up\n\
             link add eth0.5 link eth0 type vlan id 5\n\
             link add bond0 type bond mode balance-rr miimon 100\n\
             link set eth0.5 master bond0\n\
             link set bond0 up\n",
        );
        let _daemon = Daemon::start();
        let want = "\
<interface type='bond' name='bond0'>
  <mtu size='1500'/>
  <link speed='10000' state='up'/>
  <bond mode='balance-rr'>
    <miimon freq='100' carrier='netif'/>
    <interface type='ethernet' name='eth0.5'>
      <link speed='10000' state='up'/>
      <mac address='52:54:00:00:00:31'/>
    </interface>
  </bond>
</interface>
";
        await_xml(&mut RawClient::open(), "bond0", want);
    });
}
