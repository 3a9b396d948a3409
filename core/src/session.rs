//! A session: whose turn it is, what waits, and who is told what.

mod calls;
mod ended;
mod frames;
mod inputs;
mod keep;
mod outbox;
mod receipts;
mod streams;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use self::{
    ended::Ended,
    keep::{Unsaved, changes_state},
    receipts::Receipts,
    streams::Stream,
};
pub(crate) use self::{
    inputs::UserMessage,
    outbox::{Ids, Outbox},
};
use crate::{
    agent::Agent,
    clock::Clock,
    command::Command,
    error::{Failure, Reason},
    event::{Event, Payload, TurnResult},
    history::{History, NOT_KNOWN},
    input::{Input, StepId, StreamId},
    limits::MAX_HISTORY_BLOCKS,
    message::{Block, Message, Origin},
    options::TurnOptions,
    tool::ToolSet,
    turn::{Context, Ending, Flow, Opening, Turn},
};

/// A conversation with an agent; see the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Session {
    id: Arc<str>,
    agent: Arc<Agent>,
    options: TurnOptions,
    history: History,
    state: State,
    queue: VecDeque<UserMessage>,
    streams: BTreeMap<StreamId, Stream>,
    receipts: Receipts,
    ended: Ended,
    draining: bool,
    /// The driver does not read the model, since a reader is slow.
    held: bool,
    /// The tools that the server runs for the agent, as they are.
    tools: Arc<ToolSet>,
    /// Tools whose calls the user has approved or refused for the session.
    remembered: BTreeMap<String, bool>,
    ids: Ids,
    out: Outbox,
    unsaved: Unsaved,
}

/// How a session begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Its id.
    pub id: String,
    /// A text that no other session has, of letters and digits; ids of turns and messages hold it.
    pub seed: String,
    /// Agent in charge.
    pub agent: Arc<Agent>,
    /// The tools that the server runs for the agent.
    pub tools: Arc<ToolSet>,
    /// Settings that its turns start from, over the agent's.
    pub options: TurnOptions,
    /// The conversation so far; sendable as it is, save that the calls of its last message may
    /// want their results, as after a crash.
    pub messages: Vec<Message>,
    /// A moment on both clocks, at or before the first input.
    pub clock: Clock,
}

#[derive(Debug)]
enum State {
    Idle,
    Active(Box<Turn>),
}

impl Session {
    /// Begins a session.
    pub fn new(setup: Setup) -> Self {
        let mut history = History::default();
        history.extend(setup.messages);
        history.answer(Vec::new(), NOT_KNOWN, Vec::new(), None);
        let limits = &setup.agent.limits;
        Self {
            id: setup.id.into(),
            receipts: Receipts::new(limits.max_frame_ids),
            ended: Ended::new(limits.max_kept_turns, limits.max_history_bytes),
            agent: setup.agent,
            options: setup.options,
            history,
            state: State::Idle,
            queue: VecDeque::new(),
            streams: BTreeMap::new(),
            draining: false,
            held: false,
            tools: setup.tools,
            remembered: BTreeMap::new(),
            ids: Ids::new(setup.seed, setup.clock),
            out: Outbox::default(),
            unsaved: Unsaved {
                state: true,
                options: true,
            },
        }
    }

    /// The session's id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Agent in charge.
    pub fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    /// The conversation so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Settings that the session's turns start from, over the agent's.
    pub fn options(&self) -> &TurnOptions {
        &self.options
    }

    /// Sequence number of the newest event; zero before the first.
    pub fn last_sequence(&self) -> u64 {
        self.out.last_sequence()
    }

    /// The turn that runs or is paused.
    pub fn active_turn(&self) -> Option<&Arc<str>> {
        match &self.state {
            State::Active(turn) => Some(&turn.id),
            State::Idle => None,
        }
    }

    /// True when nothing runs and nothing waits to run; a paused turn does not run.
    pub fn is_idle(&self) -> bool {
        self.running().is_none() && self.queue.is_empty()
    }

    /// True when ending the session would lose nothing that is still to be answered.
    pub fn is_quiet(&self) -> bool {
        matches!(self.state, State::Idle) && self.queue.is_empty() && self.streams.is_empty()
    }

    /// How a turn stands; `None` as id means the newest.
    pub fn turn(&self, turn_id: Option<&str>, now: Instant) -> Option<TurnResult> {
        if let State::Active(turn) = &self.state
            && turn_id.is_none_or(|id| *turn.id == *id)
        {
            return Some(turn.snapshot(self.out.last_turn_sequence(), now));
        }
        match turn_id {
            Some(id) => self.ended.find(id).cloned(),
            None => self.ended.newest().cloned(),
        }
    }

