//! What a client's frame does.

use taiwa_core::{
    Block, Reason, TurnStatus,
    event::{FrameAccepted, FrameOutcome},
    input::{Frame, FrameBody, InputPolicy, UserInput},
};

use super::{
    Phase, Reference, Reply, Words,
    words::{result_tokens, tokens},
};
use crate::store::digest;

impl Reference {
    pub(super) fn frame(&mut self, stream: u64, frame: &Frame) {
        let id = frame.id.clone();
        assert_eq!(frame.digest, digest(&frame.body));
        self.digest = frame.digest;
        let known = id.as_ref().and_then(|id| self.frame_ids.get(id));
        let first_digest = known.map(|(_, digest)| *digest);
        if first_digest == Some(frame.digest) {
            self.reply = id.map(Reply::Duplicate);
            return;
        }
        if self.streams.get(&stream).is_some_and(|s| s.taken_over) {
            self.reply = Some(Reply::Refused(stream, id));
            return;
        }
        if first_digest.is_some() {
            self.spoil(stream);
            self.reply = Some(Reply::Rejected(id, Reason::RequestIdReused));
            return;
        }
        let reply = match &frame.body {
            FrameBody::UserInput(input) => self.user_input(stream, id, input),
            FrameBody::Setup | FrameBody::Update { .. } => {
                Reply::Accepted(id, FrameOutcome::Applied)
            }
            FrameBody::Ack { sequence } if *sequence > self.sequence => {
                Reply::Rejected(id, Reason::InvalidRequest)
            }
            FrameBody::Ack { sequence } => {
                self.forget = Some(*sequence);
                Reply::Accepted(id, FrameOutcome::Applied)
            }
            FrameBody::Invalid(_) => {
                self.spoil(stream);
                Reply::Rejected(id, Reason::InvalidRequest)
            }
            FrameBody::Interrupt {
                turn_id,
                discard_output,
            } => {
                let turns = self.turns;
                match self.turn_mut() {
                    Some(turn) if turn_id.as_ref().is_none_or(|named| *named == turn.id) => {
                        turn.discards = *discard_output;
                        turn.interrupted = true;
                        self.cut(TurnStatus::Interrupted);
                        Reply::Accepted(id, FrameOutcome::Applied)
                    }
                    _ if turn_id
                        .as_deref()
                        .is_none_or(|id| id == "turn_s_1" && turns > 0) =>
                    {
                        Reply::Accepted(id, FrameOutcome::TooLate)
                    }
                    _ => Reply::Rejected(id, Reason::TurnNotFound),
                }
            }
            FrameBody::Decision(decision) => self.decision(stream, id, decision),
            FrameBody::ToolResult(result) => {
                let fits = self.has_room(result.size_bytes());
                let (draining, max) = (self.draining, self.limits.max_tool_result_bytes);
                let is_paused = matches!(self.phase, Phase::Paused(_));
                let open = self
                    .turn_mut()
                    .filter(|turn| turn.open.contains(&result.call_id));
                if result.size_bytes() > max {
                    Reply::Rejected(id, Reason::LimitExceeded)
                } else if let Some(turn) = open {
                    if !fits {
                        Reply::Rejected(id, Reason::LimitExceeded)
                    } else if is_paused && draining {
                        Reply::Rejected(id, Reason::ShuttingDown)
                    } else {
                        turn.open.retain(|call| *call != result.call_id);
                        turn.words.extend(result_tokens(&result.content));
                        if is_paused {
                            turn.owner = Some(stream);
                        }
                        self.closed_calls.push(result.call_id.clone());
                        Reply::Accepted(id, FrameOutcome::Applied)
                    }
                } else {
                    Reply::NotTaken(id)
                }
            }
        };
        self.reply = Some(reply);
    }

