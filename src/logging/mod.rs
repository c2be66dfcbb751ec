// SPDX-License-Identifier: LGPL-2.1-or-later
//! Logging behind the `log` facade: which lines are written, in which format, to which outputs.
//!
//! A log call never blocks, fails or ends its caller, whatever an output does. Lines that an output
//! does not take are counted, and the count is written once the output takes lines again. Outside
//! input cannot forge a line.
//!
//! A process has one log, as with the facade. Each line and each change locks it briefly; a line
//! that is logged while another one is formatted is dropped.

pub mod plan;
pub mod source;
mod line;
mod sink;
mod output;
mod share;
mod state;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use log::{Log, Metadata, Record, warn};

use crate::config::logging_spec::{LogDestination, LogFilter, LogOutput};
use crate::config::settings::Logging;
use crate::sys::process;
use output::Services;
pub use plan::{Circumstances, LoggingError};
use state::{LogState, Warnings};

/// The socket of syslogd. RFC 3164 does not name one; this path is the common one.
const SYSLOG_SOCKET: &str = "/dev/log";

/// The socket of journald's native protocol.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The process's log, empty before the start.
struct Logger {
    state: Mutex<Option<LogState>>,
}

static LOGGER: Logger = Logger { state: Mutex::new(None) };

/// The user to whom lines are charged; [`NOBODY`] for the daemon's own lines.
static CHARGED_USER: AtomicI64 = AtomicI64::new(NOBODY);

const NOBODY: i64 = -1;

/// Starts logging. Must be called only once in a process.
///
/// # Errors
/// If the environment is invalid, or a requested output cannot be opened.
pub fn start(circumstances: Circumstances, settings: &Logging) -> Result<(), LoggingError> {
    let (state, warnings) = LogState::start(circumstances, settings, services())?;
    log::set_logger(&LOGGER).map_err(|_| LoggingError::OutOfOrder)?;
    let mut slot = LOGGER.lock();
    log::set_max_level(slot.insert(state).level_filter());
    drop(slot);
    warn_of(warnings);
    Ok(())
}

/// Checks that logging could start with these settings. Opens the outputs and closes them again.
///
/// # Errors
/// As [`start`].
pub fn check(circumstances: Circumstances, settings: &Logging) -> Result<(), LoggingError> {
    LogState::start(circumstances, settings, services()).map(drop)
}

fn services() -> Services {
    Services { syslog: PathBuf::from(SYSLOG_SOCKET), journal: PathBuf::from(JOURNAL_SOCKET) }
}

/// Applies a configuration that was read again, wholly or not at all, and reopens log files. The
/// environment and the command line of the start still take precedence.
///
/// # Errors
/// If a requested output cannot be opened.
pub fn reload(settings: &Logging) -> Result<(), LoggingError> {
    change(|state| state.apply(settings)).map(warn_of)
}

/// Reopens log files, after an administrator or logrotate has moved them. A file that cannot be
/// opened is kept, with a warning.
pub(crate) fn reopen() {
    // Before the start no file is open.
    let _ = change(|state| Ok(state.reopen())).map(warn_of);
}

/// Replaces the outputs; with none given, by the default one.
///
/// # Errors
/// If one of them cannot be opened. The outputs then stay unchanged.
pub(crate) fn set_outputs(outputs: &[LogOutput]) -> Result<(), LoggingError> {
    change(|state| state.set_outputs(outputs)).map(warn_of)
}

/// Replaces the filters.
pub(crate) fn set_filters(filters: Vec<LogFilter>) {
    // Before the start there are no filters.
    let _ = change(|state| {
        state.set_filters(filters);
        Ok(())
    });
}

/// Returns the outputs in force; none before the start.
pub fn outputs() -> Vec<LogOutput> {
    LOGGER.lock().as_ref().map(LogState::outputs).unwrap_or_default()
}

/// Returns the filters in force.
pub fn filters() -> Vec<LogFilter> {
    LOGGER.lock().as_ref().map(|state| state.filters().to_vec()).unwrap_or_default()
}

/// Returns whether the log goes to standard error.
pub(crate) fn writes_to_stderr() -> bool {
    outputs().iter().any(|output| output.destination == LogDestination::Stderr)
}

