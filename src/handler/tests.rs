// SPDX-License-Identifier: LGPL-2.1-or-later
//! Calls on a small host made of values, and their replies.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test wants one answer, and no other")]

use std::path::PathBuf;
use std::rc::Rc;

use super::*;
use crate::backend::native::Native;
use crate::change::transaction::Status;
use crate::definitions::files::{FilePath, FileState};
use crate::error::CallError;
use crate::handler::interface::query;
use crate::model::address::MacAddr;
use crate::model::client::{Access, Caller, ClientState, Endpoint, Identity, Opened, Privilege};
use crate::model::interface::{Ethernet, Interface, Kind, OperState};
use crate::model::name::IfName;
use crate::netlink::Event;
use crate::netlink::link::{Link, LinkBridge, LinkEvent, LinkIndex, LinkKind};
use crate::proto::connect::ConnectCall;
use crate::proto::interface::{ChangeCall, QueryCall};
use crate::proto::params::{ParamValue, TypedParam};
use crate::xml::format::format;

const FACTS: Facts = Facts { privilege: Privilege::System, uid: 0 };

/// A bridge with two ports, a tap, two links with the same address, and one that is down.
fn host() -> Host {
    let bridge = LinkKind::Bridge(LinkBridge::default());
    let mut host = Host::default();
    for (index, name, master, kind) in [
        (1, "lo", None, LinkKind::Nic),
        (2, "br0", None, bridge),
        (3, "port0", Some(2), LinkKind::Nic),
        (4, "port1", Some(2), LinkKind::Nic),
        (5, "tap0", None, LinkKind::Tun),
        (6, "twin0", None, LinkKind::Nic),
        (7, "twin1", None, LinkKind::Nic),
        (8, "down0", None, LinkKind::Nic),
    ] {
        let last_byte = if name.starts_with("twin") { 0xab } else { index };
        host.apply(Event::Link(LinkEvent::New(Link {
            index: LinkIndex(index.into()),
            name: IfName::new(name).unwrap(),
            up: name != "down0",
            mtu: 1500,
            mac: MacAddr::new(&[2, 0, 0, 0, 0, last_byte]),
            carrier: true,
            oper_state: OperState::Up,
            master: master.map(LinkIndex),
            parent: None,
            kind,
        })));
    }
    host
}

fn defined(name: &str) -> Interface {
    let (name, kind) = (IfName::new(name).unwrap(), Kind::Ethernet(Ethernet::default()));
    Interface { name, start: None, mtu: Some(9000), protocols: Vec::new(), kind }
}

/// The files of these definitions.
fn files(definitions: &[&str]) -> DefinitionFiles {
    let file = |name: &&str| {
        let bytes = format(&defined(name)).into_bytes();
        (FilePath::new(format!("{name}.xml")).unwrap(), FileState::Content(bytes))
    };
    let files = definitions.iter().map(file).collect();
    DefinitionFiles::of(Rc::new(Native::new(PathBuf::new())), files)
}

fn client(access: Access) -> ClientState {
    let opened = Opened { uri: "interface:///system".to_owned(), access };
    ClientState { opened: Some(opened), ..connected(Endpoint::ReadWrite) }
}

/// A client of the daemon's own user that has just connected.
fn connected(endpoint: Endpoint) -> ClientState {
    let (uid, gid, pid) = (FACTS.uid, 0, 7);
    ClientState::new(Caller { endpoint, number: 1, uid, gid, pid, identity: None })
}

/// Answers a query on [`host`] with these definitions.
fn answer_with(definitions: &[&str], call: &QueryCall) -> Result<Reply, CallError> {
    let (host, files) = (host(), files(definitions));
    let world = World { host: &host, files: &files };
    let mut answers = Answers::default();
    loop {
        match query::handle(call, &world, &answers)? {
            Outcome::Reply(reply) => return Ok(reply),
            Outcome::Ask(Question::Speeds(_)) if answers.speeds.is_none() => {
                answers.add(Answer::Speeds(SortedMap::default()));
            }
            Outcome::Ask(Question::Links(_)) if answers.links.is_none() => {
                answers.add(Answer::Links(Findings::default()));
            }
            other => panic!("{call:?} after {answers:?}: {other:?}"),
        }
    }
}

fn answer(call: QueryCall) -> Result<Reply, CallError> {
    answer_with(&[], &call)
}

