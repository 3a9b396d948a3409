//! How a session's task begins: with a session of its own, or one that was kept.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::SystemTime,
};

use taiwa_core::{Agent, Clock, Message as CoreMessage, Session, TurnOptions, session::Setup};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;
use tracing::warn;
use uuid::Uuid;

use super::{
    ModelCall, SessionLog, Task, now,
    runs::{Facts, Runs},
};
use crate::{
    budget::Accounts,
    grpc::convert::event::Encoder,
    model::bedrock::Bedrock,
    session::{
        Config,
        inbox::{Claimed, Inbox},
        kept::{self, Kept},
        log::{Entry, Held},
        progress::Progress,
        registry::Place,
    },
    store::{Begin, Fence, Store, Write},
    tools::Offer,
};

/// What a session's task works with.
#[derive(Debug)]
pub(in crate::session) struct Parts {
    pub(in crate::session) agent: Arc<Agent>,
    pub(in crate::session) origin: Origin,
    pub(in crate::session) bedrock: Bedrock,
    pub(in crate::session) budgets: Accounts,
    /// What the agent is offered, where it has tools.
    pub(in crate::session) offers: Option<watch::Receiver<Arc<Offer>>>,
    pub(in crate::session) store: Store,
    /// The right to write the session.
    pub(in crate::session) fence: Fence,
    pub(in crate::session) config: Arc<Config>,
    pub(in crate::session) held: Arc<Held>,
    pub(in crate::session) place: Place,
    pub(in crate::session) tracker: TaskTracker,
    /// Counts the sessions in which a turn runs.
    pub(in crate::session) turns: TaskTracker,
}

/// Where a session comes from.
#[derive(Debug)]
pub(in crate::session) enum Origin {
    /// It begins.
    Begun {
        begin: Begin,
        options: Box<TurnOptions>,
        messages: Vec<CoreMessage>,
        claimed: Option<Claimed>,
        /// It is kept whatever comes; else once something is said in it.
        created: bool,
    },
    /// The store kept it.
    Kept(Box<Kept>),
}

impl Task {
    pub(super) fn new(parts: Parts, inbox: Inbox) -> Self {
        let clock = Clock {
            instant: now(),
            system: SystemTime::now(),
        };
        let key = parts.place.key();
        let setup = |options, messages| Setup {
            id: key.session_id.to_string(),
            seed: Uuid::new_v4().simple().to_string()[..12].to_owned(),
            agent: Arc::clone(&parts.agent),
            tools: parts
                .offers
                .as_ref()
                .map_or_else(Arc::default, |offers| Arc::clone(&offers.borrow().set)),
            options,
            messages,
            clock,
        };
        let mut writes = Vec::new();
        let mut tokens = (0, 0);
        let mut events = Vec::new();
        let mut newest = 0;
        let mut replay_until = None;
        let mut is_held_back = false;
        let mut head = None;
        let ttl;
        let session = match parts.origin {
            Origin::Begun {
                begin,
                options,
                messages,
                claimed,
                created,
            } => {
                is_held_back = !created;
                ttl = begin.ttl;
                writes.push(Write::Begin(begin));
                writes.extend(claimed.map(|claimed| kept::request(claimed, &key.session_id, None)));
                Session::new(setup(*options, messages))
            }
            Origin::Kept(kept) => {
                tokens = (kept.head.input_tokens, kept.head.output_tokens);
                head = Some((kept.head, Instant::now()));
                events = kept.events;
                newest = kept.last_sequence;
                ttl = kept.ttl;
                replay_until = Some(Instant::now() + parts.config.replay_window);
                let setup = setup(TurnOptions::default(), Vec::new());
                let (session, repairs) = Session::restore(setup, kept.core, now());
                if !repairs.is_empty() {
                    warn!(session.id = %key.session_id, ?repairs, "repaired a history that was kept");
                }
                session
            }
        };
        let first = events.first().map(|entry: &Entry| entry.sequence);
        let log = SessionLog::new(parts.config.log, parts.held, events, newest);
        Self {
            encoder: Encoder::new(Arc::clone(session.id()), parts.agent.id.as_str().into()),
            agent: parts.agent,
            session,
            bedrock: parts.bedrock,
            config: parts.config,
            place: parts.place,
            tracker: parts.tracker,
            turns: parts.turns,
            running: None,
            log: Arc::new(log),
            store: parts.store,
            fence: parts.fence,
            batches: 0,
            progress: Arc::new(Progress::new()),
            said: Vec::new(),
            writes,
            is_held_back,
            ttl,
            input_tokens: tokens.0,
            output_tokens: tokens.1,
            trimmed: first.unwrap_or(newest + 1) - 1,
            head,
            replay_until,
            inbox,
            model: ModelCall::default(),
            runs: Runs::default(),
            offers: parts.offers,
            facts: Facts::default(),
            answers: VecDeque::new(),
            budgets: parts.budgets,
            held_since: None,
            quiet_since: None,
            draining: false,
            calls: 0,
            starting: BTreeMap::new(),
            cancelling: BTreeMap::new(),
            streams: BTreeMap::new(),
            ending: Vec::new(),
        }
    }
}
