//! The agent service: each call as a view of a session.

use std::sync::Arc;

use futures_util::StreamExt as _;
use prost::Message as _;
use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Failure, ModelRequest, Reason, TurnOptions, command::Started, history::History,
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::{
    converse,
    convert::{self, request::Invocation},
    deadline,
    events::Events,
    request_ids::{self, Answer, Claim, Fingerprint, RequestIds},
    service::agent_service_server::AgentService,
    status,
};
use crate::{
    agents::Agents,
    session::{
        reader::{OnGone, Options, Reader},
        registry::{Beginning, Ended, Handle, Registry},
    },
};

/// Agents on a page where the caller names no number, and the most that it may name.
const PAGE_SIZES: (i32, i32) = (50, 200);

/// Runs turns of conversation with agents.
#[derive(Clone, Debug)]
pub struct Service {
    pub(super) agents: Arc<Agents>,
    pub(super) registry: Registry,
    pub(super) request_ids: RequestIds,
    calls: TaskTracker,
}

impl Service {
    /// Makes the service; `calls` tracks the calls under way.
    pub fn new(agents: Arc<Agents>, registry: Registry, calls: TaskTracker) -> Self {
        Self {
            agents,
            registry,
            request_ids: RequestIds::default(),
            calls,
        }
    }

    /// The agent that a request is for: the one it names, its session's, or the default.
    pub(super) fn agent(
        &self,
        field: &str,
        agent_id: &str,
        session_id: &str,
    ) -> Result<Arc<Agent>, Failure> {
        let of_session = self
            .registry
            .find(session_id)
            .map(|handle| Arc::clone(handle.agent()));
        match of_session {
            Some(agent) if agent_id.is_empty() || agent.id == agent_id => Ok(agent),
            Some(agent) => Err(Failure::invalid(
                field,
                format!("must be empty or {:?}, the agent of this session", agent.id),
            )),
            None => self.named_agent(agent_id),
        }
    }

    fn named_agent(&self, agent_id: &str) -> Result<Arc<Agent>, Failure> {
        if agent_id.is_empty() {
            return Ok(Arc::clone(self.agents.default_agent()));
        }
        self.agents.find(agent_id).cloned().ok_or_else(|| {
            let text = "there is no such agent; ListAgents names those there are";
            Failure::new(Reason::AgentNotFound, text).fact("agent_id", agent_id)
        })
    }

    /// Starts a turn, or finds the one that a repeated request started.
    async fn run(
        &self,
        agent: &Arc<Agent>,
        invocation: Invocation,
        fingerprint: Fingerprint,
        options: Option<Options>,
    ) -> Result<Run, Failure> {
        if self.registry.is_draining() {
            return Err(Failure::shutting_down());
        }
        let deadline = invocation.turn.deadline.map(Instant::from_std);
        let ticket = match invocation.request_id {
            None => None,
            Some(id) => {
                let claim = self.request_ids.claim(id, fingerprint);
                match deadline::within(deadline, claim).await? {
                    Claim::First(ticket) => Some(ticket),
                    Claim::Repeat(answer) => return self.repeat(answer, options, deadline).await,
                }
            }
        };
        loop {
            let begin = || Beginning {
                agent: Arc::clone(agent),
                options: TurnOptions::default(),
                messages: Vec::new(),
            };
            let found = self
                .registry
                .find_or_begin(invocation.session_id.as_deref(), begin)?;
            let handle = found.handle;
            let Ok(answer) = handle.start(invocation.turn.clone(), options.clone()).await else {
                // The session ended between being found and being asked.
                continue;
            };
            let (started, reader) =
                answer.map_err(|failure| failure.fact("session_id", handle.id()))?;
            if let Some(ticket) = ticket {
                let session_id = handle.id().to_owned();
                ticket.settle(Answer {
                    session_id,
                    started: Some(started.clone()),
                });
            }
            return Ok(Run {
                handle,
                started,
                reader: Some(reader),
                deadline: None,
            });
        }
    }

    async fn repeat(
        &self,
        answer: Answer,
        options: Option<Options>,
        deadline: Option<Instant>,
    ) -> Result<Run, Failure> {
        let handle = self.session(&answer.session_id)?;
        let Some(started) = answer.started else {
            let text = "this request_id was used to open a session";
            return Err(Failure::new(Reason::RequestIdReused, text));
        };
        let reader = handle
            .follow(started.clone(), options)
            .await
            .map_err(gone)?;
        Ok(Run {
            handle,
            started,
            reader,
            deadline,
        })
    }

    fn session(&self, session_id: &str) -> Result<Handle, Failure> {
        if session_id.is_empty() {
            return Err(Failure::invalid("session_id", "must be set"));
        }
        self.registry
            .find(session_id)
            .ok_or_else(|| no_session(session_id))
    }

