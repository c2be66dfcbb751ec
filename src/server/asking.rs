// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Asking`]: a long question to the kernel on behalf of a change: what must be known of a few links, or
//! of the whole host. Its answer takes several turns.

use log::warn;

use crate::error::HostError;
use crate::host::inquiry::record::RecordInquiry;
use crate::host::inquiry::survey::SurveyInquiry;
use crate::host::inquiry::{Dialogue, Inquiry};
use crate::host::record::HostRecord;
use crate::host::survey::{Survey, SurveyOrder, Sysctls};
use crate::io::changes::{Changes as Channel, Told};
use crate::io::sysctl;
use crate::limits::COMPARED_PER_TURN_MAX;
use crate::model::foreign::ForeignClient;
use crate::netlink::link::{Link, LinkKind};
use crate::plan::step::Step;
use crate::server::world::World;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Asking {
    question: Option<Question>,
    dialogue: Dialogue,
}

#[derive(Debug)]
enum Question {
    /// With what was seen in files while the kernel answers.
    Survey(Box<SurveyInquiry>, Option<Seen>),
    /// For a step that is under way.
    SurveyForStep(Box<SurveyInquiry>, Step),
    Record(Box<RecordInquiry>),
}

/// What files tell of links, and what it takes a while to look through.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) defaults: Sysctls,
    pub(super) foreign: Result<Vec<ForeignClient>, HostError>,
}

/// A survey as far as the kernel tells it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) survey: Survey,
    pub(super) order: SurveyOrder,
    /// `None` if it may be outdated.
    pub(super) seen: Option<Seen>,
}

/// How far a turn gets with a question.
#[derive(Debug)]
pub(super) enum Heard {
    /// None was asked.
    Nothing,
    /// More has come than a turn has time for.
    Unfinished,
    /// The kernel is waited for.
    Waiting,
    Survey(Result<Found, HostError>),
    SurveyForStep(Result<Survey, HostError>, Step),
    Record(Result<HostRecord, HostError>),
}

impl Asking {
    /// Asks what must be known of links before a change. The kernel answers while files are looked
    /// through.
    pub(super) fn survey(&mut self, order: SurveyOrder, world: &World, channel: &mut Channel) {
        let mut inquiry = Box::new(SurveyInquiry::new(order, &world.host));
        self.dialogue = Dialogue::default();
        channel.ask(&mut self.dialogue, inquiry.as_mut());
        let seen = Some(Seen::look(inquiry.order(), world));
        self.question = Some(Question::Survey(inquiry, seen));
    }

    /// Asks what a step must know of links.
    pub(super) fn survey_for_step(&mut self, order: SurveyOrder, step: Step, world: &World) {
        let inquiry = Box::new(SurveyInquiry::new(order, &world.host));
        self.dialogue = Dialogue::default();
        self.question = Some(Question::SurveyForStep(inquiry, step));
    }

    /// Asks for all that a rollback can restore.
    pub(super) fn record(&mut self, inquiry: RecordInquiry) {
        self.dialogue = Dialogue::default();
        self.question = Some(Question::Record(Box::new(inquiry)));
    }

    /// The daemon stops: no change begins, and a step that is under way goes on.
    pub(super) fn stop(&mut self) {
        self.question.take_if(|question| !matches!(question, Question::SurveyForStep(..)));
    }

    /// Goes on with the question.
    pub(super) fn pursue(&mut self, channel: &mut Channel) -> Heard {
        let Some(mut question) = self.question.take() else { return Heard::Nothing };
        match channel.inquire(&mut self.dialogue, question.inquiry()) {
            Ok(Told::Some) => {
                self.question = Some(question);
                Heard::Unfinished
            }
            Ok(Told::Waiting) => {
                question.forget_seen();
                self.question = Some(question);
                Heard::Waiting
            }
            Ok(Told::All) => self.finish(question),
            Err(err) => match question {
                Question::Survey(..) => Heard::Survey(Err(err)),
                Question::SurveyForStep(_, step) => Heard::SurveyForStep(Err(err), step),
                Question::Record(_) => Heard::Record(Err(err)),
            },
        }
    }

    /// Everything is told.
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

    /// The kernel takes its time: what was seen may be outdated when it answers.
    fn forget_seen(&mut self) {
        if let Self::Survey(_, seen) = self {
            *seen = None;
        }
    }
}

impl Seen {
    /// Looks what files tell of links.
    pub(super) fn look(order: &SurveyOrder, world: &World) -> Self {
        let makes_links = order.links.iter().any(|name| is_to_be_made(world.host.link_named(name)));
        let defaults = if makes_links { sysctl::read_defaults() } else { Sysctls::default() };
        Self { defaults, foreign: world.leases.foreign() }
    }
}

fn warn_of_lack(inquiry: &SurveyInquiry) {
    if let Some(lack) = inquiry.lack() {
        warn!("{lack}: links that are recreated lose them");
    }
}

/// Whether a link may have to be made in a change: it is not there, or is one that is deleted and made
/// again.
fn is_to_be_made(link: Option<&Link>) -> bool {
    link.is_none_or(|link| matches!(link.kind, LinkKind::Vlan { .. }))
}
