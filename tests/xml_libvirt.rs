// SPDX-License-Identifier: LGPL-2.1-or-later
//! The fixtures of `golden_xml.rs` and variants of them, checked by libvirt itself and by its
//! schema.
//!
//! libvirt's test driver parses and formats with libvirt's own code, in the client process. The
//! partner of a fixture must equal libvirt's answer. For fixtures whose names begin with `ours-` it
//! must differ, so the prefix is used only where necessary. For names that begin with `syntax-`,
//! only the error code must be the same, as libvirt's XML parser has messages of its own.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it did not run"
)]

#[path = "support/golden.rs"]
mod golden;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "support/random.rs"]
mod random;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use golden::pairs;
use simulation::interface;
use simulation::xml::parse;
use simulation::xml::parse_valid;
use support::command::{command, run_with_input};
use support::namespace::{is_installed, skip};
use virtinterfaced::error::CallError;
use virtinterfaced::xml::error::XmlError;
use virtinterfaced::xml::format::format;

const SCHEMA: &str = "/usr/share/libvirt/schemas/interface.rng";
const PYTHON: &str = "/usr/bin/python3";

/// Defines each file, and prints the result in the format of a partner.
const DEFINE: &str = r#"
import sys
import libvirt

libvirt.registerErrorHandler(lambda context, error: None, None)
connection = libvirt.open("test:///default")
flags, paths = int(sys.argv[1]), sys.argv[2:]
for path in paths:
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    try:
        answer = connection.interfaceDefineXML(text, flags).XMLDesc()
    except libvirt.libvirtError as err:
        code, domain = err.get_error_code(), err.get_error_domain()
        answer = f"{code}/{domain}\n{err.get_error_message()}\n"
    sys.stdout.write(answer + "\0")
"#;

/// VIR_INTERFACE_DEFINE_VALIDATE.
const VALIDATE: &str = "1";

/// libvirt's result for each file; `None` if libvirt is not installed.
fn ask_libvirt<'a>(
    flags: &str,
    paths: impl ExactSizeIterator<Item = &'a PathBuf>,
) -> Option<Vec<String>> {
    let count = paths.len();
    let has_binding = command(PYTHON).args(["-c", "import libvirt"]).output();
    if !has_binding.is_ok_and(|output| output.status.success()) {
        skip(&format!("{PYTHON} lacks its libvirt binding"));
        return None;
    }
    let mut python = command(PYTHON);
    python.args(["-", flags]).args(paths);
    let answer = run_with_input(&mut python, DEFINE).ok();
    let answer: Vec<_> = answer.split_terminator('\0').map(str::to_owned).collect();
    assert_eq!(answer.len(), count, "each file was judged");
    Some(answer)
}

fn check_against_libvirt(folder: &str, partner: &str) {
    let pairs = pairs(folder, ".xml", partner);
    let Some(answer) = ask_libvirt("0", pairs.iter().map(|pair| &pair.given)) else { return };
    for (pair, answer) in pairs.iter().zip(answer) {
        let expected = fs::read_to_string(&pair.expected).unwrap();
        if pair.name.starts_with("ours-") {
            assert_ne!(answer, expected, "{}: libvirt says the same", pair.name);
        } else if pair.name.starts_with("syntax-") {
            assert_eq!(answer.lines().next(), expected.lines().next(), "{}: {answer}", pair.name);
        } else {
            assert_eq!(answer, expected, "{}", pair.name);
        }
    }
}

#[test]
fn valid_xml_is_formatted_as_by_libvirt() {
    check_against_libvirt("xml/valid", ".out.xml");
}

#[test]
fn xml_that_libvirt_refuses_is_refused_with_its_messages() {
    check_against_libvirt("xml/invalid", ".err");
}

#[test]
fn xml_that_the_schema_forbids_is_refused_by_libvirt_too() {
    let pairs = pairs("xml/schema", ".xml", ".err");
    let Some(answer) = ask_libvirt(VALIDATE, pairs.iter().map(|pair| &pair.given)) else { return };
    for (pair, answer) in pairs.iter().zip(answer) {
        // The further lines are the validator's own.
        let expected = fs::read_to_string(&pair.expected).unwrap();
        let head = |text: &str| text.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(head(&answer), head(&expected), "{}", pair.name);
    }
}

/// Whether `xml::schema` accepts a text; `None` if it is not well-formed XML.
fn is_valid(text: &str) -> Option<bool> {
    match parse_valid(text) {
        Err(XmlError::Syntax(_)) => None,
        Err(XmlError::Root { .. } | XmlError::Schema { .. }) => Some(false),
        Ok(_)
        | Err(
            XmlError::Missing { .. }
            | XmlError::Value { .. }
            | XmlError::Interface(_)
            | XmlError::Flaw { .. },
        ) => Some(true),
    }
}

