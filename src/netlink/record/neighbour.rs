// SPDX-License-Identifier: LGPL-2.1-or-later
//! Settings of a link's neighbour tables, by family (`linux/neighbour.h`): the sysctls
//! `net.*.neigh.LINK`, and `ip ntable`.
//!
//! The kernel reports the settings of all links in one dump, with the defaults for new links. A
//! record keeps those of a link that differ from the defaults. They are set by a request, as the
//! files have some of the times only in seconds.

use std::fmt;
use std::ops::Range;

use crate::model::address::Family;
use crate::netlink::address::{decode_family, encode_family};
use crate::netlink::link::LinkIndex;
use crate::netlink::wire::{
    self, FLAG_ACK, FLAG_DUMP, FLAG_REQUEST, Message, NetlinkHeader, PayloadWriter, WireError,
    attributes, take_array,
};

const RTM_NEWNEIGHTBL: u16 = 64;
const RTM_GETNEIGHTBL: u16 = 66;
const RTM_SETNEIGHTBL: u16 = 67;

const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;

/// The settings that can be set, and their files. The two lengths of the queue are one setting: in
/// bytes.
const SETTINGS: [(u16, Width, &str); 14] = [
    (4, Width::Millis, "base_reachable_time_ms"),
    (5, Width::Millis, "retrans_time_ms"),
    (6, Width::Millis, "gc_stale_time"),
    (7, Width::Millis, "delay_first_probe_time"),
    (9, Width::Word, "app_solicit"),
    (10, Width::Word, "ucast_solicit"),
    (11, Width::Word, "mcast_solicit"),
    (12, Width::Millis, "anycast_delay"),
    (13, Width::Millis, "proxy_delay"),
    (14, Width::Word, "proxy_qlen"),
    (15, Width::Millis, "locktime"),
    (16, Width::Word, "unres_qlen_bytes"),
    (17, Width::Word, "mcast_resolicit"),
    (19, Width::Millis, "interval_probe_time_ms"),
];

/// The type of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Width {
    /// 32 bits.
    Word,
    /// Milliseconds in 64 bits.
    Millis,
}

/// The settings of one link and family, in the order of `SETTINGS`. Empty where they are the
/// defaults.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NeighbourSettings([Option<u64>; SETTINGS.len()]);

/// The settings of one link, for IPv4 and IPv6. Most links have none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Neighbours(Option<Box<[NeighbourSettings; 2]>>);

/// Settings of one link and family to be set, and the ones before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NeighbourChange {
    pub family: Family,
    pub after: NeighbourSettings,
    pub before: NeighbourSettings,
}

/// The settings of one link, or the defaults of new links.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ToldNeighbours {
    pub family: Family,
    pub link: Option<LinkIndex>,
    pub settings: NeighbourSettings,
}

/// The content of a dump so far: the settings of links that differ from the defaults.
#[derive(Clone, Debug, Default)]
pub struct ToldSoFar {
    defaults: Neighbours,
    templates: Vec<(Family, Template)>,
    links: Vec<ToldNeighbours>,
}

/// The defaults of a family in the kernel's bytes. Most links have the same bytes, and a comparison
/// is much faster than decoding them.
#[derive(Clone, Debug)]
struct Template {
    parms: Vec<u8>,
    /// The parts of it that contain settings. Other parts differ between links: a count of users,
    /// a random time.
    settings: Vec<Range<usize>>,
}

impl Template {
    fn new(parms: &[u8]) -> Self {
        let mut settings = Vec::new();
        let mut start = 0;
        for attribute in attributes(parms).map_while(Result::ok) {
            let end = start + wire::attribute_len(attribute.payload.len());
            if SETTINGS.iter().any(|(kind, ..)| *kind == attribute.kind) {
                settings.push(start..end);
            }
            start = end;
        }
        Self { parms: parms.to_vec(), settings }
    }

    /// Returns whether the parameters of a link contain the default of each setting.
    fn is_like(&self, parms: &[u8]) -> bool {
        parms.len() == self.parms.len()
            && self.settings.iter().all(|it| parms.get(it.clone()) == self.parms.get(it.clone()))
    }
}

