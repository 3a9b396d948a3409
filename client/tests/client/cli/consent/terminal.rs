//! Consent on a terminal, with keys.

use std::{
    process::Stdio,
    time::{Duration, SystemTime},
};

use serde_json::json;
use taiwa_client::{Decision, pb};

use super::{super::terminal::Terminal, asked, asking, pausing, pausing_for};

const CHOICES: &str =
    "[y] yes  [n] no  [a] always in this session  [d] never in this session  [e] edit";

#[tokio::test]
async fn a_chat_asks_and_decides_by_a_line_of_its_own() {
    let refusal = Decision::refuse(&asked());
    for (answers, decision, said) in [
        (&["y"][..], Decision::approve(&asked()), "pay may be called"),
        (
            &["a"],
            Decision::approve(&asked()).remember(),
            "from here on without asking",
        ),
        (
            &["d"],
            refusal.clone().remember(),
            "from here on without asking",
        ),
        (
            &["n", "too much"],
            refusal.clone().comment("too much"),
            "pay is not called",
        ),
        (&["n", ""], refusal, "pay is not called"),
        (
            // Ctrl-U deletes from the line's beginning to the cursor, which stands at its end.
            &["e", "\x15{\"sum\":1}"],
            Decision::edit(&asked(), &json!({"sum": 1})),
            "with other arguments",
        ),
    ] {
        let (server, decisions) = asking().await;
        let mut terminal = Terminal::start(&server, &["chat"]);
        terminal.until("Ctrl-D ends").await;
        terminal.types("pay\r");
        let question = terminal.until(CHOICES).await;
        for part in ["may pay be called, with", "\"sum\": 9", "it moves money"] {
            assert!(question.contains(part), "{part} in {question}");
        }

        // What was meant for a prompt is no consent.
        terminal.types("why not\r");
        terminal.until("y, n, a, d or e").await;
        for answer in answers {
            terminal.types(&format!("{answer}\r"));
            terminal.until("").await;
        }
        terminal.until(said).await;
        terminal.until("done").await;
        terminal.types("\x04");

        assert!(terminal.end().await.success());
        assert_eq!(decisions.lock().unwrap()[..], [decision.into()]);
    }
}

#[tokio::test]
async fn a_chat_on_a_terminal_asks_wherever_its_errors_go() {
    let (server, decisions) = asking().await;
    let mut terminal = Terminal::with(&server, &["chat"], |command| {
        command.stderr(Stdio::null());
    });
    terminal.until("Ctrl-D ends").await;
    terminal.types("pay\r");
    terminal.until(CHOICES).await;
    terminal.types("y\r");
    terminal.until("done").await;
    terminal.types("\x04");

    assert!(terminal.end().await.success());
    let decisions = decisions.lock().unwrap();
    assert_eq!(decisions[..], [Decision::approve(&asked()).into()]);
}

#[tokio::test]
async fn a_decision_that_the_server_refuses_is_asked_for_again() {
    for flags in [&[][..], &["--json"]] {
        let (server, decisions) = asking().await;
        let mut terminal = Terminal::start(&server, &[&["chat"], flags].concat());
        let enter = if flags.is_empty() { "\r" } else { "\n" };
        terminal.until("").await;
        terminal.types(&format!("pay{enter}"));
        terminal.until(CHOICES).await;
        terminal.types(&format!("e{enter}"));
        terminal.until("as JSON").await;
        let clear = if flags.is_empty() { "\x15" } else { "" };
        terminal.types(&format!("{clear}{{\"misspelt\":1}}{enter}"));

        terminal.until("with other arguments").await;
        let again = "refused: there is no misspelt";
        let seen = terminal.until(again).await;
        let told = seen.find(again).unwrap();
        while !terminal.seen[told..].contains(CHOICES) {
            terminal.more().await;
        }
        terminal.types(&format!("y{enter}"));
        terminal.until("done").await;
        terminal.types("\x04");

        assert!(terminal.end().await.success(), "{flags:?}");
        let decisions = decisions.lock().unwrap();
        assert_eq!(decisions[..], [Decision::approve(&asked()).into()]);
    }
}

#[tokio::test]
async fn a_paused_turn_is_decided_on_the_terminal_too() {
    let expected: [(&[&str], Decision); 3] = [
        (&["y"], Decision::approve(&asked())),
        (
            &["n", "too much"],
            Decision::refuse(&asked()).comment("too much"),
        ),
        (
            &["e", "{\"sum\":1}"],
            Decision::edit(&asked(), &json!({"sum": 1})),
        ),
    ];
    for verb in ["invoke", "stream"] {
        for (answers, decision) in expected.clone() {
            let server = pausing().await;
            let mut terminal = Terminal::start(&server, &[verb, "hi"]);
            terminal.until(CHOICES).await;
            for answer in answers {
                terminal.types(&format!("{answer}\n"));
            }
            terminal.until("done").await;

            assert!(terminal.end().await.success());
            let decided = &server.requests()[1].approval_decisions;
            assert_eq!(decided[..], [decision.into()], "{verb}");
        }
    }
}

#[tokio::test]
async fn the_users_editor_edits_the_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let text = "#!/bin/sh\ngrep -q '\"sum\": 9' \"$2\" && echo \"{\\\"$1\\\": 2}\" > \"$2\"\n";
    let editor = super::super::tools::script(&folder, "editor", text);
    let editor = format!("{} sum", editor.display());
    let server = pausing().await;
    let mut terminal = Terminal::start(&server, &["invoke", "hi", "--editor", &editor]);

    terminal.until(CHOICES).await;
    terminal.types("e\n");
    terminal.until("done").await;

    assert!(terminal.end().await.success());
    let edited = pb::ApprovalDecision::from(Decision::edit(&asked(), &json!({"sum": 2})));
    assert_eq!(server.requests()[1].approval_decisions, [edited]);
}

#[tokio::test]
async fn a_question_that_nobody_answers_in_time_ends_the_command() {
    let soon = SystemTime::now() + Duration::from_secs(2);
    let asked = pb::ApprovalRequest {
        expire_time: Some(soon.into()),
        ..asked()
    };
    let server = pausing_for(asked).await;
    let mut terminal = Terminal::start(&server, &["invoke", "hi"]);

    let question = terminal.until("s left)").await;
    assert!(question.contains(CHOICES));
    terminal.until("nobody consented in time").await;

    assert_eq!(terminal.end().await.code(), Some(6));
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.cancelled(), ["t1"]);
}

#[tokio::test]
async fn an_interrupt_of_a_question_leaves_the_turn() {
    let server = pausing().await;
    let mut terminal = Terminal::start(&server, &["stream", "hi"]);
    terminal.until(CHOICES).await;

    super::super::tools::kill("INT", terminal.child.id().unwrap()).await;

    assert_eq!(terminal.end().await.code(), Some(130));
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.cancelled(), ["t1"]);
}
