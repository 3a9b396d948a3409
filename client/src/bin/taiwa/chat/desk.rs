//! What a chat does for the model beside talking: scripts, and consent.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use taiwa_client::{Event, Payload, pb};

use crate::{
    consent::{Consent, Dialog},
    scripts::Scripts,
};

/// The calls of a conversation that are answered here.
#[derive(Debug)]
pub(super) struct Desk {
    scripts: Scripts,
    consent: Consent,
    session_id: String,
    /// Questions for the user, the one that is asked first.
    questions: VecDeque<Dialog>,
    /// What was sent and has no receipt, by its frame.
    sent: BTreeMap<String, Sent>,
}

/// An answer under way.
#[derive(Debug)]
pub(super) enum Sent {
    /// The user's, to this question.
    Consent(Box<Dialog>),
    /// A script's, to this call.
    Result(String),
}

/// What is to be done at once.
#[derive(Debug)]
pub(super) enum Todo {
    /// Send the decision, and say so.
    Decide(pb::ApprovalDecision, String),
    /// Put the question that came first.
    Ask,
    /// The question that was put is settled: say so, and put the next.
    Settled(&'static str),
    /// The server refused an answer to a question, which is asked again: say so, and put the
    /// question that comes first.
    Refused(String),
    /// Send the result.
    Answer(pb::ToolResult),
}

impl Desk {
    pub(super) fn new(scripts: Scripts, consent: Consent, session_id: String) -> Self {
        Self {
            scripts,
            consent,
            session_id,
            questions: VecDeque::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Takes an event in: starts and stops scripts, and sorts the questions.
    pub(super) fn follow(&mut self, event: &Event) -> Option<Todo> {
        if let Some(call) = event.client_tool_call() {
            self.scripts.start(call, &self.session_id);
        } else if let Some(asked) = event.approval_request() {
            if let Some((decision, said)) = self.consent.by_itself(asked) {
                return Some(Todo::Decide(decision.into(), said));
            }
            self.questions.push_back(Dialog::new(asked.clone()));
            return (self.questions.len() == 1).then_some(Todo::Ask);
        } else if let Payload::ApprovalResolved(resolved) = &event.payload {
            let how = if resolved.expired {
                "nobody consented in time"
            } else {
                "another has decided"
            };
            return self.settle(
                |question| question.approval_id() == resolved.approval_id,
                how,
            );
        } else if let Payload::ToolCallsCancelled(cancelled) = &event.payload {
            self.scripts.stop(&cancelled.tool_call_ids);
        } else if let Payload::FrameAccepted(accepted) = &event.payload {
            self.sent.remove(&accepted.frame_id);
        } else if let Payload::FrameRejected(rejected) = &event.payload {
            return self.refused(rejected);
        } else if event.turn_ended().is_some() {
            self.scripts.stop_all();
            self.sent.clear();
            return self.settle(|_| true, "the turn ended, and with it the question");
        }
        None
    }

    /// Waits for a script to end. Cancel-safe.
    pub(super) async fn answered(&mut self) -> Option<(pb::ToolResult, Duration)> {
        self.scripts.next().await
    }

    /// Whether a script runs.
    pub(super) fn is_running(&self) -> bool {
        self.scripts.is_running()
    }

    /// The question that the user is to answer.
    pub(super) fn question(&mut self) -> Option<&mut Dialog> {
        self.questions.front_mut()
    }

    /// Whether there is one.
    pub(super) fn has_question(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Takes the question that was answered; the next is then the first.
    pub(super) fn take_question(&mut self) -> Option<Dialog> {
        self.questions.pop_front()
    }

    /// Keeps in mind what was sent in a frame, until that has its receipt.
    pub(super) fn sent(&mut self, frame_id: String, what: Sent) {
        self.sent.insert(frame_id, what);
    }

    fn refused(&mut self, rejected: &pb::FrameRejected) -> Option<Todo> {
        let sent = self.sent.remove(&rejected.frame_id)?;
        let error = rejected.error.clone().unwrap_or_default();
        if error.reason() == pb::ErrorReason::CallNotPending {
            return None;
        }
        Some(match sent {
            Sent::Consent(mut question) => {
                question.back();
                self.questions.push_back(*question);
                Todo::Refused(error.message)
            }
            Sent::Result(tool_call_id) => Todo::Answer(pb::ToolResult {
                tool_call_id,
                text: format!("the result was refused: {}", error.message),
                is_error: true,
                ..Default::default()
            }),
        })
    }

    fn settle(&mut self, is_settled: impl Fn(&Dialog) -> bool, how: &'static str) -> Option<Todo> {
        let first_is = self.questions.front().is_some_and(&is_settled);
        self.questions.retain(|question| !is_settled(question));
        first_is.then_some(Todo::Settled(how))
    }
}
