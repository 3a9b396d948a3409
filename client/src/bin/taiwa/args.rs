//! Flags and variables, each defined once.

mod tools;

use std::{path::PathBuf, time::Duration};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, builder::Resettable,
};
use taiwa_client::pb;

pub(crate) use tools::{Answers, Approval};

const EXIT_CODES: &str = "\
Exit codes:
  0    the answer is complete, or as long as its token limit lets it be
  1    something else failed; standard error says what
  2    the command line cannot be understood
  3    the server refused the request
  4    no server was reached, or it cannot take calls at present
  5    throttled, or a limit or quota is used up; what was printed is a part of
       the answer
  6    the deadline passed
  7    the answer broke off; what was printed is a part of it
  130  interrupted
  143  told to stop, while scripts were at hand for the model

Standard output carries the answer alone; all else goes to standard error.";

/// Talks to agents on a Taiwa server.
///
/// Without a server at hand, `--offline` starts one for the command that needs no account.
#[derive(Debug, Parser)]
#[command(name = "taiwa", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) display: Display,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Reads the arguments and the environment; what cannot be understood ends the program.
    ///
    /// A variable that is empty counts as unset: compose files set one so where nobody gave a
    /// value. A flag's value may not be empty.
    pub(crate) fn read() -> Self {
        let matches = without_empty(Self::command()).get_matches();
        Self::from_arg_matches(&matches)
            .unwrap_or_else(|error| error.format(&mut Self::command()).exit())
    }
}

/// Takes the variables that are empty away from their flags.
fn without_empty(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) {
            arg.env(Resettable::Reset)
        } else {
            arg
        }
    });
    command.mut_subcommands(without_empty)
}

/// How the server is reached.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Server {
    /// Address of the server, beginning with http:// or https://
    #[arg(
        long,
        global = true,
        env = "TAIWA_ENDPOINT",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    pub(crate) endpoint: String,
    /// Start a server for this command alone, behind which is a simulator: needs no account
    ///
    /// A command that names a session, or is about sessions, keeps them in the user's state
    /// directory, as taiwa-server does; of any other nothing stays.
    #[arg(long, global = true, conflicts_with_all = ["ca_file", "cert_file"])]
    pub(crate) offline: bool,
    /// What answers with --offline: a GGUF file, `default` for the language model that
    /// `bedrock-simulator model` brought, or `persona` for scripted words [default: that model
    /// where taiwa-server was built with local models, and else the persona]
    #[arg(long, global = true, env = "TAIWA_OFFLINE_MODEL", value_name = "MODEL")]
    pub(crate) offline_model: Option<String>,
    /// Certificate authority to trust instead of the machine's (PEM)
    #[arg(long, global = true, env = "TAIWA_CA_FILE", value_name = "PATH")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Certificate to show to the server (PEM)
    #[arg(
        long,
        global = true,
        env = "TAIWA_CERT_FILE",
        value_name = "PATH",
        requires = "key_file"
    )]
    pub(crate) cert_file: Option<PathBuf>,
    /// Key of that certificate (PEM)
    #[arg(
        long,
        global = true,
        env = "TAIWA_KEY_FILE",
        value_name = "PATH",
        requires = "cert_file"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// How long to go on trying when the connection is lost, such as 30s; 0s gives up at once
    #[arg(long, global = true, env = "TAIWA_RECONNECT_FOR", value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) reconnect_for: Duration,
}

/// How answers are shown.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Display")]
pub(crate) struct Display {
    /// Print protobuf's JSON, one object a line, for scripts
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Render Markdown in colours: by itself on a terminal, or as said here
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// No colours; any value does, as with other programs
    #[arg(long, global = true, env = "NO_COLOR", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    pub(crate) no_color: Option<String>,
    /// Show the model's reasoning too
    #[arg(long, global = true)]
    pub(crate) show_reasoning: bool,
    /// Show arguments and results of tool calls whole
    #[arg(long, global = true)]
    pub(crate) verbose: bool,
    /// Report tokens, time and cost after each answer, on standard error
    #[arg(long, global = true)]
    pub(crate) usage: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask, and print the answer when it is whole (Invoke)
    Invoke(Turn),
    /// Ask, and print the answer as it comes (InvokeStream)
    Stream(Turn),
    /// Talk back and forth; type while the answer streams (Converse)
    Chat(Chat),
    /// Ask the same whole, then streamed, and show both answers and their times
    ///
    /// The second may profit from what a provider, or a model on this machine, keeps of a prompt.
    Compare(Compare),
    /// List the agents of the server, or describe one
    Agents(Agents),
    /// List the tools of an agent
    Tools(Tools),
    /// List, show, delete or export the conversations that the server keeps
    Sessions(Sessions),
    /// Count the input tokens of a prompt without running it (CountTokens)
    Count(Asked),
}

