// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of [`super`]: plans for a few links, with results passed in one by one. `tests/undo.rs`
//! tests the kernel's reactions.

use std::sync::LazyLock;

use super::*;
use crate::model::address::{Family, IpPrefix, MacAddr};
use crate::model::interface::OperState;
use crate::model::name::IfName;
use crate::model::sysctl::Sysctl;
use crate::netlink::Event;
use crate::netlink::address::{Address, AddressEvent, AddressOrigin, Lifetime, Role, Scope};
use crate::netlink::link::{Link, LinkEvent, LinkIndex, LinkKind};
use crate::netlink::record::address::AddressRecord;
use crate::plan::request::{KernelRequest, LinkSpec, LinkValue, SpecKind};

static START: LazyLock<Instant> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
    Instant::now()
});

const LEASE_TIME: Duration = Duration::from_secs(7);

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn prefix(text: &str) -> IpPrefix {
    let (address, len) = text.split_once('/').unwrap();
    IpPrefix::new(address.parse().unwrap(), len.parse().unwrap()).unwrap()
}

fn set(link: &str, value: LinkValue) -> Step {
    Step::Request(KernelRequest::SetLink { link: name(link), value })
}

fn add_address(text: &str) -> Step {
    Step::Request(KernelRequest::AddAddress {
        link: name("eth0"),
        record: AddressRecord::permanent(prefix(text)),
    })
}

fn delete_address(text: &str) -> Step {
    Step::Request(KernelRequest::DeleteAddress {
        link: name("eth0"),
        record: AddressRecord::permanent(prefix(text)),
    })
}

fn planned(step: Step, undo: &[Step]) -> Planned {
    Planned { step, undo: undo.to_vec() }
}

fn job(steps: Vec<Planned>) -> Job {
    Job::new(Plan { steps, ..Plan::default() }, LEASE_TIME)
}

fn link(up: bool, carrier: bool, oper_state: OperState) -> Link {
    Link {
        index: LinkIndex(1),
        name: name("eth0"),
        up,
        mtu: 1500,
        mac: MacAddr::new(&[2, 0, 0, 0, 0, 1]),
        carrier,
        oper_state,
        master: None,
        parent: None,
        kind: LinkKind::Nic,
    }
}

fn host_with(link: Link, addresses: &[&str]) -> Host {
    let mut host = Host::default();
    host.apply(Event::Link(LinkEvent::New(link)));
    for text in addresses {
        host.apply(Event::Address(AddressEvent::New(Address {
            link: LinkIndex(1),
            prefix: prefix(text),
            peer: None,
            role: Role::Primary,
            scope: if text.starts_with("fe80") { Scope::Link } else { Scope::Global },
            lifetime: Lifetime::Finite,
            origin: AddressOrigin::Unknown,
        })));
    }
    host
}

/// A host with eth0 down.
fn host() -> Host {
    host_with(link(false, false, OperState::Down), &[])
}

fn error(errno: i32) -> StepError {
    StepError::kernel(errno, None)
}

/// Runs a job on an unchanging host: `result` returns the result of each step. Checks that the
/// announced steps follow, as long as each succeeds.
fn run(job: &mut Job, mut result: impl FnMut(&Step) -> Result<(), StepError>) -> Vec<Step> {
    let host = host();
    let mut performed = Vec::new();
    let mut upcoming: Option<Vec<Step>> = None;
    while let JobAction::Perform(step) = job.poll_action(&host, *START) {
        let rest: Vec<_> = job.upcoming().cloned().collect();
        let now = [vec![step.clone()], rest.clone()].concat();
        upcoming.inspect(|upcoming| assert_eq!(*upcoming, now));
        let result = result(&step);
        upcoming = result.is_ok().then_some(rest);
        job.handle_result(result);
        performed.push(step);
    }
    performed
}

