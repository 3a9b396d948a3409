//! The tools that the server runs for an agent.

use std::sync::Arc;

use super::ToolSpec;

/// The tools that the server runs for an agent, as they are at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolSet {
    tools: Vec<ServerTool>,
}

/// A tool that the server runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTool {
    /// What the model is told of it.
    pub spec: Arc<ToolSpec>,
    /// Its calls spend from the turn's budget: it is an agent itself.
    pub spends: bool,
}

impl ToolSet {
    /// Makes a set; of two tools with one name the first counts.
    pub fn new(tools: impl IntoIterator<Item = ServerTool>) -> Self {
        let mut set = Self::default();
        for tool in tools {
            if set.find(&tool.spec.name).is_none() {
                set.tools.push(tool);
            }
        }
        set
    }

    /// The tools, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ServerTool> {
        self.tools.iter()
    }

    /// Finds a tool by its name.
    pub fn find(&self, name: &str) -> Option<&ServerTool> {
        self.tools.iter().find(|tool| tool.spec.name == name)
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Those with these names; all when none is named.
    #[must_use]
    pub fn allowed(self: &Arc<Self>, names: &[String]) -> Arc<Self> {
        if names.is_empty() {
            return Arc::clone(self);
        }
        let allowed = |tool: &&ServerTool| names.contains(&tool.spec.name);
        Arc::new(Self {
            tools: self.tools.iter().filter(allowed).cloned().collect(),
        })
    }
}
