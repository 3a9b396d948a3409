//! Room for a conversation that has outgrown the agent's settings.

use std::sync::Arc;

use super::{Context, Turn};
use crate::{
    budget,
    context::{Policy, Reduced, Reduction},
    event::Payload,
    history::{Cut, History},
    message::Message,
    usage::Usage,
};

/// Whether there is room for the next model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is as much as there can be.
    Made,
    /// A summary is awaited.
    Awaited,
}

/// What is to be left out of an input that is too large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) cut: Cut,
    tokens_before: u64,
    /// Estimate of what `tokens_before` is the better known figure of.
    estimate_before: u64,
}

impl Plan {
    /// Tokens of what has this estimate, by the measure that the whole input gives.
    fn tokens_of(&self, estimate: u64) -> u64 {
        let tokens = u128::from(estimate) * u128::from(self.tokens_before)
            / u128::from(self.estimate_before.max(1));
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// Input tokens without what is left out, and without what may stand for it.
    pub(super) fn rest_tokens(&self) -> u64 {
        self.tokens_of(self.estimate_before.saturating_sub(self.cut.freed))
    }
}

impl Turn {
    /// Leaves older turns out, if the next model call's input is above the agent's trigger and
    /// there is something to leave out.
    pub(super) fn make_room(&mut self, ctx: &mut Context<'_>) -> Room {
        let Some(settings) = ctx.settings else {
            return Room::Made;
        };
        let estimate = self.input_estimate(ctx.history);
        if ctx.history.tokens_of(estimate) <= settings.trigger_tokens.get() {
            return Room::Made;
        }
        if let Policy::Summarize(summary) = &settings.policy {
            let target = settings.target_tokens.get();
            let target = target.saturating_sub(summary.max_tokens.get().into());
            if let Some(plan) = self.plan(target, ctx.history)
                && self.condense(plan, summary, ctx)
            {
                return Room::Awaited;
            }
        }
        self.slide(ctx);
        Room::Made
    }

    /// Leaves older turns out, with nothing in their place but an earlier summary.
    pub(super) fn slide(&mut self, ctx: &mut Context<'_>) {
        let Some(settings) = ctx.settings else { return };
        let Some(plan) = self.plan(settings.target_tokens.get(), ctx.history) else {
            return;
        };
        let omitted = ctx.history.omitted(plan.cut).count();
        ctx.history.cut(plan.cut);
        self.tell_reduced(Reduction::Sliding, plan, omitted, None, ctx);
    }

    /// Chooses what to leave out: as little as brings the rest within `target`, or all that can go.
    fn plan(&self, target: u64, history: &History) -> Option<Plan> {
        let estimate_before = self.input_estimate(history);
        let tokens_before = history.tokens_of(estimate_before);
        let plans = history.cuts().into_iter().map(|cut| Plan {
            cut,
            tokens_before,
            estimate_before,
        });
        let mut best = None;
        for plan in plans {
            best = Some(plan);
            if plan.rest_tokens() <= target {
                break;
            }
        }
        best
    }

    /// Tells of a reduction, ahead of the step that it makes room for.
    pub(super) fn tell_reduced(
        &self,
        how: Reduction,
        plan: Plan,
        omitted: usize,
        summary: Option<Arc<Message>>,
        ctx: &mut Context<'_>,
    ) {
        let estimate = self.input_estimate(ctx.history);
        let tokens_after = plan.tokens_of(estimate);
        ctx.history.remember_count(tokens_after, estimate);
        let reduced = Reduced {
            how,
            omitted_messages: u32::try_from(omitted).unwrap_or(u32::MAX),
            tokens_before: plan.tokens_before,
            tokens_after,
            summary,
        };
        let payload = Payload::ContextReduced(Box::new(reduced));
        ctx.out.tell(Some(&self.id), self.steps_started, 0, payload);
    }

    /// Estimated tokens of the next model call's input.
    pub(super) fn input_estimate(&self, history: &History) -> u64 {
        let steering = self.steering.iter().flat_map(|message| &message.content);
        self.options_estimate()
            .saturating_add(history.sent_estimate())
            .saturating_add(budget::estimate_input(steering))
    }

    /// Estimated tokens of what each call is sent besides the conversation.
    fn options_estimate(&self) -> u64 {
        let of_server = self.tools.iter().map(|tool| &*tool.spec);
        budget::estimate_options(&self.options).saturating_add(budget::estimate_tools(of_server))
    }

    /// Remembers the provider's count of a step's input and of the answer to it.
    pub(super) fn remember_count(&self, usage: &Usage, ctx: &mut Context<'_>) {
        if ctx.settings.is_none() || usage.estimated || usage.input_tokens == 0 {
            return;
        }
        let cached = usage
            .cache_read_tokens
            .saturating_add(usage.cache_write_tokens);
        let said = usage.input_tokens.saturating_add(usage.output_tokens);
        let estimate = self
            .options_estimate()
            .saturating_add(ctx.history.sent_estimate());
        ctx.history
            .remember_count(said.saturating_add(cached), estimate);
    }
}
