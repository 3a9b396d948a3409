//! The simulator as a process of its own.

use anyhow::Result;
use taiwa_simulator::{Config, Script, Simulator};

/// Runs until the parent lets go.
pub(super) async fn run(scenario: &str) -> Result<()> {
    let script = Script::from_toml(scenario)?;
    let simulator = Simulator::start(Config {
        script,
        ..Config::default()
    })
    .await?;
    super::announce(simulator.address())?;
    super::released().await;
    simulator.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use taiwa_simulator::Script;

    use crate::{args::Args, scenario::scenario};

    #[test]
    fn the_scenario_of_the_default_plan_is_valid() {
        let options = Args::parse_from(["taiwa-bench"]).options;
        Script::from_toml(&scenario(&options.plan())).unwrap();
    }
}
