//! The model call that condenses what is left out: no step of the turn, and none of its output is
//! told, save the summary.

use std::sync::Arc;

use super::{
    Context, Flow, Phase, Turn,
    reduce::Plan,
    step::{self, Progress, Step},
};
use crate::{
    budget::{Reservation, estimate_input, estimate_tokens},
    command::Command,
    context::{Reduction, SUMMARY_INSTRUCTIONS, Summary, transcript},
    event::{Payload, StopReason},
    history::History,
    message::{Block, Marking, Message, Role},
    model::{ModelEvent, ModelMetadata, ModelRequest, ReplyForm},
    options::TurnOptions,
};

/// What the model is told of a summary.
const HEADING: &str = "Summary of the conversation so far, in the place of its beginning:";

/// A summary that is being made.
#[derive(Debug)]
pub(super) struct Condensing {
    step: Step,
    plan: Option<Plan>,
}

impl Condensing {
    /// One that an earlier process began.
    pub(super) fn lost(step: Step) -> Self {
        Self { step, plan: None }
    }

    pub(super) fn step(&self) -> &Step {
        &self.step
    }

    pub(super) fn step_mut(&mut self) -> &mut Step {
        &mut self.step
    }
}

impl Turn {
    /// Asks a model to condense what a plan leaves out.
    ///
    /// False when the turn's budget would not bear that and the step after it.
    pub(super) fn condense(
        &mut self,
        plan: Plan,
        summary: &Summary,
        ctx: &mut Context<'_>,
    ) -> bool {
        let instructions = summary
            .instructions
            .as_deref()
            .unwrap_or(SUMMARY_INSTRUCTIONS);
        let transcript = transcript(ctx.history.condensed(plan.cut));
        let request = format!(
            "<conversation>\n{transcript}</conversation>\n\nCondense this conversation as you are \
             instructed."
        );
        let input_tokens = estimate_tokens(instructions.len() + request.len());
        let max_tokens = u64::from(summary.max_tokens.get());
        // The summary is paid for twice: when it is written, and as input of the step.
        let needed = input_tokens
            .saturating_add(max_tokens.saturating_mul(2))
            .saturating_add(plan.rest_tokens());
        if !self.budget.has_more_than(needed) {
            return false;
        }
        let options = self.summary_options(summary, instructions);
        let price = self.price(options.model_id.as_deref(), ctx);
        let cost = price.map(|price| price.most(input_tokens, max_tokens));
        if !self.budget.has_more_cost_than(cost) {
            return false;
        }
        let id = ctx.ids.step();
        let max_tokens = Some(summary.max_tokens.get());
        ctx.out.command(Command::CallModel {
            step: id,
            request: Box::new(ModelRequest {
                options: Arc::new(options),
                tools: Vec::new(),
                tool_choice: None,
                reply_form: ReplyForm::Native,
                input_tokens,
                max_tokens,
                messages: vec![Arc::new(Message::user(vec![Block::Text(request)]))],
                deadline: Some(self.deadline()),
            }),
        });
        let opening = step::Opening {
            id,
            index: self.steps_started,
            reservation: Reservation {
                max_tokens,
                ..Reservation::default()
            },
            price,
            input_tokens,
            max_output_bytes: ctx.limits.max_output_bytes,
            held: ctx.held,
            first_sequence: ctx.out.last_sequence(),
            now: ctx.now,
        };
        self.phase = Phase::Condensing(Box::new(Condensing {
            step: Step::new(&self.id, opening),
            plan: Some(plan),
        }));
        true
    }

    /// Settings of the summarizing call: of the turn's own, those that hold for any call.
    fn summary_options(&self, summary: &Summary, instructions: &str) -> TurnOptions {
        let own = &self.options;
        let base = TurnOptions {
            system: Some(instructions.to_owned()),
            max_tokens: Some(summary.max_tokens),
            guardrail: own.guardrail.clone(),
            request_metadata: own.request_metadata.clone(),
            ..TurnOptions::default()
        };
        match &summary.model_id {
            Some(model_id) => TurnOptions {
                model_id: Some(model_id.clone()),
                ..base
            },
            None => TurnOptions {
                model_id: own.model_id.clone(),
                service_tier: own.service_tier,
                latency: own.latency,
                ..base
            },
        }
    }

