//! Time between the two model calls of a turn whose model calls a tool: what is neither the tool's
//! nor the model's.

use anyhow::{Result, bail};

use super::Bench;
use crate::{
    child::Target,
    journal, load,
    report::{Key, Latencies, Results},
    scenario::Answer,
};

/// From the end of the model's call of the tool until the model is called with the result.
///
/// The tool takes no time. The SDK's part, which signs and sends the second call, is in it; the
/// relay, which does nothing else, shows how much that is.
pub(crate) const ROUND_TRIP: Key = Key::new("tools", "round_trip", "between_model_calls", "us");

/// Turns before those that are measured: the first take memory and connections.
const WARM_UP: usize = 20;

pub(super) async fn run(bench: &Bench, target: Target, results: &mut Results) -> Result<()> {
    let child = bench.warm_with_tool(target).await?;
    let mut clients = load::connect(child.address(), 1, None).await?;
    let turns = bench.plan.cancels;
    for number in 0..WARM_UP + turns {
        if number == WARM_UP {
            journal::clear(bench.upstream()).await?;
        }
        let mut events = load::call(&mut clients[0], Answer::Tool, number).await?;
        let mut pieces = 0;
        while load::next_piece(&mut events).await?.is_some() {
            pieces += 1;
        }
        if pieces != 1 {
            bail!("a turn with a tool has brought {pieces} pieces");
        }
    }
    let mut times = Latencies::new()?;
    for time in journal::between(bench.upstream(), Answer::Tool, turns).await? {
        times.record(time);
    }
    results.latencies(ROUND_TRIP, target, times);
    child.stop().await;
    Ok(())
}
