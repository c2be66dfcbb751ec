// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Steps`]: performs one step of a change at a time on the host: a request to the kernel, a file,
//! a DHCP client.
//!
//! Knows neither the change nor the client of a step.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Instant;

use log::{debug, warn};

use crate::change::job::{self, StepError};
use crate::error::HostError;
use crate::host::Host;
use crate::host::survey::{Survey, SurveyOrder};
use crate::io::channel::Channel;
use crate::io::file_check::{FileCheckError, FileCheckRun, FileChecks};
use crate::io::sysctl;
use crate::limits::STEPS_AHEAD_MAX;
use crate::model::foreign::ForeignClient;
use crate::model::lease::Lease;
use crate::model::name::IfName;
use crate::plan;
use crate::plan::request::KernelRequest;
use crate::plan::step::{DhcpStep, FileStep, Step};
use crate::server::given_back::{ClearedLink, GivenBack};
use crate::server::world::World;

/// See the module.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) channel: Channel,
    file_checks: FileChecks,
    /// The result that the step under way waits for.
    owed: Option<PendingStep>,
    pub(super) given_back: GivenBack,
}

/// A result that a step waits for.
#[derive(Debug)]
enum PendingStep {
    /// The kernel's answer.
    Answer,
    /// Its answer to a write to this file.
    Written(String),
    /// The verdict of the host's own program on new text.
    Check(FileCheckRun),
    /// The end of a DHCP client that this step stops.
    ClientEnd(Lease, DhcpStep),
    /// The survey of a link from which something is to be removed.
    Survey,
    /// The kernel's answers to these requests, one after the other.
    Requests {
        sent: Option<KernelRequest>,
        left: VecDeque<KernelRequest>,
        on_refusal: OnRequestRefusal,
    },
    /// The end of a DHCP client that another program has started.
    ForeignEnd(Box<ForeignClient>),
    /// The start of such a client, as far as the daemon supervises it.
    ForeignStart(Box<ForeignClient>),
    /// The moment when that client clears its link, whose settings are then restored.
    Clearing(Box<ClearedLink>),
    /// The end of the script that has cleared it: it removes routes behind addresses.
    ScriptEnd(Box<ClearedLink>),
}

/// The consequence of a refused request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OnRequestRefusal {
    /// The step has failed, unless the object to be removed is gone: the kernel removes some along
    /// with others.
    Fail,
    /// The other requests are made: a client may have added the same meanwhile.
    GoOn,
}

/// The progress of a step.
#[derive(Debug)]
pub(super) enum StepProgress {
    Done(Result<(), StepError>),
    /// The result comes later.
    Owed,
    /// It needs a survey of these links to continue: [`Steps::take_survey`].
    Survey(SurveyOrder, DhcpStep),
}

impl Steps {
    pub(super) fn new(channel: Channel, file_checks: FileChecks) -> Self {
        Self { channel, file_checks, owed: None, given_back: GivenBack::default() }
    }

