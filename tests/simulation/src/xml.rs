// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `xml`: a definition's text; and, read as choices, the bytes of a definition.
//!
//! Formatting a parsed definition and parsing it again yields the same definition, the schema
//! accepts all that the parser accepts, and memory is in proportion to the text. An error is a few
//! lines at most, and not much longer than the text that it quotes.

use crate::interface;
use virtinterfaced::error::CallError;
use virtinterfaced::limits::ERROR_DETAIL_LEN_MAX;
use virtinterfaced::model::interface::Interface;
use virtinterfaced::xml::error::XmlError;
use virtinterfaced::xml::format::format;
use virtinterfaced::xml::parse::{Strictness, remarked};

/// See the module.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let parsed = parse(&text);
    match &parsed {
        Ok(interface) => {
            check_round_trip(interface);
            // No element or value grows much.
            assert!(format(interface).len() <= 16 * text.len(), "{text}");
        }
        Err(err) => {
            let message = CallError::from(err.clone()).message().to_owned();
            assert!(message.len() <= ERROR_DETAIL_LEN_MAX + 100, "{message}");
        }
    }
    if let Ok(valid) = parse_valid(&text) {
        assert_eq!(Ok(valid), parsed, "validity changes nothing");
    }
    check_round_trip(&interface::interface(input));
}

/// The interface that `text` defines.
pub fn parse(text: &str) -> Result<Interface, XmlError> {
    remarked(text, Strictness::Parser).map(|(interface, _)| interface)
}

/// The interface that `text` defines, if it is also valid by libvirt's schema.
pub fn parse_valid(text: &str) -> Result<Interface, XmlError> {
    remarked(text, Strictness::Schema).map(|(interface, _)| interface)
}

fn check_round_trip(interface: &Interface) {
    let text = format(interface);
    let again = parse(&text);
    assert_eq!(again.as_ref(), Ok(interface), "{text}");
    if let Ok(valid) = parse_valid(&text) {
        assert_eq!(valid, *interface, "{text}");
    }
}
