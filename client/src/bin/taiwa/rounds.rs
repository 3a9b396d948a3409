//! A turn that pauses for answers, and goes on by the next call.

use std::time::{Duration, Instant};

use taiwa_client::{Client, Decision, Error, Request, pb};

use crate::{
    args::Turn,
    calls::Look,
    consent::{self, Asker, Consent},
    failure::Failure,
    output::Output,
    request::request,
    scripts::Scripts,
};

/// How long a command that was told to stop waits for the server to hear of it.
const LEAVE: Duration = Duration::from_secs(2);

/// What asks for a turn, part by part, and answers what it waits for in between.
pub(crate) struct Rounds<'a> {
    first: Request,
    allowed: Option<Duration>,
    begun: Instant,
    scripts: Scripts,
    consent: Consent,
    /// For the arguments of a call.
    editor: Option<String>,
    output: &'a Output,
    /// Lines of standard input, from the first question on.
    lines: Option<consent::Lines>,
    /// The pause that is being answered: session and turn.
    paused: Option<(String, String)>,
}

impl<'a> Rounds<'a> {
    /// Reads the prompt and the scripts; `observe` is told of the connection.
    pub(crate) fn begin(
        turn: &Turn,
        observe: impl Fn(taiwa_client::Connection) + Send + Sync + 'static,
        output: &'a Output,
    ) -> Result<Self, Failure> {
        let scripts = Scripts::load(&turn.answers)?;
        Ok(Self {
            first: request(&turn.asked, scripts.specs())?.on_connection(observe),
            allowed: turn.asked.settings.timeout,
            begun: Instant::now(),
            scripts,
            consent: Consent::new(&turn.answers, false),
            editor: turn.answers.editor.clone(),
            output,
            lines: None,
            paused: None,
        })
    }

    /// Whether the model may call scripts.
    pub(crate) fn has_scripts(&self) -> bool {
        !self.scripts.is_empty()
    }

    /// The request that begins the turn.
    pub(crate) fn first(&self) -> Request {
        self.first.clone()
    }

    /// Answers what a paused turn waits for; gives the request that goes on with it, and none
    /// where the turn does not wait, or for something that this command cannot give.
    ///
    /// `is_told` says whether the calls were shown already.
    pub(crate) async fn answer(
        &mut self,
        result: &pb::TurnResult,
        is_told: bool,
    ) -> Result<Option<Request>, Failure> {
        let waiting = Waiting::of(result);
        let is_ours = |call: &&pb::ToolCall| self.scripts.has(&call.tool_name);
        if waiting.is_empty() || !waiting.calls.iter().all(is_ours) {
            return Ok(None);
        }
        self.paused = Some((result.session_id.clone(), result.turn_id.clone()));
        let answered = match self.left() {
            None => self.answers(&waiting, &result.session_id, is_told).await,
            Some(left) => {
                let answers = self.answers(&waiting, &result.session_id, is_told);
                let answered = tokio::time::timeout(left, answers).await;
                answered.unwrap_or_else(|_elapsed| Err(self.too_late()))
            }
        };
        let (results, decisions) = answered?;
        let mut next = self.first.continuing(result);
        if let Some(left) = self.left() {
            next = next.timeout(left);
        }
        next = results.into_iter().fold(next, Request::tool_result);
        Ok(Some(decisions.into_iter().fold(next, Request::decide)))
    }

    /// Says that the request was taken: what happens to the turn is told by its own call.
    pub(crate) fn goes_on(&mut self) {
        self.paused = None;
    }

    /// Stops what runs here, and the turn if it waits for that.
    pub(crate) async fn leave(&mut self, client: &Client) {
        self.scripts.stop_all();
        if let Some((session_id, turn_id)) = self.paused.take() {
            let cancelling = client.cancel(session_id, turn_id, "the client went away");
            // Whoever leaves is told of nothing any more.
            let _ = tokio::time::timeout(LEAVE, cancelling).await;
        }
    }

    async fn answers(
        &mut self,
        waiting: &Waiting<'_>,
        session_id: &str,
        is_told: bool,
    ) -> Result<(Vec<pb::ToolResult>, Vec<Decision>), Failure> {
        let look = Look::new(self.output);
        for call in &waiting.calls {
            if !is_told {
                self.remark(&look.begun(call));
            }
            self.scripts.start(call, session_id);
        }
        let mut decisions = Vec::new();
        for request in waiting.approvals {
            decisions.push(self.decide(request).await?);
        }
        let mut results = Vec::new();
        while self.scripts.is_running()
            && let Some((result, took)) = self.scripts.next().await
        {
            let mut calls = waiting.calls.iter();
            let call = calls.find(|call| call.tool_call_id == result.tool_call_id);
            let name = call.map_or("", |call| &call.tool_name);
            self.remark(&look.answered(name, &result, took));
            results.push(result);
        }
        Ok((results, decisions))
    }

    async fn decide(&mut self, request: &pb::ApprovalRequest) -> Result<Decision, Failure> {
        if let Some((decision, said)) = self.consent.by_itself(request) {
            self.output.remark(&said);
            return Ok(decision);
        }
        let asker = Asker::new(self.output, self.editor.clone());
        let lines = self.lines.get_or_insert_with(consent::lines);
        asker.ask(request, lines).await
    }

    fn remark(&self, lines: &[String]) {
        for line in lines {
            self.output.remark(line);
        }
    }

    fn left(&self) -> Option<Duration> {
        let allowed = self.allowed?;
        Some(allowed.saturating_sub(self.begun.elapsed()))
    }

    fn too_late(&self) -> Failure {
        let allowed = self.allowed.unwrap_or_default();
        Failure::from(Error::DeadlineExceeded { allowed })
    }
}

/// What a paused turn waits for.
struct Waiting<'a> {
    calls: Vec<&'a pb::ToolCall>,
    approvals: &'a [pb::ApprovalRequest],
}

impl<'a> Waiting<'a> {
    fn of(result: &'a pb::TurnResult) -> Self {
        if result.status() != pb::TurnStatus::Paused {
            return Self {
                calls: Vec::new(),
                approvals: &[],
            };
        }
        let approvals = &result.pending_approvals[..];
        let needs_consent = |call: &pb::ToolCall| {
            let asked = approvals
                .iter()
                .filter_map(|asked| asked.tool_call.as_ref());
            asked
                .into_iter()
                .any(|asked| asked.tool_call_id == call.tool_call_id)
        };
        let calls = result.pending_tool_calls.iter();
        Self {
            calls: calls.filter(|call| !needs_consent(call)).collect(),
            approvals,
        }
    }

    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.approvals.is_empty()
    }
}
