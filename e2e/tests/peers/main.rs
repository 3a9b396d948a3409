//! Servers that others wrote, as tools of an agent, called through whole turns.
//!
//! The model is the simulator's persona: it calls what it must, with input made from the schema and
//! the prompt. Where the servers are not installed, the tests say that they are left out; in CI they
//! fail.

mod everything;
mod filesystem;
mod place;
mod together;
mod warehouse;

use std::collections::BTreeMap;

use taiwa::v1 as pb;
use taiwa_e2e::{
    Client, Settings, World,
    call::{invoke_stream, prompt},
    calls::{self, CallTold},
};
use taiwa_server::tools::{Mount, Origin};

/// A world whose agent has these tools, and whose model is the persona but for a scenario's replies.
pub(crate) async fn world(scenario: &str, mounts: Vec<Mount>) -> World {
    let settings = Settings {
        tools: BTreeMap::from([("assistant".to_owned(), mounts)]),
        ..Settings::default()
    };
    World::with(scenario, settings).await
}

pub(crate) fn mount(origin: Origin, prefix: &str) -> Mount {
    Mount {
        origin,
        prefix: prefix.to_owned(),
        allow: Vec::new(),
        approval: None,
        timeout: None,
    }
}

/// A request in which one tool is allowed, and must be called.
pub(crate) fn asking(tool: &str, words: &str) -> pb::InvokeRequest {
    let mut request = prompt(words);
    request.options = Some(pb::TurnOptions {
        allowed_tools: vec![tool.to_owned()],
        tool_choice: Some(pb::ToolChoice {
            choice: Some(pb::tool_choice::Choice::ToolName(tool.to_owned())),
        }),
        ..pb::TurnOptions::default()
    });
    request
}

/// Runs a turn in which the model calls a tool once, and gives what was told of the call.
pub(crate) async fn ask(client: &mut Client, tool: &str, words: &str) -> CallTold {
    let streamed = invoke_stream(client, asking(tool, words)).await;
    let result = streamed.result();
    assert_eq!(
        result.status(),
        pb::TurnStatus::Completed,
        "{tool}: {result:#?}"
    );
    let mut told = calls::told(&streamed.events);
    assert_eq!(told.len(), 1, "{tool} is called once: {told:#?}");
    let told = told.remove(0);
    assert_eq!(told.call.tool_name, tool);
    assert_eq!(told.end.tool_name, tool);
    told
}

/// Calls each tool that the agent has, each in a turn of its own.
pub(crate) async fn ask_each(
    world: &World,
    words: impl Fn(&str) -> String,
) -> BTreeMap<String, CallTold> {
    let mut client = world.client().await;
    let mut told = BTreeMap::new();
    for tool in listed(&mut client).await {
        let call = ask(&mut client, &tool, &words(&tool)).await;
        told.insert(tool, call);
    }
    told
}

/// Names of the agent's tools, as `GetAgent` lists them.
pub(crate) async fn listed(client: &mut Client) -> Vec<String> {
    let request = pb::GetAgentRequest {
        agent_id: "assistant".to_owned(),
    };
    let agent = client.get_agent(request).await.expect("the agent is there");
    let agent = agent.into_inner().agent.expect("it is described");
    agent.tools.into_iter().map(|tool| tool.name).collect()
}

/// Checks how calls ended: those that are named failed, all others succeeded.
#[track_caller]
pub(crate) fn check_ends(told: &BTreeMap<String, CallTold>, failed: &[&str]) {
    for (tool, call) in told {
        let expected = if failed.contains(&&**tool) {
            pb::ToolCallStatus::Failed
        } else {
            pb::ToolCallStatus::Succeeded
        };
        assert_eq!(call.status(), expected, "{tool}: {call:#?}");
    }
}
