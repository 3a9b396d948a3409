//! One turn: a function for each state, from the user's message to the end.

mod condense;
mod ending;
mod keep;
mod reduce;
mod snapshot;
mod step;
mod tools;
mod watch;

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use self::{condense::Condensing, step::Step, tools::Pending};
pub(crate) use self::{ending::Ending, tools::Match};
use crate::{
    budget::{Budget, Exhausted},
    command::Command,
    context,
    error::{Failure, Reason},
    event::{Payload, StopReason},
    guardrail::GuardrailOutcome,
    history::{History, Mark},
    input::{StepId, StreamId},
    limits::{Limits, after},
    message::{Block, Marking, Message, Role},
    model::{ModelEvent, ModelRequest},
    options::TurnOptions,
    session::{Ids, Outbox, UserMessage},
    tool::ToolResult,
    usage::{GrantedService, TurnMetrics, Usage},
};

/// A turn that runs or is paused.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) id: Arc<str>,
    /// The stream that asked for it, or that brought the results it goes on with.
    pub(crate) stream: Option<StreamId>,
    session_id: Arc<str>,
    options: Arc<TurnOptions>,
    phase: Phase,
    clock: Clock,
    mark: Mark,
    budget: Budget,
    steps_started: u32,
    steering: Vec<UserMessage>,
    made: Vec<Arc<Message>>,
    answer: Answer,
}

/// Where a turn stands.
#[derive(Debug)]
enum Phase {
    /// Between two states, within one input.
    Between,
    /// A model condenses what is to be left out before the turn's model is called.
    Condensing(Box<Condensing>),
    /// The model was called.
    Calling(Box<Step>),
    /// Client tools run, and a Converse stream can bring their results.
    AwaitingTools(Pending),
    /// Client tools run, and another call must bring their results.
    Paused { pending: Pending, since: Instant },
}

/// Times of a turn.
#[derive(Debug)]
struct Clock {
    received: Instant,
    /// When the caller stops waiting.
    caller_deadline: Option<Instant>,
    /// When the turn has used up its own time; moves while the turn is paused.
    time_limit: Instant,
}

/// What the turn has given so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    message: Option<Arc<Message>>,
    stop_detail: String,
    additional_fields_json: String,
    model_id: String,
    usage: Usage,
    metrics: TurnMetrics,
    guardrails: Vec<GuardrailOutcome>,
    granted: GrantedService,
}

/// What a turn needs of its session.
pub(crate) struct Context<'a> {
    pub(crate) out: &'a mut Outbox,
    pub(crate) history: &'a mut History,
    pub(crate) ids: &'a mut Ids,
    pub(crate) limits: &'a Limits,
    /// When older messages are left out of what the model is sent.
    pub(crate) settings: Option<&'a context::Settings>,
    /// A Converse stream is open that can bring tool results.
    pub(crate) live: bool,
    /// The driver does not read the model.
    pub(crate) held: bool,
    pub(crate) now: Instant,
}

/// How a turn begins.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) id: Arc<str>,
    pub(crate) session_id: Arc<str>,
    pub(crate) options: TurnOptions,
    pub(crate) deadline: Option<Instant>,
    pub(crate) frame_id: Option<String>,
    pub(crate) stream: Option<StreamId>,
    pub(crate) messages: Vec<Message>,
    /// Results of the calls that stand last in `messages`.
    pub(crate) results: Vec<ToolResult>,
    pub(crate) content: Vec<Block>,
}

/// What became of a turn after an input.
pub(crate) type Flow = Option<Ending>;

impl Turn {
    /// Starts a turn: the user's message enters the history, and the model is called.
    pub(crate) fn begin(opening: Opening, ctx: &mut Context<'_>) -> (Self, Flow) {
        let mark = ctx.history.mark();
        let options = opening.options;
        let time = options
            .timeout
            .unwrap_or(ctx.limits.turn_timeout)
            .min(ctx.limits.turn_timeout);
        let max_steps = options
            .max_steps
            .unwrap_or(ctx.limits.max_steps)
            .min(ctx.limits.max_steps);
        let max_tokens = match (options.max_total_tokens, ctx.limits.max_total_tokens) {
            (Some(own), Some(limit)) => Some(own.min(limit)),
            (own, limit) => own.or(limit),
        };
        let mut turn = Self {
            id: opening.id,
            stream: opening.stream,
            session_id: opening.session_id,
            answer: Answer {
                model_id: options.model_id.clone().unwrap_or_default(),
                ..Answer::default()
            },
            options: Arc::new(options),
            phase: Phase::Between,
            clock: Clock {
                received: ctx.now,
                caller_deadline: opening.deadline,
                time_limit: after(ctx.now, time),
            },
            mark,
            budget: Budget::new(max_steps, max_tokens),
            steps_started: 0,
            steering: Vec::new(),
            made: Vec::new(),
        };
        turn.tell(
            ctx,
            Payload::TurnStarted {
                frame_id: opening.frame_id,
                continued: false,
            },
        );
        ctx.history.extend(opening.messages);
        if !opening.results.is_empty() || !opening.content.is_empty() {
            let origin = ctx.ids.origin(&turn.id, ctx.now);
            let (results, content) = (opening.results, opening.content);
            ctx.history
                .answer(results, "no result", content, Some(origin));
        }
        let flow = turn.call_model(ctx);
        (turn, flow)
    }

    /// Calls the model with the conversation so far, if the budget allows; makes room for it first
    /// where the conversation has outgrown the agent's settings.
    fn call_model(&mut self, ctx: &mut Context<'_>) -> Flow {
        if self.budget.has_steps() && self.make_room(ctx) == reduce::Room::Awaited {
            return None;
        }
        self.call_step(ctx)
    }

