//! A server's calls as methods.

use tokio::time::Instant;
use tonic::{Response, Status, transport::Channel};
use uuid::Uuid;

use crate::{
    Builder, Conversation, Error, Reconnect, Request, Setup, Tools, Turn,
    pb::{
        self, agent_service_client::AgentServiceClient,
        session_service_client::SessionServiceClient,
    },
    repeat::{Failed, repeat},
    request::{CallSettings, Deadline},
};

/// A connection to a Taiwa server, with its calls.
///
/// Clones share the connection, which is made again after it broke: keep one
/// client for as long as the program runs. A server allows so many calls on one
/// connection, and those beyond wait for one to end: for hundreds of calls at
/// once, connect several clients.
///
/// Calls whose connection is lost are taken up again, as [`Reconnect`] says.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) stub: AgentServiceClient<Channel>,
    pub(crate) sessions: SessionServiceClient<Channel>,
    pub(crate) endpoint: String,
    pub(crate) reconnect: Reconnect,
}

/// A turn's reply, whole.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// The reply's text alone.
    pub text: String,
    /// Everything else: stop reason, usage, tool calls that wait, the session's id.
    pub result: pb::TurnResult,
}

impl Client {
    /// Connects with the default settings; `https://` trusts what the machine trusts.
    ///
    /// # Errors
    ///
    /// [`Error::Endpoint`] when the address cannot be used,
    /// [`Error::Unreachable`] when there is no connection to be had.
    pub async fn connect(endpoint: impl Into<String>) -> Result<Self, Error> {
        Self::builder(endpoint).connect().await
    }

