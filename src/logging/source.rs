// SPDX-License-Identifier: LGPL-2.1-or-later
//! Sources: the names of subjects in log lines and log filters.
//!
//! A source is a subject that administrators filter by, such as `dhcp` or `interface.rollback`, not
//! the module that a line comes from. Knows nothing of levels and outputs.

use std::borrow::Cow;

use log::Record;

use crate::config::logging_spec::{LogFilter, LogLevel};
use crate::model::glob;

/// Modules and their sources. A module without a row has its parent's source; the first matching
/// row counts, so children precede their parents.
pub const SOURCES: &[(&str, &str)] = &[
    ("change::commit", "interface.rollback"),
    ("change::journal", "interface.rollback"),
    ("change::recovery", "interface.rollback"),
    ("change::transact", "interface.rollback"),
    ("change::undo", "interface.rollback"),
    ("change", "interface.change"),
    ("daemon", "daemon"),
    ("handler::admin", "admin"),
    ("io::boot_file", "interface.change"),
    ("io::definitions", "interface.definition"),
    ("io::dhcp", "dhcp"),
    ("io::executor", "daemon"),
    ("io::hooks", "hook"),
    ("io::kernel", "kernel"),
    ("io::listener", "rpc"),
    ("io::managers", "interface.change"),
    ("io::messenger", "kernel"),
    ("io::room", "kernel"),
    ("io::shelf", "interface.change"),
    ("io::standby", "interface.rollback"),
    ("io::supervisor", "daemon"),
    ("io::transaction_dir", "interface.rollback"),
    ("logging", "daemon"),
    ("server::administer", "admin"),
    ("server::changes", "interface.change"),
    ("server::client_config", "daemon"),
    ("server::given_back", "dhcp"),
    ("server::inquiries", "interface.change"),
    ("server::lifecycle", "daemon"),
    ("server::perform", "interface.change"),
    ("server::world", "kernel"),
    ("server", "rpc"),
    ("session", "rpc"),
];

/// Returns the source of a record, which filters match and the line shows.
pub(crate) fn source_of<'a>(record: &Record<'a>) -> Cow<'a, str> {
    match record.module_path() {
        // `log` uses the module as the target of a record without one.
        Some(module) if module == record.target() => source_of_module(module),
        _ => Cow::Borrowed(record.target()),
    }
}

/// Returns the source of a module, given with its crate's name.
pub(crate) fn source_of_module(module: &str) -> Cow<'_, str> {
    let inside = module.split_once("::").map_or(module, |(_, inside)| inside);
    let is_within = |parent: &str| {
        inside.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    match SOURCES.iter().find(|(parent, _)| is_within(parent)) {
        Some((_, source)) => Cow::Borrowed(source),
        None => Cow::Owned(inside.replace("::", ".")),
    }
}

/// Returns the minimum level of a source: that of the first matching filter, else `usual`.
pub(super) fn level_of(source: &str, filters: &[LogFilter], usual: LogLevel) -> LogLevel {
    let fits = |filter: &&LogFilter| glob::occurs(&filter.pattern, source);
    filters.iter().find(fits).map_or(usual, |filter| filter.level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::logging_spec::parse_filters;
    use std::fs;
    use std::path::{Path, PathBuf};

    #[test]
    fn a_module_has_its_own_source_or_its_parents() {
        for (module, want) in [
            ("virtinterfaced::daemon", "daemon"),
            ("virtinterfaced::daemon::paths", "daemon"),
            ("virtinterfaced::server", "rpc"),
            ("virtinterfaced::server::world", "kernel"),
            ("virtinterfaced::server::timers", "rpc"),
            ("virtinterfaced::change::undo::part", "interface.rollback"),
            ("virtinterfaced::change::planning", "interface.change"),
            ("virtinterfaced::hosts::file", "hosts.file"),
            ("virtinterfaced", "virtinterfaced"),
            ("mio::poll", "poll"),
        ] {
            assert_eq!(source_of_module(module), want, "{module}");
        }
    }

    #[test]
    fn a_target_that_is_named_is_the_source() {
        let mut record = Record::builder();
        record.module_path(Some("virtinterfaced::io::hooks"));
        record.target("virtinterfaced::io::hooks");
        assert_eq!(source_of(&record.build()), "hook");
        assert_eq!(source_of(&record.target("daemon").build()), "daemon");
    }

    #[test]
    fn no_row_is_hidden_by_one_above_it() {
        for (module, source) in SOURCES {
            assert_eq!(source_of_module(&format!("virtinterfaced::{module}")), *source);
        }
    }

    #[test]
    fn every_module_that_logs_has_a_source_that_a_user_would_filter_by() {
        let mut count = 0;
        for (module, text) in modules() {
            if ["error!(", "warn!(", "info!(", "debug!("].iter().any(|name| text.contains(name)) {
                count += 1;
                let source = source_of_module(&module);
                let is_known = SOURCES.iter().any(|(_, known)| *known == source);
                assert!(is_known, "{module} is {source}: it needs a row in SOURCES");
            }
        }
        assert!(count > 5, "modules that log were found");
    }

    /// Returns the path and text of each module of the crate.
    fn modules() -> Vec<(String, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut folders, mut modules) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let below = path.strip_prefix(&root).unwrap().with_extension("");
                let names: Vec<_> = below.iter().map(|name| name.to_str().unwrap()).collect();
                let name = format!("virtinterfaced::{}", names.join("::"));
                modules.push((name.trim_end_matches("::mod").to_owned(), text));
            }
        }
        modules
    }

    #[test]
    fn the_first_filter_that_fits_decides() {
        let filters = parse_filters("1:interface.change 4:interface 2:[dh]*k 3:hook").unwrap();
        for (source, want) in [
            ("interface.change", LogLevel::Debug),
            ("interface.rollback", LogLevel::Error),
            ("hook", LogLevel::Info),
            ("daemon", LogLevel::Warning),
        ] {
            assert_eq!(level_of(source, &filters, LogLevel::Warning), want, "{source}");
        }
        assert_eq!(level_of("rpc", &[], LogLevel::Error), LogLevel::Error);
    }
}
