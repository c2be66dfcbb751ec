// SPDX-License-Identifier: LGPL-2.1-or-later
//! The target of a call by name: a link of the host, a definition, or both.

use crate::call_errors;
use crate::error::CallError;
use crate::handler::World;
use crate::model::address::MacAddr;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::netlink::link::Link;
use crate::proto::interface::InterfaceRef;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Active,
    Inactive,
}

/// One interface in a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) name: IfName,
    pub(super) mac: Option<MacAddr>,
    pub(super) state: State,
}

impl Listed {
    pub(super) fn of_link(link: &Link) -> Self {
        let state = if link.up { State::Active } else { State::Inactive };
        Self { name: link.name, mac: link.mac, state }
    }

    /// A definition without a link.
    pub(super) fn of_definition(definition: &Interface) -> Self {
        Self { name: definition.name, mac: definition.kind.mac(), state: State::Inactive }
    }

    pub(super) fn reference(&self) -> InterfaceRef {
        InterfaceRef { name: self.name, mac: self.mac }
    }
}

/// The link or definition of a name.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Link { link: &'a Link, definition: Option<&'a Interface> },
    Defined(&'a Interface),
}

impl<'a> Target<'a> {
    pub(super) fn named(name: &str, world: &World<'a>) -> Result<Self, CallError> {
        let not_found = || call_errors::no_interface_named(name);
        let name = IfName::new(name).map_err(|_| not_found())?;
        let definition = world.definitions().named(&name);
        match world.host.link_named(&name) {
            Some(link) => Ok(Self::Link { link, definition }),
            None => definition.map(Self::Defined).ok_or_else(not_found),
        }
    }

    pub(super) fn listed(self) -> Listed {
        match self {
            Self::Link { link, .. } => Listed::of_link(link),
            Self::Defined(definition) => Listed::of_definition(definition),
        }
    }

    /// The definition of the name.
    pub(super) fn definition(self) -> Option<&'a Interface> {
        match self {
            Self::Link { definition, .. } => definition,
            Self::Defined(definition) => Some(definition),
        }
    }
}
