//! What of a history the model is sent.
//!
//! A turn begins with a user's message that holds no tool results; it is left out as a whole, save
//! for what is pinned in it. The messages themselves stay.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{History, Mark, join};
use crate::{
    budget,
    message::{Block, Marking, Message, Role},
};

/// From where on a history is sent; what a provider counted of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct View {
    /// The first message from which on all are sent; it begins a turn, or is yet to come.
    from: usize,
    /// Messages of the history, when it is kept.
    len: usize,
    /// Input tokens of what was sent last with the answer to it, as the provider counted them.
    counted: u64,
    /// The same by estimate; zero when nothing was counted.
    estimated: u64,
}

/// A place at which a history can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The first message that stays.
    at: usize,
    /// Estimated tokens of what goes.
    pub(crate) freed: u64,
}

impl View {
    pub(super) fn from(&self) -> usize {
        self.from
    }

    /// Holds the view to a history that has become shorter.
    ///
    /// What stood for the messages before it may be gone as well, so all are sent again.
    pub(super) fn keep_within(&mut self, len: usize) {
        if self.from > len {
            self.from = 0;
        }
    }
}

impl History {
    /// What the model is sent, as Bedrock takes it: roles alternate.
    ///
    /// These are all messages, until older ones were left out.
    pub fn sent(&self) -> Vec<Arc<Message>> {
        let mut sent: Vec<Arc<Message>> = Vec::new();
        for index in self.sent_indices(self.view.from) {
            let message = &self.messages[index];
            match sent.last_mut() {
                Some(last) if last.role == message.role => join(Arc::make_mut(last), message),
                Some(_) | None => sent.push(Arc::clone(message)),
            }
        }
        sent
    }

    /// What is to be kept of the view.
    pub(crate) fn view(&self) -> View {
        View {
            len: self.messages.len(),
            ..self.view
        }
    }

    /// Estimated tokens of what the model is sent.
    pub(crate) fn sent_estimate(&self) -> u64 {
        let sent = self.sent_indices(self.view.from).into_iter();
        sent.map(|index| self.weight(index)).sum()
    }

    /// Input tokens of an input whose estimate is `estimate`: what was counted last, with the
    /// estimate of what came to it or went from it since.
    pub(crate) fn tokens_of(&self, estimate: u64) -> u64 {
        let View {
            counted, estimated, ..
        } = self.view;
        counted.saturating_add(estimate).saturating_sub(estimated)
    }

    /// Remembers what a provider counted of an input, with the answer to it, that is sent from
    /// here on and whose estimate is `estimate`.
    pub(crate) fn remember_count(&mut self, counted: u64, estimate: u64) {
        self.view.counted = counted;
        self.view.estimated = estimate;
    }

