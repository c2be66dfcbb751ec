// SPDX-License-Identifier: LGPL-2.1-or-later
//! One log output: the lines it takes, their format, and the lines it writes about itself.
//!
//! Each output has an `env_logger`, which selects lines by level, buffers them while they are
//! formatted, and hands each over in one piece. Sources are not selected by it, as its filters are
//! module prefixes while libvirt's are patterns, and it does not write, as its own targets block.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env_logger::{Builder, Logger, Target, WriteStyle};
use log::{Level, LevelFilter, Log, Record};

use super::line;
use super::sink::Sink;
use crate::config::logging_spec::{LogDestination, LogLevel, LogOutput};
use crate::error::HostError;
use crate::release::LIBVIRT_VERSION;
use crate::sys::process;

/// The target of lines about the log itself, which an output takes at any level.
const ABOUT_ITSELF: &str = "this log output";

/// The sockets of the logging services.
#[derive(Clone, Debug)]
pub(super) struct Services {
    pub(super) syslog: PathBuf,
    pub(super) journal: PathBuf,
}

/// An open output.
#[derive(Debug)]
pub(super) struct Output {
    spec: LogOutput,
    logger: Logger,
    has_failed: Arc<AtomicBool>,
    /// Whether the version and host line has been written to it.
    is_introduced: bool,
    /// The number of lines lost since it last took one.
    lost_count: u64,
}

impl Output {
    pub(super) fn open(spec: &LogOutput, services: &Services) -> Result<Self, HostError> {
        let sink = match &spec.destination {
            LogDestination::Stderr => Sink::stderr(),
            LogDestination::Syslog(_) => Sink::socket(&services.syslog)?,
            LogDestination::File(path) => Sink::file(path.as_ref())?,
            LogDestination::Journald => Sink::socket(&services.journal)?,
        };
        let has_failed = sink.has_failed();
        let mut builder = Builder::new();
        builder.filter_level(level_filter(spec.level));
        builder.filter(Some(ABOUT_ITSELF), LevelFilter::Trace);
        builder.target(Target::Pipe(Box::new(sink))).write_style(WriteStyle::Never);
        match &spec.destination {
            LogDestination::Stderr | LogDestination::File(_) => {
                builder.format(|out, record| line::write_text(out, record));
            }
            LogDestination::Syslog(ident) => {
                let ident = ident.clone();
                builder.format(move |out, record| line::write_syslog(out, &ident, record));
            }
            LogDestination::Journald => {
                builder.format(|out, record| line::write_journal(out, record));
            }
        }
        let logger = builder.build();
        Ok(Self { spec: spec.clone(), logger, has_failed, is_introduced: false, lost_count: 0 })
    }

    /// Returns the specification that it was opened with.
    pub(super) fn spec(&self) -> &LogOutput {
        &self.spec
    }

    /// Continues `earlier`, an output to the same destination. The path may now name another file,
    /// so the introduction is written again.
    pub(super) fn take_over(&mut self, earlier: &Self) {
        self.lost_count = earlier.lost_count;
        self.is_introduced =
            earlier.is_introduced && !matches!(self.spec.destination, LogDestination::File(_));
    }

    /// Writes a record if its level is one that this output takes.
    pub(super) fn log(&mut self, record: &Record<'_>) {
        if !self.logger.matches(record) {
            return;
        }
        let is_taken = self.introduce() && self.confess() && self.deliver(record);
        if !is_taken {
            self.lost_count = self.lost_count.saturating_add(1);
        }
    }

    /// Writes the version and the host before the first line of an output.
    fn introduce(&mut self) -> bool {
        if !self.is_introduced {
            let package = env!("CARGO_PKG_VERSION");
            let host = process::hostname().unwrap_or_default();
            self.is_introduced = self.say(
                Level::Info,
                format_args!(
                    "libvirt version: {LIBVIRT_VERSION}, package: virtinterfaced {package}"
                ),
            ) && self.say(Level::Info, format_args!("hostname: {host}"));
        }
        self.is_introduced
    }

    /// Writes how many lines were lost, once the output takes a line.
    fn confess(&mut self) -> bool {
        if self.lost_count > 0 {
            let count = self.lost_count;
            if !self.say(
                Level::Warn,
                format_args!("{count} log lines were lost: this output did not take them"),
            ) {
                return false;
            }
            self.lost_count = 0;
        }
        true
    }

    fn say(&self, level: Level, text: std::fmt::Arguments<'_>) -> bool {
        self.deliver(&Record::builder().target(ABOUT_ITSELF).level(level).args(text).build())
    }

    /// Returns whether the line was delivered.
    fn deliver(&self, record: &Record<'_>) -> bool {
        self.has_failed.store(false, Ordering::Relaxed);
        self.logger.log(record);
        !self.has_failed.load(Ordering::Relaxed)
    }
}

