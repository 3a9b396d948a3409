//! One turn: a function for each state, from the user's message to the end.

mod calling;
mod condense;
mod ending;
mod keep;
mod output;
mod reduce;
mod snapshot;
mod step;
mod tools;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use self::{condense::Condensing, step::Step, tools::Pending};
pub(crate) use self::{
    ending::Ending,
    tools::{Match, not_asked},
};
use crate::{
    agent::Agent,
    budget::{Budget, Exhausted},
    command::Command,
    context,
    error::Failure,
    event::{Payload, StopReason},
    guardrail::GuardrailOutcome,
    history::{History, Mark},
    input::{RunId, StepId, StreamId},
    limits::{Limits, after},
    message::{Block, Message},
    model::{ModelRequest, Offering},
    options::TurnOptions,
    price::Price,
    session::{Ids, Outbox, UserMessage},
    tool::{Decision, Executor, ToolResult, ToolSet},
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
    /// The tools that the server runs, as the model was last offered them.
    tools: Arc<ToolSet>,
    phase: Phase,
    clock: Clock,
    mark: Mark,
    budget: Budget,
    steps_started: u32,
    steering: Vec<UserMessage>,
    made: Vec<Arc<Message>>,
    answer: Answer,
    /// Steps in a row whose calls all could not run.
    faulty_steps: u32,
    /// Times that the model was asked to mend its reply.
    repairs: u32,
    /// Runs that were stopped for taking too long, and may yet tell what they spent.
    given_up: BTreeSet<RunId>,
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
    /// Tools run, or wait for consent, and the server or a Converse stream brings the turn forward.
    AwaitingTools(Pending),
    /// Client tools run or consent is awaited, and another call must bring the turn forward.
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
    output_json: String,
}

/// What a turn needs of its session.
pub(crate) struct Context<'a> {
    pub(crate) out: &'a mut Outbox,
    pub(crate) history: &'a mut History,
    pub(crate) ids: &'a mut Ids,
    pub(crate) agent: &'a Agent,
    pub(crate) limits: &'a Limits,
    /// The tools that the server runs for the agent, as they are.
    pub(crate) tools: &'a Arc<ToolSet>,
    /// Tools whose calls the user has approved or refused for the session.
    pub(crate) remembered: &'a mut BTreeMap<String, bool>,
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
        let max_cost = options.max_cost.map(NonZeroU64::get);
        let mut turn = Self {
            id: opening.id,
            stream: opening.stream,
            session_id: opening.session_id,
            answer: Answer {
                model_id: options.model_id.clone().unwrap_or_default(),
                ..Answer::default()
            },
            phase: Phase::Between,
            clock: Clock {
                received: ctx.now,
                caller_deadline: opening.deadline,
                time_limit: after(ctx.now, time),
            },
            mark,
            tools: ctx.tools.allowed(&options.allowed_tools),
            options: Arc::new(options),
            budget: Budget::new(max_steps, max_tokens).with_cost(max_cost),
            steps_started: 0,
            steering: Vec::new(),
            made: Vec::new(),
            faulty_steps: 0,
            repairs: 0,
            given_up: BTreeSet::new(),
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
        self.tools = ctx.tools.allowed(&self.options.allowed_tools);
        let input_tokens = self.input_estimate(ctx.history);
        let price = self.price(self.options.model_id.as_deref(), ctx);
        let wanted = self.options.max_tokens;
        let reservation = match self.budget.reserve(wanted, input_tokens, price.as_ref()) {
            Ok(reservation) => reservation,
            Err(Exhausted::Steps) => return Some(Ending::exhausted(StopReason::MaxSteps)),
            Err(Exhausted::Tokens) => return Some(Ending::exhausted(StopReason::BudgetExceeded)),
            Err(Exhausted::NoPrice) => return Some(self.without_price()),
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
        let offering = Offering::new(ctx.agent, &self.options, &self.tools);
        ctx.out.command(Command::CallModel {
            step: id,
            request: Box::new(ModelRequest {
                options: Arc::clone(&self.options),
                reply_form: offering.reply_form,
                tools: offering.tools,
                tool_choice: offering.tool_choice,
                input_tokens,
                max_tokens: reservation.max_tokens,
                messages: ctx.history.sent(),
                deadline: Some(deadline),
            }),
        });
        let opening = step::Opening {
            id,
            index: step_index,
            reservation,
            price,
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

    /// What a model's tokens cost, where the operator has a price for them.
    fn price(&self, model_id: Option<&str>, ctx: &Context<'_>) -> Option<Price> {
        ctx.agent.prices.find(model_id.unwrap_or_default())
    }

    fn without_price(&self) -> Ending {
        let model_id = self.options.model_id.as_deref().unwrap_or_default();
        let text = format!(
            "cannot be held, since the server has no price for {model_id}: leave it out, or add \
             the model to the server's prices"
        );
        Ending::failed(Failure::invalid("options.max_cost_usd", text))
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
        decisions: Vec<Decision>,
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
        for decision in decisions {
            self.decide(decision, ctx);
        }
        self.go_on_with(words, ctx)
    }
}

/// Says of a call that the server is to run it, where it is.
fn name_executor(block: &mut Block, tools: &ToolSet) {
    if let Block::ToolCall(call) = block
        && !call.is_provider_run()
        && tools.find(&call.name).is_some()
    {
        call.executor = Executor::Server;
    }
}
