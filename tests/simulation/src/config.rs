// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `config`: the text of a configuration file.
//!
//! Every place named by a statement, an error or a warning exists in the text and holds what the
//! message quotes. Every message is one line that begins with a place.

use virtinterfaced::config::Settings;
use virtinterfaced::config::lexer::{self, Scalar, TextPosition, Value};
use virtinterfaced::model::client::Privilege;

/// See the module.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match lexer::parse(&text) {
        Ok(statements) => {
            for statement in statements {
                assert!(at(&text, statement.place).is_some_and(|s| s.starts_with(statement.name)));
                check_value(&statement.value, at(&text, statement.value_place));
            }
        }
        Err(err) => check_message(&text, &err.to_string()),
    }
    for privilege in [Privilege::System, Privilege::Session] {
        match Settings::parse(&text, privilege) {
            Ok((settings, warnings)) => {
                warnings.iter().for_each(|warning| check_message(&text, &warning.to_string()));
                assert!(settings.main.workers.count_min <= settings.main.workers.count_max);
                assert!(settings.main.anonymous_count_max <= settings.main.client_count_max);
            }
            Err(err) => check_message(&text, &err.to_string()),
        }
    }
}

/// The text that begins at `place`, which is empty at the end of the input; `None` if the text has
/// no such place.
fn at(text: &str, place: TextPosition) -> Option<&str> {
    let mut lines = text.split_inclusive('\n');
    let line_start: usize = lines.by_ref().take(place.line.checked_sub(1)?).map(str::len).sum();
    let line = text.get(line_start..)?;
    let mut starts = line.char_indices().map(|(start, _)| start).chain([line.len()]);
    let here = starts.nth(place.column.checked_sub(1)?)?;
    let within_line = line.get(..here)?.find('\n').is_none();
    within_line.then(|| line.get(here..)).flatten()
}

fn check_value(value: &Value<'_>, found: Option<&str>) {
    let first = found.and_then(|found| found.chars().next());
    let fits = match value {
        Value::List(_) => first == Some('['),
        Value::Scalar(Scalar::Text(_)) => first == Some('"') || first == Some('\''),
        Value::Scalar(Scalar::Signed(_)) => first == Some('-'),
        Value::Scalar(Scalar::Unsigned(_)) => first.is_some_and(|c| c == '+' || c.is_ascii_digit()),
    };
    assert!(fits, "{value:?} begins with {first:?}");
}

fn check_message(text: &str, message: &str) {
    assert!(!message.contains(char::is_control), "{message:?} is not one line");
    let mut parts = message.splitn(3, ':').map(str::parse::<usize>);
    let (Some(Ok(line)), Some(Ok(column))) = (parts.next(), parts.next()) else {
        assert!(message.is_empty(), "{message:?} has no place");
        return;
    };
    assert!(at(text, TextPosition { line, column }).is_some(), "{message:?} is not in the text");
}
