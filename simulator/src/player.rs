//! Plays a reply: which bytes come next, when, and what goes wrong.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::{
    event_stream, events,
    fault::{Cut, Fault, Place},
    live::Event,
    pace::{Metronome, Pace},
    reply::Reply,
    tokens,
};

/// What the player wants next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Bytes were appended to the buffer; more may follow at once.
    Sent,
    /// Nothing to send for so long.
    Wait(Duration),
    /// Nothing to send until the model has said more.
    Starved,
    /// Nothing to send for so long, or for ever.
    Silence(Option<Duration>),
    /// All that was sent so far goes out, then the connection is cut.
    Cut(Cut),
    /// The answer ended; the name says why, if it ended otherwise than it should.
    End(Option<String>),
}

/// What an answer says beside its content; the same for Converse and ConverseStream.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    /// `usage`, `metrics` and whatever else applies, as `metadata` holds them.
    pub(crate) metadata: Value,
}

/// The state of one answer that is being sent.
#[derive(Debug)]
pub(crate) struct Player {
    reply: Arc<Reply>,
    closing: Closing,
    metronome: Metronome,
    at: Position,
    /// Deltas sent so far.
    pub(crate) chunks: u64,
    /// Frames sent so far.
    pub(crate) frames: u64,
    fault_done: bool,
    waited: bool,
    /// Half of the next frame goes out, then the connection is cut.
    cut_in_next_frame: Option<Cut>,
    /// The reply grows while it is played.
    grows: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Headers,
    MessageStart,
    BlockStart {
        block: usize,
    },
    Delta {
        block: usize,
        number: u64,
    },
    BlockStop {
        block: usize,
    },
    MessageStop,
    Metadata,
    Trailing,
    Stop(Option<Cut>),
    Ended,
    /// The whole answer of Converse, sent in up to two halves.
    Whole {
        half: u8,
    },
}

impl Player {
    /// Plays a reply as a stream of frames.
    pub(crate) fn stream(reply: Arc<Reply>, closing: Closing, pace: Pace) -> Self {
        Self::at(reply, closing, pace, Position::Headers)
    }

    /// Plays a reply as one JSON body.
    pub(crate) fn whole(reply: Arc<Reply>, closing: Closing) -> Self {
        Self::at(reply, closing, Pace::default(), Position::Whole { half: 0 })
    }

    /// Plays a reply whose content is not there yet.
    pub(crate) fn growing(reply: Reply, closing: Closing, pace: Pace) -> Self {
        let mut player = Self::stream(Arc::new(reply), closing, pace);
        player.grows = true;
        player
    }

    /// Adds what the model said; `latency_ms` is told when it was the last.
    pub(crate) fn grow(&mut self, event: Event, latency_ms: u64) {
        self.grows = !event.is_last();
        let end = Place::AfterChunk(self.chunks);
        Arc::make_mut(&mut self.reply).grow(event, end);
        if let Some(usage) = &self.reply.usage {
            self.closing.metadata["usage"] = usage.to_json();
            self.closing.metadata["metrics"]["latencyMs"] = json!(latency_ms);
        }
    }

    fn at(reply: Arc<Reply>, closing: Closing, pace: Pace, at: Position) -> Self {
        Self {
            reply,
            closing,
            metronome: Metronome::new(pace),
            at,
            chunks: 0,
            frames: 0,
            fault_done: false,
            waited: false,
            cut_in_next_frame: None,
            grows: false,
        }
    }

    /// The most bytes that one write to the socket may hold.
    pub(crate) fn bytes_per_write(&self) -> Option<usize> {
        self.reply.faults.bytes_per_write
    }

    /// The next step; appends to `out` what is to be sent.
    pub(crate) fn step(&mut self, out: &mut BytesMut) -> Step {
        match self.at {
            Position::Headers => {
                if self.reply.faults.end_after_headers {
                    self.at = Position::Ended;
                    return self.end();
                }
                self.at = Position::MessageStart;
                if let Some(step) = self.fault(Place::AfterHeaders, out) {
                    return step;
                }
                self.step(out)
            }
            Position::MessageStart => {
                self.at = Position::BlockStart { block: 0 };
                self.frame(out, |_, out| events::message_start(out))
            }
            Position::BlockStart { block } => {
                if block == 0
                    && let Some(step) = self.fault(Place::AfterChunk(0), out)
                {
                    return step;
                }
                let reply = Arc::clone(&self.reply);
                let Some(content) = reply.content.get(block) else {
                    if self.grows {
                        return Step::Starved;
                    }
                    self.at = Position::MessageStop;
                    return self.step(out);
                };
                self.at = Position::Delta { block, number: 0 };
                let start = out.len();
                if events::block_start(out, content, block as u64) {
                    return self.framed(out, start);
                }
                self.step(out)
            }
            Position::Delta { block, number } => self.delta(block, number, out),
            Position::BlockStop { block } => {
                self.at = Position::BlockStart { block: block + 1 };
                self.frame(out, |_, out| events::block_stop(out, block as u64))
            }
            Position::MessageStop => {
                if let Some(step) = self.unreached_fault(out) {
                    return step;
                }
                self.at = Position::Metadata;
                if self.reply.faults.omit_message_stop {
                    return self.step(out);
                }
                self.frame(out, |player, out| {
                    let reply = &player.reply;
                    events::message_stop(out, &reply.stop_reason, reply.additional_fields.as_ref());
                })
            }
            Position::Metadata => {
                self.at = Position::Trailing;
                if self.reply.faults.omit_metadata {
                    return self.step(out);
                }
                self.frame(out, |player, out| {
                    events::metadata(out, &player.closing.metadata)
                })
            }
            Position::Trailing => {
                self.at = Position::Ended;
                match self.reply.faults.trailing_delay {
                    Some(delay) => Step::Wait(delay),
                    None => self.end(),
                }
            }
            Position::Stop(cut) => match cut {
                Some(how) => Step::Cut(how),
                None => self.end(),
            },
            Position::Ended => self.end(),
            Position::Whole { half } => self.whole_step(half, out),
        }
    }

