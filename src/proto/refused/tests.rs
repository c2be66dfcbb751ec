// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of every procedure's refusal, against the classes of libvirt's daemon.
//!
//! The classes are lists of numbers, independent of the table's rows, so that a lost or moved row
//! is noticed. Texts and the order of checks were observed on libvirtd 9.0.0.

use super::api::{LXC, QEMU, REMOTE};
use super::*;
use crate::auth;
use crate::model::client::Access;
use crate::proto::Call;

/// The state of a client's CONNECT_OPEN.
type Opened = Option<Access>;

const UNOPENED: Opened = None;
const READ_ONLY: Opened = Some(Access::ReadOnly);
const READ_WRITE: Opened = Some(Access::ReadWrite);

const IMPLEMENTED: &[RangeInclusive<i32>] = &[
    1..=3,
    59..=60,
    66..=70,
    110..=110,
    126..=134,
    137..=138,
    149..=149,
    156..=157,
    220..=222,
    284..=284,
    360..=361,
    419..=419,
];

const EVENTS: &[RangeInclusive<i32>] = &[
    107..=107,
    169..=173,
    195..=195,
    224..=224,
    241..=241,
    248..=248,
    268..=270,
    276..=276,
    292..=292,
    311..=311,
    315..=315,
    318..=333,
    339..=339,
    346..=346,
    348..=348,
    354..=354,
    359..=359,
    362..=363,
    367..=367,
    370..=370,
    373..=373,
    376..=377,
    379..=379,
    382..=383,
    385..=385,
    423..=423,
    438..=438,
    446..=446,
];

/// Procedures whose API belongs to another part of libvirt than domains.
const NODE_DEVICES: &[RangeInclusive<i32>] = &[118..=120, 301..=301];
const SNAPSHOTS: &[RangeInclusive<i32>] = &[185..=193, 244..=244, 246..=247, 271..=272, 274..=275];
const CHECKPOINTS: &[RangeInclusive<i32>] = &[411..=417];

/// Procedures with an error about arguments that are all zero.
const COMPLAINING: &[i32] = &[
    20, 26, 30, 31, 32, 57, 58, 63, 101, 103, 109, 162, 194, 197, 199, 204, 205, 217, 219, 223,
    225, 226, 230, 252, 254, 256, 279, 280, 288, 295, 340, 347, 352, 356, 357, 358, 366, 394, 402,
    439,
];

/// Procedures with an answer of their own.
const SPECIAL: &[i32] = &[106, 159, 168, 249, 317, 343, 443];

const ZEROES: &[u8] = &[0; 256];
const DOMAIN: &[u8] = b"\0\0\0\x01d\0\0\0uuid-of-16-bytes\xff\xff\xff\xff";
const ONE: &[u8] = b"\0\0\0\x01";
const ZERO: &[u8] = b"\0\0\0\0";
const HYPER: &[u8] = b"\0\0\0\x01\0\0\0\0";
const TEXT: &[u8] = b"\0\0\0\x01a\0\0\0";
const OPTION: &[u8] = b"\0\0\0\x01\0\0\0\x01a\0\0\0";
const TEXTS: &[u8] = b"\0\0\0\x01\0\0\0\0";
const WORDS: &[u8] = b"\0\0\0\x01\0\0\0\x04";
const HYPERS: &[u8] = b"\0\0\0\x01\0\0\0\0\0\0\0\x04";
const PARAMS: &[u8] = b"\0\0\0\x02\0\0\0\x01a\0\0\0\0\0\0\x02\0\0\0\x05\
    \0\0\0\x01b\0\0\0\0\0\0\x07\0\0\0\x01v\0\0\0";

fn holds(ranges: &[RangeInclusive<i32>], procedure: i32) -> bool {
    ranges.iter().any(|range| range.contains(&procedure))
}

fn count(ranges: &[RangeInclusive<i32>]) -> usize {
    (1..=448).filter(|procedure| holds(ranges, *procedure)).count()
}

