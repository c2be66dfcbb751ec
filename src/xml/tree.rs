// SPDX-License-Identifier: LGPL-2.1-or-later
//! Text to a tree of [`Element`]s, by xml-rs.
//!
//! Knows XML 1.0 and nothing of interfaces. Length, depth, elements and attributes are bounded, so
//! that no client can exhaust memory or delay a turn. There is no document type, so no entity but
//! the five of XML, and no external text is read. A name with a namespace is kept in a form that no
//! rule of ours has.

use std::iter;

use ::xml::common::{Position, TextPosition};
use ::xml::name::OwnedName;
use ::xml::reader::{Error, EventReader, ParserConfig2, XmlEvent};

use crate::limits::{
    XML_ATTRIBUTE_COUNT_MAX, XML_DEPTH_MAX, XML_ELEMENT_COUNT_MAX, XML_EXCERPT_LEN_MAX, XML_LEN_MAX,
};
use crate::xml::error::SyntaxError;

/// One element with its contents, without comments and processing instructions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    /// The line where it begins, counted from 1.
    pub(super) line: usize,
    pub(super) attributes: Vec<XmlAttribute>,
    pub(super) children: Vec<Element>,
    /// Whether there is text between its tags that is not blank.
    pub(super) has_text: bool,
}

/// One attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct XmlAttribute {
    pub(super) name: String,
    pub(super) value: String,
}

impl Element {
    /// The attribute's value, which may be empty.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let attribute = self.attributes.iter().find(|attribute| attribute.name == name)?;
        Some(&attribute.value)
    }

    /// The children of this name.
    pub(super) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// The root element.
pub(super) fn parse(text: &str) -> Result<Element, SyntaxError> {
    if text.is_empty() {
        // The texts are libvirt's.
        return Err(SyntaxError {
            line: 1,
            message: "Document is empty".to_owned(),
            excerpt: "(null)".to_owned(),
            pointer: "^".to_owned(),
        });
    }
    let start = TextPosition::new();
    if text.len() > XML_LEN_MAX {
        return Err(syntax_error(text, start, over("bytes", XML_LEN_MAX)));
    }
    if let Some(at) = doctype_at(text) {
        let row = text.get(..at).unwrap_or_default().matches('\n').count();
        let position = TextPosition { row: u64::try_from(row).unwrap_or_default(), column: 0 };
        return Err(syntax_error(text, position, NO_DOCTYPE.to_owned()));
    }
    let config = ParserConfig2::new()
        // The text has been decoded: a declaration of another encoding is a contradiction.
        .override_encoding(Some(::xml::Encoding::Utf8))
        .allow_multiple_root_elements(false)
        .max_entity_expansion_length(0)
        .max_entity_expansion_depth(0);
    let mut reader = EventReader::new_with_config(text.as_bytes(), config);
    let mut builder = TreeBuilder::default();
    loop {
        let event = reader.next().map_err(|err| from_reader(text, &err))?;
        let at = reader.position();
        if reader.doctype().is_some() {
            return Err(syntax_error(text, at, NO_DOCTYPE.to_owned()));
        }
        match builder.take(event, at) {
            Ok(TreeEvent::More) => {}
            Ok(TreeEvent::Done(root)) => return Ok(root),
            Err(message) => return Err(syntax_error(text, at, message)),
        }
    }
}

const NO_DOCTYPE: &str = "a document type declaration is not supported";

/// Where the document type declaration begins, if there is one before the root element.
fn doctype_at(text: &str) -> Option<usize> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let (inside, end) = if let Some(inside) = rest.strip_prefix("<!--") {
            (inside, "-->")
        } else if let Some(inside) = rest.strip_prefix("<?") {
            (inside, "?>")
        } else {
            return rest.starts_with("<!DOCTYPE").then_some(text.len() - rest.len());
        };
        (_, rest) = inside.split_once(end)?;
    }
}

/// A tree that is being built.
#[derive(Debug, Default)]
struct TreeBuilder {
    /// Elements whose end has not come, the root first.
    open: Vec<Element>,
    root: Option<Element>,
    element_count: usize,
}

/// The result of an event.
enum TreeEvent {
    More,
    Done(Element),
}

