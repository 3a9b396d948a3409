//! A client of a live conversation that comes back after every cut.

mod plan;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::{
    SOON,
    codec::{self, Told},
    record::Record,
    tools,
    world::{Link, World, is_of_the_server},
};

/// Frames that may be on their way; more than a client ever has unacknowledged.
const FRAMES: usize = 256;

/// Messages that wait for their receipt before the client says no more.
const MOST_UNSETTLED: usize = 4;

/// One client and its session.
pub(crate) struct Chat {
    world: Arc<World>,
    rng: SmallRng,
    name: String,
    record: Record,
    /// The newest event that was read.
    cursor: i64,
    /// The server has named the session.
    is_known: bool,
    /// What was sent and has no receipt, in order.
    unsettled: VecDeque<Message>,
    /// What has a receipt; it may yet be refused.
    settled: BTreeMap<String, Message>,
    /// Messages said, and how many there will be.
    said: usize,
    plan: usize,
    active_turn: Option<String>,
    /// Tools at work: the call, and what it comes to.
    working: JoinSet<(String, String)>,
    /// Calls at work, or whose results are on their way.
    in_hand: BTreeSet<String>,
}

/// Frames that belong together, and are sent again together.
#[derive(Clone, Debug)]
struct Message {
    frames: Vec<pb::ConverseRequest>,
}

impl Message {
    fn of(frame_id: &str, frame: Frame) -> Self {
        Self {
            frames: vec![pb::ConverseRequest {
                frame_id: frame_id.to_owned(),
                frame: Some(frame),
            }],
        }
    }

    /// The frame that completes it.
    fn id(&self) -> &str {
        &self.frames.last().unwrap().frame_id
    }

    fn has(&self, frame_id: &str) -> bool {
        self.frames.iter().any(|frame| frame.frame_id == frame_id)
    }
}

/// How a stream came to its end.
enum End {
    /// All is said, and all is answered.
    Done,
    /// The client itself cut it, and comes back at once.
    Cut,
    /// The server went.
    Lost(Status),
}

/// A stream that is open.
struct Talk {
    frames: Option<mpsc::Sender<pb::ConverseRequest>>,
    events: Streaming<Told>,
    /// The server has said that it will end.
    is_ending: bool,
}

impl Talk {
    fn send(&self, message: &Message) {
        // After half-close nothing is said.
        for frame in self.frames.iter().flat_map(|_| &message.frames) {
            // A stream that has ended says so to whoever reads it.
            let _ = self.frames.as_ref().unwrap().try_send(frame.clone());
        }
    }
}

impl Chat {
    pub(crate) fn new(world: &Arc<World>, name: String, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        // Half of the clients choose the session's id, half let the server choose.
        let session_id = match rng.random_bool(0.5) {
            true => name.clone(),
            false => String::new(),
        };
        Self {
            world: Arc::clone(world),
            plan: rng.random_range(3..15),
            rng,
            name,
            record: Record {
                session_id,
                ..Record::default()
            },
            cursor: 0,
            is_known: false,
            unsettled: VecDeque::new(),
            settled: BTreeMap::new(),
            said: 0,
            active_turn: None,
            working: JoinSet::new(),
            in_hand: BTreeSet::new(),
        }
    }

    /// Talks until all is said and answered.
    pub(crate) async fn run(mut self) -> Record {
        let mut link = self.world.link().await;
        loop {
            match self.talk(&link).await {
                Ok(End::Done) => return self.record,
                Ok(End::Cut) => {}
                Ok(End::Lost(status)) | Err(status) => {
                    assert!(!is_of_the_server(&status), "{}: {status:?}", self.name);
                    link = self.world.other_link(&link, &status).await;
                }
            }
        }
    }

