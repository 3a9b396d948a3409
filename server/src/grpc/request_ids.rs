//! Requests that were seen before: a repeat acts once and is answered as the first was.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use prost::Message;
use sha2::{Digest as _, Sha256};
use taiwa_core::{Failure, Reason};
use tokio::{sync::Notify, time::Instant};

use crate::{
    session::Answer,
    store::{REMEMBERED, RequestRow},
};

/// Requests remembered at once; beyond it the oldest go before their time.
///
/// About 20 MiB at the longest ids; a guess at 160 named requests a second.
const MAX_REQUESTS: usize = 100_000;

/// What a request says, in short: equal for equal requests.
pub(super) type Fingerprint = [u8; 32];

/// Tells requests apart by their kind and by what they say.
pub(super) fn fingerprint(kind: &str, request: &impl Message) -> Fingerprint {
    let mut digest = Sha256::new();
    digest.update(kind);
    digest.update([0]);
    digest.update(request.encode_to_vec());
    digest.finalize().into()
}

/// Requests that were seen, by tenant and id.
#[derive(Clone, Debug, Default)]
pub struct RequestIds {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    by_id: HashMap<Name, Request>,
    oldest_first: VecDeque<(Instant, Name)>,
}

/// A request's tenant and id.
type Name = (Arc<str>, String);

#[derive(Debug)]
struct Request {
    fingerprint: Fingerprint,
    answer: Option<Answer>,
}

/// How a request is to be treated.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is the first of its id.
    First(Ticket),
    /// It was answered before.
    Repeat(Answer),
}

/// The right to answer for an id; dropped without an answer, the id is free.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    name: Option<Name>,
}

impl RequestIds {
    /// Remembers the requests that a store has kept, with the time since each; oldest first.
    ///
    /// One whose answer cannot be read is left out: its repeat acts again.
    pub fn restore(&self, rows: Vec<RequestRow>) {
        let now = (Instant::now(), SystemTime::now());
        let mut seen = self.shared.lock();
        for row in rows {
            let Ok(answer) = crate::session::decode(&row.value) else {
                continue;
            };
            let age = now.1.duration_since(row.at).unwrap_or_default();
            let at = now.0.checked_sub(age).unwrap_or(now.0);
            let name = (row.tenant, row.request_id);
            let request = Request {
                fingerprint: row.fingerprint,
                answer: Some(answer),
            };
            seen.oldest_first.push_back((at, name.clone()));
            seen.by_id.insert(name, request);
        }
    }

    /// Claims an id; a repeat that comes while the first is under way waits for it.
    ///
    /// # Errors
    ///
    /// `RequestIdReused` when the id was used for another request.
    pub(super) async fn claim(
        &self,
        tenant: &Arc<str>,
        id: String,
        fingerprint: Fingerprint,
    ) -> Result<Claim, Failure> {
        let name = (Arc::clone(tenant), id);
        self.claim_at(name, fingerprint, Instant::now()).await
    }

    async fn claim_at(
        &self,
        name: Name,
        fingerprint: Fingerprint,
        now: Instant,
    ) -> Result<Claim, Failure> {
        loop {
            let settled = self.shared.settled.notified();
            tokio::pin!(settled);
            // Registered before looking, so that an answer in between is not missed.
            settled.as_mut().enable();
            {
                let mut seen = self.shared.lock();
                seen.forget_old(now);
                match seen.by_id.get(&name) {
                    None => {
                        seen.by_id.insert(
                            name.clone(),
                            Request {
                                fingerprint,
                                answer: None,
                            },
                        );
                        seen.oldest_first.push_back((now, name.clone()));
                        let shared = Arc::clone(&self.shared);
                        return Ok(Claim::First(Ticket {
                            shared,
                            name: Some(name),
                        }));
                    }
                    Some(known) if known.fingerprint != fingerprint => {
                        let text = "this request_id was used for another request";
                        let failure = Failure::new(Reason::RequestIdReused, text);
                        return Err(failure.fact("request_id", name.1));
                    }
                    Some(Request {
                        answer: Some(answer),
                        ..
                    }) => {
                        return Ok(Claim::Repeat(answer.clone()));
                    }
                    Some(Request { answer: None, .. }) => {}
                }
            }
            settled.await;
        }
    }
}

