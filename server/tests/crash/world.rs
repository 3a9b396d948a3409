//! What the clients of a test share: the simulator, the tools, and where the server is, if it is.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use taiwa::v1 as pb;
use taiwa::v1::{
    agent_service_client::AgentServiceClient, session_service_client::SessionServiceClient,
};
use taiwa_simulator::{Config, Script, Simulator};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::{SOON, child::Setup, tools::Tools};

/// Answers that take some tens of milliseconds, so that most kills meet one.
const SCENARIO: &str = r#"
[pace]
chunk_delay = "2ms"
jitter = 0.9

[[reply]]
name = "results"
when = { has_tool_result = true }
text = "the tools have said what they had to say"

[[reply]]
name = "calls"
when = { prompt_contains = "use", has_tools = true }

[[reply]]
name = "long"
when = { prompt_contains = "long" }
text = ["word after ", "word and "]
repeat = 30

[[reply]]
name = "short"
text = "a short answer in a few words"
"#;

/// A simulator, a folder with the store's file, and what the clients have in common.
pub(crate) struct World {
    pub(crate) simulator: Simulator,
    pub(crate) setup: Setup,
    pub(crate) tools: Tools,
    pub(crate) counts: Counts,
    /// Told of each event that a client reads.
    pub(crate) heard: Notify,
    life: watch::Sender<Life>,
    is_winding_down: watch::Sender<bool>,
    _folder: TempDir,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Clients that ever began, which numbers them.
    pub(crate) clients: AtomicU64,
    pub(crate) inputs: AtomicU64,
    pub(crate) cuts: AtomicU64,
}

/// A process of the server, by number from 1, and where it listens while it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Life {
    number: u64,
    address: Option<SocketAddr>,
}

/// A way to the server that runs.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) channel: Channel,
    life: u64,
}

impl World {
    pub(crate) async fn new(arguments: &[&str]) -> Arc<Self> {
        let config = Config {
            script: Script::from_toml(SCENARIO).unwrap(),
            ..Config::default()
        };
        let simulator = Simulator::start(config).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Arc::new(Self {
            setup: Setup::new(simulator.endpoint(), folder.path(), arguments),
            tools: Tools::new(folder.path()),
            counts: Counts::default(),
            heard: Notify::new(),
            life: watch::Sender::default(),
            is_winding_down: watch::Sender::default(),
            simulator,
            _folder: folder,
        })
    }

    /// Says that a server listens.
    pub(crate) fn announce(&self, address: SocketAddr) {
        self.life.send_modify(|life| {
            life.number += 1;
            life.address = Some(address);
        });
    }

    /// Says that the server is to be killed: nobody need connect any more.
    pub(crate) fn withdraw(&self) {
        self.life.send_modify(|life| life.address = None);
    }

    /// Asks the clients to begin nothing more.
    pub(crate) fn wind_down(&self) {
        self.is_winding_down.send_replace(true);
    }

    /// Lets clients begin again.
    pub(crate) fn wind_up(&self) {
        self.is_winding_down.send_replace(false);
    }

    pub(crate) fn is_winding_down(&self) -> bool {
        *self.is_winding_down.borrow()
    }

    /// Waits for a server, and gives a way to it.
    pub(crate) async fn link(&self) -> Link {
        self.link_after(0, "nothing").await
    }

    /// Waits for another server than the one behind `link`, which failed with `status`.
    pub(crate) async fn other_link(&self, link: &Link, status: &Status) -> Link {
        self.link_after(link.life, status.message()).await
    }

    async fn link_after(&self, number: u64, failure: &str) -> Link {
        let mut life = self.life.subscribe();
        let reached = life.wait_for(|life| life.number > number && life.address.is_some());
        let reached = tokio::time::timeout(SOON, reached).await;
        let Ok(reached) = reached else {
            panic!("no server came after {number}, which failed with {failure:?}");
        };
        let life = *reached.unwrap();
        let address = life.address.unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Link {
            channel: endpoint.connect_lazy(),
            life: life.number,
        }
    }

    /// Calls until a server answers; each server is asked once.
    pub(crate) async fn ask<T, F>(
        &self,
        link: &mut Link,
        call: impl Fn(Link) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        loop {
            match call(link.clone()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if is_of_the_server(&status) => return Err(status),
                Err(status) => *link = self.other_link(link, &status).await,
            }
        }
    }

    pub(crate) fn count_input(&self) {
        self.counts.inputs.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_cut(&self) {
        self.counts.cuts.fetch_add(1, Ordering::Relaxed);
    }
}

impl Link {
    pub(crate) fn agents(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel.clone())
    }

    pub(crate) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel.clone())
    }
}

/// The reason in a status that the server made; the transport's have none.
pub(crate) fn reason(status: &Status) -> Option<pb::ErrorReason> {
    let details = status.get_error_details();
    let name = format!("ERROR_REASON_{}", details.error_info()?.reason);
    pb::ErrorReason::from_str_name(&name)
}

/// The turn that a failing status is about.
pub(crate) fn failed_turn(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    details.error_info()?.metadata.get("turn_id").cloned()
}

/// True for an answer; false when there was none, or the server stops and took nothing.
pub(crate) fn is_of_the_server(status: &Status) -> bool {
    match reason(status) {
        None => false,
        Some(pb::ErrorReason::ShuttingDown) => failed_turn(status).is_some(),
        Some(_) => true,
    }
}
