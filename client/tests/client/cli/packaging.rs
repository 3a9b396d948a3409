//! Completions and man pages, as `taiwa` gives them to whoever installs it.

use std::{
    fs, io,
    path::Path,
    process::{Command, Output, Stdio},
};

#[test]
fn each_shell_is_given_completions_whatever_the_variables_say() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = taiwa(&["completions", shell])
            .env("TAIWA_RECONNECT_FOR", "soon")
            .env("TAIWA_CERT_FILE", "without-a-key.pem")
            .output()
            .unwrap();
        assert!(done.status.success(), "{shell}: {done:?}");
        let script = String::from_utf8(done.stdout).unwrap();
        for name in ["reconnect-for", "while-busy", "export"] {
            assert!(script.contains(name), "{shell} without {name}");
        }
        if shell == "bash" {
            let path = folder.path().join("taiwa");
            fs::write(&path, script).unwrap();
            let read = Command::new("bash").arg("-n").arg(path).output().unwrap();
            assert_eq!(silent(&read), Some(0), "{read:?}");
        }
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);

    let done = taiwa(&["completions", "bash"])
        .stdout(writer)
        .output()
        .unwrap();

    assert_eq!(silent(&done), Some(0), "{done:?}");
}

#[test]
fn each_command_has_a_man_page_and_no_server_is_started_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");

    let done = taiwa(&["--offline", "man"]).arg(&pages).output().unwrap();

    assert_eq!(silent(&done), Some(0), "{done:?}");
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    let taiwa = page("taiwa.1");
    for part in [
        ".SH SYNOPSIS\n",
        "\\fB\\-\\-endpoint\\fR",
        "\\fBTAIWA_ENDPOINT\\fR",
        "taiwa\\-sessions(1)\n",
        ".SH \"EXIT CODES\"\n",
        "\\fB7\\fR\nthe answer broke off",
    ] {
        assert!(taiwa.contains(part), "{part} in {taiwa}");
    }
    let export = page("taiwa-sessions-export.1");
    assert!(export.contains("\\-\\-format"), "{export}");
    assert!(!export.contains("\\-\\-endpoint"), "{export}");
    for entry in fs::read_dir(&pages).unwrap() {
        is_understood(&entry.unwrap().path());
    }
}

/// Has groff read a page, where it is at hand.
fn is_understood(page: &Path) {
    let read = Command::new("groff")
        .args(["-man", "-ww", "-z", "-Tascii"])
        .arg(page)
        .output();
    match read {
        Ok(read) => assert_eq!(silent(&read), Some(0), "{}: {read:?}", page.display()),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
    }
}

/// The exit code of what said nothing.
fn silent(done: &Output) -> Option<i32> {
    let is_silent = done.stdout.is_empty() && done.stderr.is_empty();
    done.status.code().filter(|_| is_silent)
}

fn taiwa(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taiwa"));
    command.args(arguments).stdin(Stdio::null());
    command
}
