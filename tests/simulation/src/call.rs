// SPDX-License-Identifier: LGPL-2.1-or-later
//! Target `call`: a byte for the program, two for the procedure, then the payload.
//!
//! Each call is made by a client that has not opened a connection, by a read-only client and by one
//! with full access. Every outcome fits into a message, and a read-only client changes nothing.
//! Only setters change the daemon itself, and the limits that they set are consistent.

use std::sync::LazyLock;

use crate::input::Input;
use crate::sample;
use virtinterfaced::error::{CallError, ErrorCode};
use virtinterfaced::handler::admin;
use virtinterfaced::host::Host;
use virtinterfaced::limits::STRING_LEN_MAX;
use virtinterfaced::model::client::{Access, ClientState, Endpoint, Opened};
use virtinterfaced::proto::admin::AdminCall;
use virtinterfaced::proto::{self, Call, Program, Reply};
use virtinterfaced::rpc::frame::{Carrier, FrameBuffer};
use virtinterfaced::rpc::header::{Header, kind, status};
use virtinterfaced::rpc::{fault, message};
use virtinterfaced::xdr::reader::{Reader, XdrError};

/// Made once: there are thousands of runs a second.
pub(super) static HOST: LazyLock<Host> = LazyLock::new(sample::host);

/// See the module.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let (Some(program), Some(procedure)) = (input.byte(), input.number()) else { return };
    let program = match program % 4 {
        0 => Program::Remote,
        1 => Program::Qemu,
        2 => Program::Lxc,
        _ => Program::Admin,
    };
    let procedure = i32::from(i16::from_be_bytes(procedure.to_be_bytes()));
    let payload = input.rest();
    for client in clients() {
        let call = match proto::decode(program, procedure, payload) {
            Ok(call) => call,
            Err(err) => return check_encoding(&Err(err)),
        };
        let outcome = sample::outcome(&call, &client, &HOST);
        check_encoding(&outcome);
        check_access(&call, &client, &outcome);
        check_orders(&call);
    }
}

fn clients() -> [ClientState; 4] {
    let connected = |endpoint| ClientState::new(sample::caller(endpoint));
    let opened = |endpoint, access| ClientState {
        opened: Some(Opened { uri: "interface:///system".to_owned(), access }),
        ..connected(endpoint)
    };
    [
        connected(Endpoint::ReadWrite),
        connected(Endpoint::ReadOnly),
        opened(Endpoint::ReadOnly, Access::ReadOnly),
        opened(Endpoint::ReadWrite, Access::ReadWrite),
    ]
}

fn check_access(call: &Call, client: &ClientState, outcome: &Result<Reply, CallError>) {
    let is_change = matches!(call, Call::Change(_) | Call::Transaction(_));
    if !is_change && !matches!(call, Call::Query(_)) {
        return;
    }
    match client.access() {
        None => assert!(outcome.is_err(), "an interface before CONNECT_OPEN"),
        Some(Access::ReadOnly) if is_change => {
            let code = outcome.as_ref().map_err(CallError::code);
            assert_eq!(code, Err(ErrorCode::OperationDenied), "a change by a read-only client");
        }
        Some(Access::ReadOnly | Access::ReadWrite) => {}
    }
}

fn check_orders(call: &Call) {
    let Call::Admin(call) = call else { return };
    let Ok((_, Some(order))) = sample::administered(call) else { return };
    let fits = match (call, order) {
        (
            AdminCall::SetClientLimits { .. },
            admin::Order::SetClientLimits { client_count_max, anonymous_count_max, .. },
        ) => anonymous_count_max <= client_count_max,
        (AdminCall::SetThreadPool { .. }, admin::Order::SetWorkers { workers, .. }) => {
            workers.count_min <= workers.count_max && workers.count_max > 0
        }
        (AdminCall::CloseClient { id, .. }, admin::Order::CloseClient { id: ordered, .. }) => {
            *id == ordered
        }
        (AdminCall::SetLogOutputs { .. }, admin::Order::SetLogOutputs(_))
        | (AdminCall::SetLogFilters { .. }, admin::Order::SetLogFilters(_))
        | (AdminCall::SetDaemonTimeout { .. }, admin::Order::SetIdleLimit(_))
        | (AdminCall::Shutdown { .. }, admin::Order::Stop) => true,
        _ => false,
    };
    assert!(fits, "{call:?}");
}

fn check_encoding(outcome: &Result<Reply, CallError>) {
    let header =
        Header { program: 1, version: 1, procedure: 1, kind: kind::CALL, serial: 7, status: 0 };
    let head = header.reply(if outcome.is_ok() { status::OK } else { status::ERROR });
    let mut bytes = Vec::new();
    message::encode(&mut bytes, &head, |writer| match outcome {
        Ok(reply) => reply.encode(writer),
        Err(err) => fault::encode(writer, err),
    });
    assert_eq!(bytes.len() % 4, 0, "XDR comes in words");
    let mut buffer = FrameBuffer::default();
    buffer.extend(&bytes, Carrier::None);
    let frame = buffer.frame();
    let whole = frame.ok().flatten().filter(|frame| frame.len == bytes.len());
    assert_eq!(whole.map(|frame| frame.header), Some(head), "one message, and all of it");
    let payload = whole.map(|frame| frame.payload).unwrap_or_default();
    if let Err(err) = outcome {
        assert_eq!(decode_fault(payload), Ok((err.code() as i32, err.message().to_owned())));
    }
}

/// Code and text of an error. All eleven fields are decoded, as a client decodes them.
fn decode_fault(payload: &[u8]) -> Result<(i32, String), XdrError> {
    let mut reader = Reader::new(payload);
    let code = reader.i32("code")?;
    let _domain = reader.i32("domain")?;
    let text = reader.optional_string("message", STRING_LEN_MAX)?.unwrap_or_default().into_owned();
    let _level = reader.i32("level")?;
    let _dom = reader.flag("dom")?;
    for field in ["str1", "str2", "str3"] {
        reader.optional_string(field, STRING_LEN_MAX)?;
    }
    for field in ["int1", "int2", "net"] {
        reader.i32(field)?;
    }
    Ok((code, text))
}
