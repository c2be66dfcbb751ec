// SPDX-License-Identifier: LGPL-2.1-or-later
//! The grammar of libvirt's configuration files: statements `name = value`.
//!
//! Knows no key: it reads both virtinterfaced.conf and libvirt.conf. Text is borrowed from the
//! input, as strings have no escapes. The input is read once from start to end and nothing nests,
//! so time is linear in its length and the stack does not grow with it.

use std::fmt;

/// A place in the input, counted from 1. Only LF begins a line.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TextPosition {
    pub line: usize,
    /// In characters, not bytes.
    pub column: usize,
}

impl fmt::Display for TextPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The kinds of syntax error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SyntaxFault {
    /// A statement does not begin with a letter.
    Name,
    /// No `=` follows the name.
    Assignment,
    /// Neither string, integer nor list.
    Value,
    /// Something follows a value on its line.
    Separator,
    /// Neither `,` nor `]` follows an item.
    ListSeparator,
    /// A list in a list: no key takes one.
    ListInList,
    /// A list without its `]`.
    OpenList,
    /// A string without its closing quote.
    OpenString,
    /// A sign without digits.
    Number,
    /// An integer of more than 64 bits.
    Overflow,
    /// A control character outside of a comment.
    Control(char),
}

impl fmt::Display for SyntaxFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "expected a name",
            Self::Assignment => "expected '=' after the name",
            Self::Value => "expected a string, an integer or a list",
            Self::Separator => "expected the end of the line or ';'",
            Self::ListSeparator => "expected ',' or ']'",
            Self::ListInList => "a list cannot hold a list",
            Self::OpenList => "this list has no ']'",
            Self::OpenString => "this string has no closing quote",
            Self::Number => "expected digits after the sign",
            Self::Overflow => "this integer is over 64 bits",
            Self::Control(c) => return write!(f, "control character U+{:04X}", u32::from(*c)),
        })
    }
}

/// The first error of an input. An unclosed item is reported where it opens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LexError {
    pub place: TextPosition,
    pub fault: SyntaxFault,
}

impl fmt::Display for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

impl std::error::Error for LexError {}

/// A value that is not a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scalar<'a> {
    /// Written without a minus.
    Unsigned(u64),
    /// Written with a minus, even before a zero.
    Signed(i64),
    Text(&'a str),
}

/// The value to the right of the `=`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value<'a> {
    Scalar(Scalar<'a>),
    List(Vec<Scalar<'a>>),
}

/// One `name = value`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement<'a> {
    pub name: &'a str,
    /// Where the name begins.
    pub place: TextPosition,
    pub value: Value<'a>,
    /// Where the value begins.
    pub value_place: TextPosition,
}

/// All statements of `text` in order. Of several with one name the first applies, as in libvirt.
pub fn parse(text: &str) -> Result<Vec<Statement<'_>>, LexError> {
    let mut cursor = Cursor { rest: text, place: TextPosition { line: 1, column: 1 } };
    let mut statements = Vec::new();
    loop {
        cursor.take_while(is_gap);
        match cursor.peek() {
            None => return Ok(statements),
            Some('#') => {
                cursor.take_while(|c| !is_line_end(c));
            }
            Some(_) => {
                statements.push(cursor.statement()?);
                cursor.separator()?;
            }
        }
    }
}

/// The rest of the input, and its position.
struct Cursor<'a> {
    rest: &'a str,
    place: TextPosition,
}

