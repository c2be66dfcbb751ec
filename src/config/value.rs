// SPDX-License-Identifier: LGPL-2.1-or-later
//! Conversion of a value in the file to the type of its key.
//!
//! Knows no key. Types are as strict as libvirt's: `"1"` is not an integer, `-0` is not unsigned,
//! and a string is not a list of one.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::choice::{AuditLevel, Named};
use crate::config::lexer::{Scalar, Value};
use crate::config::logging_spec::{LogLevel, LogSpecError};
use crate::config::settings::SocketMode;
use crate::config::uuid::UuidError;
use crate::limits::KEEPALIVE_INTERVAL_MAX;

/// Why a key refuses a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ValueError {
    /// The value does not have the type that this names.
    Type(&'static str),
    /// An integer outside these bounds, both of them allowed.
    Range {
        min: i64,
        max: i64,
    },
    /// Not one of the names that this key knows.
    Name {
        given: String,
        known: Vec<&'static str>,
    },
    /// Not octal, or over 0777.
    Mode(String),
    /// An empty name of a group.
    Group,
    /// Not an absolute path.
    Path(String),
    Uuid(UuidError),
    LogSpec(LogSpecError),
    /// More clients may wait for authentication than may be connected.
    AnonymousClients {
        anonymous_max: u32,
        client_max: u32,
    },
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(wanted) => write!(f, "expected {wanted}"),
            Self::Range { min, max } => write!(f, "expected {min} to {max}"),
            Self::Name { given, known } => {
                write!(f, "{given:?} is none of {}", known.join(", "))
            }
            Self::Mode(given) => write!(f, "{given:?} is not an octal mode up to 0777"),
            Self::Group => write!(f, "a group's name cannot be empty"),
            Self::Path(given) => write!(f, "{given:?} is not an absolute path"),
            Self::Uuid(err) => err.fmt(f),
            Self::LogSpec(err) => err.fmt(f),
            Self::AnonymousClients { anonymous_max, client_max } => write!(
                f,
                "{anonymous_max} clients may wait for authentication, but only {client_max} connect"
            ),
        }
    }
}

impl std::error::Error for ValueError {}

impl From<UuidError> for ValueError {
    fn from(err: UuidError) -> Self {
        Self::Uuid(err)
    }
}

impl From<LogSpecError> for ValueError {
    fn from(err: LogSpecError) -> Self {
        Self::LogSpec(err)
    }
}

/// A string.
pub(super) fn text<'a>(value: &Value<'a>) -> Result<&'a str, ValueError> {
    match value {
        Value::Scalar(Scalar::Text(text)) => Ok(text),
        Value::Scalar(Scalar::Unsigned(_) | Scalar::Signed(_)) | Value::List(_) => {
            Err(ValueError::Type("a string"))
        }
    }
}

/// A list of strings.
pub(super) fn texts<'a>(value: &Value<'a>) -> Result<Vec<&'a str>, ValueError> {
    let wanted = ValueError::Type("a list of strings");
    let Value::List(items) = value else {
        return Err(wanted);
    };
    let as_text = |item: &Scalar<'a>| match item {
        Scalar::Text(text) => Some(*text),
        Scalar::Unsigned(_) | Scalar::Signed(_) => None,
    };
    items.iter().map(as_text).collect::<Option<_>>().ok_or(wanted)
}

/// An integer without a minus, up to 32 bits.
pub(super) fn unsigned(value: &Value<'_>) -> Result<u32, ValueError> {
    unsigned_in(value, 0..=u32::MAX)
}

/// An integer without a minus, within `range`.
pub(super) fn unsigned_in(
    value: &Value<'_>,
    range: RangeInclusive<u32>,
) -> Result<u32, ValueError> {
    let Value::Scalar(Scalar::Unsigned(number)) = value else {
        return Err(ValueError::Type("an unsigned integer"));
    };
    let out_of_range =
        ValueError::Range { min: (*range.start()).into(), max: (*range.end()).into() };
    u32::try_from(*number).ok().filter(|number| range.contains(number)).ok_or(out_of_range)
}

