//! What of a session is kept, and how it goes on from that.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use super::{
    Session, Setup, State,
    ended::Ended,
    inputs::UserMessage,
    outbox::{Ids, Outbox},
    receipts::Receipts,
    streams::Stream,
};
use crate::{
    history::{History, Repair},
    input::Input,
    message::Block,
    saved::{Changes, Kept, Saved},
    turn::Turn,
};

/// What has changed and was not yet told to the driver.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// Something of the state may have changed.
    pub(super) state: bool,
    /// The settings have changed.
    pub(super) options: bool,
}

impl Session {
    /// Goes on with a session that was kept, and tells what was wrong with its history.
    ///
    /// A turn in which the model spoke, or only the server's tools ran, ends as incomplete with
    /// what was told of it; one that waits for client tools or consent is paused; then what was
    /// queued begins. Of `setup` the seed, the
    /// settings and the messages do not count.
    pub fn restore(setup: Setup, kept: Kept, now: Instant) -> (Self, BTreeSet<Repair>) {
        let Kept {
            state,
            messages,
            receipts,
            ended: results,
            output,
            last_sequence,
        } = kept;
        let (history, repairs) = History::restore(messages, state.view, state.awaits_results());
        let limits = &setup.agent.limits;
        let mut ended = Ended::new(limits.max_kept_turns, limits.max_history_bytes);
        for result in results {
            ended.restore(result);
        }
        let mut session = Self {
            id: setup.id.into(),
            receipts: Receipts::restore(limits.max_frame_ids, receipts),
            ended,
            agent: setup.agent,
            history,
            state: State::Idle,
            queue: VecDeque::new(),
            streams: BTreeMap::new(),
            draining: false,
            held: false,
            tools: setup.tools,
            remembered: state.remembered.clone(),
            ids: Ids::restore(&state, setup.clock),
            out: Outbox::restore(last_sequence, state.turn_sequence),
            unsaved: Unsaved {
                state: !repairs.is_empty(),
                options: false,
            },
            options: state.options,
        };
        session.queue = state.queue.into_iter().map(UserMessage::restore).collect();
        for parts in &state.unfinished {
            session.refuse_parts(parts);
        }
        if let Some(saved) = state.turn {
            session.restore_turn(*saved, output, now);
        }
        session.start_next(now);
        (session, repairs)
    }

    fn restore_turn(&mut self, saved: crate::saved::Turn, output: Vec<Block>, now: Instant) {
        let session_id = std::sync::Arc::clone(&self.id);
        let (turn, flow) = Turn::restore(session_id, saved, output, &mut self.context(now));
        self.settle(Box::new(turn), flow, now);
    }

    /// Tells what has changed since it was last asked; `None` when nothing has.
    ///
    /// What the model says within a step changes nothing: the log alone has it until its end.
    pub fn changes(&mut self) -> Option<Changes> {
        let told = self.out.take_news();
        if !told && !self.unsaved.state {
            return None;
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        Some(Changes {
            options: unsaved.options.then(|| self.options.clone()),
            history: self.history.take_change(),
            receipts: self.receipts.take_changes(),
            ended: self.ended.take_new(),
            calls: self.out.take_calls(),
            state: self.save(),
        })
    }

    /// The oldest event that is needed to know what was said, should the process end here.
    pub fn needed_from(&self) -> Option<u64> {
        match &self.state {
            State::Active(turn) => turn.needed_from(),
            State::Idle => None,
        }
    }

    fn save(&self) -> Saved {
        let turn = match &self.state {
            State::Active(turn) => Some(Box::new(turn.save(self.ids.clock(), &self.history))),
            State::Idle => None,
        };
        let parts = self.streams.values().filter_map(Stream::parts);
        let mut saved = Saved {
            turn_sequence: self.out.last_turn_sequence(),
            options: self.options.clone(),
            turn,
            queue: self.queue.iter().map(UserMessage::save).collect(),
            unfinished: parts.map(<[String]>::to_vec).collect(),
            view: self.history.view(),
            remembered: self.remembered.clone(),
            ..Saved::default()
        };
        self.ids.save(&mut saved);
        saved
    }
}

/// False for what changes the state only where it is told: the course of a model call.
pub(super) fn changes_state(input: &Input) -> bool {
    match input {
        // A shutdown changes no more than what it tells of: inputs that it refuses.
        Input::ModelOpened { .. }
        | Input::ModelWaits(_)
        | Input::ModelAllowed { .. }
        | Input::Tools(_)
        | Input::ToolProgress { .. }
        | Input::Model { .. }
        | Input::ModelHeld(_)
        | Input::Tick
        | Input::Shutdown => false,
        Input::Start { .. }
        | Input::StreamOpened(_)
        | Input::Frame { .. }
        | Input::InputClosed(_)
        | Input::StreamGone { .. }
        | Input::ModelEnded(_)
        | Input::ModelRefused(_)
        | Input::ToolFinished { .. }
        | Input::ModelFailed { .. }
        | Input::Cancel { .. }
        | Input::Kill
        | Input::Fault => true,
    }
}
