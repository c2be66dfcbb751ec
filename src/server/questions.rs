// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Questions`]: the calls that wait for an answer from outside, and the questions that they wait for.
//!
//! A call that waits is kept here with the address of its reply and the answers so far; neither the
//! other calls of its client nor those of other clients wait for it. It stays one of its client's calls
//! in flight, as the session counts them, until it is replied to. A client that leaves takes its
//! questions along: an answer that comes later finds none. Each question has a deadline, by which it is
//! answered as well as can be, and a daemon that stops brings all deadlines forward.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::handler::{Answer, Answers, Question};
use crate::io::kernel::SpeedRequest;
use crate::model::client::ClientId;
use crate::proto::Call;
use crate::session::ReplyTo;

/// A call that has not been replied to.
#[derive(Debug)]
pub(crate) struct OpenCall {
    pub(crate) client: ClientId,
    pub(crate) call: Call,
    pub(crate) reply_to: ReplyTo,
    /// The answers to its handler's questions so far.
    pub(crate) answers: Answers,
}

/// A number that identifies a question for as long as the daemon runs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct QuestionId(u64);

/// An answer to come, by its source and the source's own number. Several questions may wait for one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Awaited {
    Speeds(SpeedRequest),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    open: BTreeMap<QuestionId, OpenQuestion>,
    /// The open questions by the answers that they wait for.
    by_awaited: BTreeSet<(Awaited, QuestionId)>,
    last_id: u64,
}

#[derive(Debug)]
struct OpenQuestion {
    question: Question,
    awaited: Awaited,
    call: OpenCall,
    deadline: Instant,
}

impl Questions {
    /// Keeps a call until its question is answered, or withdrawn with its client.
    pub(crate) fn ask(
        &mut self,
        question: Question,
        awaited: Awaited,
        call: OpenCall,
        deadline: Instant,
    ) -> QuestionId {
        self.last_id += 1;
        let id = QuestionId(self.last_id);
        self.by_awaited.insert((awaited, id));
        self.open.insert(id, OpenQuestion { question, awaited, call, deadline });
        id
    }

    /// The open questions that wait for one of these answers, or whose deadline has passed; the
    /// oldest first.
    pub(crate) fn concerned(
        &self,
        answers: impl Iterator<Item = Awaited>,
        now: Instant,
    ) -> BTreeSet<QuestionId> {
        let all = |it| (it, QuestionId(u64::MIN))..=(it, QuestionId(u64::MAX));
        let answered = answers.flat_map(|it| self.by_awaited.range(all(it))).map(|(_, id)| *id);
        let is_due = self.deadline().is_some_and(|deadline| deadline <= now);
        let open = is_due.then_some(&self.open).into_iter().flatten();
        answered.chain(open.filter(|(_, it)| it.deadline <= now).map(|(id, _)| *id)).collect()
    }

    /// Has a question wait for another answer, by the same deadline.
    pub(crate) fn wait_again(&mut self, id: QuestionId, awaited: Awaited) {
        if let Some(open) = self.open.get_mut(&id) {
            self.by_awaited.remove(&(open.awaited, id));
            open.awaited = awaited;
            self.by_awaited.insert((awaited, id));
        }
    }

    /// A question, and whether its deadline has passed; `None` if it is not open any more.
    pub(crate) fn get(&self, id: QuestionId, now: Instant) -> Option<(&Question, bool)> {
        self.open.get(&id).map(|open| (&open.question, open.deadline <= now))
    }

    /// Returns the call that has waited for this answer, with it. `None` if its client is gone.
    pub(crate) fn answer(&mut self, id: QuestionId, answer: Answer) -> Option<OpenCall> {
        let mut call = self.withdraw(id)?;
        call.answers.add(answer);
        Some(call)
    }

    /// Returns the call of a question that will not be answered.
    pub(crate) fn withdraw(&mut self, id: QuestionId) -> Option<OpenCall> {
        let open = self.open.remove(&id)?;
        self.by_awaited.remove(&(open.awaited, id));
        Some(open.call)
    }

