//! The wait for tools: which calls are out, what came back, and what is late.

mod check;
mod consent;
mod pending;
mod runs;

use std::time::Instant;

pub(crate) use self::consent::not_asked;
use self::{
    check::Checked,
    pending::{PendingCall, Stage},
};
pub(super) use self::{check::shortened, pending::Pending};
use super::{Context, Ending, Flow, Phase, Turn, output::Reply};
use crate::{
    error::{Failure, Reason},
    event::{Payload, StopReason},
    input::StreamId,
    limits::{MAX_CLIENT_TOOL_TIMEOUT, after},
    message::{Block, Message},
    saved::CallState,
    tool::{CallStatus, Executor, ToolCall, ToolResult},
};

/// How a result met its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// The call waits for it.
    Open,
    /// The call was answered before.
    Answered,
    /// The call is not the client's to answer.
    NotIts,
    /// There is no such call.
    Unknown,
}

impl Turn {
    /// Hands the calls of a message out, and answers at once those that cannot run.
    pub(super) fn dispatch_tools(&mut self, message: &Message, ctx: &mut Context<'_>) -> Flow {
        if let Some(message) = &self.answer.message {
            self.made.push(std::sync::Arc::clone(message));
        }
        let reply = self.take_reply(message);
        if let Some(Reply::Fits(call_id)) = &reply {
            return self.close_reply(call_id.clone(), ctx);
        }
        let mut calls = Vec::new();
        let mut faulty = 0;
        for call in message.open_calls() {
            let fault = match &reply {
                Some(Reply::Early { call_id, text } | Reply::Faulty { call_id, text })
                    if *call_id == call.id =>
                {
                    Err(text.clone())
                }
                Some(_) | None => self.check(call),
            };
            faulty += usize::from(fault.is_err());
            calls.push(self.place_call(call.clone(), fault, ctx));
        }
        let is_all_faulty = faulty == calls.len();
        self.phase = Phase::AwaitingTools(Pending::new(calls, ctx.now));
        self.faulty_steps = if is_all_faulty {
            self.faulty_steps + 1
        } else {
            0
        };
        if let Some(Reply::Faulty { text, .. }) = reply {
            if !self.may_repair(ctx) {
                return Some(Ending::unfit(&text));
            }
        } else if self.faulty_steps >= ctx.limits.max_faulty_steps.get() {
            return Some(Ending::completed(StopReason::MalformedToolUse));
        }
        self.start_runs(ctx);
        self.tell_queued(None, ctx);
        self.wait_for_rest(ctx)
    }

    /// Decides what becomes of a call.
    fn place_call(
        &mut self,
        mut call: ToolCall,
        checked: Result<Checked, String>,
        ctx: &mut Context<'_>,
    ) -> PendingCall {
        let checked = match checked {
            Ok(checked) => checked,
            Err(text) => {
                let result = ToolResult::error(call.id.clone(), text);
                self.tell_update(&call, CallStatus::Failed, Some(&result), None, ctx);
                return PendingCall::new(call, Stage::Done(result));
            }
        };
        call.executor = checked.executor;
        let mut pending = PendingCall::new(call, Stage::Queued);
        if checked.asks {
            self.ask(&mut pending, &checked.spec, ctx);
        } else {
            self.release(&mut pending, ctx);
        }
        pending
    }

    /// Lets a call run that nothing stands against: the client is handed it, or it waits for a
    /// place among those that the server runs.
    fn release(&mut self, pending: &mut PendingCall, ctx: &mut Context<'_>) {
        let call = &mut pending.call;
        let made = &mut self.answer.usage.tool_calls;
        *made = made.saturating_add(1);
        if call.executor == Executor::Server {
            pending.stage = Stage::Queued;
        } else {
            let own = self.options.client_tool(&call.name);
            let timeout = own
                .and_then(|tool| tool.timeout)
                .unwrap_or(ctx.limits.client_tool_timeout);
            let deadline = after(ctx.now, timeout.min(MAX_CLIENT_TOOL_TIMEOUT));
            call.expires = Some(ctx.ids.clock().system_at(deadline));
            ctx.out.note_call(&self.id, call, CallState::Started);
            pending.stage = Stage::Out { deadline };
        }
        self.tell(ctx, Payload::ToolCall(pending.call.clone()));
    }

