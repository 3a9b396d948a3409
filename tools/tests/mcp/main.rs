//! MCP servers as sources of tools: scripted ones that misbehave, and servers that others wrote.

mod http;
mod peers;
mod stdio;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use taiwa_core::tool::ToolResultBlock;
use taiwa_tools::{
    Allowance, Call, Caller, Error, Output, Progress, ProgressReader, Source as _, Tool, mcp,
};
use tokio::time::{sleep, timeout};

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a server, and tries it again fast when it is lost.
async fn start(transport: mcp::Transport) -> mcp::Source {
    let mut config = mcp::Config::new("test", transport);
    config.shortest_pause = Duration::from_millis(20);
    config.longest_pause = Duration::from_millis(200);
    mcp::Source::start(config).await.expect("it can be started")
}

fn call(input: Value) -> (Call, ProgressReader) {
    let Value::Object(input) = input else {
        panic!("the input of a tool is an object");
    };
    call_of(input, Caller::default())
}

fn call_of(input: Map<String, Value>, caller: Caller) -> (Call, ProgressReader) {
    let (progress, reader) = Progress::channel();
    let call = Call {
        id: "call-1".into(),
        input,
        idempotency_key: "key-1".into(),
        deadline: Instant::now() + PATIENCE,
        caller: Arc::new(caller),
        progress,
        max_result_bytes: 100_000,
        allowance: Allowance::default(),
    };
    (call, reader)
}

/// Calls a tool that is there.
async fn run(source: &mcp::Source, name: &str, input: Value) -> Result<Output, Error> {
    let (call, _progress) = call(input);
    tool(source, name).call(call).await
}

#[track_caller]
fn tool(source: &mcp::Source, name: &str) -> Arc<dyn Tool> {
    let tools = source.tools();
    let tools = tools.borrow();
    let found = tools.iter().find(|tool| tool.definition().name == name);
    match found {
        Some(tool) => Arc::clone(tool),
        None => panic!("no tool {name} among {:?}", names(&tools)),
    }
}

fn names(tools: &[Arc<dyn Tool>]) -> Vec<String> {
    tools
        .iter()
        .map(|tool| tool.definition().name.clone())
        .collect()
}

/// The text of an output, whose other blocks are of no matter.
fn text(output: &Output) -> String {
    let mut texts = Vec::new();
    for block in &output.content {
        if let ToolResultBlock::Text(text) = block {
            texts.push(text.as_str());
        }
    }
    texts.join("\n")
}

/// The JSON of an output.
#[track_caller]
fn json(output: &Output) -> Value {
    for block in &output.content {
        if let ToolResultBlock::Json(json) = block {
            return serde_json::from_str(json).expect("what is called JSON is JSON");
        }
    }
    panic!("no JSON in {output:?}");
}

/// Asks again and again until there is an answer.
async fn eventually<T: Debug, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let wait = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    match timeout(PATIENCE, wait).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

fn variables<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    variables.into_iter().map(owned).collect()
}
