//! What strangers send, through decoding and conversion into a session.
//!
//! The bytes are a script. Each line of it is one byte that says what happens,
//! and an argument: frames and requests as protobuf bytes, a model that says
//! anything in any order, time that passes, a process that ends. A witness watches
//! what comes out, and a store keeps it.

#![no_main]

mod store;
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
    Agent, Clock, Failure, Input, Limits, ModelEvent, Reason, Session, StopReason, TurnOptions, Usage,
    agent::SystemOverride,
    context::{Policy, Settings},
    input::{CallId, CancelCause, InputPolicy, StreamId},
    model::{BlockDelta, BlockStart, MessageStop, ModelMetadata},
    session::Setup,
    tool::{
        Approval, RunEnd, RunOutcome, Schema, ServerTool, ToolResultBlock, ToolSet, ToolSpec,
    },
};
use taiwa_server::grpc::convert::{
    event::Encoder,
    frame::{self, frame},
    request,
};

use self::{store::Store, witness::Witness};

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
        system: SystemTime::UNIX_EPOCH + YEAR,
    };
    let mut play = Play {
        session: Session::new(Setup {
            options: setup.options,
            messages: setup.messages,
            ..start(&agent, clock)
        }),
        witness: Witness::new(Encoder::new("session".into(), "agent".into())),
        store: Store::new(&agent.limits),
        policy: setup.input_policy,
        calls: 0,
        stream: 0,
        agent,
        clock,
        now,
    };
    play.take_outputs();
    play.take(Input::StreamOpened(StreamId(0)));
    while let Some(line) = script.byte() {
        if line == CRASH {
            play.crash();
        } else if let Some(input) = play.input(line, &mut script) {
            play.take(input);
        }
    }
    play.take(Input::Kill);
    assert!(play.session.is_idle(), "a kill leaves nothing running");
    play.witness.see_rest();
});

/// The line at which the process ends.
const CRASH: u8 = 0xfd;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn start(agent: &Arc<Agent>, clock: Clock) -> Setup {
    Setup {
        id: "session".to_owned(),
        seed: "seed".to_owned(),
        agent: Arc::clone(agent),
        tools: tools(true),
        options: TurnOptions::default(),
        messages: Vec::new(),
        clock,
    }
}

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
        context: Some(Settings {
            trigger_tokens: const { NonZeroU64::new(200).unwrap() },
            target_tokens: const { NonZeroU64::new(100).unwrap() },
            policy: Policy::Sliding,
        }),
        prices: Default::default(),
        reply_form: None,
        serves_tools: true,
        model_override: true,
        system_override: SystemOverride::Replace,
    }
}

struct Play {
    session: Session,
    witness: Witness,
    store: Store,
    policy: InputPolicy,
    calls: u64,
    /// The newest stream.
    stream: u64,
    agent: Arc<Agent>,
    clock: Clock,
    now: Instant,
}

impl Play {
    fn take(&mut self, input: Input) {
        self.session.handle(input, self.now);
        self.take_outputs();
    }

    /// Does what a driver does after an input.
    fn take_outputs(&mut self) {
        while let Some(command) = self.session.poll_command() {
            self.witness.see_command(&command);
        }
        let mut told = Vec::new();
        while let Some(event) = self.session.poll_event() {
            told.push(self.witness.see_event(event));
        }
        self.store.keep(told, &mut self.session);
    }

    /// The process ends after its last batch, and another goes on.
    fn crash(&mut self) {
        self.clock = Clock {
            instant: self.now,
            system: self.clock.system_at(self.now),
        };
        let kept = self.store.read(&self.agent.limits);
        let (session, repairs) = Session::restore(start(&self.agent, self.clock), kept, self.now);
        assert!(repairs.is_empty(), "a history was kept unsound: {repairs:?}");
        self.session = session;
        self.witness.see_crash();
        self.take_outputs();
        self.witness.see_restored();
        self.stream += 1;
        self.take(Input::StreamOpened(StreamId(self.stream)));
    }

    /// Reads one line; `None` where its bytes do not decode or it has no meaning here.
    fn input(&mut self, line: u8, script: &mut Script<'_>) -> Option<Input> {
        let step = self.witness.step();
        Some(match line % 16 {
            0..=3 => {
                let wire = pb::ConverseRequest::decode(script.bytes()).ok()?;
                // Some come on the stream before the newest, whose input was taken over.
                let back = u64::from(line >= 192);
                Input::Frame {
                    stream: StreamId(self.stream.saturating_sub(back)),
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
            5..=8 => {
                let event = model_event(line / 16, script)?;
                Input::Model {
                    step: self.witness.heed_step()?,
                    event,
                }
            }
            9 => Input::Model {
                step: self.witness.heed_step()?,
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
                0 => Input::InputClosed(StreamId(self.stream)),
                1 => {
                    self.stream += 1;
                    Input::StreamOpened(StreamId(self.stream))
                }
                _ => Input::StreamGone {
                    stream: StreamId(self.stream),
                    cancel: line >= 128,
                },
            },
            _ => match line / 16 {
                0 => Input::ModelHeld(false),
                8 => Input::ModelHeld(true),
                1 | 9 => Input::Shutdown,
                2 | 10 => Input::Fault,
                3 => Input::ModelOpened {
                    step: self.witness.heed_step()?,
                    retries: u32::from(line),
                },
                4 => Input::ToolProgress {
                    run: self.witness.run(script.byte()?)?,
                    text: script.text(),
                },
                5..=7 => {
                    let run = self.witness.run(script.byte()?)?;
                    self.witness.end_run(run);
                    Input::ToolFinished {
                        run,
                        outcome: Box::new(outcome(line, script)),
                    }
                }
                12 => Input::ModelAllowed {
                    step: step?,
                    max_tokens: None,
                    watched_tokens: Some(u64::from(script.byte()?)),
                },
                11 => Input::ModelWaits(step?),
                13 => Input::ModelRefused(self.witness.refuse_step()?),
                _ => Input::Tools(tools(line / 16 == 14)),
            },
        })
    }
}

/// The tools that the server runs: one that asks nobody, and one that asks for consent.
fn tools(both: bool) -> Arc<ToolSet> {
    let tool = |name: &str, approval| ServerTool {
        spec: Arc::new(ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            schema: Schema::parse(r#"{"type":"object"}"#).expect("a schema"),
            strict: false,
            timeout: None,
            approval: Some(approval),
        }),
        spends: both,
    };
    let tools = [tool("a", Approval::Never), tool("b", Approval::Always)];
    let count = if both { 2 } else { 1 };
    Arc::new(ToolSet::new(tools.into_iter().take(count)))
}

fn outcome(line: u8, script: &mut Script<'_>) -> RunOutcome {
    RunOutcome {
        content: vec![ToolResultBlock::Text(script.text())],
        end: match line / 16 {
            5 => RunEnd::Succeeded,
            6 => RunEnd::Failed,
            _ => RunEnd::Unknown,
        },
        usage: (line / 16 == 5).then(|| Usage {
            input_tokens: 100,
            total_tokens: 100,
            ..Default::default()
        }),
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
