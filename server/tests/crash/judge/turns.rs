//! The turns of a session, as its events tell them.

use std::collections::{BTreeMap, BTreeSet};

use taiwa::v1::{self as pb, event::Payload};

use crate::{
    kept::{self, Kept},
    record::Record,
};

/// All turns, each of which started and ended once.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) by_id: BTreeMap<String, Turn>,
    /// Idempotency keys, with the call that each was announced for.
    pub(super) keys: BTreeMap<String, String>,
}

/// A turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    frame_id: String,
    is_paused: bool,
    steps: BTreeSet<i32>,
    /// Text that was told, by step.
    texts: BTreeMap<i32, String>,
    pub(super) ended: Option<pb::TurnResult>,
}

impl Turns {
    /// Reads the events in order, and asserts that they make whole turns.
    pub(super) fn of(record: &Record) -> Self {
        let mut turns = Self::default();
        let mut running: Option<String> = None;
        let mut call_ids = BTreeSet::new();
        for told in record.events.values() {
            let event = &told.event;
            let context = || format!("{event:?} of {record:#?}");
            if event.turn_id.is_empty() {
                continue;
            }
            let payload = event.payload.as_ref().unwrap();
            if let Payload::TurnStarted(started) = payload {
                assert_eq!(running, None, "{}", context());
                running = Some(event.turn_id.clone());
                let is_new = !turns.by_id.contains_key(&event.turn_id);
                assert_eq!(is_new, !started.continued, "{}", context());
                let turn = turns.by_id.entry(event.turn_id.clone()).or_default();
                assert!(turn.ended.is_none(), "{}", context());
                assert_eq!(turn.is_paused, started.continued, "{}", context());
                turn.is_paused = false;
                if is_new {
                    turn.frame_id.clone_from(&started.frame_id);
                }
                continue;
            }
            assert_eq!(running.as_ref(), Some(&event.turn_id), "{}", context());
            let turn = turns.by_id.get_mut(&event.turn_id).unwrap();
            match payload {
                Payload::StepStarted(_) => {
                    assert!(turn.steps.insert(event.step_index), "{}", context());
                }
                Payload::TextDelta(delta) => {
                    let text = turn.texts.entry(event.step_index).or_default();
                    text.push_str(&delta.text);
                }
                Payload::ToolCall(call) => {
                    assert!(call_ids.insert(call.tool_call_id.clone()), "{}", context());
                    let key = call.idempotency_key.clone();
                    assert!(!key.is_empty(), "{}", context());
                    let known = turns.keys.insert(key, call.tool_call_id.clone());
                    assert_eq!(known, None, "{}", context());
                }
                Payload::TurnEnded(result) => {
                    running = None;
                    assert_eq!(result.turn_id, event.turn_id, "{}", context());
                    assert_eq!(result.last_sequence, event.sequence, "{}", context());
                    turn.is_paused = result.status() == pb::TurnStatus::Paused;
                    if turn.is_paused {
                        for call in &result.pending_tool_calls {
                            let announced = turns.keys.get(&call.idempotency_key);
                            assert_eq!(announced, Some(&call.tool_call_id), "{}", context());
                        }
                    } else {
                        turn.ended = Some((**result).clone());
                    }
                }
                _ => {}
            }
        }
        for (turn_id, turn) in &turns.by_id {
            assert!(turn.ended.is_some(), "{turn_id} never ended: {record:#?}");
        }
        turns
    }

    /// Number of turns that a process ended with.
    pub(super) fn lost(&self) -> usize {
        let results = self.by_id.values().filter_map(|turn| turn.ended.as_ref());
        results.filter(|result| is_lost(result)).count()
    }

    /// The turns that a frame started.
    pub(super) fn started_by(&self, frame_id: &str) -> Vec<&String> {
        let turns = self.by_id.iter();
        let started = turns.filter(|(_, turn)| turn.frame_id == frame_id);
        started.map(|(turn_id, _)| turn_id).collect()
    }

    /// True for a turn that another replaced.
    pub(super) fn has_vanished(&self, turn_id: &str, record: &Record) -> bool {
        record.events.values().any(|told| {
            let Some(Payload::FrameAccepted(accepted)) = &told.event.payload else {
                return false;
            };
            accepted.turn_id == turn_id
                && accepted.outcome() == pb::FrameOutcome::Interrupted
                && record
                    .inputs
                    .get(&accepted.frame_id)
                    .is_some_and(|input| input.policy == pb::InputPolicy::Replace)
        })
    }

    /// Asserts that the history holds what was told, and no more.
    pub(super) fn check_messages(&self, kept: &Kept, record: &Record) {
        for (turn_id, turn) in &self.by_id {
            let result = turn.ended.as_ref().unwrap();
            let told = turn.texts.values().next_back().map_or("", String::as_str);
            let answer = result.message.as_ref().map(kept::text).unwrap_or_default();
            assert_eq!(answer, told, "{turn_id} of {record:#?}");
            let mut messages = kept.messages.iter().filter(|message| {
                message.role() == pb::Role::Assistant && message.turn_id == *turn_id
            });
            let newest = messages.next_back().map(kept::text);
            let is_kept = result.status() == pb::TurnStatus::Completed || is_lost(result);
            if self.has_vanished(turn_id, record) {
                assert_eq!(newest, None, "{turn_id} of {record:#?}");
            } else if is_kept && !told.trim().is_empty() {
                assert_eq!(newest.as_deref(), Some(told), "{turn_id} of {record:#?}");
            }
        }
    }
}

impl Turn {
    /// How often its words may stand in the history, when it was not replaced.
    pub(super) fn kept(&self) -> Vec<usize> {
        let result = self.ended.as_ref().unwrap();
        let may_leave = match result.status() {
            pb::TurnStatus::Failed => !is_lost(result) && self.texts.is_empty(),
            pb::TurnStatus::Cancelled => self.texts.is_empty(),
            _ => false,
        };
        if may_leave { vec![0, 1] } else { vec![1] }
    }
}

/// True for a turn whose process ended before it did.
fn is_lost(result: &pb::TurnResult) -> bool {
    let reason = result.error.as_ref().map(pb::TurnError::reason);
    result.stop_reason() == pb::StopReason::Incomplete
        && reason == Some(pb::ErrorReason::ShuttingDown)
}