    async fn talk(&mut self, link: &Link) -> Result<End, Status> {
        let (frames, queue) = mpsc::channel(FRAMES);
        let setup = Message::of("", Frame::Setup(self.setup()));
        let events = codec::converse(link.channel.clone(), ReceiverStream::new(queue));
        frames.try_send(setup.frames[0].clone()).unwrap();
        let mut talk = Talk {
            frames: Some(frames),
            events: events.await?,
            is_ending: false,
        };
        let was_known = self.is_known;
        let ready = tokio::time::timeout(SOON, talk.events.message()).await;
        let ready = ready.expect("session_ready comes in time")?;
        let Some(Payload::SessionReady(ready)) = ready.and_then(|told| told.event.payload) else {
            panic!("session_ready comes first");
        };
        self.is_known = true;
        self.record.session_id = ready.session_id;
        if !was_known && ready.last_sequence > 0 {
            // An earlier stream had begun it, and its events are to be read.
            return Ok(End::Cut);
        }
        for message in &self.unsettled {
            talk.send(message);
        }
        self.follow(&mut talk, link).await
    }

    async fn follow(&mut self, talk: &mut Talk, link: &Link) -> Result<End, Status> {
        loop {
            self.speak(talk);
            if talk.frames.is_none() && !self.unsettled.is_empty() {
                // What waited began after the half-close, and wants an answer.
                return Ok(End::Cut);
            }
            let told = tokio::select! {
                told = tokio::time::timeout(SOON, talk.events.message()) => match told {
                    Ok(told) => told,
                    Err(_) => panic!("nothing comes any more: {self:?}"),
                },
                Some(worked) = self.working.join_next() => {
                    let (call_id, result) = worked.unwrap();
                    self.answer(talk, call_id, result);
                    continue;
                }
            };
            match told {
                Ok(Some(told)) => self.take(talk, told),
                Ok(None) if self.is_done() => return Ok(End::Done),
                Ok(None) => return Ok(End::Cut),
                Err(status) => return Ok(End::Lost(status)),
            }
            if self.rng.random_bool(0.005) {
                self.world.count_cut();
                return Ok(End::Cut);
            }
            if self.active_turn.is_some() && self.rng.random_bool(0.01) {
                self.cancel(link).await?;
            }
        }
    }

    fn setup(&self) -> pb::SessionSetup {
        let mut setup = pb::SessionSetup {
            session_id: self.record.session_id.clone(),
            ..pb::SessionSetup::default()
        };
        if self.is_known {
            setup.resume_after_sequence = Some(self.cursor);
        } else {
            // A session whose id the client chose needs no key to be begun once.
            if self.record.session_id.is_empty() {
                setup.request_id = format!("begin-{}", self.name);
            }
            setup.options = Some(pb::TurnOptions {
                client_tools: tools::declared(),
                ..pb::TurnOptions::default()
            });
        }
        setup
    }

    /// Says what the client wants to say by now; half-closes when it wants no more.
    fn speak(&mut self, talk: &mut Talk) {
        if self.world.is_winding_down() {
            self.plan = self.said;
        }
        let is_idle = self.active_turn.is_none() && self.unsettled.is_empty();
        if self.said >= self.plan {
            if is_idle && self.working.is_empty() {
                talk.frames = None;
            }
            return;
        }
        let interrupts = self.unsettled.len() < MOST_UNSETTLED && self.rng.random_bool(0.08);
        if is_idle || interrupts {
            let message = self.next_message();
            talk.send(&message);
            self.unsettled.push_back(message);
            self.said += 1;
            self.world.count_input();
        }
    }

    fn is_done(&self) -> bool {
        self.said >= self.plan && self.active_turn.is_none() && self.unsettled.is_empty()
    }