impl Command {
    /// True for a command that another is to find the sessions of.
    pub(crate) fn keeps_sessions(&self) -> bool {
        match self {
            Self::Invoke(turn) | Self::Stream(turn) => turn.asked.settings.session.is_some(),
            Self::Chat(chat) => chat.settings.session.is_some(),
            Self::Compare(compare) => compare.asked.settings.session.is_some(),
            Self::Sessions(_) => true,
            Self::Agents(_) | Self::Tools(_) | Self::Count(_) => false,
        }
    }
}

/// A turn, and what the command does for it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Turn {
    #[command(flatten)]
    pub(crate) asked: Asked,
    #[command(flatten)]
    pub(crate) answers: Answers,
}

/// A prompt with its settings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Asked {
    /// The prompt; `-`, or nothing while something is piped in, reads standard input
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Attach an image, a document, audio or video; may be given several times
    #[arg(long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
}

/// Settings of a turn or of a conversation.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Turn")]
pub(crate) struct Settings {
    /// Agent to ask [default: the server's default agent]
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Session to continue, made on first use [default: a new one]
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Model, where the agent lets callers choose
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,
    /// System prompt, where the agent lets callers set it
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Most tokens to generate in one model call
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) max_tokens: Option<i32>,
    /// Randomness, 0 to 1
    #[arg(long, value_name = "X")]
    pub(crate) temperature: Option<f32>,
    /// Allow only this of the agent's own tools; may be given several times [default: all]
    #[arg(long = "allow-tool", value_name = "NAME")]
    pub(crate) allowed_tools: Vec<String>,
    /// When a person must consent to tool calls; the agent's own rule is never loosened
    #[arg(long, value_enum)]
    pub(crate) approval: Option<Approval>,
    /// Most US dollars for a turn, by the server's price table
    #[arg(long, value_name = "USD", value_parser = tools::dollars)]
    pub(crate) max_cost: Option<f64>,
    /// JSON Schema that the answer must fit, or a file that holds it
    #[arg(long, value_name = "FILE|JSON", value_parser = tools::output_schema)]
    pub(crate) output_schema: Option<String>,
    /// Longest time for the whole call, such as 30s or 2m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// What becomes of a prompt that is sent while an answer runs
    #[arg(long, value_enum, default_value_t = WhileBusy::Queue)]
    pub(crate) while_busy: WhileBusy,
    #[command(flatten)]
    pub(crate) answers: Answers,
}

/// What becomes of input while a turn runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhileBusy {
    /// It waits for the answer to end
    Queue,
    /// It ends the answer and is answered itself
    Interrupt,
    /// It joins the running turn before the next model call
    Steer,
    /// It is refused
    Reject,
    /// As interrupt, and the conversation forgets the interrupted turn
    Replace,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    pub(crate) asked: Asked,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Agents {
    #[command(subcommand)]
    pub(crate) command: Option<AgentsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List all agents
    List,
    /// Describe one agent
    Show {
        /// The agent's id
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tools {
    /// The agent's id [default: the server's default agent]
    pub(crate) agent: Option<String>,
    /// Print the JSON Schemas of their arguments too
    #[arg(long)]
    pub(crate) schema: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sessions {
    #[command(subcommand)]
    pub(crate) command: Option<SessionsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List them, newest first
    List(Listed),
    /// Describe one
    Show {
        /// The session's id
        id: String,
    },
    /// Forget them, with all that was said
    Delete {
        /// The sessions' ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Write all that was said in one
    Export(Export),
}

/// Which sessions are listed.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Listed {
    /// Only those of this agent
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Only those with this label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The session's id
    pub(crate) id: String,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
    /// Where to write it, instead of standard output; a file that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Protobuf's JSON: nothing is left out
    Json,
    /// For people: tools' doings folded, files only named
    Markdown,
}

impl WhileBusy {
    pub(crate) fn policy(self) -> pb::InputPolicy {
        match self {
            Self::Queue => pb::InputPolicy::Queue,
            Self::Interrupt => pb::InputPolicy::Interrupt,
            Self::Steer => pb::InputPolicy::Steer,
            Self::Reject => pb::InputPolicy::Reject,
            Self::Replace => pb::InputPolicy::Replace,
        }
    }
}

impl Settings {
    /// The settings as the contract has them.
    pub(crate) fn options(&self) -> pb::TurnOptions {
        pb::TurnOptions {
            model_id: self.model.clone().unwrap_or_default(),
            system: self.system.clone().unwrap_or_default(),
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            allowed_tools: self.allowed_tools.clone(),
            approval: self.approval.map_or(0, |approval| approval.mode().into()),
            max_cost_usd: self.max_cost.unwrap_or_default(),
            output: self.output_schema.clone().map(|schema| pb::OutputFormat {
                json_schema: Some(pb::output_format::JsonSchema::SchemaJson(schema)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }
}