    async fn count(
        &self,
        wire: pb::CountTokensRequest,
        deadline: Option<Instant>,
    ) -> Result<pb::CountTokensResponse, Failure> {
        let agent = self.agent("agent_id", &wire.agent_id, &wire.session_id)?;
        let count = convert::count::count(wire, &agent)?;
        let mut history = History::default();
        let mut options = count.options;
        if let Some(session_id) = &count.session_id {
            let handle = self.session(session_id)?;
            let session = handle.describe().await.map_err(gone)?;
            history.extend(
                session
                    .messages
                    .iter()
                    .map(|message| message.as_ref().clone())
                    .collect(),
            );
            options = options.over(&session.options);
        }
        history.extend(count.messages);
        let options = agent.settle(options);
        let model_id = options.model_id.clone().unwrap_or_default();
        let request = ModelRequest {
            max_tokens: options.max_tokens.map(|max| max.get()),
            options: Arc::new(options),
            messages: history.messages().to_vec(),
            deadline: deadline.map(Instant::into_std),
        };
        let input_tokens = self.registry.bedrock().count_tokens(request).await?;
        let input_tokens = i32::try_from(input_tokens).unwrap_or(i32::MAX);
        Ok(pb::CountTokensResponse {
            input_tokens,
            model_id,
        })
    }

    fn page(&self, request: &pb::ListAgentsRequest) -> Result<pb::ListAgentsResponse, Failure> {
        let (usual, most) = PAGE_SIZES;
        let size = match request.page_size {
            0 => usual,
            size if size < 0 => {
                return Err(Failure::invalid("page_size", "must not be negative"));
            }
            size => size.min(most),
        };
        let after = request.page_token.as_str();
        if !after.is_empty() && self.agents.find(after).is_none() {
            let text = "must be a token that ListAgents gave";
            return Err(Failure::invalid("page_token", text));
        }
        let mut rest = self.agents.iter().filter(|agent| agent.id.as_str() > after);
        let page: Vec<&Arc<Agent>> = rest
            .by_ref()
            .take(usize::try_from(size).unwrap_or(0))
            .collect();
        let next_page_token = match (rest.next(), page.last()) {
            (Some(_), Some(last)) => last.id.clone(),
            (Some(_) | None, _) => String::new(),
        };
        Ok(pb::ListAgentsResponse {
            agents: page.into_iter().map(|agent| self.describe(agent)).collect(),
            next_page_token,
        })
    }

    fn describe(&self, agent: &Agent) -> pb::Agent {
        convert::agent::agent(agent, agent.id == self.agents.default_agent().id)
    }
}

/// A turn that was started or found.
struct Run {
    handle: Handle,
    started: Started,
    /// `None` for a turn that ended before.
    reader: Option<Reader>,
    /// The caller's deadline where the turn does not know it, since it started for another call.
    deadline: Option<Instant>,
}

impl Run {
    /// Waits for the turn's end or pause.
    async fn result(self) -> Result<pb::TurnResult, Failure> {
        if let Some(mut reader) = self.reader {
            let Some(bytes) = reader.next().await.transpose()? else {
                return Err(Failure::internal());
            };
            let event = pb::Event::decode(bytes).map_err(|_| Failure::internal())?;
            // What follows the end is the failure of a turn that failed.
            if let Some(Err(failure)) = reader.next().await {
                return Err(failure);
            }
            let Some(pb::event::Payload::TurnEnded(result)) = event.payload else {
                return Err(Failure::internal());
            };
            return Ok(*result);
        }
        let turn_id = Some(self.started.turn_id.to_string());
        let view = self.handle.turn(turn_id).await.map_err(gone)?;
        let view = view.ok_or_else(no_turn)?;
        match view.failure {
            Some(failure) => Err(failure),
            None => Ok(view.result),
        }
    }
}

#[tonic::async_trait]
impl AgentService for Service {
    async fn invoke(
        &self,
        request: Request<pb::InvokeRequest>,
    ) -> Result<Response<pb::InvokeResponse>, Status> {
        let _call = self.calls.token();
        let answer = async {
            let deadline = deadline::of(request.metadata())?;
            let wire = request.into_inner();
            let agent = self.agent("agent_id", &wire.agent_id, &wire.session_id)?;
            let fingerprint = request_ids::fingerprint(&wire);
            let mut invocation = convert::request::invoke(wire, &agent)?;
            invocation.turn.deadline = deadline.map(Instant::into_std);
            let run = self.run(&agent, invocation, fingerprint, None).await?;
            deadline::within(run.deadline, run.result()).await
        };
        let result = answer.await.map_err(|failure| status::status(&failure))?;
        let text = result
            .message
            .as_ref()
            .map(convert::content::text)
            .unwrap_or_default();
        Ok(Response::new(pb::InvokeResponse {
            text,
            result: Some(result),
        }))
    }

