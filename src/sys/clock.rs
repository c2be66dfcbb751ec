// SPDX-License-Identifier: LGPL-2.1-or-later
//! The clocks that all processes of the host share.

use std::io;
use std::time::Duration;

use super::check;

/// Returns how long the host has been up and awake (`CLOCK_MONOTONIC`, clock_gettime(2)). The value
/// is the same in all processes of the host; std's `Instant` does not expose it.
pub(crate) fn monotonic() -> io::Result<Duration> {
    read(libc::CLOCK_MONOTONIC)
}

/// Returns the time since the host was booted, including sleep (`CLOCK_BOOTTIME`).
pub fn since_boot() -> io::Result<Duration> {
    read(libc::CLOCK_BOOTTIME)
}

/// Sleeps until `end` after boot, counting the host's sleep. Only for a process without an event
/// loop.
pub(crate) fn wait_until_since_boot(end: Duration) {
    sleep(libc::CLOCK_BOOTTIME, libc::TIMER_ABSTIME, end);
}

/// Sleeps for `duration`. Only for a process without an event loop.
pub fn pause(duration: Duration) {
    sleep(libc::CLOCK_MONOTONIC, 0, duration);
}

/// Sleeps by the given clock (clock_nanosleep(2)). A signal may end the sleep early, but the
/// processes that call this handle no signals, so it ends them too.
fn sleep(clock: libc::clockid_t, flags: libc::c_int, duration: Duration) {
    let time = timespec(duration);
    // SAFETY: the pointer is to a live local, which is only read; the time that is left is not
    // asked for.
    unsafe { libc::clock_nanosleep(clock, flags, &raw const time, std::ptr::null_mut()) };
}

/// Converts a duration to the type that system calls take.
pub(super) fn timespec(duration: Duration) -> libc::timespec {
    // Both types depend on the C library; musl deprecates the name of the first.
    let tv_sec = duration.as_secs().try_into().unwrap_or_default();
    #[allow(clippy::unnecessary_fallible_conversions, reason = "it may have 32 bits")]
    let tv_nsec = duration.subsec_nanos().try_into().unwrap_or_default();
    libc::timespec { tv_sec, tv_nsec }
}

fn read(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live local of the type that clock_gettime fills.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Ok(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_not_over_too_soon() {
        let end = since_boot().unwrap() + Duration::from_millis(20);
        wait_until_since_boot(end);
        let begin = since_boot().unwrap();
        assert!(begin >= end);
        pause(Duration::from_millis(20));
        assert!(since_boot().unwrap() >= begin + Duration::from_millis(20));
    }

    #[test]
    fn the_clock_agrees_with_the_kernels_uptime() {
        let before = monotonic().unwrap();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let after = monotonic().unwrap();
        // The uptime also counts the host's sleep, and is cut to hundredths of a second.
        assert!(before <= after && before.as_secs_f64() <= uptime + 0.02, "{before:?} {uptime}");
    }
}
