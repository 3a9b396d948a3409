//! Delay of each piece at a real cadence, with calls that arrive at a fixed rate.

use std::time::Duration;

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Bench, since_epoch};
use crate::{
    child::Target,
    journal,
    load::{self, Client},
    process,
    report::{Key, Latencies, Results},
    scenario::{Answer, PACED_PIECES},
};

/// From the moment a call was due until its first piece was there, without the simulator's share.
pub(crate) const FIRST: Key = Key::new("cadence", "paced", "first_piece_delay", "us");
/// From the moment a call was due until its first event was there; for Taiwa, what tells that the
/// turn has started, which is in the store by then.
pub(crate) const EVENT: Key = Key::new("cadence", "paced", "first_event_delay", "us");
/// From the moment the simulator sent a further piece until it was there.
pub(crate) const PIECE: Key = Key::new("cadence", "paced", "piece_delay", "us");
/// Share of one core that the server used.
const CORES: Key = Key::new("cadence", "paced", "cores_used", "cores");

/// The same arrivals for both targets, and in each round.
const SEED: u64 = 7;

/// Connections that carry the calls.
const CONNECTIONS: usize = 2;

pub(super) async fn run(bench: &Bench, target: Target, results: &mut Results) -> Result<()> {
    let child = bench.warm(target).await?;
    let clients = load::connect(child.address(), CONNECTIONS, None).await?;
    journal::clear(bench.upstream()).await?;

    let mut rng = SmallRng::seed_from_u64(SEED);
    let start = Instant::now();
    let cpu = process::cpu_time(child.pid())?;
    let mut due = start;
    let mut calls = JoinSet::new();
    while due < start + bench.plan.cadence_time {
        sleep_until(due).await;
        let number = calls.len();
        let client = clients[number % clients.len()].clone();
        calls.spawn(paced_call(client, number, due));
        due += pause(&mut rng, bench.plan.rate);
    }
    let offered = calls.len();
    let mut seen = Vec::with_capacity(offered);
    while let Some(call) = calls.join_next().await {
        seen.push(call??);
    }
    let cpu = (process::cpu_time(child.pid())? - cpu).as_secs_f64();
    let wall = start.elapsed().as_secs_f64();
    child.stop().await;

    let upstream = journal::ended(bench.upstream(), Answer::Paced, offered).await?;
    let (mut first, mut further) = (Latencies::new()?, Latencies::new()?);
    let mut event = Latencies::new()?;
    for call in seen {
        let entry = upstream
            .get(&call.number)
            .context("a call without a model call")?;
        let received = Duration::from_micros(entry.received_at);
        let model = call.first_sent.saturating_sub(received);
        event.record(call.event_after);
        first.record(call.first_after.saturating_sub(model));
        for delay in call.further {
            further.record(delay);
        }
    }
    results.latencies(EVENT, target, event);
    results.latencies(FIRST, target, first);
    results.latencies(PIECE, target, further);
    results.value(CORES, target, cpu / wall);
    Ok(())
}

/// The time until the next call, as when many callers know nothing of each other.
fn pause(rng: &mut SmallRng, rate: u32) -> Duration {
    let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
    Duration::from_secs_f64(-uniform.ln() / f64::from(rate))
}

/// What a caller saw.
struct Seen {
    number: usize,
    /// From the moment the call was due until the first event was there.
    event_after: Duration,
    /// From the moment the call was due until the first piece was there.
    first_after: Duration,
    /// When the simulator sent the first piece.
    first_sent: Duration,
    /// The delays of the other pieces.
    further: Vec<Duration>,
}

async fn paced_call(mut client: Client, number: usize, due: Instant) -> Result<Seen> {
    let mut events = load::call(&mut client, Answer::Paced, number).await?;
    events
        .message()
        .await?
        .context("an answer without an event")?;
    let event_after = due.elapsed();
    let mut further = Vec::new();
    let mut first = None;
    let mut pieces = 0;
    while let Some(piece) = load::next_piece(&mut events).await? {
        let arrived = since_epoch();
        let sent = stamp(&piece)?;
        pieces += 1;
        if first.is_none() {
            first = Some((due.elapsed(), sent));
        } else {
            further.push(arrived.saturating_sub(sent));
        }
    }
    load::expect_pieces(PACED_PIECES, pieces)?;
    let (first_after, first_sent) = first.context("an answer without a piece")?;
    Ok(Seen {
        number,
        event_after,
        first_after,
        first_sent,
        further,
    })
}

/// When a piece was sent, since 1970.
fn stamp(piece: &str) -> Result<Duration> {
    let (nanos, _) = piece.split_once(' ').context("a piece without a stamp")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_keep_the_rate_on_average() {
        let mut rng = SmallRng::seed_from_u64(SEED);
        let total: Duration = (0..10_000).map(|_| pause(&mut rng, 100)).sum();
        assert!((95.0..105.0).contains(&total.as_secs_f64()), "{total:?}");
    }

    #[test]
    fn a_stamp_is_the_number_before_the_text() {
        assert_eq!(stamp("12 some tokens").unwrap(), Duration::from_nanos(12));
        assert!(stamp("some tokens").is_err());
    }
}