    type InvokeStreamStream = Events;

    async fn invoke_stream(
        &self,
        request: Request<pb::InvokeRequest>,
    ) -> Result<Response<Events>, Status> {
        let call = self.calls.token();
        let answer = async {
            let deadline = deadline::of(request.metadata())?;
            let wire = request.into_inner();
            let agent = self.agent("agent_id", &wire.agent_id, &wire.session_id)?;
            let fingerprint = request_ids::fingerprint(&wire);
            let (mut invocation, stream) = convert::request::invoke_stream(wire, &agent)?;
            invocation.turn.deadline = deadline.map(Instant::into_std);
            let options = Options::new(stream, true, OnGone::Cancel);
            let run = self
                .run(&agent, invocation, fingerprint, Some(options))
                .await?;
            let reader = run.reader.ok_or_else(Failure::internal)?;
            Ok::<_, Failure>((reader, run.deadline))
        };
        let answer = answer.await.map_err(|failure| status::status(&failure))?;
        let (reader, deadline) = answer;
        Ok(Events::of_turn(reader, deadline, call).into_response())
    }

    type ConverseStream = Events;

    async fn converse(
        &self,
        request: Request<Streaming<pb::ConverseRequest>>,
    ) -> Result<Response<Events>, Status> {
        let call = self.calls.token();
        if self.registry.is_draining() {
            return Err(status::status(&Failure::shutting_down()));
        }
        let deadline = deadline::of(request.metadata()).map_err(|f| status::status(&f))?;
        let (feeder, opening) = converse::feed(self.clone(), request.into_inner(), deadline);
        Ok(Events::of_conversation(opening, feeder, call).into_response())
    }

    async fn get_turn(
        &self,
        request: Request<pb::GetTurnRequest>,
    ) -> Result<Response<pb::GetTurnResponse>, Status> {
        let wire = request.into_inner();
        let answer = async {
            let handle = self.session(&wire.session_id)?;
            let turn_id = (!wire.turn_id.is_empty()).then_some(wire.turn_id);
            let view = handle.turn(turn_id).await.map_err(gone)?;
            view.map(|view| view.result).ok_or_else(no_turn)
        };
        let result = answer.await.map_err(|failure| status::status(&failure))?;
        Ok(Response::new(pb::GetTurnResponse {
            result: Some(result),
        }))
    }

    async fn cancel_turn(
        &self,
        request: Request<pb::CancelTurnRequest>,
    ) -> Result<Response<pb::CancelTurnResponse>, Status> {
        let wire = request.into_inner();
        let answer = async {
            let handle = self.session(&wire.session_id)?;
            tracing::info!(
                session.id = wire.session_id,
                turn.id = wire.turn_id,
                reason = wire.reason,
                "cancel requested"
            );
            let turn_id = (!wire.turn_id.is_empty()).then_some(wire.turn_id);
            handle.cancel(turn_id).await.map_err(gone)?
        };
        let result = answer.await.map_err(|failure| status::status(&failure))?;
        Ok(Response::new(pb::CancelTurnResponse {
            result: Some(result),
        }))
    }

    async fn count_tokens(
        &self,
        request: Request<pb::CountTokensRequest>,
    ) -> Result<Response<pb::CountTokensResponse>, Status> {
        let _call = self.calls.token();
        let answer = async {
            let deadline = deadline::of(request.metadata())?;
            self.count(request.into_inner(), deadline).await
        };
        answer
            .await
            .map(Response::new)
            .map_err(|failure| status::status(&failure))
    }

    async fn list_agents(
        &self,
        request: Request<pb::ListAgentsRequest>,
    ) -> Result<Response<pb::ListAgentsResponse>, Status> {
        let page = self.page(request.get_ref());
        page.map(Response::new)
            .map_err(|failure| status::status(&failure))
    }

    async fn get_agent(
        &self,
        request: Request<pb::GetAgentRequest>,
    ) -> Result<Response<pb::GetAgentResponse>, Status> {
        let agent_id = &request.get_ref().agent_id;
        let agent = self
            .named_agent(agent_id)
            .map_err(|failure| status::status(&failure))?;
        Ok(Response::new(pb::GetAgentResponse {
            agent: Some(self.describe(&agent)),
        }))
    }
}

fn no_session(session_id: &str) -> Failure {
    Failure::new(Reason::SessionNotFound, "there is no such session").fact("session_id", session_id)
}

fn no_turn() -> Failure {
    Failure::new(Reason::TurnNotFound, "there is no such turn")
}

fn gone(_: Ended) -> Failure {
    Failure::new(Reason::SessionNotFound, "the session has ended")
}