/// Three steps: up; up; an MTU; each with its undo steps, and one that cannot be undone.
fn three_steps() -> Vec<Planned> {
    vec![
        planned(
            set("eth0", LinkValue::Up),
            &[set("eth0", LinkValue::Down), set("eth1", LinkValue::Down)],
        ),
        planned(set("eth0", LinkValue::Mtu(9000)), &[set("eth0", LinkValue::Mtu(1500))]),
        planned(set("eth0", LinkValue::NoMaster), &[]),
    ]
}

#[test]
fn steps_are_handed_out_in_order_and_an_empty_plan_is_done_at_once() {
    let mut job = job(three_steps());
    let want: Vec<_> = three_steps().into_iter().map(|planned| planned.step).collect();
    assert_eq!(run(&mut job, |_| Ok(())), want);
    assert_eq!(job.outcome(), Ok(()));
    assert_eq!(job.poll_action(&host(), *START), JobAction::Finished);
    let mut empty = super::tests::job(Vec::new());
    assert_eq!(empty.poll_action(&host(), *START), JobAction::Finished);
    assert_eq!(empty.outcome(), Ok(()));
}

#[test]
fn a_refusal_undoes_what_was_done_newest_first_each_in_its_order() {
    let mut job = job(three_steps());
    let refused = set("eth0", LinkValue::NoMaster);
    let performed =
        run(&mut job, |step| if *step == refused { Err(error(libc::EBUSY)) } else { Ok(()) });
    let undone = [
        set("eth0", LinkValue::Mtu(1500)),
        set("eth0", LinkValue::Down),
        set("eth1", LinkValue::Down),
    ];
    assert_eq!(performed.get(3..).unwrap(), undone);
    let failure = job.outcome().unwrap_err();
    assert_eq!(failure.step, refused);
    let text = "link set eth0 nomaster: Device or resource busy; the steps already done were \
                undone";
    assert_eq!(failure.to_string(), text);
}

#[test]
fn what_cannot_be_undone_is_told_and_does_not_stop_the_rest() {
    let mut job = job(three_steps());
    let performed = run(&mut job, |step| match step {
        step if *step == set("eth0", LinkValue::NoMaster) => {
            Err(StepError::kernel(libc::EINVAL, Some("not today")))
        }
        step if *step == set("eth0", LinkValue::Mtu(1500)) => Err(error(libc::ERANGE)),
        step if *step == set("eth0", LinkValue::Down) => Err(error(libc::EPERM)),
        _ => Ok(()),
    });
    assert_eq!(performed.len(), 6);
    let text = "link set eth0 nomaster: Invalid argument (not today); these steps could not be \
                undone: link set eth0 mtu 1500: Numerical result out of range; link set eth0 down: \
                Operation not permitted";
    assert_eq!(job.outcome().unwrap_err().to_string(), text);
}

#[test]
fn the_first_step_that_is_refused_has_changed_nothing() {
    let mut job = job(three_steps());
    assert_eq!(run(&mut job, |_| Err(StepError { errno: 0, text: "no".to_owned() })).len(), 1);
    let text = "link set eth0 up: no; nothing has been changed";
    assert_eq!(job.outcome().unwrap_err().to_string(), text);
}

