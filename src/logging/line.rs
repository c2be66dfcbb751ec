// SPDX-License-Identifier: LGPL-2.1-or-later
//! Formats a log record: libvirt's text line, a datagram for syslog, or fields for the journal.
//!
//! Does not know where the bytes go. Characters that would end or disguise a line are escaped, so
//! outside input cannot forge one, and no line is longer than [`LOG_LINE_LEN_MAX`]. Allocates
//! nothing.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, Record};

use super::plan::DEFAULT_IDENT;
use super::source;
use crate::limits::LOG_LINE_LEN_MAX;
use crate::model::utc::Utc;
use crate::sys::process;

/// Marks the end of a truncated line.
const CUT: &str = "...";

/// syslog's facility for daemons (RFC 3164, 4.1.1).
const FACILITY_DAEMON: u8 = 3;

/// Writes `TIME: THREAD: LEVEL : SOURCE:LINE : TEXT` and a line feed. A record without a module has
/// no source and no line number.
pub(super) fn write_text(out: &mut dyn Write, record: &Record<'_>) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a log line has the time of its writing")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Utc::since_epoch(now);
    let mut line = Line::new(out);
    line.push(format_args!("{now}: "));
    line.push_fields(record);
    line.finish()?;
    out.write_all(b"\n")
}

/// Writes `<PRIORITY>IDENT: THREAD: LEVEL : SOURCE:LINE : TEXT`.
///
/// RFC 3164 has a time and a host between priority and ident. They are left out: the local syslogd
/// adds them in the time zone and format of its log.
pub(super) fn write_syslog(
    out: &mut dyn Write,
    ident: &str,
    record: &Record<'_>,
) -> io::Result<()> {
    let priority = FACILITY_DAEMON * 8 + severity(record.level());
    let ident = if ident.is_empty() { DEFAULT_IDENT } else { ident };
    let mut line = Line::new(out);
    line.push(format_args!("<{priority}>{ident}: "));
    line.push_fields(record);
    line.finish()
}

/// Writes the journal's native format, one field per line. Values are escaped, so none needs the
/// binary form for values with line feeds.
pub(super) fn write_journal(out: &mut dyn Write, record: &Record<'_>) -> io::Result<()> {
    let severity = severity(record.level());
    writeln!(out, "PRIORITY={severity}\nSYSLOG_FACILITY={FACILITY_DAEMON}")?;
    writeln!(out, "SYSLOG_IDENTIFIER={DEFAULT_IDENT}")?;
    if let Some(module) = record.module_path() {
        let (file, number) = (record.file().unwrap_or("?"), record.line().unwrap_or(0));
        writeln!(out, "LIBVIRT_SOURCE={}", source::source_of(record))?;
        writeln!(out, "CODE_FILE={file}\nCODE_LINE={number}\nCODE_FUNC={module}")?;
    }
    out.write_all(b"MESSAGE=")?;
    let mut line = Line::new(out);
    line.push(*record.args());
    line.finish()?;
    out.write_all(b"\n")
}

/// Returns the severity of a level, which syslog and the journal share.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// A line being written: escaped, and truncated at the maximum length.
struct Line<'a> {
    out: &'a mut dyn Write,
    /// Bytes that still fit, after reserving those of the truncation mark and the line feed.
    room: usize,
    is_cut: bool,
    outcome: io::Result<()>,
}

