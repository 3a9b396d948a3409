//! `bedrock-simulator`: the simulator as a program.

#[cfg_attr(not(feature = "local-model"), path = "program/no_model.rs")]
#[cfg_attr(feature = "local-model", path = "program/model.rs")]
mod model;

use std::{
    io::Write,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, builder::Resettable,
};
use taiwa_simulator::{Config, Entry, Journal, Pace, Script, Simulator};
use tracing_subscriber::EnvFilter;

/// Speaks Amazon Bedrock Runtime over HTTP, with no account and no model behind it.
#[derive(Debug, Parser)]
#[command(
    name = "bedrock-simulator",
    version,
    args_conflicts_with_subcommands = true
)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Address and port to listen on; port 0 takes a free one.
    #[arg(
        long,
        env = "BEDROCK_SIMULATOR_LISTEN",
        default_value = "127.0.0.1:8991"
    )]
    listen: SocketAddr,

    /// TOML file that says which request gets which answer; without it the persona answers.
    #[arg(long, env = "BEDROCK_SIMULATOR_SCENARIO", value_name = "FILE")]
    scenario: Option<PathBuf>,

    /// Cadence of answers whose scenario does not say.
    #[arg(long, env = "BEDROCK_SIMULATOR_SPEED", value_enum, default_value_t = Speed::Real)]
    speed: Speed,

    /// Print one line for each request that ended.
    #[arg(long, env = "BEDROCK_SIMULATOR_PRINT")]
    print: bool,

    /// Let the language model that `model fetch` brought answer, to the model id that is printed.
    #[arg(
        long,
        env = "BEDROCK_SIMULATOR_LOCAL_MODEL",
        conflicts_with = "model_file"
    )]
    local_model: bool,

    /// Let the language model of this GGUF file answer, to the model id that is printed.
    #[arg(long, env = "BEDROCK_SIMULATOR_MODEL_FILE", value_name = "FILE")]
    model_file: Option<PathBuf>,

    /// Tokens that a prompt and its answer may have together with a local model.
    #[arg(
        long,
        env = "BEDROCK_SIMULATOR_MODEL_CONTEXT",
        value_name = "TOKENS",
        default_value = "4096"
    )]
    model_context: NonZeroU32,

    /// Threads that a local model computes with; unset means one fewer than cores.
    #[arg(long, env = "BEDROCK_SIMULATOR_MODEL_THREADS", value_name = "COUNT")]
    model_threads: Option<NonZeroUsize>,
}

impl Args {
    /// Reads the arguments and the environment; what cannot be understood ends the program.
    ///
    /// A variable that is empty counts as unset: compose files set one so where nobody gave a
    /// value. A flag's value may not be empty.
    fn read() -> Self {
        let command = Self::command().mut_args(|arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            if value.is_some_and(|value| value.is_empty()) {
                arg.env(Resettable::Reset)
            } else {
                arg
            }
        });
        Self::from_arg_matches(&command.get_matches())
            .unwrap_or_else(|error| error.format(&mut Self::command()).exit())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings and lists language models that run on this machine.
    #[command(subcommand)]
    Model(ModelCommand),
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Downloads a small model (491 MB, Apache-2.0) once; run again, it goes on where it broke off.
    Fetch {
        /// Address of the file; without it Hugging Face, or the mirror of HF_ENDPOINT.
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
    /// Takes a model file that was brought by other means, after checking its bytes.
    Import {
        /// The file.
        file: PathBuf,
    },
    /// Lists the models that are there.
    List,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Speed {
    /// First token after 250 ms, then about 45 tokens a second.
    Real,
    /// No delays.
    Max,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bedrock-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let args = Args::read();
    if let Some(Command::Model(command)) = args.command {
        return model::run(command).await;
    }

    let script = match &args.scenario {
        None => Script::persona(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Script::from_toml(&text).with_context(|| format!("in {}", path.display()))?
        }
    };
    let pace = match args.speed {
        Speed::Real => Pace::real(),
        Speed::Max => Pace::default(),
    };
    let model = if args.local_model || args.model_file.is_some() {
        Some(model::load(args.model_file, args.model_context, args.model_threads).await?)
    } else {
        None
    };
    let model_id = model.as_ref().map(|model| model.id().to_owned());
    let simulator = Simulator::start(Config {
        listen: args.listen,
        script,
        pace,
        model,
        ..Config::default()
    })
    .await?;

    // Programs read the endpoint from the first line, so it is written at once.
    let mut out = std::io::stdout();
    writeln!(out, "{}", simulator.endpoint())?;
    writeln!(out, "{}", how_to_use(&simulator.endpoint()))?;
    if let Some(id) = model_id {
        writeln!(
            out,
            "Local model: {id}, or local.default. It is small, and it makes mistakes."
        )?;
    }
    out.flush()?;

    let journal = simulator.journal().clone();
    tokio::select! {
        result = print_ended(&journal), if args.print => result?,
        result = tokio::signal::ctrl_c() => result?,
        () = terminated() => {}
    }
    simulator.shutdown().await;
    Ok(())
}

fn how_to_use(endpoint: &str) -> String {
    format!(
        "Point any AWS SDK here; keys are needed but can be anything:\n  \
         export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={endpoint}\n  \
         export AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=simulator AWS_SECRET_ACCESS_KEY=simulator\n\
         Model: simulator.persona-v1:0, or any id that looks like one of Bedrock's."
    )
}

async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // Without the handler the system's own action, which ends the process, stays.
        Err(_) => std::future::pending().await,
    }
}

async fn print_ended(journal: &Journal) -> anyhow::Result<()> {
    let mut revision = 0;
    loop {
        for entry in journal
            .changed_after(revision, Duration::from_secs(3600))
            .await
        {
            revision = entry.revision;
            if entry.has_ended() {
                writeln!(std::io::stdout(), "{}", line(&entry))?;
            }
        }
    }
}

fn line(entry: &Entry) -> String {
    let took = entry.ended_at.map_or(Duration::ZERO, |ended| {
        ended
            .instant
            .saturating_duration_since(entry.received_at.instant)
    });
    format!(
        "#{} {:?} {} {} {:?} {} chunks {} bytes {} ms",
        entry.number,
        entry.operation,
        entry.model_id,
        entry
            .status
            .map_or_else(|| "-".to_owned(), |status| status.to_string()),
        entry.outcome,
        entry.chunks_sent,
        entry.bytes_sent,
        took.as_millis(),
    )
}
