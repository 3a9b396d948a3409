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
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) input_open: bool,
    pub(super) buffer: InputBuffer,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            input_open: true,
            buffer: InputBuffer::default(),
        }
    }
}

impl Stream {
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffer.size_bytes()
    }
}

impl Session {
    pub(super) fn close_input(&mut self, stream: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        stream.input_open = false;
        let buffer = std::mem::take(&mut stream.buffer);
        self.refuse_unfinished(buffer);
        self.pause_unheard(now);
    }

    pub(super) fn lose_stream(&mut self, id: StreamId, cancel: bool, now: Instant) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        self.refuse_unfinished(stream.buffer);
        if cancel {
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
        let Some(parts) = buffer.discard() else {
            return;
        };
        let failure = Failure::new(
            Reason::FrameOutOfOrder,
            "the stream's input ended before the message's last part",
        );
        self.refuse(&parts, parts.last().cloned(), failure);
    }

    /// Pauses a turn that waits for tool results which no stream can bring.
    fn pause_unheard(&mut self, now: Instant) {
        if !self.streams.values().any(|stream| stream.input_open) {
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
            if !stream.input_open {
                out.command(Command::EndStream(*id));
            }
            stream.input_open
        });
    }
}
