//! The measurements: each in rounds, relay and Taiwa in turn, each with fresh processes.

pub(crate) mod cadence;
pub(crate) mod cancel;
pub(crate) mod cold_start;
pub(crate) mod listing;
pub(crate) mod memory;
pub(crate) mod speed;
pub(crate) mod tools;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

use crate::{
    args::{Measure, Plan},
    child::{Child, Target},
    load,
    report::Results,
    scenario::{self, Answer},
};

/// What all measurements work with.
#[derive(Debug)]
pub(crate) struct Bench {
    plan: Plan,
    simulator: Child,
    server_log: Option<PathBuf>,
}

impl Bench {
    /// Starts the simulator.
    pub(crate) async fn start(plan: Plan, server_log: Option<&Path>) -> Result<Self> {
        let simulator = Child::simulator(&scenario::scenario(&plan)).await?;
        Ok(Self {
            plan,
            simulator,
            server_log: server_log.map(Path::to_owned),
        })
    }

    /// Measures one thing in all rounds.
    pub(crate) async fn run(&self, measure: Measure, results: &mut Results) -> Result<()> {
        for round in 1..=rounds(measure, &self.plan) {
            let mut targets = targets(measure);
            // Who comes second finds the machine warmer.
            if round % 2 == 0 {
                targets.reverse();
            }
            for target in targets {
                let started = Instant::now();
                let outcome = match measure {
                    Measure::Speed => speed::run(self, target, results).await,
                    Measure::Cadence => cadence::run(self, target, results).await,
                    Measure::Memory => memory::run(self, target, results).await,
                    Measure::Cancel => cancel::run(self, target, results).await,
                    Measure::ColdStart => cold_start::run(self, target, results).await,
                    Measure::Listing => listing::run(self, target, results).await,
                    Measure::Tools => tools::run(self, target, results).await,
                };
                let what = format!("{measure:?} of {}, round {round}", target.name());
                outcome.with_context(|| what.clone())?;
                eprintln!("{what}: done in {:.1?}", started.elapsed());
            }
        }
        Ok(())
    }

    /// Ends the simulator.
    pub(crate) async fn stop(self) {
        self.simulator.stop().await;
    }

    fn upstream(&self) -> SocketAddr {
        self.simulator.address()
    }

    /// Starts what is measured, without a call.
    async fn cold(&self, target: Target) -> Result<Child> {
        Child::target(target, self.upstream(), false, self.server_log.as_deref()).await
    }

    /// As [`Bench::warm`], with a tool.
    async fn warm_with_tool(&self, target: Target) -> Result<Child> {
        let log = self.server_log.as_deref();
        let child = Child::target(target, self.upstream(), true, log).await?;
        first_call(&child).await?;
        Ok(child)
    }

    /// Starts what is measured, and makes a call, so that no one-time work is measured.
    async fn warm(&self, target: Target) -> Result<Child> {
        let child = self.cold(target).await?;
        first_call(&child).await?;
        Ok(child)
    }
}

/// What a measurement is made of.
fn targets(measure: Measure) -> Vec<Target> {
    match measure {
        Measure::Speed
        | Measure::Cadence
        | Measure::Memory
        | Measure::ColdStart
        | Measure::Tools => Target::ALL.to_vec(),
        // The store has no part in it.
        Measure::Cancel => vec![Target::Relay, Target::Taiwa],
        // A relay keeps nothing.
        Measure::Listing => vec![Target::Taiwa, Target::Sqlite],
    }
}

fn rounds(measure: Measure, plan: &Plan) -> u32 {
    match measure {
        // To fill the store takes a minute.
        Measure::Listing => 1,
        Measure::Speed
        | Measure::Cadence
        | Measure::Memory
        | Measure::Cancel
        | Measure::ColdStart
        | Measure::Tools => plan.rounds,
    }
}

/// Makes a short call on a connection of its own.
async fn first_call(child: &Child) -> Result<()> {
    let mut clients = load::connect(child.address(), 1, None).await?;
    let mut events = load::call(&mut clients[0], Answer::Short, 0).await?;
    let mut pieces = 0;
    while load::next_piece(&mut events).await?.is_some() {
        pieces += 1;
    }
    load::expect_pieces(scenario::SHORT_PIECES, pieces)
}

/// The time since 1970, by the clock that all processes of the machine share.
fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
