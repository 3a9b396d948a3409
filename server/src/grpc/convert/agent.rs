//! Agents as callers see them.

use super::options;
use taiwa::v1 as pb;
use taiwa_core::{
    Agent,
    agent::SystemOverride,
    media::{AudioFormat, DocumentFormat, ImageFormat, VideoFormat},
    tool::ToolSet,
};

/// Writes an agent.
pub fn agent(agent: &Agent, is_default: bool, tools: Vec<pb::ToolInfo>) -> pb::Agent {
    pb::Agent {
        agent_id: agent.id.clone(),
        display_name: agent.display_name.clone(),
        description: agent.description.clone(),
        version: agent.version.clone(),
        model_id: agent.options.model_id.clone().unwrap_or_default(),
        capabilities: Some(capabilities(agent)),
        tools,
        labels: agent.labels.clone(),
        is_default,
    }
}

/// Writes what an agent's tools are: the server's own, and those that the provider runs.
pub fn tools(set: &ToolSet, agent: &Agent) -> Vec<pb::ToolInfo> {
    let own = set.iter().map(|tool| pb::ToolInfo {
        name: tool.spec.name.clone(),
        description: tool.spec.description.clone(),
        input_schema_json: tool.spec.schema.as_str().to_owned(),
        approval: options::approval(tool.spec.approval.as_ref()).into(),
        executor: pb::ToolExecutor::Server.into(),
    });
    let of_provider = agent.options.provider_tools.iter();
    let of_provider = of_provider.map(|name| pb::ToolInfo {
        name: name.clone(),
        approval: pb::ApprovalMode::Never.into(),
        executor: pb::ToolExecutor::Provider.into(),
        ..Default::default()
    });
    let mut tools: Vec<_> = own.chain(of_provider).collect();
    tools.sort_by(|one, other| one.name.cmp(&other.name));
    tools
}

/// Writes what the server can do for an agent; which of it the model takes, the model says.
fn capabilities(agent: &Agent) -> pb::AgentCapabilities {
    let images = ImageFormat::ALL.iter().map(|format| format.media_type());
    let documents = DocumentFormat::ALL.iter().map(|format| format.media_type());
    let videos = VideoFormat::ALL.iter().map(|format| format.media_type());
    let audio = AudioFormat::ALL.iter().map(|format| format.media_type());
    let input = documents.chain(images).chain(videos).chain(audio);
    let output = [DocumentFormat::Txt.media_type()].into_iter();
    let output = output.chain(ImageFormat::ALL.iter().map(|format| format.media_type()));
    pb::AgentCapabilities {
        input_media_types: input.map(str::to_owned).collect(),
        output_media_types: output.map(str::to_owned).collect(),
        client_tools: true,
        structured_output: true,
        reasoning: true,
        model_override: agent.model_override,
        system_override: match agent.system_override {
            SystemOverride::Refuse => false,
            SystemOverride::Prepend | SystemOverride::Replace => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use taiwa_core::tool::{Approval, Schema, ServerTool, ToolSpec};

    use super::*;
    use crate::grpc::convert::fixture;

    #[test]
    fn tools_are_told_by_name_with_who_runs_them_and_who_is_asked() {
        let schema = r#"{"type":"object"}"#;
        let own = |name: &str, approval| ServerTool {
            spec: Arc::new(ToolSpec {
                name: name.to_owned(),
                description: format!("does {name}"),
                schema: Schema::parse(schema).unwrap(),
                strict: false,
                timeout: None,
                approval: Some(approval),
            }),
            spends: false,
        };
        let when = Approval::When(Schema::parse("{}").unwrap());
        let set = ToolSet::new([
            own("pay", when),
            own("erase", Approval::Always),
            own("look", Approval::Never),
        ]);
        let mut agent = fixture::agent();
        agent.options.provider_tools = vec!["nova_grounding".to_owned()];
        let told = |name: &str, approval: pb::ApprovalMode| pb::ToolInfo {
            name: name.to_owned(),
            description: format!("does {name}"),
            input_schema_json: schema.to_owned(),
            approval: approval.into(),
            executor: pb::ToolExecutor::Server.into(),
        };
        let expected = [
            told("erase", pb::ApprovalMode::Always),
            told("look", pb::ApprovalMode::Never),
            pb::ToolInfo {
                name: "nova_grounding".to_owned(),
                approval: pb::ApprovalMode::Never.into(),
                executor: pb::ToolExecutor::Provider.into(),
                ..Default::default()
            },
            told("pay", pb::ApprovalMode::ByInput),
        ];
        assert_eq!(tools(&set, &agent), expected);
    }
}
