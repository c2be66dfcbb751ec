// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Asking`]: a long question to the kernel on behalf of a change, about a few links or the whole
//! host. Its answer takes several turns.

use log::warn;

use crate::error::HostError;
use crate::host::inquiry::record::RecordInquiry;
use crate::host::inquiry::survey::SurveyInquiry;
use crate::host::inquiry::{Dialogue, Inquiry};
use crate::host::record::HostRecord;
use crate::host::survey::{Survey, SurveyOrder, Sysctls};
use crate::io::channel::{Channel, InquiryProgress};
use crate::io::dhcp::ForeignSearch;
use crate::io::sysctl;
use crate::limits::COMPARED_PER_TURN_MAX;
use crate::model::foreign::ForeignClient;
use crate::netlink::link::{Link, LinkKind};
use crate::plan::step::DhcpStep;
use crate::server::world::World;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Asking {
    question: Option<Question>,
    dialogue: Dialogue,
}

#[derive(Debug)]
enum Question {
    /// With information from files, read while the kernel answers.
    Survey(Box<SurveyInquiry>, Option<Seen>),
    /// For the step under way.
    SurveyForStep(Box<SurveyInquiry>, DhcpStep),
    Record(Box<RecordInquiry>),
}

/// Information about links from files, and from slow searches.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) defaults: Sysctls,
    pub(super) foreign: Result<Vec<ForeignClient>, HostError>,
}

/// A survey with the kernel's answers.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) survey: Survey,
    pub(super) order: SurveyOrder,
    /// `None` if it may be outdated.
    pub(super) seen: Option<Seen>,
}

/// The result of a turn for a question.
#[derive(Debug)]
pub(super) enum Heard {
    /// There is no question.
    Nothing,
    /// More messages have come than a turn has time for.
    Unfinished,
    /// The kernel's answer has not come.
    Waiting,
    Survey(Result<Found, HostError>),
    SurveyForStep(Result<Survey, HostError>, DhcpStep),
    Record(Result<HostRecord, HostError>),
}

impl Asking {
    /// Asks for the survey of links before a change. Files are read while the kernel answers.
    pub(super) fn survey(&mut self, order: SurveyOrder, world: &World, channel: &mut Channel) {
        let mut inquiry = Box::new(SurveyInquiry::new(order, &world.host));
        self.dialogue = Dialogue::default();
        channel.ask(&mut self.dialogue, inquiry.as_mut());
        let seen = Some(Seen::look(inquiry.order(), world));
        self.question = Some(Question::Survey(inquiry, seen));
    }

    /// Asks for the survey of links that a step needs.
    pub(super) fn survey_for_step(&mut self, order: SurveyOrder, step: DhcpStep, world: &World) {
        let inquiry = Box::new(SurveyInquiry::new(order, &world.host));
        self.dialogue = Dialogue::default();
        self.question = Some(Question::SurveyForStep(inquiry, step));
    }

    /// Asks for everything that a rollback can restore.
    pub(super) fn record(&mut self, inquiry: RecordInquiry) {
        self.dialogue = Dialogue::default();
        self.question = Some(Question::Record(Box::new(inquiry)));
    }

    /// Ends the questions of changes that have not begun, as the daemon stops; a step under way
    /// goes on.
    pub(super) fn stop(&mut self) {
        self.question.take_if(|question| !matches!(question, Question::SurveyForStep(..)));
    }

    /// Continues with the query.
    pub(super) fn pursue(&mut self, channel: &mut Channel) -> Heard {
        let Some(mut question) = self.question.take() else { return Heard::Nothing };
        match channel.inquire(&mut self.dialogue, question.inquiry()) {
            Ok(InquiryProgress::Some) => {
                self.question = Some(question);
                Heard::Unfinished
            }
            Ok(InquiryProgress::Waiting) => {
                question.forget_seen();
                self.question = Some(question);
                Heard::Waiting
            }
            Ok(InquiryProgress::All) => self.finish(question),
            Err(err) => match question {
                Question::Survey(..) => Heard::Survey(Err(err)),
                Question::SurveyForStep(_, step) => Heard::SurveyForStep(Err(err), step),
                Question::Record(_) => Heard::Record(Err(err)),
            },
        }
    }

    /// Ends a question whose answer is complete.
    fn finish(&mut self, question: Question) -> Heard {
        match question {
            Question::Survey(inquiry, seen) => {
                warn_of_lack(&inquiry);
                let order = inquiry.order().clone();
                Heard::Survey(Ok(Found { survey: inquiry.finish(), order, seen }))
            }
            Question::SurveyForStep(inquiry, step) => {
                warn_of_lack(&inquiry);
                Heard::SurveyForStep(Ok(inquiry.finish()), step)
            }
            Question::Record(mut inquiry) => match inquiry.poll(COMPARED_PER_TURN_MAX) {
                Some(record) => {
                    for lack in inquiry.lacks() {
                        warn!("{lack}: a rollback will not restore it");
                    }
                    Heard::Record(Ok(record))
                }
                None => {
                    self.question = Some(Question::Record(inquiry));
                    Heard::Unfinished
                }
            },
        }
    }
}

impl Question {
    fn inquiry(&mut self) -> &mut dyn Inquiry {
        match self {
            Self::Survey(inquiry, _) | Self::SurveyForStep(inquiry, _) => inquiry.as_mut(),
            Self::Record(inquiry) => inquiry.as_mut(),
        }
    }

    /// Drops the information from files, which may be outdated when a slow kernel answers.
    fn forget_seen(&mut self) {
        if let Self::Survey(_, seen) = self {
            *seen = None;
        }
    }
}

impl Seen {
    /// Reads the information about links from files.
    pub(super) fn look(order: &SurveyOrder, world: &World) -> Self {
        let makes_links = order.links.iter().any(|name| is_to_be_made(world.host.link_named(name)));
        let defaults = if makes_links { sysctl::read_defaults() } else { Sysctls::default() };
        Self { defaults, foreign: world.leases.foreign(ForeignSearch::default()) }
    }
}

fn warn_of_lack(inquiry: &SurveyInquiry) {
    if let Some(lack) = inquiry.lack() {
        warn!("{lack}: links that are recreated lose them");
    }
}

/// Whether a link may have to be made in a change: it does not exist, or is one that is deleted and
/// made again.
fn is_to_be_made(link: Option<&Link>) -> bool {
    link.is_none_or(|link| matches!(link.kind, LinkKind::Vlan { .. }))
}
