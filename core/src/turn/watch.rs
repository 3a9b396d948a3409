//! What a turn waits for, and what happens when it comes too late.

use std::time::Instant;

use super::{Context, Ending, Flow, Phase, Turn, step};
use crate::{
    error::{Failure, Reason},
    event::StopReason,
    limits::Limits,
};

impl Turn {
    /// When the next [`Turn::tick`] is due.
    pub(crate) fn next_tick(&self, limits: &Limits) -> Option<Instant> {
        let of_step = |step: &step::Step| {
            let own = step.deadline(limits);
            own.map_or(self.deadline(), |at| at.min(self.deadline()))
        };
        match &self.phase {
            Phase::Between => None,
            Phase::Calling(step) => Some(of_step(step)),
            Phase::Condensing(condensing) => Some(of_step(condensing.step())),
            Phase::AwaitingTools(pending) => Some(
                pending
                    .deadline()
                    .map_or(self.deadline(), |at| at.min(self.deadline())),
            ),
            Phase::Paused { pending, .. } => pending.deadline(),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let limit = self.clock.time_limit;
        self.clock
            .caller_deadline
            .map_or(limit, |deadline| deadline.min(limit))
    }

    /// Acts on what is due.
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) -> Flow {
        if !self.is_paused() {
            if self
                .clock
                .caller_deadline
                .is_some_and(|deadline| deadline <= ctx.now)
            {
                return Some(Ending::deadline(
                    "the call's deadline passed",
                    StopReason::Cancelled,
                ));
            }
            if self.clock.time_limit <= ctx.now {
                let text = "the turn took longer than its time limit";
                return Some(Ending::deadline(text, StopReason::BudgetExceeded));
            }
        }
        match &self.phase {
            Phase::Between => None,
            Phase::Condensing(condensing) => {
                condensing.step().overdue(ctx.limits, ctx.now)?;
                self.end_condensing(ctx)
            }
            Phase::Calling(step) => match step.overdue(ctx.limits, ctx.now)? {
                step::Overdue::Metadata => self.complete_step(ctx),
                step::Overdue::FirstEvent => Some(Ending::incomplete(Failure::new(
                    Reason::ModelTimeout,
                    format!(
                        "the model said nothing for {:?}",
                        ctx.limits.first_event_timeout
                    ),
                ))),
                step::Overdue::NextEvent => Some(Ending::incomplete(Failure::new(
                    Reason::ModelTimeout,
                    format!(
                        "the model's stream was silent for {:?}",
                        ctx.limits.model_idle_timeout
                    ),
                ))),
            },
            Phase::AwaitingTools(_) => self.expire_tools(ctx),
            Phase::Paused { pending, .. } => pending.is_overdue(ctx.now).then(|| {
                Ending::failed(Failure::new(
                    Reason::AnswerTimeout,
                    "a client tool, or a question for consent, was not answered in time",
                ))
            }),
        }
    }
}
