//! The session service: conversations that are kept, made, listed and forgotten.

use std::{sync::Arc, time::SystemTime};

use taiwa::v1 as pb;
use taiwa_core::{Failure, Message, TurnOptions};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    agent::{named_agent, no_session},
    convert::{content, session as convert},
    request_ids::{self, Claim, RequestIds},
    service::session_service_server::SessionService,
    status,
    tenant::TenantSource,
};
use crate::{
    agents::Agents,
    session::{
        self, Answer, Claimed, exists,
        registry::{Beginning, Registry},
    },
    store::{Key, SessionRow},
};

/// Keeps conversations.
#[derive(Clone, Debug)]
pub struct Service {
    agents: Arc<Agents>,
    registry: Registry,
    request_ids: RequestIds,
    tenants: TenantSource,
}

impl Service {
    /// Makes the service; the ids of requests are those of the agent service, too.
    pub fn new(
        agents: Arc<Agents>,
        registry: Registry,
        request_ids: RequestIds,
        tenants: TenantSource,
    ) -> Self {
        Self {
            agents,
            registry,
            request_ids,
            tenants,
        }
    }

    async fn create(
        &self,
        metadata: &MetadataMap,
        wire: pb::CreateSessionRequest,
    ) -> Result<pb::CreateSessionResponse, Failure> {
        let tenant = self.tenants.tenant(metadata)?;
        let agent = named_agent(&self.agents, &wire.agent_id)?;
        let fingerprint = request_ids::fingerprint("CreateSession", &wire);
        let creation = convert::create(wire, &agent)?;
        let offer = self.registry.toolbox().offer(&agent);
        offer.set.check_names("options", &creation.options)?;
        let mut ticket = None;
        let mut claimed = None;
        if let Some(id) = creation.request_id {
            match self
                .request_ids
                .claim(&tenant, id.clone(), fingerprint)
                .await?
            {
                Claim::First(first) => ticket = Some(first),
                Claim::Repeat(answer) => return self.created(&tenant, &answer.session_id).await,
            }
            claimed = Some(Claimed {
                request_id: id,
                fingerprint,
            });
        }
        let beginning = Beginning {
            agent,
            options: creation.options,
            messages: creation.messages,
            labels: creation.labels,
            ttl: creation.ttl,
        };
        let registry = self.registry.clone();
        let creating = begin(
            registry,
            Arc::clone(&tenant),
            creation.session_id,
            beginning,
            claimed,
        );
        let session_id = match ticket {
            Some(ticket) => ticket.work(creating).await?,
            None => creating.await?.1,
        };
        self.created(&tenant, &session_id).await
    }

    async fn created(
        &self,
        tenant: &Arc<str>,
        session_id: &str,
    ) -> Result<pb::CreateSessionResponse, Failure> {
        let session = Some(self.describe(&Key::new(tenant, session_id)).await?);
        Ok(pb::CreateSessionResponse { session })
    }

    /// Reads a session that is there, as it stands after all that was told of it.
    async fn row(&self, key: &Key) -> Result<SessionRow, Failure> {
        if let Some(handle) = self.registry.find_live(key) {
            // One that leaves memory has said all to the store; one whose store failed is as the
            // store has it.
            let _ = handle.settled().await;
        }
        let row = self.registry.store().session(key).await;
        let row = row.map_err(|error| session::store_failure(&error))?;
        row.filter(|row| !row.is_expired(SystemTime::now()))
            .ok_or_else(|| no_session(&key.session_id))
    }

    async fn describe(&self, key: &Key) -> Result<pb::Session, Failure> {
        let row = self.row(key).await?;
        let options: Option<TurnOptions> = match &row.options {
            Some(options) => Some(session::decode(options)?),
            None => None,
        };
        Ok(convert::session(&row, options))
    }

    async fn get(
        &self,
        metadata: &MetadataMap,
        wire: pb::GetSessionRequest,
    ) -> Result<pb::GetSessionResponse, Failure> {
        let tenant = self.tenants.tenant(metadata)?;
        let session_id = convert::session_id(wire.session_id)?;
        let session = self.describe(&Key::new(&tenant, &session_id)).await?;
        Ok(pb::GetSessionResponse {
            session: Some(session),
        })
    }

