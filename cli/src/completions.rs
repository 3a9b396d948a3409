//! Scripts that let a shell complete a command line.

use clap_complete::Shell;

/// The script for a shell.
pub(crate) fn script(mut program: clap::Command, shell: Shell) -> Vec<u8> {
    let name = program.get_name().to_owned();
    // Printed later: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    script
}