    /// The places at which older turns can be left out, the one that leaves least out first.
    ///
    /// The newest turn is never left out.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        let starts = self.turn_starts();
        let mut freed = 0;
        let mut cuts = Vec::new();
        for turn in starts.windows(2).map(|pair| pair[0]..pair[1]) {
            if turn.start < self.view.from {
                continue;
            }
            let kept = self.kept_of(turn.clone());
            let goes = turn.clone().filter(|index| !kept.contains(index));
            let weight: u64 = goes.map(|index| self.weight(index)).sum();
            freed += weight;
            if weight > 0 {
                cuts.push(Cut {
                    at: turn.end,
                    freed,
                });
            }
        }
        cuts
    }

    /// The messages that are sent, and no longer when a cut is made; oldest first.
    pub(crate) fn omitted(&self, cut: Cut) -> impl Iterator<Item = &Message> {
        self.sent_but(&self.sent_indices(cut.at))
    }

    /// As [`History::omitted`], when a summary stands for them: it stands for an earlier one, too.
    pub(crate) fn condensed(&self, cut: Cut) -> impl Iterator<Item = &Message> {
        let summary = self.summary_before(cut.at);
        let mut stay = self.sent_indices(cut.at);
        stay.retain(|index| Some(*index) != summary);
        self.sent_but(&stay)
    }

    fn sent_but(&self, stay: &[usize]) -> impl Iterator<Item = &Message> + use<'_> {
        let stay: BTreeSet<usize> = stay.iter().copied().collect();
        self.sent_indices(self.view.from)
            .into_iter()
            .filter(move |index| !stay.contains(index))
            .map(|index| &*self.messages[index])
    }

    /// Leaves out what stands before a cut, save for what is pinned and an earlier summary.
    pub(crate) fn cut(&mut self, cut: Cut) {
        self.view.from = cut.at;
    }

    /// Puts a summary in the place of what stands before a cut; `mark` stays where it was.
    pub(crate) fn condense(&mut self, cut: Cut, summary: Arc<Message>, mark: &mut Mark) {
        let (bytes, blocks) = (summary.size_bytes(), summary.content.len());
        self.size_bytes += bytes;
        self.blocks += blocks;
        self.stored.same = self.stored.same.min(cut.at);
        if cut.at <= mark.len {
            if cut.at == mark.len {
                mark.last = Some(Arc::clone(&summary));
            }
            mark.len += 1;
            mark.size_bytes += bytes;
            mark.blocks += blocks;
        }
        self.messages.insert(cut.at, summary);
        self.view.from = cut.at + 1;
    }

    /// Takes up the view that was kept.
    ///
    /// One of other messages tells nothing of these: all are sent again.
    pub(super) fn restore_view(&mut self, kept: View) {
        let is_end = kept.from == self.messages.len();
        let fits = kept.from == 0 || is_end || self.turn_starts().contains(&kept.from);
        if kept.len == self.messages.len() && fits {
            self.view = kept;
        }
    }

    /// Where turns begin.
    fn turn_starts(&self) -> Vec<usize> {
        let mut said = None;
        let mut starts = Vec::new();
        for (index, message) in self.messages.iter().enumerate() {
            if message.role == Role::System || message.marking == Marking::Summary {
                continue;
            }
            let begins = message.role == Role::User && said != Some(Role::User);
            if begins && !message.holds_results() {
                starts.push(index);
            }
            said = Some(message.role);
        }
        starts
    }

    /// The messages that are sent when older turns are left out up to `from`.
    fn sent_indices(&self, from: usize) -> Vec<usize> {
        if from == 0 {
            return (0..self.messages.len()).collect();
        }
        let starts = self.turn_starts();
        let first = starts.first().copied().unwrap_or(0);
        let is_system = |index: &usize| self.messages[*index].role == Role::System;
        let mut sent: Vec<usize> = (0..first.min(from)).filter(is_system).collect();
        let ends = starts.iter().skip(1).copied().chain([from]);
        for (start, end) in starts.iter().copied().zip(ends) {
            if start < from {
                sent.extend(self.kept_of(start..end.min(from)));
            }
        }
        sent.extend(self.summary_before(from));
        sent.extend(from..self.messages.len());
        sent
    }

    fn summary_before(&self, from: usize) -> Option<usize> {
        self.messages[..from]
            .iter()
            .rposition(|message| message.marking == Marking::Summary)
    }

    /// What stays of a turn that is left out: nothing, unless something in it is pinned.
    ///
    /// Then it stays from its beginning to what is pinned, with the results of the calls there and
    /// the turn's last answer, so that the user and the assistant go on to take turns.
    fn kept_of(&self, turn: Range<usize>) -> Vec<usize> {
        let Some(pinned) = turn.clone().rfind(|at| stays(&self.messages[*at])) else {
            return Vec::new();
        };
        let is_answer = |at: &usize| self.messages[*at].role == Role::Assistant;
        let mut rest = pinned + 1..turn.end;
        let end = rest.find(is_answer).unwrap_or(turn.end);
        let is_said = |at: &usize| self.messages[*at].marking != Marking::Summary;
        let mut kept: Vec<usize> = (turn.start..end).filter(is_said).collect();
        let said = kept
            .iter()
            .map(|at| self.messages[*at].role)
            .rfind(|role| *role != Role::System);
        if said == Some(Role::User) {
            kept.extend((end..turn.end).rfind(is_answer));
        }
        kept
    }

    fn weight(&self, index: usize) -> u64 {
        budget::estimate_input(&self.messages[index].content)
    }
}

/// True for a message that is never left out.
fn stays(message: &Message) -> bool {
    let changes_tools = message
        .content
        .iter()
        .any(|block| matches!(block, Block::ToolAddition(_) | Block::ToolRemoval(_)));
    message.marking == Marking::Pinned || changes_tools
}
