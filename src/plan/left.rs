// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Left`]: a route that does not go along with a change as it is, and why.
//!
//! A change gives a link what the links before it had, unless its definition contradicts that. What
//! cannot go along is part of the plan, so that the log names it before anything is done.

use std::fmt;

use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::record::route::RouteRecord;

/// A route that a change takes away.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Left {
    /// The link that it leads through.
    pub from: IfName,
    pub route: RouteRecord,
    /// The link through which it does not lead then.
    pub to: IfName,
    pub reason: Reason,
}

/// Why a route does not go along.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The definition's gateway stands in its place.
    OtherGateway,
    /// An earlier definition's gateway, or what a DHCP server or a router has told: the definition has
    /// none of these.
    NotDefined,
    /// The definition gives the link no address of the family.
    NoAddress(Family),
    /// No address of the link reaches the gateway.
    Unreachable,
    /// The address that it gives to packets goes.
    SourceGoes,
    /// It goes along, but not over the nexthop object of this number, which belongs to the link before.
    Object(u32),
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, route, to, reason } = self;
        if let Reason::Object(id) = reason {
            return write!(
                f,
                "route {route} of {from} leads through {to} without nexthop object {id}"
            );
        }
        match from == to {
            true => write!(f, "route {route} of {from} is removed: ")?,
            false => write!(f, "route {route} of {from} is not carried over to {to}: ")?,
        }
        match reason {
            Reason::OtherGateway => write!(f, "{to} is defined with another gateway"),
            Reason::NotDefined => write!(f, "the definition of {to} does not have it"),
            Reason::NoAddress(family) => {
                write!(f, "{to} is defined without an address of {}", family.as_str())
            }
            Reason::Unreachable => write!(f, "no address of {to} reaches its gateway"),
            Reason::Object(_) => Ok(()),
            Reason::SourceGoes => write!(f, "its source address is removed"),
        }
    }
}
