//! Which sessions live in this process, by name.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Failure, Message as CoreMessage, Reason, TurnOptions,
    command::Started,
    input::{Frame, StreamId, TurnRequest},
    session::Setup,
};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    Config,
    inbox::{Description, Inbox, Message, TurnView},
    reader::{Options, Reader},
    task::{self, Parts},
};
use crate::model::bedrock::Bedrock;

/// When a client refused for want of room may try again: about the length of a short turn.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(2);

/// Share of the sessions that are looked at to be forgotten when there is no room: one in so many.
const EVICTED_SHARE: usize = 64;

/// The sessions of this process.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    bedrock: Bedrock,
    sessions: Mutex<HashMap<String, Handle>>,
    tracker: TaskTracker,
    draining: CancellationToken,
    started: Instant,
}

/// A session, as calls see it.
#[derive(Clone, Debug)]
pub struct Handle {
    agent: Arc<Agent>,
    inbox: Inbox,
    place: Place,
}

/// The session has ended, and another of its name may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// A session's entry in the registry.
#[derive(Clone, Debug)]
pub(super) struct Place {
    id: Arc<str>,
    shared: std::sync::Weak<Shared>,
    /// Milliseconds since the registry began at which the session became quiet, plus one; zero
    /// while it is not.
    quiet_since: Arc<AtomicU64>,
}

impl Place {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Gives the name free.
    pub(super) fn leave(&self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut sessions = shared.lock();
        let is_ours = sessions
            .get(&*self.id)
            .is_some_and(|handle| Arc::ptr_eq(&handle.place.quiet_since, &self.quiet_since));
        if is_ours {
            sessions.remove(&*self.id);
        }
    }

    /// Notes whether the session may be forgotten to make room.
    pub(super) fn note_quiet(&self, quiet: bool) {
        let since = match self.shared.upgrade() {
            Some(shared) if quiet => {
                u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
            }
            Some(_) | None => 0,
        };
        self.quiet_since.store(since, Ordering::Relaxed);
    }
}

impl Registry {
    /// Makes an empty registry, whose sessions talk to `bedrock`.
    pub fn new(config: Config, bedrock: Bedrock) -> Self {
        Self {
            shared: Arc::new(Shared {
                config: Arc::new(config),
                bedrock,
                sessions: Mutex::new(HashMap::new()),
                tracker: TaskTracker::new(),
                draining: CancellationToken::new(),
                started: Instant::now(),
            }),
        }
    }

    /// Bounds of the sessions.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The model behind the sessions.
    pub fn bedrock(&self) -> &Bedrock {
        &self.shared.bedrock
    }

    /// Finds a session.
    pub fn find(&self, id: &str) -> Option<Handle> {
        self.shared.lock().get(id).cloned()
    }

    /// Finds a session, or begins it; no name means another that nobody has.
    ///
    /// # Errors
    ///
    /// `ShuttingDown` for a session to begin while the server drains, `ConcurrencyLimited` when
    /// no more sessions have room.
    pub fn find_or_begin(
        &self,
        id: Option<&str>,
        begin: impl FnOnce() -> Beginning,
    ) -> Result<Found, Failure> {
        let id = match id {
            Some(id) => id.to_owned(),
            None => Uuid::now_v7().simple().to_string(),
        };
        let mut sessions = self.shared.lock();
        if let Some(handle) = sessions.get(&id) {
            return Ok(Found {
                handle: handle.clone(),
                begun: false,
            });
        }
        if self.is_draining() {
            return Err(Failure::shutting_down());
        }
        if sessions.len() >= self.shared.config.max_sessions && !make_room(&sessions) {
            let text = "this server holds as many sessions as it may, and all are in use";
            let failure = Failure::new(Reason::ConcurrencyLimited, text);
            return Err(failure.retry_after(RETRY_WHEN_FULL));
        }
        let beginning = begin();
        let place = Place {
            id: id.as_str().into(),
            shared: Arc::downgrade(&self.shared),
            quiet_since: Arc::new(AtomicU64::new(0)),
        };
        let inbox = task::start(Parts {
            setup: Setup {
                id: id.clone(),
                seed: Uuid::new_v4().simple().to_string()[..12].to_owned(),
                agent: Arc::clone(&beginning.agent),
                options: beginning.options,
                messages: beginning.messages,
            },
            bedrock: self.shared.bedrock.clone(),
            config: Arc::clone(&self.shared.config),
            place: place.clone(),
            tracker: self.shared.tracker.clone(),
        });
        let handle = Handle {
            agent: beginning.agent,
            inbox,
            place,
        };
        sessions.insert(id, handle.clone());
        Ok(Found {
            handle,
            begun: true,
        })
    }

