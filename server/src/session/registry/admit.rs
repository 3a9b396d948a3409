//! How a session comes to live in this process: it is looked up in the store, or begins.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use taiwa_core::{Agent, Failure, Reason};
use tokio::sync::watch;

use super::{
    Beginning, Place, Registry,
    place::{Claim, Slot},
};
use crate::{
    session::{
        handle::Handle,
        inbox::{Claimed, Message},
        kept,
        progress::Commit,
        task::{self, Origin, Parts},
    },
    store::{Begin, Fence, Key},
};

/// When a client refused for want of room may try again: about the length of a short turn.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(2);

/// Share of the sessions that are looked at to be forgotten when there is no room: one in so many.
const EVICTED_SHARE: usize = 64;

/// Where a session is.
pub(super) enum Found {
    Live(Handle),
    /// Neither here nor in the store.
    Nowhere(Claim),
}

impl Registry {
    pub(super) async fn look_up(&self, key: &Key) -> Result<Found, Failure> {
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
    pub(super) async fn claim_free(&self, key: &Key) -> Option<Claim> {
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

    pub(super) fn claim(&self, key: Key) -> Claim {
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

    pub(super) fn begin(
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
