//! What strangers send, through decoding and conversion into a session.
//!
//! The bytes are a script. Each line of it is one byte that says what happens,
//! and an argument: frames and requests as protobuf bytes, a model that says
//! anything in any order, time that passes. A witness watches what comes out.

#![no_main]

mod witness;

use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Failure, Input, Limits, ModelEvent, Reason, Session, StopReason, TurnOptions, Usage,
    agent::SystemOverride,
    input::{CallId, CancelCause, InputPolicy, StreamId},
    model::{BlockDelta, BlockStart, MessageStop, ModelMetadata},
    session::Setup,
};
use taiwa_server::grpc::convert::{
    event::Encoder,
    frame::{self, frame},
    request,
    time::Clock,
};

use self::witness::Witness;

fuzz_target!(|bytes: &[u8]| {
    let now = Instant::now();
    let mut script = Script { rest: bytes };
    let agent = Arc::new(agent());
    let setup = pb::SessionSetup::decode(script.bytes()).unwrap_or_default();
    let Ok(setup) = frame::setup(setup, &agent) else {
        return;
    };
    let clock = Clock {
        instant: now,
        system: SystemTime::UNIX_EPOCH,
    };
    let mut play = Play {
        session: Session::new(Setup {
            id: "session".to_owned(),
            seed: "seed".to_owned(),
            agent: Arc::clone(&agent),
            options: setup.options,
            messages: setup.messages,
        }),
        witness: Witness::new(Encoder::new("session".into(), "agent".into(), clock)),
        policy: setup.input_policy,
        calls: 0,
        agent,
        now,
    };
    play.take(Input::StreamOpened(StreamId(0)));
    while let Some(line) = script.byte() {
        if let Some(input) = play.input(line, &mut script) {
            play.take(input);
        }
    }
    play.take(Input::Kill);
    assert!(play.session.is_idle(), "a kill leaves nothing running");
});

/// Small limits, so that short scripts reach them.
fn agent() -> Agent {
    Agent {
        id: "agent".to_owned(),
        display_name: String::new(),
        description: String::new(),
        version: String::new(),
        labels: Default::default(),
        options: TurnOptions {
            model_id: Some("model".to_owned()),
            ..Default::default()
        },
        limits: Limits {
            max_steps: const { NonZeroU32::new(4).unwrap() },
            max_total_tokens: NonZeroU64::new(10_000),
            max_queued_inputs: 2,
            max_input_bytes: 256,
            max_tool_result_bytes: 128,
            max_output_bytes: 512,
            max_history_bytes: 2048,
            max_frame_ids: 4,
            max_kept_turns: 2,
            ..Default::default()
        },
        model_override: true,
        system_override: SystemOverride::Replace,
    }
}

struct Play {
    session: Session,
    witness: Witness,
    policy: InputPolicy,
    calls: u64,
    agent: Arc<Agent>,
    now: Instant,
}

impl Play {
    fn take(&mut self, input: Input) {
        self.session.handle(input, self.now);
        while let Some(command) = self.session.poll_command() {
            self.witness.see_command(&command);
        }
        while let Some(event) = self.session.poll_event() {
            self.witness.see_event(event);
        }
    }

    /// Reads one line; `None` where its bytes do not decode or it has no meaning here.
    fn input(&mut self, line: u8, script: &mut Script<'_>) -> Option<Input> {
        let step = self.witness.step();
        Some(match line % 16 {
            0..=3 => {
                let wire = pb::ConverseRequest::decode(script.bytes()).ok()?;
                Input::Frame {
                    stream: StreamId(0),
                    frame: Box::new(frame(wire, &self.agent, self.policy)),
                }
            }
            4 => {
                let wire = pb::InvokeRequest::decode(script.bytes()).ok()?;
                let invocation = request::invoke(wire, &self.agent).ok()?;
                self.calls += 1;
                Input::Start {
                    call: CallId(self.calls),
                    request: Box::new(invocation.turn),
                }
            }
            5..=8 => Input::Model {
                step: step?,
                event: model_event(line / 16, script)?,
            },
            9 => Input::Model {
                step: step?,
                event: ModelEvent::MessageStop(MessageStop {
                    reason: stop_reason(line / 16),
                    detail: String::new(),
                    additional_fields_json: String::new(),
                }),
            },
            10 => Input::ModelEnded(self.witness.end_step()?),
            11 => Input::ModelFailed {
                step: self.witness.end_step()?,
                failure: Failure::new(Reason::ModelStreamError, "the stream broke"),
            },
            12 => {
                self.now += Duration::from_secs(u64::from(script.byte()?));
                Input::Tick
            }
            13 => Input::Cancel {
                call: None,
                turn_id: None,
                cause: CancelCause::Requested,
            },
            14 => match line / 16 % 3 {
                0 => Input::InputClosed(StreamId(0)),
                1 => Input::StreamOpened(StreamId(0)),
                _ => Input::StreamGone {
                    stream: StreamId(0),
                    cancel: line >= 128,
                },
            },
            _ => match line / 16 % 4 {
                0 => Input::ModelHeld(line >= 128),
                1 => Input::Shutdown,
                2 => Input::Fault,
                _ => Input::ModelOpened {
                    step: step?,
                    retries: u32::from(line),
                },
            },
        })
    }
}

fn model_event(kind: u8, script: &mut Script<'_>) -> Option<ModelEvent> {
    let index = u32::from(script.byte()? % 4);
    let delta = |delta| ModelEvent::BlockDelta { index, delta };
    Some(match kind {
        0..=3 => delta(BlockDelta::Text(script.text())),
        4 => delta(BlockDelta::ToolInput(script.text())),
        5 => delta(BlockDelta::ReasoningText(script.text())),
        6 => delta(BlockDelta::ReasoningSignature(script.text())),
        7 => delta(BlockDelta::ReasoningRedacted(
            script.bytes().to_vec().into(),
        )),
        8..=10 => ModelEvent::BlockStart {
            index,
            start: BlockStart::ToolCall {
                id: script.text(),
                name: script.text(),
                provider_run: kind == 10,
            },
        },
        11 => ModelEvent::BlockStart {
            index,
            start: BlockStart::ToolResult {
                call_id: script.text(),
                kind: String::new(),
                is_error: false,
            },
        },
        12 => ModelEvent::Metadata(Box::new(ModelMetadata {
            usage: Usage {
                input_tokens: 3000,
                output_tokens: 5,
                total_tokens: 3005,
                ..Default::default()
            },
            ..Default::default()
        })),
        13 => ModelEvent::MessageStart,
        _ => ModelEvent::BlockStop { index },
    })
}

fn stop_reason(kind: u8) -> StopReason {
    match kind {
        0..=3 => StopReason::EndTurn,
        4..=7 => StopReason::ToolUse,
        8 => StopReason::MaxTokens,
        9 => StopReason::MalformedToolUse,
        10 => StopReason::GuardrailIntervened,
        _ => StopReason::Unknown,
    }
}

struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// As many bytes as the next two say, the low one first, or all that are left.
    fn bytes(&mut self) -> &'a [u8] {
        let low = usize::from(self.byte().unwrap_or(0));
        let length = low | usize::from(self.byte().unwrap_or(0)) << 8;
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}