impl TreeBuilder {
    /// Takes the next event, which begins at `at`; an error names the bound that is exceeded.
    fn take(&mut self, event: XmlEvent, at: TextPosition) -> Result<TreeEvent, String> {
        match event {
            XmlEvent::StartElement { name, attributes, namespace } => {
                // Declarations of namespaces are not among the attributes, and each element's event
                // has all that are in scope. They are bounded as well, so they cannot multiply.
                if attributes.len() > XML_ATTRIBUTE_COUNT_MAX
                    || namespace.0.len() > XML_ATTRIBUTE_COUNT_MAX
                {
                    return Err(over("attributes of one element", XML_ATTRIBUTE_COUNT_MAX));
                }
                let attributes = attributes.into_iter().map(|attribute| XmlAttribute {
                    name: known_by(attribute.name),
                    value: attribute.value,
                });
                self.open(Element {
                    name: known_by(name),
                    line: line_number(at),
                    attributes: attributes.collect(),
                    children: Vec::new(),
                    has_text: false,
                })?;
            }
            XmlEvent::EndElement { .. } => self.close(),
            XmlEvent::Characters(text) | XmlEvent::CData(text) => {
                let is_blank =
                    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
                if let Some(element) = self.open.last_mut() {
                    element.has_text |= !is_blank;
                }
            }
            XmlEvent::EndDocument => {
                let root = self.root.take().ok_or("there is no element")?;
                return Ok(TreeEvent::Done(root));
            }
            XmlEvent::StartDocument { .. }
            | XmlEvent::ProcessingInstruction { .. }
            | XmlEvent::Comment(_)
            | XmlEvent::Whitespace(_) => {}
        }
        Ok(TreeEvent::More)
    }

    fn open(&mut self, element: Element) -> Result<(), String> {
        self.element_count += 1;
        if self.element_count > XML_ELEMENT_COUNT_MAX {
            return Err(over("elements", XML_ELEMENT_COUNT_MAX));
        }
        if self.open.len() >= XML_DEPTH_MAX {
            return Err(over("elements within each other", XML_DEPTH_MAX));
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }
}

fn over(what: &str, max: usize) -> String {
    format!("more than {max} {what} are not supported")
}

/// A name without a namespace unchanged; one with a namespace has that in braces, which no name
/// contains.
fn known_by(name: OwnedName) -> String {
    match name.namespace {
        Some(namespace) => format!("{{{namespace}}}{}", name.local_name),
        None => name.local_name,
    }
}

fn line_number(at: TextPosition) -> usize {
    usize::try_from(at.row).unwrap_or(usize::MAX).saturating_add(1)
}

fn from_reader(text: &str, err: &Error) -> SyntaxError {
    // The part behind the position; in a message of several lines the first explains it.
    let shown = err.to_string();
    let message = shown.split_once(' ').map_or(shown.as_str(), |(_, message)| message);
    let message = message.lines().next().unwrap_or_default();
    // It quotes the unexpected text, with characters that could control a terminal.
    syntax_error(text, err.position(), message.chars().map(printable).collect())
}

fn syntax_error(text: &str, at: TextPosition, message: String) -> SyntaxError {
    let line = line_number(at);
    let lines: Vec<_> =
        text.split('\n').map(|line| line.trim_end_matches('\r')).take(line).collect();
    // At the end of a text, its last part is shown.
    let shown = lines.last().copied().filter(|last| !last.is_empty());
    let (shown, column) = match shown {
        Some(shown) => (shown, usize::try_from(at.column).unwrap_or(usize::MAX)),
        None => (lines.into_iter().rfind(|line| !line.is_empty()).unwrap_or_default(), usize::MAX),
    };
    let column = column.min(shown.chars().count());
    // Of a long line, the part before the place and a little behind it.
    let skipped = column.saturating_sub(XML_EXCERPT_LEN_MAX / 2);
    let shown = shown.chars().skip(skipped).take(XML_EXCERPT_LEN_MAX);
    let excerpt: String = shown.map(|c| if c == '\t' { c } else { printable(c) }).collect();
    let under = |c| if c == '\t' { '\t' } else { '-' };
    let dashes = excerpt.chars().take(column - skipped).map(under);
    let pointer = dashes.chain(iter::once('^')).collect();
    SyntaxError { line, message, excerpt, pointer }
}

fn printable(c: char) -> char {
    if c.is_control() { '?' } else { c }
}

#[cfg(test)]
mod tests;
