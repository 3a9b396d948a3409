//! Which sessions live in this process, by tenant and name; the others are in the store.

mod place;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use taiwa_core::{Agent, Failure, Message as CoreMessage, Reason, TurnOptions};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub(super) use self::place::Place;
use self::place::{Claim, Slot};
use super::{
    Config,
    handle::Handle,
    inbox::{Claimed, Message},
    kept,
    log::Held,
    progress::Commit,
    task::{self, Origin, Parts},
};
use crate::{
    agents::Agents,
    budget::Accounts,
    model::bedrock::Bedrock,
    store::{Begin, Fence, Key, Store, StoreError, Write},
    tools::Toolbox,
};

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
    agents: Arc<Agents>,
    bedrock: Bedrock,
    toolbox: Toolbox,
    budgets: Accounts,
    store: Store,
    sessions: Mutex<HashMap<Key, Slot>>,
    /// Bytes that the logs hold together.
    held: Arc<Held>,
    tracker: TaskTracker,
    /// Holds a token for each session in which a turn runs.
    turns: TaskTracker,
    draining: CancellationToken,
    started: Instant,
}

/// A registry that may be gone.
#[derive(Clone, Debug)]
pub(crate) struct WeakRegistry(Weak<Shared>);

impl WeakRegistry {
    /// The registry, if it is still there.
    pub(crate) fn upgrade(&self) -> Option<Registry> {
        self.0.upgrade().map(|shared| Registry { shared })
    }
}

impl Registry {
    /// Makes a registry of the sessions in `store`, none of which is loaded yet.
    pub fn new(
        config: Config,
        agents: Arc<Agents>,
        bedrock: Bedrock,
        toolbox: Toolbox,
        budgets: Accounts,
        store: Store,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                config: Arc::new(config),
                agents,
                bedrock,
                toolbox,
                budgets,
                store,
                sessions: Mutex::new(HashMap::new()),
                held: Arc::default(),
                tracker: TaskTracker::new(),
                turns: TaskTracker::new(),
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

    /// The tools of the agents.
    pub fn toolbox(&self) -> &Toolbox {
        &self.shared.toolbox
    }

    /// The sessions, for who must not keep them.
    pub(crate) fn downgrade(&self) -> WeakRegistry {
        WeakRegistry(Arc::downgrade(&self.shared))
    }

    /// Where the sessions are kept.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Finds a session, here or in the store.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable`, `ConcurrencyLimited` when there is no room to load it, `AgentNotFound`
    /// when its agent is no longer offered.
    pub async fn find(&self, key: &Key) -> Result<Option<Handle>, Failure> {
        match self.look_up(key).await? {
            Found::Live(handle) => Ok(Some(handle)),
            Found::Nowhere(_) => Ok(None),
        }
    }

    /// Finds a session if it runs here, without looking into the store.
    pub fn find_live(&self, key: &Key) -> Option<Handle> {
        match self.shared.lock().get(key) {
            Some(Slot::Live(handle)) => Some(handle.clone()),
            Some(Slot::Loading(_)) | None => None,
        }
    }

    /// Finds a session, or begins it; no name means another that nobody has.
    ///
    /// # Errors
    ///
    /// As [`Registry::find`], and `ShuttingDown` for a session to begin while the server drains.
    pub async fn find_or_begin(
        &self,
        tenant: &Arc<str>,
        id: Option<&str>,
        begin: impl FnOnce() -> Beginning,
    ) -> Result<(Handle, bool), Failure> {
        let found = match id {
            Some(id) => self.look_up(&Key::new(tenant, id)).await?,
            // Nobody else can know of it.
            None => Found::Nowhere(self.claim(Key::new(tenant, &fresh_id()))),
        };
        match found {
            Found::Live(handle) => Ok((handle, false)),
            Found::Nowhere(claim) => {
                let (handle, _) = self.begin(claim, begin(), None, false)?;
                Ok((handle, true))
            }
        }
    }

    /// Begins a session, and gives the batch that keeps it; `None` when there is one of that name
    /// already.
    ///
    /// # Errors
    ///
    /// As [`Registry::find_or_begin`].
    pub async fn create(
        &self,
        tenant: &Arc<str>,
        id: Option<&str>,
        beginning: Beginning,
        claimed: Option<Claimed>,
    ) -> Result<Option<(Handle, Commit)>, Failure> {
        let found = match id {
            Some(id) => self.look_up(&Key::new(tenant, id)).await?,
            None => Found::Nowhere(self.claim(Key::new(tenant, &fresh_id()))),
        };
        match found {
            Found::Live(_) => Ok(None),
            Found::Nowhere(claim) => self.begin(claim, beginning, claimed, true).map(Some),
        }
    }

    /// Forgets a session; one that does not exist needs no forgetting.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable`.
    pub async fn delete(&self, key: &Key) -> Result<(), Failure> {
        loop {
            if let Some(handle) = self.find_live(key) {
                match handle.delete().await {
                    Ok(deleted) => return deleted,
                    // It left meanwhile.
                    Err(_) => continue,
                }
            }
            // Held until it is gone from the store, so that nobody loads it meanwhile.
            let Some(_claim) = self.claim_free(key).await else {
                continue;
            };
            let store = &self.shared.store;
            let deleted = store.commit(key.clone(), store.fence(), vec![Write::Delete]);
            return deleted.await.map_err(|error| kept::failure(&error));
        }
    }

    /// Loads the sessions whose work a process left unfinished; tells how many there were.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let unfinished = self.shared.store.unfinished().await?;
        for key in &unfinished {
            if let Err(failure) = self.find(key).await {
                // It stays in the store as it is, and is looked at again when it is used.
                tracing::error!(session.id = %key.session_id, %failure, "a session was not recovered");
            }
        }
        Ok(unfinished.len())
    }

