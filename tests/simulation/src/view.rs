// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`View`]: everything on a host that a rollback must restore.
//!
//! It omits what may legitimately differ: the numbers of links, the lifetimes of leases and routes,
//! and the broadcast address, which a DHCP client may or may not set with its lease.

use std::collections::BTreeMap;

use crate::value_kernel::ValueKernel;
use virtinterfaced::model::name::IfName;
use virtinterfaced::netlink::link::LinkKind;
use virtinterfaced::snapshot::files::KeptFiles;

/// A host, seen from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View {
    /// A line for each object.
    pub text: String,
    pub files: KeptFiles,
    /// Guests' links and their bridges.
    pub guests: BTreeMap<IfName, Option<IfName>>,
}

impl View {
    /// The host as it is.
    pub fn of(kernel: &ValueKernel) -> Self {
        let host = kernel.host();
        let name_of = |index| host.links().find(|link| link.index == index).map(|link| link.name);
        let taps = host.links().filter(|link| link.kind == LinkKind::Tun);
        let guests = taps.map(|tap| (tap.name, tap.master.and_then(name_of))).collect();
        let text = kernel.to_string().lines().map(timeless).collect();
        Self { text, files: kernel.files().clone(), guests }
    }

    /// The lines that do not concern these links.
    pub fn without(&self, names: &[&str]) -> String {
        let is_other = |line: &&str| {
            line.starts_with("file ") || !line.split(' ').any(|word| names.contains(&word))
        };
        self.text.lines().filter(is_other).map(|line| format!("{line}\n")).collect()
    }
}

/// A line without the fields that depend on a clock or a lease.
fn timeless(line: &str) -> String {
    let mut words: Vec<_> = line.split(' ').collect();
    let forever = u32::MAX.to_string();
    let lifetime = words.iter().position(|word| *word == "finite").map(|at| at + 1);
    let lifetime = lifetime.and_then(|at| words.get_mut(at));
    if let Some(lifetime) = lifetime.filter(|lifetime| **lifetime != forever) {
        *lifetime = "N";
        if let Some(broadcast) = words.iter().position(|word| *word == "brd") {
            words.splice(broadcast..broadcast + 2, []);
        }
    }
    if let ["route", .., last] = words.as_mut_slice() {
        if *last != "None" {
            *last = "expires";
        }
    }
    words.join(" ") + "\n"
}

/// The lines that only one of two texts has, or that have moved.
pub fn difference(before: &str, after: &str) -> String {
    let only = |text: &str, other: &str, mark| {
        let lines = text.lines().filter(|line| !other.lines().any(|it| it == *line));
        lines.map(|line| format!("{mark}{line}\n")).collect::<String>()
    };
    let lines = only(before, after, '-') + &only(after, before, '+');
    let moved = before.lines().zip(after.lines()).filter(|(before, after)| before != after);
    let moved = || moved.map(|(before, after)| format!("-{before}\n+{after}\n")).collect();
    if lines.is_empty() { moved() } else { lines }
}
