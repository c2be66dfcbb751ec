// SPDX-License-Identifier: LGPL-2.1-or-later
//! Policy rules (`net/core/fib_rules.c`) and routes without a link, with their lines of text:
//!
//! ```text
//! rule ipv4 100 from 192.0.2.5/32 lookup 100
//! rule ipv6 50 from all prohibit proto kernel
//! nowhere blackhole 198.51.100.0/24 metric 5
//! ```

use std::fmt;
use std::net::IpAddr;

use crate::value_kernel::{Errno, ValueKernel};
use virtinterfaced::model::address::{Family, IpPrefix};
use virtinterfaced::netlink::wire::{
    Message, NetlinkHeader, attributes, take_array, take_u32, write_message,
};

/// Actions of rules and types of routes, which share their numbers.
const ACTIONS: [(&str, u8); 5] =
    [("lookup", 1), ("blackhole", 6), ("unreachable", 7), ("prohibit", 8), ("throw", 9)];
const PROTOCOLS: [(&str, u8); 4] = [("kernel", 2), ("boot", 3), ("static", 4), ("zebra", 11)];

/// A rule, or a route without a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Apart {
    /// The number by which rules are sorted; `None` for a route.
    priority: Option<u32>,
    family: Family,
    /// The source of a rule, or the destination of a route.
    prefix: IpPrefix,
    action: u8,
    /// The table that a rule looks up, or a route's metric.
    number: u32,
    protocol: u8,
}

impl ValueKernel {
    /// Inserts it after those of the same priority.
    pub(super) fn add_apart(&mut self, apart: Apart) -> Result<(), Errno> {
        if self.aparts.contains(&apart) {
            return Err(libc::EEXIST);
        }
        let at = self.aparts.iter().position(|it| it.key() > apart.key());
        self.aparts.insert(at.unwrap_or(self.aparts.len()), apart);
        Ok(())
    }

    pub(super) fn delete_apart(&mut self, apart: &Apart) -> Result<(), Errno> {
        let missing = if apart.priority.is_some() { libc::ENOENT } else { libc::ESRCH };
        let at = self.aparts.iter().position(|it| it == apart).ok_or(missing)?;
        self.aparts.remove(at);
        Ok(())
    }
}

impl Apart {
    fn key(&self) -> (Family, Option<u32>) {
        (self.family, self.priority)
    }

    /// Reads the words of a line.
    pub(super) fn read<'a>(
        is_rule: bool,
        mut words: impl Iterator<Item = &'a str>,
    ) -> Option<Self> {
        let prefix = |text: &str, family| match text {
            "all" => Some(IpPrefix::everything(family)),
            text => {
                let (address, len) = text.split_once('/')?;
                IpPrefix::new(address.parse::<IpAddr>().ok()?, len.parse().ok()?)
            }
        };
        let mut apart = Self {
            priority: None,
            family: Family::Ipv4,
            prefix: IpPrefix::everything(Family::Ipv4),
            action: 0,
            number: 0,
            protocol: 3,
        };
        if is_rule {
            apart.family = if words.next()? == "ipv6" { Family::Ipv6 } else { Family::Ipv4 };
            apart.priority = Some(words.next()?.parse().ok()?);
            words.next().filter(|word| *word == "from")?;
            apart.prefix = prefix(words.next()?, apart.family)?;
        }
        apart.action = number_of(&ACTIONS, words.next()?)?;
        if is_rule && apart.action == 1 {
            apart.number = words.next()?.parse().ok()?;
        }
        if !is_rule {
            apart.prefix = prefix(words.next()?, Family::Ipv4)?;
            apart.family = apart.prefix.family();
        }
        while let Some(word) = words.next() {
            match word {
                "proto" => apart.protocol = number_of(&PROTOCOLS, words.next()?)?,
                "metric" if !is_rule => apart.number = words.next()?.parse().ok()?,
                _ => return None,
            }
        }
        Some(apart)
    }

    /// The object of a request: a rule, or a route without a link.
    pub(super) fn asked(message: &Message<'_>) -> Option<Self> {
        if !matches!(message.kind, 24 | 25 | 32 | 33) {
            return None;
        }
        let mut rest = message.payload;
        let head: [u8; 8] = take_array(&mut rest, "header").ok()?;
        take_u32(&mut rest, "flags").ok()?;
        let [family, destination_len, source_len, _tos, _table, protocol, _scope, action] = head;
        let family = match family {
            2 => Family::Ipv4,
            10 => Family::Ipv6,
            _ => return None,
        };
        let is_rule = matches!(message.kind, 32 | 33);
        if !is_rule && action < 6 {
            return None;
        }
        let find = |kind| attributes(rest).flatten().find(|it| it.kind == kind);
        let len = if is_rule { source_len } else { destination_len };
        let address = find(if is_rule { 2 } else { 1 }).map(|it| it.payload);
        let address = match (family, address) {
            (_, None) => IpPrefix::everything(family).address(),
            (Family::Ipv4, Some(bytes)) => IpAddr::from(*bytes.first_chunk::<4>()?),
            (Family::Ipv6, Some(bytes)) => IpAddr::from(*bytes.first_chunk::<16>()?),
        };
        let number = |kind| find(kind).and_then(|it| it.u32("number").ok());
        Some(Self {
            priority: is_rule.then(|| number(6).unwrap_or_default()),
            family,
            prefix: IpPrefix::new(address, len)?,
            action,
            number: number(if is_rule { 15 } else { 6 }).unwrap_or_default(),
            protocol: match is_rule {
                true => find(21)?.u8("protocol").ok()?,
                false => protocol,
            },
        })
    }

    /// Appends its message in a dump.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let kind = if self.priority.is_some() { 32 } else { 24 };
        let (family, len) =
            (if self.family == Family::Ipv4 { 2 } else { 10 }, self.prefix.prefix_len());
        write_message(out, NetlinkHeader { kind, flags: 0, sequence: 0 }, |payload| {
            payload.bytes(&match self.priority {
                Some(_) => [family, 0, len, 0, 0, 0, 0, self.action],
                None => [family, len, 0, 0, 254, self.protocol, 0, self.action],
            });
            payload.bytes(&[0; 4]);
            let kind = if self.priority.is_some() { 2 } else { 1 };
            match self.prefix.address() {
                _ if len == 0 => {}
                IpAddr::V4(address) => payload.attribute(kind, &address.octets()),
                IpAddr::V6(address) => payload.attribute(kind, &address.octets()),
            }
            match self.priority {
                Some(priority) => {
                    payload.attribute_u32(15, self.number);
                    payload.attribute(21, &[self.protocol]);
                    payload.attribute_u32(6, priority);
                }
                None => payload.attribute_u32(6, self.number),
            }
        });
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, prefix, number, .. } = self;
        let action = ACTIONS.iter().find(|(_, it)| *it == self.action).map_or("", |(word, _)| word);
        match self.priority {
            Some(priority) => {
                write!(f, "rule {} {priority} from {prefix} {action} {number}", family.as_str())?;
            }
            None => write!(f, "nowhere {action} {prefix} metric {number}")?,
        }
        write!(f, " proto {}", self.protocol)
    }
}

fn number_of(words: &[(&str, u8)], word: &str) -> Option<u8> {
    words.iter().find(|(known, _)| *known == word).map(|(_, number)| *number)
}
