// SPDX-License-Identifier: LGPL-2.1-or-later
//! No crate that the daemon is built with has a known weakness, by the advisories of RustSec.
//!
//! `tests/advisories` has those that concern these crates, as the database had them in summer 2026 (up to
//! RUSTSEC-2026-0195). `ADVISORY_DB` names a checkout of today's database, which `make check-advisories`
//! fetches if the network permits.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and reads its environment"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use semver::{Version, VersionReq};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The copy in this tree.
const KNOWN: &str = "tests/advisories";

/// Advisories that do not concern the daemon, each with the reason.
const ACCEPTED: [(&str, &str); 0] = [];

/// A crate's versions in Cargo.lock, and the names of the crates that it needs.
#[derive(Debug, Default)]
struct Locked {
    versions: Vec<Version>,
    needs: BTreeSet<String>,
}

/// An advisory's front matter, as far as it decides whether a version is affected.
#[derive(Debug)]
struct Advisory {
    id: String,
    package: String,
    is_withdrawn: bool,
    /// Versions of either list are not affected.
    patched: Vec<VersionReq>,
    unaffected: Vec<VersionReq>,
}

impl Advisory {
    fn parse(text: &str) -> Self {
        let one = |key| strings(text, key).pop();
        let requirements = |key| {
            let parse = |text: &String| VersionReq::parse(text).unwrap();
            strings(text, key).iter().map(parse).collect()
        };
        Self {
            id: one("id").unwrap(),
            package: one("package").unwrap(),
            is_withdrawn: one("withdrawn").is_some(),
            patched: requirements("patched"),
            unaffected: requirements("unaffected"),
        }
    }

    fn affects(&self, package: &str, version: &Version) -> bool {
        let is_safe = || self.patched.iter().chain(&self.unaffected).any(|it| it.matches(version));
        !self.is_withdrawn && self.package == package && !is_safe()
    }
}

/// The strings of `key = "..."` or `key = ["...", ...]`, which may have several lines.
fn strings(text: &str, key: &str) -> Vec<String> {
    let value = |line: &str| line.strip_prefix(key)?.trim_start().strip_prefix('=').map(str::len);
    let mut rest = text;
    while let Some(line) = rest.lines().next() {
        if let Some(len) = value(line) {
            let (_, value) = rest.split_at(line.len() - len);
            let end = if value.trim_start().starts_with('[') { ']' } else { '\n' };
            let value = value.split(end).next().unwrap();
            return value.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        }
        rest = rest.get(line.len()..).unwrap().trim_start_matches(['\r', '\n']);
    }
    Vec::new()
}

fn parse_lock(text: &str) -> BTreeMap<String, Locked> {
    let mut crates: BTreeMap<_, Locked> = BTreeMap::new();
    for entry in text.split("[[package]]").skip(1) {
        let [name, version] = ["name", "version"].map(|key| strings(entry, key).pop().unwrap());
        let locked = crates.entry(name).or_default();
        locked.versions.push(Version::parse(&version).unwrap());
        // A name that several versions have is followed by one of these.
        let needs = strings(entry, "dependencies");
        locked.needs.extend(needs.iter().map(|need| need.split(' ').next().unwrap().to_owned()));
    }
    crates
}

/// The crates that Cargo.toml names for the daemon, and those that they need.
fn run_time_crates(manifest: &str, lock: &BTreeMap<String, Locked>) -> BTreeSet<String> {
    let (_, table) = manifest.split_once("\n[dependencies]\n").unwrap();
    let table = table.split("\n[").next().unwrap();
    let mut open: Vec<_> =
        table.lines().filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect();
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        let locked = lock.get(&name).unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
        if found.insert(name) {
            open.extend(locked.needs.iter().cloned());
        }
    }
    found
}

