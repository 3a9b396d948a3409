//! A store as a driver fills it: all that came of an input is kept in one piece, or not at all.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};
use taiwa_core::{
    Block, Event, Limits, Message, Payload, Session, TurnResult, TurnStatus,
    input::FrameBody,
    message::{Citation, CitedText},
    saved::{CallState, Changes, Kept, Receipt, ReceiptChange, Saved},
};

/// What is kept of one session.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    max_receipts: usize,
    max_ended: usize,
    state: Option<Saved>,
    messages: Vec<Arc<Message>>,
    receipts: VecDeque<Receipt>,
    ended: VecDeque<TurnResult>,
    /// The events that the session said are needed, should it end here.
    log: Vec<Event>,
    last_sequence: u64,
    ledger: BTreeMap<(Arc<str>, String), CallState>,
}

impl Store {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            max_receipts: limits.max_frame_ids,
            max_ended: limits.max_kept_turns,
            state: None,
            messages: Vec::new(),
            receipts: VecDeque::new(),
            ended: VecDeque::new(),
            log: Vec::new(),
            last_sequence: 0,
            ledger: BTreeMap::new(),
        }
    }

    /// Takes all that came of an input, before tools are run; tells what was written of calls.
    pub(crate) fn keep(&mut self, events: Vec<Event>, session: &mut Session) -> Vec<String> {
        let changes = session.changes();
        if changes.is_none() {
            assert!(
                events.iter().all(is_piece),
                "news that nobody keeps: {events:?}"
            );
        }
        if !events.is_empty() && events.iter().all(is_piece) {
            assert_eq!(changes, None, "the log alone keeps what the model says");
        }
        for event in &events {
            self.last_sequence += 1;
            assert_eq!(event.sequence, self.last_sequence, "a gap or a repeat");
        }
        let ends = events.iter().filter_map(final_result);
        let ends: Vec<TurnResult> = ends.cloned().collect();
        let told = changes.as_ref().map_or(&[][..], |changes| &changes.ended);
        assert_eq!(told, ends, "the results kept are not the results told");
        self.log.extend(events);
        let calls = changes.map_or_else(Vec::new, |changes| self.change(changes, session));
        match session.needed_from() {
            Some(sequence) => self.log.retain(|event| event.sequence >= sequence),
            None => self.log.clear(),
        }
        assert_eq!(
            self.messages,
            session.history().messages(),
            "the history kept is another"
        );
        assert!(session.changes().is_none(), "a change is told twice");
        calls
    }

    fn change(&mut self, changes: Changes, session: &Session) -> Vec<String> {
        let Changes {
            state,
            options,
            history,
            receipts,
            ended,
            calls,
        } = changes;
        if let Some(options) = options {
            assert_eq!(options, *session.options(), "other settings are kept");
        }
        self.state = Some(state);
        if let Some(change) = history {
            let same = self.messages[..change.keep].iter();
            self.messages = same.chain(&change.added).cloned().collect();
        }
        for receipt in receipts {
            self.note_receipt(receipt);
        }
        self.ended.extend(ended);
        while self.ended.len() > self.max_ended {
            self.ended.pop_front();
        }
        let mut lines = Vec::new();
        for call in calls {
            lines.push(format!("{} is {:?}", call.call_id, call.state));
            let key = (call.turn_id, call.call_id);
            let before = self.ledger.insert(key.clone(), call.state);
            let was_started = before == Some(CallState::Started);
            let may_follow = was_started != (call.state == CallState::Started);
            assert!(may_follow, "{key:?}: {:?} after {before:?}", call.state);
        }
        lines
    }

    fn note_receipt(&mut self, change: ReceiptChange) {
        match change {
            ReceiptChange::Taken(receipt) => {
                let frame_id = &receipt.accepted.frame_id;
                let is_known = self
                    .receipts
                    .iter()
                    .any(|r| r.accepted.frame_id == *frame_id);
                assert!(!is_known, "{frame_id} is taken twice");
                self.receipts.push_back(*receipt);
                while self.receipts.len() > self.max_receipts {
                    self.receipts.pop_front();
                }
            }
            ReceiptChange::Forgotten(frame_id) => {
                self.receipts
                    .retain(|receipt| receipt.accepted.frame_id != frame_id);
            }
        }
    }

    /// How the session stood when it was last kept.
    pub(crate) fn state(&self) -> Option<&Saved> {
        self.state.as_ref()
    }

    /// The result of the turn that ended last.
    pub(crate) fn newest_result(&self) -> Option<&TurnResult> {
        self.ended.back()
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Puts another history in the place of the one that was kept.
    pub(crate) fn replace_history(&mut self, messages: Vec<Message>) {
        self.messages = messages.into_iter().map(Arc::new).collect();
    }

    /// Does harm to a message.
    pub(crate) fn damage(&mut self, how: &str, index: usize) {
        match how {
            "drop" => drop(self.messages.remove(index)),
            "double" => self
                .messages
                .insert(index, Arc::clone(&self.messages[index])),
            "blank" => {
                let blank = Block::Text(" ".to_owned());
                Arc::make_mut(&mut self.messages[index]).content = vec![blank];
            }
            _ => panic!("the script format has no damage {how:?}"),
        }
    }

    /// Tool calls that were handed out and have no end.
    pub(crate) fn started_calls(&self) -> Vec<&str> {
        let started = self.ledger.iter();
        started
            .filter(|(_, state)| **state == CallState::Started)
            .map(|((_, call_id), _)| call_id.as_str())
            .collect()
    }

    /// Reads all that was kept, from the bytes that it was written in.
    pub(crate) fn read(&self) -> Kept {
        let state = self.state.clone().unwrap_or_default();
        let step = state.running_step();
        let step = step.map(|(turn_id, index)| (turn_id.to_owned(), index));
        Kept {
            state: written(&state),
            messages: self.messages.iter().map(|m| written(&**m)).collect(),
            receipts: self.receipts.iter().map(written).collect(),
            ended: self.ended.iter().map(written).collect(),
            output: step.map_or_else(Vec::new, |step| self.output(&step)),
            last_sequence: self.last_sequence,
        }
    }

    /// What was told of a step: whole blocks, and open text as far as it came.
    fn output(&self, (turn_id, index): &(String, u32)) -> Vec<Block> {
        let mut blocks: BTreeMap<u32, Block> = BTreeMap::new();
        let of_step = self.log.iter().filter(|event| {
            event.step_index == *index && event.turn_id.as_deref() == Some(turn_id)
        });
        for event in of_step {
            let at = event.block_index;
            match &event.payload {
                Payload::BlockCompleted(block) => {
                    blocks.insert(at, written(block));
                }
                Payload::TextDelta(piece) => {
                    let open = blocks
                        .entry(at)
                        .or_insert_with(|| Block::Text(String::new()));
                    match open {
                        Block::Text(text) => text.push_str(piece),
                        Block::CitedText(cited) => cited.texts[0].push_str(piece),
                        other => panic!("text came for {other:?}"),
                    }
                }
                Payload::CitationDelta(citation) => {
                    let open = blocks.remove(&at);
                    blocks.insert(at, with_citation(open, citation.clone()));
                }
                _ => {}
            }
        }
        let says_something = |block: &Block| match block {
            Block::Text(text) => !text.is_empty(),
            Block::CitedText(cited) => !cited.texts[0].is_empty(),
            _ => true,
        };
        blocks.into_values().filter(says_something).collect()
    }
}

