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
    ffi::OsString,
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Parser;
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

/// Reads a command line with the variables that stand for its options, save where the command
/// `stands_apart` from them: then they are not looked at, so that none of them can be wrong.
///
/// # Errors
///
/// When the command line cannot be understood, or asks for help or the version.
pub fn parse<P: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    stands_apart: impl FnOnce(&P) -> bool,
) -> Result<P, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let no_variable: Option<&'static str> = None;
    let mut without_variables = P::command().mut_args(|argument| argument.env(no_variable));
    let parsed = without_variables
        .try_get_matches_from_mut(&arguments)
        .and_then(|matches| P::from_arg_matches(&matches));
    match parsed {
        Ok(parsed) if stands_apart(&parsed) => Ok(parsed),
        // What is wrong is told by the command line as it is, whose help names the variables.
        Ok(_) | Err(_) => P::try_parse_from(arguments),
    }
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
