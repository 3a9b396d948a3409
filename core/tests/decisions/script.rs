//! The script format: a session's life in one line.
//!
//! Statements stand apart by `|` or a line break. A statement is a verb, then options, then a colon
//! and text: `interrupt#f1@2: wait` is the input "wait" with policy INTERRUPT in frame `f1` of
//! stream 2. Stream 1 opens by itself at its first frame.
//!
//! * Set-up, at the start: `with: max_steps=2 queue=1 …` (see [`Setting`]); tools `weather` (wants
//!   a `city`) and `clock` (wants nothing, waits 10 s) are always declared.
//! * Frames: `user`, `queue`, `steer`, `interrupt`, `replace`, `reject`, `context`,
//!   `context-interrupt`, `context-reject` with text;
//!   `part` (more follows), `stop` and `stop: turn` (the frame interrupt), `discard` (the same,
//!   dropping the output), `result: id text`, `update: max_steps=1` or `approval=never`, `ack: 7`, `setup`, `invalid`.
//!   A frame that is to count as a repeat says the same as the first of its id.
//! * Streams: `open`, `half-close`, `gone`, `gone!` (with cancel).
//! * Calls: `invoke: text`, `bring: role=text; …` (`role!` for a pinned message) and then `invoke`,
//!   `answer: id text; …`, `cancel` and `cancel: turn`, `turn: id`. `deadline: 5s` holds for the
//!   next call.
//! * The model: `opened`, `model: text`, `think: text/signature`, `call: id name input`,
//!   `run: id name input/result` (by the provider), `done` and `done: reason` (stop and counts),
//!   `counted: 90+5` (the same with these counts of input and output),
//!   `end` and `end: reason` (stop alone), `counts`, `closed`, `failed`, `late: text` (of the call before), `raw:`
//!   words of [`raw`].
//! * The server's tools: `with: server=look,send` declares them (see [`server_tools`]), `tools: look`
//!   declares others; `finish: t1 sunny`, `fail: t1 no`, `lose: t1 who knows`,
//!   `progress: t1 half way`, and `spent: 10+5` ahead of an end.
//! * Consent: the frames `approve: 1`, `refuse: 1 why not`, `approve-all: 1`, `refuse-all: 1`,
//!   `edit: 1 {…}`, and `approve-true: 1` or `approve-false: 1` with a digest; the same without
//!   the colon among the parts of `answer`.
//! * Shared budgets: `allow: 100/50` (most and watched tokens, `-` for none), `forbid`.
//! * The process: `crash` (it ends, and another goes on from what was kept), `crash: 60s` (after
//!   that long), `damage: drop 2` before it (or `double` or `blank`; a message of the store),
//!   `shutdown`, `kill`, `fault`.
//! * The rest: `wait: 60s`, `held`, `read`.

mod server;

use std::{
    collections::BTreeMap,
    fmt::Write,
    num::{NonZeroU32, NonZeroU64},
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime},
};

use expect_test::Expect;
use taiwa_core::{
    Agent, Block, Clock, Command, Failure, Input, Limits, Message, ModelEvent, Payload, Reason,
    Role, Session, StopReason, ToolResult, ToolSpec, TurnOptions, TurnStatus, Usage,
    agent::SystemOverride,
    context::{Policy, Settings, Summary},
    input::{
        CallId, CancelCause, Frame, FrameBody, InputPolicy, StepId, StreamId, TurnRequest,
        UserInput,
    },
    message::Marking,
    model::{BlockDelta, BlockStart, MessageStop, ModelMetadata, ToolResultDelta},
    price::Prices,
    session::Setup,
    tool::{Decision, Schema, ToolResultBlock, ToolSet},
};

pub(crate) use self::server::server_tools;
use self::server::{ANYTHING, Backstage};
use crate::{
    bedrock,
    store::{self, Store},
    transcript,
};

/// Runs a script and compares its transcript; the history stands at its end.
#[track_caller]
pub(crate) fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script));
}

