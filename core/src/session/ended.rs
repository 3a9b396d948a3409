//! Results of the turns that ended, as many as are remembered.

use std::{collections::VecDeque, sync::Arc};

use crate::{event::TurnResult, message::Message};

/// The newest results, bounded in number and in bytes; the newest of all is always there.
#[derive(Debug)]
pub(super) struct Ended {
    results: VecDeque<TurnResult>,
    size_bytes: usize,
    max: usize,
    max_bytes: usize,
    new: Vec<TurnResult>,
}

impl Ended {
    pub(super) fn new(max: usize, max_bytes: usize) -> Self {
        Self {
            results: VecDeque::new(),
            size_bytes: 0,
            max,
            max_bytes,
            new: Vec::new(),
        }
    }

    pub(super) fn find(&self, turn_id: &str) -> Option<&TurnResult> {
        self.results
            .iter()
            .rev()
            .find(|result| *result.turn_id == *turn_id)
    }

    pub(super) fn newest(&self) -> Option<&TurnResult> {
        self.results.back()
    }

    pub(super) fn push(&mut self, result: TurnResult) {
        self.new.push(result.clone());
        self.restore(result);
    }

    /// Tells the results since it was last asked.
    pub(super) fn take_new(&mut self) -> Vec<TurnResult> {
        std::mem::take(&mut self.new)
    }

    /// Takes up a result that was kept.
    pub(super) fn restore(&mut self, result: TurnResult) {
        self.size_bytes += size_of(&result);
        self.results.push_back(result);
        while self.results.len() > 1
            && (self.results.len() > self.max || self.size_bytes > self.max_bytes)
        {
            if let Some(oldest) = self.results.pop_front() {
                self.size_bytes -= size_of(&oldest);
            }
        }
    }
}

fn size_of(result: &TurnResult) -> usize {
    let messages = result.message.iter().chain(&result.intermediate_messages);
    messages
        .map(Arc::as_ref)
        .map(Message::size_bytes)
        .sum::<usize>()
}