    /// Goes on when every call is answered; else waits, or pauses where nobody is there to answer.
    pub(crate) fn wait_for_rest(&mut self, ctx: &mut Context<'_>) -> Flow {
        self.go_on_with(Vec::new(), ctx)
    }

    /// As [`Turn::wait_for_rest`]; `words` of the user follow the results.
    pub(super) fn go_on_with(&mut self, words: Vec<Block>, ctx: &mut Context<'_>) -> Flow {
        let Phase::AwaitingTools(pending) = &self.phase else {
            return None;
        };
        if !pending.is_answered() {
            let nobody_acts = !ctx.live && pending.running() == 0;
            return nobody_acts.then(Ending::paused);
        }
        let Phase::AwaitingTools(mut pending) = std::mem::replace(&mut self.phase, Phase::Between)
        else {
            return None;
        };
        self.note_times(&mut pending, ctx.now);
        let origin = ctx.ids.origin(&self.id, ctx.now);
        let told = ctx
            .history
            .answer(pending.into_results(), "no result", words, Some(origin));
        self.made.extend(told);
        let usage = self.answer.usage.clone();
        self.tell(ctx, Payload::Usage(usage));
        let limit = ctx.limits.max_history_bytes;
        if ctx.history.size_bytes() > limit {
            let text = format!("the history of this session is larger than {limit} bytes");
            return Some(Ending::failed(Failure::new(Reason::LimitExceeded, text)));
        }
        self.call_model(ctx)
    }

    /// Tells the time in which the server's tools ran from that in which others were waited for.
    fn note_times(&mut self, pending: &mut Pending, now: Instant) {
        let (ran, waited) = pending.take_times(now);
        self.answer.metrics.tool_time += ran;
        self.answer.metrics.waiting_time += waited;
    }

    /// How a result for `call_id` would be met.
    pub(crate) fn match_result(&self, call_id: &str) -> Match {
        let (Phase::AwaitingTools(pending) | Phase::Paused { pending, .. }) = &self.phase else {
            return Match::Unknown;
        };
        let mut calls = pending.calls.iter();
        match calls.find(|pending| pending.call.id == call_id) {
            None => Match::Unknown,
            Some(PendingCall { stage, .. }) => match stage {
                Stage::Out { .. } => Match::Open,
                Stage::Done(_) => Match::Answered,
                Stage::Asking { .. } | Stage::Queued | Stage::Running(_) => Match::NotIts,
            },
        }
    }

    /// Takes the result of an open call.
    pub(crate) fn take_result(&mut self, result: ToolResult, ctx: &mut Context<'_>) {
        let Phase::AwaitingTools(pending) = &mut self.phase else {
            return;
        };
        let call = pending.calls.iter_mut().find(|pending| {
            pending.call.id == result.call_id && matches!(pending.stage, Stage::Out { .. })
        });
        if let Some(pending) = call {
            ctx.out
                .note_call(&self.id, &pending.call, CallState::Finished);
            pending.finish(result);
        }
    }

    /// Bytes of results that wait for the results of other calls.
    pub(super) fn result_bytes(&self) -> usize {
        self.pending().map_or(0, Pending::result_bytes)
    }

    /// Number of calls that wait for a result or for consent.
    pub(crate) fn open_call_count(&self) -> usize {
        self.pending().map_or(0, Pending::waiting)
    }

    fn pending(&self) -> Option<&Pending> {
        match &self.phase {
            Phase::AwaitingTools(pending) | Phase::Paused { pending, .. } => Some(pending),
            Phase::Between | Phase::Calling(_) | Phase::Condensing(_) => None,
        }
    }

