//! Calls that ask for a turn, or for its end.

use std::{sync::Arc, time::Instant};

use super::{Session, State, not_pending, size_of, too_large};
use crate::{
    command::{Command, Started},
    error::{Failure, Reason},
    event::TurnStatus,
    history::is_void,
    input::{CallId, CancelCause, TurnRequest},
    limits::MAX_MESSAGE_BLOCKS,
    message::{Block, Message},
    turn::{Ending, Match, Opening, Turn, not_asked},
};

impl Session {
    /// Starts the turn that a call asks for, or goes on with the one that waits for its results.
    pub(super) fn start(&mut self, call: CallId, request: TurnRequest, now: Instant) {
        if let Err(failure) = self.check_start(&request, now) {
            self.out.command(Command::Answer {
                call,
                answer: Err(failure),
            });
            return;
        }
        let first_sequence = self.out.last_sequence() + 1;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Active(mut turn) => {
                self.answer_started(call, &turn.id, first_sequence);
                let flow = turn.resume(
                    request.tool_results,
                    request.decisions,
                    request.content,
                    request.deadline,
                    &mut self.context(now),
                );
                self.settle(turn, flow, now);
            }
            State::Idle => {
                let id = self.ids.turn();
                self.answer_started(call, &id, first_sequence);
                let caller = request.options.over(&self.options);
                self.begin(
                    Opening {
                        id,
                        session_id: Arc::clone(&self.id),
                        options: self.agent.settle(caller),
                        deadline: request.deadline,
                        frame_id: None,
                        stream: None,
                        messages: request.messages,
                        results: request.tool_results,
                        content: request.content,
                    },
                    now,
                );
            }
        }
    }

    fn answer_started(&mut self, call: CallId, turn_id: &Arc<str>, first_sequence: u64) {
        let started = Started {
            turn_id: Arc::clone(turn_id),
            first_sequence,
        };
        self.out.command(Command::Answer {
            call,
            answer: Ok(started),
        });
    }

    fn check_start(&self, request: &TurnRequest, now: Instant) -> Result<(), Failure> {
        if self.draining {
            return Err(Failure::shutting_down());
        }
        self.check_content(&request.content)?;
        self.tools.check_names("options", &request.options)?;
        for result in &request.tool_results {
            self.check_result(result)?;
        }
        match &self.state {
            State::Active(turn) if turn.is_paused() && answers(request) => {
                self.check_results(turn, request, now)
            }
            State::Active(turn) => {
                let text = if turn.is_paused() {
                    "the turn before waits for tool results or approvals: send them in \
                     tool_results or approval_decisions, or cancel it"
                } else {
                    "another turn runs in this session"
                };
                Err(Failure::new(Reason::TurnInProgress, text).fact("turn_id", &*turn.id))
            }
            State::Idle => self.check_opening(request),
        }
    }

    fn check_content(&self, content: &[Block]) -> Result<(), Failure> {
        let limit = self.agent.limits.max_input_bytes;
        if size_of(content) > limit {
            return Err(too_large("message", limit));
        }
        if content.len() > MAX_MESSAGE_BLOCKS {
            let text = format!("the message has more than {MAX_MESSAGE_BLOCKS} blocks");
            return Err(Failure::new(Reason::LimitExceeded, text));
        }
        if !content.is_empty() && content.iter().all(is_void) {
            let text = "must hold at least one block that is not blank";
            return Err(Failure::invalid("content", text));
        }
        Ok(())
    }

    /// Checks what a turn is to begin with.
    fn check_opening(&self, request: &TurnRequest) -> Result<(), Failure> {
        if !request.messages.is_empty() && !self.history.is_empty() {
            return Err(Failure::invalid(
                "messages",
                "must be empty for a session that has a history of its own",
            ));
        }
        if let Some(decision) = request.decisions.first() {
            return Err(not_asked(&decision.approval_id));
        }
        // A caller that keeps the history may bring the results apart from it.
        let mut open: Vec<&str> = request.messages.last().map_or_else(Vec::new, |message| {
            message.open_calls().map(|call| &*call.id).collect()
        });
        for result in &request.tool_results {
            let Some(index) = open.iter().position(|id| *id == result.call_id) else {
                return Err(not_pending(&result.call_id));
            };
            open.swap_remove(index);
        }
        if let Some(id) = open.first() {
            let text = format!("must hold a result for the tool call {id:?} that stands last");
            return Err(Failure::invalid("tool_results", text));
        }
        if request.messages.iter().all(is_empty) && request.content.is_empty() {
            return Err(Failure::invalid("prompt", "must not be empty"));
        }
        let brought: usize = request.messages.iter().map(Message::size_bytes).sum();
        let blocks: usize = request.messages.iter().map(|m| m.content.len()).sum();
        let results: usize = request.tool_results.iter().map(|r| r.size_bytes()).sum();
        self.check_room_bytes(
            brought + results + size_of(&request.content),
            blocks + request.tool_results.len() + request.content.len(),
        )
    }

    /// Checks what a paused turn is to go on with.
    fn check_results(
        &self,
        turn: &Turn,
        request: &TurnRequest,
        now: Instant,
    ) -> Result<(), Failure> {
        if !request.messages.is_empty() {
            return Err(Failure::invalid(
                "messages",
                "must be empty when the turn before waits for tool results or approvals",
            ));
        }
        let mut seen: Vec<&str> = Vec::new();
        for result in &request.tool_results {
            let call_id = &*result.call_id;
            if turn.match_result(call_id) != Match::Open || seen.contains(&call_id) {
                return Err(not_pending(call_id));
            }
            seen.push(call_id);
        }
        let mut decided: Vec<&str> = Vec::new();
        for decision in &request.decisions {
            turn.check_decision(decision, now)?;
            if decided.contains(&&*decision.approval_id) {
                return Err(not_asked(&decision.approval_id));
            }
            decided.push(&decision.approval_id);
        }
        // What is approved is to be run yet.
        let approved = request.decisions.iter().any(|decision| decision.approved);
        let settled = seen.len() + decided.len();
        if !request.content.is_empty() && (approved || settled < turn.open_call_count()) {
            let text = "must be empty until every tool call of the turn has its result";
            return Err(Failure::invalid("prompt", text));
        }
        let results: usize = request.tool_results.iter().map(|r| r.size_bytes()).sum();
        self.check_room_bytes(
            results + size_of(&request.content),
            request.tool_results.len() + request.content.len(),
        )
    }

    pub(super) fn cancel(
        &mut self,
        call: Option<CallId>,
        turn_id: Option<String>,
        cause: CancelCause,
        now: Instant,
    ) {
        let active = match &self.state {
            State::Active(turn) => Some(Arc::clone(&turn.id)),
            State::Idle => None,
        };
        let target =
            active.filter(|active| turn_id.as_deref().is_none_or(|named| **active == *named));
        if target.is_some() {
            self.end_turn(Ending::cancelled(text_of(cause)), now);
        }
        let Some(call) = call else { return };
        let answer = match self.turn(target.as_deref().or(turn_id.as_deref()), now) {
            Some(result) if result.status != TurnStatus::Running => Ok(Box::new(result)),
            Some(_) | None => Err(Failure::new(Reason::TurnNotFound, "there is no such turn")),
        };
        self.out.command(Command::AnswerCancel { call, answer });
    }
}

/// True for what brings a paused turn forward.
fn answers(request: &TurnRequest) -> bool {
    !request.tool_results.is_empty() || !request.decisions.is_empty()
}

/// True for a message of which nothing can be sent.
fn is_empty(message: &Message) -> bool {
    message.content.iter().all(is_void)
}

fn text_of(cause: CancelCause) -> &'static str {
    match cause {
        CancelCause::Requested => "the turn was cancelled by request",
        CancelCause::CallerGone => "the caller went away",
        CancelCause::SlowReader => "the caller's reader was too slow",
    }
}
