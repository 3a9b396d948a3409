//! Consent to calls: what is asked, what is answered, and what of it is remembered.

use std::time::Instant;

use super::{
    PendingCall, Phase, Stage, Turn,
    check::{check_input, reason},
};
use crate::{
    error::{Failure, Reason},
    event::Payload,
    limits::{MAX_CLIENT_TOOL_TIMEOUT, after},
    tool::{ApprovalRequest, CallStatus, Decision, Resolved, ToolResult, ToolSpec, digest},
    turn::Context,
};

impl Turn {
    /// Asks for consent to a call, or does as was answered for all of its tool.
    pub(super) fn ask(
        &mut self,
        pending: &mut PendingCall,
        spec: &ToolSpec,
        ctx: &mut Context<'_>,
    ) {
        match ctx.remembered.get(&pending.call.name) {
            Some(true) => return self.release(pending, ctx),
            Some(false) => {
                let text = "the user refused all calls of this tool; it did not run";
                return self.refuse_call(pending, text.to_owned(), ctx);
            }
            None => {}
        }
        let wait = ctx.limits.approval_timeout.min(MAX_CLIENT_TOOL_TIMEOUT);
        let deadline = after(ctx.now, wait);
        let request = ApprovalRequest {
            id: ctx.ids.approval(),
            digest: digest(&pending.call),
            call: pending.call.clone(),
            reason: reason(spec).to_owned(),
            expires: ctx.ids.clock().system_at(deadline),
        };
        self.tell(ctx, Payload::ApprovalRequest(Box::new(request.clone())));
        pending.stage = Stage::Asking {
            request: Box::new(request),
            deadline,
        };
    }

    /// Tells whether a decision can be taken.
    ///
    /// # Errors
    ///
    /// `CALL_NOT_PENDING` when nothing of that id waits any more; `INVALID_REQUEST` when it was made of
    /// another input, or its own input does not fit. The request waits on.
    pub(crate) fn check_decision(&self, decision: &Decision, now: Instant) -> Result<(), Failure> {
        let pending = self.pending().into_iter().flat_map(|it| &it.calls);
        let asked = pending.filter_map(|pending| match &pending.stage {
            Stage::Asking { request, deadline } => (now < *deadline).then_some(request),
            Stage::Queued | Stage::Running(_) | Stage::Out { .. } | Stage::Done(_) => None,
        });
        let mut asked = asked.filter(|request| request.id == decision.approval_id);
        let request = asked
            .next()
            .ok_or_else(|| not_asked(&decision.approval_id))?;
        let digest = decision.digest.as_deref();
        if digest.is_some_and(|digest| *digest != request.digest) {
            let text = "must be that of the approval request: another call was meant";
            return Err(Failure::invalid("approval_decision.digest", text));
        }
        let Some(edited) = &decision.edited_input_json else {
            return Ok(());
        };
        if !decision.approved || decision.remember {
            let text = "must be empty for a decision that refuses, or that is to be remembered";
            let field = "approval_decision.edited_input_json";
            return Err(Failure::invalid(field, text));
        }
        let Some((_, spec)) = self.find_tool(&request.call.name) else {
            return Ok(());
        };
        let checked = check_input(edited, &spec);
        checked
            .map(drop)
            .map_err(|text| Failure::invalid("approval_decision.edited_input_json", text))
    }

    /// Takes a decision that [`Turn::check_decision`] found good.
    pub(crate) fn decide(&mut self, decision: Decision, ctx: &mut Context<'_>) {
        let Phase::AwaitingTools(mut waiting) = std::mem::replace(&mut self.phase, Phase::Between)
        else {
            return;
        };
        let asked = waiting.calls.iter_mut().find(|pending| {
            matches!(&pending.stage, Stage::Asking { request, .. }
                if request.id == decision.approval_id)
        });
        let call_id = asked.map(|pending| {
            self.settle_request(pending, decision, ctx);
            pending.call.id.clone()
        });
        self.phase = Phase::AwaitingTools(waiting);
        self.start_runs(ctx);
        self.tell_queued(call_id.as_deref(), ctx);
    }

    fn settle_request(
        &mut self,
        pending: &mut PendingCall,
        decision: Decision,
        ctx: &mut Context<'_>,
    ) {
        if decision.remember {
            let tool = pending.call.name.clone();
            ctx.remembered.insert(tool, decision.approved);
        }
        self.tell(
            ctx,
            Payload::ApprovalResolved(Resolved {
                approval_id: decision.approval_id,
                approved: decision.approved,
                expired: false,
            }),
        );
        let comment = decision.comment.trim();
        if !decision.approved {
            let text = match comment {
                "" => "the user refused this call; the tool did not run".to_owned(),
                comment => {
                    format!("the user refused this call; the tool did not run. They say: {comment}")
                }
            };
            return self.refuse_call(pending, text, ctx);
        }
        if let Some(edited) = decision.edited_input_json {
            pending.notes.push(format!(
                "The user changed the input of this call to {edited}"
            ));
            pending.call.input_json = edited;
        }
        if !comment.is_empty() {
            pending
                .notes
                .push(format!("The user says to this call: {comment}"));
        }
        self.release(pending, ctx);
    }

    fn refuse_call(&mut self, pending: &mut PendingCall, text: String, ctx: &mut Context<'_>) {
        let result = ToolResult::error(pending.call.id.clone(), text);
        self.tell_update(
            &pending.call,
            CallStatus::Rejected,
            Some(&result),
            None,
            ctx,
        );
        pending.finish(result);
    }

    /// Nobody answered in time: that is a refusal.
    pub(super) fn expire_request(
        &mut self,
        pending: &mut PendingCall,
        request: &ApprovalRequest,
        ctx: &mut Context<'_>,
    ) {
        self.tell_unapproved(request, true, ctx);
        let text = "nobody consented to this call in time; the tool did not run";
        self.refuse_call(pending, text.to_owned(), ctx);
    }

    /// The turn ends: the question is moot.
    pub(super) fn drop_request(
        &mut self,
        pending: &mut PendingCall,
        request: &ApprovalRequest,
        is_expired: bool,
        why: &str,
        ctx: &mut Context<'_>,
    ) {
        self.tell_unapproved(request, is_expired, ctx);
        self.drop_queued(pending, why, ctx);
    }

    fn tell_unapproved(&self, request: &ApprovalRequest, expired: bool, ctx: &mut Context<'_>) {
        self.tell(
            ctx,
            Payload::ApprovalResolved(Resolved {
                approval_id: request.id.clone(),
                approved: false,
                expired,
            }),
        );
    }
}

/// What is said of an approval that does not wait.
pub(crate) fn not_asked(approval_id: &str) -> Failure {
    let text = "no approval with this id waits for an answer";
    Failure::new(Reason::CallNotPending, text).fact("approval_id", approval_id)
}
