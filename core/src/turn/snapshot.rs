//! How a turn stands, as it is told.

use std::{sync::Arc, time::Instant};

use super::{Phase, Turn, tools::Pending};
use crate::{
    event::{StopReason, TurnResult, TurnStatus},
    message::{Marking, Message, Role},
};

impl Turn {
    /// How the turn stands, without changing it.
    pub(crate) fn snapshot(&self, last_sequence: u64, now: Instant) -> TurnResult {
        let (status, message, waiting) = match &self.phase {
            Phase::Paused { pending, .. } => (
                TurnStatus::Paused,
                self.answer.message.clone(),
                Some(pending),
            ),
            Phase::AwaitingTools(pending) => (
                TurnStatus::Running,
                self.answer.message.clone(),
                Some(pending),
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
                    None,
                )
            }
            Phase::Between | Phase::Condensing(_) => {
                (TurnStatus::Running, self.answer.message.clone(), None)
            }
        };
        let asks = waiting.is_some_and(Pending::asks);
        let waits_for = if asks {
            StopReason::ApprovalRequired
        } else {
            StopReason::ToolUse
        };
        let stop_reason = (status == TurnStatus::Paused).then_some(waits_for);
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
            pending_tool_calls: waiting.map(Pending::open_calls).unwrap_or_default(),
            pending_approvals: waiting.map(Pending::requests).unwrap_or_default(),
            output_json: self.answer.output_json.clone(),
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
