// SPDX-License-Identifier: LGPL-2.1-or-later
//! Compares a host before and after a rollback, or a change and its reverse, field by field:
//! everything that `ip`, `bridge` and the per-link sysctls show.
//!
//! [`LEFT_OUT`] lists the fields that are not compared, with the reason for each.

use std::fs::{self, DirEntry};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::command::{command, run_with_input};

/// How a field is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Compared {
    Never,
    /// Only if the links must be the same ones, not recreated.
    OfSameLinks,
    /// As seconds that remain, at most [`LIFETIME_TOLERANCE`] apart.
    Loosely,
    /// Only if no dhcpcd has run ([`Snapshot::beside_dhcpcd`]).
    WithoutDhcpcd,
}

/// Fields with a comparison of their own, by the end of their path, with the reason.
const LEFT_OUT: [(&str, Compared, &str); 30] = [
    ("ad_info", Compared::Never, "what a bond has found out about its partner"),
    ("ad_aggregator_id", Compared::Never, "what a bond has found out about its partner"),
    ("ad_actor_oper_port_state", Compared::Never, "how far a bond is in talking to its partner"),
    (
        "ad_actor_oper_port_state_str",
        Compared::Never,
        "how far a bond is in talking to its partner",
    ),
    ("ad_partner_oper_port_state", Compared::Never, "what a bond has found out about its partner"),
    (
        "ad_partner_oper_port_state_str",
        Compared::Never,
        "what a bond has found out about its partner",
    ),
    ("active_slave", Compared::Never, "a bond chooses among members that carry"),
    ("link_failure_count", Compared::Never, "a counter of a bond's member"),
    (
        "tso_max_size",
        Compared::OfSameLinks,
        "the driver's, or what that of the link below once was",
    ),
    ("ifindex", Compared::OfSameLinks, "the kernel numbers a link that is made again anew"),
    ("link_index", Compared::OfSameLinks, "the number of a link, in another namespace"),
    ("permaddr", Compared::OfSameLinks, "the kernel makes one up for a tunnel over IPv6"),
    (
        "info_slave_data/no",
        Compared::OfSameLinks,
        "a bridge numbers its ports in the order in which they join",
    ),
    ("info_slave_data/id", Compared::OfSameLinks, "made of the number of a bridge's port"),
    ("designated_port", Compared::OfSameLinks, "made of the number of a bridge's port"),
    (
        "nodad",
        Compared::OfSameLinks,
        "an address that comes over from another link is known to be unique, and said to be",
    ),
    ("operstate", Compared::Never, "follows the flags, if the kernel has had a reason to look"),
    ("valid_life_time", Compared::Loosely, "time goes on"),
    ("preferred_life_time", Compared::Loosely, "time goes on"),
    ("expires", Compared::Loosely, "time goes on"),
    (
        "ipv4/conf/promote_secondaries",
        Compared::WithoutDhcpcd,
        "dhcpcd sets it on every link that it runs on",
    ),
    ("forward_delay_timer", Compared::Never, "a timer of a bridge's port"),
    ("hold_timer", Compared::Never, "a timer of a bridge's port"),
    ("message_age_timer", Compared::Never, "a timer of a bridge's port"),
    ("gc_timer", Compared::Never, "a timer of a bridge"),
    ("hello_timer", Compared::Never, "a timer of a bridge"),
    ("tcn_timer", Compared::Never, "a timer of a bridge"),
    ("topology_change_timer", Compared::Never, "a timer of a bridge"),
    ("topology_change", Compared::Never, "set for a while after ports have come or gone"),
    ("topology_change_detected", Compared::Never, "set for a while after ports have come or gone"),
];

/// Entries of forwarding tables that are not compared, with the reason.
const FDB_LEFT_OUT: [(IsEntry, &str); 4] = [
    (is_own_address, "the kernel's: at a port, or at the bridge that has the address too"),
    (|entry| !matches!(entry["state"].as_str(), Some("static" | "permanent")), "learnt"),
    (|entry| has_flag(entry, "self") && entry.get("dst").is_none(), "what a NIC is to receive"),
    (|entry| has_flag(entry, "extern_learn"), "a routing daemon's"),
];

type IsEntry = fn(&Value) -> bool;

