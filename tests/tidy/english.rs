// SPDX-License-Identifier: LGPL-2.1-or-later
//! Plain English, as far as a machine can count it: constructions that a reader has to decode, over
//! comments, messages, manuals and the texts at the top level. Their number may only fall.

use std::fs;
use std::path::{Path, PathBuf};

use super::{ROOT, read};

/// Constructions per 100,000 words that the tree may have. Lower it with each commit that mends some.
const CEILING: usize = 10;

/// Texts at the top level.
const TEXTS: [&str; 6] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "tests/README.md",
];

/// Scripts at the top level.
const SCRIPTS: [&str; 2] = [".ci/run", "Makefile"];

/// Words for a person whom the text does not name.
const UNNAMED: [&str; 5] = ["nobody", "somebody", "whoever", "anybody", "everybody"];

/// Idioms, in lower case.
const IDIOMS: [&str; 8] = [
    "be it that",
    "as it was",
    "has had its day",
    "have had their day",
    "what is there",
    "what was there",
    "tells",
    "told",
];

/// Words that a relative "who" may follow; behind any other word it stands for a person itself.
const PERSONS: [&str; 18] = [
    "administrator",
    "administrators",
    "caller",
    "callers",
    "client",
    "clients",
    "guest",
    "guests",
    "one",
    "owner",
    "peer",
    "people",
    "person",
    "reader",
    "readers",
    "those",
    "user",
    "users",
];

/// One paragraph of a comment or text, or one message.
#[derive(Debug, PartialEq)]
struct Prose {
    line: usize,
    text: String,
}

/// Gathers lines into paragraphs.
#[derive(Default)]
struct Paragraphs {
    done: Vec<Prose>,
    open: Option<Prose>,
}

impl Paragraphs {
    fn push(&mut self, line: usize, text: &str) {
        match &mut self.open {
            Some(open) => {
                open.text.push(' ');
                open.text.push_str(text);
            }
            None => self.open = Some(Prose { line, text: text.to_owned() }),
        }
    }

    fn end(&mut self) {
        self.done.extend(self.open.take());
    }

    fn finish(mut self) -> Vec<Prose> {
        self.end();
        self.done
    }
}

/// Whether a line begins an item of a list, a heading or a row of a table.
fn begins_an_item(line: &str) -> bool {
    ["- ", "* ", "#", "|"].iter().any(|mark| line.starts_with(mark))
}

/// The paragraphs of a text in Markdown.
fn of_markdown(text: &str) -> Vec<Prose> {
    let mut paragraphs = Paragraphs::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || begins_an_item(line) {
            paragraphs.end();
        }
        if !line.is_empty() {
            paragraphs.push(number + 1, line.trim_start_matches(['-', '#', '|', ' ']));
        }
    }
    paragraphs.finish()
}

/// The paragraphs of a manual page, without macros.
fn of_manual(text: &str) -> Vec<Prose> {
    let mut paragraphs = Paragraphs::default();
    for (number, line) in text.lines().enumerate() {
        let ends =
            [".\\\"", ".It", ".Sh", ".Ss", ".Pp"].iter().any(|macro_| line.starts_with(macro_));
        if ends || line.trim().is_empty() {
            paragraphs.end();
        } else {
            paragraphs.push(number + 1, line);
        }
    }
    paragraphs.finish()
}

/// The comments of a script or a configuration file.
fn of_script(text: &str) -> Vec<Prose> {
    let mut paragraphs = Paragraphs::default();
    for (number, line) in text.lines().enumerate() {
        match line.trim_start().strip_prefix('#') {
            Some(comment) if !comment.trim().is_empty() && !comment.starts_with('!') => {
                paragraphs.push(number + 1, comment.trim());
            }
            _ => paragraphs.end(),
        }
    }
    paragraphs.finish()
}

/// The comments of a source file.
fn comments(text: &str) -> Vec<Prose> {
    let mut paragraphs = Paragraphs::default();
    let mut mark = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let words = line.trim_start_matches(['/', '!']);
        let found = &line[..line.len() - words.len()];
        let words = words.trim();
        if found != mark || words.is_empty() || begins_an_item(words) {
            paragraphs.end();
            mark = found;
        }
        if found.starts_with("//") && !words.is_empty() {
            paragraphs.push(number + 1, words.trim_start_matches(['-', '*', '#', '|', ' ']));
        }
    }
    paragraphs.finish()
}

/// The messages of a source file: literals with a space.
fn messages(text: &str) -> Vec<Prose> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let before = &rest[..at];
        let literal = &rest[at..];
        let line = text[..text.len() - literal.len()].matches('\n').count() + 1;
        let hashes = before.len() - before.trim_end_matches('#').len();
        let is_raw = before[..before.len() - hashes].ends_with('r');
        rest = match literal.as_bytes()[0] {
            b'"' => {
                let end = if is_raw {
                    literal[1..].find(&format!("\"{}", "#".repeat(hashes)))
                } else {
                    end_of_literal(&literal[1..])
                };
                let (inner, rest) = literal[1..].split_at(end.unwrap());
                let inner = inner.replace("\\\n", "").replace("\\n", " ");
                let words: Vec<_> = inner.split_whitespace().collect();
                if words.len() > 1 {
                    found.push(Prose { line, text: words.join(" ") });
                }
                &rest[1..]
            }
            b'\'' if literal.starts_with("'\"'") => &literal[3..],
            b'\'' if literal.starts_with("'\\") => &literal[3..],
            b'/' if literal.starts_with("//") => {
                literal.split_once('\n').map_or("", |(_, rest)| rest)
            }
            _ => &literal[1..],
        };
    }
    found
}

