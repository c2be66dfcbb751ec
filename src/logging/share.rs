// SPDX-License-Identifier: LGPL-2.1-or-later
//! Rations log lines: each user may cause so many lines a minute, whatever their level.
//!
//! Lines are charged to the user whose client causes them. Suppressed lines are counted, and the
//! log states their number. Knows nothing of outputs; the caller passes the time in.

use std::time::Duration;

use crate::limits::{LOG_LINES_PER_USER_MAX, LOG_SHARE_TIME, LOG_USER_COUNT_MAX};

/// The users whose clients caused lines recently.
#[derive(Debug, Default)]
pub(super) struct Shares(Vec<Share>);

#[derive(Debug)]
struct Share {
    user: u32,
    since: Duration,
    line_count: u32,
    left_out: u64,
}

/// The decision about one line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LineVerdict {
    Write,
    /// Write the line, and before it the number of lines that were suppressed.
    WriteAfter(u64),
    /// Suppress the line, and log once that lines are being suppressed.
    LeaveOutFirst,
    LeaveOut,
}

impl Shares {
    /// Charges a line to a user.
    pub(super) fn charge(&mut self, user: u32, now: Duration) -> LineVerdict {
        let is_over = |share: &Share| now.saturating_sub(share.since) >= LOG_SHARE_TIME;
        self.0.retain(|share| share.user == user || share.left_out > 0 || !is_over(share));
        let Some(share) = self.0.iter_mut().find(|share| share.user == user) else {
            return self.admit(user, now);
        };
        if is_over(share) {
            let left_out = std::mem::take(&mut share.left_out);
            (share.since, share.line_count) = (now, 1);
            return if left_out == 0 {
                LineVerdict::Write
            } else {
                LineVerdict::WriteAfter(left_out)
            };
        }
        if share.line_count < LOG_LINES_PER_USER_MAX {
            share.line_count += 1;
            return LineVerdict::Write;
        }
        share.left_out = share.left_out.saturating_add(1);
        if share.left_out == 1 { LineVerdict::LeaveOutFirst } else { LineVerdict::LeaveOut }
    }

    /// Adds a user. The table is bounded, so a person with many user IDs gains nothing by them.
    fn admit(&mut self, user: u32, now: Duration) -> LineVerdict {
        if self.0.len() >= LOG_USER_COUNT_MAX {
            return LineVerdict::LeaveOut;
        }
        self.0.push(Share { user, since: now, line_count: 1, left_out: 0 });
        LineVerdict::Write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    /// Charges lines until one is suppressed, and returns how many were written.
    fn fill(shares: &mut Shares, user: u32, now: Duration) -> u32 {
        let mut count = 0;
        loop {
            match shares.charge(user, now) {
                LineVerdict::Write | LineVerdict::WriteAfter(_) => count += 1,
                LineVerdict::LeaveOutFirst | LineVerdict::LeaveOut => return count,
            }
        }
    }

    #[test]
    fn a_user_has_so_many_lines_and_others_have_their_own() {
        let mut shares = Shares::default();
        assert_eq!(fill(&mut shares, 1_000, START), LOG_LINES_PER_USER_MAX);
        assert_eq!(shares.charge(1_000, START), LineVerdict::LeaveOut, "reported once");
        assert_eq!(shares.charge(1_001, START), LineVerdict::Write);
        let soon = START + LOG_SHARE_TIME - Duration::from_millis(1);
        assert_eq!(shares.charge(1_000, soon), LineVerdict::LeaveOut);
        let later = START + LOG_SHARE_TIME;
        assert_eq!(shares.charge(1_000, later), LineVerdict::WriteAfter(3));
        assert_eq!(fill(&mut shares, 1_000, later), LOG_LINES_PER_USER_MAX - 1);
    }

    #[test]
    fn many_users_are_not_remembered_for_ever_and_gain_nothing() {
        let mut shares = Shares::default();
        let count = u32::try_from(LOG_USER_COUNT_MAX).unwrap();
        assert!((0..count).all(|user| shares.charge(user, START) == LineVerdict::Write));
        assert_eq!(shares.charge(count, START), LineVerdict::LeaveOut);
        assert_eq!(shares.charge(count, START + LOG_SHARE_TIME), LineVerdict::Write);
        assert_eq!(shares.0.len(), 1);
    }
}