/// Converts a level to the filter that passes it and all more severe ones.
pub(super) fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
        LogLevel::Error => LevelFilter::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::logging_spec::parse_outputs;
    use std::fs;
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("output-{}-{name}", std::process::id()))
    }

    fn open(spec: &str, service: &Path) -> Output {
        let services = Services { syslog: service.to_owned(), journal: service.to_owned() };
        let [spec] = parse_outputs(spec).unwrap().try_into().unwrap();
        Output::open(&spec, &services).unwrap()
    }

    fn log(output: &mut Output, level: Level, text: &str) {
        let mut record = Record::builder();
        record.level(level).target("a::b").module_path(Some("a::b")).line(Some(1));
        output.log(&record.args(format_args!("{text}")).build());
    }

    #[test]
    fn an_output_is_introduced_once_and_takes_lines_from_its_level_up() {
        let package = env!("CARGO_PKG_VERSION");
        let host = process::hostname().unwrap();
        for (level, want) in [
            (1, &["error", "warning", "info", "debug"][..]),
            (2, &["error", "warning", "info"]),
            (3, &["error", "warning"]),
            (4, &["error"]),
        ] {
            let path = temporary(&format!("level-{level}"));
            let mut output = open(&format!("{level}:file:{}", path.display()), &path);
            assert_eq!(fs::read_to_string(&path).unwrap(), "", "without a line there is none");
            log(&mut output, Level::Error, "error");
            log(&mut output, Level::Warn, "warning");
            log(&mut output, Level::Info, "info");
            log(&mut output, Level::Debug, "debug");
            log(&mut output, Level::Trace, "trace");
            let text = fs::read_to_string(&path).unwrap();
            let (head, rest): (Vec<_>, Vec<_>) =
                text.lines().partition(|line| !line.contains("b:1"));
            let says = |line: &&str, what: &str| line.ends_with(&format!(": info : {what}"));
            assert_eq!(head.len(), 2, "{text}");
            let version = format!("libvirt version: 11.0.0, package: virtinterfaced {package}");
            assert!(
                says(&head[0], &version) && says(&head[1], &format!("hostname: {host}")),
                "{text}"
            );
            let rest: Vec<_> = rest.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
            assert_eq!(rest, want, "{level}");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn lost_lines_are_counted_and_told_of() {
        let path = temporary("lost");
        for spec in ["4:syslog:x", "4:journald"] {
            let mut output = open(spec, &path);
            (0..3).for_each(|_| log(&mut output, Level::Error, "not written"));
            assert_eq!(output.lost_count, 3);
            let receiver = UnixDatagram::bind(&path).unwrap();
            receiver.set_nonblocking(true).unwrap();
            let received = || {
                let mut buffer = [0; 4096];
                receiver.recv(&mut buffer).ok().map(|len| {
                    let text = String::from_utf8(buffer[..len].to_vec()).unwrap();
                    text.trim_end().rsplit([':', '=']).next().unwrap().trim().to_owned()
                })
            };
            log(&mut output, Level::Error, "heard");
            let host = process::hostname().unwrap();
            let package = format!("virtinterfaced {}", env!("CARGO_PKG_VERSION"));
            let lost = "this output did not take them";
            for want in [&package, &host, lost, "heard"] {
                assert_eq!(received().as_deref(), Some(want), "{spec}");
            }
            let mut taken = 0;
            while output.lost_count == 0 {
                log(&mut output, Level::Error, "not read");
                taken += 1;
            }
            log(&mut output, Level::Error, "not read");
            assert_eq!(output.lost_count, 2);
            for _ in 1..taken {
                assert_eq!(received().as_deref(), Some("not read"), "{spec}");
            }
            assert_eq!(received(), None, "{spec}");
            log(&mut output, Level::Error, "read again");
            assert_eq!(received().as_deref(), Some(lost), "{spec}");
            assert_eq!(received().as_deref(), Some("read again"), "{spec}");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_full_disk_is_survived() {
        let mut output = open("1:file:/dev/full", Path::new("/"));
        (0..9).for_each(|_| log(&mut output, Level::Error, "lost"));
        assert_eq!(output.lost_count, 9);
    }

    #[test]
    fn what_takes_over_knows_what_was_lost_and_a_new_file_is_introduced_to() {
        let path = temporary("over");
        for (spec, is_introduced) in
            [("1:stderr".to_owned(), true), (format!("1:file:{}", path.display()), false)]
        {
            let mut earlier = open(&spec, &path);
            (earlier.lost_count, earlier.is_introduced) = (7, true);
            let mut later = open(&spec, &path);
            later.take_over(&earlier);
            assert_eq!((later.lost_count, later.is_introduced), (7, is_introduced), "{spec}");
        }
        fs::remove_file(&path).unwrap();
    }
}
