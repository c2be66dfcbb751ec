// SPDX-License-Identifier: LGPL-2.1-or-later
//! Our own format: one XML file per interface, `NAME.xml`.
//!
//! Knows names and bytes, no folder. Whatever a file contains, it is either the definition of the
//! interface after which the file is named, or it is broken and says why.

use std::fmt;

use crate::definitions::Entry;
use crate::limits::DEFINITION_LEN_MAX;
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::xml::parse::{self, Strictness};

/// What makes an interface of a file's text, or says why it cannot.
pub type ParseDefinition = fn(&str) -> Result<Interface, String>;

/// Reads libvirt's XML, as definitions are written in it.
pub fn parse(text: &str) -> Result<Interface, String> {
    parse::parse(text).map_err(|err| err.to_string())
}

/// What the author of a definition that is in use should know of how it is read.
pub(crate) fn remarks(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).ok();
    let read = text.and_then(|text| parse::remarked(text, Strictness::Parser).ok());
    read.map(|(_, remarks)| remarks.texts().collect()).unwrap_or_default()
}

const SUFFIX: &str = ".xml";

/// Why bytes are no definition of their file's name.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Flaw {
    TooLong,
    NotText,
    Xml(String),
    /// The definition of another interface.
    Misnamed(IfName),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it has more than {DEFINITION_LEN_MAX} bytes"),
            Self::NotText => f.write_str("it is not UTF-8"),
            Self::Xml(reason) => f.write_str(reason),
            Self::Misnamed(name) => write!(f, "it defines {name}, whose file is {name}{SUFFIX}"),
        }
    }
}

/// The file of a definition; `None` for a name with a dot in front: files that begin with one are
/// not ours, but the traces of editors and of interrupted writes.
pub fn file_name(name: &IfName) -> Option<String> {
    let name = name.as_str();
    (!name.starts_with('.')).then(|| format!("{name}{SUFFIX}"))
}

/// The name whose definition such a file is; `None` for a file that is not ours.
pub fn name_of(file_name: &[u8]) -> Option<IfName> {
    let name = file_name.strip_suffix(SUFFIX.as_bytes())?;
    if name.starts_with(b".") {
        return None;
    }
    IfName::new(name).ok()
}

/// What the bytes of the file of `name` mean.
pub fn read(name: IfName, bytes: Vec<u8>, parse: ParseDefinition) -> Entry {
    match interface(name, &bytes, parse) {
        Ok(interface) => Entry::Defined { interface, bytes },
        Err(flaw) => Entry::Broken { bytes, reason: flaw.to_string() },
    }
}

fn interface(name: IfName, bytes: &[u8], parse: ParseDefinition) -> Result<Interface, Flaw> {
    if u64::try_from(bytes.len()).is_ok_and(|len| len > DEFINITION_LEN_MAX) {
        return Err(Flaw::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw::NotText)?;
    let interface = parse(text).map_err(|reason| Flaw::Xml(one_line(&reason)))?;
    if interface.name != name {
        return Err(Flaw::Misnamed(interface.name));
    }
    Ok(interface)
}

/// A parser may show the place of an error in lines of its own; a reason is for a line in the log.
fn one_line(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::interface::{Ethernet, Kind};

    fn name(name: &str) -> IfName {
        IfName::new(name).unwrap()
    }

    fn ethernet(of: &str) -> Interface {
        let kind = Kind::Ethernet(Ethernet::default());
        Interface { name: name(of), start: None, mtu: None, protocols: vec![], kind }
    }

    #[test]
    fn a_file_is_named_after_its_interface_or_is_none_of_ours() {
        struct Case(&'static [u8], Option<&'static str>);
        let cases = [
            Case(b"eth0.xml", Some("eth0")),
            Case(b"eth0.100.xml", Some("eth0.100")),
            Case(b"a.xml.xml", Some("a.xml")),
            Case(b"veth0@if2.xml", Some("veth0@if2")),
            Case("brücke.xml".as_bytes(), Some("brücke")),
            Case(b"123456789012345.xml", Some("123456789012345")),
            Case(b"1234567890123456.xml", None),
            Case(b"eth0.XML", None),
            Case(b"eth0", None),
            Case(b"eth0.xml~", None),
            Case(b"eth0.xml.rpmsave", None),
            Case(b".eth0.xml", None),
            Case(b".#eth0.xml", None),
            Case(b".xml", None),
            Case(b"..xml", None),
            Case(b"...xml", None),
            Case(b"two words.xml", None),
            Case(b"\xff.xml", None),
            Case(b"", None),
        ];
        for Case(file, want) in cases {
            let found = name_of(file);
            assert_eq!(found, want.map(name), "{}", file.escape_ascii());
            if let Some(found) = found {
                assert_eq!(file_name(&found).unwrap().as_bytes(), file);
            }
        }
    }

    #[test]
    fn a_name_with_a_dot_in_front_has_no_file() {
        assert_eq!(file_name(&name(".hidden")), None);
        assert_eq!(file_name(&name("...")), None);
    }

    #[test]
    fn a_file_is_the_definition_of_its_name_or_broken_for_a_reason() {
        let len_max = usize::try_from(DEFINITION_LEN_MAX).unwrap();
        let parse: ParseDefinition = |text| match text.trim_end() {
            "bad" => Err("line 1:\tbad\nbad\n---^".to_owned()),
            of => Ok(ethernet(of)),
        };
        let full = format!("eth0{}", " ".repeat(len_max - 4));
        struct Case<'a>(&'static str, &'a [u8], Result<(), &'static str>);
        let over = format!("{full} ");
        let cases = [
            Case("its own", b"eth0", Ok(())),
            Case("as long as allowed", full.as_bytes(), Ok(())),
            Case("one byte longer", over.as_bytes(), Err("it has more than 262144 bytes")),
            Case("not text", b"eth0\xff", Err("it is not UTF-8")),
            Case("no XML", b"bad", Err("line 1: bad")),
            Case("another's", b"br0", Err("it defines br0, whose file is br0.xml")),
        ];
        for Case(label, bytes, want) in cases {
            let bytes = bytes.to_vec();
            let want = match want {
                Ok(()) => Entry::Defined { interface: ethernet("eth0"), bytes: bytes.clone() },
                Err(reason) => Entry::Broken { bytes: bytes.clone(), reason: reason.to_owned() },
            };
            assert_eq!(read(name("eth0"), bytes, parse), want, "{label}");
        }
    }
}
