// SPDX-License-Identifier: LGPL-2.1-or-later
//! The real virsh, compared with the output of `ip`.

use std::{env, fs};

use crate::scene::{Scene, Shown, fact, shown};
use crate::support::command::{command, run, virsh, virsh_read_only};
use crate::support::daemon::Daemon;
use crate::support::namespace::{in_namespace, is_installed};

const VIRSH: &str = "/usr/bin/virsh";

/// Links that the daemon's lists leave out: a bridge's ports, and tunnels.
const HIDDEN: [&str; 6] = ["port0", "tap0", "tap1", "tun0", "vnet1", "vxlan0"];

fn with_daemon(test: impl FnOnce() + Send + 'static) {
    if !is_installed(VIRSH) {
        return;
    }
    in_namespace(|| {
        let _scene = Scene::build();
        let _daemon = Daemon::start();
        test();
    });
}

/// The rows of `virsh iface-list`, in its order.
fn rows(table: &str) -> Vec<[String; 3]> {
    let rows = table.lines().skip(2).filter(|line| !line.is_empty());
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    rows.map(|line| columns(line).try_into().expect("three columns")).collect()
}

fn wanted(is_wanted: impl Fn(&Shown) -> bool) -> Vec<[String; 3]> {
    let links = shown("").into_iter();
    let links = links.filter(|link| !HIDDEN.contains(&link.name.as_str()) && is_wanted(link));
    links.map(|link| [link.name, link.state.to_owned(), link.mac]).collect()
}

#[test]
fn iface_list_shows_what_ip_shows() {
    with_daemon(|| {
        let table = virsh("iface-list --all").ok();
        assert!(table.starts_with(" Name       State      MAC Address\n---"), "{table}");
        assert_eq!(rows(&table), wanted(|_| true));
        assert_eq!(rows(&virsh("iface-list").ok()), wanted(|link| link.state == "active"));
        let inactive = virsh("iface-list --inactive").ok();
        assert_eq!(rows(&inactive), wanted(|link| link.state == "inactive"));
        assert!(rows(&inactive).len() > 1, "the scene has links that are down");
        assert_eq!(virsh_read_only("iface-list --all").ok(), table);
    });
}

#[test]
fn names_and_addresses_lead_to_each_other() {
    with_daemon(|| {
        for name in ["eth0", "br0", "lo", "tap0", "tun0", "port0"] {
            let mac = virsh(&format!("iface-mac {name}")).ok();
            assert_eq!(mac.trim(), fact(name, "address"), "{name}");
        }
        for name in ["eth0", "br1", "macvlan0"] {
            let found = virsh(&format!("iface-name {}", fact(name, "address"))).ok();
            assert_eq!(found.trim(), name);
        }
    });
}

#[test]
fn the_connection_tells_what_it_is() {
    with_daemon(|| {
        assert_eq!(virsh("uri").ok(), "interface:///system\n\n");
        let hostname = run(command("uname").arg("-n")).ok();
        assert_eq!(virsh("hostname").ok(), format!("{hostname}\n"));
        assert_eq!(virsh_read_only("uri").ok(), "interface:///system\n\n");
    });
}

#[test]
fn every_link_can_be_dumped_by_either_name_or_address() {
    with_daemon(|| {
        for link in shown("") {
            let live = virsh(&format!("iface-dumpxml {}", link.name)).ok();
            assert!(live.contains(&format!("name='{}'>", link.name)), "{live}");
            let mtu = format!("\n  <mtu size='{}'/>\n", fact(&link.name, "mtu"));
            assert!(live.contains(&mtu), "{live}");
            let inactive = virsh(&format!("iface-dumpxml --inactive {}", link.name)).ok();
            assert!(!inactive.contains("<link "), "a definition knows no link state: {inactive}");
        }
        let by_mac = virsh("iface-dumpxml 52:54:00:00:00:01").ok();
        assert_eq!(by_mac, virsh("iface-dumpxml eth0").ok());
        assert_eq!(by_mac, virsh_read_only("iface-dumpxml eth0").ok());
    });
}

#[test]
fn refusals_have_libvirts_messages() {
    with_daemon(|| {
        let failed = "error: Failed to";
        let cases = [
            (
                "iface-dumpxml nosuch0",
                "error: failed to get interface 'nosuch0'\n\
                 error: Interface not found: couldn't find interface named 'nosuch0'",
            ),
            (
                "iface-name 52:54:00:ff:ff:ff",
                "error: failed to get interface '52:54:00:ff:ff:ff'\n\
                 error: Interface not found: \
                 couldn't find interface with MAC address '52:54:00:ff:ff:ff'",
            ),
            (
                "iface-start eth0",
                &format!(
                    "{failed} start interface eth0\nerror: Requested operation is not valid: \
                     interface is already running"
                ),
            ),
            (
                "-r iface-destroy eth0",
                &format!(
                    "{failed} destroy interface eth0\nerror: operation forbidden: \
                     read only access prevents virInterfaceDestroy"
                ),
            ),
            (
                "list",
                "error: Failed to list active domains\nerror: this function is not supported by \
                 the connection driver: virConnectNumOfDomains",
            ),
        ];
        for (arguments, want) in cases {
            assert_eq!(virsh(arguments).failed(), want, "{arguments}");
        }
    });
}

/// Each `golden/NAME.VIEW.xml` is the output of `virsh iface-dumpxml` for the link NAME of the
/// scene. `UPDATE_GOLDEN=1` rewrites them; the diff is reviewed like code.
#[test]
fn descriptions_are_as_recorded() {
    const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/netns/golden");
    with_daemon(|| {
        for entry in fs::read_dir(DIR).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let arguments = match file.split('.').collect::<Vec<_>>()[..] {
                [name, "live", "xml"] => format!("iface-dumpxml {name}"),
                [name, "inactive", "xml"] => format!("iface-dumpxml --inactive {name}"),
                _ => panic!("{file}: neither NAME.live.xml nor NAME.inactive.xml"),
            };
            let got = virsh(&arguments).ok();
            if env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&path, &got).unwrap();
            }
            assert_eq!(got, fs::read_to_string(&path).unwrap(), "{file}");
        }
    });
}
