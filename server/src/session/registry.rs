//! Which sessions live in this process, by tenant and name; the others are in the store.

mod admit;
mod place;
mod stop;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use taiwa_core::{Agent, Failure, Message as CoreMessage, TurnOptions};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub(super) use self::place::Place;
use self::{admit::Found, place::Slot};
use super::{Config, handle::Handle, inbox::Claimed, kept, log::Held, progress::Commit};
use crate::{
    agents::Agents,
    budget::Accounts,
    model::bedrock::Bedrock,
    store::{Key, Store, StoreError, Write},
    tools::Toolbox,
};

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

    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.shared.lock().len()
    }

    /// True when there is no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shared {
    // The map is whole after every statement, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
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
