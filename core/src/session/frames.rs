//! What a client's frame does, by the state it meets.

use std::{sync::Arc, time::Instant};

use super::{Queued, Session, State, cause_of, not_pending, shutting_down, size_of};
use crate::{
    error::{Failure, Reason},
    event::{FrameAccepted, FrameOutcome, Payload},
    input::{Frame, FrameBody, InputPolicy, StreamId, UserInput},
    message::Block,
    options::TurnOptions,
    tool::ToolResult,
    turn::{Ending, Match, Steering},
};

/// The parts of a message that comes in several frames.
#[derive(Debug, Default)]
pub(super) struct InputBuffer {
    content: Vec<Block>,
    /// A part was refused: so are the others, up to the last.
    refused: bool,
}

/// What was done with a frame.
struct Receipt {
    outcome: FrameOutcome,
    turn_id: Option<Arc<str>>,
    queue_position: usize,
}

impl Receipt {
    fn new(outcome: FrameOutcome, turn_id: Option<Arc<str>>) -> Self {
        Self {
            outcome,
            turn_id,
            queue_position: 0,
        }
    }
}

impl Session {
    pub(super) fn take_frame(&mut self, stream: StreamId, frame: Frame, now: Instant) {
        let Frame { id, body } = frame;
        if let Some(known) = id.as_deref().and_then(|id| self.receipts.find(id)) {
            let receipt = FrameAccepted {
                duplicate: true,
                ..known.clone()
            };
            self.out.tell(None, 0, 0, Payload::FrameAccepted(receipt));
            return;
        }
        match body {
            FrameBody::Setup => self.accept(id, Receipt::new(FrameOutcome::Applied, None)),
            FrameBody::UserInput(input) => self.take_input(stream, id, input, now),
            FrameBody::ToolResult(result) => self.take_tool_result(id, result, now),
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
            FrameBody::Invalid(failure) => self.reject(id, failure),
        }
    }