/// Returns the parameters in a message, without the link that they belong to, and whether they belong
/// to one. The kernel writes the link first.
fn parms_of<'a>(message: &Message<'a>) -> Option<(Family, &'a [u8], bool)> {
    let (header, rest) = message.payload.split_first_chunk::<4>()?;
    let family = decode_family(*header.first()?)?;
    let mut list = attributes(rest).map_while(Result::ok);
    let parms = list.find(|attribute| attribute.kind == NDTA_PARMS)?.payload;
    let first = attributes(parms).next()?.ok()?;
    match first.kind {
        NDTPA_IFINDEX => {
            let link_len = wire::attribute_len(first.payload.len());
            Some((family, parms.get(link_len..)?, true))
        }
        _ => Some((family, parms, false)),
    }
}

impl ToldSoFar {
    /// Takes a message of the dump. For each family, the kernel reports the defaults first.
    pub fn add(&mut self, message: &Message<'_>) {
        let parms = (message.kind == RTM_NEWNEIGHTBL).then(|| parms_of(message)).flatten();
        let is_default = |(family, parms, is_of_link): (Family, &[u8], bool)| {
            let mut templates = self.templates.iter().filter(|(of, _)| *of == family);
            is_of_link && templates.any(|(_, template)| template.is_like(parms))
        };
        if parms.is_some_and(is_default) {
            return;
        }
        let Some(mut told) = ToldNeighbours::decode(message).ok().flatten() else { return };
        if told.link.is_none() {
            if let Some((family, parms, _)) = parms {
                self.templates.push((family, Template::new(parms)));
            }
            return self.defaults.set(told.family, told.settings);
        }
        told.settings = told.settings.besides(&self.defaults.of(told.family));
        if !told.settings.is_empty() {
            self.links.push(told);
        }
    }

    /// The defaults, and the settings of links that differ.
    pub(crate) fn into_parts(self) -> (Neighbours, Vec<ToldNeighbours>) {
        (self.defaults, self.links)
    }
}

impl ToldNeighbours {
    /// Decodes a message. `None` if the message is about something else.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        if message.kind != RTM_NEWNEIGHTBL {
            return Ok(None);
        }
        let mut rest = message.payload;
        let [family, ..] = take_array::<4>(&mut rest, "ndtmsg")?;
        let Some(family) = decode_family(family) else { return Ok(None) };
        let mut told = Self { family, link: None, settings: NeighbourSettings::default() };
        let mut has_settings = false;
        for attribute in attributes(rest) {
            let attribute = attribute?;
            if attribute.kind != NDTA_PARMS {
                continue;
            }
            has_settings = true;
            for part in attribute.nested() {
                let part = part?;
                if part.kind == NDTPA_IFINDEX {
                    told.link = LinkIndex::new(part.u32("NDTPA_IFINDEX")?);
                }
                let of_kind = SETTINGS.iter().zip(&mut told.settings.0);
                for ((_, width, name), value) in
                    of_kind.filter(|((kind, ..), _)| *kind == part.kind)
                {
                    *value = Some(match width {
                        Width::Word => part.u32(name)?.into(),
                        Width::Millis => part.u64(name)?,
                    });
                }
            }
        }
        Ok(has_settings.then_some(told))
    }

    /// Appends the message in which the kernel would report them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.write(out, NetlinkHeader { kind: RTM_NEWNEIGHTBL, flags: 0, sequence: 0 });
    }

    /// Appends the request that sets these of a link.
    pub(crate) fn encode_set(&self, out: &mut Vec<u8>, sequence: u32) {
        let flags = FLAG_REQUEST | FLAG_ACK;
        self.write(out, NetlinkHeader { kind: RTM_SETNEIGHTBL, flags, sequence });
    }

    fn write(&self, out: &mut Vec<u8>, header: NetlinkHeader) {
        wire::write_message(out, header, |payload| {
            payload.bytes(&[encode_family(self.family), 0, 0, 0]);
            payload.attribute_text(NDTA_NAME, table(self.family));
            payload.nested(NDTA_PARMS, |parms| self.write_parms(parms));
        });
    }

    fn write_parms(&self, parms: &mut PayloadWriter<'_>) {
        if let Some(link) = self.link {
            parms.attribute_u32(NDTPA_IFINDEX, link.0);
        }
        for ((kind, width, _), value) in SETTINGS.iter().zip(self.settings.0) {
            match (width, value) {
                (_, None) => {}
                (Width::Word, Some(value)) => {
                    parms.attribute_u32(*kind, u32::try_from(value).unwrap_or(u32::MAX));
                }
                (Width::Millis, Some(value)) => parms.attribute(*kind, &value.to_ne_bytes()),
            }
        }
    }
}

