// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Channel`]: the netlink requests of changes, and the queries before them, by way of a
//! [`Messenger`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};

use crate::change::job::StepError;
use crate::error::HostError;
use crate::host::inquiry::{Dialogue, Inquiry};
use crate::io::messenger::{Messenger, encode_sysctl, make_conditional};
use crate::limits::MESSAGES_PER_TURN_MAX;
use crate::netlink::conversation::{AnswerState, Conversation};
use crate::netlink::link::{LinkIndex, encode_lookup};

/// Sends changes and queries to the kernel.
#[derive(Debug)]
pub struct Channel {
    messenger: Messenger,
    /// The answer to the change that is being awaited.
    conversation: Conversation,
    /// The sequence numbers of the changes sent after that one.
    ahead: VecDeque<u32>,
    /// The requests being collected; kept to reuse its memory.
    request: Vec<u8>,
}

/// The progress of a query.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InquiryProgress {
    All,
    /// More answers are waiting than a turn has time for.
    Some,
    /// The kernel has not answered yet.
    Waiting,
}

impl Channel {
    /// Opens the sockets.
    pub fn open() -> Result<Self, HostError> {
        let (conversation, ahead) = (Conversation::default(), VecDeque::new());
        Ok(Self { messenger: Messenger::open()?, conversation, ahead, request: Vec::new() })
    }

    /// Notes that the loop has served its clients, and may wait for the kernel again.
    pub(crate) fn begin_turn(&mut self) {
        self.messenger.begin_turn();
    }

    /// Begins a new batch of changes. Answers to earlier ones are ignored.
    pub fn begin(&mut self) {
        self.request.clear();
        self.ahead.clear();
    }

    /// Adds a change, which the kernel acknowledges, to the batch. It is carried out only if the
    /// one before it succeeds.
    ///
    /// # Errors
    /// The error of `encode`; the change is not added.
    pub fn add<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), E>,
    ) -> Result<(), E> {
        let (len, sequence) = (self.request.len(), self.messenger.next_sequence());
        encode(&mut self.request, sequence).inspect_err(|_| self.request.truncate(len))?;
        if !self.ahead.is_empty() {
            make_conditional(self.request.get_mut(len..).unwrap_or_default());
        }
        self.ahead.push_back(sequence);
        Ok(())
    }

    /// Adds a change of a sysctl to the batch: its file below /proc/sys, and its value.
    pub(crate) fn add_sysctl(&mut self, path: &str, value: i32) {
        let added = self.add(|out, sequence| {
            encode_sysctl(out, sequence, path, value);
            Ok::<_, Infallible>(())
        });
        let Ok(()) = added;
    }

    /// Sends the batch. The next answer is that of its first change.
    pub fn send(&mut self) {
        self.messenger.send(&self.request);
        self.take_up_next();
    }

    /// Continues with the answer to the next change of the batch. Returns whether there is one.
    pub(crate) fn take_up_next(&mut self) -> bool {
        let next = self.ahead.pop_front();
        next.into_iter().for_each(|sequence| self.conversation.follow(sequence));
        next.is_some()
    }

    /// Returns whether changes were sent whose answers have not been taken yet.
    pub fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Returns the answer to the current change, if it arrives at once. After an error the rest of
    /// the batch is dropped.
    pub fn poll_answer(&mut self) -> Option<Result<(), StepError>> {
        let answer = self.hear();
        if matches!(answer, Some(Err(_))) {
            self.ahead.clear();
        }
        answer
    }

    fn hear(&mut self) -> Option<Result<(), StepError>> {
        loop {
            let message = match self.messenger.receive() {
                Ok(message) => message?,
                Err(err) => return Some(Err(StepError::from(&err))),
            };
            match self.conversation.handle_datagram(message, |_| {}) {
                AnswerState::Pending => {}
                AnswerState::Complete | AnswerState::Interrupted => return Some(Ok(())),
                AnswerState::Refused(errno) => {
                    let reason = self.conversation.complaint();
                    return Some(Err(StepError::kernel(errno, reason)));
                }
                AnswerState::Malformed(err) => {
                    let text = err.to_string();
                    return Some(Err(StepError { errno: libc::EBADMSG, text }));
                }
            }
        }
    }

    /// Makes the kernel update a link's operational state from its carrier at once (since Linux
    /// 6.9). By itself it does so once a second, and clients would get the outdated state until
    /// then. The update is announced like any other event.
    pub fn settle(&mut self, link: LinkIndex) {
        self.request.clear();
        encode_lookup(&mut self.request, self.messenger.next_sequence(), link);
        self.messenger.send(&self.request);
    }

    /// Sends the first requests of a query, without reading answers.
    pub fn ask(&mut self, dialogue: &mut Dialogue, inquiry: &mut dyn Inquiry) {
        let Self { messenger, request, .. } = self;
        request.clear();
        dialogue.ask(inquiry, request, || messenger.next_sequence());
        if !request.is_empty() {
            messenger.send(request);
        }
    }

    /// Continues a query as far as one turn has time for it.
    ///
    /// # Errors
    /// The kernel refused information that the query needs.
    pub(crate) fn inquire(
        &mut self,
        dialogue: &mut Dialogue,
        inquiry: &mut dyn Inquiry,
    ) -> Result<InquiryProgress, HostError> {
        let Self { messenger, request, .. } = self;
        for _ in 0..MESSAGES_PER_TURN_MAX {
            request.clear();
            dialogue.ask(inquiry, request, || messenger.next_sequence());
            if !request.is_empty() {
                messenger.send(request);
            } else if !dialogue.is_waiting() {
                return Ok(InquiryProgress::All);
            }
            let message = messenger.receive();
            let message = message.map_err(|err| HostError::new("ask", "the kernel", &err))?;
            let Some(message) = message else { return Ok(InquiryProgress::Waiting) };
            dialogue.handle_message(inquiry, message)?;
        }
        Ok(InquiryProgress::Some)
    }

    /// Handles SIGCHLD, since the messenger's process may have ended.
    pub fn handle_child(&mut self) {
        self.messenger.handle_child();
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.messenger.as_fd()
    }
}
