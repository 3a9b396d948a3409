//! `taiwa tools`: what an agent can call.

use taiwa_client::{Client, pb};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    args::{Server, Tools},
    calls::{pretty, safe},
    failure::{Exit, Failure},
    json::Json,
    output::Output,
    render::{bold, dim, padded},
    request::connect,
};

pub(crate) async fn run(server: &Server, tools: Tools, output: &Output) -> Result<(), Failure> {
    let client = connect(server).await?;
    let agent_id = match tools.named.or(tools.agent) {
        Some(agent_id) => agent_id,
        None => default_agent(&client).await?,
    };
    let agent = client.agent(&agent_id).await?;
    if output.json {
        let json = Json::new()?;
        let lines = agent.tools.iter().map(|tool| json.line("ToolInfo", tool));
        let lines: Result<String, _> = lines.collect();
        return output.write(&lines?);
    }
    if agent.tools.is_empty() {
        output.remark(&format!("{agent_id} has no tools of its own"));
    }
    output.write(&table(&agent.tools, tools.schema, output.rendered))
}

async fn default_agent(client: &Client) -> Result<String, Failure> {
    let agents = client.agents().await?;
    let default = agents.into_iter().find(|agent| agent.is_default);
    let missing = || {
        Failure::new(Exit::Usage, "the server has no default agent")
            .note("`taiwa agents` lists those that it offers")
    };
    Ok(default.ok_or_else(missing)?.agent_id)
}

fn table(tools: &[pb::ToolInfo], schemas: bool, painted: bool) -> String {
    let rows: Vec<_> = tools.iter().map(Row::of).collect();
    let widest = |column: fn(&Row) -> &str| {
        let widths = rows.iter().map(|row| column(row).width());
        widths.max().unwrap_or_default()
    };
    let names = widest(|row| &row.name);
    let executors = widest(|row| row.executor);
    let approvals = widest(|row| row.approval);
    let mut text = String::new();
    for (row, tool) in rows.iter().zip(tools) {
        let name = padded(&row.name, names);
        let executor = padded(row.executor, executors);
        let approval = padded(row.approval, approvals);
        let about = safe(tool.description.lines().next().unwrap_or_default());
        let line = if painted {
            let beside = dim(&format!("{executor}  {approval}"));
            format!("{}  {beside}  {about}", bold(&name))
        } else {
            format!("{name}  {executor}  {approval}  {about}")
        };
        text.push_str(line.trim_end());
        text.push('\n');
        if schemas {
            let schema = pretty(&tool.input_schema_json);
            text.extend(schema.iter().map(|line| format!("    {line}\n")));
        }
    }
    text
}

struct Row {
    name: String,
    executor: &'static str,
    approval: &'static str,
}

impl Row {
    fn of(tool: &pb::ToolInfo) -> Self {
        let executor = match tool.executor() {
            pb::ToolExecutor::Server => "server",
            pb::ToolExecutor::Client => "client",
            pb::ToolExecutor::Provider => "provider",
            pb::ToolExecutor::Unspecified => "-",
        };
        let approval = match tool.approval() {
            pb::ApprovalMode::Never => "runs without asking",
            pb::ApprovalMode::Always => "asks always",
            pb::ApprovalMode::ByInput => "asks by its arguments",
            pb::ApprovalMode::Unspecified => "-",
        };
        Self {
            name: safe(&tool.name),
            executor,
            approval,
        }
    }
}
