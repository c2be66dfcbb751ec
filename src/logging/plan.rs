// SPDX-License-Identifier: LGPL-2.1-or-later
//! Decides what is logged and where, from the configuration, overridden by the environment,
//! overridden by `-v`.
//!
//! Opens nothing and reads no environment: its inputs are texts and facts. The rules and the
//! default output are libvirt's.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::config::logging_spec::{
    LogDestination, LogFilter, LogLevel, LogOutput, LogSpecError, last_to_each_place,
    parse_filters, parse_outputs,
};
use crate::config::settings::Logging;
use crate::error::HostError;
use crate::model::client::Privilege;

/// The default ident in syslog and the journal.
pub(crate) const DEFAULT_IDENT: &str = "virtinterfaced";

/// The parts of the daemon's start that decide what is logged and where.
#[derive(Clone, Debug)]
pub struct Circumstances {
    pub privilege: Privilege,
    /// `--verbose`.
    pub is_verbose: bool,
    /// `--daemon`.
    pub is_daemonized: bool,
    /// `LIBVIRT_DEBUG`, `LIBVIRT_LOG_FILTERS` and `LIBVIRT_LOG_OUTPUTS`. Empty values count as
    /// unset.
    pub debug: Option<String>,
    pub filters: Option<String>,
    pub outputs: Option<String>,
    /// The log file of a daemon in the background on a host without journald.
    pub default_file: PathBuf,
}

/// The reason why logging does not start, or keeps its settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LoggingError {
    /// `LIBVIRT_DEBUG` is not a level.
    Level(String),
    /// A variable is not a list of filters or outputs.
    Variable { name: &'static str, cause: LogSpecError },
    /// A requested output cannot be opened.
    Output { output: LogOutput, cause: HostError },
    /// Logging has been started already, or has not been started.
    OutOfOrder,
}

impl fmt::Display for LoggingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(text) => {
                write!(f, "Failed to set logging priority, argument '{text}' is invalid")
            }
            Self::Variable { name, cause } => write!(f, "{name}: {cause}"),
            Self::Output { output, cause } => {
                write!(f, "log output {:?}: {cause}", output.to_string())
            }
            Self::OutOfOrder => f.write_str("logging is started once, and before it is changed"),
        }
    }
}

impl std::error::Error for LoggingError {}

/// The settings that override the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Overrides {
    level: Option<LogLevel>,
    /// The highest level that may be set; lines from this one up are always logged.
    level_max: LogLevel,
    /// Empty if not set.
    filters: Vec<LogFilter>,
    outputs: Vec<LogOutput>,
}

/// The levels, filters and outputs to log by. Without outputs the default one is used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct LogPlan {
    pub(super) level: LogLevel,
    pub(super) filters: Vec<LogFilter>,
    pub(super) outputs: Vec<LogOutput>,
}

impl Overrides {
    pub(super) fn read(circumstances: &Circumstances) -> Result<Self, LoggingError> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let level = said(&circumstances.debug)
            .map(|text| parse_level(&text).ok_or(LoggingError::Level(text)))
            .transpose()?;
        let filters = said(&circumstances.filters).unwrap_or_default();
        let outputs = said(&circumstances.outputs).unwrap_or_default();
        let refuse = |name| move |cause| LoggingError::Variable { name, cause };
        Ok(Self {
            level,
            level_max: if circumstances.is_verbose { LogLevel::Info } else { LogLevel::Error },
            filters: parse_filters(&filters).map_err(refuse("LIBVIRT_LOG_FILTERS"))?,
            outputs: parse_outputs(&outputs).map_err(refuse("LIBVIRT_LOG_OUTPUTS"))?,
        })
    }

    /// Returns the configuration's plan after these overrides.
    pub(super) fn apply(&self, settings: &Logging) -> LogPlan {
        fn first<T: Clone>(ours: &[T], theirs: &[T]) -> Vec<T> {
            if ours.is_empty() { theirs.to_vec() } else { ours.to_vec() }
        }
        LogPlan {
            level: self.level.unwrap_or(settings.level).min(self.level_max),
            filters: first(&self.filters, &settings.filters),
            outputs: first(&self.outputs, &settings.outputs),
        }
    }
}

