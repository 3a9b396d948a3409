//! How a turn stands, as it is told.

use std::{sync::Arc, time::Instant};

use super::{Phase, Turn};
use crate::{
    event::{StopReason, TurnResult, TurnStatus},
    message::{Marking, Message, Role},
};

impl Turn {
    /// How the turn stands, without changing it.
    pub(crate) fn snapshot(&self, last_sequence: u64, now: Instant) -> TurnResult {
        let (status, message, pending) = match &self.phase {
            Phase::Paused { pending, .. } => (
                TurnStatus::Paused,
                self.answer.message.clone(),
                pending.open_calls(),
            ),
            Phase::AwaitingTools(pending) => (
                TurnStatus::Running,
                self.answer.message.clone(),
                pending.open_calls(),
            ),
            Phase::Calling(step) => {
                let blocks = step.blocks();
                let message = (!blocks.is_empty()).then(|| {
                    Arc::new(Message {
                        role: Role::Assistant,
                        content: blocks,
                        origin: None,
                        marking: Marking::Unmarked,
                    })
                });
                (
                    TurnStatus::Running,
                    message.or_else(|| self.answer.message.clone()),
                    Vec::new(),
                )
            }
            Phase::Between | Phase::Condensing(_) => {
                (TurnStatus::Running, self.answer.message.clone(), Vec::new())
            }
        };
        let stop_reason = (status == TurnStatus::Paused).then_some(StopReason::ToolUse);
        let mut metrics = self.answer.metrics.clone();
        metrics.total = now.saturating_duration_since(self.clock.received);
        TurnResult {
            turn_id: Arc::clone(&self.id),
            session_id: Arc::clone(&self.session_id),
            status,
            stop_reason,
            stop_detail: self.answer.stop_detail.clone(),
            message,
            intermediate_messages: self.intermediate_messages(),
            pending_tool_calls: pending,
            usage: self.answer.usage.clone(),
            metrics,
            guardrails: self.answer.guardrails.clone(),
            model_id: self.answer.model_id.clone(),
            additional_fields_json: self.answer.additional_fields_json.clone(),
            granted: self.answer.granted.clone(),
            failure: None,
            last_sequence,
        }
    }

    /// Messages made before the final one, where the caller wants them.
    pub(super) fn intermediate_messages(&self) -> Vec<Arc<Message>> {
        if !self.options.include_steps {
            return Vec::new();
        }
        let last = self.answer.message.as_ref();
        self.made
            .iter()
            // By their ids: a message that was kept comes back as two values.
            .filter(|message| last.is_none_or(|last| last.origin != message.origin))
            .cloned()
            .collect()
    }
}
