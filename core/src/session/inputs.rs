//! A user's message: how its parts are gathered, and what becomes of it while a turn runs.

use std::{sync::Arc, time::Instant};

use super::{Session, State, frames::Receipt, size_of, too_large};
use crate::{
    error::{Failure, Reason},
    event::{FrameOutcome, InterruptionCause},
    history::is_void,
    input::{InputPolicy, StreamId, UserInput},
    limits::MAX_MESSAGE_BLOCKS,
    message::Block,
    saved::Words,
    turn::Ending,
};

/// A user's message that is whole.
#[derive(Debug)]
pub(crate) struct UserMessage {
    /// Its last frame, when that had an id.
    pub(crate) frame_id: Option<String>,
    /// Ids of the frames before the last.
    pub(crate) parts: Vec<String>,
    /// The stream that brought it.
    pub(crate) stream: Option<StreamId>,
    pub(crate) content: Vec<Block>,
    pub(crate) context_only: bool,
}

impl UserMessage {
    pub(crate) fn size_bytes(&self) -> usize {
        size_of(&self.content)
    }

    /// Makes what one stream brought another's.
    pub(crate) fn hand_over(&mut self, from: StreamId, to: StreamId) {
        if self.stream == Some(from) {
            self.stream = Some(to);
        }
    }

    pub(crate) fn save(&self) -> Words {
        Words {
            frame_id: self.frame_id.clone(),
            parts: self.parts.clone(),
            content: self.content.clone(),
            context_only: self.context_only,
        }
    }

    /// Takes up what was kept; the stream that brought it is no more.
    pub(crate) fn restore(saved: Words) -> Self {
        Self {
            frame_id: saved.frame_id,
            parts: saved.parts,
            stream: None,
            content: saved.content,
            context_only: saved.context_only,
        }
    }
}

/// The parts of a message that comes in several frames.
#[derive(Debug, Default)]
pub(super) struct InputBuffer {
    content: Vec<Block>,
    /// Ids of the parts.
    parts: Vec<String>,
    /// Number of parts, named or not.
    len: usize,
    /// A part was refused: so are the others, up to the last.
    refused: bool,
}

impl InputBuffer {
    pub(super) fn size_bytes(&self) -> usize {
        size_of(&self.content)
    }

    /// Drops what was gathered; gives the ids of the parts, if there were any parts.
    pub(super) fn discard(&mut self) -> Option<Vec<String>> {
        let gathered = std::mem::take(self);
        (gathered.len > 0).then_some(gathered.parts)
    }

    /// Drops what was gathered, since a part was refused; gives the ids of the parts.
    pub(super) fn spoil(&mut self, more_follows: bool) -> Vec<String> {
        let parts = self.discard().unwrap_or_default();
        self.refused = more_follows;
        parts
    }

    /// Ids of the parts, when there are parts.
    pub(super) fn parts(&self) -> Option<&[String]> {
        (self.len > 0).then_some(&*self.parts)
    }

    /// True between the first part of a message and its last.
    pub(super) fn is_gathering(&self) -> bool {
        self.len > 0 || self.refused
    }

    /// Says why the message cannot be taken, with the part just added.
    fn fault(&self, more_follows: bool, max_bytes: usize) -> Option<Failure> {
        if self.refused {
            return Some(Failure::new(
                Reason::FrameOutOfOrder,
                "an earlier part of this message was refused: send it from its first part",
            ));
        }
        if self.size_bytes() > max_bytes {
            return Some(too_large("message", max_bytes));
        }
        if self.content.len() + self.len > MAX_MESSAGE_BLOCKS {
            let text = format!("the message has more than {MAX_MESSAGE_BLOCKS} blocks or parts");
            return Some(Failure::new(Reason::LimitExceeded, text));
        }
        let is_void = !more_follows && self.content.iter().all(is_void);
        is_void.then(|| {
            let text = "must hold at least one block that is not blank";
            Failure::invalid("input.content", text)
        })
    }
}