    /// Drops the questions of a client that is gone, and the calls that wait for them; returns how
    /// many.
    pub(crate) fn drop_client(&mut self, client: ClientId) -> usize {
        let before = self.open.len();
        self.open.retain(|_, open| open.call.client != client);
        if self.open.len() < before {
            self.by_awaited.retain(|(_, id)| self.open.contains_key(id));
        }
        before - self.open.len()
    }

    /// The first deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|open| open.deadline).min()
    }

    /// Brings all deadlines forward, as the daemon stops.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.open.values_mut().for_each(|open| open.deadline = now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::sorted::SortedMap;
    use crate::netlink::link::LinkIndex;
    use crate::proto::interface::QueryCall;
    use crate::rpc::header::{Header, kind};

    const ALICE: ClientId = ClientId(7);
    const BOB: ClientId = ClientId(8);
    const WAIT: Duration = Duration::from_secs(2);
    const AWAITED: Awaited = Awaited::Speeds(SpeedRequest(1));

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
    fn instant() -> Instant {
        Instant::now()
    }

    fn call(client: ClientId, serial: u32) -> OpenCall {
        let (program, version, procedure) = (0x2000_8086, 1, 130);
        let header = Header { program, version, procedure, kind: kind::CALL, serial, status: 0 };
        let call = QueryCall::GetXmlDesc { name: format!("eth{serial}"), flags: 0 };
        let (call, reply_to) = (Call::Query(call), ReplyTo::from(header));
        OpenCall { client, call, reply_to, answers: Answers::default() }
    }

    fn speeds() -> Answer {
        Answer::Speeds(SortedMap::from([(LinkIndex(3), 1000)]))
    }

    /// Asks a question for a call of a client, to be answered within the call's time.
    fn ask(questions: &mut Questions, client: ClientId, serial: u32, now: Instant) -> QuestionId {
        let question = Question::Speeds(Vec::new());
        questions.ask(question, AWAITED, call(client, serial), now + WAIT)
    }

    /// The open questions, the oldest first.
    fn ids(questions: &Questions) -> Vec<QuestionId> {
        questions.open.keys().copied().collect()
    }

    /// Those that wait for this answer.
    fn waiting(questions: &Questions, awaited: Awaited, now: Instant) -> Vec<QuestionId> {
        questions.concerned([awaited].into_iter(), now).into_iter().collect()
    }

    /// The call that continues with an answer, by the address of its reply.
    fn answered(questions: &mut Questions, id: QuestionId) -> Option<(ClientId, String)> {
        let call = questions.answer(id, speeds())?;
        assert!(call.answers.speeds.is_some(), "it has the answer");
        Some((call.client, call.reply_to.to_string()))
    }

    fn reply_to(serial: u32) -> String {
        format!("call {serial}, procedure 130 of program 0x20008086")
    }

    #[test]
    fn answers_come_in_any_order_and_find_their_calls() {
        let (mut questions, now) = (Questions::default(), instant());
        let first = ask(&mut questions, ALICE, 1, now);
        let second = ask(&mut questions, ALICE, 2, now);
        let third = ask(&mut questions, BOB, 1, now);
        assert_eq!(ids(&questions), [first, second, third]);
        assert_eq!(answered(&mut questions, third), Some((BOB, reply_to(1))));
        assert_eq!(answered(&mut questions, second), Some((ALICE, reply_to(2))));
        assert_eq!(ids(&questions), [first], "the oldest still waits");
        let fourth = ask(&mut questions, BOB, 2, now);
        assert_eq!(answered(&mut questions, first), Some((ALICE, reply_to(1))));
        assert_eq!(answered(&mut questions, first), None, "one answer to a question");
        assert_eq!(ids(&questions), [fourth]);
    }

    #[test]
    fn a_client_that_leaves_takes_its_questions_along() {
        let (mut questions, now) = (Questions::default(), instant());
        let gone = [1, 2].map(|serial| ask(&mut questions, ALICE, serial, now));
        let left = ask(&mut questions, BOB, 1, now);
        assert_eq!(questions.drop_client(ALICE), 2);
        assert_eq!(questions.drop_client(ALICE), 0);
        assert_eq!(ids(&questions), [left]);
        assert_eq!(gone.map(|id| answered(&mut questions, id)), [None, None]);
        // Its number may be another client's by the time of the answer.
        let next = ask(&mut questions, ALICE, 1, now);
        assert!(!gone.contains(&next));
        assert_eq!(gone.map(|id| answered(&mut questions, id)), [None, None]);
        assert_eq!(answered(&mut questions, next), Some((ALICE, reply_to(1))));
        assert_eq!(questions.drop_client(BOB), 1);
        assert!(questions.open.is_empty() && questions.by_awaited.is_empty());
    }

    #[test]
    fn an_answer_concerns_the_questions_that_wait_for_it() {
        let (mut questions, now) = (Questions::default(), instant());
        let other = Awaited::Speeds(SpeedRequest(2));
        let first = ask(&mut questions, ALICE, 1, now);
        let second = questions.ask(Question::Hostname, other, call(BOB, 1), now + WAIT);
        let third = ask(&mut questions, BOB, 2, now);
        assert_eq!(waiting(&questions, AWAITED, now), [first, third]);
        assert_eq!(waiting(&questions, other, now), [second]);
        assert_eq!(waiting(&questions, Awaited::Speeds(SpeedRequest(3)), now), []);
        questions.wait_again(first, other);
        assert_eq!(waiting(&questions, AWAITED, now), [third]);
        assert_eq!(waiting(&questions, other, now), [first, second]);
        assert!(questions.withdraw(second).is_some());
        assert_eq!(waiting(&questions, other, now), [first]);
        // One that has gone waits for nothing.
        questions.wait_again(second, other);
        assert_eq!(waiting(&questions, other, now), [first]);
        assert_eq!(questions.concerned([].into_iter(), now + WAIT).len(), 2, "both are due");
    }

    #[test]
    fn a_question_that_is_never_answered_comes_to_its_deadline() {
        let (mut questions, now) = (Questions::default(), instant());
        assert_eq!(questions.deadline(), None);
        let first = ask(&mut questions, ALICE, 1, now);
        let second = ask(&mut questions, BOB, 1, now + Duration::from_secs(1));
        assert_eq!(questions.deadline(), Some(now + WAIT));
        let is_due =
            |questions: &Questions, id, at| questions.get(id, at).map(|(_, is_due)| is_due);
        let just_before = now + WAIT - Duration::from_nanos(1);
        assert_eq!(is_due(&questions, first, just_before), Some(false));
        assert_eq!(is_due(&questions, first, now + WAIT), Some(true));
        assert_eq!(is_due(&questions, second, now + WAIT), Some(false));
        assert_eq!(questions.withdraw(first).map(|call| call.client), Some(ALICE));
        assert_eq!(is_due(&questions, first, now + WAIT), None);
        assert_eq!(questions.deadline(), Some(now + WAIT + Duration::from_secs(1)));
        questions.hurry(now);
        assert_eq!(questions.deadline(), Some(now), "the daemon stops");
        assert_eq!(is_due(&questions, second, now), Some(true));
    }

    #[test]
    fn a_call_keeps_its_answers_when_it_asks_again() {
        let (mut questions, now) = (Questions::default(), instant());
        let first = ask(&mut questions, ALICE, 1, now);
        let call = questions.answer(first, speeds()).unwrap();
        let second = questions.ask(Question::Hostname, AWAITED, call, now + WAIT);
        assert!(matches!(questions.get(second, now), Some((Question::Hostname, false))));
        let call = questions.answer(second, Answer::Hostname("here".to_owned())).unwrap();
        assert_eq!(call.answers.speeds, Some(SortedMap::from([(LinkIndex(3), 1000)])));
        assert_eq!(call.answers.hostname.as_deref(), Some("here"));
    }
}
