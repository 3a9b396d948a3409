//! Agents as callers see them.

use taiwa::v1 as pb;
use taiwa_core::{
    Agent,
    agent::SystemOverride,
    media::{AudioFormat, DocumentFormat, ImageFormat, VideoFormat},
};

/// Writes an agent.
pub fn agent(agent: &Agent, is_default: bool) -> pb::Agent {
    pb::Agent {
        agent_id: agent.id.clone(),
        display_name: agent.display_name.clone(),
        description: agent.description.clone(),
        version: agent.version.clone(),
        model_id: agent.options.model_id.clone().unwrap_or_default(),
        capabilities: Some(capabilities(agent)),
        labels: agent.labels.clone(),
        is_default,
    }
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
