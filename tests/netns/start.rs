// SPDX-License-Identifier: LGPL-2.1-or-later
//! `virsh iface-start` and `iface-destroy`: the host matches the definition, and nothing else
//! changes.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::host::{
    TWO_NICS, addresses, bridge, define, definition_file, ethernet, find_link, ip_json, is_up,
    link, listed_state, ports, protocols, routes, sorted, virsh_destroy, virsh_edit, with_virsh,
};
use crate::scene::fact;
use crate::support::client::RawClient;
use crate::support::command::{command, ip, ip_batch, virsh};
use crate::support::daemon::Daemon;
use crate::support::namespace::DIR;
use crate::support::wire::{Arg, procedure};
use crate::support::{eventually, link::Tunnel};

const DUAL: [&str; 4] = ["192.0.2.2/24", "198.51.100.1/32", "2001:db8::2/64", "2001:db8::3/128"];
const GATEWAYS: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

fn with_daemon(test: impl FnOnce() + Send + 'static) {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let _daemon = Daemon::start();
        test();
    });
}

#[track_caller]
fn start(name: &str) {
    let said = virsh(&format!("iface-start {name}")).ok();
    assert_eq!(said.trim_end(), format!("Interface {name} started"));
}

#[track_caller]
fn destroy(name: &str) {
    virsh_destroy(name).unwrap();
}

/// The message of a virsh command that fails, from its second line on.
#[track_caller]
fn refused(arguments: &str) -> String {
    let said = virsh(arguments).failed();
    said.split_once('\n').unwrap_or_else(|| panic!("{said}")).1.to_owned()
}

/// The attributes of a bridge.
#[track_caller]
fn bridge_data(name: &str) -> Value {
    let link = link(name);
    assert_eq!(link["linkinfo"]["info_kind"], "bridge");
    link["linkinfo"]["info_data"].clone()
}

/// Records the kernel's events of links.
struct Monitor {
    child: Child,
    path: String,
}

