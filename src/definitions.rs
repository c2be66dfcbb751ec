// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the administrator has defined: the interfaces as they should be.
//!
//! Nothing stores definitions yet, so a running daemon's set is empty; what lists and describes
//! interfaces reckons with them all the same.

use std::collections::BTreeMap;

use crate::model::interface::Interface;
use crate::model::name::IfName;

/// All definitions, by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Definitions {
    by_name: BTreeMap<IfName, Interface>,
}

impl Definitions {
    /// The definition of this name.
    pub fn named(&self, name: &IfName) -> Option<&Interface> {
        self.by_name.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.by_name.values()
    }
}

impl FromIterator<Interface> for Definitions {
    fn from_iter<T: IntoIterator<Item = Interface>>(interfaces: T) -> Self {
        let by_name = interfaces.into_iter().map(|interface| (interface.name, interface));
        Self { by_name: by_name.collect() }
    }
}