/// The reply to a client with this connection.
fn answer(refusal: Option<Refusal>, opened: Opened, payload: &[u8]) -> Result<Reply, CallError> {
    let call = refusal.unwrap().judge(payload)?;
    auth::check(opened, &Call::Refused(call.clone()))?;
    call.answer
}

fn error(refusal: Option<Refusal>, opened: Opened, payload: &[u8]) -> CallError {
    answer(refusal, opened, payload).unwrap_err()
}

fn text(refusal: Option<Refusal>, opened: Opened, payload: &[u8]) -> String {
    let error = error(refusal, opened, payload);
    format!("{}/{} {error}", error.code() as i32, error.domain() as i32)
}

/// Arguments that libvirt accepts, for each row that checks some.
fn sane_arguments(procedure: i32) -> Vec<u8> {
    let d = DOMAIN;
    let parts: &[&[u8]] = match procedure {
        20 => &[d, ONE, ZERO],
        26 => &[d, ZERO, TEXT],
        30 | 31 => &[d, HYPER],
        32 | 57 => &[d, ONE],
        58 => &[d, PARAMS],
        63 => &[TEXT, TEXT, TEXT, HYPER],
        101 => &[ZERO, ONE],
        103 => &[d, TEXT, HYPER, ONE, ZERO],
        109 => &[TEXT, TEXT, TEXT, HYPER, ZERO],
        162 => &[TEXTS, ZERO],
        194 => &[d, TEXT, ZERO],
        197 | 205 | 219 | 254 | 366 | 439 => &[d, PARAMS, ZERO],
        199 | 223 | 280 | 356 => &[d, ONE, ZERO],
        204 => &[d, HYPER, ZERO],
        217 => &[TEXT, TEXT, OPTION, ZERO, HYPER, ZERO],
        225 | 352 => &[d, ZERO, TEXT, ZERO],
        226 => &[d, ZERO, ZERO, WORDS, ZERO],
        230 => &[d, ONE, ONE, ZERO],
        252 | 256 => &[d, TEXT, PARAMS, ZERO],
        279 => &[d, TEXT, ZERO],
        288 => &[PARAMS, ZERO],
        295 => &[d, HYPER, ZERO, ZERO],
        340 => &[WORDS, ZERO, ONE, ZERO],
        347 => &[WORDS, HYPERS, ZERO, ONE, ZERO],
        357 => &[d, OPTION, OPTION, ZERO],
        358 => &[d, OPTION, ZERO],
        394 => &[ZERO, OPTION, ZERO, ZERO, TEXTS, ZERO],
        402 => &[d, ZERO, PARAMS, ZERO],
        _ => panic!("{procedure}: no arguments known"),
    };
    parts.concat()
}

#[test]
fn every_number_is_implemented_or_refused_or_an_event() {
    for procedure in 1..=448 {
        let known =
            [holds(IMPLEMENTED, procedure), holds(EVENTS, procedure), remote(procedure).is_some()];
        let known = known.into_iter().filter(|known| *known).count();
        assert_eq!(known, 1, "{procedure}");
    }
    for unknown in [i32::MIN, -1, 0, 449, 453, i32::MAX] {
        assert!(remote(unknown).is_none(), "{unknown}");
    }
    let counts = [IMPLEMENTED, EVENTS, OTHER_DRIVERS, NODE_DEVICES, SNAPSHOTS, CHECKPOINTS];
    assert_eq!(counts.map(count), [32, 52, 125, 4, 16, 7]);
    assert_eq!((COMPLAINING.len(), SPECIAL.len()), (40, 7));
    assert_eq!(REMOTE.len(), 448 - 32 - 52 - 125 - ["106", "168", "317"].len());
}

#[test]
fn rows_are_sorted_by_number_and_name_an_api_once() {
    for table in [REMOTE, QEMU, LXC] {
        assert!(table.is_sorted_by(|a, b| a.procedure < b.procedure));
        assert!(table.iter().all(|api| api.name.starts_with("vir")));
    }
    let mut names: Vec<&str> = REMOTE.iter().map(|api| api.name).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    let registers = "virConnectDomainEventRegisterAny";
    assert_eq!(twice, [[registers, registers], [registers, registers]]);
}

