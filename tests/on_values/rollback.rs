// SPDX-License-Identifier: LGPL-2.1-or-later
//! Rollbacks between hosts that are written as texts.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use simulation::value_kernel::ValueKernel;
use virtinterfaced::change::job::StepError;
use virtinterfaced::change::rollback::{
    Observed, Remains, Rollback, RollbackParts, RoundResult, RoundScope,
};
use virtinterfaced::definitions::files::FilePath;
use virtinterfaced::error::HostError;
use virtinterfaced::host::record::HostRecord;
use virtinterfaced::model::name::IfName;
use virtinterfaced::plan::step::Step;
use virtinterfaced::snapshot::files::{Files, KeptFile, KeptFiles};
use virtinterfaced::snapshot::{Moment, Network, Opening, Snapshot};

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn moment(boot: &str, seconds: u64) -> Moment {
    Moment { boot: boot.to_owned(), since_boot: Duration::from_secs(seconds) }
}

/// Begun in the boot `one`.
fn snapshot() -> Snapshot {
    let opening = Opening { boot: "one".to_owned(), ..Opening::default() };
    Snapshot { opening, ..Snapshot::default() }
}

/// Compares the whole host at once.
fn compare(
    rollback: &mut Rollback,
    observed: Observed,
    refused: &[(Step, StepError)],
) -> RoundResult {
    rollback.begin_round(observed);
    loop {
        if let Some(result) = rollback.poll_next(refused, usize::MAX) {
            return result;
        }
    }
}

fn kernel(text: &str) -> ValueKernel {
    text.parse().unwrap()
}

const ALL: RollbackParts = RollbackParts { network: true, files: true };

/// A rollback that starts twenty seconds after the boot `boot`.
fn rollback_to(snapshot: Snapshot, boot: &str) -> Rollback {
    Rollback::new(Rc::new(snapshot), ALL, &moment(boot, 20))
}

/// A rollback to the network of `then`.
fn to(then: &ValueKernel) -> Rollback {
    let network = Network::new(then.record(), &BTreeSet::new(), Vec::new());
    rollback_to(Snapshot { network: Some(network), ..snapshot() }, "one")
}

fn observed(record: HostRecord) -> Observed {
    let (files, leases) = (Ok(Files::default()), Vec::new());
    Observed { files, record, leases, foreign: None, elapsed: Duration::ZERO }
}

fn from(now: &ValueKernel) -> Observed {
    observed(now.record())
}

fn lost(text: &str, errno: Option<i32>) -> RoundResult {
    RoundResult::GiveUp(Remains { lost: vec![text.to_owned()], errno, ..Remains::default() })
}

/// Runs the rest of a rollback; returns the plan of each round, and how it ended.
fn go(mut rollback: Rollback, now: &mut ValueKernel) -> (Vec<String>, RoundResult) {
    let (mut rounds, mut refused) = (Vec::new(), Vec::new());
    loop {
        let record = match rollback.scope() {
            RoundScope::Nothing => HostRecord::default(),
            RoundScope::Host => now.record(),
            RoundScope::Links(links) => now.record_of(links),
        };
        match compare(
            &mut rollback,
            Observed { leases: now.clients().to_vec(), ..observed(record) },
            &refused,
        ) {
            RoundResult::Do(plan) => {
                rounds.push(plan.to_string());
                #[expect(clippy::disallowed_methods, reason = "a test has no loop")]
                let start = std::time::Instant::now();
                refused = now.carry_out_what_can_be(plan, start, &mut |_| None);
            }
            end @ (RoundResult::Restored | RoundResult::GiveUp(_)) => return (rounds, end),
        }
    }
}

#[test]
fn an_unchanged_host_needs_no_round() {
    let host = kernel("link eth0 nic up");
    assert_eq!(compare(&mut to(&host), from(&host), &[]), RoundResult::Restored);
}

#[test]
fn a_link_that_is_touched_stays_what_it_was_to_those_that_are_not() {
    let then = "link br0 bridge up\nlink eth0 nic up mtu 1500 master br0\n\
        link eth1 nic up\nlink eth1.5 vlan up parent eth1 tag 5";
    let then = kernel(then);
    for (change, round) in [
        (
            "link br0 bridge up\nlink eth0 nic up mtu 1400 master br0\n\
            link eth1 nic up\nlink eth1.5 vlan up parent eth1 tag 5",
            "link   set eth0 mtu 1500\n",
        ),
        (
            "link br0 bridge up\nlink eth0 nic up mtu 1500 master br0\n\
            link eth1 nic up\nlink eth1.5 vlan up parent eth1 tag 5 mtu 1400",
            "link   set eth1.5 mtu 1500\n",
        ),
    ] {
        let mut now = kernel(change);
        assert_eq!(go(to(&then), &mut now), (vec![round.to_owned()], RoundResult::Restored));
        assert_eq!(now.to_string(), then.to_string());
    }
}

