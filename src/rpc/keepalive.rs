// SPDX-License-Identifier: LGPL-2.1-or-later
//! Keepalive: pings, pongs, and the time to close a connection.
//!
//! The daemon answers a PING at any time. It sends pings once the client has shown that it
//! understands them, after each silent interval, and closes the connection when all pings and one
//! more interval stayed without an answer. Uses no clock: `now` comes in, the next deadline goes
//! out.

use std::time::{Duration, Instant};

use crate::rpc::header::{Header, kind, status};

/// The keepalive program's number and version (`virkeepaliveprotocol.x`).
pub(crate) const PROGRAM: u32 = 0x6b65_6570;
pub(crate) const VERSION: u32 = 1;

const PING: i32 = 1;
const PONG: i32 = 2;

/// The keepalive settings of the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Silence before a ping; `None` never pings.
    pub interval: Option<Duration>,
    /// Pings without any answer before the connection is closed.
    pub count: u32,
}

/// The action at a deadline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    Nothing,
    Ping,
    GiveUp,
}

/// One client's keepalive.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    policy: Policy,
    wanted: Wanted,
    /// `None` until the client has asked for pings, and while the policy is never.
    running: Option<Countdown>,
}

/// Whether the client has shown that it understands pings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    NotYet,
    Yes,
}

#[derive(Clone, Copy, Debug)]
struct Countdown {
    interval: Duration,
    pings_left: u32,
    deadline: Instant,
}

impl Keepalive {
    /// Not pinging yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, wanted: Wanted::NotYet, running: None }
    }

    /// Notes that the client understands pings. A second call has no effect.
    pub fn start(&mut self, now: Instant) {
        if self.wanted == Wanted::NotYet {
            self.wanted = Wanted::Yes;
            self.restart(now);
        }
    }

    /// Applies another policy. Silence counts from now, as the silence before was within the old
    /// policy.
    pub(crate) fn handle_policy(&mut self, policy: Policy, now: Instant) {
        if self.policy != policy {
            self.policy = policy;
            if self.wanted == Wanted::Yes {
                self.restart(now);
            }
        }
    }

    /// Notes that a whole message has come, of any program: the client lives.
    pub fn handle_message(&mut self, now: Instant) {
        if self.running.is_some() {
            self.restart(now);
        }
    }

    /// The action at `now`. A ping moves the deadline on by an interval.
    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        let Some(running) = &mut self.running else { return Due::Nothing };
        if now < running.deadline {
            return Due::Nothing;
        }
        let Some(left) = running.pings_left.checked_sub(1) else { return Due::GiveUp };
        running.pings_left = left;
        running.deadline = now + running.interval;
        Due::Ping
    }

    /// When to call [`Keepalive::handle_timeout`] next.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.map(|running| running.deadline)
    }

    fn restart(&mut self, now: Instant) {
        self.running = self.policy.interval.map(|interval| Countdown {
            interval,
            pings_left: self.policy.count,
            deadline: now + interval,
        });
    }
}

/// Whether this message belongs to the keepalive program. Its number with another type or version
/// makes it a message to an unknown program.
pub fn is_keepalive(header: &Header) -> bool {
    header.program == PROGRAM && header.version == VERSION && header.kind == kind::MESSAGE
}

/// The answer to a keepalive message, if it wants one.
pub fn answer(header: &Header) -> Option<Header> {
    (header.procedure == PING).then(|| message(PONG))
}

/// Our own ping.
pub fn ping() -> Header {
    message(PING)
}

fn message(procedure: i32) -> Header {
    Header {
        program: PROGRAM,
        version: VERSION,
        procedure,
        kind: kind::MESSAGE,
        serial: 0,
        status: status::OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
    fn instant() -> Instant {
        Instant::now()
    }

    fn policy(interval: u64, count: u32) -> Policy {
        Policy { interval: Some(Duration::from_secs(interval)), count }
    }

    /// The actions for a silent client: (seconds since the start, action).
    fn silence(interval: u64, count: u32) -> Vec<(u64, Due)> {
        let start = instant();
        let mut keepalive = Keepalive::new(policy(interval, count));
        keepalive.start(start);
        let mut seen = Vec::new();
        while let Some(deadline) = keepalive.deadline() {
            let due = keepalive.handle_timeout(deadline);
            seen.push(((deadline - start).as_secs(), due));
            if due == Due::GiveUp || seen.len() > 10 {
                break;
            }
        }
        seen
    }

    #[test]
    fn a_silent_client_is_pinged_and_then_given_up() {
        let want = [(5, Due::Ping), (10, Due::Ping), (15, Due::Ping), (20, Due::GiveUp)];
        assert_eq!(silence(5, 3), want);
    }

    #[test]
    fn without_pings_one_silent_interval_is_the_end() {
        assert_eq!(silence(5, 0), [(5, Due::GiveUp)]);
    }

    #[test]
    fn without_an_interval_nobody_is_pinged() {
        let mut keepalive = Keepalive::new(Policy { interval: None, count: 5 });
        keepalive.start(instant());
        assert_eq!(keepalive.deadline(), None);
    }

    #[test]
    fn any_message_starts_the_count_anew() {
        let start = instant();
        let mut keepalive = Keepalive::new(policy(5, 1));
        keepalive.handle_message(start);
        assert_eq!(keepalive.deadline(), None, "not started yet");
        keepalive.start(start);
        let later = start + Duration::from_secs(5);
        assert_eq!(keepalive.handle_timeout(later), Due::Ping);
        keepalive.handle_message(later);
        assert_eq!(keepalive.handle_timeout(later + Duration::from_secs(4)), Due::Nothing);
        assert_eq!(keepalive.handle_timeout(later + Duration::from_secs(5)), Due::Ping);
        assert_eq!(keepalive.handle_timeout(later + Duration::from_secs(10)), Due::GiveUp);
    }

    #[test]
    fn another_policy_counts_silence_from_its_beginning() {
        let start = instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut keepalive = Keepalive::new(Policy { interval: None, count: 1 });
        keepalive.handle_policy(policy(9, 1), at(0));
        assert_eq!(keepalive.deadline(), None, "the client has not asked for pings yet");
        keepalive.start(at(1));
        assert_eq!(keepalive.deadline(), Some(at(10)));
        keepalive.handle_policy(policy(3, 0), at(4));
        assert_eq!(keepalive.deadline(), Some(at(7)));
        keepalive.handle_policy(policy(3, 0), at(6));
        assert_eq!(keepalive.deadline(), Some(at(7)), "the same policy changes nothing");
        keepalive.handle_policy(Policy { interval: None, count: 0 }, at(6));
        assert_eq!(keepalive.deadline(), None);
        keepalive.handle_policy(policy(5, 0), at(8));
        assert_eq!(keepalive.handle_timeout(at(13)), Due::GiveUp);
    }

    #[test]
    fn a_ping_is_answered_and_nothing_else() {
        assert_eq!(answer(&ping()), Some(message(PONG)));
        assert_eq!(answer(&message(PONG)), None);
        assert_eq!(answer(&message(3)), None);
        assert!(is_keepalive(&ping()));
        assert!(!is_keepalive(&Header { kind: kind::CALL, ..ping() }));
        assert!(!is_keepalive(&Header { version: 2, ..ping() }));
    }
}
