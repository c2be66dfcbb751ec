// SPDX-License-Identifier: LGPL-2.1-or-later
//! The admin calls about clients: list, describe and disconnect them.

use crate::call_errors::{self, Seeker};
use crate::error::{CallError, Domain, ErrorCode};
use crate::handler::admin::{
    Answer, ClientDetails, ClientEntry, Order, Outcome, Question, check_flags, done, done_params,
    find_server, listed,
};
use crate::limits::CLIENT_LIST_COUNT_MAX;
use crate::model::server::ServerName;
use crate::proto::Reply;
use crate::proto::admin::{AdminReply, ClientRef};
use crate::proto::params::ParamValue;

/// SERVER_LIST_CLIENTS.
pub(super) fn list(
    server: &str,
    need_results: bool,
    flags: u32,
    answer: Option<&Answer>,
) -> Result<Outcome, CallError> {
    let server = find_server(Seeker::Daemon, server)?;
    check_flags("adminServerListClients", flags)?;
    let Some(Answer::Clients(entries)) = answer else {
        return Ok(Outcome::Ask(Question::Clients(server)));
    };
    let count = entries.len();
    if count > CLIENT_LIST_COUNT_MAX {
        let detail = format!("Too many clients '{count}' for limit '{CLIENT_LIST_COUNT_MAX}'");
        return Err(CallError::new(ErrorCode::Internal, Domain::Admin, detail));
    }
    let list = entries.iter().map(|entry| reference(server, *entry)).collect();
    let (list, count) = listed(list, need_results);
    Ok(done(Reply::Admin(AdminReply::Clients { list, count })))
}

/// SERVER_LOOKUP_CLIENT.
pub(super) fn look_up(
    server: &str,
    id: u64,
    flags: u32,
    answer: Option<&Answer>,
) -> Result<Outcome, CallError> {
    let server = find_server(Seeker::Daemon, server)?;
    check_flags("adminServerLookupClient", flags)?;
    let Some(Answer::Client(client)) = answer else { return ask(server, id) };
    let client = client.as_ref().ok_or_else(|| call_errors::no_client(Seeker::Daemon, id))?;
    Ok(done(Reply::Admin(AdminReply::Client(reference(server, client.entry)))))
}

/// CLIENT_GET_INFO.
pub(super) fn info(
    server: &str,
    id: u64,
    flags: u32,
    answer: Option<&Answer>,
) -> Result<Outcome, CallError> {
    let server = find_server(Seeker::Admin, server)?;
    let Some(Answer::Client(client)) = answer else { return ask(server, id) };
    let client = client.as_ref().ok_or_else(|| call_errors::no_client(Seeker::Admin, id))?;
    check_flags("adminClientGetInfo", flags)?;
    describe(client)
}

/// CLIENT_CLOSE.
pub(super) fn close(
    server: &str,
    id: u64,
    flags: u32,
    answer: Option<&Answer>,
) -> Result<Outcome, CallError> {
    let server = find_server(Seeker::Daemon, server)?;
    let Some(Answer::Client(client)) = answer else { return ask(server, id) };
    if client.is_none() {
        return Err(call_errors::no_client(Seeker::Daemon, id));
    }
    check_flags("adminClientClose", flags)?;
    Ok(Outcome::Order(Order::CloseClient { server, id }))
}

/// The properties of a client, in libvirt's order. Those for TCP and TLS never exist here. The last
/// two are additions of this daemon, for a client that acts for another, and while a transaction of
/// its own is open.
fn describe(client: &ClientDetails) -> Result<Outcome, CallError> {
    let Some(identity) = &client.identity else {
        let detail = "No identity information available for client";
        return Err(CallError::new(ErrorCode::Internal, Domain::Rpc, detail));
    };
    let text = |text: &Option<String>| text.clone().map(ParamValue::String);
    let fields = [
        ("readonly", Some(ParamValue::Boolean(client.read_only))),
        ("sasl_user_name", text(&identity.sasl_user_name)),
        ("unix_user_id", identity.unix_user_id.map(|id| int(id.to_be_bytes()))),
        ("unix_user_name", text(&identity.user_name)),
        ("unix_group_id", identity.unix_group_id.map(|id| int(id.to_be_bytes()))),
        ("unix_group_name", text(&identity.group_name)),
        ("unix_process_id", identity.process_id.map(|id| int(id.to_be_bytes()))),
        ("selinux_context", text(&identity.selinux_context)),
        ("peer_user_id", client.peer_user_id.map(|id| int(u64::from(id).to_be_bytes()))),
        ("interface_change", text(&client.open_transaction)),
    ];
    let known = fields.into_iter().filter_map(|(field, value)| Some((field, value?)));
    Ok(done_params(known))
}

/// The lower half of a number, as libvirt truncates it.
fn int(number: [u8; 8]) -> ParamValue {
    let [.., a, b, c, d] = number;
    ParamValue::Int(i32::from_be_bytes([a, b, c, d]))
}

fn ask(server: ServerName, id: u64) -> Result<Outcome, CallError> {
    Ok(Outcome::Ask(Question::Client { server, id }))
}

fn reference(server: ServerName, entry: ClientEntry) -> ClientRef {
    ClientRef { server, id: entry.id, connected_at: entry.connected_at }
}
