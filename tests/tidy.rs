// SPDX-License-Identifier: LGPL-2.1-or-later
//! The project's rules that a machine can check: which module may name which, where an operation
//! may be used, how long a file may be, and that lists in different places agree.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

#[path = "tidy/english.rs"]
mod english;
#[path = "tidy/let_chains.rs"]
mod let_chains;
#[path = "tidy/test_table.rs"]
mod test_table;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use virtinterfaced::config::Settings;
use virtinterfaced::model::client::Privilege;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The directories of the daemon's sources and the simulation's.
const DAEMON: &str = "src";
const SIMULATION: &str = "tests/simulation/src";

/// The largest number of lines of a file, without its tests.
const FILE_LINE_COUNT_MAX: usize = 600;

/// The line in lib.rs after which modules are not pure.
const IMPURE_FROM: &str = "// The outside world";

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// One source file.
struct Source {
    /// The directory of its crate's sources.
    src: &'static str,
    path: PathBuf,
    /// The module of lib.rs that it belongs to; empty for lib.rs and main.rs.
    module: String,
    /// The lines without tests and comments.
    code: Vec<String>,
    text: String,
}

impl Source {
    fn read(src: &'static str, path: PathBuf) -> Self {
        let text = read(&path);
        let below_src = path.strip_prefix(Path::new(ROOT).join(src)).unwrap();
        let first = below_src.components().next().unwrap().as_os_str().to_string_lossy();
        let module = match first.trim_end_matches(".rs") {
            "lib" | "main" => String::new(),
            name => name.to_owned(),
        };
        let is_test = path.ends_with("tests.rs");
        let code = text
            .lines()
            .take_while(|line| !is_test && *line != "#[cfg(test)]")
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(str::to_owned)
            .collect();
        Self { src, path, module, code, text }
    }

    fn name(&self) -> String {
        self.path.strip_prefix(ROOT).unwrap().display().to_string()
    }

    /// The lines of code that contain `needle`.
    fn lines_with<'a>(&'a self, needle: &'a str) -> impl Iterator<Item = &'a String> {
        self.code.iter().filter(move |line| line.contains(needle))
    }
}

/// The daemon's sources.
fn sources() -> Vec<Source> {
    sources_below(DAEMON)
}

/// The daemon's and the simulation's sources.
fn all_sources() -> impl Iterator<Item = Source> {
    [DAEMON, SIMULATION].into_iter().flat_map(sources_below)
}

fn sources_below(src: &'static str) -> Vec<Source> {
    let mut folders = vec![Path::new(ROOT).join(src)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push(Source::read(src, path));
            }
        }
    }
    sources
}

/// The modules that a file lists, lowest first.
fn modules(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
    };
    text.lines().filter_map(name).filter(|name| name != "tests").collect()
}

/// Every name that the code has behind `prefix`, including each name of an import list.
fn names_behind(code: &str, prefix: &str) -> BTreeSet<String> {
    let deeper = |c: char| i32::from(c == '{') - i32::from(c == '}');
    let is_own = |(at, _): &(usize, &str)| !code[..*at].ends_with("super::");
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix).filter(is_own) {
        let rest = &code[at + prefix.len()..];
        let (mut depth, mut item_depth) = (0, 0);
        let is_end = |c| {
            depth += deeper(c);
            depth == 0
        };
        let list = rest.strip_prefix('{').and(rest.split(is_end).next());
        let items = list.map_or(rest, |list| &list[1..]).split(|c| {
            item_depth += deeper(c);
            c == ',' && item_depth == 0
        });
        for item in items.take(if list.is_some() { usize::MAX } else { 1 }) {
            let item = item.trim_start();
            let end = item.find(|c: char| !c.is_alphanumeric() && c != '_');
            names.insert(item[..end.unwrap_or(item.len())].to_owned());
        }
    }
    names.remove("");
    names
}

#[test]
fn imports_point_down() {
    for src in [DAEMON, SIMULATION] {
        imports_point_down_below(src);
    }
}

