// SPDX-License-Identifier: LGPL-2.1-or-later
//! The procedures of the remote program about the connection itself.

use std::borrow::Cow;

use crate::limits::{IDENTITY_PARAM_COUNT_MAX, SASL_DATA_LEN_MAX, STRING_LEN_MAX};
use crate::proto::params::{self, TypedParam};
use crate::xdr::reader::{Reader, XdrError};

/// The features (`virDrvFeature`) that this daemon supports.
pub(crate) mod feature {
    pub(crate) const FD_PASSING: i32 = 8;
    pub(crate) const PROGRAM_KEEPALIVE: i32 = 10;
    pub(crate) const REMOTE_EVENT_CALLBACK: i32 = 14;
    pub(crate) const REMOTE_CLOSE_CALLBACK: i32 = 15;
}

/// A call about the connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectCall {
    Open {
        name: Option<String>,
        flags: u32,
    },
    Close,
    GetType,
    GetHostname,
    SupportsFeature {
        feature: i32,
    },
    AuthList,
    /// Init, start or step: one call, as SASL is not offered.
    AuthSasl,
    AuthPolkit,
    GetUri,
    IsSecure,
    GetLibVersion,
    /// Register or unregister: one call, as this daemon sends no callbacks.
    CloseCallback,
    SetIdentity {
        params: Vec<TypedParam>,
    },
}

impl ConnectCall {
    /// The call of `procedure` with these arguments; `None` if the procedure is about something
    /// else.
    pub fn decode(procedure: i32, reader: &mut Reader<'_>) -> Result<Option<Self>, XdrError> {
        Ok(Some(match procedure {
            1 => {
                let name = reader.optional_string("name", STRING_LEN_MAX)?.map(Cow::into_owned);
                Self::Open { name, flags: reader.u32("flags")? }
            }
            2 => Self::Close,
            3 => Self::GetType,
            59 => Self::GetHostname,
            60 => Self::SupportsFeature { feature: reader.i32("feature")? },
            66 => Self::AuthList,
            67 => Self::AuthSasl,
            68 => {
                reader.string("mech", STRING_LEN_MAX)?;
                skip_sasl_data(reader)?;
                Self::AuthSasl
            }
            69 => {
                skip_sasl_data(reader)?;
                Self::AuthSasl
            }
            70 => Self::AuthPolkit,
            110 => Self::GetUri,
            149 => Self::IsSecure,
            157 => Self::GetLibVersion,
            360 | 361 => Self::CloseCallback,
            419 => {
                let params = params::decode(reader, IDENTITY_PARAM_COUNT_MAX)?;
                reader.u32("flags")?;
                Self::SetIdentity { params }
            }
            _ => return Ok(None),
        }))
    }
}

/// A SASL step's data: a flag, then an array in which each byte takes a word.
fn skip_sasl_data(reader: &mut Reader<'_>) -> Result<(), XdrError> {
    reader.flag("nil")?;
    for _ in 0..reader.count("data", SASL_DATA_LEN_MAX)? {
        reader.u32("data")?;
    }
    Ok(())
}
