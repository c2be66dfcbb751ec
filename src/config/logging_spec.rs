// SPDX-License-Identifier: LGPL-2.1-or-later
//! Log filters and log outputs as libvirt writes them: `1:rpc 3:util` and `1:file:/tmp/log`.
//!
//! Both the configuration file and the admin program use this notation. Opens nothing and matches
//! nothing: a file's path is kept as it is written, also a relative one.

use std::collections::HashSet;
use std::fmt;

/// The importance of a log line; a level admits itself and all higher ones.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    Debug = 1,
    Info = 2,
    Warning = 3,
    Error = 4,
}

impl LogLevel {
    /// The level with libvirt's `number`, 1 to 4.
    pub const fn new(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Debug),
            2 => Some(Self::Info),
            3 => Some(Self::Warning),
            4 => Some(Self::Error),
            _ => None,
        }
    }

    /// libvirt's number, 1 to 4.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// The level for the sources whose name contains a match. The first filter that matches decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogFilter {
    pub level: LogLevel,
    /// A glob, to be matched with `*` on either side. Never empty.
    pub pattern: String,
}

/// As the admin program lists it: `1:*rpc*`.
impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:*{}*", self.level.number(), self.pattern)
    }
}

/// The destination of log lines.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum LogDestination {
    Stderr,
    /// The ident that syslog puts before each line.
    Syslog(String),
    /// A path. Never empty.
    File(String),
    Journald,
}

/// A destination, and the least level of the lines that go there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogOutput {
    pub level: LogLevel,
    pub destination: LogDestination,
}

/// As it is written in the file: `3:syslog:virtinterfaced`.
impl fmt::Display for LogOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.level.number())?;
        match &self.destination {
            LogDestination::Stderr => f.write_str("stderr"),
            LogDestination::Syslog(ident) => write!(f, "syslog:{ident}"),
            LogDestination::File(path) => write!(f, "file:{path}"),
            LogDestination::Journald => f.write_str("journald"),
        }
    }
}

/// Why a text is not a list of filters or outputs. The fields are parts of libvirt's messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LogSpecError {
    /// An output without a colon.
    OutputFormat { output: String },
    /// An output's level is not 1 to 4.
    OutputLevel { level: String, output: String },
    /// Neither stderr, syslog, file nor journald.
    Destination { destination: String, output: String },
    /// A destination with too many parts or too few.
    OutputParts { destination: String, output: String },
    /// A filter without a colon.
    FilterFormat { filter: String },
    /// A filter's level is not 1 to 4.
    FilterLevel { level: String, filter: String },
    /// A filter with nothing to match, or a plus alone.
    FilterPattern { pattern: String },
}

impl fmt::Display for LogSpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutputFormat { output } => write!(f, "log output {output:?} has no ':'"),
            Self::OutputLevel { level, output } => {
                write!(f, "log output {output:?}: level {level:?} is not 1 to 4")
            }
            Self::Destination { destination, output } => write!(
                f,
                "log output {output:?}: {destination:?} is none of stderr, syslog, file, journald"
            ),
            Self::OutputParts { destination, output } => {
                write!(f, "log output {output:?}: wrong number of parts for {destination}")
            }
            Self::FilterFormat { filter } => write!(f, "log filter {filter:?} has no ':'"),
            Self::FilterLevel { level, filter } => {
                write!(f, "log filter {filter:?}: level {level:?} is not 1 to 4")
            }
            Self::FilterPattern { pattern } => write!(f, "log filter matches nothing: {pattern:?}"),
        }
    }
}

impl std::error::Error for LogSpecError {}

/// Parses filters, `LEVEL:MATCH` each, with blanks between them.
pub(crate) fn parse_filters(text: &str) -> Result<Vec<LogFilter>, LogSpecError> {
    words(text).map(parse_filter).collect()
}

/// Parses outputs, `LEVEL:DESTINATION` or `LEVEL:DESTINATION:NAME` each, with blanks between them.
/// Of several to the same destination only the last is kept, as in libvirt.
pub(crate) fn parse_outputs(text: &str) -> Result<Vec<LogOutput>, LogSpecError> {
    words(text).map(parse_output).collect::<Result<_, _>>().map(last_to_each_place)
}

