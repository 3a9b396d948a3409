//! The tools that the server runs for its agents: where they come from, under which names, and how
//! one is run.

pub mod agent;
mod offer;
pub(crate) mod run;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::{join_all, select_all};
use taiwa_core::{Agent, tool::Approval};
use taiwa_tools::{Source, Tools, grpc, mcp};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub use self::offer::{Offer, Pattern, PatternError};
use self::{agent::AgentSource, offer::offer};
use crate::agents::Agents;

/// Tools that an agent is given from one source.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where they come from.
    pub origin: Origin,
    /// What stands before their names, against clashes.
    pub prefix: String,
    /// Which of them the agent has, by their names in the source; empty means all.
    pub allow: Vec<Pattern>,
    /// When a person must consent to a call. Default: never.
    pub approval: Option<Approval>,
    /// Longest run of one; `None` means the agent's limit.
    pub timeout: Option<Duration>,
}

impl Mount {
    /// All tools of a source, under their own names, without a question.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            prefix: String::new(),
            allow: Vec::new(),
            approval: None,
            timeout: None,
        }
    }
}

/// Where tools come from.
#[derive(Clone)]
pub enum Origin {
    /// A gRPC service.
    Grpc(grpc::Config),
    /// An MCP server.
    Mcp(mcp::Config),
    /// Another agent of this server.
    Agent(agent::AgentRef),
    /// Tools of the program that embeds the server.
    Own(Arc<dyn Source>),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc(config) => config.fmt(f),
            Self::Mcp(config) => config.fmt(f),
            Self::Agent(agent) => agent.fmt(f),
            Self::Own(source) => {
                let tools = source.tools();
                let tools = tools.borrow();
                let names = tools.iter().map(|tool| &tool.definition().name);
                f.debug_list().entries(names).finish()
            }
        }
    }
}

/// Why tools cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A gRPC service cannot be used.
    #[error("tools of agent {agent}: gRPC service {endpoint}")]
    Grpc {
        /// The agent.
        agent: String,
        /// The service.
        endpoint: String,
        /// Why.
        #[source]
        source: grpc::StartError,
    },
    /// An MCP server cannot be used.
    #[error("tools of agent {agent}: MCP server {server}")]
    Mcp {
        /// The agent.
        agent: String,
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: mcp::StartError,
    },
}

/// The tools of all agents, which may change while the server runs.
#[derive(Clone)]
pub struct Toolbox {
    shared: Arc<Shared>,
}

struct Shared {
    offers: BTreeMap<String, watch::Receiver<Arc<Offer>>>,
    agents: agent::Asked,
    sources: Vec<Arc<dyn Source>>,
    _followers: Vec<AbortOnDropHandle<()>>,
}

impl Toolbox {
    /// Starts the sources; those of one set-up are shared by the agents that name them.
    ///
    /// # Errors
    ///
    /// When a source's set-up is at fault; one that is only away is waited for.
    pub async fn start(
        mounts: BTreeMap<String, Vec<Mount>>,
        agents: &Arc<Agents>,
    ) -> Result<Self, Error> {
        let agents = agent::Asked::new(Arc::clone(agents));
        let mut started = Started::default();
        let mut offers = BTreeMap::new();
        let mut followers = Vec::new();
        let mut sources = Vec::new();
        for (agent, mounts) in mounts {
            let mut mounted = Vec::new();
            for mount in mounts {
                let source = started.source(&agent, &mount.origin, &agents).await?;
                sources.push(Arc::clone(&source));
                mounted.push((mount, source.tools(), source));
            }
            let (tx, rx) = watch::channel(Arc::new(offer(&agent, &mut mounted)));
            followers.push(AbortOnDropHandle::new(tokio::spawn(follow(
                agent.clone(),
                mounted,
                tx,
            ))));
            offers.insert(agent, rx);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                offers,
                agents,
                sources,
                _followers: followers,
            }),
        })
    }

    /// Lets the tools that are agents run turns; to be called once, before any turn runs.
    pub(crate) fn connect(&self, registry: &crate::session::registry::Registry) {
        self.shared.agents.connect(registry);
    }

    /// Ends the programs and connections of the sources; no tool is to be called any more.
    pub(crate) async fn stop(&self) {
        join_all(self.shared.sources.iter().map(|source| source.stop())).await;
    }

    /// What an agent is offered now.
    pub(crate) fn offer(&self, agent: &Agent) -> Arc<Offer> {
        let offers = self.offers(agent);
        offers.map_or_else(Arc::default, |offers| Arc::clone(&offers.borrow()))
    }

    /// What an agent is offered, and what it will be; `None` for one that has no tools.
    pub fn offers(&self, agent: &Agent) -> Option<watch::Receiver<Arc<Offer>>> {
        self.shared.offers.get(&agent.id).cloned()
    }
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Toolbox")
            .field("agents", &self.shared.offers.keys())
            .finish_non_exhaustive()
    }
}

/// Sources that run, by their set-up.
#[derive(Default)]
struct Started {
    grpc: Vec<(grpc::Config, Arc<dyn Source>)>,
    mcp: Vec<(mcp::Config, Arc<dyn Source>)>,
}

impl Started {
    async fn source(
        &mut self,
        agent: &str,
        origin: &Origin,
        agents: &agent::Asked,
    ) -> Result<Arc<dyn Source>, Error> {
        Ok(match origin {
            Origin::Own(source) => Arc::clone(source),
            Origin::Agent(asked) => Arc::new(AgentSource::new(asked, agents)),
            Origin::Grpc(config) => {
                if let Some((_, source)) = self.grpc.iter().find(|(known, _)| known == config) {
                    return Ok(Arc::clone(source));
                }
                let source = grpc::Source::start(config.clone()).await;
                let source: Arc<dyn Source> = Arc::new(source.map_err(|source| Error::Grpc {
                    agent: agent.to_owned(),
                    endpoint: config.endpoint.clone(),
                    source,
                })?);
                self.grpc.push((config.clone(), Arc::clone(&source)));
                source
            }
            Origin::Mcp(config) => {
                if let Some((_, source)) = self.mcp.iter().find(|(known, _)| known == config) {
                    return Ok(Arc::clone(source));
                }
                let source = mcp::Source::start(config.clone()).await;
                let source: Arc<dyn Source> = Arc::new(source.map_err(|source| Error::Mcp {
                    agent: agent.to_owned(),
                    server: config.name.clone(),
                    source,
                })?);
                self.mcp.push((config.clone(), Arc::clone(&source)));
                source
            }
        })
    }
}

/// A mount, its tools and what keeps them alive.
type Mounted = (Mount, watch::Receiver<Tools>, Arc<dyn Source>);

/// Makes an agent's offer anew whenever one of its sources has other tools.
async fn follow(agent: String, mut mounted: Vec<Mounted>, tx: watch::Sender<Arc<Offer>>) {
    while !mounted.is_empty() {
        let changes = mounted
            .iter_mut()
            .map(|(_, tools, _)| Box::pin(tools.changed()));
        let (changed, index, _) = select_all(changes).await;
        if changed.is_err() {
            // A source that is over keeps the tools that it has.
            mounted.remove(index);
            continue;
        }
        tx.send_replace(Arc::new(offer(&agent, &mut mounted)));
    }
    // The offer stays as it is.
    tx.closed().await;
}