    fn accept(&mut self, frame_id: Option<String>, receipt: Receipt) {
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

    fn take_input(
        &mut self,
        stream: StreamId,
        frame_id: Option<String>,
        input: UserInput,
        now: Instant,
    ) {
        let policy = input.policy.unwrap_or_default();
        let (more_follows, context_only) = (input.more_follows, input.context_only);
        let content = match self.gather(stream, input) {
            Ok(Some(content)) => content,
            Ok(None) => return self.accept(frame_id, Receipt::new(FrameOutcome::Applied, None)),
            Err(failure) => return self.reject(frame_id, failure),
        };
        debug_assert!(
            !more_follows,
            "a message with more to follow is not complete"
        );
        if self.draining {
            return self.reject(frame_id, shutting_down());
        }
        let waiting: usize = self
            .queue
            .iter()
            .map(|queued| size_of(&queued.content))
            .sum();
        if let Err(failure) = self.check_room(waiting + size_of(&content)) {
            return self.reject(frame_id, failure);
        }
        let State::Active(turn) = &self.state else {
            if context_only {
                self.add_context(content, now);
                return self.accept(frame_id, Receipt::new(FrameOutcome::Applied, None));
            }
            let next = self.ids.next_turn();
            self.accept(
                frame_id.clone(),
                Receipt::new(FrameOutcome::StartedTurn, Some(next)),
            );
            return self.start_from_frame(frame_id, content, now);
        };
        let turn_id = Arc::clone(&turn.id);
        match policy {
            InputPolicy::Reject => {
                let text = "another turn runs in this session";
                let failure = Failure::new(Reason::TurnInProgress, text);
                self.reject(frame_id, failure.fact("turn_id", &*turn_id));
            }
            // Context starts nothing, so it interrupts nothing either.
            InputPolicy::Queue
            | InputPolicy::Steer
            | InputPolicy::Interrupt
            | InputPolicy::Replace
                if context_only =>
            {
                self.enqueue(stream, frame_id, content, true);
            }
            InputPolicy::Queue => self.enqueue(stream, frame_id, content, false),
            // A paused turn makes its next model call when its results come.
            InputPolicy::Steer => self.steer(stream, frame_id, content),
            InputPolicy::Interrupt | InputPolicy::Replace => {
                let ending = Ending::interrupted(cause_of(true));
                let ending = match policy {
                    InputPolicy::Replace => ending.discarding_turn(),
                    InputPolicy::Interrupt
                    | InputPolicy::Queue
                    | InputPolicy::Steer
                    | InputPolicy::Reject => ending,
                };
                let receipt = Receipt::new(FrameOutcome::Interrupted, Some(turn_id));
                self.accept(frame_id.clone(), receipt);
                // It starts before what waits: it stands at the head when the turn has ended.
                self.queue.push_front(Queued {
                    frame_id,
                    stream: Some(stream),
                    content,
                    context_only: false,
                });
                self.interrupt(ending, now);
            }
        }
    }

    /// Joins the parts of a message; gives the whole once its last part is there.
    fn gather(
        &mut self,
        stream: StreamId,
        input: UserInput,
    ) -> Result<Option<Vec<Block>>, Failure> {
        let limit = self.agent.limits.max_input_bytes;
        let Some(stream) = self.streams.get_mut(&stream) else {
            return Err(Failure::new(
                Reason::FrameOutOfOrder,
                "the stream's input was closed",
            ));
        };
        let buffer = &mut stream.buffer;
        let refused = buffer.refused;
        buffer.content.extend(input.content);
        let too_large = size_of(&buffer.content) > limit;
        if refused || too_large {
            buffer.content = Vec::new();
            buffer.refused = input.more_follows;
            let text = if refused && !too_large {
                "an earlier part of this message was refused".to_owned()
            } else {
                format!("the message is larger than {limit} bytes")
            };
            return Err(Failure::new(Reason::LimitExceeded, text));
        }
        if input.more_follows {
            return Ok(None);
        }
        let content = std::mem::take(&mut buffer.content);
        if content.is_empty() {
            return Err(Failure::invalid(
                "input.content",
                "must hold at least one block",
            ));
        }
        Ok(Some(content))
    }

    fn enqueue(
        &mut self,
        stream: StreamId,
        frame_id: Option<String>,
        content: Vec<Block>,
        context_only: bool,
    ) {
        let ahead = self.queue.len();
        if let Err(failure) = self.check_queue() {
            return self.reject(frame_id, failure);
        }
        let receipt = Receipt {
            queue_position: ahead,
            ..Receipt::new(FrameOutcome::Queued, None)
        };
        self.accept(frame_id.clone(), receipt);
        self.queue.push_back(Queued {
            frame_id,
            stream: Some(stream),
            content,
            context_only,
        });
    }

    fn steer(&mut self, stream: StreamId, frame_id: Option<String>, content: Vec<Block>) {
        if let Err(failure) = self.check_queue() {
            return self.reject(frame_id, failure);
        }
        let State::Active(turn) = &mut self.state else {
            return;
        };
        let receipt = Receipt::new(FrameOutcome::Steered, Some(Arc::clone(&turn.id)));
        turn.steer(Steering {
            frame_id: frame_id.clone(),
            stream: Some(stream),
            content,
        });
        self.accept(frame_id, receipt);
    }

    fn check_queue(&self) -> Result<(), Failure> {
        let steering = match &self.state {
            State::Active(turn) => turn.steering_len(),
            State::Idle => 0,
        };
        let limit = self.agent.limits.max_queued_inputs;
        if self.queue.len() + steering < limit {
            return Ok(());
        }
        let text = format!("{limit} inputs wait in this session, and no more may");
        Err(Failure::new(Reason::ConcurrencyLimited, text))
    }

    fn take_tool_result(&mut self, frame_id: Option<String>, result: ToolResult, now: Instant) {
        let limit = self.agent.limits.max_tool_result_bytes;
        if result.size_bytes() > limit {
            let text = format!("the tool result is larger than {limit} bytes");
            return self.reject(frame_id, Failure::new(Reason::LimitExceeded, text));
        }
        let (met, turn_id, paused) = match &self.state {
            State::Active(turn) => (
                turn.match_result(&result.call_id),
                Some(Arc::clone(&turn.id)),
                turn.is_paused(),
            ),
            State::Idle => (Match::Unknown, None, false),
        };
        match met {
            Match::Open => {
                if let Err(failure) = self.check_room(result.size_bytes()) {
                    return self.reject(frame_id, failure);
                }
                if paused && self.draining {
                    return self.reject(frame_id, shutting_down());
                }
                self.accept(frame_id, Receipt::new(FrameOutcome::Applied, turn_id));
                self.drive(now, |turn, ctx| {
                    if turn.is_paused() {
                        turn.continue_turn(ctx);
                    }
                    turn.take_result(result, ctx)
                });
            }
            Match::Answered => {
                self.late(frame_id, turn_id, &result.call_id);
            }
            Match::Unknown => {
                let known = self.ended_call(&result.call_id);
                match known {
                    Some(turn_id) => self.late(frame_id, Some(turn_id), &result.call_id),
                    None => self.reject(frame_id, not_pending(&result.call_id)),
                }
            }
        }
    }

    /// Says that a result came too late; without a frame id, as a refusal.
    fn late(&mut self, frame_id: Option<String>, turn_id: Option<Arc<str>>, call_id: &str) {
        if frame_id.is_some() {
            self.accept(frame_id, Receipt::new(FrameOutcome::TooLate, turn_id));
        } else {
            self.reject(None, not_pending(call_id));
        }
    }

    /// The turn whose message holds a call that no longer waits.
    fn ended_call(&self, call_id: &str) -> Option<Arc<str>> {
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
                let ending = Ending::interrupted(cause_of(false));
                let ending = if discard_output {
                    ending.discarding_output()
                } else {
                    ending
                };
                self.interrupt(ending, now);
            }
            Some(_) | None if named.is_none_or(|named| self.has_ended(named)) => {
                let turn_id = turn_id.map(Arc::from);
                self.accept(frame_id, Receipt::new(FrameOutcome::TooLate, turn_id));
            }
            Some(_) | None => {
                let failure = Failure::new(Reason::TurnNotFound, "there is no such turn");
                self.reject(frame_id, failure);
            }
        }
    }

    fn has_ended(&self, turn_id: &str) -> bool {
        self.ended.iter().any(|result| *result.turn_id == *turn_id)
    }

    fn take_update(
        &mut self,
        frame_id: Option<String>,
        options: TurnOptions,
        replace_client_tools: bool,
    ) {
        let tools = replace_client_tools.then(|| options.client_tools.clone());
        self.options = options.over(&self.options);
        if let Some(tools) = tools {
            self.options.client_tools = tools;
        }
        self.accept(frame_id, Receipt::new(FrameOutcome::Applied, None));
    }
}
