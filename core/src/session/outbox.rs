//! What a session gives out: events and commands in order, and ids.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use crate::{
    command::Command,
    event::{Event, Payload},
    input::StepId,
    message::Origin,
};

/// What goes out, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(super) events: VecDeque<Event>,
    pub(super) commands: VecDeque<Command>,
    pub(super) sequence: u64,
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
        self.events.push_back(Event {
            sequence: self.sequence,
            turn_id: turn_id.cloned(),
            step_index,
            block_index,
            payload,
        });
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.sequence
    }
}

/// Ids that the session gives.
#[derive(Debug)]
pub(crate) struct Ids {
    pub(super) seed: String,
    pub(super) turns: u64,
    pub(super) messages: u64,
    pub(super) steps: u64,
}

impl Ids {
    pub(super) fn turn(&mut self) -> Arc<str> {
        let id = self.next_turn();
        self.turns += 1;
        id
    }

    /// The id that the next turn will have.
    pub(super) fn next_turn(&self) -> Arc<str> {
        format!("turn_{}_{}", self.seed, self.turns + 1).into()
    }

    pub(crate) fn step(&mut self) -> StepId {
        self.steps += 1;
        StepId(self.steps)
    }

    pub(crate) fn origin(&mut self, turn_id: &str, now: Instant) -> Origin {
        self.messages += 1;
        Origin {
            message_id: format!("msg_{}_{}", self.seed, self.messages),
            turn_id: turn_id.to_owned(),
            created: now,
        }
    }
}
