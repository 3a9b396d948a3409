//! The command line, and the plan that is made of it.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};

/// Measures Taiwa beside a bare relay, over the same simulator.
///
/// CSV goes to standard output; progress, a table and the verdicts go to standard error.
#[derive(Debug, Parser)]
#[command(name = "taiwa-bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) process: Option<Process>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Process {
    /// One of the processes that are measured, or that the measured ones talk to.
    #[command(hide = true)]
    Child {
        #[command(subcommand)]
        role: Role,
    },
}

/// What a child process is.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// The simulator.
    Simulator {
        /// Its scenario file, as text.
        #[arg(long)]
        scenario: String,
    },
    /// The bare relay.
    Relay {
        /// The simulator's address.
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// Taiwa's server.
    Taiwa {
        /// The simulator's address.
        #[arg(long)]
        upstream: SocketAddr,
        /// Where sessions are kept, as the server's own option says it.
        #[arg(long)]
        store: String,
        /// Give the agent a tool.
        #[arg(long)]
        tool: bool,
    },
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Measure {
    /// Events per second and core, with the model at full speed.
    Speed,
    /// Delay of the first text and of each further piece, at a real cadence.
    Cadence,
    /// Memory of idle Converse streams.
    Memory,
    /// Time from a caller's cancel until the model call is closed.
    Cancel,
    /// Time from the start of the process to the end of its first call.
    ColdStart,
    /// Time of a page of sessions and of messages.
    Listing,
    /// Time that a tool's round trip takes beside the tool and the model.
    Tools,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to measure. Default: everything.
    #[arg(value_enum)]
    only: Vec<Measure>,
    /// A look at everything in under a minute; its figures are rough.
    #[arg(long)]
    quick: bool,
    /// End with exit code 1 when a figure misses its gate.
    #[arg(long)]
    pub(crate) gate: bool,
    /// Times that everything is measured, relay and Taiwa in turn. Default 3; quick 1.
    #[arg(long)]
    rounds: Option<NonZeroU32>,
    /// speed: calls in flight. Default 64; quick 16.
    #[arg(long)]
    calls: Option<NonZeroUsize>,
    /// speed: connections that carry them. Default 4; quick 2.
    #[arg(long)]
    connections: Option<NonZeroUsize>,
    /// speed: pieces in a long answer. Default 1,000.
    #[arg(long)]
    pieces: Option<NonZeroU32>,
    /// speed and cadence: time measured, such as "5s". Default 4 s and 8 s; quick 2 s each.
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// cadence: calls offered a second. Default 100; quick 20.
    #[arg(long)]
    rate: Option<NonZeroU32>,
    /// cadence: time between pieces, such as "48ms".
    #[arg(long, value_parser = humantime::parse_duration, default_value = "48ms")]
    piece_delay: Duration,
    /// cadence: time from the request to the first piece.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "250ms")]
    first_delay: Duration,
    /// memory: idle Converse streams. Default 10,000; quick 1,000.
    #[arg(long)]
    idle_streams: Option<NonZeroUsize>,
    /// memory: connections that carry them.
    #[arg(long, default_value = "20")]
    idle_connections: NonZeroUsize,
    /// cancel: calls cancelled in each way and round. Default 200; quick 60.
    #[arg(long)]
    cancels: Option<NonZeroUsize>,
    /// cold-start: starts in each round. Default 5; quick 3.
    #[arg(long)]
    starts: Option<NonZeroUsize>,
    /// listing: sessions, once. Default 1,000; quick 100.
    #[arg(long)]
    listed_sessions: Option<NonZeroUsize>,
    /// listing: turns of each session. Default 100; quick 10.
    #[arg(long)]
    listed_turns: Option<NonZeroUsize>,
    /// File that takes what Taiwa logs; without it the lines are made and thrown away.
    #[arg(long, value_name = "FILE")]
    pub(crate) server_log: Option<PathBuf>,
}

/// How much of everything is done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) calls: usize,
    pub(crate) connections: usize,
    pub(crate) pieces: u32,
    pub(crate) speed_time: Duration,
    pub(crate) cadence_time: Duration,
    pub(crate) rate: u32,
    pub(crate) piece_delay: Duration,
    pub(crate) first_delay: Duration,
    pub(crate) idle_streams: usize,
    pub(crate) idle_connections: usize,
    pub(crate) cancels: usize,
    pub(crate) starts: usize,
    pub(crate) listed_sessions: usize,
    pub(crate) listed_turns: usize,
}

impl Options {
    /// Fills in what was left to the defaults.
    pub(crate) fn plan(&self) -> Plan {
        let either = |full, quick| if self.quick { quick } else { full };
        let seconds = |full, quick| {
            self.time
                .unwrap_or(Duration::from_secs(either(full, quick)))
        };
        let count = |given: Option<NonZeroUsize>, full, quick| {
            given.map_or(if self.quick { quick } else { full }, NonZeroUsize::get)
        };
        let number = |given: Option<NonZeroU32>, full, quick| {
            given.map_or(if self.quick { quick } else { full }, NonZeroU32::get)
        };
        Plan {
            rounds: number(self.rounds, 3, 1),
            calls: count(self.calls, 64, 16),
            connections: count(self.connections, 4, 2),
            pieces: number(self.pieces, 1000, 1000),
            speed_time: seconds(4, 2),
            cadence_time: seconds(8, 2),
            rate: number(self.rate, 100, 20),
            piece_delay: self.piece_delay,
            first_delay: self.first_delay,
            idle_streams: count(self.idle_streams, 10_000, 1_000),
            idle_connections: self.idle_connections.get(),
            cancels: count(self.cancels, 200, 60),
            starts: count(self.starts, 5, 3),
            listed_sessions: count(self.listed_sessions, 1_000, 100),
            listed_turns: count(self.listed_turns, 100, 10),
        }
    }

    /// What to measure, in the order of the enum.
    pub(crate) fn measures(&self) -> BTreeSet<Measure> {
        let all = || Measure::value_variants().to_vec();
        let wanted = Some(self.only.clone()).filter(|only| !only.is_empty());
        wanted.unwrap_or_else(all).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        let arguments = ["taiwa-bench"].iter().chain(arguments);
        Args::try_parse_from(arguments).unwrap().options
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_is_given_wins_over_quick_and_quick_over_the_default() {
        let plan = options(&["--quick", "--calls", "7", "--time", "1s"]).plan();
        assert_eq!((plan.rounds, plan.calls, plan.rate), (1, 7, 20));
        assert_eq!(plan.cadence_time, Duration::from_secs(1));
        assert_eq!(options(&[]).plan().idle_streams, 10_000);
    }

    #[test]
    fn a_child_is_no_run() {
        let arguments = ["taiwa-bench", "child", "relay", "--upstream", "127.0.0.1:1"];
        let Some(Process::Child { role }) = Args::parse_from(arguments).process else {
            panic!("not a child");
        };
        assert!(matches!(role, Role::Relay { .. }), "{role:?}");
        assert!(Args::try_parse_from(["taiwa-bench", "--quick", "child", "relay"]).is_err());
    }

    #[test]
    fn everything_is_measured_unless_some_is_named() {
        assert_eq!(options(&[]).measures().len(), 7);
        let some = options(&["memory", "speed"]).measures();
        assert!(some.into_iter().eq([Measure::Speed, Measure::Memory]));
    }
}
