//! `taiwa agents`: who can be asked.

use taiwa_client::pb;
use unicode_width::UnicodeWidthStr as _;

use crate::{
    args::{Agents, AgentsCommand, Server},
    failure::Failure,
    json::Json,
    output::Output,
    render::{bold, dim, padded},
    request::connect,
};

pub(crate) async fn run(server: &Server, agents: Agents, output: &Output) -> Result<(), Failure> {
    let client = connect(server).await?;
    match agents.command {
        None | Some(AgentsCommand::List) => {
            let agents = client.agents().await?;
            if output.json {
                let json = Json::new()?;
                let lines: Result<String, _> = agents
                    .iter()
                    .map(|agent| json.line("Agent", agent))
                    .collect();
                return output.write(&lines?);
            }
            output.write(&table(&agents, output.rendered))
        }
        Some(AgentsCommand::Show { id }) => {
            let agent = client.agent(id).await?;
            if output.json {
                return output.write(&Json::new()?.line("Agent", &agent)?);
            }
            output.write(&description(&agent, output.rendered))
        }
    }
}

fn table(agents: &[pb::Agent], painted: bool) -> String {
    let ids = agents
        .iter()
        .map(|agent| agent.agent_id.width())
        .max()
        .unwrap_or(0);
    let models = agents
        .iter()
        .map(|agent| agent.model_id.width())
        .max()
        .unwrap_or(0);
    let row = |agent: &pb::Agent| {
        let mark = if agent.is_default { "*" } else { " " };
        let id = padded(&agent.agent_id, ids);
        let model = padded(&agent.model_id, models);
        let about = if agent.description.is_empty() {
            &agent.display_name
        } else {
            &agent.description
        };
        let line = if painted {
            format!("{mark} {}  {}  {about}", bold(&id), dim(&model))
        } else {
            format!("{mark} {id}  {model}  {about}")
        };
        format!("{}\n", line.trim_end())
    };
    agents.iter().map(row).collect()
}

fn description(agent: &pb::Agent, painted: bool) -> String {
    let capabilities = agent.capabilities.clone().unwrap_or_default();
    let able = [
        (capabilities.client_tools, "client tools"),
        (capabilities.structured_output, "structured output"),
        (capabilities.reasoning, "reasoning"),
        (capabilities.model_override, "model of the caller's choice"),
        (
            capabilities.system_override,
            "system prompt of the caller's own",
        ),
    ];
    let able: Vec<_> = able
        .iter()
        .filter(|(can, _)| *can)
        .map(|(_, what)| *what)
        .collect();
    let labels: Vec<_> = agent
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let id = if agent.is_default {
        format!("{} (default)", agent.agent_id)
    } else {
        agent.agent_id.clone()
    };
    let rows = [
        ("agent", id),
        ("name", agent.display_name.clone()),
        ("about", agent.description.clone()),
        ("version", agent.version.clone()),
        ("model", agent.model_id.clone()),
        ("input", capabilities.input_media_types.join(", ")),
        ("output", capabilities.output_media_types.join(", ")),
        ("takes", able.join(", ")),
        ("labels", labels.join(", ")),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let line = |(name, value): (&str, String)| {
        let name = format!("{name:<8}");
        let name = if painted { dim(&name) } else { name };
        format!("{name} {value}\n")
    };
    rows.map(line).collect()
}
