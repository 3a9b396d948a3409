//! What of a turn is kept, and how it goes on, or ends, from that.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Clock, Context, Ending, Flow, Phase, Turn, condense::Condensing, step::Step, tools::Pending,
};
use crate::{
    clock::Clock as Clocks,
    history::History,
    message::{Block, Role},
    saved,
    session::UserMessage,
};

impl Turn {
    /// Takes up a turn that was kept.
    ///
    /// One in which the model spoke ends: nobody can go on with that call, and to make it again
    /// would say again what was said. `output` is what was told of it, and is left out where a
    /// damaged history has lost the words that it answers. A turn whose calls the history has lost
    /// ends, too, since their results would answer nothing. What the server ran is told to be
    /// unknown and not run again; a turn that waited for that alone ends.
    pub(crate) fn restore(
        session_id: Arc<str>,
        saved: saved::Turn,
        output: Vec<Block>,
        ctx: &mut Context<'_>,
    ) -> (Self, Flow) {
        let clocks = *ctx.ids.clock();
        let index = saved.steps_started.saturating_sub(1);
        let price = ctx.agent.prices.find(saved.called_model(ctx.settings));
        let mut lost = Vec::new();
        let (phase, flow) = match saved.phase {
            saved::Phase::Condensing { input_tokens } => {
                let id = ctx.ids.step();
                let step = Step::lost(id, index, price, input_tokens, output, ctx.now);
                let condensing = Box::new(Condensing::lost(step));
                (Phase::Condensing(condensing), Some(Ending::lost()))
            }
            saved::Phase::Calling { input_tokens } => {
                let last = ctx.history.messages().last();
                let is_asked = last.is_some_and(|last| last.role == Role::User);
                let output = if is_asked { output } else { Vec::new() };
                let id = ctx.ids.step();
                let step = Step::lost(id, index, price, input_tokens, output, ctx.now);
                (Phase::Calling(Box::new(step)), Some(Ending::lost()))
            }
            saved::Phase::Waiting {
                calls,
                since,
                is_paused,
            } => {
                let since = clocks.instant_at(since);
                let (pending, was_lost) = Pending::restore(calls, since, ctx.now, &clocks);
                lost = was_lost;
                let is_over = pending.is_answered() || !pending.is_asked_by(ctx.history);
                let flow = if is_over {
                    Some(Ending::lost())
                } else {
                    (!is_paused).then(Ending::paused)
                };
                if is_paused {
                    (Phase::Paused { pending, since }, flow)
                } else {
                    (Phase::AwaitingTools(pending), flow)
                }
            }
        };
        let turn = Self {
            id: saved.id,
            stream: None,
            session_id,
            tools: ctx.tools.allowed(&saved.options.allowed_tools),
            options: saved.options,
            phase,
            clock: Clock {
                received: clocks.instant_at(saved.received),
                caller_deadline: None,
                time_limit: clocks.instant_at(saved.time_limit),
            },
            mark: ctx.history.restore_mark(saved.mark),
            budget: saved.budget,
            steps_started: saved.steps_started,
            steering: saved
                .steering
                .into_iter()
                .map(UserMessage::restore)
                .collect(),
            made: saved.made,
            answer: saved.answer,
            faulty_steps: saved.faulty_steps,
            repairs: saved.repairs,
            given_up: BTreeSet::new(),
        };
        turn.tell_lost(&lost, ctx);
        (turn, flow)
    }

    /// Writes all that [`Turn::restore`] needs.
    pub(crate) fn save(&self, clocks: &Clocks, history: &History) -> saved::Turn {
        let waiting = |pending: &Pending, since, is_paused| saved::Phase::Waiting {
            calls: pending.save(),
            since: clocks.system_at(since),
            is_paused,
        };
        let phase = match &self.phase {
            // Never between two inputs; were it so, what stands is a call of which nothing came.
            Phase::Between => saved::Phase::Calling { input_tokens: 0 },
            Phase::Calling(step) => saved::Phase::Calling {
                input_tokens: step.input_tokens(),
            },
            Phase::Condensing(condensing) => saved::Phase::Condensing {
                input_tokens: condensing.step().input_tokens(),
            },
            Phase::AwaitingTools(pending) => waiting(pending, pending.since(), false),
            Phase::Paused { pending, since } => waiting(pending, *since, true),
        };
        saved::Turn {
            id: Arc::clone(&self.id),
            options: Arc::clone(&self.options),
            received: clocks.system_at(self.clock.received),
            time_limit: clocks.system_at(self.clock.time_limit),
            mark: history.save_mark(&self.mark),
            budget: self.budget.clone(),
            steps_started: self.steps_started,
            steering: self.steering.iter().map(UserMessage::save).collect(),
            made: if self.options.include_steps {
                self.made.clone()
            } else {
                Vec::new()
            },
            answer: self.answer.clone(),
            phase,
            faulty_steps: self.faulty_steps,
            repairs: self.repairs,
        }
    }

    /// The oldest event that is needed to know what the model has said of an open step.
    pub(crate) fn needed_from(&self) -> Option<u64> {
        match &self.phase {
            Phase::Calling(step) => Some(step.first_sequence()),
            Phase::Between
            | Phase::Condensing(_)
            | Phase::AwaitingTools(_)
            | Phase::Paused { .. } => None,
        }
    }
}