#[test]
fn refusals_that_say_that_it_is_done_are_none() {
    struct Case(&'static str, Step, i32, bool);
    let gone = Step::Request(KernelRequest::DeleteLink(name("br0")));
    let cases = [
        Case("the address is there", add_address("192.0.2.1/24"), libc::EEXIST, true),
        Case("the address cannot be", add_address("192.0.2.1/24"), libc::EACCES, false),
        Case("the address has gone", delete_address("192.0.2.1/24"), libc::EADDRNOTAVAIL, true),
        Case("the address is busy", delete_address("192.0.2.1/24"), libc::EBUSY, false),
        Case("the link has gone", gone.clone(), libc::ENODEV, true),
        Case("the link is busy", gone, libc::EBUSY, false),
        Case("the link to be set has gone", set("eth0", LinkValue::Up), libc::ENODEV, false),
    ];
    for Case(label, step, errno, want) in cases {
        // The table has the link that is deleted, or that would end the step.
        let mut job = job(vec![planned(step, &[])]);
        let host = host_with(Link { name: name("br0"), ..link(true, true, OperState::Up) }, &[]);
        assert!(matches!(job.poll_action(&host, *START), JobAction::Perform(_)), "{label}");
        job.handle_result(Err(error(errno)));
        assert_eq!(job.poll_action(&host, *START), JobAction::Finished, "{label}");
        assert_eq!(job.outcome().is_ok(), want, "{label}");
    }
}

#[test]
fn what_was_there_before_is_not_undone_and_what_has_gone_comes_back() {
    let mut job = job(vec![
        planned(add_address("192.0.2.1/24"), &[delete_address("192.0.2.1/24")]),
        planned(delete_address("192.0.2.2/24"), &[add_address("192.0.2.2/24")]),
        planned(set("eth0", LinkValue::Up), &[]),
    ]);
    let performed = run(&mut job, |step| match step {
        step if *step == add_address("192.0.2.1/24") => Err(error(libc::EEXIST)),
        step if *step == delete_address("192.0.2.2/24") => Err(error(libc::EADDRNOTAVAIL)),
        step if *step == set("eth0", LinkValue::Up) => Err(error(libc::EPERM)),
        _ => Ok(()),
    });
    assert_eq!(performed.get(3..).unwrap(), [add_address("192.0.2.2/24")]);
    assert_eq!(job.outcome().unwrap_err().remains, []);
}

#[test]
fn a_link_that_has_gone_leaves_nothing_to_undo() {
    let mut job = job(three_steps());
    let performed = run(&mut job, |step| match step {
        step if *step == set("eth0", LinkValue::NoMaster) => Err(error(libc::ENODEV)),
        step if *step == set("eth0", LinkValue::Mtu(1500)) => Err(error(libc::ENODEV)),
        _ => Ok(()),
    });
    assert_eq!(performed.len(), 6);
    assert_eq!(job.outcome().unwrap_err().remains, []);
}

#[test]
fn the_table_tells_of_a_deletion_before_the_kernel_answers() {
    let gone = host();
    let there = host_with(Link { name: name("br0"), ..link(true, true, OperState::Up) }, &[]);
    let mut job = job(vec![
        planned(Step::Request(KernelRequest::DeleteLink(name("br0"))), &[]),
        planned(set("eth0", LinkValue::Up), &[]),
    ]);
    assert_eq!(
        job.poll_action(&there, *START),
        JobAction::Perform(Step::Request(KernelRequest::DeleteLink(name("br0"))))
    );
    let deadline = Some(*START + LINK_GONE_TIME_MAX);
    assert_eq!(job.poll_action(&there, *START), JobAction::Wait { deadline, link: None });
    assert_eq!(job.poll_action(&gone, *START), JobAction::Perform(set("eth0", LinkValue::Up)));
    job.handle_result(Ok(()));
    assert_eq!(job.poll_action(&gone, *START), JobAction::Finished);
    // The answer to the deletion.
    job.handle_result(Err(error(libc::ENODEV)));
    assert_eq!(job.outcome(), Ok(()));
}

#[test]
fn a_wait_ends_with_its_condition_or_at_its_limit_and_fails_if_it_must() {
    struct Case(&'static str, Condition, Duration, bool);
    let leased = Condition::Leased {
        link: name("eth0"),
        family: Family::Ipv4,
        besides: vec![prefix("192.0.2.1/24")],
    };
    let cases = [
        Case("settled", Condition::Up(name("eth0")), SETTLE_TIME_MAX, true),
        Case("carries", Condition::Carries(name("eth0")), SETTLE_TIME_MAX, true),
        Case("gone", Condition::Gone(name("eth0")), LINK_GONE_TIME_MAX, false),
        Case("leased", leased, LEASE_TIME, false),
    ];
    let ms = Duration::from_millis(1);
    for Case(label, condition, patience, want) in cases {
        let host = host_with(link(true, true, OperState::Down), &["192.0.2.1/24"]);
        let settling = condition.settling();
        let mut job = job(vec![planned(Step::WaitFor(condition), &[])]);
        let wait = JobAction::Wait { deadline: Some(*START + patience), link: settling };
        assert_eq!(job.poll_action(&host, *START), wait, "{label}");
        assert_eq!(job.poll_action(&host, *START + patience - ms), wait, "{label}: not yet");
        assert_eq!(job.poll_action(&host, *START + patience), JobAction::Finished, "{label}");
        assert_eq!(job.outcome().is_ok(), want, "{label}");
        if let Err(failure) = job.outcome() {
            assert_eq!(failure.error, error(libc::ETIMEDOUT), "{label}");
        }
    }
}

#[test]
fn what_is_down_settles_too() {
    let mut job = job(vec![planned(Step::WaitFor(Condition::Down(name("eth0"))), &[])]);
    let up = host_with(link(true, true, OperState::Up), &[]);
    let deadline = Some(*START + SETTLE_TIME_MAX);
    assert_eq!(job.poll_action(&up, *START), JobAction::Wait { deadline, link: None });
    assert_eq!(job.poll_action(&host(), *START), JobAction::Finished);
}

#[test]
fn an_abort_within_a_step_counts_from_the_next_one_on() {
    let up = set("eth0", LinkValue::Up);
    let mtu = set("eth0", LinkValue::Mtu(1400));
    let steps =
        vec![planned(up.clone(), &[set("eth0", LinkValue::Down)]), planned(mtu.clone(), &[])];
    let mut job = job(steps);
    assert_eq!(job.poll_action(&host(), *START), JobAction::Perform(up));
    job.abort(StepError { errno: libc::ECANCELED, text: "the daemon is stopping".to_owned() });
    job.handle_result(Ok(()));
    let down = JobAction::Perform(set("eth0", LinkValue::Down));
    assert_eq!(job.poll_action(&host(), *START), down);
    job.handle_result(Ok(()));
    assert_eq!(job.poll_action(&host(), *START), JobAction::Finished);
    let text = format!("{mtu}: the daemon is stopping; the steps already done were undone");
    assert_eq!(job.outcome().unwrap_err().to_string(), text);
}

#[test]
fn what_ends_with_the_step_that_is_aborted_is_done() {
    let up = set("eth0", LinkValue::Up);
    let mut job = job(vec![planned(up.clone(), &[])]);
    assert_eq!(job.poll_action(&host(), *START), JobAction::Perform(up));
    job.abort(StepError::kernel(libc::ECANCELED, None));
    job.handle_result(Ok(()));
    assert_eq!(job.poll_action(&host(), *START), JobAction::Finished);
    assert_eq!(job.outcome(), Ok(()));
}

#[test]
fn a_lease_for_a_link_that_is_no_more_is_not_waited_for() {
    let condition =
        Condition::Leased { link: name("eth0"), family: Family::Ipv4, besides: Vec::new() };
    let mut job = job(vec![planned(Step::WaitFor(condition), &[])]);
    let there = host_with(link(true, true, OperState::Up), &[]);
    assert!(matches!(job.poll_action(&there, *START), JobAction::Wait { .. }));
    assert_eq!(job.poll_action(&Host::default(), *START), JobAction::Finished);
    assert_eq!(job.outcome().unwrap_err().error, error(libc::ENODEV));
}

#[test]
fn a_job_is_aborted_where_it_waits() {
    let wait = Step::WaitFor(Condition::Gone(name("eth0")));
    let up = set("eth0", LinkValue::Up);
    let steps =
        vec![planned(up.clone(), &[set("eth0", LinkValue::Down)]), planned(wait.clone(), &[])];
    let mut job = job(steps);
    let why = || StepError { errno: libc::ECANCELED, text: "the daemon is stopping".to_owned() };
    assert_eq!(job.poll_action(&host(), *START), JobAction::Perform(up));
    job.handle_result(Ok(()));
    assert!(matches!(job.poll_action(&host(), *START), JobAction::Wait { .. }));
    job.abort(why());
    let down = JobAction::Perform(set("eth0", LinkValue::Down));
    assert_eq!(job.poll_action(&host(), *START), down);
    // A second abort has no effect.
    job.abort(why());
    job.handle_result(Ok(()));
    assert_eq!(job.poll_action(&host(), *START), JobAction::Finished);
    let text = format!("{wait}: the daemon is stopping; the steps already done were undone");
    assert_eq!(job.outcome().unwrap_err().to_string(), text);
}

#[test]
fn conditions_hold_when_the_table_says_so() {
    struct Case(&'static str, Condition, Host, bool);
    let eth0 = || name("eth0");
    let leased = |besides: &[&str]| Condition::Leased {
        link: eth0(),
        family: Family::Ipv4,
        besides: besides.iter().map(|text| prefix(text)).collect(),
    };
    let at = |addresses: &[&str]| host_with(link(true, true, OperState::Up), addresses);
    let state = |up, carrier, state| host_with(link(up, carrier, state), &[]);
    let cases = [
        Case("up", Condition::Up(eth0()), at(&[]), true),
        Case(
            "up, of unknown state",
            Condition::Up(eth0()),
            state(true, true, OperState::Unknown),
            true,
        ),
        Case("up, no carrier", Condition::Up(eth0()), state(true, false, OperState::Down), true),
        Case("up, lags", Condition::Up(eth0()), state(true, true, OperState::Down), false),
        Case(
            "up, lags below",
            Condition::Up(eth0()),
            state(true, true, OperState::LowerLayerDown),
            false,
        ),
        Case("up, is down", Condition::Up(eth0()), host(), false),
        Case("up, no link", Condition::Up(name("eth1")), host(), false),
        Case("carries", Condition::Carries(eth0()), at(&[]), true),
        Case(
            "carries, no carrier",
            Condition::Carries(eth0()),
            state(true, false, OperState::Down),
            false,
        ),
        Case(
            "carries, lags",
            Condition::Carries(eth0()),
            state(true, true, OperState::Down),
            false,
        ),
        Case("down", Condition::Down(eth0()), host(), true),
        Case("down, no link", Condition::Down(name("eth1")), host(), true),
        Case("down, is up", Condition::Down(eth0()), at(&[]), false),
        Case("gone", Condition::Gone(name("eth1")), host(), true),
        Case("gone, is there", Condition::Gone(eth0()), host(), false),
        Case("leased", leased(&[]), at(&["192.0.2.1/24"]), true),
        Case(
            "leased, besides",
            leased(&["192.0.2.1/24"]),
            at(&["192.0.2.1/24", "192.0.2.2/24"]),
            true,
        ),
        Case("leased, none but those", leased(&["192.0.2.1/24"]), at(&["192.0.2.1/24"]), false),
        Case("leased, another family", leased(&[]), at(&["2001:db8::1/64", "fe80::1/64"]), false),
        Case("leased, no link", leased(&[]), Host::default(), false),
    ];
    for Case(label, condition, host, want) in cases {
        assert_eq!(condition.holds(&host), want, "{label}");
    }
}

/// A bridge with two ports, one of which had an address.
fn bridge_with_ports() -> Vec<Planned> {
    let master = |port: &str| set(port, LinkValue::Master(name("br0")));
    let address = Step::Request(KernelRequest::AddAddress {
        link: name("br0"),
        record: AddressRecord::permanent(prefix("192.0.2.2/24")),
    });
    let spec = SpecKind::Bridge { stp: None, delay: None };
    let made = LinkSpec { name: name("br0"), mac: None, kind: spec };
    vec![
        planned(
            Step::Request(KernelRequest::AddLink(made)),
            &[Step::Request(KernelRequest::DeleteLink(name("br0")))],
        ),
        planned(set("br0", LinkValue::Up), &[set("br0", LinkValue::Down)]),
        planned(address, &[]),
        planned(set("eth0", LinkValue::Mtu(1400)), &[set("eth0", LinkValue::Mtu(1500))]),
        planned(master("eth0"), &[set("eth0", LinkValue::NoMaster)]),
        planned(master("eth1"), &[set("eth1", LinkValue::NoMaster)]),
        planned(delete_address("192.0.2.2/24"), &[add_address("192.0.2.2/24")]),
    ]
}

#[test]
fn a_lenient_job_leaves_out_what_needs_the_step_that_was_refused() {
    let texts = |steps: &[Step]| steps.iter().map(Step::to_string).collect::<Vec<_>>();
    struct Case(&'static str, &'static [usize], &'static [&'static str]);
    let cases = [
        Case("nothing", &[], &[]),
        Case("an address costs itself", &[2], &[]),
        Case("an MTU costs itself", &[3], &[]),
        Case(
            "a port that is refused is as before",
            &[4],
            &["link set eth0 mtu 1500", "link set eth1 master br0"],
        ),
        Case(
            "a bridge that cannot be made leaves its ports alone",
            &[0, 4, 5],
            &["link set eth0 mtu 1400", "link set eth0 master br0", "link set eth0 mtu 1500"],
        ),
    ];
    for Case(label, refused, instead) in cases {
        let steps: Vec<_> = bridge_with_ports().into_iter().map(|planned| planned.step).collect();
        let refused: Vec<_> = refused.iter().map(|at| steps[*at].clone()).collect();
        let mut job = Job::lenient(Plan { steps: bridge_with_ports(), ..Plan::default() });
        let done = run(&mut job, |step| match refused.contains(step) {
            true => Err(error(libc::EINVAL)),
            false => Ok(()),
        });
        let told: Vec<_> = job.refused().iter().map(|(step, _)| step.clone()).collect();
        assert_eq!(told, refused, "{label}");
        assert_eq!(job.outcome(), Ok(()), "{label}");
        if instead.is_empty() {
            assert_eq!(done, steps, "{label}");
        } else {
            let said = texts(&done);
            assert!(
                instead.iter().all(|step| said.contains(&(*step).to_owned())),
                "{label}: {said:?}"
            );
            assert!(!done.contains(&delete_address("192.0.2.2/24")), "{label}");
        }
    }
}

/// An attribute that a definition cannot express must not fail a change.
#[test]
fn a_courtesy_that_is_refused_costs_nothing_else() {
    let sysctl = |sysctl| Step::SetSysctl { link: name("eth0"), sysctl, value: 2 };
    let steps = [sysctl(Sysctl::ipv4("rp_filter")), add_address("192.0.2.1/24")];
    let mut job = job(steps.iter().map(|step| planned(step.clone(), &[])).collect());
    let host = Host::default();
    let refused = || Err(StepError::kernel(libc::EINVAL, None));
    assert_eq!(job.poll_action(&host, *START), JobAction::Perform(steps[0].clone()));
    job.handle_result(refused());
    assert_eq!(job.poll_action(&host, *START), JobAction::Perform(steps[1].clone()));
    job.handle_result(Ok(()));
    assert_eq!(job.poll_action(&host, *START), JobAction::Finished);
    assert_eq!(job.outcome(), Ok(()));
    assert_eq!(job.refused(), [(steps[0].clone(), StepError::kernel(libc::EINVAL, None))]);
    // A sysctl that a definition sets is required.
    let mut job = self::job(vec![planned(sysctl(Sysctl::DISABLE_IPV6), &[])]);
    job.poll_action(&host, *START);
    job.handle_result(refused());
    assert_eq!(job.poll_action(&host, *START), JobAction::Finished);
    assert!(job.outcome().is_err());
}
