//! Rounds of mixed load with cuts, cancels, kills and stops: what was taken is given back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa::v1 as pb;

use crate::{
    SOON,
    child::Server,
    clients::Clients,
    kept, number,
    verdict::{check_all, check_errors, check_file},
    world::World,
};

/// Rounds in one process, of which the first warms up; before them one is killed, one stopped.
const ROUNDS: u32 = 4;

/// Sessions that expire while the load runs.
const PASSING: usize = 20;

/// Growth over the first round that is no leak: what the allocator keeps.
const SLACK_KIB: u64 = 6 << 10;

/// What a server holds while nobody asks anything of it.
#[derive(Clone, Copy, Debug)]
struct Level {
    resident_kib: u64,
    descriptors: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_long_mixed_load_takes_is_given_back() {
    let duration = Duration::from_secs(number("TAIWA_SOAK_SECONDS", 15));
    let seed = number("TAIWA_CRASH_SEED", 1);
    let part = duration / (ROUNDS + 2);
    let began = Instant::now();
    let world = World::new(&["--replay-window=1d", "--session-idle-timeout=500ms"]).await;
    let mut records = Vec::new();
    for is_killed in [true, false] {
        let server = world.setup.start().await;
        world.announce(server.address);
        let clients = Clients::start(&world, seed + records.len() as u64, 8, 4);
        tokio::time::sleep(part).await;
        if is_killed {
            server.kill().await;
        } else {
            assert_eq!(server.terminate(SOON).await.code(), Some(0));
        }
        let server = world.setup.start().await;
        world.announce(server.address);
        world.wind_down();
        records.extend(clients.finish().await);
        server.kill().await;
        world.wind_up();
    }
    let server = world.setup.start().await;
    world.announce(server.address);
    let idle = server.descriptors();
    pass(&world).await;
    let mut levels = Vec::new();
    for _ in 0..ROUNDS {
        let clients = Clients::start(&world, seed + records.len() as u64, 8, 4);
        tokio::time::sleep(part).await;
        world.wind_down();
        records.extend(clients.finish().await);
        world.wind_up();
        levels.push(settled(&server, idle).await);
    }
    for level in &levels {
        let (resident, open) = (level.resident_kib, level.descriptors);
        eprintln!("{resident} KiB and {open} descriptors, which were {idle} at first");
    }
    let (first, last) = (levels[0], levels[levels.len() - 1]);
    assert!(
        last.resident_kib <= first.resident_kib + SLACK_KIB,
        "{levels:?}"
    );
    let sessions = records.len();
    let deleted = records.iter().filter(|record| record.is_deleted).count();
    let link = world.link().await;
    let judged = check_all(&world, &link, records).await;
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
    check_file(&world.setup);
    check_errors(&world.setup);
    eprintln!(
        "seed {seed}: {sessions} sessions begun, {deleted} deleted, {PASSING} expired; {judged:?}; \
         {:.1?}",
        began.elapsed()
    );
}

/// Begins sessions that nobody uses and that do not last.
async fn pass(world: &Arc<World>) {
    let link = world.link().await;
    let before = kept::count_sessions(&link).await;
    for number in 0..PASSING {
        let request = pb::CreateSessionRequest {
            session_id: format!("passing-{number}"),
            ttl: Some(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            }),
            ..pb::CreateSessionRequest::default()
        };
        link.sessions().create_session(request).await.unwrap();
    }
    let began = Instant::now();
    while kept::count_sessions(&link).await != before {
        assert!(began.elapsed() < SOON, "sessions outlive their time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the connections of the clients are closed and their sessions have left memory.
async fn settled(server: &Server, idle: usize) -> Level {
    let began = Instant::now();
    // Four connections that read the store, of two files each, and as many to the model, kept for
    // the next call, as there are clients; all of them are far fewer than the sessions.
    const SPARE: usize = 24;
    while server.descriptors() > idle + SPARE {
        assert!(
            began.elapsed() < SOON,
            "{} descriptors stay open, of {idle}",
            server.descriptors()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nothing tells that a session has left memory; its time is known.
    tokio::time::sleep(Duration::from_millis(700)).await;
    Level {
        resident_kib: server.resident_kib(),
        descriptors: server.descriptors(),
    }
}
