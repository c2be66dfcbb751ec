// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`CallError`]s by their cause: the one place that chooses libvirt's codes and texts for failures
//! of more than one call.

use std::io;

use crate::config::logging_spec::LogSpecError;
use crate::error::{CallError, Domain, ErrorCode, HostError, strerror};
use crate::managers::Hold;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::rpc::header::Header;
use crate::xdr::reader::XdrError;
use crate::xml::error::XmlError;

impl From<XdrError> for CallError {
    /// libvirt never names the argument; its clients match on this text.
    fn from(_: XdrError) -> Self {
        rpc("Unable to decode message payload")
    }
}

impl From<HostError> for CallError {
    fn from(err: HostError) -> Self {
        Self::system(Domain::Interface, err.to_string(), err.errno())
    }
}

impl From<LogSpecError> for CallError {
    /// The texts are libvirt's, as virt-admin's users know them.
    fn from(err: LogSpecError) -> Self {
        let detail = match err {
            LogSpecError::OutputFormat { output } => {
                format!("Malformed format for log output '{output}'")
            }
            LogSpecError::OutputLevel { level, output } => {
                format!("Invalid log priority '{level}' for log output '{output}'")
            }
            LogSpecError::Destination { destination, output } => {
                format!("Invalid log destination '{destination}' for log output '{output}'")
            }
            LogSpecError::OutputParts { destination, output } => format!(
                "Log output '{output}' does not meet the format requirements \
                 for destination type '{destination}'"
            ),
            LogSpecError::FilterFormat { filter } => {
                format!("Malformed format for filter '{filter}'")
            }
            LogSpecError::FilterLevel { level, filter } => {
                format!("Invalid priority '{level}' for filter '{filter}'")
            }
            LogSpecError::FilterPattern { pattern } => format!("Invalid match string '{pattern}'"),
        };
        Self::new(ErrorCode::InvalidArg, Domain::None, detail)
    }
}

impl From<XmlError> for CallError {
    /// libvirt's helpers for XML have a domain of their own. The errors of its interface parser are
    /// in the domain of interfaces, and so are these.
    fn from(err: XmlError) -> Self {
        let (code, domain) = match err {
            XmlError::Syntax(_) => (ErrorCode::XmlDetail, Domain::Interface),
            XmlError::Schema { .. } => (ErrorCode::XmlInvalidSchema, Domain::Xml),
            XmlError::Root { .. } | XmlError::Missing { .. } | XmlError::Value { .. } => {
                (ErrorCode::Xml, Domain::Xml)
            }
            XmlError::Interface(_) | XmlError::Flaw { .. } => (ErrorCode::Xml, Domain::Interface),
        };
        Self::new(code, domain, err.to_string())
    }
}

/// The message is for a program, or a version of it, that is not served here.
pub(crate) fn unknown_program(header: &Header) -> CallError {
    let (program, version) = (header.program, header.version);
    rpc(format!("Cannot find program {program} version {version}"))
}

/// A call cannot have any status but OK.
pub(crate) fn bad_status(header: &Header) -> CallError {
    let [a, b, c, d] = header.status.to_be_bytes();
    rpc(format!("Unexpected message status {}", u32::from_be_bytes([a, b, c, d])))
}

/// The program has no call of this number, or an event has it.
pub(crate) fn unknown_procedure(number: i32) -> CallError {
    rpc(format!("unknown procedure: {number}"))
}

/// Selects between libvirt's two texts for a call before CONNECT_OPEN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Driver {
    Hypervisor,
    Interface,
}

/// The call needs CONNECT_OPEN before it.
pub fn not_open(driver: Driver) -> CallError {
    let detail = match driver {
        Driver::Hypervisor => "hypervisor connection not open",
        Driver::Interface => "connection not open",
    };
    CallError::new(ErrorCode::Internal, Domain::Rpc, detail)
}

/// The call changes something, and the client has only read access.
pub fn read_only(domain: Domain, api: &str) -> CallError {
    let detail = format!("read only access prevents {api}");
    CallError::new(ErrorCode::OperationDenied, domain, detail)
}

/// No interface of this name.
pub(crate) fn no_interface_named(name: &str) -> CallError {
    no_interface(format!("couldn't find interface named '{name}'"))
}

