// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`PlanRefusal`]: the reason why a change is refused before it begins.

use std::fmt;

use crate::call_errors;
use crate::error::{CallError, Domain, ErrorCode};
use crate::model::address::IpPrefix;
use crate::model::foreign::{ClientLinks, ClientProgram, ForeignClient};
use crate::model::name::IfName;

/// The reason why there is no plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PlanRefusal {
    /// The interface is up, and matches its definition.
    Running,
    NotRunning,
    /// A required link does not exist; with its role.
    Missing {
        name: IfName,
        role: String,
    },
    /// A link is a port of another bridge or bond.
    IsPort {
        name: IfName,
        master: IfName,
    },
    /// A link of this name exists, and is of another kind.
    WrongKind {
        name: IfName,
        wanted: &'static str,
    },
    /// An attribute that cannot change while the link exists.
    Fixed {
        name: IfName,
        what: String,
    },
    /// The DHCP client of a link can be neither ended nor started again.
    Client {
        name: IfName,
        client: Box<ForeignClient>,
    },
    /// The DHCP client of a port is configured not to serve the link that takes the port.
    NotAllowed {
        name: IfName,
        port: IfName,
        client: Box<ForeignClient>,
    },
    /// Links that would be cut off: guests' interfaces, or other links outside the interface.
    Guests {
        name: IfName,
        guests: Vec<IfName>,
    },
    /// An address of a port that the definition lacks, although a default route depends on it.
    WayIn {
        name: IfName,
        port: IfName,
        prefix: IpPrefix,
    },
}

impl fmt::Display for PlanRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("interface is already running"),
            Self::NotRunning => f.write_str("interface is not running"),
            Self::Missing { name, role } => write!(f, "there is no link {name}, {role}"),
            Self::IsPort { name, master } => {
                write!(f, "{name} is a port of {master}: take it out of there first")
            }
            Self::WrongKind { name, wanted } => {
                write!(f, "{name} already exists and is not a {wanted}")
            }
            Self::Fixed { name, what } => {
                write!(f, "{what} of {name} cannot change while it runs: destroy it first")
            }
            Self::Client { name, client } => {
                write!(f, "the lease of {name} belongs to {client} (process {})", client.pid)?;
                match (&client.keeper, &client.links, client.program) {
                    (Some(keeper), ..) => {
                        write!(f, ", which {keeper} would start again: stop it there first")
                    }
                    (None, ClientLinks::All(_), ClientProgram::Dhcpcd) => {
                        write!(
                            f,
                            ", which is older than version 10 and cannot release a single link: \
                             add 'denyinterfaces {name}' to /etc/dhcpcd.conf and restart it"
                        )
                    }
                    (None, ..) => {
                        f.write_str(": stop it, and start one for each link that needs one")
                    }
                }
            }
            Self::NotAllowed { name, port, client } => write!(
                f,
                "the lease of {port} belongs to {client} (process {}), whose configuration \
                 excludes {name}: allow {name} in /etc/dhcpcd.conf and restart it",
                client.pid
            ),
            Self::Guests { name, guests } => {
                let guests: Vec<_> = guests.iter().map(IfName::as_str).collect();
                let guests = guests.join(", ");
                write!(f, "{name} is in use, and these would be cut off: {guests}")
            }
            Self::WayIn { name, port, prefix } => write!(
                f,
                "a default route leads over {prefix} of {port}, which the definition of {name} \
                 does not have: add the address to the definition, or the host may be out of reach"
            ),
        }
    }
}

impl std::error::Error for PlanRefusal {}

impl From<PlanRefusal> for CallError {
    fn from(refusal: PlanRefusal) -> Self {
        match &refusal {
            PlanRefusal::Missing { name, role } => call_errors::no_link(name, role),
            PlanRefusal::Running
            | PlanRefusal::NotRunning
            | PlanRefusal::IsPort { .. }
            | PlanRefusal::WrongKind { .. }
            | PlanRefusal::Fixed { .. }
            | PlanRefusal::Client { .. }
            | PlanRefusal::NotAllowed { .. }
            | PlanRefusal::Guests { .. }
            | PlanRefusal::WayIn { .. } => {
                Self::new(ErrorCode::OperationInvalid, Domain::Interface, refusal.to_string())
            }
        }
    }
}