fn is_own_address(entry: &Value) -> bool {
    let link = entry["ifname"].as_str().unwrap_or_default();
    let own = fs::read_to_string(format!("/sys/class/net/{link}/address")).unwrap_or_default();
    entry["state"] == "permanent" && entry["mac"] == own.trim()
}

fn has_flag(entry: &Value, flag: &str) -> bool {
    entry["flags"].as_array().is_some_and(|flags| flags.iter().any(|it| it == flag))
}

const LIFETIME_TOLERANCE: i64 = 15;

/// The listing of `bridge fdb`.
const FORWARDING_TABLES: &str = "forwarding tables";

/// How long the kernel may take to settle: operational states, and duplicate address detection.
const SETTLING_TIME: Duration = Duration::from_secs(20);

/// Sysctl directories with a subdirectory for each link, for all links (`all`) and for new ones
/// (`default`).
const SYSCTL_FOLDERS: [&str; 4] = ["ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh"];

/// Which links the host must have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Strictness {
    /// The same links.
    SameLinks,
    /// Links with the same properties; they may have been recreated.
    AlikeLinks,
}

/// The host at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    sections: Value,
    is_beside_dhcpcd: bool,
}

impl Snapshot {
    pub(crate) fn take() -> Self {
        let mut sections = Map::new();
        for (name, mut items) in listings() {
            let mut named = Map::new();
            if name == FORWARDING_TABLES {
                items.retain(|entry| !FDB_LEFT_OUT.iter().any(|(is_it, _)| is_it(entry)));
                items.sort_by_key(Value::to_string);
            }
            for mut item in items {
                sort_ipv6(&mut item);
                sort_alt_names(&mut item);
                // Routes to the same destination and rules of the same priority are ordered.
                let of_name = named.entry(item_name(&item)).or_insert_with(|| Value::Array(vec![]));
                of_name.as_array_mut().unwrap().push(item);
            }
            named.values_mut().for_each(sort_kernels);
            sections.insert(name.to_owned(), named.into());
        }
        sections.insert("sysctls".to_owned(), sysctls());
        Self::new(sections)
    }

    fn new(sections: Map<String, Value>) -> Self {
        Self { sections: sections.into(), is_beside_dhcpcd: false }
    }

    /// The same snapshot, for a test that runs dhcpcd afterwards.
    #[must_use]
    pub(crate) fn beside_dhcpcd(self) -> Self {
        Self { is_beside_dhcpcd: true, ..self }
    }

    pub(crate) fn has_link(&self, name: &str) -> bool {
        self.sections["links"].get(name).is_some()
    }

    /// The snapshot without the links for which `is_out` holds.
    #[must_use]
    pub(crate) fn without(mut self, is_out: impl Fn(&str) -> bool) -> Self {
        let is_of_one = |item: &Value| item["dev"].as_str().is_some_and(&is_out);
        for section in self.sections.as_object_mut().unwrap().values_mut() {
            let named = section.as_object_mut().unwrap();
            named.retain(|name, items| {
                let Value::Array(items) = items else { return !is_out(name) };
                items.retain(|item| !is_of_one(item));
                !is_out(name) && !items.is_empty()
            });
        }
        self
    }

