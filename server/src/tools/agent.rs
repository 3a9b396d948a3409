//! Agents as tools: one agent's model asks another agent of the same server.

use std::{
    fmt,
    num::NonZeroU64,
    sync::{Arc, OnceLock},
    time::Instant,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use prost::Message as _;
use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Block, TurnOptions, Usage,
    input::TurnRequest,
    price,
    tool::{Schema, ToolResultBlock},
};
use taiwa_tools::{Call, Definition, Error, Output, Source, Tool, Tools};
use tokio::sync::watch;
use tracing::warn;

use crate::agents::Agents;
use crate::session::{
    CallFacts,
    handle::Handle,
    registry::{Beginning, Registry, WeakRegistry},
};

/// How many agents may call one another in a row.
///
/// A guess: deeper than any division of labour that people draw; it ends what would go in circles.
pub const MAX_DEPTH: u32 = 4;

/// An agent that another has as a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRef {
    /// Id of the agent that is asked.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// What the model is told of it; empty means the agent's own description.
    pub description: String,
}

/// The agents that can be asked, and the way to their sessions, which begin after the tools.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    agents: Arc<Agents>,
    registry: Arc<OnceLock<WeakRegistry>>,
}

impl Asked {
    pub(super) fn new(agents: Arc<Agents>) -> Self {
        Self {
            agents,
            registry: Arc::default(),
        }
    }

    pub(super) fn connect(&self, registry: &Registry) {
        // Connected once, before any turn runs.
        let _ = self.registry.set(registry.downgrade());
    }
}

/// The one tool that an agent is.
#[derive(Debug)]
pub(super) struct AgentSource {
    tools: watch::Sender<Tools>,
}

impl AgentSource {
    pub(super) fn new(asked: &AgentRef, agents: &Asked) -> Self {
        let tool: Vec<Arc<dyn Tool>> = match AgentTool::new(asked, agents) {
            Some(tool) => vec![Arc::new(tool)],
            None => {
                warn!(
                    agent.id = asked.id,
                    "left a tool out: there is no such agent"
                );
                Vec::new()
            }
        };
        Self {
            tools: watch::Sender::new(tool.into()),
        }
    }
}

impl Source for AgentSource {
    fn tools(&self) -> watch::Receiver<Tools> {
        self.tools.subscribe()
    }
}

struct AgentTool {
    definition: Definition,
    agent: Arc<Agent>,
    agents: Asked,
}

/// The schema of what an agent is asked.
const SCHEMA: &str = r#"{"type":"object","properties":{"prompt":{"type":"string","minLength":1,"description":"What the agent is asked, with all that it needs to know: it sees nothing else of this conversation."}},"required":["prompt"],"additionalProperties":false}"#;

impl AgentTool {
    fn new(asked: &AgentRef, agents: &Asked) -> Option<Self> {
        let agent = agents.agents.find(&asked.id)?;
        let description = match &*asked.description {
            "" => agent.description.clone(),
            own => own.to_owned(),
        };
        Some(Self {
            definition: Definition {
                name: asked.name.clone(),
                description,
                schema: Schema::parse(SCHEMA).ok()?,
            },
            agent: Arc::clone(agent),
            agents: agents.clone(),
        })
    }
}

impl Tool for AgentTool {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Output, Error>> {
        let (agent, agents) = (Arc::clone(&self.agent), self.agents.clone());
        async move {
            let registry = agents.registry.get().and_then(WeakRegistry::upgrade);
            let registry = registry.ok_or_else(|| failed("the server is stopping"))?;
            ask(&registry, &agent, call).await
        }
        .boxed()
    }
}

impl fmt::Debug for AgentTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentTool")
            .field("agent", &self.agent.id)
            .finish_non_exhaustive()
    }
}

fn failed(text: impl Into<String>) -> Error {
    Error::Failed(text.into())
}

