// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Running`]: a planned change, and the consequences of its success.

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
    /// VLANs and bonds that become ports of a bridge, and existed before.
    pub(super) found: Vec<LinkIndex>,
    /// The settings of a link that are kept before the change begins.
    pub(super) shelved: Option<Box<Shelved>>,
    /// The beginning of the error if it fails.
    pub(super) failure: String,
    /// Whether the change concerns more than files.
    pub(super) changes_network: bool,
}

impl Running {
    /// A change of the daemon's own, without a client to answer.
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
