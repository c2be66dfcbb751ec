// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Inquiries`]: the long inquiries of the kernel on behalf of changes, one at a time, about a few
//! links or the whole host. Their answers take several turns.

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
pub(super) struct Inquiries {
    open: Option<OpenInquiry>,
    dialogue: Dialogue,
}

#[derive(Debug)]
enum OpenInquiry {
    /// With information from files, read while the kernel answers.
    Survey(Box<SurveyInquiry>, Option<SurveyFacts>),
    /// For the step under way.
    SurveyForStep(Box<SurveyInquiry>, DhcpStep),
    Record(Box<RecordInquiry>),
}

/// Information about links from files, and from slow searches.
#[derive(Debug)]
pub(super) struct SurveyFacts {
    pub(super) defaults: Sysctls,
    pub(super) foreign: Result<Vec<ForeignClient>, HostError>,
}

/// A survey with the kernel's answers.
#[derive(Debug)]
pub(super) struct AnsweredSurvey {
    pub(super) survey: Survey,
    pub(super) order: SurveyOrder,
    /// `None` if it may be outdated.
    pub(super) facts: Option<SurveyFacts>,
}

/// The result of a turn for the open inquiry.
#[derive(Debug)]
pub(super) enum InquiryResult {
    /// No inquiry is open.
    Nothing,
    /// More messages have come than a turn has time for.
    Unfinished,
    /// The kernel's answer has not come.
    Waiting,
    Survey(Result<AnsweredSurvey, HostError>),
    SurveyForStep(Result<Survey, HostError>, DhcpStep),
    Record(Result<HostRecord, HostError>),
}

impl Inquiries {
    /// Asks for the survey of links before a change. Files are read while the kernel answers.
    pub(super) fn survey(&mut self, order: SurveyOrder, world: &World, channel: &mut Channel) {
        let mut inquiry = Box::new(SurveyInquiry::new(order, &world.host));
        self.dialogue = Dialogue::default();
        channel.ask(&mut self.dialogue, inquiry.as_mut());
        let facts = Some(SurveyFacts::look(inquiry.order(), world));
        self.open = Some(OpenInquiry::Survey(inquiry, facts));
    }

    /// Asks for the survey of links that a step needs.
    pub(super) fn survey_for_step(&mut self, order: SurveyOrder, step: DhcpStep, world: &World) {
        let inquiry = Box::new(SurveyInquiry::new(order, &world.host));
        self.dialogue = Dialogue::default();
        self.open = Some(OpenInquiry::SurveyForStep(inquiry, step));
    }

    /// Asks for everything that a rollback can restore.
    pub(super) fn record(&mut self, inquiry: RecordInquiry) {
        self.dialogue = Dialogue::default();
        self.open = Some(OpenInquiry::Record(Box::new(inquiry)));
    }

    /// Ends the inquiries of changes that have not begun, as the daemon stops; a step under way
    /// goes on.
    pub(super) fn stop(&mut self) {
        self.open.take_if(|open| !matches!(open, OpenInquiry::SurveyForStep(..)));
    }

    /// Continues with the open inquiry.
    pub(super) fn poll(&mut self, channel: &mut Channel) -> InquiryResult {
        let Some(mut open) = self.open.take() else { return InquiryResult::Nothing };
        match channel.inquire(&mut self.dialogue, open.inquiry()) {
            Ok(InquiryProgress::Some) => {
                self.open = Some(open);
                InquiryResult::Unfinished
            }
            Ok(InquiryProgress::Waiting) => {
                open.forget_facts();
                self.open = Some(open);
                InquiryResult::Waiting
            }
            Ok(InquiryProgress::All) => self.finish(open),
            Err(err) => match open {
                OpenInquiry::Survey(..) => InquiryResult::Survey(Err(err)),
                OpenInquiry::SurveyForStep(_, step) => InquiryResult::SurveyForStep(Err(err), step),
                OpenInquiry::Record(_) => InquiryResult::Record(Err(err)),
            },
        }
    }

    /// Ends an inquiry whose answer is complete.
    fn finish(&mut self, open: OpenInquiry) -> InquiryResult {
        match open {
            OpenInquiry::Survey(inquiry, facts) => {
                warn_of_lack(&inquiry);
                let order = inquiry.order().clone();
                InquiryResult::Survey(Ok(AnsweredSurvey { survey: inquiry.finish(), order, facts }))
            }
            OpenInquiry::SurveyForStep(inquiry, step) => {
                warn_of_lack(&inquiry);
                InquiryResult::SurveyForStep(Ok(inquiry.finish()), step)
            }
            OpenInquiry::Record(mut inquiry) => match inquiry.poll(COMPARED_PER_TURN_MAX) {
                Some(record) => {
                    for lack in inquiry.lacks() {
                        warn!("{lack}: a rollback will not restore it");
                    }
                    InquiryResult::Record(Ok(record))
                }
                None => {
                    self.open = Some(OpenInquiry::Record(inquiry));
                    InquiryResult::Unfinished
                }
            },
        }
    }
}

impl OpenInquiry {
    fn inquiry(&mut self) -> &mut dyn Inquiry {
        match self {
            Self::Survey(inquiry, _) | Self::SurveyForStep(inquiry, _) => inquiry.as_mut(),
            Self::Record(inquiry) => inquiry.as_mut(),
        }
    }

    /// Drops the information from files, which may be outdated when a slow kernel answers.
    fn forget_facts(&mut self) {
        if let Self::Survey(_, facts) = self {
            *facts = None;
        }
    }
}

impl SurveyFacts {
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