    /// True when no further turns are taken.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.is_cancelled()
    }

    /// Waits until no further turns are taken.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    pub async fn draining(&self) {
        self.shared.draining.cancelled().await;
    }

    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.shared.lock().len()
    }

    /// True when there is no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no further turns; every reader is given the notice.
    pub async fn drain(&self, notice: Bytes) {
        self.shared.draining.cancel();
        for handle in self.handles() {
            // A session that has ended needs no telling.
            let _ = handle
                .inbox
                .send(Message::Shutdown {
                    notice: notice.clone(),
                })
                .await;
        }
    }

    /// Cuts what still runs.
    pub async fn kill(&self) {
        for handle in self.handles() {
            // A session that has ended needs no telling.
            let _ = handle.inbox.send(Message::Kill).await;
        }
    }

    fn handles(&self) -> Vec<Handle> {
        self.shared.lock().values().cloned().collect()
    }
}

impl Shared {
    // The map is whole after every statement, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a session begins.
#[derive(Debug)]
pub struct Beginning {
    /// Agent in charge.
    pub agent: Arc<Agent>,
    /// Settings that its turns start from, over the agent's.
    pub options: TurnOptions,
    /// The conversation so far.
    pub messages: Vec<CoreMessage>,
}

/// A session that was found or begun.
#[derive(Debug)]
pub struct Found {
    /// The session.
    pub handle: Handle,
    /// It was begun by this call.
    pub begun: bool,
}

impl Handle {
    /// The session's name.
    pub fn id(&self) -> &str {
        self.place.id()
    }

    /// Agent in charge.
    pub fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    /// Runs a turn; without options the reader gives the end alone.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, why the turn was refused.
    pub async fn start(
        &self,
        request: TurnRequest,
        options: Option<Options>,
    ) -> Result<Result<(Started, Reader), Failure>, Ended> {
        self.ask(|reply| Message::Start {
            request: Box::new(request),
            options,
            reply,
        })
        .await
    }

    /// Reads a turn that started before, from its first event.
    ///
    /// Gives no reader for the end alone of a turn that does not run: its record outlives its
    /// events.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn follow(
        &self,
        started: Started,
        options: Option<Options>,
    ) -> Result<Option<Reader>, Ended> {
        self.ask(|reply| Message::Follow {
            started,
            options,
            reply,
        })
        .await
    }

    /// Opens a live conversation.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn open(
        &self,
        options: Options,
        settings: Option<TurnOptions>,
    ) -> Result<(StreamId, Reader), Ended> {
        let settings = settings.map(Box::new);
        self.ask(|reply| Message::Open {
            options: Box::new(options),
            settings,
            reply,
        })
        .await
    }

    /// Brings a frame of a live conversation.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn frame(&self, stream: StreamId, frame: Frame) -> Result<(), Ended> {
        self.tell(Message::Frame {
            stream,
            frame: Box::new(frame),
        })
        .await
    }

    /// Says that no more frames come.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn close_input(&self, stream: StreamId) -> Result<(), Ended> {
        self.tell(Message::InputClosed(stream)).await
    }

    /// Ends a live conversation with a failure; what runs is cancelled or runs on.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn end_stream(
        &self,
        stream: StreamId,
        failure: Failure,
        cancel: bool,
    ) -> Result<(), Ended> {
        self.tell(Message::EndStream {
            stream,
            failure,
            cancel,
        })
        .await
    }

    /// Stops a turn; `None` means the one that runs or is paused.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, that there is no such turn.
    pub async fn cancel(
        &self,
        turn_id: Option<String>,
    ) -> Result<Result<pb::TurnResult, Failure>, Ended> {
        self.ask(|reply| Message::Cancel { turn_id, reply }).await
    }

    /// Tells how a turn stands; `None` means the newest.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn turn(&self, turn_id: Option<String>) -> Result<Option<TurnView>, Ended> {
        self.ask(|reply| Message::Turn { turn_id, reply }).await
    }

    /// Tells the conversation and the settings.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn describe(&self) -> Result<Description, Ended> {
        self.ask(|reply| Message::Describe { reply }).await
    }

    async fn tell(&self, message: Message) -> Result<(), Ended> {
        if self.inbox.send(message).await {
            Ok(())
        } else {
            Err(Ended)
        }
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, Ended> {
        let (reply, answer) = oneshot::channel();
        self.tell(question(reply)).await?;
        answer.await.map_err(|_| Ended)
    }
}

/// Asks the sessions that were quiet longest to end; false when none is quiet.
///
/// Each looks again whether it is quiet before it goes, so one that just woke stays.
fn make_room(sessions: &HashMap<String, Handle>) -> bool {
    let mut quiet: Vec<(u64, &Handle)> = sessions
        .values()
        .filter_map(
            |handle| match handle.place.quiet_since.load(Ordering::Relaxed) {
                0 => None,
                since => Some((since, handle)),
            },
        )
        .collect();
    quiet.sort_unstable_by_key(|(since, _)| *since);
    quiet.truncate(sessions.len() / EVICTED_SHARE + 1);
    quiet
        .into_iter()
        .filter(|(_, handle)| handle.inbox.try_send(Message::Forget))
        .count()
        > 0
}
