//! Converse streams that come and go.

use std::time::Instant;

use super::Session;
use crate::{command::Command, input::StreamId, turn::Ending};

impl Session {
    pub(super) fn close_input(&mut self, stream: StreamId, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.input_open = false;
        }
        if !self.streams.values().any(|stream| stream.input_open) {
            self.drive(now, |turn, _| turn.nobody_answers());
        }
    }

    pub(super) fn lose_stream(&mut self, stream: StreamId, cancel: bool, now: Instant) {
        self.close_input(stream, now);
        if self.streams.remove(&stream).is_none() || !cancel {
            return;
        }
        self.queue.retain(|queued| queued.stream != Some(stream));
        if self.running().is_some() {
            self.drive(now, |_, _| Some(Ending::cancelled("the caller went away")));
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
