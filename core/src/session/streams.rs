//! Converse streams that come and go.

use std::time::Instant;

use super::{Session, State, inputs::InputBuffer};
use crate::{
    command::Command,
    error::{Failure, Reason},
    input::StreamId,
    turn::Ending,
};

/// A Converse stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) input: InputState,
    pub(super) buffer: InputBuffer,
}

/// Whether a stream brings frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum InputState {
    /// It does.
    #[default]
    Open,
    /// Another stream does in its place.
    TakenOver,
    /// It was half-closed.
    Closed,
    /// It was half-closed after another had taken its place.
    TakenOverAndClosed,
}

impl InputState {
    fn is_taken_over(self) -> bool {
        matches!(self, Self::TakenOver | Self::TakenOverAndClosed)
    }

    fn is_closed(self) -> bool {
        matches!(self, Self::Closed | Self::TakenOverAndClosed)
    }
}

impl Stream {
    pub(super) fn is_heard(&self) -> bool {
        self.input == InputState::Open
    }

    /// Ids of the parts of a message whose last part has not come.
    pub(super) fn parts(&self) -> Option<&[String]> {
        self.buffer.parts()
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffer.size_bytes()
    }
}

impl Session {
    /// Opens a stream, which brings the session's frames from here on.
    ///
    /// What an earlier stream had asked for is the new one's: they are the same client's, which
    /// has come back before it was seen to go.
    pub(super) fn open_stream(&mut self, id: StreamId) {
        let mut unfinished = Vec::new();
        for (earlier, stream) in &mut self.streams {
            if !stream.is_heard() {
                continue;
            }
            stream.input = InputState::TakenOver;
            unfinished.push(std::mem::take(&mut stream.buffer));
            self.out.command(Command::TakeOver(*earlier));
            if let State::Active(turn) = &mut self.state {
                turn.hand_over(*earlier, id);
            }
            for message in &mut self.queue {
                message.hand_over(*earlier, id);
            }
        }
        self.streams.insert(id, Stream::default());
        for buffer in unfinished {
            self.refuse_unfinished(buffer);
        }
    }

    pub(super) fn is_taken_over(&self, id: StreamId) -> bool {
        let stream = self.streams.get(&id);
        stream.is_some_and(|stream| stream.input.is_taken_over())
    }

    pub(super) fn close_input(&mut self, stream: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        stream.input = if stream.input.is_taken_over() {
            InputState::TakenOverAndClosed
        } else {
            InputState::Closed
        };
        let buffer = std::mem::take(&mut stream.buffer);
        self.refuse_unfinished(buffer);
        self.pause_unheard(now);
    }

    pub(super) fn lose_stream(&mut self, id: StreamId, cancel: bool, now: Instant) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        let was_taken_over = stream.input.is_taken_over();
        self.refuse_unfinished(stream.buffer);
        if cancel && !was_taken_over {
            self.cancel_work_of(id, now);
        }
        self.pause_unheard(now);
    }

    /// Cancels the running turn of a stream, and refuses what it brought for later.
    ///
    /// A turn of a stream that left earlier goes with it too, since nobody else asked for it; one
    /// of another stream or of another call does not.
    fn cancel_work_of(&mut self, id: StreamId, now: Instant) {
        let is_its_own = self
            .running()
            .and_then(|turn| turn.stream)
            .is_some_and(|owner| owner == id || !self.streams.contains_key(&owner));
        if is_its_own {
            self.end_turn(Ending::cancelled("the caller went away"), now);
        }
        let mut dropped = match &mut self.state {
            State::Active(turn) => turn.drop_steering(id),
            State::Idle => Vec::new(),
        };
        for message in std::mem::take(&mut self.queue) {
            if message.stream == Some(id) {
                dropped.push(message);
            } else {
                self.queue.push_back(message);
            }
        }
        for message in dropped {
            let failure = Failure::new(Reason::Cancelled, "the caller went away");
            self.refuse(&message.parts, message.frame_id, failure);
        }
    }

    /// A message whose last part will not come is refused as a whole.
    fn refuse_unfinished(&mut self, mut buffer: InputBuffer) {
        if let Some(parts) = buffer.discard() {
            self.refuse_parts(&parts);
        }
    }

    pub(super) fn refuse_parts(&mut self, parts: &[String]) {
        let failure = Failure::new(
            Reason::FrameOutOfOrder,
            "the stream's input ended before the message's last part",
        );
        self.refuse(parts, parts.last().cloned(), failure);
    }

    /// Pauses a turn that waits for tool results which no stream can bring.
    fn pause_unheard(&mut self, now: Instant) {
        if !self.streams.values().any(Stream::is_heard) {
            self.drive(now, |turn, _| turn.nobody_answers());
        }
    }

    /// Ends the streams that brought all they had and have seen all that came of it.
    pub(super) fn end_streams(&mut self) {
        if !self.is_idle() {
            return;
        }
        let out = &mut self.out;
        self.streams.retain(|id, stream| {
            let is_over = stream.input.is_closed();
            if is_over {
                out.command(Command::EndStream(*id));
            }
            !is_over
        });
    }
}
