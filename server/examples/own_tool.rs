//! A server with a tool of its own program's: what `taiwa-server` is, and a function in Rust.
//!
//! `cargo run -p taiwa-server --example own_tool -- --offline --store memory`

use std::process::ExitCode;

use serde_json::json;
use taiwa_server::{
    program,
    taiwa_tools::{Function, Output},
};

const INPUT: &str = r#"{
    "type": "object",
    "properties": {"article": {"type": "string", "description": "Name of the article."}},
    "required": ["article"]
}"#;

fn main() -> ExitCode {
    program::run(std::env::args_os(), |config| {
        // The input is JSON that fits the schema when the function is called.
        let stock = Function::new(
            "get_stock",
            "Tells how many of an article are in stock.",
            INPUT,
            |call| async move {
                call.progress.report("counting");
                match call.input["article"].as_str() {
                    Some("unicorn") => Err("unicorns are not to be counted".into()),
                    article => Ok(Output::json(&json!({"article": article, "in_stock": 12}))),
                }
            },
        )?;
        let agent = config.agents.default_agent().id.clone();
        Ok(config.add_tool(&agent, stock)?)
    })
}
