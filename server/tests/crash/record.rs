//! What one session's client knows for certain: what it was told, and what it asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use taiwa::v1 as pb;

use crate::codec::Told;

/// A session, as its client has seen it.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) session_id: String,
    /// Every event that came, by its number.
    pub(crate) events: BTreeMap<i64, Told>,
    /// Messages of the user, by the frame that completes them.
    pub(crate) inputs: BTreeMap<String, Input>,
    /// Results of tools, by their frame.
    pub(crate) results: BTreeMap<String, pb::ToolResult>,
    /// Turns that were asked for by a call and answered, by what was said in them.
    pub(crate) calls: BTreeMap<String, String>,
    /// Turns that CancelTurn gave.
    pub(crate) cancelled: Vec<pb::TurnResult>,
    /// What each update of the settings says, by its frame.
    pub(crate) updates: BTreeMap<String, String>,
    /// Words that the session began with.
    pub(crate) seeded: Vec<String>,
    /// Numbers after which to resume, as streams were told by a server that stops.
    pub(crate) goodbyes: Vec<i64>,
    /// It was deleted, and the server has said so.
    pub(crate) is_deleted: bool,
}

/// A message of the user on a Converse stream.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Words that no other message holds.
    pub(crate) token: String,
    pub(crate) context_only: bool,
    pub(crate) policy: pb::InputPolicy,
}

impl Record {
    /// Takes an event; one that came before must be the same, byte for byte.
    pub(crate) fn see(&mut self, told: Told) {
        let number = told.event.sequence;
        if number == 0 {
            return;
        }
        if let Some(known) = self.events.get(&number) {
            assert_eq!(
                known.bytes, told.bytes,
                "event {number} of {} was another: {:?}, and is {:?}",
                self.session_id, known.event, told.event
            );
            return;
        }
        self.events.insert(number, told);
    }

    /// Asserts that no event is missing.
    pub(crate) fn check_whole(&self) {
        let numbers: Vec<i64> = self.events.keys().copied().collect();
        let expected: Vec<i64> = (1..=numbers.len() as i64).collect();
        assert_eq!(numbers, expected, "{} has a gap", self.session_id);
    }

    /// What no two messages share, as they are known by in histories.
    pub(crate) fn tokens(text: &str) -> BTreeSet<String> {
        let pieces = text.split('[').skip(1);
        let tokens = pieces.filter_map(|piece| piece.split_once(']'));
        tokens.map(|(token, _)| format!("[{token}]")).collect()
    }
}

/// For reading after a failure: an event a line.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:", self.session_id)?;
        for (number, told) in &self.events {
            let pb::Event {
                turn_id,
                step_index,
                payload,
                ..
            } = &told.event;
            writeln!(f, "{number} {turn_id}/{step_index} {payload:?}")?;
        }
        writeln!(f, "inputs {:?}", self.inputs)?;
        writeln!(f, "calls {:?}", self.calls)
    }
}
