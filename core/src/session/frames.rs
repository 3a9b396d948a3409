//! What a client's frame does, by the state it meets; user input has its own file.

use std::{sync::Arc, time::Instant};

use super::{Session, State, not_pending, receipts::Known, too_large};
use crate::{
    command::Command,
    error::{Failure, Reason},
    event::{FrameAccepted, FrameOutcome, InterruptionCause, Payload},
    input::{Frame, FrameBody, StreamId},
    limits::MAX_MESSAGE_BLOCKS,
    options::TurnOptions,
    tool::{Decision, ToolResult},
    turn::{Ending, Match, not_asked},
};

/// What was done with a frame.
pub(super) struct Receipt {
    pub(super) outcome: FrameOutcome,
    pub(super) turn_id: Option<Arc<str>>,
    pub(super) queue_position: usize,
}

impl Receipt {
    pub(super) fn new(outcome: FrameOutcome, turn_id: Option<Arc<str>>) -> Self {
        Self {
            outcome,
            turn_id,
            queue_position: 0,
        }
    }
}

impl Session {
    pub(super) fn take_frame(&mut self, stream: StreamId, frame: Frame, now: Instant) {
        let Frame { id, digest, body } = frame;
        let known = self.receipts.meet(id.as_deref(), digest);
        if let Known::Repeat(known) = known {
            let receipt = FrameAccepted {
                duplicate: true,
                ..known
            };
            return self.out.tell(None, 0, 0, Payload::FrameAccepted(receipt));
        }
        if self.is_taken_over(stream) {
            let text = "another Converse stream has taken over the input of this session";
            let failure = Failure::new(Reason::InputTakenOver, text);
            return self.out.command(Command::Refuse {
                stream,
                frame_id: id,
                failure,
            });
        }
        if matches!(known, Known::Reused) {
            return self.take_reused(stream, id);
        }
        match body {
            FrameBody::Setup => self.accept(id, Receipt::new(FrameOutcome::Applied, None)),
            FrameBody::UserInput(input) => self.take_input(stream, id, input, now),
            FrameBody::ToolResult(result) => self.take_tool_result(stream, id, result, now),
            FrameBody::Decision(decision) => self.take_decision(stream, id, decision, now),
            FrameBody::Interrupt {
                turn_id,
                discard_output,
            } => {
                self.take_interrupt(id, turn_id, discard_output, now);
            }
            FrameBody::Update {
                options,
                replace_client_tools,
            } => {
                self.take_update(id, *options, replace_client_tools);
            }
            FrameBody::Ack { sequence } => self.take_ack(id, sequence),
            FrameBody::Invalid(failure) => self.take_invalid(stream, id, failure),
        }
    }

    pub(super) fn accept(&mut self, frame_id: Option<String>, receipt: Receipt) {
        let Some(frame_id) = frame_id else { return };
        let receipt = FrameAccepted {
            frame_id,
            duplicate: false,
            outcome: receipt.outcome,
            turn_id: receipt.turn_id,
            queue_position: u32::try_from(receipt.queue_position).unwrap_or(u32::MAX),
        };
        self.receipts.remember(receipt.clone());
        self.out.tell(None, 0, 0, Payload::FrameAccepted(receipt));
    }

    /// Refuses a frame that cannot be read.
    fn take_invalid(&mut self, stream: StreamId, frame_id: Option<String>, failure: Failure) {
        let parts = self.spoil(stream);
        self.refuse(&parts, frame_id, failure);
    }

    /// Refuses a frame whose id names another, which stays taken.
    fn take_reused(&mut self, stream: StreamId, frame_id: Option<String>) {
        for part in self.spoil(stream) {
            self.receipts.forget(&part);
        }
        let text = "this frame_id was used for another frame";
        self.reject(frame_id, Failure::new(Reason::RequestIdReused, text));
    }

    /// Drops the message that is being gathered, if one is; gives the ids of its parts.
    ///
    /// The frame that is refused may have been a part of it, and half a message must not start a
    /// turn: what is left of the message is refused, too.
    fn spoil(&mut self, stream: StreamId) -> Vec<String> {
        match self.streams.get_mut(&stream) {
            Some(stream) if stream.buffer.is_gathering() => stream.buffer.spoil(true),
            Some(_) | None => Vec::new(),
        }
    }

    fn take_tool_result(
        &mut self,
        stream: StreamId,
        frame_id: Option<String>,
        result: ToolResult,
        now: Instant,
    ) {
        if let Err(failure) = self.check_result(&result) {
            return self.reject(frame_id, failure);
        }
        let (met, turn_id, is_paused) = match &self.state {
            State::Active(turn) => (
                turn.match_result(&result.call_id),
                Some(Arc::clone(&turn.id)),
                turn.is_paused(),
            ),
            State::Idle => (Match::Unknown, None, false),
        };
        match met {
            Match::Open => {
                if let Err(failure) = self.check_room_bytes(result.size_bytes(), 1) {
                    return self.reject(frame_id, failure);
                }
                if is_paused && self.draining {
                    return self.reject(frame_id, Failure::shutting_down());
                }
                self.accept(frame_id, Receipt::new(FrameOutcome::Applied, turn_id));
                self.drive(now, |turn, ctx| {
                    turn.continue_for(stream, ctx);
                    turn.take_result(result, ctx);
                    turn.wait_for_rest(ctx)
                });
            }
            Match::NotIts => self.reject(frame_id, not_pending(&result.call_id)),
            Match::Answered => self.take_late(frame_id, turn_id, &result.call_id),
            Match::Unknown => match self.turn_of_call(&result.call_id) {
                Some(turn_id) => self.take_late(frame_id, Some(turn_id), &result.call_id),
                None => self.reject(frame_id, not_pending(&result.call_id)),
            },
        }
    }