    /// Performs one step, or sends it to the messenger together with the requests behind it, so
    /// that nothing comes between them.
    pub(super) fn perform<'a>(
        &mut self,
        step: &Step,
        behind: impl Iterator<Item = &'a Step>,
        world: &mut World,
        now: Instant,
    ) -> StepProgress {
        self.owed = None;
        StepProgress::Done(match step {
            Step::Request(request) => match self.send_with_next(request, behind, &world.host) {
                Ok(()) => return self.wait_for(PendingStep::Answer, world, now),
                Err(err) => Err(err),
            },
            Step::File(FileStep::Check(check)) => {
                FileChecks::unmet(check).for_each(|warning| warn!("{warning}"));
                match self.file_checks.start(check, world.store.root()) {
                    Ok(run) => return self.wait_for(PendingStep::Check(run), world, now),
                    Err(err) => Err(StepError::from(err)),
                }
            }
            Step::File(FileStep::Edit(edit)) => world.store.apply(edit).map_err(StepError::from),
            Step::File(FileStep::Restore(file)) => {
                world.store.restore(file).map_err(StepError::from)
            }
            Step::Dhcp(step) => return self.order(step, world, now),
            Step::SetSysctl { link, sysctl, value } => {
                let path = sysctl::path(link, *sysctl);
                self.channel.begin();
                self.channel.add_sysctl(&path, *value);
                self.channel.send();
                return self.wait_for(PendingStep::Written(path), world, now);
            }
            Step::WaitFor(_) => Ok(()),
        })
    }

    /// Starts or stops a DHCP client.
    fn order(&mut self, step: &DhcpStep, world: &mut World, now: Instant) -> StepProgress {
        let pending = match step {
            DhcpStep::Start(lease) => {
                let checked = world.check_lease(lease);
                let started = checked.and_then(|()| world.leases.start(lease, now));
                return StepProgress::Done(started.map_err(|err| {
                    let errno = err.errno().unwrap_or(0);
                    StepError { errno, text: err.to_string() }
                }));
            }
            DhcpStep::Stop(lease) | DhcpStep::Drop { lease, .. } => {
                world.leases.stop(lease.link, lease.family, now);
                Ok(PendingStep::ClientEnd(*lease, step.clone()))
            }
            DhcpStep::EndForeign(client) => {
                let ended = world.leases.end_foreign(client, now);
                ended.map(|()| PendingStep::ForeignEnd(client.clone()))
            }
            DhcpStep::StartForeign(client) if client.cleared_link().is_some() => {
                self.owed = Some(PendingStep::Survey);
                let links = client.cleared_link().into_iter().collect();
                return StepProgress::Survey(SurveyOrder { links }, step.clone());
            }
            DhcpStep::StartForeign(client) => {
                let started = world.leases.give_back(client, now);
                started.map(|()| PendingStep::ForeignStart(client.clone()))
            }
        };
        match pending {
            Ok(pending) => self.wait_for(pending, world, now),
            Err(err) => StepProgress::Done(Err(StepError::from(err))),
        }
    }

    /// Checks for the result that the step under way waits for.
    pub(super) fn poll(&mut self, world: &mut World, now: Instant) -> StepProgress {
        match self.owed.take() {
            Some(owed) => self.wait_for(owed, world, now),
            None => StepProgress::Owed,
        }
    }

    /// Deletes a link. The table shows when it is gone.
    pub(super) fn delete(&mut self, link: IfName, host: &Host) {
        let request = KernelRequest::DeleteLink(link);
        debug!("{request}");
        // A link that is gone meanwhile needs no deletion.
        let _ = self.send(&request, host);
    }

    /// Continues a step that has asked for a survey.
    pub(super) fn take_survey(
        &mut self,
        survey: Result<Survey, HostError>,
        step: &DhcpStep,
        world: &mut World,
        now: Instant,
    ) -> StepProgress {
        match (step, survey) {
            (DhcpStep::Drop { lease, addresses, routes }, Ok(survey)) => {
                let there = survey.named(&lease.link);
                let requests =
                    there.map(|it| plan::without_lease(it, lease.family, addresses, routes));
                let left = requests.unwrap_or_default().into();
                self.request_each(None, left, OnRequestRefusal::Fail, &world.host)
            }
            (DhcpStep::StartForeign(client), survey) => {
                // Without a survey, the link's settings cannot be restored.
                self.give_back(&survey.unwrap_or_default(), client, world, now)
            }
            (DhcpStep::Start(_) | DhcpStep::Stop(_) | DhcpStep::EndForeign(_), Ok(_)) => {
                let text = "the step has asked for no survey".to_owned();
                StepProgress::Done(Err(StepError { errno: 0, text }))
            }
            (_, Err(err)) => StepProgress::Done(Err(StepError::from(err))),
        }
    }

    /// Starts a client that clears its link, now that the link's settings are known.
    fn give_back(
        &mut self,
        survey: &Survey,
        client: &ForeignClient,
        world: &mut World,
        now: Instant,
    ) -> StepProgress {
        if let Err(err) = world.leases.give_back(client, now) {
            return StepProgress::Done(Err(StepError::from(err)));
        }
        let Some(surveyed) = client.cleared_link().and_then(|link| survey.named(&link)) else {
            return StepProgress::Done(Ok(()));
        };
        let clearing = ClearedLink::new(Box::new(client.clone()), surveyed);
        self.wait_for(PendingStep::Clearing(Box::new(clearing)), world, now)
    }

    fn wait_for(&mut self, owed: PendingStep, world: &mut World, now: Instant) -> StepProgress {
        let result = match owed {
            PendingStep::Survey => None,
            PendingStep::Answer => self.channel.poll_answer(),
            PendingStep::Written(ref path) => {
                let answer = self.channel.poll_answer();
                answer.map(|result| result.map_err(|err| unwritten(path, &err)))
            }
            PendingStep::Requests { sent, left, on_refusal } => {
                return self.request_each(sent, left, on_refusal, &world.host);
            }
            PendingStep::ClientEnd(ref lease, ref step) => {
                match (world.leases.is_running(lease.link, lease.family), step) {
                    (true, _) => None,
                    // Only now, or the client might add it again.
                    (false, DhcpStep::Drop { .. }) => {
                        let order = SurveyOrder { links: BTreeSet::from([lease.link]) };
                        let step = step.clone();
                        self.owed = Some(PendingStep::Survey);
                        return StepProgress::Survey(order, step);
                    }
                    (false, _) => Some(Ok(())),
                }
            }
            PendingStep::Check(ref run) => run.poll().map(|verdict| {
                verdict.map_err(|err| match err {
                    FileCheckError::Host(err) => StepError::from(err),
                    FileCheckError::Refused(text) => StepError { errno: libc::EINVAL, text },
                })
            }),
            PendingStep::ForeignEnd(ref client) => {
                let ended = world.leases.foreign_ended(client, now);
                ended.map(|outcome| outcome.map_err(|err| StepError::from(&err)))
            }
            PendingStep::Clearing(clearing) => return self.await_clearing(clearing, world, now),
            PendingStep::ScriptEnd(clearing) => return self.await_script(clearing, world, now),
            PendingStep::ForeignStart(ref client) => {
                world.leases.is_given_back(client).then_some(Ok(()))
            }
        };
        match result {
            Some(result) => StepProgress::Done(result),
            None => {
                self.owed = Some(owed);
                StepProgress::Owed
            }
        }
    }

    /// Checks whether the link is cleared.
    fn await_clearing(
        &mut self,
        clearing: Box<ClearedLink>,
        world: &mut World,
        now: Instant,
    ) -> StepProgress {
        let is_needless =
            clearing.is_needless(&world.host) || world.leases.is_given_back(&clearing.client);
        if !is_needless && !clearing.is_over(&world.host) {
            self.owed = Some(PendingStep::Clearing(clearing));
            return StepProgress::Owed;
        }
        world.leases.note_cleared(&clearing.client, now);
        match is_needless {
            true => StepProgress::Done(Ok(())),
            false => self.await_script(clearing, world, now),
        }
    }

    /// Checks whether the script that has cleared the link is over, and then restores all settings.
    fn await_script(
        &mut self,
        clearing: Box<ClearedLink>,
        world: &mut World,
        now: Instant,
    ) -> StepProgress {
        if !world.leases.is_given_back(&clearing.client) {
            self.owed = Some(PendingStep::ScriptEnd(clearing));
            return StepProgress::Owed;
        }
        let left = self.given_back.put_back(*clearing, &world.host, now).into();
        self.request_each(None, left, OnRequestRefusal::GoOn, &world.host)
    }

    fn send_with_next<'a>(
        &mut self,
        request: &KernelRequest,
        behind: impl Iterator<Item = &'a Step>,
        host: &Host,
    ) -> Result<(), StepError> {
        if self.channel.take_up_next() {
            return Ok(());
        }
        self.channel.begin();
        self.add(request, host)?;
        let mut last = request;
        for next in behind.take(STEPS_AHEAD_MAX) {
            let Step::Request(next) = next else { break };
            // A link that is yet to be made or renamed has no number here.
            if last.changes_names() {
                break;
            }
            let added = self.channel.add(|out, sequence| next.encode(out, sequence, host));
            if added.is_err() {
                break;
            }
            last = next;
        }
        self.channel.send();
        Ok(())
    }

    /// Sends a single request.
    fn send(&mut self, request: &KernelRequest, host: &Host) -> Result<(), StepError> {
        self.channel.begin();
        self.add(request, host)?;
        self.channel.send();
        Ok(())
    }

    fn add(&mut self, request: &KernelRequest, host: &Host) -> Result<(), StepError> {
        let added = self.channel.add(|out, sequence| request.encode(out, sequence, host));
        added.map_err(|_| StepError::kernel(libc::ENODEV, None))
    }

    /// Continues a series of requests: one is sent when the one before it is answered.
    fn request_each(
        &mut self,
        mut sent: Option<KernelRequest>,
        mut left: VecDeque<KernelRequest>,
        on_refusal: OnRequestRefusal,
        host: &Host,
    ) -> StepProgress {
        loop {
            if let Some(request) = sent {
                match (self.channel.poll_answer(), on_refusal) {
                    (None, _) => {
                        self.owed =
                            Some(PendingStep::Requests { sent: Some(request), left, on_refusal });
                        return StepProgress::Owed;
                    }
                    (Some(Err(err)), OnRequestRefusal::Fail)
                        if !job::is_gone(&request, err.errno) =>
                    {
                        return StepProgress::Done(Err(err));
                    }
                    (Some(Err(err)), OnRequestRefusal::GoOn) => debug!("{request}: {err}"),
                    (Some(Err(_) | Ok(())), _) => {}
                }
            }
            let Some(request) = left.pop_front() else { return StepProgress::Done(Ok(())) };
            sent = match (self.send(&request, host), on_refusal) {
                (Ok(()), _) => Some(request),
                (Err(_), OnRequestRefusal::GoOn) => None,
                (Err(err), OnRequestRefusal::Fail) => return StepProgress::Done(Err(err)),
            };
        }
    }
}

/// The error for a file that was not written.
fn unwritten(path: &str, err: &StepError) -> StepError {
    let cause = io::Error::from_raw_os_error(err.errno);
    StepError::from(HostError::new("write", path, &cause))
}
