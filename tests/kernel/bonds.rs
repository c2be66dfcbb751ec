// SPDX-License-Identifier: LGPL-2.1-or-later
//! Bonds of every mode, with either monitor, and their members.

use crate::support::client::RawClient;
use crate::support::command::{ip, ip_batch};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::wire::{Arg, procedure};
use crate::{BOND, DUMMY, MEMBERS, await_xml, fact, on_kernel_with, set};

/// Modes by name, with the speed of a bond of two members of 10 Gb/s, and the MAC address of its
/// second member; the first has `:11`.
const MODES: [(&str, &str, &str); 7] = [
    ("balance-rr", "20000", "52:54:00:00:00:11"),
    ("active-backup", "10000", "52:54:00:00:00:11"),
    ("balance-xor", "20000", "52:54:00:00:00:11"),
    ("broadcast", "10000", "52:54:00:00:00:11"),
    ("802.3ad", "10000", "52:54:00:00:00:11"),
    ("balance-tlb", "20000", "52:54:00:00:00:12"),
    ("balance-alb", "20000", "52:54:00:00:00:12"),
];

/// Modes for which the kernel supports ARP monitoring.
const ARP_MODES: [usize; 4] = [0, 1, 2, 3];

/// Adds a bond with both members, all of them up.
fn make_bond(options: &str) {
    ip_batch(MEMBERS);
    ip(&format!("link add bond0 type bond {options}"));
    ip_batch(
        "link set m0 master bond0\n\
         link set m1 master bond0\n\
         link set bond0 up\n",
    );
}

fn remove_bond() {
    ip_batch("link del bond0\nlink del m0\nlink del m1\n");
}

/// The description of `bond0`; `monitor` is a whole element.
fn bond_xml((mode, speed, mac): (&str, &str, &str), monitor: &str) -> String {
    format!(
        "\
<interface type='bond' name='bond0'>
  <mtu size='1500'/>
  <link speed='{speed}' state='up'/>
  <bond mode='{mode}'>
    {monitor}
    <interface type='ethernet' name='m0'>
      <link speed='10000' state='up'/>
      <mac address='52:54:00:00:00:11'/>
    </interface>
    <interface type='ethernet' name='m1'>
      <link speed='10000' state='up'/>
      <mac address='{mac}'/>
    </interface>
  </bond>
</interface>
"
    )
}

#[test]
fn each_mode_is_described_with_mii_monitoring_and_its_members() {
    on_kernel_with(&[BOND], || {
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for mode in MODES {
            make_bond(&format!("mode {} miimon 100", mode.0));
            await_xml(
                &mut client,
                "bond0",
                &bond_xml(mode, "<miimon freq='100' carrier='netif'/>"),
            );
            assert_eq!(client.list_all(), ["bond0", "far0", "far1", "lo"], "{}", mode.0);
            set("bond0", "bonding/use_carrier", "0");
            set("bond0", "bonding/updelay", "200");
            set("bond0", "bonding/downdelay", "300");
            let monitor = "<miimon freq='100' downdelay='300' updelay='200' carrier='ioctl'/>";
            assert_eq!(client.xml("bond0"), bond_xml(mode, monitor));
            remove_bond();
        }
    });
}

#[test]
fn each_mode_that_may_is_described_with_arp_monitoring() {
    on_kernel_with(&[BOND], || {
        let validations = [
            ("active", " validate='active'"),
            ("backup", " validate='backup'"),
            ("all", " validate='all'"),
            ("none", ""),
        ];
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for mode in ARP_MODES.map(|mode| MODES[mode]) {
            // With a minute between ARP probes, the state does not change during the test.
            let arp = "arp_interval 60000 arp_ip_target 192.0.2.1,192.0.2.2";
            make_bond(&format!("mode {} {arp}", mode.0));
            let plain = "<arpmon interval='60000' target='192.0.2.1'/>";
            await_xml(&mut client, "bond0", &bond_xml(mode, plain));
            for (validation, attribute) in validations {
                set("bond0", "bonding/arp_validate", validation);
                let monitor = plain.replace("/>", &format!("{attribute}/>"));
                assert_eq!(client.xml("bond0"), bond_xml(mode, &monitor), "{validation}");
            }
            remove_bond();
        }
    });
}

