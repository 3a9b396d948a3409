//! The frames of a conversation that wait: to be sent, and for their receipts.
//!
//! Knows neither channels nor time. A frame stays until the server has told what became of it, so
//! that it can be sent again, by the same name and in its place, when the connection is lost. Of a
//! message in several parts all stay until the last has its receipt, since a server drops an
//! unfinished message with the stream that brought it.

use std::collections::VecDeque;

use prost::Message as _;

use crate::pb::{self, converse_request::Frame};

/// Frames that may wait for their receipts: many times what a server queues.
const MOST_FRAMES: usize = 256;

/// Bytes that may wait for their receipts; a frame that exceeds them alone is taken when none wait.
const MOST_BYTES: usize = 16 << 20;

/// Frames that may wait to be sent where none are kept for their receipts: enough that a prompt
/// and an interrupt never wait for each other, small since a frame may hold megabytes.
const MOST_UNSENT: usize = 8;

/// Frames that wait, oldest first.
#[derive(Debug)]
pub(super) struct Frames {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Frames are kept until their receipts.
    keeps: bool,
    input: Input,
    /// Counts the connections; frames sent on an earlier one were not sent.
    connection: u64,
    messages: Messages,
    ack: Option<i64>,
    is_closed: bool,
    has_ended: bool,
}

/// Whether the server takes input from the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// It does.
    Open,
    /// It stops: what would start something waits for the next connection.
    Draining,
    /// Another conversation has it.
    TakenOver,
}

/// The messages that come in parts.
#[derive(Debug, Default)]
struct Messages {
    /// Number of the newest.
    newest: u64,
    /// Its last part is yet to come.
    is_open: bool,
    /// The one of which a part was refused, and on which connection.
    spoiled: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Entry {
    frame: pb::ConverseRequest,
    bytes: usize,
    /// The message that it is a part of, and whether it is the last.
    part: Option<Part>,
    /// The connection on which it was sent.
    sent: Option<u64>,
    /// It was sent on an earlier connection, too.
    was_sent: bool,
    /// The connection on which it is not to be sent again.
    held: Option<u64>,
    /// Its receipt was told, and the rest of its message waits for theirs.
    has_receipt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    message: u64,
    is_last: bool,
}

/// Why a frame is not taken.
#[derive(Debug, PartialEq)]
pub(super) enum Refused {
    /// There is no room yet; the frame comes back.
    Full(Box<pb::ConverseRequest>),
    /// No more input was to follow, or nobody is left to send it.
    Closed,
    /// Another conversation has the input.
    TakenOver,
}

/// What a connection sends next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    Frame(Box<pb::ConverseRequest>),
    Wait,
    End,
}

