//! Taiwa's server as its program starts it, with the settings that hold when none is given, but
//! for the place of its sessions.

use std::{ffi::OsString, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use taiwa_server::{
    app,
    config::Config,
    model::bedrock,
    telemetry,
    tools::{Mount, Origin},
};
use taiwa_tools::{Fixed, Function, Output};

use crate::scenario::{MODEL, TOOL};

/// Runs until the parent lets go.
pub(super) async fn run(upstream: SocketAddr, store: &str, tool: bool) -> Result<()> {
    let mut config = config(upstream, store)?;
    if tool {
        let agent = config.agents.default_agent().id.clone();
        config.tools.insert(agent, vec![mount()?]);
    }
    telemetry::install(&config.telemetry)?;
    config.log();
    let server = app::start(config).await?;
    super::announce(server.local_addr())?;
    super::released().await;
    server.stop().await;
    Ok(())
}

/// A tool that gives its answer at once.
fn mount() -> Result<Mount> {
    let body = |_| async { Ok(Output::text("done")) };
    let tool = Function::new(TOOL, "Does nothing.", r#"{"type":"object"}"#, body)?;
    Ok(Mount::new(Origin::Own(Arc::new(Fixed::new(vec![
        Arc::new(tool),
    ])))))
}

fn config(upstream: SocketAddr, store: &str) -> Result<Config> {
    let arguments = [
        "taiwa-server",
        "--listen",
        "127.0.0.1:0",
        "--store",
        store,
        "--model",
        MODEL,
    ];
    let config = Config::load(arguments.map(OsString::from))?;
    Ok(Config {
        bedrock: bedrock::Config {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!("http://{upstream}")),
            credentials: Some(bedrock::StaticCredentials {
                access_key_id: "bench".to_owned(),
                secret_access_key: "bench".to_owned(),
                session_token: None,
            }),
            ..config.bedrock
        },
        // Nobody is to be waited for: what was measured is over.
        shutdown_grace: Duration::ZERO,
        ..config
    })
}
