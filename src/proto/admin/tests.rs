// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of every admin procedure from its bytes, and of every result to its bytes.

use super::*;
use crate::proto::params::ParamValue;

const SERVER: &[u8] = b"\0\0\0\x01s\0\0\0";
const ID: &[u8] = b"\0\0\0\0\0\0\0\x02";
/// A time and a transport, which are ignored.
const REST_OF_CLIENT: &[u8] = b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c";
const NO_PARAMS: &[u8] = b"\0\0\0\0";
const FLAGS: &[u8] = b"\x80\0\0\x03";
const TRUE: &[u8] = b"\0\0\0\x07";
const TEXT: &[u8] = b"\0\0\0\x01\0\0\0\x01t\0\0\0";

fn decode(procedure: i32, payload: &[u8]) -> Result<Option<AdminCall>, XdrError> {
    AdminCall::decode(procedure, &mut Reader::new(payload))
}

#[test]
fn each_procedure_has_its_arguments_and_needs_them_all() {
    let (server, id, flags) = (|| "s".to_owned(), 2, 0x8000_0003);
    let (params, text) = (Vec::new, || "t".to_owned());
    struct Case(i32, &'static [&'static [u8]], AdminCall);
    let cases = [
        Case(1, &[FLAGS], AdminCall::Open { flags }),
        Case(2, &[], AdminCall::Close),
        Case(3, &[], AdminCall::GetLibVersion),
        Case(4, &[TRUE, FLAGS], AdminCall::ListServers { need_results: true, flags }),
        Case(5, &[SERVER, FLAGS], AdminCall::LookupServer { server: server() }),
        Case(6, &[SERVER, FLAGS], AdminCall::GetThreadPool { server: server(), flags }),
        Case(
            7,
            &[SERVER, NO_PARAMS, FLAGS],
            AdminCall::SetThreadPool { server: server(), params: params(), flags },
        ),
        Case(
            8,
            &[SERVER, TRUE, FLAGS],
            AdminCall::ListClients { server: server(), need_results: true, flags },
        ),
        Case(9, &[SERVER, ID, FLAGS], AdminCall::LookupClient { server: server(), id, flags }),
        Case(
            10,
            &[SERVER, ID, REST_OF_CLIENT, FLAGS],
            AdminCall::GetClientInfo { server: server(), id, flags },
        ),
        Case(
            11,
            &[SERVER, ID, REST_OF_CLIENT, FLAGS],
            AdminCall::CloseClient { server: server(), id, flags },
        ),
        Case(12, &[SERVER, FLAGS], AdminCall::GetClientLimits { server: server(), flags }),
        Case(
            13,
            &[SERVER, NO_PARAMS, FLAGS],
            AdminCall::SetClientLimits { server: server(), params: params(), flags },
        ),
        Case(14, &[FLAGS], AdminCall::GetLogOutputs { flags }),
        Case(15, &[FLAGS], AdminCall::GetLogFilters { flags }),
        Case(16, &[TEXT, FLAGS], AdminCall::SetLogOutputs { outputs: text(), flags }),
        Case(17, &[TEXT, FLAGS], AdminCall::SetLogFilters { filters: text(), flags }),
        Case(18, &[SERVER, FLAGS], AdminCall::UpdateTlsFiles { server: server(), flags }),
        Case(19, &[b"\0\0\0\x09", FLAGS], AdminCall::SetDaemonTimeout { seconds: 9, flags }),
        Case(20, &[FLAGS], AdminCall::Shutdown { flags }),
    ];
    for (number, Case(procedure, parts, want)) in (1..).zip(cases) {
        assert_eq!(procedure, number, "none is left out");
        let payload = parts.concat();
        for len in 0..payload.len() {
            assert!(decode(procedure, &payload[..len]).is_err(), "{procedure}, {len} bytes");
        }
        assert_eq!(decode(procedure, &payload), Ok(Some(want)));
        assert!(decode(procedure, &[&payload, FLAGS].concat()).is_ok(), "{procedure}, and more");
    }
}

