// SPDX-License-Identifier: LGPL-2.1-or-later
//! No condition chains `let` with `&&`: the oldest compiler that Cargo.toml permits (1.85) does not know that.
//!
//! `make check-oldest` finds it as well, much later.

use std::fs;
use std::path::Path;

use super::ROOT;

/// The conditions of `text` in which a `let` is chained.
fn chains(text: &str) -> Vec<&str> {
    let heads = ["if let ", "while let "].into_iter().flat_map(|head| text.match_indices(head));
    let bound = heads.filter_map(|(at, _)| {
        let condition = text[at..].split(" {\n").next()?.split("\n{\n").next()?;
        let mut depth = 0;
        let mut previous = ' ';
        for (index, c) in condition.char_indices() {
            match c {
                '(' | '[' | '{' => depth += 1,
                // The condition was a guard, or a `let` with `else`.
                ')' | ']' | '}' if depth == 0 => return None,
                ')' | ']' | '}' => depth -= 1,
                '&' if depth == 0 && previous == '&' => return Some(condition),
                ';' if depth == 0 => return None,
                '=' | '>' if depth == 0 && condition[index..].starts_with("=> ") => return None,
                _ => {}
            }
            previous = c;
        }
        None
    });
    let later = text.match_indices("&& let ").map(|(at, _)| text[at..].lines().next().unwrap());
    bound.chain(later).collect()
}

fn assert_free_of_chains(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The examples below are chains.
        if path.ends_with("let_chains.rs") || path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            assert_free_of_chains(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(chains(&text), [""; 0], "{}", path.display());
        }
    }
}

#[test]
fn no_condition_chains_let() {
    for folder in ["src", "tests"] {
        assert_free_of_chains(&Path::new(ROOT).join(folder));
    }
}

#[test]
fn a_chain_is_found() {
    for (text, count) in [
        ("if let Some(a) = b\n    && c\n{\n", 1),
        ("if a && let Some(b) = c {\n", 1),
        ("while let Some(a) = b && c {\n", 1),
        ("if let Some(a) = b(|c| c && d) {\n    if e && f {\n", 0),
        ("Some(a) if let_it(a) && b => {\n", 0),
        ("if let Some(a) = &b.c {\n", 0),
        ("let d = if let Some(a) = b { c } else { e && f };\n", 0),
    ] {
        assert_eq!(chains(text).len(), count, "{text}");
    }
}
