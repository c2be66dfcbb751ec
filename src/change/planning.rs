// SPDX-License-Identifier: LGPL-2.1-or-later
//! Turns a request into a change: decided by a handler, or planned for an automatic start; then
//! checked, and begun.

use log::{debug, warn};

use crate::call_errors;
use crate::change::Coordinator;
use crate::change::action::{Action, Context};
use crate::change::decision::Change;
use crate::change::job::Job;
use crate::change::request::{Origin, Request, RequestSummary};
use crate::change::running::Running;
use crate::change::stage::{Checking, Sought, Stage};
use crate::error::{CallError, HostError};
use crate::host::survey::{Survey, SurveyOrder};
use crate::model::interface::Interface;
use crate::model::name::IfName;
use crate::plan::bring_up::{self, PartialPlan};
use crate::plan::losses;
use crate::plan::step::{DhcpStep, Step};
use crate::plan::{self, Plan, Planned};
use crate::proto::interface::ChangeCall;

impl Coordinator {
    /// Begins a request.
    pub(super) fn begin(&mut self, request: Request, context: &Context<'_>) {
        if self.is_stopping {
            return self.answer(request, Err(call_errors::stopping()));
        }
        self.recent.handle_time(context.now.instant);
        if let Some(name) = request.attempted() {
            return self.begin_attempt(request, name, context);
        }
        self.stage = Stage::Deciding;
        self.make_ready(Action::Decide { request: Box::new(request), survey: None });
    }

    /// Checks a change before anything is done: a rollback under way would undo it, a DHCP client
    /// may be missing, and another manager may be an obstacle.
    pub(super) fn check(&mut self, request: Request, mut change: Change, context: &Context<'_>) {
        let is_by_client = matches!(request.origin, Origin::Client { .. });
        let obstacle = self.transaction.status().obstacle().filter(|_| is_by_client);
        if let Some(obstacle) = obstacle {
            let err = call_errors::in_rollback(&change.failure, &obstacle);
            return self.answer(request, Err(err));
        }
        let mut leases = Vec::new();
        for Planned { step, .. } in &change.plan.steps {
            if let Step::Dhcp(DhcpStep::Start(lease)) = step {
                leases.push(*lease);
            }
        }
        let claims = std::mem::take(&mut change.claims);
        if claims.is_empty() && leases.is_empty() {
            return self.begin_change(request, change, context);
        }
        self.stage = Stage::Checking(Box::new(Checking::Change(request, change)));
        self.make_ready(Action::Check { claims, leases });
    }

    /// Begins a change that is decided and checked.
    pub(super) fn begin_change(&mut self, request: Request, change: Change, context: &Context<'_>) {
        let Change { warnings, plan, reply, removed, shelved, failure, .. } = change;
        warnings.iter().for_each(|warning| warn!("{warning}"));
        debug!("{}: plan:\n{plan}", RequestSummary { request: &request, reply: &reply });
        let changes_network = plan.changes_network();
        let discarded = plan.discarded.clone();
        let name = request.call.interface_name().and_then(|name| IfName::new(name).ok());
        let found = name.map(|name| plan.taken_in(&name, context.host)).unwrap_or_default();
        let job = Job::new(plan, self.settings.dhcp_timeout);
        let running = Running::by_itself(request, job, discarded, changes_network);
        let running = Running { reply, removed, found, shelved, failure, ..running };
        self.journal(Box::new(running), context);
    }

    /// Begins an automatic start of as much of an interface as possible, with a survey of its
    /// links.
    fn begin_attempt(&mut self, request: Request, name: IfName, context: &Context<'_>) {
        if let Some(definition) = self.autostart.still_owed(&name, context) {
            let order = plan::survey_order(name, Some(&definition));
            self.make_ready(Action::Survey(order.clone()));
            self.stage = Stage::Surveying(order, Sought::Attempt(request, name));
        }
    }

    /// Plans an automatic start with that survey.
    pub(super) fn plan_attempt(
        &mut self,
        request: Request,
        name: IfName,
        survey: Result<Survey, HostError>,
        context: &Context<'_>,
    ) {
        let Some(definition) = self.autostart.still_owed(&name, context) else { return };
        let round = self.autostart.round(&name, context.host);
        let planned = survey.map_err(CallError::from).and_then(|survey| {
            let partial = bring_up::bring_up_available(&definition, context.host, &survey, round)?;
            let claims = plan::claims(&definition, context.host, &survey);
            let is_empty = partial.plan.steps.is_empty();
            let losses = if is_empty { Vec::new() } else { losses::losses(&definition, &survey)? };
            Ok((partial, claims, losses))
        });
        match planned {
            Err(err) => self.fail_attempt(&name, &err, context),
            Ok((partial, claims, losses)) if partial.plan.steps.is_empty() || claims.is_empty() => {
                losses.iter().for_each(|loss| warn!("{loss}"));
                self.attempt(request, &definition, partial, context);
            }
            Ok((partial, claims, losses)) => {
                let checking = Checking::Attempt { request, definition, partial, losses };
                self.stage = Stage::Checking(Box::new(checking));
                self.make_ready(Action::Check { claims, leases: Vec::new() });
            }
        }
    }

    /// Begins an automatic start that is planned and checked.
    pub(super) fn attempt(
        &mut self,
        request: Request,
        definition: &Interface,
        partial: PartialPlan,
        context: &Context<'_>,
    ) {
        let is_in_transaction = self.transaction.open().is_some();
        self.autostart.note_planned(definition, &partial, is_in_transaction);
        let name = definition.name;
        let PartialPlan { plan, .. } = partial;
        if plan.steps.is_empty() {
            self.autostart.note_attempt(&name, Vec::new(), context);
            return self.queue_attempts();
        }
        debug!("{name} is to come up; plan:\n{plan}");
        plan.left.iter().for_each(|left| warn!("{left}"));
        let changes_network = plan.changes_network();
        let (discarded, found) = (plan.discarded.clone(), plan.taken_in(&name, context.host));
        let job = Job::lenient(plan);
        let running = Running::by_itself(request, job, discarded, changes_network);
        let running = Running { found, ..running };
        self.journal(Box::new(running), context);
    }

    /// Handles an automatic start that cannot be planned, or is refused.
    pub(super) fn fail_attempt(&mut self, name: &IfName, err: &CallError, context: &Context<'_>) {
        self.autostart.note_unplanned(name);
        self.autostart.note_attempt(name, vec![err.message().to_owned()], context);
        self.queue_attempts();
    }

    /// Begins a plan of the daemon's own for a link. As many steps as possible are performed.
    pub(crate) fn begin_own(
        &mut self,
        link: IfName,
        why: &'static str,
        plan: Plan,
        context: &Context<'_>,
    ) {
        if self.is_stopping {
            return;
        }
        let call = ChangeCall::Create { name: link.to_string(), flags: 0 };
        let request = Request { origin: Origin::Daemon(why), call: call.into() };
        let running = Running::by_itself(request, Job::lenient(plan), Vec::new(), true);
        self.journal(Box::new(running), context);
    }

    /// Adds to a survey the interfaces that were destroyed before.
    pub(super) fn with_recent(&self, mut survey: Survey, order: &SurveyOrder) -> Survey {
        survey.recent = self.recent.interfaces().cloned().collect();
        let removed = order.links.iter().filter_map(|name| Some((*name, self.recent.link(name)?)));
        survey.removed = removed.map(|(name, link)| (name, link.clone())).collect();
        survey.found.clone_from(self.recent.found());
        survey
    }
}
