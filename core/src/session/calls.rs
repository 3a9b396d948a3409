//! Calls that ask for a turn, or for its end.

use std::{sync::Arc, time::Instant};

use super::{Session, State, not_pending, shutting_down, size_of};
use crate::{
    command::{Command, Started},
    error::{Failure, Reason},
    event::TurnStatus,
    input::{CallId, CancelCause, TurnRequest},
    message::Message,
    turn::{Ending, Match, Opening, Turn},
};

impl Session {
    /// Starts the turn that a call asks for, or goes on with the one that waits for its results.
    pub(super) fn start(&mut self, call: CallId, request: TurnRequest, now: Instant) {
        if let Err(failure) = self.check_start(&request) {
            self.out.command(Command::Answer {
                call,
                answer: Err(failure),
            });
            return;
        }
        let first_sequence = self.out.sequence + 1;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Active(mut turn) => {
                self.answer_started(call, &turn.id, first_sequence);
                let flow = turn.resume(
                    request.tool_results,
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
                        messages: request.messages,
                        content: request.content,
                    },
                    now,
                );
            }
        }
    }

    pub(super) fn answer_started(&mut self, call: CallId, turn_id: &Arc<str>, first_sequence: u64) {
        let started = Started {
            turn_id: Arc::clone(turn_id),
            first_sequence,
        };
        self.out.command(Command::Answer {
            call,
            answer: Ok(started),
        });
    }

    pub(super) fn check_start(&self, request: &TurnRequest) -> Result<(), Failure> {
        if self.draining {
            return Err(shutting_down());
        }
        match &self.state {
            State::Active(turn) if turn.is_paused() && !request.tool_results.is_empty() => {
                self.check_results(turn, request)
            }
            State::Active(turn) => {
                let text = if turn.is_paused() {
                    "the turn before waits for tool results: send them in tool_results, or cancel it"
                } else {
                    "another turn runs in this session"
                };
                Err(Failure::new(Reason::TurnInProgress, text).fact("turn_id", &*turn.id))
            }
            State::Idle => {
                if let Some(result) = request.tool_results.first() {
                    return Err(not_pending(&result.call_id));
                }
                if !request.messages.is_empty() && !self.history.is_empty() {
                    return Err(Failure::invalid(
                        "messages",
                        "must be empty for a session that has a history of its own",
                    ));
                }
                let brought = request
                    .messages
                    .iter()
                    .map(Message::size_bytes)
                    .sum::<usize>();
                self.check_room(brought + size_of(&request.content))
            }
        }
    }

    pub(super) fn check_results(&self, turn: &Turn, request: &TurnRequest) -> Result<(), Failure> {
        if !request.messages.is_empty() {
            return Err(Failure::invalid(
                "messages",
                "must be empty when tool results are given",
            ));
        }
        let mut seen = Vec::new();
        for result in &request.tool_results {
            if turn.match_result(&result.call_id) != Match::Open || seen.contains(&&result.call_id)
            {
                return Err(not_pending(&result.call_id));
            }
            seen.push(&result.call_id);
        }
        if !request.content.is_empty() && seen.len() < turn.open_call_count() {
            let text = "must be empty until every tool call of the turn has its result";
            return Err(Failure::invalid("prompt", text));
        }
        let results = request
            .tool_results
            .iter()
            .map(|result| result.size_bytes())
            .sum::<usize>();
        self.check_room(results + size_of(&request.content))
    }

    pub(super) fn cancel(
        &mut self,
        call: Option<CallId>,
        turn_id: Option<String>,
        cause: CancelCause,
        now: Instant,
    ) {
        if let State::Active(turn) = &self.state
            && turn_id.as_deref().is_none_or(|id| *turn.id == *id)
        {
            let text = match cause {
                CancelCause::Requested => "the turn was cancelled by request",
                CancelCause::CallerGone => "the caller went away",
                CancelCause::SlowReader => "the caller's reader was too slow",
            };
            let turn_id = Arc::clone(&turn.id);
            self.drive(now, |_, _| Some(Ending::cancelled(text)));
            self.answer_cancel(call, Some(&turn_id), now);
            return;
        }
        self.answer_cancel(call, turn_id.as_deref(), now);
    }

    pub(super) fn answer_cancel(
        &mut self,
        call: Option<CallId>,
        turn_id: Option<&str>,
        now: Instant,
    ) {
        let Some(call) = call else { return };
        let answer = match self.turn(turn_id, now) {
            Some(result) if result.status != TurnStatus::Running => Ok(Box::new(result)),
            Some(_) | None => Err(Failure::new(Reason::TurnNotFound, "there is no such turn")),
        };
        self.out.command(Command::AnswerCancel { call, answer });
    }
}
