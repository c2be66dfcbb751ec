// SPDX-License-Identifier: LGPL-2.1-or-later
//! The table of tests is complete, and a name of a test file has one meaning.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{ROOT, read};

/// Names of two files that have the same subject, in two programs.
const SHARED_NAMES: [&str; 14] = [
    "advertised.rs",
    "bridge_vlans.rs",
    "client.rs",
    "crowd.rs",
    "freshness.rs",
    "host.rs",
    "judge.rs",
    "late.rs",
    "schema.rs",
    "snapshot.rs",
    "transactions.rs",
    "undefined.rs",
    "undo.rs",
    "user.rs",
];

/// Folders without test code of their own; what `fuzz/targets` runs has the same names in `simulation`.
const LEFT_OUT: [&str; 3] = ["golden", "fuzz", "target"];

#[test]
fn the_table_of_tests_names_each_of_them() {
    let table = read("tests/README.md");
    for entry in fs::read_dir(Path::new(ROOT).join("tests")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let name = if entry.path().is_dir() { format!("{name}/") } else { name };
        let is_named = table.contains(&format!("`{name}`")) || name == "README.md";
        assert!(is_named, "tests/README.md does not name {name}");
    }
}

#[test]
fn no_name_of_a_test_file_means_two_things() {
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut folders = vec![Path::new(ROOT).join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.extend((!LEFT_OUT.contains(&&*name)).then_some(path));
            } else if name.ends_with(".rs") && !["main.rs", "mod.rs", "lib.rs"].contains(&&*name) {
                places.entry(name).or_default().push(path);
            }
        }
    }
    places.retain(|name, paths| paths.len() > 1 && !SHARED_NAMES.contains(&&**name));
    assert!(places.is_empty(), "{places:?}");
}
