// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of admin calls on a simulated daemon. The refusals, their order and texts were recorded
//! from libvirt's own daemon.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test wants one answer, and no other")]

use super::*;
use crate::config::Settings;
use crate::config::logging_spec::{parse_filters, parse_outputs};
use crate::limits::CLIENT_LIST_COUNT_MAX;
use crate::model::client::Privilege;
use crate::proto::admin::ClientRef;

pub(super) const MAIN: &str = "virtinterfaced";

/// The numbers of the clients.
const SILENT: u64 = 3;
const SPEAKING: u64 = 7;

pub(super) fn settings(server: ServerName) -> ServerLimits {
    let settings = Settings::defaults(Privilege::System);
    match server {
        ServerName::Main => settings.main,
        ServerName::Admin => settings.admin,
    }
}

fn entry(id: u64) -> ClientEntry {
    ClientEntry { id, connected_at: 1000 + id }
}

fn unknown(entry: ClientEntry) -> ClientDetails {
    ClientDetails {
        entry,
        read_only: false,
        identity: None,
        peer_user_id: None,
        open_transaction: None,
    }
}

fn details(id: u64) -> Option<ClientDetails> {
    let identity = Identity { unix_user_id: Some(0), ..Identity::default() };
    let client = |identity| ClientDetails { read_only: true, identity, ..unknown(entry(id)) };
    match id {
        SILENT => Some(client(None)),
        SPEAKING => Some(client(Some(identity))),
        _ => None,
    }
}

pub(super) fn world(question: Question) -> Answer {
    match question {
        Question::Server(server) => {
            let limits = settings(server);
            Answer::Server(ServerStatus { limits, client_count: 2, anonymous_count: 1 })
        }
        Question::Clients(_) => Answer::Clients(vec![entry(SILENT), entry(SPEAKING)]),
        Question::Client { id, .. } => Answer::Client(details(id)),
        Question::Logging => Answer::Logging {
            outputs: parse_outputs("3:stderr 1:file:/var/log/x").unwrap(),
            filters: parse_filters("1:rpc 3:*util*").unwrap(),
        },
    }
}

/// The outcome of a call whose question, if it has one, is answered.
pub(super) fn outcome(call: &AdminCall, world: impl Fn(Question) -> Answer) -> Outcome {
    match handle(call, None) {
        Outcome::Ask(question) => match handle(call, Some(&world(question))) {
            Outcome::Ask(again) => panic!("asked {question:?}, then {again:?}"),
            outcome => outcome,
        },
        outcome => outcome,
    }
}

pub(super) fn reply(call: AdminCall) -> Reply {
    match outcome(&call, world) {
        Outcome::Done(Ok(reply)) => reply,
        other => panic!("{call:?}: {other:?}"),
    }
}

fn order(call: AdminCall) -> Order {
    match outcome(&call, world) {
        Outcome::Order(order) => order,
        other => panic!("{call:?}: {other:?}"),
    }
}

pub(super) fn error(call: &AdminCall) -> String {
    match outcome(call, world) {
        Outcome::Done(Err(err)) => {
            format!("{}/{} {err}", err.code() as i32, err.domain() as i32)
        }
        other => panic!("{call:?}: {other:?}"),
    }
}

pub(super) fn uint(field: &str, number: u32) -> TypedParam {
    TypedParam { field: field.to_owned(), value: ParamValue::Uint(number) }
}

pub(super) fn int(field: &str) -> TypedParam {
    TypedParam { field: field.to_owned(), value: ParamValue::Int(1) }
}