/// Where the quotation mark is that ends a literal.
fn end_of_literal(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

/// Every construction that `text` has, as it stands there.
fn constructions(text: &str) -> Vec<String> {
    // Code is not English.
    let prose: Vec<_> = text.split('`').step_by(2).collect();
    let prose = prose.join("x");
    let mut found = Vec::new();
    let mut before = Vec::<&str>::new();
    for sentence in prose.split_inclusive(['.', '?', '!', ':', ';', ',', '(']) {
        let words: Vec<&str> = sentence
            .split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '-')
            .filter(|word| !word.is_empty())
            .collect();
        let lower: Vec<_> = words.iter().map(|word| word.to_lowercase()).collect();
        if words.first() == Some(&"What") {
            found.push("What".to_owned());
        }
        for (at, word) in lower.iter().enumerate() {
            let follows = at.checked_sub(1).map(|at| lower[at].as_str());
            let stands_alone = match follows {
                Some(follows) => !PERSONS.contains(&follows),
                None => !before.last().is_some_and(|word| PERSONS.contains(word)),
            };
            if UNNAMED.contains(&word.as_str()) || (word == "who" && stands_alone) {
                found.push(word.clone());
            }
            let is_no = word == "no" && ["is", "are", "was", "were"].map(Some).contains(&follows);
            let subject = at.checked_sub(2).map(|at| lower[at].as_str());
            let predicate = lower.get(at + 1).map(String::as_str);
            let is_plain = subject == Some("there") || matches!(predicate, Some("longer" | "more"));
            if is_no && !is_plain {
                found.push(format!("is no {}", predicate.unwrap_or_default()));
            }
        }
        let joined = format!(" {} ", lower.join(" "));
        for idiom in IDIOMS {
            let count = joined.matches(&format!(" {idiom} ")).count();
            found.extend(std::iter::repeat_n(idiom.to_owned(), count));
        }
        before = words;
    }
    found
}

/// The files below a folder.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(ROOT).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files
}

/// The prose of one file.
fn prose(path: &Path) -> Vec<Prose> {
    let folder = path.strip_prefix(ROOT).unwrap().components().next().unwrap();
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    match (folder.as_os_str().to_str(), path.extension().and_then(|ext| ext.to_str())) {
        (_, Some("rs")) => [comments(&text), messages(&text)].into_iter().flatten().collect(),
        (Some("man"), _) => of_manual(&text),
        (Some("etc" | "init"), _) | (_, Some("sh" | "py" | "pl")) => of_script(&text),
        _ => Vec::new(),
    }
}

/// The prose of all files but this one, which names what it counts.
fn all_prose() -> Vec<(PathBuf, Prose)> {
    let mut all = Vec::new();
    for path in ["src", "tests", "man", "etc", "init"].into_iter().flat_map(files_below) {
        if !path.ends_with(file!()) {
            all.extend(prose(&path).into_iter().map(|prose| (path.clone(), prose)));
        }
    }
    for name in TEXTS {
        all.extend(of_markdown(&read(name)).into_iter().map(|prose| (PathBuf::from(name), prose)));
    }
    for name in SCRIPTS {
        all.extend(of_script(&read(name)).into_iter().map(|prose| (PathBuf::from(name), prose)));
    }
    all
}

/// A failure lists each construction with its place.
#[test]
fn english_is_plain() {
    let (mut word_count, mut all) = (0, Vec::new());
    for (path, prose) in all_prose() {
        word_count += prose.text.split_whitespace().count();
        let place =
            format!("{}:{}", path.strip_prefix(ROOT).unwrap_or(&path).display(), prose.line);
        let found = constructions(&prose.text).into_iter();
        all.extend(found.map(|found| format!("{place}: {found}")));
    }
    let per_100_000 = all.len() * 100_000 / word_count;
    assert!(
        per_100_000 <= CEILING,
        "{}\n{} constructions that a reader has to decode in {word_count} words are {per_100_000} in \
         100,000, over {CEILING}",
        all.join("\n"),
        all.len(),
    );
}

#[test]
fn constructions_are_found() {
    let cases: [(&str, &[&str]); 13] = [
        ("The kernel removes the routes.", &[]),
        ("What routes there are the kernel takes", &["What"]),
        ("Short. What a link has", &["What"]),
        ("It says what failed", &[]),
        ("Nobody waits for whoever comes", &["nobody", "whoever"]),
        ("the user who asks, and a client, who waits", &[]),
        ("Who asks gets what who wants", &["who", "who"]),
        ("it is no bridge, and there is no link", &["is no bridge"]),
        ("The link is no longer there", &[]),
        ("The kernel tells it; it is told", &["tells", "told"]),
        ("all is as it was, be it that it died", &["as it was", "be it that"]),
        ("It adds to what is there.", &["what is there"]),
        ("the user `nobody`", &[]),
    ];
    for (text, want) in cases {
        assert_eq!(constructions(text), want, "{text}");
    }
}

#[test]
fn prose_is_found() {
    let source = "//! First\n//! line.\n\n/// Doc.\nfn f() { g(\"a \\\"b\\\" \\\n    c\", '\"', \"one\"); }\n// d\n";
    let prose = |line, text: &str| Prose { line, text: text.to_owned() };
    let want = [prose(1, "First line."), prose(4, "Doc."), prose(7, "d")];
    assert_eq!(comments(source), want);
    assert_eq!(messages(source), [prose(5, "a \\\"b\\\" c")]);
    assert_eq!(
        of_markdown("# A\n\ntext\nmore\n- b"),
        [prose(1, "A"), prose(3, "text more"), prose(5, "b")]
    );
    assert_eq!(of_script("#!/bin/sh\n# a\n#  b\nx"), [prose(2, "a b")]);
    assert_eq!(of_manual(".Sh A\ntext\n.Pp\nmore"), [prose(2, "text"), prose(4, "more")]);
}
