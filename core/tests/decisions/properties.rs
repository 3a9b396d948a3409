//! Arbitrary lives of a session, held against the reference.

use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::{collection::vec, option, prelude::*};
use taiwa_core::{
    Block, Failure, Input, Limits, Message, ModelEvent, Reason, Role, Session, StopReason,
    ToolResult, TurnOptions, Usage,
    input::{
        CallId, CancelCause, Frame, FrameBody, InputPolicy, StepId, StreamId, TurnRequest,
        UserInput,
    },
    message::Citation,
    model::{BlockDelta, BlockStart, MessageStop, ModelMetadata, ToolResultDelta},
    session::Setup,
    tool::ToolResultBlock,
};

use crate::{
    reference::Reference,
    script::{agent, start_of_time},
};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_life_of_a_session_keeps_the_invariants(
        bounds in bounds(),
        life in vec(act(), 1..60),
    ) {
        Life::new(bounds).live(life);
    }
}

/// Something that happens; ids and times are filled in by the state that it meets.
#[derive(Clone, Debug)]
enum Act {
    Start {
        words: Option<usize>,
        answers: u8,
        deadline: Option<u64>,
        brings: bool,
    },
    Open(u64),
    HalfClose(u64),
    Gone {
        stream: u64,
        cancel: bool,
    },
    Input {
        stream: u64,
        id: Option<u8>,
        policy: Option<InputPolicy>,
        context: bool,
        more: bool,
        padding: usize,
    },
    Answer {
        stream: u64,
        id: Option<u8>,
        call: Which,
        padding: usize,
    },
    Interrupt {
        stream: u64,
        id: Option<u8>,
        turn: Which,
        discard: bool,
    },
    Other {
        stream: u64,
        id: Option<u8>,
        body: FrameBody,
    },
    Opened,
    Whole {
        text: bool,
        calls: Vec<Call>,
        stop: StopReason,
        counts: bool,
    },
    Say {
        piece: Piece,
        stale: bool,
    },
    ModelEnded {
        stale: bool,
    },
    ModelFailed {
        stale: bool,
    },
    Held(bool),
    Cancel {
        turn: Which,
        told: bool,
    },
    Shutdown,
    Kill,
    Fault,
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Current,
    Earlier,
    Unknown,
}

#[derive(Clone, Debug)]
struct Call {
    name: &'static str,
    input: &'static str,
}

/// One event of a model's stream, in order or not.
#[derive(Clone, Debug)]
enum Piece {
    MessageStart,
    Text {
        index: u32,
        padding: usize,
    },
    Blank(u32),
    Thought(u32),
    Signature(u32),
    Cite(u32),
    CallStart {
        index: u32,
        id: u8,
        name: &'static str,
        provider_run: bool,
    },
    CallInput {
        index: u32,
        input: &'static str,
    },
    ResultStart {
        index: u32,
        id: u8,
    },
    ResultText(u32),
    BlockStop(u32),
    Stop(StopReason),
    Counts,
}

fn bounds() -> impl Strategy<Value = Limits> {
    (
        1..5_u32,
        option::of(prop_oneof![40..400_u64, 2_000..4_000_u64]),
        0..4_usize,
        prop_oneof![Just(3_000_usize), Just(600)],
        1..4_usize,
    )
        .prop_map(|(steps, tokens, queue, history, kept)| Limits {
            max_steps: NonZeroU32::new(steps).unwrap(),
            turn_timeout: Duration::from_secs(40),
            max_total_tokens: tokens.and_then(NonZeroU64::new),
            first_event_timeout: Duration::from_secs(10),
            model_idle_timeout: Duration::from_secs(6),
            client_tool_timeout: Duration::from_secs(20),
            max_queued_inputs: queue,
            max_input_bytes: 250,
            max_tool_result_bytes: 150,
            max_output_bytes: 400,
            max_history_bytes: history,
            max_frame_ids: 1_024,
            max_kept_turns: kept,
        })
}