    /// Fails unless the host becomes equal to this snapshot, field by field.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, strictness: Strictness, label: &str) {
        let deadline = Instant::now() + SETTLING_TIME;
        loop {
            let differences = self.differences(&Self::take(), strictness);
            if differences.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{label}: the host has changed:\n{}",
                differences.join("\n")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The fields that differ, a line each.
    pub(crate) fn differences(&self, now: &Self, strictness: Strictness) -> Vec<String> {
        let mut found = Vec::new();
        let (mut before, mut now) = (self.sections.clone(), now.sections.clone());
        if strictness == Strictness::AlikeLinks {
            for sections in [&mut before, &mut now] {
                sort_networks(sections);
                sort_hops(sections);
            }
        }
        let is_compared = |compared| match compared {
            Compared::Never => false,
            Compared::OfSameLinks => strictness == Strictness::SameLinks,
            Compared::Loosely => true,
            Compared::WithoutDhcpcd => !self.is_beside_dhcpcd,
        };
        compare("", &before, &now, &is_compared, &mut found);
        found
    }
}

/// All listings of `ip` and `bridge`, with their names.
fn listings() -> Vec<(&'static str, Vec<Value>)> {
    let mut listings = Vec::new();
    for (program, options, commands) in [
        (
            "ip",
            &["-details", "-json", "-4"][..],
            &[
                ("links", "link show"),
                ("IPv4 routes", "route show table all"),
                ("IPv4 rules", "rule show"),
            ][..],
        ),
        (
            "ip",
            &["-details", "-json", "-6"],
            &[("IPv6 routes", "route show table all"), ("IPv6 rules", "rule show")],
        ),
        // Dumping the next hops of one family would omit their groups.
        (
            "ip",
            &["-details", "-json"],
            &[("addresses", "address show"), ("nexthops", "nexthop show")],
        ),
        ("bridge", &["-details", "-json"], &[("ports", "link show")]),
        ("bridge", &["-json", "-compressvlans"], &[("VLANs of bridges", "vlan show")]),
        ("bridge", &["-details", "-json"], &[(FORWARDING_TABLES, "fdb show")]),
    ] {
        let lines: String = commands.iter().map(|(_, line)| format!("{line}\n")).collect();
        let text =
            run_with_input(command(program).args(options).args(["-batch", "-"]), &lines).ok();
        let told = serde_json::Deserializer::from_str(&text).into_iter::<Vec<Value>>();
        let told: Result<Vec<_>, _> = told.collect();
        let told = told.unwrap_or_else(|err| panic!("{program} {commands:?}: {err}\n{text}"));
        assert_eq!(told.len(), commands.len(), "{program} {commands:?}: {text}");
        listings.extend(commands.iter().map(|(name, _)| *name).zip(told));
    }
    listings
}

/// The name of an item within its listing, unique for most items.
fn item_name(item: &Value) -> String {
    let text = |key: &str| item.get(key).map(|value| value.to_string().replace('"', ""));
    let route = || ["type", "dst", "table"].map(|key| text(key).unwrap_or_default()).join(" ");
    ["ifname", "priority", "id"].into_iter().find_map(text).unwrap_or_else(route)
}

/// The sysctls of each link, of all links and of new ones. Unreadable ones are left out.
fn sysctls() -> Value {
    let mut links = Map::new();
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: &DirEntry| entry.file_name().into_string().unwrap();
    for folder in SYSCTL_FOLDERS {
        for link in entries(&Path::new("/proc/sys/net").join(folder)) {
            let of_link = links.entry(name(&link)).or_insert_with(|| Map::new().into());
            for file in entries(&link.path()) {
                let Ok(value) = fs::read_to_string(file.path()) else { continue };
                of_link[format!("{folder}/{}", name(&file))] = value.trim_end().into();
            }
        }
    }
    links.into()
}

/// Sorts IPv6 addresses. The kernel lists the newest first, so a restored address cannot return to
/// its place.
fn sort_ipv6(link: &mut Value) {
    let Some(Value::Array(infos)) = link.get_mut("addr_info") else { return };
    infos.sort_by_key(|info| match info["family"].as_str() {
        Some("inet6") => info["local"].to_string(),
        _ => String::new(),
    });
}

/// Sorts alternative names of a link. They are a set, which the kernel lists in order of creation.
fn sort_alt_names(link: &mut Value) {
    if let Some(Value::Array(names)) = link.get_mut("altnames") {
        names.sort_by_key(Value::to_string);
    }
}

/// Sorts IPv4 networks, as a restored address comes after those of other networks. Within a network
/// the order is kept, as the first address is the source of packets to that network.
fn sort_networks(sections: &mut Value) {
    let Some(Value::Object(links)) = sections.get_mut("addresses") else { return };
    for link in links.values_mut().filter_map(Value::as_array_mut).flatten() {
        let Some(Value::Array(infos)) = link.get_mut("addr_info") else { continue };
        infos.sort_by_key(|info| {
            let local = info["local"].as_str().and_then(|local| local.parse::<Ipv4Addr>().ok());
            let bits = info["prefixlen"].as_i64().unwrap_or_default();
            let network = local.map(|local| u64::from(local.to_bits()) >> (32 - bits.min(32)));
            (local.is_none(), network, info["peer"].to_string())
        });
    }
}

/// Sorts the next hops of IPv6 routes. Each is a route of its own, and a restored one comes last.
/// Flows are distributed by weight, not by order.
fn sort_hops(sections: &mut Value) {
    let Some(Value::Object(routes)) = sections.get_mut("IPv6 routes") else { return };
    for route in routes.values_mut().filter_map(Value::as_array_mut).flatten() {
        if let Some(Value::Array(hops)) = route.get_mut("nexthops") {
            hops.sort_by_key(Value::to_string);
        }
    }
}

/// Sorts the kernel's own routes to one destination: there is one for each link that is up, in the
/// order in which the links came up.
fn sort_kernels(routes: &mut Value) {
    let Value::Array(routes) = routes else { return };
    if routes.iter().all(|route| route["protocol"] == "kernel") {
        routes.sort_by_key(|route| route["dev"].to_string());
    }
}

/// How the field at the end of this path is compared, if it is in [`LEFT_OUT`].
fn compared(path: &str) -> Option<Compared> {
    let is_it = |field: &str| path.strip_suffix(field).is_some_and(|rest| rest.ends_with('/'));
    LEFT_OUT.iter().find(|(field, ..)| is_it(field)).map(|(_, compared, _)| *compared)
}

fn compare(
    path: &str,
    before: &Value,
    now: &Value,
    is_compared: &dyn Fn(Compared) -> bool,
    found: &mut Vec<String>,
) {
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            let only_now = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(only_now) {
                let path = format!("{path}/{key}");
                let compared = compared(&path);
                if compared.is_some_and(|compared| !is_compared(compared)) {
                    continue;
                }
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) if compared == Some(Compared::Loosely) => {
                        let close = a
                            .as_i64()
                            .zip(b.as_i64())
                            .is_some_and(|(a, b)| (a - b).abs() <= LIFETIME_TOLERANCE);
                        if !close {
                            found.push(format!("{path}: {a}, and now {b}"));
                        }
                    }
                    (Some(a), Some(b)) => compare(&path, a, b, is_compared, found),
                    (a, b) => {
                        let text = |value: Option<&Value>| {
                            value.map_or("nothing".to_owned(), Value::to_string)
                        };
                        found.push(format!("{path}: {}, and now {}", text(a), text(b)));
                    }
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}/{at}"), a, b, is_compared, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {a}, and now {b}")),
    }
}