#[test]
fn links_that_change_with_a_step_are_queried_again() {
    let then =
        kernel("link eth0 nic up\nlink eth0.5 vlan up parent eth0 tag 5\naddr eth0.5 192.0.2.1/24");
    let mut now = then.clone();
    // A bond takes a released member down, and with it the VLAN.
    let added = "link bond0 bond up\nlink eth0 nic up master bond0\n\
        link eth0.5 vlan up parent eth0 tag 5\naddr eth0.5 192.0.2.1/24";
    now.clone_from(&kernel(added));
    let (rounds, end) = go(to(&then), &mut now);
    assert_eq!(end, RoundResult::Restored, "{rounds:?}");
    assert!(now.to_string().contains("link eth0.5 vlan up"), "{now}");
}

#[test]
fn a_rollback_without_progress_reports_why() {
    let then = kernel("link eth1 nic up mtu 1400\nlink eth0 nic up");
    let mut now = kernel("link eth1 nic up");
    let (rounds, end) = go(to(&then), &mut now);
    assert_eq!(rounds, ["link   set eth1 mtu 1400\n"]);
    assert_eq!(end, lost("eth0 is gone", None));
}

#[test]
fn in_another_boot_only_files_are_restored() {
    let then = kernel("link eth0 nic up");
    let network = Network::new(then.record(), &BTreeSet::from([name("eth0")]), Vec::new());
    let snapshot = Snapshot { network: Some(network), ..snapshot() };
    let mut rollback = rollback_to(snapshot, "two");
    assert_eq!(rollback.scope(), RoundScope::Nothing);
    assert_eq!(compare(&mut rollback, observed(HostRecord::default()), &[]), RoundResult::Restored);
}

/// Rolls back from one host to another; returns the plan of each round and the restored host.
fn restore(then: &str, now: &str) -> (Vec<String>, String) {
    let (then, mut now) = (kernel(then), kernel(now));
    let (rounds, end) = go(to(&then), &mut now);
    assert_eq!(end, RoundResult::Restored, "{rounds:?}");
    assert_eq!(now.to_string(), then.to_string(), "{rounds:?}");
    (rounds, now.to_string())
}

#[test]
fn an_address_has_the_form_again_that_it_had() {
    let then = "link eth0 nic up\naddr eth0 192.0.2.1/24\naddr eth0 192.0.2.2/24 secondary";
    for form in ["brd 192.0.2.255", "label eth0:1", "scope link", "flags 0x200"] {
        let now = format!(
            "link eth0 nic up\naddr eth0 192.0.2.1/24 {form}\naddr eth0 192.0.2.2/24 secondary"
        );
        let (rounds, _) = restore(then, &now);
        assert_eq!(rounds.len(), 1, "{form}: {rounds:?}");
    }
    let then = "link eth0 nic up\naddr eth0 2001:db8::1/64 origin 2";
    let now = "link eth0 nic up\naddr eth0 2001:db8::1/64 flags 0x200";
    let (rounds, _) = restore(then, now);
    assert_eq!(rounds, ["addr   change 2001:db8::1/64 dev eth0 valid_lft forever\n"]);
}

#[test]
fn routes_are_in_the_order_again_that_they_had() {
    let host = |routes: &[&str]| {
        let routes: String =
            routes.iter().map(|route| format!("route eth0 default via {route}\n")).collect();
        format!("link eth0 nic up\naddr eth0 192.0.2.1/24\n{routes}")
    };
    let all = ["192.0.2.251", "192.0.2.252", "192.0.2.253", "192.0.2.254 metric 5"];
    let then = host(&all);
    for left in [&all[..1], &all[1..2], &all[2..3], &all[3..], &[all[2], all[1], all[0]], &[]] {
        let (rounds, _) = restore(&then, &host(left));
        assert_eq!(rounds.len(), 1, "{left:?}: {rounds:?}");
    }
    let (rounds, _) = restore(&then, &host(&all[1..]));
    assert_eq!(rounds, ["route  add default via 192.0.2.251 dev eth0\n"]);
    let (rounds, _) = restore(&host(&all[..1]), &host(&["192.0.2.251 scope 253"]));
    assert_eq!(rounds.len(), 1, "{rounds:?}");
}

