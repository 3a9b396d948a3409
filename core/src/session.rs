//! A session: whose turn it is, what waits, and who is told what.

mod calls;
mod frames;
mod outbox;
mod receipts;
mod streams;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

pub(crate) use self::outbox::{Ids, Outbox};
use self::{frames::InputBuffer, receipts::Receipts};
use crate::{
    agent::Agent,
    command::Command,
    error::{Failure, Reason},
    event::{Event, InterruptionCause, Payload, TurnResult},
    history::History,
    input::{Input, StepId, StreamId},
    message::{Block, Message, Origin},
    options::TurnOptions,
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
    queue: VecDeque<Queued>,
    streams: BTreeMap<StreamId, Stream>,
    receipts: Receipts,
    ended: VecDeque<TurnResult>,
    draining: bool,
    ids: Ids,
    out: Outbox,
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
    /// Settings that its turns start from, over the agent's.
    pub options: TurnOptions,
    /// The conversation so far; sendable as it is.
    pub messages: Vec<Message>,
}

#[derive(Debug)]
enum State {
    Idle,
    Active(Box<Turn>),
}

/// Input that waits for the running turn to end.
#[derive(Debug)]
struct Queued {
    frame_id: Option<String>,
    stream: Option<StreamId>,
    content: Vec<Block>,
    context_only: bool,
}

/// A Converse stream.
#[derive(Debug)]
struct Stream {
    input_open: bool,
    buffer: InputBuffer,
}

impl Session {
    /// Begins a session.
    pub fn new(setup: Setup) -> Self {
        let mut history = History::default();
        history.extend(setup.messages);
        Self {
            id: setup.id.into(),
            receipts: Receipts::new(setup.agent.limits.max_frame_ids),
            agent: setup.agent,
            options: setup.options,
            history,
            state: State::Idle,
            queue: VecDeque::new(),
            streams: BTreeMap::new(),
            ended: VecDeque::new(),
            draining: false,
            ids: Ids {
                seed: setup.seed,
                turns: 0,
                messages: 0,
                steps: 0,
            },
            out: Outbox::default(),
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
        self.out.sequence
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
            return Some(turn.snapshot(self.out.sequence, now));
        }
        match turn_id {
            Some(id) => self
                .ended
                .iter()
                .rev()
                .find(|result| *result.turn_id == *id)
                .cloned(),
            None => self.ended.back().cloned(),
        }
    }

    /// Takes what happened.
    ///
    /// A refused input becomes an event or an answer; outputs are drained by
    /// [`poll_command`](Self::poll_command) and [`poll_event`](Self::poll_event).
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Start { call, request } => self.start(call, *request, now),
            Input::StreamOpened(stream) => {
                let stream_state = Stream {
                    input_open: true,
                    buffer: InputBuffer::default(),
                };
                self.streams.insert(stream, stream_state);
            }
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
            Input::ModelHeld(held) => {
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
                    let failure = Failure::new(Reason::ShuttingDown, "the server is shutting down");
                    self.drive(now, |_, _| Some(Ending::incomplete(failure)));
                }
            }
            Input::Fault => {
                if matches!(self.state, State::Active(_)) {
                    let failure = Failure::new(Reason::Internal, "internal error");
                    self.drive(now, |_, _| Some(Ending::failed(failure)));
                }
            }
            Input::Tick => self.drive(now, Turn::tick),
        }
        self.end_streams();
    }

    /// Gives the next thing to do, until there is none.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.out.commands.pop_front()
    }

    /// Gives the next event for the log, until there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
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

    /// Puts the turn back, or ends it and starts what waits.
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
        if self.ended.len() >= self.agent.limits.max_kept_turns {
            self.ended.pop_front();
        }
        self.ended.push_back(result);
        for steering in turn.take_steering().into_iter().rev() {
            self.queue.push_front(Queued {
                frame_id: steering.frame_id,
                stream: steering.stream,
                content: steering.content,
                context_only: false,
            });
        }
        if self.draining {
            self.refuse_queue();
        }
        self.start_next(now);
    }

    fn context(&mut self, now: Instant) -> Context<'_> {
        Context {
            live: self.streams.values().any(|stream| stream.input_open),
            out: &mut self.out,
            history: &mut self.history,
            ids: &mut self.ids,
            limits: &self.agent.limits,
            now,
        }
    }

    /// Refuses what would make the history larger than its limit.
    fn check_room(&self, more: usize) -> Result<(), Failure> {
        let limit = self.agent.limits.max_history_bytes;
        if self.history.size_bytes().saturating_add(more) <= limit {
            return Ok(());
        }
        let text = format!("the history of this session would be larger than {limit} bytes");
        Err(Failure::new(Reason::LimitExceeded, text))
    }

    fn begin(&mut self, opening: Opening, now: Instant) {
        let (turn, flow) = Turn::begin(opening, &mut self.context(now));
        self.settle(Box::new(turn), flow, now);
    }

    /// Takes what waits, until a turn runs or nothing waits.
    fn start_next(&mut self, now: Instant) {
        while matches!(self.state, State::Idle) {
            let Some(queued) = self.queue.pop_front() else {
                return;
            };
            if queued.context_only {
                self.add_context(queued.content, now);
            } else {
                self.start_from_frame(queued.frame_id, queued.content, now);
            }
        }
    }

    fn start_from_frame(&mut self, frame_id: Option<String>, content: Vec<Block>, now: Instant) {
        let id = self.ids.turn();
        let opening = Opening {
            id,
            session_id: Arc::clone(&self.id),
            options: self.agent.settle(self.options.clone()),
            deadline: None,
            frame_id,
            messages: Vec::new(),
            content,
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
        for queued in std::mem::take(&mut self.queue) {
            self.receipts.forget(queued.frame_id.as_deref());
            self.reject(queued.frame_id, shutting_down());
        }
    }

    fn reject(&mut self, frame_id: Option<String>, failure: Failure) {
        self.out
            .tell(None, 0, 0, Payload::FrameRejected { frame_id, failure });
    }

    fn interrupt(&mut self, ending: Ending, now: Instant) {
        self.drive(now, |_, _| Some(ending));
    }
}

fn size_of(content: &[Block]) -> usize {
    content.iter().map(Block::size_bytes).sum()
}

fn shutting_down() -> Failure {
    // The server that takes its place is up within seconds; a guess that spreads the clients.
    Failure::new(Reason::ShuttingDown, "the server is shutting down")
        .retry_after(std::time::Duration::from_secs(1))
}

fn not_pending(call_id: &str) -> Failure {
    Failure::new(
        Reason::CallNotPending,
        "no tool call with this id waits for a result",
    )
    .fact("tool_call_id", call_id)
}

/// The cause that an interrupting frame gives.
fn cause_of(by_input: bool) -> InterruptionCause {
    if by_input {
        InterruptionCause::NewInput
    } else {
        InterruptionCause::Client
    }
}
