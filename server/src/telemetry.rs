//! What the process says about itself, on standard error.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    panic,
    str::FromStr,
};

use tracing_subscriber::{
    EnvFilter, filter::ParseError, fmt as subscriber, util::SubscriberInitExt,
};

use crate::config::LogFormat;

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its form.
    pub format: LogFormat,
    /// Its extent.
    pub filter: Filter,
}

/// Which events are logged: a level, or levels by target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        EnvFilter::try_new(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("the filter of the log is wrong")]
    Filter(#[from] ParseError),
    /// The process logs already.
    #[error("the process logs already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// What is logged, with what is left out unless it is asked for by name.
///
/// The MCP library logs what servers send at level `info`: the results of tools among it.
/// The SDK warns of each failing source of credentials, with all that it holds, before the call
/// that needs them says the same.
fn directives(filter: &str) -> String {
    let mut all = filter.to_owned();
    for (target, level) in [("rmcp", "warn"), ("aws_config", "error")] {
        if !filter.contains(target) {
            all.push_str(&format!(",{target}={level}"));
        }
    }
    all
}

/// Sends what the process logs to standard error, and panics to the log.
///
/// # Errors
///
/// When the process logs already.
pub fn install(config: &Config) -> Result<(), Error> {
    let logger = subscriber()
        .with_env_filter(EnvFilter::try_new(directives(&config.filter.0))?)
        // A file or a collector has no use for colours.
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // Told on standard error too, and by a panic where that cannot be written: a log that is
        // full or closed is no reason to end.
        .log_internal_errors(false);
    match config.format {
        LogFormat::Text => logger.finish().try_init()?,
        LogFormat::Json => logger.json().flatten_event(true).finish().try_init()?,
    }
    panic::set_hook(Box::new(|panic| {
        // A message that was put together may hold what was being worked on, such as a prompt.
        let said = panic
            .payload()
            .downcast_ref::<&'static str>()
            .copied()
            .unwrap_or("");
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, said, "panic");
    }));
    Ok(())
}