    fn call_step(&mut self, ctx: &mut Context<'_>) -> Flow {
        let input_tokens = self.input_estimate(ctx.history);
        let reservation = match self.budget.reserve(self.options.max_tokens, input_tokens) {
            Ok(reservation) => reservation,
            Err(Exhausted::Steps) => return Some(Ending::exhausted(StopReason::MaxSteps)),
            Err(Exhausted::Tokens) => return Some(Ending::exhausted(StopReason::BudgetExceeded)),
        };
        // Only now is it sure that there is a call for it to join.
        let words = self.take_steering();
        if !words.is_empty() {
            let words = words.into_iter().flat_map(|message| message.content);
            let origin = ctx.ids.origin(&self.id, ctx.now);
            ctx.history.add_user(words.collect(), Some(origin));
        }
        let step_index = self.steps_started;
        self.steps_started += 1;
        let id = ctx.ids.step();
        let model_id = self.options.model_id.clone().unwrap_or_default();
        ctx.out.tell(
            Some(&self.id),
            step_index,
            0,
            Payload::StepStarted { model_id },
        );
        let deadline = self.deadline();
        ctx.out.command(Command::CallModel {
            step: id,
            request: Box::new(ModelRequest {
                options: Arc::clone(&self.options),
                max_tokens: reservation.max_tokens,
                messages: ctx.history.sent(),
                deadline: Some(deadline),
            }),
        });
        let opening = step::Opening {
            id,
            index: step_index,
            reservation,
            input_tokens,
            max_output_bytes: ctx.limits.max_output_bytes,
            held: ctx.held,
            first_sequence: ctx.out.last_sequence(),
            now: ctx.now,
        };
        self.phase = Phase::Calling(Box::new(Step::new(&self.id, opening)));
        None
    }

    /// True while a model call is open under this id.
    pub(crate) fn is_calling(&self, step: StepId) -> bool {
        self.open_step().is_some_and(|open| open.id() == step)
    }

    /// True when only another call or frame can bring the turn forward.
    pub(crate) fn is_paused(&self) -> bool {
        matches!(self.phase, Phase::Paused { .. })
    }

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
    fn open_step(&self) -> Option<&Step> {
        match &self.phase {
            Phase::Calling(step) => Some(step),
            Phase::Condensing(condensing) => Some(condensing.step()),
            Phase::Between | Phase::AwaitingTools(_) | Phase::Paused { .. } => None,
        }
    }

    fn open_step_mut(&mut self) -> Option<&mut Step> {
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
        let out = &mut *ctx.out;
        let mut sink = |block_index, payload| {
            out.tell(Some(turn_id), step_index, block_index, payload);
        };
        match step.take(event, ctx.now, &mut sink) {
            Ok(step::Progress::Goes) => None,
            Ok(step::Progress::Complete) => self.complete_step(ctx),
            Ok(step::Progress::Spent) => Some(Ending::completed(StopReason::BudgetExceeded)),
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

    fn complete_step(&mut self, ctx: &mut Context<'_>) -> Flow {
        let Phase::Calling(step) = std::mem::replace(&mut self.phase, Phase::Between) else {
            return None;
        };
        let mut step = *step;
        let outcome = step.complete(&self.id, ctx);
        let counted = outcome.usage.clone();
        self.record(&step, outcome.usage);
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
        let message = self.keep_message(step.blocks(), ctx);
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
        Some(Ending::completed(reason))
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
    fn record(&mut self, step: &Step, usage: Usage) {
        self.budget.settle(&usage);
        self.answer.usage.add(&usage);
        if self.answer.metrics.time_to_first_output.is_none() {
            self.answer.metrics.time_to_first_output = step
                .first_output()
                .map(|at| at.saturating_duration_since(self.clock.received));
        }
    }

    /// Takes input that joins the turn before its next model call.
    pub(crate) fn steer(&mut self, message: UserMessage) {
        self.steering.push(message);
    }

    /// Makes what one stream asked for another's.
    pub(crate) fn hand_over(&mut self, from: StreamId, to: StreamId) {
        if self.stream == Some(from) {
            self.stream = Some(to);
        }
        for message in &mut self.steering {
            message.hand_over(from, to);
        }
    }

    /// Takes back the input that a stream brought and the model was not told.
    pub(crate) fn drop_steering(&mut self, stream: StreamId) -> Vec<UserMessage> {
        let (dropped, kept) = self
            .take_steering()
            .into_iter()
            .partition(|message| message.stream == Some(stream));
        self.steering = kept;
        dropped
    }

    /// Bytes that wait to enter the history.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let steering: usize = self.steering.iter().map(UserMessage::size_bytes).sum();
        steering + self.result_bytes()
    }

    /// Inputs that joined and were not told to the model yet.
    pub(crate) fn steering_len(&self) -> usize {
        self.steering.len()
    }

    /// Takes back the input that joined and found no further model call.
    pub(crate) fn take_steering(&mut self) -> Vec<UserMessage> {
        std::mem::take(&mut self.steering)
    }

    fn tell(&self, ctx: &mut Context<'_>, payload: Payload) {
        let step_index = self.steps_started.saturating_sub(1);
        ctx.out.tell(Some(&self.id), step_index, 0, payload);
    }

    /// Goes on with a paused turn: the results that a call brought, and its words.
    pub(crate) fn resume(
        &mut self,
        results: Vec<ToolResult>,
        words: Vec<Block>,
        deadline: Option<Instant>,
        ctx: &mut Context<'_>,
    ) -> Flow {
        self.clock.caller_deadline = deadline;
        self.stream = None;
        self.continue_turn(ctx);
        for result in results {
            self.take_result(result, ctx);
        }
        self.go_on_with(words, ctx)
    }
}
