//! The program `taiwa-server`: it serves, or does a short task beside a server that runs.
//!
//! Another program is the same with tools of its own: see [`run`].

use std::{
    error,
    ffi::OsString,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
};

use anyhow::Context as _;

use clap::{CommandFactory as _, Parser};
use http::uri::Authority;
use taiwa_cli::{ExitCodes, Packaging};

use crate::{
    app,
    config::{Args, Config, DEFAULT_LISTEN, Error, Span},
    grpc::health::Check,
    shutdown::Signals,
    telemetry,
};

/// What shells and service managers know as wrong usage: `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// What shells tell of a program that an interrupt ended: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// The codes with which the program ends.
const EXIT_CODES: ExitCodes = ExitCodes(&[
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
enum Task {
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
    /// Reads the arguments of the program, and what they and the environment name. A command looks
    /// at no variables but its own.
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
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

/// Does what the arguments ask for, from the start of a process to its end; gives the code to end
/// with.
///
/// `adjust` may change what the arguments, the environment and the files say, before anything is
/// started: a program of one's own adds its tools so, by [`Config::add_tool`]. What it fails with is
/// told as what is wrong with a file is. It is not called where nothing is to be served.
///
/// To be called before any thread is started, as [`Config::load`].
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    adjust: impl FnOnce(&mut Config) -> Result<(), Box<dyn error::Error + Send + Sync>>,
) -> ExitCode {
    let done = match Task::read(arguments) {
        Ok(Task::Serve(mut config)) => match adjust(&mut config) {
            Ok(()) => serve(*config),
            Err(error) => return wrong_usage(error.as_ref()),
        },
        Ok(Task::CheckHealth(check)) => check_health(check),
        Ok(Task::Packaging(packaging)) => packaging
            .run(Program::command(), EXIT_CODES)
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Err(Error::Arguments(error)) => return tell(&error),
        Err(error) => return wrong_usage(&error),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {}", taiwa_cli::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn serve(config: Config) -> anyhow::Result<ExitCode> {
    telemetry::install(&config.telemetry)?;
    config.log();
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let code = runtime.block_on(async {
        let signals = Signals::listen().context("cannot listen to signals")?;
        tokio::select! {
            result = app::run(config, signals.clone()) => result.map(|()| ExitCode::SUCCESS).map_err(Into::into),
            () = signals.second() => anyhow::Ok(INTERRUPTED.into()),
        }
    });
    // What still runs after a second signal is not waited for.
    runtime.shutdown_background();
    code
}

fn check_health(check: Check) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asked = runtime.block_on(check.ask());
    // A name that is still looked up is not waited for.
    runtime.shutdown_background();
    asked?;
    // Where nobody reads it, the exit code says it too.
    let _ = writeln!(std::io::stdout(), "SERVING");
    Ok(ExitCode::SUCCESS)
}

fn wrong_usage(error: &(dyn error::Error + 'static)) -> ExitCode {
    eprintln!("error: {}", taiwa_cli::chain(error));
    USAGE.into()
}

/// Tells what is wrong with a command line, or the help or version that it asks for.
fn tell(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that standard error is closed.
    let _ = error.print();
    if error.use_stderr() {
        USAGE.into()
    } else {
        ExitCode::SUCCESS
    }
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