/// While this value lives, log lines are charged to a user, whose lines are rationed.
#[derive(Debug)]
#[must_use]
pub struct Charged(());

/// Charges the following log lines to the user whose client causes them. Lines of the daemon's own
/// user are not rationed.
pub(crate) fn charge_to(user: u32) -> Charged {
    let is_limited = user != process::effective_uid();
    CHARGED_USER.store(if is_limited { user.into() } else { NOBODY }, Ordering::Relaxed);
    Charged(())
}

impl Drop for Charged {
    fn drop(&mut self) {
        CHARGED_USER.store(NOBODY, Ordering::Relaxed);
    }
}

/// Changes the log, and sets the facade's maximum level accordingly.
fn change<T>(
    change: impl FnOnce(&mut LogState) -> Result<T, LoggingError>,
) -> Result<T, LoggingError> {
    let mut slot = LOGGER.lock();
    let state = slot.as_mut().ok_or(LoggingError::OutOfOrder)?;
    let outcome = change(state);
    log::set_max_level(state.level_filter());
    outcome
}

/// Logs the warnings of a change, once the log is unlocked.
fn warn_of(warnings: Warnings) {
    warnings.iter().for_each(|warning| warn!("{warning}"));
}

impl Logger {
    fn lock(&self) -> MutexGuard<'_, Option<LogState>> {
        // A panic while a line is written leaves the state consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let mut slot = match self.state.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(err)) => err.into_inner(),
            // The line was logged while another one is formatted.
            Err(TryLockError::WouldBlock) => return,
        };
        if let Some(state) = slot.as_mut() {
            let user = u32::try_from(CHARGED_USER.load(Ordering::Relaxed)).ok();
            state.log(record, user);
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::logging_spec::{LogLevel, parse_outputs};
    use crate::model::client::Privilege;
    use std::fmt;
    use std::path::Path;

    /// A separate log that writes to the file at `path`.
    fn logger(path: &Path) -> Logger {
        let circumstances = Circumstances {
            privilege: Privilege::System,
            is_verbose: false,
            is_daemonized: false,
            debug: None,
            filters: None,
            outputs: None,
            default_file: PathBuf::new(),
        };
        let outputs = parse_outputs(&format!("1:file:{}", path.display())).unwrap();
        let settings = Logging { level: LogLevel::Debug, filters: Vec::new(), outputs };
        let services = Services { syslog: PathBuf::new(), journal: PathBuf::new() };
        let (state, _) = LogState::start(circumstances, &settings, services).unwrap();
        Logger { state: Mutex::new(Some(state)) }
    }

    #[test]
    fn a_line_that_logs_while_it_is_put_into_words_loses_only_the_inner_one() {
        struct Talkative<'a>(&'a Logger);
        impl fmt::Display for Talkative<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.log(&Record::builder().args(format_args!("inner")).build());
                f.write_str("outer")
            }
        }
        let path = std::env::temp_dir().join(format!("talkative-{}", std::process::id()));
        let logger = logger(&path);
        logger.log(&Record::builder().args(format_args!("{}", Talkative(&logger))).build());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(" info : outer\n") && !text.contains("inner"), "{text}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_line_that_panics_leaves_a_log_that_goes_on() {
        struct Panicking;
        impl fmt::Display for Panicking {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("as a test wants it");
            }
        }
        let path = std::env::temp_dir().join(format!("panicking-{}", std::process::id()));
        let logger = logger(&path);
        std::thread::scope(|scope| {
            let line = || {
                logger.log(&Record::builder().args(format_args!("{Panicking}")).build());
            };
            assert!(scope.spawn(line).join().is_err());
        });
        assert!(logger.state.is_poisoned());
        logger.log(&Record::builder().args(format_args!("afterwards")).build());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(" info : afterwards\n"), "{text}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn before_the_start_there_is_nothing_to_change_and_lines_go_nowhere() {
        let unstarted = Logger { state: Mutex::new(None) };
        unstarted.log(&Record::builder().args(format_args!("not written")).build());
        assert_eq!(set_outputs(&[]), Err(LoggingError::OutOfOrder));
        assert_eq!((outputs(), filters(), writes_to_stderr()), (vec![], vec![], false));
        reopen();
    }
}