    async fn look_up(&self, key: &Key) -> Result<Found, Failure> {
        loop {
            if let Some(handle) = self.find_live(key) {
                return Ok(Found::Live(handle));
            }
            let Some(claim) = self.claim_free(key).await else {
                continue;
            };
            let fence = self.shared.store.fence();
            let loaded = self.shared.store.load(key).await;
            let loaded = loaded.map_err(|error| kept::failure(&error))?;
            let Some(loaded) = loaded.filter(|loaded| !loaded.is_expired(SystemTime::now())) else {
                return Ok(Found::Nowhere(claim));
            };
            let agent = self.shared.agents.find(&loaded.begin.agent_id).cloned();
            let agent = agent.ok_or_else(|| no_agent(&loaded.begin.agent_id))?;
            let kept = kept::read(&key.session_id, loaded, &agent.limits)?;
            let origin = Origin::Kept(Box::new(kept));
            let (handle, _) = self.admit(claim, agent, origin, fence)?;
            return Ok(Found::Live(handle));
        }
    }

    /// Claims a name that does not run here; waits while another looks it up, and then says `None`.
    async fn claim_free(&self, key: &Key) -> Option<Claim> {
        let mut waiting = {
            let mut sessions = self.shared.lock();
            match sessions.get(key) {
                Some(Slot::Live(_)) => return None,
                Some(Slot::Loading(waiting)) => waiting.clone(),
                None => return Some(self.claim_in(&mut sessions, key.clone())),
            }
        };
        // Ends when the sender is dropped.
        while waiting.changed().await.is_ok() {}
        None
    }

    fn claim(&self, key: Key) -> Claim {
        self.claim_in(&mut self.shared.lock(), key)
    }

    fn claim_in(&self, sessions: &mut HashMap<Key, Slot>, key: Key) -> Claim {
        let (waiters, waiting) = watch::channel(());
        sessions.insert(key.clone(), Slot::Loading(waiting));
        Claim {
            shared: Arc::clone(&self.shared),
            key,
            is_settled: false,
            _waiters: waiters,
        }
    }

    fn begin(
        &self,
        claim: Claim,
        beginning: Beginning,
        claimed: Option<Claimed>,
        created: bool,
    ) -> Result<(Handle, Commit), Failure> {
        if self.is_draining() {
            return Err(Failure::shutting_down());
        }
        let Beginning {
            agent,
            options,
            messages,
            labels,
            ttl,
        } = beginning;
        let begin = Begin {
            agent_id: agent.id.clone(),
            labels,
            ttl: ttl.unwrap_or(self.shared.config.session_ttl),
            created: SystemTime::now(),
        };
        let origin = Origin::Begun {
            begin,
            options: Box::new(options),
            messages,
            claimed,
            created,
        };
        self.admit(claim, agent, origin, self.shared.store.fence())
    }