/// The advisories about `package` in a database.
fn advisories(database: &Path, package: &str) -> Vec<Advisory> {
    let Ok(entries) = fs::read_dir(database.join("crates").join(package)) else {
        return Vec::new();
    };
    let texts = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    texts.map(|text| Advisory::parse(&text)).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

#[test]
fn no_run_time_crate_has_a_known_weakness() {
    let mut databases = vec![Path::new(ROOT).join(KNOWN)];
    databases.extend(env::var_os("ADVISORY_DB").map(PathBuf::from));
    let lock = parse_lock(&read("Cargo.lock"));
    let mut affected = Vec::new();
    for database in databases {
        assert!(database.join("crates").is_dir(), "no database: {}", database.display());
        for name in run_time_crates(&read("Cargo.toml"), &lock) {
            for advisory in advisories(&database, &name) {
                let versions = lock[&name].versions.iter();
                let hit = versions.filter(|version| advisory.affects(&name, version));
                affected
                    .extend(hit.map(|version| (advisory.id.clone(), format!("{name} {version}"))));
            }
        }
    }
    affected.retain(|(id, _)| ACCEPTED.iter().all(|(accepted, _)| accepted != id));
    assert!(affected.is_empty(), "{affected:?}");
}

#[test]
fn an_older_version_of_each_crate_would_be_found() {
    let known = Path::new(ROOT).join(KNOWN);
    for (package, version, ids) in [
        ("mio", "0.6.23", &[][..]),
        ("mio", "0.7.5", &["RUSTSEC-2020-0081", "RUSTSEC-2024-0019"]),
        ("mio", "0.8.10", &["RUSTSEC-2024-0019"]),
        ("mio", "0.8.11", &[]),
        ("regex", "1.5.4", &["RUSTSEC-2022-0013"]),
        ("regex", "1.5.5", &[]),
    ] {
        let version = Version::parse(version).unwrap();
        let mut found = advisories(&known, package);
        found.retain(|advisory| advisory.affects(package, &version));
        found.sort_by(|a, b| a.id.cmp(&b.id));
        let found: Vec<_> = found.iter().map(|advisory| advisory.id.as_str()).collect();
        assert_eq!(found, ids, "{package} {version}");
    }
}

#[test]
fn the_front_matter_is_read() {
    let text = "```toml\n[advisory]\nid = \"A\"\npackage = \"log\"\nwithdrawn = \"2023-05-04\"\n\n\
        [versions]\npatched = [\n    \">= 1.2.3, < 2\",\n    \">= 2.0.1\",\n]\n```\n";
    let mut advisory = Advisory::parse(text);
    assert_eq!((advisory.patched.len(), advisory.unaffected.len()), (2, 0));
    let affects =
        |advisory: &Advisory, version| advisory.affects("log", &Version::parse(version).unwrap());
    assert!(!affects(&advisory, "1.0.0"), "withdrawn");
    advisory.is_withdrawn = false;
    let cases = [("1.0.0", true), ("1.2.3", false), ("2.0.0", true), ("2.0.1", false)];
    for (version, is_affected) in cases {
        assert_eq!(affects(&advisory, version), is_affected, "{version}");
    }
    assert!(!advisory.affects("mio", &Version::parse("1.0.0").unwrap()), "another crate");
}

#[test]
fn what_the_daemon_needs_is_followed_through_the_lock() {
    let lock = parse_lock(
        "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\n \"b\",\n \
         \"c 2.0.0\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\n\n[[package]]\n\
         name = \"c\"\nversion = \"2.0.0\"\n\n[[package]]\nname = \"c\"\nversion = \"1.0.0\"\n\n\
         [[package]]\nname = \"test\"\nversion = \"1.0.0\"\n",
    );
    let manifest = "[package]\n\n[dependencies]\na = \"1\"\n\n[dev-dependencies]\ntest = \"1\"\n";
    let found = run_time_crates(manifest, &lock);
    assert_eq!(found, BTreeSet::from(["a", "b", "c"].map(str::to_owned)));
    assert_eq!(lock["c"].versions.len(), 2);
}
