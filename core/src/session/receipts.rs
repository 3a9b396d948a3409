//! Which named frames were taken, and what was done with them.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use crate::{
    event::FrameAccepted,
    saved::{Receipt, ReceiptChange},
};

/// Receipts of the newest frames, to recognise repeats.
#[derive(Debug)]
pub(super) struct Receipts {
    by_id: BTreeMap<String, Receipt>,
    oldest_first: VecDeque<String>,
    max: usize,
    /// What the frame that is being taken says, in short.
    digest: [u8; 32],
    changes: Vec<ReceiptChange>,
}

/// What is known of a frame that comes.
#[derive(Debug)]
pub(super) enum Known {
    /// It is the first of its id.
    First,
    /// It was taken before.
    Repeat(FrameAccepted),
    /// Its id was used for another frame.
    Reused,
}

impl Receipts {
    pub(super) fn new(max: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            oldest_first: VecDeque::new(),
            max,
            digest: [0; 32],
            changes: Vec::new(),
        }
    }

    /// Takes up receipts that were kept, oldest first.
    pub(super) fn restore(max: usize, kept: Vec<Receipt>) -> Self {
        let mut receipts = Self::new(max);
        for receipt in kept {
            receipts.insert(receipt);
        }
        receipts
    }

    /// Looks a frame up whose receipt is remembered from here on, if it is taken.
    pub(super) fn meet(&mut self, frame_id: Option<&str>, digest: [u8; 32]) -> Known {
        self.digest = digest;
        match frame_id.and_then(|id| self.by_id.get(id)) {
            None => Known::First,
            Some(known) if known.digest == digest => Known::Repeat(known.accepted.clone()),
            Some(_) => Known::Reused,
        }
    }

    pub(super) fn remember(&mut self, accepted: FrameAccepted) {
        let receipt = Receipt {
            accepted,
            digest: self.digest,
        };
        self.changes
            .push(ReceiptChange::Taken(Box::new(receipt.clone())));
        self.insert(receipt);
    }

    fn insert(&mut self, receipt: Receipt) {
        if self.max == 0 {
            return;
        }
        if self.oldest_first.len() >= self.max
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        let frame_id = receipt.accepted.frame_id.clone();
        self.oldest_first.push_back(frame_id.clone());
        self.by_id.insert(frame_id, receipt);
    }

    /// Forgets a frame that was taken and then refused after all.
    pub(super) fn forget(&mut self, frame_id: &str) {
        if self.by_id.remove(frame_id).is_some() {
            self.oldest_first.retain(|known| known != frame_id);
            self.changes
                .push(ReceiptChange::Forgotten(frame_id.to_owned()));
        }
    }

    /// Tells what has changed since it was last asked.
    pub(super) fn take_changes(&mut self) -> Vec<ReceiptChange> {
        mem::take(&mut self.changes)
    }
}