/// What a frame says, in short.
pub(crate) fn digest(body: &FrameBody) -> [u8; 32] {
    // FNV-1a: it need not withstand attacks, and the standard library's hash changes by version.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in format!("{body:?}").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&hash.to_be_bytes());
    digest
}

/// A value as it comes back from its bytes.
fn written<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let bytes = serde_json::to_vec(value).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn with_citation(open: Option<Block>, citation: Citation) -> Block {
    match open {
        None => Block::CitedText(CitedText {
            texts: vec![String::new()],
            citations: vec![citation],
        }),
        Some(Block::Text(text)) => Block::CitedText(CitedText {
            texts: vec![text],
            citations: vec![citation],
        }),
        Some(Block::CitedText(mut cited)) => {
            cited.citations.push(citation);
            Block::CitedText(cited)
        }
        Some(other) => panic!("a citation came for {other:?}"),
    }
}

fn final_result(event: &Event) -> Option<&TurnResult> {
    match &event.payload {
        Payload::TurnEnded(result) if result.status != TurnStatus::Paused => Some(result),
        _ => None,
    }
}

/// True for a piece of output, of the model's or of a tool's progress, which the log alone keeps.
fn is_piece(event: &Event) -> bool {
    let says_progress = matches!(&event.payload,
        Payload::ToolCallUpdate(update) if !update.progress.is_empty());
    says_progress
        || matches!(
            event.payload,
            Payload::BlockStarted(_)
                | Payload::TextDelta(_)
                | Payload::ReasoningDelta(_)
                | Payload::ToolCallDelta { .. }
                | Payload::CitationDelta(_)
                | Payload::ImageDelta(_)
                | Payload::BlockCompleted(_)
        )
}
