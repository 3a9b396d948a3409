//! `taiwa-server`: the server as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    taiwa_server::program::run(std::env::args_os(), |_config| Ok(()))
}
