//! The sending side of a live conversation: reads the client's frames and hands them to a session.
//!
//! A task of its own reads them, whether the client reads its events or not: the frames of all
//! streams share their connection's receive window, so an unread one would hold up the others.

use std::sync::Arc;

use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Failure, Reason, TurnOptions,
    input::{Frame, FrameBody, InputPolicy, StreamId},
};
use tokio::{sync::oneshot, task::AbortHandle, time::Instant};
use tonic::{Status, Streaming};

use super::{
    agent::{Service, named_agent, no_session},
    caller::Caller,
    convert::frame::{self, Setup},
    deadline,
    request_ids::{self, Claim},
    status,
};
use crate::{
    session::{
        Answer, CallFacts, Claimed,
        handle::{Ended, Handle},
        reader::{OnGone, Options, Reader},
        registry::{Beginning, Registry},
    },
    store::Key,
};

/// What a stream's opening gives to its response.
type Opening = oneshot::Sender<Result<Reader, Failure>>;

/// Starts to read a stream's frames; the response waits for what its opening gives.
pub(super) fn feed(
    service: Service,
    inbound: Streaming<pb::ConverseRequest>,
    caller: Caller,
) -> (AbortHandle, oneshot::Receiver<Result<Reader, Failure>>) {
    let (tx, rx) = oneshot::channel();
    // Owned by the response, which aborts it when it is dropped.
    let task = tokio::spawn(
        Feeder {
            service,
            inbound,
            caller,
        }
        .run(tx),
    );
    (task.abort_handle(), rx)
}

struct Feeder {
    service: Service,
    inbound: Streaming<pb::ConverseRequest>,
    caller: Caller,
}

/// A stream that is open.
struct Open {
    handle: Handle,
    stream: StreamId,
    policy: InputPolicy,
    cancels: bool,
}

/// What the client did.
enum Heard {
    Frame(Box<pb::ConverseRequest>),
    HalfClose,
    Silence,
    DeadlinePassed,
    Broken(Status),
}

impl Feeder {
    async fn run(mut self, opening: Opening) {
        let registry = self.service.registry.clone();
        let heard = tokio::select! {
            heard = self.hear() => heard,
            // A stream that said nothing belongs to no session yet, which would tell it.
            () = registry.draining() => return refuse(opening, Failure::shutting_down()),
        };
        let first = match heard {
            Heard::Frame(frame) => Some(frame),
            Heard::HalfClose => None,
            Heard::Silence => return refuse(opening, idle()),
            Heard::DeadlinePassed => return refuse(opening, deadline::passed()),
            Heard::Broken(status) => return refuse(opening, status::of_broken_stream(&status)),
        };
        let ended = first.is_none();
        let (open, reader, frame) = match self.open(first).await {
            Ok(opened) => opened,
            Err(failure) => return refuse(opening, failure),
        };
        // When the response is gone the reader goes with it, and the session is told.
        if opening.send(Ok(reader)).is_err() {
            return;
        }
        // The session ends only after its streams, so none of these finds it gone.
        let _ = self.feed(&open, frame, ended).await;
    }

    /// Opens the session that the first frame asks for; gives the frame back for the session.
    async fn open(
        &mut self,
        first: Option<Box<pb::ConverseRequest>>,
    ) -> Result<(Open, Reader, Option<Frame>), Failure> {
        let (frame_id, wire) = match first.map(|frame| *frame) {
            Some(pb::ConverseRequest {
                frame_id,
                frame: Some(pb::converse_request::Frame::Setup(setup)),
            }) => (frame_id, setup),
            // Without a setup the defaults hold, and the first frame is one like any other.
            first => {
                let agent = named_agent(&self.service.agents, "")?;
                let (open, reader) = self.enter(&agent, Setup::default(), None).await?;
                let frame = first.map(|wire| frame::frame(wire, &agent, open.policy));
                return Ok((open, reader, frame));
            }
        };
        let frame_id = frame::frame_id(frame_id)?;
        let tenant = &self.caller.tenant;
        let agent = self
            .service
            .agent("setup.agent_id", &wire.agent_id, tenant, &wire.session_id)
            .await?;
        let fingerprint = request_ids::fingerprint("setup", &wire);
        let setup = frame::setup(wire, &agent)?;
        let offer = self.service.registry.toolbox().offer(&agent);
        offer.set.check_names("setup.options", &setup.options)?;
        let (open, reader) = self.enter(&agent, setup, Some(fingerprint)).await?;
        let frame = Frame {
            id: frame_id,
            digest: fingerprint,
            body: FrameBody::Setup,
        };
        Ok((open, reader, Some(frame)))
    }

    async fn enter(
        &mut self,
        agent: &Arc<Agent>,
        mut setup: Setup,
        fingerprint: Option<request_ids::Fingerprint>,
    ) -> Result<(Open, Reader), Failure> {
        let tenant = Arc::clone(&self.caller.tenant);
        let mut ticket = None;
        let mut claimed = None;
        let mut is_repeat = false;
        if let (Some(id), Some(fingerprint)) = (setup.request_id.take(), fingerprint) {
            let claim = self
                .service
                .request_ids
                .claim(&tenant, id.clone(), fingerprint);
            match claim.await? {
                Claim::First(first) => ticket = Some(first),
                Claim::Repeat(answer) => {
                    setup.session_id = Some(answer.session_id);
                    is_repeat = true;
                }
            }
            claimed = ticket.is_some().then_some(Claimed {
                request_id: id,
                fingerprint,
            });
        }
        let entering = Entering {
            registry: self.service.registry.clone(),
            tenant,
            agent: Arc::clone(agent),
            setup,
            is_repeat,
            claimed,
            facts: self.caller.take_facts(agent),
        };
        match ticket {
            Some(ticket) => ticket.work(entering.enter()).await,
            None => entering.enter().await.map(|(_, entered)| entered),
        }
    }