    fn end(&self) -> Step {
        let name = match &self.reply.faults.at {
            Some((_, Fault::Exception(exception))) if self.fault_done => {
                Some(exception.name.to_string())
            }
            _ => self.reply.faults.lasting().map(str::to_owned),
        };
        Step::End(name)
    }

    fn delta(&mut self, block: usize, number: u64, out: &mut BytesMut) -> Step {
        let reply = Arc::clone(&self.reply);
        let Some(content) = reply
            .content
            .get(block)
            .filter(|it| number < it.delta_count())
        else {
            if self.grows && block + 1 == reply.content.len() {
                return Step::Starved;
            }
            self.at = Position::BlockStop { block };
            return self.step(out);
        };
        if !self.waited && !self.metronome.is_at_once() {
            self.waited = true;
            let wait = self
                .metronome
                .before_chunk(tokens::of_text(content.delta_text(number)));
            if !wait.is_zero() {
                return Step::Wait(wait);
            }
        }
        self.waited = false;
        self.at = Position::Delta {
            block,
            number: number + 1,
        };
        let start = out.len();
        let stamp = reply.stamped.then(SystemTime::now);
        events::block_delta(out, content, block as u64, number, stamp);
        self.chunks += 1;
        let step = self.framed(out, start);
        if step != Step::Sent {
            return step;
        }
        self.fault(Place::AfterChunk(self.chunks), out)
            .unwrap_or(Step::Sent)
    }

    /// The fault of a place, once.
    fn fault(&mut self, place: Place, out: &mut BytesMut) -> Option<Step> {
        if self.fault_done {
            return None;
        }
        let reply = Arc::clone(&self.reply);
        let fault = reply.faults.at(place)?;
        Some(self.happen(fault, out))
    }

    /// The fault whose place lies behind the last piece of content.
    fn unreached_fault(&mut self, out: &mut BytesMut) -> Option<Step> {
        let reply = Arc::clone(&self.reply);
        match &reply.faults.at {
            Some((Place::AfterChunk(_), fault)) if !self.fault_done => {
                Some(self.happen(fault, out))
            }
            _ => None,
        }
    }

    fn happen(&mut self, fault: &Fault, out: &mut BytesMut) -> Step {
        self.fault_done = true;
        match fault {
            Fault::Exception(exception) => {
                self.at = Position::Stop(None);
                self.frame(out, |_, out| events::exception(out, exception))
            }
            Fault::Cut {
                how,
                mid_frame: true,
            } => {
                self.cut_in_next_frame = Some(*how);
                self.step(out)
            }
            Fault::Cut {
                how,
                mid_frame: false,
            } => {
                self.at = Position::Stop(Some(*how));
                Step::Cut(*how)
            }
            Fault::Silence(duration) => Step::Silence(*duration),
        }
    }

    fn frame(&mut self, out: &mut BytesMut, write: impl FnOnce(&Self, &mut BytesMut)) -> Step {
        let start = out.len();
        write(self, out);
        self.framed(out, start)
    }

    /// Counts the frame that begins at `start`, and does to it what the faults say.
    fn framed(&mut self, out: &mut BytesMut, start: usize) -> Step {
        if let Some(how) = self.cut_in_next_frame.take() {
            out.truncate(start + (out.len() - start) / 2);
            self.at = Position::Stop(Some(how));
            return Step::Cut(how);
        }
        self.frames += 1;
        if let Some((frame, checksum)) = self.reply.faults.bad_checksum
            && frame == self.frames
        {
            event_stream::spoil(out, start, checksum);
        }
        Step::Sent
    }

    /// The body of Converse: faults within the answer strike after its first half.
    fn whole_step(&mut self, half: u8, out: &mut BytesMut) -> Step {
        let body = self.whole_body();
        let middle = body.len() / 2;
        let reply = Arc::clone(&self.reply);
        match (half, &reply.faults.at) {
            (0, Some((Place::AfterHeaders, Fault::Silence(duration)))) if !self.fault_done => {
                self.fault_done = true;
                Step::Silence(*duration)
            }
            (0, Some((Place::AfterChunk(_) | Place::AfterHeaders, Fault::Cut { how, .. }))) => {
                out.put_slice(&body[..middle]);
                self.at = Position::Stop(Some(*how));
                Step::Cut(*how)
            }
            (0, Some((Place::AfterChunk(_), Fault::Silence(duration)))) => {
                out.put_slice(&body[..middle]);
                self.fault_done = true;
                self.at = Position::Whole { half: 1 };
                Step::Silence(*duration)
            }
            (0, _) => {
                out.put_slice(&body);
                self.at = Position::Ended;
                Step::Sent
            }
            (_, _) => {
                out.put_slice(&body[middle..]);
                self.at = Position::Ended;
                Step::Sent
            }
        }
    }

    /// The body of Converse.
    pub(crate) fn whole_body(&self) -> Bytes {
        let mut body = self.closing.metadata.clone();
        body["output"] = json!({"message": self.reply.message()});
        body["stopReason"] = json!(self.reply.stop_reason);
        if let Some(fields) = &self.reply.additional_fields {
            body["additionalModelResponseFields"] = fields.clone();
        }
        Bytes::from(body.to_string())
    }
}
