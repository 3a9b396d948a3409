//! What a session gives out: events and commands in order, and ids.

use std::{collections::VecDeque, mem, sync::Arc, time::Instant};

use crate::{
    clock::Clock,
    command::Command,
    event::{Event, Payload},
    input::{RunId, StepId},
    message::Origin,
    saved::{CallChange, CallState, Saved},
    tool::ToolCall,
};

/// What goes out, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    events: VecDeque<Event>,
    commands: VecDeque<Command>,
    sequence: u64,
    turn_sequence: u64,
    calls: Vec<CallChange>,
    /// Something was told that is more than a piece of the model's output.
    has_news: bool,
}

impl Outbox {
    /// Numbers an event.
    pub(crate) fn tell(
        &mut self,
        turn_id: Option<&Arc<str>>,
        step_index: u32,
        block_index: u32,
        payload: Payload,
    ) {
        self.sequence += 1;
        self.has_news |= !is_output(&payload);
        if turn_id.is_some() {
            self.turn_sequence = self.sequence;
        }
        self.events.push_back(Event {
            sequence: self.sequence,
            turn_id: turn_id.cloned(),
            step_index,
            block_index,
            payload,
        });
    }

    /// Goes on where an earlier process ended.
    pub(super) fn restore(sequence: u64, turn_sequence: u64) -> Self {
        Self {
            sequence,
            turn_sequence,
            ..Self::default()
        }
    }

    /// Notes that a tool call has come to another state.
    pub(crate) fn note_call(&mut self, turn_id: &Arc<str>, call: &ToolCall, state: CallState) {
        self.calls.push(CallChange {
            turn_id: Arc::clone(turn_id),
            call_id: call.id.clone(),
            name: call.name.clone(),
            state,
        });
    }

    pub(super) fn take_calls(&mut self) -> Vec<CallChange> {
        mem::take(&mut self.calls)
    }

    /// Tells once whether more was told than pieces of the model's output.
    pub(super) fn take_news(&mut self) -> bool {
        mem::take(&mut self.has_news)
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.sequence
    }

    /// Sequence number of the newest event of the newest turn.
    pub(super) fn last_turn_sequence(&self) -> u64 {
        self.turn_sequence
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }
}

/// True for a piece of the model's output or of a tool's progress, of which the log alone is kept
/// until the step ends.
fn is_output(payload: &Payload) -> bool {
    match payload {
        Payload::BlockStarted(_)
        | Payload::TextDelta(_)
        | Payload::ReasoningDelta(_)
        | Payload::ToolCallDelta { .. }
        | Payload::CitationDelta(_)
        | Payload::ImageDelta(_)
        | Payload::BlockCompleted(_) => true,
        Payload::ToolCallUpdate(update) => !update.progress.is_empty(),
        Payload::FrameAccepted(_)
        | Payload::FrameRejected { .. }
        | Payload::TurnStarted { .. }
        | Payload::StepStarted { .. }
        | Payload::StepCompleted(_)
        | Payload::ToolCall(_)
        | Payload::ApprovalRequest(_)
        | Payload::ApprovalResolved(_)
        | Payload::ToolCallsCancelled(_)
        | Payload::Guardrail(_)
        | Payload::Interrupted(_)
        | Payload::Usage(_)
        | Payload::ContextReduced(_)
        | Payload::TurnEnded(_) => false,
    }
}

/// Ids and times that the session gives.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: String,
    turns: u64,
    messages: u64,
    steps: u64,
    approvals: u64,
    runs: u64,
    clock: Clock,
}

impl Ids {
    pub(super) fn new(seed: String, clock: Clock) -> Self {
        Self {
            seed,
            turns: 0,
            messages: 0,
            steps: 0,
            approvals: 0,
            runs: 0,
            clock,
        }
    }

    /// Goes on where an earlier process ended.
    pub(super) fn restore(saved: &Saved, clock: Clock) -> Self {
        Self {
            seed: saved.seed.clone(),
            turns: saved.turns,
            messages: saved.messages,
            steps: saved.steps,
            approvals: saved.approvals,
            runs: saved.runs,
            clock,
        }
    }

    pub(super) fn save(&self, saved: &mut Saved) {
        saved.seed.clone_from(&self.seed);
        saved.turns = self.turns;
        saved.messages = self.messages;
        saved.steps = self.steps;
        saved.approvals = self.approvals;
        saved.runs = self.runs;
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn turn(&mut self) -> Arc<str> {
        let id = self.next_turn();
        self.turns += 1;
        id
    }

    /// The id that the next turn will have.
    pub(super) fn next_turn(&self) -> Arc<str> {
        self.nth_turn(self.turns + 1).into()
    }

    /// True for the id of a turn of this session, remembered or not.
    pub(super) fn knows_turn(&self, turn_id: &str) -> bool {
        turn_id
            .rsplit('_')
            .next()
            .and_then(|count| count.parse().ok())
            .is_some_and(|count| {
                (1..=self.turns).contains(&count) && self.nth_turn(count) == turn_id
            })
    }

    fn nth_turn(&self, count: u64) -> String {
        format!("turn_{}_{count}", self.seed)
    }

    pub(crate) fn step(&mut self) -> StepId {
        self.steps += 1;
        StepId(self.steps)
    }

    pub(crate) fn run(&mut self) -> RunId {
        self.runs += 1;
        RunId(self.runs)
    }

    pub(crate) fn approval(&mut self) -> String {
        self.approvals += 1;
        format!("approval_{}_{}", self.seed, self.approvals)
    }

    pub(crate) fn origin(&mut self, turn_id: &str, now: Instant) -> Origin {
        self.messages += 1;
        Origin {
            message_id: format!("msg_{}_{}", self.seed, self.messages),
            turn_id: turn_id.to_owned(),
            created: self.clock.system_at(now),
        }
    }
}
