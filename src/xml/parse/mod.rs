// SPDX-License-Identifier: LGPL-2.1-or-later
//! XML to [`Interface`].
//!
//! Documents that libvirt's own parser refuses are refused in the order of its checks and with its
//! texts. Values that the kernel would refuse or the model cannot hold are refused too, so a stored
//! definition can be brought up as far as can be known without the host, and no part of it is lost.
//! As in libvirt, unknown elements and attributes are ignored; only [`Strictness::Schema`] refuses
//! them.

mod values;
mod addressing;
mod kinds;

use std::collections::BTreeSet;

use crate::limits::MTU_MAX;
use crate::model::interface::{Bond, BondMember, Interface, Kind, Port, PortKind, StartMode, Vlan};
use crate::model::name::IfName;
use crate::model::sorted::SortedMap;
use crate::xml::error::{Flaw, ParseRefusal, XmlError};
use crate::xml::parse::values::{Radix, flaw, unsigned};
use crate::xml::schema;
pub(crate) use crate::xml::schema::Remarks;
use crate::xml::tree::{self, Element};
use crate::xml::words::{self, KINDS};

/// How strictly a text is checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strictness {
    /// As libvirt's parser does.
    Parser,
    /// It must be valid by the schema too.
    Schema,
}

/// The interface that `text` defines, and remarks for its author.
pub fn remarked(text: &str, strictness: Strictness) -> Result<(Interface, Remarks), XmlError> {
    let root = root(text)?;
    if strictness == Strictness::Schema {
        schema::check(&root)?;
    }
    Ok((interface(&root)?, Remarks::of(&root)))
}

fn root(text: &str) -> Result<Element, XmlError> {
    let root = tree::parse(text).map_err(XmlError::Syntax)?;
    if root.name == "interface" { Ok(root) } else { Err(XmlError::Root { found: root.name }) }
}

fn interface(root: &Element) -> Result<Interface, XmlError> {
    let (kind, name) = kinds::head(root, &KINDS)?;
    let start = start(root)?;
    let mtu = mtu(root)?;
    let protocols = addressing::protocols(root)?;
    let kind = kinds::kind(root, kind)?;
    check_names(name, &kind)?;
    Ok(Interface { name, start, mtu, protocols, kind })
}

fn start(root: &Element) -> Result<Option<StartMode>, XmlError> {
    let Some(text) = values::first(root, "start", "mode") else { return Ok(None) };
    match words::find(&words::START_MODES, words::start_mode, text) {
        Some(mode) => Ok(Some(mode)),
        None => Err(XmlError::Interface(ParseRefusal::StartMode(text.to_owned()))),
    }
}

fn mtu(root: &Element) -> Result<Option<u32>, XmlError> {
    let Some(text) = values::first(root, "mtu", "size") else { return Ok(None) };
    // libvirt fails here without a reason.
    let size = unsigned(text, Radix::Ten).ok_or_else(|| flaw("mtu", "size", text, Flaw::Number))?;
    if size > MTU_MAX {
        return Err(XmlError::Interface(ParseRefusal::MtuOver));
    }
    Ok(Some(size).filter(|size| *size > 0))
}

/// Each interface has one place in the definition, and no VLAN is over itself.
fn check_names(own: IfName, kind: &Kind) -> Result<(), XmlError> {
    let mut seen = BTreeSet::new();
    let mut vlans = Vec::new();
    let mut take = |name: IfName| {
        if name == own {
            return Err(name_flaw(name, Flaw::OwnMember));
        }
        if seen.insert(name) { Ok(()) } else { Err(name_flaw(name, Flaw::MemberTwice)) }
    };
    match kind {
        Kind::Ethernet(_) => {}
        Kind::Bridge(bridge) => {
            for Port { name, kind } in &bridge.ports {
                take(*name)?;
                match kind {
                    PortKind::Ethernet(_) => {}
                    PortKind::Bond(bond) => members(bond).try_for_each(&mut take)?,
                    PortKind::Vlan(vlan) => vlans.push((*name, vlan)),
                }
            }
        }
        Kind::Bond(bond) => members(bond).try_for_each(take)?,
        Kind::Vlan(vlan) => vlans.push((own, vlan)),
    }
    check_vlans(own, &vlans)
}

fn members(bond: &Bond) -> impl Iterator<Item = IfName> {
    bond.members.iter().map(|BondMember { name, .. }| *name)
}

fn check_vlans(own: IfName, vlans: &[(IfName, &Vlan)]) -> Result<(), XmlError> {
    let parents: SortedMap<_, _> = vlans.iter().map(|(name, vlan)| (*name, vlan.parent)).collect();
    // The walk that has reached a name: each name is visited once, however long the chains are.
    let mut walk_by = SortedMap::default();
    for (walk, (name, vlan)) in vlans.iter().enumerate() {
        if vlan.parent == own {
            return Err(name_flaw(vlan.parent, Flaw::OwnParent));
        }
        let mut at = *name;
        while let Some(parent) = parents.get(&at) {
            match walk_by.insert(at, walk) {
                Some(earlier) if earlier == walk => return Err(name_flaw(at, Flaw::OwnParent)),
                Some(_) => break,
                None => at = *parent,
            }
        }
    }
    Ok(())
}

fn name_flaw(name: IfName, which: Flaw) -> XmlError {
    flaw("interface", "name", name.as_str(), which)
}

#[cfg(test)]
mod tests;