/// Texts at the edges of the schema's datatypes.
const VALUES: [&str; 68] = [
    "",
    " ",
    "0",
    "1",
    "-1",
    "-0",
    "+1",
    "007",
    " 7 ",
    "7&#10;",
    "32",
    "33",
    "128",
    "129",
    "4095",
    "4096",
    "4294967295",
    "4294967296",
    "0x10",
    "1.5",
    ".5",
    "5.",
    "1e3",
    "1e",
    "1e+",
    "e1",
    "INF",
    "-INF",
    "NaN",
    "-0.0",
    "-1e-400",
    "1e400",
    ".",
    "1.2.3",
    "on",
    " on ",
    "ON",
    "yes",
    "none",
    "up",
    "all",
    "netif",
    "802.3ad",
    "ethernet",
    " bridge",
    "vlan&#9;",
    "bond",
    "ipv4",
    "ipv6 ",
    "192.0.2.1",
    "192.0.2.256",
    "192.0.02.1",
    "192.0.2",
    "::",
    "::1",
    ":192.0.2.1",
    "::192.0.2.1",
    "fe80::1%eth0",
    "52:54:00:AB:cd:ef",
    "52:54:00:00:00",
    "53:54:00:00:00:01",
    "eth0",
    "eth 0",
    "a\\b:c/d.e-f_",
    "größe",
    "eth@0",
    "urn:x",
    "192.0.2.1 ",
];

/// Addresses, and texts that resemble them: groups before and after every kind of gap, and every
/// kind of tail.
///
/// None has a group of more than four digits before a gap: libxml2 miscounts there and accepts it,
/// although the pattern does not.
fn addresses() -> Vec<String> {
    let mut addresses = Vec::new();
    for before in 0..9 {
        for gap in ["", ":", "::"] {
            for behind in 0..9 {
                for tail in ["", "1", "192.0.2.1"] {
                    let (before, behind) = ("ab:".repeat(before), "0:".repeat(behind));
                    addresses.push(format!("{before}{gap}{behind}{tail}"));
                }
            }
        }
    }
    addresses.extend(["g::", "::192.0.2.256", "::1 ", "1:2:3:4:5:6:7:88888"].map(str::to_owned));
    addresses
}

fn value(rng: &mut Rng) -> &'static str {
    VALUES[rng.usize(..VALUES.len())]
}

/// The positions of a text's tags.
fn tags(text: &str) -> Vec<(usize, usize)> {
    let starts = text.match_indices('<').map(|(start, _)| start);
    starts.filter_map(|start| Some((start, start + text[start..].find('>')? + 1))).collect()
}

/// The text with one change: a value or an attribute changed, or a tag without an end tag removed,
/// doubled or moved.
fn mutate(rng: &mut Rng, text: &str, others: &[String]) -> String {
    let tags = tags(text);
    let Some(&(start, end)) = tags.get(rng.usize(..tags.len().max(1))) else {
        return text.to_owned();
    };
    let (before, tag, behind) = (&text[..start], &text[start..end], &text[end..]);
    let quoted: Vec<_> = tag.match_indices(['\'', '"']).map(|(at, _)| at).collect();
    let pair = quoted.chunks_exact(2).nth(rng.usize(..quoted.len() / 2 + 1));
    match (rng.u8(..8), pair) {
        (0..=3, Some(pair)) => {
            let value = value(rng);
            format!("{before}{}{value}{}{behind}", &tag[..=pair[0]], &tag[pair[1]..])
        }
        (4, Some(pair)) => {
            let name = tag[..pair[0]].rfind([' ', '\n', '\t']).unwrap_or(1);
            format!("{before}{}{}{behind}", &tag[..name], &tag[pair[1] + 1..])
        }
        (5, _) if tag.ends_with("/>") => format!("{before}{behind}"),
        (6, _) => {
            let other = &others[rng.usize(..others.len())];
            let leaves: Vec<_> = self::tags(other)
                .into_iter()
                .filter(|(start, end)| other[*start..*end].ends_with("/>"))
                .collect();
            let leaf = leaves.get(rng.usize(..leaves.len() + 1));
            let leaf = leaf.map_or("text", |(start, end)| &other[*start..*end]);
            format!("{before}{tag}{leaf}{behind}")
        }
        _ => format!("{before}{tag}<!-- {} -->{behind}", rng.u8(..)),
    }
}