#[test]
fn there_are_twenty_procedures() {
    for procedure in [i32::MIN, -1, 0, 21, i32::MAX] {
        assert_eq!(decode(procedure, &[0; 64]), Ok(None), "{procedure}");
    }
}

#[test]
fn an_absent_log_list_is_an_empty_one() {
    let payload = [b"\0\0\0\0", FLAGS].concat();
    let want = AdminCall::SetLogOutputs { outputs: String::new(), flags: 0x8000_0003 };
    assert_eq!(decode(16, &payload), Ok(Some(want)));
    let want = AdminCall::SetLogFilters { filters: String::new(), flags: 0x8000_0003 };
    assert_eq!(decode(17, &payload), Ok(Some(want)));
}

#[test]
fn a_server_is_given_at_most_32_parameters() {
    let param: &[u8] = b"\0\0\0\x01p\0\0\0\0\0\0\x02\0\0\0\x05";
    for procedure in [7, 13] {
        let payload = |count: u32| {
            let params = param.repeat(usize::try_from(count).unwrap());
            [SERVER, &count.to_be_bytes(), &params, FLAGS].concat()
        };
        match decode(procedure, &payload(32)) {
            Ok(Some(
                AdminCall::SetThreadPool { params, .. } | AdminCall::SetClientLimits { params, .. },
            )) => {
                let want = TypedParam { field: "p".to_owned(), value: ParamValue::Uint(5) };
                assert_eq!(params, vec![want; 32]);
            }
            other => panic!("{other:?}"),
        }
        let want = XdrError::TooLong { field: "params", len: 33, max: 32 };
        assert_eq!(decode(procedure, &payload(33)), Err(want));
    }
}

#[test]
fn each_result_is_written_in_its_order() {
    let client = ClientRef { server: ServerName::Admin, id: 258, connected_at: 7 };
    let client_bytes = b"\0\0\0\x05admin\0\0\0\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x07\0\0\0\0";
    let flag = TypedParam { field: "f".to_owned(), value: ParamValue::Boolean(true) };
    struct Case(AdminReply, Vec<u8>);
    let cases = [
        Case(
            AdminReply::Servers { list: ServerName::ALL.to_vec(), count: 2 },
            b"\0\0\0\x02\0\0\0\x0evirtinterfaced\0\0\0\0\0\x05admin\0\0\0\0\0\0\x02".to_vec(),
        ),
        Case(AdminReply::Servers { list: Vec::new(), count: 2 }, b"\0\0\0\0\0\0\0\x02".to_vec()),
        Case(AdminReply::Server(ServerName::Admin), b"\0\0\0\x05admin\0\0\0".to_vec()),
        Case(AdminReply::Params(Vec::new()), b"\0\0\0\0".to_vec()),
        Case(
            AdminReply::Params(vec![flag]),
            b"\0\0\0\x01\0\0\0\x01f\0\0\0\0\0\0\x06\0\0\0\x01".to_vec(),
        ),
        Case(
            AdminReply::Clients { list: vec![client], count: 1 },
            [b"\0\0\0\x01", client_bytes.as_slice(), b"\0\0\0\x01"].concat(),
        ),
        Case(AdminReply::Client(client), client_bytes.to_vec()),
        Case(
            AdminReply::LogOutputs { outputs: "3:stderr".to_owned(), count: 1 },
            b"\0\0\0\x083:stderr\0\0\0\x01".to_vec(),
        ),
        Case(
            AdminReply::LogFilters { filters: Some("1:*a* ".to_owned()), count: 1 },
            b"\0\0\0\x01\0\0\0\x061:*a* \0\0\0\0\0\x01".to_vec(),
        ),
        Case(AdminReply::LogFilters { filters: None, count: 0 }, b"\0\0\0\0\0\0\0\0".to_vec()),
    ];
    for Case(reply, want) in cases {
        let mut out = vec![0xa5];
        reply.encode(&mut Writer::new(&mut out));
        assert_eq!(out, [b"\xa5", want.as_slice()].concat(), "{reply:?}");
    }
}
