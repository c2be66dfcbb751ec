// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of a transaction's states with simulated time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "a test has no loop")]
fn start() -> Instant {
    Instant::now()
}

/// An open transaction, with a deadline 70 seconds after boot.
fn open() -> OpenTransaction {
    let mut change = OpenTransaction::default();
    let opening = Opening { deadline: Some(70 * SECOND), ..Opening::default() };
    change.begin(Rc::new(Snapshot { opening, ..Snapshot::default() }));
    change
}

fn remains(lost: &[&str], network: &[&str], files: &[&str]) -> Option<Remains> {
    let [lost, network, files] =
        [lost, network, files].map(|texts| texts.iter().map(|text| (*text).to_owned()).collect());
    Some(Remains { lost, network, files, errno: Some(libc::EROFS) })
}

#[test]
fn a_deadline_is_due_once_and_ends_what_could_be_committed() {
    let (mut change, now) = (open(), start());
    assert_eq!(change.poll_due(Some(69 * SECOND), now), None);
    assert_eq!(change.deadline(Some(69 * SECOND), now), Some(now + SECOND));
    assert!(matches!(change.status(), Status::Open(_)) && change.open().is_some());
    assert!(change.committable(Some(69 * SECOND)).is_some());
    assert!(change.committable(Some(70 * SECOND)).is_none(), "not looked at yet");
    assert_eq!(change.poll_due(Some(70 * SECOND), now), Some(TransactionDue::Rollback));
    assert_eq!(change.poll_due(Some(71 * SECOND), now), None, "it is asked for");
    assert!(change.open().is_none() && !change.is_closed());
    assert!(change.status().obstacle().is_some());
    let ending = change.roll_back(Cause::Caller).unwrap();
    assert_eq!(ending.cause, Cause::Deadline, "a second request changes nothing");
}

#[test]
fn a_try_that_has_failed_is_followed_by_others_with_growing_pauses() {
    let (mut change, mut now) = (open(), start());
    change.roll_back(Cause::Deadline).unwrap();
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(change.handle_failure("no".to_owned(), now), pause * SECOND);
        let Status::Ending { failure: Some("no"), .. } = change.status() else {
            panic!("{change:?}");
        };
        let at = now + pause * SECOND;
        assert_eq!(change.deadline(None, now), Some(at));
        assert_eq!(change.poll_due(None, at - Duration::from_millis(1)), None);
        assert_eq!(change.poll_due(None, at), Some(TransactionDue::Again));
        assert_eq!(change.deadline(None, at), None, "it is under way");
        now = at;
    }
    change.handle_failure("no".to_owned(), now);
    assert!(change.roll_back(Cause::Caller).is_some(), "a caller need not wait");
    change.close(Some("at last".to_owned()));
    assert!(matches!(change.status(), Status::Closed { last: Some("at last") }));
    change.begin(Rc::default());
    change.close(None);
    assert!(matches!(change.status(), Status::Closed { last: None }));
}

#[test]
fn parts_are_restored_one_after_the_other_and_each_until_it_is() {
    let (mut change, now) = (open(), start());
    let ending = change.roll_back(Cause::Deadline).unwrap();
    assert_eq!(ending.next_part(None), Some(RollbackPart::Network));
    ending.handle_part(RollbackPart::Network, remains(&["eth1 is gone"], &[], &[]));
    assert_eq!(ending.next_part(Some(RollbackPart::Network)), Some(RollbackPart::Files));
    ending.handle_part(RollbackPart::Files, remains(&[], &[], &["br0: read-only"]));
    assert_eq!(ending.next_part(Some(RollbackPart::Files)), None);
    let text = "not restored: eth1 is gone; br0: read-only".to_owned();
    assert_eq!(ending.outcome(), Tried::Failed { text, errno: libc::EROFS });

    change.handle_failure(String::new(), now);
    let ending = change.roll_back(Cause::Deadline).unwrap();
    assert_eq!(ending.next_part(None), Some(RollbackPart::Files), "the network is done");
    ending.handle_part(RollbackPart::Files, None);
    let text = "not restored: eth1 is gone".to_owned();
    assert_eq!(ending.outcome(), Tried::Lost(text));

    change.begin(Rc::default());
    let ending = change.roll_back(Cause::Caller).unwrap();
    ending.handle_part(RollbackPart::Network, remains(&["x"], &["eth0: no memory"], &[]));
    assert_eq!(
        ending.next_part(Some(RollbackPart::Network)),
        Some(RollbackPart::Files),
        "not held up"
    );
    ending.handle_part(RollbackPart::Files, None);
    let text = "not restored: x; eth0: no memory".to_owned();
    assert_eq!(ending.outcome(), Tried::Failed { text, errno: libc::EROFS });
    change.handle_failure(String::new(), now);
    let ending = change.roll_back(Cause::Caller).unwrap();
    assert_eq!(ending.next_part(None), Some(RollbackPart::Network));
    ending.handle_part(RollbackPart::Network, None);
    assert_eq!(ending.next_part(Some(RollbackPart::Network)), None, "files are done");
    assert_eq!(ending.outcome(), Tried::Whole);
}

#[test]
fn what_cannot_be_read_is_looked_for_again_and_stands_in_the_way() {
    let (mut change, mut now) = (OpenTransaction::default(), start());
    for pause in [1, 2, 4] {
        assert_eq!(change.handle_unread("no".to_owned(), now), pause * SECOND);
        assert_eq!(change.poll_due(None, now), None);
        now += pause * SECOND;
        assert_eq!(change.poll_due(None, now), Some(TransactionDue::Find));
        assert!(change.roll_back(Cause::Caller).is_none() && !change.is_closed());
        assert!(change.status().obstacle().unwrap().contains("no"));
    }
    change.postpone(now);
    assert_eq!(change.deadline(None, now), Some(now + 4 * SECOND));
}
