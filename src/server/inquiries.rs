// SPDX-License-Identifier: LGPL-2.1-or-later
//! Long questions to the kernel on behalf of a change: before it, what must be known of a few links, or of
//! the whole host. Calls that look are answered meanwhile.

use std::time::Instant;

use log::warn;

use crate::change::job::StepError;
use crate::error::{CallError, HostError};
use crate::faults;
use crate::handler::Answer;
use crate::host::inquiry::Inquiry;
use crate::host::inquiry::record::RecordInquiry;
use crate::host::inquiry::survey::SurveyInquiry;
use crate::host::record::HostRecord;
use crate::host::survey::{Survey, SurveyOrder, Sysctls};
use crate::io::changes::Told;
use crate::io::switches;
use crate::limits::COMPARED_PER_TURN_MAX;
use crate::model::foreign::ForeignClient;
use crate::model::name::IfName;
use crate::netlink::link::{Link, LinkKind};
use crate::plan::step::Step;
use crate::server::Server;
use crate::server::request::Request;
use crate::server::running::{Comparing, Running};

/// A question that is under way, and what goes on with its answer.
#[derive(Debug)]
pub(super) enum Inquiring {
    Survey { inquiry: Box<SurveyInquiry>, then: WithSurvey, seen: Option<Seen> },
    Record { inquiry: Box<RecordInquiry>, then: WithRecord },
}

/// What files tell beside the kernel, and what it takes a while to look through.
#[derive(Debug)]
pub(super) struct Seen {
    defaults: Sysctls,
    foreign: Result<Vec<ForeignClient>, HostError>,
}

/// What goes on with what is known of a few links.
#[derive(Debug)]
pub(super) enum WithSurvey {
    /// A call is decided.
    Decide(Request),
    /// An interface comes up without anybody asking.
    BringUp(Request, IfName),
    /// The step under way takes away what a DHCP client had brought.
    TakeAway(Step),
    /// The step under way starts a DHCP client that clears its link first.
    GiveBack(Box<ForeignClient>),
}

/// What goes on with what is known of all links.
#[derive(Debug)]
pub(super) enum WithRecord {
    /// A change is opened that can be undone.
    Begin(Request),
    /// A job of an open change is written down, and then sets out.
    Journal(Box<Running>),
    /// A rollback has another round.
    Round(Box<Comparing>),
}

impl Inquiring {
    /// Whether it belongs to a way back.
    pub(super) fn leads_back(&self) -> bool {
        matches!(self, Self::Record { then: WithRecord::Round(_), .. })
    }

    /// Whether its answer is long.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Record { .. })
    }

    /// The job that sets out when this is told.
    pub(super) fn job_mut(&mut self) -> Option<&mut Running> {
        match self {
            Self::Record { then: WithRecord::Journal(running), .. } => Some(running),
            Self::Survey { .. } | Self::Record { .. } => None,
        }
    }

    /// Whether a step under way waits for it.
    fn is_of_a_step(&self) -> bool {
        let Self::Survey { then, .. } = self else { return false };
        matches!(then, WithSurvey::TakeAway(_) | WithSurvey::GiveBack(_))
    }

    /// The kernel keeps us waiting: what was seen may be outdated when it answers.
    fn forget_seen(&mut self) {
        if let Self::Survey { seen, .. } = self {
            *seen = None;
        }
    }

    fn inquiry(&mut self) -> &mut dyn Inquiry {
        match self {
            Self::Survey { inquiry, .. } => inquiry.as_mut(),
            Self::Record { inquiry, .. } => inquiry.as_mut(),
        }
    }
}

impl Server {
    /// Asks what must be known of a few links.
    pub(super) fn ask_for_survey(&mut self, order: SurveyOrder, then: WithSurvey) {
        let mut inquiry = Box::new(SurveyInquiry::new(order, &self.host));
        self.jobs.inquire_at_once(inquiry.as_mut());
        let is_completed = !matches!(then, WithSurvey::TakeAway(_) | WithSurvey::GiveBack(_));
        let seen = is_completed.then(|| self.look(inquiry.order()));
        self.jobs.go_on_inquiring(Inquiring::Survey { inquiry, then, seen });
    }

    /// Asks for all that can be set back.
    pub(super) fn ask_for_record(&mut self, inquiry: RecordInquiry, then: WithRecord) {
        self.jobs.inquire(Inquiring::Record { inquiry: Box::new(inquiry), then });
    }

    /// Goes on with the question that is under way.
    pub(super) fn go_on_inquiring(&mut self, now: Instant) {
        let Some(mut inquiring) = self.jobs.take_inquiring() else { return };
        if self.is_stopping() && !inquiring.is_of_a_step() {
            // What is left is the next daemon's.
            return self.drop_inquiry(inquiring, now);
        }
        match self.jobs.pursue(inquiring.inquiry()) {
            Ok(Told::Some) => self.jobs.go_on_inquiring(inquiring),
            Ok(Told::Waiting) => {
                inquiring.forget_seen();
                self.jobs.go_on_inquiring(inquiring);
            }
            Ok(Told::All) => self.take_told(inquiring, now),
            Err(err) => self.take_refusal(inquiring, &err, now),
        }
    }

