// SPDX-License-Identifier: LGPL-2.1-or-later
//! The interface procedures of the remote program, by kind: queries read, changes are queued, and
//! transactions begin and end.

use crate::limits::STRING_LEN_MAX;
use crate::model::address::MacAddr;
use crate::model::name::IfName;
use crate::xdr::reader::{Reader, XdrError};
use crate::xdr::writer::Writer;

/// The one call with a long argument.
pub(crate) const DEFINE_XML: i32 = 131;

/// A call that reads interfaces. Names are as the client sent them: the handler checks whether such
/// an interface can exist.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum QueryCall {
    NumOfInterfaces,
    ListInterfaces { count_max: i32 },
    LookupByName { name: String },
    LookupByMac { mac: String },
    GetXmlDesc { name: String, flags: u32 },
    NumOfDefinedInterfaces,
    ListDefinedInterfaces { count_max: i32 },
    IsActive { name: String },
    ListAllInterfaces { need_results: bool, flags: u32 },
}

impl QueryCall {
    /// Decodes the arguments of a query; `None` if the procedure is not a query.
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
            137 => Self::NumOfDefinedInterfaces,
            138 => Self::ListDefinedInterfaces { count_max: reader.i32("maxnames")? },
            156 => Self::IsActive { name: interface_name(reader)? },
            284 => {
                let (need_results, flags) = (reader.flag("need_results")?, reader.u32("flags")?);
                Self::ListAllInterfaces { need_results, flags }
            }
            _ => return Ok(None),
        }))
    }
}

/// A call that changes one interface, or its definition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ChangeCall {
    DefineXml { xml: String, flags: u32 },
    Undefine { name: String },
    Create { name: String, flags: u32 },
    Destroy { name: String, flags: u32 },
}

impl ChangeCall {
    /// Decodes the arguments of a change; `None` if the procedure is not a change.
    pub fn decode(procedure: i32, reader: &mut Reader<'_>) -> Result<Option<Self>, XdrError> {
        Ok(Some(match procedure {
            DEFINE_XML => {
                Self::DefineXml { xml: string(reader, "xml")?, flags: reader.u32("flags")? }
            }
            132 => Self::Undefine { name: interface_name(reader)? },
            133 => {
                let (name, flags) = (interface_name(reader)?, reader.u32("flags")?);
                Self::Create { name, flags }
            }
            134 => {
                let (name, flags) = (interface_name(reader)?, reader.u32("flags")?);
                Self::Destroy { name, flags }
            }
            _ => return Ok(None),
        }))
    }

    /// The name of the changed interface; a definition has it in its XML.
    pub(crate) fn interface_name(&self) -> Option<&str> {
        match self {
            Self::Undefine { name } | Self::Create { name, .. } | Self::Destroy { name, .. } => {
                Some(name)
            }
            Self::DefineXml { .. } => None,
        }
    }

    /// libvirt's public name of the call.
    pub fn api(&self) -> &'static str {
        match self {
            Self::DefineXml { .. } => "virInterfaceDefineXML",
            Self::Undefine { .. } => "virInterfaceUndefine",
            Self::Create { .. } => "virInterfaceCreate",
            Self::Destroy { .. } => "virInterfaceDestroy",
        }
    }
}

/// A call about libvirt's interface transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransactionCall {
    Begin { flags: u32 },
    Commit { flags: u32 },
    Rollback { flags: u32 },
}

impl TransactionCall {
    /// Decodes the arguments of a transaction; `None` if the procedure is another one.
    pub fn decode(procedure: i32, reader: &mut Reader<'_>) -> Result<Option<Self>, XdrError> {
        Ok(Some(match procedure {
            220 => Self::Begin { flags: reader.u32("flags")? },
            221 => Self::Commit { flags: reader.u32("flags")? },
            222 => Self::Rollback { flags: reader.u32("flags")? },
            _ => return Ok(None),
        }))
    }

    /// libvirt's public name of the call.
    pub fn api(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "virInterfaceChangeBegin",
            Self::Commit { .. } => "virInterfaceChangeCommit",
            Self::Rollback { .. } => "virInterfaceChangeRollback",
        }
    }
}

fn string(reader: &mut Reader<'_>, field: &'static str) -> Result<String, XdrError> {
    reader.string(field, STRING_LEN_MAX).map(std::borrow::Cow::into_owned)
}

/// Decodes an interface argument, of which only the name is used.
fn interface_name(reader: &mut Reader<'_>) -> Result<String, XdrError> {
    let name = string(reader, "name")?;
    reader.string("mac", STRING_LEN_MAX)?;
    Ok(name)
}

/// An interface in a result (`remote_nonnull_interface`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterfaceRef {
    pub name: IfName,
    /// Encoded as an empty string if there is none.
    pub mac: Option<MacAddr>,
}

impl InterfaceRef {
    /// Encodes name and address.
    pub fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self.name.as_str());
        match self.mac {
            Some(mac) => writer.opaque(mac.to_text().as_bytes()),
            None => writer.opaque(b""),
        }
    }
}
