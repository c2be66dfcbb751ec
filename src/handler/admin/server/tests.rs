// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of thread pool numbers and client limits: read, set, refused.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test wants one answer, and no other")]

use super::*;
use crate::handler::admin::tests::{
    MAIN, error, int, outcome, owned, params, settings, uint, world,
};
use crate::proto::admin::AdminCall;

fn uints(call: AdminCall) -> Vec<(String, u32)> {
    let number = |(field, value)| match value {
        ParamValue::Uint(number) => (field, number),
        other => panic!("{field}: {other:?}"),
    };
    params(call).into_iter().map(number).collect()
}

#[test]
fn a_thread_pool_has_one_thread_and_the_numbers_that_were_set() {
    let pool = |server: &str| uints(AdminCall::GetThreadPool { server: server.into(), flags: 0 });
    let want = [
        ("minWorkers", 5),
        ("maxWorkers", 20),
        ("nWorkers", 1),
        ("freeWorkers", 1),
        ("prioWorkers", 5),
        ("jobQueueDepth", 0),
    ];
    assert_eq!(pool(MAIN), owned(want));
    let want = [
        ("minWorkers", 5),
        ("maxWorkers", 20),
        ("nWorkers", 1),
        ("freeWorkers", 0),
        ("prioWorkers", 0),
        ("jobQueueDepth", 0),
    ];
    assert_eq!(pool("admin"), owned(want));
}

/// The result of setting `params` on a main server with these workers.
fn set_workers(old: Workers, params: &[TypedParam]) -> Result<Workers, String> {
    let (server, params) = (MAIN.to_owned(), params.to_vec());
    let call = AdminCall::SetThreadPool { server, params, flags: 0 };
    let world = |_| {
        let limits = ServerLimits { workers: old, ..settings(ServerName::Main) };
        Answer::Server(ServerStatus { limits, client_count: 0, anonymous_count: 0 })
    };
    match outcome(&call, world) {
        Outcome::Order(Order::SetWorkers { server: ServerName::Main, workers }) => Ok(workers),
        Outcome::Done(Err(err)) => {
            Err(format!("{}/{} {err}", err.code() as i32, err.domain() as i32))
        }
        other => panic!("{other:?}"),
    }
}

fn workers(count_min: u32, count_max: u32, priority_count: u32) -> Workers {
    Workers { count_min, count_max, priority_count }
}

#[test]
fn workers_are_kept_as_they_are_set() {
    let old = workers(5, 20, 5);
    let cases = [
        (old, vec![], old),
        (old, vec![uint("minWorkers", 20)], workers(20, 20, 5)),
        (old, vec![uint("maxWorkers", 5)], workers(5, 5, 5)),
        (old, vec![uint("minWorkers", 0)], workers(0, 20, 5)),
        (old, vec![uint("prioWorkers", 0)], workers(5, 20, 0)),
        (old, vec![uint("prioWorkers", u32::MAX)], workers(5, 20, u32::MAX)),
        (old, vec![uint("maxWorkers", u32::MAX)], workers(5, u32::MAX, 5)),
        (old, vec![uint("minWorkers", 30), uint("maxWorkers", 40)], workers(30, 40, 5)),
        (old, vec![uint("maxWorkers", 2), uint("minWorkers", 1)], workers(1, 2, 5)),
        (workers(0, 0, 5), vec![uint("maxWorkers", 0)], workers(0, 0, 5)),
    ];
    for (old, params, want) in cases {
        assert_eq!(set_workers(old, &params), Ok(want), "{params:?}");
    }
}

#[test]
fn workers_that_do_not_fit_are_refused() {
    let min = "8/0 invalid argument: minWorkers cannot be larger than maxWorkers";
    let zero = "8/0 invalid argument: maxWorkers must not be switched \
        from zero to non-zero and vice versa";
    let old = workers(5, 20, 5);
    let cases = [
        (old, vec![uint("minWorkers", 21)], min),
        (old, vec![uint("maxWorkers", 4)], min),
        (old, vec![uint("maxWorkers", 0)], min),
        (old, vec![uint("minWorkers", 0), uint("maxWorkers", 0)], zero),
        (workers(0, 0, 5), vec![uint("minWorkers", 1)], min),
        (workers(0, 0, 5), vec![uint("maxWorkers", 1)], zero),
    ];
    for (old, params, want) in cases {
        assert_eq!(set_workers(old, &params), Err(want.to_owned()), "{params:?}");
    }
}

