// SPDX-License-Identifier: LGPL-2.1-or-later
//! The admin calls about the log: its outputs and filters.

use crate::config::logging_spec::{self, LogFilter, LogOutput};
use crate::error::CallError;
use crate::handler::admin::{Answer, Order, Outcome, Question, check_flags, done};
use crate::proto::Reply;
use crate::proto::admin::AdminReply;

/// CONNECT_GET_LOGGING_OUTPUTS: in their notation, with a blank between two.
pub(super) fn outputs(flags: u32, answer: Option<&Answer>) -> Result<Outcome, CallError> {
    check_flags("adminConnectGetLoggingOutputs", flags)?;
    let Some(Answer::Logging { outputs, .. }) = answer else { return ask() };
    let count = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
    let outputs: Vec<_> = outputs.iter().map(LogOutput::to_string).collect();
    Ok(done(Reply::Admin(AdminReply::LogOutputs { outputs: outputs.join(" "), count })))
}

/// CONNECT_GET_LOGGING_FILTERS: with a blank after each, including the last.
pub(super) fn filters(flags: u32, answer: Option<&Answer>) -> Result<Outcome, CallError> {
    check_flags("adminConnectGetLoggingFilters", flags)?;
    let Some(Answer::Logging { filters, .. }) = answer else { return ask() };
    let count = u32::try_from(filters.len()).unwrap_or(u32::MAX);
    let text: String = filters.iter().map(|filter: &LogFilter| format!("{filter} ")).collect();
    let filters = (count > 0).then_some(text);
    Ok(done(Reply::Admin(AdminReply::LogFilters { filters, count })))
}

/// CONNECT_SET_LOGGING_OUTPUTS. A list of blanks counts as empty: libvirt would log nowhere from
/// then on, and fail on each look-up of its outputs.
pub(super) fn set_outputs(text: &str, flags: u32) -> Result<Outcome, CallError> {
    check_flags("adminConnectSetLoggingOutputs", flags)?;
    Ok(Outcome::Order(Order::SetLogOutputs(logging_spec::parse_outputs(text)?)))
}

/// CONNECT_SET_LOGGING_FILTERS.
pub(super) fn set_filters(text: &str, flags: u32) -> Result<Outcome, CallError> {
    check_flags("adminConnectSetLoggingFilters", flags)?;
    Ok(Outcome::Order(Order::SetLogFilters(logging_spec::parse_filters(text)?)))
}

fn ask() -> Result<Outcome, CallError> {
    Ok(Outcome::Ask(Question::Logging))
}
