// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Owed`]: an interface that is to come up automatically and is not complete yet.
//!
//! Determines when another try is useful, and when an administrator's decision ends the tries.
//! Knows neither the loop nor the queue of changes.

use std::time::{Duration, Instant};

use crate::host::Host;
use crate::limits::{BOOT_RETRY_TIME_MAX, BOOT_RETRY_TIME_MIN};
use crate::model::interface::{Interface, Kind, StartMode};
use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::plan::available::Lack;
use crate::plan::bring_up::{BringUpExtent, PartialPlan};

/// An interface that is up in part, or not at all, as recorded for later daemons of this boot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Incomplete {
    pub name: IfName,
    /// The reason why it comes up automatically.
    pub start: StartMode,
    pub standing: Standing,
}

/// The progress of an interface.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Standing {
    Down,
    /// Without all of its addresses and routes.
    Up,
    /// Only ports are missing.
    Usable,
}

/// An incomplete interface.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    /// The reason why it comes up automatically, for the log.
    pub(super) why: &'static str,
    pub(super) start: StartMode,
    /// Whether a request for it is queued or under way.
    pub(super) is_asked: bool,
    /// Whether the last try was made while a transaction was open.
    pub(super) is_in_change: bool,
    standing: Standing,
    /// The link that has come up, if this daemon knows it.
    link: Option<LinkIndex>,
    /// The definition that the link has come up by.
    applied: Option<Interface>,
    lacks: Vec<Lack>,
    /// Whether only ports will be missing if the plan succeeds.
    is_usable: bool,
    /// When to try refused steps again.
    retry_at: Option<Instant>,
    pause: Duration,
    /// The text logged last.
    told: String,
}

/// The result of a try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Attempt {
    pub(super) is_complete: bool,
    /// The text for the log, unless it was logged before.
    pub(super) news: Option<String>,
}