/// Runs a script and gives its transcript.
#[track_caller]
pub(crate) fn play(script: &str) -> String {
    let mut player = Player::begin(script);
    let history: Vec<_> = player
        .session
        .history()
        .messages()
        .iter()
        .map(|message| transcript::message(message))
        .collect();
    writeln!(
        player.transcript,
        "history: {}",
        history.join(" ").trim_end()
    )
    .unwrap();
    player.transcript
}

/// The agent of scripts and properties: two client tools, and the default limits.
pub(crate) fn agent() -> Agent {
    static AGENT: LazyLock<Agent> = LazyLock::new(make_agent);
    AGENT.clone()
}

fn make_agent() -> Agent {
    let tool = |name: &str, schema: &str, timeout| {
        Arc::new(ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            schema: Schema::parse(schema).unwrap(),
            strict: false,
            timeout,
            approval: None,
        })
    };
    let weather =
        r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    Agent {
        id: "assistant".to_owned(),
        display_name: String::new(),
        description: String::new(),
        version: String::new(),
        labels: BTreeMap::new(),
        options: TurnOptions {
            model_id: Some("model".to_owned()),
            client_tools: vec![
                tool("weather", weather, None),
                tool("clock", ANYTHING, Some(Duration::from_secs(10))),
            ],
            ..TurnOptions::default()
        },
        limits: Limits::default(),
        context: None,
        prices: Arc::new(Prices::default()),
        reply_form: None,
        serves_tools: true,
        model_override: true,
        system_override: SystemOverride::Refuse,
    }
}

/// A time to start from; far from the first that there is, so that a clock can be set back.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to make the first Instant"
)]
pub(crate) fn start_of_time() -> Clock {
    const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    Clock {
        instant: Instant::now() + MONTH,
        system: SystemTime::UNIX_EPOCH + MONTH,
    }
}

/// The clock of the process that comes after one which ended at `now`: its own clock begins
/// elsewhere, and the calendar has gone on by `gap`.
pub(crate) fn clock_after_crash(clock: Clock, now: Instant, gap: Duration) -> Clock {
    Clock {
        instant: now - Duration::from_secs(3_600),
        system: clock.system_at(now) + gap,
    }
}

/// A session, and what plays the other side.
pub(crate) struct Player {
    session: Session,
    agent: Arc<Agent>,
    pub(crate) store: Store,
    clock: Clock,
    now: Instant,
    transcript: String,
    /// The model call that is open, and the one before.
    step: StepId,
    step_before: StepId,
    /// Model calls so far, of which the next has the next number.
    steps_made: u64,
    /// The block that the model writes.
    block: u32,
    block_open: bool,
    streams: Vec<u64>,
    calls: u64,
    deadline: Option<Duration>,
    brought: Vec<Message>,
    tools: Arc<ToolSet>,
    backstage: Backstage,
}

impl Player {
    /// Runs a script.
    #[track_caller]
    pub(crate) fn begin(script: &str) -> Self {
        let mut statements: Vec<&str> = script
            .split(['|', '\n'])
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
            .collect();
        let settings = match statements
            .first()
            .and_then(|line| line.strip_prefix("with:"))
        {
            Some(settings) => {
                statements.remove(0);
                settings
            }
            None => "",
        };
        let mut player = Self::new(settings);
        for statement in statements {
            player.play(statement);
        }
        player
    }
    #[track_caller]
    fn new(settings: &str) -> Self {
        let mut agent = agent();
        let mut backstage = Backstage::default();
        let mut tools = Arc::default();
        for setting in settings.split_whitespace() {
            let (name, value) = setting.split_once('=').unwrap();
            if name == "server" {
                tools = Arc::new(server_tools(value));
            } else if !server::set(&mut agent, &mut backstage.shows, name, value) {
                set(&mut agent, name, value);
            }
        }
        let (agent, clock) = (Arc::new(agent), start_of_time());
        let mut player = Self {
            session: Session::new(Setup {
                tools: Arc::clone(&tools),
                ..setup(&agent, clock)
            }),
            store: Store::new(&agent.limits),
            agent,
            clock,
            now: clock.instant,
            transcript: String::new(),
            step: StepId(0),
            step_before: StepId(0),
            steps_made: 0,
            block: 0,
            block_open: false,
            streams: Vec::new(),
            calls: 0,
            deadline: None,
            brought: Vec::new(),
            tools,
            backstage,
        };
        player.drain();
        player
    }

