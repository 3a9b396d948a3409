//! Tools that the command itself runs, and consent to calls.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;
use taiwa_client::pb;

/// What the command answers by itself while a turn runs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Tools")]
pub(crate) struct Answers {
    /// Let the model call a script, as NAME=PROGRAM; may be given several times
    ///
    /// It is given the arguments as JSON on standard input, and what it writes to standard output
    /// is the result; an exit code other than 0 tells the model that it failed, with the end of
    /// what it wrote to standard error. The first line of comment in a script that is text is its
    /// description.
    #[arg(long = "tool", value_name = "NAME=PROGRAM", value_parser = named)]
    pub(crate) scripts: Vec<(String, PathBuf)>,
    /// Let the model call the scripts that a file describes; may be given several times
    ///
    /// A TOML file with a [[tools]] table for each: name, description, command (a program, or a
    /// list of it and its arguments), schema or schema_file, timeout, and approval ("always" or
    /// "never").
    #[arg(long = "tools", value_name = "FILE")]
    pub(crate) tool_files: Vec<PathBuf>,
    /// Consent to calls of these tools without asking; * and ? stand for any, may be given
    /// several times
    ///
    /// Where nobody can be asked, since standard input is no terminal, all other calls that need
    /// consent are refused.
    #[arg(long = "yes-to", value_name = "TOOL")]
    pub(crate) yes_to: Vec<String>,
    /// Editor for the arguments of a call, outside of a chat on a terminal
    #[arg(long, env = "EDITOR", value_name = "COMMAND")]
    pub(crate) editor: Option<String>,
}

/// When a person is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Approval {
    /// Before every call
    Always,
    /// Only where the agent's own rule says so
    Never,
}

impl Approval {
    pub(crate) fn mode(self) -> pb::ApprovalMode {
        match self {
            Self::Always => pb::ApprovalMode::Always,
            Self::Never => pb::ApprovalMode::Never,
        }
    }
}

/// The schema of an answer: JSON itself, or a file that holds it.
pub(super) fn output_schema(text: &str) -> Result<String, String> {
    // A schema that was written in a wrong way is no name of a file.
    let schema = if text.trim_start().starts_with(['{', '[', '"']) {
        text.to_owned()
    } else {
        std::fs::read_to_string(text).map_err(|error| format!("it cannot be read: {error}"))?
    };
    match serde_json::from_str(&schema) {
        Ok(serde_json::Value::Object(_)) => Ok(schema),
        Ok(_) => Err("a JSON Schema is an object".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

/// An amount of US dollars above zero.
pub(super) fn dollars(text: &str) -> Result<f64, &'static str> {
    match text.trim_start_matches('$').parse() {
        Ok(amount) if f64::is_finite(amount) && amount > 0.0 => Ok(amount),
        _ => Err("it must be a number above zero, such as 0.25"),
    }
}

fn named(text: &str) -> Result<(String, PathBuf), &'static str> {
    match text.split_once('=') {
        Some((name, program)) if !name.is_empty() && !program.is_empty() => {
            Ok((name.to_owned(), program.into()))
        }
        _ => Err("it must be NAME=PROGRAM"),
    }
}