fn error(call: QueryCall) -> String {
    text(&answer(call).unwrap_err())
}

/// Why a change is refused on [`host`], before a survey.
fn change_error(call: ChangeCall) -> String {
    let (host, files) = (host(), files(&[]));
    let world = World { host: &host, files: &files };
    text(&interface::decide(&call.into(), &world, Status::default(), None).unwrap_err())
}

fn text(err: &CallError) -> String {
    format!("{}/{} {err}", err.code() as i32, err.domain() as i32)
}

fn connect(call: &ConnectCall, client: &ClientState) -> Result<Reply, CallError> {
    match connect::handle(call, client, &FACTS, &Answers::default())? {
        Outcome::Reply(reply) => Ok(reply),
        other @ Outcome::Ask(_) => panic!("{other:?}"),
    }
}

fn names(definitions: &[&str], call: QueryCall) -> Vec<String> {
    match answer_with(definitions, &call).unwrap() {
        Reply::Names(names) => names.iter().map(ToString::to_string).collect(),
        Reply::Interfaces { list, count } => {
            assert_eq!(list.len(), usize::try_from(count).unwrap());
            list.iter().map(|interface| interface.name.to_string()).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn list_all(flags: u32) -> QueryCall {
    QueryCall::ListAllInterfaces { need_results: true, flags }
}

#[test]
fn lists_leave_out_ports_and_taps_and_tell_up_from_down() {
    let active = ["br0", "lo", "twin0", "twin1"];
    let all = ["br0", "down0", "lo", "twin0", "twin1"];
    assert_eq!(names(&[], QueryCall::ListInterfaces { count_max: 99 }), active);
    assert_eq!(names(&[], QueryCall::ListDefinedInterfaces { count_max: 99 }), ["down0"]);
    assert_eq!(names(&[], list_all(2)), active);
    assert_eq!(names(&[], list_all(1)), ["down0"]);
    for flags in [0, 3] {
        assert_eq!(names(&[], list_all(flags)), all);
    }
    assert_eq!(answer(QueryCall::NumOfInterfaces), Ok(Reply::Number(4)));
    assert_eq!(answer(QueryCall::NumOfDefinedInterfaces), Ok(Reply::Number(1)));
}

#[test]
fn a_definition_is_always_listed_and_inactive_without_a_link() {
    let definitions = ["port0", "absent", "lo"];
    assert_eq!(
        names(&definitions, list_all(0)),
        ["br0", "down0", "lo", "port0", "twin0", "twin1", "absent"],
    );
    assert_eq!(names(&definitions, list_all(1)), ["down0", "absent"]);
    // Names before all links, between any two of them, after all, and those of links.
    let definitions =
        ["a", "br", "br0", "br00", "down0", "lo", "lo0", "tap0", "twin", "twin1", "z"];
    assert_eq!(
        names(&definitions, list_all(0)),
        ["br0", "down0", "lo", "tap0", "twin0", "twin1", "a", "br", "br00", "lo0", "twin", "z"],
    );
}

#[test]
fn a_list_is_cut_to_what_the_client_takes_and_counted_without_it() {
    assert_eq!(names(&[], QueryCall::ListInterfaces { count_max: 2 }), ["br0", "lo"]);
    assert_eq!(names(&[], QueryCall::ListInterfaces { count_max: 0 }), [""; 0]);
    assert!(answer(QueryCall::ListInterfaces { count_max: 16_384 }).is_ok());
    let want = "39/7 maxnames > REMOTE_INTERFACE_LIST_MAX";
    assert_eq!(error(QueryCall::ListInterfaces { count_max: 16_385 }), want);
    let want = "39/7 maxnames must be non-negative";
    assert_eq!(error(QueryCall::ListDefinedInterfaces { count_max: -1 }), want);
    let counted = QueryCall::ListAllInterfaces { need_results: false, flags: 0 };
    assert_eq!(answer(counted), Ok(Reply::Interfaces { list: Vec::new(), count: 5 }));
}

#[test]
fn flags_that_nobody_knows_are_named() {
    let want = "8/26 unsupported flags (0x4) in function udevConnectListAllInterfaces";
    assert_eq!(error(list_all(7)), want);
    let want = "8/26 unsupported flags (0xfffffffe) in function udevInterfaceGetXMLDesc";
    let name = "lo".to_owned();
    assert_eq!(error(QueryCall::GetXmlDesc { name, flags: u32::MAX }), want);
}

#[test]
fn looking_up_by_name_finds_what_lists_hide() {
    for name in ["port0", "tap0", "lo"] {
        let found = answer(QueryCall::LookupByName { name: name.to_owned() });
        match found {
            Ok(Reply::Interface(found)) => assert_eq!(found.name.as_str(), name),
            other => panic!("{other:?}"),
        }
        let active = answer(QueryCall::IsActive { name: name.to_owned() });
        assert_eq!(active, Ok(Reply::Number(1)));
    }
    let down = QueryCall::IsActive { name: "down0".to_owned() };
    assert_eq!(answer(down), Ok(Reply::Number(0)));
}

#[test]
fn a_name_that_cannot_be_is_not_found_like_any_other() {
    for name in ["nope", "", "../lo", "a b", "sixteen-bytes-xx"] {
        let want = format!("57/26 Interface not found: couldn't find interface named '{name}'");
        let name = name.to_owned();
        assert_eq!(error(QueryCall::LookupByName { name: name.clone() }), want);
        assert_eq!(error(QueryCall::IsActive { name: name.clone() }), want);
        assert_eq!(error(QueryCall::GetXmlDesc { name, flags: 0 }), want);
    }
}

#[test]
fn an_address_is_looked_up_literally_and_in_either_case() {
    let by_mac = |mac: &str| QueryCall::LookupByMac { mac: mac.to_owned() };
    assert!(matches!(answer(by_mac("02:00:00:00:00:02")), Ok(Reply::Interface(_))));
    let several = "59/26 multiple matching interfaces found: \
        the MAC address '02:00:00:00:00:AB' matches multiple interfaces";
    assert_eq!(error(by_mac("02:00:00:00:00:AB")), several);
    for mac in ["02:00:00:00:00:03", "02:00:00:00:00:ff", "*", ""] {
        let want = "57/26 Interface not found: couldn't find interface with MAC address";
        assert_eq!(error(by_mac(mac)), format!("{want} '{mac}'"), "hidden, or not there");
    }
}

#[test]
fn the_inactive_xml_is_the_definition_where_there_is_one() {
    let xml = |definitions: &[&str], name: &str, flags| {
        let call = QueryCall::GetXmlDesc { name: name.to_owned(), flags };
        match answer_with(definitions, &call).unwrap() {
            Reply::Text(xml) => xml,
            other => panic!("{other:?}"),
        }
    };
    let definition = "<interface type='ethernet' name='lo'>\n  <mtu size='9000'/>\n</interface>\n";
    assert_eq!(xml(&["lo"], "lo", 1), definition);
    assert!(xml(&["lo"], "lo", 0).contains("<mtu size='1500'/>"), "live");
    assert!(xml(&[], "lo", 1).contains("<mtu size='1500'/>"), "derived from live");
    assert!(xml(&["absent"], "absent", 0).contains("<mtu size='9000'/>"), "no link to look at");
}

#[test]
fn flags_that_a_change_does_not_have_are_refused_first() {
    let absent = || "absent".to_owned();
    for (function, call) in [
        ("netcfInterfaceDefineXML", ChangeCall::DefineXml { xml: absent(), flags: 8 }),
        ("netcfInterfaceCreate", ChangeCall::Create { name: absent(), flags: 8 }),
        ("netcfInterfaceDestroy", ChangeCall::Destroy { name: absent(), flags: 8 }),
    ] {
        let want = format!("8/26 unsupported flags (0x8) in function {function}");
        assert_eq!(change_error(call), want);
    }
}

#[test]
fn a_change_of_what_is_not_there_is_refused() {
    let name = || "absent".to_owned();
    let calls = [
        ChangeCall::Undefine { name: name() },
        ChangeCall::Create { name: name(), flags: 0 },
        ChangeCall::Destroy { name: name(), flags: 0 },
    ];
    for call in calls {
        let want = "57/26 Interface not found: couldn't find interface named 'absent'";
        assert_eq!(change_error(call), want);
    }
    let undefined = ChangeCall::Undefine { name: "lo".to_owned() };
    let want = "55/26 Requested operation is not valid: interface 'lo' has no definition";
    assert_eq!(change_error(undefined), want);
}

#[test]
fn before_open_few_calls_are_answered() {
    let new = connected(Endpoint::ReadWrite);
    assert_eq!(connect(&ConnectCall::AuthList, &new), Ok(Reply::AuthTypes(&[0])));
    assert_eq!(connect(&ConnectCall::Close, &new), Ok(Reply::Closing));
    let keepalive = ConnectCall::SupportsFeature { feature: 10 };
    assert_eq!(connect(&keepalive, &new), Ok(Reply::KeepaliveSupported));
}

#[test]
fn an_identity_counts_from_a_client_of_the_daemons_own_user() {
    let params = vec![TypedParam { field: "unix-user-id".into(), value: ParamValue::Ullong(7) }];
    let call = ConnectCall::SetIdentity { params };
    let mut client = client(Access::ReadWrite);
    let identity = Identity { unix_user_id: Some(7), ..Identity::default() };
    assert_eq!(connect(&call, &client), Ok(Reply::Identified(Box::new(identity))));
    client.caller.uid = 1000;
    assert_eq!(connect(&call, &client), Ok(Reply::Empty));
}

#[test]
fn open_settles_what_a_client_may_do() {
    let open = |endpoint, flags| {
        let name = Some("interface:///system".to_owned());
        match connect(&ConnectCall::Open { name, flags }, &connected(endpoint)) {
            Ok(Reply::Opened(opened)) => opened.access,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(open(Endpoint::ReadWrite, 0), Access::ReadWrite);
    assert_eq!(open(Endpoint::ReadWrite, 0xffff_fffe), Access::ReadWrite, "other bits are ignored");
    assert_eq!(open(Endpoint::ReadWrite, 1), Access::ReadOnly);
    assert_eq!(open(Endpoint::ReadOnly, 0), Access::ReadOnly);
}

#[test]
fn open_wants_a_name_and_no_second_time() {
    let absent = ConnectCall::Open { name: None, flags: 0 };
    let err = connect(&absent, &connected(Endpoint::ReadWrite)).unwrap_err();
    assert_eq!(err.message(), "internal error: connection not open");
    let err = connect(&absent, &client(Access::ReadOnly)).unwrap_err();
    assert_eq!(err.message(), "internal error: connection already open");
}

#[test]
fn a_name_that_settings_decide_is_asked_about() {
    let client = connected(Endpoint::ReadWrite);
    let settings =
        UriSettings { default: None, aliases: vec!["here=interface:///system".to_owned()] };
    let answered = Answers { uri_settings: Some(settings), ..Answers::default() };
    for (name, want) in [
        ("here", Ok("interface:///system")),
        ("", Err("no connection driver available for <null>")),
        ("foo", Err("no connection driver available for URI 'foo' does not include a driver name")),
    ] {
        let open = ConnectCall::Open { name: Some(name.to_owned()), flags: 0 };
        let handle = |answers| connect::handle(&open, &client, &FACTS, answers);
        let unanswered = Answers::default();
        assert!(matches!(handle(&unanswered), Ok(Outcome::Ask(Question::UriSettings))), "{name}");
        match (handle(&answered), want) {
            (Ok(Outcome::Reply(Reply::Opened(opened))), Ok(want)) => assert_eq!(opened.uri, want),
            (Err(err), Err(want)) => assert_eq!(err.message(), want),
            (got, want) => panic!("{name}: {got:?}, not {want:?}"),
        }
    }
}

#[test]
fn features_are_answered_by_their_numbers() {
    for feature in -1..20 {
        let call = ConnectCall::SupportsFeature { feature };
        let want = match feature {
            10 => Reply::KeepaliveSupported,
            8 | 14 | 15 => Reply::Number(1),
            _ => Reply::Number(0),
        };
        assert_eq!(connect(&call, &client(Access::ReadOnly)), Ok(want), "{feature}");
    }
}

#[test]
fn an_opened_client_is_told_what_it_talks_to() {
    let client = client(Access::ReadOnly);
    let text = |text: &str| Ok(Reply::Text(text.to_owned()));
    assert_eq!(connect(&ConnectCall::GetType, &client), text("interface"));
    assert_eq!(connect(&ConnectCall::GetUri, &client), text("interface:///system"));
    assert_eq!(connect(&ConnectCall::IsSecure, &client), Ok(Reply::Number(1)));
    assert_eq!(connect(&ConnectCall::GetLibVersion, &client), Ok(Reply::Version(11_000_000)));
    assert_eq!(connect(&ConnectCall::CloseCallback, &client), Ok(Reply::Empty));
}
