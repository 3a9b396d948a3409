//! The program as a process of its own: its memory under readers that do not
//! read, its health as others see it, and its end.

#![expect(clippy::unwrap_used, reason = "a test ends where its footing is gone")]

mod child;
mod health;
mod memory;
mod shutdown;

use std::time::Duration;

use taiwa::v1::agent_service_client::AgentServiceClient;
use taiwa_simulator::{Config, Script, Simulator};
use tonic::transport::{Channel, Endpoint};

use self::child::Child;

type Client = AgentServiceClient<Channel>;

/// Longest wait for what must come soon.
const SOON: Duration = Duration::from_secs(20);

/// Starts a simulator, and a server that is pointed at it.
async fn start(scenario: &str, arguments: &[&str]) -> (Simulator, Child) {
    let config = Config {
        script: Script::from_toml(scenario).unwrap(),
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let child = Child::start(&simulator.endpoint(), arguments).await;
    (simulator, child)
}

/// Connects, with streams that take no more than 64 KiB ahead of their reader.
async fn connect(child: &Child) -> Channel {
    let endpoint = Endpoint::from_shared(child.url.clone()).unwrap();
    endpoint
        .initial_stream_window_size(65_535)
        .connect()
        .await
        .unwrap()
}
