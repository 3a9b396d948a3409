//! What can happen in a life, and how likely.

use std::{
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    time::Duration,
};

use proptest::{collection::vec, option, prelude::*};
use taiwa_core::{
    Failure, Limits, StopReason, TurnOptions,
    context::{Policy, Settings},
    input::{FrameBody, InputPolicy},
    tool::RunEnd,
};

/// Names that arbitrary frames have.
pub(crate) const FRAMES: u8 = 16;

/// Something that happens; ids and times are filled in by the state that it meets.
#[derive(Clone, Debug)]
pub(crate) enum Act {
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
    /// An answer to a request for consent.
    Decide {
        stream: u64,
        id: Option<u8>,
        request: Which,
        how: How,
        remember: bool,
    },
    /// A tool that the server runs has ended: one that runs, or one that was given up.
    Finish {
        run: Which,
        end: RunEnd,
        padding: usize,
    },
    /// A tool that the server runs says something.
    Progress(Which),
    /// The server's tools are all there, or those that need no consent alone.
    Tools {
        all: bool,
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
    /// The newest frame of this id comes again, as it was.
    Repeat {
        stream: u64,
        id: u8,
    },
    /// A reader has the events up to `behind` before the newest.
    Ack {
        stream: u64,
        id: Option<u8>,
        behind: u64,
    },
    Shutdown,
    Kill,
    Fault,
    /// The process ends, and another goes on from all batches but the last `lost`.
    Crash {
        lost: usize,
        gap: u64,
    },
    Pass(u64),
}

/// How a request for consent is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Approve,
    Refuse,
    /// With an input that fits.
    Edit,
    /// With an input that does not fit.
    EditBadly,
    /// By the digest of another request.
    Mistake,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    Current,
    Earlier,
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) input: &'static str,
}

/// One event of a model's stream, in order or not.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
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

pub(crate) fn bounds() -> impl Strategy<Value = Limits> {
    (
        1..5_u32,
        option::of(prop_oneof![40..400_u64, 2_000..4_000_u64]),
        0..4_usize,
        prop_oneof![Just(3_000_usize), Just(600)],
        1..4_usize,
        prop_oneof![2 => Just(1_024_usize), 1 => 1..6_usize],
    )
        .prop_map(|(steps, tokens, queue, history, kept, frames)| Limits {
            max_steps: NonZeroU32::new(steps).unwrap(),
            turn_timeout: Duration::from_secs(40),
            max_total_tokens: tokens.and_then(NonZeroU64::new),
            first_event_timeout: Duration::from_secs(10),
            model_idle_timeout: Duration::from_secs(6),
            client_tool_timeout: Duration::from_secs(20),
            tool_timeout: Duration::from_secs(8),
            approval_timeout: Duration::from_secs(15),
            max_concurrent_tools: const { NonZeroUsize::new(2).expect("2 is not zero") },
            max_queued_inputs: queue,
            max_input_bytes: 250,
            max_tool_result_bytes: 150,
            max_output_bytes: 400,
            max_history_bytes: history,
            max_frame_ids: frames,
            max_kept_turns: kept,
            ..Limits::default()
        })
}

/// Settings that leave turns out now and then; most lives have none.
pub(crate) fn context() -> impl Strategy<Value = Option<Settings>> {
    let settings = (30..150_u64, 1..30_u64).prop_map(|(trigger, target)| Settings {
        trigger_tokens: NonZeroU64::new(trigger).unwrap(),
        target_tokens: NonZeroU64::new(target).unwrap(),
        policy: Policy::Sliding,
    });
    option::weighted(0.3, settings)
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    let stream = || 1..4_u64;
    let id = || option::weighted(0.7, 0..FRAMES);
    let padding = || prop_oneof![6 => Just(0_usize), 1 => 0..300_usize];
    let frames = prop_oneof![
        8 => (stream(), id(), policy(), prop::bool::weighted(0.15), prop::bool::weighted(0.15), padding())
            .prop_map(|(stream, id, policy, context, more, padding)| Act::Input { stream, id, policy, context, more, padding }),
        7 => (stream(), id(), answered(), padding())
            .prop_map(|(stream, id, call, padding)| Act::Answer { stream, id, call, padding }),
        6 => (stream(), id(), which(), how(), prop::bool::weighted(0.2)).prop_map(
            |(stream, id, request, how, remember)| Act::Decide { stream, id, request, how, remember }),
        2 => (stream(), id(), which(), any::<bool>())
            .prop_map(|(stream, id, turn, discard)| Act::Interrupt { stream, id, turn, discard }),
        1 => (stream(), id(), other()).prop_map(|(stream, id, body)| Act::Other { stream, id, body }),
        4 => (stream(), 0..FRAMES).prop_map(|(stream, id)| Act::Repeat { stream, id }),
        1 => (stream(), id(), 0..12_u64)
            .prop_map(|(stream, id, behind)| Act::Ack { stream, id, behind }),
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
    let tools = prop_oneof![
        10 => (which(), end(), padding())
            .prop_map(|(run, end, padding)| Act::Finish { run, end, padding }),
        3 => which().prop_map(Act::Progress),
        1 => any::<bool>().prop_map(|all| Act::Tools { all }),
    ];
    let rest = prop_oneof![
        6 => stream().prop_map(Act::Open),
        2 => stream().prop_map(Act::HalfClose),
        2 => (stream(), any::<bool>()).prop_map(|(stream, cancel)| Act::Gone { stream, cancel }),
        2 => any::<bool>().prop_map(Act::Held),
        4 => prop_oneof![0..3_u64, 0..30_u64].prop_map(Act::Pass),
    ];
    let crash = (
        prop_oneof![3 => Just(0_usize), 1 => 1..4_usize],
        prop_oneof![0..3_u64, 0..90_u64],
    )
        .prop_map(|(lost, gap)| Act::Crash { lost, gap });
    let ends = prop_oneof![
        1 => Just(Act::Shutdown),
        1 => Just(Act::Kill),
        1 => Just(Act::Fault),
        4 => crash,
    ];
    prop_oneof![24 => frames, 10 => calls, 32 => model, 10 => tools, 12 => rest, 3 => ends]
}

pub(crate) fn policy() -> impl Strategy<Value = Option<InputPolicy>> {
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

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        6 => Just(How::Approve),
        3 => Just(How::Refuse),
        1 => Just(How::Edit),
        1 => Just(How::EditBadly),
        1 => Just(How::Mistake),
    ]
}

fn end() -> impl Strategy<Value = RunEnd> {
    prop_oneof![
        4 => Just(RunEnd::Succeeded),
        1 => Just(RunEnd::Failed),
        1 => Just(RunEnd::Unknown),
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
    prop_oneof![
        4 => Just("clock"),
        2 => Just("weather"),
        1 => Just("nonsense"),
        4 => Just("look"),
        3 => Just("send"),
    ]
}

fn input() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => Just("{}"),
        2 => Just(r#"{"city":"Oslo"}"#),
        2 => Just(r#"{"to":"Ida"}"#),
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
