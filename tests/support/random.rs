// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reproducible random choices: methods for [`fastrand::Rng`].

pub(crate) use fastrand::Rng;

pub(crate) trait Chance {
    /// True once in `count` times, on average.
    fn once_in(&mut self, count: usize) -> bool;

    /// One of `items`, which must not be empty.
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T;
}

impl Chance for Rng {
    fn once_in(&mut self, count: usize) -> bool {
        self.usize(..count) == 0
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.usize(..items.len())]
    }
}

/// The seed that the environment sets, or a new one each time. In CI, `.ci/run` sets one for each
/// commit (`CI_SEED`), so different commits try different seeds, and a commit always the same one:
/// whether it can be merged does not depend on chance.
pub(crate) fn seed(variable: &str) -> u64 {
    /// The seed in CI if the commit is unknown.
    const OF_CI: u64 = 20_250_115;
    #[expect(clippy::disallowed_methods, reason = "a test has no daemon.rs to ask")]
    let is_ci = std::env::var_os("CI").is_some();
    let of_ci = || seed_from("CI_SEED").unwrap_or(OF_CI);
    let drawn = || if is_ci { of_ci() } else { u64::from(fastrand::u32(..)) };
    seed_from(variable).unwrap_or_else(drawn)
}

/// The seed that the environment sets, so that a failed run can be repeated.
pub(crate) fn seed_from(variable: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test has no daemon.rs to ask")]
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}
