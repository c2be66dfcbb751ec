// SPDX-License-Identifier: LGPL-2.1-or-later
//! All that `ip` says of links, addresses and routes, to be held against what it says later.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::host::ip_json;

/// Clocks, and what the kernel counts up with each change: they say nothing of how a host is set up.
const PASSING: [&str; 9] = [
    // The timers of a bridge and of its ports.
    "forward_delay_timer",
    "gc_timer",
    "hello_timer",
    "hold_timer",
    "message_age_timer",
    "tcn_timer",
    "topology_change_timer",
    // Whether there was a change lately, and on its way.
    "topology_change",
    "topology_change_detected",
];

/// What a link has anew when it is made again.
const OF_INCARNATION: [&str; 2] = ["ifindex", "link_index"];

/// Seconds that are left: they may have gone on this far.
const LIFETIMES: [&str; 3] = ["valid_life_time", "preferred_life_time", "expires"];
const LIFETIME_TOLERANCE: i64 = 15;

/// How long the kernel has to settle: its operational states, and its search for duplicates.
const SETTLING_TIME: Duration = Duration::from_secs(20);

/// What must be the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Strictness {
    /// The very same links.
    SameLinks,
    /// Links that are as they were; they may have been made again.
    AlikeLinks,
}

/// The host at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot(Value);

impl Snapshot {
    pub(crate) fn take() -> Self {
        let mut sections = Map::new();
        for (name, arguments, key) in [
            ("links", "link show", "ifname"),
            ("addresses", "address show", "ifname"),
            ("IPv4 routes", "-4 route show table all", ""),
            ("IPv6 routes", "-6 route show table all", ""),
            ("IPv4 rules", "-4 rule show", ""),
        ] {
            let items = ip_json(arguments);
            let mut named = Map::new();
            for mut item in items {
                sort_ipv6(&mut item);
                let name = match item.get(key) {
                    Some(name) => name.as_str().unwrap().to_owned(),
                    None => ["type", "dst", "table"].map(|part| item[part].to_string()).join(" "),
                };
                // Of several routes to one place the order counts.
                let of_name = named.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                of_name.as_array_mut().unwrap().push(item);
            }
            named.values_mut().for_each(sort_kernels);
            sections.insert(name.to_owned(), named.into());
        }
        let links = sections["links"].as_object().unwrap().keys();
        let switches: Map<_, _> = links.map(|link| (link.clone(), switches(link))).collect();
        sections.insert("switches of IPv6".to_owned(), switches.into());
        Self(sections.into())
    }

    pub(crate) fn has_link(&self, name: &str) -> bool {
        self.0["links"].get(name).is_some()
    }

    /// The same of the links alone that are not left out.
    #[must_use]
    pub(crate) fn without(mut self, is_out: impl Fn(&str) -> bool) -> Self {
        let is_of_one = |item: &Value| item["dev"].as_str().is_some_and(&is_out);
        for section in self.0.as_object_mut().unwrap().values_mut() {
            let named = section.as_object_mut().unwrap();
            named.retain(|name, items| {
                let Value::Array(items) = items else { return !is_out(name) };
                items.retain(|item| !is_of_one(item));
                !is_out(name) && !items.is_empty()
            });
        }
        self
    }

    /// Fails unless the host comes to be as it was, field by field.
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
                "{label}: the host is not as it was:\n{}",
                differences.join("\n")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is not as it was, a line each.
    pub(crate) fn differences(&self, now: &Self, strictness: Strictness) -> Vec<String> {
        let mut found = Vec::new();
        let (mut before, mut now) = (self.0.clone(), now.0.clone());
        if strictness == Strictness::AlikeLinks {
            sort_networks(&mut before);
            sort_networks(&mut now);
        }
        compare("", &before, &now, strictness, &mut found);
        found
    }
}

/// What netlink has no words for.
fn switches(link: &str) -> Value {
    let value = |switch: &&str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{link}/{switch}")).ok()?;
        Some(((*switch).to_owned(), text.trim_end().into()))
    };
    let all = ["accept_ra", "autoconf", "disable_ipv6"];
    Value::Object(all.iter().filter_map(value).collect())
}

/// IPv6 lists the newest address first. Of one that was put back among others that have stayed it
/// cannot be said where it was.
fn sort_ipv6(link: &mut Value) {
    let Some(Value::Array(infos)) = link.get_mut("addr_info") else { return };
    infos.sort_by_key(|info| match info["family"].as_str() {
        Some("inet6") => info["local"].to_string(),
        _ => String::new(),
    });
}

/// An address that was put back stands behind those of other IPv4 networks that have stayed. Within its
/// network the order counts, as the first one is the source of what the host sends there.
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

/// Of the routes to one place that the kernel makes by itself, one for each link that is up, the order
/// is that in which the links came up.
fn sort_kernels(routes: &mut Value) {
    let Value::Array(routes) = routes else { return };
    if routes.iter().all(|route| route["protocol"] == "kernel") {
        routes.sort_by_key(|route| route["dev"].to_string());
    }
}

fn compare(
    path: &str,
    before: &Value,
    now: &Value,
    strictness: Strictness,
    found: &mut Vec<String>,
) {
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            let only_now = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(only_now) {
                if PASSING.contains(&key.as_str())
                    || (strictness == Strictness::AlikeLinks
                        && OF_INCARNATION.contains(&key.as_str()))
                {
                    continue;
                }
                let path = format!("{path}/{key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) if LIFETIMES.contains(&key.as_str()) => {
                        let close = a
                            .as_i64()
                            .zip(b.as_i64())
                            .is_some_and(|(a, b)| (a - b).abs() <= LIFETIME_TOLERANCE);
                        if !close {
                            found.push(format!("{path}: {a}, and now {b}"));
                        }
                    }
                    (Some(a), Some(b)) => compare(&path, a, b, strictness, found),
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
                compare(&format!("{path}/{at}"), a, b, strictness, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {a}, and now {b}")),
    }
}

/// A comparison that never finds anything would let every test of undoing pass.
#[test]
fn differences_are_found() {
    let snapshot = |links: &str| {
        let links: Value = serde_json::from_str(links).unwrap();
        Snapshot(Map::from_iter([("links".to_owned(), links)]).into())
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