    /// Begins with the address of a server; TLS and limits follow.
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder::new(endpoint)
    }

    /// Runs one turn and waits for its whole reply.
    ///
    /// When the connection is lost the request is sent again under its
    /// [`request_id`](Request::request_id), which acts once: the reply is that of the first, if
    /// the turn had ended. A turn that still ran ends with its connection, and is not run twice;
    /// that is [`Error::Cut`]. What must outlive its connection is [`stream`](Self::stream)ed.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the request is refused or the turn fails;
    /// [`Error::DeadlineExceeded`] when the request's timeout passed;
    /// [`Error::Unreachable`] when the connection is gone, [`Error::Cut`] when the turn is gone
    /// with it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call, and with it the turn.
    pub async fn invoke(&self, request: impl Into<Request>) -> Result<Reply, Error> {
        let Request { mut message, call } = request.into();
        self.name(&mut message.request_id);
        let terms = call.terms(&self.endpoint, &self.reconnect);
        let answer = repeat(&terms, || {
            let request = call.wrap(message.clone(), terms.deadline);
            let mut stub = self.stub.clone();
            async move { stub.invoke(request).await }
        });
        let response = match answer.await {
            Ok(response) => response,
            Err(failed) => return Err(self.lost_turn(failed, terms.deadline)),
        };
        let missing = Error::Contract("an answer to Invoke has no result");
        Ok(Reply {
            text: response.text,
            result: response.result.ok_or(missing)?,
        })
    }

    /// Runs one turn whose calls of client tools are answered by `tools`, and
    /// waits for the final reply.
    ///
    /// Declares the tools, runs those that the model calls, side by side, and
    /// continues the turn with their results until it no longer waits for any.
    /// The request's timeout bounds the whole of it; how many rounds there may
    /// be is the agent's limit of steps.
    ///
    /// A turn that waits for a person's consent comes back paused, with none of its waiting calls
    /// run: answer its `pending_approvals` and `pending_tool_calls` in
    /// [`Request::continuing`].
    ///
    /// # Errors
    ///
    /// As [`invoke`](Self::invoke). A tool that fails is no error here: the
    /// model is told.
    pub async fn invoke_with_tools(
        &self,
        request: impl Into<Request>,
        tools: &Tools,
    ) -> Result<Reply, Error> {
        let mut request = request.into();
        let allowed = request.call.timeout;
        let deadline = allowed.map(|allowed| (Instant::now() + allowed, allowed));
        request.options_mut().client_tools.extend(tools.specs());
        let first = request.clone();
        loop {
            let reply = self.invoke(request).await?;
            let result = &reply.result;
            // What a person must decide is not decided here.
            if result.status() != pb::TurnStatus::Paused || !result.pending_approvals.is_empty() {
                return Ok(reply);
            }
            let running = tools.run_all(&result.pending_tool_calls);
            let tool_results = match deadline {
                None => running.await,
                Some((at, allowed)) => tokio::time::timeout_at(at, running)
                    .await
                    .map_err(|_elapsed| Error::DeadlineExceeded { allowed })?,
            };
            request = first.continuing(result);
            request.message.tool_results = tool_results;
            if let Some((at, _)) = deadline {
                request.call.timeout = Some(at.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Runs one turn and gives its events as they happen.
    ///
    /// When the connection is lost the [`Turn`] goes on where it was, without loss or repeat.
    /// For that the turn must outlive its connection, so the request asks for
    /// `DISCONNECT_POLICY_CONTINUE` where its caller left that open, and dropping the [`Turn`]
    /// cancels it by a call of its own. A program that is killed leaves the turn to run to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the request is refused, [`Error::Unreachable`]
    /// when the connection is gone; what fails later is told by the [`Turn`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the turn, as dropping the [`Turn`] does.
    pub async fn stream(&self, request: impl Into<Request>) -> Result<Turn, Error> {
        let Request { mut message, call } = request.into();
        self.name(&mut message.request_id);
        Turn::open(self.clone(), message, call).await
    }

    /// Goes on with the events of a turn after a cursor, such as one that another process began
    /// to read; zero means all that are kept.
    ///
    /// The first event is [`Payload::StreamResumed`](crate::Payload::StreamResumed), which says
    /// whether some are gone; of a turn whose events are gone wholly,
    /// [`Error::EventsLost`] and its end are left. Dropping it leaves the turn to run on.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] with `SESSION_NOT_FOUND` or `TURN_NOT_FOUND`, and with `INVALID_REQUEST`
    /// for a cursor above the newest event.
    pub async fn resume(
        &self,
        session_id: impl Into<String>,
        turn_id: impl Into<String>,
        after_sequence: i64,
    ) -> Result<Turn, Error> {
        let (session_id, turn_id) = (session_id.into(), turn_id.into());
        Turn::resume(self.clone(), session_id, turn_id, after_sequence).await
    }

    /// Opens a live conversation of many turns, and waits until the session is ready.
    ///
    /// A set-up without a `request_id` is given one, so that one whose answer was lost can be
    /// repeated and opens the same session.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the set-up is refused, [`Error::Unreachable`]
    /// when the connection is gone, [`Error::Contract`] when the server does
    /// not begin with the session.
    pub async fn converse(&self, setup: impl Into<Setup>) -> Result<Conversation, Error> {
        Conversation::open(self.clone(), setup.into()).await
    }

    /// Reads the state and result of a turn; an empty `turn_id` means the
    /// session's newest.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] with `SESSION_NOT_FOUND` or `TURN_NOT_FOUND`.
    pub async fn turn(
        &self,
        session_id: impl Into<String>,
        turn_id: impl Into<String>,
    ) -> Result<pb::TurnResult, Error> {
        let request = pb::GetTurnRequest {
            session_id: session_id.into(),
            turn_id: turn_id.into(),
        };
        let answer = self.ask(CallSettings::default(), request, |request| {
            let mut stub = self.stub.clone();
            async move { stub.get_turn(request).await }
        });
        let missing = Error::Contract("an answer to GetTurn has no result");
        answer.await?.result.ok_or(missing)
    }

    /// Stops a running or paused turn; an empty `turn_id` means that one.
    ///
    /// On a turn that has ended it only gives the result.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] with `SESSION_NOT_FOUND` or `TURN_NOT_FOUND`.
    pub async fn cancel(
        &self,
        session_id: impl Into<String>,
        turn_id: impl Into<String>,
        reason: impl Into<String>,
    ) -> Result<pb::TurnResult, Error> {
        let request = pb::CancelTurnRequest {
            session_id: session_id.into(),
            turn_id: turn_id.into(),
            reason: reason.into(),
        };
        let answer = self.ask(CallSettings::default(), request, |request| {
            let mut stub = self.stub.clone();
            async move { stub.cancel_turn(request).await }
        });
        let missing = Error::Contract("an answer to CancelTurn has no result");
        answer.await?.result.ok_or(missing)
    }

    /// Counts the input tokens that the request would use, without running it.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the request is refused or the model cannot count.
    pub async fn count_tokens(
        &self,
        request: impl Into<Request>,
    ) -> Result<pb::CountTokensResponse, Error> {
        let Request { message, call } = request.into();
        let message = pb::CountTokensRequest {
            prompt: message.prompt,
            content: message.content,
            messages: message.messages,
            agent_id: message.agent_id,
            session_id: message.session_id,
            options: message.options,
        };
        let answer = self.ask(call, message, |request| {
            let mut stub = self.stub.clone();
            async move { stub.count_tokens(request).await }
        });
        answer.await
    }

    /// Lists all agents this server offers to the caller, by id.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the server refuses, [`Error::Unreachable`] when
    /// the connection is gone.
    pub async fn agents(&self) -> Result<Vec<pb::Agent>, Error> {
        let mut agents = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListAgentsRequest {
                page_size: 0,
                page_token: page_token.clone(),
            };
            let answer = self.ask(CallSettings::default(), request, |request| {
                let mut stub = self.stub.clone();
                async move { stub.list_agents(request).await }
            });
            let page = answer.await?;
            agents.extend(page.agents);
            if page.next_page_token.is_empty() {
                return Ok(agents);
            }
            if page.next_page_token == page_token {
                return Err(Error::Contract("a page of agents leads to itself"));
            }
            page_token = page.next_page_token;
        }
    }

    /// Describes one agent.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] with `AGENT_NOT_FOUND`.
    pub async fn agent(&self, agent_id: impl Into<String>) -> Result<pb::Agent, Error> {
        let request = pb::GetAgentRequest {
            agent_id: agent_id.into(),
        };
        let answer = self.ask(CallSettings::default(), request, |request| {
            let mut stub = self.stub.clone();
            async move { stub.get_agent(request).await }
        });
        let missing = Error::Contract("an answer to GetAgent has no agent");
        answer.await?.agent.ok_or(missing)
    }

    /// Asks for what may be asked again without harm.
    pub(crate) async fn ask<M, A, Asking>(
        &self,
        call: CallSettings,
        message: M,
        ask: impl Fn(tonic::Request<M>) -> Asking,
    ) -> Result<A, Error>
    where
        M: Clone,
        Asking: Future<Output = Result<Response<A>, Status>>,
    {
        let terms = call.terms(&self.endpoint, &self.reconnect);
        let asked = || ask(call.wrap(message.clone(), terms.deadline));
        let answer = repeat(&terms, asked).await;
        answer.map_err(|failed| Error::opening(failed.status, &self.endpoint, terms.deadline))
    }

    /// Gives a request a name under which it may be repeated, unless it has one.
    pub(crate) fn name(&self, request_id: &mut String) {
        if request_id.is_empty() && self.reconnect.is_on() {
            *request_id = Uuid::new_v4().to_string();
        }
    }

    /// A turn that nobody but the broken connection can have cancelled is gone with it.
    fn lost_turn(&self, failed: Failed, deadline: Option<Deadline>) -> Error {
        let error = Error::opening(failed.status, &self.endpoint, deadline);
        let (Some(broken), pb::ErrorReason::Cancelled) = (failed.broken, error.reason()) else {
            return error;
        };
        let fact = |key| {
            let facts = error.server().map(|server| &server.metadata);
            facts.and_then(|facts| facts.get(key)).cloned()
        };
        Error::Cut {
            session_id: fact("session_id").unwrap_or_default(),
            turn_id: fact("turn_id").unwrap_or_default(),
            last_sequence: 0,
            source: Some(Box::new(broken)),
        }
    }
}

/// Gives the reply back as it was on the wire, for those who print or pass it on.
impl From<Reply> for pb::InvokeResponse {
    fn from(reply: Reply) -> Self {
        Self {
            text: reply.text,
            result: Some(reply.result),
        }
    }
}
