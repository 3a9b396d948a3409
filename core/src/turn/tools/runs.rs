//! Calls that the server runs: how many at once, what came of them, and how they are stopped.

use std::time::{Duration, Instant};

use super::{
    PendingCall, Phase, Stage, Turn,
    pending::{Lost, Pending, Run},
};
use crate::{
    command::{Command, ToolRun},
    event::Payload,
    input::RunId,
    limits::{Limits, MAX_MESSAGE_BLOCKS, after},
    saved::CallState,
    tool::{Allowance, CallStatus, CallUpdate, Executor, RunEnd, RunOutcome, ToolCall, ToolResult},
    turn::{Context, Flow},
    usage::Usage,
};

impl Turn {
    /// Starts as many of the calls that wait as may run at once.
    pub(super) fn start_runs(&mut self, ctx: &mut Context<'_>) {
        let Phase::AwaitingTools(mut pending) = std::mem::replace(&mut self.phase, Phase::Between)
        else {
            return;
        };
        let mut free = ctx
            .limits
            .max_concurrent_tools
            .get()
            .saturating_sub(pending.running());
        let allowance = self.allowance(&pending);
        for call in &mut pending.calls {
            if free == 0 {
                break;
            }
            if matches!(call.stage, Stage::Queued) && call.call.executor == Executor::Server {
                self.start_run(call, allowance, ctx);
                free -= usize::from(matches!(call.stage, Stage::Running(_)));
            }
        }
        pending.note_running(ctx.now);
        self.phase = Phase::AwaitingTools(pending);
    }

    fn start_run(
        &mut self,
        pending: &mut PendingCall,
        allowance: Allowance,
        ctx: &mut Context<'_>,
    ) {
        let Some((Executor::Server, spec)) = self.find_tool(&pending.call.name) else {
            let text = "the tool is not there any more; it did not run";
            let result = ToolResult::error(pending.call.id.clone(), text);
            self.tell_update(&pending.call, CallStatus::Failed, Some(&result), None, ctx);
            return pending.finish(result);
        };
        let own = after(ctx.now, spec.timeout.unwrap_or(ctx.limits.tool_timeout));
        let run = Run {
            id: ctx.ids.run(),
            since: ctx.now,
            deadline: own,
        };
        pending.call.expires = Some(ctx.ids.clock().system_at(own.min(self.deadline())));
        ctx.out
            .note_call(&self.id, &pending.call, CallState::Started);
        ctx.out.command(Command::RunTool(Box::new(ToolRun {
            run: run.id,
            turn_id: std::sync::Arc::clone(&self.id),
            stream: self.stream,
            call: pending.call.clone(),
            deadline: own.min(self.deadline()),
            allowance,
        })));
        self.tell_update(&pending.call, CallStatus::Running, None, None, ctx);
        pending.stage = Stage::Running(run);
    }

    /// What each call that spends on models may spend: together no more than the turn has left,
    /// with those that may run yet, once a person consents.
    fn allowance(&self, pending: &Pending) -> Allowance {
        let spends = |call: &&PendingCall| {
            let is_over = matches!(call.stage, Stage::Done(_));
            !is_over
                && self
                    .tools
                    .find(&call.call.name)
                    .is_some_and(|tool| tool.spends)
        };
        let shares = pending.calls.iter().filter(spends).count().max(1) as u64;
        self.budget.share(shares)
    }

    /// Tells of calls for which there is no place yet: of all, or of one.
    pub(super) fn tell_queued(&self, call_id: Option<&str>, ctx: &mut Context<'_>) {
        let Phase::AwaitingTools(pending) = &self.phase else {
            return;
        };
        for call in &pending.calls {
            let is_meant = call_id.is_none_or(|id| *id == call.call.id);
            if is_meant && matches!(call.stage, Stage::Queued) {
                self.tell_update(&call.call, CallStatus::Waiting, None, None, ctx);
            }
        }
    }

    /// A tool says how far it is.
    pub(crate) fn tool_progress(&mut self, run: RunId, text: String, ctx: &mut Context<'_>) {
        let Phase::AwaitingTools(pending) = &mut self.phase else {
            return;
        };
        let Some(call) = pending.find_run(run).map(|pending| pending.call.clone()) else {
            return;
        };
        let update = CallUpdate {
            call_id: call.id,
            name: call.name,
            status: CallStatus::Running,
            progress: text,
            result: None,
            duration: None,
        };
        self.tell(ctx, Payload::ToolCallUpdate(Box::new(update)));
    }

