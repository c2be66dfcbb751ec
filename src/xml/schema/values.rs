// SPDX-License-Identifier: LGPL-2.1-or-later
//! The notation of the schema's values: its patterns and numbers, as libxml2 reads them.
//!
//! The patterns are applied literally. So an IPv6 address has fewer forms than RFC 4291 gives it,
//! and one that no parser would accept.

/// The values that an attribute can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Datatype {
    DeviceName,
    Ipv4,
    Ipv6,
    Mac,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Digits, up to what 32 bits hold.
    PlainUnsigned,
    /// A number that is not negative.
    Seconds,
    /// Digits, with or without blanks around them, up to this number.
    UpTo(u32),
}

impl Datatype {
    pub(super) fn has(self, value: &str) -> bool {
        match self {
            Self::DeviceName => is_device_name(value),
            Self::Ipv4 => is_ipv4(value),
            Self::Ipv6 => is_ipv6(value),
            Self::Mac => is_mac(value),
            Self::OneOf(words) => words.iter().any(|word| is_token(value, word)),
            Self::PlainUnsigned => is_unsigned(value, u32::MAX),
            Self::Seconds => is_seconds(trim(value)),
            Self::UpTo(max) => is_unsigned(trim(value), max),
        }
    }
}

/// Whether the value is this word, which has no blanks; blanks around it are ignored.
pub(super) fn is_token(value: &str, word: &str) -> bool {
    trim(value) == word
}

/// Without the characters that are blanks in XML.
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t', '\n', '\r'])
}

fn is_device_name(value: &str) -> bool {
    let is_allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'\\' | b':' | b'/')
    };
    !value.is_empty() && value.bytes().all(is_allowed)
}

fn is_mac(value: &str) -> bool {
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    value.split(':').count() == 6 && value.split(':').all(is_pair)
}

fn is_unsigned(value: &str, max: u32) -> bool {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    is_number && value.parse::<u32>().is_ok_and(|number| number <= max)
}

/// libxml2 accepts an exponent without digits, and treats text that is not a number as not
/// negative.
fn is_seconds(value: &str) -> bool {
    if value == "INF" || value == "NaN" {
        return true;
    }
    let (mantissa, exponent) = value.split_once(['e', 'E']).unwrap_or((value, ""));
    let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    has_digits
        && [whole, fraction, power].into_iter().all(is_number)
        && (!mantissa.starts_with('-') || is_zero_as_double(whole, fraction, exponent))
}

/// Whether a double has no other value than zero for `whole.fraction` times ten to `exponent`, that
/// is, up to half of its least, 2^-1074. This is decided without a double: parsing one takes more
/// code than all other values together.
fn is_zero_as_double(whole: &str, fraction: &str, exponent: &str) -> bool {
    /// Digits behind the point, times ten to -323.
    const HALF_OF_LEAST: &str = "24703282292062327";
    let len = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    let power = match exponent.parse() {
        Ok(power) => power,
        // Without digits, or with more than matter.
        Err(_) if len(exponent) < 2 => 0,
        Err(_) if exponent.starts_with('-') => i64::MIN,
        Err(_) => i64::MAX,
    };
    // The number is 0.SIGNIFICANT times ten to this.
    let magnitude = power.saturating_add(len(significant) - len(fraction));
    significant.is_empty() || magnitude < -323 || magnitude == -323 && significant <= HALF_OF_LEAST
}

fn is_ipv4(value: &str) -> bool {
    let is_byte = |part: &str| {
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = part == "0" || !part.starts_with('0');
        is_number && is_plain && part.parse::<u8>().is_ok()
    };
    value.split('.').count() == 4 && value.split('.').all(is_byte)
}

/// The end of an IPv6 address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tail {
    Nothing,
    Group,
    Ipv4,
}

/// The pattern's alternatives by the position of the gap, the number of groups before and behind
/// it, and the end of the address.
fn is_ipv6(value: &str) -> bool {
    let (before, rest) = groups(value);
    let Some(after_colon) = rest.strip_prefix(':') else {
        return match tail(rest) {
            Some(Tail::Group) => before == 7,
            Some(Tail::Ipv4) => before == 6,
            Some(Tail::Nothing) | None => false,
        };
    };
    // At the start the gap takes both its colons; elsewhere a group has had the first.
    let rest = if before > 0 { Some(after_colon) } else { after_colon.strip_prefix(':') };
    let Some(rest) = rest else {
        // The pattern accepts an IPv4 address behind a single colon.
        return tail(after_colon) == Some(Tail::Ipv4);
    };
    let (behind, rest) = groups(rest);
    match tail(rest) {
        Some(Tail::Nothing) => behind == 0 && before <= 7,
        Some(Tail::Group) if before == 0 => behind <= 6,
        Some(Tail::Group) if before == 1 => behind <= 5,
        Some(Tail::Group) => before + behind <= 6,
        Some(Tail::Ipv4) if before == 0 => behind <= 5,
        Some(Tail::Ipv4) => behind == 0 && before <= 5,
        None => false,
    }
}

/// The number of groups with a colon behind them at the start of the text, and the rest.
fn groups(text: &str) -> (usize, &str) {
    let mut count = 0;
    let mut rest = text;
    while let Some((group, behind)) = rest.split_once(':') {
        if !is_group(group) {
            break;
        }
        count += 1;
        rest = behind;
    }
    (count, rest)
}

fn tail(text: &str) -> Option<Tail> {
    if text.is_empty() {
        return Some(Tail::Nothing);
    }
    if is_group(text) {
        return Some(Tail::Group);
    }
    is_ipv4(text).then_some(Tail::Ipv4)
}

fn is_group(text: &str) -> bool {
    (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_what_a_double_is_that_is_not_negative() {
        const DIGITS: &str = "0 0.0 .0 1 1. .1 0.001 10 9999999999999999999 2.47 2.48 00.247 0.0248 \
            247.0 2.4703282292062327 2.4703282292062328";
        const EXPONENTS: &str = "e0 e-1 E+1 e-300 e-321 e-322 e-323 e-324 e-325 e-326 e-400 e308 \
            e99999999999999999999 e-99999999999999999999";
        for digits in DIGITS.split(' ') {
            for exponent in EXPONENTS.split(' ').chain([""]) {
                for sign in ["", "-", "+"] {
                    let value = format!("{sign}{digits}{exponent}");
                    let want = value.parse::<f64>().is_ok_and(|seconds| seconds >= 0.0);
                    assert_eq!(is_seconds(&value), want, "{value}");
                }
            }
        }
    }

    #[test]
    fn seconds_may_lack_the_digits_of_an_exponent() {
        for (value, want) in [
            ("1e", true),
            ("1e+", true),
            ("-1e-", false),
            ("-0e-", true),
            ("INF", true),
            ("-INF", false),
            ("NaN", true),
            ("", false),
            (".", false),
            ("-", false),
            ("e1", false),
            ("1e1.5", false),
            ("1x", false),
        ] {
            assert_eq!(is_seconds(value), want, "{value}");
        }
    }
}