impl NeighbourSettings {
    /// Whether all are the defaults.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The settings of `self` that differ from `other`.
    #[must_use]
    pub fn besides(&self, other: &Self) -> Self {
        let mut own = *self;
        own.0.iter_mut().zip(other.0).filter(|(own, other)| **own == *other).for_each(
            |(own, _)| {
                *own = None;
            },
        );
        own
    }

    /// All settings, of a link with these defaults.
    fn or(&self, default: &Self) -> Self {
        let mut all = *self;
        all.0.iter_mut().zip(default.0).for_each(|(own, default)| *own = own.or(default));
        all
    }
}

impl Neighbours {
    /// The settings of one family.
    pub fn of(&self, family: Family) -> NeighbourSettings {
        let Some([ipv4, ipv6]) = self.0.as_deref() else { return NeighbourSettings::default() };
        match family {
            Family::Ipv4 => *ipv4,
            Family::Ipv6 => *ipv6,
        }
    }

    /// Notes that the link has these.
    pub fn set(&mut self, family: Family, settings: NeighbourSettings) {
        if self.0.is_none() && settings.is_empty() {
            return;
        }
        let [ipv4, ipv6] = self.0.get_or_insert_default().as_mut();
        match family {
            Family::Ipv4 => *ipv4 = settings,
            Family::Ipv6 => *ipv6 = settings,
        }
        if ipv4.is_empty() && ipv6.is_empty() {
            self.0 = None;
        }
    }

    /// The changes from the settings `now` to these, on a host with these defaults.
    pub(crate) fn changes_from(
        &self,
        now: &Self,
        default: &Self,
    ) -> impl Iterator<Item = NeighbourChange> + use<> {
        let change = |family: Family| {
            let default = default.of(family);
            let [then, now] = [self, now].map(|it| it.of(family).or(&default));
            NeighbourChange { family, after: then.besides(&now), before: now.besides(&then) }
        };
        let changes = [Family::Ipv4, Family::Ipv6].map(change);
        changes.into_iter().filter(|change| !change.after.is_empty())
    }

    /// Appends the messages in which the kernel would report this link's, or the defaults.
    pub fn encode(&self, out: &mut Vec<u8>, link: Option<LinkIndex>) {
        for family in [Family::Ipv4, Family::Ipv6] {
            let settings = self.of(family);
            if !settings.is_empty() {
                ToldNeighbours { family, link, settings }.encode(out);
            }
        }
    }
}

/// Appends the request for the settings of all links.
pub(crate) fn encode_dump(out: &mut Vec<u8>, sequence: u32) {
    let flags = FLAG_REQUEST | FLAG_DUMP;
    wire::write_message(out, NetlinkHeader { kind: RTM_GETNEIGHTBL, flags, sequence }, |payload| {
        payload.bytes(&[0; 4]);
    });
}

/// The kernel's name for the neighbour table of a family.
fn table(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "arp_cache",
        Family::Ipv6 => "ndisc_cache",
    }
}

/// As in sysctls, with times in milliseconds.
impl fmt::Display for NeighbourSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for ((_, width, name), value) in SETTINGS.iter().zip(self.0) {
            let Some(value) = value else { continue };
            let unit = if *width == Width::Millis { " ms" } else { "" };
            write!(f, "{separator}{name} = {value}{unit}")?;
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::tests::{corruptions, encoded, only_message};

    fn settings(values: &[(&str, u64)]) -> NeighbourSettings {
        let mut settings = NeighbourSettings::default();
        for (name, value) in values {
            let at = SETTINGS.iter().position(|(.., it)| it == name).unwrap();
            settings.0[at] = Some(*value);
        }
        settings
    }

