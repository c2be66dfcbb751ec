// SPDX-License-Identifier: LGPL-2.1-or-later
//! Attributes to values: the one of several that applies, and the notation of numbers.
//!
//! libvirt reads numbers as C's strtol(3) does: white space and a sign may come before the digits,
//! and nothing behind them.

use crate::model::interface::ForwardDelay;
use crate::model::name::IfName;
use crate::xml::error::{Expected, Flaw, XmlError};
use crate::xml::tree::Element;

/// The attribute of the first child of this name that has it. An empty one counts as missing.
pub(super) fn first<'a>(
    parent: &'a Element,
    child: &'static str,
    attribute: &str,
) -> Option<&'a str> {
    let having = parent.children(child).find_map(|child| child.attribute(attribute));
    having.filter(|value| !value.is_empty())
}

/// The attribute, where an empty one counts as missing.
pub(super) fn filled<'a>(element: &'a Element, attribute: &str) -> Option<&'a str> {
    element.attribute(attribute).filter(|value| !value.is_empty())
}

/// The error about a value that libvirt would accept.
pub(super) fn flaw(
    element: &'static str,
    attribute: &'static str,
    value: &str,
    flaw: Flaw,
) -> XmlError {
    XmlError::Flaw { element, attribute, value: value.to_owned(), flaw }
}

/// The error about a value that libvirt's reader of attributes refuses.
pub(super) fn unexpected(
    element: &'static str,
    attribute: &'static str,
    value: &str,
    expected: Expected,
) -> XmlError {
    XmlError::Value { element, attribute, value: value.to_owned(), expected }
}

/// An interface's name, in any attribute.
pub(super) fn name(text: &str) -> Result<IfName, XmlError> {
    IfName::new(text).map_err(|err| flaw("interface", "name", text, Flaw::Name(err)))
}

/// The notations that a number may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Radix {
    Ten,
    /// C's: `0x` and `0` before the digits make it hexadecimal and octal.
    C,
}

/// A number as libvirt reads an `int`.
pub(super) fn integer(text: &str, radix: Radix) -> Option<i32> {
    strtol(text, radix).and_then(|value| i32::try_from(value).ok())
}

/// A number as libvirt reads an `unsigned int`: without a minus, even before a zero.
pub(super) fn unsigned(text: &str, radix: Radix) -> Option<u32> {
    let value = strtol(text, radix).filter(|_| !text.contains('-'))?;
    u32::try_from(value).ok()
}

fn strtol(text: &str, radix: Radix) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match radix {
        Radix::Ten => (10, digits),
        Radix::C => match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(digits) => (16, digits),
            None if digits.starts_with('0') => (8, digits),
            None => (10, digits),
        },
    };
    // from_str_radix would take another sign.
    let is_number = digits.chars().all(|c| c.is_digit(radix));
    let value = i64::from_str_radix(digits, radix).ok().filter(|_| is_number)?;
    value.checked_mul(sign)
}

/// Digits between blanks, as the schema has an unsigned integer.
pub(super) fn decimal(text: &str) -> Option<u32> {
    let digits = text.trim_matches([' ', '\t', '\n', '\r']);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// Seconds with a decimal point. A value that hundredths cannot hold is refused, not rounded.
pub(super) fn delay(text: &str) -> Result<ForwardDelay, Flaw> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let text = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return Err(Flaw::Delay);
    }
    let hundredths = match fraction.trim_end_matches('0').as_bytes() {
        [] => 0,
        [tenths] => u32::from(tenths - b'0') * 10,
        [tenths, hundredths] => u32::from(tenths - b'0') * 10 + u32::from(hundredths - b'0'),
        _ => return Err(Flaw::Delay),
    };
    let seconds = match whole.trim_start_matches('0') {
        "" => 0,
        digits => digits.parse::<u32>().map_err(|_| Flaw::DelayOver)?,
    };
    let total = seconds.checked_mul(100).and_then(|total| total.checked_add(hundredths));
    total.map(ForwardDelay).ok_or(Flaw::DelayOver)
}
