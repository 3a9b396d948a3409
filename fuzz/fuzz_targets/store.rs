//! Keeps what a session wants kept, in the bytes of the server's store.

use std::{collections::VecDeque, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use taiwa::v1 as pb;
use taiwa_core::{
    Limits, Message, Session, TurnResult,
    saved::{Kept, Receipt, ReceiptChange, Saved},
};
use taiwa_server::grpc::convert::event::Output;

pub struct Store {
    max_receipts: usize,
    max_ended: usize,
    state: Saved,
    messages: Vec<Arc<Message>>,
    receipts: VecDeque<Receipt>,
    ended: VecDeque<TurnResult>,
    /// The events that the session needs, should it end here.
    log: Vec<pb::Event>,
    last_sequence: u64,
}

impl Store {
    pub fn new(limits: &Limits) -> Self {
        Self {
            max_receipts: limits.max_frame_ids,
            max_ended: limits.max_kept_turns,
            state: Saved::default(),
            messages: Vec::new(),
            receipts: VecDeque::new(),
            ended: VecDeque::new(),
            log: Vec::new(),
            last_sequence: 0,
        }
    }

    /// Takes all that came of an input.
    pub fn keep(&mut self, told: Vec<pb::Event>, session: &mut Session) {
        self.log.extend(told);
        self.last_sequence = session.last_sequence();
        if let Some(changes) = session.changes() {
            self.state = changes.state;
            if let Some(history) = changes.history {
                self.messages.truncate(history.keep);
                self.messages.extend(history.added);
            }
            for change in changes.receipts {
                match change {
                    ReceiptChange::Taken(receipt) => self.receipts.push_back(*receipt),
                    ReceiptChange::Forgotten(frame_id) => self
                        .receipts
                        .retain(|receipt| receipt.accepted.frame_id != frame_id),
                }
            }
            while self.receipts.len() > self.max_receipts {
                self.receipts.pop_front();
            }
            self.ended.extend(changes.ended);
            while self.ended.len() > self.max_ended {
                self.ended.pop_front();
            }
        }
        let needed = session.needed_from();
        self.log.retain(|event| {
            needed.is_some_and(|sequence| event.sequence.unsigned_abs() >= sequence)
        });
        assert_eq!(self.messages, session.history().messages());
    }

    /// Reads all that was kept, from the bytes that it was written in.
    pub fn read(&self, limits: &Limits) -> Kept {
        let mut output = Output::default();
        if let Some((turn_id, index)) = self.state.running_step() {
            let of_step = self.log.iter().filter(|event| {
                event.turn_id == turn_id && u32::try_from(event.step_index) == Ok(index)
            });
            for event in of_step {
                output.add(event.clone(), limits);
            }
        }
        Kept {
            state: written(&self.state),
            messages: self.messages.iter().map(|message| written(&**message)).collect(),
            receipts: self.receipts.iter().map(written).collect(),
            ended: self.ended.iter().map(written).collect(),
            output: output.into_blocks(),
            last_sequence: self.last_sequence,
        }
    }
}

/// A value as it comes back from the bytes that the server writes it in.
fn written<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let bytes = rmp_serde::to_vec_named(value).expect("no type of the core refuses to be written");
    rmp_serde::from_slice(&bytes).expect("what was written can be read")
}
