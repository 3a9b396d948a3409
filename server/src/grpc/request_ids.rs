//! Requests that were seen before: a repeat acts once and is answered as the first was.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prost::Message;
use sha2::{Digest as _, Sha256};
use taiwa_core::{Failure, Reason, command::Started};
use tokio::{sync::Notify, time::Instant};

/// How long a request is remembered, as the contract says.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// Requests remembered at once; beyond it the oldest go before their time.
///
/// About 20 MiB at the longest ids; a guess at 160 named requests a second.
const MAX_REQUESTS: usize = 100_000;

/// What a request says, in short: equal for equal requests.
pub(super) type Fingerprint = [u8; 32];

/// Tells requests apart by what they say.
pub(super) fn fingerprint(request: &impl Message) -> Fingerprint {
    Sha256::digest(request.encode_to_vec()).into()
}

/// Requests that were seen, by their id.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestIds {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    by_id: HashMap<String, Request>,
    oldest_first: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
struct Request {
    fingerprint: Fingerprint,
    answer: Option<Answer>,
}

/// What the first request of an id came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The session that it used or began.
    pub(super) session_id: String,
    /// The turn that it started; `None` when it only opened the session.
    pub(super) started: Option<Started>,
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
    id: Option<String>,
}

impl RequestIds {
    /// Claims an id; a repeat that comes while the first is under way waits for it.
    ///
    /// # Errors
    ///
    /// `RequestIdReused` when the id was used for another request.
    pub(super) async fn claim(
        &self,
        id: String,
        fingerprint: Fingerprint,
    ) -> Result<Claim, Failure> {
        self.claim_at(id, fingerprint, Instant::now()).await
    }

    async fn claim_at(
        &self,
        id: String,
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
                match seen.by_id.get(&id) {
                    None => {
                        seen.by_id.insert(
                            id.clone(),
                            Request {
                                fingerprint,
                                answer: None,
                            },
                        );
                        seen.oldest_first.push_back((now, id.clone()));
                        let shared = Arc::clone(&self.shared);
                        return Ok(Claim::First(Ticket {
                            shared,
                            id: Some(id),
                        }));
                    }
                    Some(known) if known.fingerprint != fingerprint => {
                        let text = "this request_id was used for another request";
                        let failure = Failure::new(Reason::RequestIdReused, text);
                        return Err(failure.fact("request_id", id));
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
            if let Some((_, id)) = self.oldest_first.pop_front() {
                self.by_id.remove(&id);
            }
        }
    }
}

impl Ticket {
    /// Remembers what the request came to.
    pub(super) fn settle(mut self, answer: Answer) {
        let Some(id) = self.id.take() else { return };
        if let Some(request) = self.shared.lock().by_id.get_mut(&id) {
            request.answer = Some(answer);
        }
        self.shared.settled.notify_waiters();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        {
            let mut seen = self.shared.lock();
            seen.by_id.remove(&id);
            seen.oldest_first.retain(|(_, known)| *known != id);
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
        match ids.claim("r".to_owned(), BODY).await {
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
            async move { ids.claim("r".to_owned(), BODY).await }
        });
        tokio::task::yield_now().await;
        ticket.settle(answer());
        let claim = repeat.await.unwrap().unwrap();
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
        let failure = ids.claim("r".to_owned(), [2; 32]).await.unwrap_err();
        assert_eq!(failure.reason, Reason::RequestIdReused);
    }

    #[tokio::test]
    async fn an_id_is_free_again_after_ten_minutes() {
        let ids = RequestIds::default();
        first(&ids).await.settle(answer());
        let later = Instant::now() + REMEMBERED;
        let claim = ids.claim_at("r".to_owned(), BODY, later).await.unwrap();
        assert!(matches!(claim, Claim::First(_)));
    }
}