pub(super) fn params(call: AdminCall) -> Vec<(String, ParamValue)> {
    match reply(call) {
        Reply::Admin(AdminReply::Params(params)) => {
            params.into_iter().map(|param| (param.field, param.value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn owned<T: Copy, const N: usize>(fields: [(&str, T); N]) -> Vec<(String, T)> {
    fields.map(|(field, value)| (field.to_owned(), value)).to_vec()
}

/// All calls with a server argument, in the order of their numbers.
fn server_calls(server: &str, id: u64, params: &[TypedParam], flags: u32) -> Vec<AdminCall> {
    let (server, params) = (|| server.to_owned(), || params.to_vec());
    vec![
        AdminCall::LookupServer { server: server() },
        AdminCall::GetThreadPool { server: server(), flags },
        AdminCall::SetThreadPool { server: server(), params: params(), flags },
        AdminCall::ListClients { server: server(), need_results: true, flags },
        AdminCall::LookupClient { server: server(), id, flags },
        AdminCall::GetClientInfo { server: server(), id, flags },
        AdminCall::CloseClient { server: server(), id, flags },
        AdminCall::GetClientLimits { server: server(), flags },
        AdminCall::SetClientLimits { server: server(), params: params(), flags },
        AdminCall::UpdateTlsFiles { server: server(), flags },
    ]
}

fn other_calls(flags: u32) -> Vec<AdminCall> {
    vec![
        AdminCall::Open { flags },
        AdminCall::ListServers { need_results: true, flags },
        AdminCall::GetLogOutputs { flags },
        AdminCall::GetLogFilters { flags },
        AdminCall::SetLogOutputs { outputs: "bad".to_owned(), flags },
        AdminCall::SetLogFilters { filters: "bad".to_owned(), flags },
        AdminCall::SetDaemonTimeout { seconds: 9, flags },
        AdminCall::Shutdown { flags },
    ]
}

#[test]
fn a_server_that_is_not_there_comes_before_all_else() {
    let daemon = "95/7 Server not found: No server named 'x'";
    let admin = "95/62 Server not found: no server with matching name 'x' found";
    let want = [daemon, daemon, admin, daemon, daemon, admin, daemon, daemon, admin, daemon];
    let bad = [int(&"z".repeat(80)), int("zz")];
    for flags in [0, 1] {
        let calls = server_calls("x", 99, &bad, flags);
        let errors: Vec<_> = calls.iter().map(error).collect();
        assert_eq!(errors, want);
    }
    let no_name = AdminCall::LookupServer { server: String::new() };
    assert_eq!(error(&no_name), "95/7 Server not found: No server named ''");
}

#[test]
fn flags_are_refused_in_the_name_of_libvirts_own_functions() {
    let functions = [
        "adminServerGetThreadPoolParameters",
        "adminServerSetThreadPoolParameters",
        "adminServerListClients",
        "adminServerLookupClient",
        "adminClientGetInfo",
        "adminClientClose",
        "adminServerGetClientLimits",
        "adminServerSetClientLimits",
        "adminServerUpdateTlsFiles",
    ];
    // Values of parameters are checked after flags.
    let calls = server_calls(MAIN, SPEAKING, &[int("zz")], 0xf000_0010).into_iter().skip(1);
    assert_eq!(calls.len(), functions.len());
    for (call, function) in calls.zip(functions) {
        let want = format!("8/62 unsupported flags (0xf0000010) in function {function}");
        assert_eq!(error(&call), want);
    }
    let functions = [
        "adminDispatchConnectOpen",
        "adminConnectListServers",
        "adminConnectGetLoggingOutputs",
        "adminConnectGetLoggingFilters",
        "adminConnectSetLoggingOutputs",
        "adminConnectSetLoggingFilters",
        "adminConnectSetDaemonTimeout",
        "adminConnectDaemonShutdown",
    ];
    for (call, function) in other_calls(2).iter().zip(functions) {
        let want = format!("8/62 unsupported flags (0x2) in function {function}");
        assert_eq!(error(call), want);
    }
    let flags = 0xffff_ffff;
    let want = "8/62 unsupported flags (0xfffffffe) in function adminConnectDaemonShutdown";
    assert_eq!(error(&AdminCall::Shutdown { flags }), want);
}

#[test]
fn a_client_that_is_not_there_comes_before_flags_where_it_is_the_argument() {
    let (server, id) = (|| MAIN.to_owned(), u64::MAX);
    let daemon = "96/7 Client not found: No client with matching ID '18446744073709551615'";
    let admin = "96/62 Client not found: no client with matching id '18446744073709551615' found";
    for flags in [0, 1] {
        assert_eq!(error(&AdminCall::GetClientInfo { server: server(), id, flags }), admin);
        assert_eq!(error(&AdminCall::CloseClient { server: server(), id, flags }), daemon);
    }
    let look_up = |flags| error(&AdminCall::LookupClient { server: server(), id, flags });
    assert_eq!(look_up(0), daemon);
    assert_eq!(look_up(1), "8/62 unsupported flags (0x1) in function adminServerLookupClient");
}

#[test]
fn open_close_and_version_need_nothing() {
    assert_eq!(reply(AdminCall::Open { flags: 0 }), Reply::Empty);
    assert_eq!(reply(AdminCall::Close), Reply::Closing);
    assert_eq!(reply(AdminCall::GetLibVersion), Reply::Version(11_000_000));
}

#[test]
fn both_servers_are_listed_and_found() {
    let list = |need_results| reply(AdminCall::ListServers { need_results, flags: 0 });
    let all = vec![ServerName::Main, ServerName::Admin];
    assert_eq!(list(true), Reply::Admin(AdminReply::Servers { list: all, count: 2 }));
    assert_eq!(list(false), Reply::Admin(AdminReply::Servers { list: Vec::new(), count: 2 }));
    for (name, server) in [(MAIN, ServerName::Main), ("admin", ServerName::Admin)] {
        let found = reply(AdminCall::LookupServer { server: name.to_owned() });
        assert_eq!(found, Reply::Admin(AdminReply::Server(server)));
    }
}

#[test]
fn clients_are_listed_as_they_connected() {
    let server = || MAIN.to_owned();
    let client = |id: u64| ClientRef { server: ServerName::Main, id, connected_at: 1000 + id };
    let list =
        |need_results| reply(AdminCall::ListClients { server: server(), need_results, flags: 0 });
    let both = vec![client(SILENT), client(SPEAKING)];
    assert_eq!(list(true), Reply::Admin(AdminReply::Clients { list: both, count: 2 }));
    assert_eq!(list(false), Reply::Admin(AdminReply::Clients { list: Vec::new(), count: 2 }));
    let found = reply(AdminCall::LookupClient { server: server(), id: SILENT, flags: 0 });
    assert_eq!(found, Reply::Admin(AdminReply::Client(client(SILENT))));
}

#[test]
fn a_list_has_at_most_16384_clients() {
    let call = AdminCall::ListClients { server: MAIN.to_owned(), need_results: false, flags: 0 };
    let with = |count| {
        let answer = Answer::Clients(vec![entry(1); count]);
        handle(&call, Some(&answer))
    };
    let clients = AdminReply::Clients { list: Vec::new(), count: 16_384 };
    assert_eq!(with(CLIENT_LIST_COUNT_MAX), done(Reply::Admin(clients)));
    match with(CLIENT_LIST_COUNT_MAX + 1) {
        Outcome::Done(Err(err)) => {
            assert_eq!(err.message(), "internal error: Too many clients '16385' for limit '16384'");
        }
        other => panic!("{other:?}"),
    }
}

/// The properties of a client that CLIENT_GET_INFO returns.
fn info(identity: Identity) -> Vec<(String, ParamValue)> {
    let client = ClientDetails { identity: Some(identity), ..unknown(entry(1)) };
    let call = AdminCall::GetClientInfo { server: MAIN.to_owned(), id: 1, flags: 0 };
    match handle(&call, Some(&Answer::Client(Some(client)))) {
        Outcome::Done(Ok(Reply::Admin(AdminReply::Params(params)))) => {
            params.into_iter().map(|param| (param.field, param.value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_is_described_as_far_as_it_is_known() {
    let text = |text: &str| Some(text.to_owned());
    let whole = Identity {
        user_name: text("u"),
        unix_user_id: Some((1 << 33) + 5),
        group_name: text("g"),
        unix_group_id: Some(1 << 31),
        process_id: Some((1 << 32) + 9),
        process_time: Some(3),
        sasl_user_name: text("sasl"),
        x509_distinguished_name: text("dn"),
        selinux_context: text("sel"),
        system_token: text("token"),
    };
    let string = |text: &str| ParamValue::String(text.to_owned());
    let all = [
        ("readonly", ParamValue::Boolean(false)),
        ("sasl_user_name", string("sasl")),
        ("unix_user_id", ParamValue::Int(5)),
        ("unix_user_name", string("u")),
        ("unix_group_id", ParamValue::Int(i32::MIN)),
        ("unix_group_name", string("g")),
        ("unix_process_id", ParamValue::Int(9)),
        ("selinux_context", string("sel")),
    ];
    let want = |fields: &[(&str, ParamValue)]| -> Vec<(String, ParamValue)> {
        fields.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect()
    };
    assert_eq!(info(whole), want(&all));
    assert_eq!(info(Identity::default()), want(&all[..1]));
    let negative = Identity { process_id: Some(-3), ..Identity::default() };
    let process = ("unix_process_id", ParamValue::Int(-3));
    assert_eq!(info(negative), want(&[all[0].clone(), process]));
}

#[test]
fn of_a_client_that_has_not_called_nothing_is_known() {
    let info = |id| AdminCall::GetClientInfo { server: MAIN.to_owned(), id, flags: 0 };
    let want = "1/7 internal error: No identity information available for client";
    assert_eq!(error(&info(SILENT)), want);
    let known = [("readonly", ParamValue::Boolean(true)), ("unix_user_id", ParamValue::Int(0))];
    let known = known.map(|(field, value)| (field.to_owned(), value));
    assert_eq!(params(info(SPEAKING)), known);
}

#[test]
fn a_client_is_closed_on_the_server_that_was_named() {
    for (name, server) in [(MAIN, ServerName::Main), ("admin", ServerName::Admin)] {
        let call = AdminCall::CloseClient { server: name.to_owned(), id: SILENT, flags: 0 };
        assert_eq!(order(call), Order::CloseClient { server, id: SILENT });
    }
}

#[test]
fn log_lists_are_told_as_libvirt_writes_them() {
    let outputs =
        AdminReply::LogOutputs { outputs: "3:stderr 1:file:/var/log/x".to_owned(), count: 2 };
    assert_eq!(reply(AdminCall::GetLogOutputs { flags: 0 }), Reply::Admin(outputs));
    let filters =
        AdminReply::LogFilters { filters: Some("1:*rpc* 3:**util** ".to_owned()), count: 2 };
    assert_eq!(reply(AdminCall::GetLogFilters { flags: 0 }), Reply::Admin(filters));
    let nothing = |_| Answer::Logging { outputs: Vec::new(), filters: Vec::new() };
    let none = AdminReply::LogFilters { filters: None, count: 0 };
    let call = AdminCall::GetLogFilters { flags: 0 };
    assert_eq!(outcome(&call, nothing), done(Reply::Admin(none)));
}

#[test]
fn log_lists_are_set_and_no_words_mean_the_default() {
    for text in ["", " ", "1:stderr 2:stderr", "1:file:/a 2:syslog:x 3:journald"] {
        let outputs = parse_outputs(text).unwrap();
        let call = AdminCall::SetLogOutputs { outputs: text.to_owned(), flags: 0 };
        assert_eq!(order(call), Order::SetLogOutputs(outputs), "{text}");
    }
    for text in ["", " ", "1:rpc", "1:+a 2:*b*"] {
        let filters = parse_filters(text).unwrap();
        let call = AdminCall::SetLogFilters { filters: text.to_owned(), flags: 0 };
        assert_eq!(order(call), Order::SetLogFilters(filters), "{text}");
    }
    let blanks = AdminCall::SetLogOutputs { outputs: "  ".to_owned(), flags: 0 };
    assert_eq!(order(blanks), Order::SetLogOutputs(Vec::new()));
}

#[test]
fn a_bad_log_list_is_refused_in_libvirts_words() {
    let outputs = [
        ("x", "Malformed format for log output 'x'"),
        ("1:stderr x", "Malformed format for log output 'x'"),
        ("0:stderr", "Invalid log priority '0' for log output '0:stderr'"),
        ("5:stderr", "Invalid log priority '5' for log output '5:stderr'"),
        (":stderr", "Invalid log priority '' for log output ':stderr'"),
        ("1:x", "Invalid log destination 'x' for log output '1:x'"),
        ("1:", "Invalid log destination '' for log output '1:'"),
        (
            "1:stderr:x",
            "Log output '1:stderr:x' does not meet the format requirements \
             for destination type 'stderr'",
        ),
        (
            "1:file",
            "Log output '1:file' does not meet the format requirements for destination type 'file'",
        ),
    ];
    for (text, want) in outputs {
        let call = AdminCall::SetLogOutputs { outputs: text.to_owned(), flags: 0 };
        assert_eq!(error(&call), format!("8/0 invalid argument: {want}"));
    }
    let filters = [
        ("x", "Malformed format for filter 'x'"),
        ("1:a b", "Malformed format for filter 'b'"),
        ("0:a", "Invalid priority '0' for filter '0:a'"),
        ("5:a", "Invalid priority '5' for filter '5:a'"),
        ("a:b", "Invalid priority 'a' for filter 'a:b'"),
        ("1:", "Invalid match string ''"),
        ("1:+", "Invalid match string '+'"),
    ];
    for (text, want) in filters {
        let call = AdminCall::SetLogFilters { filters: text.to_owned(), flags: 0 };
        assert_eq!(error(&call), format!("8/0 invalid argument: {want}"));
    }
}

#[test]
fn a_timeout_counts_seconds_and_zero_ends_it() {
    let set = |seconds| order(AdminCall::SetDaemonTimeout { seconds, flags: 0 });
    assert_eq!(set(0), Order::SetIdleLimit(None));
    assert_eq!(set(1), Order::SetIdleLimit(Some(Duration::from_secs(1))));
    let longest = Duration::from_secs(4_294_967_295);
    assert_eq!(set(u32::MAX), Order::SetIdleLimit(Some(longest)));
}

#[test]
fn shutdown_stops_with_and_without_its_flag() {
    for flags in [0, SHUTDOWN_PRESERVE] {
        assert_eq!(order(AdminCall::Shutdown { flags }), Order::Stop);
    }
}

#[test]
fn an_answer_to_another_question_is_none() {
    let answers = [
        world(Question::Server(ServerName::Main)),
        world(Question::Clients(ServerName::Main)),
        world(Question::Client { server: ServerName::Main, id: SPEAKING }),
        world(Question::Logging),
    ];
    let mut asked = 0;
    for call in server_calls(MAIN, SPEAKING, &[], 0).iter().chain(&other_calls(0)) {
        let Outcome::Ask(question) = handle(call, None) else { continue };
        asked += 1;
        let fitting =
            answers.iter().filter(|answer| handle(call, Some(answer)) != Outcome::Ask(question));
        assert_eq!(fitting.collect::<Vec<_>>(), [&world(question)], "{call:?}");
    }
    assert_eq!(asked, 10);
}