    /// Starts the task of a session, and puts it where calls find it.
    fn admit(
        &self,
        mut claim: Claim,
        agent: Arc<Agent>,
        origin: Origin,
        fence: Fence,
    ) -> Result<(Handle, Commit), Failure> {
        let shared = &self.shared;
        let mut sessions = shared.lock();
        // The claim counts as one.
        if sessions.len() > shared.config.max_sessions && !make_room(&sessions) {
            drop(sessions);
            let text = "this server holds as many sessions as it may, and all are in use";
            let failure = Failure::new(Reason::ConcurrencyLimited, text);
            return Err(failure.retry_after(RETRY_WHEN_FULL));
        }
        let place = Place {
            key: claim.key.clone(),
            shared: Arc::downgrade(shared),
            quiet_since: Arc::new(AtomicU64::new(0)),
        };
        let (inbox, first) = task::start(Parts {
            agent: Arc::clone(&agent),
            origin,
            bedrock: shared.bedrock.clone(),
            budgets: shared.budgets.clone(),
            offers: shared.toolbox.offers(&agent),
            store: shared.store.clone(),
            fence,
            config: Arc::clone(&shared.config),
            held: Arc::clone(&shared.held),
            place: place.clone(),
            tracker: shared.tracker.clone(),
            turns: shared.turns.clone(),
        });
        let handle = Handle {
            agent,
            inbox,
            place,
        };
        claim.is_settled = true;
        sessions.insert(claim.key.clone(), Slot::Live(handle.clone()));
        Ok((handle, first))
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

    /// Takes no further turns; every reader is told that it has `time_left`.
    pub async fn drain(&self, time_left: Duration) {
        self.shared.draining.cancel();
        for handle in self.handles() {
            // A session that has ended needs no telling.
            let _ = handle.inbox.send(Message::Shutdown { time_left }).await;
        }
    }

    /// Number of sessions in which a turn runs.
    pub fn turns(&self) -> usize {
        self.shared.turns.len()
    }

    /// Waits until no turn runs; to be called when no further turns are taken.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    pub async fn turns_ended(&self) {
        self.shared.turns.close();
        self.shared.turns.wait().await;
    }

    /// Cuts what still runs.
    pub async fn kill(&self) {
        for handle in self.handles() {
            // A session that has ended needs no telling.
            let _ = handle.inbox.send(Message::Kill).await;
        }
    }

    /// Waits until the store has all that the sessions have said.
    pub async fn settle(&self) {
        for handle in self.handles() {
            // A session that has ended left nothing; one whose store failed has said so.
            let _ = handle.settled().await;
        }
    }

    fn handles(&self) -> Vec<Handle> {
        let sessions = self.shared.lock();
        let live = sessions.values().filter_map(|slot| match slot {
            Slot::Live(handle) => Some(handle.clone()),
            Slot::Loading(_) => None,
        });
        live.collect()
    }
}

impl Shared {
    // The map is whole after every statement, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a session is.
enum Found {
    Live(Handle),
    /// Neither here nor in the store.
    Nowhere(Claim),
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
    /// Free labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// How long it is kept after its last use; `None` means the server's default.
    pub ttl: Option<Duration>,
}

impl Beginning {
    /// A session with nothing but an agent.
    pub fn plain(agent: &Arc<Agent>) -> Self {
        Self {
            agent: Arc::clone(agent),
            options: TurnOptions::default(),
            messages: Vec::new(),
            labels: Default::default(),
            ttl: None,
        }
    }
}

fn fresh_id() -> String {
    Uuid::now_v7().simple().to_string()
}

fn no_agent(agent_id: &str) -> Failure {
    let text = "the agent of this session is not offered by this server";
    Failure::new(Reason::AgentNotFound, text).fact("agent_id", agent_id)
}

/// Asks the sessions that were quiet longest to leave memory; false when none is quiet.
///
/// Each looks again whether it is quiet before it goes, so one that just woke stays.
fn make_room(sessions: &HashMap<Key, Slot>) -> bool {
    let live = sessions.values().filter_map(|slot| match slot {
        Slot::Live(handle) => Some(handle),
        Slot::Loading(_) => None,
    });
    let mut quiet: Vec<(u64, &Handle)> = live
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