fn act() -> impl Strategy<Value = Act> {
    let stream = || 1..4_u64;
    let id = || option::weighted(0.7, 0..24_u8);
    let padding = || prop_oneof![6 => Just(0_usize), 1 => 0..300_usize];
    let frames = prop_oneof![
        8 => (stream(), id(), policy(), prop::bool::weighted(0.15), prop::bool::weighted(0.15), padding())
            .prop_map(|(stream, id, policy, context, more, padding)| Act::Input { stream, id, policy, context, more, padding }),
        7 => (stream(), id(), answered(), padding())
            .prop_map(|(stream, id, call, padding)| Act::Answer { stream, id, call, padding }),
        2 => (stream(), id(), which(), any::<bool>())
            .prop_map(|(stream, id, turn, discard)| Act::Interrupt { stream, id, turn, discard }),
        1 => (stream(), id(), other()).prop_map(|(stream, id, body)| Act::Other { stream, id, body }),
    ];
    let calls = prop_oneof![
        4 => (option::of(padding()), 0..4_u8, option::weighted(0.2, 1..15_u64), prop::bool::weighted(0.2))
            .prop_map(|(words, answers, deadline, brings)| Act::Start { words, answers, deadline, brings }),
        1 => (which(), any::<bool>()).prop_map(|(turn, told)| Act::Cancel { turn, told }),
    ];
    let stale = || prop::bool::weighted(0.1);
    let model = prop_oneof![
        6 => (any::<bool>(), vec(call(), 0..4), reason(), prop::bool::weighted(0.9))
            .prop_map(|(text, calls, stop, counts)| Act::Whole { text, calls, stop, counts }),
        8 => (piece(), stale()).prop_map(|(piece, stale)| Act::Say { piece, stale }),
        1 => Just(Act::Opened),
        1 => stale().prop_map(|stale| Act::ModelEnded { stale }),
        1 => stale().prop_map(|stale| Act::ModelFailed { stale }),
    ];
    let rest = prop_oneof![
        6 => stream().prop_map(Act::Open),
        2 => stream().prop_map(Act::HalfClose),
        2 => (stream(), any::<bool>()).prop_map(|(stream, cancel)| Act::Gone { stream, cancel }),
        2 => any::<bool>().prop_map(Act::Held),
        4 => prop_oneof![0..3_u64, 0..30_u64].prop_map(Act::Pass),
    ];
    let ends = prop_oneof![Just(Act::Shutdown), Just(Act::Kill), Just(Act::Fault),];
    prop_oneof![12 => frames, 5 => calls, 16 => model, 6 => rest, 1 => ends]
}

fn policy() -> impl Strategy<Value = Option<InputPolicy>> {
    prop_oneof![
        Just(None),
        Just(Some(InputPolicy::Queue)),
        Just(Some(InputPolicy::Interrupt)),
        Just(Some(InputPolicy::Reject)),
        Just(Some(InputPolicy::Steer)),
        Just(Some(InputPolicy::Replace)),
    ]
}

fn other() -> impl Strategy<Value = FrameBody> {
    prop_oneof![
        Just(FrameBody::Setup),
        Just(FrameBody::Invalid(Failure::invalid("frame", "is not one"))),
        (1..4_u32).prop_map(|steps| FrameBody::Update {
            options: Box::new(TurnOptions {
                max_steps: NonZeroU32::new(steps),
                ..TurnOptions::default()
            }),
            replace_client_tools: false,
        }),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![8 => Just(Which::Current), 1 => Just(Which::Earlier), 1 => Just(Which::Unknown)]
}

/// The call that a result is for; those that have a result are worth a try.
fn answered() -> impl Strategy<Value = Which> {
    prop_oneof![6 => Just(Which::Current), 3 => Just(Which::Earlier), 1 => Just(Which::Unknown)]
}

fn call() -> impl Strategy<Value = Call> {
    (name(), input()).prop_map(|(name, input)| Call { name, input })
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("clock"), 2 => Just("weather"), 1 => Just("nonsense")]
}

