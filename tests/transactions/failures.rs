// SPDX-License-Identifier: LGPL-2.1-or-later
//! File operations that fail, and checks that refuse a change: a call that fails has no effect, and
//! says so; the disk and the transaction agree; a rollback is tried again until it ends.

use std::time::Duration;

use simulation::value_disk::DiskFailure;

use crate::reached::{Op, State};

/// A time in which every further try is made of what failed once.
const RETRY_TIME: Duration = Duration::from_secs(2);

/// How many times it passes.
const TRY_COUNT_MAX: usize = 3;

/// The failures, with the number of operations that they befall.
const FAILURES: [(usize, DiskFailure); 4] = [
    (1, DiskFailure { errno: libc::ENOSPC, has_effect: false }),
    (1, DiskFailure { errno: libc::EIO, has_effect: true }),
    (usize::MAX, DiskFailure { errno: libc::EROFS, has_effect: false }),
    (usize::MAX, DiskFailure { errno: libc::EIO, has_effect: true }),
];

impl State {
    /// Has each file operation of `op` fail in turn. Returns the number of failures.
    pub(crate) fn fail_at_each_file(&self, op: Op, label: &str) -> usize {
        if !self.acts(op) && op != Op::Kill {
            return 0;
        }
        let mut failures = 0;
        for after in 0.. {
            for (count, failure) in FAILURES {
                let mut failed = self.clone();
                failed.daemon.fail_files(after, count, failure);
                let outcome = failed.perform(op);
                if !failed.daemon.has_failed() {
                    // The operation has no more of them.
                    return failures;
                }
                let label = format!("{label}, {count} of its files from {after} on: {failure:?}");
                match op {
                    Op::Rollback | Op::Deadline => failed.check_rollback(&label),
                    _ => failed.check_failed(self, op, outcome.is_ok(), &label),
                }
                failures += 1;
            }
        }
        failures
    }

    /// Has the check of a change refuse it.
    pub(crate) fn hinder(&self, op: Op, label: &str) {
        let mut hindered = self.clone();
        hindered.daemon.hinder();
        let outcome = hindered.perform(op);
        if hindered.daemon.has_failed() {
            assert!(outcome.is_err(), "{label}, hindered");
            hindered.assert_same(self, label);
            assert_eq!(hindered.daemon.opening(), self.daemon.opening(), "{label}, hindered");
            assert!(hindered.daemon.is_at_rest(), "{label}, hindered");
        }
    }

    /// Checks a rollback in which files failed: it ends by itself, and a daemon that starts before
    /// that completes it, or finds the transaction open.
    fn check_rollback(mut self, label: &str) {
        let mut other = self.clone();
        self.check_last_try(label);
        let mut outcome = other.daemon.restart();
        let label = format!("{label}, then a start");
        if other.daemon.opening().is_some() {
            assert_eq!(outcome, Ok(()), "{label}");
            outcome = other.perform(Op::Rollback);
        }
        other.check_back(outcome, &label);
    }

    /// Lets tries follow until the rollback has ended.
    fn check_last_try(&mut self, label: &str) {
        let mut outcome = Ok(());
        for _ in 0..TRY_COUNT_MAX {
            if !self.daemon.is_at_rest() {
                outcome = self.daemon.pass(RETRY_TIME);
            }
        }
        self.check_back(outcome, label);
    }

    /// Checks a call, or a start, in which files failed: it is done whole or has no effect, as it
    /// says, and a daemon that starts at once or later finds one or the other.
    fn check_failed(mut self, before: &Self, op: Op, is_ok: bool, label: &str) {
        let mut done = before.clone();
        let _ = done.perform(op);
        let want = if is_ok { &done } else { before };
        self.assert_same(want, label);
        // The daemon dies before the next try. A journal that it could not remove undoes the change.
        let mut other = self.clone();
        let undoes = other.daemon.has_journal();
        let outcome = other.daemon.restart();
        assert_eq!(outcome, Ok(()), "{label}, then a start");
        let want_then = if undoes { before } else { want };
        other.assert_same(want_then, &format!("{label}, then a start"));
        assert!(other.daemon.is_at_rest(), "{label}, then a start");
        // Only the file itself can tell a daemon whether the transaction has begun or ended.
        if !matches!(op, Op::Begin | Op::Commit) {
            assert_eq!(other.daemon.opening(), before.daemon.opening(), "{label}, then a start");
        }
        for _ in 0..TRY_COUNT_MAX {
            let _ = self.daemon.pass(RETRY_TIME);
        }
        assert!(self.daemon.is_at_rest(), "{label}: {:?}", self.daemon);
        assert_eq!(self.daemon.opening(), want.daemon.opening(), "{label}");
        self.assert_same(want, label);
        let outcome = self.daemon.restart();
        assert_eq!(outcome, Ok(()), "{label}, then a late start");
        self.assert_same(want, label);
    }
}
