//! What the model says in a step: how it is told, how its call ends, and what it costs.

use std::{sync::Arc, time::Instant};

use super::{
    Context, Ending, Flow, Phase, Turn, name_executor,
    step::{self, Step},
};
use crate::{
    command::Command,
    error::{Failure, Reason},
    event::{Payload, StopReason},
    input::StepId,
    message::{Block, Marking, Message, Role},
    model::ModelEvent,
    usage::Usage,
};

impl Turn {
    /// The provider took the request.
    pub(crate) fn model_opened(&mut self, retries: u32) {
        if let Some(step) = self.open_step_mut() {
            step.open();
        }
        self.answer.metrics.retries = self.answer.metrics.retries.saturating_add(retries);
    }

    /// The driver stopped or went back to reading the model.
    pub(crate) fn model_held(&mut self, held: bool, now: Instant) {
        if let Some(step) = self.open_step_mut() {
            step.hold(held, now);
        }
    }

    /// The model call that is open, whatever it is for.
    pub(super) fn open_step(&self) -> Option<&Step> {
        match &self.phase {
            Phase::Calling(step) => Some(step),
            Phase::Condensing(condensing) => Some(condensing.step()),
            Phase::Between | Phase::AwaitingTools(_) | Phase::Paused { .. } => None,
        }
    }

    pub(super) fn open_step_mut(&mut self) -> Option<&mut Step> {
        match &mut self.phase {
            Phase::Calling(step) => Some(step),
            Phase::Condensing(condensing) => Some(condensing.step_mut()),
            Phase::Between | Phase::AwaitingTools(_) | Phase::Paused { .. } => None,
        }
    }

    /// The model said something.
    pub(crate) fn model_said(&mut self, event: ModelEvent, ctx: &mut Context<'_>) -> Flow {
        if matches!(self.phase, Phase::Condensing(_)) {
            return self.summarizer_said(event, ctx);
        }
        let Phase::Calling(step) = &mut self.phase else {
            return None;
        };
        let (turn_id, step_index) = (&self.id, step.index());
        let (out, tools) = (&mut *ctx.out, &self.tools);
        let mut sink = |block_index, mut payload| {
            if let Payload::BlockCompleted(block) = &mut payload {
                name_executor(block, tools);
            }
            out.tell(Some(turn_id), step_index, block_index, payload);
        };
        match step.take(event, ctx.now, &mut sink) {
            Ok(step::Progress::Goes) => None,
            Ok(step::Progress::Complete) => self.complete_step(ctx),
            Ok(step::Progress::Spent) => Some(Ending::completed(StopReason::BudgetExceeded)),
            Ok(step::Progress::WantsMore) => {
                ctx.out.command(Command::Extend(step.id()));
                None
            }
            Err(failure) => Some(Ending::failed(failure)),
        }
    }

    /// The model's stream ended.
    pub(crate) fn model_ended(&mut self, ctx: &mut Context<'_>) -> Flow {
        if matches!(self.phase, Phase::Condensing(_)) {
            return self.summarizer_ended(ctx);
        }
        let Phase::Calling(step) = &mut self.phase else {
            return None;
        };
        step.close();
        if step.has_stopped() {
            return self.complete_step(ctx);
        }
        let failure = Failure::new(
            Reason::ModelStreamError,
            "the model's stream ended without saying why the model stopped",
        );
        Some(Ending::incomplete(failure))
    }

    /// The model call failed.
    pub(crate) fn model_failed(&mut self, failure: Failure, ctx: &mut Context<'_>) -> Flow {
        if matches!(self.phase, Phase::Condensing(_)) {
            return self.summarizer_ended(ctx);
        }
        let Phase::Calling(step) = &mut self.phase else {
            return None;
        };
        step.close();
        // Once the model has said why it stopped the message is whole; only its counts are lost.
        if step.has_stopped() {
            self.complete_step(ctx)
        } else {
            Some(Ending::failed(failure))
        }
    }