fn input() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => Just("{}"),
        2 => Just(r#"{"city":"Oslo"}"#),
        1 => Just(r#"{"city":7}"#),
        1 => Just(r#"{"city":"#),
        1 => Just("[1]"),
        1 => Just(""),
    ]
}

fn reason() -> impl Strategy<Value = StopReason> {
    prop_oneof![
        3 => Just(StopReason::EndTurn),
        3 => Just(StopReason::ToolUse),
        1 => Just(StopReason::MaxTokens),
        1 => Just(StopReason::ContentFiltered),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let index = || prop_oneof![6 => Just(0_u32), 3 => Just(1), 1 => 2..4_u32];
    let padding = || prop_oneof![6 => Just(0_usize), 1 => 0..300_usize];
    let any_name = || prop_oneof![6 => name(), 1 => Just("bad name")];
    prop_oneof![
        1 => Just(Piece::MessageStart),
        8 => (index(), padding()).prop_map(|(index, padding)| Piece::Text { index, padding }),
        1 => index().prop_map(Piece::Blank),
        1 => index().prop_map(Piece::Thought),
        1 => index().prop_map(Piece::Signature),
        1 => index().prop_map(Piece::Cite),
        3 => (index(), 0..3_u8, any_name(), prop::bool::weighted(0.2)).prop_map(
            |(index, id, name, provider_run)| Piece::CallStart { index, id, name, provider_run }
        ),
        2 => (index(), input()).prop_map(|(index, input)| Piece::CallInput { index, input }),
        1 => (index(), 0..3_u8).prop_map(|(index, id)| Piece::ResultStart { index, id }),
        1 => index().prop_map(Piece::ResultText),
        4 => index().prop_map(Piece::BlockStop),
        2 => reason().prop_map(Piece::Stop),
        2 => Just(Piece::Counts),
    ]
}

/// A session, its reference, and what fills the gaps in acts.
struct Life {
    session: Session,
    reference: Reference,
    now: Instant,
    calls: u64,
    tokens: u64,
}

impl Life {
    fn new(limits: Limits) -> Self {
        let mut agent = agent();
        agent.limits = limits.clone();
        let session = Session::new(Setup {
            id: "session".to_owned(),
            seed: "s".to_owned(),
            agent: Arc::new(agent),
            options: TurnOptions::default(),
            messages: Vec::new(),
        });
        Self {
            session,
            reference: Reference::new(limits),
            now: start_of_time(),
            calls: 0,
            tokens: 0,
        }
    }

    fn live(&mut self, life: Vec<Act>) {
        self.act(Act::Open(1));
        for act in life {
            self.act(act);
        }
        // Left alone, every turn comes to its end.
        self.handle(Input::Shutdown);
        self.pass(Duration::from_secs(3_600));
        self.reference.is_over(&self.session);
    }

    fn act(&mut self, act: Act) {
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
                if self.reference.hears(stream) {
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
            Act::Held(held) => self.handle(Input::ModelHeld(held)),
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
            Act::Pass(seconds) => self.pass(Duration::from_secs(seconds)),
        }
    }

    fn start(&mut self, words: Option<usize>, answers: u8, deadline: Option<u64>, brings: bool) {
        self.calls += 1;
        let content = words.map(|padding| Block::Text(self.words('u', padding)));
        let open = self.reference.open_calls();
        let results = open.into_iter().take(usize::from(answers));
        let tool_results = results.map(|call_id| self.result(call_id, 0)).collect();
        let messages = if brings {
            let user = Message::user(vec![Block::Text(self.words('u', 0))]);
            let assistant = Message {
                role: Role::Assistant,
                content: vec![Block::Text(self.words('u', 0))],
                origin: None,
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
                options: TurnOptions::default(),
                deadline: deadline.map(|seconds| self.now + Duration::from_secs(seconds)),
            }),
        });
    }

    fn frame(&mut self, stream: u64, id: Option<u8>, body: FrameBody) {
        if !self.reference.hears(stream) {
            return;
        }
        let id = id.map(|id| format!("f{id}"));
        self.handle(Input::Frame {
            stream: StreamId(stream),
            frame: Box::new(Frame { id, body }),
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

    fn event(&mut self, piece: Piece) -> ModelEvent {
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

    fn handle(&mut self, input: Input) {
        self.reference.input(&input);
        self.session.handle(input, self.now);
        while let Some(command) = self.session.poll_command() {
            self.reference.command(&command);
        }
        while let Some(event) = self.session.poll_event() {
            self.reference.event(&event);
        }
        self.reference.settled(&self.session);
    }
}
