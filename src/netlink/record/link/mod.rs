// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of links, so that a changed link can be restored, and one that is gone made again
//! (`linux/if_link.h`).
//!
//! Of the message about a link a [`LinkRecord`] keeps the attributes that the kernel accepts, and
//! leaves out those that only the kernel writes: counters, timers, properties of the device.

mod kinds;
mod vlan;
mod setting;
mod make;
mod fresh;
pub mod port;
pub mod sysctls;

use crate::netlink::link::{
    self, IFLA_ADDRESS, IFLA_BOND_ARP_VALIDATE, IFLA_BOND_PRIMARY, IFLA_IFNAME, IFLA_INFO_DATA,
    IFLA_INFO_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU,
    IFLA_OPERSTATE, Link, LinkEvent, LinkIndex, LinkKind, RTM_NEWLINK,
};
use crate::netlink::record::neighbour::Neighbours;
use crate::netlink::wire::{
    self, Attribute, Message, NetlinkHeader, PayloadWriter, WireError, attributes, take_array,
    take_u32,
};
use kinds::{
    IFLA_BR_VLAN_DEFAULT_PVID, IFLA_INET6_ADDR_GEN_MODE, IFLA_INET6_TOKEN, OF_INET6, OF_LINK,
    OF_NEW_LINK, RestorableKind, Settable, is_settable,
};
use setting::AttributeOwner;
pub use setting::LinkSetting;

pub(super) const IFLA_AF_SPEC: u16 = 26;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;

/// `AF_INET6`, as an attribute within `IFLA_AF_SPEC`.
const AF_INET6: u16 = 10;
const IFLA_INET6_CONF: u16 = 2;
/// `AF_INET`, likewise.
const AF_INET: u16 = 2;
const IFLA_INET_CONF: u16 = 1;

/// First value of the `arp_validate` filters of a bond, which
/// [`crate::model::interface::ArpValidate`] cannot express.
const ARP_FILTER_MIN: u32 = 4;

/// Flags that can be set (`net/if.h`), and their names in `ip`. Whether a link is up is handled
/// apart.
const FLAGS: [(u32, &str); 4] =
    [(0x80, "noarp"), (0x100, "promisc"), (0x200, "allmulticast"), (0x1000, "multicast")];

/// A link with all attributes that the kernel reports and accepts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkRecord {
    /// As the table has it.
    pub link: Link,
    /// The message's flags and attributes that are kept.
    flags: u32,
    attributes: Vec<u8>,
    /// The kernel reports these in messages of their own.
    pub neighbours: Neighbours,
}

