//! Tools in trouble: what is told of them, to the model too, and what they leave behind.
//!
//! The tests run one after the other, as one of them counts what the process holds.

mod hands;
mod leaks;
mod results;
mod scripted;
mod watchman;

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use taiwa_e2e::{Settings, World};
use taiwa_server::tools::{Mount, Origin};
use taiwa_tools::grpc;
use tokio::sync::Mutex;

use crate::{
    hands::{FLOOD_BYTES, Hands},
    scripted::Program,
    watchman::Watchman,
};

/// Held by the test that runs.
pub(crate) static ALONE: Mutex<()> = Mutex::const_new(());

/// How long `hang` may hang.
const HANG: Duration = Duration::from_millis(100);

/// The calls that prompts lead to: the prompt, the tool, its input.
const CALLS: [(&str, &str, &str); 11] = [
    ("hang", "hang", "{}"),
    ("panic", "panic", "{}"),
    ("flood", "flood", "{}"),
    ("fail", "fail", "{}"),
    ("unsure", "unsure", "{}"),
    ("die", "mcp_die", "{}"),
    ("die reading", "mcp_die_reading", "{}"),
    ("junk", "mcp_junk", "{}"),
    ("echo", "mcp_echo", r#"{"text": "there"}"#),
    ("watch", "grpc_Watch", "{}"),
    ("check", "grpc_Check", "{}"),
];

/// A world whose agent has tools of each kind, and what stands behind them.
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) hands: Hands,
    pub(crate) program: Program,
    pub(crate) watchman: Watchman,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let (hands, program, watchman) = (Hands::default(), Program::new(), Watchman::start());
        let own = Origin::Own(hands.source());
        let mut own = mount(own, "");
        own.timeout = Some(HANG);
        let methods = ["grpc.health.v1.Health/*"];
        let health = grpc::Config::new(watchman.endpoint(), methods);
        let mounts = vec![
            own,
            mount(Origin::Mcp(program.config()), "mcp_"),
            mount(Origin::Grpc(health), "grpc_"),
        ];
        let settings = Settings {
            tools: BTreeMap::from([("assistant".to_owned(), mounts)]),
            ..Settings::default()
        };
        Self {
            world: World::with(&scenario(), settings).await,
            hands,
            program,
            watchman,
        }
    }
}

fn mount(origin: Origin, prefix: &str) -> Mount {
    Mount {
        origin,
        prefix: prefix.to_owned(),
        allow: Vec::new(),
        approval: None,
        timeout: None,
    }
}

/// The model calls what the prompt names, and is content with any result.
fn scenario() -> String {
    let mut scenario =
        "[[reply]]\nwhen = { has_tool_result = true }\ntext = \"So be it.\"\n".to_owned();
    for (prompt, tool, input) in CALLS {
        let written = write!(
            scenario,
            "[[reply]]\nwhen = {{ prompt_is = \"{prompt}\" }}\n\
             content = [{{ tool_use = {{ id = \"a\", name = \"{tool}\", input = '{input}' }} }}]\n"
        );
        written.expect("a string takes all");
    }
    scenario
}
