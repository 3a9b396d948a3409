//! The task that drives one session: it owns the decisions, the model call and the log's write side.

mod model_call;
mod outputs;
mod pace;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt as _;
use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Failure, Input, Session, TurnOptions, TurnStatus,
    command::Started,
    input::{CallId, CancelCause, Frame, StreamId},
    session::Setup,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, Sleep},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, error};

use self::model_call::ModelCall;
use super::{
    Config,
    inbox::{Description, Gone, Inbox, Message, TurnView},
    log::{Attachment, Interest, Log, ReaderId},
    reader::{OnGone, Options, Reader},
    registry::Place,
};
use crate::{
    grpc::convert::{
        event::{self, Encoder},
        time::Clock,
    },
    model::bedrock::Bedrock,
};

/// The log of a session, with what follows for it when a reader goes.
pub(super) type SessionLog = Log<Gone>;

/// What a session's task works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) setup: Setup,
    pub(super) bedrock: Bedrock,
    pub(super) config: Arc<Config>,
    pub(super) place: Place,
    pub(super) tracker: TaskTracker,
}

struct Task {
    session: Session,
    agent: Arc<Agent>,
    bedrock: Bedrock,
    config: Arc<Config>,
    place: Place,
    tracker: TaskTracker,
    log: Arc<SessionLog>,
    encoder: Encoder,
    inbox: Inbox,
    model: ModelCall,
    /// Since when a slow reader holds the model.
    held_since: Option<Instant>,
    quiet_since: Option<Instant>,
    draining: bool,
    calls: u64,
    starting: BTreeMap<CallId, Starting>,
    cancelling: BTreeMap<CallId, oneshot::Sender<Result<pb::TurnResult, Failure>>>,
    streams: BTreeMap<StreamId, ReaderId>,
}

/// A call that waits for its turn to start.
struct Starting {
    options: Option<Options>,
    reply: oneshot::Sender<Result<(Started, Reader), Failure>>,
}

/// What woke the task.
enum Happened {
    Message(Option<Message>),
    Model(Input),
    Writable,
    TimePassed,
}

/// Starts the task of a session.
pub(super) fn start(parts: Parts) -> Inbox {
    let (inbox, rx) = Inbox::new();
    let log = Arc::new(SessionLog::new(parts.config.log));
    let session = Session::new(parts.setup);
    let agent = Arc::clone(session.agent());
    let clock = Clock {
        instant: now(),
        system: SystemTime::now(),
    };
    let task = Task {
        encoder: Encoder::new(Arc::clone(session.id()), agent.id.as_str().into(), clock),
        agent,
        session,
        bedrock: parts.bedrock,
        config: parts.config,
        place: parts.place,
        tracker: parts.tracker.clone(),
        log: Arc::clone(&log),
        inbox: inbox.clone(),
        model: ModelCall::default(),
        held_since: None,
        quiet_since: None,
        draining: false,
        calls: 0,
        starting: BTreeMap::new(),
        cancelling: BTreeMap::new(),
        streams: BTreeMap::new(),
    };
    let place = task.place.clone();
    parts.tracker.spawn(async move {
        let ended = std::panic::AssertUnwindSafe(task.run(rx))
            .catch_unwind()
            .await;
        place.leave();
        if ended.is_err() {
            error!(session.id = place.id(), "a session panicked");
        }
        log.close(Failure::internal());
    });
    inbox
}

impl Task {
    async fn run(mut self, mut rx: mpsc::Receiver<Message>) {
        let mut sleep = Box::pin(tokio::time::sleep(self.config.session_idle_timeout));
        self.note_quiet();
        loop {
            self.arm(&mut sleep);
            let happened = tokio::select! {
                // Cancels and frames win over a busy model, and time over both kinds of silence.
                biased;
                message = rx.recv() => Happened::Message(message),
                () = &mut sleep => Happened::TimePassed,
                () = self.log.writable(), if self.held_since.is_some() => Happened::Writable,
                input = self.model.next(), if self.held_since.is_none() => Happened::Model(input),
            };
            match happened {
                Happened::Message(None) => return,
                Happened::Message(Some(Message::Forget)) => {
                    if self.is_quiet() {
                        return self.leave(rx).await;
                    }
                }
                Happened::Message(Some(message)) => self.take(message),
                Happened::Model(input) => {
                    self.handle(input);
                    self.take_ready();
                }
                Happened::Writable => self.release(),
                Happened::TimePassed => {
                    self.handle(Input::Tick);
                    self.cut_laggards();
                    if self.is_forgotten() {
                        return self.leave(rx).await;
                    }
                }
            }
            self.note_quiet();
        }
    }

