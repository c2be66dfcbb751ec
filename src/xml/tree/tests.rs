// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of bounds, positions, and constructions that a document may not have.

use std::fmt::Write as _;

use super::*;

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn an_element_keeps_its_attributes_children_and_line() {
    let text = "<?xml version='1.0'?>\n<!-- a -->\n<a x='1&amp;&#65;' y=''>\n\t<b/> <c>t</c>\n<b\nz='2'/></a>";
    let root = parse(text).unwrap();
    assert_eq!((root.name.as_str(), root.line, root.has_text), ("a", 3, false));
    assert_eq!((root.attribute("x"), root.attribute("y")), (Some("1&A"), Some("")));
    assert_eq!(root.attribute("z"), None);
    let lines: Vec<_> = root.children("b").map(|child| child.line).collect();
    assert_eq!(lines, [4, 5]);
    assert!(root.child("c").unwrap().has_text);
}

#[test]
fn a_namespace_makes_a_name_another() {
    let root = parse("<a xmlns:n='u' x='1' n:x='2'><n:b/><b xmlns='v'/></a>").unwrap();
    assert_eq!(root.attribute("x"), Some("1"));
    let names: Vec<_> = root.children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["{u}b", "{v}b"]);
}

#[test]
fn an_error_shows_its_line_and_place() {
    assert_eq!(error(""), "at line 1: Document is empty\n(null)\n^");
    let text = error("<a>\n\t<b>&x;</b>\n</a>");
    assert_eq!(text, "at line 2: Unexpected entity: x\n\t<b>&x;</b>\n\t-----^");
    let text = error("<a>\r\n<b>\r\n</a>\r\n");
    assert!(text.starts_with("at line 3: Unexpected closing tag: a != b\n</a>\n"), "{text}");
}

#[test]
fn of_a_long_line_what_is_about_the_place_is_shown() {
    let excerpt = |text: &str| parse(text).unwrap_err().excerpt;
    let long = format!("<a x='{}' &/>", "ä".repeat(XML_EXCERPT_LEN_MAX));
    assert_eq!(excerpt(&long).chars().count(), XML_EXCERPT_LEN_MAX / 2 + 3);
    assert!(excerpt(&long).ends_with(" &/>"));
    let at_start = |len| format!("<a &{}", "x".repeat(len));
    assert_eq!(excerpt(&at_start(XML_EXCERPT_LEN_MAX - 4)).len(), XML_EXCERPT_LEN_MAX);
    assert_eq!(excerpt(&at_start(XML_EXCERPT_LEN_MAX - 3)).len(), XML_EXCERPT_LEN_MAX);
}

#[test]
fn there_is_no_document_type_and_no_entity_of_ones_own() {
    for text in [
        "<!DOCTYPE a><a/>",
        "<?xml version='1.0'?><!-- <a/> -->\n <!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        "\u{feff}<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<?p?><!DOCTYPE a [<!ENTITY % x SYSTEM 'http://x/'> %x;]><a/>",
    ] {
        assert!(error(text).contains("a document type declaration is not supported"), "{text}");
    }
    assert!(error("<a/><!DOCTYPE a>").contains("at line 1: Unexpected token"));
    assert!(error("<a>&nbsp;</a>").contains("Unexpected entity: nbsp"));
    assert!(error("<a x='&#1;'/>").contains("Invalid character"));
    assert!(parse("<a><!-- <!DOCTYPE a> --></a>").is_ok());
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for text in [
        " ",
        "a",
        "<a",
        "<a>",
        "</a>",
        "<a/><b/>",
        "<a/>x",
        "<a x='1' x='2'/>",
        "<a x=1/>",
        "<a x='<'/>",
        "<n:a/>",
        "<a n:x='1'/>",
        "<a>\u{1}</a>",
        "<a x='\0'/>",
        "<?xml version='1.0' encoding='iso-8859-1'?><a/>",
        "<a><![CDATA[</a>",
    ] {
        assert!(error(text).starts_with("at line 1: "), "{text}");
    }
}

#[test]
fn a_document_has_at_most_so_many_bytes() {
    let padded = |len: usize| format!("<a>{}</a>", " ".repeat(len - 7));
    assert!(parse(&padded(XML_LEN_MAX)).is_ok());
    assert!(error(&padded(XML_LEN_MAX + 1)).contains("more than 262144 bytes"));
}

#[test]
fn a_document_has_at_most_so_many_elements() {
    let with = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count - 1));
    assert!(parse(&with(XML_ELEMENT_COUNT_MAX)).is_ok());
    assert!(error(&with(XML_ELEMENT_COUNT_MAX + 1)).contains("more than 8192 elements"));
}

#[test]
fn elements_are_at_most_so_deep_within_each_other() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(parse(&nested(XML_DEPTH_MAX)).is_ok());
    assert!(error(&nested(XML_DEPTH_MAX + 1)).contains("more than 32 elements within each other"));
}

#[test]
fn an_element_has_at_most_so_many_attributes_and_namespaces() {
    let with = |prefix: &str, count: usize| {
        let mut text = "<a".to_owned();
        (0..count).for_each(|number| write!(text, " {prefix}{number}='u'").unwrap());
        text + "/>"
    };
    assert!(parse(&with("x", XML_ATTRIBUTE_COUNT_MAX)).is_ok());
    assert!(error(&with("x", XML_ATTRIBUTE_COUNT_MAX + 1)).contains("more than 32 attributes"));
    // Each element can use xml, xmlns and the absence of a namespace.
    let own = 3;
    assert!(parse(&with("xmlns:n", XML_ATTRIBUTE_COUNT_MAX - own)).is_ok());
    let many = with("xmlns:n", XML_ATTRIBUTE_COUNT_MAX - own + 1);
    assert!(error(&many).contains("more than 32 attributes"));
}
