// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Line`]: the logical lines of a file, and their words.
//!
//! A backslash at the end of a line continues it, except that of a comment in the dialects of which
//! the manual says so. The programs join the parts without a blank; ifupdown-ng drops the blanks at
//! the beginning of the next part.

use std::borrow::Cow;
use std::ops::Range;

use crate::ifupdown::Dialect;

/// One logical line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// All its bytes, with its line feed. The ranges of all lines together are the file.
    pub range: Range<usize>,
    /// The first of its lines in the file, counted from 1.
    pub number: usize,
    /// Empty for a blank line and for a comment.
    pub words: Vec<Range<usize>>,
}

/// Splits a file into its logical lines.
pub fn lines(bytes: &[u8], dialect: Dialect) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut start, mut number) = (0, 1);
    while start < bytes.len() {
        let mut end = end_of_line(bytes, start);
        let first_number = number;
        number += 1;
        let first = part(bytes, start..end);
        let is_comment = first.trim_ascii_start().starts_with(b"#");
        let may_continue = !is_comment || dialect == Dialect::BusyBox;
        let mut last = start;
        while may_continue && end < bytes.len() && is_continued(part(bytes, last..end), dialect) {
            last = end;
            end = end_of_line(bytes, last);
            number += 1;
        }
        let words = if is_comment { Vec::new() } else { words(bytes, start..end, dialect) };
        lines.push(Line { range: start..end, number: first_number, words });
        start = end;
    }
    lines
}

/// A range of the file; empty if it is not in the file.
pub fn part(bytes: &[u8], range: Range<usize>) -> &[u8] {
    bytes.get(range).unwrap_or_default()
}

/// A range of a logical line as the program sees it: without the ends of continued lines.
pub fn unfolded(bytes: &[u8], range: Range<usize>, dialect: Dialect) -> Cow<'_, [u8]> {
    let whole = part(bytes, range.clone());
    if !whole.contains(&b'\n') {
        return Cow::Borrowed(whole);
    }
    let mut text = Vec::with_capacity(whole.len());
    let mut at = range.start;
    while at < range.end {
        let rest = part(bytes, at..range.end);
        let fold = fold_len(rest, dialect);
        let len = if fold > 0 { fold } else { character_len(rest, dialect) };
        if fold == 0 {
            text.extend_from_slice(part(bytes, at..at + len));
        }
        at += len;
    }
    Cow::Owned(text)
}

fn end_of_line(bytes: &[u8], start: usize) -> usize {
    let rest = part(bytes, start..bytes.len());
    rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| start + at + 1)
}

/// Whether this line, which ends with a line feed, goes on in the next one.
fn is_continued(line: &[u8], dialect: Dialect) -> bool {
    let Some(line) = line.strip_suffix(b"\n") else { return false };
    match dialect {
        Dialect::Classic | Dialect::BusyBox => line.ends_with(b"\\"),
        Dialect::Ng => {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let backslashes = line.iter().rev().take_while(|byte| **byte == b'\\').count();
            backslashes % 2 == 1 && comment_in(line, dialect).is_none()
        }
    }
}

/// The offset at which a comment begins behind other text, which only ifupdown-ng allows.
fn comment_in(line: &[u8], dialect: Dialect) -> Option<usize> {
    let mut is_quoted = false;
    line.iter().position(|byte| {
        let is_comment = *byte == b'#' && !is_quoted;
        is_quoted = *byte == b'\\' && !is_quoted;
        is_comment && dialect == Dialect::Ng
    })
}

/// The length of the end of a continued line at the beginning of `rest`; 0 if there is none.
fn fold_len(rest: &[u8], dialect: Dialect) -> usize {
    let Some(behind) = rest.strip_prefix(b"\\") else { return 0 };
    let behind = match dialect {
        Dialect::Ng => behind.strip_prefix(b"\r").unwrap_or(behind),
        Dialect::Classic | Dialect::BusyBox => behind,
    };
    let Some(next) = behind.strip_prefix(b"\n") else { return 0 };
    let is_dropped = |byte: &&u8| dialect == Dialect::Ng && matches!(byte, b' ' | b'\t');
    rest.len() - next.len() + next.iter().take_while(is_dropped).count()
}

/// The length of the first character: ifupdown-ng reads two backslashes as one that is quoted.
fn character_len(rest: &[u8], dialect: Dialect) -> usize {
    if dialect == Dialect::Ng && rest.starts_with(br"\\") { 2 } else { 1 }
}

fn is_separator(byte: u8, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Classic => is_space(byte),
        Dialect::Ng => is_space(byte) || byte == b'=',
        Dialect::BusyBox => matches!(byte, b' ' | b'\t' | b'\n'),
    }
}

/// isspace(3).
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

