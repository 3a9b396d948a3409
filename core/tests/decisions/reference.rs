//! A small model of a session: what may be told and kept, by the inputs and outputs alone.

mod frames;
mod outputs;
mod streams;
mod tools;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::SystemTime,
};

use taiwa_core::{
    Block, Clock, Input, Limits, Message, Reason, Session, TurnStatus,
    event::{FrameAccepted, FrameOutcome},
    message::Reasoning,
    tool::Decision,
};

use self::{
    tools::Work,
    words::{result_tokens, tokens, tokens_of},
};
use crate::bedrock;

#[derive(Clone, Debug)]
pub(crate) struct Reference {
    limits: Limits,
    sequence: u64,
    draining: bool,
    streams: BTreeMap<u64, Stream>,
    phase: Phase,
    turns: u64,
    queue: VecDeque<Words>,
    steering: Vec<Words>,
    /// The input that starts the next turn before all that waits.
    interrupting: Option<Words>,
    /// The turn that a call or a frame starts at once.
    starting: Option<Words>,
    going: Option<u64>,
    /// The end that the input must bring to a turn.
    cut: Option<(String, TurnStatus)>,
    /// The input is a deadline.
    is_tick: bool,
    call: Option<(u64, PendingCall)>,
    cancel: Option<u64>,
    frame_ids: BTreeMap<String, (FrameAccepted, [u8; 32])>,
    /// The ids of frames that are known, oldest first.
    frame_order: VecDeque<String>,
    /// Of the frame that was sent last.
    digest: [u8; 32],
    reply: Option<Reply>,
    /// Streams whose input is taken over.
    takeovers: VecDeque<u64>,
    /// The events that a reader says it has.
    forget: Option<u64>,
    /// The turn waited for tools when the process ended, and was not paused.
    must_pause: bool,
    rejections: VecDeque<(Option<String>, Reason)>,
    /// Tokens that the history holds for good.
    kept: BTreeSet<String>,
    reasoning: Vec<Reasoning>,
    closed_calls: Vec<String>,
    /// Runs that have ended, and requests that were settled.
    closed_runs: Vec<u64>,
    settled_requests: Vec<String>,
    newest_run: u64,
    /// Tools whose calls the user has approved or refused for the session.
    remembered: BTreeMap<String, bool>,
    /// The server has the tool that needs consent.
    has_send: bool,
    /// Nothing may come of the input.
    is_void: bool,
    /// The calendar's time.
    pub(crate) now: SystemTime,
    step: Option<u64>,
    newest_step: u64,
    calls_made: usize,
    steps_told: usize,
    ended_streams: BTreeSet<u64>,
    /// Of the session after the input before.
    held_bytes: usize,
    history_is_empty: bool,
}

#[derive(Clone, Debug)]
enum Phase {
    Idle,
    Running(Box<Turn>),
    Paused(Box<Turn>),
}

#[derive(Clone, Debug, Default)]
struct Turn {
    id: String,
    owner: Option<u64>,
    words: BTreeSet<String>,
    told: BTreeSet<String>,
    step: Option<Step>,
    finished_input_tokens: u64,
    steps: u32,
    announced: u32,
    estimated: bool,
    open: Vec<String>,
    /// When the calls that were handed out are no longer waited for.
    expires: BTreeMap<String, SystemTime>,
    work: Work,
    gave_output: bool,
    interrupted: bool,
    discards: bool,
    replaced: bool,
    /// The process ended while the model spoke.
    lost: bool,
}

#[derive(Clone, Debug, Default)]
struct Step {
    told: BTreeSet<String>,
    counted: bool,
    taken: bool,
    refused: bool,
    stopped: bool,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    closed: bool,
    taken_over: bool,
    gather: Words,
    gathered: usize,
    bytes: usize,
    spoiled: bool,
}

/// A user's message.
#[derive(Clone, Debug, Default)]
struct Words {
    id: Option<String>,
    ids: Vec<String>,
    stream: Option<u64>,
    context: bool,
    tokens: BTreeSet<String>,
}