    #[track_caller]
    pub(crate) fn play(&mut self, statement: &str) {
        let (head, text) = match statement.split_once(':') {
            Some((head, text)) => (head.trim(), text.trim()),
            None => (statement, ""),
        };
        let (head, stream) = match head.split_once('@') {
            Some((head, stream)) => (head, stream.parse().unwrap()),
            None => (head, 1),
        };
        let (verb, frame_id) = match head.split_once('#') {
            Some((verb, id)) => (verb, Some(id.to_owned())),
            None => (head, None),
        };
        if let Some(body) = frame(verb, text).or_else(|| self.backstage.frame(verb, text)) {
            if !self.streams.contains(&stream) {
                self.streams.push(stream);
                self.handle(Input::StreamOpened(StreamId(stream)));
            }
            let digest = store::digest(&body);
            let frame = Box::new(Frame {
                id: frame_id,
                digest,
                body,
            });
            let stream = StreamId(stream);
            return self.handle(Input::Frame { stream, frame });
        }
        let stream_id = StreamId(stream);
        match verb {
            "open" => {
                self.streams.push(stream);
                self.handle(Input::StreamOpened(stream_id));
            }
            "half-close" => self.handle(Input::InputClosed(stream_id)),
            "gone" | "gone!" => self.handle(Input::StreamGone {
                stream: stream_id,
                cancel: verb == "gone!",
            }),
            "deadline" => self.deadline = Some(duration(text)),
            "bring" => self.brought = text.split(';').map(brought).collect(),
            "invoke" => self.start(words(text), Vec::new(), Vec::new()),
            "answer" => self.answer(text),
            "spent" => self.backstage.spend(text),
            "cancel" => {
                self.calls += 1;
                let call = Some(CallId(self.calls));
                let turn_id = (!text.is_empty()).then(|| text.to_owned());
                let cause = CancelCause::Requested;
                self.handle(Input::Cancel {
                    call,
                    turn_id,
                    cause,
                });
            }
            "turn" => {
                let line = match self.session.turn(Some(text), self.now) {
                    Some(result) => format!(
                        "? {text}: {}{}, waited {:?}, last event {}",
                        transcript::turn(&result),
                        transcript::tool_time(&result),
                        result.metrics.waiting_time,
                        result.last_sequence
                    ),
                    None => format!("? {text}: not known"),
                };
                writeln!(self.transcript, "{line}").unwrap();
            }
            "wait" => self.wait(duration(text)),
            "damage" => {
                let (how, index) = text.split_once(' ').unwrap();
                self.store.damage(how, index.parse().unwrap());
            }
            "crash" => self.crash(if text.is_empty() {
                Duration::ZERO
            } else {
                duration(text)
            }),
            "held" => self.handle(Input::ModelHeld(true)),
            "read" => self.handle(Input::ModelHeld(false)),
            "shutdown" => self.handle(Input::Shutdown),
            "kill" => self.handle(Input::Kill),
            "fault" => self.handle(Input::Fault),
            _ => self.play_model(verb, text),
        }
    }

