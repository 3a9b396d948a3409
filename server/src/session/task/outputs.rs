//! What the core wants done and told: commands carried out, events written to the log.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use taiwa_core::{
    Command, Event, Failure, Input, ModelRequest, Payload, TurnResult,
    command::Started,
    context::Reduced,
    input::{CallId, StepId},
};
use tracing::{debug, info};

use super::{ModelCall, Task, model_call::Opener, now};
use crate::{
    grpc::convert::{delivery::EventClass, event},
    session::{
        kept,
        log::{Entry, TurnEnd},
    },
    store::Write,
};

/// How long a finished stream may take to run out before its connection is closed instead of kept.
const RUN_OUT: Duration = Duration::from_secs(2);

impl Task {
    /// Hands an input to the core, and carries out what it decides.
    pub(super) fn handle(&mut self, input: Input) {
        self.follow_offers();
        self.session.handle(input, now());
        self.carry_out();
        self.finish_output();
    }

    /// Carries out what the core has decided, with what shared budgets say to it.
    pub(super) fn carry_out(&mut self) {
        self.carry_out_commands();
        while let Some(answer) = self.answers.pop_front() {
            self.session.handle(answer, now());
            self.carry_out_commands();
        }
    }

    /// Carries commands out; the events wait for [`Task::finish_output`].
    fn carry_out_commands(&mut self) {
        while let Some(command) = self.session.poll_command() {
            match command {
                Command::CallModel { step, request } => self.call_model(step, *request),
                Command::Extend(step) => self.extend(step),
                Command::Settle { step, usage } => {
                    let spent = self.budgets.settle(self.place.key(), step, &usage);
                    self.writes.extend(spent.map(Write::Spent));
                }
                Command::RunTool(run) => self.run_tool(*run),
                Command::CancelTool(run) => self.runs.cancel(run),
                Command::AbortModel(step) => self.model.abort(step),
                Command::FinishModel(step) => {
                    if let Some(mut stream) = self.model.finish(step) {
                        // Read to its end, the connection can serve the next call.
                        self.tracker
                            .spawn(tokio::time::timeout(RUN_OUT, async move {
                                while stream.next().await.is_some_and(|event| event.is_ok()) {}
                            }));
                    }
                }
                Command::Answer { call, answer } => self.answer(call, answer),
                Command::AnswerCancel { call, answer } => {
                    if let Some(reply) = self.cancelling.remove(&call) {
                        // A caller that went meanwhile has nothing to be told.
                        let commit = self.next_commit();
                        let answer = answer.map(|result| (event::turn_result(&result), commit));
                        let _ = reply.send(answer);
                    }
                }
                Command::Forget(through) => self.log.forget(through),
                Command::TakeOver(stream) => self.tell_taken_over(stream),
                Command::Refuse {
                    stream,
                    frame_id,
                    failure,
                } => self.tell_refused(stream, frame_id, &failure),
                Command::EndStream(stream) => self.ending.push(stream),
            }
        }
        let written = SystemTime::now();
        while let Some(event) = self.session.poll_event() {
            self.write(event, written);
        }
    }

    /// Hands what was said to the store, and does what comes after it.
    pub(super) fn finish_output(&mut self) {
        self.flush();
        self.note_running();
        self.note_replay();
        for stream in std::mem::take(&mut self.ending) {
            if let Some(reader) = self.streams.remove(&stream) {
                self.log.end(reader, None);
            }
        }
        if self.draining && self.session.is_idle() {
            self.log.end_all(&Failure::shutting_down());
        }
        self.hold_if_full();
    }

    fn call_model(&mut self, step: StepId, request: ModelRequest) {
        let opener = Opener {
            bedrock: self.bedrock.clone(),
            budgets: self.budgets.clone(),
            prices: Arc::clone(&self.agent.prices),
            key: self.place.key().clone(),
            kept: self.next_commit(),
        };
        self.model = ModelCall::start(opener, step, request);
        if self.model.waits() {
            self.answers.push_back(Input::ModelWaits(step));
        }
    }

    /// Asks for more of a budget that several turns share.
    fn extend(&mut self, step: StepId) {
        self.answers
            .push_back(match self.budgets.extend(self.place.key(), step) {
                Some(watched_tokens) => Input::ModelAllowed {
                    step,
                    max_tokens: None,
                    watched_tokens: Some(watched_tokens),
                },
                None => Input::ModelRefused(step),
            });
    }

    /// Lets a server that stops wait for the turn that runs.
    fn note_running(&mut self) {
        match (&self.running, self.session.is_idle()) {
            (None, false) => self.running = Some(self.turns.token()),
            (Some(_), true) => self.running = None,
            (None, true) | (Some(_), false) => {}
        }
    }

    fn answer(&mut self, call: CallId, answer: Result<Started, Failure>) {
        let Some(starting) = self.starting.remove(&call) else {
            return;
        };
        let answer = answer.map(|started| {
            self.facts.note_call(&started.turn_id, starting.facts);
            if let Some(claimed) = starting.claimed {
                let session_id = &self.place.key().session_id;
                let request = kept::request(claimed, session_id, Some(&started));
                self.writes.push(request);
            }
            let reader = self.follow(&started, starting.options);
            (started, reader, self.next_commit())
        });
        // When the caller is gone, the reader in the reply is dropped and says so.
        let _ = starting.reply.send(answer);
    }

    fn write(&mut self, event: Event, written: SystemTime) {
        let end = if let Payload::TurnEnded(result) = &event.payload {
            report(result);
            let failure = result.failure.clone();
            Some(Arc::new(TurnEnd {
                turn_id: Arc::clone(&result.turn_id),
                failure,
            }))
        } else {
            None
        };
        if let Payload::ContextReduced(reduced) = &event.payload {
            report_reduction(self.session.id(), reduced);
        }
        let (sequence, class) = (event.sequence, EventClass::of(&event.payload));
        let turn_id = event.turn_id.clone();
        let bytes = self.encoder.encode(event, written);
        self.said.push(Entry {
            sequence,
            turn_id,
            class,
            end,
            bytes,
        });
    }
}

/// What an agent's settings did to a conversation; `Sliding` under `summarize` is a summary that
/// could not be had.
fn report_reduction(session_id: &str, reduced: &Reduced) {
    debug!(
        session.id = session_id,
        how = ?reduced.how,
        omitted_messages = reduced.omitted_messages,
        tokens_before = reduced.tokens_before,
        tokens_after = reduced.tokens_after,
        "context reduced"
    );
}

/// The usage record of a turn, for the operator.
fn report(result: &TurnResult) {
    info!(
        session.id = %result.session_id,
        turn.id = %result.turn_id,
        status = ?result.status,
        stop_reason = ?result.stop_reason,
        reason = ?result.failure.as_ref().map(|failure| failure.reason),
        model = result.model_id,
        model_calls = result.usage.model_calls,
        tool_calls = result.usage.tool_calls,
        input_tokens = result.usage.input_tokens,
        output_tokens = result.usage.output_tokens,
        estimated = result.usage.estimated,
        total = ?result.metrics.total,
        time_to_first_output = ?result.metrics.time_to_first_output,
        "turn ended"
    );
}
