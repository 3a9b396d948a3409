//! The `taiwa` command: talk to agents from a terminal or a script.

mod agents;
mod answer;
mod args;
mod chat;
mod compare;
mod connection;

mod count;
mod failure;
mod interrupt;
mod invoke;
mod json;
mod offline;
mod output;
mod render;
mod request;
mod screen;
mod sessions;
mod spinner;
mod stream;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::Runtime;

use args::{Args, Command};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(&args.display);
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(error).report(&output),
    };
    let outcome = runtime.block_on(run(args, &output));
    // A thread that waits for standard input would hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&output),
    }
}

async fn run(mut args: Args, output: &Output) -> Result<(), Failure> {
    let server = if args.server.offline {
        Some(offline::Server::start(args.command.keeps_sessions()).await?)
    } else {
        None
    };
    if let Some(server) = &server {
        output.remark("offline: a simulator answers, not a language model");
        args.server.endpoint.clone_from(&server.endpoint);
    }
    match args.command {
        Command::Invoke(asked) => invoke::run(&args.server, asked, output).await,
        Command::Stream(asked) => stream::run(&args.server, asked, output).await,
        Command::Chat(chat) => chat::run(&args.server, chat, output).await,
        Command::Compare(compare) => compare::run(&args.server, compare, output).await,
        Command::Agents(agents) => agents::run(&args.server, agents, output).await,
        Command::Sessions(sessions) => sessions::run(&args.server, sessions, output).await,
        Command::Count(asked) => count::run(&args.server, asked, output).await,
    }
}
