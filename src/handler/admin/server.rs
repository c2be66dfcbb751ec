// SPDX-License-Identifier: LGPL-2.1-or-later
//! The admin calls about one server: its thread pool and its limits of clients.
//!
//! There is one thread, and no pool. The numbers that libvirt's daemon lets a client set are kept
//! and returned, as scripts expect; the counts that it returns are the true ones.

use crate::call_errors::Seeker;
use crate::config::settings::{ServerLimits, Workers};
use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::admin::{
    Answer, Order, Outcome, Question, ServerStatus, check_flags, done_params, find_server,
};
use crate::handler::params;
use crate::model::server::ServerName;
use crate::proto::params::{ParamValue, TypedParam};

/// The names of parameters (`VIR_THREADPOOL_*`, `VIR_SERVER_CLIENTS_*`).
mod field {
    pub(super) const WORKERS_MIN: &str = "minWorkers";
    pub(super) const WORKERS_MAX: &str = "maxWorkers";
    pub(super) const WORKERS_CURRENT: &str = "nWorkers";
    pub(super) const WORKERS_FREE: &str = "freeWorkers";
    pub(super) const WORKERS_PRIORITY: &str = "prioWorkers";
    pub(super) const JOB_QUEUE_DEPTH: &str = "jobQueueDepth";
    pub(super) const CLIENTS_MAX: &str = "nclients_max";
    pub(super) const CLIENTS_CURRENT: &str = "nclients";
    pub(super) const CLIENTS_UNAUTH_MAX: &str = "nclients_unauth_max";
    pub(super) const CLIENTS_UNAUTH_CURRENT: &str = "nclients_unauth";
}

/// SERVER_GET_THREADPOOL_PARAMETERS.
pub(super) fn thread_pool(
    server: &str,
    flags: u32,
    answer: Option<&Answer>,
) -> Result<Outcome, CallError> {
    let server = find_server(Seeker::Daemon, server)?;
    check_flags("adminServerGetThreadPoolParameters", flags)?;
    let Some(status) = status(answer) else { return ask(server) };
    let workers = &status.limits.workers;
    // The one thread is busy with this call, which came to the admin server.
    let free_count = match server {
        ServerName::Main => 1,
        ServerName::Admin => 0,
    };
    Ok(done_params([
        (field::WORKERS_MIN, ParamValue::Uint(workers.count_min)),
        (field::WORKERS_MAX, ParamValue::Uint(workers.count_max)),
        (field::WORKERS_CURRENT, ParamValue::Uint(1)),
        (field::WORKERS_FREE, ParamValue::Uint(free_count)),
        (field::WORKERS_PRIORITY, ParamValue::Uint(workers.priority_count)),
        (field::JOB_QUEUE_DEPTH, ParamValue::Uint(0)),
    ]))
}

/// SERVER_SET_THREADPOOL_PARAMETERS: parameters that are not named are kept.
pub(super) fn set_thread_pool(
    server: &str,
    params: &[TypedParam],
    flags: u32,
    answer: Option<&Answer>,
) -> Result<Outcome, CallError> {
    let server = find_server(Seeker::Admin, server)?;
    params::check_names(params)?;
    check_flags("adminServerSetThreadPoolParameters", flags)?;
    let Some(status) = status(answer) else { return ask(server) };
    let old = status.limits.workers;
    let mut workers = old;
    params::take_each(params, |param| {
        let number = match param.field.as_str() {
            field::WORKERS_MIN => &mut workers.count_min,
            field::WORKERS_MAX => &mut workers.count_max,
            field::WORKERS_PRIORITY => &mut workers.priority_count,
            _ => return Err(params::unsupported(param)),
        };
        *number = params::uint(param)?;
        Ok(())
    })?;
    check_workers(old, workers)?;
    Ok(Outcome::Order(Order::SetWorkers { server, workers }))
}

fn check_workers(old: Workers, new: Workers) -> Result<(), CallError> {
    let refuse = |detail| Err(CallError::new(ErrorCode::InvalidArg, Domain::None, detail));
    if new.count_min > new.count_max {
        return refuse("minWorkers cannot be larger than maxWorkers");
    }
    if (old.count_max == 0) != (new.count_max == 0) {
        return refuse("maxWorkers must not be switched from zero to non-zero and vice versa");
    }
    Ok(())
}

/// SERVER_GET_CLIENT_LIMITS.
pub(super) fn client_limits(
    server: &str,
    flags: u32,
    answer: Option<&Answer>,
) -> Result<Outcome, CallError> {
    let server = find_server(Seeker::Daemon, server)?;
    check_flags("adminServerGetClientLimits", flags)?;
    let Some(status) = status(answer) else { return ask(server) };
    let ServerStatus { limits, client_count, anonymous_count } = status;
    Ok(done_params([
        (field::CLIENTS_MAX, ParamValue::Uint(limits.client_count_max)),
        (field::CLIENTS_CURRENT, ParamValue::Uint(*client_count)),
        (field::CLIENTS_UNAUTH_MAX, ParamValue::Uint(limits.anonymous_count_max)),
        (field::CLIENTS_UNAUTH_CURRENT, ParamValue::Uint(*anonymous_count)),
    ]))
}

/// SERVER_SET_CLIENT_LIMITS: limits that are not named are kept.
pub(super) fn set_client_limits(
    server: &str,
    params: &[TypedParam],
    flags: u32,
    answer: Option<&Answer>,
) -> Result<Outcome, CallError> {
    let server = find_server(Seeker::Admin, server)?;
    params::check_names(params)?;
    check_flags("adminServerSetClientLimits", flags)?;
    let Some(status) = status(answer) else { return ask(server) };
    let ServerLimits { mut client_count_max, mut anonymous_count_max, .. } = status.limits;
    params::take_each(params, |param| {
        let number = match param.field.as_str() {
            field::CLIENTS_MAX => &mut client_count_max,
            field::CLIENTS_UNAUTH_MAX => &mut anonymous_count_max,
            _ => return Err(params::unsupported(param)),
        };
        *number = params::uint(param)?;
        Ok(())
    })?;
    if client_count_max < anonymous_count_max {
        let detail = "The overall maximum number of clients must not be less than \
            the number of clients waiting for authentication";
        return Err(CallError::new(ErrorCode::InvalidArg, Domain::Rpc, detail));
    }
    let order = Order::SetClientLimits { server, client_count_max, anonymous_count_max };
    Ok(Outcome::Order(order))
}

/// SERVER_UPDATE_TLS_FILES: this daemon has no TLS socket.
pub(super) fn update_tls_files(server: &str, flags: u32) -> Result<Outcome, CallError> {
    find_server(Seeker::Daemon, server)?;
    check_flags("adminServerUpdateTlsFiles", flags)?;
    let detail = "no tls service found, unable to update tls files";
    Err(CallError::new(ErrorCode::Internal, Domain::Rpc, detail))
}

fn ask(server: ServerName) -> Result<Outcome, CallError> {
    Ok(Outcome::Ask(Question::Server(server)))
}

fn status(answer: Option<&Answer>) -> Option<&ServerStatus> {
    match answer {
        Some(Answer::Server(status)) => Some(status),
        Some(Answer::Clients(_) | Answer::Client(_) | Answer::Logging { .. }) | None => None,
    }
}

#[cfg(test)]
mod tests;
