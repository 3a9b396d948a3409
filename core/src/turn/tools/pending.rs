//! The calls of one step: where each stands, and when it is late.

use std::time::{Duration, Instant};

use crate::{
    clock::Clock,
    history::History,
    input::RunId,
    saved,
    tool::{ApprovalRequest, CallStatus, ToolCall, ToolResult, ToolResultBlock},
};

/// Calls of one step that wait for their results.
#[derive(Debug)]
pub(in crate::turn) struct Pending {
    pub(super) calls: Vec<PendingCall>,
    pub(super) since: Instant,
    /// How long the server ran calls, up to the newest moment at which it ran none.
    ran: Duration,
    /// Since when it runs some.
    running_since: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct PendingCall {
    pub(super) call: ToolCall,
    pub(super) stage: Stage,
    /// What a person did to the call, for the model to know.
    pub(super) notes: Vec<String>,
}

/// Where a call stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// A person is asked for consent.
    Asking {
        request: Box<ApprovalRequest>,
        deadline: Instant,
    },
    /// The server is to run it, and as many run as may at once.
    Queued,
    /// The server runs it.
    Running(Run),
    /// The client has it.
    Out {
        /// When its result is no longer waited for.
        deadline: Instant,
    },
    /// It has its result.
    Done(ToolResult),
}

/// A call that an earlier process ran or was to run, and how it ends.
#[derive(Debug)]
pub(in crate::turn) struct Lost {
    pub(super) call: ToolCall,
    pub(super) status: CallStatus,
    pub(super) result: ToolResult,
}

/// A call that the server runs.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) since: Instant,
    pub(super) deadline: Instant,
}

impl PendingCall {
    pub(super) fn new(call: ToolCall, stage: Stage) -> Self {
        Self {
            call,
            stage,
            notes: Vec::new(),
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_))
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Asking { deadline, .. } | Stage::Out { deadline } => Some(*deadline),
            Stage::Running(run) => Some(run.deadline),
            Stage::Queued | Stage::Done(_) => None,
        }
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Gives the call its result, with what a person did to it.
    pub(super) fn finish(&mut self, mut result: ToolResult) {
        let notes = std::mem::take(&mut self.notes);
        result
            .content
            .splice(0..0, notes.into_iter().map(ToolResultBlock::Text));
        self.stage = Stage::Done(result);
    }

    fn save(&self) -> saved::Pending {
        let mut saved = saved::Pending {
            call: self.call.clone(),
            result: None,
            stage: saved::Stage::Out,
            notes: self.notes.clone(),
        };
        match &self.stage {
            Stage::Asking { request, .. } => saved.stage = saved::Stage::Asking(request.clone()),
            Stage::Queued => saved.stage = saved::Stage::Queued,
            Stage::Running(_) => saved.stage = saved::Stage::Running,
            Stage::Out { .. } => {}
            Stage::Done(result) => saved.result = Some(result.clone()),
        }
        saved
    }

    /// Takes up a call that was kept.
    ///
    /// What the server ran has nobody to end it, and is not run again.
    fn restore(saved: saved::Pending, now: Instant, clock: &Clock) -> (Self, Option<Lost>) {
        let mut pending = Self::new(saved.call, Stage::Queued);
        pending.notes = saved.notes;
        let (status, text) = match (saved.result, saved.stage) {
            (Some(result), _) => {
                pending.stage = Stage::Done(result);
                return (pending, None);
            }
            (None, saved::Stage::Out) => {
                let expires = pending.call.expires;
                pending.stage = Stage::Out {
                    deadline: expires.map_or(now, |at| clock.instant_at(at)),
                };
                return (pending, None);
            }
            (None, saved::Stage::Asking(request)) => {
                pending.stage = Stage::Asking {
                    deadline: clock.instant_at(request.expires),
                    request,
                };
                return (pending, None);
            }
            (None, saved::Stage::Queued) => (CallStatus::Cancelled, NOT_RUN),
            (None, saved::Stage::Running) => (CallStatus::Unknown, LOST),
        };
        let result = ToolResult::error(pending.call.id.clone(), text);
        let lost = Lost {
            call: pending.call.clone(),
            status,
            result: result.clone(),
        };
        pending.finish(result);
        (pending, Some(lost))
    }
}

/// What the model is told of a call whose server died before it ran.
const NOT_RUN: &str = "not run: the server stopped before the tool could run";

/// What the model is told of a call whose server died.
const LOST: &str = "not known: the server stopped while the tool ran; it may have taken effect, \
                    and was not run again";

impl Pending {
    pub(super) fn new(calls: Vec<PendingCall>, since: Instant) -> Self {
        Self {
            calls,
            since,
            ran: Duration::ZERO,
            running_since: None,
        }
    }