impl Shared {
    // The map is whole after every statement, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn forget_old(&mut self, now: Instant) {
        while let Some((since, _)) = self.oldest_first.front() {
            if now.saturating_duration_since(*since) < REMEMBERED
                && self.oldest_first.len() <= MAX_REQUESTS
            {
                return;
            }
            if let Some((_, name)) = self.oldest_first.pop_front() {
                self.by_id.remove(&name);
            }
        }
    }
}

impl Ticket {
    /// Does what the request asks for, and remembers what it came to.
    ///
    /// The work goes on when the caller goes: a repeat must find what it left behind.
    pub(super) async fn work<T: Send + 'static>(
        self,
        work: impl Future<Output = Result<(Answer, T), Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        // Owned by nobody; it ends with the start of a turn or of a session, which is soon.
        let work = tokio::spawn(async move {
            let (answer, done) = work.await?;
            self.settle(answer);
            Ok(done)
        });
        work.await.unwrap_or_else(|_| Err(Failure::internal()))
    }

    fn settle(mut self, answer: Answer) {
        let Some(name) = self.name.take() else {
            return;
        };
        if let Some(request) = self.shared.lock().by_id.get_mut(&name) {
            request.answer = Some(answer);
        }
        self.shared.settled.notify_waiters();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else {
            return;
        };
        {
            let mut seen = self.shared.lock();
            seen.by_id.remove(&name);
            seen.oldest_first.retain(|(_, known)| *known != name);
        }
        self.shared.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: Fingerprint = [1; 32];

    fn answer() -> Answer {
        Answer {
            session_id: "s".to_owned(),
            started: None,
        }
    }

    async fn first(ids: &RequestIds) -> Ticket {
        match ids.claim(&"".into(), "r".to_owned(), BODY).await {
            Ok(Claim::First(ticket)) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_repeat_waits_for_the_first_and_gets_its_answer() {
        let ids = RequestIds::default();
        let ticket = first(&ids).await;
        let repeat = tokio::spawn({
            let ids = ids.clone();
            async move { ids.claim(&"".into(), "r".to_owned(), BODY).await }
        });
        tokio::task::yield_now().await;
        ticket.settle(answer());
        let claim = repeat.await.unwrap().unwrap();
        assert!(matches!(claim, Claim::Repeat(found) if found == answer()));
    }

    #[tokio::test]
    async fn a_first_whose_caller_goes_is_answered_all_the_same() {
        let ids = RequestIds::default();
        let (done, work) = tokio::sync::oneshot::channel();
        let ticket = first(&ids).await;
        let caller = tokio::spawn(ticket.work(async move {
            work.await.unwrap();
            Ok((answer(), ()))
        }));
        tokio::task::yield_now().await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        done.send(()).unwrap();
        let claim = ids.claim(&"".into(), "r".to_owned(), BODY).await.unwrap();
        assert!(matches!(claim, Claim::Repeat(found) if found == answer()));
    }

    #[tokio::test]
    async fn a_first_that_fails_leaves_the_id_to_the_next() {
        let ids = RequestIds::default();
        drop(first(&ids).await);
        drop(first(&ids).await);
    }

    #[tokio::test]
    async fn another_body_under_the_same_id_is_refused() {
        let ids = RequestIds::default();
        first(&ids).await.settle(answer());
        let failure = ids
            .claim(&"".into(), "r".to_owned(), [2; 32])
            .await
            .unwrap_err();
        assert_eq!(failure.reason, Reason::RequestIdReused);
    }

    #[tokio::test]
    async fn an_id_is_free_again_after_ten_minutes() {
        let ids = RequestIds::default();
        first(&ids).await.settle(answer());
        let later = Instant::now() + REMEMBERED;
        let claim = ids
            .claim_at(("".into(), "r".to_owned()), BODY, later)
            .await
            .unwrap();
        assert!(matches!(claim, Claim::First(_)));
    }
}