impl Session {
    pub(super) fn take_input(
        &mut self,
        stream_id: StreamId,
        frame_id: Option<String>,
        input: UserInput,
        now: Instant,
    ) {
        let limit = self.agent.limits.max_input_bytes;
        let Some(stream) = self
            .streams
            .get_mut(&stream_id)
            .filter(|stream| stream.is_heard())
        else {
            let text = "the stream's input was closed";
            return self.reject(frame_id, Failure::new(Reason::FrameOutOfOrder, text));
        };
        let UserInput {
            content,
            more_follows,
            context_only,
            policy,
        } = input;
        let buffer = &mut stream.buffer;
        buffer.content.extend(content);
        let fault = if self.draining {
            Some(Failure::shutting_down())
        } else {
            buffer.fault(more_follows, limit)
        };
        if let Some(failure) = fault {
            let parts = buffer.spoil(more_follows);
            return self.refuse(&parts, frame_id, failure);
        }
        if more_follows {
            buffer.len += 1;
            buffer.parts.extend(frame_id.clone());
            return self.accept(frame_id, Receipt::new(FrameOutcome::Applied, None));
        }
        let gathered = std::mem::take(buffer);
        let message = UserMessage {
            frame_id,
            parts: gathered.parts,
            stream: Some(stream_id),
            content: gathered.content,
            context_only,
        };
        if let Err(failure) = self.check_room(&message.content) {
            return self.refuse(&message.parts, message.frame_id, failure);
        }
        self.place(message, policy.unwrap_or_default(), now);
    }

    /// Does with a whole message what its policy says.
    fn place(&mut self, message: UserMessage, policy: InputPolicy, now: Instant) {
        let State::Active(turn) = &self.state else {
            return self.take_at_once(message, now);
        };
        let turn_id = Arc::clone(&turn.id);
        match policy {
            InputPolicy::Reject => {
                let failure =
                    Failure::new(Reason::TurnInProgress, "another turn runs in this session")
                        .fact("turn_id", &*turn_id);
                self.refuse(&message.parts, message.frame_id, failure);
            }
            // Context starts nothing, so it interrupts nothing either.
            InputPolicy::Queue
            | InputPolicy::Steer
            | InputPolicy::Interrupt
            | InputPolicy::Replace
                if message.context_only =>
            {
                self.enqueue(message);
            }
            InputPolicy::Queue => self.enqueue(message),
            // A paused turn makes its next model call when its results come.
            InputPolicy::Steer => self.steer(message),
            InputPolicy::Interrupt => {
                let ending = Ending::interrupted(InterruptionCause::NewInput);
                self.interrupt_with(message, turn_id, ending, now);
            }
            InputPolicy::Replace => {
                let ending = Ending::interrupted(InterruptionCause::NewInput).discarding_turn();
                self.interrupt_with(message, turn_id, ending, now);
            }
        }
    }

    fn take_at_once(&mut self, message: UserMessage, now: Instant) {
        if message.context_only {
            self.add_context(message.content, now);
            let receipt = Receipt::new(FrameOutcome::Applied, None);
            return self.accept(message.frame_id, receipt);
        }
        let next = self.ids.next_turn();
        let receipt = Receipt::new(FrameOutcome::StartedTurn, Some(next));
        self.accept(message.frame_id.clone(), receipt);
        self.start_from_frame(message, now);
    }

    fn enqueue(&mut self, message: UserMessage) {
        if let Err(failure) = self.check_queue() {
            return self.refuse(&message.parts, message.frame_id, failure);
        }
        let receipt = Receipt {
            queue_position: self.queue.len(),
            ..Receipt::new(FrameOutcome::Queued, None)
        };
        self.accept(message.frame_id.clone(), receipt);
        self.queue.push_back(message);
    }

    fn steer(&mut self, message: UserMessage) {
        if let Err(failure) = self.check_queue() {
            return self.refuse(&message.parts, message.frame_id, failure);
        }
        let State::Active(turn) = &mut self.state else {
            return;
        };
        let receipt = Receipt::new(FrameOutcome::Steered, Some(Arc::clone(&turn.id)));
        let frame_id = message.frame_id.clone();
        turn.steer(message);
        self.accept(frame_id, receipt);
    }

    fn interrupt_with(
        &mut self,
        message: UserMessage,
        turn_id: Arc<str>,
        ending: Ending,
        now: Instant,
    ) {
        let receipt = Receipt::new(FrameOutcome::Interrupted, Some(turn_id));
        self.accept(message.frame_id.clone(), receipt);
        self.end_turn(ending, now);
        // It starts before what waits, and before what had joined the turn it ended.
        self.queue.push_front(message);
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
}
