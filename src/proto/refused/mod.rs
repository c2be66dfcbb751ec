// SPDX-License-Identifier: LGPL-2.1-or-later
//! The answers to every procedure of libvirt that an interface daemon does not implement.
//!
//! Generic clients call them: they query any daemon for its domains, its CPUs or its networks, and
//! the error decides what they try next. So each procedure is refused with the code, domain and
//! text of libvirt's own daemon, which performs four steps: it decodes the arguments, requires an
//! open connection, and lets the API's function refuse writes of a read-only connection and wrong
//! arguments. Only then does it notice that no driver serves the call.
//!
//! Knows nothing of the procedures that are implemented: [`remote`] has no answer for those, nor
//! for events and unknown numbers. Authentication comes earlier. Only those arguments are decoded
//! that affect the answer to an ordinary call: unknown flags, or room for an answer that could not
//! be sent, are treated as valid.

mod argument;
mod api;

use std::ops::RangeInclusive;

use crate::call_errors::{self, Driver};
use crate::error::{CallError, Domain, ErrorCode};
use crate::proto::Reply;
use crate::proto::requirement::Requirement;
use crate::xdr::reader::{Reader, XdrError};

pub use api::Api;
use argument::Shape;

const CONNECT_DOMAIN_EVENT_DEREGISTER: i32 = 106;
const DOMAIN_MEMORY_STATS: i32 = 159;
const CONNECT_DOMAIN_EVENT_REGISTER_ANY: i32 = 167;
const CONNECT_DOMAIN_EVENT_DEREGISTER_ANY: i32 = 168;
const DOMAIN_OPEN_GRAPHICS: i32 = 249;
const CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: i32 = 316;
const CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: i32 = 317;
const DOMAIN_OPEN_GRAPHICS_FD: i32 = 343;
const DOMAIN_FD_ASSOCIATE: i32 = 443;
const QEMU_DOMAIN_MONITOR_EVENT_DEREGISTER: i32 = 5;
const QEMU_DOMAIN_MONITOR_COMMAND_WITH_FILES: i32 = 7;

/// The last kind of domain event that 167 and 168 support; later ones were added with 316 and 317.
const OLD_EVENT_LAST: i32 = 15;

/// The last kind of domain event in libvirt 11.0.0.
const EVENT_LAST: i32 = 26;

/// The most statistics in one answer (`REMOTE_DOMAIN_MEMORY_STATS_MAX`).
const MEMORY_STAT_COUNT_MAX: u32 = 1_024;

/// Procedures for networks, storage, host devices, filters and secrets. Each of these has a daemon
/// of its own, to which this one has no connection.
const OTHER_DRIVERS: &[RangeInclusive<i32>] = &[
    36..=36,
    38..=50,
    52..=52,
    71..=100,
    111..=117,
    123..=125,
    139..=147,
    152..=155,
    165..=165,
    175..=181,
    208..=209,
    259..=260,
    281..=283,
    285..=287,
    291..=291,
    297..=297,
    313..=314,
    341..=341,
    368..=369,
    374..=375,
    378..=378,
    380..=381,
    391..=391,
    397..=401,
    403..=410,
    428..=437,
    444..=445,
    447..=447,
];