#[test]
fn zeroed_arguments_are_answered_by_class() {
    for procedure in (1..=448).filter(|procedure| remote(*procedure).is_some()) {
        if SPECIAL.contains(&procedure) {
            continue;
        }
        let error = error(remote(procedure), READ_WRITE, ZEROES);
        let want = if holds(OTHER_DRIVERS, procedure) {
            (ErrorCode::Internal, Domain::Rpc)
        } else if holds(NODE_DEVICES, procedure) {
            (ErrorCode::NoSupport, Domain::Nodedev)
        } else if holds(SNAPSHOTS, procedure) {
            (ErrorCode::NoSupport, Domain::DomainSnapshot)
        } else if holds(CHECKPOINTS, procedure) {
            (ErrorCode::NoSupport, Domain::DomainCheckpoint)
        } else if COMPLAINING.contains(&procedure) {
            (ErrorCode::InvalidArg, Domain::Dom)
        } else {
            (ErrorCode::NoSupport, Domain::Dom)
        };
        assert_eq!((error.code(), error.domain()), want, "{procedure}");
    }
}

#[test]
fn nothing_is_served_before_the_connection_is_open() {
    for procedure in (1..=448).filter(|procedure| remote(*procedure).is_some()) {
        let want = if holds(OTHER_DRIVERS, procedure) {
            "1/7 internal error: connection not open"
        } else {
            "1/7 internal error: hypervisor connection not open"
        };
        assert_eq!(text(remote(procedure), UNOPENED, ZEROES), want, "{procedure}");
    }
    let want = "1/7 internal error: hypervisor connection not open";
    for procedure in [1, 2, 3, 4, 5, 7] {
        assert_eq!(text(qemu(procedure), UNOPENED, ZEROES), want, "qemu {procedure}");
    }
    assert_eq!(text(lxc(1), UNOPENED, ZEROES), want);
}

#[test]
fn sane_arguments_find_no_driver() {
    for procedure in COMPLAINING {
        let arguments = sane_arguments(*procedure);
        let error = error(remote(*procedure), READ_WRITE, &arguments);
        assert_eq!(error.code(), ErrorCode::NoSupport, "{procedure}");
    }
}

#[test]
fn a_complaint_names_its_function_and_argument() {
    struct Case(i32, &'static [&'static [u8]], &'static str);
    let cases = [
        Case(20, &[DOMAIN, ZERO, ONE], "info in virDomainGetVcpus must not be NULL"),
        Case(26, &[DOMAIN, ONE, ZERO], "cpumap in virDomainPinVcpu must not be NULL"),
        Case(30, &[DOMAIN, ZERO, ZERO], "memory in virDomainSetMaxMemory must not be zero"),
        Case(63, &[ZERO; 5], "string dname in virDomainMigrateFinish must not be empty"),
        Case(101, &[ONE, ZERO], "maxCells in virNodeGetCellsFreeMemory must be greater than zero"),
        Case(
            230,
            &[DOMAIN, ONE, ZERO, ZERO],
            "cpumaps in virDomainGetVcpuPinInfo must not be NULL",
        ),
        Case(
            252,
            &[DOMAIN, TEXT, ZERO, ZERO],
            "nparams in virDomainSetBlockIoTune must be greater than zero",
        ),
        Case(340, &[WORDS, ZERO, ZERO, ZERO], "cellCount in virNodeGetFreePages must not be zero"),
        Case(
            347,
            &[WORDS, ZERO, ZERO, ONE, ZERO],
            "pageCounts in virNodeAllocPages must not be NULL",
        ),
        Case(
            357,
            &[DOMAIN, OPTION, ZERO, ZERO],
            "password in virDomainSetUserPassword must not be NULL",
        ),
        Case(358, &[DOMAIN, ZERO, ZERO], "new_name in virDomainRename must not be NULL"),
        Case(
            358,
            &[DOMAIN, ONE, ZERO, ZERO],
            "string new_name in virDomainRename must not be empty",
        ),
    ];
    for Case(procedure, arguments, message) in cases {
        let error = error(remote(procedure), READ_WRITE, &arguments.concat());
        assert_eq!(error.message(), message, "{procedure}");
        let (argument, rest) = message.split_once(" in ").unwrap();
        let function = rest.split(' ').next();
        assert_eq!(error.str1().as_deref(), function, "{procedure}");
        assert_eq!(error.str2(), argument.split(' ').next_back(), "{procedure}");
        assert_eq!(error.ints(), (0, 0), "{procedure}");
    }
}

