//! A client of the unary and the streaming call, which repeats a call until it is answered.

use std::sync::Arc;

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use taiwa::v1::{self as pb, event::Payload};
use tonic::{Code, Status, Streaming};

use crate::{
    codec::{self, Told},
    record::Record,
    tools,
    world::{Link, World, failed_turn, is_of_the_server, reason},
};

/// One client and its session.
pub(crate) struct Caller {
    world: Arc<World>,
    rng: SmallRng,
    name: String,
    record: Record,
    requests: usize,
    link: Link,
}

/// What came of a turn, over all streams that told of it.
#[derive(Default)]
struct Seen {
    cursor: i64,
    turn_id: String,
    /// The calls that it waits for, once it has ended or paused.
    calls: Option<Vec<pb::ToolCall>>,
}

impl Caller {
    pub(crate) async fn run(world: Arc<World>, name: String, seed: u64) -> Record {
        let mut caller = Self {
            link: world.link().await,
            rng: SmallRng::seed_from_u64(seed),
            record: Record::default(),
            requests: 0,
            world,
            name,
        };
        if caller.rng.random_bool(0.5) {
            caller.create().await;
        }
        for _ in 0..caller.rng.random_range(1..7) {
            if caller.world.is_winding_down() {
                break;
            }
            caller.turn().await;
        }
        let is_there = !caller.record.session_id.is_empty();
        if is_there && caller.rng.random_bool(0.2) {
            caller.delete().await;
        }
        caller.record
    }

    /// Creates the session, with words that it begins with.
    async fn create(&mut self) {
        let token = format!("[{}.seed]", self.name);
        let chosen = self.rng.random_bool(0.5);
        let request = pb::CreateSessionRequest {
            session_id: if chosen {
                self.name.clone()
            } else {
                String::new()
            },
            messages: vec![
                text(pb::Role::User, &token),
                text(pb::Role::Assistant, "I see."),
            ],
            request_id: self.request_id(),
            ..pb::CreateSessionRequest::default()
        };
        let create = |link: Link| {
            let request = request.clone();
            async move { link.sessions().create_session(request).await }
        };
        let answer = self.world.ask(&mut self.link, create).await.unwrap();
        self.record.session_id = answer.session.unwrap().session_id;
        self.record.seeded.push(token);
    }

    async fn delete(&mut self) {
        let session_id = self.record.session_id.clone();
        let delete = |link: Link| {
            let session_id = session_id.clone();
            let request = pb::DeleteSessionRequest { session_id };
            async move { link.sessions().delete_session(request).await }
        };
        self.world.ask(&mut self.link, delete).await.unwrap();
        self.record.is_deleted = true;
    }

    /// Runs a turn to its end, through as many pauses as it makes.
    async fn turn(&mut self) {
        let token = format!("[{}.{}]", self.name, self.requests);
        let what = match self.rng.random_range(0..3) {
            0 => format!("use {}", tools::NAMES[self.rng.random_range(0..2)]),
            1 => "say something long".to_owned(),
            _ => "say something".to_owned(),
        };
        self.world.count_input();
        let mut request = pb::InvokeRequest {
            prompt: format!("{what} {token}. "),
            ..pb::InvokeRequest::default()
        };
        loop {
            request.session_id.clone_from(&self.record.session_id);
            request.request_id = self.request_id();
            request.options = Some(pb::TurnOptions {
                client_tools: tools::declared(),
                ..pb::TurnOptions::default()
            });
            let (turn_id, calls) = match self.rng.random_bool(0.5) {
                true => self.invoke(request).await,
                false => self.stream(request).await,
            };
            let known = self.record.calls.insert(token.clone(), turn_id.clone());
            assert!(known.is_none_or(|known| known == turn_id));
            if calls.is_empty() {
                return;
            }
            let mut tool_results = Vec::new();
            for call in calls {
                tool_results.push(self.work(call).await);
            }
            request = pb::InvokeRequest {
                tool_results,
                ..pb::InvokeRequest::default()
            };
        }
    }

