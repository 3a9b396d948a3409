//! What the programs have in common beside their work: completions for shells, man pages, and how
//! they tell an error.
//!
//! A program flattens [`Packaging`] into its subcommands, reads its command line by [`parse`], and
//! tells its [`ExitCodes`] once, for `--help` and for its page.

mod chain;
mod completions;
mod exit_codes;
mod man;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{ArgMatches, Parser, builder::Resettable};
pub use clap_complete::Shell;

pub use chain::chain;
pub use exit_codes::ExitCodes;

/// What whoever installs a program asks it for.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum Packaging {
    /// Print completions for a shell, to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages, one for each command
    Man {
        /// Folder to write into, made if need be; pages that are there are replaced
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// Why a program could not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard output does not take it.
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
    /// The folder or a page in it cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The folder, or the page.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Packaging {
    /// Does what was asked, for a program with this command line and these exit codes.
    ///
    /// A standard output whose reader has had enough is no failure.
    ///
    /// # Errors
    ///
    /// When standard output, the folder or a page cannot be written; pages that were written stay.
    pub fn run(self, program: clap::Command, exit_codes: ExitCodes) -> Result<(), Error> {
        match self {
            Self::Completions { shell } => print(&completions::script(program, shell)),
            Self::Man { folder } => {
                let failed = |path| |source| Error::Write { path, source };
                fs::create_dir_all(&folder).map_err(failed(folder.clone()))?;
                for page in man::pages(program, exit_codes) {
                    let path = folder.join(page.file_name);
                    fs::write(&path, page.text).map_err(failed(path))?;
                }
                Ok(())
            }
        }
    }
}

/// Reads a command line with the variables that stand for its options.
///
/// A variable that is empty counts as unset: compose files and unit files set one so where nobody
/// gave a value. A flag's value may be empty only where its own parser takes that.
///
/// # Errors
///
/// When the command line cannot be understood, or asks for help or the version.
pub fn parse_options<P: Parser>(arguments: &[OsString]) -> Result<P, clap::Error> {
    Ok(read(without_empty(P::command()), arguments)?.0)
}

/// Reads a command line as [`parse_options`] does, save where the command `stands_apart` from the
/// variables: then they are not looked at, so that none of them can be wrong.
///
/// # Errors
///
/// As those of [`parse_options`].
pub fn parse<P: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    stands_apart: impl FnOnce(&P) -> bool,
) -> Result<P, clap::Error> {
    Ok(parse_with_sources(arguments, stands_apart)?.0)
}

/// Reads a command line as [`parse`] does, and tells where each value came from.
///
/// # Errors
///
/// As those of [`parse`].
pub fn parse_with_sources<P: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    stands_apart: impl FnOnce(&P) -> bool,
) -> Result<(P, ArgMatches), clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let command = without_empty(P::command());
    let apart = command
        .clone()
        .mut_args(|argument| argument.env(Resettable::Reset));
    match read(apart, &arguments) {
        Ok((parsed, matches)) if stands_apart(&parsed) => Ok((parsed, matches)),
        // What is wrong is told by the command line as it is, whose help names the variables.
        Ok(_) | Err(_) => read(command, &arguments),
    }
}

fn read<P: Parser>(
    mut command: clap::Command,
    arguments: &[OsString],
) -> Result<(P, ArgMatches), clap::Error> {
    let matches = command.try_get_matches_from_mut(arguments)?;
    let parsed = P::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((parsed, matches))
}

/// Takes the variables that are empty away from their flags.
fn without_empty(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(env::var_os);
        if value.is_some_and(|value| value.is_empty()) {
            argument.env(Resettable::Reset)
        } else {
            argument
        }
    });
    command.mut_subcommands(without_empty)
}

fn print(text: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(Error::Print),
    }
}

#[cfg(test)]
mod tests;
