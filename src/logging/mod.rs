// SPDX-License-Identifier: LGPL-2.1-or-later
//! Log lines: libvirt's fields, on standard error, behind the `log` facade.
//!
//! A line is `TIME: THREAD: LEVEL : MODULE:LINE : TEXT`. What comes from outside cannot forge one:
//! control characters of the text are escaped.

use std::io::Write;
use std::time::SystemTime;

use env_logger::{Builder, Target, WriteStyle};
use log::{Level, LevelFilter};

use crate::config::logging_spec::LogLevel;
use crate::sys::{clock::Utc, process};

/// The level that `LIBVIRT_DEBUG` asks for: a number from 1 to 4, or its name.
pub fn parse_level(text: &str) -> Option<LogLevel> {
    let number = match text {
        "debug" => 1,
        "info" => 2,
        "warning" => 3,
        "error" => 4,
        number => number.parse().ok()?,
    };
    LogLevel::new(number)
}

/// Starts logging to standard error. To be called once in a process.
pub fn start(level: LogLevel) {
    let filter = match level {
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
        LogLevel::Error => LevelFilter::Error,
    };
    let mut builder = Builder::new();
    builder.filter_level(filter).target(Target::Stderr).write_style(WriteStyle::Never);
    builder.format(|out, record| {
        #[expect(clippy::disallowed_methods, reason = "a log line tells when it was written")]
        let now = Utc::new(SystemTime::now());
        let thread = process::thread_id();
        let level = level_name(record.level());
        let module = record.module_path().unwrap_or("?");
        let line = record.line().unwrap_or(0);
        let text = escape(&record.args().to_string());
        writeln!(out, "{now}: {thread}: {level} : {module}:{line} : {text}")
    });
    // A second start would be a mistake of ours; the first one goes on logging.
    let _ = builder.try_init();
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// The text with its control characters escaped, as Rust writes them.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_forge_a_line() {
        assert_eq!(escape("a\nb\u{1b}[0m ä"), "a\\nb\\u{1b}[0m ä");
    }

    #[test]
    fn a_level_is_a_number_or_its_name() {
        for (text, want) in [
            ("1", Some(LogLevel::Debug)),
            ("debug", Some(LogLevel::Debug)),
            ("2", Some(LogLevel::Info)),
            ("warning", Some(LogLevel::Warning)),
            ("4", Some(LogLevel::Error)),
            ("0", None),
            ("5", None),
            ("loud", None),
            ("", None),
        ] {
            assert_eq!(parse_level(text), want, "{text}");
        }
    }
}
