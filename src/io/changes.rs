// SPDX-License-Identifier: LGPL-2.1-or-later
//! [`Changes`]: what changes tell the kernel, and what they ask of it before, by way of a [`Messenger`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};

use crate::change::job::StepError;
use crate::error::HostError;
use crate::host::inquiry::{Dialogue, Inquiry};
use crate::io::messenger::{Messenger, encode_sysctl, make_conditional};
use crate::limits::MESSAGES_PER_TURN_MAX;
use crate::netlink::conversation::{Answer, Conversation};
use crate::netlink::link::{LinkIndex, encode_lookup};

/// See the module.
#[derive(Debug)]
pub struct Changes {
    messenger: Messenger,
    /// The answer to the change that is heard.
    conversation: Conversation,
    /// The numbers of those that were sent behind it.
    ahead: VecDeque<u32>,
    /// What is being sent; kept for its memory.
    request: Vec<u8>,
}

/// How far a long question has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    All,
    /// More has come than a turn has time for.
    Some,
    /// The kernel is waited for.
    Waiting,
}

impl Changes {
    /// Opens the way to the kernel.
    pub fn open() -> Result<Self, HostError> {
        let (conversation, ahead) = (Conversation::default(), VecDeque::new());
        Ok(Self { messenger: Messenger::open()?, conversation, ahead, request: Vec::new() })
    }

    /// The loop has seen to its clients, and may wait for the kernel anew.
    pub(crate) fn begin_turn(&mut self) {
        self.messenger.begin_turn();
    }

    /// Gives up the answers to what was sent before.
    pub fn begin(&mut self) {
        self.request.clear();
        self.ahead.clear();
    }

    /// Adds a change, which the kernel acknowledges, to what was begun. It is made only if the one before
    /// it is.
    ///
    /// # Errors
    /// What `encode` says: nothing is added.
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

    /// Adds the change of a sysctl in the same way: the file below /proc/sys, and its value.
    pub(crate) fn add_sysctl(&mut self, path: &str, value: i32) {
        let added = self.add(|out, sequence| {
            encode_sysctl(out, sequence, path, value);
            Ok::<_, Infallible>(())
        });
        let Ok(()) = added;
    }

    /// Sends all that was added. What is heard next is the answer to the first of it.
    pub fn send(&mut self) {
        self.messenger.send(&self.request);
        self.take_up_next();
    }

    /// Goes on to hear the answer to the next change that was sent along. Tells whether there is one.
    pub(crate) fn take_up_next(&mut self) -> bool {
        let next = self.ahead.pop_front();
        next.into_iter().for_each(|sequence| self.conversation.follow(sequence));
        next.is_some()
    }

    /// Whether changes are sent whose answers nobody has taken up.
    pub fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The answer to the change that was taken up, if it comes at once. After an error nothing is made of
    /// what was sent along.
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
                Answer::Pending => {}
                Answer::Complete | Answer::Interrupted => return Some(Ok(())),
                Answer::Refused(errno) => {
                    let reason = self.conversation.complaint();
                    return Some(Err(StepError::kernel(errno, reason)));
                }
                Answer::Malformed(err) => {
                    let text = err.to_string();
                    return Some(Err(StepError { errno: libc::EBADMSG, text }));
                }
            }
        }
    }

    /// Has the kernel bring a link's operational state up to date with its carrier: left to itself it
    /// does so once a second, but whoever asks for the link is not to be told what is not so yet
    /// (since Linux 6.9). The news of it comes as any other.
    pub fn settle(&mut self, link: LinkIndex) {
        self.request.clear();
        encode_lookup(&mut self.request, self.messenger.next_sequence(), link);
        self.messenger.send(&self.request);
    }

    /// Asks what a long question is to begin with, and hears nothing yet.
    pub fn ask(&mut self, dialogue: &mut Dialogue, inquiry: &mut dyn Inquiry) {
        let Self { messenger, request, .. } = self;
        request.clear();
        dialogue.ask(inquiry, request, || messenger.next_sequence());
        if !request.is_empty() {
            messenger.send(request);
        }
    }

    /// Goes on with a long question as far as a turn has time for it.
    ///
    /// # Errors
    /// The kernel does not tell what must be known.
    pub(crate) fn inquire(
        &mut self,
        dialogue: &mut Dialogue,
        inquiry: &mut dyn Inquiry,
    ) -> Result<Told, HostError> {
        let Self { messenger, request, .. } = self;
        for _ in 0..MESSAGES_PER_TURN_MAX {
            request.clear();
            dialogue.ask(inquiry, request, || messenger.next_sequence());
            if !request.is_empty() {
                messenger.send(request);
            } else if !dialogue.is_waiting() {
                return Ok(Told::All);
            }
            let message = messenger.receive();
            let message = message.map_err(|err| HostError::new("ask", "the kernel", &err))?;
            let Some(message) = message else { return Ok(Told::Waiting) };
            dialogue.handle_message(inquiry, message)?;
        }
        Ok(Told::Some)
    }

    /// A child may have ended.
    pub fn handle_child(&mut self) {
        self.messenger.handle_child();
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.messenger.as_fd()
    }
}