    async fn list(
        &self,
        metadata: &MetadataMap,
        wire: pb::ListSessionsRequest,
    ) -> Result<pb::ListSessionsResponse, Failure> {
        let tenant = self.tenants.tenant(metadata)?;
        let (filter, page) = convert::list(wire)?;
        let store = self.registry.store();
        let paged = store.sessions(&tenant, &filter, &page, SystemTime::now());
        let paged = paged
            .await
            .map_err(|error| session::store_failure(&error))?;
        let rows = paged.items.iter();
        Ok(pb::ListSessionsResponse {
            sessions: rows.map(|row| convert::session(row, None)).collect(),
            next_page_token: paged.next.unwrap_or_default(),
        })
    }

    async fn messages(
        &self,
        metadata: &MetadataMap,
        wire: pb::ListMessagesRequest,
    ) -> Result<pb::ListMessagesResponse, Failure> {
        let tenant = self.tenants.tenant(metadata)?;
        let (session_id, page) = convert::messages(wire)?;
        let key = Key::new(&tenant, &session_id);
        self.row(&key).await?;
        let paged = self.registry.store().messages(&key, &page).await;
        let paged = paged.map_err(|error| session::store_failure(&error))?;
        let paged = paged.ok_or_else(|| no_session(&session_id))?;
        let mut messages = Vec::with_capacity(paged.items.len());
        for item in &paged.items {
            let message: Message = session::decode(item)?;
            messages.push(content::message(&message));
        }
        Ok(pb::ListMessagesResponse {
            messages,
            next_page_token: paged.next.unwrap_or_default(),
        })
    }

    async fn delete(
        &self,
        metadata: &MetadataMap,
        wire: pb::DeleteSessionRequest,
    ) -> Result<pb::DeleteSessionResponse, Failure> {
        let tenant = self.tenants.tenant(metadata)?;
        let session_id = convert::session_id(wire.session_id)?;
        self.registry
            .delete(&Key::new(&tenant, &session_id))
            .await?;
        Ok(pb::DeleteSessionResponse {})
    }
}

#[tonic::async_trait]
impl SessionService for Service {
    async fn create_session(
        &self,
        request: Request<pb::CreateSessionRequest>,
    ) -> Result<Response<pb::CreateSessionResponse>, Status> {
        let (metadata, _, wire) = request.into_parts();
        answer(self.create(&metadata, wire).await)
    }

    async fn get_session(
        &self,
        request: Request<pb::GetSessionRequest>,
    ) -> Result<Response<pb::GetSessionResponse>, Status> {
        let (metadata, _, wire) = request.into_parts();
        answer(self.get(&metadata, wire).await)
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let (metadata, _, wire) = request.into_parts();
        answer(self.list(&metadata, wire).await)
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let (metadata, _, wire) = request.into_parts();
        answer(self.messages(&metadata, wire).await)
    }

    async fn delete_session(
        &self,
        request: Request<pb::DeleteSessionRequest>,
    ) -> Result<Response<pb::DeleteSessionResponse>, Status> {
        let (metadata, _, wire) = request.into_parts();
        answer(self.delete(&metadata, wire).await)
    }
}

/// Begins a session, which is in the store by then; tells its id.
async fn begin(
    registry: Registry,
    tenant: Arc<str>,
    session_id: Option<String>,
    beginning: Beginning,
    claimed: Option<Claimed>,
) -> Result<(Answer, String), Failure> {
    let created = registry.create(&tenant, session_id.as_deref(), beginning, claimed);
    let (handle, kept) = created
        .await?
        .ok_or_else(|| exists(session_id.as_deref().unwrap_or_default()))?;
    kept.done().await?;
    let session_id = handle.id().to_owned();
    let answer = Answer {
        session_id: session_id.clone(),
        started: None,
    };
    Ok((answer, session_id))
}

fn answer<T>(answer: Result<T, Failure>) -> Result<Response<T>, Status> {
    answer
        .map(Response::new)
        .map_err(|failure| status::status(&failure))
}