    /// Makes way for a session of the same name, then answers who came too late for this one.
    async fn leave(&mut self, mut rx: mpsc::Receiver<Message>) {
        self.place.leave();
        rx.close();
        // Dropping a message's reply tells its sender to try again.
        while rx.recv().await.is_some() {}
        debug!(session.id = %self.session.id(), events = self.log.last_sequence(), "session ended");
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Start {
                request,
                options,
                reply,
            } => {
                let call = self.next_call();
                self.starting.insert(call, Starting { options, reply });
                self.handle(Input::Start { call, request });
            }
            Message::Follow {
                started,
                options,
                reply,
            } => {
                let reader = (options.is_some() || self.is_running(&started.turn_id))
                    .then(|| self.follow(&started, options));
                // When the caller is gone, the reader in the reply is dropped and says so.
                let _ = reply.send(reader);
            }
            Message::Open {
                options,
                settings,
                reply,
            } => self.open(*options, settings, reply),
            Message::Frame { stream, frame } => self.handle(Input::Frame { stream, frame }),
            Message::InputClosed(stream) => self.handle(Input::InputClosed(stream)),
            Message::EndStream {
                stream,
                failure,
                cancel,
            } => {
                if let Some(reader) = self.streams.remove(&stream) {
                    self.handle(Input::StreamGone { stream, cancel });
                    self.log.end(reader, Some(failure));
                }
            }
            Message::Gone(Some(gone)) => self.follow_gone(gone, CancelCause::CallerGone),
            // The loop looks whether the session is quiet.
            Message::Gone(None) => {}
            Message::Cancel { turn_id, reply } => {
                let call = self.next_call();
                self.cancelling.insert(call, reply);
                let cause = CancelCause::Requested;
                self.handle(Input::Cancel {
                    call: Some(call),
                    turn_id,
                    cause,
                });
            }
            Message::Turn { turn_id, reply } => {
                let result = self.session.turn(turn_id.as_deref(), now());
                let view = result.map(|result| TurnView {
                    status: result.status,
                    result: self.encoder.result(&result),
                    failure: result.failure,
                });
                // A caller that went meanwhile has nothing to be told.
                let _ = reply.send(view);
            }
            Message::Describe { reply } => {
                let description = Description {
                    messages: self.session.history().messages().to_vec(),
                    options: self.session.options().clone(),
                };
                // A caller that went meanwhile has nothing to be told.
                let _ = reply.send(description);
            }
            Message::Shutdown { notice } => {
                self.draining = true;
                self.log.notify_all(&notice);
                self.handle(Input::Shutdown);
            }
            Message::Kill => {
                self.draining = true;
                self.handle(Input::Kill);
            }
            // Decided by the loop, which alone can end.
            Message::Forget => {}
        }
    }

    fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    fn follow_gone(&mut self, gone: Gone, cause: CancelCause) {
        match gone {
            Gone::Turn(turn_id) => {
                let turn_id = Some(turn_id.to_string());
                self.handle(Input::Cancel {
                    call: None,
                    turn_id,
                    cause,
                });
            }
            Gone::Stream { stream, cancel } => {
                self.streams.remove(&stream);
                self.handle(Input::StreamGone { stream, cancel });
            }
        }
    }

    fn open(
        &mut self,
        options: Options,
        settings: Option<Box<TurnOptions>>,
        reply: oneshot::Sender<(StreamId, Reader)>,
    ) {
        let stream = StreamId(self.next_call().0);
        let last_sequence = self.log.last_sequence();
        let cancel = options.on_gone == OnGone::Cancel;
        let attachment = Attachment {
            after: last_sequence,
            interest: Interest::Everything,
            paces: options.paces,
            on_gone: Some(Gone::Stream { stream, cancel }),
        };
        let reader = Reader::attach(&self.log, self.inbox.clone(), None, attachment, options);
        let ready = event::session_ready(self.welcome(last_sequence), SystemTime::now());
        self.log.notify(reader.id(), event::encode(&ready));
        self.streams.insert(stream, reader.id());
        self.handle(Input::StreamOpened(stream));
        if let Some(settings) = settings {
            let body = taiwa_core::input::FrameBody::Update {
                options: settings,
                replace_client_tools: false,
            };
            let frame = Box::new(Frame { id: None, body });
            self.handle(Input::Frame { stream, frame });
        }
        // When the caller is gone, the reader in the reply is dropped and says so.
        let _ = reply.send((stream, reader));
    }

    fn welcome(&self, last_sequence: u64) -> pb::SessionReady {
        let limits = &self.agent.limits;
        pb::SessionReady {
            session_id: self.session.id().to_string(),
            agent_id: self.agent.id.clone(),
            model_id: self
                .session
                .options()
                .model_id
                .as_ref()
                .or(self.agent.options.model_id.as_ref())
                .cloned()
                .unwrap_or_default(),
            limits: Some(pb::SessionLimits {
                max_frame_bytes: i32::try_from(self.config.max_frame_bytes).unwrap_or(i32::MAX),
                idle_timeout: self.config.stream_idle_timeout.try_into().ok(),
                max_queued_inputs: i32::try_from(limits.max_queued_inputs).unwrap_or(i32::MAX),
            }),
            last_sequence: i64::try_from(last_sequence).unwrap_or(i64::MAX),
        }
    }

    fn is_running(&self, turn_id: &str) -> bool {
        let turn = self.session.turn(Some(turn_id), now());
        turn.is_some_and(|turn| turn.status == TurnStatus::Running)
    }

    fn follow(&self, started: &Started, options: Option<Options>) -> Reader {
        let turn_id = Arc::clone(&started.turn_id);
        let interest = match &options {
            Some(_) => Interest::Turn(Arc::clone(&turn_id)),
            None => Interest::EndOf(Arc::clone(&turn_id)),
        };
        let options = options.unwrap_or_else(Options::end_alone);
        let attachment = Attachment {
            after: started.first_sequence - 1,
            interest,
            paces: options.paces,
            on_gone: (options.on_gone == OnGone::Cancel).then(|| Gone::Turn(Arc::clone(&turn_id))),
        };
        Reader::attach(
            &self.log,
            self.inbox.clone(),
            Some(turn_id),
            attachment,
            options,
        )
    }

    /// Sets the timer to what is due first.
    fn arm(&self, sleep: &mut std::pin::Pin<Box<Sleep>>) {
        let due = [
            self.session.deadline().map(Instant::from_std),
            self.quiet_since
                .map(|since| since + self.config.session_idle_timeout),
            self.held_since
                .map(|since| since + self.config.reader_stall_timeout),
        ];
        let due = due.into_iter().flatten().min();
        // A timer that fires early only looks again, so it is moved only to an earlier time, or
        // when it has fired: each event of a model moves the deadline, and most to a later time.
        match due {
            Some(due) if due < sleep.deadline() || sleep.is_elapsed() => {
                sleep.as_mut().reset(due);
            }
            None if sleep.is_elapsed() => {
                sleep.as_mut().reset(Instant::now() + FAR);
            }
            Some(_) | None => {}
        }
    }

    fn is_quiet(&self) -> bool {
        self.session.is_quiet() && self.log.has_no_readers()
    }

    fn note_quiet(&mut self) {
        let was_quiet = self.quiet_since.is_some();
        let quiet = self.is_quiet();
        if quiet != was_quiet {
            self.quiet_since = quiet.then(Instant::now);
            self.place.note_quiet(quiet);
        }
    }

    fn is_forgotten(&self) -> bool {
        self.quiet_since
            .is_some_and(|since| since.elapsed() >= self.config.session_idle_timeout)
    }
}

/// A wait that nothing needs; the timer is moved before it.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// The time, as the core takes it.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
