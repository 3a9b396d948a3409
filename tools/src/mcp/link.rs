//! What the tools of a server and the task that watches over it know together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderName;
use rmcp::{
    Peer, RoleClient,
    model::{ProgressNotificationParam, ProgressToken},
};
use tokio::sync::Notify;

use crate::Progress;

/// Whether a server is there, who waits for its progress, and what was noticed of it.
#[derive(Debug)]
pub(super) struct Link {
    /// The server's name.
    pub(super) name: Arc<str>,
    /// Which metadata of a caller goes along with a call.
    pub(super) forward_metadata: Vec<HeaderName>,
    state: Mutex<State>,
    waiting: Mutex<HashMap<ProgressToken, Waiting>>,
    /// The list of tools may be another, or the server away: it has to be asked.
    pub(super) changed: Notify,
}

/// Whether a server can be called.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// It can.
    Up(Peer<RoleClient>),
    /// It cannot, and why.
    Down(String),
}

/// A call that is told of progress.
#[derive(Debug)]
struct Waiting {
    progress: Progress,
    /// How far it was when last told.
    reached: f64,
}

/// Takes a call's progress until it is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    link: Arc<Link>,
    token: ProgressToken,
}

impl Link {
    pub(super) fn new(name: Arc<str>, forward_metadata: Vec<HeaderName>) -> Self {
        Self {
            name,
            forward_metadata,
            state: Mutex::new(State::Down("it is being started".into())),
            waiting: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    pub(super) fn set(&self, state: State) {
        *lock(&self.state) = state;
    }

    /// Has the progress of a call told to who made it.
    pub(super) fn listen(self: &Arc<Self>, token: ProgressToken, progress: Progress) -> Listening {
        let waiting = Waiting {
            progress,
            reached: f64::NEG_INFINITY,
        };
        lock(&self.waiting).insert(token.clone(), waiting);
        Listening {
            link: Arc::clone(self),
            token,
        }
    }

    /// Tells progress to whom it concerns.
    pub(super) fn report(&self, news: &ProgressNotificationParam) {
        let mut waiting = lock(&self.waiting);
        let Some(waiting) = waiting.get_mut(&news.progress_token) else {
            return;
        };
        // Progress only grows; what is behind was overtaken, as each notice has a task of its own.
        if news.progress <= waiting.reached {
            return;
        }
        waiting.reached = news.progress;
        waiting.progress.report(words(news));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        lock(&self.link.waiting).remove(&self.token);
    }
}

/// Nothing is left half done under these locks: what a panic leaves is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn words(news: &ProgressNotificationParam) -> String {
    let count = match news.total {
        Some(total) => format!("{}/{total}", news.progress),
        None => news.progress.to_string(),
    };
    match news.message.as_deref() {
        Some(message) if !message.is_empty() => format!("{message} ({count})"),
        Some(_) | None => count,
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::NumberOrString;

    use super::*;

    fn news(token: i64, progress: f64) -> ProgressNotificationParam {
        ProgressNotificationParam::new(ProgressToken(NumberOrString::Number(token)), progress)
    }

    #[tokio::test]
    async fn progress_reaches_its_call_alone_and_never_goes_back() {
        let link = Arc::new(Link::new("x".into(), Vec::new()));
        let (progress, mut told) = Progress::channel();
        let listening = link.listen(ProgressToken(NumberOrString::Number(1)), progress);
        link.report(&news(2, 9.0));
        link.report(&news(1, 1.0).with_total(3.0).with_message("first"));
        link.report(&news(1, 2.5));
        link.report(&news(1, 2.0));
        drop(listening);
        link.report(&news(1, 3.0));
        assert_eq!(told.next().await.as_deref(), Some("first (1/3)"));
        assert_eq!(told.next().await.as_deref(), Some("2.5"));
        assert_eq!(told.next().await, None);
    }
}