fn words(bytes: &[u8], line: Range<usize>, dialect: Dialect) -> Vec<Range<usize>> {
    let whole = part(bytes, line.clone());
    let end = comment_in(whole, dialect).map_or(line.end, |at| line.start + at);
    let mut words = Vec::new();
    let mut word: Option<Range<usize>> = None;
    let mut at = line.start;
    while at < end {
        let rest = part(bytes, at..end);
        let fold = fold_len(rest, dialect);
        if fold > 0 {
            at += fold;
            continue;
        }
        let is_in_word = rest.first().is_some_and(|byte| !is_separator(*byte, dialect));
        let start = at;
        at += character_len(rest, dialect);
        match &mut word {
            Some(word) if is_in_word => word.end = at,
            None if is_in_word => word = Some(start..at),
            Some(_) | None => words.extend(word.take()),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of each line that has some, with its number.
    fn words_of(text: &str, dialect: Dialect) -> Vec<(usize, Vec<String>)> {
        let bytes = text.as_bytes();
        let text_of = |word: &Range<usize>| {
            String::from_utf8(unfolded(bytes, word.clone(), dialect).into_owned()).unwrap()
        };
        let lines = lines(bytes, dialect).into_iter().filter(|line| !line.words.is_empty());
        lines.map(|line| (line.number, line.words.iter().map(text_of).collect())).collect()
    }

    #[test]
    fn lines_have_words_as_each_program_reads_them() {
        use Dialect::{BusyBox, Classic, Ng};
        struct Case<'a>(&'a str, &'a str, &'a [Dialect], &'a [(usize, &'a [&'a str])]);
        let all = &Dialect::ALL;
        let cases = [
            Case("nothing", "", all, &[]),
            Case("blank", "\n \t\n", all, &[]),
            Case("a comment", "  # auto eth0\nauto eth1", all, &[(2, &["auto", "eth1"])]),
            Case("tabs", "\tmtu\t\t 9000  \n", all, &[(1, &["mtu", "9000"])]),
            Case("CRLF", "auto eth0\r\n\r\n", &[Classic, Ng], &[(1, &["auto", "eth0"])]),
            Case("CRLF", "auto eth0\r\n", &[BusyBox], &[(1, &["auto", "eth0\r"])]),
            Case(
                "continued",
                "auto eth0 \\\n  eth1\nauto eth2",
                all,
                &[(1, &["auto", "eth0", "eth1"]), (3, &["auto", "eth2"])],
            ),
            Case("in a word", "auto et\\\nh0", all, &[(1, &["auto", "eth0"])]),
            Case(
                "before a blank",
                "auto a\\\n b",
                &[Classic, BusyBox],
                &[(1, &["auto", "a", "b"])],
            ),
            Case("before a blank", "auto a\\\n b", &[Ng], &[(1, &["auto", "ab"])]),
            Case("CRLF", "up a\\\r\nb", &[Ng], &[(1, &["up", "ab"])]),
            Case("CRLF", "up a \\\r\nb", &[Classic], &[(1, &["up", "a", "\\"]), (2, &["b"])]),
            Case("at the end", "auto a \\", all, &[(1, &["auto", "a", "\\"])]),
            Case("two", "up a\\\\\nb", &[Ng], &[(1, &["up", "a\\\\"]), (2, &["b"])]),
            Case("two", "up a\\\\\nb", &[Classic, BusyBox], &[(1, &["up", "a\\b"])]),
            Case("of a comment", "# x \\\nauto a", &[Classic, Ng], &[(2, &["auto", "a"])]),
            Case("of a comment", "# x \\\nauto a", &[BusyBox], &[]),
            Case("behind", "auto a # b\n", &[Ng], &[(1, &["auto", "a"])]),
            Case("behind", "auto a # b\n", &[Classic, BusyBox], &[(1, &["auto", "a", "#", "b"])]),
            Case("behind", "up a # b \\\nc", &[Ng], &[(1, &["up", "a"]), (2, &["c"])]),
            Case("equals", "mtu=9000", &[Ng], &[(1, &["mtu", "9000"])]),
            Case("equals", "mtu=9000", &[Classic, BusyBox], &[(1, &["mtu=9000"])]),
        ];
        for Case(label, text, dialects, want) in cases {
            let want: Vec<_> = want
                .iter()
                .map(|(number, words)| (*number, words.iter().map(|it| (*it).to_owned()).collect()))
                .collect();
            for dialect in dialects {
                assert_eq!(words_of(text, *dialect), want, "{label}, {dialect}: {text:?}");
            }
        }
    }

    #[test]
    fn each_byte_is_in_one_line() {
        let pieces: [&[u8]; 9] =
            [b"auto", b" ", b"\\", b"\n", b"\r\n", b"#", b"\xff", b"=", b"\t\x00"];
        let mut seed: u64 = 1;
        let mut below = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            usize::try_from(seed >> 33).unwrap() % bound
        };
        for _ in 0..2_000 {
            let mut bytes = Vec::new();
            for _ in 0..below(13) {
                bytes.extend_from_slice(pieces[below(pieces.len())]);
            }
            for dialect in Dialect::ALL {
                let lines = lines(&bytes, dialect);
                let mut end = 0;
                for line in &lines {
                    assert_eq!(line.range.start, end, "{dialect}: {bytes:?}");
                    assert!(line.range.end > end, "{dialect}: {bytes:?}");
                    for word in &line.words {
                        assert!(!word.is_empty() && word.end <= line.range.end, "{bytes:?}");
                    }
                    end = line.range.end;
                }
                assert_eq!(end, bytes.len(), "{dialect}: {bytes:?}");
            }
        }
    }
}