#[test]
fn a_bond_without_monitor_or_without_members_is_described_as_what_it_is() {
    on_kernel_with(&[BOND], || {
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        make_bond("mode balance-rr");
        let unwatched = bond_xml(MODES[0], "").replace("    \n", "");
        await_xml(&mut client, "bond0", &unwatched);
        remove_bond();
        ip("link add bond0 address 52:54:00:00:00:20 type bond mode balance-rr miimon 100");
        let want = "\
<interface type='ethernet' name='bond0'>
  <mtu size='1500'/>
  <link state='down'/>
  <mac address='52:54:00:00:00:20'/>
</interface>
";
        assert_eq!(client.xml("bond0"), want);
    });
}

#[test]
fn a_member_without_speed_is_a_member_all_the_same() {
    on_kernel_with(&[BOND, DUMMY], || {
        ip_batch(
            "link add bond0 type bond mode active-backup miimon 100\n\
             link add d0 address 52:54:00:00:00:21 type dummy\n\
             link set d0 master bond0\n\
             link set bond0 up\n",
        );
        let _daemon = Daemon::start();
        let want = "\
<interface type='bond' name='bond0'>
  <mtu size='1500'/>
  <link state='up'/>
  <bond mode='active-backup'>
    <miimon freq='100' carrier='netif'/>
    <interface type='ethernet' name='d0'>
      <link state='unknown'/>
      <mac address='52:54:00:00:00:21'/>
    </interface>
  </bond>
</interface>
";
        await_xml(&mut RawClient::open(), "bond0", want);
    });
}

#[test]
fn a_members_cable_is_pulled_and_the_bond_stays_up() {
    on_kernel_with(&[BOND], || {
        make_bond("mode active-backup miimon 50");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let whole = bond_xml(MODES[1], "<miimon freq='50' carrier='netif'/>");
        await_xml(&mut client, "bond0", &whole);
        assert_eq!(fact("bond0", "bonding/active_slave"), "m0");
        ip("link set far0 down");
        let link = "<interface type='ethernet' name='m0'>\n      <link ";
        let pulled = whole.replace(
            &format!("{link}speed='10000' state='up'/>"),
            &format!("{link}state='lowerlayerdown'/>"),
        );
        await_xml(&mut client, "bond0", &pulled);
        eventually("m1 takes over", || fact("bond0", "bonding/active_slave") == "m1");
        assert_eq!(client.xml("bond0"), pulled);
        ip("link set far0 up");
        await_xml(&mut client, "bond0", &whole);
    });
}

/// The MAC address of a link, as a look-up by name returns it.
fn mac(client: &mut RawClient, name: &str) -> String {
    let reply = client.call(procedure::INTERFACE_LOOKUP_BY_NAME, &[Arg::Text(name)]);
    let mut results = reply.results();
    assert_eq!(results.text(), name);
    results.text()
}

#[test]
fn a_new_active_member_that_changes_addresses_is_seen_by_the_next_call() {
    on_kernel_with(&[BOND], || {
        make_bond("mode active-backup miimon 100 fail_over_mac active");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        for (round, member) in ["m1", "m0"].repeat(10).into_iter().enumerate() {
            set("bond0", "bonding/active_slave", member);
            let want = fact(member, "address");
            assert_eq!(mac(&mut client, "bond0"), want, "{member} in round {round}");
        }
    });
}

/// The kernel sends no events for this.
#[test]
fn members_that_swap_their_addresses_in_silence_are_described_as_they_are() {
    on_kernel_with(&[BOND], || {
        make_bond("mode balance-tlb miimon 100");
        let _daemon = Daemon::start();
        let mut client = RawClient::open();
        let mut seen = Vec::new();
        for (round, member) in ["m1", "m0"].repeat(10).into_iter().enumerate() {
            set("bond0", "bonding/active_slave", member);
            let xml = client.xml("bond0");
            let addresses = ["m0", "m1"].map(|name| fact(name, "address"));
            let lines = addresses.clone().map(|address| format!("<mac address='{address}'/>"));
            let found: Vec<_> =
                xml.lines().map(str::trim).filter(|line| line.starts_with("<mac ")).collect();
            assert_eq!(found, lines, "{member} in round {round}");
            seen.push(addresses);
        }
        assert_ne!(seen[0], seen[1], "nothing was ever swapped");
    });
}