impl Frames {
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            keeps,
            input: Input::Open,
            connection: 0,
            messages: Messages::default(),
            ack: None,
            is_closed: false,
            has_ended: false,
        }
    }

    /// Takes a frame in, when there is room.
    pub(super) fn push(&mut self, frame: pb::ConverseRequest) -> Result<(), Refused> {
        if self.input == Input::TakenOver {
            return Err(Refused::TakenOver);
        }
        if self.is_closed || self.has_ended {
            return Err(Refused::Closed);
        }
        if !self.has_room() {
            return Err(Refused::Full(Box::new(frame)));
        }
        let bytes = frame.encoded_len();
        let part = self.messages.place(&frame);
        self.bytes += bytes;
        self.entries.push_back(Entry {
            frame,
            bytes,
            part,
            sent: None,
            was_sent: false,
            held: None,
            has_receipt: false,
        });
        Ok(())
    }

    /// Begins a connection, on which everything is to be sent again.
    pub(super) fn connect(&mut self) -> u64 {
        self.connection += 1;
        if self.input == Input::Draining {
            self.input = Input::Open;
        }
        for entry in &mut self.entries {
            entry.was_sent |= entry.sent.take().is_some();
        }
        self.connection
    }

    /// Gives the connection what it is to send next.
    pub(super) fn next(&mut self, connection: u64) -> Next {
        if self.has_ended || connection != self.connection {
            return Next::End;
        }
        self.forget_spoiled();
        let input = self.input;
        let mut unsent = self.entries.iter().enumerate();
        let next = unsent.find(|(_, entry)| {
            let waits = input == Input::Draining && starts_something(&entry.frame);
            entry.sent.is_none() && entry.held != Some(connection) && !waits
        });
        if let Some((at, _)) = next {
            return Next::Frame(Box::new(self.send(at)));
        }
        if input != Input::TakenOver
            && let Some(sequence) = self.ack.take()
        {
            return Next::Frame(Box::new(pb::ConverseRequest {
                // A receipt for a receipt would be another event.
                frame_id: String::new(),
                frame: Some(Frame::Ack(pb::Ack { sequence })),
            }));
        }
        let all_sent = self.entries.iter().all(|entry| entry.sent.is_some());
        if self.is_closed && all_sent {
            return Next::End;
        }
        Next::Wait
    }

    /// Takes note of a receipt; false when it repeats what was told.
    pub(super) fn accepted(&mut self, receipt: &pb::FrameAccepted) -> bool {
        let Some(at) = self.position(&receipt.frame_id) else {
            return !receipt.duplicate;
        };
        let entry = &mut self.entries[at];
        let is_news = !std::mem::replace(&mut entry.has_receipt, true);
        match entry.part {
            Some(Part { message, is_last }) if is_last => self.remove_parts(message),
            Some(_) => {}
            None => self.remove(at),
        }
        is_news
    }

    /// Takes note of a refusal; false when the frame is sent again in spite of it.
    pub(super) fn rejected(&mut self, refusal: &pb::FrameRejected) -> bool {
        use pb::ErrorReason as Reason;

        let reason = refusal.error.as_ref().map(pb::TurnError::reason);
        let Some(at) = self.position(&refusal.frame_id) else {
            return true;
        };
        let Entry { part, was_sent, .. } = self.entries[at];
        // It speaks to the stream from which this one took the input over.
        if reason == Some(Reason::InputTakenOver) && self.input != Input::TakenOver {
            return false;
        }
        if reason == Some(Reason::ShuttingDown) && self.keeps && self.input != Input::TakenOver {
            self.hold(at);
            return false;
        }
        let Some(Part { message, .. }) = part else {
            self.remove(at);
            return true;
        };
        let is_spoiled = self.messages.is_spoiled(message);
        if reason == Some(Reason::FrameOutOfOrder) && was_sent && !is_spoiled {
            // The server dropped what it had gathered of the message on the lost connection.
            return false;
        }
        self.messages.spoiled = Some((message, self.connection));
        let sent = |entry: &Entry| entry.sent.is_some() && entry.part_of(message);
        while let Some(at) = self.entries.iter().position(sent) {
            self.remove(at);
        }
        true
    }

    /// The server stops: what would start something waits for another connection.
    pub(super) fn drain(&mut self) {
        if self.keeps && self.input == Input::Open {
            self.input = Input::Draining;
        }
    }

    /// Another conversation has the input.
    pub(super) fn take_over(&mut self) {
        self.input = Input::TakenOver;
    }

    pub(super) fn is_taken_over(&self) -> bool {
        self.input == Input::TakenOver
    }

    /// The server may forget events up to this one.
    pub(super) fn acknowledge(&mut self, sequence: i64) {
        self.ack = Some(sequence);
    }

    /// No more input follows.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Nobody is left to send anything to.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.entries.clear();
        self.bytes = 0;
    }

    /// Whether no more input follows, and all of it has its receipt.
    pub(super) fn is_finished(&self) -> bool {
        self.is_closed && (self.entries.is_empty() || self.is_taken_over())
    }

    fn has_room(&self) -> bool {
        if !self.keeps {
            return self.entries.len() < MOST_UNSENT;
        }
        // The receipts of a message's parts free no room before its last is there, which must
        // therefore find some; the server bounds the message.
        self.messages.is_open || (self.entries.len() < MOST_FRAMES && self.bytes < MOST_BYTES)
    }

    fn send(&mut self, at: usize) -> pb::ConverseRequest {
        let entry = &mut self.entries[at];
        entry.sent = Some(self.connection);
        // What has no name gets no receipt, and is not recognised when it comes twice.
        if self.keeps && !entry.frame.frame_id.is_empty() {
            return entry.frame.clone();
        }
        let frame = entry.frame.clone();
        self.remove(at);
        frame
    }

    /// Sends a frame, and what belongs to it, on the next connection.
    fn hold(&mut self, at: usize) {
        self.drain();
        let part = self.entries[at].part;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let belongs = part.is_some_and(|part| entry.part_of(part.message));
            if index == at || belongs {
                entry.was_sent |= entry.sent.take().is_some();
                entry.held = Some(self.connection);
            }
        }
    }

    /// What is left of a message that was refused on an earlier connection is not sent: it would
    /// look like the beginning of another.
    fn forget_spoiled(&mut self) {
        let Some((message, connection)) = self.messages.spoiled else {
            return;
        };
        if connection != self.connection {
            self.remove_parts(message);
        }
    }

    fn position(&self, frame_id: &str) -> Option<usize> {
        let mut entries = self.entries.iter();
        entries.position(|entry| !frame_id.is_empty() && entry.frame.frame_id == frame_id)
    }

    fn remove_parts(&mut self, message: u64) {
        let is_part = |entry: &Entry| entry.part_of(message);
        while let Some(at) = self.entries.iter().position(is_part) {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(entry) = self.entries.remove(at) {
            self.bytes -= entry.bytes;
        }
    }
}

impl Messages {
    /// Finds the place of a frame among the parts of messages.
    fn place(&mut self, frame: &pb::ConverseRequest) -> Option<Part> {
        let more_follows = match &frame.frame {
            Some(Frame::Input(input)) => input.more_follows,
            // It ends a message in parts as an input does.
            Some(Frame::Prompt(_)) => false,
            Some(
                Frame::Setup(_)
                | Frame::ToolResult(_)
                | Frame::ApprovalDecision(_)
                | Frame::Interrupt(_)
                | Frame::Update(_)
                | Frame::Ack(_),
            )
            | None => return None,
        };
        let continues = self.is_open;
        self.is_open = more_follows;
        if !continues && !more_follows {
            return None;
        }
        if !continues {
            self.newest += 1;
        }
        Some(Part {
            message: self.newest,
            is_last: !more_follows,
        })
    }

    fn is_spoiled(&self, message: u64) -> bool {
        self.spoiled.is_some_and(|(spoiled, _)| spoiled == message)
    }
}

impl Entry {
    fn part_of(&self, message: u64) -> bool {
        self.part.is_some_and(|part| part.message == message)
    }
}

/// Whether a server that stops would refuse it; what serves the running turn it takes.
fn starts_something(frame: &pb::ConverseRequest) -> bool {
    match &frame.frame {
        Some(Frame::Prompt(_) | Frame::Input(_) | Frame::Update(_)) => true,
        Some(
            Frame::ToolResult(_)
            | Frame::ApprovalDecision(_)
            | Frame::Interrupt(_)
            | Frame::Ack(_)
            | Frame::Setup(_),
        ) => false,
        None => false,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
