//! A session that lives, its reference beside it, and a store that keeps it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use taiwa_core::{
    Agent, Block, Clock, Command, Event, Failure, Input, Limits, Message, ModelEvent, Payload,
    Reason, Role, Session, StopReason, ToolResult, TurnOptions, Usage,
    context::Settings,
    input::{CallId, CancelCause, Frame, FrameBody, StepId, StreamId, TurnRequest, UserInput},
    message::{Citation, Marking},
    model::{BlockDelta, BlockStart, MessageStop, ModelMetadata, ToolResultDelta},
    session::Setup,
    tool::{Decision, RunEnd, RunOutcome, ToolResultBlock, ToolSet},
};

use crate::{
    acts::{Act, Call, FRAMES, How, Piece, Which},
    reference::Reference,
    script::{agent, clock_after_crash, server_tools, setup, start_of_time},
    store::{Store, digest},
};

/// The tools that the server runs: one that needs no consent, and one that does.
static ALL_TOOLS: LazyLock<Arc<ToolSet>> = LazyLock::new(|| Arc::new(server_tools("look,send")));

/// The tool that needs no consent, alone.
static FEW_TOOLS: LazyLock<Arc<ToolSet>> = LazyLock::new(|| Arc::new(server_tools("look")));

/// Batches that are remembered, so that a crash can lose them.
const MOST_LOST: usize = 4;

/// A session, its reference, and what fills the gaps in acts.
pub(crate) struct Life {
    pub(crate) session: Session,
    pub(crate) reference: Reference,
    store: Store,
    /// How store and reference stood after the newest batches, oldest first.
    past: VecDeque<(Store, Reference)>,
    /// A crash comes that loses batches.
    remembers: bool,
    agent: Arc<Agent>,
    clock: Clock,
    pub(crate) now: Instant,
    calls: u64,
    tokens: u64,
    tools: Arc<ToolSet>,
    sent: BTreeMap<String, FrameBody>,
    /// The events that the store has, where they are wanted.
    pub(crate) log: Vec<Event>,
    pub(crate) keeps_log: bool,
    pub(crate) told: Told,
    pub(crate) is_held: bool,
}

/// What the session told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Step,
    Text,
    Reasoning,
    ToolInput,
    WholeBlock,
    /// That another stream took over.
    TakenOver,
    /// All that it had to, after a crash.
    Restored,
    Other,
}

impl Told {
    /// `None` for an answer to a frame.
    fn of(payload: &Payload) -> Option<Self> {
        Some(match payload {
            Payload::FrameAccepted(_) | Payload::FrameRejected { .. } => return None,
            Payload::StepStarted { .. } => Self::Step,
            Payload::TextDelta(_) => Self::Text,
            Payload::ReasoningDelta(_) => Self::Reasoning,
            Payload::ToolCallDelta { .. } => Self::ToolInput,
            Payload::BlockCompleted(_) => Self::WholeBlock,
            _ => Self::Other,
        })
    }
}