#[test]
fn addresses_of_a_lease_are_restored_unless_there_is_another_lease() {
    let client = "dhcp eth0 ipv4 wanted 192.0.2.77/24";
    let lease = "addr eth0 192.0.2.77/24 finite 3600\nroute eth0 default via 192.0.2.1 proto dhcp";
    let then = kernel(&format!("link eth0 nic up\n{lease}\n{client}"));
    let other = "addr eth0 192.0.3.5/24 finite 3600\nroute eth0 default via 192.0.3.1 proto dhcp";
    let address = lease.lines().next().unwrap();
    for (now, is_back) in [("", true), (address, true), (other, false)] {
        let mut now = kernel(&format!("link eth0 nic up\n{now}\n{client}"));
        let before = now.to_string();
        let network = Network::new(then.record(), &BTreeSet::new(), then.clients().to_vec());
        let snapshot = Snapshot { network: Some(network), ..snapshot() };
        let (rounds, end) = go(rollback_to(snapshot, "one"), &mut now);
        assert_eq!(end, RoundResult::Restored, "{rounds:?}");
        let want = if is_back { then.to_string() } else { before };
        assert_eq!(now.to_string(), want, "{rounds:?}");
    }
}

#[test]
fn side_effects_of_a_step_are_undone_in_the_same_round() {
    struct Case(&'static str, &'static str, &'static str);
    let cases = [
        Case(
            "a bond lets go of what is down",
            "link eth0 nic up\nlink eth0.5 vlan up parent eth0 tag 5\naddr eth0.5 2001:db8::1/64\n\
             addr eth0 192.0.2.1/24\nroute eth0 default via 192.0.2.254",
            "link bond0 bond up mac 02:00:00:00:00:01\nlink eth0 nic up mac 02:00:00:00:00:01 \
             master bond0\nlink eth0.5 vlan up mac 02:00:00:00:00:02 parent eth0 tag 5\n\
             addr eth0.5 2001:db8::1/64",
        ),
        Case(
            "a primary address takes the others",
            "link eth0 nic up\naddr eth0 192.0.2.1/24\naddr eth0 192.0.2.2/24 secondary",
            "link eth0 nic up\naddr eth0 192.0.2.2/24\naddr eth0 192.0.2.1/24 secondary",
        ),
        Case(
            "the last address takes the routes",
            "link eth0 nic up\naddr eth0 192.0.2.1/24\nroute eth0 default via 192.0.2.254",
            "link eth0 nic up\naddr eth0 192.0.2.1/24 brd 192.0.2.255\n\
             route eth0 default via 192.0.2.254",
        ),
    ];
    for Case(label, then, now) in cases {
        let (rounds, _) = restore(then, now);
        assert_eq!(rounds.len(), 1, "{label}: {rounds:?}");
    }
}

#[test]
fn advertised_addresses_and_routes_return_to_their_link() {
    let told = |link: &str| {
        format!(
            "addr {link} 2001:db8::77/64 finite 3600 origin 2\n\
             route {link} default via fe80::1 proto ra expires 1800"
        )
    };
    let then = format!("link br0 bridge up\nlink eth0 nic up\n{}", told("eth0"));
    let port = "link br0 bridge up\nlink eth0 nic up master br0";
    let own = "addr br0 2001:db8::99/64 finite 3600 origin 2";
    // The NIC is still in the bridge; was released again; the bridge has its own address.
    restore(&then, &format!("{port}\n{}", told("br0")));
    restore(&then, &format!("link br0 bridge up\nlink eth0 nic up\n{}", told("br0")));
    restore(&then, &format!("{port}\n{own}"));
    // The lifetime is restored too.
    let forever = told("eth0").replace(" expires 1800", "");
    restore(&then, &format!("link br0 bridge up\nlink eth0 nic up\n{forever}"));
}

/// Newer kernels rename a link even if it could not be taken down. It is then up, with the host's
/// address.
#[test]
fn a_link_is_looked_at_again_by_the_name_that_it_was_given() {
    let then = kernel("link eth0 nic up\naddr eth0 192.0.2.1/24");
    let now = kernel("link br0 bridge up\nlink eth0 nic up master br0\naddr br0 192.0.2.1/24");
    let mut rollback = to(&then);
    let RoundResult::Do(plan) = compare(&mut rollback, from(&now), &[]) else {
        panic!("{rollback:?}")
    };
    let RoundScope::Links(links) = rollback.scope() else { panic!("{rollback:?}") };
    assert_eq!(plan.discarded.len(), 1);
    assert!(plan.discarded.iter().all(|it| links.contains(it)), "{plan}{links:?}");
}

/// Refuses each step that restores a changed MTU; returns how the rollback ends.
fn refuse_all(errno: i32) -> RoundResult {
    let (then, now) = (kernel("link eth0 nic up"), kernel("link eth0 nic up mtu 1400"));
    let mut rollback = to(&then);
    let mut refused = Vec::new();
    for _ in 0..2 {
        let RoundResult::Do(plan) = compare(&mut rollback, from(&now), &refused) else {
            panic!("{rollback:?}")
        };
        assert_eq!(plan.to_string(), "link   set eth0 mtu 1500\n");
        let step = plan.steps[0].step.clone();
        refused = vec![(step, StepError::kernel(errno, None))];
    }
    compare(&mut rollback, from(&now), &refused)
}

#[test]
fn a_refused_step_is_tried_again_and_then_reported() {
    let end = refuse_all(libc::EBUSY);
    assert_eq!(end, lost("link set eth0 mtu 1500: Device or resource busy", Some(libc::EBUSY)));
    let RoundResult::GiveUp(remains) = end else { panic!("{end:?}") };
    let text = "not restored: link set eth0 mtu 1500: Device or resource busy";
    assert_eq!(remains.to_string(), text);
}

#[test]
fn a_step_that_fails_for_lack_of_resources_is_not_given_up() {
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::ENOSPC, libc::EIO]
    {
        let RoundResult::GiveUp(remains) = refuse_all(errno) else { panic!("{errno}") };
        assert_eq!((remains.lost.len(), remains.network.len()), (0, 1), "{errno}");
        assert_eq!(remains.errno, Some(errno));
    }
}

