//! The tools that the server runs for an agent.

use std::sync::Arc;

use super::ToolSpec;
use crate::{error::Failure, options::TurnOptions};

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

    /// Refuses a client's tool that has the name of one of these; `field` is where the options are.
    ///
    /// # Errors
    ///
    /// `INVALID_REQUEST`, with the name at fault as its field.
    pub fn check_names(&self, field: &str, options: &TurnOptions) -> Result<(), Failure> {
        let mut tools = options.client_tools.iter().enumerate();
        let Some((index, tool)) = tools.find(|(_, tool)| self.find(&tool.name).is_some()) else {
            return Ok(());
        };
        let name = &tool.name;
        let text = format!("must not be that of a tool of the agent's own: {name}");
        let field = format!("{field}.client_tools[{index}].name");
        Err(Failure::invalid(field, text))
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