fn imports_point_down_below(src: &'static str) {
    let floors = modules(&read(format!("{src}/lib.rs")));
    assert!(floors.len() > 10, "the list in lib.rs was read: {floors:?}");
    let height = |name: &str| floors.iter().position(|floor| floor == name);
    for source in sources_below(src).iter().filter(|source| !source.module.is_empty()) {
        let own = height(&source.module);
        assert!(own.is_some(), "{}: not in the list of lib.rs", source.name());
        for name in names_behind(&source.code.join(" "), "crate::") {
            let other = height(&name);
            assert!(other.is_some(), "{}: crate::{name} is not a module", source.name());
            assert!(other <= own, "{} points up to crate::{name}", source.name());
        }
    }
}

/// A module in a file of its own, with the list of its submodules.
struct Parent {
    source: Source,
    /// The folder of the submodules.
    folder: PathBuf,
    /// The submodules' names, lowest first.
    list: Vec<String>,
}

impl Parent {
    /// The module of `source`, if it has submodules: `x/mod.rs`, or `x.rs` beside a folder `x`.
    fn of(source: Source) -> Option<Self> {
        let list = modules(&source.text);
        let folder = if source.path.ends_with("mod.rs") {
            source.path.parent().unwrap().to_owned()
        } else {
            source.path.with_extension("")
        };
        (!source.module.is_empty() && !list.is_empty()).then_some(Self { source, folder, list })
    }

    /// The file of the submodule `name`.
    fn child(&self, name: &str) -> Source {
        let file = self.folder.join(format!("{name}.rs"));
        let file = if file.exists() { file } else { self.folder.join(name).join("mod.rs") };
        Source::read(self.source.src, file)
    }

    /// The module's path in its crate.
    fn path(&self) -> String {
        let path = self.folder.strip_prefix(Path::new(ROOT).join(self.source.src)).unwrap();
        format!("crate::{}", path.display().to_string().replace('/', "::"))
    }
}

/// The places where a module, or one below it, names a module that stands below it in the list of
/// their parent.
fn upward_names(parent: &Parent, sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (height, name) in parent.list.iter().enumerate() {
        let child = parent.folder.join(name);
        let is_in_child = |it: &&Source| it.path.with_extension("").starts_with(&child);
        for source in sources.iter().filter(is_in_child) {
            let code = source.code.join(" ");
            let mut names = names_behind(&code, &format!("{}::", parent.path()));
            if source.path == parent.child(name).path {
                names.append(&mut names_behind(&code, "super::"));
            }
            let above = parent.list[height + 1..].iter().filter(|above| names.contains(*above));
            found.extend(above.map(|above| format!("{} points up to {above}", source.name())));
        }
    }
    found
}

#[test]
fn a_folders_files_name_those_above_them_in_its_list() {
    let sources: Vec<_> = all_sources().collect();
    let parents = all_sources().filter_map(Parent::of);
    let upward: Vec<_> = parents.flat_map(|parent| upward_names(&parent, &sources)).collect();
    assert_eq!(upward, [""; 0]);
}

#[test]
fn an_upward_name_is_found() {
    let sources = sources();
    // Real uses, with the list turned round: beside a `mod.rs`, and beside a file of its own.
    for (file, list, upward) in [
        (
            "src/server/mod.rs",
            ["acceptor", "occupancy"],
            "src/server/acceptor.rs points up to occupancy",
        ),
        ("src/snapshot.rs", ["writer", "files"], "src/snapshot/writer.rs points up to files"),
    ] {
        let mut parent = Parent::of(Source::read(DAEMON, Path::new(ROOT).join(file))).unwrap();
        assert!(list.iter().all(|name| parent.list.iter().any(|it| it == name)), "{file}");
        parent.list = list.map(str::to_owned).to_vec();
        assert_eq!(upward_names(&parent, &sources), [upward]);
    }
    let code =
        "use super::{A, files, wire::{self, B}, last}; super::super::other::C; super::one::D";
    let names = ["A", "files", "last", "one", "super", "wire"].map(str::to_owned);
    assert_eq!(names_behind(code, "super::"), BTreeSet::from(names));
}