/// An integer with or without a minus, up to 32 bits.
pub(super) fn signed(value: &Value<'_>) -> Result<i32, ValueError> {
    let number = match value {
        Value::Scalar(Scalar::Unsigned(number)) => i32::try_from(*number).ok(),
        Value::Scalar(Scalar::Signed(number)) => i32::try_from(*number).ok(),
        Value::Scalar(Scalar::Text(_)) | Value::List(_) => {
            return Err(ValueError::Type("an integer"));
        }
    };
    number.ok_or(ValueError::Range { min: i32::MIN.into(), max: i32::MAX.into() })
}

/// 0 or 1.
pub(super) fn flag(value: &Value<'_>) -> Result<bool, ValueError> {
    unsigned_in(value, 0..=1).map(|number| number == 1)
}

/// Seconds.
pub(super) fn seconds(value: &Value<'_>) -> Result<Duration, ValueError> {
    unsigned(value).map(|number| Duration::from_secs(number.into()))
}

/// Seconds, at least 1.
pub(super) fn some_seconds(value: &Value<'_>) -> Result<Duration, ValueError> {
    unsigned_in(value, 1..=u32::MAX).map(|number| Duration::from_secs(number.into()))
}

/// Seconds, with 0 for never.
pub(super) fn seconds_or_never(value: &Value<'_>) -> Result<Option<Duration>, ValueError> {
    seconds(value).map(|time| Some(time).filter(|time| !time.is_zero()))
}

/// Seconds between pings. A value that is not a sensible interval switches them off, as in libvirt.
pub(super) fn interval(value: &Value<'_>) -> Result<Option<Duration>, ValueError> {
    let seconds = u32::try_from(signed(value)?).unwrap_or(0);
    let is_sensible = (1..=KEEPALIVE_INTERVAL_MAX).contains(&seconds);
    Ok(is_sensible.then(|| Duration::from_secs(seconds.into())))
}

/// One of the names of `T`.
pub(super) fn name<T: Named>(value: &Value<'_>) -> Result<T, ValueError> {
    named(text(value)?)
}

/// A list of names of `T`.
pub(super) fn names<T: Named>(value: &Value<'_>) -> Result<Vec<T>, ValueError> {
    texts(value)?.into_iter().map(named).collect()
}

fn named<T: Named>(given: &str) -> Result<T, ValueError> {
    T::ALL.iter().copied().find(|known| known.name() == given).ok_or_else(|| ValueError::Name {
        given: given.to_owned(),
        known: T::ALL.iter().map(|known| known.name()).collect(),
    })
}

/// A socket's permission bits, as a string of octal digits.
pub(super) fn mode(value: &Value<'_>) -> Result<SocketMode, ValueError> {
    let given = text(value)?;
    SocketMode::parse(given).ok_or_else(|| ValueError::Mode(given.to_owned()))
}

/// A group's name or number. Whether it exists is not known here.
pub(super) fn group(value: &Value<'_>) -> Result<String, ValueError> {
    let given = text(value)?;
    if given.is_empty() { Err(ValueError::Group) } else { Ok(given.to_owned()) }
}

/// An absolute path.
pub(super) fn path(value: &Value<'_>) -> Result<PathBuf, ValueError> {
    let given = text(value)?;
    let path = PathBuf::from(given);
    if path.is_absolute() { Ok(path) } else { Err(ValueError::Path(given.to_owned())) }
}

/// A level of logging, with 0 for libvirt's default.
pub(super) fn log_level(value: &Value<'_>) -> Result<LogLevel, ValueError> {
    let number = unsigned_in(value, 0..=4)?;
    Ok(LogLevel::new(number).unwrap_or(LogLevel::Warning))
}

/// A level of auditing.
pub(super) fn audit_level(value: &Value<'_>) -> Result<AuditLevel, ValueError> {
    AuditLevel::new(unsigned(value)?).ok_or(ValueError::Range { min: 0, max: 2 })
}
