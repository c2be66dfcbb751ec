// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`LeftRoute`]: a route that a change cannot move to the new link unchanged, with the reason.
//!
//! A change moves routes to the new link, unless the definition contradicts them. The plan contains
//! the exceptions, so that the log names them before the change begins.

use std::fmt;

use crate::model::address::Family;
use crate::model::name::IfName;
use crate::netlink::record::route::RouteRecord;

/// A route that a change removes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeftRoute {
    /// The link that the route leads through.
    pub from: IfName,
    pub route: RouteRecord,
    /// The link that the route will not lead through.
    pub to: IfName,
    pub reason: Reason,
}

/// The reason why a route is not moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The definition's gateway replaces it.
    OtherGateway,
    /// It was set by an earlier definition, or learnt from a DHCP server or a router, and the
    /// definition has no such source.
    NotDefined,
    /// The definition gives the link no address of the family.
    NoAddress(Family),
    /// No address of the link reaches the gateway.
    Unreachable,
    /// The route's source address is removed.
    SourceGoes,
    /// The route moves, but without this nexthop object, which belongs to the old link.
    Object(u32),
}

impl fmt::Display for LeftRoute {
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
