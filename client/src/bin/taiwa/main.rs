//! The `taiwa` command: talk to agents from a terminal or a script.

mod agents;
mod answer;
mod args;
mod calls;
mod chat;
mod compare;
mod connection;
mod consent;
mod count;
mod failure;
mod interrupt;
mod invoke;
mod json;
mod offline;
mod output;
mod render;
mod request;
mod rounds;
mod screen;
mod scripts;
mod sessions;
mod spinner;
mod stream;
mod tools;

use std::process::ExitCode;

use tokio::runtime::Runtime;

use args::{Args, Command};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let args = Args::read();
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
        let model = args.server.offline_model.as_deref();
        Some(offline::Server::start(args.command.keeps_sessions(), model).await?)
    } else {
        None
    };
    if let Some(server) = &server {
        args.server.endpoint.clone_from(&server.endpoint);
        output.remark(offline::remark(&args.server).await?);
    }
    match args.command {
        Command::Invoke(turn) => invoke::run(&args.server, turn, output).await,
        Command::Stream(turn) => stream::run(&args.server, turn, output).await,
        Command::Chat(chat) => chat::run(&args.server, chat, output).await,
        Command::Compare(compare) => compare::run(&args.server, compare, output).await,
        Command::Agents(agents) => agents::run(&args.server, agents, output).await,
        Command::Tools(tools) => tools::run(&args.server, tools, output).await,
        Command::Sessions(sessions) => sessions::run(&args.server, sessions, output).await,
        Command::Count(asked) => count::run(&args.server, asked, output).await,
    }
}
