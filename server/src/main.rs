//! `taiwa-server`: the server as a program.

use std::process::ExitCode;

use anyhow::Context;
use taiwa_server::{
    app,
    config::{self, Config},
    shutdown::Signals,
    telemetry,
};

/// What shells and service managers know as wrong usage: `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// What shells tell of a program that an interrupt ended: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let config = match Config::load(std::env::args_os()) {
        Ok(config) => config,
        Err(config::Error::Arguments(error)) => {
            // Nobody is left to be told that standard error is closed.
            let _ = error.print();
            return if error.use_stderr() {
                USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
        Err(error) => {
            eprintln!("error: {:#}", anyhow::Error::from(error));
            return USAGE.into();
        }
    };
    match run(config) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<ExitCode> {
    telemetry::install(&config.telemetry)?;
    config.log();
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let code = runtime.block_on(async {
        let signals = Signals::listen().context("cannot listen to signals")?;
        tokio::select! {
            result = app::run(config, signals.clone()) => result.map(|()| ExitCode::SUCCESS).map_err(Into::into),
            () = signals.second() => anyhow::Ok(INTERRUPTED.into()),
        }
    });
    // What still runs after a second signal is not waited for.
    runtime.shutdown_background();
    code
}