    pub(super) fn user_input(
        &mut self,
        stream_id: u64,
        id: Option<String>,
        input: &UserInput,
    ) -> Reply {
        let bytes = input.content.iter().map(Block::size_bytes).sum::<usize>();
        let fits = self.has_room(bytes);
        let (draining, max) = (self.draining, self.limits.max_input_bytes);
        let stream = self.streams.get_mut(&stream_id).unwrap();
        let fault = if draining {
            Some(Reason::ShuttingDown)
        } else if stream.spoiled {
            Some(Reason::FrameOutOfOrder)
        } else if stream.bytes + bytes > max || (!input.more_follows && !fits) {
            Some(Reason::LimitExceeded)
        } else {
            None
        };
        if let Some(reason) = fault {
            let ids = stream.drop_gathered(input.more_follows);
            self.free(&ids);
            return Reply::Rejected(id, reason);
        }
        stream.gather.tokens.extend(tokens(&input.content));
        if input.more_follows {
            stream.gathered += 1;
            stream.bytes += bytes;
            stream.gather.ids.extend(id.clone());
            return Reply::Accepted(id, FrameOutcome::Applied);
        }
        let gathered = std::mem::take(stream).gather;
        let message = Words {
            id: id.clone(),
            stream: Some(stream_id),
            context: input.context_only,
            ..gathered
        };
        let may_wait = self.queue.len() + self.steering.len() < self.limits.max_queued_inputs;
        let policy = input.policy.unwrap_or_default();
        let Some(turn) = self.turn_mut() else {
            if message.context {
                self.kept.extend(message.tokens);
                return Reply::Accepted(id, FrameOutcome::Applied);
            }
            self.starting = Some(message);
            return Reply::Accepted(id, FrameOutcome::StartedTurn);
        };
        let outcome = match policy {
            InputPolicy::Reject => Err(Reason::TurnInProgress),
            InputPolicy::Interrupt | InputPolicy::Replace if !message.context => {
                turn.replaced = policy == InputPolicy::Replace;
                turn.interrupted = true;
                self.cut(TurnStatus::Interrupted);
                self.interrupting = Some(message.clone());
                Ok(FrameOutcome::Interrupted)
            }
            _ if !may_wait => Err(Reason::ConcurrencyLimited),
            InputPolicy::Steer if !message.context => {
                self.steering.push(message.clone());
                Ok(FrameOutcome::Steered)
            }
            _ => {
                self.queue.push_back(message.clone());
                Ok(FrameOutcome::Queued)
            }
        };
        match outcome {
            Ok(outcome) => Reply::Accepted(id, outcome),
            Err(reason) => {
                self.free(&message.ids);
                Reply::Rejected(id, reason)
            }
        }
    }

    pub(super) fn accepted(&mut self, receipt: &FrameAccepted) {
        let reply = self
            .reply
            .take()
            .expect("a frame is answered that was not sent");
        if receipt.duplicate {
            let Reply::Duplicate(id) = reply else {
                panic!("{receipt:?} instead of {reply:?}")
            };
            let first = FrameAccepted {
                duplicate: true,
                ..self.frame_ids[&id].0.clone()
            };
            assert_eq!(*receipt, first);
            return;
        }
        let (id, outcome) = match reply {
            Reply::Accepted(id, outcome) => (id, outcome),
            Reply::NotTaken(id) => (id, FrameOutcome::TooLate),
            Reply::Rejected(..) | Reply::Duplicate(_) | Reply::Refused(..) => {
                panic!("{receipt:?} instead of {reply:?}")
            }
        };
        assert_eq!(
            (Some(&receipt.frame_id), receipt.outcome),
            (id.as_ref(), outcome)
        );
        if outcome == FrameOutcome::Queued {
            assert_eq!(receipt.queue_position as usize + 1, self.queue.len());
        }
        if self.frame_order.len() == self.limits.max_frame_ids
            && let Some(oldest) = self.frame_order.pop_front()
        {
            self.frame_ids.remove(&oldest);
        }
        let id = receipt.frame_id.clone();
        self.frame_order.push_back(id.clone());
        self.frame_ids.insert(id, (receipt.clone(), self.digest));
    }

    /// A frame was refused that may have been a part of the message that is gathered.
    pub(super) fn spoil(&mut self, stream: u64) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        if state.gathered > 0 || state.spoiled {
            let ids = state.drop_gathered(true);
            self.free(&ids);
        }
    }

    pub(super) fn free(&mut self, ids: &[String]) {
        for id in ids {
            self.frame_ids.remove(id);
            self.frame_order.retain(|known| known != id);
        }
    }
}
