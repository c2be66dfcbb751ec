// SPDX-License-Identifier: LGPL-2.1-or-later
//! The calendar, for log lines.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in UTC, as libvirt's log lines show it: to the millisecond, with the zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Utc {
    year: i64,
    month: libc::c_int,
    day: libc::c_int,
    hour: libc::c_int,
    minute: libc::c_int,
    second: libc::c_int,
    millisecond: u32,
}

impl Utc {
    /// The calendar's word for `moment`. A moment before 1970 shows as 1970.
    pub fn new(moment: SystemTime) -> Self {
        let since_epoch = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = libc::time_t::try_from(since_epoch.as_secs()).unwrap_or(libc::time_t::MAX);
        // SAFETY: `tm` is a plain struct of integers and a pointer, for all of which zero is valid.
        let mut tm: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live locals; gmtime_r writes only to the second. Where the
        // year does not fit it returns null and leaves `tm` as it is, which is fine.
        let _ = unsafe { libc::gmtime_r(&raw const seconds, &raw mut tm) };
        Self {
            year: i64::from(tm.tm_year) + 1900,
            month: tm.tm_mon + 1,
            day: tm.tm_mday,
            hour: tm.tm_hour,
            minute: tm.tm_min,
            second: tm.tm_sec,
            millisecond: since_epoch.subsec_millis(),
        }
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, millisecond } = self;
        write!(f, "{year:04}-{month:02}-{day:02} ")?;
        write!(f, "{hour:02}:{minute:02}:{second:02}.{millisecond:03}+0000")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_moment_is_shown_in_utc_to_the_millisecond() {
        let leap_day = UNIX_EPOCH + Duration::from_millis(1_709_210_096_007);
        assert_eq!(Utc::new(leap_day).to_string(), "2024-02-29 12:34:56.007+0000");
        assert_eq!(Utc::new(UNIX_EPOCH).to_string(), "1970-01-01 00:00:00.000+0000");
    }
}
