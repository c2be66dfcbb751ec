// SPDX-License-Identifier: LGPL-2.1-or-later
//! The table of calls: each with a connection that is not open, read-only, and read-write.

use super::*;
use crate::proto::admin::AdminCall;
use crate::proto::interface::{ChangeCall, QueryCall, TransactionCall};
use crate::proto::{self, Program};

const READ_ONLY: Option<Access> = Some(Access::ReadOnly);
const READ_WRITE: Option<Access> = Some(Access::ReadWrite);

fn refusal(opened: Option<Access>, call: &Call) -> String {
    check(opened, call).unwrap_err().message().to_owned()
}

fn name() -> String {
    "br0".to_owned()
}

fn changes() -> [(&'static str, Call); 7] {
    let flags = 9;
    [
        ("virInterfaceDefineXML", Call::Change(ChangeCall::DefineXml { xml: name(), flags })),
        ("virInterfaceUndefine", Call::Change(ChangeCall::Undefine { name: name() })),
        ("virInterfaceCreate", Call::Change(ChangeCall::Create { name: name(), flags })),
        ("virInterfaceDestroy", Call::Change(ChangeCall::Destroy { name: name(), flags })),
        ("virInterfaceChangeBegin", Call::Transaction(TransactionCall::Begin { flags })),
        ("virInterfaceChangeCommit", Call::Transaction(TransactionCall::Commit { flags })),
        ("virInterfaceChangeRollback", Call::Transaction(TransactionCall::Rollback { flags })),
    ]
}

fn queries() -> [Call; 9] {
    [
        QueryCall::NumOfInterfaces,
        QueryCall::ListInterfaces { count_max: 1 },
        QueryCall::LookupByName { name: name() },
        QueryCall::LookupByMac { mac: String::new() },
        QueryCall::GetXmlDesc { name: name(), flags: 0 },
        QueryCall::NumOfDefinedInterfaces,
        QueryCall::ListDefinedInterfaces { count_max: 1 },
        QueryCall::IsActive { name: name() },
        QueryCall::ListAllInterfaces { need_results: true, flags: 0 },
    ]
    .map(Call::Query)
}

#[test]
fn a_read_only_connection_changes_nothing() {
    for (api, call) in changes() {
        let want = format!("operation forbidden: read only access prevents {api}");
        assert_eq!(refusal(READ_ONLY, &call), want);
        assert_eq!(refusal(None, &call), "internal error: connection not open");
        assert_eq!(check(READ_WRITE, &call), Ok(()));
    }
}

#[test]
fn queries_need_an_open_connection_and_no_more() {
    for call in queries() {
        assert_eq!(refusal(None, &call), "internal error: connection not open");
        assert_eq!(check(READ_ONLY, &call), Ok(()));
        assert_eq!(check(READ_WRITE, &call), Ok(()));
    }
}

#[test]
fn before_open_few_calls_are_allowed() {
    for call in [
        ConnectCall::Open { name: None, flags: 0 },
        ConnectCall::Close,
        ConnectCall::AuthList,
        ConnectCall::AuthSasl,
        ConnectCall::AuthPolkit,
        ConnectCall::SupportsFeature { feature: 10 },
    ] {
        let call = Call::Connect(call);
        assert_eq!([None, READ_ONLY].map(|opened| check(opened, &call)), [Ok(()), Ok(())]);
    }
    for call in [
        ConnectCall::GetType,
        ConnectCall::GetHostname,
        ConnectCall::GetUri,
        ConnectCall::IsSecure,
        ConnectCall::GetLibVersion,
        ConnectCall::CloseCallback,
        ConnectCall::SupportsFeature { feature: 8 },
        ConnectCall::SetIdentity { params: Vec::new() },
    ] {
        let call = Call::Connect(call);
        assert_eq!(refusal(None, &call), "internal error: hypervisor connection not open");
        assert_eq!(check(READ_ONLY, &call), Ok(()));
    }
}

#[test]
fn refused_procedures_are_refused_for_access_first() {
    const CONNECT_NUM_OF_NETWORKS: i32 = 38;
    const DOMAIN_CREATE: i32 = 9;
    const NODE_GET_INFO: i32 = 6;
    let call = |procedure| proto::decode(Program::Remote, procedure, &[]).unwrap();
    assert_eq!(check(None, &call(CONNECT_NUM_OF_NETWORKS)), Ok(()), "its answer is the same");
    let not_open = "internal error: hypervisor connection not open";
    for procedure in [DOMAIN_CREATE, NODE_GET_INFO] {
        assert_eq!(refusal(None, &call(procedure)), not_open);
        assert_eq!(check(READ_WRITE, &call(procedure)), Ok(()));
    }
    assert_eq!(check(READ_ONLY, &call(NODE_GET_INFO)), Ok(()));
    let err = check(READ_ONLY, &call(DOMAIN_CREATE)).unwrap_err();
    assert_eq!(err.message(), "operation forbidden: read only access prevents virDomainCreate");
    assert_eq!(err.domain(), Domain::Dom, "in the words of the API's own domain");
}

#[test]
fn the_admin_socket_is_for_the_daemons_own_user() {
    for (endpoint, uid, want) in [
        (Endpoint::ReadWrite, 1000, true),
        (Endpoint::ReadOnly, 1000, true),
        (Endpoint::Admin, 1000, false),
        (Endpoint::Admin, 0, true),
    ] {
        assert_eq!(may_connect(endpoint, uid, 0), want, "{endpoint:?} {uid}");
    }
    assert!(!may_connect(Endpoint::Admin, 0, 1000), "root neither, in a user's session");
    assert_eq!(check(None, &Call::Admin(AdminCall::GetLibVersion)), Ok(()));
}

#[test]
fn the_daemons_own_user_may_set_an_identity() {
    assert!(may_set_identity(0, 0) && may_set_identity(1000, 1000));
    assert!(!may_set_identity(1000, 0) && !may_set_identity(0, 1000));
}

#[test]
fn open_gives_the_access_that_the_socket_has_and_the_client_wants() {
    assert_eq!(access(Endpoint::ReadWrite, false), Access::ReadWrite);
    assert_eq!(access(Endpoint::ReadWrite, true), Access::ReadOnly);
    assert_eq!(access(Endpoint::ReadOnly, false), Access::ReadOnly);
    assert_eq!(access(Endpoint::ReadOnly, true), Access::ReadOnly);
}
