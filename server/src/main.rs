//! `taiwa-server`: the server as a program.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context;
use taiwa_server::{
    app,
    config::{self, Config},
    grpc::health::Check,
    program::{self, EXIT_CODES, INTERRUPTED, Task, USAGE},
    shutdown::Signals,
    telemetry,
};

fn main() -> ExitCode {
    let done = match Task::read(std::env::args_os()) {
        Ok(Task::Serve(config)) => serve(*config),
        Ok(Task::CheckHealth(check)) => check_health(check),
        Ok(Task::Packaging(packaging)) => packaging
            .run(program::command(), EXIT_CODES)
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Err(config::Error::Arguments(error)) => return program::tell(&error),
        Err(error) => {
            eprintln!("error: {}", taiwa_cli::chain(&error));
            return USAGE.into();
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {}", taiwa_cli::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn serve(config: Config) -> anyhow::Result<ExitCode> {
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

fn check_health(check: Check) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asked = runtime.block_on(check.ask());
    // A name that is still looked up is not waited for.
    runtime.shutdown_background();
    asked?;
    // Where nobody reads it, the exit code says it too.
    let _ = writeln!(std::io::stdout(), "SERVING");
    Ok(ExitCode::SUCCESS)
}
