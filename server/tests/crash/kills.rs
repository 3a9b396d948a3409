//! SIGKILL, over and over, at any moment.

use std::{
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};

use crate::{
    SOON,
    clients::Clients,
    models::Models,
    number,
    verdict::{check_all, check_errors, check_file},
    world::World,
};

/// Conversations, and callers of the other calls, at a time.
const CLIENTS: (usize, usize) = (8, 4);

/// When a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// So long after it was started, most often before it listens.
    Starting(Duration),
    /// As soon as it listens.
    Listening,
    /// With the first event that a client reads.
    FirstEvent,
    /// With the first bytes of a batch, which are in the file when the others may not be.
    FirstBytes,
    /// So long after it listens.
    AtWork(Duration),
}

impl Moment {
    fn draw(rng: &mut SmallRng) -> Self {
        let millis =
            |most: u64, rng: &mut SmallRng| Duration::from_micros(rng.random_range(0..most * 1000));
        match rng.random_range(0..20) {
            0..3 => Self::Starting(millis(80, rng)),
            3 => Self::Listening,
            4 | 5 => Self::FirstEvent,
            6 | 7 => Self::FirstBytes,
            _ => Self::AtWork(millis(200, rng)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_any_moment_loses_nothing_and_does_nothing_twice() {
    let kills = number("TAIWA_CRASH_KILLS", 200);
    let seed = number("TAIWA_CRASH_SEED", 1);
    let began = Instant::now();
    let world = World::new(&["--replay-window=1d"]).await;
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut models = Models::default();
    let mut clients = Clients::start(&world, seed, CLIENTS.0, CLIENTS.1);
    let (mut killed, mut early) = (0, 0);
    for _ in 0..kills {
        clients.check();
        let starting = world.setup.spawn();
        let moment = Moment::draw(&mut rng);
        if let Moment::Starting(time) = moment {
            tokio::time::sleep(time).await;
            starting.kill().await;
            (killed, early) = (killed + 1, early + 1);
            continue;
        }
        let server = starting.ready().await;
        let heard = world.heard.notified();
        world.announce(server.address);
        match moment {
            Moment::Starting(_) | Moment::Listening => {}
            Moment::FirstEvent => {
                // Where no client is about to be told anything, the kill comes without.
                let _ = tokio::time::timeout(Duration::from_secs(1), heard).await;
            }
            Moment::FirstBytes => first_bytes(&world.setup.store).await,
            Moment::AtWork(time) => tokio::time::sleep(time).await,
        }
        server.kill().await;
        killed += 1;
        world.withdraw();
        models.collect(world.simulator.journal());
    }
    let time = began.elapsed();
    assert_eq!(killed, kills);

    let server = world.setup.start().await;
    world.announce(server.address);
    world.wind_down();
    let records = clients.finish().await;
    server.kill().await;
    let sessions = records.len();

    // What is read is what another process finds in the file.
    let server = world.setup.start().await;
    world.announce(server.address);
    let link = world.link().await;
    let judged = check_all(&world, &link, records).await;
    models.collect(world.simulator.journal());
    let status = server.terminate(SOON).await;
    assert_eq!(status.code(), Some(0));
    check_file(&world.setup);
    check_errors(&world.setup);
    eprintln!(
        "seed {seed}: {killed} kills in {time:.1?}, {early} of them before it listened; \
         {} inputs and {} cuts by clients in {sessions} sessions; {judged:?}; {} model calls; \
         {} effects; all in {:.1?}",
        world.counts.inputs.load(Ordering::Relaxed),
        world.counts.cuts.load(Ordering::Relaxed),
        models.len(),
        world.tools.effects().len(),
        began.elapsed(),
    );
}

/// Waits until the write-ahead log grows, or what grows it does not come.
async fn first_bytes(store: &Path) {
    let wal = store.with_extension("db-wal");
    let length = move || std::fs::metadata(&wal).map_or(0, |wal| wal.len());
    let watching = tokio::task::spawn_blocking(move || {
        let (first, began) = (length(), Instant::now());
        while length() == first && began.elapsed() < Duration::from_millis(500) {
            std::hint::spin_loop();
        }
    });
    watching.await.unwrap();
}
