//! The wait for client tools: which calls are out, what came back, and what is late.

use std::{sync::Arc, time::Instant};

use serde_json::Value;

use super::{Context, Ending, Flow, Phase, Turn};
use crate::{
    clock::Clock,
    error::{Failure, Reason},
    event::{Payload, StopReason},
    history::History,
    input::StreamId,
    limits::{MAX_CLIENT_TOOL_TIMEOUT, after},
    message::{Block, Message},
    options::TurnOptions,
    saved::{self, CallState},
    tool::{ToolCall, ToolResult},
};

/// Calls of one step that wait for their results.
#[derive(Debug)]
pub(super) struct Pending {
    calls: Vec<PendingCall>,
    since: Instant,
}

#[derive(Debug)]
struct PendingCall {
    call: ToolCall,
    result: Option<ToolResult>,
    /// When its result is no longer waited for; `None` for one that was not handed out.
    deadline: Option<Instant>,
}

/// How a result met its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// The call waits for it.
    Open,
    /// The call was answered before.
    Answered,
    /// There is no such call.
    Unknown,
}

impl Pending {
    /// Calls without a result, in the model's order.
    pub(super) fn open_calls(&self) -> Vec<ToolCall> {
        self.open().cloned().collect()
    }

    fn open(&self) -> impl Iterator<Item = &ToolCall> {
        self.waiting().map(|pending| &pending.call)
    }

    fn waiting(&self) -> impl Iterator<Item = &PendingCall> {
        self.calls.iter().filter(|pending| pending.result.is_none())
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting().filter_map(|pending| pending.deadline).min()
    }

    /// Takes up calls that were kept.
    pub(super) fn restore(calls: Vec<saved::Pending>, since: Instant, clock: &Clock) -> Self {
        let calls = calls.into_iter().map(|saved::Pending { call, result }| {
            let deadline = call.expires.map(|expires| clock.instant_at(expires));
            PendingCall {
                call,
                result,
                deadline,
            }
        });
        Self {
            calls: calls.collect(),
            since,
        }
    }

    /// True when the history ends with these calls.
    pub(super) fn is_asked_by(&self, history: &History) -> bool {
        let last = history.messages().last();
        let asked = last.into_iter().flat_map(|message| message.open_calls());
        let pending = self.calls.iter().map(|pending| &pending.call.id);
        asked.map(|call| &call.id).eq(pending)
    }

