//! The program's command line: what it takes from its surroundings, and does beside simulating.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

#[test]
fn it_gives_completions_and_man_pages_whatever_the_variables_say() {
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-simulator"));
        command
            .env("BEDROCK_SIMULATOR_LISTEN", "nowhere")
            .env("BEDROCK_SIMULATOR_SPEED", "max");
        command
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = program().args(["completions", shell]).output().unwrap();
        assert!(done.status.success(), "{shell}: {done:?}");
        let script = String::from_utf8(done.stdout).unwrap();
        assert!(script.contains("model-context"), "{shell}: {script}");
    }

    let folder = tempfile::tempdir().unwrap();
    let done = program().arg("man").arg(folder.path()).output().unwrap();

    assert!(done.status.success(), "{done:?}");
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let simulator = page("bedrock-simulator.1");
    assert!(
        simulator.contains("\\fBBEDROCK_SIMULATOR_LISTEN\\fR"),
        "{simulator}"
    );
    assert!(simulator.contains(".SH \"EXIT CODES\"\n"), "{simulator}");
    let fetch = page("bedrock-simulator-model-fetch.1");
    assert!(fetch.contains("\\-\\-from"), "{fetch}");
}

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