/// Parses a number from 1 to 4, or the name of a level.
fn parse_level(text: &str) -> Option<LogLevel> {
    let number = match text {
        "debug" => 1,
        "info" => 2,
        "warning" => 3,
        "error" => 4,
        number => number.parse().ok()?,
    };
    LogLevel::new(number)
}

/// The facts that decide the default output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Surroundings {
    pub(super) is_daemonized: bool,
    /// Standard input is a terminal.
    pub(super) has_terminal: bool,
    /// journald listens at its socket.
    pub(super) has_journal: bool,
}

/// Returns the output to use where none is configured.
pub(super) fn default_output(level: LogLevel, started: Surroundings, file: &Path) -> LogOutput {
    // The journal gets no debug lines by default: they would displace those of other programs.
    let journal =
        LogOutput { level: level.max(LogLevel::Info), destination: LogDestination::Journald };
    let file = LogDestination::File(file.display().to_string());
    match started {
        Surroundings { is_daemonized: true, has_journal: true, .. }
        | Surroundings { has_terminal: false, has_journal: true, .. } => journal,
        Surroundings { is_daemonized: true, .. } => LogOutput { level, destination: file },
        Surroundings { .. } => LogOutput { level, destination: LogDestination::Stderr },
    }
}

/// Returns the outputs with absolute paths, resolved from the directory `base`, and without
/// duplicate destinations.
pub(super) fn from_directory(base: &Path, outputs: &[LogOutput]) -> Vec<LogOutput> {
    let whole = |output: &LogOutput| {
        let destination = match &output.destination {
            LogDestination::File(path) => LogDestination::File(absolute(path, base)),
            other @ (LogDestination::Stderr
            | LogDestination::Syslog(_)
            | LogDestination::Journald) => other.clone(),
        };
        LogOutput { level: output.level, destination }
    };
    last_to_each_place(outputs.iter().map(whole).collect())
}

