//! The program's command line: what it does beside simulating.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

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
