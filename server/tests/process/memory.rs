//! Clients that read nothing of a long answer cost little, and each as little as the others.

use std::time::{Duration, Instant};

use taiwa::v1 as pb;
use taiwa_simulator::Simulator;

use crate::{Client, SOON, connect, start};

const CLIENTS: usize = 100;

/// Most that all of them together may cost.
const BOUND_KIB: u64 = 100 << 10;

/// Ten megabytes in pieces of a thousand bytes.
const SCENARIO: &str = r#"
[[reply]]
text = ["PIECE"]
repeat = 10_000
"#;

fn sent(simulator: &Simulator) -> u64 {
    let entries = simulator.journal().entries();
    entries.iter().map(|entry| entry.bytes_sent).sum()
}

/// Waits until the simulator cannot send any more.
async fn until_held(simulator: &Simulator) {
    let (mut last, mut since, began) = (0, Instant::now(), Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        assert!(began.elapsed() < SOON, "the model is read on and on");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let sent = sent(simulator);
        if sent != last {
            (last, since) = (sent, Instant::now());
        }
    }
}

#[tokio::test]
async fn a_hundred_clients_that_read_nothing_cost_little() {
    let scenario = SCENARIO.replace("PIECE", &"text ".repeat(200));
    let (simulator, child) = start(&scenario, &[]).await;
    let mut streams = Vec::new();
    let mut costs = Vec::new();
    let before = child.resident_kib();
    for number in 1..=CLIENTS {
        let mut client = Client::new(connect(&child).await);
        let request = pb::InvokeRequest {
            prompt: "much".to_owned(),
            ..pb::InvokeRequest::default()
        };
        streams.push(client.invoke_stream(request).await.unwrap());
        if number == 1 || number == CLIENTS {
            until_held(&simulator).await;
            costs.push(child.resident_kib().saturating_sub(before));
        }
    }
    let entries = simulator.journal().entries();
    assert_eq!(entries.len(), CLIENTS);
    let held = entries.iter().filter(|entry| !entry.has_ended()).count();
    eprintln!(
        "one client that reads nothing costs {} KiB, {CLIENTS} cost {} KiB; {held} models are held",
        costs[0], costs[1],
    );
    assert!(costs[1] < BOUND_KIB, "{} KiB", costs[1]);
}
