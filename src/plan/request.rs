// SPDX-License-Identifier: LGPL-2.1-or-later
//! Encodes a [`Step`] as a netlink request, with the indexes of its links from the table.

use crate::host::Host;
use crate::model::name::IfName;
use crate::netlink::change::{self, NewKind, NewLink, Setting};
use crate::netlink::link::{LinkIndex, LinkKind};
use crate::netlink::record::bridge_vlan::Side;
use crate::netlink::record::neighbour::ToldNeighbours;
use crate::plan::step::{LinkSpec, LinkValue, SpecKind, Step};

/// The way to perform a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Means {
    /// A netlink request.
    Request,
    /// Anything else.
    Other,
}

impl Step {
    /// Returns the way to perform this step.
    pub fn means(&self) -> Means {
        match self {
            Self::AddAddress { .. }
            | Self::AddApart(_)
            | Self::AddLink(_)
            | Self::AddRoute { .. }
            | Self::ChangeAddress { .. }
            | Self::DeleteAddress { .. }
            | Self::DeleteApart(_)
            | Self::DeleteFdb { .. }
            | Self::DeleteLink(_)
            | Self::DeleteRoute { .. }
            | Self::DeleteVlans { .. }
            | Self::LeadOver { .. }
            | Self::RemakeLink { .. }
            | Self::RemakePair { .. }
            | Self::ResetLink { .. }
            | Self::SetFdb { .. }
            | Self::SetLink { .. }
            | Self::SetNeighbours { .. }
            | Self::SetVlans { .. } => Means::Request,
            Self::EditFile(_)
            | Self::RestoreFile(_)
            | Self::StartClient(_)
            | Self::StopClient(_)
            | Self::DropLease { .. }
            | Self::EndForeignClient(_)
            | Self::StartForeignClient(_)
            | Self::SetSysctl { .. }
            | Self::WaitFor(_) => Means::Other,
        }
    }

    /// Returns whether this step changes which link has a name.
    pub(crate) fn changes_names(&self) -> bool {
        matches!(
            self,
            Self::AddLink(_)
                | Self::DeleteLink(_)
                | Self::RemakeLink { .. }
                | Self::RemakePair { .. }
                | Self::SetLink { value: LinkValue::Name(_), .. }
        )
    }

    /// Appends the netlink request for this step, if it is performed by one.
    ///
    /// # Errors
    /// The name of a link that does not exist.
    pub fn encode(&self, out: &mut Vec<u8>, sequence: u32, host: &Host) -> Result<(), IfName> {
        let index = |name: &IfName| host.link_named(name).map(|link| link.index).ok_or(*name);
        match self {
            Self::AddAddress { link, record } => record.encode_add(out, sequence, index(link)?),
            Self::AddApart(apart) => apart.encode_add(out, sequence, &index)?,
            Self::RemakeLink { record, parent } => {
                let parent = parent.as_ref().map(index).transpose()?;
                record.encode_add(out, sequence, parent);
            }
            Self::RemakePair { record, peer } => record.encode_add_pair(out, sequence, peer),
            Self::AddLink(spec) => {
                let kind = new_kind(spec, index)?;
                change::encode_add(
                    out,
                    sequence,
                    &NewLink { name: &spec.name, mac: spec.mac, kind },
                );
            }
            Self::AddRoute { link, record } => record.encode_add(out, sequence, index(link)?),
            Self::ChangeAddress { link, record } => {
                record.encode_change(out, sequence, index(link)?);
            }
            Self::DeleteAddress { link, record } => {
                record.encode_delete(out, sequence, index(link)?);
            }
            Self::DeleteApart(apart) => apart.encode_delete(out, sequence, &index)?,
            Self::DeleteFdb { link, entry } => {
                entry.encode_delete(out, sequence, index(link)?, is_bridge(link, host));
            }
            Self::DeleteLink(name) => change::encode_delete(out, sequence, index(name)?),
            Self::DeleteRoute { link, record } => record.encode_delete(out, sequence, index(link)?),
            Self::DeleteVlans { link, vlans } => {
                vlans.encode_delete(out, sequence, index(link)?, side_of(link, host));
            }
            Self::LeadOver { link, record } => {
                record.encode_replace(out, sequence, index(link)?);
            }
            Self::ResetLink { link, setting } => {
                setting.encode(out, sequence, index(link)?);
            }
            Self::SetFdb { link, entry } => {
                entry.encode_set(out, sequence, index(link)?, is_bridge(link, host));
            }
            Self::SetLink { link, value } => {
                let link = index(link)?;
                change::encode_set(out, sequence, link, setting(value, index)?);
            }
            Self::SetNeighbours { link, family, settings } => {
                let (family, settings) = (*family, **settings);
                let told = ToldNeighbours { family, link: Some(index(link)?), settings };
                told.encode_set(out, sequence);
            }
            Self::SetVlans { link, vlans } => {
                vlans.encode_set(out, sequence, index(link)?, side_of(link, host));
            }
            Self::EditFile(_)
            | Self::RestoreFile(_)
            | Self::StartClient(_)
            | Self::StopClient(_)
            | Self::DropLease { .. }
            | Self::EndForeignClient(_)
            | Self::StartForeignClient(_)
            | Self::SetSysctl { .. }
            | Self::WaitFor(_) => {}
        }
        Ok(())
    }
}

/// Returns whose VLANs a link has: a bridge has its own, as it cannot be a port of another bridge.
fn side_of(name: &IfName, host: &Host) -> Side {
    if is_bridge(name, host) { Side::Bridge } else { Side::Port }
}

fn is_bridge(name: &IfName, host: &Host) -> bool {
    host.link_named(name).is_some_and(|link| matches!(link.kind, LinkKind::Bridge(_)))
}

fn new_kind(
    spec: &LinkSpec,
    index: impl Fn(&IfName) -> Result<LinkIndex, IfName>,
) -> Result<NewKind<'_>, IfName> {
    Ok(match &spec.kind {
        SpecKind::Bond { mode, monitor } => {
            NewKind::Bond { mode: *mode, monitor: monitor.as_ref() }
        }
        SpecKind::Bridge { stp, delay } => NewKind::Bridge { stp: *stp, delay: *delay },
        SpecKind::Vlan { tag, parent } => NewKind::Vlan { tag: *tag, parent: index(parent)? },
    })
}

fn setting(
    value: &LinkValue,
    index: impl Fn(&IfName) -> Result<LinkIndex, IfName>,
) -> Result<Setting<'_>, IfName> {
    Ok(match value {
        LinkValue::Up => Setting::Up,
        LinkValue::Down => Setting::Down,
        LinkValue::Mtu(mtu) => Setting::Mtu(*mtu),
        LinkValue::Mac(mac) => Setting::Mac(*mac),
        LinkValue::Name(name) => Setting::Name(name),
        LinkValue::Master(master) => Setting::Master(Some(index(master)?)),
        LinkValue::NoMaster => Setting::Master(None),
        LinkValue::Stp(stp) => Setting::Stp(*stp),
        LinkValue::Delay(delay) => Setting::ForwardDelay(*delay),
        LinkValue::Monitor(monitor) => Setting::Monitor(monitor),
        LinkValue::MonitorAgain(bond) => Setting::MonitorAgain(bond),
        LinkValue::Primary(member) => Setting::Primary(Some(index(member)?)),
        LinkValue::NoPrimary => Setting::Primary(None),
    })
}