impl LinkRecord {
    /// Decodes a link. `None` if the message is about something else, or about a link whose name the
    /// model refuses.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, WireError> {
        if message.kind != RTM_NEWLINK {
            return Ok(None);
        }
        let Some(LinkEvent::New(link)) = link::decode(message)? else { return Ok(None) };
        let mut rest = message.payload;
        take_array::<8>(&mut rest, "ifinfomsg")?;
        let flags = take_u32(&mut rest, "ifinfomsg")?;
        take_u32(&mut rest, "ifinfomsg")?;
        // Fewer attributes are kept than the message has.
        let attributes_kept = Vec::with_capacity(rest.len());
        let neighbours = Neighbours::default();
        let mut record = Self { link, flags, attributes: attributes_kept, neighbours };
        for attribute in attributes(rest) {
            record.keep(&attribute?);
        }
        record.attributes.shrink_to_fit();
        record.link.parent = record.link.parent.or_else(|| record.below());
        Ok(Some(record))
    }

    fn keep(&mut self, attribute: &Attribute<'_>) {
        let mut kept = PayloadWriter::new(&mut self.attributes);
        match attribute.kind {
            IFLA_ADDRESS | IFLA_IFNAME | IFLA_MTU | IFLA_LINK | IFLA_MASTER | IFLA_OPERSTATE
            | IFLA_LINK_NETNSID | IFLA_NUM_TX_QUEUES | IFLA_NUM_RX_QUEUES | IFLA_PROP_LIST => {
                kept.attribute(attribute.kind, attribute.payload);
            }
            IFLA_LINKINFO => kept.nested(IFLA_LINKINFO, |info| keep_info(info, attribute)),
            IFLA_AF_SPEC => kept.nested(IFLA_AF_SPEC, |families| {
                for family in attribute.nested().flatten() {
                    let is_kept = |kind: u16| match family.kind {
                        AF_INET => kind == IFLA_INET_CONF,
                        AF_INET6 => matches!(
                            kind,
                            IFLA_INET6_CONF | IFLA_INET6_ADDR_GEN_MODE | IFLA_INET6_TOKEN
                        ),
                        _ => false,
                    };
                    keep_some(families, &family, is_kept);
                }
            }),
            kind if is_settable(&OF_NEW_LINK, kind) || is_settable(&OF_LINK, kind) => {
                kept.attribute(attribute.kind, attribute.payload);
            }
            _ => {}
        }
    }

    /// Appends the record as the kernel would announce it: the link, and then its neighbour
    /// settings.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::write_message(
            out,
            NetlinkHeader { kind: RTM_NEWLINK, flags: 0, sequence: 0 },
            |payload| {
                payload.bytes(&[0; 4]);
                payload.bytes(&self.link.index.0.to_ne_bytes());
                payload.bytes(&self.flags.to_ne_bytes());
                payload.bytes(&[0; 4]);
                payload.bytes(&self.attributes);
            },
        );
        self.neighbours.encode(out, Some(self.link.index));
    }

    /// The attributes that differ between `now` and this record, except those that [`Link`] models.
    /// For a link that is yet to be made, those that any link accepts; the others are compared once
    /// it exists.
    pub(crate) fn settings_besides(&self, now: Option<&Self>) -> Vec<LinkSetting> {
        let has = now.map(Self::settings).unwrap_or_default();
        let mut settings = self.settings();
        settings.retain(|it| self.is_for(it, now));
        let absent = has.iter().filter(|now| !settings.iter().any(|it| it.is_beside(now)));
        let absent: Vec<_> = absent.filter_map(LinkSetting::absent).collect();
        settings.extend(absent);
        settings.retain(|setting| !has.contains(setting));
        if now.is_some() {
            for setting in &mut settings {
                let now = has.iter().find(|now| now.is_beside(setting));
                setting.leave_out(now.map(|now| now.payload.as_slice()).unwrap_or_default());
            }
        }
        settings
    }

    /// How a link generates addresses, if it differs from a new link.
    pub(crate) fn own_address_making(&self) -> Vec<LinkSetting> {
        let is_said = |it: &Attribute<'_>| it.payload.iter().any(|byte| *byte != 0);
        let said: Vec<_> = self.family(AF_INET6).filter(is_said).map(|it| it.kind).collect();
        let is_own =
            |it: &LinkSetting| it.place == AttributeOwner::Inet6 && said.contains(&it.kind);
        self.settings().into_iter().filter(is_own).collect()
    }

    /// Whether a setting that differs from `now` should be requested.
    fn is_for(&self, setting: &LinkSetting, now: Option<&Self>) -> bool {
        let is_new = now.is_none();
        match (setting.place, setting.kind) {
            (AttributeOwner::Flag(_), _) => !is_new,
            (AttributeOwner::Link, kind) => !is_new || is_settable(&OF_NEW_LINK, kind),
            // The other attributes depend on the bond's monitoring.
            (AttributeOwner::Kind("bond"), IFLA_BOND_ARP_VALIDATE) => {
                setting.number() >= Some(ARP_FILTER_MIN)
                    || now.is_some_and(|now| now.link.kind == self.link.kind)
            }
            // A mode refuses attributes that it does not know, even if they are unchanged.
            (AttributeOwner::Kind("bond"), _) => !is_new || !fresh::is_of_new(setting),
            _ => true,
        }
    }

    /// Whether a setting of a link that was just made can be set by itself: a bond's monitoring was
    /// set at its creation.
    fn is_for_new(&self, setting: &LinkSetting) -> bool {
        (setting.place, setting.kind) != (AttributeOwner::Kind("bond"), IFLA_BOND_ARP_VALIDATE)
            || setting.number() >= Some(ARP_FILTER_MIN)
    }

    /// All attributes that can be set.
    fn settings(&self) -> Vec<LinkSetting> {
        let flag = |(flag, name): &(u32, &'static str)| {
            let payload = (self.flags & *flag).to_ne_bytes().to_vec();
            LinkSetting { place: AttributeOwner::Flag(*flag), kind: 0, name, payload }
        };
        let mut settings: Vec<_> = FLAGS.iter().map(flag).collect();
        let mut add = |place, attribute: Attribute<'_>, of: &[Settable]| {
            let found = of.iter().find(|(kind, _)| *kind == attribute.kind);
            settings.extend(found.map(|(kind, name)| {
                let payload = attribute.payload.to_vec();
                LinkSetting { place, kind: *kind, name, payload }
            }));
        };
        self.attributes().for_each(|attribute| add(AttributeOwner::Link, attribute, &OF_NEW_LINK));
        self.attributes().for_each(|attribute| add(AttributeOwner::Link, attribute, &OF_LINK));
        let alt_names = self.attributes().filter(|attribute| attribute.kind == IFLA_PROP_LIST);
        let alt_names = alt_names.flat_map(|names| names.nested().flatten());
        alt_names
            .for_each(|name| add(AttributeOwner::AltName, name, &[(IFLA_ALT_IFNAME, "altname")]));
        self.family(AF_INET6)
            .for_each(|attribute| add(AttributeOwner::Inet6, attribute, &OF_INET6));
        if let Some(kind) = self.kind() {
            self.info(IFLA_INFO_DATA)
                .for_each(|it| add(AttributeOwner::Kind(kind.name), it, kind.settable));
        }
        if let Some((master, of)) = self.master_kind().and_then(kinds::of_port) {
            let port = self.info(IFLA_INFO_SLAVE_DATA);
            port.for_each(|attribute| add(AttributeOwner::Port(master), attribute, of));
        }
        settings
    }

    /// Whether setting single attributes turns this link into that of `then`, apart from the link
    /// below: if not, it has to be made again.
    pub(crate) fn can_become(&self, then: &Self) -> bool {
        if self.attributes == then.attributes {
            return true;
        }
        if self.kind_name() != then.kind_name() {
            return false;
        }
        let Some(kind) = self.kind() else { return true };
        let fixed = |record: &'_ Self| {
            let data = record.info(IFLA_INFO_DATA);
            let fixed = data.filter(|it| kind.fixed.has(it.kind) && kind.below != Some(it.kind));
            fixed.map(|it| (it.kind, it.payload.to_vec())).collect::<Vec<_>>()
        };
        fixed(self) == fixed(then)
    }

    /// Whether a link that is gone can be made again: its record is complete, and the link below is
    /// in the same network namespace.
    pub(crate) fn can_be_made(&self) -> bool {
        let is_over_another = self.attributes().any(|it| it.kind == IFLA_LINK_NETNSID);
        self.kind().is_some() && !is_over_another
    }

    /// The other end of a veth, if it is in the same network namespace.
    pub fn peer(&self) -> Option<LinkIndex> {
        let is_elsewhere = self.attributes().any(|it| it.kind == IFLA_LINK_NETNSID);
        self.link.parent.filter(|_| self.link.kind == LinkKind::Veth && !is_elsewhere)
    }

    /// The link below this one, if only the attributes of its kind name it.
    fn below(&self) -> Option<LinkIndex> {
        let below = self.kind()?.below.filter(|_| self.can_be_made())?;
        let attribute = self.info(IFLA_INFO_DATA).find(|it| it.kind == below)?;
        LinkIndex::new(attribute.u32("the link below").ok()?)
    }

    /// The kernel's name for the kind of a link, unless it is a NIC.
    pub(crate) fn kind_name(&self) -> Option<&str> {
        let name = self.info_part(IFLA_INFO_KIND)?.text();
        std::str::from_utf8(name).ok()
    }

    /// The primary member of a bond.
    pub fn primary(&self) -> Option<LinkIndex> {
        matches!(self.link.kind, LinkKind::Bond(_)).then_some(())?;
        let mut data = self.info(IFLA_INFO_DATA);
        let primary = data.find(|attribute| attribute.kind == IFLA_BOND_PRIMARY)?;
        LinkIndex::new(primary.u32("IFLA_BOND_PRIMARY").ok()?)
    }

    /// The VLAN that a bridge gives to each new port, or 0. `None` for a link that is not a bridge,
    /// and from a kernel whose bridges do not filter VLANs.
    pub fn default_vlan(&self) -> Option<u16> {
        matches!(self.link.kind, LinkKind::Bridge(_)).then_some(())?;
        let mut data = self.info(IFLA_INFO_DATA);
        let default = data.find(|attribute| attribute.kind == IFLA_BR_VLAN_DEFAULT_PVID)?;
        default.u16("IFLA_BR_VLAN_DEFAULT_PVID").ok()
    }

    fn kind(&self) -> Option<&'static RestorableKind> {
        kinds::kind_named(self.info_part(IFLA_INFO_KIND)?.text())
    }

    /// The kind of the master of this port.
    fn master_kind(&self) -> Option<&[u8]> {
        self.info_part(IFLA_INFO_SLAVE_KIND).map(|kind| kind.text())
    }

    fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        attributes(&self.attributes).flatten()
    }

    /// One attribute of `IFLA_LINKINFO`.
    fn info_part(&self, kind: u16) -> Option<Attribute<'_>> {
        let info = self.attributes().filter(|attribute| attribute.kind == IFLA_LINKINFO);
        info.flat_map(|info| info.nested().flatten()).find(|part| part.kind == kind)
    }

    /// The attributes within one attribute of `IFLA_LINKINFO`.
    fn info(&self, kind: u16) -> impl Iterator<Item = Attribute<'_>> {
        self.info_part(kind).into_iter().flat_map(|part| part.nested().flatten())
    }

    /// The attributes within a family of `IFLA_AF_SPEC`.
    fn family(&self, wanted: u16) -> impl Iterator<Item = Attribute<'_>> {
        let families = self.attributes().filter(|attribute| attribute.kind == IFLA_AF_SPEC);
        let families = families.flat_map(|families| families.nested().flatten());
        families.filter(move |it| it.kind == wanted).flat_map(|it| it.nested().flatten())
    }
}

