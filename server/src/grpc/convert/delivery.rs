//! How a stream of events is delivered.

use std::time::Duration;

use taiwa::v1 as pb;
use taiwa_core::{Block, Payload};

use super::{time, violations::Violations};

/// Silence after which a heartbeat is sent, where the caller names none.
///
/// Load balancers drop streams that are idle for 60 s, so that two may be late before one is lost:
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html>
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(20);

/// Heartbeats that a caller may ask for: the shorter would cost more than they tell, the longer
/// keep no connection open.
const HEARTBEATS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// How a stream of events is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// What becomes of the turn when the caller goes away; `None` means the call's default.
    pub on_disconnect: Option<DisconnectPolicy>,
    /// Silence after which a heartbeat is sent, 1 s to 1 h; `None` means never. Default 20 s.
    pub heartbeat: Option<Duration>,
    /// Leaves out reasoning.
    pub omit_reasoning: bool,
    /// Leaves out pieces of blocks.
    pub omit_deltas: bool,
    /// What becomes of the turn when this reader falls behind; `None` means the call's default.
    pub on_slow_reader: Option<SlowReaderPolicy>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            on_disconnect: None,
            heartbeat: Some(DEFAULT_HEARTBEAT),
            omit_reasoning: false,
            omit_deltas: false,
            on_slow_reader: None,
        }
    }
}

/// What becomes of a turn whose caller went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectPolicy {
    /// It is cancelled at once.
    Cancel,
    /// It runs on.
    Continue,
}

/// What becomes of a turn whose reader does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowReaderPolicy {
    /// The model is read only as fast as the reader reads.
    Wait,
    /// The turn runs on into the log.
    Detach,
}

/// What an event is to readers who leave some out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// Every reader gets it as it is.
    Plain,
    /// A piece of a block other than reasoning.
    Delta,
    /// A piece of reasoning.
    ReasoningDelta,
    /// A whole block of reasoning, or the beginning of one.
    ReasoningBlock,
    /// The end of a turn, whose messages may hold reasoning.
    TurnEnd,
    /// The first event of a turn.
    TurnBegin,
}

impl EventClass {
    /// Its number in the store.
    pub fn number(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Delta => 1,
            Self::ReasoningDelta => 2,
            Self::ReasoningBlock => 3,
            Self::TurnEnd => 4,
            Self::TurnBegin => 5,
        }
    }

    /// Finds it by its number; one that this version does not know is plain.
    pub fn from_number(number: u8) -> Self {
        let all = [
            Self::Delta,
            Self::ReasoningDelta,
            Self::ReasoningBlock,
            Self::TurnEnd,
            Self::TurnBegin,
        ];
        let found = all.into_iter().find(|class| class.number() == number);
        found.unwrap_or(Self::Plain)
    }

    /// Tells the class of what happened.
    pub fn of(payload: &Payload) -> Self {
        match payload {
            Payload::TextDelta(_)
            | Payload::ToolCallDelta { .. }
            | Payload::CitationDelta(_)
            | Payload::ImageDelta(_) => Self::Delta,
            Payload::ReasoningDelta(_) => Self::ReasoningDelta,
            Payload::BlockStarted(taiwa_core::event::BlockKind::Reasoning)
            | Payload::BlockCompleted(Block::Reasoning(_)) => Self::ReasoningBlock,
            Payload::TurnEnded(_) => Self::TurnEnd,
            Payload::TurnStarted {
                continued: false, ..
            } => Self::TurnBegin,
            Payload::FrameAccepted(_)
            | Payload::FrameRejected { .. }
            | Payload::TurnStarted { .. }
            | Payload::StepStarted { .. }
            | Payload::BlockStarted(_)
            | Payload::BlockCompleted(_)
            | Payload::StepCompleted(_)
            | Payload::ToolCall(_)
            | Payload::ToolCallUpdate(_)
            | Payload::ApprovalRequest(_)
            | Payload::ApprovalResolved(_)
            | Payload::ToolCallsCancelled(_)
            | Payload::Guardrail(_)
            | Payload::Interrupted(_)
            | Payload::Usage(_)
            | Payload::ContextReduced(_) => Self::Plain,
        }
    }
}

impl StreamOptions {
    /// Tells whether the reader gets events of this class at all.
    pub fn takes(&self, class: EventClass) -> bool {
        match class {
            EventClass::Plain | EventClass::TurnBegin | EventClass::TurnEnd => true,
            EventClass::Delta => !self.omit_deltas,
            EventClass::ReasoningDelta => !self.omit_deltas && !self.omit_reasoning,
            EventClass::ReasoningBlock => !self.omit_reasoning,
        }
    }
}

/// Reads the field `stream`.
pub(super) fn stream(
    wire: Option<pb::StreamOptions>,
    violations: &mut Violations,
) -> StreamOptions {
    let Some(wire) = wire else {
        return StreamOptions::default();
    };
    violations.within("stream", |violations| StreamOptions {
        on_disconnect: disconnect_policy(wire.on_disconnect, violations),
        heartbeat: heartbeat_of(wire.heartbeat_interval, violations),
        omit_reasoning: wire.omit_reasoning,
        omit_deltas: wire.omit_deltas,
        on_slow_reader: slow_reader_policy(wire.on_slow_reader, violations),
    })
}

/// Reads the field `heartbeat_interval`; unset means the default, zero never.
pub(super) fn heartbeat_of(
    wire: Option<prost_types::Duration>,
    violations: &mut Violations,
) -> Option<Duration> {
    match wire {
        None => Some(DEFAULT_HEARTBEAT),
        Some(wire) => heartbeat(wire, violations),
    }
}

fn heartbeat(wire: prost_types::Duration, violations: &mut Violations) -> Option<Duration> {
    violations.within("heartbeat_interval", |violations| {
        let interval = time::duration(wire, violations)?;
        let (shortest, longest) = HEARTBEATS;
        if !interval.is_zero() && !(shortest..=longest).contains(&interval) {
            violations.refuse(format!(
                "must be zero, or between 1 s and 1 h, not {interval:?}"
            ));
        }
        Some(interval).filter(|interval| !interval.is_zero())
    })
}

fn disconnect_policy(given: i32, violations: &mut Violations) -> Option<DisconnectPolicy> {
    match pb::DisconnectPolicy::try_from(given) {
        Ok(pb::DisconnectPolicy::Unspecified) => None,
        Ok(pb::DisconnectPolicy::Cancel) => Some(DisconnectPolicy::Cancel),
        Ok(pb::DisconnectPolicy::Continue) => Some(DisconnectPolicy::Continue),
        Err(_) => {
            violations.refuse_field(
                "on_disconnect",
                "must be DISCONNECT_POLICY_CANCEL or DISCONNECT_POLICY_CONTINUE",
            );
            None
        }
    }
}

fn slow_reader_policy(given: i32, violations: &mut Violations) -> Option<SlowReaderPolicy> {
    match pb::SlowReaderPolicy::try_from(given) {
        Ok(pb::SlowReaderPolicy::Unspecified) => None,
        Ok(pb::SlowReaderPolicy::Wait) => Some(SlowReaderPolicy::Wait),
        Ok(pb::SlowReaderPolicy::Detach) => Some(SlowReaderPolicy::Detach),
        Err(_) => {
            violations.refuse_field(
                "on_slow_reader",
                "must be SLOW_READER_POLICY_WAIT or SLOW_READER_POLICY_DETACH",
            );
            None
        }
    }
}