/// Has an agent answer in a session of its own, which is forgotten afterwards.
async fn ask(registry: &Registry, agent: &Arc<Agent>, call: Call) -> Result<Output, Error> {
    let depth = call.caller.depth + 1;
    if depth > MAX_DEPTH {
        return Err(failed(format!(
            "agents call one another {MAX_DEPTH} deep already; this call did not run"
        )));
    }
    let left = |limit: Option<u64>| match limit.map(NonZeroU64::new) {
        None => Ok(None),
        Some(Some(limit)) => Ok(Some(limit)),
        Some(None) => Err(failed("the turn's budget is used up; the call did not run")),
    };
    let options = TurnOptions {
        max_total_tokens: left(call.allowance.max_tokens)?,
        max_cost: left(call.allowance.max_cost)?,
        timeout: Some(call.deadline.saturating_duration_since(Instant::now())),
        ..TurnOptions::default()
    };
    let prompt = call.input.get("prompt").and_then(|prompt| prompt.as_str());
    let request = TurnRequest {
        content: vec![Block::Text(prompt.unwrap_or_default().to_owned())],
        options,
        deadline: Some(call.deadline),
        ..TurnRequest::default()
    };
    let facts = Arc::new(CallFacts {
        metadata: call.caller.metadata.clone(),
        depth,
    });
    let tenant: Arc<str> = call.caller.tenant.as_str().into();
    let begun = registry
        .find_or_begin(&tenant, None, || Beginning::plain(agent))
        .await;
    let (handle, _) = begun.map_err(|failure| failed(failure.message))?;
    // Whatever becomes of this call, nobody else knows of the session.
    let guard = Forgotten {
        registry: registry.downgrade(),
        handle: Some(handle.clone()),
    };
    let started = handle.start(request, None, None, facts).await;
    let gone = || failed("the agent's session ended before it answered");
    let (_, mut reader, _) = started
        .map_err(|_| gone())?
        .map_err(|failure| failed(failure.message))?;
    let bytes = reader.next().await.ok_or_else(gone)?;
    let bytes = bytes.map_err(|failure| failed(failure.message))?;
    drop(guard);
    let event = pb::Event::decode(bytes).map_err(|_| gone())?;
    let Some(pb::event::Payload::TurnEnded(result)) = event.payload else {
        return Err(gone());
    };
    answer(*result)
}

/// What a turn used, from its end as it is told.
fn usage(wire: &pb::Usage) -> Usage {
    let tokens = |count: i32| u64::try_from(count).unwrap_or_default();
    let calls = |count: i32| u32::try_from(count).unwrap_or_default();
    Usage {
        input_tokens: tokens(wire.input_tokens),
        output_tokens: tokens(wire.output_tokens),
        total_tokens: tokens(wire.total_tokens),
        cache_read_tokens: tokens(wire.cache_read_tokens),
        cache_write_tokens: tokens(wire.cache_write_tokens),
        cache_writes: Vec::new(),
        model_calls: calls(wire.model_calls),
        tool_calls: calls(wire.tool_calls),
        cost: wire.cost_usd.map(price::picodollars),
        estimated: wire.estimated,
    }
}

/// What an agent's turn gives to the agent that asked.
fn answer(result: pb::TurnResult) -> Result<Output, Error> {
    let usage = result.usage.as_ref().map(usage);
    let status = result.status();
    let text = if result.output_json.is_empty() {
        result
            .message
            .as_ref()
            .map(crate::grpc::convert::content::text)
            .unwrap_or_default()
    } else {
        result.output_json
    };
    let mut content = Vec::new();
    if !text.is_empty() {
        content.push(ToolResultBlock::Text(text));
    }
    let is_error = status != pb::TurnStatus::Completed;
    if status == pb::TurnStatus::Paused {
        let text = "the agent waits for a tool of its caller or for consent, which a call from \
                    another agent cannot give; it was stopped";
        content.push(ToolResultBlock::Text(text.to_owned()));
    } else if is_error {
        let why = result.error.map(|error| error.message).unwrap_or_default();
        content.push(ToolResultBlock::Text(format!(
            "the agent did not finish: {why}"
        )));
    } else if content.is_empty() {
        content.push(ToolResultBlock::Text("(the agent said nothing)".to_owned()));
    }
    Ok(Output {
        content,
        is_error,
        usage,
    })
}

/// Forgets the session of a call, also when the call is dropped: that cancels its turn.
struct Forgotten {
    registry: WeakRegistry,
    handle: Option<Handle>,
}

impl Drop for Forgotten {
    fn drop(&mut self) {
        let Some((handle, registry)) = self.handle.take().zip(self.registry.upgrade()) else {
            return;
        };
        // It has to wait for the store; should the process end before, the session expires.
        tokio::spawn(async move {
            if let Err(failure) = registry.delete(handle.key()).await {
                warn!(%failure, "the session of an agent's call was not deleted");
            }
        });
    }
}
