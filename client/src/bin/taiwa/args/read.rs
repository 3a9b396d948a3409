//! Reads the command line, and refuses what would have no effect.

use std::{env, ffi::OsString};

use clap::{
    CommandFactory as _,
    error::{Error, ErrorKind},
    parser::ValueSource,
};

use super::Args;

impl Args {
    /// Reads the program's arguments; ends the program where they make no sense.
    pub(crate) fn read() -> Self {
        Self::read_from(env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn read_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let stands_apart = |args: &Self| !args.command.asks_server();
        let (args, matches) = taiwa_cli::parse_with_sources(arguments, stands_apart)?;
        let mut command = Self::command();
        // A variable is set for all commands, and means nothing to those that it does not concern.
        let is_said = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        if args.server.offline && is_said("endpoint") {
            return Err(command.error(
                ErrorKind::ArgumentConflict,
                "'--endpoint' names a server, while '--offline' starts one",
            ));
        }
        if !args.server.offline && is_said("offline_model") {
            return Err(command.error(
                ErrorKind::MissingRequiredArgument,
                "'--offline-model' says what answers with '--offline', which is missing",
            ));
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, Error> {
        Args::read_from(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_flag_that_would_have_no_effect_is_refused_wherever_it_stands() {
        for (line, flag) in [
            ("taiwa --offline-model persona invoke hi", "--offline-model"),
            ("taiwa invoke --offline-model persona hi", "--offline-model"),
            (
                "taiwa --offline --endpoint http://a invoke hi",
                "--endpoint",
            ),
            (
                "taiwa invoke --offline --endpoint http://a hi",
                "--endpoint",
            ),
            (
                "taiwa --offline invoke --endpoint http://a hi",
                "--endpoint",
            ),
            (
                "taiwa --endpoint http://a agents show x --offline",
                "--endpoint",
            ),
        ] {
            let error = read(line).expect_err(line);

            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(flag), "{line}: {error}");
        }
    }

    #[test]
    fn a_flag_that_has_an_effect_is_read() {
        let offline = "taiwa --offline invoke hi --offline-model persona";
        let args = read(offline).unwrap();
        assert_eq!(args.server.offline_model.as_deref(), Some("persona"));

        let elsewhere = "taiwa invoke hi --endpoint http://a";
        let args = read(elsewhere).unwrap();
        assert_eq!(args.server.endpoint, "http://a");
    }
}