/// The outputs without those that a later one replaces: each destination occurs once.
pub(crate) fn last_to_each_place(mut outputs: Vec<LogOutput>) -> Vec<LogOutput> {
    let mut seen = HashSet::new();
    outputs.reverse();
    outputs.retain(|output| seen.insert(output.destination.clone()));
    outputs.reverse();
    outputs
}

/// libvirt splits the list at blanks alone: a tab or a line end belongs to its word.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

fn parse_filter(filter: &str) -> Result<LogFilter, LogSpecError> {
    let mut parts = filter.split(':');
    // Text behind a second colon is ignored, as in libvirt.
    let (Some(level), Some(pattern)) = (parts.next(), parts.next()) else {
        return Err(LogSpecError::FilterFormat { filter: filter.to_owned() });
    };
    let level = parse_level(level).ok_or_else(|| LogSpecError::FilterLevel {
        level: level.to_owned(),
        filter: filter.to_owned(),
    })?;
    // In older libvirt a plus requested a stack trace with each line.
    let glob = pattern.strip_prefix('+').unwrap_or(pattern);
    if glob.is_empty() {
        return Err(LogSpecError::FilterPattern { pattern: pattern.to_owned() });
    }
    Ok(LogFilter { level, pattern: glob.to_owned() })
}

fn parse_output(output: &str) -> Result<LogOutput, LogSpecError> {
    let parts: Vec<&str> = output.split(':').collect();
    let [level, destination, names @ ..] = parts.as_slice() else {
        return Err(LogSpecError::OutputFormat { output: output.to_owned() });
    };
    let level = parse_level(level).ok_or_else(|| LogSpecError::OutputLevel {
        level: (*level).to_owned(),
        output: output.to_owned(),
    })?;
    let destination = match (*destination, names) {
        ("stderr", []) => LogDestination::Stderr,
        ("syslog", [ident]) => LogDestination::Syslog((*ident).to_owned()),
        ("file", [path]) if !path.is_empty() => LogDestination::File((*path).to_owned()),
        ("journald", []) => LogDestination::Journald,
        ("stderr" | "syslog" | "file" | "journald", _) => {
            let destination = (*destination).to_owned();
            return Err(LogSpecError::OutputParts { destination, output: output.to_owned() });
        }
        _ => {
            let destination = (*destination).to_owned();
            return Err(LogSpecError::Destination { destination, output: output.to_owned() });
        }
    };
    Ok(LogOutput { level, destination })
}