    /// Calls that the client has and has not answered, in the model's order.
    pub(in crate::turn) fn open_calls(&self) -> Vec<ToolCall> {
        let open = self
            .calls
            .iter()
            .filter(|pending| matches!(pending.stage, Stage::Out { .. }));
        open.map(|pending| pending.call.clone()).collect()
    }

    /// Approvals that wait for an answer, in the model's order.
    pub(in crate::turn) fn requests(&self) -> Vec<ApprovalRequest> {
        let asking = self
            .calls
            .iter()
            .filter_map(|pending| match &pending.stage {
                Stage::Asking { request, .. } => Some(ApprovalRequest::clone(request)),
                Stage::Queued | Stage::Running(_) | Stage::Out { .. } | Stage::Done(_) => None,
            });
        asking.collect()
    }

    pub(in crate::turn) fn asks(&self) -> bool {
        self.calls
            .iter()
            .any(|pending| matches!(pending.stage, Stage::Asking { .. }))
    }

    /// Number of calls that have no result.
    pub(super) fn waiting(&self) -> usize {
        self.calls.iter().filter(|call| !call.is_done()).count()
    }

    /// Number of calls that the server runs.
    pub(super) fn running(&self) -> usize {
        let running = |call: &&PendingCall| matches!(call.stage, Stage::Running(_));
        self.calls.iter().filter(running).count()
    }

    /// Notes whether the server runs calls from here on.
    pub(super) fn note_running(&mut self, now: Instant) {
        if self.running() > 0 {
            self.running_since.get_or_insert(now);
        } else if let Some(since) = self.running_since.take() {
            self.ran += now.saturating_duration_since(since);
        }
    }

    /// Tells how long the server ran calls and how long others were waited for, and counts anew.
    pub(super) fn take_times(&mut self, now: Instant) -> (Duration, Duration) {
        let running = self.running_since.take();
        let running = running.map(|since| now.saturating_duration_since(since));
        let ran = std::mem::take(&mut self.ran) + running.unwrap_or_default();
        let passed = now.saturating_duration_since(self.since);
        self.since = now;
        (ran, passed.saturating_sub(ran))
    }

    pub(in crate::turn) fn since(&self) -> Instant {
        self.since
    }

    pub(in crate::turn) fn deadline(&self) -> Option<Instant> {
        self.calls.iter().filter_map(PendingCall::deadline).min()
    }

    pub(in crate::turn) fn is_overdue(&self, now: Instant) -> bool {
        self.calls.iter().any(|call| call.is_overdue(now))
    }

    pub(super) fn find_run(&mut self, id: RunId) -> Option<&mut PendingCall> {
        self.calls
            .iter_mut()
            .find(|pending| matches!(&pending.stage, Stage::Running(run) if run.id == id))
    }

    /// Takes up calls that were kept; tells which of them have nobody to end them.
    pub(in crate::turn) fn restore(
        calls: Vec<saved::Pending>,
        since: Instant,
        now: Instant,
        clock: &Clock,
    ) -> (Self, Vec<Lost>) {
        let restored = calls
            .into_iter()
            .map(|saved| PendingCall::restore(saved, now, clock));
        let (calls, lost): (_, Vec<_>) = restored.unzip();
        (
            Self::new(calls, since),
            lost.into_iter().flatten().collect(),
        )
    }

    /// True when every call has its result.
    pub(in crate::turn) fn is_answered(&self) -> bool {
        self.waiting() == 0
    }

    /// True when the history ends with these calls.
    pub(in crate::turn) fn is_asked_by(&self, history: &History) -> bool {
        let last = history.messages().last();
        let asked = last.into_iter().flat_map(|message| message.open_calls());
        let pending = self.calls.iter().map(|pending| &pending.call.id);
        asked.map(|call| &call.id).eq(pending)
    }

    pub(in crate::turn) fn save(&self) -> Vec<saved::Pending> {
        self.calls.iter().map(PendingCall::save).collect()
    }

    /// Bytes of results that wait for those of other calls.
    pub(in crate::turn) fn result_bytes(&self) -> usize {
        let results = self
            .calls
            .iter()
            .filter_map(|pending| match &pending.stage {
                Stage::Done(result) => Some(result.size_bytes()),
                Stage::Asking { .. } | Stage::Queued | Stage::Running(_) | Stage::Out { .. } => {
                    None
                }
            });
        results.sum()
    }

    pub(super) fn into_results(self) -> Vec<ToolResult> {
        let results = self
            .calls
            .into_iter()
            .filter_map(|pending| match pending.stage {
                Stage::Done(result) => Some(result),
                Stage::Asking { .. } | Stage::Queued | Stage::Running(_) | Stage::Out { .. } => {
                    None
                }
            });
        results.collect()
    }
}
