// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of the decision about files that are found at the start.

use super::*;
use crate::snapshot::Opening;

fn moment(boot: &str, seconds: u64) -> Moment {
    Moment { boot: boot.to_owned(), since_boot: Duration::from_secs(seconds) }
}

/// A snapshot opened ten seconds after the boot `one`, for a minute.
fn snapshot() -> Snapshot {
    let seconds = Duration::from_secs;
    let opening = Opening {
        boot: "one".to_owned(),
        at: seconds(10),
        deadline: Some(seconds(70)),
        ..Opening::default()
    };
    Snapshot { opening, ..Snapshot::default() }
}

#[test]
fn what_is_left_stays_open_or_goes_back_as_boot_and_deadline_have_it() {
    enum Want {
        Nothing,
        Open,
        UndoJob,
        RollBack,
    }
    use Recovery::{StaleAlone, Whole};
    use Want::{Nothing, Open, RollBack, UndoJob};
    struct Case(&'static str, [bool; 3], Recovery, Moment, Want);
    let (rollback, open, journal) =
        ([true, false, false], [false, true, false], [false, true, true]);
    let soon = || moment("one", 20);
    let cases = [
        Case("nothing", [false; 3], Whole, soon(), Nothing),
        Case("a journal alone", [false, false, true], Whole, soon(), Nothing),
        Case("an open transaction", open, Whole, soon(), Open),
        Case("just before its deadline", open, Whole, moment("one", 69), Open),
        Case("at its deadline", open, Whole, moment("one", 70), RollBack),
        Case("in another boot", open, Whole, moment("two", 20), RollBack),
        Case("before it was opened", open, Whole, moment("one", 9), RollBack),
        Case("with a job by half", journal, Whole, soon(), UndoJob),
        Case("which can wait", journal, StaleAlone, soon(), Open),
        Case("which is over", journal, StaleAlone, moment("one", 70), RollBack),
        Case("a rollback", rollback, Whole, soon(), RollBack),
        Case("a rollback and all else", [true; 3], StaleAlone, soon(), RollBack),
    ];
    for Case(label, is_found, recovery, now, want) in cases {
        let boxed = || Box::new(snapshot());
        let want = match want {
            Nothing => Resumption::Nothing,
            Open => Resumption::Open(boxed()),
            UndoJob => Resumption::UndoJob { snapshot: boxed(), journal: boxed() },
            RollBack => Resumption::RollBack(boxed()),
        };
        let [rollback, snapshot, journal] = is_found.map(|is_found| is_found.then(snapshot));
        let found = LeftSnapshots { rollback, snapshot, journal };
        assert_eq!(resume(found, recovery, &now), want, "{label}");
    }
}

#[test]
fn the_journal_of_another_transaction_undoes_nothing() {
    let mut journal = snapshot();
    journal.opening.at += Duration::from_secs(1);
    let found = LeftSnapshots {
        snapshot: Some(snapshot()),
        journal: Some(journal),
        ..LeftSnapshots::default()
    };
    let want = Resumption::Open(Box::new(snapshot()));
    assert_eq!(resume(found, Recovery::Whole, &moment("one", 20)), want);
}
