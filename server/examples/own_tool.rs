//! A server with a tool of its own program's: what `taiwa-server` is, and a function in Rust.
//!
//! `cargo run -p taiwa-server --example own_tool -- --offline --store memory`

use std::{error::Error, sync::Arc};

use serde_json::json;
use taiwa_server::{
    app,
    config::Config,
    shutdown::Signals,
    taiwa_tools::{Fixed, Function, Output},
    telemetry,
    tools::{Mount, Origin},
};

const INPUT: &str = r#"{
    "type": "object",
    "properties": {"article": {"type": "string", "description": "Name of the article."}},
    "required": ["article"]
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::load(std::env::args_os())?;
    telemetry::install(&config.telemetry)?;

    // The input is JSON that fits the schema when the function is called.
    let stock = Function::new(
        "get_stock",
        "Tells how many of an article are in stock.",
        INPUT,
        |call| async move {
            call.progress.report("counting");
            let article = &call.input["article"];
            Ok(Output::json(&json!({"article": article, "in_stock": 12})))
        },
    )?;
    let tools = Fixed::new(vec![Arc::new(stock)]);
    let agent = config.agents.default_agent().id.clone();
    config
        .tools
        .entry(agent)
        .or_default()
        .push(Mount::new(Origin::Own(Arc::new(tools))));

    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let signals = Signals::listen()?;
        app::run(config, signals).await?;
        Ok(())
    })
}
