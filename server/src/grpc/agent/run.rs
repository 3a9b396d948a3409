//! Turns that calls ask for, and those that a repeat finds.

use std::sync::Arc;

use futures_util::StreamExt as _;
use prost::Message as _;
use taiwa::v1 as pb;
use taiwa_core::{Agent, Failure, Reason, command::Started};
use tokio::time::Instant;

use super::{Service, no_turn};
use crate::{
    grpc::{
        caller::Caller,
        convert::{event, request::Invocation},
        deadline,
        request_ids::{self, Claim, Fingerprint},
    },
    session::{
        Answer, CallFacts, Claimed,
        handle::Handle,
        reader::{Options, Reader},
        registry::{Beginning, Registry},
    },
};

/// What a request says, in short; `None` for one without an id, whose repeat nobody can know.
///
/// It costs a pass over the whole request, images included.
pub(super) fn fingerprint(wire: &pb::InvokeRequest) -> Option<Fingerprint> {
    (!wire.request_id.is_empty()).then(|| request_ids::fingerprint("Invoke", wire))
}

impl Service {
    /// Starts a turn, or finds the one that a repeated request started.
    pub(super) async fn run(
        &self,
        agent: &Arc<Agent>,
        caller: &mut Caller,
        invocation: Invocation,
        fingerprint: Option<Fingerprint>,
        options: Option<Options>,
    ) -> Result<Run, Failure> {
        if self.registry.is_draining() {
            return Err(Failure::shutting_down());
        }
        let tenant = Arc::clone(&caller.tenant);
        let mut ticket = None;
        let mut claimed = None;
        if let (Some(id), Some(fingerprint)) = (invocation.request_id.clone(), fingerprint) {
            let claim = self.request_ids.claim(&tenant, id.clone(), fingerprint);
            match deadline::within(caller.deadline, claim).await? {
                Claim::First(first) => ticket = Some(first),
                Claim::Repeat(answer) => return self.repeat(caller, answer, options).await,
            }
            claimed = Some(Claimed {
                request_id: id,
                fingerprint,
            });
        }
        let registry = self.registry.clone();
        let agent = Arc::clone(agent);
        let facts = caller.take_facts(&agent);
        let starting = start(registry, agent, tenant, invocation, options, claimed, facts);
        match ticket {
            Some(ticket) => ticket.work(starting).await,
            None => starting.await.map(|(_, run)| run),
        }
    }

    async fn repeat(
        &self,
        caller: &Caller,
        answer: Answer,
        options: Option<Options>,
    ) -> Result<Run, Failure> {
        let Some(started) = answer.started else {
            let text = "this request_id was used to open a session";
            return Err(Failure::new(Reason::RequestIdReused, text));
        };
        loop {
            let handle = self.session(&caller.tenant, &answer.session_id).await?;
            let Ok(reader) = handle.follow(started.clone(), options.clone()).await else {
                // The session left memory between being found and being asked.
                continue;
            };
            let reader = match reader {
                Ok(reader) => reader,
                Err(failure) => {
                    let turn_id = &started.turn_id;
                    let gone = self.gone(failure, &caller.tenant, &answer.session_id, turn_id);
                    return Err(gone.await?);
                }
            };
            return Ok(Run {
                handle,
                started,
                reader,
                deadline: caller.deadline,
            });
        }
    }
}

/// Starts a turn; one that is claimed is in the store by then, whatever becomes of this process.
async fn start(
    registry: Registry,
    agent: Arc<Agent>,
    tenant: Arc<str>,
    invocation: Invocation,
    options: Option<Options>,
    claimed: Option<Claimed>,
    facts: Arc<CallFacts>,
) -> Result<(Answer, Run), Failure> {
    loop {
        let session_id = invocation.session_id.as_deref();
        let begin = || Beginning::plain(&agent);
        let found = registry.find_or_begin(&tenant, session_id, begin);
        let (handle, _) = found.await?;
        let turn = invocation.turn.clone();
        let asked = handle.start(turn, options.clone(), claimed.clone(), Arc::clone(&facts));
        let Ok(answer) = asked.await else {
            // The session ended between being found and being asked.
            continue;
        };
        let (started, reader, commit) =
            answer.map_err(|failure| failure.fact("session_id", handle.id()))?;
        if claimed.is_some() {
            commit.done().await?;
        }
        let answer = Answer {
            session_id: handle.id().to_owned(),
            started: Some(started.clone()),
        };
        let run = Run {
            handle,
            started,
            reader: Some(reader),
            deadline: None,
        };
        return Ok((answer, run));
    }
}

/// A turn that was started or found.
pub(super) struct Run {
    handle: Handle,
    started: Started,
    /// `None` for a turn that ended before.
    pub(super) reader: Option<Reader>,
    /// The caller's deadline where the turn does not know it, since it started for another call.
    pub(super) deadline: Option<Instant>,
}

impl Run {
    /// Waits for the turn's end or pause.
    pub(super) async fn result(self, service: &Service) -> Result<pb::TurnResult, Failure> {
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
        let view = self.handle.turn(turn_id).await;
        let (result, failure) = match view.map_err(|_| Failure::shutting_down())? {
            Some(view) => (view.result, view.failure),
            None => {
                let key = self.handle.key();
                let ended = service.ended_turn(&key.tenant, &key.session_id, &self.started.turn_id);
                let ended = ended.await?.ok_or_else(no_turn)?;
                (event::turn_result(&ended), ended.failure)
            }
        };
        failure.map_or(Ok(result), Err)
    }
}