    /// Hands frames on until the client has no more; then waits for the deadline alone.
    async fn feed(
        &mut self,
        open: &Open,
        first: Option<Frame>,
        mut ended: bool,
    ) -> Result<(), Ended> {
        if let Some(frame) = first {
            open.handle.frame(open.stream, frame).await?;
        }
        while !ended {
            match self.hear().await {
                Heard::Frame(wire) => {
                    let agent = Arc::clone(open.handle.agent());
                    let frame = frame::frame(*wire, &agent, open.policy);
                    open.handle.frame(open.stream, frame).await?;
                }
                Heard::HalfClose => ended = true,
                Heard::Silence => {
                    if !open.is_busy().await? {
                        return open.end(idle(), open.cancels).await;
                    }
                }
                Heard::DeadlinePassed => return open.end(deadline::passed(), true).await,
                Heard::Broken(status) => {
                    return open
                        .end(status::of_broken_stream(&status), open.cancels)
                        .await;
                }
            }
        }
        open.handle.close_input(open.stream).await?;
        if let Some(deadline) = self.caller.deadline {
            tokio::time::sleep_until(deadline).await;
            open.end(deadline::passed(), true).await?;
        }
        Ok(())
    }

    async fn hear(&mut self) -> Heard {
        let silence = Instant::now() + self.service.registry.config().stream_idle_timeout;
        let until = self
            .caller
            .deadline
            .map_or(silence, |deadline| deadline.min(silence));
        match tokio::time::timeout_at(until, self.inbound.message()).await {
            Ok(Ok(Some(frame))) => Heard::Frame(Box::new(frame)),
            Ok(Ok(None)) => Heard::HalfClose,
            Ok(Err(status)) => Heard::Broken(status),
            Err(_)
                if self
                    .caller
                    .deadline
                    .is_some_and(|deadline| deadline <= Instant::now()) =>
            {
                Heard::DeadlinePassed
            }
            Err(_) => Heard::Silence,
        }
    }
}

/// A session that is to be entered.
struct Entering {
    registry: Registry,
    tenant: Arc<str>,
    agent: Arc<Agent>,
    setup: Setup,
    /// The request was answered before, so it brings the session nothing.
    is_repeat: bool,
    claimed: Option<Claimed>,
    facts: Arc<CallFacts>,
}

impl Entering {
    /// Enters the session; a request that is claimed is in the store by then, whatever becomes of
    /// this process.
    async fn enter(self) -> Result<(Answer, (Open, Reader)), Failure> {
        let Self {
            registry, setup, ..
        } = &self;
        let options = Options::new(setup.stream.clone(), false, OnGone::Continue);
        let cancels = options.on_gone == OnGone::Cancel;
        let session_id = setup.session_id.as_deref();
        loop {
            let (handle, begun) = if setup.resume_after.is_some() {
                let session_id = session_id.unwrap_or_default();
                let found = registry.find(&Key::new(&self.tenant, session_id)).await?;
                (found.ok_or_else(|| no_session(session_id))?, false)
            } else {
                let begin = || Beginning {
                    options: setup.options.clone(),
                    messages: setup.messages.clone(),
                    ..Beginning::plain(&self.agent)
                };
                registry
                    .find_or_begin(&self.tenant, session_id, begin)
                    .await?
            };
            if !begun && !setup.messages.is_empty() && !self.is_repeat {
                return Err(Failure::invalid(
                    "setup.messages",
                    "must be empty for a session that exists",
                ));
            }
            let brings_settings =
                !begun && !self.is_repeat && setup.options != TurnOptions::default();
            let settings = brings_settings.then(|| setup.options.clone());
            let claimed = self.claimed.clone();
            let opened = handle.open(
                options.clone(),
                settings,
                setup.resume_after,
                claimed,
                Arc::clone(&self.facts),
            );
            let Ok(opened) = opened.await else {
                // The session ended between being found and being asked.
                continue;
            };
            let (stream, reader, commit) = opened?;
            // What session_ready names, and a repeat finds, outlives this process.
            commit.done().await?;
            let answer = Answer {
                session_id: handle.id().to_owned(),
                started: None,
            };
            let open = Open {
                handle,
                stream,
                policy: setup.input_policy,
                cancels,
            };
            return Ok((answer, (open, reader)));
        }
    }
}

impl Open {
    async fn is_busy(&self) -> Result<bool, Ended> {
        Ok(self
            .handle
            .turn(None)
            .await?
            .is_some_and(|view| view.is_running()))
    }

    async fn end(&self, failure: Failure, cancel: bool) -> Result<(), Ended> {
        self.handle.end_stream(self.stream, failure, cancel).await
    }
}

fn refuse(opening: Opening, failure: Failure) {
    // A response that is gone has nobody to tell.
    let _ = opening.send(Err(failure));
}

fn idle() -> Failure {
    Failure::new(Reason::IdleTimeout, "the client was silent for too long")
}