impl<'a> Line<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out, room: LOG_LINE_LEN_MAX - CUT.len() - 1, is_cut: false, outcome: Ok(()) }
    }

    fn push_fields(&mut self, record: &Record<'_>) {
        self.push(format_args!("{}: {} : ", process::thread_id(), level_name(record.level())));
        if record.module_path().is_some() {
            let number = record.line().unwrap_or(0);
            self.push(format_args!("{}:{number} : ", source::source_of(record)));
        }
        self.push(*record.args());
    }

    fn push(&mut self, text: fmt::Arguments<'_>) {
        // Fails where the line is full, or where a value's `Display` fails.
        let _ = self.write_fmt(text);
    }

    fn finish(self) -> io::Result<()> {
        self.outcome
    }

    /// Writes a piece that needs no escaping, as far as it fits.
    fn write_piece(&mut self, piece: &str) -> fmt::Result {
        if self.is_cut {
            return Err(fmt::Error);
        }
        if let Some(room) = self.room.checked_sub(piece.len()) {
            self.room = room;
            return self.write_bytes(piece.as_bytes());
        }
        self.is_cut = true;
        let end = (0..=self.room).rev().find(|end| piece.is_char_boundary(*end));
        let kept = piece.get(..end.unwrap_or(0)).unwrap_or_default();
        self.write_bytes(kept.as_bytes())?;
        self.write_bytes(CUT.as_bytes())
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        self.out.write_all(bytes).map_err(|err| {
            self.outcome = Err(err);
            fmt::Error
        })
    }
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.write_piece(text);
        }
        for piece in text.split_inclusive(is_dangerous) {
            match piece.chars().next_back().filter(|c| is_dangerous(*c)) {
                None => self.write_piece(piece)?,
                Some(last) => {
                    let before = piece.len() - last.len_utf8();
                    self.write_piece(piece.get(..before).unwrap_or_default())?;
                    for c in last.escape_default() {
                        self.write_piece(c.encode_utf8(&mut [0; 4]))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns whether `c` could end a line, control a terminal, or reverse the direction of the text.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "virtinterfaced::server::acceptor";

    /// Returns a record, with or without a module, in the format of `write`.
    fn written(
        write: impl Fn(&mut dyn Write, &Record<'_>) -> io::Result<()>,
        (level, module): (Level, Option<&str>),
        text: &str,
    ) -> String {
        let mut bytes = Vec::new();
        let mut record = Record::builder();
        record.level(level).module_path(module).target(module.unwrap_or("the log"));
        record.file(Some("src/server/acceptor.rs")).line(Some(7));
        write(&mut bytes, &record.args(format_args!("{text}")).build()).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_libvirts_fields() {
        let thread = process::thread_id();
        for (level, module, want) in [
            (Level::Error, Some(MODULE), "error : rpc:7 : hello\n"),
            (Level::Warn, Some(MODULE), "warning : rpc:7 : hello\n"),
            (Level::Info, None, "info : hello\n"),
            (Level::Debug, Some(MODULE), "debug : rpc:7 : hello\n"),
            (Level::Trace, Some(MODULE), "debug : rpc:7 : hello\n"),
        ] {
            let line = written(write_text, (level, module), "hello");
            let (time, rest) = line.split_at("2024-02-29 12:34:56.007008+0000".len());
            let shape = time.replace(|c: char| c.is_ascii_digit(), "0");
            assert_eq!(shape, "0000-00-00 00:00:00.000000+0000");
            assert_eq!(rest, format!(": {thread}: {want}"));
        }
    }

    #[test]
    fn syslog_gets_priority_and_ident_and_no_time() {
        let thread = process::thread_id();
        for (level, ident, want) in [
            (Level::Error, "me", format!("<27>me: {thread}: error : rpc:7 : hello")),
            (Level::Warn, "me", format!("<28>me: {thread}: warning : rpc:7 : hello")),
            (Level::Info, "", format!("<30>virtinterfaced: {thread}: info : rpc:7 : hello")),
            (Level::Debug, "a\nb", format!("<31>a\\nb: {thread}: debug : rpc:7 : hello")),
        ] {
            let write = |out: &mut dyn Write, record: &Record<'_>| write_syslog(out, ident, record);
            assert_eq!(written(write, (level, Some(MODULE)), "hello"), want);
        }
    }

    #[test]
    fn the_journal_gets_fields() {
        assert_eq!(
            written(write_journal, (Level::Warn, Some(MODULE)), "a\nPRIORITY=0"),
            "PRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=virtinterfaced\n\
             LIBVIRT_SOURCE=rpc\nCODE_FILE=src/server/acceptor.rs\nCODE_LINE=7\n\
             CODE_FUNC=virtinterfaced::server::acceptor\nMESSAGE=a\\nPRIORITY=0\n"
        );
        assert_eq!(
            written(write_journal, (Level::Info, None), "hello"),
            "PRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=virtinterfaced\nMESSAGE=hello\n"
        );
    }

    #[test]
    fn a_text_cannot_forge_or_disguise_a_line() {
        for (text, want) in [
            ("plain", "plain"),
            ("", ""),
            ("ä € 𝄞", "ä € 𝄞"),
            ("a\nb: error : forged", "a\\nb: error : forged"),
            ("\r\n", "\\r\\n"),
            ("\t", "\\t"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\0", "\\u{0}"),
            ("\u{7f}", "\\u{7f}"),
            ("ä\u{85}ä", "ä\\u{85}ä"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
        ] {
            let line = written(write_text, (Level::Info, None), text);
            let shown = line.split_once(" info : ").unwrap().1;
            assert_eq!(shown, format!("{want}\n"), "{text:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_two_characters_and_marked() {
        let fixed = written(write_text, (Level::Info, None), "").len();
        let room = LOG_LINE_LEN_MAX - CUT.len() - fixed;
        for (label, text, want) in [
            ("fits", "x".repeat(room), "x".repeat(room)),
            ("one too long", "x".repeat(room + 1), "x".repeat(room) + CUT),
            ("far too long", "x".repeat(99_999), "x".repeat(room) + CUT),
            ("two bytes each", "ä".repeat(room), "ä".repeat(room / 2) + CUT),
            ("escaped", "\n".repeat(room), "\\n".repeat(room / 2) + &"\\".repeat(room % 2) + CUT),
        ] {
            let line = written(write_text, (Level::Info, None), &text);
            let shown = line.split_once(" info : ").unwrap().1;
            assert_eq!(shown, format!("{want}\n"), "{label}");
            assert!(line.len() <= LOG_LINE_LEN_MAX, "{label}");
        }
        let long = "x".repeat(99_999);
        let write = |out: &mut dyn Write, record: &Record<'_>| write_syslog(out, &long, record);
        let line = written(write, (Level::Info, Some(MODULE)), "never seen");
        assert!(line.len() <= LOG_LINE_LEN_MAX && line.ends_with(&format!("x{CUT}")), "{line}");
    }

    #[test]
    fn a_value_that_cannot_be_shown_ends_its_line() {
        struct Broken;
        impl fmt::Display for Broken {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                Err(fmt::Error)
            }
        }
        let mut bytes = Vec::new();
        let mut record = Record::builder();
        write_text(&mut bytes, &record.args(format_args!("a {Broken} b")).build()).unwrap();
        assert!(bytes.ends_with(b" info : a \n"), "{bytes:?}");
    }
}