#[test]
fn parameters_are_checked_before_what_they_say() {
    let error = |params: Vec<TypedParam>, limits: Vec<TypedParam>, want: &str| {
        let server = || MAIN.to_owned();
        let call = AdminCall::SetThreadPool { server: server(), params, flags: 0 };
        assert_eq!(error(&call), want);
        let call = AdminCall::SetClientLimits { server: server(), params: limits, flags: 0 };
        assert_eq!(error(&call), want.replace("minWorkers", "nclients_max"));
    };
    let unsupported =
        |field: &str| format!("74/0 argument unsupported: parameter '{field}' not supported");
    for field in ["zz", "nWorkers", "freeWorkers", "jobQueueDepth", "nclients", "nclients_unauth"] {
        error(vec![uint(field, 1)], vec![uint(field, 1)], &unsupported(field));
    }
    let repeated = "8/0 invalid argument: parameter 'minWorkers' occurs multiple times";
    let wrong_type = "8/0 invalid argument: \
        invalid type 'int' for parameter 'minWorkers', expected 'uint'";
    let (min, max) = (|| uint("minWorkers", 99), || uint("nclients_max", 1));
    error(vec![min(), min()], vec![max(), max()], repeated);
    error(vec![int("minWorkers")], vec![int("nclients_max")], wrong_type);
    let twice = |field| vec![int(field), int(field)];
    error(twice("minWorkers"), twice("nclients_max"), wrong_type);
    error(vec![min(), int("aa")], vec![max(), int("aa")], &unsupported("aa"));
    let long = "z".repeat(80);
    let want = format!("1/0 internal error: parameter {long} too big for destination");
    error(vec![int("aa"), int(&long)], vec![int("aa"), int(&long)], &want);
}

#[test]
fn a_name_that_is_too_long_comes_before_flags() {
    let (long, flags) = ("z".repeat(80), 1);
    let want = format!("1/0 internal error: parameter {long} too big for destination");
    let (server, params) = (|| MAIN.to_owned(), || vec![int(&long)]);
    let call = AdminCall::SetThreadPool { server: server(), params: params(), flags };
    assert_eq!(error(&call), want);
    let call = AdminCall::SetClientLimits { server: server(), params: params(), flags };
    assert_eq!(error(&call), want);
}

#[test]
fn limits_of_clients_are_told_with_what_is_used_of_them() {
    let limits =
        |server: &str| uints(AdminCall::GetClientLimits { server: server.into(), flags: 0 });
    let main = [
        ("nclients_max", 5000),
        ("nclients", 2),
        ("nclients_unauth_max", 20),
        ("nclients_unauth", 1),
    ];
    assert_eq!(limits(MAIN), owned(main));
    let admin = [
        ("nclients_max", 5000),
        ("nclients", 2),
        ("nclients_unauth_max", 0),
        ("nclients_unauth", 1),
    ];
    assert_eq!(limits("admin"), owned(admin));
}

#[test]
fn limits_of_clients_are_set_if_the_overall_one_is_no_less() {
    let set = |server: &str, params: &[TypedParam]| {
        let (server, params) = (server.to_owned(), params.to_vec());
        outcome(&AdminCall::SetClientLimits { server, params, flags: 0 }, world)
    };
    let (max, unauth) = (|n| uint("nclients_max", n), |n| uint("nclients_unauth_max", n));
    let accepted = [
        (MAIN, vec![], 5000, 20),
        (MAIN, vec![max(20)], 20, 20),
        (MAIN, vec![unauth(5000)], 5000, 5000),
        (MAIN, vec![unauth(0)], 5000, 0),
        (MAIN, vec![max(0), unauth(0)], 0, 0),
        (MAIN, vec![unauth(u32::MAX), max(u32::MAX)], u32::MAX, u32::MAX),
        ("admin", vec![max(0)], 0, 0),
    ];
    for (name, params, client_count_max, anonymous_count_max) in accepted {
        let server = ServerName::find(name).unwrap();
        let want = Order::SetClientLimits { server, client_count_max, anonymous_count_max };
        assert_eq!(set(name, &params), Outcome::Order(want), "{params:?}");
    }
    let want = "8/7 invalid argument: The overall maximum number of clients must not be less \
        than the number of clients waiting for authentication";
    for params in [vec![max(19)], vec![unauth(5001)], vec![max(10), unauth(11)]] {
        let server = MAIN.to_owned();
        assert_eq!(error(&AdminCall::SetClientLimits { server, params, flags: 0 }), want);
    }
}

#[test]
fn tls_files_cannot_be_updated() {
    for server in [MAIN, "admin"] {
        let want = "1/7 internal error: no tls service found, unable to update tls files";
        let call = AdminCall::UpdateTlsFiles { server: server.to_owned(), flags: 0 };
        assert_eq!(error(&call), want);
    }
}
