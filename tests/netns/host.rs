// SPDX-License-Identifier: LGPL-2.1-or-later
//! The host's state as reported by `ip`, parsed from JSON; and helpers that define interfaces.
//!
//! Tests read links, addresses and routes only through this, by `ip -details -json`, and never
//! through the daemon.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::command::{Output, command, ip, run, virsh};
use crate::support::eventually;
use crate::support::namespace::{DIR, in_namespace, in_namespace_alone, is_installed};

pub(crate) const VIRSH: &str = "/usr/bin/virsh";

/// The system daemon's directory of definitions.
pub(crate) const FOLDER: &str = "/etc/libvirt/interface";

/// Two NICs that are up, as are their peers: `eth0` and `eth1` with `far0` and `far1`.
pub(crate) const TWO_NICS: &str = "\
link add eth0 address 52:54:00:00:00:01 type veth peer name far0
link add eth1 address 52:54:00:00:00:02 type veth peer name far1
link set far0 up
link set far1 up
";

/// Runs `test` in a namespace of its own, if virsh is installed.
pub(crate) fn with_virsh(test: impl FnOnce() + Send + 'static) {
    if is_installed(VIRSH) {
        in_namespace(test);
    }
}

/// As [`with_virsh`], while no other test runs.
pub(crate) fn with_virsh_alone(test: impl FnOnce() + Send + 'static) {
    if is_installed(VIRSH) {
        in_namespace_alone(test);
    }
}

/// The answer of `ip -details -json`; no output is an empty list.
#[track_caller]
pub(crate) fn ip_json(arguments: &str) -> Vec<Value> {
    let text = ip(&format!("-details -json {arguments}"));
    if text.trim().is_empty() {
        return Vec::new();
    }
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("ip {arguments}: {err}\n{text}"))
}

/// A link with its addresses, if it exists.
pub(crate) fn find_link(name: &str) -> Option<Value> {
    ip_json("address show").into_iter().find(|link| link["ifname"] == name)
}

/// A link with its addresses.
#[track_caller]
pub(crate) fn link(name: &str) -> Value {
    find_link(name).unwrap_or_else(|| panic!("there is no link {name}"))
}

/// Whether a link is administratively up.
#[track_caller]
pub(crate) fn is_up(name: &str) -> bool {
    let link = link(name);
    link["flags"].as_array().unwrap().iter().any(|flag| flag == "UP")
}

/// Addresses with their prefixes in the kernel's order, without those that the kernel itself adds.
#[track_caller]
pub(crate) fn addresses(name: &str) -> Vec<String> {
    let link = link(name);
    let infos = link["addr_info"].as_array().unwrap().iter();
    let infos = infos.filter(|info| info["scope"] != "link" || info["family"] == "inet");
    infos.map(|info| format!("{}/{}", text(&info["local"]), info["prefixlen"])).collect()
}

/// Routes through a link as `DESTINATION via GATEWAY`, IPv4 before IPv6, without those that belong
/// to addresses.
#[track_caller]
pub(crate) fn routes(name: &str) -> Vec<String> {
    let of_family = |family: &str| {
        let all = ip_json(&format!("{family} route show table main dev {name}"));
        all.into_iter().filter(|route| route["protocol"] != "kernel").map(|route| {
            let destination = text(&route["dst"]);
            match route.get("gateway") {
                Some(gateway) => format!("{destination} via {}", text(gateway)),
                None => destination,
            }
        })
    };
    of_family("-4").chain(of_family("-6")).collect()
}

/// Waits until the kernel has noticed carriers, which lead to new addresses, and has completed
/// duplicate address detection.
pub(crate) fn await_addresses() {
    crate::full_host::await_settled();
    eventually("the addresses can be used", || {
        let links = ip_json("address show tentative");
        links.iter().all(|link| link["addr_info"].as_array().is_none_or(Vec::is_empty))
    });
}

/// The names of the links that have `master`, by name.
pub(crate) fn ports(master: &str) -> Vec<String> {
    let links = ip_json(&format!("link show master {master}"));
    let mut names: Vec<_> = links.iter().map(|link| text(&link["ifname"])).collect();
    names.sort();
    names
}

/// A JSON string's text.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}