    /// Bytes that wait to enter the history: queued and steering input, parts of messages, results
    /// of calls whose step still waits for others.
    pub fn waiting_bytes(&self) -> usize {
        let queued: usize = self.queue.iter().map(UserMessage::size_bytes).sum();
        let gathered: usize = self.streams.values().map(Stream::buffered_bytes).sum();
        let in_turn = match &self.state {
            State::Active(turn) => turn.waiting_bytes(),
            State::Idle => 0,
        };
        queued + gathered + in_turn
    }

    /// Takes what happened.
    ///
    /// A refused input becomes an event or an answer; outputs are drained by
    /// [`poll_command`](Self::poll_command) and [`poll_event`](Self::poll_event).
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.dispatch(input, now);
        self.start_next(now);
        self.end_streams();
    }

    fn dispatch(&mut self, input: Input, now: Instant) {
        self.unsaved.state |= changes_state(&input);
        match input {
            Input::Start { call, request } => self.start(call, *request, now),
            Input::StreamOpened(stream) => self.open_stream(stream),
            Input::Frame { stream, frame } => self.take_frame(stream, *frame, now),
            Input::InputClosed(stream) => self.close_input(stream, now),
            Input::StreamGone { stream, cancel } => self.lose_stream(stream, cancel, now),
            Input::ModelOpened { step, retries } => {
                if let Some(turn) = self.calling(step) {
                    turn.model_opened(retries);
                }
            }
            Input::Model { step, event } => {
                if self.calling(step).is_some() {
                    self.drive(now, |turn, ctx| turn.model_said(event, ctx));
                }
            }
            Input::ModelEnded(step) => {
                if self.calling(step).is_some() {
                    self.drive(now, Turn::model_ended);
                }
            }
            Input::ModelFailed { step, failure } => {
                if self.calling(step).is_some() {
                    self.drive(now, |turn, ctx| turn.model_failed(failure, ctx));
                }
            }
            Input::ModelWaits(step) => {
                if let Some(turn) = self.calling(step) {
                    turn.model_waits();
                }
            }
            Input::ModelAllowed {
                step,
                max_tokens,
                watched_tokens,
            } => {
                if let Some(turn) = self.calling(step) {
                    turn.model_allowed(max_tokens, watched_tokens, now);
                }
            }
            Input::ModelRefused(step) => {
                if self.calling(step).is_some() {
                    self.drive(now, Turn::model_refused);
                }
            }
            Input::Tools(tools) => self.tools = tools,
            Input::ToolProgress { run, text } => self.drive(now, |turn, ctx| {
                turn.tool_progress(run, text, ctx);
                None
            }),
            Input::ToolFinished { run, outcome } => {
                self.drive(now, |turn, ctx| turn.tool_finished(run, *outcome, ctx));
            }
            Input::ModelHeld(held) => {
                self.held = held;
                if let State::Active(turn) = &mut self.state {
                    turn.model_held(held, now);
                }
            }
            Input::Cancel {
                call,
                turn_id,
                cause,
            } => self.cancel(call, turn_id, cause, now),
            Input::Shutdown => self.drain(),
            Input::Kill => {
                self.drain();
                if self.running().is_some() {
                    let failure = Failure::shutting_down();
                    self.end_turn(Ending::stopped(failure), now);
                }
            }
            Input::Fault => {
                let failure = Failure::internal();
                self.end_turn(Ending::failed(failure), now);
            }
            Input::Tick => self.drive(now, Turn::tick),
        }
    }

    /// Gives the next thing to do, until there is none.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.out.next_command()
    }

    /// Gives the next event for the log, until there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.next_event()
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Active(turn) => turn.next_tick(&self.agent.limits),
        }
    }

    fn calling(&mut self, step: StepId) -> Option<&mut Turn> {
        match &mut self.state {
            State::Active(turn) if turn.is_calling(step) => Some(turn),
            State::Active(_) | State::Idle => None,
        }
    }

    /// The turn that runs; not one that is paused.
    fn running(&self) -> Option<&Turn> {
        match &self.state {
            State::Active(turn) if !turn.is_paused() => Some(turn),
            State::Active(_) | State::Idle => None,
        }
    }

    /// Lets the turn act, and ends it where it says so.
    fn drive(&mut self, now: Instant, act: impl FnOnce(&mut Turn, &mut Context<'_>) -> Flow) {
        let State::Active(mut turn) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let flow = act(&mut turn, &mut self.context(now));
        self.settle(turn, flow, now);
    }

    /// Ends the turn, if there is one.
    fn end_turn(&mut self, ending: Ending, now: Instant) {
        self.drive(now, |_, _| Some(ending));
    }

    /// Puts the turn back, or ends it.
    fn settle(&mut self, mut turn: Box<Turn>, flow: Flow, now: Instant) {
        let Some(ending) = flow else {
            self.state = State::Active(turn);
            return;
        };
        let is_final = ending.is_final();
        let result = turn.end(ending, &mut self.context(now));
        if !is_final {
            self.state = State::Active(turn);
            return;
        }
        self.ended.push(result);
        for steering in turn.take_steering().into_iter().rev() {
            self.queue.push_front(steering);
        }
        if self.draining {
            self.refuse_queue();
        }
    }

    fn context(&mut self, now: Instant) -> Context<'_> {
        Context {
            live: self.streams.values().any(Stream::is_heard),
            held: self.held,
            out: &mut self.out,
            history: &mut self.history,
            ids: &mut self.ids,
            agent: &self.agent,
            limits: &self.agent.limits,
            tools: &self.tools,
            remembered: &mut self.remembered,
            settings: self.agent.context.as_ref(),
            now,
        }
    }

    /// Refuses what would make the history larger than its limit.
    fn check_room(&self, more: &[Block]) -> Result<(), Failure> {
        self.check_room_bytes(size_of(more), more.len())
    }

    fn check_room_bytes(&self, bytes: usize, blocks: usize) -> Result<(), Failure> {
        let limit = self.agent.limits.max_history_bytes;
        let held = self.history.size_bytes() + self.waiting_bytes();
        let text = if held.saturating_add(bytes) > limit {
            format!("the history of this session would be larger than {limit} bytes")
        } else if self.history.block_count().saturating_add(blocks) > MAX_HISTORY_BLOCKS {
            format!("the history of this session would hold more than {MAX_HISTORY_BLOCKS} blocks")
        } else {
            return Ok(());
        };
        Err(Failure::new(Reason::LimitExceeded, text))
    }

    fn begin(&mut self, opening: Opening, now: Instant) {
        let (turn, flow) = Turn::begin(opening, &mut self.context(now));
        self.settle(Box::new(turn), flow, now);
    }

    /// Takes what waits, until a turn runs or nothing waits.
    ///
    /// A loop, and not a call at a turn's end: turns that end as soon as they start would pile up
    /// on the stack.
    fn start_next(&mut self, now: Instant) {
        while matches!(self.state, State::Idle) {
            let Some(message) = self.queue.pop_front() else {
                return;
            };
            if message.context_only {
                self.add_context(message.content, now);
            } else {
                self.start_from_frame(message, now);
            }
        }
    }

    fn start_from_frame(&mut self, message: UserMessage, now: Instant) {
        let opening = Opening {
            id: self.ids.turn(),
            session_id: Arc::clone(&self.id),
            options: self.agent.settle(self.options.clone()),
            deadline: None,
            frame_id: message.frame_id,
            stream: message.stream,
            messages: Vec::new(),
            results: Vec::new(),
            content: message.content,
        };
        self.begin(opening, now);
    }

    fn add_context(&mut self, content: Vec<Block>, now: Instant) {
        let origin = Origin {
            turn_id: String::new(),
            ..self.ids.origin("", now)
        };
        self.history.add_user(content, Some(origin));
    }

    /// Takes no further turns; what runs may finish.
    fn drain(&mut self) {
        self.draining = true;
        self.refuse_queue();
    }

    fn refuse_queue(&mut self) {
        for message in std::mem::take(&mut self.queue) {
            self.refuse(&message.parts, message.frame_id, Failure::shutting_down());
        }
    }

    /// Refuses a message that came in one frame or several: each may be sent again.
    fn refuse(&mut self, parts: &[String], frame_id: Option<String>, failure: Failure) {
        for part in parts {
            self.receipts.forget(part);
        }
        if let Some(frame_id) = &frame_id {
            self.receipts.forget(frame_id);
        }
        self.reject(frame_id, failure);
    }

    fn reject(&mut self, frame_id: Option<String>, failure: Failure) {
        self.out
            .tell(None, 0, 0, Payload::FrameRejected { frame_id, failure });
    }
}

fn size_of(content: &[Block]) -> usize {
    content.iter().map(Block::size_bytes).sum()
}

fn not_pending(call_id: &str) -> Failure {
    Failure::new(
        Reason::CallNotPending,
        "no tool call with this id waits for a result",
    )
    .fact("tool_call_id", call_id)
}

fn too_large(what: &str, limit: usize) -> Failure {
    let text = format!("the {what} is larger than {limit} bytes");
    Failure::new(Reason::LimitExceeded, text)
}