    /// The summarizing model said something.
    pub(super) fn summarizer_said(&mut self, event: ModelEvent, ctx: &mut Context<'_>) -> Flow {
        let Phase::Condensing(condensing) = &mut self.phase else {
            return None;
        };
        match condensing.step.take(event, ctx.now, &mut |_, _| {}) {
            Ok(Progress::Goes | Progress::Spent) => None,
            Ok(Progress::WantsMore) => {
                ctx.out.command(Command::Extend(condensing.step.id()));
                None
            }
            Ok(Progress::Complete) | Err(_) => self.end_condensing(ctx),
        }
    }

    /// The summarizing call ended or failed.
    pub(super) fn summarizer_ended(&mut self, ctx: &mut Context<'_>) -> Flow {
        if let Phase::Condensing(condensing) = &mut self.phase {
            condensing.step.close();
        }
        self.end_condensing(ctx)
    }

    /// Puts the summary in the place of what it condenses, or leaves that out without one; then
    /// calls the turn's model.
    pub(super) fn end_condensing(&mut self, ctx: &mut Context<'_>) -> Flow {
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        let Phase::Condensing(condensing) = phase else {
            self.phase = phase;
            return None;
        };
        let Condensing { mut step, plan } = *condensing;
        let text = if step.has_stopped() {
            if !step.is_over() {
                ctx.out.command(Command::FinishModel(step.id()));
            }
            let outcome = step.conclude();
            self.pay(step.id(), outcome.usage, ctx);
            self.note_metadata(outcome.metadata, ctx);
            summary_text(outcome.stop.reason, step.blocks())
        } else {
            self.abandon(&step, ctx);
            None
        };
        let content = text.map(|text| vec![Block::Text(format!("{HEADING}\n\n{text}"))]);
        match content.zip(plan) {
            Some((content, plan)) if is_shorter(&content, plan, ctx.history) => {
                self.put_summary(content, plan, ctx);
            }
            Some(_) | None => self.slide(ctx),
        }
        self.call_step(ctx)
    }

    fn put_summary(&mut self, content: Vec<Block>, plan: Plan, ctx: &mut Context<'_>) {
        let summary = Arc::new(Message {
            role: Role::User,
            content,
            origin: Some(ctx.ids.origin(&self.id, ctx.now)),
            marking: Marking::Summary,
        });
        let omitted = ctx.history.condensed(plan.cut).count();
        ctx.history
            .condense(plan.cut, Arc::clone(&summary), &mut self.mark);
        self.tell_reduced(Reduction::Summarize, plan, omitted, Some(summary), ctx);
    }

    /// Closes a summarizing call of which nothing comes.
    pub(super) fn abandon(&mut self, step: &Step, ctx: &mut Context<'_>) {
        if !step.is_over() {
            ctx.out.command(Command::AbortModel(step.id()));
        }
        self.pay(step.id(), step.estimate(), ctx);
    }

    fn note_metadata(&mut self, metadata: ModelMetadata, ctx: &mut Context<'_>) {
        self.answer.metrics.model_latency += metadata.latency.unwrap_or_default();
        for guardrail in metadata.guardrails {
            let payload = Payload::Guardrail(Box::new(guardrail.clone()));
            ctx.out.tell(Some(&self.id), self.steps_started, 0, payload);
            self.answer.metrics.guardrail_time += guardrail.latency.unwrap_or_default();
            self.answer.guardrails.push(guardrail);
        }
    }
}

/// True for a summary that takes less room than what it stands for.
fn is_shorter(summary: &[Block], plan: Plan, history: &History) -> bool {
    let condensed = history.condensed(plan.cut);
    let blocks = condensed.flat_map(|message| &message.content);
    estimate_input(summary) < estimate_input(blocks)
}

/// What a model wrote, if it is a summary; one that reached its limit is better than none.
fn summary_text(reason: StopReason, blocks: Vec<Block>) -> Option<String> {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence | StopReason::MaxTokens => {}
        StopReason::Unknown
        | StopReason::ToolUse
        | StopReason::GuardrailIntervened
        | StopReason::ContentFiltered
        | StopReason::MalformedModelOutput
        | StopReason::MalformedToolUse
        | StopReason::ContextWindowExceeded
        | StopReason::ApprovalRequired
        | StopReason::MaxSteps
        | StopReason::BudgetExceeded
        | StopReason::Interrupted
        | StopReason::Cancelled
        | StopReason::Error
        | StopReason::Incomplete => return None,
    }
    let text = Message::user(blocks).text();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