/// All fixtures, formatted random definitions, all forms of addresses, and mutations of them.
fn documents(rng: &mut Rng) -> Vec<String> {
    let folders = [("xml/valid", ".out.xml"), ("xml/invalid", ".err"), ("xml/schema", ".err")];
    let mut documents = Vec::new();
    for (folder, partner) in folders {
        let texts = pairs(folder, ".xml", partner).into_iter().map(|pair| pair.given);
        documents.extend(texts.map(|path| fs::read_to_string(path).unwrap()));
    }
    let mut bytes = [0; 100];
    for _ in 0..150 {
        rng.fill(&mut bytes);
        documents.push(format(&interface::interface(&bytes)));
    }
    documents.extend(addresses().into_iter().map(|address| {
        format!(
            "<interface type='ethernet' name='a'><protocol family='ipv6'><ip address='{address}'/>\
             </protocol></interface>"
        )
    }));
    // The XML tree's own tests cover texts that are not well-formed.
    documents.retain(|text| is_valid(text).is_some());
    // In an invalid document, a further error would go unnoticed.
    let all = documents.clone();
    let valid: Vec<_> = all.iter().filter(|text| is_valid(text) == Some(true)).collect();
    for _ in 0..2000 {
        let mut text = valid[rng.usize(..valid.len())].clone();
        for _ in 0..rng.u8(1..3) {
            text = mutate(rng, &text, &all);
        }
        documents.push(text);
    }
    documents.retain(|text| is_valid(text).is_some());
    documents
}

/// Writes each document into a directory of this test.
fn write_all(folder: &Path, documents: &[String]) -> Vec<PathBuf> {
    fs::create_dir_all(folder).unwrap();
    let write = |(number, text): (usize, &String)| {
        let path = folder.join(format!("{number}.xml"));
        fs::write(&path, text).unwrap();
        path
    };
    documents.iter().enumerate().map(write).collect()
}

/// A directory that no other test uses, and the seed of its content.
fn folder_and_seed(test: &str) -> (PathBuf, u64) {
    let seed = random::seed("XML_SEED");
    println!("XML_SEED={seed}");
    (Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{seed}")), seed)
}

#[test]
fn the_table_of_the_schema_says_what_the_schema_says() {
    let is_there = |path| Path::new(path).exists();
    if !is_installed("/usr/bin/xmllint") || !is_there(SCHEMA) {
        return skip(&format!("xmllint or {SCHEMA} is missing"));
    }
    let (folder, seed) = folder_and_seed("xml-schema");
    let documents = documents(&mut Rng::with_seed(seed));
    let files = write_all(&folder, &documents);
    let mut counts = [0, 0];
    for files in files.chunks(1000) {
        for (path, valid) in judge(files) {
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(is_valid(&text), Some(valid), "seed {seed}, {}:\n{text}", path.display());
            counts[usize::from(valid)] += 1;
        }
    }
    assert_eq!(counts[0] + counts[1], documents.len(), "each document was judged");
    assert!(counts.iter().all(|count| *count > 500), "both verdicts are tried: {counts:?}");
    fs::remove_dir_all(folder).unwrap();
}

/// libvirt accepts each document that we accept, and refuses with the same message each one that we
/// refuse with one of its messages.
#[test]
fn variants_of_the_fixtures_are_handled_as_by_libvirt() {
    let (folder, seed) = folder_and_seed("xml-libvirt");
    let mut documents = documents(&mut Rng::with_seed(seed));
    // We do not support namespaces at all.
    documents.retain(|text| !text.contains("xmlns"));
    let files = write_all(&folder, &documents);
    let mut judged = 0;
    for (files, texts) in files.chunks(1000).zip(documents.chunks(1000)) {
        let Some(answer) = ask_libvirt("0", files.iter()) else { break };
        for (text, answer) in texts.iter().zip(answer) {
            let expected = match parse(text) {
                Ok(_) => "<interface ".to_owned(),
                Err(XmlError::Flaw { .. }) => continue,
                Err(err) => format!("\n{}\n", CallError::from(err).message()),
            };
            assert!(answer.contains(&expected), "seed {seed}: {expected}, but {answer}\n{text}");
            judged += 1;
        }
    }
    // No document is judged if libvirt is not installed.
    let most = documents.len() / 2;
    assert!(judged == 0 || judged > most, "most documents are comparable: {judged}");
    fs::remove_dir_all(folder).unwrap();
}

/// Whether xmllint finds each file valid.
fn judge(files: &[PathBuf]) -> Vec<(PathBuf, bool)> {
    let output = Command::new("xmllint")
        .args(["--noout", "--relaxng", SCHEMA])
        .args(files)
        .output()
        .unwrap();
    let verdicts = String::from_utf8(output.stderr).unwrap();
    let verdict = |line: &str| {
        let valid = line.strip_suffix(" validates").map(|path| (path.into(), true));
        valid.or_else(|| line.strip_suffix(" fails to validate").map(|path| (path.into(), false)))
    };
    verdicts.lines().filter_map(verdict).collect()
}
