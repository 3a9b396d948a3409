//! The command line of `taiwa-server`: it serves, or does a short task beside a server that runs.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser};
use http::uri::Authority;
use taiwa_cli::{ExitCodes, Packaging};

use crate::{
    config::{Args, Config, DEFAULT_LISTEN, Error, Span},
    grpc::health::Check,
};

/// What shells and service managers know as wrong usage: `EX_USAGE` of sysexits.h.
pub const USAGE: u8 = 64;

/// What shells tell of a program that an interrupt ended: 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The codes with which the program ends.
pub const EXIT_CODES: ExitCodes = ExitCodes(&[
    (
        0,
        "stopped in order after SIGTERM or SIGINT; health: it serves",
    ),
    (
        1,
        "could not start, such as on an address in use; health: it does not serve",
    ),
    (USAGE, "an option, a variable or a file is wrong"),
    (INTERRUPTED, "a second signal ended it at once"),
]);

/// What the program is asked to do.
#[derive(Debug)]
pub enum Task {
    /// To serve until it is told to stop.
    Serve(Box<Config>),
    /// To ask another process how it is.
    CheckHealth(Check),
    /// To print completions or write man pages.
    Packaging(Packaging),
}

// What it is about is told by `Args`.
#[derive(Debug, Parser)]
#[command(
    name = "taiwa-server",
    version,
    args_conflicts_with_subcommands = true,
    after_help = EXIT_CODES.help(),
)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Ask a running server whether it serves: prints SERVING, or ends with 1 and says why not
    ///
    /// Reads neither the agents file nor that of --env-file, and no variable but TAIWA_LISTEN.
    Health(Health),
    #[command(flatten)]
    Packaging(Packaging),
}

#[derive(Debug, clap::Args)]
struct Health {
    /// Server to ask; unset means the one that listens at --listen.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    address: Option<Authority>,

    /// Where the server was told to listen; an address that stands for all, as 0.0.0.0 does, means this machine's own.
    #[arg(long, env = "TAIWA_LISTEN", value_name = "ADDRESS", default_value_t = DEFAULT_LISTEN)]
    listen: SocketAddr,

    /// How long it may take to answer.
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    timeout: Span,
}

impl Task {
    /// Reads the arguments of the program, and what they and the environment name.
    ///
    /// To be called before any thread is started, as [`Config::load`], which reads the options of a
    /// server. A command looks at no variables but its own.
    ///
    /// # Errors
    ///
    /// Whatever is wrong is named by its option, or its place in a file.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let program: Program =
            taiwa_cli::parse(arguments.clone(), |it: &Program| it.command.is_some())?;
        match program.command {
            None => Ok(Self::Serve(Box::new(Config::load(arguments)?))),
            Some(Command::Health(health)) => health.check().map(Self::CheckHealth),
            Some(Command::Packaging(packaging)) => Ok(Self::Packaging(packaging)),
        }
    }
}

/// Tells what is wrong with a command line, or the help or version that it asks for; gives the code
/// to end with.
pub fn tell(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that standard error is closed.
    let _ = error.print();
    if error.use_stderr() {
        USAGE.into()
    } else {
        ExitCode::SUCCESS
    }
}

/// The program's command line, with all its commands.
pub fn command() -> clap::Command {
    Program::command()
}

impl Health {
    fn check(self) -> Result<Check, Error> {
        let address = match self.address {
            Some(address) => address,
            None => local(self.listen)?,
        };
        Ok(Check {
            address,
            timeout: self.timeout.duration(),
        })
    }
}

/// Where this machine reaches a server that listens there.
fn local(listen: SocketAddr) -> Result<Authority, Error> {
    let host = match listen.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    // Nobody but the server knows which port it took.
    address(&SocketAddr::new(host, listen.port()).to_string()).map_err(|_| Error::Needs {
        option: "--listen with port 0",
        other: "--address",
    })
}

fn address(text: &str) -> Result<Authority, &'static str> {
    text.parse()
        .ok()
        .filter(|address: &Authority| address.port_u16().is_some_and(|port| port > 0))
        .filter(|address| !address.host().is_empty() && !address.as_str().contains('@'))
        .ok_or("not a host and a port, such as 127.0.0.1:50051")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_where_this_machine_reaches_it() {
        for (listen, asked) in [
            ("127.0.0.1:50051", "127.0.0.1:50051"),
            ("0.0.0.0:7", "127.0.0.1:7"),
            ("[::]:7", "[::1]:7"),
            ("[::ffff:0.0.0.0]:7", "127.0.0.1:7"),
            ("192.0.2.1:7", "192.0.2.1:7"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
        ] {
            assert_eq!(local(listen.parse().unwrap()).unwrap(), asked);
        }
        let error = local("0.0.0.0:0".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "--listen with port 0 needs --address");
    }

    #[test]
    fn the_document_has_the_time_for_an_answer_as_it_is() {
        let arguments = ["taiwa-server", "health", "--address=a:1"].map(OsString::from);
        let Ok(Task::CheckHealth(check)) = Task::read(arguments) else {
            panic!("asks for health");
        };
        let told = format!("within `--timeout` ({} s)", check.timeout.as_secs());
        assert!(include_str!("../../docs/configuration.md").contains(&told));
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["localhost:1", "[::1]:65535", "taiwa.internal:443"] {
            assert_eq!(address(good).unwrap(), good);
        }
        for bad in [
            "",
            "localhost",
            "localhost:",
            ":1",
            "localhost:0",
            "localhost:65536",
            "a@b:1",
            "http://a:1",
            "::1:1",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