    /// A tool that the server ran has ended; of one that was given up only what it spent counts.
    pub(crate) fn tool_finished(
        &mut self,
        run: RunId,
        outcome: RunOutcome,
        ctx: &mut Context<'_>,
    ) -> Flow {
        let is_late = self.given_up.remove(&run);
        let held = ctx
            .history
            .size_bytes()
            .saturating_add(self.waiting_bytes());
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        let Phase::AwaitingTools(mut pending) = phase else {
            self.phase = phase;
            self.spend(outcome.usage.filter(|_| is_late));
            return None;
        };
        let Some(call) = pending.find_run(run) else {
            self.phase = Phase::AwaitingTools(pending);
            self.spend(outcome.usage.filter(|_| is_late));
            return None;
        };
        self.spend(outcome.usage);
        let (status, state) = match outcome.end {
            RunEnd::Succeeded => (CallStatus::Succeeded, CallState::Finished),
            RunEnd::Failed => (CallStatus::Failed, CallState::Finished),
            RunEnd::Unknown => (CallStatus::Unknown, CallState::Unknown),
        };
        let result = ToolResult {
            call_id: call.call.id.clone(),
            content: outcome.content,
            is_error: outcome.end != RunEnd::Succeeded,
            kind: String::new(),
        };
        let result = bounded(result, held, ctx.limits);
        ctx.out.note_call(&self.id, &call.call, state);
        let since = match &call.stage {
            Stage::Running(run) => Some(run.since),
            Stage::Asking { .. } | Stage::Queued | Stage::Out { .. } | Stage::Done(_) => None,
        };
        self.tell_update(&call.call, status, Some(&result), since, ctx);
        call.finish(result);
        self.phase = Phase::AwaitingTools(pending);
        self.start_runs(ctx);
        self.wait_for_rest(ctx)
    }

    /// Counts what a tool spent on models.
    fn spend(&mut self, usage: Option<Usage>) {
        if let Some(usage) = usage {
            self.budget.settle(&usage);
            self.answer.usage.add(&usage);
        }
    }

    /// A tool that took too long is stopped.
    pub(super) fn expire_run(
        &mut self,
        pending: &mut PendingCall,
        run: &Run,
        ctx: &mut Context<'_>,
    ) {
        ctx.out.command(Command::CancelTool(run.id));
        self.given_up.insert(run.id);
        ctx.out
            .note_call(&self.id, &pending.call, CallState::Unknown);
        let limit = Duration::from_millis(
            run.deadline
                .saturating_duration_since(run.since)
                .as_millis()
                .try_into()
                .unwrap_or(u64::MAX),
        );
        let text = format!(
            "the tool gave no result within {limit:?} and was stopped; whether it took effect is \
             not known"
        );
        let result = ToolResult::error(pending.call.id.clone(), text);
        let since = Some(run.since);
        self.tell_update(
            &pending.call,
            CallStatus::Unknown,
            Some(&result),
            since,
            ctx,
        );
        pending.finish(result);
    }

    /// The turn ends while the tool runs; the command that stops it was given.
    pub(super) fn drop_run(
        &mut self,
        pending: &mut PendingCall,
        run: &Run,
        why: &str,
        ctx: &mut Context<'_>,
    ) {
        ctx.out
            .note_call(&self.id, &pending.call, CallState::Unknown);
        let text = format!("not known: {why} while the tool ran, and it was stopped");
        let result = ToolResult::error(pending.call.id.clone(), text);
        let since = Some(run.since);
        self.tell_update(
            &pending.call,
            CallStatus::Cancelled,
            Some(&result),
            since,
            ctx,
        );
        pending.finish(result);
    }

    /// The turn ends before the call ran.
    pub(super) fn drop_queued(
        &mut self,
        pending: &mut PendingCall,
        why: &str,
        ctx: &mut Context<'_>,
    ) {
        let text = format!("not run: {why} before the tool could run");
        let result = ToolResult::error(pending.call.id.clone(), text);
        self.tell_update(
            &pending.call,
            CallStatus::Cancelled,
            Some(&result),
            None,
            ctx,
        );
        pending.finish(result);
    }

    /// Tells of calls that an earlier process ran or was to run, and nobody ended.
    pub(in crate::turn) fn tell_lost(&self, calls: &[Lost], ctx: &mut Context<'_>) {
        for Lost {
            call,
            status,
            result,
        } in calls
        {
            if *status == CallStatus::Unknown {
                ctx.out.note_call(&self.id, call, CallState::Unknown);
            }
            self.tell_update(call, *status, Some(result), None, ctx);
        }
    }

    pub(super) fn tell_update(
        &self,
        call: &ToolCall,
        status: CallStatus,
        result: Option<&ToolResult>,
        since: Option<Instant>,
        ctx: &mut Context<'_>,
    ) {
        let update = CallUpdate {
            call_id: call.id.clone(),
            name: call.name.clone(),
            status,
            progress: String::new(),
            result: result.map(ToolResult::shortened),
            duration: since.map(|since| ctx.now.saturating_duration_since(since)),
        };
        self.tell(ctx, Payload::ToolCallUpdate(Box::new(update)));
    }
}

/// What the model is sent of a result, beside so many bytes of the session: of one that is too
/// large, that it was.
fn bounded(result: ToolResult, held: usize, limits: &Limits) -> ToolResult {
    let (size, most) = (result.size_bytes(), limits.max_tool_result_bytes);
    let text = if size > most {
        format!("the tool gave more than {most} bytes, which are left out")
    } else if result.content.len() > MAX_MESSAGE_BLOCKS {
        format!("the tool gave more than {MAX_MESSAGE_BLOCKS} blocks, which are left out")
    } else if held.saturating_add(size) > limits.max_history_bytes {
        "the tool gave a result for which this conversation has no room; it is left out".to_owned()
    } else {
        return result;
    };
    ToolResult::error(result.call_id, text)
}