/// The network is restored before the files, whatever their outcome.
#[test]
fn files_that_cannot_be_read_hold_up_nothing_but_themselves() {
    let (then, mut now) = (kernel("link eth0 nic up"), kernel("link eth0 nic up mtu 1400"));
    let err = HostError::new("read", "/x", &std::io::Error::from_raw_os_error(libc::EIO));
    let path = FilePath::new("eth0.xml").unwrap();
    let link = KeptFile::Link { text: b"there".to_vec(), target: None };
    let files = Files { root: Vec::new(), by_path: KeptFiles::from([(path, link)]) };
    let network = Network::new(then.record(), &BTreeSet::new(), Vec::new());
    let snapshot = Snapshot { network: Some(network), files, ..snapshot() };
    let mut rollback = rollback_to(snapshot.clone(), "one");
    let RoundResult::Do(plan) = compare(&mut rollback, from(&now), &[]) else {
        panic!("{rollback:?}")
    };
    assert_eq!(plan.to_string(), "link   set eth0 mtu 1500\nfile   link eth0.xml, as recorded\n");
    let step = plan.steps[1].step.clone();
    now.clone_from(&then);
    for _ in 0..2 {
        let observed = Observed { files: Err(err.clone()), ..from(&now) };
        let RoundResult::GiveUp(remains) = compare(&mut rollback, observed, &[]) else {
            panic!("{rollback:?}")
        };
        assert_eq!(remains.to_string(), format!("not restored: {err}"));
        assert_eq!(remains.files, [err.to_string()]);
    }
    // A second attempt restores only the files.
    let parts = RollbackParts { network: false, files: true };
    let mut rollback = Rollback::new(Rc::new(snapshot), parts, &moment("one", 20));
    assert_eq!(rollback.scope(), RoundScope::Nothing);
    let RoundResult::Do(plan) = compare(&mut rollback, observed(HostRecord::default()), &[]) else {
        panic!("{rollback:?}")
    };
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].step, step);
}

#[test]
fn files_below_another_directory_are_left_alone() {
    let files = |root: &str| Files { root: root.as_bytes().to_vec(), ..Files::default() };
    let snapshot = Snapshot { files: files("/etc/libvirt/interface"), ..snapshot() };
    let parts = RollbackParts { network: false, files: true };
    let mut rollback = Rollback::new(Rc::new(snapshot), parts, &moment("one", 20));
    let there = Observed { files: Ok(files("/etc/network")), ..observed(HostRecord::default()) };
    let RoundResult::GiveUp(remains) = compare(&mut rollback, there, &[]) else {
        panic!("{rollback:?}")
    };
    let want = "cannot restore the definition files below /etc/libvirt/interface, \
                as they are read below /etc/network now";
    assert!(remains.files[0].starts_with(want), "{remains}");
}

/// As the loop compares, so that clients need not wait.
#[test]
fn a_round_that_is_compared_in_parts_is_the_same() {
    let then = kernel(
        "link eth0 nic up\naddr eth0 192.0.2.1/24\naddr eth0 192.0.2.2/24 secondary\n\
         route eth0 default via 192.0.2.254\nroute eth0 198.51.100.0/24 via 192.0.2.253\n\
         rule ipv4 100 from 192.0.2.1/32 lookup 100\n",
    );
    let now = kernel("link eth0 nic up\naddr eth0 192.0.2.9/24\nlink br0 bridge up\n");
    let whole = compare(&mut to(&then), from(&now), &[]);
    for entry_count in 1..5 {
        let mut rollback = to(&then);
        rollback.begin_round(from(&now));
        let parts = std::iter::repeat_with(|| rollback.poll_next(&[], entry_count));
        let next = parts.take(1_000).flatten().next();
        assert_eq!(next.as_ref(), Some(&whole), "{entry_count}");
    }
}