    #[track_caller]
    fn play_model(&mut self, verb: &str, text: &str) {
        let step = self.step;
        let input = self
            .backstage
            .tool_input(verb, text)
            .or_else(|| server::budget_input(step, verb, text));
        if let Some(input) = input {
            if let Input::Tools(tools) = &input {
                self.tools = Arc::clone(tools);
            }
            return self.handle(input);
        }
        match verb {
            "opened" => self.handle(Input::ModelOpened { step, retries: 1 }),
            "closed" => self.handle(Input::ModelEnded(step)),
            "failed" => {
                let failure = Failure::new(Reason::ModelThrottled, "throttled");
                self.handle(Input::ModelFailed { step, failure });
            }
            "late" => {
                let delta = BlockDelta::Text(text.to_owned());
                let event = ModelEvent::BlockDelta { index: 0, delta };
                let step = self.step_before;
                self.handle(Input::Model { step, event });
            }
            "model" => {
                let text = match &words(text.trim_matches('"'))[..] {
                    [Block::Text(text)] => text.clone(),
                    _ => String::new(),
                };
                self.add(BlockDelta::Text(text));
                self.block_open = true;
            }
            "think" => {
                self.end_block();
                let (text, signature) = text.split_once('/').unwrap_or((text, ""));
                self.add(BlockDelta::ReasoningText(text.to_owned()));
                if !signature.is_empty() {
                    self.add(BlockDelta::ReasoningSignature(signature.to_owned()));
                }
                self.block_open = true;
                self.end_block();
            }
            "call" => {
                let mut parts = text.splitn(3, ' ');
                let id = parts.next().unwrap().to_owned();
                let name = parts.next().unwrap().to_owned();
                let start = BlockStart::ToolCall {
                    id,
                    name,
                    provider_run: false,
                };
                self.whole(
                    start,
                    parts.next().map(|i| BlockDelta::ToolInput(i.to_owned())),
                );
            }
            "run" => {
                let mut parts = text.splitn(3, ' ');
                let id = parts.next().unwrap().to_owned();
                let name = parts.next().unwrap().to_owned();
                let (input, result) = parts.next().unwrap().split_once('/').unwrap();
                let start = BlockStart::ToolCall {
                    id: id.clone(),
                    name,
                    provider_run: true,
                };
                self.whole(start, Some(BlockDelta::ToolInput(input.to_owned())));
                if !result.is_empty() {
                    let start = BlockStart::ToolResult {
                        call_id: id,
                        kind: String::new(),
                        is_error: false,
                    };
                    let piece = ToolResultDelta::Text(result.to_owned());
                    self.whole(start, Some(BlockDelta::ToolResult(vec![piece])));
                }
            }
            "done" => {
                self.end_block();
                self.say(stop(text));
                self.say(counts());
            }
            "end" => {
                self.end_block();
                self.say(stop(text));
            }
            "counted" => {
                self.end_block();
                self.say(stop(""));
                self.say(counts_of(server::usage(text)));
            }
            "counts" => self.say(counts()),
            "raw" => self.say(raw(text)),
            _ => panic!("the script format has no {verb:?}"),
        }
    }

    /// Results and decisions, apart by `;`, and words behind a `+`.
    fn answer(&mut self, text: &str) {
        let mut results = Vec::new();
        let mut decisions = Vec::new();
        let mut content = Vec::new();
        for part in text.split(';').map(str::trim) {
            let (verb, rest) = part.split_once(' ').unwrap();
            if verb == "+" {
                content = words(rest);
            } else if let Some(decision) = self.backstage.decision(verb, rest) {
                decisions.push(decision);
            } else {
                results.push(tool_result(part));
            }
        }
        self.start(content, results, decisions);
    }

    fn start(
        &mut self,
        content: Vec<Block>,
        tool_results: Vec<ToolResult>,
        decisions: Vec<Decision>,
    ) {
        self.calls += 1;
        let deadline = self.deadline.take().map(|after| self.now + after);
        let request = TurnRequest {
            content,
            messages: std::mem::take(&mut self.brought),
            tool_results,
            decisions,
            options: TurnOptions::default(),
            deadline,
        };
        self.handle(Input::Start {
            call: CallId(self.calls),
            request: Box::new(request),
        });
    }

    fn whole(&mut self, start: BlockStart, delta: Option<BlockDelta>) {
        self.end_block();
        let index = self.block;
        self.say(ModelEvent::BlockStart { index, start });
        self.block_open = true;
        if let Some(delta) = delta {
            self.add(delta);
        }
        self.end_block();
    }

    fn add(&mut self, delta: BlockDelta) {
        let index = self.block;
        self.say(ModelEvent::BlockDelta { index, delta });
    }