/// Of `IFLA_LINKINFO`: the kind, the kind of the master, and the attributes that the kernel
/// accepts.
fn keep_info(out: &mut PayloadWriter<'_>, info: &Attribute<'_>) {
    let text_of = |kind: u16| {
        let part = info.nested().flatten().find(|part| part.kind == kind);
        part.map(|part| part.text()).unwrap_or_default()
    };
    let kind = kinds::kind_named(text_of(IFLA_INFO_KIND));
    let of_port = kinds::of_port(text_of(IFLA_INFO_SLAVE_KIND));
    for part in info.nested().flatten() {
        match (part.kind, kind, of_port) {
            (IFLA_INFO_KIND | IFLA_INFO_SLAVE_KIND, ..) => out.attribute(part.kind, part.payload),
            (IFLA_INFO_DATA, Some(kind), _) => {
                keep_some(out, &part, |attribute| kind.keeps(attribute));
            }
            (IFLA_INFO_SLAVE_DATA, _, Some((_, of))) => {
                keep_some(out, &part, |attribute| is_settable(of, attribute));
            }
            _ => {}
        }
    }
}

fn keep_some(out: &mut PayloadWriter<'_>, part: &Attribute<'_>, is_kept: impl Fn(u16) -> bool) {
    out.nested(part.kind, |data| {
        let kept = part.nested().flatten().filter(|it| is_kept(it.kind));
        kept.for_each(|it| data.attribute(it.kind, it.payload));
    });
}

#[cfg(test)]
mod tests;
