//! What goes wrong on purpose, and where in the answer.

use std::time::Duration;

use crate::{event_stream::Checksum, exception::Exception};

/// A place in an answer.
///
/// `AfterChunk(n)` is right behind the n-th piece of content; 0 is behind
/// `messageStart`. An answer with fewer pieces reaches it before `messageStop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    BeforeHeaders,
    AfterHeaders,
    AfterChunk(u64),
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// TCP RST.
    Reset,
    /// TCP FIN in the middle of the answer.
    Close,
}

/// What happens at a place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    Exception(Exception),
    /// The connection ends; `mid_frame` sends half of the next frame first.
    Cut {
        how: Cut,
        mid_frame: bool,
    },
    /// Nothing is sent for so long, or for ever; the socket stays open.
    Silence(Option<Duration>),
}

/// Everything that goes wrong in one answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Faults {
    pub(crate) at: Option<(Place, Fault)>,
    /// The frame, counted from 1, whose checksum is wrong.
    pub(crate) bad_checksum: Option<(u64, Checksum)>,
    /// Bytes that one write to the socket holds at most.
    pub(crate) bytes_per_write: Option<usize>,
    pub(crate) omit_message_stop: bool,
    pub(crate) omit_metadata: bool,
    pub(crate) end_after_headers: bool,
    pub(crate) trailing_delay: Option<Duration>,
}

impl Faults {
    /// The fault of this place, if there is one.
    pub(crate) fn at(&self, place: Place) -> Option<&Fault> {
        self.at
            .as_ref()
            .filter(|(at, _)| *at == place)
            .map(|(_, fault)| fault)
    }

    /// Names what is wrong with the answer by itself, for the journal.
    pub(crate) fn lasting(&self) -> Option<&'static str> {
        if self.end_after_headers {
            Some("end_after_headers")
        } else if self.bad_checksum.is_some() {
            Some("bad_checksum")
        } else if self.omit_message_stop {
            Some("omit_message_stop")
        } else if self.omit_metadata {
            Some("omit_metadata")
        } else {
            None
        }
    }
}