/// Writes a file in the test's directory; returns its path.
pub(crate) fn file(name: &str, content: &str) -> String {
    let path = format!("{DIR}/{name}");
    fs::write(&path, content).unwrap();
    path
}

/// Runs `virsh iface-define` with this XML.
pub(crate) fn virsh_define(xml: &str, options: &str) -> Output {
    let path = file("definition.xml", xml);
    virsh(&format!("iface-define {path} {options}"))
}

/// Defines an interface; that must succeed.
#[track_caller]
pub(crate) fn define(xml: &str) {
    virsh_define(xml, "").ok();
}

/// Runs a command of virsh with `editor`, the text of a shell script, as the editor of the file
/// that is its first argument.
pub(crate) fn virsh_edit(name: &str, editor: &str) -> Output {
    // A newly written file cannot be executed directly: a process that another test has just forked
    // may still have it open for writing.
    let editor = format!("sh {}", file("editor", editor));
    let mut virsh = command(VIRSH);
    virsh.env("EDITOR", editor).args(["-c", "interface:///system", "iface-edit", name]);
    run(&mut virsh)
}

/// Has virsh stop an interface. Only the output shows success: virsh 9.0 always ends with 1.
pub(crate) fn virsh_destroy(name: &str) -> Result<(), String> {
    let output = virsh(&format!("iface-destroy {name}"));
    match output.stdout.trim_end() {
        "" => Err(output.failed()),
        said => {
            assert_eq!(said, format!("Interface {name} destroyed"), "{output:?}");
            assert_eq!(output.stderr, "");
            Ok(())
        }
    }
}

/// The sorted list, as IPv6 addresses come newest first.
pub(crate) fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// The path of a definition's file.
pub(crate) fn definition_file(name: &str) -> PathBuf {
    PathBuf::from(format!("{FOLDER}/{name}.xml"))
}

/// The names of all files in the directory of definitions.
pub(crate) fn folder() -> Vec<String> {
    let Ok(entries) = fs::read_dir(FOLDER) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The names in `virsh iface-list`, with their states, in its order.
pub(crate) fn listed(options: &str) -> Vec<(String, String)> {
    let table = virsh(&format!("iface-list {options}")).ok();
    let rows = table.lines().skip(2).filter(|line| !line.is_empty());
    let columns = rows.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    columns.map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// The state that `virsh iface-list --all` shows of an interface.
pub(crate) fn listed_state(name: &str) -> Option<String> {
    listed("--all").into_iter().find(|(listed, _)| listed == name).map(|(_, state)| state)
}

/// A static definition of a NIC: addresses of either family as `ADDRESS/PREFIX`, and gateways.
pub(crate) fn ethernet(name: &str, addresses: &[&str], gateways: &[&str]) -> String {
    let protocols = protocols(addresses, gateways);
    format!("<interface type='ethernet' name='{name}'>{protocols}</interface>")
}

/// A definition of a bridge over NICs.
pub(crate) fn bridge(name: &str, attributes: &str, ports: &[&str], addresses: &[&str]) -> String {
    let ports: String =
        ports.iter().map(|port| format!("<interface type='ethernet' name='{port}'/>")).collect();
    let protocols = protocols(addresses, &[]);
    format!(
        "<interface type='bridge' name='{name}'>{protocols}\
         <bridge {attributes}>{ports}</bridge></interface>"
    )
}

/// The `protocol` elements for these addresses and gateways.
pub(crate) fn protocols(addresses: &[&str], gateways: &[&str]) -> String {
    let of_family = |family: &str, is_ours: fn(&str) -> bool| {
        let mut inner = String::new();
        for address in addresses.iter().filter(|address| is_ours(address)) {
            let (address, prefix) = address.split_once('/').unwrap();
            inner.push_str(&format!("<ip address='{address}' prefix='{prefix}'/>"));
        }
        for gateway in gateways.iter().filter(|gateway| is_ours(gateway)) {
            inner.push_str(&format!("<route gateway='{gateway}'/>"));
        }
        match inner.as_str() {
            "" => inner,
            inner => format!("<protocol family='{family}'>{inner}</protocol>"),
        }
    };
    of_family("ipv4", |text| !text.contains(':')) + &of_family("ipv6", |text| text.contains(':'))
}