/// The reason for a refusal, which determines the procedure's answer.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// It belongs to another daemon.
    OtherDriver,
    /// It belongs to a hypervisor, and this daemon has no driver for one.
    NoSupport(&'static Api),
    /// The same, unless the client requests no statistics at all, which it gets.
    MemoryStats(&'static Api),
    /// It takes file descriptors, which this daemon closes unused.
    NoFd(&'static Api),
    /// The same, but libvirt asks the driver first whether it supports descriptors.
    NoFdPassing(&'static Api),
    /// It registers for a kind of event, up to `last`.
    EventRegister { api: &'static Api, last: i32 },
    /// It ends a registration that cannot exist, by the kind of event.
    EventDeregister { last: i32 },
    /// The same for the first kind of event.
    FirstEventDeregister,
    /// It ends a registration that cannot exist, by its number.
    CallbackDeregister { kind: &'static str },
}

/// Why the remote program's `procedure` is refused; `None` if it is implemented, an event or
/// unknown.
pub fn remote(procedure: i32) -> Option<Refusal> {
    if OTHER_DRIVERS.iter().any(|range| range.contains(&procedure)) {
        return Some(Refusal::OtherDriver);
    }
    match procedure {
        CONNECT_DOMAIN_EVENT_DEREGISTER => Some(Refusal::FirstEventDeregister),
        CONNECT_DOMAIN_EVENT_DEREGISTER_ANY => {
            Some(Refusal::EventDeregister { last: OLD_EVENT_LAST })
        }
        CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY => {
            Some(Refusal::CallbackDeregister { kind: "domain event" })
        }
        _ => api::find(api::REMOTE, procedure).map(|api| hypervisor(procedure, api)),
    }
}

/// Why the QEMU program's `procedure` is refused; `None` if it is an event or unknown.
pub fn qemu(procedure: i32) -> Option<Refusal> {
    if procedure == QEMU_DOMAIN_MONITOR_EVENT_DEREGISTER {
        return Some(Refusal::CallbackDeregister { kind: "qemu monitor event" });
    }
    let api = api::find(api::QEMU, procedure)?;
    Some(match procedure {
        QEMU_DOMAIN_MONITOR_COMMAND_WITH_FILES => Refusal::NoFdPassing(api),
        _ => Refusal::NoSupport(api),
    })
}

/// Why the LXC program's `procedure` is refused; `None` if it is unknown.
pub(crate) fn lxc(procedure: i32) -> Option<Refusal> {
    api::find(api::LXC, procedure).map(Refusal::NoSupport)
}

fn hypervisor(procedure: i32, api: &'static Api) -> Refusal {
    match procedure {
        DOMAIN_MEMORY_STATS => Refusal::MemoryStats(api),
        DOMAIN_OPEN_GRAPHICS => Refusal::NoFd(api),
        DOMAIN_OPEN_GRAPHICS_FD | DOMAIN_FD_ASSOCIATE => Refusal::NoFdPassing(api),
        CONNECT_DOMAIN_EVENT_REGISTER_ANY => Refusal::EventRegister { api, last: OLD_EVENT_LAST },
        CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY => {
            Refusal::EventRegister { api, last: EVENT_LAST }
        }
        _ => Refusal::NoSupport(api),
    }
}

/// A call of a refused procedure, with its arguments checked.
#[derive(Clone, Debug)]
pub struct RefusedCall {
    /// The condition that is checked before the answer.
    pub requirement: Requirement,
    pub answer: Result<Reply, CallError>,
}

impl RefusedCall {
    /// A call whose answer depends only on an open connection.
    fn open(answer: Result<Reply, CallError>) -> Self {
        Self { requirement: Requirement::Open(Driver::Hypervisor), answer }
    }
}

impl Refusal {
    /// Makes the call from these arguments.
    ///
    /// # Errors
    /// The arguments that determine the answer cannot be decoded.
    pub fn judge(self, payload: &[u8]) -> Result<RefusedCall, CallError> {
        match self {
            Self::OtherDriver => {
                let answer = Err(call_errors::not_open(Driver::Interface));
                Ok(RefusedCall { requirement: Requirement::Nothing, answer })
            }
            Self::NoSupport(api) => api.judge(payload, || Err(api.no_support())),
            Self::MemoryStats(api) => api.judge(payload, || match stat_count(payload)? {
                0 => Ok(Reply::EmptyList),
                1..=MEMORY_STAT_COUNT_MAX => Err(api.no_support()),
                _ => Err(internal("maxStats > REMOTE_DOMAIN_MEMORY_STATS_MAX")),
            }),
            Self::NoFd(api) => api.judge(payload, || Err(internal("No FD available at slot 0"))),
            Self::NoFdPassing(api) => api.judge(payload, || Err(api.no_fd_passing())),
            Self::EventRegister { api, last } => api.judge(payload, || {
                known_event(number(payload)?, last)?;
                Err(api.no_support())
            }),
            Self::EventDeregister { last } => {
                let event = number(payload)?;
                let not_registered = || internal(format!("domain event {event} not registered"));
                let known = known_event(event, last);
                Ok(RefusedCall::open(known.and_then(|()| Err(not_registered()))))
            }
            Self::FirstEventDeregister => {
                Ok(RefusedCall::open(Err(internal("domain event 0 not registered"))))
            }
            Self::CallbackDeregister { kind } => {
                let callback = number(payload)?;
                let detail = format!("{kind} callback {callback} not registered");
                Ok(RefusedCall::open(Err(internal(detail))))
            }
        }
    }
}

/// The kind of event, or the registration, which is the first argument.
fn number(payload: &[u8]) -> Result<i32, CallError> {
    Ok(Reader::new(payload).i32("number")?)
}

fn known_event(event: i32, last: i32) -> Result<(), CallError> {
    if (0..=last).contains(&event) {
        return Ok(());
    }
    Err(internal(format!("unsupported event ID {event}")))
}

/// The number of statistics of a domain that the client has room for.
fn stat_count(payload: &[u8]) -> Result<u32, XdrError> {
    let mut reader = Reader::new(payload);
    Shape::Domain.measure(&mut reader)?;
    reader.u32("maxStats")
}

fn internal(detail: impl Into<String>) -> CallError {
    CallError::new(ErrorCode::Internal, Domain::Rpc, detail)
}

#[cfg(test)]
mod tests;
