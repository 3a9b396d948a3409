//! The agent service: each call as a view of a session.

mod answers;
mod run;

use std::sync::Arc;

use taiwa::v1 as pb;
use taiwa_core::{Agent, Failure, Reason, TurnResult};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    caller::Caller, converse, convert, deadline, events::Events, request_ids::RequestIds,
    service::agent_service_server::AgentService, status, tenant::TenantSource,
};
use crate::{
    agents::Agents,
    session::{
        self,
        handle::{Ended, Handle},
        reader::{OnGone, Options, Reader},
        registry::Registry,
    },
    store::Key,
};

/// Runs turns of conversation with agents.
#[derive(Clone, Debug)]
pub struct Service {
    pub(super) agents: Arc<Agents>,
    pub(super) registry: Registry,
    pub(super) request_ids: RequestIds,
    tenants: TenantSource,
    calls: TaskTracker,
}

impl Service {
    /// Makes the service; `calls` tracks the calls under way.
    pub fn new(
        agents: Arc<Agents>,
        registry: Registry,
        request_ids: RequestIds,
        tenants: TenantSource,
        calls: TaskTracker,
    ) -> Self {
        Self {
            agents,
            registry,
            request_ids,
            tenants,
            calls,
        }
    }

    /// The agent that a request is for: the one it names, its session's, or the default.
    pub(super) async fn agent(
        &self,
        field: &str,
        agent_id: &str,
        tenant: &Arc<str>,
        session_id: &str,
    ) -> Result<Arc<Agent>, Failure> {
        // A name that no session can have is refused by who reads the request.
        let of_session = if session_id.is_empty() {
            None
        } else {
            let key = Key::new(tenant, session_id);
            let found = self.registry.find(&key).await?;
            found.map(|handle| Arc::clone(handle.agent()))
        };
        match of_session {
            Some(agent) if agent_id.is_empty() || agent.id == agent_id => Ok(agent),
            Some(agent) => Err(Failure::invalid(
                field,
                format!("must be empty or {:?}, the agent of this session", agent.id),
            )),
            None => named_agent(&self.agents, agent_id),
        }
    }

    async fn agent_of(
        &self,
        wire: &pb::InvokeRequest,
        caller: &Caller,
    ) -> Result<Arc<Agent>, Failure> {
        let tenant = &caller.tenant;
        self.agent("agent_id", &wire.agent_id, tenant, &wire.session_id)
            .await
    }

    fn caller(&self, metadata: MetadataMap) -> Result<Caller, Failure> {
        Caller::of(metadata, &self.tenants)
    }

    pub(super) async fn session(
        &self,
        tenant: &Arc<str>,
        session_id: &str,
    ) -> Result<Handle, Failure> {
        if session_id.is_empty() {
            return Err(Failure::invalid("session_id", "must be set"));
        }
        let found = self.registry.find(&Key::new(tenant, session_id)).await?;
        found.ok_or_else(|| no_session(session_id))
    }

    /// Asks a session, which may leave memory at any moment and be loaded again.
    async fn ask<T, F: Future<Output = Result<T, Ended>>>(
        &self,
        tenant: &Arc<str>,
        session_id: &str,
        question: impl Fn(Handle) -> F,
    ) -> Result<T, Failure> {
        loop {
            let handle = self.session(tenant, session_id).await?;
            if let Ok(answer) = question(handle).await {
                return Ok(answer);
            }
        }
    }

    /// What the store knows of a turn that its session remembers no more.
    async fn ended_turn(
        &self,
        tenant: &Arc<str>,
        session_id: &str,
        turn_id: &str,
    ) -> Result<Option<TurnResult>, Failure> {
        let key = Key::new(tenant, session_id);
        let value = self.registry.store().turn(&key, turn_id).await;
        let value = value.map_err(|error| session::store_failure(&error))?;
        value.map(|turn| session::decode(&turn.value)).transpose()
    }

    async fn turn(
        &self,
        tenant: &Arc<str>,
        wire: pb::GetTurnRequest,
    ) -> Result<pb::TurnResult, Failure> {
        let turn_id = (!wire.turn_id.is_empty()).then_some(wire.turn_id);
        let ask = |handle: Handle| {
            let turn_id = turn_id.clone();
            async move { handle.turn(turn_id).await }
        };
        if let Some(view) = self.ask(tenant, &wire.session_id, ask).await? {
            return Ok(view.result);
        }
        let Some(turn_id) = turn_id else {
            return Err(no_turn());
        };
        let ended = self.ended_turn(tenant, &wire.session_id, &turn_id).await?;
        ended
            .map(|result| convert::event::turn_result(&result))
            .ok_or_else(no_turn)
    }

