//! What one agent is offered: the tools of its sources, under names that no two share.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use taiwa_core::tool::{Approval, ServerTool, ToolSet, ToolSpec};
use taiwa_tools::Tool;
use tracing::warn;

use super::{Mounted, Origin};

/// Longest name of a tool, and what it is made of, as Bedrock demands:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html>.
const MAX_NAME_BYTES: usize = 64;

/// What an agent is offered at one time.
#[derive(Debug, Default)]
pub struct Offer {
    /// What the core decides by.
    pub set: Arc<ToolSet>,
    tools: BTreeMap<String, Arc<dyn Tool>>,
}

impl Offer {
    /// Finds a tool by the name that the model knows.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.get(name)
    }
}

/// Names of tools: a name as it is, or the beginning of several, with a `*` behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || start.contains('*') {
            return Err(PatternError);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Why a text is no [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a tool's name, or the beginning of one with a * behind it")]
pub struct PatternError;

impl Pattern {
    fn fits(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == self.0,
        }
    }
}

/// Puts together what the sources have.
pub(super) fn offer(agent: &str, mounted: &mut [Mounted]) -> Offer {
    let mut tools: BTreeMap<String, Arc<dyn Tool>> = BTreeMap::new();
    let mut specs = Vec::new();
    for (mount, current, _) in mounted {
        let current = Arc::clone(&current.borrow_and_update());
        for tool in current.iter() {
            let definition = tool.definition();
            let allowed = &mount.allow;
            if !allowed.is_empty() && !allowed.iter().any(|it| it.fits(&definition.name)) {
                continue;
            }
            let name = format!("{}{}", mount.prefix, definition.name);
            if !is_sound(&name) {
                warn!(
                    agent.id = agent,
                    tool = name,
                    "left a tool out: its name must be 1 to 64 of letters, digits, _ and -; a \
                     shorter prefix may help"
                );
                continue;
            }
            if tools.contains_key(&name) {
                warn!(
                    agent.id = agent,
                    tool = name,
                    "left a tool out: another source has one of this name; a prefix tells them apart"
                );
                continue;
            }
            specs.push(ServerTool {
                spec: Arc::new(ToolSpec {
                    name: name.clone(),
                    description: definition.description.clone(),
                    schema: definition.schema.clone(),
                    strict: false,
                    timeout: mount.timeout,
                    approval: Some(mount.approval.clone().unwrap_or(Approval::Never)),
                }),
                spends: matches!(mount.origin, Origin::Agent(_)),
            });
            tools.insert(name, Arc::clone(tool));
        }
    }
    Offer {
        set: Arc::new(ToolSet::new(specs)),
        tools,
    }
}

fn is_sound(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests;
