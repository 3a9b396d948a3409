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
    events: VecDeque<Event>,
    commands: VecDeque<Command>,
    sequence: u64,
    turn_sequence: u64,
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

/// Ids that the session gives.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: String,
    turns: u64,
    messages: u64,
    steps: u64,
}

impl Ids {
    pub(super) fn new(seed: String) -> Self {
        Self {
            seed,
            turns: 0,
            messages: 0,
            steps: 0,
        }
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

    pub(crate) fn origin(&mut self, turn_id: &str, now: Instant) -> Origin {
        self.messages += 1;
        Origin {
            message_id: format!("msg_{}_{}", self.seed, self.messages),
            turn_id: turn_id.to_owned(),
            created: now,
        }
    }
}
