//! Holds what a client was told against what the server keeps.

mod turns;

use std::collections::BTreeMap;

use taiwa::v1::{self as pb, content_block::Block, event::Payload};

use self::turns::Turns;
use crate::{
    kept::{self, Kept},
    record::{Input, Record},
};

/// What was told of a frame, net of all repeats.
#[derive(Debug, Default)]
struct Frame {
    /// Its receipt, unless it was taken back.
    accepted: Option<pb::FrameAccepted>,
    is_refused: bool,
}

/// Counts of what was judged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Judged {
    pub(crate) turns: usize,
    pub(crate) tool_calls: usize,
    pub(crate) lost_turns: usize,
    pub(crate) refused: usize,
}

/// Judges a session that is whole and at rest.
pub(crate) fn judge(record: &Record, kept: &Kept) -> Judged {
    let turns = Turns::of(record);
    let frames = frames(record);
    let judged = Judged {
        turns: turns.by_id.len(),
        tool_calls: turns.keys.len(),
        lost_turns: turns.lost(),
        refused: frames.values().filter(|frame| frame.is_refused).count(),
    };
    let context = |what: &str| format!("{what} of {}: {record:#?}", record.session_id);
    for (frame_id, input) in &record.inputs {
        let Some(frame) = frames.get(frame_id.as_str()) else {
            panic!("{}", context(&format!("no word of {frame_id}")));
        };
        let count = said(kept, &input.token);
        let expected = expected(frame_id, input, frame, &turns, record);
        assert!(
            expected.contains(&count),
            "{frame_id} stands {count} times in the history, and should {expected:?} times; {frame:?}; {}; {:#?}",
            context("its record"),
            kept.messages
        );
    }
    for (token, turn_id) in &record.calls {
        let turn = &turns.by_id[turn_id];
        let count = said(kept, token);
        assert!(turn.kept().contains(&count), "{token}: {count}; {turn:?}");
    }
    for number in &record.goodbyes {
        assert!(
            (0..=record.events.len() as i64).contains(number),
            "{number}"
        );
    }
    for token in &record.seeded {
        assert_eq!(said(kept, token), 1, "{token}");
    }
    for (frame_id, result) in &record.results {
        let frame = &frames[frame_id.as_str()];
        let is_taken = frame
            .accepted
            .as_ref()
            .is_some_and(|accepted| accepted.outcome() == pb::FrameOutcome::Applied);
        let count = results(kept, result);
        let turn_id = frame.accepted.as_ref().map(|accepted| &accepted.turn_id);
        let vanished = turn_id.is_some_and(|id| turns.has_vanished(id, record));
        let most = usize::from(is_taken);
        let least = usize::from(is_taken && !vanished);
        assert!(
            (least..=most).contains(&count),
            "{frame_id} stands {count} times: {frame:?}; {}",
            context("the record")
        );
    }
    for result in &record.cancelled {
        let ended = turns.by_id[&result.turn_id].ended.as_ref();
        assert_eq!(ended, Some(result), "a cancel that was answered");
    }
    let updated = record.events.values().rev().find_map(|told| {
        let Some(Payload::FrameAccepted(accepted)) = &told.event.payload else {
            return None;
        };
        (!accepted.duplicate).then(|| record.updates.get(&accepted.frame_id))?
    });
    let options = kept.session.options.clone().unwrap_or_default();
    assert_eq!(Some(&options.system).filter(|it| !it.is_empty()), updated);
    turns.check_messages(kept, record);
    judged
}

/// How often an input must stand in the history.
fn expected(
    frame_id: &str,
    input: &Input,
    frame: &Frame,
    turns: &Turns,
    record: &Record,
) -> Vec<usize> {
    let started: Vec<&String> = turns.started_by(frame_id);
    let Some(accepted) = &frame.accepted else {
        assert!(
            started.is_empty(),
            "{frame_id} was refused, and started {started:?}"
        );
        return vec![0];
    };
    if input.context_only {
        assert!(
            started.is_empty(),
            "{frame_id} is context, and started {started:?}"
        );
        return vec![1];
    }
    assert!(started.len() <= 1, "{frame_id} started {started:?}");
    let turn_id = match (started.first(), accepted.outcome()) {
        (Some(turn_id), _) => *turn_id,
        (None, pb::FrameOutcome::Steered) => &accepted.turn_id,
        (None, outcome) => panic!("{frame_id} was {outcome:?} and never started: {record:#?}"),
    };
    if accepted.outcome() == pb::FrameOutcome::StartedTurn {
        assert_eq!(*turn_id, accepted.turn_id, "{frame_id}");
    }
    if turns.has_vanished(turn_id, record) {
        return vec![0];
    }
    turns.by_id[turn_id].kept()
}

/// What was told of each frame; asserts that each is taken once, save after it was refused.
fn frames(record: &Record) -> BTreeMap<&str, Frame> {
    let mut frames: BTreeMap<&str, Frame> = BTreeMap::new();
    for told in record.events.values() {
        match &told.event.payload {
            Some(Payload::FrameAccepted(accepted)) => {
                let frame = frames.entry(&accepted.frame_id).or_default();
                let is_known = frame.accepted.is_some();
                assert_eq!(accepted.duplicate, is_known, "{accepted:?} of {record:#?}");
                if !is_known {
                    frame.accepted = Some(accepted.clone());
                    frame.is_refused = false;
                }
            }
            Some(Payload::FrameRejected(rejected)) => {
                let frame = frames.entry(&rejected.frame_id).or_default();
                frame.accepted = None;
                frame.is_refused = true;
                // A message is refused with all its parts.
                let message = message_of(&rejected.frame_id);
                for (frame_id, frame) in &mut frames {
                    if message_of(frame_id) == message {
                        frame.accepted = None;
                    }
                }
            }
            _ => {}
        }
    }
    frames
}

/// The frame that completes the message of which a frame is a part.
fn message_of(frame_id: &str) -> &str {
    match frame_id.rsplit_once('-') {
        Some((message, _)) if message.starts_with("frame-") => message,
        Some(_) | None => frame_id,
    }
}

/// How often a token stands in the user's words.
fn said(kept: &Kept, token: &str) -> usize {
    let users = kept.messages.iter();
    let users = users.filter(|message| message.role() == pb::Role::User);
    users.map(|it| kept::text(it).matches(token).count()).sum()
}

/// How often a result of a tool stands in the history.
fn results(kept: &Kept, result: &pb::ToolResult) -> usize {
    let blocks = kept.messages.iter().flat_map(|message| &message.content);
    let found = blocks.filter(|block| match &block.block {
        Some(Block::ToolResult(found)) => {
            let in_blocks = found.content.iter().any(|block| {
                block.block == Some(pb::tool_result_block::Block::Text(result.text.clone()))
            });
            found.tool_call_id == result.tool_call_id && (found.text == result.text || in_blocks)
        }
        _ => false,
    });
    found.count()
}