#[test]
fn a_read_only_connection_is_told_first_or_last() {
    let denied = |api| format!("29/20 operation forbidden: read only access prevents {api}");
    assert_eq!(text(remote(27), READ_ONLY, ZEROES), denied("virDomainReboot"));
    assert_eq!(text(remote(30), READ_ONLY, ZEROES), denied("virDomainSetMaxMemory"));
    let complaint = "8/20 new_name in virDomainRename must not be NULL";
    assert_eq!(text(remote(358), READ_ONLY, ZEROES), complaint);
    assert_eq!(text(remote(358), READ_ONLY, &sane_arguments(358)), denied("virDomainRename"));
    let no_support = "3/20 this function is not supported by the connection driver: ";
    assert_eq!(text(remote(4), READ_ONLY, ZEROES), format!("{no_support}virConnectGetVersion"));
}

#[test]
fn events_can_be_neither_registered_nor_deregistered() {
    struct Case(i32, i32, &'static str);
    const NO_SUPPORT: &str = "3/20 this function is not supported by the connection driver: \
                              virConnectDomainEventRegisterAny";
    let cases = [
        Case(105, 0, NO_SUPPORT),
        Case(106, 9, "1/7 internal error: domain event 0 not registered"),
        Case(167, -1, "1/7 internal error: unsupported event ID -1"),
        Case(167, 15, NO_SUPPORT),
        Case(167, 16, "1/7 internal error: unsupported event ID 16"),
        Case(168, 15, "1/7 internal error: domain event 15 not registered"),
        Case(168, 16, "1/7 internal error: unsupported event ID 16"),
        Case(316, 26, NO_SUPPORT),
        Case(316, 27, "1/7 internal error: unsupported event ID 27"),
        Case(317, -1, "1/7 internal error: domain event callback -1 not registered"),
    ];
    for Case(procedure, number, want) in cases {
        let arguments = [&number.to_be_bytes(), ZEROES].concat();
        assert_eq!(text(remote(procedure), READ_WRITE, &arguments), want, "{procedure} {number}");
    }
}

#[test]
fn no_statistics_are_a_good_answer_to_a_client_that_asks_for_none() {
    let asked = |count: u32| [DOMAIN, &count.to_be_bytes(), ZERO].concat();
    assert_eq!(answer(remote(159), READ_ONLY, &asked(0)), Ok(Reply::EmptyList));
    let no_support =
        "3/20 this function is not supported by the connection driver: virDomainMemoryStats";
    assert_eq!(text(remote(159), READ_WRITE, &asked(1)), no_support);
    assert_eq!(text(remote(159), READ_WRITE, &asked(1_024)), no_support);
    let too_many = "1/7 internal error: maxStats > REMOTE_DOMAIN_MEMORY_STATS_MAX";
    assert_eq!(text(remote(159), READ_WRITE, &asked(1_025)), too_many);
}

#[test]
fn file_descriptors_are_not_taken() {
    let none = "1/7 internal error: No FD available at slot 0";
    assert_eq!(text(remote(249), READ_ONLY, ZEROES), none);
    let unsupported = "argument unsupported: fd passing is not supported by this connection";
    assert_eq!(text(remote(343), READ_WRITE, ZEROES), format!("74/20 {unsupported}"));
    assert_eq!(text(remote(443), READ_ONLY, ZEROES), format!("74/20 {unsupported}"));
    assert_eq!(text(qemu(7), READ_ONLY, ZEROES), format!("74/0 {unsupported}"));
    let denied = "29/20 operation forbidden: read only access prevents virDomainOpenGraphicsFD";
    assert_eq!(text(remote(343), READ_ONLY, ZEROES), denied);
}

#[test]
fn the_qemu_and_lxc_programs_are_refused_without_a_domain_of_errors() {
    let no_support = "3/0 this function is not supported by the connection driver: ";
    let with = |api: &str| format!("{no_support}{api}");
    assert_eq!(text(qemu(1), READ_WRITE, ZEROES), with("virDomainQemuMonitorCommand"));
    assert_eq!(text(qemu(2), READ_WRITE, &[ONE, ZERO].concat()), with("virDomainQemuAttach"));
    assert_eq!(text(qemu(3), READ_WRITE, ZEROES), with("virDomainQemuAgentCommand"));
    assert_eq!(text(qemu(4), READ_WRITE, ZEROES), with("virConnectDomainQemuMonitorEventRegister"));
    assert_eq!(text(lxc(1), READ_WRITE, ZEROES), with("virDomainLxcOpenNamespace"));
    let no_pid = "8/0 pid_value in virDomainQemuAttach must not be zero";
    assert_eq!(text(qemu(2), READ_ONLY, ZEROES), no_pid);
    let callback = "1/7 internal error: qemu monitor event callback 1 not registered";
    assert_eq!(text(qemu(5), READ_ONLY, ONE), callback);
    let unknown = [qemu(-1), qemu(0), qemu(6), qemu(8), lxc(0), lxc(2)];
    assert!(unknown.iter().all(Option::is_none));
}

#[test]
fn arguments_cut_short_are_undecodable_at_any_length() {
    let want = "39/7 Unable to decode message payload";
    for procedure in COMPLAINING {
        let arguments = sane_arguments(*procedure);
        for len in 0..arguments.len() {
            let got = text(remote(*procedure), UNOPENED, &arguments[..len]);
            assert_eq!(got, want, "{procedure} at {len}");
        }
    }
    for refusal in [remote(159), remote(168), remote(249), remote(316), qemu(2), qemu(5), lxc(1)] {
        assert_eq!(text(refusal, READ_WRITE, b"\0\0\0"), want, "{refusal:?}");
    }
}

#[test]
fn no_payload_is_too_short_or_too_strange_to_be_answered() {
    for procedure in 0..=449 {
        for byte in [0, 1, 0xff] {
            for len in 0..64 {
                let payload = vec![byte; len];
                for refusal in [remote(procedure), qemu(procedure), lxc(procedure)] {
                    let _ = refusal.map(|refusal| refusal.judge(&payload));
                }
            }
        }
    }
}

#[test]
fn arrays_and_texts_are_held_to_the_protocol() {
    let want = "39/7 Unable to decode message payload";
    let cpumap = |len: u32| [DOMAIN, ZERO, &len.to_be_bytes(), &[0; 2_052]].concat();
    assert_eq!(error(remote(26), READ_WRITE, &cpumap(2_048)).code(), ErrorCode::NoSupport);
    assert_eq!(text(remote(26), READ_WRITE, &cpumap(2_052)), want);
    let param = [DOMAIN, ONE, TEXT, b"\0\0\0\x08", ONE].concat();
    assert_eq!(text(remote(58), READ_WRITE, &param), want);
    let any_bytes = [DOMAIN, b"\0\0\0\x01\xff\0\0\0", ZERO].concat();
    assert_eq!(error(remote(194), READ_WRITE, &any_bytes).code(), ErrorCode::NoSupport);
    let cut = [DOMAIN, b"\0\0\0\x02\0a\0\0", ZERO].concat();
    assert_eq!(error(remote(194), READ_WRITE, &cut).code(), ErrorCode::InvalidArg);
}
