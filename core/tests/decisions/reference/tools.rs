//! What becomes of calls that the server runs, and of requests for consent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use taiwa_core::{
    Reason, ToolCall,
    command::ToolRun,
    event::FrameOutcome,
    input::RunId,
    tool::{ApprovalRequest, CallStatus, CallUpdate, Decision, Resolved},
};

use super::{Phase, Reference, Reply, words::result_tokens};
use crate::acts::Which;

/// The calls of one step that are the server's affair.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// Runs that were begun and have not ended, by name.
    runs: BTreeMap<u64, String>,
    /// Calls that were announced, and whose end was not told.
    calls: BTreeSet<String>,
    /// Requests that wait for an answer, in order.
    asked: Vec<Asked>,
    /// The call that was consented to, and is to be announced next.
    approved: Option<String>,
    /// Calls whose end was told.
    ended: BTreeSet<String>,
    /// What is asked about is not there any more, so that no input can be unfit.
    is_send_gone: bool,
}

#[derive(Clone, Debug)]
struct Asked {
    id: String,
    call_id: String,
    tool: String,
    expires: SystemTime,
}

impl Work {
    /// True when every call has its end.
    pub(super) fn is_done(&self) -> bool {
        self.runs.is_empty() && self.calls.is_empty() && self.asked.is_empty()
    }

    pub(super) fn asks(&self) -> bool {
        !self.asked.is_empty()
    }

    pub(super) fn runs(&self) -> bool {
        !self.runs.is_empty()
    }

    pub(super) fn expires(&self) -> impl Iterator<Item = SystemTime> {
        self.asked.iter().map(|asked| asked.expires)
    }

    /// After all that came of an input.
    pub(super) fn settled(&self, most: usize) {
        assert_eq!(self.approved, None, "a call was consented to in vain");
        assert!(self.runs.len() <= most, "more run than may at once");
        let idle = self.calls.len() - self.runs.len();
        assert!(
            idle == 0 || self.runs.len() == most,
            "a call waits for a place that is free: {self:?}"
        );
    }

    pub(super) fn step_started(&mut self) {
        assert!(self.is_done(), "a step starts before all calls have ended");
        self.ended.clear();
        self.is_send_gone = false;
    }

    pub(super) fn announced(&mut self, call: &ToolCall, is_remembered: bool) {
        let is_approved = self.approved.take().as_ref() == Some(&call.id);
        let needs_consent = call.name == "send";
        assert!(
            !needs_consent || is_approved || is_remembered,
            "nobody consented to {call:?}"
        );
        assert!(self.calls.insert(call.id.clone()));
    }

    pub(super) fn paused(&self, pending: &[ApprovalRequest]) {
        assert!(self.runs.is_empty() && self.calls.is_empty());
        let asked = self.asked.iter().map(|asked| &asked.id);
        assert!(asked.eq(pending.iter().map(|request| &request.id)));
    }

    /// The process ended, and what ran with it.
    pub(super) fn crash(&mut self, has_send: bool) {
        self.runs.clear();
        self.is_send_gone = !has_send;
    }
}

impl Reference {
    /// A run that goes on, or one that does no longer.
    pub(crate) fn run(&self, which: Which) -> Option<RunId> {
        let run = match which {
            Which::Current => *self.turn()?.work.runs.keys().next()?,
            Which::Earlier => *self.closed_runs.last()?,
            Which::Unknown => 999,
        };
        Some(RunId(run))
    }

    /// Number of tools that run.
    pub(crate) fn runs(&self) -> usize {
        self.turn().map_or(0, |turn| turn.work.runs.len())
    }

