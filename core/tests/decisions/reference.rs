//! A small model of a session: what may be told and kept, by the inputs and outputs alone.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::SystemTime,
};

use taiwa_core::{
    Block, Clock, Command, Event, Input, Limits, Message, Payload, Reason, Session, StopReason,
    ToolCall, TurnStatus,
    event::{FrameAccepted, FrameOutcome},
    input::{Frame, FrameBody, InputPolicy, UserInput},
    message::Reasoning,
    tool::{Executor, ToolResultBlock},
};

use crate::{bedrock, store::digest};

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
                    && !request.content.is_empty()
                    && (request.messages.is_empty() || self.history_is_empty)
                    && content <= self.limits.max_input_bytes
                    && self.has_room(brought + content);
                let results = request.tool_results.iter();
                let results = results.map(|r| (r.call_id.clone(), result_tokens(&r.content)));
                let pending = PendingCall {
                    words,
                    results: results.collect(),
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
            Input::Cancel { call, .. } => self.cancel = call.map(|call| call.0),
            Input::Shutdown | Input::Kill => {
                self.draining = true;
                self.refuse_queue();
            }
            Input::ModelHeld(_) | Input::Fault | Input::Tick => {}
        }
    }

    /// What the stream that is heard had asked for is the new one's.
    fn take_over(&mut self, new: u64) {
        let Some(old) = self.heard() else { return };
        self.unfinished(old);
        self.streams.get_mut(&old).unwrap().taken_over = true;
        self.takeovers.push_back(old);
        if let Some(turn) = self.turn_mut() {
            hand_over(&mut turn.owner, old, new);
        }
        let waiting = self.queue.iter_mut().chain(&mut self.steering);
        waiting.for_each(|message| hand_over(&mut message.stream, old, new));
    }

    /// Foresees what the process that comes after a crash does; false when it has nothing to do.
    pub(crate) fn crash(&mut self) -> bool {
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        streams.into_iter().for_each(|id| self.unfinished(id));
        self.streams.clear();
        self.draining = false;
        self.step = None;
        let waiting = self.queue.iter_mut().chain(&mut self.steering);
        waiting.for_each(|message| message.stream = None);
        if let Some(turn) = self.turn_mut() {
            turn.owner = None;
        }
        let Phase::Running(turn) = &mut self.phase else {
            return !self.rejections.is_empty();
        };
        match &mut turn.step {
            Some(step) => {
                turn.lost = true;
                // Counts that came were not told, so they are lost with the process.
                (step.counted, step.refused) = (false, false);
            }
            None => self.must_pause = true,
        }
        true
    }

    fn hear(&mut self, step: u64, act: impl FnOnce(&mut Step)) {
        if self.step == Some(step)
            && let Some(current) = self.turn_mut().and_then(|turn| turn.step.as_mut())
        {
            act(current);
        }
    }

    fn frame(&mut self, stream: u64, frame: &Frame) {
        let id = frame.id.clone();
        assert_eq!(frame.digest, digest(&frame.body));
        self.digest = frame.digest;
        let known = id.as_ref().and_then(|id| self.frame_ids.get(id));
        let first_digest = known.map(|(_, digest)| *digest);
        if first_digest == Some(frame.digest) {
            self.reply = id.map(Reply::Duplicate);
            return;
        }
        if self.streams.get(&stream).is_some_and(|s| s.taken_over) {
            self.reply = Some(Reply::Refused(stream, id));
            return;
        }
        if first_digest.is_some() {
            self.spoil(stream);
            self.reply = Some(Reply::Rejected(id, Reason::RequestIdReused));
            return;
        }
        let reply = match &frame.body {
            FrameBody::UserInput(input) => self.user_input(stream, id, input),
            FrameBody::Setup | FrameBody::Update { .. } => {
                Reply::Accepted(id, FrameOutcome::Applied)
            }
            FrameBody::Ack { sequence } if *sequence > self.sequence => {
                Reply::Rejected(id, Reason::InvalidRequest)
            }
            FrameBody::Ack { sequence } => {
                self.forget = Some(*sequence);
                Reply::Accepted(id, FrameOutcome::Applied)
            }
            FrameBody::Invalid(_) => {
                self.spoil(stream);
                Reply::Rejected(id, Reason::InvalidRequest)
            }
            FrameBody::Interrupt {
                turn_id,
                discard_output,
            } => {
                let turns = self.turns;
                match self.turn_mut() {
                    Some(turn) if turn_id.as_ref().is_none_or(|named| *named == turn.id) => {
                        turn.discards = *discard_output;
                        turn.interrupted = true;
                        Reply::Accepted(id, FrameOutcome::Applied)
                    }
                    _ if turn_id
                        .as_deref()
                        .is_none_or(|id| id == "turn_s_1" && turns > 0) =>
                    {
                        Reply::Accepted(id, FrameOutcome::TooLate)
                    }
                    _ => Reply::Rejected(id, Reason::TurnNotFound),
                }
            }
            FrameBody::ToolResult(result) => {
                let fits = self.has_room(result.size_bytes());
                let (draining, max) = (self.draining, self.limits.max_tool_result_bytes);
                let is_paused = matches!(self.phase, Phase::Paused(_));
                let open = self
                    .turn_mut()
                    .filter(|turn| turn.open.contains(&result.call_id));
                if result.size_bytes() > max {
                    Reply::Rejected(id, Reason::LimitExceeded)
                } else if let Some(turn) = open {
                    if !fits {
                        Reply::Rejected(id, Reason::LimitExceeded)
                    } else if is_paused && draining {
                        Reply::Rejected(id, Reason::ShuttingDown)
                    } else {
                        turn.open.retain(|call| *call != result.call_id);
                        turn.words.extend(result_tokens(&result.content));
                        if is_paused {
                            turn.owner = Some(stream);
                        }
                        self.closed_calls.push(result.call_id.clone());
                        Reply::Accepted(id, FrameOutcome::Applied)
                    }
                } else {
                    Reply::NotTaken(id)
                }
            }
        };
        self.reply = Some(reply);
    }

    fn user_input(&mut self, stream_id: u64, id: Option<String>, input: &UserInput) -> Reply {
        let bytes = input.content.iter().map(Block::size_bytes).sum::<usize>();
        let fits = self.has_room(bytes);
        let (draining, max) = (self.draining, self.limits.max_input_bytes);
        let stream = self.streams.get_mut(&stream_id).unwrap();
        let fault = if draining {
            Some(Reason::ShuttingDown)
        } else if stream.spoiled {
            Some(Reason::FrameOutOfOrder)
        } else if stream.bytes + bytes > max || (!input.more_follows && !fits) {
            Some(Reason::LimitExceeded)
        } else {
            None
        };
        if let Some(reason) = fault {
            let ids = stream.drop_gathered(input.more_follows);
            self.free(&ids);
            return Reply::Rejected(id, reason);
        }
        stream.gather.tokens.extend(tokens(&input.content));
        if input.more_follows {
            stream.gathered += 1;
            stream.bytes += bytes;
            stream.gather.ids.extend(id.clone());
            return Reply::Accepted(id, FrameOutcome::Applied);
        }
        let gathered = std::mem::take(stream).gather;
        let message = Words {
            id: id.clone(),
            stream: Some(stream_id),
            context: input.context_only,
            ..gathered
        };
        let may_wait = self.queue.len() + self.steering.len() < self.limits.max_queued_inputs;
        let policy = input.policy.unwrap_or_default();
        let Some(turn) = self.turn_mut() else {
            if message.context {
                self.kept.extend(message.tokens);
                return Reply::Accepted(id, FrameOutcome::Applied);
            }
            self.starting = Some(message);
            return Reply::Accepted(id, FrameOutcome::StartedTurn);
        };
        let outcome = match policy {
            InputPolicy::Reject => Err(Reason::TurnInProgress),
            InputPolicy::Interrupt | InputPolicy::Replace if !message.context => {
                turn.replaced = policy == InputPolicy::Replace;
                turn.interrupted = true;
                self.interrupting = Some(message.clone());
                Ok(FrameOutcome::Interrupted)
            }
            _ if !may_wait => Err(Reason::ConcurrencyLimited),
            InputPolicy::Steer if !message.context => {
                self.steering.push(message.clone());
                Ok(FrameOutcome::Steered)
            }
            _ => {
                self.queue.push_back(message.clone());
                Ok(FrameOutcome::Queued)
            }
        };
        match outcome {
            Ok(outcome) => Reply::Accepted(id, outcome),
            Err(reason) => {
                self.free(&message.ids);
                Reply::Rejected(id, reason)
            }
        }
    }

    /// A frame was refused that may have been a part of the message that is gathered.
    fn spoil(&mut self, stream: u64) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        if state.gathered > 0 || state.spoiled {
            let ids = state.drop_gathered(true);
            self.free(&ids);
        }
    }

    fn free(&mut self, ids: &[String]) {
        for id in ids {
            self.frame_ids.remove(id);
            self.frame_order.retain(|known| known != id);
        }
    }

    fn gone(&mut self, id: u64, cancel: bool) {
        if !self.streams.contains_key(&id) {
            return;
        }
        self.unfinished(id);
        let stream = self.streams.remove(&id);
        if !cancel || stream.is_some_and(|stream| stream.taken_over) {
            return;
        }
        let owner = match &self.phase {
            Phase::Running(turn) => turn.owner,
            Phase::Paused(_) | Phase::Idle => None,
        };
        if owner.is_some_and(|owner| owner == id || !self.streams.contains_key(&owner)) {
            self.going = Some(id);
        } else {
            let steering = std::mem::take(&mut self.steering);
            let (gone, rest) = steering.into_iter().partition(|m| m.stream == Some(id));
            self.steering = rest;
            self.refuse(gone, Reason::Cancelled);
            self.refuse_queue_of(id);
        }
    }

    fn refuse_queue_of(&mut self, id: u64) {
        let queue = std::mem::take(&mut self.queue);
        let (gone, rest): (Vec<_>, Vec<_>) = queue.into_iter().partition(|m| m.stream == Some(id));
        self.queue = rest.into();
        self.refuse(gone, Reason::Cancelled);
    }

    fn unfinished(&mut self, stream: u64) {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        if stream.gathered > 0 {
            let ids = stream.drop_gathered(false);
            let last = ids.last().cloned();
            self.free(&ids);
            self.rejections.push_back((last, Reason::FrameOutOfOrder));
        }
    }

    fn refuse_queue(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        self.refuse(queue.into(), Reason::ShuttingDown);
    }

    fn refuse(&mut self, messages: Vec<Words>, reason: Reason) {
        for message in messages {
            self.free(&message.ids);
            self.free(message.id.as_slice());
            self.rejections.push_back((message.id, reason));
        }
    }

    pub(crate) fn command(&mut self, command: &Command) {
        match command {
            Command::CallModel { step, request } => {
                assert_eq!(self.step, None, "two model calls are open");
                assert!(step.0 > self.newest_step, "a model call has an old name");
                assert_eq!(bedrock::request_fault(&request.messages), None);
                self.step = Some(step.0);
                self.newest_step = step.0;
                self.calls_made += 1;
                if let Some(budget) = self.limits.max_total_tokens {
                    let most = request.max_tokens.map_or(0, u64::from);
                    assert!(
                        most <= budget.get(),
                        "more tokens are reserved than there are"
                    );
                }
            }
            Command::AbortModel(step) | Command::FinishModel(step) => {
                assert_eq!(
                    self.step,
                    Some(step.0),
                    "a model call is closed that is not open"
                );
                self.step = None;
            }
            Command::Answer { call, answer } => {
                let (expected, pending) = self.call.take().expect("a call is answered twice");
                assert_eq!(call.0, expected);
                let Ok(started) = answer else {
                    assert!(!pending.must_start, "a turn was refused without need");
                    return;
                };
                assert!(!self.draining);
                assert_eq!(started.first_sequence, self.sequence + 1);
                match &mut self.phase {
                    Phase::Idle => {
                        self.starting = Some(Words {
                            tokens: pending.words,
                            ..Words::default()
                        });
                    }
                    Phase::Paused(turn) => {
                        assert_eq!(turn.id, *started.turn_id);
                        turn.owner = None;
                        turn.words.extend(pending.words);
                        for (call, tokens) in pending.results {
                            let open = turn.open.iter().position(|known| *known == call);
                            turn.open.remove(open.expect("a result without a call"));
                            turn.words.extend(tokens);
                            self.closed_calls.push(call);
                        }
                    }
                    Phase::Running(_) => panic!("a turn started while another runs"),
                }
            }
            Command::AnswerCancel { call, .. } => {
                assert_eq!(self.cancel.take(), Some(call.0));
            }
            Command::Forget(sequence) => assert_eq!(self.forget.take(), Some(*sequence)),
            Command::TakeOver(stream) => {
                assert_eq!(self.takeovers.pop_front(), Some(stream.0));
            }
            Command::Refuse {
                stream,
                frame_id,
                failure,
            } => {
                assert_eq!(failure.reason, Reason::InputTakenOver);
                let Some(Reply::Refused(expected, id)) = self.reply.take() else {
                    panic!("a frame is refused without need")
                };
                assert_eq!((stream.0, frame_id), (expected, &id));
            }
            Command::EndStream(stream) => {
                let state = self
                    .streams
                    .remove(&stream.0)
                    .expect("an unknown stream ends");
                assert!(state.closed, "a stream ends whose input is open");
                assert!(self.ended_streams.insert(stream.0), "a stream ends twice");
            }
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        self.sequence += 1;
        assert_eq!(event.sequence, self.sequence, "sequences have a gap");
        if let Payload::TurnStarted {
            frame_id,
            continued,
        } = &event.payload
        {
            let id = event.turn_id.as_deref().expect("a turn has an id");
            return self.turn_started(id, frame_id.as_ref(), *continued);
        }
        if let Some(id) = event.turn_id.as_deref() {
            match &self.phase {
                Phase::Running(turn) => assert_eq!(turn.id, id, "an event of another turn"),
                Phase::Paused(_) | Phase::Idle => panic!("{id} tells what no turn said: {event:?}"),
            }
        }
        match &event.payload {
            Payload::FrameAccepted(receipt) => self.accepted(receipt),
            Payload::FrameRejected { frame_id, failure } => {
                let rejected = (frame_id.clone(), failure.reason);
                match &self.reply {
                    Some(Reply::Rejected(id, reason))
                        if (id, reason) == (frame_id, &failure.reason) =>
                    {
                        self.reply = None;
                    }
                    Some(Reply::NotTaken(id))
                        if id == frame_id && failure.reason == Reason::CallNotPending =>
                    {
                        self.reply = None;
                    }
                    _ => assert_eq!(self.rejections.pop_front(), Some(rejected)),
                }
            }
            Payload::StepStarted { .. } => {
                self.steps_told += 1;
                let steering = if event.step_index > 0 {
                    std::mem::take(&mut self.steering)
                } else {
                    Vec::new()
                };
                let turn = self.turn_mut().unwrap();
                steering
                    .into_iter()
                    .for_each(|m| turn.words.extend(m.tokens));
                assert_eq!(turn.steps, event.step_index);
                assert!(
                    turn.open.is_empty(),
                    "a step starts before all calls are answered"
                );
                turn.steps += 1;
                turn.step = Some(Step::default());
                assert!(turn.steps <= self.limits.max_steps.get());
            }
            Payload::TextDelta(text) => {
                let turn = self.turn_mut().unwrap();
                turn.gave_output = true;
                turn.step.as_mut().unwrap().told.extend(words(text));
            }
            Payload::BlockStarted(_) => self.turn_mut().unwrap().gave_output = true,
            Payload::BlockCompleted(Block::Reasoning(reasoning)) => {
                self.reasoning.push(reasoning.clone());
            }
            Payload::StepCompleted(done) => {
                let turn = self.turn_mut().unwrap();
                let step = turn.step.take().expect("a step ends that did not start");
                assert!(step.stopped, "a step ends well without a stop");
                assert_eq!(done.usage.estimated, !step.counted);
                turn.end_step(step, true);
            }
            Payload::ToolCall(call) => self.tool_call(call),
            Payload::ToolCallsCancelled(ids) => {
                let turn = self.turn_mut().unwrap();
                for id in ids {
                    let open = turn.open.iter().position(|known| known == id);
                    turn.open
                        .remove(open.expect("a call is cancelled that is not open"));
                }
                self.closed_calls.extend(ids.iter().cloned());
            }
            Payload::Interrupted(_) => self.turn_mut().unwrap().interrupted = true,
            Payload::TurnEnded(result) => {
                assert_eq!(result.last_sequence, event.sequence);
                self.turn_ended(result);
            }
            _ => {}
        }
    }

    fn accepted(&mut self, receipt: &FrameAccepted) {
        let reply = self
            .reply
            .take()
            .expect("a frame is answered that was not sent");
        if receipt.duplicate {
            let Reply::Duplicate(id) = reply else {
                panic!("{receipt:?} instead of {reply:?}")
            };
            let first = FrameAccepted {
                duplicate: true,
                ..self.frame_ids[&id].0.clone()
            };
            assert_eq!(*receipt, first);
            return;
        }
        let (id, outcome) = match reply {
            Reply::Accepted(id, outcome) => (id, outcome),
            Reply::NotTaken(id) => (id, FrameOutcome::TooLate),
            Reply::Rejected(..) | Reply::Duplicate(_) | Reply::Refused(..) => {
                panic!("{receipt:?} instead of {reply:?}")
            }
        };
        assert_eq!(
            (Some(&receipt.frame_id), receipt.outcome),
            (id.as_ref(), outcome)
        );
        if outcome == FrameOutcome::Queued {
            assert_eq!(receipt.queue_position as usize + 1, self.queue.len());
        }
        if self.frame_order.len() == self.limits.max_frame_ids
            && let Some(oldest) = self.frame_order.pop_front()
        {
            self.frame_ids.remove(&oldest);
        }
        let id = receipt.frame_id.clone();
        self.frame_order.push_back(id.clone());
        self.frame_ids.insert(id, (receipt.clone(), self.digest));
    }

    fn turn_started(&mut self, id: &str, frame_id: Option<&String>, continued: bool) {
        if continued {
            let phase = std::mem::replace(&mut self.phase, Phase::Idle);
            let Phase::Paused(turn) = phase else {
                panic!("{id} goes on and was not paused")
            };
            assert_eq!(turn.id, id);
            self.phase = Phase::Running(turn);
            return;
        }
        assert!(
            matches!(self.phase, Phase::Idle),
            "{id} starts while another turn is there"
        );
        self.turns += 1;
        assert_eq!(id, format!("turn_s_{}", self.turns));
        let message = self.starting.take().unwrap_or_else(|| {
            loop {
                let message = self
                    .queue
                    .pop_front()
                    .expect("nothing waits to start a turn");
                if !message.context {
                    break message;
                }
                self.kept.extend(message.tokens);
            }
        });
        assert_eq!(frame_id, message.id.as_ref(), "another input's turn");
        self.phase = Phase::Running(Box::new(Turn {
            id: id.to_owned(),
            owner: message.stream,
            words: message.tokens,
            ..Turn::default()
        }));
    }

    fn tool_call(&mut self, call: &ToolCall) {
        let turn = self.turn_mut().unwrap();
        assert!(!turn.interrupted, "a tool call follows the end of its turn");
        turn.announced += 1;
        if call.executor == Executor::Provider {
            return;
        }
        assert!(
            turn.step.is_none(),
            "a call is handed out before its step is done"
        );
        let input: serde_json::Value = serde_json::from_str(&call.input_json).unwrap();
        assert!(input.is_object());
        let fits = match call.name.as_str() {
            "clock" => true,
            "weather" => input["city"].is_string(),
            _ => false,
        };
        assert!(fits, "{call:?} does not fit");
        turn.open.push(call.id.clone());
        turn.expires.insert(call.id.clone(), call.expires.unwrap());
    }

    fn turn_ended(&mut self, result: &taiwa_core::TurnResult) {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let Phase::Running(mut turn) = phase else {
            panic!("a turn ended twice")
        };
        if let Some(step) = turn.step.take() {
            let keeps = !turn.discards;
            turn.end_step(step, keeps);
        }
        let usage = &result.usage;
        assert_eq!(usage.model_calls, turn.steps);
        assert!(usage.tool_calls >= turn.announced);
        assert_eq!(
            usage.estimated, turn.estimated,
            "usage is not true: {result:?}"
        );
        if !turn.estimated {
            assert_eq!(usage.input_tokens, turn.finished_input_tokens);
        }
        if result.status == TurnStatus::Paused {
            let open: Vec<_> = result
                .pending_tool_calls
                .iter()
                .map(|c| c.id.clone())
                .collect();
            assert_eq!(open, turn.open);
            assert!(!self.streams.values().any(Stream::is_heard));
            self.must_pause = false;
            self.phase = Phase::Paused(turn);
            return;
        }
        assert_ne!(result.status, TurnStatus::Running);
        assert!(result.stop_reason.is_some());
        assert_eq!(turn.open, Vec::<String>::new(), "a call has no end");
        assert_eq!(
            turn.interrupted,
            result.status == TurnStatus::Interrupted
                || result.stop_reason == Some(StopReason::Cancelled) && turn.interrupted,
        );
        let failure = result.failure.as_ref().map(|failure| failure.reason);
        let was_stopped = failure == Some(Reason::ShuttingDown);
        if turn.lost {
            assert!(was_stopped);
        }
        if was_stopped {
            assert_eq!(result.stop_reason, Some(StopReason::Incomplete));
        }
        let keeps = match result.status {
            // With the process, or at the end of its grace.
            _ if was_stopped => true,
            TurnStatus::Interrupted => !turn.replaced,
            TurnStatus::Completed => turn.steps > 0,
            _ => turn.gave_output,
        };
        if keeps {
            self.kept.extend(turn.words);
            self.kept.extend(turn.told);
        }
        for message in std::mem::take(&mut self.steering).into_iter().rev() {
            self.queue.push_front(message);
        }
        if let Some(id) = self.going.take() {
            self.refuse_queue_of_or_drain(id);
        } else if self.draining {
            self.refuse_queue();
        }
        if let Some(message) = self.interrupting.take() {
            self.queue.push_front(message);
        }
    }

    fn refuse_queue_of_or_drain(&mut self, id: u64) {
        if self.draining {
            self.refuse_queue();
        } else {
            self.refuse_queue_of(id);
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
        self.going = None;
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
                let answered = if turn.open.is_empty() {
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
                let expires = turn.open.iter().map(|call| turn.expires[call]).min();
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

/// Makes what one stream asked for another's.
fn hand_over(owner: &mut Option<u64>, old: u64, new: u64) {
    if *owner == Some(old) {
        *owner = Some(new);
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

/// The words of a text that say who spoke: a letter and a number.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace()
        .filter(|word| word.starts_with(['u', 'm', 'r']) && word[1..].parse::<u64>().is_ok())
        .map(str::to_owned)
}

fn tokens(content: &[Block]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for block in content {
        match block {
            Block::Text(text) => found.extend(words(text)),
            Block::CitedText(cited) => cited
                .texts
                .iter()
                .for_each(|text| found.extend(words(text))),
            Block::ToolResult(result) => found.extend(result_tokens(&result.content)),
            _ => {}
        }
    }
    found
}

fn result_tokens(content: &[ToolResultBlock]) -> BTreeSet<String> {
    let texts = content.iter().filter_map(|block| match block {
        ToolResultBlock::Text(text) => Some(text),
        _ => None,
    });
    texts.flat_map(|text| words(text)).collect()
}

fn tokens_of(messages: &[Arc<Message>]) -> BTreeSet<String> {
    messages
        .iter()
        .flat_map(|message| tokens(&message.content))
        .collect()
}
