//! Which named frames were taken, and what was done with them.

use std::collections::{BTreeMap, VecDeque};

use crate::event::FrameAccepted;

/// Receipts of the newest frames, to recognise repeats.
#[derive(Debug)]
pub(super) struct Receipts {
    by_id: BTreeMap<String, FrameAccepted>,
    oldest_first: VecDeque<String>,
    max: usize,
}

impl Receipts {
    pub(super) fn new(max: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            oldest_first: VecDeque::new(),
            max,
        }
    }

    /// The receipt of a frame that was taken before.
    pub(super) fn find(&self, frame_id: &str) -> Option<&FrameAccepted> {
        self.by_id.get(frame_id)
    }

    pub(super) fn remember(&mut self, receipt: FrameAccepted) {
        if self.max == 0 {
            return;
        }
        if self.oldest_first.len() >= self.max
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.oldest_first.push_back(receipt.frame_id.clone());
        self.by_id.insert(receipt.frame_id.clone(), receipt);
    }

    /// Forgets a frame that was taken and then refused after all.
    pub(super) fn forget(&mut self, frame_id: &str) {
        if self.by_id.remove(frame_id).is_some() {
            self.oldest_first.retain(|known| known != frame_id);
        }
    }
}
