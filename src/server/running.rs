// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Running`]: the change that is under way, and what it is a part of if it leads back.

use crate::host::survey::Resting;
use crate::job::{Job, StepError};
use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::open_change::Part;
use crate::plan::step::Step;
use crate::proto::Reply;
use crate::rollback::Rollback;
use crate::server::perform::Owed;
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
    /// What is to be said if it fails.
    pub(super) failure: String,
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
            failure: String::new(),
            owed: None,
            hurried: None,
            way_back: None,
        }
    }

    pub(super) fn brief(&self) -> Brief<'_> {
        Brief { request: &self.request, reply: &self.reply }
    }
}