    fn end_block(&mut self) {
        if std::mem::take(&mut self.block_open) {
            let index = self.block;
            self.say(ModelEvent::BlockStop { index });
            self.block += 1;
        }
    }

    fn say(&mut self, event: ModelEvent) {
        let step = self.step;
        self.handle(Input::Model { step, event });
    }

    /// Lets time pass, with a tick at each deadline on the way.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.session.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Input::Tick);
            let next = self.session.deadline();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a tick did nothing"
            );
        }
        self.now = until;
    }

    fn handle(&mut self, input: Input) {
        self.session.handle(input, self.now);
        self.drain();
    }

    /// The process ends after its last batch, and another goes on; the streams are gone.
    fn crash(&mut self, gap: Duration) {
        self.clock = clock_after_crash(self.clock, self.now, gap);
        self.now = self.clock.instant;
        self.streams.clear();
        let setup = Setup {
            tools: Arc::clone(&self.tools),
            ..setup(&self.agent, self.clock)
        };
        let (session, repairs) = Session::restore(setup, self.store.read(), self.now);
        self.session = session;
        let repairs: Vec<_> = repairs.iter().map(|repair| format!("{repair:?}")).collect();
        let repairs = match repairs.join(", ") {
            none if none.is_empty() => none,
            some => format!(", and repaired: {some}"),
        };
        writeln!(self.transcript, "? restored{repairs}").unwrap();
        self.backstage.crash(StepId(self.steps_made + 1));
        self.drain();
        self.backstage.restored();
    }

    fn drain(&mut self) {
        while let Some(command) = self.session.poll_command() {
            self.backstage.command(&command);
            self.write_command(&command);
            if let Command::CallModel { step, request } = command {
                self.steps_made = step.0;
                assert_eq!(bedrock::request_fault(&request.messages), None);
                self.step_before = self.step;
                self.step = step;
                self.block = 0;
                self.block_open = false;
            }
        }
        let mut events = Vec::new();
        while let Some(event) = self.session.poll_event() {
            if let Payload::TurnEnded(result) = &event.payload {
                assert_eq!(result.last_sequence, event.sequence);
            }
            self.backstage.event(&event);
            // What is told by other lines too would only make transcripts long.
            let is_echo = matches!(
                event.payload,
                Payload::BlockStarted(_) | Payload::BlockCompleted(Block::Text(_))
            );
            if !is_echo {
                writeln!(self.transcript, "{}", transcript::event(&event)).unwrap();
            }
            events.push(event);
        }
        for line in self.store.keep(events, &mut self.session) {
            if self.backstage.shows.ledger {
                writeln!(self.transcript, "$ {line}").unwrap();
            }
        }
        let open_step = (self.step != StepId(0)).then_some(self.step);
        self.backstage.settled(&self.session, open_step);
        if self.session.is_idle() && !self.awaits_tools() {
            assert_eq!(bedrock::fault(&self.session.history().sent()), None);
        }
    }

    fn awaits_tools(&self) -> bool {
        self.session
            .turn(None, self.now)
            .is_some_and(|turn| turn.status == TurnStatus::Paused)
    }

    fn write_command(&mut self, command: &Command) {
        let shows = self.backstage.shows;
        if matches!(command, Command::Settle { .. }) && !shows.settlements {
            return;
        }
        let mut line = transcript::command(command, self.now);
        if let Command::CallModel { request, .. } = command
            && shows.tools
        {
            line += &transcript::offer(request);
        }
        writeln!(self.transcript, "{line}").unwrap();
    }
}

/// How the sessions of scripts and properties begin.
pub(crate) fn setup(agent: &Arc<Agent>, clock: Clock) -> Setup {
    Setup {
        id: "session".to_owned(),
        seed: "s".to_owned(),
        agent: Arc::clone(agent),
        tools: Arc::default(),
        options: TurnOptions::default(),
        messages: Vec::new(),
        clock,
    }
}

