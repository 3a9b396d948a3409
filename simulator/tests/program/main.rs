//! The program: what it takes from its surroundings.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

#[test]
fn a_variable_that_is_empty_counts_as_unset() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-simulator"));
    for name in [
        "BEDROCK_SIMULATOR_LISTEN",
        "BEDROCK_SIMULATOR_SCENARIO",
        "BEDROCK_SIMULATOR_SPEED",
        "BEDROCK_SIMULATOR_MODEL_FILE",
        "BEDROCK_SIMULATOR_MODEL_CONTEXT",
        "BEDROCK_SIMULATOR_MODEL_THREADS",
    ] {
        command.env(name, "");
    }
    let mut child = command
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("http://127.0.0.1:"), "{line:?}");
}
