//! Time from the start of the process to the end of its first call.

use std::time::Instant;

use anyhow::Result;

use super::{Bench, first_call};
use crate::{
    child::Target,
    report::{Key, Latencies, Results},
};

/// From the start of the process to the last event of its first call.
pub(crate) const KEY: Key = Key::new("cold-start", "process", "start_to_first_call", "us");

pub(super) async fn run(bench: &Bench, target: Target, results: &mut Results) -> Result<()> {
    let mut times = Latencies::new()?;
    for _ in 0..bench.plan.starts {
        let started = Instant::now();
        let child = bench.cold(target).await?;
        first_call(&child).await?;
        times.record(started.elapsed());
        child.stop().await;
    }
    results.latencies(KEY, target, times);
    Ok(())
}