    fn told(link: Option<u32>, values: &[(&str, u64)]) -> ToldNeighbours {
        let link = link.map(LinkIndex);
        ToldNeighbours { family: Family::Ipv6, link, settings: settings(values) }
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let all: Vec<_> = SETTINGS.iter().zip(40..).map(|((.., name), it)| (*name, it)).collect();
        for told in [told(None, &all), told(Some(7), &all), told(Some(7), &[("proxy_qlen", 9)])] {
            let bytes = encoded(|out| told.encode(out));
            assert_eq!(ToldNeighbours::decode(&only_message(&bytes)), Ok(Some(told)));
            for bytes in corruptions(&bytes) {
                for message in wire::messages(&bytes).flatten() {
                    let _ = ToldNeighbours::decode(&message);
                }
            }
        }
    }

    #[test]
    fn links_with_the_defaults_are_left_out() {
        const REACHABLE_TIME: u16 = 3;
        let message =
            |family: Family, link: Option<u32>, settings: NeighbourSettings, time: u64| {
                encoded(|out| {
                    let header = NetlinkHeader { kind: RTM_NEWNEIGHTBL, flags: 0, sequence: 0 };
                    wire::write_message(out, header, |payload| {
                        payload.bytes(&[encode_family(family), 0, 0, 0]);
                        payload.attribute_text(NDTA_NAME, table(family));
                        payload.nested(NDTA_PARMS, |parms| {
                            let told =
                                ToldNeighbours { family, link: link.map(LinkIndex), settings };
                            told.write_parms(parms);
                            parms.attribute(REACHABLE_TIME, &time.to_ne_bytes());
                        });
                    });
                })
            };
        let all: Vec<_> = SETTINGS.iter().zip(40..).map(|((.., name), it)| (*name, it)).collect();
        let default = settings(&all);
        let mut told = ToldSoFar::default();
        let mut add = |family, link, settings, time| {
            told.add(&only_message(&message(family, link, settings, time)));
        };
        add(Family::Ipv4, None, default, 1);
        add(Family::Ipv6, None, settings(&[("proxy_qlen", 9)]), 1);
        add(Family::Ipv4, Some(2), default, 2);
        let mut want = Vec::new();
        for at in 0..SETTINGS.len() {
            let mut other = default;
            other.0[at] = Some(7);
            let link = u32::try_from(at + 3).unwrap();
            add(Family::Ipv4, Some(link), other, 3);
            want.push((link, Family::Ipv4, other.besides(&default)));
        }
        // The defaults of the other family.
        add(Family::Ipv6, Some(90), default, 4);
        let other = default.besides(&settings(&[("proxy_qlen", 9)]));
        want.push((90, Family::Ipv6, other));
        let (_, links) = told.into_parts();
        let links: Vec<_> =
            links.iter().map(|it| (it.link.unwrap().0, it.family, it.settings)).collect();
        assert_eq!(links, want);
    }

    #[test]
    fn what_is_to_be_set_is_what_differs() {
        let default = settings(&[("locktime", 1000), ("proxy_qlen", 64)]);
        let of = |values: &[(&str, u64)]| {
            let mut neighbours = Neighbours::default();
            neighbours.set(Family::Ipv4, settings(values).besides(&default));
            neighbours
        };
        let mut defaults = Neighbours::default();
        defaults.set(Family::Ipv4, default);
        struct Case(&'static [(&'static str, u64)], &'static [(&'static str, u64)], &'static str);
        for Case(then, now, want) in [
            Case(&[], &[], ""),
            Case(&[("locktime", 1000)], &[], ""),
            Case(&[("locktime", 5)], &[("locktime", 5)], ""),
            Case(&[("locktime", 5)], &[], "locktime = 5 ms"),
            Case(&[], &[("locktime", 5)], "locktime = 1000 ms"),
            Case(&[("proxy_qlen", 3)], &[("locktime", 5)], "proxy_qlen = 3, locktime = 1000 ms"),
        ] {
            let changes = of(then).changes_from(&of(now), &defaults);
            let changes: Vec<_> = changes.map(|change| change.after.to_string()).collect();
            assert_eq!(changes.concat(), want, "{then:?} from {now:?}");
            let back = of(now).changes_from(&of(then), &defaults).map(|change| change.after);
            let before = of(then).changes_from(&of(now), &defaults).map(|change| change.before);
            assert!(back.eq(before), "{then:?} from {now:?}");
        }
    }
}
