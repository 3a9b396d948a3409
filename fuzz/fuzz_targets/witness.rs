//! Watches what a session says, and panics where it breaks its word.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use prost::Message as _;
use taiwa::v1 as pb;
use taiwa_core::{
    Command, Event, Message, ModelRequest, Payload, Role, TurnStatus,
    input::{RunId, StepId},
    message::Block,
};
use taiwa_server::grpc::convert::event::Encoder;

pub struct Witness {
    encoder: Encoder,
    sequence: u64,
    turn: Option<Turn>,
    ended: BTreeSet<Arc<str>>,
    step: Option<StepId>,
    /// The provider has that call.
    heard: bool,
    /// Calls that were made and not settled: the open one, and those that others pay for.
    unsettled: BTreeSet<StepId>,
    runs: BTreeSet<RunId>,
}

struct Turn {
    id: Arc<str>,
    paused: bool,
}

impl Witness {
    pub fn new(encoder: Encoder) -> Self {
        Self {
            encoder,
            sequence: 0,
            turn: None,
            ended: BTreeSet::new(),
            step: None,
            heard: false,
            unsettled: BTreeSet::new(),
            runs: BTreeSet::new(),
        }
    }

    /// The model call that is open.
    pub fn step(&self) -> Option<StepId> {
        self.step
    }

    /// Notes that something of the open model call is told.
    pub fn heed_step(&mut self) -> Option<StepId> {
        self.heard = true;
        self.step
    }

    /// Notes that a shared budget refuses the open model call, which was not made then, or has to
    /// be closed.
    pub fn refuse_step(&mut self) -> Option<StepId> {
        if self.heard {
            self.step
        } else {
            self.step.take()
        }
    }

    /// Notes that the open model call ends by itself.
    pub fn end_step(&mut self) -> Option<StepId> {
        self.step.take()
    }

    /// One of the tools that run, chosen by a number.
    pub fn run(&self, number: u8) -> Option<RunId> {
        let number = usize::from(number).checked_rem(self.runs.len())?;
        self.runs.iter().nth(number).copied()
    }

    /// Notes that a tool ends by itself.
    pub fn end_run(&mut self, run: RunId) {
        self.runs.remove(&run);
    }

    pub fn see_command(&mut self, command: &Command) {
        match command {
            Command::CallModel { step, request } => {
                assert_eq!(self.step, None, "one model call at a time");
                assert_sendable(request);
                self.step = Some(*step);
                self.heard = false;
                self.unsettled.insert(*step);
            }
            Command::AbortModel(step) | Command::FinishModel(step) => {
                assert_eq!(self.step, Some(*step), "the open call is closed");
                self.step = None;
            }
            Command::Extend(step) => {
                assert_eq!(self.step, Some(*step), "the open call asks for more");
            }
            Command::Settle { step, .. } => {
                assert!(self.unsettled.remove(step), "a call is paid for once");
            }
            Command::RunTool(run) => {
                assert!(self.runs.insert(run.run), "a run has a number of its own");
            }
            Command::CancelTool(run) => {
                assert!(self.runs.remove(run), "a tool that runs is stopped");
            }
            Command::Answer { .. }
            | Command::AnswerCancel { .. }
            | Command::Forget(_)
            | Command::TakeOver(_)
            | Command::Refuse { .. }
            | Command::EndStream(_) => {}
        }
    }

    /// The process ends, and the model call with it.
    pub fn see_crash(&mut self) {
        self.step = None;
        self.unsettled.clear();
        self.runs.clear();
    }

    /// Nothing goes on for a session that is at rest.
    pub fn see_rest(&self) {
        assert_eq!(self.step, None, "no model call is left open");
        assert!(self.unsettled.is_empty(), "each model call is paid for");
        assert!(self.runs.is_empty(), "no tool is left running");
    }

    /// After a restart nobody can answer: what does not call the model is paused or over.
    pub fn see_restored(&self) {
        let waits = self.turn.as_ref().is_some_and(|turn| !turn.paused);
        assert!(!waits || self.step.is_some(), "a turn waits for nobody");
    }

    /// Gives the event as it is kept.
    pub fn see_event(&mut self, event: Event) -> pb::Event {
        self.sequence += 1;
        assert_eq!(event.sequence, self.sequence, "no gap and no repeat");
        if let Some(id) = &event.turn_id {
            assert!(!self.ended.contains(id), "a turn's end is its last event");
        }
        match &event.payload {
            Payload::TurnStarted { continued, .. } => {
                let paused = self.turn.take().map(|turn| turn.paused);
                let expected = if *continued { Some(true) } else { None };
                assert_eq!(paused, expected, "one turn at a time");
                let id = event.turn_id.clone().expect("a turn has an id");
                self.turn = Some(Turn { id, paused: false });
            }
            Payload::TurnEnded(result) => {
                let turn = self.turn.take().expect("a turn that ends has started");
                assert_eq!(Some(&turn.id), event.turn_id.as_ref());
                assert_eq!(turn.id, result.turn_id);
                assert_ne!(result.status, TurnStatus::Running, "it ended");
                if result.status == TurnStatus::Paused {
                    assert!(
                        !result.pending_tool_calls.is_empty()
                            || !result.pending_approvals.is_empty(),
                        "it waits for something"
                    );
                    self.turn = Some(Turn {
                        paused: true,
                        ..turn
                    });
                } else {
                    self.ended.insert(turn.id);
                }
            }
            _ => {}
        }
        let bytes = self.encoder.encode(event, SystemTime::UNIX_EPOCH);
        let wire = pb::Event::decode(bytes).expect("an event that clients can decode");
        assert_eq!(wire.sequence.unsigned_abs(), self.sequence);
        wire
    }
}

/// What Bedrock demands of a conversation.
fn assert_sendable(request: &ModelRequest) {
    let messages: Vec<_> = request
        .messages
        .iter()
        .filter(|message| message.role != Role::System)
        .collect();
    let Some(first) = messages.first() else {
        panic!("a conversation has a message");
    };
    assert_eq!(
        first.role,
        Role::User,
        "a conversation starts with the user"
    );
    let last = messages.last().map(|message| message.role);
    assert_eq!(last, Some(Role::User), "and the model answers the user");
    for pair in messages.windows(2) {
        assert_ne!(pair[0].role, pair[1].role, "roles alternate");
        let asked: BTreeSet<_> = pair[0].open_calls().map(|call| &call.id).collect();
        assert_eq!(asked, results(pair[1]), "each tool call has its result");
    }
    for message in &request.messages {
        assert!(!message.content.is_empty(), "a message holds something");
    }
}

fn results(message: &Message) -> BTreeSet<&String> {
    let is_users = message.role == Role::User;
    let results = message.content.iter().filter_map(|block| match block {
        Block::ToolResult(result) if is_users => Some(&result.call_id),
        _ => None,
    });
    results.collect()
}