    async fn resume(
        &self,
        wire: pb::ResumeStreamRequest,
        tenant: &Arc<str>,
    ) -> Result<Reader, Failure> {
        if self.registry.is_draining() {
            return Err(Failure::shutting_down());
        }
        let (session_id, resumption, stream) = convert::resume::resume(wire)?;
        let options = Options::new(stream, false, OnGone::Continue);
        let reader = self
            .ask(tenant, &session_id, |handle| {
                let (resumption, options) = (resumption.clone(), options.clone());
                async move { handle.resume(resumption, options).await }
            })
            .await?;
        match (reader, &resumption.turn_id) {
            (Err(failure), Some(turn_id)) => {
                let gone = self.gone(failure, tenant, &session_id, turn_id);
                Err(gone.await?)
            }
            (reader, _) => reader,
        }
    }

    /// Tells why a turn cannot be read: one that the store knows has lost its events.
    async fn gone(
        &self,
        failure: Failure,
        tenant: &Arc<str>,
        session_id: &str,
        turn_id: &str,
    ) -> Result<Failure, Failure> {
        if failure.reason == Reason::TurnNotFound
            && self
                .ended_turn(tenant, session_id, turn_id)
                .await?
                .is_some()
        {
            return Ok(session::replay_expired(session_id, turn_id));
        }
        Ok(failure)
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
            let (metadata, _, wire) = request.into_parts();
            let mut caller = self.caller(metadata)?;
            let agent = self.agent_of(&wire, &caller).await?;
            let fingerprint = run::fingerprint(&wire);
            let mut invocation = convert::request::invoke(wire, &agent)?;
            invocation.turn.deadline = caller.deadline.map(Instant::into_std);
            let run = self.run(&agent, &mut caller, invocation, fingerprint, None);
            let run = run.await?;
            deadline::within(run.deadline, run.result(self)).await
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
            let (metadata, _, wire) = request.into_parts();
            let mut caller = self.caller(metadata)?;
            let agent = self.agent_of(&wire, &caller).await?;
            let fingerprint = run::fingerprint(&wire);
            let (mut invocation, stream) = convert::request::invoke_stream(wire, &agent)?;
            invocation.turn.deadline = caller.deadline.map(Instant::into_std);
            let options = Options::new(stream, true, OnGone::Cancel);
            let run = self.run(&agent, &mut caller, invocation, fingerprint, Some(options));
            let run = run.await?;
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
        let (metadata, _, inbound) = request.into_parts();
        let caller = self.caller(metadata);
        let caller = caller.map_err(|failure| status::status(&failure))?;
        let (feeder, opening) = converse::feed(self.clone(), inbound, caller);
        Ok(Events::of_conversation(opening, feeder, call).into_response())
    }

    type ResumeStreamStream = Events;

    async fn resume_stream(
        &self,
        request: Request<pb::ResumeStreamRequest>,
    ) -> Result<Response<Events>, Status> {
        let call = self.calls.token();
        let answer = async {
            let (metadata, _, wire) = request.into_parts();
            let caller = self.caller(metadata)?;
            let reader = self.resume(wire, &caller.tenant).await?;
            Ok::<_, Failure>((reader, caller.deadline))
        };
        let answer = answer.await.map_err(|failure| status::status(&failure))?;
        let (reader, deadline) = answer;
        Ok(Events::of_turn(reader, deadline, call).into_response())
    }

    async fn get_turn(
        &self,
        request: Request<pb::GetTurnRequest>,
    ) -> Result<Response<pb::GetTurnResponse>, Status> {
        let answer = async {
            let (metadata, _, wire) = request.into_parts();
            let tenant = self.caller(metadata)?.tenant;
            self.turn(&tenant, wire).await
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
        let answer = async {
            let (metadata, _, wire) = request.into_parts();
            let tenant = self.caller(metadata)?.tenant;
            tracing::info!(
                session.id = wire.session_id,
                turn.id = wire.turn_id,
                reason = wire.reason,
                "cancel requested"
            );
            let turn_id = (!wire.turn_id.is_empty()).then_some(wire.turn_id);
            let cancel = |handle: Handle| {
                let turn_id = turn_id.clone();
                async move { handle.cancel(turn_id).await }
            };
            self.ask(&tenant, &wire.session_id, cancel).await?
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
            let (metadata, _, wire) = request.into_parts();
            self.count(wire, &self.caller(metadata)?).await
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
        let agent =
            named_agent(&self.agents, agent_id).map_err(|failure| status::status(&failure))?;
        Ok(Response::new(pb::GetAgentResponse {
            agent: Some(self.describe_whole(&agent)),
        }))
    }
}

/// The agent of this id, or the default one where the caller names none.
pub(super) fn named_agent(agents: &Agents, agent_id: &str) -> Result<Arc<Agent>, Failure> {
    if agent_id.is_empty() {
        return Ok(Arc::clone(agents.default_agent()));
    }
    agents.find(agent_id).cloned().ok_or_else(|| {
        let text = "there is no such agent; ListAgents names those there are";
        Failure::new(Reason::AgentNotFound, text).fact("agent_id", agent_id)
    })
}

pub(super) fn no_session(session_id: &str) -> Failure {
    Failure::new(Reason::SessionNotFound, "there is no such session").fact("session_id", session_id)
}

fn no_turn() -> Failure {
    Failure::new(Reason::TurnNotFound, "there is no such turn")
}
