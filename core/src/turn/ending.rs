//! How a turn ends: what is kept of it, and what is told.

use std::sync::Arc;

use super::{Context, Phase, Turn};
use crate::{
    command::Command,
    error::{Failure, Reason},
    event::{InterruptionCause, Payload, StopReason, TurnResult, TurnStatus},
    message::{Marking, Message, Role},
};

/// The end of a turn, or of its part up to a pause.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ending {
    status: TurnStatus,
    stop_reason: StopReason,
    failure: Option<Failure>,
    interruption: Option<InterruptionCause>,
    keep: Keep,
}

/// What stays in the history of a turn that did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// What was sent; all of the turn is dropped when nothing was.
    Sent,
    /// What was sent, and the user's words even when nothing was.
    Words,
    /// The user's words and finished steps, without the output of the step that was cut.
    WordsAlone,
    /// Nothing.
    Nothing,
}

impl Ending {
    /// The model finished, or a limit stopped it.
    pub(crate) fn completed(stop_reason: StopReason) -> Self {
        Self::new(TurnStatus::Completed, stop_reason, None, Keep::Words)
    }

    /// The turn's budget allows no further model call.
    ///
    /// Words that the model was never told would only make the next turn dearer.
    pub(crate) fn exhausted(stop_reason: StopReason) -> Self {
        Self::new(TurnStatus::Completed, stop_reason, None, Keep::Sent)
    }

    /// The turn waits for tool results or consent; which, its stage says.
    pub(crate) fn paused() -> Self {
        Self::new(TurnStatus::Paused, StopReason::ToolUse, None, Keep::Words)
    }

    /// An error ends the turn; it counts as cut off when output of the step was sent.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self::new(
            TurnStatus::Failed,
            StopReason::Error,
            Some(failure),
            Keep::Sent,
        )
    }

    /// The model's output broke off.
    pub(crate) fn incomplete(failure: Failure) -> Self {
        Self::new(
            TurnStatus::Failed,
            StopReason::Incomplete,
            Some(failure),
            Keep::Sent,
        )
    }

    /// The process ended while the model spoke.
    ///
    /// The user's words stay even when nothing was said to them: their receipt was told.
    pub(crate) fn lost() -> Self {
        let text = "the server stopped, or lost its store, before the turn ended";
        Self::stopped(Failure::new(Reason::ShuttingDown, text))
    }

    /// The server stops, and waits no longer for the model; the words stay as in [`Ending::lost`].
    pub(crate) fn stopped(failure: Failure) -> Self {
        Self {
            keep: Keep::Words,
            ..Self::incomplete(failure)
        }
    }

    /// A deadline passed.
    pub(crate) fn deadline(text: &str, stop_reason: StopReason) -> Self {
        let failure = Failure::new(Reason::DeadlineExceeded, text);
        Self::new(
            TurnStatus::Cancelled,
            stop_reason,
            Some(failure),
            Keep::Sent,
        )
    }

    /// The turn was cancelled.
    pub(crate) fn cancelled(text: &str) -> Self {
        let failure = Failure::new(Reason::Cancelled, text);
        Self {
            interruption: Some(InterruptionCause::Cancel),
            ..Self::new(
                TurnStatus::Cancelled,
                StopReason::Cancelled,
                Some(failure),
                Keep::Sent,
            )
        }
    }

    /// The user cut the answer off.
    pub(crate) fn interrupted(cause: InterruptionCause) -> Self {
        Self {
            interruption: Some(cause),
            ..Self::new(
                TurnStatus::Interrupted,
                StopReason::Interrupted,
                None,
                Keep::Words,
            )
        }
    }

    /// Leaves the cut output out of the history.
    #[must_use]
    pub(crate) fn discarding_output(self) -> Self {
        Self {
            keep: Keep::WordsAlone,
            ..self
        }
    }

    /// Leaves the whole turn out of the history.
    #[must_use]
    pub(crate) fn discarding_turn(self) -> Self {
        Self {
            keep: Keep::Nothing,
            ..self
        }
    }

    /// True when the turn is over, and not only paused.
    pub(crate) fn is_final(&self) -> bool {
        self.status != TurnStatus::Paused
    }

    fn new(
        status: TurnStatus,
        stop_reason: StopReason,
        failure: Option<Failure>,
        keep: Keep,
    ) -> Self {
        Self {
            status,
            stop_reason,
            failure,
            interruption: None,
            keep,
        }
    }
}

