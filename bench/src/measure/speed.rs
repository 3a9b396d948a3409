//! Events per second of the server's processor time, with the model at full speed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::{task::JoinSet, time::sleep};

use super::Bench;
use crate::{
    child::{Child, Target},
    load::{self, Client},
    process,
    report::{Key, Results},
    scenario::{Answer, SHORT_PIECES},
};

/// Pieces per second of processor time, in long answers.
pub(crate) const LONG: Key = Key::new("speed", "long", "pieces_per_core_second", "1/s");
/// Pieces per second of processor time, in short answers.
pub(crate) const SHORT: Key = Key::new("speed", "short", "pieces_per_core_second", "1/s");

/// Share of the measured time that the load runs before it.
const WARM_UP: f64 = 0.25;

pub(super) async fn run(bench: &Bench, target: Target, results: &mut Results) -> Result<()> {
    let child = bench.warm(target).await?;
    for (key, answer, pieces) in [
        (LONG, Answer::Long, bench.plan.pieces),
        (SHORT, Answer::Short, SHORT_PIECES),
    ] {
        let clients = load::connect(child.address(), bench.plan.connections, None).await?;
        let total = Arc::new(AtomicU64::new(0));
        let mut callers = JoinSet::new();
        for caller in 0..bench.plan.calls {
            let client = clients[caller % clients.len()].clone();
            callers.spawn(call_for_ever(client, answer, pieces, Arc::clone(&total)));
        }
        let time = bench.plan.speed_time;
        let observed = tokio::select! {
            observed = observe(&child, &total, time) => observed?,
            Some(ended) = callers.join_next() => {
                ended??;
                bail!("a caller has ended");
            }
        };
        callers.shutdown().await;

        let Key {
            measure, variant, ..
        } = key;
        let wall = Key::new(measure, variant, "pieces_per_second", "1/s");
        let cores = Key::new(measure, variant, "cores_used", "cores");
        results.value(key, target, observed.pieces / observed.cpu);
        results.value(wall, target, observed.pieces / observed.wall);
        results.value(cores, target, observed.cpu / observed.wall);
    }
    child.stop().await;
    Ok(())
}

/// What happened between two looks.
struct Observed {
    pieces: f64,
    /// Processor time of the server, in seconds.
    cpu: f64,
    /// Time passed, in seconds.
    wall: f64,
}

async fn observe(child: &Child, total: &AtomicU64, time: Duration) -> Result<Observed> {
    sleep(time.mul_f64(WARM_UP)).await;
    let (start, cpu) = (Instant::now(), process::cpu_time(child.pid())?);
    let pieces = total.load(Ordering::Relaxed);
    sleep(time).await;
    let wall = start.elapsed().as_secs_f64();
    let cpu = (process::cpu_time(child.pid())? - cpu).as_secs_f64();
    let pieces = total.load(Ordering::Relaxed) - pieces;
    if pieces == 0 || cpu == 0.0 {
        bail!("too little happened in {time:?}: {pieces} pieces in {cpu} s of processor time");
    }
    Ok(Observed {
        pieces: pieces as f64,
        cpu,
        wall,
    })
}

/// Makes one call after the other; returns only with an error.
async fn call_for_ever(
    mut client: Client,
    answer: Answer,
    pieces: u32,
    total: Arc<AtomicU64>,
) -> Result<()> {
    for number in 0.. {
        let mut events = load::call(&mut client, answer, number).await?;
        let mut seen = 0;
        while load::next_piece(&mut events).await?.is_some() {
            seen += 1;
            total.fetch_add(1, Ordering::Relaxed);
        }
        load::expect_pieces(pieces, seen)?;
    }
    Ok(())
}