    /// Names of the requests that wait for an answer.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.turn().map(|turn| &turn.work.asked);
        asked
            .into_iter()
            .flatten()
            .map(|asked| asked.id.clone())
            .collect()
    }

    pub(crate) fn settled_request(&self) -> Option<String> {
        self.settled_requests.last().cloned()
    }

    pub(super) fn is_open(&self, run: RunId) -> bool {
        self.turn()
            .is_some_and(|turn| turn.work.runs.contains_key(&run.0))
    }

    pub(super) fn tool_finished(&mut self, run: RunId) {
        let ended = self
            .turn_mut()
            .and_then(|turn| turn.work.runs.remove(&run.0));
        match ended {
            Some(_) => self.closed_runs.push(run.0),
            None => self.is_void = true,
        }
    }

    pub(super) fn run_tool(&mut self, run: &ToolRun) {
        assert!(run.run.0 > self.newest_run, "a run has an old name");
        self.newest_run = run.run.0;
        let turn = self.turn_mut().expect("a tool runs for nobody");
        assert_eq!(turn.id, *run.turn_id);
        assert!(!turn.interrupted, "a tool runs for a turn that was cut");
        assert!(turn.step.is_none() || turn.step.as_ref().is_some_and(|step| step.stopped));
        turn.work.runs.insert(run.run.0, run.call.id.clone());
    }

    pub(super) fn cancel_tool(&mut self, run: RunId) {
        let open = self
            .turn_mut()
            .and_then(|turn| turn.work.runs.remove(&run.0));
        assert!(open.is_some(), "{run:?} is cancelled and does not run");
        self.closed_runs.push(run.0);
    }

    pub(super) fn update(&mut self, update: &CallUpdate) {
        let turn = self.turn_mut().unwrap();
        let (work, id) = (&mut turn.work, &update.call_id);
        assert!(
            !work.ended.contains(id),
            "{update:?} follows the call's end"
        );
        match update.status {
            CallStatus::Waiting => assert!(work.calls.contains(id)),
            CallStatus::Running => {
                assert!(work.calls.contains(id));
                assert!(
                    work.runs.values().any(|run| run == id),
                    "{update:?} does not run"
                );
            }
            CallStatus::Succeeded
            | CallStatus::Failed
            | CallStatus::Rejected
            | CallStatus::Cancelled
            | CallStatus::Unknown => {
                let is_open = work.runs.values().any(|run| run == id);
                assert!(!is_open, "{update:?} ends what runs");
                work.calls.remove(id);
                work.ended.insert(id.clone());
                let result = update.result.as_ref().expect("an end has its result");
                turn.words.extend(result_tokens(&result.content));
            }
        }
    }

    pub(super) fn request(&mut self, request: &ApprovalRequest) {
        let tool = request.call.name.clone();
        assert_eq!(tool, "send", "consent is asked that nobody wants");
        assert_eq!(self.remembered.get(&tool), None, "consent is asked again");
        let work = &mut self.turn_mut().unwrap().work;
        work.asked.push(Asked {
            id: request.id.clone(),
            call_id: request.call.id.clone(),
            tool,
            expires: request.expires,
        });
    }

    pub(super) fn resolved(&mut self, resolved: &Resolved) {
        let turn = self.turn_mut().unwrap();
        let at = turn
            .work
            .asked
            .iter()
            .position(|asked| asked.id == resolved.approval_id);
        let asked = turn
            .work
            .asked
            .remove(at.expect("a request is settled twice"));
        if resolved.approved {
            assert!(!resolved.expired && !turn.interrupted);
            turn.work.approved = Some(asked.call_id);
        }
        self.settled_requests.push(asked.id);
    }

    /// How an answer to a request must be met.
    pub(super) fn decision(
        &mut self,
        stream: u64,
        id: Option<String>,
        decision: &Decision,
    ) -> Reply {
        let (now, draining) = (self.now, self.draining);
        let is_paused = matches!(self.phase, Phase::Paused(_));
        let Some(turn) = self.turn_mut() else {
            return Reply::Rejected(id, Reason::CallNotPending);
        };
        let waits = turn
            .work
            .asked
            .iter()
            .any(|asked| asked.id == decision.approval_id && now < asked.expires);
        let edited = decision.edited_input_json.as_deref();
        if !waits {
            return Reply::Rejected(id, Reason::CallNotPending);
        }
        let is_unfit = edited.is_some_and(|edited| edited.contains('7'));
        if decision.digest.is_some() || (is_unfit && !turn.work.is_send_gone) {
            return Reply::Rejected(id, Reason::InvalidRequest);
        }
        if is_paused && draining {
            return Reply::Rejected(id, Reason::ShuttingDown);
        }
        if is_paused {
            turn.owner = Some(stream);
        }
        self.note_decision(decision);
        Reply::Accepted(id, FrameOutcome::Applied)
    }

    /// Remembers what is to hold for later calls.
    pub(super) fn note_decision(&mut self, decision: &Decision) {
        if !decision.remember {
            return;
        }
        let asked = self
            .turn()
            .map(|turn| &turn.work.asked)
            .into_iter()
            .flatten();
        let mut asked = asked.filter(|asked| asked.id == decision.approval_id);
        let tool = asked.next().map(|asked| asked.tool.clone());
        self.remembered
            .extend(tool.map(|tool| (tool, decision.approved)));
    }
}
