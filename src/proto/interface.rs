// SPDX-License-Identifier: LGPL-2.1-or-later
//! The interface procedures of the remote program.

use crate::limits::STRING_LEN_MAX;
use crate::model::address::MacAddr;
use crate::model::name::IfName;
use crate::xdr::reader::{Reader, XdrError};
use crate::xdr::writer::Writer;

/// A call about host interfaces. Names are as the client wrote them: whether there can be such an
/// interface is for the handler to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InterfaceCall {
    NumOfInterfaces,
    ListInterfaces { count_max: i32 },
    LookupByName { name: String },
    LookupByMac { mac: String },
    GetXmlDesc { name: String, flags: u32 },
    DefineXml { xml: String, flags: u32 },
    Undefine { name: String },
    Create { name: String, flags: u32 },
    Destroy { name: String, flags: u32 },
    NumOfDefinedInterfaces,
    ListDefinedInterfaces { count_max: i32 },
    IsActive { name: String },
    ChangeBegin { flags: u32 },
    ChangeCommit { flags: u32 },
    ChangeRollback { flags: u32 },
    ListAllInterfaces { need_results: bool, flags: u32 },
}

impl InterfaceCall {
    /// The call that `procedure` makes with these arguments; `None` if it is none of ours.
    pub fn decode(procedure: i32, reader: &mut Reader<'_>) -> Result<Option<Self>, XdrError> {
        Ok(Some(match procedure {
            126 => Self::NumOfInterfaces,
            127 => Self::ListInterfaces { count_max: reader.i32("maxnames")? },
            128 => Self::LookupByName { name: string(reader, "name")? },
            129 => Self::LookupByMac { mac: string(reader, "mac")? },
            130 => {
                let (name, flags) = (interface_name(reader)?, reader.u32("flags")?);
                Self::GetXmlDesc { name, flags }
            }
            131 => Self::DefineXml { xml: string(reader, "xml")?, flags: reader.u32("flags")? },
            132 => Self::Undefine { name: interface_name(reader)? },
            133 => {
                let (name, flags) = (interface_name(reader)?, reader.u32("flags")?);
                Self::Create { name, flags }
            }
            134 => {
                let (name, flags) = (interface_name(reader)?, reader.u32("flags")?);
                Self::Destroy { name, flags }
            }
            137 => Self::NumOfDefinedInterfaces,
            138 => Self::ListDefinedInterfaces { count_max: reader.i32("maxnames")? },
            156 => Self::IsActive { name: interface_name(reader)? },
            220 => Self::ChangeBegin { flags: reader.u32("flags")? },
            221 => Self::ChangeCommit { flags: reader.u32("flags")? },
            222 => Self::ChangeRollback { flags: reader.u32("flags")? },
            284 => {
                let (need_results, flags) = (reader.flag("need_results")?, reader.u32("flags")?);
                Self::ListAllInterfaces { need_results, flags }
            }
            _ => return Ok(None),
        }))
    }

    /// The name of the interface that a call is about, if it says one.
    pub(crate) fn interface_name(&self) -> Option<&str> {
        match self {
            Self::LookupByName { name }
            | Self::GetXmlDesc { name, .. }
            | Self::Undefine { name }
            | Self::Create { name, .. }
            | Self::Destroy { name, .. }
            | Self::IsActive { name } => Some(name),
            Self::NumOfInterfaces
            | Self::ListInterfaces { .. }
            | Self::LookupByMac { .. }
            | Self::DefineXml { .. }
            | Self::NumOfDefinedInterfaces
            | Self::ListDefinedInterfaces { .. }
            | Self::ChangeBegin { .. }
            | Self::ChangeCommit { .. }
            | Self::ChangeRollback { .. }
            | Self::ListAllInterfaces { .. } => None,
        }
    }

    /// libvirt's public name of a call that changes the host; `None` for one that only looks.
    pub fn changing_api(&self) -> Option<&'static str> {
        match self {
            Self::DefineXml { .. } => Some("virInterfaceDefineXML"),
            Self::Undefine { .. } => Some("virInterfaceUndefine"),
            Self::Create { .. } => Some("virInterfaceCreate"),
            Self::Destroy { .. } => Some("virInterfaceDestroy"),
            Self::ChangeBegin { .. } => Some("virInterfaceChangeBegin"),
            Self::ChangeCommit { .. } => Some("virInterfaceChangeCommit"),
            Self::ChangeRollback { .. } => Some("virInterfaceChangeRollback"),
            Self::NumOfInterfaces
            | Self::ListInterfaces { .. }
            | Self::LookupByName { .. }
            | Self::LookupByMac { .. }
            | Self::GetXmlDesc { .. }
            | Self::NumOfDefinedInterfaces
            | Self::ListDefinedInterfaces { .. }
            | Self::IsActive { .. }
            | Self::ListAllInterfaces { .. } => None,
        }
    }
}

fn string(reader: &mut Reader<'_>, field: &'static str) -> Result<String, XdrError> {
    reader.string(field, STRING_LEN_MAX).map(std::borrow::Cow::into_owned)
}

/// An interface as an argument: only its name counts, the address beside it is ignored.
fn interface_name(reader: &mut Reader<'_>) -> Result<String, XdrError> {
    let name = string(reader, "name")?;
    reader.string("mac", STRING_LEN_MAX)?;
    Ok(name)
}

/// An interface as a result (`remote_nonnull_interface`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterfaceRef {
    pub name: IfName,
    /// Written as an empty string where there is none.
    pub mac: Option<MacAddr>,
}

impl InterfaceRef {
    /// Writes name and address.
    pub fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self.name.as_str());
        match self.mac {
            Some(mac) => writer.opaque(mac.to_text().as_bytes()),
            None => writer.opaque(b""),
        }
    }
}