fn parse_level(text: &str) -> Option<LogLevel> {
    text.parse().ok().and_then(LogLevel::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_with_patterns() {
        fn filter(level: LogLevel, pattern: &str) -> LogFilter {
            LogFilter { level, pattern: pattern.to_owned() }
        }
        let cases = [
            ("none", "", vec![]),
            ("only blanks", "   ", vec![]),
            ("lowest", "1:rpc", vec![filter(LogLevel::Debug, "rpc")]),
            ("highest", "4:rpc", vec![filter(LogLevel::Error, "rpc")]),
            ("plus is dropped", "2:+rpc", vec![filter(LogLevel::Info, "rpc")]),
            ("only one plus is", "2:++", vec![filter(LogLevel::Info, "+")]),
            ("stars stay", "1:*util*", vec![filter(LogLevel::Debug, "*util*")]),
            ("third part ignored", "1:a:b", vec![filter(LogLevel::Debug, "a")]),
            ("signed level", "+3:a", vec![filter(LogLevel::Warning, "a")]),
            (
                "two",
                " 1:a  3:b ",
                vec![filter(LogLevel::Debug, "a"), filter(LogLevel::Warning, "b")],
            ),
        ];
        for (label, input, want) in cases {
            assert_eq!(parse_filters(input), Ok(want), "{label}");
        }
    }

    #[test]
    fn a_wrong_filter_is_named() {
        fn level(level: &str, filter: &str) -> LogSpecError {
            LogSpecError::FilterLevel { level: level.to_owned(), filter: filter.to_owned() }
        }
        fn pattern(pattern: &str) -> LogSpecError {
            LogSpecError::FilterPattern { pattern: pattern.to_owned() }
        }
        let cases = [
            ("no colon", "1:a rpc", LogSpecError::FilterFormat { filter: "rpc".to_owned() }),
            ("below the levels", "0:a", level("0", "0:a")),
            ("above the levels", "5:a", level("5", "5:a")),
            ("negative", "-1:a", level("-1", "-1:a")),
            ("no number", "debug:a", level("debug", "debug:a")),
            ("no level", ":a", level("", ":a")),
            ("no match", "1:", pattern("")),
            ("a plus alone", "1:+", pattern("+")),
        ];
        for (label, input, want) in cases {
            assert_eq!(parse_filters(input), Err(want), "{label}");
        }
    }

    #[test]
    fn outputs_read_back_as_they_were_written() {
        let cases = [
            ("none", "", ""),
            ("only blanks", "  ", ""),
            ("stderr", "1:stderr", "1:stderr"),
            ("journald", "2:journald", "2:journald"),
            ("syslog", "3:syslog:virtinterfaced", "3:syslog:virtinterfaced"),
            ("syslog without a name", "3:syslog:", "3:syslog:"),
            ("file", "4:file:/var/log/x", "4:file:/var/log/x"),
            ("several", " 1:stderr  4:file:/a 4:file:/b", "1:stderr 4:file:/a 4:file:/b"),
            ("the last to a place counts", "1:stderr 3:journald 2:stderr", "3:journald 2:stderr"),
        ];
        for (label, input, want) in cases {
            let outputs = parse_outputs(input).unwrap();
            let got: Vec<_> = outputs.iter().map(LogOutput::to_string).collect();
            assert_eq!(got.join(" "), want, "{label}");
        }
    }

    #[test]
    fn a_wrong_output_is_named() {
        fn format(output: &str) -> LogSpecError {
            LogSpecError::OutputFormat { output: output.to_owned() }
        }
        fn level(level: &str, output: &str) -> LogSpecError {
            LogSpecError::OutputLevel { level: level.to_owned(), output: output.to_owned() }
        }
        fn destination(destination: &str, output: &str) -> LogSpecError {
            let destination = destination.to_owned();
            LogSpecError::Destination { destination, output: output.to_owned() }
        }
        fn parts(destination: &str, output: &str) -> LogSpecError {
            let destination = destination.to_owned();
            LogSpecError::OutputParts { destination, output: output.to_owned() }
        }
        let cases = [
            ("no colon", "1:stderr stderr", format("stderr")),
            ("below the levels", "0:stderr", level("0", "0:stderr")),
            ("above the levels", "5:stderr", level("5", "5:stderr")),
            ("level before destination", "x:y", level("x", "x:y")),
            ("unknown destination", "1:stdout", destination("stdout", "1:stdout")),
            ("no destination", "1:", destination("", "1:")),
            ("line end instead of a blank", "1:stderr\n", destination("stderr\n", "1:stderr\n")),
            ("stderr with a name", "1:stderr:x", parts("stderr", "1:stderr:x")),
            ("journald with a name", "1:journald:", parts("journald", "1:journald:")),
            ("file without a path", "1:file", parts("file", "1:file")),
            ("file with an empty path", "1:file:", parts("file", "1:file:")),
            ("file with a colon", "1:file:/a:b", parts("file", "1:file:/a:b")),
            ("syslog without an ident", "1:syslog", parts("syslog", "1:syslog")),
        ];
        for (label, input, want) in cases {
            assert_eq!(parse_outputs(input), Err(want), "{label}");
        }
    }

    #[test]
    fn a_filter_is_listed_with_stars() {
        assert_eq!(parse_filters("1:rpc").unwrap()[0].to_string(), "1:*rpc*");
    }

    #[test]
    fn an_error_is_one_line() {
        let err = parse_outputs("1:a\nb").unwrap_err();
        assert!(!err.to_string().contains('\n'), "{err}");
    }
}
