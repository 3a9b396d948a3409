//! What of a session goes to the store: one batch for all that came of an input.

use std::{mem, sync::Arc, time::SystemTime};

use taiwa_core::{
    TurnResult,
    saved::{self, CallChange, Changes, ReceiptChange},
};
use tokio::time::Instant;

use super::Task;
use crate::{
    session::{kept, progress::Commit},
    store::{Batch, Call, CallState, Done, Head, LogEntry, Turn, Write},
};

/// How often a session that is only read is told to be in use, within the time that it is kept.
const TOUCHES_PER_TTL: u32 = 8;

impl Task {
    /// Hands what was said and what changed to the store, in one piece.
    ///
    /// Readers see the events, and the model is called, once the store has them.
    pub(super) fn flush(&mut self) {
        self.is_held_back &=
            self.said.is_empty() && self.streams.is_empty() && self.session.history().is_empty();
        if self.is_held_back {
            return;
        }
        let changes = self.session.changes();
        if self.said.is_empty() && changes.is_none() && self.writes.is_empty() {
            return;
        }
        let mut writes = mem::take(&mut self.writes);
        if let Some(changes) = changes {
            self.note(changes, &mut writes);
        }
        if !self.said.is_empty() {
            let entries = self.said.iter().map(|entry| LogEntry {
                sequence: entry.sequence,
                class: entry.class.number(),
                bytes: entry.bytes.clone(),
            });
            writes.push(Write::Log(entries.collect()));
            self.log.append(self.said.drain(..));
        }
        self.send(writes);
    }

    /// Hands writes to the store.
    pub(super) fn send(&mut self, writes: Vec<Write>) {
        self.batches += 1;
        let batch = self.batches;
        let through = self.log.last_sequence();
        let log = Arc::clone(&self.log);
        let progress = Arc::clone(&self.progress);
        let done = move |result: Result<(), _>| match result {
            Ok(()) => {
                log.commit(through);
                progress.advance(batch);
            }
            Err(error) => {
                let failure = kept::failure(&error);
                log.abandon(failure.clone());
                progress.fail(failure);
            }
        };
        self.store.write(Batch {
            key: self.place.key().clone(),
            fence: self.fence.clone(),
            writes,
            done: Done::new(done),
        });
    }

    /// The batch that the next flush makes.
    pub(super) fn next_commit(&self) -> Commit {
        self.progress.of(self.batches + 1)
    }

    /// The newest batch that was made.
    pub(super) fn last_commit(&self) -> Commit {
        self.progress.of(self.batches)
    }

    fn note(&mut self, changes: Changes, writes: &mut Vec<Write>) {
        let now = SystemTime::now();
        if let Some(history) = changes.history {
            writes.push(Write::History {
                keep: history.keep as u64,
                added: history.added.iter().map(kept::encode).collect(),
            });
        }
        writes.extend(changes.receipts.into_iter().map(|change| match change {
            ReceiptChange::Taken(receipt) => Write::Receipt {
                frame_id: receipt.accepted.frame_id.clone(),
                value: kept::encode(&receipt),
            },
            ReceiptChange::Forgotten(frame_id) => Write::ForgetReceipt(frame_id),
        }));
        let calls = changes.calls.into_iter();
        writes.extend(calls.map(|change| Write::Call(call(change, now))));
        for result in &changes.ended {
            self.input_tokens += result.usage.input_tokens;
            self.output_tokens += result.usage.output_tokens;
            writes.push(Write::Turn(turn(result, now)));
        }
        if let Some(options) = &changes.options {
            writes.push(Write::Options(kept::encode(options)));
        }
        let state = changes.state;
        let active = state.active_turn();
        let head = Head {
            update_time: now,
            message_count: self.session.history().messages().len() as u64,
            active_turn_id: active.map(|(turn_id, _)| turn_id.to_owned()),
            is_paused: active.is_some_and(|(_, is_paused)| is_paused),
            has_work: state.has_work(),
            last_sequence: self.session.last_sequence(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
        };
        self.head = Some((head.clone(), Instant::now()));
        writes.push(Write::Head(head));
        writes.push(Write::State(kept::encode(&state)));
        writes.extend(self.trim());
    }

    /// When the store is next to be told that the session is in use, which keeps it from expiring.
    pub(super) fn next_touch(&self) -> Option<Instant> {
        let (_, written) = self.head.as_ref().filter(|_| self.quiet_since.is_none())?;
        Some(*written + self.ttl / TOUCHES_PER_TTL)
    }

    /// Tells the store that the session is in use, unless that was told not long ago.
    pub(super) fn touch(&mut self) {
        if self.next_touch().is_none_or(|due| due > Instant::now()) {
            return;
        }
        if let Some((head, written)) = &mut self.head {
            *written = Instant::now();
            head.update_time = SystemTime::now();
            let head = Write::Head(head.clone());
            self.send(vec![head]);
        }
    }

    /// Drops from the store what the log has dropped, save what a restart would need.
    pub(super) fn trim(&mut self) -> Option<Write> {
        let mut through = self
            .log
            .oldest()
            .saturating_sub(1)
            .min(self.log.committed());
        if let Some(needed) = self.session.needed_from() {
            through = through.min(needed.saturating_sub(1));
        }
        (through > self.trimmed).then(|| {
            self.trimmed = through;
            Write::Trim { through }
        })
    }
}

/// A turn's record, for GetTurn and for who bills it.
fn turn(result: &TurnResult, ended: SystemTime) -> Turn {
    Turn {
        turn_id: result.turn_id.to_string(),
        last_sequence: result.last_sequence,
        value: kept::encode(result),
        input_tokens: result.usage.input_tokens,
        output_tokens: result.usage.output_tokens,
        model_id: result.model_id.clone(),
        status: format!("{:?}", result.status),
        stop_reason: result
            .stop_reason
            .map(|reason| format!("{reason:?}"))
            .unwrap_or_default(),
        ended,
    }
}

fn call(change: CallChange, at: SystemTime) -> Call {
    Call {
        turn_id: change.turn_id.to_string(),
        call_id: change.call_id,
        name: change.name,
        state: match change.state {
            saved::CallState::Started => CallState::Started,
            saved::CallState::Finished => CallState::Finished,
            saved::CallState::Unknown => CallState::Unknown,
        },
        at,
    }
}
