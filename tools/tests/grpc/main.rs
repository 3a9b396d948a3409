//! gRPC services as tools, over real sockets.

mod calls;
mod failures;
mod reading;
mod shop;
mod tls;
mod warehouse;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use taiwa_core::tool::ToolResultBlock;
use taiwa_tools::{
    Allowance, Call, Caller, Error, Output, Progress, ProgressReader, Source as _, Tool,
    grpc::{Config, Source},
};
use tokio::time::timeout;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A call with an input, and the end of its progress.
fn call(input: Value) -> (Call, ProgressReader) {
    let (progress, reader) = Progress::channel();
    let call = Call {
        id: "call-1".to_owned(),
        input: input.as_object().expect("an input is an object").clone(),
        idempotency_key: "key-1".to_owned(),
        deadline: Instant::now() + PATIENCE,
        caller: Arc::new(Caller::default()),
        progress,
        max_result_bytes: 64 * 1024,
        allowance: Allowance::default(),
    };
    (call, reader)
}

/// The tool of that name, when it is there.
async fn tool(source: &Source, name: &str) -> Arc<dyn Tool> {
    let mut tools = source.tools();
    let is_it = |tool: &&Arc<dyn Tool>| tool.definition().name == name;
    let there = tools.wait_for(|tools| tools.iter().any(|tool| is_it(&tool)));
    let tools = timeout(PATIENCE, there)
        .await
        .unwrap_or_else(|_| panic!("{name} appears in time"))
        .expect("the source lives")
        .clone();
    let tool = tools.iter().find(is_it).cloned();
    tool.expect("was seen")
}

/// Calls a tool after a look at its schema, as every caller does.
async fn run(source: &Source, name: &str, input: Value) -> Result<Output, Error> {
    let tool = tool(source, name).await;
    let fits = tool.definition().schema.check(&input);
    assert_eq!(fits, Ok(()), "{input} fits {name}");
    let (call, _progress) = call(input);
    tool.call(call).await
}

/// The JSON of a result that is no error.
fn told(result: Result<Output, Error>) -> Value {
    let output = result.expect("it does not fail");
    let [ToolResultBlock::Json(text)] = output.content.as_slice() else {
        panic!("{output:?} is JSON");
    };
    assert!(!output.is_error, "{text}");
    serde_json::from_str(text).expect("JSON is JSON")
}

/// The words of a result that says that the tool failed.
fn refused(result: Result<Output, Error>) -> String {
    let output = result.expect("it does not fail");
    let [ToolResultBlock::Text(text)] = output.content.as_slice() else {
        panic!("{output:?} is text");
    };
    assert!(output.is_error, "{text}");
    text.clone()
}

fn names(source: &Source) -> Vec<String> {
    let tools = source.tools();
    let tools = tools.borrow();
    let names = tools.iter().map(|tool| tool.definition().name.clone());
    names.collect()
}

async fn started(config: Config) -> Source {
    Source::start(config).await.expect("it starts")
}

fn sku(sku: &str) -> Value {
    json!({ "sku": sku })
}
