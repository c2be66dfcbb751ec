// SPDX-License-Identifier: LGPL-2.1-or-later
//! Shell patterns as fnmatch(3) has them.
//!
//! Knows nothing of files: no character is special to it but `*`, `?`, `[` and the backslash. Works
//! on bytes, which is enough for names in ASCII. Only the last star is ever retried, so the time is
//! at most the product of both lengths.

/// Whether the whole of `name` fits the pattern.
pub fn fits(pattern: &str, name: &str) -> bool {
    fits_bytes(pattern.as_bytes(), name.as_bytes())
}

/// The same for a name that need not be text.
pub(crate) fn fits_bytes(pattern: &[u8], name: &[u8]) -> bool {
    search(pattern, name, Extent::Whole)
}

/// Whether some part of `name` fits the pattern, as if a star stood at both its ends.
pub(crate) fn occurs(pattern: &str, name: &str) -> bool {
    search(pattern.as_bytes(), name.as_bytes(), Extent::Part)
}

/// How much of a name a pattern is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extent {
    Whole,
    Part,
}

fn search(mut pattern: &[u8], mut name: &[u8], extent: Extent) -> bool {
    // Where to go on if this attempt fails: behind the last star, one byte further in the name.
    let mut retry = (extent == Extent::Part).then_some((pattern, name));
    loop {
        match split_item(pattern) {
            None if extent == Extent::Part || name.is_empty() => return true,
            Some((Item::Star, behind)) => {
                pattern = behind;
                retry = Some((pattern, name));
                continue;
            }
            Some((item, behind)) => {
                if let Some((_, rest)) = name.split_first().filter(|(byte, _)| item.takes(**byte)) {
                    (pattern, name) = (behind, rest);
                    continue;
                }
            }
            None => {}
        }
        let Some((behind_star, from)) = retry else { return false };
        let Some((_, from)) = from.split_first() else { return false };
        retry = Some((behind_star, from));
        (pattern, name) = (behind_star, from);
    }
}

/// The part of a pattern that applies at one place of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Item<'a> {
    Star,
    Any,
    Byte(u8),
    /// One of the set between the brackets.
    OneOf(&'a [u8]),
    /// None of it.
    NoneOf(&'a [u8]),
}

impl Item<'_> {
    fn takes(self, byte: u8) -> bool {
        match self {
            Self::Star | Self::Any => true,
            Self::Byte(wanted) => byte == wanted,
            Self::OneOf(set) => contains(set, byte),
            Self::NoneOf(set) => !contains(set, byte),
        }
    }
}

/// The pattern's first item, and what follows it.
fn split_item(pattern: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (&first, rest) = pattern.split_first()?;
    Some(match first {
        b'*' => (Item::Star, rest),
        b'?' => (Item::Any, rest),
        b'\\' => rest
            .split_first()
            .map_or((Item::Byte(first), rest), |(&literal, behind)| (Item::Byte(literal), behind)),
        // A bracket without an end is an ordinary character.
        b'[' => split_set(rest).unwrap_or((Item::Byte(first), rest)),
        _ => (Item::Byte(first), rest),
    })
}

/// The set between the brackets, and the pattern behind them; `rest` begins after the first
/// bracket.
fn split_set(rest: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (is_negated, set) = match rest.split_first()? {
        (b'!' | b'^', set) => (true, set),
        _ => (false, rest),
    };
    // A closing bracket that comes first belongs to the set.
    let end = 1 + set.iter().skip(1).position(|&byte| byte == b']')?;
    let (set, behind) = (set.get(..end)?, set.get(end + 1..)?);
    Some((if is_negated { Item::NoneOf(set) } else { Item::OneOf(set) }, behind))
}

/// Whether a set has the byte, by itself or in a range.
fn contains(mut set: &[u8], byte: u8) -> bool {
    loop {
        set = match set {
            [low, b'-', high, behind @ ..] => {
                if (*low..=*high).contains(&byte) {
                    return true;
                }
                behind
            }
            [single, behind @ ..] => {
                if *single == byte {
                    return true;
                }
                behind
            }
            [] => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_where_a_shell_would_find_it() {
        for (pattern, name, want) in [
            ("rpc", "rpc.server", true),
            ("server", "rpc.server", true),
            ("c.s", "rpc.server", true),
            ("rpc.server", "rpc.server", true),
            ("rpc.servers", "rpc.server", false),
            ("", "", true),
            ("a", "", false),
            ("*", "", true),
            ("***", "x", true),
            ("r*r", "rpc.server", true),
            ("*util*", "util.log", true),
            ("d*v*d", "daemon.virtinterfaced", true),
            ("d*x*d", "daemon.virtinterfaced", false),
            ("aab", "aaab", true),
            ("a*b*c", "aXbXbXd", false),
            ("?pc", "rpc", true),
            ("?rpc", "rpc", false),
            ("rpc?", "rpc", false),
            ("[qrs]pc", "rpc", true),
            ("[q-s]pc", "rpc", true),
            ("[!q-s]pc", "rpc", false),
            ("[^a]pc", "rpc", true),
            ("[]]x", "]x", true),
            ("[a-]x", "-x", true),
            ("[!]]x", "ax", true),
            ("[abc", "[abc", true),
            ("[abc", "a", false),
            ("[", "[", true),
            ("\\*", "a*", true),
            ("\\*", "ab", false),
            ("\\", "\\", true),
            ("RPC", "rpc", false),
        ] {
            assert_eq!(occurs(pattern, name), want, "{pattern} in {name}");
        }
    }

    #[test]
    fn a_whole_name_fits_from_its_first_byte_to_its_last() {
        for (pattern, name, want) in [
            ("eth0", "eth0", true),
            ("eth", "eth0", false),
            ("th0", "eth0", false),
            ("eth*", "eth0", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*0", "eth00", true),
            ("*a*b", "aXbb", true),
            ("*a*b", "aXbc", false),
            ("e[nt]*?", "eth", true),
            ("e[nt]?*", "en", false),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} and {name}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_one() {
        let pattern = "a*".repeat(1_000) + "b";
        assert!(!occurs(&pattern, &"a".repeat(10_000)));
    }
}