    pub(super) fn save(&self) -> Vec<saved::Pending> {
        let calls = self.calls.iter().map(|pending| saved::Pending {
            call: pending.call.clone(),
            result: pending.result.clone(),
        });
        calls.collect()
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn into_results(self) -> Vec<ToolResult> {
        self.calls
            .into_iter()
            .filter_map(|pending| pending.result)
            .collect()
    }
}

impl Turn {
    /// Hands the calls of a message out, and answers at once those that cannot run.
    pub(super) fn dispatch_tools(&mut self, message: &Message, ctx: &mut Context<'_>) -> Flow {
        let mut calls = Vec::new();
        for call in message.open_calls() {
            let mut call = call.clone();
            let mut deadline = None;
            let result = match check(&call, &self.options) {
                Ok(timeout) => {
                    let timeout = timeout.unwrap_or(ctx.limits.client_tool_timeout);
                    let expires = after(ctx.now, timeout.min(MAX_CLIENT_TOOL_TIMEOUT));
                    deadline = Some(expires);
                    call.expires = Some(ctx.ids.clock().system_at(expires));
                    ctx.out.note_call(&self.id, &call, CallState::Started);
                    self.answer.usage.tool_calls += 1;
                    self.tell(ctx, Payload::ToolCall(call.clone()));
                    None
                }
                Err(text) => Some(ToolResult::error(call.id.clone(), text)),
            };
            calls.push(PendingCall {
                call,
                result,
                deadline,
            });
        }
        self.phase = Phase::AwaitingTools(Pending {
            calls,
            since: ctx.now,
        });
        if let Some(message) = &self.answer.message {
            self.made.push(Arc::clone(message));
        }
        self.wait_for_rest(ctx)
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
        if pending.open().next().is_some() {
            return (!ctx.live).then(Ending::paused);
        }
        let Phase::AwaitingTools(pending) = std::mem::replace(&mut self.phase, Phase::Between)
        else {
            return None;
        };
        self.answer.metrics.waiting_time += ctx.now.saturating_duration_since(pending.since);
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

    /// How a result for `call_id` would be met.
    pub(crate) fn match_result(&self, call_id: &str) -> Match {
        let (Phase::AwaitingTools(pending) | Phase::Paused { pending, .. }) = &self.phase else {
            return Match::Unknown;
        };
        match pending
            .calls
            .iter()
            .find(|pending| pending.call.id == call_id)
        {
            Some(PendingCall { result: None, .. }) => Match::Open,
            Some(PendingCall {
                result: Some(_), ..
            }) => Match::Answered,
            None => Match::Unknown,
        }
    }

    /// Takes the result of an open call.
    pub(crate) fn take_result(&mut self, result: ToolResult, ctx: &mut Context<'_>) {
        let Phase::AwaitingTools(pending) = &mut self.phase else {
            return;
        };
        let call = pending
            .calls
            .iter_mut()
            .find(|pending| pending.call.id == result.call_id && pending.result.is_none());
        if let Some(call) = call {
            ctx.out.note_call(&self.id, &call.call, CallState::Finished);
            call.result = Some(result);
        }
    }

    /// Bytes of results that wait for the results of other calls.
    pub(super) fn result_bytes(&self) -> usize {
        match &self.phase {
            Phase::AwaitingTools(pending) | Phase::Paused { pending, .. } => pending
                .calls
                .iter()
                .filter_map(|call| call.result.as_ref())
                .map(ToolResult::size_bytes)
                .sum(),
            Phase::Between | Phase::Calling(_) | Phase::Condensing(_) => 0,
        }
    }

    /// Number of calls that wait for a result.
    pub(crate) fn open_call_count(&self) -> usize {
        match &self.phase {
            Phase::AwaitingTools(pending) | Phase::Paused { pending, .. } => pending.open().count(),
            Phase::Between | Phase::Calling(_) | Phase::Condensing(_) => 0,
        }
    }

    /// Tells the model of calls that were not answered in time, and goes on.
    pub(super) fn expire_tools(&mut self, ctx: &mut Context<'_>) -> Flow {
        let now = ctx.now;
        let Phase::AwaitingTools(pending) = &mut self.phase else {
            return None;
        };
        let mut expired = Vec::new();
        for pending in &mut pending.calls {
            let late = pending.deadline.is_some_and(|deadline| deadline <= now);
            if pending.result.is_none() && late {
                let text = "the client did not answer this call in time; its effect is not known";
                pending.result = Some(ToolResult::error(pending.call.id.clone(), text));
                ctx.out
                    .note_call(&self.id, &pending.call, CallState::Unknown);
                expired.push(pending.call.id.clone());
            }
        }
        if expired.is_empty() {
            return None;
        }
        self.tell(ctx, Payload::ToolCallsCancelled(expired));
        self.wait_for_rest(ctx)
    }

    /// No Converse stream can bring results any more: the turn pauses.
    pub(crate) fn nobody_answers(&mut self) -> Flow {
        matches!(self.phase, Phase::AwaitingTools(_)).then(Ending::paused)
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
            Phase::AwaitingTools(pending) => Phase::Paused {
                pending,
                since: now,
            },
            Phase::Paused { .. } | Phase::Between | Phase::Calling(_) | Phase::Condensing(_) => {
                phase
            }
        };
    }

    /// Closes the calls that wait, in the history and towards the client.
    pub(super) fn close_calls(&mut self, text: &str, ctx: &mut Context<'_>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        let Phase::AwaitingTools(pending) = phase else {
            self.phase = phase;
            return;
        };
        for call in pending.open() {
            ctx.out.note_call(&self.id, call, CallState::Unknown);
        }
        let open: Vec<String> = pending.open().map(|call| call.id.clone()).collect();
        let origin = ctx.ids.origin(&self.id, ctx.now);
        self.made.extend(ctx.history.answer(
            pending.into_results(),
            text,
            Vec::new(),
            Some(origin),
        ));
        if !open.is_empty() {
            self.tell(ctx, Payload::ToolCallsCancelled(open));
        }
    }
}

/// Checks that a call can run: its tool is declared, its input is JSON that fits the schema.
///
/// Returns the tool's own timeout, or words that the model can act on.
fn check(call: &ToolCall, options: &TurnOptions) -> Result<Option<std::time::Duration>, String> {
    let Some(tool) = options.client_tool(&call.name) else {
        let known: Vec<&str> = options
            .client_tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        return Err(format!(
            "there is no tool {:?}; the tools are: {}",
            call.name,
            known.join(", ")
        ));
    };
    let input: Value = serde_json::from_str(&call.input_json)
        .map_err(|error| format!("the input is not valid JSON: {error}; the tool did not run"))?;
    if !input.is_object() {
        return Err("the input is not a JSON object; the tool did not run".to_owned());
    }
    tool.schema.check(&input).map_err(|faults| {
        let faults = shortened(faults);
        format!("the input does not fit the schema: {faults}; the tool did not run")
    })?;
    Ok(tool.timeout)
}

/// Keeps a text that quotes the model's input from growing with it.
fn shortened(mut text: String) -> String {
    const MOST_BYTES: usize = 1_000;
    if text.len() > MOST_BYTES {
        text.truncate(text.floor_char_boundary(MOST_BYTES));
        text.push('…');
    }
    text
}

/// The stop reason of a part of a turn that waits for tools.
pub(super) const PAUSED: StopReason = StopReason::ToolUse;