    /// The daemon stops, and nothing has been done yet.
    fn drop_inquiry(&mut self, inquiring: Inquiring, now: Instant) {
        let request = match inquiring {
            Inquiring::Survey {
                then: WithSurvey::TakeAway(_) | WithSurvey::GiveBack(_), ..
            } => return,
            Inquiring::Survey { then: WithSurvey::Decide(request), .. }
            | Inquiring::Survey { then: WithSurvey::BringUp(request, _), .. }
            | Inquiring::Record { then: WithRecord::Begin(request), .. } => request,
            Inquiring::Record { then: WithRecord::Journal(running), .. } => running.request,
            Inquiring::Record { then: WithRecord::Round(comparing), .. } => comparing.request,
        };
        self.answer(request, Err(faults::stopping()), now);
    }

    /// Everything is told.
    fn take_told(&mut self, inquiring: Inquiring, now: Instant) {
        match inquiring {
            Inquiring::Survey { inquiry, then, seen } => {
                if let Some(lack) = inquiry.lack() {
                    warn!("{lack}: links that are made again do not get them back");
                }
                let order = inquiry.order().clone();
                let survey = inquiry.finish();
                match then {
                    WithSurvey::TakeAway(step) => self.take_away(&survey, &step, now),
                    WithSurvey::GiveBack(client) => self.give_back(&survey, client, now),
                    WithSurvey::Decide(request) => match self.complete(survey, &order, seen) {
                        Ok(survey) => self.decide(request, Some(&Answer::Survey(survey)), now),
                        Err(err) => self.answer(request, Err(err.into()), now),
                    },
                    WithSurvey::BringUp(request, name) => {
                        let survey = self.complete(survey, &order, seen);
                        self.go_on_bringing_up(request, name, survey, now);
                    }
                }
            }
            Inquiring::Record { mut inquiry, then } => match inquiry.poll(COMPARED_PER_TURN_MAX) {
                Some(record) => {
                    if let Some(lack) = inquiry.lack() {
                        warn!("{lack}: a rollback leaves them alone");
                    }
                    self.go_on_with_record(record, then, now);
                }
                None => self.jobs.go_on_inquiring(Inquiring::Record { inquiry, then }),
            },
        }
    }

    fn go_on_with_record(&mut self, record: HostRecord, then: WithRecord, now: Instant) {
        match then {
            WithRecord::Begin(request) => match self.network(record) {
                Ok(network) => self.begin_change(request, Some(network), now),
                Err(err) => self.answer(request, Err(err.into()), now),
            },
            WithRecord::Journal(running) => match self.network(record) {
                Ok(network) => self.journal(*running, Some(network), now),
                Err(err) => self.refuse(running.request, err.into(), now),
            },
            WithRecord::Round(comparing) => self.begin_round(*comparing, record),
        }
    }

    /// The kernel does not tell.
    fn take_refusal(&mut self, inquiring: Inquiring, err: &HostError, now: Instant) {
        let cause = || CallError::from(err.clone());
        match inquiring {
            Inquiring::Survey { then, .. } => match then {
                WithSurvey::Decide(request) => self.answer(request, Err(cause()), now),
                WithSurvey::BringUp(request, name) => {
                    self.go_on_bringing_up(request, name, Err(err.clone()), now);
                }
                // What the link has cannot be put back then.
                WithSurvey::GiveBack(client) => self.give_back(&Survey::default(), client, now),
                WithSurvey::TakeAway(_) => self.jobs.end_step(Err(StepError::from(err.clone()))),
            },
            Inquiring::Record { then, .. } => match then {
                WithRecord::Begin(request) => self.answer(request, Err(cause()), now),
                WithRecord::Journal(running) => self.refuse(running.request, cause(), now),
                WithRecord::Round(comparing) => self.miss_round(*comparing, err, now),
            },
        }
    }

    /// Looks what files tell of links.
    fn look(&self, order: &SurveyOrder) -> Seen {
        let makes_links = order.links.iter().any(|name| is_to_be_made(self.host.link_named(name)));
        let defaults = if makes_links { switches::read_defaults() } else { Sysctls::default() };
        Seen { defaults, foreign: self.leases.foreign() }
    }

    /// Adds to a survey what files tell of these links, unless that was seen already, and what the daemon
    /// itself knows.
    fn complete(
        &mut self,
        mut survey: Survey,
        order: &SurveyOrder,
        seen: Option<Seen>,
    ) -> Result<Survey, HostError> {
        let Seen { defaults, foreign } = seen.unwrap_or_else(|| self.look(order));
        (survey.defaults, survey.foreign) = (defaults, foreign?);
        survey.leases = self.leases.running().copied().collect();
        survey.ended = self.leases.ended();
        survey.rested = self.jobs.rested().interfaces().cloned().collect();
        let rested = self.jobs.rested();
        let removed = order.links.iter().filter_map(|name| Some((*name, rested.link(name)?)));
        survey.removed = removed.map(|(name, link)| (name, link.clone())).collect();
        survey.found.clone_from(rested.found());
        survey.shelved = order.links.iter().filter_map(|link| self.shelf.find(link)).collect();
        Ok(survey)
    }
}

/// Whether a link may have to be made in a change: it is not there, or is one that is deleted and made
/// again.
fn is_to_be_made(link: Option<&Link>) -> bool {
    link.is_none_or(|link| matches!(link.kind, LinkKind::Vlan { .. }))
}
