//! Keeps a connection with a server, and its list of tools.

use std::{io, process::ExitStatus, sync::Arc, time::Duration};

use rand::Rng as _;
use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{ErrorCode, ProtocolVersion, SubscriptionFilter, Tool},
    service::{
        ClientLifecycleMode, RunningService, Subscription, serve_client_with_lifecycle_and_ct,
    },
    transport::IntoTransport,
};
use tokio::{
    pin,
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    handler::Handler,
    http::{self, Endpoint},
    link::{Link, State},
    list,
    pipes::Pipes,
    process::{Process, Program},
};
use crate::Tools;

/// How long what a program wrote before its end is read for.
const DRAIN: Duration = Duration::from_millis(500);

/// How long a connection may take to be closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a server that listens is asked for its tools: its end, and a change of its list whose
/// notice was lost, are not noticed otherwise while nobody calls.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// Owns the connection; one task.
pub(super) struct Keeper {
    pub(super) link: Arc<Link>,
    pub(super) reach: Reach,
    pub(super) start_timeout: Duration,
    pub(super) pause: Pause,
    pub(super) tools: watch::Sender<Tools>,
    pub(super) stop: CancellationToken,
    /// Since when the server is there.
    pub(super) up_since: Option<Instant>,
    /// Told when the first attempt has succeeded or failed.
    pub(super) tried: Option<oneshot::Sender<()>>,
}

/// How the server is reached.
pub(super) enum Reach {
    /// It is started.
    Program(Program),
    /// It is connected to.
    Endpoint(Endpoint),
}

/// How long to wait before the next attempt.
#[derive(Debug)]
pub(super) struct Pause {
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

/// Why a connection ended.
enum End {
    Stopped,
    Lost(String),
}

impl Keeper {
    /// Starts and connects, again and again, until it is told to stop; then ends what it started.
    pub(super) async fn run(mut self, mut started: Option<(Process, Pipes)>) {
        let stop = self.stop.clone();
        loop {
            let end = match &self.reach {
                Reach::Endpoint(endpoint) => {
                    let transport = endpoint.connect(&self.link);
                    self.serve(transport, Some(ASK_EVERY)).await
                }
                Reach::Program(program) => {
                    match started.take().map_or_else(|| program.start(), Ok) {
                        Ok((process, pipes)) => self.serve_program(process, pipes).await,
                        Err(error) => End::Lost(format!("it cannot be started: {error}")),
                    }
                }
            };
            self.tried();
            let End::Lost(why) = end else {
                break;
            };
            self.link.set(State::Down(why.clone()));
            let up_for = self.up_since.take().map(|since| since.elapsed());
            let pause = self.pause.after(up_for.unwrap_or_default());
            tracing::warn!(
                server = %self.link.name, why, ?pause,
                "the MCP server is not there; it is tried again after a pause"
            );
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        self.link
            .set(State::Down("it was stopped, as this service is".into()));
    }

    async fn serve_program(&mut self, mut process: Process, pipes: Pipes) -> End {
        let end = {
            let serve = self.serve(pipes, None);
            pin!(serve);
            tokio::select! {
                end = &mut serve => end,
                status = process.ended() => {
                    // Something that it started may hold its output open.
                    match timeout(DRAIN, serve).await {
                        Ok(End::Stopped) => End::Stopped,
                        Ok(End::Lost(_)) | Err(_) => ended(status),
                    }
                }
            }
        };
        let end = match end {
            End::Stopped => End::Stopped,
            End::Lost(why) => match timeout(DRAIN, process.ended()).await {
                Ok(status) => ended(status),
                Err(_) => End::Lost(why),
            },
        };
        // Calls must not be made to what is ending.
        self.link.set(State::Down("it is being ended".into()));
        process.end().await;
        end
    }

    /// Speaks with the server until the connection ends.
    async fn serve<T, E, A>(&mut self, transport: T, ask_every: Option<Duration>) -> End
    where
        T: IntoTransport<RoleClient, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let closed = CancellationToken::new();
        let stop = self.stop.clone();
        let start = timeout(self.start_timeout, self.begin(transport, closed.clone()));
        let (running, listed) = tokio::select! {
            () = stop.cancelled() => return End::Stopped,
            started = start => match started {
                Ok(Ok(started)) => started,
                Ok(Err(why)) => return End::Lost(why),
                Err(_) => return End::Lost(format!("it did not answer within {:?}", self.start_timeout)),
            },
        };
        let peer = running.peer().clone();
        self.publish(listed);
        self.link.set(State::Up(peer.clone()));
        self.up_since = Some(Instant::now());
        tracing::info!(
            server = %self.link.name, tools = self.tools.borrow().len(),
            version = ?peer.peer_info().map(|info| info.protocol_version.clone()),
            "connected with the MCP server"
        );
        self.tried();
        let mut subscription = self.subscribe(&peer).await;
        let waiting = running.waiting();
        pin!(waiting);
        let link = Arc::clone(&self.link);
        let end = loop {
            tokio::select! {
                () = stop.cancelled() => break End::Stopped,
                _ = &mut waiting => return End::Lost("it closed the connection".into()),
                () = link.changed.notified() => {}
                () = changed(&mut subscription) => {}
                () = after(ask_every) => {
                    if subscription.is_none() {
                        subscription = self.subscribe(&peer).await;
                    }
                }
            }
            let fetch = timeout(self.start_timeout, list::fetch(&peer, &link.name));
            let fetched = tokio::select! {
                () = stop.cancelled() => break End::Stopped,
                fetched = fetch => fetched,
            };
            match fetched {
                Ok(Ok(listed)) => self.publish(listed),
                Ok(Err(
                    error @ (ServiceError::TransportSend(_) | ServiceError::TransportClosed),
                )) => {
                    break End::Lost(words(&error));
                }
                Ok(Err(error)) => self.keep_list(&words(&error)),
                Err(_) => self.keep_list("it does not answer"),
            }
        };
        self.link
            .set(State::Down("the connection is being closed".into()));
        closed.cancel();
        // What is not closed by then is dropped.
        let _ = timeout(CLOSE_TIMEOUT, waiting).await;
        end
    }