    /// Tells the model of calls that were not answered in time, and goes on.
    pub(super) fn expire_tools(&mut self, ctx: &mut Context<'_>) -> Flow {
        let Phase::AwaitingTools(mut pending) = std::mem::replace(&mut self.phase, Phase::Between)
        else {
            return None;
        };
        let mut expired = Vec::new();
        let mut is_any = false;
        for call in &mut pending.calls {
            if !call.is_overdue(ctx.now) {
                continue;
            }
            is_any = true;
            match std::mem::replace(&mut call.stage, Stage::Queued) {
                Stage::Asking { request, .. } => self.expire_request(call, &request, ctx),
                Stage::Running(run) => self.expire_run(call, &run, ctx),
                Stage::Out { .. } => {
                    let text =
                        "the client did not answer this call in time; its effect is not known";
                    call.finish(ToolResult::error(call.call.id.clone(), text));
                    ctx.out.note_call(&self.id, &call.call, CallState::Unknown);
                    expired.push(call.call.id.clone());
                }
                stage @ (Stage::Queued | Stage::Done(_)) => call.stage = stage,
            }
        }
        self.phase = Phase::AwaitingTools(pending);
        if !is_any {
            return None;
        }
        if !expired.is_empty() {
            self.tell(ctx, Payload::ToolCallsCancelled(expired));
        }
        self.start_runs(ctx);
        self.wait_for_rest(ctx)
    }

    /// No Converse stream can bring results any more: the turn pauses, unless the server's own
    /// tools run.
    pub(crate) fn nobody_answers(&mut self) -> Flow {
        match &self.phase {
            Phase::AwaitingTools(pending) if pending.running() == 0 => Some(Ending::paused()),
            Phase::Between
            | Phase::Condensing(_)
            | Phase::Calling(_)
            | Phase::AwaitingTools(_)
            | Phase::Paused { .. } => None,
        }
    }

    /// Makes a paused turn run again for a stream that brings results.
    pub(crate) fn continue_for(&mut self, stream: StreamId, ctx: &mut Context<'_>) {
        if self.is_paused() {
            self.stream = Some(stream);
            self.continue_turn(ctx);
        }
    }

    /// Makes a paused turn run again.
    pub(super) fn continue_turn(&mut self, ctx: &mut Context<'_>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        let Phase::Paused { pending, since } = phase else {
            self.phase = phase;
            return;
        };
        // Time in which the turn did not run does not count against it.
        self.clock.time_limit += ctx.now.saturating_duration_since(since);
        self.tell(
            ctx,
            Payload::TurnStarted {
                frame_id: None,
                continued: true,
            },
        );
        self.phase = Phase::AwaitingTools(pending);
    }

    /// Parks the turn until another call or frame brings results.
    ///
    /// The call that waited for the turn has its answer then, so its deadline binds nobody.
    pub(super) fn park(&mut self, now: Instant) {
        self.clock.caller_deadline = None;
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        self.phase = match phase {
            Phase::AwaitingTools(mut pending) => {
                // Its result tells the times so far.
                self.note_times(&mut pending, now);
                Phase::Paused {
                    pending,
                    since: now,
                }
            }
            Phase::Paused { .. } | Phase::Between | Phase::Calling(_) | Phase::Condensing(_) => {
                phase
            }
        };
    }

    /// Closes the calls that wait, in the history and towards those who run them.
    pub(super) fn close_calls(&mut self, why: &str, ctx: &mut Context<'_>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        let Phase::AwaitingTools(mut pending) = phase else {
            self.phase = phase;
            return;
        };
        // Those that run are told first: each millisecond counts there.
        for call in &pending.calls {
            if let Stage::Running(run) = &call.stage {
                ctx.out.command(crate::Command::CancelTool(run.id));
            }
        }
        let mut open = Vec::new();
        for call in &mut pending.calls {
            match std::mem::replace(&mut call.stage, Stage::Queued) {
                Stage::Asking { request, deadline } => {
                    let is_expired = deadline <= ctx.now;
                    self.drop_request(call, &request, is_expired, why, ctx);
                }
                Stage::Queued => self.drop_queued(call, why, ctx),
                Stage::Running(run) => self.drop_run(call, &run, why, ctx),
                Stage::Out { .. } => {
                    ctx.out.note_call(&self.id, &call.call, CallState::Unknown);
                    open.push(call.call.id.clone());
                    let text = format!("not known: {why} before the result came");
                    call.finish(ToolResult::error(call.call.id.clone(), text));
                }
                stage @ Stage::Done(_) => call.stage = stage,
            }
        }
        self.note_times(&mut pending, ctx.now);
        let origin = ctx.ids.origin(&self.id, ctx.now);
        self.made.extend(ctx.history.answer(
            pending.into_results(),
            "no result",
            Vec::new(),
            Some(origin),
        ));
        if !open.is_empty() {
            self.tell(ctx, Payload::ToolCallsCancelled(open));
        }
    }
}
