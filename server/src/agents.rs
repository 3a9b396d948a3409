//! The agents that a server offers.

use std::{collections::BTreeMap, sync::Arc};

use taiwa_core::Agent;

/// Agents by id, one of which answers requests that name none.
#[derive(Clone, Debug, PartialEq)]
pub struct Agents {
    by_id: BTreeMap<String, Arc<Agent>>,
    default: Arc<Agent>,
}

impl Agents {
    /// Offers `agents`, of which `default_id` names the one for requests that name none.
    ///
    /// Returns `None` when there is no agent of that id. Of two agents with one id the later stays.
    pub fn new(agents: impl IntoIterator<Item = Agent>, default_id: &str) -> Option<Self> {
        let by_id: BTreeMap<String, Arc<Agent>> = agents
            .into_iter()
            .map(|agent| (agent.id.clone(), Arc::new(agent)))
            .collect();
        let default = Arc::clone(by_id.get(default_id)?);
        Some(Self { by_id, default })
    }

    /// Offers one agent.
    pub fn only(agent: Agent) -> Self {
        let default = Arc::new(agent);
        let by_id = BTreeMap::from([(default.id.clone(), Arc::clone(&default))]);
        Self { by_id, default }
    }

    /// The same agents, with it said of each whether the server has tools for it.
    #[must_use]
    pub(crate) fn serving(&self, has_tools: impl Fn(&str) -> bool) -> Self {
        let agents = self.iter().map(|agent| Agent {
            serves_tools: has_tools(&agent.id),
            ..Agent::clone(agent)
        });
        Self::new(agents, &self.default.id).unwrap_or_else(|| self.clone())
    }

    /// Finds an agent.
    pub fn find(&self, id: &str) -> Option<&Arc<Agent>> {
        self.by_id.get(id)
    }

    /// The agent for requests that name none.
    pub fn default_agent(&self) -> &Arc<Agent> {
        &self.default
    }

    /// Every agent, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Agent>> {
        self.by_id.values()
    }
}
