// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Utc`]: a moment in the calendar, as people read it.

use std::fmt;
use std::time::Duration;

const SECONDS_PER_DAY: u64 = 86_400;
/// 400 years of the Gregorian calendar, after which it repeats.
const DAYS_PER_ERA: u64 = 146_097;

/// A moment in UTC, to the microsecond.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Utc {
    year: u64,
    month: u64,
    day: u64,
    /// Of the day.
    second: u64,
    microsecond: u32,
}

impl Utc {
    /// The moment at this distance from the beginning of 1970, without leap seconds as the kernel
    /// counts it.
    pub(crate) fn since_epoch(elapsed: Duration) -> Self {
        let days = elapsed.as_secs() / SECONDS_PER_DAY;
        // A year that begins in March has its leap day last, and its months in groups of five with 153
        // days. The first era began with the March of the year 0, 719,468 days before 1970.
        let days = days + 719_468;
        let (era, day) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let is_next_year = month >= 10;
        Self {
            year: era * 400 + year + u64::from(is_next_year),
            month: if is_next_year { month - 9 } else { month + 3 },
            day: day - (153 * month + 2) / 5 + 1,
            second: elapsed.as_secs() % SECONDS_PER_DAY,
            microsecond: elapsed.subsec_micros(),
        }
    }

    /// The same moment without fractions of a second.
    pub(crate) fn to_the_second(self) -> String {
        format!("{} UTC", ToTheSecond(&self))
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}+0000", ToTheSecond(self), self.microsecond)
    }
}

struct ToTheSecond<'a>(&'a Utc);

impl fmt::Display for ToTheSecond<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Utc { year, month, day, second, .. } = self.0;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_as_date_1_shows_them() {
        for (seconds, want) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_709_210_096, "2024-02-29 12:34:56 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_735_689_600, "2025-01-01 00:00:00 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (13_574_563_200, "2400-02-29 00:00:00 UTC"),
        ] {
            assert_eq!(Utc::since_epoch(Duration::from_secs(seconds)).to_the_second(), want);
        }
    }

    #[test]
    fn a_moment_is_shown_to_the_microsecond() {
        let leap_day = Duration::from_micros(1_709_210_096_007_008);
        assert_eq!(Utc::since_epoch(leap_day).to_string(), "2024-02-29 12:34:56.007008+0000");
    }
}