    pub(super) fn complete_step(&mut self, ctx: &mut Context<'_>) -> Flow {
        let Phase::Calling(step) = std::mem::replace(&mut self.phase, Phase::Between) else {
            return None;
        };
        let mut step = *step;
        let outcome = step.complete(&self.id, ctx);
        let counted = outcome.usage.clone();
        self.record(&step, outcome.usage, ctx);
        self.answer.stop_detail = outcome.stop.detail;
        self.answer.additional_fields_json = outcome.stop.additional_fields_json;
        if let Some(model_id) = outcome.metadata.invoked_model_id {
            self.answer.model_id = model_id;
        }
        if let Some(latency) = outcome.metadata.latency {
            self.answer.metrics.model_latency += latency;
        }
        for guardrail in outcome.metadata.guardrails {
            self.answer.metrics.guardrail_time += guardrail.latency.unwrap_or_default();
            self.answer.guardrails.push(guardrail);
        }
        self.answer.granted = outcome.metadata.granted;
        let mut blocks = step.blocks();
        for block in &mut blocks {
            name_executor(block, &self.tools);
        }
        let message = self.keep_message(blocks, ctx);
        self.remember_count(&counted, ctx);
        let budget_ended = outcome.stop.reason == StopReason::MaxTokens && step.is_clamped();
        let reason = if budget_ended {
            StopReason::BudgetExceeded
        } else {
            outcome.stop.reason
        };
        let has_calls = message.open_calls().next().is_some();
        // Some models say that their turn ended and mean that their calls be run.
        let wants_tools = matches!(reason, StopReason::ToolUse | StopReason::EndTurn);
        if has_calls && wants_tools {
            return self.dispatch_tools(&message, ctx);
        }
        if has_calls {
            let origin = ctx.ids.origin(&self.id, ctx.now);
            let text = "not run: the model's answer ended before its calls were handed out";
            self.made.extend(
                ctx.history
                    .answer(Vec::new(), text, Vec::new(), Some(origin)),
            );
        }
        self.close_text(&message, reason, ctx)
    }

    /// Adds what the model said to the history and to the answer.
    fn keep_message(&mut self, blocks: Vec<Block>, ctx: &mut Context<'_>) -> Arc<Message> {
        let message = Arc::new(Message {
            role: Role::Assistant,
            content: blocks,
            origin: Some(ctx.ids.origin(&self.id, ctx.now)),
            marking: Marking::Unmarked,
        });
        ctx.history.add_assistant(&message);
        self.answer.message = Some(Arc::clone(&message));
        message
    }

    /// Adds a model call's tokens and first output to the turn's.
    pub(super) fn record(&mut self, step: &Step, usage: Usage, ctx: &mut Context<'_>) {
        self.pay(step.id(), usage, ctx);
        if self.answer.metrics.time_to_first_output.is_none() {
            self.answer.metrics.time_to_first_output = step
                .first_output()
                .map(|at| at.saturating_duration_since(self.clock.received));
        }
    }

    pub(super) fn pay(&mut self, step: StepId, usage: Usage, ctx: &mut Context<'_>) {
        self.budget.settle(&usage);
        self.answer.usage.add(&usage);
        ctx.out.command(Command::Settle { step, usage });
    }

    /// A budget that several turns share lets the model call go on so far.
    pub(crate) fn model_allowed(
        &mut self,
        max_tokens: Option<u32>,
        watched_tokens: Option<u64>,
        now: Instant,
    ) {
        if let Some(step) = self.open_step_mut() {
            step.allow(max_tokens, watched_tokens, now);
        }
    }

    /// The model call waits for a budget that several turns share.
    pub(crate) fn model_waits(&mut self) {
        if let Some(step) = self.open_step_mut() {
            step.wait();
        }
    }

    /// A budget that several turns share is used up.
    pub(crate) fn model_refused(&mut self, ctx: &mut Context<'_>) -> Flow {
        let step = self.open_step_mut()?;
        // A message that is whole costs no more.
        if step.has_stopped() {
            return None;
        }
        let was_made = !step.is_asked();
        if !was_made {
            step.close();
        }
        match self.phase {
            Phase::Calling(_) if was_made => Some(Ending::completed(StopReason::BudgetExceeded)),
            Phase::Calling(_) => Some(Ending::exhausted(StopReason::BudgetExceeded)),
            Phase::Condensing(_) => self.end_condensing(ctx),
            Phase::Between | Phase::AwaitingTools(_) | Phase::Paused { .. } => None,
        }
    }
}