/// Without this test, a comparison that finds no difference would let every test of undoing pass.
#[test]
fn differences_are_found() {
    let snapshot = |links: &str| {
        let links: Value = serde_json::from_str(links).unwrap();
        Snapshot::new(Map::from_iter([("links".to_owned(), links)]))
    };
    struct Case(&'static str, &'static str, &'static str, usize, usize);
    const CASES: [Case; 8] = [
        Case("the same", r#"{"a":{"mtu":1}}"#, r#"{"a":{"mtu":1}}"#, 0, 0),
        Case("another value", r#"{"a":{"mtu":1}}"#, r#"{"a":{"mtu":2}}"#, 1, 1),
        Case("one more", r#"{"a":{}}"#, r#"{"a":{},"b":{}}"#, 1, 1),
        Case("one less", r#"{"a":{"x":[1]}}"#, r#"{"a":{"x":[]}}"#, 1, 1),
        Case("another order", r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, 2, 2),
        Case("another link", r#"{"a":{"ifindex":1}}"#, r#"{"a":{"ifindex":2}}"#, 1, 0),
        Case("time", r#"{"a":{"expires":20,"hello_timer":1}}"#, r#"{"a":{"expires":18}}"#, 0, 0),
        Case("too much of it", r#"{"a":{"expires":60}}"#, r#"{"a":{"expires":90}}"#, 1, 1),
    ];
    for Case(label, before, now, same, alike) in CASES {
        let (before, now) = (snapshot(before), snapshot(now));
        let count = |strictness| before.differences(&now, strictness).len();
        assert_eq!(count(Strictness::SameLinks), same, "{label}");
        assert_eq!(count(Strictness::AlikeLinks), alike, "{label}");
    }
}