    fn take_decision(
        &mut self,
        stream: StreamId,
        frame_id: Option<String>,
        decision: Decision,
        now: Instant,
    ) {
        let State::Active(turn) = &self.state else {
            return self.reject(frame_id, not_asked(&decision.approval_id));
        };
        if let Err(failure) = turn.check_decision(&decision, now) {
            return self.reject(frame_id, failure);
        }
        if turn.is_paused() && self.draining {
            return self.reject(frame_id, Failure::shutting_down());
        }
        let turn_id = Some(Arc::clone(&turn.id));
        self.accept(frame_id, Receipt::new(FrameOutcome::Applied, turn_id));
        self.drive(now, |turn, ctx| {
            turn.continue_for(stream, ctx);
            turn.decide(decision, ctx);
            turn.wait_for_rest(ctx)
        });
    }

    /// Refuses a tool result that is too large.
    pub(super) fn check_result(&self, result: &ToolResult) -> Result<(), Failure> {
        let limit = self.agent.limits.max_tool_result_bytes;
        if result.size_bytes() > limit {
            return Err(too_large("tool result", limit));
        }
        if result.content.len() > MAX_MESSAGE_BLOCKS {
            let text = format!("the tool result has more than {MAX_MESSAGE_BLOCKS} blocks");
            return Err(Failure::new(Reason::LimitExceeded, text));
        }
        Ok(())
    }

    /// Says that a result came too late; without a frame id, as a refusal.
    fn take_late(&mut self, frame_id: Option<String>, turn_id: Option<Arc<str>>, call_id: &str) {
        if frame_id.is_some() {
            self.accept(frame_id, Receipt::new(FrameOutcome::TooLate, turn_id));
        } else {
            self.reject(None, not_pending(call_id));
        }
    }

    /// The turn whose message holds a call that no longer waits.
    fn turn_of_call(&self, call_id: &str) -> Option<Arc<str>> {
        let called = self
            .history
            .messages()
            .iter()
            .rev()
            .find(|message| message.open_calls().any(|call| call.id == call_id))?;
        called
            .origin
            .as_ref()
            .map(|origin| origin.turn_id.as_str().into())
    }

    fn take_interrupt(
        &mut self,
        frame_id: Option<String>,
        turn_id: Option<String>,
        discard_output: bool,
        now: Instant,
    ) {
        let current = match &self.state {
            State::Active(turn) => Some(Arc::clone(&turn.id)),
            State::Idle => None,
        };
        let named = turn_id.as_deref();
        match current {
            Some(current) if named.is_none_or(|named| *current == *named) => {
                self.accept(frame_id, Receipt::new(FrameOutcome::Applied, Some(current)));
                let ending = Ending::interrupted(InterruptionCause::Client);
                let ending = if discard_output {
                    ending.discarding_output()
                } else {
                    ending
                };
                self.end_turn(ending, now);
            }
            Some(_) | None if named.is_none_or(|named| self.ids.knows_turn(named)) => {
                let turn_id = turn_id.map(Arc::from);
                self.accept(frame_id, Receipt::new(FrameOutcome::TooLate, turn_id));
            }
            Some(_) | None => {
                let failure = Failure::new(Reason::TurnNotFound, "there is no such turn");
                self.reject(frame_id, failure);
            }
        }
    }

    fn take_ack(&mut self, frame_id: Option<String>, sequence: u64) {
        let newest = self.out.last_sequence();
        if sequence > newest {
            let text = format!("must not be above {newest}, the newest event of this session");
            return self.reject(frame_id, Failure::invalid("ack.sequence", text));
        }
        self.out.command(Command::Forget(sequence));
        self.accept(frame_id, Receipt::new(FrameOutcome::Applied, None));
    }

    fn take_update(
        &mut self,
        frame_id: Option<String>,
        options: TurnOptions,
        replace_client_tools: bool,
    ) {
        if let Err(failure) = self.tools.check_names("update.options", &options) {
            return self.reject(frame_id, failure);
        }
        let tools = replace_client_tools.then(|| options.client_tools.clone());
        self.unsaved.options = true;
        self.options = options.over(&self.options);
        if let Some(tools) = tools {
            self.options.client_tools = tools;
        }
        self.accept(frame_id, Receipt::new(FrameOutcome::Applied, None));
    }
}