/// A link that a definition needs, for this role, does not exist.
pub(crate) fn no_link(name: &IfName, role: &str) -> CallError {
    no_interface(format!("couldn't find interface named '{name}', {role}"))
}

/// The daemon ends, so a queued change does not begin.
pub fn stopping() -> CallError {
    let detail = "the daemon is stopping";
    CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
}

/// A rollback is under way and would undo the change.
pub fn in_rollback(failure: &str, obstacle: &str) -> CallError {
    let detail = format!("{failure}: {obstacle}");
    CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
}

/// The queue of changes is full.
pub(crate) fn too_many_changes() -> CallError {
    let detail = "too many changes are queued";
    CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
}

/// No DHCP client can be started for a lease.
pub(crate) fn no_client_for(lease: &Lease, why: &str) -> CallError {
    let detail = format!("cannot obtain a lease for {lease}: {why}");
    CallError::new(ErrorCode::ConfigUnsupported, Domain::Interface, detail)
}

/// Another manager of a link would end a lease.
pub fn managed(hold: &Hold) -> CallError {
    let detail = format!("its lease cannot be carried over: {hold}");
    CallError::new(ErrorCode::OperationInvalid, Domain::Interface, detail)
}

/// The kernel denies the change.
pub fn denied(detail: String) -> CallError {
    CallError::new(ErrorCode::AccessDenied, Domain::Interface, detail)
}

/// The kernel refused a change: the whole text, and its errno.
pub fn host(text: String, errno: i32) -> CallError {
    CallError::system(Domain::Interface, text, errno)
}

/// No interface with this address.
pub(crate) fn no_interface_with_mac(mac: &str) -> CallError {
    no_interface(format!("couldn't find interface with MAC address '{mac}'"))
}

/// The origin of a look-up of a server or a client. libvirt has the look-up twice, each with its
/// own text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seeker {
    Daemon,
    Admin,
}

/// No server of this name.
pub(crate) fn no_server(seeker: Seeker, name: &str) -> CallError {
    let (domain, detail) = match seeker {
        Seeker::Daemon => (Domain::Rpc, format!("No server named '{name}'")),
        Seeker::Admin => (Domain::Admin, format!("no server with matching name '{name}' found")),
    };
    CallError::new(ErrorCode::NoServer, domain, detail)
}

/// No client of this number.
pub(crate) fn no_client(seeker: Seeker, id: u64) -> CallError {
    let (domain, detail) = match seeker {
        Seeker::Daemon => (Domain::Rpc, format!("No client with matching ID '{id}'")),
        Seeker::Admin => (Domain::Admin, format!("no client with matching id '{id}' found")),
    };
    CallError::new(ErrorCode::NoClient, domain, detail)
}

/// The kernel does not return the host's name.
pub(crate) fn no_hostname(err: &io::Error) -> CallError {
    let err = HostError::new("find out", "the host's name", err);
    CallError::system(Domain::Rpc, err.to_string(), err.errno())
}

/// A log file that an administrator has set cannot be opened.
pub(crate) fn log_file(path: &str, errno: i32) -> CallError {
    CallError::system(Domain::None, format!("failed to open {path}: {}", strerror(errno)), errno)
}

/// Another log output that an administrator has set cannot be opened.
pub(crate) fn log_output(text: String) -> CallError {
    CallError::new(ErrorCode::Internal, Domain::None, text)
}

/// An invariant that the types cannot express does not hold.
pub fn invariant(which: &str) -> CallError {
    debug_assert!(false, "{which}");
    CallError::new(ErrorCode::Internal, Domain::Interface, which)
}

fn no_interface(detail: String) -> CallError {
    CallError::new(ErrorCode::NoInterface, Domain::Interface, detail)
}

fn rpc(message: impl Into<String>) -> CallError {
    CallError::new(ErrorCode::Rpc, Domain::Rpc, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::header::kind;

    #[test]
    fn numbers_are_shown_unsigned_and_decimal() {
        let header = Header {
            program: 0xffff_ffff,
            version: 2,
            procedure: 1,
            kind: kind::CALL,
            serial: 1,
            status: -1,
        };
        assert_eq!(bad_status(&header).message(), "Unexpected message status 4294967295");
    }
}