impl Monitor {
    fn start() -> Self {
        let path = format!("{DIR}/monitor");
        let out = File::create(&path).unwrap();
        let child = command("ip")
            .args(["-oneline", "-details", "monitor", "link", "address"])
            .stdin(Stdio::null())
            .stdout(out)
            .spawn()
            .unwrap();
        let monitor = Self { child, path };
        // It listens once it has recorded an event.
        eventually("the monitor listens", || {
            ip("link set lo mtu 65535");
            ip("link set lo mtu 65536");
            monitor.lines().iter().any(|line| line.contains(" lo: "))
        });
        monitor
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.path).unwrap().lines().map(str::to_owned).collect()
    }

    /// The events of a link so far.
    fn of(&self, name: &str) -> Vec<String> {
        let mark = self.lines().len();
        eventually("the monitor has recorded all", || {
            ip("link set lo mtu 65535");
            ip("link set lo mtu 65536");
            self.lines().len() >= mark + 2
        });
        let is_of = |line: &String| {
            line.contains(&format!(" {name}: ")) || line.contains(&format!(" {name}@"))
        };
        self.lines().into_iter().filter(is_of).collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Values that change if a link is taken down or recreated.
fn continuity(name: &str) -> (Value, String, bool) {
    (link(name)["ifindex"].clone(), fact(name, "carrier_changes"), is_up(name))
}

#[test]
fn a_nic_gets_its_addresses_routes_mtu_and_mac() {
    with_daemon(|| {
        let xml = ethernet("eth0", &DUAL, &GATEWAYS).replace(
            "</interface>",
            "<mtu size='1400'/><mac address='52:54:00:aa:bb:cc'/></interface>",
        );
        define(&xml);
        start("eth0");
        // The start returns only when the link is as defined, so there is no wait here.
        let shown = virsh("iface-dumpxml eth0").ok();
        assert!(shown.contains("<link speed='10000' state='up'/>"), "{shown}");
        assert_eq!(link("eth0")["operstate"], "UP");
        assert_eq!(listed_state("eth0"), Some("active".to_owned()));
        assert!(is_up("eth0"));
        assert_eq!(sorted(addresses("eth0")), sorted(DUAL.to_vec()));
        assert_eq!(routes("eth0"), ["default via 192.0.2.1", "default via 2001:db8::1"]);
        assert_eq!(link("eth0")["mtu"], 1400);
        assert_eq!(link("eth0")["address"], "52:54:00:aa:bb:cc");
        let info = &link("eth0")["addr_info"][0];
        assert_eq!(info["valid_life_time"], 4_294_967_295_u32, "for ever");
        assert_eq!(info["broadcast"], "192.0.2.255");

        let want = "error: Requested operation is not valid: interface is already running";
        assert_eq!(refused("iface-start eth0"), want);
        assert_eq!(virsh("-q iface-mac eth0").ok().trim(), "52:54:00:aa:bb:cc");

        destroy("eth0");
        assert!(!is_up("eth0"));
        assert_eq!((addresses("eth0"), routes("eth0")), (vec![], vec![]));
        assert_eq!(listed_state("eth0"), Some("inactive".to_owned()));
        assert!(virsh("iface-dumpxml eth0").ok().contains("<link state='down'/>"));
        let want = "error: Requested operation is not valid: interface is not running";
        assert_eq!(refused("iface-destroy eth0"), want);
        start("eth0");
        assert_eq!(sorted(addresses("eth0")), sorted(DUAL.to_vec()), "again");
    });
}

#[test]
fn a_bridge_is_made_with_its_ports_and_goes_with_its_definition() {
    with_daemon(|| {
        define(&bridge("br0", "stp='on' delay='4'", &["eth0", "eth1"], &["192.0.2.2/24"]));
        start("br0");
        let data = bridge_data("br0");
        assert_eq!((&data["stp_state"], &data["forward_delay"]), (&1.into(), &400.into()));
        assert_eq!(ports("br0"), ["eth0", "eth1"]);
        assert!(["br0", "eth0", "eth1"].iter().all(|name| is_up(name)));
        assert_eq!(link("br0")["address"], "52:54:00:00:00:01", "its first port's");
        assert_eq!(addresses("br0"), ["192.0.2.2/24"]);
        let shown = virsh("iface-dumpxml br0").ok();
        assert!(shown.contains("<bridge stp='on' delay='4'>"), "{shown}");
        assert_eq!(shown.matches("<link speed='10000' state='up'/>").count(), 2, "{shown}");
        let want = "error: Requested operation is not valid: interface is already running";
        assert_eq!(refused("iface-start br0"), want);

        destroy("br0");
        assert!(find_link("br0").is_none());
        for port in ["eth0", "eth1"] {
            assert_eq!((link(port).get("master"), is_up(port)), (None, false), "{port}");
        }
        assert!(definition_file("br0").exists());
        assert_eq!(listed_state("br0"), Some("inactive".to_owned()));
        start("br0");
        assert_eq!(ports("br0"), ["eth0", "eth1"], "again");
    });
}

/// The kernel needs time to delete a bridge. Until then it is not listed, nor found by the MAC
/// address that it shares with its port.
#[test]
fn a_bridge_that_is_about_to_be_deleted_is_no_interface_any_more() {
    with_virsh(|| {
        ip_batch(TWO_NICS);
        let daemon = Daemon::start();
        define(&bridge("br0", "stp='off'", &["eth0"], &[]));
        let mut client = RawClient::open();
        let br0 = [Arg::Text("br0"), Arg::Text(""), Arg::Word(0)];
        let start_and_destroy = |client: &mut RawClient| {
            for procedure in [procedure::INTERFACE_CREATE, procedure::INTERFACE_DESTROY] {
                client.call(procedure, &br0).results();
            }
        };
        for round in 0..20 {
            start_and_destroy(&mut client);
            let names = ["eth0", "eth1", "far0", "far1", "lo", "br0"];
            assert_eq!(client.list_all(), names, "round {round}");
            let mac = [Arg::Text("52:54:00:00:00:01")];
            let reply = client.call(procedure::INTERFACE_LOOKUP_BY_MAC_STRING, &mac);
            assert_eq!(reply.results().text(), "eth0", "round {round}");
        }
        let no_more = || ip_json("link show type bridge").is_empty();
        eventually("all of them are deleted", no_more);

        // A daemon that was killed before leaves the deletion to the next one.
        start_and_destroy(&mut client);
        daemon.kill();
        let _daemon = Daemon::start();
        eventually("what was left behind is deleted", no_more);
    });
}

/// The kernel refuses a delay below two seconds while STP runs, and clamps it when STP comes on.
#[test]
fn virshs_own_default_of_stp_without_delay_works() {
    struct Case(&'static str, u32, u32);
    const CASES: [Case; 7] = [
        Case("stp='on' delay='0'", 1, 200),
        Case("stp='on' delay='1.99'", 1, 200),
        Case("stp='on' delay='2'", 1, 200),
        Case("stp='on' delay='30'", 1, 3000),
        Case("stp='on'", 1, 1500),
        Case("stp='off' delay='0'", 0, 0),
        Case("stp='off' delay='0.5'", 0, 50),
    ];
    with_daemon(|| {
        let mut client = RawClient::open();
        let br0 = [Arg::Text("br0"), Arg::Text(""), Arg::Word(0)];
        for Case(attributes, stp, delay) in CASES {
            let settings = || {
                let data = bridge_data("br0");
                (data["stp_state"].clone(), data["forward_delay"].clone())
            };
            let want = (stp.into(), delay.into());
            define(&bridge("br0", attributes, &["eth0"], &[]));
            start("br0");
            assert_eq!(settings(), want, "{attributes}, made anew");
            let running = "error: Requested operation is not valid: interface is already running";
            assert_eq!(refused("iface-start br0"), running, "{attributes}");
            // Each setting is changed to each other one, on the running bridge.
            for Case(other, ..) in CASES {
                for attributes in [other, attributes] {
                    let xml = bridge("br0", attributes, &["eth0"], &[]);
                    let define = [Arg::Text(&xml), Arg::Word(0)];
                    client.call(procedure::INTERFACE_DEFINE_XML, &define).results();
                    // The bridge may match already.
                    client.call(procedure::INTERFACE_CREATE, &br0);
                }
                // A setting that the definition leaves out keeps its value.
                if attributes.contains("delay") {
                    assert_eq!(settings(), want, "{attributes}, after {other}");
                }
            }
            destroy("br0");
            // Otherwise the next case would inherit settings that it leaves out.
            virsh("iface-undefine br0").ok();
        }
    });
}

#[test]
fn an_edited_bridge_changes_in_place() {
    with_daemon(|| {
        let tap = Tunnel::tap("vnet0");
        define(&bridge(
            "br0",
            "stp='off' delay='0'",
            &["eth0"],
            &["192.0.2.2/24", "2001:db8::2/64"],
        ));
        start("br0");
        ip_batch("link set vnet0 master br0\nlink set vnet0 up\n");
        let monitor = Monitor::start();
        let before = ["br0", "eth0", "vnet0"].map(continuity);
        virsh_edit(
            "br0",
            "sed -i -e 's/192.0.2.2/192.0.2.3/' -e 's/2001:db8::2/2001:db8::3/' \
             -e \"s/delay='0'/delay='7'/\" -e \"/<bridge/a <interface type='ethernet' \
             name='eth1'/>\" \"$1\"",
        )
        .ok();
        assert_eq!(addresses("br0"), ["192.0.2.2/24", "2001:db8::2/64"], "not yet");
        start("br0");
        assert_eq!(addresses("br0"), ["192.0.2.3/24", "2001:db8::3/64"]);
        assert_eq!(bridge_data("br0")["forward_delay"], 700);
        assert_eq!(ports("br0"), ["eth0", "eth1", "vnet0"]);
        assert!(is_up("eth1"));
        assert_eq!(["br0", "eth0", "vnet0"].map(continuity), before);
        for name in ["br0", "eth0", "vnet0"] {
            for line in monitor.of(name).iter().filter(|line| line.contains(" mtu ")) {
                let flags = line.split(['<', '>']).nth(1).unwrap();
                let is_up = flags.split(',').any(|flag| flag == "UP");
                assert!(is_up && !line.contains("Deleted"), "{line}");
            }
        }
        assert!(!monitor.of("br0").is_empty(), "the monitor saw the change of addresses");

        // The reverse change. The port that is no longer named may be a guest's, so it stays.
        let before = ["br0", "eth0", "eth1", "vnet0"].map(continuity);
        define(&bridge("br0", "stp='off' delay='0'", &["eth0"], &["192.0.2.2/24"]));
        start("br0");
        assert_eq!(addresses("br0"), ["192.0.2.2/24"]);
        assert_eq!(ports("br0"), ["eth0", "eth1", "vnet0"]);
        assert_eq!(["br0", "eth0", "eth1", "vnet0"].map(continuity), before);
        drop(tap);
    });
}

#[test]
fn an_edited_nic_changes_in_place() {
    with_daemon(|| {
        define(&ethernet("eth0", &["192.0.2.2/24", "2001:db8::2/64"], &["192.0.2.1"]));
        start("eth0");
        struct Case(&'static str, &'static [&'static str], &'static [&'static str]);
        const CASES: [Case; 7] = [
            Case("one more", &["192.0.2.2/24", "192.0.2.3/24"], &["192.0.2.1"]),
            Case("the first one goes", &["192.0.2.3/24"], &["192.0.2.1"]),
            Case("another gateway", &["192.0.2.3/24"], &["192.0.2.9"]),
            Case("no gateway", &["192.0.2.3/24"], &[]),
            Case("another prefix", &["192.0.2.3/25"], &["192.0.2.1"]),
            Case(
                "another network",
                &["10.0.0.1/8", "2001:db8:1::1/64"],
                &["10.0.0.2", "2001:db8:1::2"],
            ),
            Case("nothing", &[], &[]),
        ];
        let before = continuity("eth0");
        for Case(label, wanted, gateways) in CASES {
            define(&ethernet("eth0", wanted, gateways));
            start("eth0");
            assert_eq!(sorted(addresses("eth0")), sorted(wanted.to_vec()), "{label}");
            let gateways: Vec<_> =
                gateways.iter().map(|gateway| format!("default via {gateway}")).collect();
            assert_eq!(routes("eth0"), gateways, "{label}");
            assert_eq!(continuity("eth0"), before, "{label}");
            let want = "error: Requested operation is not valid: interface is already running";
            assert_eq!(refused("iface-start eth0"), want, "{label}");
        }
        define("<interface type='ethernet' name='eth0'><mtu size='1300'/></interface>");
        start("eth0");
        assert_eq!(link("eth0")["mtu"], 1300);
        assert_eq!(continuity("eth0"), before, "MTU");
    });
}

#[test]
fn a_link_without_a_definition_goes_up_and_down_and_is_never_deleted() {
    with_daemon(|| {
        ip_batch("link add br7 type bridge\naddress add 203.0.113.7/24 dev br7\n");
        for name in ["eth0", "br7"] {
            start(name);
            assert!(is_up(name));
            let want = "error: Requested operation is not valid: interface is already running";
            assert_eq!(refused(&format!("iface-start {name}")), want);
        }
        assert_eq!(addresses("br7"), ["203.0.113.7/24"], "just up");
        ip_batch(
            "address add 192.0.2.2/24 dev eth0\naddress add 2001:db8::2/64 dev eth0 nodad\n\
             route add default via 192.0.2.1\nroute add 198.51.100.0/24 via 192.0.2.9\n",
        );
        for name in ["eth0", "br7"] {
            destroy(name);
            assert!(!is_up(name));
            assert_eq!((addresses(name), routes(name)), (vec![], vec![]));
            let want = "error: Requested operation is not valid: interface is not running";
            assert_eq!(refused(&format!("iface-destroy {name}")), want);
        }
        assert_eq!(fact("br7", "operstate"), "down");
        let want = "error: Interface not found: couldn't find interface named 'nosuch0'";
        assert_eq!(refused("iface-start nosuch0"), want);
        assert_eq!(refused("iface-destroy nosuch0"), want);
    });
}

#[test]
fn a_definition_without_its_nic_says_which_one_is_missing() {
    with_daemon(|| {
        define(&ethernet("nic7", &[], &[]));
        define(&bridge("br0", "", &["eth0", "nic8"], &[]));
        let said = refused("iface-start nic7");
        assert!(said.contains("couldn't find interface named 'nic7'"), "{said}");
        let said = refused("iface-start br0");
        assert!(
            said.contains("couldn't find interface named 'nic8', a port of bridge br0"),
            "{said}"
        );
        assert!(find_link("br0").is_none());
        assert!(!is_up("eth0"));
        let want = "error: Requested operation is not valid: interface is not running";
        assert_eq!(refused("iface-destroy br0"), want);
    });
}

#[test]
fn an_mtu_and_a_mac_of_a_bridges_own_port_are_set() {
    with_daemon(|| {
        let xml = format!(
            "<interface type='bridge' name='br0'><mtu size='1800'/>{}<bridge stp='off'>\
             <interface type='ethernet' name='eth0'><mac address='52:54:00:aa:bb:cc'/></interface>\
             </bridge></interface>",
            protocols(&["192.0.2.2/24"], &[])
        );
        define(&xml);
        start("br0");
        assert_eq!(link("br0")["mtu"], 1800);
        assert_eq!(link("eth0")["mtu"], 1800);
        assert_eq!(link("eth0")["address"], "52:54:00:aa:bb:cc");
        assert_eq!(link("br0")["address"], "52:54:00:aa:bb:cc");
    });
}