/// Settings of [`check`]'s `with:`; durations as in `wait`.
fn set(agent: &mut Agent, name: &str, value: &str) {
    let limits = &mut agent.limits;
    let size = || value.parse().unwrap();
    match name {
        "max_steps" => limits.max_steps = value.parse().unwrap(),
        "max_tokens" => agent.options.max_tokens = NonZeroU32::new(value.parse().unwrap()),
        "budget" => limits.max_total_tokens = NonZeroU64::new(value.parse().unwrap()),
        "turn_timeout" => limits.turn_timeout = duration(value),
        "first_event" => limits.first_event_timeout = duration(value),
        "idle" => limits.model_idle_timeout = duration(value),
        "tool_timeout" => limits.client_tool_timeout = duration(value),
        "queue" => limits.max_queued_inputs = size(),
        "max_input" => limits.max_input_bytes = size(),
        "max_result" => limits.max_tool_result_bytes = size(),
        "max_output" => limits.max_output_bytes = size(),
        "max_history" => limits.max_history_bytes = size(),
        "frame_ids" => limits.max_frame_ids = size(),
        "slide" => agent.context = Some(context(value)),
        "summarize" => agent.context = Some(context(value)),
        "tell_steps" => agent.options.include_steps = value == "1",
        "summarizer" => match agent.context.as_mut().map(|context| &mut context.policy) {
            Some(Policy::Summarize(summary)) => summary.model_id = Some(value.to_owned()),
            _ => panic!("the script format wants summarize= before summarizer="),
        },
        "kept_turns" => limits.max_kept_turns = size(),
        _ => panic!("the script format has no setting {name:?}"),
    }
}

/// `trigger/target`, or `trigger/target/tokens of a summary`.
fn context(value: &str) -> Settings {
    let numbers: Vec<u64> = value.split('/').map(|one| one.parse().unwrap()).collect();
    let summary = numbers.get(2).map(|most| Summary {
        model_id: None,
        instructions: None,
        max_tokens: u32::try_from(*most).unwrap().try_into().unwrap(),
    });
    Settings {
        trigger_tokens: numbers[0].try_into().unwrap(),
        target_tokens: numbers[1].try_into().unwrap(),
        policy: summary.map_or(Policy::Sliding, Policy::Summarize),
    }
}

fn frame(verb: &str, text: &str) -> Option<FrameBody> {
    let policy = match verb {
        "user" | "context" | "part" => None,
        "context-interrupt" => Some(InputPolicy::Interrupt),
        "context-reject" => Some(InputPolicy::Reject),
        "queue" => Some(InputPolicy::Queue),
        "steer" => Some(InputPolicy::Steer),
        "interrupt" => Some(InputPolicy::Interrupt),
        "replace" => Some(InputPolicy::Replace),
        "reject" => Some(InputPolicy::Reject),
        "stop" | "discard" => {
            return Some(FrameBody::Interrupt {
                turn_id: (!text.is_empty()).then(|| text.to_owned()),
                discard_output: verb == "discard",
            });
        }
        "result" => return Some(FrameBody::ToolResult(tool_result(text))),
        "update" => {
            let options = match text.split_once('=').unwrap() {
                ("max_steps", steps) => TurnOptions {
                    max_steps: NonZeroU32::new(steps.parse().unwrap()),
                    ..TurnOptions::default()
                },
                ("approval", mode) => TurnOptions {
                    approval: Some(server::approval_mode(mode)),
                    ..TurnOptions::default()
                },
                (name, _) => panic!("the script format updates no {name:?}"),
            };
            return Some(FrameBody::Update {
                options: Box::new(options),
                replace_client_tools: false,
            });
        }
        "ack" => {
            let sequence = text.parse().unwrap();
            return Some(FrameBody::Ack { sequence });
        }
        "setup" => return Some(FrameBody::Setup),
        "invalid" => {
            let failure = Failure::invalid("frame", "is not one");
            return Some(FrameBody::Invalid(failure));
        }
        _ => return None,
    };
    Some(FrameBody::UserInput(UserInput {
        content: words(text),
        more_follows: verb == "part",
        context_only: verb.starts_with("context"),
        policy,
    }))
}

