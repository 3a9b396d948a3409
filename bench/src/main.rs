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
    args::{Args, Options, Process},
    environment::Environment,
    measure::Bench,
    report::{
        Results,
        verdict::{self, Verdict},
    },
};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    match args.process {
        Some(Process::Child { role }) => {
            child::run(role).await?;
            Ok(ExitCode::SUCCESS)
        }
        None => run(&args.options).await,
    }
}

async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let plan = options.plan();
    let environment = Environment::look(&plan);
    let mut results = Results::default();
    let bench = Bench::start(plan, options.server_log.as_deref()).await?;
    for measure in options.measures() {
        bench.run(measure, &mut results).await?;
    }
    bench.stop().await;

    let mut out = io::stdout().lock();
    writeln!(out, "# {environment}")?;
    results.write_csv(&mut out)?;
    out.flush()?;
    let verdicts = results.verdicts();
    let mut err = io::stderr().lock();
    writeln!(err, "\n{environment}\n")?;
    results.write_table(&mut err)?;
    verdict::write(&verdicts, &mut err)?;
    let fails = options.gate && verdicts.iter().any(Verdict::fails);
    Ok(if fails {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
