//! What of a session outlives its process: what has changed, to be kept, and what was kept, to go
//! on from.
//!
//! The driver asks [`Session::changes`](crate::Session::changes) after each input and keeps them
//! together with the events; [`Session::restore`](crate::Session::restore) takes what was kept. A
//! message, a receipt and a turn's result are kept once each; [`Saved`] holds the rest, which is
//! small, and is kept anew each time.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};

pub use crate::history::Repair;
use crate::{
    budget::Budget,
    context::{self, Policy},
    event::{FrameAccepted, TurnResult},
    history::View,
    message::{Block, Message},
    options::TurnOptions,
    tool::{ApprovalRequest, ToolCall, ToolResult},
    turn::Answer,
};

/// How a session stands, without its history, its receipts and its ended turns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub(crate) seed: String,
    pub(crate) turns: u64,
    pub(crate) messages: u64,
    pub(crate) steps: u64,
    pub(crate) turn_sequence: u64,
    pub(crate) options: TurnOptions,
    pub(crate) turn: Option<Box<Turn>>,
    pub(crate) queue: Vec<Words>,
    /// Ids of the frames of messages whose last part has not come.
    pub(crate) unfinished: Vec<Vec<String>>,
    #[serde(default)]
    pub(crate) view: View,
    /// Tools whose calls the user has approved or refused for the session.
    #[serde(default)]
    pub(crate) remembered: BTreeMap<String, bool>,
    /// Approvals and runs so far.
    #[serde(default)]
    pub(crate) approvals: u64,
    #[serde(default)]
    pub(crate) runs: u64,
}

/// A turn that runs or is paused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) id: Arc<str>,
    pub(crate) options: Arc<TurnOptions>,
    pub(crate) received: SystemTime,
    pub(crate) time_limit: SystemTime,
    pub(crate) mark: Mark,
    pub(crate) budget: Budget,
    pub(crate) steps_started: u32,
    pub(crate) steering: Vec<Words>,
    pub(crate) made: Vec<Arc<Message>>,
    pub(crate) answer: Answer,
    pub(crate) phase: Phase,
    #[serde(default)]
    pub(crate) faulty_steps: u32,
    #[serde(default)]
    pub(crate) repairs: u32,
}

impl Turn {
    /// The model that was called, if one was; the settings name that of a summary.
    pub(crate) fn called_model<'a>(&'a self, settings: Option<&'a context::Settings>) -> &'a str {
        let own = self.options.model_id.as_deref();
        let of_summary = match (&self.phase, settings.map(|settings| &settings.policy)) {
            (Phase::Condensing { .. }, Some(Policy::Summarize(summary))) => {
                summary.model_id.as_deref()
            }
            (Phase::Condensing { .. } | Phase::Calling { .. } | Phase::Waiting { .. }, _) => None,
        };
        of_summary.or(own).unwrap_or_default()
    }
}

/// Where a turn stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The model was called.
    Calling {
        /// Estimated tokens of what it was sent.
        input_tokens: u64,
    },
    /// A model condenses what is to be left out of what the turn's model is sent.
    Condensing {
        /// Estimated tokens of what it was sent.
        input_tokens: u64,
    },
    /// Tools run, or wait for consent.
    Waiting {
        calls: Vec<Pending>,
        since: SystemTime,
        is_paused: bool,
    },
}

/// A call of a tool, and its result where that has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) call: ToolCall,
    pub(crate) result: Option<ToolResult>,
    #[serde(default)]
    pub(crate) stage: Stage,
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// Where a call without a result stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// The client has it.
    #[default]
    Out,
    /// A person is asked for consent.
    Asking(Box<ApprovalRequest>),
    /// The server is to run it.
    Queued,
    /// The server ran it.
    Running,
}

/// A point to which a history can be taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) len: usize,
    /// The last message before the point, where the history has another in its place.
    pub(crate) last: Option<Arc<Message>>,
}

/// A user's message that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Words {
    pub(crate) frame_id: Option<String>,
    pub(crate) parts: Vec<String>,
    pub(crate) content: Vec<Block>,
    pub(crate) context_only: bool,
}

impl Saved {
    /// The turn that runs or is paused, and whether it is paused.
    pub fn active_turn(&self) -> Option<(&str, bool)> {
        let turn = self.turn.as_ref()?;
        let is_paused = match turn.phase {
            Phase::Calling { .. } | Phase::Condensing { .. } => false,
            Phase::Waiting { is_paused, .. } => is_paused,
        };
        Some((&turn.id, is_paused))
    }

    /// The turn and the step in which the model was called and has not ended.
    pub fn running_step(&self) -> Option<(&str, u32)> {
        let turn = self.turn.as_ref()?;
        match turn.phase {
            Phase::Calling { .. } => Some((&turn.id, turn.steps_started.saturating_sub(1))),
            Phase::Condensing { .. } | Phase::Waiting { .. } => None,
        }
    }

    /// True when the calls of the last message may want their results still.
    pub(crate) fn awaits_results(&self) -> bool {
        let phase = self.turn.as_ref().map(|turn| &turn.phase);
        matches!(phase, Some(Phase::Waiting { .. }))
    }

    /// True when a turn runs or is paused, or input waits.
    pub fn has_work(&self) -> bool {
        self.turn.is_some() || !self.queue.is_empty() || !self.unfinished.is_empty()
    }
}

/// All that was kept of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// How it stood.
    pub state: Saved,
    /// Its history, oldest first.
    pub messages: Vec<Message>,
    /// Frames that were taken, oldest first.
    pub receipts: Vec<Receipt>,
    /// Results of its newest turns that have ended, oldest first.
    pub ended: Vec<TurnResult>,
    /// What was told of the step that ran: whole blocks, and open text as far as it came.
    pub output: Vec<Block>,
    /// Sequence number of its newest event.
    pub last_sequence: u64,
}

/// A frame that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What was answered.
    pub accepted: FrameAccepted,
    /// What the frame said, in short.
    pub digest: [u8; 32],
}

/// What has changed since it was last asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// How the session stands.
    pub state: Saved,
    /// Settings that its turns start from, where they have changed.
    pub options: Option<TurnOptions>,
    /// What has changed in its history.
    pub history: Option<HistoryChange>,
    /// Frames that were taken or, after all, refused; in order.
    pub receipts: Vec<ReceiptChange>,
    /// Turns that have ended, oldest first.
    pub ended: Vec<TurnResult>,
    /// Tool calls that have come to another state, in order.
    pub calls: Vec<CallChange>,
}

/// A change of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryChange {
    /// Messages that stay.
    pub keep: usize,
    /// Messages that follow them.
    pub added: Vec<Arc<Message>>,
}

/// A change of what is known of frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptChange {
    /// A frame was taken.
    Taken(Box<Receipt>),
    /// A frame that had been taken was refused: it may come again.
    Forgotten(String),
}

/// A change of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallChange {
    /// The turn that it belongs to.
    pub turn_id: Arc<str>,
    /// Its id.
    pub call_id: String,
    /// Tool called.
    pub name: String,
    /// Its new state.
    pub state: CallState,
}

/// States of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// It was handed out, and may have had effects.
    Started,
    /// Its result came.
    Finished,
    /// Whether it had effects is not known, and will not be.
    Unknown,
}
