//! Time from a caller's cancel until the model sees its connection closed.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use rand::Rng as _;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::Code;

use super::{Bench, since_epoch};
use crate::{
    child::Target,
    journal,
    load::{self, Client, PATIENCE},
    report::{Key, Latencies, Results},
    scenario::Answer,
};

/// What the model and the caller are doing when the caller cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The model has not answered at all.
    Opening,
    /// The model has fallen silent.
    Silent,
    /// Pieces come and are read.
    Speaking,
    /// Pieces have come until nothing more fitted, since the caller does not read.
    Unread,
    /// The caller's deadline passes while the model has fallen silent; the server alone holds it.
    ///
    /// Not measured on the relay: tonic's own deadline ends at the headers.
    Expired,
}

/// All of them.
pub(crate) const WAYS: [Way; 5] = [
    Way::Opening,
    Way::Silent,
    Way::Speaking,
    Way::Unread,
    Way::Expired,
];

/// Calls that are under way at the same time.
const AT_ONCE: usize = 8;

/// Connections that carry the calls.
const CONNECTIONS: usize = 2;

/// Receive window of a stream: what an unread answer fills. The smallest that HTTP/2 starts with.
const STREAM_WINDOW: u32 = 65_535;

/// Time in which a call reaches the state in which it is cancelled, and how much of it is random,
/// so that cancels do not keep step with timers. A flood brings 600 KB in it, which is more than
/// window, buffers and log hold.
const REACH: Duration = Duration::from_millis(60);
const SPREAD: Duration = Duration::from_millis(60);

impl Way {
    /// Its name in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Silent => "silent",
            Self::Speaking => "speaking",
            Self::Unread => "unread",
            Self::Expired => "expired",
        }
    }

    fn is_held_by(self, target: Target) -> bool {
        match self {
            Self::Opening | Self::Silent | Self::Speaking | Self::Unread => true,
            Self::Expired => target == Target::Taiwa,
        }
    }

    fn answer(self) -> Answer {
        match self {
            Self::Opening => Answer::Opening,
            Self::Silent | Self::Expired => Answer::Silent,
            Self::Speaking => Answer::Speaking,
            Self::Unread => Answer::Flood,
        }
    }
}

/// The time of one way of cancelling.
pub(crate) const fn key(way: Way) -> Key {
    let variant = match way {
        Way::Opening => "opening",
        Way::Silent => "silent",
        Way::Speaking => "speaking",
        Way::Unread => "unread",
        Way::Expired => "expired",
    };
    Key::new("cancel", variant, "cancel_to_closed", "us")
}

pub(super) async fn run(bench: &Bench, target: Target, results: &mut Results) -> Result<()> {
    let child = bench.warm(target).await?;
    for way in WAYS.into_iter().filter(|way| way.is_held_by(target)) {
        let clients = load::connect(child.address(), CONNECTIONS, Some(STREAM_WINDOW)).await?;
        journal::clear(bench.upstream()).await?;
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut cancels = JoinSet::new();
        for number in 0..bench.plan.cancels {
            let client = clients[number % clients.len()].clone();
            let room = Arc::clone(&room);
            cancels.spawn(async move {
                let _permit = room.acquire_owned().await?;
                Ok::<_, anyhow::Error>((number, cancelled_call(client, way, number).await?))
            });
        }
        let mut cancelled = Vec::with_capacity(bench.plan.cancels);
        while let Some(cancel) = cancels.join_next().await {
            cancelled.push(cancel??);
        }

        let upstream = journal::ended(bench.upstream(), way.answer(), cancelled.len()).await?;
        let mut times = Latencies::new()?;
        for (number, at) in cancelled {
            let entry = upstream
                .get(&number)
                .context("a call without a model call")?;
            if !entry.was_closed() {
                bail!("a cancelled model call has ended as {}", entry.outcome);
            }
            let closed = Duration::from_micros(entry.ended_at.unwrap_or_default());
            times.record(closed.saturating_sub(at));
        }
        results.latencies(key(way), target, times);
    }
    child.stop().await;
    Ok(())
}

/// Brings a call where it is to be cancelled, cancels it, and tells when that was.
async fn cancelled_call(mut client: Client, way: Way, number: usize) -> Result<Duration> {
    let reach = REACH + SPREAD.mul_f64(rand::rng().random());
    if way == Way::Expired {
        return expired_call(client, way, number, reach).await;
    }
    let call = load::call(&mut client, way.answer(), number);
    if way == Way::Opening {
        // A server that answers before the model does gives a stream, another none.
        let opening = async {
            let mut events = call.await?;
            while events.message().await?.is_some() {}
            Ok::<_, anyhow::Error>(())
        };
        let mut opening = Box::pin(opening);
        if timeout(reach, opening.as_mut()).await.is_ok() {
            bail!("a call has ended before it was cancelled");
        }
        let at = since_epoch();
        drop(opening);
        return Ok(at);
    }
    let mut events = timeout(PATIENCE, call).await??;
    timeout(PATIENCE, load::next_piece(&mut events)).await??;
    if way == Way::Unread {
        sleep(reach).await;
    } else {
        let rest = async {
            while load::next_piece(&mut events).await?.is_some() {}
            Ok::<_, anyhow::Error>(())
        };
        if timeout(reach, rest).await.is_ok() {
            bail!("a call has ended before it was cancelled");
        }
    }
    let at = since_epoch();
    drop(events);
    Ok(at)
}

/// Lets a call's deadline pass, and tells when that was: counted from its sending, so that the way
/// to the server is in the time.
async fn expired_call(
    mut client: Client,
    way: Way,
    number: usize,
    deadline: Duration,
) -> Result<Duration> {
    let due = since_epoch() + deadline;
    let call = load::call_within(&mut client, way.answer(), number, deadline);
    let mut events = timeout(PATIENCE, call).await??;
    let end = timeout(PATIENCE, async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                Ok(None) => bail!("a call with a deadline has ended well"),
                Err(status) => return Ok(status),
            }
        }
    });
    let code = end.await??.code();
    if code != Code::DeadlineExceeded {
        bail!("a call whose deadline passed has ended as {code:?}");
    }
    Ok(due)
}
