//! SIGTERM under load: what runs may finish, the rest is taken up by the next process.

use std::time::{Duration, Instant};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use taiwa::v1 as pb;

use crate::{
    SOON,
    clients::Clients,
    models::Models,
    number, tools,
    verdict::{check_all, check_errors, check_file},
    world::World,
};

const STOPS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_under_load_loses_nothing_and_tells_its_clients() {
    let seed = number("TAIWA_CRASH_SEED", 1);
    let began = Instant::now();
    let world = World::new(&["--replay-window=1d", "--shutdown-grace=50ms"]).await;
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut models = Models::default();
    let mut clients = Clients::start(&world, seed, 6, 3);
    for _ in 0..STOPS {
        clients.check();
        let server = world.setup.start().await;
        world.announce(server.address);
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..250))).await;
        let status = server.terminate(SOON).await;
        assert_eq!(status.code(), Some(0));
        world.withdraw();
        models.collect(world.simulator.journal());
    }
    let server = world.setup.start().await;
    world.announce(server.address);
    world.wind_down();
    let records = clients.finish().await;
    let told: usize = records.iter().map(|record| record.goodbyes.len()).sum();
    assert!(
        told >= STOPS,
        "{told} streams were told that the server stops"
    );
    let link = world.link().await;
    let judged = check_all(&world, &link, records).await;
    models.collect(world.simulator.journal());
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
    check_file(&world.setup);
    check_errors(&world.setup);
    eprintln!(
        "seed {seed}: {STOPS} stops, {told} streams told; {judged:?}; {} model calls; {:.1?}",
        models.len(),
        began.elapsed()
    );
}

#[tokio::test]
async fn a_paused_turn_stays_paused_over_stops_and_kills() {
    let world = World::new(&[]).await;
    let mut server = world.setup.start().await;
    world.announce(server.address);
    let request = pb::InvokeRequest {
        prompt: format!("use {}", tools::NAMES[0]),
        session_id: "paused".to_owned(),
        options: Some(pb::TurnOptions {
            client_tools: tools::declared(),
            ..pb::TurnOptions::default()
        }),
        ..pb::InvokeRequest::default()
    };
    let mut link = world.link().await;
    let answer = link.agents().invoke(request).await.unwrap().into_inner();
    let paused = answer.result.unwrap();
    assert_eq!(paused.status(), pb::TurnStatus::Paused);
    for is_killed in [false, true, false] {
        if is_killed {
            server.kill().await;
        } else {
            assert_eq!(server.terminate(SOON).await.code(), Some(0));
        }
        server = world.setup.start().await;
        world.announce(server.address);
        link = world.link().await;
        let again = crate::kept::turn(&link, "paused", "").await;
        assert_eq!(again.status(), pb::TurnStatus::Paused);
        assert_eq!(again.pending_tool_calls, paused.pending_tool_calls);
        assert_eq!(again.last_sequence, paused.last_sequence);
    }
    let request = pb::InvokeRequest {
        session_id: "paused".to_owned(),
        tool_results: vec![pb::ToolResult {
            tool_call_id: paused.pending_tool_calls[0].tool_call_id.clone(),
            text: "stamped".to_owned(),
            ..pb::ToolResult::default()
        }],
        ..pb::InvokeRequest::default()
    };
    let answer = link.agents().invoke(request).await.unwrap().into_inner();
    let result = answer.result.unwrap();
    assert_eq!(result.turn_id, paused.turn_id);
    assert_eq!(result.status(), pb::TurnStatus::Completed);
    check_errors(&world.setup);
}

#[tokio::test]
async fn a_repeat_finds_a_turn_of_long_ago_and_an_earlier_process() {
    let world = World::new(&[]).await;
    let server = world.setup.start().await;
    world.announce(server.address);
    let link = world.link().await;
    let request = |number: usize| pb::InvokeRequest {
        prompt: format!("say something, number {number}"),
        session_id: "long".to_owned(),
        request_id: format!("long-{number}"),
        ..pb::InvokeRequest::default()
    };
    let first = link.agents().invoke(request(0)).await.unwrap().into_inner();
    // More than a session remembers by itself.
    for number in 1..taiwa_server::store::LOADED_TURNS + 3 {
        link.agents().invoke(request(number)).await.unwrap();
    }
    let again = link.agents().invoke(request(0)).await.unwrap();
    assert_eq!(again.into_inner(), first);
    server.kill().await;
    let server = world.setup.start().await;
    world.announce(server.address);
    let link = world.link().await;
    let again = link.agents().invoke(request(0)).await.unwrap();
    assert_eq!(again.into_inner(), first);
}
