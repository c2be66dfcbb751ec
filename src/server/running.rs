// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Running`]: the change that is under way, and what it is a part of if it leads back.

use std::collections::VecDeque;

use crate::change::job::{Job, StepError};
use crate::change::rollback::Rollback;
use crate::change::transaction::Part;
use crate::host::shelf::Shelved;
use crate::host::survey::Resting;
use crate::model::address::IpPrefix;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::netlink::address::Lifetime;
use crate::netlink::link::LinkIndex;
use crate::plan::step::Step;
use crate::proto::Reply;
use crate::server::request::{Brief, Request};

/// The change that is under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) request: Request,
    pub(super) job: Job,
    pub(super) reply: Reply,
    pub(super) discarded: Vec<IfName>,
    pub(super) leaves: Vec<Resting>,
    /// VLANs and bonds that become ports of a bridge, and were there before.
    pub(super) found: Vec<LinkIndex>,
    /// What is put down before it begins.
    pub(super) shelved: Option<Box<Shelved>>,
    /// What is to be said if it fails.
    pub(super) failure: String,
    /// Why it is to be given up, once what is sent of it is done.
    pub(super) abort: Option<StepError>,
    /// What the step under way waits for.
    pub(super) owed: Option<Owed>,
    /// The link whose state the kernel was asked for since the last step.
    pub(super) hurried: Option<IfName>,
    /// What it is a part of, if it leads back.
    pub(super) way_back: Option<WayBack>,
}

/// A rollback that is under way.
#[derive(Debug)]
pub(super) struct WayBack {
    pub(super) target: Target,
    pub(super) rollback: Rollback,
}

/// A rollback between two rounds: what is, is compared with what was.
#[derive(Debug)]
pub(super) struct Comparing {
    pub(super) request: Request,
    pub(super) way_back: WayBack,
    /// Of the last round.
    pub(super) refused: Vec<(Step, StepError)>,
}

/// Where a rollback leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Target {
    /// To when the open change began, as far as this part goes.
    Change(Part),
    /// To before the job that an earlier daemon has left in the middle.
    Journal,
}

/// How far a step has got.
#[derive(Debug)]
pub(super) enum StepProgress {
    Done(Result<(), StepError>),
    Owes(Owed),
}

/// What a step waits for that is not done at once.
#[derive(Debug)]
pub(super) enum Owed {
    /// The kernel's answer.
    Answer,
    /// Its answer to what was written to this file.
    Written(String),
    /// The end of a DHCP client, which this step stops.
    ClientEnd(Lease, Step),
    /// What the kernel tells of a link of which something is to be taken away.
    Survey,
    /// The kernel's answers to these requests, one after the other.
    Removals { sent: Option<Step>, left: VecDeque<Step> },
    /// The end of a DHCP client that somebody else has started.
    ForeignEnd(Box<ForeignClient>),
    /// The start of one, as far as it is not left to itself.
    ForeignStart(Box<ForeignClient>),
    /// That one clears its link, which gets back what it had then.
    Clearing(Box<Clearing>),
    /// The end of the script that has cleared it.
    ScriptEnd(Box<Clearing>),
    /// The kernel's answers to these requests, whatever they are.
    PutBack { sent: Option<Step>, left: VecDeque<Step> },
}

/// A link that a client is about to clear, with what it has until then.
#[derive(Debug)]
pub(super) struct Clearing {
    pub(super) client: Box<ForeignClient>,
    pub(super) link: IfName,
    /// With their lifetimes.
    pub(super) addresses: Vec<(IpPrefix, Lifetime)>,
    pub(super) steps: Vec<Step>,
}

impl Running {
    /// A round of a rollback.
    pub(super) fn back(
        request: Request,
        job: Job,
        discarded: Vec<IfName>,
        way_back: WayBack,
    ) -> Self {
        Self { way_back: Some(way_back), ..Self::by_itself(request, job, discarded) }
    }

    /// What nobody is answered for.
    pub(super) fn by_itself(request: Request, job: Job, discarded: Vec<IfName>) -> Self {
        Self {
            request,
            job,
            reply: Reply::Empty,
            discarded,
            leaves: Vec::new(),
            found: Vec::new(),
            shelved: None,
            failure: String::new(),
            abort: None,
            owed: None,
            hurried: None,
            way_back: None,
        }
    }

    pub(super) fn brief(&self) -> Brief<'_> {
        Brief { request: &self.request, reply: &self.reply }
    }
}
