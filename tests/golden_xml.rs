// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions and the results of parsing them: the canonical XML of valid ones; code, domain and
//! message of the error of invalid ones.
//!
//! The names of fixtures show where libvirt's own parser answers differently; see `xml_libvirt.rs`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "support/golden.rs"]
mod golden;

use golden::{compare_texts, pairs};
use simulation::xml::parse;
use simulation::xml::parse_valid;
use virtinterfaced::error::CallError;
use virtinterfaced::model::interface::Interface;
use virtinterfaced::xml::error::XmlError;
use virtinterfaced::xml::format::format;

/// Canonical XML, or an error in the format of its file.
fn told(outcome: Result<Interface, XmlError>) -> String {
    match outcome {
        Ok(interface) => format(&interface),
        Err(err) => {
            let err = CallError::from(err);
            let (code, domain) = (err.code() as i32, err.domain() as i32);
            format!("{code}/{domain}\n{}\n", err.message())
        }
    }
}

#[test]
fn a_valid_definition_becomes_the_file_beside_it() {
    compare_texts("xml/valid", ".xml", ".out.xml", |text| told(parse(text)));
}

#[test]
fn formatted_xml_is_parsed_and_formatted_to_the_same_text() {
    for pair in pairs("xml/valid", ".xml", ".out.xml") {
        let text = std::fs::read_to_string(pair.expected).unwrap();
        assert_eq!(told(parse(&text)), text, "{}", pair.name);
    }
}

#[test]
fn an_invalid_definition_fails_as_the_file_beside_it_says() {
    compare_texts("xml/invalid", ".xml", ".err", |text| told(parse(text)));
}

#[test]
fn invalid_xml_is_refused_if_validation_is_requested() {
    compare_texts("xml/schema", ".xml", ".err", |text| told(parse_valid(text)));
}

#[test]
fn validity_is_asked_after_the_roots_name_and_before_the_rest() {
    for pair in pairs("xml/invalid", ".xml", ".err") {
        let text = std::fs::read_to_string(pair.given).unwrap();
        match parse_valid(&text) {
            Err(XmlError::Schema { .. }) => {}
            other => assert_eq!(told(other), told(parse(&text)), "{}", pair.name),
        }
    }
    let root = XmlError::Root { found: "x".to_owned() };
    assert_eq!(parse_valid("<x><y/></x>"), Err(root));
}
