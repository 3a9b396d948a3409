//! Measures Taiwa beside a bare relay, over the same simulator, in turn in the same run.

mod args;
mod child;
mod environment;
mod journal;
mod load;
mod measure;
mod process;
mod report;
mod scenario;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use self::{
    args::{Args, Command},
    environment::Environment,
    measure::Bench,
    report::Results,
};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::Child { role } => {
            child::run(role).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(options) => {
            let plan = options.plan();
            let environment = Environment::look(&plan);
            let mut results = Results::default();
            let bench = Bench::start(plan, options.server_log.as_deref()).await?;
            for measure in options.measures() {
                bench.run(measure, &mut results).await?;
            }
            bench.stop().await;
            let verdicts = results.verdicts();
            let mut out = io::stdout().lock();
            writeln!(out, "# {environment}")?;
            results.write_csv(&mut out)?;
            out.flush()?;
            let mut err = io::stderr().lock();
            writeln!(err, "\n{environment}\n")?;
            results.write_table(&mut err)?;
            report::verdict::write(&verdicts, &mut err)?;
            let fails = verdicts.iter().any(report::verdict::Verdict::fails);
            Ok(if options.gate && fails {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            })
        }
    }
}