    /// Agrees on a version, and asks for the tools.
    async fn begin<T, E, A>(
        &self,
        transport: T,
        closed: CancellationToken,
    ) -> Result<(RunningService<RoleClient, Handler>, Vec<Tool>), String>
    where
        T: IntoTransport<RoleClient, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let handler = Handler::new(Arc::clone(&self.link));
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        };
        let running = serve_client_with_lifecycle_and_ct(handler, transport, lifecycle, closed)
            .await
            .map_err(|error| words(&error))?;
        match list::fetch(running.peer(), &self.link.name).await {
            Ok(listed) => Ok((running, listed)),
            Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => {
                tracing::warn!(server = %self.link.name, "the MCP server has no tools");
                Ok((running, Vec::new()))
            }
            Err(error) => Err(words(&error)),
        }
    }

    /// From the version without sessions on, changes are told to who asks for them.
    async fn subscribe(&self, peer: &Peer<RoleClient>) -> Option<Subscription> {
        let info = peer.peer_info()?;
        let tools = info.capabilities.tools.as_ref()?;
        if info.protocol_version.has_initialize() || tools.list_changed != Some(true) {
            return None;
        }
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        let listen = timeout(self.start_timeout, peer.listen(filter));
        let stop = self.stop.clone();
        let subscribed = tokio::select! {
            () = stop.cancelled() => return None,
            subscribed = listen => subscribed,
        };
        match subscribed {
            Ok(Ok(subscription)) => Some(subscription),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(server = %self.link.name, "the MCP server does not tell when its tools change");
                None
            }
        }
    }

    fn publish(&self, listed: Vec<Tool>) {
        let tools = list::tools(&self.link, listed);
        self.tools.send_if_modified(|known| {
            let is_same = known.len() == tools.len()
                && known
                    .iter()
                    .zip(&*tools)
                    .all(|(a, b)| a.definition() == b.definition());
            *known = tools;
            !is_same
        });
    }

    fn keep_list(&self, why: &str) {
        tracing::warn!(
            server = %self.link.name, why,
            "the MCP server's tools cannot be listed again; those that are known are kept"
        );
    }

    fn tried(&mut self) {
        if let Some(tried) = self.tried.take() {
            // Who asked may have gone.
            let _ = tried.send(());
        }
    }
}

impl Pause {
    pub(super) fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest: longest.max(shortest),
            next: shortest,
        }
    }

    /// The next pause, after the server was there for so long.
    fn after(&mut self, up_for: Duration) -> Duration {
        if up_for >= self.longest {
            self.next = self.shortest;
        }
        let pause = self.next.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

fn ended(status: io::Result<ExitStatus>) -> End {
    End::Lost(match status {
        Ok(status) => format!("it ended by itself ({status})"),
        Err(error) => format!("it cannot be waited for: {error}"),
    })
}

/// Waits for a change that the server was asked to tell of.
async fn changed(subscription: &mut Option<Subscription>) {
    match subscription {
        Some(news) => {
            if !matches!(news.next().await, Ok(Some(_))) {
                // It ended: its last word is the list that is fetched now.
                *subscription = None;
            }
        }
        None => std::future::pending().await,
    }
}

async fn after(pause: Option<Duration>) {
    match pause {
        Some(pause) => sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// An error with its causes, and what to do where that is known.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(status) = http::refusal(error) {
        return format!(
            "it refuses our credentials (HTTP {status}): whoever runs this service has to look at \
             the token and the headers that are configured for it"
        );
    }
    let mut words = error.to_string();
    for cause in http::causes(error).skip(1) {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_begin_anew_after_a_good_run() {
        let second = Duration::from_secs(1);
        let mut pause = Pause::new(second, 5 * second);
        for longest in [1, 2, 4, 5, 5] {
            let longest = longest * second;
            let next = pause.after(second);
            assert!(
                (longest / 2..=longest).contains(&next),
                "{next:?} of {longest:?}"
            );
        }
        let anew = pause.after(5 * second);
        assert!((second / 2..=second).contains(&anew), "{anew:?}");
    }
}
