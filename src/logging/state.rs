// SPDX-License-Identifier: LGPL-2.1-or-later
//! The current state of logging: levels, filters, open outputs, and their origin.
//!
//! A change is atomic: new outputs are opened before old ones are closed. This module logs nothing
//! itself; it returns its warnings.

use std::fmt;
use std::fs::DirBuilder;
use std::io::{self, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use log::{Level, LevelFilter, Record};

use super::output::{Output, Services, level_filter};
use super::plan::{
    Circumstances, DEFAULT_IDENT, LoggingError, Overrides, Surroundings, default_output,
    from_directory,
};
use super::share::{LineVerdict, Shares};
use super::source;
use crate::config::logging_spec::{LogDestination, LogFilter, LogLevel, LogOutput};
use crate::config::settings::Logging;
use crate::error::HostError;
use crate::model::client::Privilege;
use crate::sys::{clock, socket};

/// Warnings about a change, to be logged once the log is unlocked.
pub(super) type Warnings = Vec<String>;

/// The state of logging.
#[derive(Debug)]
pub(super) struct LogState {
    circumstances: Circumstances,
    overrides: Overrides,
    services: Services,
    /// The directory that the daemon was started in. Relative paths in the configuration and the
    /// environment are resolved from it, even after the daemon has changed its directory.
    home: PathBuf,
    has_terminal: bool,
    level: LogLevel,
    filters: Vec<LogFilter>,
    outputs: Vec<Output>,
    shares: Shares,
}

impl LogState {
    pub(super) fn start(
        circumstances: Circumstances,
        settings: &Logging,
        services: Services,
    ) -> Result<(Self, Warnings), LoggingError> {
        let mut state = Self {
            overrides: Overrides::read(&circumstances)?,
            circumstances,
            services,
            home: current_directory(),
            has_terminal: io::stdin().is_terminal(),
            level: LogLevel::Warning,
            filters: Vec::new(),
            outputs: Vec::new(),
            shares: Shares::default(),
        };
        let warnings = state.apply(settings)?;
        Ok((state, warnings))
    }

    /// Applies the configuration, and reopens files.
    pub(super) fn apply(&mut self, settings: &Logging) -> Result<Warnings, LoggingError> {
        let plan = self.overrides.apply(settings);
        let wanted = from_directory(&self.home, &plan.outputs);
        let (outputs, warnings) = self.open(&wanted, plan.level)?;
        (self.level, self.filters, self.outputs) = (plan.level, plan.filters, outputs);
        Ok(warnings)
    }

    /// Replaces the outputs; with none given, by the default one.
    pub(super) fn set_outputs(&mut self, outputs: &[LogOutput]) -> Result<Warnings, LoggingError> {
        let wanted = from_directory(&current_directory(), outputs);
        let (outputs, warnings) = self.open(&wanted, self.level)?;
        self.outputs = outputs;
        Ok(warnings)
    }

    pub(super) fn set_filters(&mut self, filters: Vec<LogFilter>) {
        self.filters = filters;
    }

    /// Reopens log files. A file that cannot be opened stays open under its old descriptor.
    pub(super) fn reopen(&mut self) -> Warnings {
        let mut warnings = Warnings::new();
        for output in &mut self.outputs {
            if matches!(output.spec().destination, LogDestination::File(_)) {
                match Output::open(output.spec(), &self.services) {
                    Ok(mut anew) => {
                        anew.take_over(output);
                        *output = anew;
                    }
                    Err(err) => warnings.push(format!("{err}; still writing to the open file")),
                }
            }
        }
        warnings
    }

    pub(super) fn outputs(&self) -> Vec<LogOutput> {
        self.outputs.iter().map(|output| output.spec().clone()).collect()
    }

    pub(super) fn filters(&self) -> &[LogFilter] {
        &self.filters
    }

    /// Returns the minimum level that any output may take; lines below it need not be formatted.
    pub(super) fn level_filter(&self) -> LevelFilter {
        let sources = self.filters.iter().map(|filter| filter.level).fold(self.level, Ord::min);
        let outputs = self.outputs.iter().map(|output| output.spec().level).min();
        level_filter(outputs.map_or(sources, |outputs| outputs.max(sources)))
    }

    /// Writes a record to each output that takes it, unless its user has used up the ration.
    pub(super) fn log(&mut self, record: &Record<'_>, user: Option<u32>) {
        let level = if self.filters.is_empty() {
            self.level
        } else {
            source::level_of(&source::source_of(record), &self.filters, self.level)
        };
        if record.level() <= level_filter(level) && self.is_within_share(user) {
            self.write(record);
        }
    }

    fn is_within_share(&mut self, user: Option<u32>) -> bool {
        let Some(user) = user else { return true };
        match self.shares.charge(user, clock::monotonic().unwrap_or_default()) {
            LineVerdict::Write => true,
            LineVerdict::WriteAfter(count) => {
                self.warn(format_args!("left out {count} log lines caused by user {user}"));
                true
            }
            LineVerdict::LeaveOutFirst => {
                self.warn(format_args!(
                    "user {user} causes too many log lines; leaving out further ones"
                ));
                false
            }
            LineVerdict::LeaveOut => false,
        }
    }

    fn warn(&mut self, text: fmt::Arguments<'_>) {
        let mut line = Record::builder();
        line.level(Level::Warn).target("daemon").args(text);
        self.write(&line.build());
    }

    fn write(&mut self, record: &Record<'_>) {
        self.outputs.iter_mut().for_each(|output| output.log(record));
    }

    fn open(
        &self,
        wanted: &[LogOutput],
        level: LogLevel,
    ) -> Result<(Vec<Output>, Warnings), LoggingError> {
        let (mut outputs, warnings) = if wanted.is_empty() {
            let (output, warnings) = self.open_default(level)?;
            (vec![output], warnings)
        } else {
            let open = |output| self.open_one(output);
            (wanted.iter().map(open).collect::<Result<_, _>>()?, Warnings::new())
        };
        for output in &mut outputs {
            let place = &output.spec().destination;
            let earlier = self.outputs.iter().find(|earlier| earlier.spec().destination == *place);
            if let Some(earlier) = earlier {
                output.take_over(earlier);
            }
        }
        Ok((outputs, warnings))
    }

    fn open_one(&self, output: &LogOutput) -> Result<Output, LoggingError> {
        Output::open(output, &self.services)
            .map_err(|cause| LoggingError::Output { output: output.clone(), cause })
    }

    /// Opens the default output. Its file may be out of reach: this daemon configures the network,
    /// so it may start before `/var` is mounted.
    fn open_default(&self, level: LogLevel) -> Result<(Output, Warnings), LoggingError> {
        let surroundings = Surroundings {
            is_daemonized: self.circumstances.is_daemonized,
            has_terminal: self.has_terminal,
            has_journal: is_listening(&self.services.journal),
        };
        let file = &self.circumstances.default_file;
        let wanted = default_output(level, surroundings, file);
        let LogDestination::File(_) = wanted.destination else {
            return Ok((self.open_one(&wanted)?, Warnings::new()));
        };
        let made = make_parent(file, self.circumstances.privilege);
        match made.and_then(|()| Output::open(&wanted, &self.services)) {
            Ok(output) => Ok((output, Warnings::new())),
            Err(err) => {
                let syslog =
                    LogOutput { level, destination: LogDestination::Syslog(DEFAULT_IDENT.into()) };
                let warning = format!("{err}; syslog gets the log instead");
                Ok((self.open_one(&syslog)?, vec![warning]))
            }
        }
    }
}

fn current_directory() -> PathBuf {
    // In a removed directory no file can be opened; the root always exists.
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
}

/// Returns whether a datagram socket is bound to a path.
fn is_listening(path: &Path) -> bool {
    socket::datagram().and_then(|socket| socket::connect(socket, path)).is_ok()
}

/// Creates a file's directory, with access for its owner alone. A missing system-wide `/var/log` is
/// not created: it means that `/var` is not mounted yet, and the mount would hide the directory. In
/// a new user's home several parts of the path may be missing.
fn make_parent(file: &Path, privilege: Privilege) -> Result<(), HostError> {
    let Some(parent) = file.parent().filter(|parent| !parent.exists()) else { return Ok(()) };
    let is_recursive = privilege == Privilege::Session;
    let made = DirBuilder::new().recursive(is_recursive).mode(0o700).create(parent);
    made.map_err(|err| HostError::new("create", parent.display().to_string(), &err))
}

#[cfg(test)]
mod tests;
