//! A store that lasts as long as its process.

mod ordered;
mod session;

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;

use self::session::Session;
use super::{
    REMEMBERED, StoreError, Sweep,
    batch::{Batch, Call, Fence, Key, Request, Turn, Write},
    check::{Standing, check},
    page::{List, Page, Paged, SessionFilter, SessionPosition},
    rows::{Loaded, RequestRow, SessionRow, Swept},
    spent::{Period, Spent, SpentRow},
};

/// The store's rows, behind one lock.
///
/// Lists sort what they find: they are for small servers, while writes must be cheap.
#[derive(Debug)]
pub(super) struct Memory {
    max_sessions_per_tenant: u64,
    fences: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tenants: HashMap<Arc<str>, Tenant>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Tenant {
    sessions: HashMap<Arc<str>, Session>,
    requests: HashMap<String, Request>,
    spent: HashMap<Period, Spent>,
}

impl Memory {
    pub(super) fn new(max_sessions_per_tenant: u64) -> Self {
        Self {
            max_sessions_per_tenant,
            fences: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub(super) fn fence(&self) -> Fence {
        Fence::new(self.fences.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn write(&self, batch: Batch) {
        let Batch {
            key,
            fence,
            writes,
            done,
        } = batch;
        let mut state = self.lock();
        let result = state.write(&key, &fence, writes, self.max_sessions_per_tenant);
        // Told without the lock, for whoever is told may write.
        drop(state);
        if result.is_err() {
            fence.break_down();
        }
        done.tell(result);
    }

    pub(super) fn load(&self, key: &Key) -> Result<Option<Loaded>, StoreError> {
        self.read(key, Session::load)
    }

    pub(super) fn session(&self, key: &Key) -> Result<Option<SessionRow>, StoreError> {
        self.read(key, |session| session.row(key))
    }

    pub(super) fn turn(&self, key: &Key, turn_id: &str) -> Result<Option<Turn>, StoreError> {
        let turn = self.read(key, |session| session.turns.get(turn_id).cloned())?;
        Ok(turn.flatten())
    }

    pub(super) fn calls(&self, key: &Key) -> Result<Vec<Call>, StoreError> {
        let calls = self.read(key, |session| session.calls.values().cloned().collect())?;
        Ok(calls.unwrap_or_default())
    }

    pub(super) fn messages(
        &self,
        key: &Key,
        page: &Page,
    ) -> Result<Option<Paged<Bytes>>, StoreError> {
        let list = List::of_messages(key);
        let from = match &page.token {
            Some(token) => list.message_index(token)?,
            None => 0,
        };
        self.read(key, |session| {
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            let rest = session.messages.get(from..).unwrap_or_default();
            let items: Vec<_> = rest.iter().take(page.size.max(1)).cloned().collect();
            let until = from.saturating_add(items.len());
            let has_more = items.len() < rest.len();
            Paged {
                next: has_more.then(|| list.token_at_message(until as u64)),
                items,
            }
        })
    }

    pub(super) fn sessions(
        &self,
        tenant: &str,
        filter: &SessionFilter,
        page: &Page,
        now: SystemTime,
    ) -> Result<Paged<SessionRow>, StoreError> {
        let list = List::of_sessions(tenant, filter);
        let after = match &page.token {
            Some(token) => Some(list.session_position(token)?),
            None => None,
        };
        let after = after
            .as_ref()
            .map(|position| (position.update_time, &*position.session_id));
        let state = self.open()?;
        let Some(tenant_row) = state.tenants.get(tenant) else {
            let items = Vec::new();
            return Ok(Paged { items, next: None });
        };
        let mut found: Vec<_> = tenant_row
            .sessions
            .iter()
            .map(|(id, session)| ((session.head.update_time, &**id), session))
            .filter(|(position, session)| {
                after.is_none_or(|after| *position < after)
                    && session.matches(filter)
                    && session.expires().is_none_or(|at| at > now)
            })
            .collect();
        let size = page.size.max(1);
        let has_more = found.len() > size;
        if has_more {
            found.select_nth_unstable_by(size, |(a, _), (b, _)| b.cmp(a));
            found.truncate(size);
        }
        found.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let next = found.last().filter(|_| has_more).map(|((time, id), _)| {
            list.token_after_session(&SessionPosition {
                update_time: *time,
                session_id: (*id).to_owned(),
            })
        });
        let tenant: Arc<str> = tenant.into();
        let items = found
            .into_iter()
            .map(|((_, id), session)| SessionRow {
                options: None,
                ..session.row(&Key::new(&tenant, id))
            })
            .collect();
        Ok(Paged { items, next })
    }

    pub(super) fn requests(&self, since: SystemTime) -> Result<Vec<RequestRow>, StoreError> {
        let state = self.open()?;
        let mut rows = Vec::new();
        for (tenant, row) in &state.tenants {
            let requests = row.requests.values().filter(|request| request.at >= since);
            rows.extend(requests.map(|request| RequestRow {
                tenant: Arc::clone(tenant),
                request_id: request.request_id.clone(),
                fingerprint: request.fingerprint,
                value: request.value.clone(),
                at: request.at,
            }));
        }
        drop(state);
        rows.sort_by_key(|row| row.at);
        Ok(rows)
    }

    pub(super) fn spent(&self, now: SystemTime) -> Result<Vec<SpentRow>, StoreError> {
        let state = self.open()?;
        let mut rows = Vec::new();
        for (tenant, row) in &state.tenants {
            let spent = row.spent.values();
            let spent = spent.filter(|spent| !spent.period.is_forgotten(now));
            rows.extend(spent.map(|spent| SpentRow {
                tenant: Arc::clone(tenant),
                spent: *spent,
            }));
        }
        Ok(rows)
    }

    pub(super) fn unfinished(&self) -> Result<Vec<Key>, StoreError> {
        let state = self.open()?;
        let mut keys = Vec::new();
        for (tenant, row) in &state.tenants {
            for (id, session) in &row.sessions {
                if session.head.has_work {
                    keys.push(Key {
                        tenant: Arc::clone(tenant),
                        session_id: Arc::clone(id),
                    });
                }
            }
        }
        Ok(keys)
    }

    pub(super) fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let mut state = self.open()?;
        let mut swept = Swept::default();
        let mut gone = Vec::new();
        for (tenant, row) in &mut state.tenants {
            let expired = row
                .sessions
                .extract_if(|_, session| session.expires().is_some_and(|at| at <= sweep.now));
            for (id, session) in expired {
                swept.sessions.push(Key {
                    tenant: Arc::clone(tenant),
                    session_id: id,
                });
                gone.push(session);
            }
            for session in row.sessions.values_mut() {
                let idle = sweep.now.duration_since(session.head.update_time);
                let is_past = idle.is_ok_and(|idle| idle > sweep.replay_window);
                if is_past && !session.head.has_work && !session.log.is_empty() {
                    session.log.clear();
                    swept.logs += 1;
                }
            }
            let before = row.requests.len();
            row.requests.retain(|_, request| {
                let age = sweep.now.duration_since(request.at);
                age.is_ok_and(|age| age <= REMEMBERED) || request.at > sweep.now
            });
            swept.requests += before - row.requests.len();
            let before = row.spent.len();
            row.spent
                .retain(|period, _| !period.is_forgotten(sweep.now));
            swept.periods += before - row.spent.len();
        }
        state.tenants.retain(|_, row| !row.is_empty());
        drop(state);
        // Freed without the lock: histories may be long.
        drop(gone);
        Ok(swept)
    }

    /// Refuses what comes later, and frees what was kept.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let tenants = mem::take(&mut state.tenants);
        drop(state);
        drop(tenants);
    }

    fn read<T>(
        &self,
        key: &Key,
        read: impl FnOnce(&Session) -> T,
    ) -> Result<Option<T>, StoreError> {
        let state = self.open()?;
        let tenant = state.tenants.get(&key.tenant);
        let session = tenant.and_then(|tenant| tenant.sessions.get(&key.session_id));
        Ok(session.map(read))
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        if state.is_closed {
            return Err(StoreError::Closed);
        }
        Ok(state)
    }

    // A batch is checked before any of it is written, so a panic leaves no half of one behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(
        &mut self,
        key: &Key,
        fence: &Fence,
        writes: Vec<Write>,
        max_sessions: u64,
    ) -> Result<(), StoreError> {
        if self.is_closed {
            return Err(StoreError::Closed);
        }
        let tenant = self.tenants.get(&key.tenant);
        let session = tenant.and_then(|tenant| tenant.sessions.get(&key.session_id));
        let standing = Standing {
            session: session.map(Session::standing),
            tenant_sessions: tenant.map_or(0, |tenant| tenant.sessions.len() as u64),
            max_sessions,
        };
        check(fence, &writes, standing)?;
        if tenant.is_none() {
            let tenant = Arc::clone(&key.tenant);
            self.tenants.insert(tenant, Tenant::default());
        }
        if let Some(tenant) = self.tenants.get_mut(&key.tenant) {
            tenant.apply(key, fence, writes);
            if tenant.is_empty() {
                self.tenants.remove(&key.tenant);
            }
        }
        Ok(())
    }
}

impl Tenant {
    /// Writes a batch that fits.
    fn apply(&mut self, key: &Key, fence: &Fence, writes: Vec<Write>) {
        let mut session = self.sessions.get_mut(&key.session_id);
        if let Some(session) = &mut session {
            session.fence = fence.number();
        }
        for write in writes {
            match write {
                Write::Begin(begin) => {
                    let begun = Session::new(begin, fence.number());
                    self.sessions.insert(Arc::clone(&key.session_id), begun);
                    session = self.sessions.get_mut(&key.session_id);
                }
                Write::Delete => {
                    self.sessions.remove(&key.session_id);
                    session = None;
                }
                Write::Request(request) => {
                    self.requests.insert(request.request_id.clone(), request);
                }
                Write::Spent(more) => {
                    let nothing = Spent::nothing(more.period);
                    let spent = self.spent.entry(more.period).or_insert(nothing);
                    spent.add(&more);
                }
                write @ (Write::Head(_)
                | Write::State(_)
                | Write::Options(_)
                | Write::History { .. }
                | Write::Receipt { .. }
                | Write::ForgetReceipt(_)
                | Write::Turn(_)
                | Write::Call(_)
                | Write::Log(_)
                | Write::Trim { .. }) => {
                    if let Some(session) = &mut session {
                        session.apply(write);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.requests.is_empty() && self.spent.is_empty()
    }
}