impl Owed {
    /// Creates an interface to be tried.
    pub(super) fn new(start: StartMode, standing: Standing, why: &'static str) -> Self {
        Self {
            why,
            start,
            is_asked: true,
            is_in_change: false,
            standing,
            link: None,
            applied: None,
            lacks: Vec::new(),
            is_usable: false,
            retry_at: None,
            pause: BOOT_RETRY_TIME_MIN,
            told: String::new(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Returns when to check again without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry_at.filter(|_| !self.is_asked)
    }

    /// Returns how much of the definition the next try applies.
    pub(super) fn round(&self, name: &IfName, host: &Host) -> BringUpExtent {
        match self.standing == Standing::Down || self.has_gone(name, host) {
            true => BringUpExtent::First,
            false => BringUpExtent::Later,
        }
    }

    /// Returns whether the link that came up is removed. Another device may have its name.
    fn has_gone(&self, name: &IfName, host: &Host) -> bool {
        let now = host.link_named(name).map(|link| link.index);
        self.standing != Standing::Down
            && (now.is_none() || (self.link.is_some() && now != self.link))
    }

    /// Returns whether another try is useful: a missing object has appeared, a device was removed
    /// and may return, or the pause after a refusal is over.
    pub(super) fn is_due(&self, name: &IfName, host: &Host, now: Instant) -> bool {
        let has_gone = self.has_gone(name, host);
        let has_come = self.lacks.iter().any(|lack| lack.is_over(host));
        let may_retry = self.retry_at.is_some_and(|at| at <= now);
        !self.is_asked && (has_gone || has_come || may_retry)
    }

    /// Returns why the daemon no longer brings the interface up, if an administrator has decided
    /// so.
    pub(super) fn is_ended_by(
        &self,
        definition: Option<&Interface>,
        name: &IfName,
        host: &Host,
    ) -> Option<&'static str> {
        let Some(definition) = definition else { return Some("it is no longer defined") };
        if matches!(definition.start, None | Some(StartMode::None)) {
            return Some("its definition no longer brings it up automatically");
        }
        if self.standing == Standing::Down {
            return None;
        }
        if self.applied.as_ref().is_some_and(|applied| applied != definition) {
            return Some("its definition has changed: iface-start applies it");
        }
        let is_removed = match &definition.kind {
            // The device may have been unplugged.
            Kind::Ethernet(_) => false,
            Kind::Bridge(_) | Kind::Bond(_) => true,
            // It is removed with its parent, which another device may have replaced.
            Kind::Vlan(vlan) => host.link_named(&vlan.parent).is_some_and(|parent| parent.up),
        };
        match self.has_gone(name, host) {
            true => is_removed.then_some("it has been removed"),
            false => {
                let is_down = host.link_named(name).is_some_and(|link| !link.up);
                is_down.then_some("it has been taken down")
            }
        }
    }

    /// Notes that a try to apply this definition is planned.
    pub(super) fn note_planned(&mut self, definition: &Interface, partial: &PartialPlan) {
        self.lacks.clone_from(&partial.lacks);
        self.is_usable = partial.is_usable;
        self.applied = Some(definition.clone());
    }

    /// Notes that a try cannot be planned, so the missing objects are unknown.
    pub(super) fn note_unplanned(&mut self) {
        self.lacks.clear();
        self.is_usable = false;
    }

    /// Notes that a try has ended, with these refusals.
    pub(super) fn note_attempt(
        &mut self,
        name: &IfName,
        refused: Vec<String>,
        host: &Host,
        now: Instant,
    ) -> Attempt {
        self.is_asked = false;
        let was = self.standing;
        let link = host.link_named(name).filter(|link| link.up);
        self.link = link.map(|link| link.index);
        let is_up = link.is_some();
        self.standing = match (is_up, self.is_usable && refused.is_empty()) {
            (false, _) => Standing::Down,
            (true, false) => Standing::Up,
            (true, true) => Standing::Usable,
        };
        self.retry_at = (!refused.is_empty()).then(|| now + self.pause);
        self.pause = match refused.is_empty() {
            true => BOOT_RETRY_TIME_MIN,
            false => self.pause.saturating_mul(2).min(BOOT_RETRY_TIME_MAX),
        };
        let is_complete = is_up && refused.is_empty() && self.lacks.is_empty();
        let missing = self.lacks.iter().map(Lack::to_string);
        let missing: Vec<_> = missing.chain(refused).collect();
        let why = self.why;
        let text = match (is_complete, is_up) {
            (true, _) if was == Standing::Down => format!("{name} is brought up ({why})"),
            (true, _) => format!("{name} is complete ({why})"),
            (false, true) => {
                format!("{name} is brought up in part ({why}): {}", missing.join("; "))
            }
            (false, false) => format!("{name} is not brought up ({why}): {}", missing.join("; ")),
        };
        let news = (text != self.told).then(|| text.clone());
        self.told = text;
        Attempt { is_complete, news }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::interface::{Ethernet, OperState};
    use crate::netlink::Event;
    use crate::netlink::link::{Link, LinkEvent, LinkKind};
    use crate::plan::Plan;

    fn name(name: &str) -> IfName {
        IfName::new(name).unwrap()
    }

    fn host_with(links: &[(&str, u32, bool)]) -> Host {
        let mut host = Host::default();
        for (link, index, up) in links {
            host.apply(Event::Link(LinkEvent::New(Link {
                index: LinkIndex(*index),
                name: name(link),
                up: *up,
                mtu: 1500,
                mac: None,
                carrier: false,
                oper_state: OperState::Down,
                master: None,
                parent: None,
                kind: LinkKind::Nic,
            })));
        }
        host
    }

    fn definition() -> Interface {
        Interface {
            name: name("eth0"),
            start: Some(StartMode::Onboot),
            mtu: None,
            protocols: Vec::new(),
            kind: Kind::Ethernet(Ethernet::default()),
        }
    }

    /// An interface whose link 1 is up, and that lacks these objects.
    fn owed(lacks: Vec<Lack>, refused: &[&str], now: Instant) -> Owed {
        let mut owed = Owed::new(StartMode::Onboot, Standing::Down, "at boot");
        let partial = PartialPlan { plan: Plan::default(), lacks, is_usable: true };
        owed.note_planned(&definition(), &partial);
        let refused = refused.iter().map(|text| (*text).to_owned()).collect();
        owed.note_attempt(&name("eth0"), refused, &host_with(&[("eth0", 1, true)]), now);
        owed
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn another_attempt_is_due_when_something_has_come_or_gone() {
        let now = start();
        let eth0 = name("eth0");
        let mut owed = owed(vec![Lack::Link(name("eth1"))], &[], now);
        for (label, links, want) in [
            ("as before", &[("eth0", 1, true)][..], false),
            ("news of another", &[("eth0", 1, true), ("eth2", 3, true)], false),
            ("what was missing", &[("eth0", 1, true), ("eth1", 2, false)], true),
            ("the device is gone", &[], true),
            ("the device is another", &[("eth0", 7, false)], true),
        ] {
            let host = host_with(links);
            assert_eq!(owed.is_due(&eth0, &host, now), want, "{label}");
            let ended = owed.is_ended_by(Some(&definition()), &eth0, &host);
            assert_eq!(ended, None, "{label}");
        }
        owed.is_asked = true;
        assert!(!owed.is_due(&eth0, &host_with(&[]), now), "one is asked for already");
    }

    #[test]
    fn what_was_refused_is_tried_after_a_pause_that_grows() {
        let now = start();
        let eth0 = name("eth0");
        let host = host_with(&[("eth0", 1, true)]);
        let mut owed = owed(Vec::new(), &["no"], now);
        let mut pause = BOOT_RETRY_TIME_MIN;
        for _ in 0..10 {
            assert_eq!(owed.deadline(), Some(now + pause));
            assert!(!owed.is_due(&eth0, &host, now + pause - Duration::from_millis(1)));
            assert!(owed.is_due(&eth0, &host, now + pause));
            let attempt = owed.note_attempt(&eth0, vec!["no".to_owned()], &host, now);
            assert_eq!(attempt, Attempt { is_complete: false, news: None }, "it is known");
            pause = (pause * 2).min(BOOT_RETRY_TIME_MAX);
        }
        assert_eq!(pause, BOOT_RETRY_TIME_MAX);
        let attempt = owed.note_attempt(&eth0, Vec::new(), &host, now);
        let news = Some("eth0 is complete (at boot)".to_owned());
        assert_eq!(attempt, Attempt { is_complete: true, news });
        assert_eq!(owed.deadline(), None);
    }

    #[test]
    fn an_administrators_decision_ends_it() {
        let eth0 = name("eth0");
        let owed = owed(vec![Lack::Link(name("eth1"))], &[], start());
        let up = host_with(&[("eth0", 1, true)]);
        let is_ended = |definition: Option<&Interface>, host: &Host| {
            owed.is_ended_by(definition, &eth0, host).is_some()
        };
        let definition = definition();
        let with = |start| Interface { start, ..definition.clone() };
        assert!(!is_ended(Some(&definition), &up));
        assert!(is_ended(None, &up));
        assert!(is_ended(Some(&with(Some(StartMode::None))), &up));
        assert!(is_ended(Some(&with(None)), &up));
        let changed = Interface { mtu: Some(1400), ..definition.clone() };
        assert!(is_ended(Some(&changed), &up));
        assert!(is_ended(Some(&definition), &host_with(&[("eth0", 1, false)])));
        assert!(!is_ended(Some(&definition), &host_with(&[])), "it is unplugged");
    }
}