/// How a frame must be answered.
#[derive(Clone, Debug)]
enum Reply {
    Accepted(Option<String>, FrameOutcome),
    Rejected(Option<String>, Reason),
    Duplicate(String),
    /// To the stream alone.
    Refused(u64, Option<String>),
    /// As too late, or as not pending.
    NotTaken(Option<String>),
}

#[derive(Clone, Debug)]
struct PendingCall {
    words: BTreeSet<String>,
    results: Vec<(String, BTreeSet<String>)>,
    decisions: Vec<Decision>,
    must_start: bool,
}

impl Reference {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            sequence: 0,
            draining: false,
            streams: BTreeMap::new(),
            phase: Phase::Idle,
            turns: 0,
            queue: VecDeque::new(),
            steering: Vec::new(),
            interrupting: None,
            starting: None,
            going: None,
            cut: None,
            is_tick: false,
            call: None,
            cancel: None,
            frame_ids: BTreeMap::new(),
            frame_order: VecDeque::new(),
            digest: [0; 32],
            reply: None,
            takeovers: VecDeque::new(),
            forget: None,
            must_pause: false,
            rejections: VecDeque::new(),
            kept: BTreeSet::new(),
            reasoning: Vec::new(),
            closed_calls: Vec::new(),
            closed_runs: Vec::new(),
            settled_requests: Vec::new(),
            newest_run: 0,
            remembered: BTreeMap::new(),
            has_send: true,
            is_void: false,
            now: SystemTime::UNIX_EPOCH,
            step: None,
            newest_step: 0,
            calls_made: 0,
            steps_told: 0,
            ended_streams: BTreeSet::new(),
            held_bytes: 0,
            history_is_empty: true,
        }
    }

    pub(crate) fn newest_step(&self) -> u64 {
        self.newest_step
    }

    pub(crate) fn has_stream(&self, stream: u64) -> bool {
        self.streams.contains_key(&stream)
    }

    /// The stream that brings the session's input.
    pub(crate) fn heard(&self) -> Option<u64> {
        let heard = self.streams.iter().find(|(_, stream)| stream.is_heard());
        heard.map(|(id, _)| *id)
    }

    /// True when the provider has taken the model call that is open.
    pub(crate) fn is_taken(&self) -> bool {
        self.open_step().is_some_and(|step| step.taken)
    }

    /// True when the model has said why it stopped.
    pub(crate) fn has_stopped(&self) -> bool {
        self.open_step().is_some_and(|step| step.stopped)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    fn open_step(&self) -> Option<&Step> {
        self.turn().and_then(|turn| turn.step.as_ref())
    }

    /// True for a stream whose input was not half-closed.
    pub(crate) fn may_send(&self, stream: u64) -> bool {
        self.streams
            .get(&stream)
            .is_some_and(|stream| !stream.closed)
    }

    pub(crate) fn is_gathering(&self, stream: u64) -> bool {
        self.streams
            .get(&stream)
            .is_some_and(|stream| stream.gathered > 0)
    }

    pub(crate) fn open_calls(&self) -> Vec<String> {
        self.turn().map_or_else(Vec::new, |turn| turn.open.clone())
    }

    pub(crate) fn closed_call(&self) -> Option<String> {
        let open = self.open_calls();
        let closed = self.closed_calls.iter().rev();
        closed.clone().find(|call| !open.contains(call)).cloned()
    }

    fn turn(&self) -> Option<&Turn> {
        match &self.phase {
            Phase::Running(turn) | Phase::Paused(turn) => Some(turn),
            Phase::Idle => None,
        }
    }

    fn turn_mut(&mut self) -> Option<&mut Turn> {
        match &mut self.phase {
            Phase::Running(turn) | Phase::Paused(turn) => Some(turn),
            Phase::Idle => None,
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.held_bytes + bytes <= self.limits.max_history_bytes
    }

    /// Foresees what an input does.
    pub(crate) fn input(&mut self, input: &Input) {
        self.is_tick = matches!(input, Input::Tick);
        self.is_void = false;
        match input {
            Input::Start { call, request } => {
                let mut words = tokens(&request.content);
                request
                    .messages
                    .iter()
                    .for_each(|m| words.extend(tokens(&m.content)));
                let brought = request
                    .messages
                    .iter()
                    .map(Message::size_bytes)
                    .sum::<usize>();
                let content = request.content.iter().map(Block::size_bytes).sum::<usize>();
                let must_start = matches!(self.phase, Phase::Idle)
                    && !self.draining
                    && request.tool_results.is_empty()
                    && request.decisions.is_empty()
                    && !request.content.is_empty()
                    && (request.messages.is_empty() || self.history_is_empty)
                    && content <= self.limits.max_input_bytes
                    && self.has_room(brought + content);
                let results = request.tool_results.iter();
                let results = results.map(|r| (r.call_id.clone(), result_tokens(&r.content)));
                let pending = PendingCall {
                    words,
                    results: results.collect(),
                    decisions: request.decisions.clone(),
                    must_start,
                };
                self.call = Some((call.0, pending));
            }
            Input::StreamOpened(stream) => {
                self.take_over(stream.0);
                self.streams.insert(stream.0, Stream::default());
                self.ended_streams.remove(&stream.0);
            }
            Input::Frame { stream, frame } => self.frame(stream.0, frame),
            Input::InputClosed(stream) => {
                self.unfinished(stream.0);
                if let Some(stream) = self.streams.get_mut(&stream.0) {
                    stream.closed = true;
                }
            }
            Input::StreamGone { stream, cancel } => self.gone(stream.0, *cancel),
            Input::ModelOpened { step, .. } => self.hear(step.0, |step| step.taken = true),
            Input::Model { step, event } => {
                let counts = matches!(event, taiwa_core::ModelEvent::Metadata(_));
                let stops = matches!(event, taiwa_core::ModelEvent::MessageStop(_));
                self.hear(step.0, |step| {
                    step.taken = true;
                    step.counted |= counts;
                    step.stopped |= stops;
                });
            }
            Input::ModelEnded(step) | Input::ModelFailed { step, .. } => {
                self.hear(step.0, |step| step.refused = !step.taken);
                if self.step == Some(step.0) {
                    self.step = None;
                }
            }
            Input::Cancel { call, turn_id, .. } => {
                self.cancel = call.map(|call| call.0);
                let turn = self.turn().map(|turn| &turn.id);
                if turn_id.is_none() || turn_id.as_ref() == turn {
                    self.cut(TurnStatus::Cancelled);
                }
            }
            Input::Shutdown | Input::Kill => {
                self.draining = true;
                self.refuse_queue();
                if matches!((input, &self.phase), (Input::Kill, Phase::Running(_))) {
                    self.cut(TurnStatus::Failed);
                }
            }
            Input::Fault => self.cut(TurnStatus::Failed),
            Input::ToolProgress { run, .. } => self.is_void = !self.is_open(*run),
            Input::ToolFinished { run, .. } => self.tool_finished(*run),
            Input::ModelWaits(_) | Input::ModelAllowed { .. } | Input::ModelRefused(_) => {
                panic!("no budget is shared: {input:?}")
            }
            Input::Tools(tools) => {
                self.is_void = true;
                self.has_send = tools.find("send").is_some();
            }
            Input::ModelHeld(_) | Input::Tick => {}
        }
    }

    /// The turn that runs or is paused, if there is one, must end so.
    fn cut(&mut self, status: TurnStatus) {
        self.cut = self.turn().map(|turn| (turn.id.clone(), status));
    }

    fn hear(&mut self, step: u64, act: impl FnOnce(&mut Step)) {
        if self.step == Some(step)
            && let Some(current) = self.turn_mut().and_then(|turn| turn.step.as_mut())
        {
            act(current);
        }
    }

    /// Holds the session against the reference, after an input and all that came of it.
    pub(crate) fn settled(&mut self, session: &Session, clock: Clock) {
        match self.reply.take() {
            None | Some(Reply::Accepted(None, _)) => {}
            Some(reply) => panic!("a frame is not answered: {reply:?}"),
        }
        assert_eq!(
            self.rejections,
            VecDeque::new(),
            "input is lost without a word"
        );
        assert!(self.call.is_none() && self.starting.is_none() && self.interrupting.is_none());
        assert_eq!(self.cancel, None);
        assert_eq!(self.takeovers, VecDeque::new(), "a stream was not told");
        assert_eq!(self.forget, None);
        assert!(!self.must_pause, "a turn waits for nobody");
        assert_eq!(self.calls_made, self.steps_told);
        assert_eq!(self.cut, None, "a turn goes on that was cut");
        assert_eq!(self.going, None);
        let messages = session.history().messages();
        match &self.phase {
            Phase::Idle => {
                self.queue.drain(..).for_each(|message| {
                    assert!(message.context, "input waits and nothing runs");
                    self.kept.extend(message.tokens);
                });
                assert_eq!(self.step, None);
                assert_eq!(session.deadline(), None);
                assert_eq!(bedrock::fault(messages), None);
                assert_eq!(
                    tokens_of(messages),
                    self.kept,
                    "the history is not what it should be"
                );
            }
            Phase::Running(turn) | Phase::Paused(turn) => {
                let answered = if turn.open.is_empty() && turn.work.is_done() {
                    messages
                } else {
                    &messages[..messages.len() - 1]
                };
                assert_eq!(bedrock::fault(answered), None);
                let may: BTreeSet<_> = self
                    .kept
                    .iter()
                    .chain(&turn.words)
                    .chain(&turn.told)
                    .cloned()
                    .collect();
                let strange: Vec<_> = tokens_of(messages).difference(&may).cloned().collect();
                assert_eq!(
                    strange,
                    Vec::<String>::new(),
                    "the history holds what it must not"
                );
                let due = session.deadline().expect("a turn waits for nothing");
                let is_heard = self.heard().is_some();
                let waits = matches!(self.phase, Phase::Running(_))
                    && (!turn.open.is_empty() || turn.work.asks());
                assert!(
                    !waits || is_heard || turn.work.runs(),
                    "a turn waits for nobody"
                );
                let most = self.limits.max_concurrent_tools.get();
                turn.work.settled(most);
                let expires = turn.open.iter().map(|call| turn.expires[call]);
                let expires = expires.chain(turn.work.expires()).min();
                let expires = expires.map(|expires| clock.instant_at(expires));
                if matches!(self.phase, Phase::Paused(_)) {
                    assert_eq!(
                        Some(due),
                        expires,
                        "a paused turn waits for its calls alone"
                    );
                } else {
                    assert!(expires.is_none_or(|expires| due <= expires));
                }
            }
        }
        for message in messages {
            for block in &message.content {
                if let Block::Reasoning(reasoning) = block {
                    assert!(self.reasoning.contains(reasoning), "reasoning has changed");
                }
            }
        }
        // Error results that the core writes by itself are short, and few fit in one answer.
        let slack = self.limits.max_output_bytes + 4 * 1_200;
        assert!(session.history().size_bytes() <= self.limits.max_history_bytes + slack);
        assert!(
            session.waiting_bytes()
                <= self.limits.max_history_bytes + self.limits.max_input_bytes * 3
        );
        assert!(self.queue.len() + self.steering.len() <= self.limits.max_queued_inputs + 1);
        let size: usize = messages.iter().map(|message| message.size_bytes()).sum();
        assert_eq!(
            session.history().size_bytes(),
            size,
            "the history's size is wrong"
        );
        self.held_bytes = session.history().size_bytes() + session.waiting_bytes();
        self.history_is_empty = session.history().is_empty();
    }

    /// Holds the end of a life against the reference.
    pub(crate) fn is_over(&self, session: &Session) {
        assert!(matches!(self.phase, Phase::Idle), "a turn has no end");
        assert!(session.is_idle());
    }
}

impl Turn {
    fn end_step(&mut self, step: Step, keeps: bool) {
        if step.counted {
            self.finished_input_tokens += 7;
        } else if !step.refused {
            self.estimated = true;
        }
        if keeps {
            self.told.extend(step.told);
        }
    }
}

impl Stream {
    fn is_heard(&self) -> bool {
        !self.closed && !self.taken_over
    }

    fn drop_gathered(&mut self, more_follows: bool) -> Vec<String> {
        let gathered = std::mem::take(&mut self.gather);
        self.gathered = 0;
        self.bytes = 0;
        self.spoiled = more_follows;
        gathered.ids
    }
}
