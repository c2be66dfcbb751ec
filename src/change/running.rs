// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Running`]: a change that is planned, and what follows from its success.

use crate::change::job::Job;
use crate::change::request::Request;
use crate::change::work::Work;
use crate::host::shelf::Shelved;
use crate::host::survey::RemovedInterface;
use crate::model::name::IfName;
use crate::netlink::link::LinkIndex;
use crate::proto::Reply;

/// A change that is planned, or under way.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) request: Request,
    pub(super) work: Work,
    pub(super) reply: Reply,
    pub(super) removed: Vec<RemovedInterface>,
    /// VLANs and bonds that become ports of a bridge, and were there before.
    pub(super) found: Vec<LinkIndex>,
    /// What is remembered of a link before it begins.
    pub(super) shelved: Option<Box<Shelved>>,
    /// How the error begins if it fails.
    pub(super) failure: String,
    /// It changes more than files.
    pub(super) changes_network: bool,
}

impl Running {
    /// A change that nobody is answered for.
    pub(super) fn by_itself(
        request: Request,
        job: Job,
        discarded: Vec<IfName>,
        changes_network: bool,
    ) -> Self {
        Self {
            request,
            work: Work::new(job, discarded),
            reply: Reply::Empty,
            removed: Vec::new(),
            found: Vec::new(),
            shelved: None,
            failure: String::new(),
            changes_network,
        }
    }
}