impl<'a> Cursor<'a> {
    fn statement(&mut self) -> Result<Statement<'a>, LexError> {
        let place = self.place;
        if !self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            return Err(self.refuse(SyntaxFault::Name));
        }
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        self.take_while(is_blank);
        if !self.skip("=") {
            return Err(self.refuse(SyntaxFault::Assignment));
        }
        self.take_while(is_blank);
        let value_place = self.place;
        let value = if self.skip("[") {
            Value::List(self.items(value_place)?)
        } else {
            Value::Scalar(self.scalar()?)
        };
        Ok(Statement { name, place, value, value_place })
    }

    /// Skips a `;`. Line ends and comments are left to the next turn.
    fn separator(&mut self) -> Result<(), LexError> {
        self.take_while(is_blank);
        let is_separated = match self.peek() {
            None | Some('#' | '\n' | '\r') => true,
            Some(_) => self.skip(";"),
        };
        if is_separated { Ok(()) } else { Err(self.refuse(SyntaxFault::Separator)) }
    }

    /// The items up to the `]` of a list whose `[` is at `opened`.
    fn items(&mut self, opened: TextPosition) -> Result<Vec<Scalar<'a>>, LexError> {
        let mut items = Vec::new();
        loop {
            self.take_while(is_gap);
            if self.rest.is_empty() {
                return Err(LexError { place: opened, fault: SyntaxFault::OpenList });
            }
            if self.skip("]") {
                return Ok(items);
            }
            items.push(self.scalar()?);
            self.take_while(is_gap);
            let is_separated = self.skip(",") || matches!(self.peek(), None | Some(']'));
            if !is_separated {
                return Err(self.refuse(SyntaxFault::ListSeparator));
            }
        }
    }

    fn scalar(&mut self) -> Result<Scalar<'a>, LexError> {
        match self.peek() {
            Some('"') if self.rest.starts_with(r#"""""#) => {
                self.string(r#"""""#, &['\t', '\n', '\r']).map(Scalar::Text)
            }
            Some('"') => self.string("\"", &['\t']).map(Scalar::Text),
            Some('\'') => self.string("'", &['\t']).map(Scalar::Text),
            Some('+' | '-' | '0'..='9') => self.integer(),
            Some('[') => Err(self.refuse(SyntaxFault::ListInList)),
            None | Some(_) => Err(self.refuse(SyntaxFault::Value)),
        }
    }

    /// A string between two `quote`s, with no control character but those of `allowed`.
    fn string(&mut self, quote: &str, allowed: &[char]) -> Result<&'a str, LexError> {
        let unclosed = LexError { place: self.place, fault: SyntaxFault::OpenString };
        self.skip(quote);
        let (text, _) = self.rest.split_once(quote).ok_or(unclosed)?;
        let is_refused = |c: char| c.is_control() && !allowed.contains(&c);
        let Some(refused_at) = text.find(is_refused) else {
            self.take(text.len());
            self.skip(quote);
            return Ok(text);
        };
        self.take(refused_at);
        let ends_line = self.peek().is_some_and(is_line_end);
        Err(if ends_line { unclosed } else { self.refuse(SyntaxFault::OpenString) })
    }

    fn integer(&mut self) -> Result<Scalar<'a>, LexError> {
        let overflow = LexError { place: self.place, fault: SyntaxFault::Overflow };
        let is_negative = self.skip("-");
        if !is_negative {
            self.skip("+");
        }
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.refuse(SyntaxFault::Number));
        }
        let magnitude = digits.parse::<u64>().map_err(|_| overflow)?;
        if is_negative {
            return 0_i64.checked_sub_unsigned(magnitude).map(Scalar::Signed).ok_or(overflow);
        }
        Ok(Scalar::Unsigned(magnitude))
    }

    /// The error at this position: `fault`, unless a control character is here.
    fn refuse(&self, fault: SyntaxFault) -> LexError {
        let fault = match self.peek() {
            Some(c) if c.is_control() && !is_gap(c) => SyntaxFault::Control(c),
            None | Some(_) => fault,
        };
        LexError { place: self.place, fault }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Skips `token` if it is here.
    fn skip(&mut self, token: &str) -> bool {
        let stands_here = self.rest.starts_with(token);
        if stands_here {
            self.take(token.len());
        }
        stands_here
    }

    /// Skips all characters up to the first that is not `wanted`.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        self.take(self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len()))
    }

    /// Skips `len` bytes. The one place where the cursor moves.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        for c in taken.chars() {
            if c == '\n' {
                self.place = TextPosition { line: self.place.line + 1, column: 1 };
            } else {
                self.place.column += 1;
            }
        }
        self.rest = rest;
        taken
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// Whether `c` may be between statements, and between the items of a list.
fn is_gap(c: char) -> bool {
    is_blank(c) || is_line_end(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned(value: u64) -> Value<'static> {
        Value::Scalar(Scalar::Unsigned(value))
    }

    fn signed(value: i64) -> Value<'static> {
        Value::Scalar(Scalar::Signed(value))
    }

    fn text(value: &str) -> Value<'_> {
        Value::Scalar(Scalar::Text(value))
    }

    fn list<'a>(items: &[&'a str]) -> Value<'a> {
        Value::List(items.iter().copied().map(Scalar::Text).collect())
    }

    #[test]
    fn a_value_is_an_integer_a_string_or_a_list() {
        let mixed = [Scalar::Text("a"), Scalar::Unsigned(1), Scalar::Signed(-1)];
        let cases = [
            ("zero", "0", unsigned(0)),
            ("leading zeros are decimal", "010", unsigned(10)),
            ("plus", "+7", unsigned(7)),
            ("minus", "-7", signed(-7)),
            ("minus zero is signed", "-0", signed(0)),
            ("largest", "18446744073709551615", unsigned(u64::MAX)),
            ("smallest", "-9223372036854775808", signed(i64::MIN)),
            ("single quotes", "'a \"b\" #;'", text("a \"b\" #;")),
            ("double quotes", "\"a 'b' #;\"", text("a 'b' #;")),
            ("empty string", "''", text("")),
            ("empty string in double quotes", "\"\"", text("")),
            ("no escapes", r"'a\n\'", text(r"a\n\")),
            ("a tab and other scripts", "'ä\t語'", text("ä\t語")),
            ("three quotes", "\"\"\"a\n\"b\"\r\n\"\"\"", text("a\n\"b\"\r\n")),
            ("three quotes, empty", "\"\"\"\"\"\"", text("")),
            ("empty list", "[]", list(&[])),
            ("list", "['a','b']", list(&["a", "b"])),
            ("list over lines", "[\n 'a'\r\n ,\n\t\"b\",\n]", list(&["a", "b"])),
            ("list of a long string", "[\"\"\"a\nb\"\"\"]", list(&["a\nb"])),
            ("mixed list", "[ 'a', 1, -1 ]", Value::List(mixed.to_vec())),
        ];
        for (label, input, want) in cases {
            let input = format!("k = {input}");
            let statements = parse(&input).unwrap();
            let place = TextPosition { line: 1, column: 1 };
            let value_place = TextPosition { line: 1, column: 5 };
            assert_eq!(
                statements,
                [Statement { name: "k", place, value: want, value_place }],
                "{label}"
            );
        }
    }

    #[test]
    fn statements_end_at_line_ends_and_semicolons() {
        struct Case(&'static str, &'static str, &'static [(&'static str, usize, usize)]);
        let cases = [
            Case("empty", "", &[]),
            Case("blank", " \t\r\n\n ", &[]),
            Case("only a comment", "# k = 1", &[]),
            Case("no final line end", "a=1", &[("a", 1, 1)]),
            Case("LF", "a=1\nb=2\n", &[("a", 1, 1), ("b", 2, 1)]),
            Case("CR LF", "a=1\r\nb=2\r\n", &[("a", 1, 1), ("b", 2, 1)]),
            Case("CR alone", "a=1\rb=2", &[("a", 1, 1), ("b", 1, 5)]),
            Case("semicolon", "a=1;b=2;", &[("a", 1, 1), ("b", 1, 5)]),
            Case("blanks around all", "\t a \t= 1 ; b = 2 ", &[("a", 1, 3), ("b", 1, 12)]),
            Case("line end after semicolon", "a=1;\n\nb=2", &[("a", 1, 1), ("b", 3, 1)]),
            Case("comment after a value", "a=1#;b=3\nb=2 # c", &[("a", 1, 1), ("b", 2, 1)]),
            Case("comment after semicolon", "a=1;# c\nb=2", &[("a", 1, 1), ("b", 2, 1)]),
            Case("any byte in a comment", "#\0\x01ä\na=1", &[("a", 2, 1)]),
            Case("columns count characters", "a='ä語';b=1", &[("a", 1, 1), ("b", 1, 8)]),
            Case("lines of a string count", "a=\"\"\"\n\n\"\"\";b=1", &[("a", 1, 1), ("b", 3, 5)]),
            Case("duplicates all come", "a=1\na=2", &[("a", 1, 1), ("a", 2, 1)]),
            Case("names", "aZ_9=1", &[("aZ_9", 1, 1)]),
        ];
        for Case(label, input, want) in cases {
            let statements = parse(input).unwrap();
            let got: Vec<_> =
                statements.iter().map(|s| (s.name, s.place.line, s.place.column)).collect();
            assert_eq!(got, want, "{label}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_and_where() {
        use SyntaxFault as Fault;
        struct Case(&'static str, &'static str, (usize, usize), SyntaxFault);
        let cases = [
            Case("digit for a name", "\n 1 = 2", (2, 2), Fault::Name),
            Case("underscore for a name", "_a = 2", (1, 1), Fault::Name),
            Case("letter beyond ASCII", "ä = 2", (1, 1), Fault::Name),
            Case("byte order mark", "\u{feff}a = 2", (1, 1), Fault::Name),
            Case("empty statement", "a=1;;", (1, 5), Fault::Name),
            Case("lone semicolon", ";", (1, 1), Fault::Name),
            Case("NUL for a name", "\0", (1, 1), Fault::Control('\0')),
            Case("name alone", "a", (1, 2), Fault::Assignment),
            Case("name, line end", "a\n= 1", (1, 2), Fault::Assignment),
            Case("dot in a name", "a.b = 1", (1, 2), Fault::Assignment),
            Case("colon", "abc : 1", (1, 5), Fault::Assignment),
            Case("escape after a name", "a\x1b", (1, 2), Fault::Control('\x1b')),
            Case("value missing", "a = ", (1, 5), Fault::Value),
            Case("value on the next line", "a =\n1", (1, 4), Fault::Value),
            Case("bare word", "a = yes", (1, 5), Fault::Value),
            Case("comment for a value", "a = # 1", (1, 5), Fault::Value),
            Case("form feed for a value", "a=\x0c", (1, 3), Fault::Control('\x0c')),
            Case("two values", "a = 1 2", (1, 7), Fault::Separator),
            Case("digits and letters", "a = 1x", (1, 6), Fault::Separator),
            Case("comma after a value", "a = 1, 2", (1, 6), Fault::Separator),
            Case("string after string", "a='ö' 'b'", (1, 7), Fault::Separator),
            Case("NUL after a value", "a = 1\0", (1, 6), Fault::Control('\0')),
            Case("no comma", "a = [1 2]", (1, 8), Fault::ListSeparator),
            Case("comment in a list", "a = ['x' # c\n]", (1, 10), Fault::ListSeparator),
            Case("comment after a comma", "a = ['x',\n# c\n]", (2, 1), Fault::Value),
            Case("comma alone", "a = [,]", (1, 6), Fault::Value),
            Case("two commas", "a = [1,,]", (1, 8), Fault::Value),
            Case("list in a list", "a = [ [1] ]", (1, 7), Fault::ListInList),
            Case("deep lists", "a = [[[[[[[[", (1, 6), Fault::ListInList),
            Case("open list, empty", "a = [", (1, 5), Fault::OpenList),
            Case("open list after an item", "\na = [1\n", (2, 5), Fault::OpenList),
            Case("open list after a comma", "a = [1,\n\n", (1, 5), Fault::OpenList),
            Case("open single quote", "a = 'x", (1, 5), Fault::OpenString),
            Case("open double quote", "a = \"x", (1, 5), Fault::OpenString),
            Case("string over two lines", "a = 'x\ny'", (1, 5), Fault::OpenString),
            Case("string with a CR", "a = \"x\ry\"", (1, 5), Fault::OpenString),
            Case("open three quotes", "\na = \"\"\"\nx\n\"\"", (2, 5), Fault::OpenString),
            Case("NUL in a string", "a = 'ä\0'", (1, 7), Fault::Control('\0')),
            Case("NUL in a long string", "a=\"\"\"\nx\0\"\"\"", (2, 2), Fault::Control('\0')),
            Case("delete in a string", "a = '\x7f'", (1, 6), Fault::Control('\x7f')),
            Case("plus alone", "a = +", (1, 6), Fault::Number),
            Case("minus and blank", "a = - 1", (1, 6), Fault::Number),
            Case("two signs", "a = -+1", (1, 6), Fault::Number),
            Case("one over u64", "a = 18446744073709551616", (1, 5), Fault::Overflow),
            Case("one under i64", "a = -9223372036854775809", (1, 5), Fault::Overflow),
        ];
        for Case(label, input, (line, column), fault) in cases {
            let want = LexError { place: TextPosition { line, column }, fault };
            assert_eq!(parse(input), Err(want), "{label}");
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let err = parse("\na = 'x\0'").unwrap_err();
        assert_eq!(err.to_string(), "2:7: control character U+0000");
    }
}
