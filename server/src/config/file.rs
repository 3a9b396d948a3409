//! The agents file.

mod context;
mod entry;
mod money;
mod tools;
mod values;

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use serde::Deserialize;
use toml::Spanned;

pub use self::values::{Fault, ModelId};
use self::{
    entry::Entry,
    money::{BudgetTable, PriceTable},
    values::AgentId,
};
use super::Error;
use crate::{
    agents::Agents,
    budget,
    tools::{Mount, Origin},
};

/// What is wrong with an agents file, and where.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not TOML, an unknown key, or a value that its key does not take.
    #[error("{}{}", said.to_string().trim_end(), Hint(said.message()))]
    Toml {
        /// What the parser said, with line and column.
        said: Box<toml::de::Error>,
    },
    /// Values that do not fit each other.
    #[error("line {line}, column {column}: {key} {problem}")]
    Value {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
}

/// What a file offers.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) agents: Agents,
    /// The tools of each agent that has some.
    pub(super) mounts: BTreeMap<String, Vec<Mount>>,
    pub(super) budgets: Vec<budget::Config>,
}

/// Reads a file; `model` is that of agents which name none.
pub(super) fn read(path: &Path, model: Option<&str>) -> Result<Offered, Error> {
    let text = super::read("--config", path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder, model).map_err(|source| Error::Agents {
        path: path.to_owned(),
        source,
    })
}

/// Reads a text whose files are relative to `folder`.
pub(super) fn parse(text: &str, folder: &Path, model: Option<&str>) -> Result<Offered, FileError> {
    let file: File = toml::from_str(text).map_err(|said| FileError::Toml {
        said: Box::new(said),
    })?;
    let context = Context {
        text,
        folder,
        model,
    };
    let Some(first) = file.agents.first() else {
        return Err(context.fault("agents", 0, "must name at least one agent: [[agents]]"));
    };
    let default_id = match &file.default_agent {
        Some(id) => id.get_ref().as_str().to_owned(),
        None if file.agents.len() == 1 => first.id.get_ref().as_str().to_owned(),
        None => {
            return Err(context.fault("default_agent", 0, "must be set where there are several"));
        }
    };
    let prices = Arc::new(context.prices(file.prices)?);
    let budgets = context.budgets(file.budgets)?;
    let mut agents = BTreeMap::new();
    let mut mounts: BTreeMap<String, Vec<Mount>> = BTreeMap::new();
    let mut asked = Vec::new();
    for mut entry in file.agents {
        let place = entry.id.span().start;
        let tables = std::mem::take(&mut entry.tools);
        let mut agent = context.agent(entry)?;
        agent.prices = Arc::clone(&prices);
        for table in tables {
            let place = table.span().start;
            let mount = context.mount(table)?;
            if let Origin::Agent(agent) = &mount.origin {
                asked.push((agent.id.clone(), place));
            }
            mounts.entry(agent.id.clone()).or_default().push(mount);
        }
        if let Some(twin) = agents.insert(agent.id.clone(), agent) {
            let problem = format!("is that of another agent: {}", twin.id);
            return Err(context.fault("id", place, problem));
        }
    }
    for (id, place) in asked {
        if !agents.contains_key(&id) {
            let problem = format!("has a tool that is an agent, and there is none: {id}");
            return Err(context.fault("tools", place, problem));
        }
    }
    let agents = Agents::new(agents.into_values(), &default_id).ok_or_else(|| {
        let place = file.default_agent.map_or(0, |id| id.span().start);
        context.fault(
            "default_agent",
            place,
            format!("names no agent: {default_id}"),
        )
    })?;
    Ok(Offered {
        agents,
        mounts,
        budgets,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default_agent: Option<Spanned<AgentId>>,
    #[serde(default)]
    agents: Vec<Entry>,
    #[serde(default)]
    prices: Vec<PriceTable>,
    #[serde(default)]
    budgets: Vec<Spanned<BudgetTable>>,
}

/// What an entry is read with.
struct Context<'a> {
    text: &'a str,
    folder: &'a Path,
    model: Option<&'a str>,
}

impl Context<'_> {
    fn fault(&self, key: &'static str, place: usize, problem: impl Into<String>) -> FileError {
        let before = self.text.get(..place).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        FileError::Value {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key,
            problem: problem.into(),
        }
    }
}

/// Names the known key that comes nearest to an unknown one.
struct Hint<'a>(&'a str);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The parser's message is all there is of the names: "unknown field `x`, expected `y`".
        let mut quoted = self.0.split('`').skip(1).step_by(2);
        let Some(unknown) = quoted
            .next()
            .filter(|_| self.0.starts_with("unknown field"))
        else {
            return Ok(());
        };
        let nearest = quoted
            .map(|known| (distance(unknown, known), known))
            .min()
            .filter(|(distance, known)| *distance <= known.len().div_ceil(3));
        match nearest {
            Some((_, known)) => write!(f, "\ndid you mean `{known}`?"),
            None => Ok(()),
        }
    }
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, left) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right) in other.chars().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests;