/// A message's content: nothing, `blank`, `N bytes` or the text itself.
fn words(text: &str) -> Vec<Block> {
    let text = match text {
        "" => return Vec::new(),
        "blank" => " \n".to_owned(),
        text => match text.strip_suffix(" bytes").and_then(|n| n.parse().ok()) {
            Some(count) => "x".repeat(count),
            None => text.to_owned(),
        },
    };
    vec![Block::Text(text)]
}

fn tool_result(text: &str) -> ToolResult {
    let (id, text) = text.split_once(' ').unwrap();
    let content = words(text).into_iter().map(|block| match block {
        Block::Text(text) => ToolResultBlock::Text(text),
        other => panic!("{other:?} is no text"),
    });
    ToolResult {
        call_id: id.to_owned(),
        content: content.collect(),
        is_error: false,
        kind: String::new(),
    }
}

/// `role=text`; an assistant's text may be `call id name input`.
fn brought(text: &str) -> Message {
    let (role, text) = text.trim().split_once('=').unwrap();
    let (role, marking) = match role.strip_suffix('!') {
        Some(role) => (role, Marking::Pinned),
        None => (role, Marking::Unmarked),
    };
    let role = match role {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => panic!("the script format has no role {role:?}"),
    };
    let mut parts = text.splitn(4, ' ');
    let content = if parts.next() == Some("call") {
        vec![Block::ToolCall(taiwa_core::ToolCall {
            id: parts.next().unwrap().to_owned(),
            name: parts.next().unwrap().to_owned(),
            input_json: parts.next().unwrap_or("{}").to_owned(),
            executor: taiwa_core::tool::Executor::Client,
            expires: None,
            idempotency_key: String::new(),
        })]
    } else if let Some(result) = text.strip_prefix("result ") {
        vec![Block::ToolResult(tool_result(result))]
    } else {
        words(text)
    };
    Message {
        role,
        content,
        origin: None,
        marking,
    }
}

fn duration(text: &str) -> Duration {
    if let Some(count) = text.strip_suffix("ms") {
        Duration::from_millis(count.parse().unwrap())
    } else if let Some(count) = text.strip_suffix('m') {
        Duration::from_secs(60 * count.parse::<u64>().unwrap())
    } else {
        Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
    }
}

fn stop(reason: &str) -> ModelEvent {
    let reason = match reason {
        "" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "filtered" => StopReason::ContentFiltered,
        _ => panic!("the script format has no stop reason {reason:?}"),
    };
    ModelEvent::MessageStop(MessageStop {
        reason,
        detail: String::new(),
        additional_fields_json: String::new(),
    })
}

fn counts() -> ModelEvent {
    counts_of(server::usage("10+5"))
}

fn counts_of(usage: Usage) -> ModelEvent {
    ModelEvent::Metadata(Box::new(ModelMetadata {
        usage,
        ..ModelMetadata::default()
    }))
}

/// Single events as a broken stream has them: `text 0 hi`, `stop 0`, `input 0 {}`, `call 0 id name`.
fn raw(text: &str) -> ModelEvent {
    let mut parts = text.splitn(4, ' ');
    let verb = parts.next().unwrap();
    let index = parts.next().unwrap().parse().unwrap();
    let mut rest = || parts.next().unwrap_or_default().to_owned();
    match verb {
        "text" => ModelEvent::BlockDelta {
            index,
            delta: BlockDelta::Text(rest()),
        },
        "input" => ModelEvent::BlockDelta {
            index,
            delta: BlockDelta::ToolInput(rest()),
        },
        "signature" => ModelEvent::BlockDelta {
            index,
            delta: BlockDelta::ReasoningSignature(rest()),
        },
        "stop" => ModelEvent::BlockStop { index },
        "call" => ModelEvent::BlockStart {
            index,
            start: BlockStart::ToolCall {
                id: rest(),
                name: rest(),
                provider_run: false,
            },
        },
        _ => panic!("the script format has no raw {verb:?}"),
    }
}