/// Returns an absolute path without `.` and `..`, which are resolved in the text alone, as libvirt
/// does. The list of outputs so shows the paths that were opened.
fn absolute(path: &str, base: &Path) -> String {
    let mut whole = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                whole.push(component);
            }
        }
    }
    // Below a directory whose name is not UTF-8 the path stays unchanged.
    whole.into_os_string().into_string().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circumstances(texts: [&str; 3]) -> Circumstances {
        let [debug, filters, outputs] = texts.map(|text| Some(text.to_owned()));
        Circumstances {
            privilege: Privilege::System,
            is_verbose: false,
            is_daemonized: false,
            debug,
            filters,
            outputs,
            default_file: PathBuf::from("/var/log/libvirt/virtinterfaced.log"),
        }
    }

    fn settings(level: LogLevel, filters: &str, outputs: &str) -> Logging {
        Logging {
            level,
            filters: parse_filters(filters).unwrap(),
            outputs: parse_outputs(outputs).unwrap(),
        }
    }

    /// Formats a list as in the configuration.
    fn join<T: fmt::Display>(list: &[T]) -> String {
        list.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn environment_goes_before_configuration_and_verbose_before_both() {
        use LogLevel::{Debug, Error, Info, Warning};
        for (configured, debug, is_verbose, want) in [
            (Warning, "", false, Warning),
            (Warning, "", true, Info),
            (Debug, "", true, Debug),
            (Error, "", true, Info),
            (Error, "1", false, Debug),
            (Debug, "4", false, Error),
            (Debug, "error", false, Error),
            (Debug, "error", true, Info),
            (Error, "info", false, Info),
            (Error, "2", true, Info),
            (Error, "debug", true, Debug),
            (Info, "warning", false, Warning),
        ] {
            let given = Circumstances { is_verbose, ..circumstances([debug, "", ""]) };
            let plan = Overrides::read(&given).unwrap().apply(&settings(configured, "", ""));
            assert_eq!(plan.level, want, "{configured:?} {debug} {is_verbose}");
        }
        for (configured, environment, want) in [
            (["", ""], ["", ""], ["", ""]),
            (["1:a", "1:stderr"], ["", ""], ["1:*a*", "1:stderr"]),
            (["1:a", "1:stderr"], ["2:b", ""], ["2:*b*", "1:stderr"]),
            (["1:a", "1:stderr"], ["", "2:journald"], ["1:*a*", "2:journald"]),
            (["1:a", "1:stderr"], ["2:b 3:c", "4:file:/x"], ["2:*b* 3:*c*", "4:file:/x"]),
            (["1:a", "1:stderr"], ["  ", " "], ["1:*a*", "1:stderr"]),
        ] {
            let given = circumstances(["", environment[0], environment[1]]);
            let settings = settings(Warning, configured[0], configured[1]);
            let plan = Overrides::read(&given).unwrap().apply(&settings);
            assert_eq!([join(&plan.filters), join(&plan.outputs)], want, "{environment:?}");
        }
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_named() {
        for (texts, want) in [
            (["loud", "", ""], "Failed to set logging priority, argument 'loud' is invalid"),
            (["0", "", ""], "Failed to set logging priority, argument '0' is invalid"),
            (["5", "", ""], "Failed to set logging priority, argument '5' is invalid"),
            (["1 ", "", ""], "Failed to set logging priority, argument '1 ' is invalid"),
            (["", "x", ""], "LIBVIRT_LOG_FILTERS: log filter \"x\" has no ':'"),
            (
                ["", "", "1:file"],
                "LIBVIRT_LOG_OUTPUTS: log output \"1:file\": wrong number of parts for file",
            ),
        ] {
            let err = Overrides::read(&circumstances(texts)).unwrap_err();
            assert_eq!(err.to_string(), want);
        }
    }

    #[test]
    fn the_default_output_depends_on_how_the_daemon_was_started() {
        use LogLevel::{Debug, Warning};
        let file = "3:file:/var/log/x";
        for (is_daemonized, has_terminal, has_journal, level, want) in [
            (true, false, true, Warning, "3:journald"),
            (true, true, true, Warning, "3:journald"),
            (true, false, true, Debug, "2:journald"),
            (true, false, false, Warning, file),
            (true, true, false, Debug, "1:file:/var/log/x"),
            (false, false, true, Warning, "3:journald"),
            (false, false, true, Debug, "2:journald"),
            (false, true, true, Warning, "3:stderr"),
            (false, false, false, Debug, "1:stderr"),
            (false, true, false, Warning, "3:stderr"),
        ] {
            let started = Surroundings { is_daemonized, has_terminal, has_journal };
            let output = default_output(level, started, Path::new("/var/log/x"));
            assert_eq!(output.to_string(), want, "{started:?} {level:?}");
        }
    }

    #[test]
    fn files_have_whole_paths_and_each_place_is_there_once() {
        for (base, outputs, want) in [
            ("/", "1:file:x", "1:file:/x"),
            ("/a/b", "1:file:x", "1:file:/a/b/x"),
            ("/a/b", "1:file:./x/../../y", "1:file:/a/y"),
            ("/a", "1:file:/x//y/./z", "1:file:/x/y/z"),
            ("/a", "1:file:../../../x", "1:file:/x"),
            ("/a", "1:stderr 2:syslog:x 3:journald", "1:stderr 2:syslog:x 3:journald"),
            ("/a", "1:file:x 2:stderr 3:file:/a/x", "2:stderr 3:file:/a/x"),
        ] {
            let outputs = parse_outputs(outputs).unwrap();
            assert_eq!(join(&from_directory(Path::new(base), &outputs)), want);
        }
    }
}