/// The methods that the code defines in inherent `impl` blocks, and those that it names there
/// behind `self` or `Self`, by the name of the type.
fn methods<'a>(code: &'a [String]) -> Vec<(&'a str, Method<'a>)> {
    let mut methods = Vec::new();
    let mut owner = None;
    for (at, line) in code.iter().enumerate() {
        if let Some(rest) = line.strip_prefix("impl") {
            let rest = rest.trim_start_matches(|c| c != ' ').trim_start();
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            owner = Some(&rest[..end.unwrap_or(rest.len())]).filter(|_| !line.contains(" for "));
        } else if line == "}" {
            owner = None;
        }
        let Some(owner) = owner else { continue };
        if let Some((_, rest)) = line.split_once("fn ") {
            let end = rest.find(['(', '<']).unwrap_or(rest.len());
            methods.push((owner, Method::Defined(&rest[..end])));
        }
        let name = |rest: &'a str| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.split_at(end)
        };
        let behind = |needle| line.match_indices(needle).map(|(at, it)| &line[at + it.len()..]);
        // A chain of calls may begin on the line below its `self`.
        let next = code.get(at + 1).and_then(|next| next.trim_start().strip_prefix('.'));
        let broken = next.filter(|_| line.ends_with("self"));
        let on_self = behind("self.").chain(broken).map(name);
        let on_self = on_self.filter(|(_, rest)| rest.starts_with('(')).map(|(name, _)| name);
        let on_type = behind("Self::").map(|rest| name(rest).0);
        methods.extend(on_self.chain(on_type).map(|name| (owner, Method::Called(name))));
    }
    methods
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Method<'a> {
    Defined(&'a str),
    Called(&'a str),
}

/// Calls of methods that a higher file defines. Files come lowest first, each with its code; the
/// last is the parent. For a type, the parent counts as the highest if it calls the others'
/// methods, and as the lowest otherwise.
fn upward_calls(files: &[(String, Vec<String>)]) -> Vec<String> {
    let mut homes = HashMap::new();
    for (file, (_, code)) in files.iter().enumerate() {
        for (owner, method) in methods(code) {
            if let Method::Defined(name) = method {
                homes.insert((owner, name), file);
            }
        }
    }
    let calls = files.iter().enumerate().flat_map(|(from, (_, code))| {
        let called = methods(code).into_iter().filter_map(|(owner, method)| match method {
            Method::Called(name) => Some((from, owner, name)),
            Method::Defined(_) => None,
        });
        called.collect::<Vec<_>>()
    });
    let calls: Vec<_> = calls
        .filter_map(|(from, owner, name)| Some((from, owner, name, *homes.get(&(owner, name))?)))
        .collect();
    let parent = files.len() - 1;
    let leans = |of: &str| {
        calls.iter().any(|(from, owner, _, to)| *owner == of && *from == parent && *to != parent)
    };
    let height = |file: usize, owner: &str| match file {
        _ if file == parent && !leans(owner) => 0,
        _ => file + 1,
    };
    let is_upward = |(from, owner, _, to): &&(usize, &str, &str, usize)| {
        height(*to, owner) > height(*from, owner)
    };
    let tell = |(from, owner, name, to): &(usize, &str, &str, usize)| {
        format!("{} calls {owner}::{name} of {}", files[*from].0, files[*to].0)
    };
    calls.iter().filter(is_upward).map(tell).collect()
}

/// A method call needs no path, so no import shows it.
#[test]
fn methods_of_one_type_in_several_files_call_those_below() {
    let mut split_types = BTreeSet::new();
    // The simulated kernel is not part of the daemon.
    for parent in sources().into_iter().filter_map(Parent::of) {
        let children = parent.list.iter().map(|name| parent.child(name));
        let files =
            children.chain([&parent.source].map(|it| Source::read(it.src, it.path.clone())));
        let files: Vec<_> = files.map(|source| (source.name(), source.code)).collect();
        assert_eq!(upward_calls(&files), [""; 0]);
        let owners = files.iter().map(|(_, code)| {
            methods(code).into_iter().map(|(owner, _)| owner).collect::<BTreeSet<_>>()
        });
        let owners: Vec<_> = owners.flatten().collect();
        let is_split = |owner: &&&str| owners.iter().filter(|it| *it == *owner).count() > 1;
        split_types.extend(owners.iter().filter(is_split).map(|owner| (*owner).to_owned()));
    }
    for name in ["Coordinator", "RouteRecord", "Server"] {
        assert!(split_types.contains(name), "{name} is looked at: {split_types:?}");
    }
}

#[test]
fn an_upward_call_is_found() {
    let file = |name: &str, text: &str| {
        (name.to_owned(), text.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let low = file(
        "low.rs",
        "impl Server {\n    pub(super) fn low(&mut self) {\n        self.high(1);\n    }\n}\n\
         impl Other {\n    fn any(&self) {\n        self.high(2);\n    }\n}",
    );
    let high = file(
        "high.rs",
        "impl<'a> Server {\n    fn high(&mut self, _: u8) {\n        self.low();\n    }\n}\n\
         impl Trait for Server {\n    fn low(&mut self) {}\n}",
    );
    let upward = ["low.rs calls Server::high of high.rs"];
    assert_eq!(upward_calls(&[low.clone(), high.clone()]), upward);
    let parent = |text| file("mod.rs", text);
    let files = [low, high, parent("impl Server {\n    fn low(&mut self) {}\n}")];
    assert_eq!(upward_calls(&files), upward);
    // A parent that calls its child and is called by it is a cycle.
    let child = file("child.rs", "impl Server {\n    fn a(&self) {\n        self.b();\n    }\n}");
    let calls = "impl Server {\n    fn b(&self) {}\n    fn c(&self) {\n        self.a();\n    }\n}";
    let files = [child.clone(), parent(calls)];
    assert_eq!(upward_calls(&files), ["child.rs calls Server::b of mod.rs"]);
    for call in ["self\n        .b()\n        .c()", "Self::b()", "it.map(Self::b)"] {
        let text = format!("impl Server {{\n    fn a() {{\n        {call}\n    }}\n}}");
        let found = upward_calls(&[file("child.rs", &text), parent(calls)]);
        assert_eq!(found, ["child.rs calls Server::b of mod.rs"], "{call}");
    }
    let is_called = parent("impl Server {\n    fn b(&self) {}\n}");
    assert_eq!(upward_calls(&[child, is_called]), [""; 0]);
}

#[test]
fn the_pure_floors_reach_nothing_outside() {
    let lib = read("src/lib.rs");
    let (pure, _) = lib.split_once(IMPURE_FROM).expect("lib.rs says where the outside begins");
    let pure = modules(pure);
    let outside = [
        "std::fs",
        "std::env",
        "std::os",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "std::io::Read",
        "std::io::Write",
        "println!",
    ];
    for source in sources().iter().filter(|source| pure.contains(&source.module)) {
        for needle in outside {
            let found: Vec<_> = source.lines_with(needle).collect();
            assert!(found.is_empty(), "{}: {found:?}", source.name());
        }
    }
}

#[test]
fn only_the_loop_and_changes_log_at_info_and_above() {
    let lib = read("src/lib.rs");
    let (pure, _) = lib.split_once(IMPURE_FROM).unwrap();
    // Changes of the host are logged at info, wherever they are decided.
    let is_quiet =
        |source: &&Source| modules(pure).contains(&source.module) && source.module != "change";
    for source in sources().iter().filter(is_quiet) {
        for needle in ["info!(", "warn!(", "error!("] {
            assert_eq!(source.lines_with(needle).count(), 0, "{}: {needle}", source.name());
        }
        let may_debug = matches!(source.module.as_str(), "session" | "handler");
        let debugs = source.lines_with("log::").count();
        assert!(
            may_debug || debugs == 0,
            "{}: floors 0 to 2 return, they do not log",
            source.name()
        );
    }
}

#[test]
fn each_crate_has_one_home() {
    for (needle, homes) in [
        ("mio::", &["server"][..]),
        ("getopts::", &["cli"]),
        ("env_logger::", &["logging"]),
        ("xml::reader", &["xml"]),
        ("xml::EventReader", &["xml"]),
        ("unsafe {", &["sys"]),
    ] {
        let is_at_home = |it: &Source| it.src == DAEMON && homes.contains(&it.module.as_str());
        for source in all_sources().filter(|source| !is_at_home(source)) {
            let found: Vec<_> = source.lines_with(needle).collect();
            assert!(found.is_empty(), "{}: {found:?}", source.name());
        }
    }
    for source in all_sources().filter(|source| source.module != "sys") {
        let calls = source.lines_with("libc::").filter(|line| {
            line.split("libc::").skip(1).any(|rest| {
                let name: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                rest[name.len()..].starts_with('(') && name.starts_with(|c: char| c.is_lowercase())
            })
        });
        let calls: Vec<_> = calls.collect();
        assert!(calls.is_empty(), "{}: system calls are sys's: {calls:?}", source.name());
    }
}

#[test]
fn unsafe_code_is_allowed_once() {
    let count = |source: Source| source.lines_with("allow(unsafe_code").count();
    assert_eq!(all_sources().map(count).sum::<usize>(), 1);
}

#[test]
fn every_file_says_what_it_is() {
    for source in all_sources() {
        let mut lines = source.text.lines();
        let spdx = "// SPDX-License-Identifier: LGPL-2.1-or-later";
        assert_eq!(lines.next(), Some(spdx), "{}", source.name());
        let says = lines.next().is_some_and(|line| line.starts_with("//! "));
        assert!(says, "{}: the second line begins the //! text", source.name());
    }
}

#[test]
fn tests_stand_last() {
    for source in all_sources() {
        let mut rest = source.text.lines().skip_while(|line| *line != "#[cfg(test)]").skip(1);
        let is_module = rest.next().is_none_or(|line| line.starts_with("mod tests"));
        let behind: Vec<_> =
            rest.filter(|line| line.starts_with(['u', 'p', 'f', 'i', 's', 'e'])).collect();
        assert!(is_module && behind.is_empty(), "{}: {behind:?}", source.name());
    }
}

#[test]
fn files_stay_small() {
    for source in all_sources() {
        let count = source.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(count <= FILE_LINE_COUNT_MAX, "{}: {count} lines", source.name());
    }
}

#[test]
fn every_limit_is_used() {
    let limits = read("src/limits.rs");
    let sources = sources();
    for name in limits.lines().filter_map(|line| constant(line).map(|(name, _)| name)) {
        let uses = sources.iter().filter(|source| source.lines_with(name).next().is_some()).count();
        assert!(uses > 1, "{name} is used nowhere");
    }
}

/// The name and the type of the constant that a line declares.
fn constant(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start().trim_start_matches("pub");
    let line = line.trim_start_matches("(crate)").trim_start_matches("(super)");
    let (name, rest) = line.trim_start().strip_prefix("const ")?.split_once(": ")?;
    Some((name, rest.split_once(" =")?.0))
}

#[test]
fn caps_stand_in_limits() {
    /// Values of the kernel's and of formats, which limit nothing that the daemon takes.
    const OTHERS: [&str; 4] =
        ["BROADCAST_PREFIX_LEN_MAX", "MEMORY_STAT_COUNT_MAX", "SHORT_LEN_MAX", "VID_MAX"];
    for source in sources().iter().filter(|source| source.name() != "src/limits.rs") {
        for (name, kind) in source.text.lines().filter_map(constant) {
            let is_cap = name.ends_with("_MAX")
                && ["usize", "u64", "u32", "u16", "u8", "Duration"].contains(&kind);
            assert!(!is_cap || OTHERS.contains(&name), "{}: {name}", source.name());
        }
    }
}

/// Long options, as listed in cli.rs.
fn long_options() -> Vec<String> {
    let cli = read("src/cli.rs");
    let option = |rest: &str| rest.split('"').next().unwrap().to_owned();
    let options: Vec<_> = cli.split("long: \"").skip(1).map(option).collect();
    assert!(options.len() >= 7, "the table in cli.rs was read: {options:?}");
    options
}

#[test]
fn each_long_option_is_in_help_and_manual() {
    let manual = read("man/virtinterfaced.8");
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_virtinterfaced"))
        .arg("--help")
        .output()
        .expect("the daemon runs");
    let help = String::from_utf8(help.stderr).unwrap();
    for option in long_options() {
        assert!(help.contains(&format!("--{option}")), "--help lacks --{option}");
        assert!(manual.contains(&format!("Fl -{option}")), "the manual lacks --{option}");
    }
}

#[test]
fn each_source_of_log_lines_is_in_the_manual() {
    let manual = read("man/virtinterfaced.conf.5");
    let shipped = shipped();
    for (module, source) in virtinterfaced::logging::source::SOURCES {
        let named = manual.lines().any(|line| line == format!(".It Cm {source}"));
        assert!(named, "the manual lacks {source}, the source of {module}");
        let listed =
            shipped.split_whitespace().any(|word| word.trim_end_matches([',', ';']) == *source);
        assert!(listed, "the configuration lacks {source}, the source of {module}");
    }
}

#[test]
fn each_key_is_in_the_manual() {
    let manual = read("man/virtinterfaced.conf.5");
    for key in Settings::KEYS {
        let named = manual.lines().any(|line| {
            line.starts_with(".It") && line.split_whitespace().any(|word| word == key.name)
        });
        assert!(named, "the manual lacks {}", key.name);
    }
}

/// The shipped configuration.
fn shipped() -> String {
    read("etc/virtinterfaced.conf")
}

/// The key of a line `#key = value`.
fn commented_key(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix('#')?.split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(key)
}

/// The example statements of the shipped configuration.
fn shipped_examples() -> Vec<String> {
    let shipped = shipped();
    let examples = shipped.lines().filter_map(|line| line.strip_prefix("# Example: "));
    examples.map(str::to_owned).collect()
}

#[test]
fn the_shipped_configuration_uncommented_equals_the_defaults() {
    let shipped = shipped();
    let uncomment = |line: &str| match commented_key(line) {
        Some(_) => line.replacen('#', "", 1),
        None => line.to_owned(),
    };
    let uncommented = shipped.lines().map(uncomment).collect::<Vec<_>>().join("\n");
    assert!(uncommented.contains("\nmax_clients = "), "{uncommented}");
    for privilege in [Privilege::System, Privilege::Session] {
        let want = Ok((Settings::defaults(privilege), vec![]));
        assert_eq!(Settings::parse(&shipped, privilege), want);
        assert_eq!(Settings::parse(&uncommented, privilege), want);
    }
}

#[test]
fn the_shipped_configuration_shows_every_key_once_or_by_example() {
    let shipped = shipped();
    let with_default: Vec<_> = shipped.lines().filter_map(commented_key).collect();
    let once: BTreeSet<_> = with_default.iter().copied().collect();
    assert_eq!(once.len(), with_default.len(), "{with_default:?}");
    let examples = shipped_examples();
    let by_example = examples.iter().map(|example| example.split_once(' ').unwrap().0);
    let shown: BTreeSet<_> = once.into_iter().chain(by_example).collect();
    let known: BTreeSet<_> = Settings::KEYS.iter().map(|key| key.name).collect();
    assert_eq!(shown, known);
}

#[test]
fn every_example_of_the_shipped_configuration_sets_something() {
    for example in shipped_examples() {
        let (settings, warnings) = Settings::parse(&example, Privilege::System).unwrap();
        assert_eq!(warnings, [], "{example}");
        let is_default = settings == Settings::defaults(Privilege::System);
        let names_default = example.ends_with("\"/run/libvirt\"");
        assert!(!is_default || names_default, "{example}");
    }
}

/// The crates that the daemon depends on.
fn dependencies() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    let table = rest.split("\n[").next().unwrap();
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.split([' ', '=']).next().unwrap().to_owned()).collect()
}

#[test]
fn only_the_six_crates_run() {
    let allowed = ["mio", "libc", "getopts", "log", "env_logger", "xml-rs"];
    for name in dependencies() {
        assert!(allowed.contains(&name.as_str()), "{name} is not one of {allowed:?}");
    }
}

#[test]
fn the_package_has_the_notice_of_each_crate() {
    let notices = read("init/debian/copyright");
    for name in dependencies() {
        assert!(notices.contains(&format!(".cargo/vendor/{name}/*")), "no notice of {name}");
    }
}

#[test]
fn the_top_level_is_what_it_should_be() {
    let expected = BTreeSet::from(
        [
            ".ci",
            ".git",
            ".gitignore",
            "ARCHITECTURE.md",
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "COPYING",
            "Cargo.lock",
            "Cargo.toml",
            "Makefile",
            "README.md",
            "SECURITY.md",
            "clippy.toml",
            "etc",
            "init",
            "man",
            "rustfmt.toml",
            "src",
            "tests",
        ]
        .map(str::to_owned),
    );
    let names = fs::read_dir(ROOT).unwrap().map(|entry| entry.unwrap().file_name());
    let found: BTreeSet<_> = names.map(|name| name.into_string().unwrap()).collect();
    // Build output, and the vendored crates of a `make dist` archive.
    let brought = |name: &&String| ["target", ".cargo"].contains(&name.as_str());
    let extra: Vec<_> = found.difference(&expected).filter(|name| !brought(name)).collect();
    assert!(extra.is_empty(), "at the top level, but not in the plan: {extra:?}");
    let missing: Vec<_> = expected.difference(&found).filter(|name| *name != ".git").collect();
    assert!(missing.is_empty(), "missing at the top level: {missing:?}");
}