    fn take(&mut self, talk: &mut Talk, told: Told) {
        let sequence = told.event.sequence;
        if sequence > 0 {
            assert_eq!(sequence, self.cursor + 1, "{}: {told:?}", self.name);
            self.cursor = sequence;
        }
        self.world.heard.notify_waiters();
        self.record.see(told.clone());
        match told.event.payload.unwrap() {
            Payload::StreamResumed(resumed) => {
                assert_eq!(resumed.missing_events, 0, "{}", self.name);
                assert_eq!(resumed.after_sequence, self.cursor, "{}", self.name);
            }
            Payload::FrameAccepted(accepted) => self.take_receipt(&accepted.frame_id),
            Payload::FrameRejected(rejected) => self.take_refusal(talk, &rejected),
            Payload::TurnStarted(_) => self.active_turn = Some(told.event.turn_id),
            Payload::TurnEnded(result) if result.status() == pb::TurnStatus::Paused => {
                for call in result.pending_tool_calls {
                    self.work(call);
                }
            }
            Payload::TurnEnded(_) => self.active_turn = None,
            Payload::ToolCall(call) => self.work(call),
            Payload::GoAway(goodbye) if goodbye.reason() == pb::GoAwayReason::Shutdown => {
                talk.is_ending = true;
                self.record.goodbyes.push(goodbye.resume_after_sequence);
            }
            _ => {}
        }
    }

    fn take_receipt(&mut self, frame_id: &str) {
        let at = self.unsettled.iter().position(|it| it.id() == frame_id);
        if let Some(message) = at.and_then(|at| self.unsettled.remove(at)) {
            self.settled.insert(frame_id.to_owned(), message);
        }
    }

    /// Sends again what the server could not take then, and drops what it will not take.
    fn take_refusal(&mut self, talk: &Talk, rejected: &pb::FrameRejected) {
        let frame_id = &rejected.frame_id;
        let reason = rejected.error.as_ref().unwrap().reason();
        let at = self.unsettled.iter().position(|it| it.has(frame_id));
        let message = match at.and_then(|at| self.unsettled.remove(at)) {
            Some(message) => message,
            None => match self.settled.remove(frame_id) {
                Some(message) => message,
                None => return,
            },
        };
        match reason {
            pb::ErrorReason::FrameOutOfOrder | pb::ErrorReason::ShuttingDown => {
                // A process that is going takes no more; the next one gets it.
                if !talk.is_ending {
                    talk.send(&message);
                }
                self.unsettled.push_back(message);
            }
            pb::ErrorReason::TurnInProgress
            | pb::ErrorReason::CallNotPending
            | pb::ErrorReason::TurnNotFound
            | pb::ErrorReason::ConcurrencyLimited => {}
            other => panic!("{}: {other:?} for {message:?}", self.name),
        }
    }

    /// Runs a tool, which takes its time.
    fn work(&mut self, call: pb::ToolCall) {
        if !self.in_hand.insert(call.tool_call_id.clone()) {
            return;
        }
        let time = Duration::from_millis(self.rng.random_range(0..20));
        let world = Arc::clone(&self.world);
        self.working.spawn(async move {
            tokio::time::sleep(time).await;
            let call_id = call.tool_call_id.clone();
            let running = tokio::task::spawn_blocking(move || world.tools.run(&call));
            (call_id, running.await.unwrap())
        });
    }

    fn answer(&mut self, talk: &Talk, call_id: String, text: String) {
        let frame_id = format!("result-{call_id}");
        let result = pb::ToolResult {
            tool_call_id: call_id,
            text,
            ..pb::ToolResult::default()
        };
        self.record.results.insert(frame_id.clone(), result.clone());
        let message = Message::of(&frame_id, Frame::ToolResult(result));
        talk.send(&message);
        self.unsettled.push_back(message);
    }

    /// Cancels what runs, by a call of its own.
    async fn cancel(&mut self, link: &Link) -> Result<(), Status> {
        let request = pb::CancelTurnRequest {
            session_id: self.record.session_id.clone(),
            ..pb::CancelTurnRequest::default()
        };
        match link.agents().cancel_turn(request).await {
            Ok(answer) => {
                let result = answer.into_inner().result.unwrap();
                self.record.cancelled.push(result);
                Ok(())
            }
            Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
            Err(status) => Err(status),
        }
    }
}

/// For reading after a failure.
impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("record", &self.record)
            .field("unsettled", &self.unsettled)
            .field("said", &self.said)
            .field("plan", &self.plan)
            .field("active_turn", &self.active_turn)
            .field("in_hand", &self.in_hand)
            .finish_non_exhaustive()
    }
}