impl Turn {
    /// Ends the turn or pauses it, tells so, and returns its result.
    pub(crate) fn end(&mut self, ending: Ending, ctx: &mut Context<'_>) -> TurnResult {
        if ending.is_final() {
            return self.finish(ending, ctx);
        }
        self.park(ctx.now);
        let result = self.snapshot(ctx.out.last_sequence() + 1, ctx.now);
        self.tell(ctx, Payload::TurnEnded(Box::new(result.clone())));
        result
    }

    fn finish(&mut self, ending: Ending, ctx: &mut Context<'_>) -> TurnResult {
        // The pause had its own end, which no event of the turn may follow.
        self.continue_turn(ctx);
        if let Some(cause) = ending.interruption {
            self.tell(ctx, Payload::Interrupted(cause));
        }
        let cut_output = self.abort_model(&ending, ctx);
        self.close_calls(close_text(&ending), ctx);
        let gave_output = self.answer.metrics.time_to_first_output.is_some();
        if ending.keep == Keep::Nothing || (ending.keep == Keep::Sent && !gave_output) {
            ctx.history.rollback(&self.mark);
        }
        let broke_off = ending.stop_reason == StopReason::Error && cut_output;
        let stop_reason = if broke_off {
            StopReason::Incomplete
        } else {
            ending.stop_reason
        };
        let mut result = self.snapshot(ctx.out.last_sequence() + 1, ctx.now);
        result.status = ending.status;
        result.stop_reason = Some(stop_reason);
        result.failure = ending.failure.map(|failure| {
            failure
                .fact("session_id", &*self.session_id)
                .fact("turn_id", &*self.id)
        });
        self.tell(ctx, Payload::TurnEnded(Box::new(result.clone())));
        result
    }

    /// Closes an open model call and keeps what was sent of its output; tells whether any was.
    fn abort_model(&mut self, ending: &Ending, ctx: &mut Context<'_>) -> bool {
        let step = match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Calling(step) => step,
            Phase::Condensing(condensing) => {
                self.abandon(condensing.step(), ctx);
                return false;
            }
            phase @ (Phase::Between | Phase::AwaitingTools(_) | Phase::Paused { .. }) => {
                self.phase = phase;
                return false;
            }
        };
        if !step.is_over() {
            ctx.out.command(Command::AbortModel(step.id()));
        }
        self.record(&step, step.estimate(), ctx);
        let mut blocks = step.blocks();
        for block in &mut blocks {
            super::name_executor(block, &self.tools);
        }
        if !blocks.is_empty() {
            let message = Arc::new(Message {
                role: Role::Assistant,
                content: blocks,
                origin: Some(ctx.ids.origin(&self.id, ctx.now)),
                marking: Marking::Unmarked,
            });
            self.answer.message = Some(Arc::clone(&message));
            if ending.keep != Keep::WordsAlone {
                let kept = ctx.history.add_assistant(&message);
                if kept.is_some_and(|kept| kept.open_calls().next().is_some()) {
                    let origin = ctx.ids.origin(&self.id, ctx.now);
                    let text = "not run: the answer was cut off before its calls were handed out";
                    self.made.extend(ctx.history.answer(
                        Vec::new(),
                        text,
                        Vec::new(),
                        Some(origin),
                    ));
                }
            }
        }
        step.first_output().is_some()
    }
}

/// Why calls that the end of their turn left open have no result, as the model is told.
fn close_text(ending: &Ending) -> &'static str {
    match ending.status {
        TurnStatus::Interrupted => "the user interrupted",
        TurnStatus::Cancelled => "the turn was cancelled",
        TurnStatus::Failed => "the turn failed",
        TurnStatus::Running | TurnStatus::Paused | TurnStatus::Completed => "the turn ended",
    }
}
