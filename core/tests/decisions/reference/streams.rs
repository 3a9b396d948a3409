//! What becomes of input that waits when streams and processes go.

use taiwa_core::{Reason, TurnStatus};

use super::{Phase, Reference, Words};

impl Reference {
    /// What the stream that is heard had asked for is the new one's.
    pub(super) fn take_over(&mut self, new: u64) {
        let Some(old) = self.heard() else { return };
        self.unfinished(old);
        self.streams.get_mut(&old).unwrap().taken_over = true;
        self.takeovers.push_back(old);
        if let Some(turn) = self.turn_mut() {
            hand_over(&mut turn.owner, old, new);
        }
        let waiting = self.queue.iter_mut().chain(&mut self.steering);
        waiting.for_each(|message| hand_over(&mut message.stream, old, new));
    }

    pub(super) fn gone(&mut self, id: u64, cancel: bool) {
        if !self.streams.contains_key(&id) {
            return;
        }
        self.unfinished(id);
        let stream = self.streams.remove(&id);
        if !cancel || stream.is_some_and(|stream| stream.taken_over) {
            return;
        }
        let owner = match &self.phase {
            Phase::Running(turn) => turn.owner,
            Phase::Paused(_) | Phase::Idle => None,
        };
        if owner.is_some_and(|owner| owner == id || !self.streams.contains_key(&owner)) {
            self.going = Some(id);
            self.cut(TurnStatus::Cancelled);
        } else {
            let steering = std::mem::take(&mut self.steering);
            let (gone, rest) = steering.into_iter().partition(|m| m.stream == Some(id));
            self.steering = rest;
            self.refuse(gone, Reason::Cancelled);
            self.refuse_queue_of(id);
        }
    }

    pub(super) fn unfinished(&mut self, stream: u64) {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        if stream.gathered > 0 {
            let ids = stream.drop_gathered(false);
            let last = ids.last().cloned();
            self.free(&ids);
            self.rejections.push_back((last, Reason::FrameOutOfOrder));
        }
    }

    /// Foresees what the process that comes after a crash does; false when it has nothing to do.
    pub(crate) fn crash(&mut self) -> bool {
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        streams.into_iter().for_each(|id| self.unfinished(id));
        self.streams.clear();
        (self.draining, self.is_void) = (false, false);
        self.step = None;
        // The process that comes after gives the names again of what was not kept.
        self.closed_runs.clear();
        let waiting = self.queue.iter_mut().chain(&mut self.steering);
        waiting.for_each(|message| message.stream = None);
        if let Some(turn) = self.turn_mut() {
            turn.owner = None;
        }
        let has_send = self.has_send;
        if let Some(turn) = self.turn_mut() {
            turn.work.crash(has_send);
        }
        let Phase::Running(turn) = &mut self.phase else {
            return !self.rejections.is_empty();
        };
        match &mut turn.step {
            Some(step) => {
                turn.lost = true;
                // Counts that came were not told, so they are lost with the process.
                (step.counted, step.refused) = (false, false);
            }
            None => {
                if turn.open.is_empty() && !turn.work.asks() {
                    turn.lost = true;
                } else {
                    self.must_pause = true;
                }
            }
        }
        true
    }

    pub(super) fn refuse_queue_of_or_drain(&mut self, id: u64) {
        if self.draining {
            self.refuse_queue();
        } else {
            self.refuse_queue_of(id);
        }
    }

    pub(super) fn refuse_queue_of(&mut self, id: u64) {
        let queue = std::mem::take(&mut self.queue);
        let (gone, rest): (Vec<_>, Vec<_>) = queue.into_iter().partition(|m| m.stream == Some(id));
        self.queue = rest.into();
        self.refuse(gone, Reason::Cancelled);
    }

    pub(super) fn refuse_queue(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        self.refuse(queue.into(), Reason::ShuttingDown);
    }

    pub(super) fn refuse(&mut self, messages: Vec<Words>, reason: Reason) {
        for message in messages {
            self.free(&message.ids);
            self.free(message.id.as_slice());
            self.rejections.push_back((message.id, reason));
        }
    }
}

/// Makes what one stream asked for another's.
fn hand_over(owner: &mut Option<u64>, old: u64, new: u64) {
    if *owner == Some(old) {
        *owner = Some(new);
    }
}