    /// Calls until it is answered; gives the turn, and the calls that it waits for.
    async fn invoke(&mut self, request: pb::InvokeRequest) -> (String, Vec<pb::ToolCall>) {
        let invoke = |link: Link| {
            let request = request.clone();
            async move { link.agents().invoke(request).await }
        };
        match self.world.ask(&mut self.link, invoke).await {
            Ok(answer) => {
                let result = answer.result.unwrap();
                self.record.session_id = result.session_id;
                (result.turn_id, result.pending_tool_calls)
            }
            Err(status) => {
                assert_eq!(
                    reason(&status),
                    Some(pb::ErrorReason::ShuttingDown),
                    "{status:?}"
                );
                self.learn_session(&status);
                (failed_turn(&status).unwrap(), Vec::new())
            }
        }
    }

    /// As [`Caller::invoke`], by a stream, which is repeated or resumed when it is cut.
    async fn stream(&mut self, request: pb::InvokeRequest) -> (String, Vec<pb::ToolCall>) {
        let mut seen = Seen::default();
        loop {
            let is_resumed = !seen.turn_id.is_empty() && self.rng.random_bool(0.5);
            let opened = if is_resumed {
                let request = pb::ResumeStreamRequest {
                    session_id: self.record.session_id.clone(),
                    after_sequence: seen.cursor,
                    turn_id: seen.turn_id.clone(),
                    ..pb::ResumeStreamRequest::default()
                };
                codec::resume_stream(self.link.channel.clone(), request).await
            } else {
                codec::invoke_stream(self.link.channel.clone(), request.clone()).await
            };
            let read = match opened {
                Ok(events) => self.read(events, &mut seen).await,
                Err(status) => Err(status),
            };
            let status = match read {
                // Only a stream that is whole ends without a failure.
                Ok(()) => return (seen.turn_id, seen.calls.expect("turn_ended came")),
                Err(status) => status,
            };
            if is_of_the_server(&status) {
                assert_eq!(
                    reason(&status),
                    Some(pb::ErrorReason::ShuttingDown),
                    "{status:?}"
                );
                self.learn_session(&status);
                return (failed_turn(&status).unwrap(), Vec::new());
            }
            self.link = self.world.other_link(&self.link, &status).await;
        }
    }

    /// Reads to the end of the turn, or of its part up to a pause.
    async fn read(&mut self, mut events: Streaming<Told>, seen: &mut Seen) -> Result<(), Status> {
        while let Some(told) = events.message().await? {
            self.world.heard.notify_waiters();
            seen.cursor = told.event.sequence.max(seen.cursor);
            match told.event.payload.clone() {
                Some(Payload::TurnStarted(started)) => {
                    self.record.session_id = started.session_id;
                    seen.turn_id.clone_from(&told.event.turn_id);
                }
                Some(Payload::TurnEnded(result)) => seen.calls = Some(result.pending_tool_calls),
                _ => {}
            }
            self.record.see(told);
        }
        Ok(())
    }

    async fn work(&self, call: pb::ToolCall) -> pb::ToolResult {
        let world = Arc::clone(&self.world);
        let tool_call_id = call.tool_call_id.clone();
        let running = tokio::task::spawn_blocking(move || world.tools.run(&call));
        pb::ToolResult {
            tool_call_id,
            text: running.await.unwrap(),
            ..pb::ToolResult::default()
        }
    }

    /// A failure names the session, which may be all that is ever told of it.
    fn learn_session(&mut self, status: &Status) {
        assert_eq!(status.code(), Code::Unavailable);
        let details = tonic_types::StatusExt::get_error_details(status);
        let metadata = &details.error_info().unwrap().metadata;
        self.record.session_id.clone_from(&metadata["session_id"]);
    }

    fn request_id(&mut self) -> String {
        self.requests += 1;
        format!("{}-{}", self.name, self.requests)
    }
}

fn text(role: pb::Role, text: &str) -> pb::Message {
    pb::Message {
        role: role.into(),
        content: vec![pb::ContentBlock {
            block: Some(pb::content_block::Block::Text(text.to_owned())),
        }],
        ..pb::Message::default()
    }
}
