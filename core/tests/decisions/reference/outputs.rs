//! Holds commands and events against what was foreseen.

use taiwa_core::{
    Block, Command, Event, Payload, Reason, StopReason, ToolCall, TurnStatus, tool::Executor,
};

use super::{Phase, Reference, Reply, Step, Stream, Turn, Words, words::words};
use crate::bedrock;

impl Reference {
    pub(crate) fn command(&mut self, command: &Command) {
        assert!(!self.is_void, "{command:?} comes of nothing");
        match command {
            Command::CallModel { step, request } => {
                assert_eq!(self.step, None, "two model calls are open");
                assert!(step.0 > self.newest_step, "a model call has an old name");
                assert_eq!(bedrock::request_fault(&request.messages), None);
                self.step = Some(step.0);
                self.newest_step = step.0;
                self.calls_made += 1;
                if let Some(budget) = self.limits.max_total_tokens {
                    let most = request.max_tokens.map_or(0, u64::from);
                    assert!(
                        most <= budget.get(),
                        "more tokens are reserved than there are"
                    );
                }
            }
            Command::AbortModel(step) | Command::FinishModel(step) => {
                assert_eq!(
                    self.step,
                    Some(step.0),
                    "a model call is closed that is not open"
                );
                self.step = None;
            }
            Command::Settle { .. } => {}
            Command::Extend(step) => panic!("no budget is shared by {step:?}"),
            Command::RunTool(run) => self.run_tool(run),
            Command::CancelTool(run) => self.cancel_tool(*run),
            Command::Answer { call, answer } => {
                let (expected, pending) = self.call.take().expect("a call is answered twice");
                assert_eq!(call.0, expected);
                let Ok(started) = answer else {
                    assert!(!pending.must_start, "a turn was refused without need");
                    return;
                };
                assert!(!self.draining);
                assert_eq!(started.first_sequence, self.sequence + 1);
                match &mut self.phase {
                    Phase::Idle => {
                        self.starting = Some(Words {
                            tokens: pending.words,
                            ..Words::default()
                        });
                    }
                    Phase::Paused(turn) => {
                        assert_eq!(turn.id, *started.turn_id);
                        turn.owner = None;
                        turn.words.extend(pending.words);
                        for (call, tokens) in pending.results {
                            let open = turn.open.iter().position(|known| *known == call);
                            turn.open.remove(open.expect("a result without a call"));
                            turn.words.extend(tokens);
                            self.closed_calls.push(call);
                        }
                        for decision in pending.decisions {
                            self.note_decision(&decision);
                        }
                    }
                    Phase::Running(_) => panic!("a turn started while another runs"),
                }
            }
            Command::AnswerCancel { call, .. } => {
                assert_eq!(self.cancel.take(), Some(call.0));
            }
            Command::Forget(sequence) => assert_eq!(self.forget.take(), Some(*sequence)),
            Command::TakeOver(stream) => {
                assert_eq!(self.takeovers.pop_front(), Some(stream.0));
            }
            Command::Refuse {
                stream,
                frame_id,
                failure,
            } => {
                assert_eq!(failure.reason, Reason::InputTakenOver);
                let Some(Reply::Refused(expected, id)) = self.reply.take() else {
                    panic!("a frame is refused without need")
                };
                assert_eq!((stream.0, frame_id), (expected, &id));
            }
            Command::EndStream(stream) => {
                let state = self
                    .streams
                    .remove(&stream.0)
                    .expect("an unknown stream ends");
                assert!(state.closed, "a stream ends whose input is open");
                assert!(self.ended_streams.insert(stream.0), "a stream ends twice");
            }
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        assert!(!self.is_void, "{event:?} comes of nothing");
        self.sequence += 1;
        assert_eq!(event.sequence, self.sequence, "sequences have a gap");
        if let Payload::TurnStarted {
            frame_id,
            continued,
        } = &event.payload
        {
            let id = event.turn_id.as_deref().expect("a turn has an id");
            return self.turn_started(id, frame_id.as_ref(), *continued);
        }
        if let Some(id) = event.turn_id.as_deref() {
            match &self.phase {
                Phase::Running(turn) => assert_eq!(turn.id, id, "an event of another turn"),
                Phase::Paused(_) | Phase::Idle => panic!("{id} tells what no turn said: {event:?}"),
            }
        }
        match &event.payload {
            Payload::FrameAccepted(receipt) => self.accepted(receipt),
            Payload::FrameRejected { frame_id, failure } => {
                let rejected = (frame_id.clone(), failure.reason);
                match &self.reply {
                    Some(Reply::Rejected(id, reason))
                        if (id, reason) == (frame_id, &failure.reason) =>
                    {
                        self.reply = None;
                    }
                    Some(Reply::NotTaken(id))
                        if id == frame_id && failure.reason == Reason::CallNotPending =>
                    {
                        self.reply = None;
                    }
                    _ => assert_eq!(self.rejections.pop_front(), Some(rejected)),
                }
            }
            Payload::StepStarted { .. } => {
                self.steps_told += 1;
                let steering = if event.step_index > 0 {
                    std::mem::take(&mut self.steering)
                } else {
                    Vec::new()
                };
                let turn = self.turn_mut().unwrap();
                steering
                    .into_iter()
                    .for_each(|m| turn.words.extend(m.tokens));
                assert_eq!(turn.steps, event.step_index);
                assert!(
                    turn.open.is_empty(),
                    "a step starts before all calls are answered"
                );
                turn.work.step_started();
                turn.steps += 1;
                turn.step = Some(Step::default());
                assert!(turn.steps <= self.limits.max_steps.get());
            }
            Payload::TextDelta(text) => {
                let turn = self.turn_mut().unwrap();
                turn.gave_output = true;
                turn.step.as_mut().unwrap().told.extend(words(text));
            }
            Payload::BlockStarted(_) => self.turn_mut().unwrap().gave_output = true,
            Payload::BlockCompleted(Block::Reasoning(reasoning)) => {
                self.reasoning.push(reasoning.clone());
            }
            Payload::StepCompleted(done) => {
                let turn = self.turn_mut().unwrap();
                let step = turn.step.take().expect("a step ends that did not start");
                assert!(step.stopped, "a step ends well without a stop");
                assert_eq!(done.usage.estimated, !step.counted);
                turn.end_step(step, true);
            }
            Payload::ToolCall(call) => self.tool_call(call),
            Payload::ToolCallUpdate(update) => self.update(update),
            Payload::ApprovalRequest(request) => self.request(request),
            Payload::ApprovalResolved(resolved) => self.resolved(resolved),
            Payload::ToolCallsCancelled(ids) => {
                let turn = self.turn_mut().unwrap();
                for id in ids {
                    let open = turn.open.iter().position(|known| known == id);
                    turn.open
                        .remove(open.expect("a call is cancelled that is not open"));
                }
                self.closed_calls.extend(ids.iter().cloned());
            }
            Payload::Interrupted(_) => self.turn_mut().unwrap().interrupted = true,
            Payload::TurnEnded(result) => {
                assert_eq!(result.last_sequence, event.sequence);
                self.turn_ended(result);
            }
            _ => {}
        }
    }

    pub(super) fn turn_started(&mut self, id: &str, frame_id: Option<&String>, continued: bool) {
        if continued {
            let phase = std::mem::replace(&mut self.phase, Phase::Idle);
            let Phase::Paused(turn) = phase else {
                panic!("{id} goes on and was not paused")
            };
            assert_eq!(turn.id, id);
            self.phase = Phase::Running(turn);
            return;
        }
        assert!(
            matches!(self.phase, Phase::Idle),
            "{id} starts while another turn is there"
        );
        self.turns += 1;
        assert_eq!(id, format!("turn_s_{}", self.turns));
        let message = self.starting.take().unwrap_or_else(|| {
            loop {
                let message = self
                    .queue
                    .pop_front()
                    .expect("nothing waits to start a turn");
                if !message.context {
                    break message;
                }
                self.kept.extend(message.tokens);
            }
        });
        assert_eq!(frame_id, message.id.as_ref(), "another input's turn");
        self.phase = Phase::Running(Box::new(Turn {
            id: id.to_owned(),
            owner: message.stream,
            words: message.tokens,
            ..Turn::default()
        }));
    }

    pub(super) fn tool_call(&mut self, call: &ToolCall) {
        let turn = self.turn_mut().unwrap();
        assert!(!turn.interrupted, "a tool call follows the end of its turn");
        turn.announced += 1;
        if call.executor == Executor::Provider {
            return;
        }
        assert!(
            turn.step.is_none(),
            "a call is handed out before its step is done"
        );
        let input: serde_json::Value = serde_json::from_str(&call.input_json).unwrap();
        assert!(input.is_object());
        let fits = match call.name.as_str() {
            "clock" | "look" => true,
            "weather" => input["city"].is_string(),
            "send" => input["to"].is_string(),
            _ => false,
        };
        assert!(fits, "{call:?} does not fit");
        if call.executor == Executor::Server {
            let is_remembered = self.remembered.get(&call.name) == Some(&true);
            let turn = self.turn_mut().unwrap();
            return turn.work.announced(call, is_remembered);
        }
        turn.open.push(call.id.clone());
        turn.expires.insert(call.id.clone(), call.expires.unwrap());
    }

    pub(super) fn turn_ended(&mut self, result: &taiwa_core::TurnResult) {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let Phase::Running(mut turn) = phase else {
            panic!("a turn ended twice")
        };
        if let Some(step) = turn.step.take() {
            let keeps = !turn.discards;
            turn.end_step(step, keeps);
        }
        let usage = &result.usage;
        assert_eq!(usage.model_calls, turn.steps);
        assert!(usage.tool_calls >= turn.announced);
        assert_eq!(
            usage.estimated, turn.estimated,
            "usage is not true: {result:?}"
        );
        if !turn.estimated {
            assert_eq!(usage.input_tokens, turn.finished_input_tokens);
        }
        if result.status == TurnStatus::Paused {
            let open: Vec<_> = result
                .pending_tool_calls
                .iter()
                .map(|c| c.id.clone())
                .collect();
            assert_eq!(open, turn.open);
            turn.work.paused(&result.pending_approvals);
            assert!(!self.streams.values().any(Stream::is_heard));
            self.must_pause = false;
            self.phase = Phase::Paused(turn);
            return;
        }
        assert_ne!(result.status, TurnStatus::Running);
        let is_late = self.is_tick && result.status == TurnStatus::Cancelled;
        let is_cut = matches!(
            result.status,
            TurnStatus::Cancelled | TurnStatus::Interrupted
        );
        match self.cut.take() {
            Some(cut) => assert_eq!(cut, (turn.id.clone(), result.status)),
            None => assert!(!is_cut || is_late, "nobody cut {result:?} off"),
        }
        assert!(result.stop_reason.is_some());
        assert_eq!(turn.open, Vec::<String>::new(), "a call has no end");
        assert!(turn.work.is_done(), "a call has no end: {:?}", turn.work);
        assert_eq!(
            turn.interrupted,
            result.status == TurnStatus::Interrupted
                || result.stop_reason == Some(StopReason::Cancelled) && turn.interrupted,
        );
        let failure = result.failure.as_ref().map(|failure| failure.reason);
        let was_stopped = failure == Some(Reason::ShuttingDown);
        if turn.lost {
            assert!(was_stopped);
        }
        if was_stopped {
            assert_eq!(result.stop_reason, Some(StopReason::Incomplete));
        }
        let keeps = match result.status {
            // With the process, or at the end of its grace.
            _ if was_stopped => true,
            TurnStatus::Interrupted => !turn.replaced,
            TurnStatus::Completed => turn.steps > 0,
            _ => turn.gave_output,
        };
        if keeps {
            self.kept.extend(turn.words);
            self.kept.extend(turn.told);
        }
        for message in std::mem::take(&mut self.steering).into_iter().rev() {
            self.queue.push_front(message);
        }
        if let Some(id) = self.going.take() {
            self.refuse_queue_of_or_drain(id);
        } else if self.draining {
            self.refuse_queue();
        }
        if let Some(message) = self.interrupting.take() {
            self.queue.push_front(message);
        }
    }
}