impl Life {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with(limits, None)
    }

    pub(crate) fn with(limits: Limits, context: Option<Settings>) -> Self {
        let mut agent = agent();
        agent.context = context;
        agent.limits = limits.clone();
        let (agent, clock) = (Arc::new(agent), start_of_time());
        let tools = Arc::clone(&ALL_TOOLS);
        let first = Setup {
            tools: Arc::clone(&tools),
            ..setup(&agent, clock)
        };
        let mut life = Self {
            session: Session::new(first),
            tools,
            store: Store::new(&limits),
            past: VecDeque::new(),
            remembers: false,
            reference: Reference::new(limits),
            agent,
            clock,
            now: clock.instant,
            calls: 0,
            tokens: 0,
            sent: BTreeMap::new(),
            log: Vec::new(),
            keeps_log: false,
            told: Told::Other,
            is_held: false,
        };
        life.drain();
        life
    }

    pub(crate) fn live(&mut self, life: Vec<Act>) {
        self.foresee(&life);
        for act in life {
            self.act(act);
        }
        // Left alone, every turn comes to its end.
        self.handle(Input::Shutdown);
        self.pass(Duration::from_secs(3_600));
        self.reference.is_over(&self.session);
        assert_eq!(self.store.started_calls(), Vec::<&str>::new());
        self.check_ids();
    }

    /// Remembers batches from here on, if one of these acts loses some.
    pub(crate) fn foresee(&mut self, acts: &[Act]) {
        let loses = |act: &Act| matches!(act, Act::Crash { lost, .. } if *lost > 0);
        self.remembers |= acts.iter().any(loses);
    }

    /// The name of a frame that no other has had.
    pub(crate) fn next_frame(&self) -> u8 {
        (FRAMES..=u8::MAX)
            .find(|id| !self.sent.contains_key(&format!("f{id}")))
            .unwrap()
    }

    pub(crate) fn act(&mut self, act: Act) {
        let step = |stale: bool, reference: &Reference| {
            let open = reference.newest_step();
            StepId(if stale { open.saturating_sub(1) } else { open })
        };
        match act {
            Act::Start {
                words,
                answers,
                deadline,
                brings,
            } => {
                self.start(words, answers, deadline, brings);
            }
            Act::Open(stream) => {
                if !self.reference.has_stream(stream) {
                    self.handle(Input::StreamOpened(StreamId(stream)));
                }
            }
            Act::HalfClose(stream) => {
                if self.reference.may_send(stream) {
                    self.handle(Input::InputClosed(StreamId(stream)));
                }
            }
            Act::Gone { stream, cancel } => {
                let stream = StreamId(stream);
                self.handle(Input::StreamGone { stream, cancel });
            }
            Act::Input {
                stream,
                id,
                policy,
                context,
                more,
                padding,
            } => {
                let text = self.words('u', padding);
                // The reference follows messages of several frames by the id of the last.
                let id = id.or_else(|| self.reference.is_gathering(stream).then_some(99));
                let body = FrameBody::UserInput(UserInput {
                    content: vec![Block::Text(text)],
                    more_follows: more,
                    context_only: context,
                    policy,
                });
                self.frame(stream, id, body);
            }
            Act::Answer {
                stream,
                id,
                call,
                padding,
            } => {
                let call_id = match call {
                    Which::Current => self.reference.open_calls().first().cloned(),
                    Which::Earlier => self.reference.closed_call(),
                    Which::Unknown => Some("unknown".to_owned()),
                };
                let Some(call_id) = call_id else { return };
                let result = self.result(call_id, padding);
                self.frame(stream, id, FrameBody::ToolResult(result));
            }
            Act::Decide {
                stream,
                id,
                request,
                how,
                remember,
            } => {
                if let Some(decision) = self.decision(request, how, remember) {
                    self.frame(stream, id, FrameBody::Decision(decision));
                }
            }
            Act::Finish { run, end, padding } => self.finish(run, end, padding),
            Act::Progress(run) => {
                if let Some(run) = self.reference.run(run) {
                    let text = "so far".to_owned();
                    self.handle(Input::ToolProgress { run, text });
                }
            }
            Act::Tools { all } => {
                self.tools = Arc::clone(if all { &ALL_TOOLS } else { &FEW_TOOLS });
                self.handle(Input::Tools(Arc::clone(&self.tools)));
            }
            Act::Interrupt {
                stream,
                id,
                turn,
                discard,
            } => {
                let turn_id = self.turn_id(turn);
                let body = FrameBody::Interrupt {
                    turn_id,
                    discard_output: discard,
                };
                self.frame(stream, id, body);
            }
            Act::Other { stream, id, body } => self.frame(stream, id, body),
            Act::Opened => {
                let step = step(false, &self.reference);
                self.handle(Input::ModelOpened { step, retries: 0 });
            }
            Act::Whole {
                text,
                calls,
                stop,
                counts,
            } => self.whole(text, calls, stop, counts),
            Act::Say { piece, stale } => {
                let step = step(stale, &self.reference);
                let event = self.event(piece);
                self.handle(Input::Model { step, event });
            }
            Act::ModelEnded { stale } => {
                let step = step(stale, &self.reference);
                self.handle(Input::ModelEnded(step));
            }
            Act::ModelFailed { stale } => {
                let step = step(stale, &self.reference);
                let failure = Failure::new(Reason::ModelThrottled, "throttled");
                self.handle(Input::ModelFailed { step, failure });
            }
            Act::Held(held) => {
                self.is_held = held;
                self.handle(Input::ModelHeld(held));
            }
            Act::Cancel { turn, told } => {
                self.calls += 1;
                let call = told.then_some(CallId(self.calls));
                let turn_id = self.turn_id(turn);
                let cause = CancelCause::Requested;
                self.handle(Input::Cancel {
                    call,
                    turn_id,
                    cause,
                });
            }
            Act::Shutdown => self.handle(Input::Shutdown),
            Act::Kill => self.handle(Input::Kill),
            Act::Fault => self.handle(Input::Fault),
            Act::Repeat { stream, id } => {
                if let Some(body) = self.sent.get(&format!("f{id}")).cloned() {
                    self.frame(stream, Some(id), body);
                }
            }
            Act::Ack { stream, id, behind } => {
                // Also one that is ahead, which is refused.
                let sequence = (self.session.last_sequence() + 2).saturating_sub(behind);
                self.frame(stream, id, FrameBody::Ack { sequence });
            }
            Act::Crash { lost, gap } => self.crash(lost, Duration::from_secs(gap)),
            Act::Pass(seconds) => self.pass(Duration::from_secs(seconds)),
        }
    }

    fn start(&mut self, words: Option<usize>, answers: u8, deadline: Option<u64>, brings: bool) {
        self.calls += 1;
        let content = words.map(|padding| Block::Text(self.words('u', padding)));
        let open = self.reference.open_calls();
        let results = open.into_iter().take(usize::from(answers));
        let tool_results = results.map(|call_id| self.result(call_id, 0)).collect();
        let asked = self
            .reference
            .asked()
            .into_iter()
            .take(usize::from(answers));
        let decisions = asked.map(|request| self.answer_to(request, How::Approve, false));
        let decisions = decisions.collect();
        let messages = if brings {
            let user = Message::user(vec![Block::Text(self.words('u', 0))]);
            let assistant = Message {
                role: Role::Assistant,
                content: vec![Block::Text(self.words('u', 0))],
                origin: None,
                marking: Marking::Unmarked,
            };
            vec![user, assistant]
        } else {
            Vec::new()
        };
        // What a caller that brings a history would have the model go on from is its own affair.
        let content = content.or_else(|| brings.then(|| Block::Text(self.words('u', 0))));
        self.handle(Input::Start {
            call: CallId(self.calls),
            request: Box::new(TurnRequest {
                content: content.into_iter().collect(),
                messages,
                tool_results,
                decisions,
                options: TurnOptions::default(),
                deadline: deadline.map(|seconds| self.now + Duration::from_secs(seconds)),
            }),
        });
    }

    fn frame(&mut self, stream: u64, id: Option<u8>, body: FrameBody) {
        if !self.reference.may_send(stream) {
            return;
        }
        let id = id.map(|id| format!("f{id}"));
        if let Some(id) = &id {
            self.sent.insert(id.clone(), body.clone());
        }
        self.handle(Input::Frame {
            stream: StreamId(stream),
            frame: Box::new(Frame {
                id,
                digest: digest(&body),
                body,
            }),
        });
    }

    /// A message as models write them.
    fn whole(&mut self, text: bool, calls: Vec<Call>, stop: StopReason, counts: bool) {
        let step = StepId(self.reference.newest_step());
        let mut events = vec![ModelEvent::MessageStart];
        // Above the indexes of single pieces, so that the two rarely disturb each other.
        let index = 10;
        if text {
            let text = self.words('m', 0);
            let delta = BlockDelta::Text(text);
            events.push(ModelEvent::BlockDelta { index, delta });
            events.push(ModelEvent::BlockStop { index });
        }
        for (index, call) in (index + 1..).zip(calls) {
            let start = BlockStart::ToolCall {
                id: format!("w{index}"),
                name: call.name.to_owned(),
                provider_run: false,
            };
            events.push(ModelEvent::BlockStart { index, start });
            let delta = BlockDelta::ToolInput(call.input.to_owned());
            events.push(ModelEvent::BlockDelta { index, delta });
            events.push(ModelEvent::BlockStop { index });
        }
        events.push(self.event(Piece::Stop(stop)));
        if counts {
            events.push(self.event(Piece::Counts));
        }
        for event in events {
            self.handle(Input::Model { step, event });
        }
    }

    /// An answer to a request that waits, or to one that does not.
    fn decision(&self, request: Which, how: How, remember: bool) -> Option<Decision> {
        let request = match request {
            Which::Current => self.reference.asked().into_iter().next()?,
            Which::Earlier => self.reference.settled_request()?,
            Which::Unknown => "approval_s_999".to_owned(),
        };
        Some(self.answer_to(request, how, remember))
    }

    fn answer_to(&self, approval_id: String, how: How, remember: bool) -> Decision {
        let edited = match how {
            How::Edit => Some(r#"{"to":"Bo"}"#),
            How::EditBadly => Some(r#"{"to":7}"#),
            How::Approve | How::Refuse | How::Mistake => None,
        };
        Decision {
            approval_id,
            approved: !matches!(how, How::Refuse),
            remember: remember && edited.is_none(),
            edited_input_json: edited.map(str::to_owned),
            digest: matches!(how, How::Mistake).then(|| vec![0; 32]),
            ..Decision::default()
        }
    }

    /// Ends a run, or has one end that was given up.
    pub(crate) fn finish(&mut self, run: Which, end: RunEnd, padding: usize) {
        let Some(run) = self.reference.run(run) else {
            return;
        };
        let content = self.result(String::new(), padding).content;
        let outcome = Box::new(RunOutcome {
            content,
            end,
            usage: None,
        });
        self.handle(Input::ToolFinished { run, outcome });
    }

    /// Brings the result of a call that may wait for it or not.
    pub(crate) fn answer(&mut self, stream: u64, call_id: &str) {
        let result = self.result(call_id.to_owned(), 0);
        self.frame(stream, None, FrameBody::ToolResult(result));
    }

    pub(crate) fn event(&mut self, piece: Piece) -> ModelEvent {
        match piece {
            Piece::MessageStart => ModelEvent::MessageStart,
            Piece::Text { index, padding } => {
                let delta = BlockDelta::Text(self.words('m', padding));
                ModelEvent::BlockDelta { index, delta }
            }
            Piece::Blank(index) => {
                let delta = BlockDelta::Text(" ".to_owned());
                ModelEvent::BlockDelta { index, delta }
            }
            Piece::Thought(index) => {
                let delta = BlockDelta::ReasoningText(self.words('h', 0));
                ModelEvent::BlockDelta { index, delta }
            }
            Piece::Signature(index) => {
                let delta = BlockDelta::ReasoningSignature(self.words('s', 0));
                ModelEvent::BlockDelta { index, delta }
            }
            Piece::Cite(index) => {
                let delta = BlockDelta::Citation(Citation::default());
                ModelEvent::BlockDelta { index, delta }
            }
            Piece::CallStart {
                index,
                id,
                name,
                provider_run,
            } => {
                let start = BlockStart::ToolCall {
                    id: format!("p{id}"),
                    name: name.to_owned(),
                    provider_run,
                };
                ModelEvent::BlockStart { index, start }
            }
            Piece::CallInput { index, input } => {
                let delta = BlockDelta::ToolInput(input.to_owned());
                ModelEvent::BlockDelta { index, delta }
            }
            Piece::ResultStart { index, id } => {
                let start = BlockStart::ToolResult {
                    call_id: format!("p{id}"),
                    kind: String::new(),
                    is_error: false,
                };
                ModelEvent::BlockStart { index, start }
            }
            Piece::ResultText(index) => {
                let piece = ToolResultDelta::Text("found".to_owned());
                let delta = BlockDelta::ToolResult(vec![piece]);
                ModelEvent::BlockDelta { index, delta }
            }
            Piece::BlockStop(index) => ModelEvent::BlockStop { index },
            Piece::Stop(reason) => ModelEvent::MessageStop(MessageStop {
                reason,
                detail: String::new(),
                additional_fields_json: String::new(),
            }),
            Piece::Counts => ModelEvent::Metadata(Box::new(ModelMetadata {
                usage: Usage {
                    input_tokens: 7,
                    output_tokens: 3,
                    total_tokens: 10,
                    ..Usage::default()
                },
                ..ModelMetadata::default()
            })),
        }
    }

    /// Words that nobody else says: a letter for who says them and a number, and padding.
    fn words(&mut self, who: char, padding: usize) -> String {
        self.tokens += 1;
        format!("{who}{} {} ", self.tokens, "-".repeat(padding))
    }

    fn result(&mut self, call_id: String, padding: usize) -> ToolResult {
        ToolResult {
            call_id,
            content: vec![ToolResultBlock::Text(self.words('r', padding))],
            is_error: false,
            kind: String::new(),
        }
    }

    fn turn_id(&self, turn: Which) -> Option<String> {
        match turn {
            Which::Current => None,
            Which::Earlier => Some("turn_s_1".to_owned()),
            Which::Unknown => Some("turn_s_999".to_owned()),
        }
    }

    /// Lets time pass as a driver does: with a tick when one is due.
    fn pass(&mut self, time: Duration) {
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
        self.handle(Input::Tick);
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.reference.now = self.clock.system_at(self.now);
        self.reference.input(&input);
        self.session.handle(input, self.now);
        self.drain();
    }

    /// Does what a driver does after an input; tells whether anything came of it.
    fn drain(&mut self) -> bool {
        let mut came = false;
        while let Some(command) = self.session.poll_command() {
            self.reference.command(&command);
            if matches!(command, Command::TakeOver(_)) {
                self.told = Told::TakenOver;
            }
            came = true;
        }
        let mut events = Vec::new();
        while let Some(event) = self.session.poll_event() {
            self.reference.event(&event);
            self.told = Told::of(&event.payload).unwrap_or(self.told);
            events.push(event);
        }
        came |= !events.is_empty();
        if self.keeps_log {
            self.log.extend_from_slice(&events);
        }
        self.reference.settled(&self.session, self.clock);
        self.store.keep(events, &mut self.session);
        if self.remembers {
            self.past
                .push_back((self.store.clone(), self.reference.clone()));
            if self.past.len() > MOST_LOST {
                self.past.pop_front();
            }
        }
        came
    }

    /// The process ends, and another goes on from all batches but the last `lost`.
    fn crash(&mut self, lost: usize, gap: Duration) {
        self.past
            .truncate(self.past.len().saturating_sub(lost).max(1));
        if let Some((store, reference)) = self.past.back() {
            (self.store, self.reference) = (store.clone(), reference.clone());
        }
        let last_sequence = self.store.last_sequence();
        self.log.retain(|event| event.sequence <= last_sequence);
        self.clock = clock_after_crash(self.clock, self.now, gap);
        self.now = self.clock.instant;
        let must_act = self.reference.crash();
        let kept = self.store.read();
        let setup = Setup {
            tools: Arc::clone(&self.tools),
            ..setup(&self.agent, self.clock)
        };
        let (session, repairs) = Session::restore(setup, kept, self.now);
        assert_eq!(repairs, BTreeSet::new(), "the history was kept unsound");
        self.session = session;
        let acted = self.drain();
        (self.told, self.is_held) = (Told::Restored, false);
        assert_eq!(acted, must_act, "what needs no end is left alone");
        self.check_ids();
        if !acted {
            self.check_saved_again();
        }
    }

    /// What is saved of a session that was only restored is what it was restored from.
    fn check_saved_again(&mut self) {
        assert_eq!(self.session.changes(), None);
        // A cancel of a turn that there is not makes the session think that it has changed.
        self.session.handle(
            Input::Cancel {
                call: None,
                turn_id: Some("turn_s_999".to_owned()),
                cause: CancelCause::Requested,
            },
            self.now,
        );
        let changes = self.session.changes().unwrap();
        assert_eq!(Some(&changes.state), self.store.state());
        let more = (changes.history, changes.receipts, changes.ended);
        assert_eq!(more, (None, Vec::new(), Vec::new()));
        assert_eq!((changes.options, changes.calls), (None, Vec::new()));
        if let Some(newest) = self.store.newest_result() {
            let found = self.session.turn(Some(&newest.turn_id), self.now);
            assert_eq!(found.as_ref(), Some(newest), "a result is lost");
        }
    }

    /// No two messages have one id.
    fn check_ids(&self) {
        let mut ids = BTreeSet::new();
        for message in self.session.history().messages() {
            let origin = message.origin.iter();
            origin.for_each(|origin| assert!(ids.insert(&origin.message_id)));
        }
    }
}
