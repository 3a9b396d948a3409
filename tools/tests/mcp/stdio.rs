//! A scripted server over stdio: what becomes of calls, of the program, and of what it says.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use taiwa_tools::{Error, Source as _, mcp};
use tempfile::TempDir;

use crate::{call, call_of, eventually, json, names, run, start, text, tool, variables};

/// A scripted server, and what it was sent.
struct Scripted {
    source: mcp::Source,
    journal: Journal,
}

struct Journal {
    folder: TempDir,
}

impl Journal {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the journal");
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// What the server read, oldest first.
    fn entries(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Processes that were started, oldest first.
    fn processes(&self) -> Vec<u64> {
        let entries = self.entries();
        entries
            .iter()
            .filter_map(|entry| entry["started"].as_u64())
            .collect()
    }

    /// Waits for a message of this method.
    async fn hear(&self, method: &str) -> Value {
        eventually(method, || async {
            let entries = self.entries();
            entries.into_iter().find(|entry| entry["method"] == method)
        })
        .await
    }
}

fn program(journal: &Journal, modes: &[&str]) -> mcp::Transport {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp/server.py");
    let mut args = vec![script.display().to_string()];
    args.extend(modes.iter().map(|mode| (*mode).to_owned()));
    mcp::Transport::Stdio {
        command: "python3".into(),
        args,
        env: variables([("JOURNAL", &journal.path().display().to_string())]),
        cwd: None,
    }
}

async fn scripted(modes: &[&str]) -> Scripted {
    let journal = Journal::new();
    let source = start(program(&journal, modes)).await;
    Scripted { source, journal }
}

/// Whether a process is there; a zombie is.
fn is_there(process: u64) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// Waits until the server can be called again.
async fn wait_until_back(scripted: &Scripted) {
    eventually("the server is back", || async {
        run(&scripted.source, "echo", json!({"text": "again"}))
            .await
            .ok()
    })
    .await;
}

#[tokio::test]
async fn all_pages_are_listed_and_what_bedrock_cannot_be_told_is_left_out_or_renamed() {
    let scripted = scripted(&[]).await;
    let listed = names(&scripted.source.tools().borrow());
    assert_eq!(
        listed,
        [
            "echo",
            "die",
            "die_reading",
            "die_again",
            "hang",
            "large",
            "progress",
            "junk",
            "change",
            "ask",
            "deaf",
            "complain",
            "fail",
            "refuse",
            "environment",
            "family",
            "odd_name___b314ac76",
            "untyped",
        ]
    );
    let renamed = run(&scripted.source, "odd_name___b314ac76", json!({})).await;
    assert_eq!(
        renamed.map(|output| text(&output)),
        Ok("called odd name/ü".into())
    );
    let untyped = tool(&scripted.source, "untyped").definition().clone();
    assert_eq!(untyped.description, "does untyped");
    assert!(untyped.schema.check(&json!("text")).is_err());
}

#[tokio::test]
async fn a_list_without_end_is_cut() {
    let scripted = scripted(&["endless"]).await;
    assert_eq!(names(&scripted.source.tools().borrow()).len(), 18);
    let lists = scripted.journal.entries();
    let lists = lists.iter().filter(|entry| entry["method"] == "tools/list");
    assert_eq!(lists.count(), 100);
}

#[tokio::test]
async fn a_call_carries_its_key_and_trace_and_nothing_else_of_the_caller() {
    let scripted = scripted(&[]).await;
    let mut caller = taiwa_tools::Caller::default();
    for (name, value) in [("traceparent", "00-1-2-01"), ("authorization", "secret")] {
        let value = value.parse().expect("a value of a header");
        caller.metadata.insert(name, value);
    }
    let (call, _progress) = call_of(serde_json::Map::new(), caller);
    let output = tool(&scripted.source, "echo")
        .call(call)
        .await
        .expect("it is called");
    let meta = json(&output)["meta"].clone();
    assert_eq!(meta["taiwa.v1/idempotency-key"], "key-1");
    assert_eq!(meta["traceparent"], "00-1-2-01");
    assert!(!meta.to_string().contains("secret"), "{meta}");
}

#[tokio::test]
async fn a_server_that_dies_in_mid_call_leaves_the_outcome_open_and_is_started_again() {
    let scripted = scripted(&[]).await;
    let died = run(&scripted.source, "die", json!({})).await;
    let Err(Error::Unknown(why)) = died else {
        panic!("it is not known what it did: {died:?}");
    };
    assert!(
        why.contains("'test'") && why.contains("may or may not"),
        "{why}"
    );
    wait_until_back(&scripted).await;
    let processes = scripted.journal.processes();
    assert_eq!(processes.len(), 2);
    assert!(!is_there(processes[0]), "the first is reaped");
}

#[tokio::test]
async fn a_tool_that_only_reads_has_done_nothing_when_it_is_lost() {
    let scripted = scripted(&[]).await;
    let reading = run(&scripted.source, "die_reading", json!({})).await;
    let Err(Error::Failed(why)) = reading else {
        panic!("nothing happened: {reading:?}");
    };
    assert!(why.contains("only reads"), "{why}");
    wait_until_back(&scripted).await;
    let again = run(&scripted.source, "die_again", json!({})).await;
    let Err(Error::Unknown(why)) = again else {
        panic!("it is not known what it did: {again:?}");
    };
    assert!(why.contains("without harm"), "{why}");
}

#[tokio::test]
async fn a_call_while_the_server_is_away_does_not_run_and_the_tools_stay() {
    let journal = Journal::new();
    let mut config = mcp::Config::new("test", program(&journal, &[]));
    config.shortest_pause = Duration::from_secs(600);
    config.longest_pause = Duration::from_secs(600);
    let source = mcp::Source::start(config).await.expect("it can be started");
    run(&source, "die", json!({})).await.expect_err("it dies");
    let why = eventually("the loss is noticed", || async {
        match run(&source, "echo", json!({})).await {
            Err(Error::Failed(why)) => Some(why),
            Err(Error::Unknown(_)) | Ok(_) => None,
        }
    })
    .await;
    assert!(why.contains("did not run"), "{why}");
    let why = eventually("the reason is known", || async {
        let why = run(&source, "echo", json!({}))
            .await
            .expect_err("it is away")
            .to_string();
        why.contains("exit status: 3").then_some(why)
    })
    .await;
    assert!(why.contains("'test'"), "{why}");
    assert!(names(&source.tools().borrow()).contains(&"echo".into()));
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_once() {
    let scripted = scripted(&[]).await;
    let (call, _progress) = call(json!({}));
    let hanging = tokio::spawn(tool(&scripted.source, "hang").call(call));
    let request = scripted.journal.hear("tools/call").await;
    let begin = Instant::now();
    hanging.abort();
    let cancelled = loop {
        let entries = scripted.journal.entries();
        let notice = entries
            .into_iter()
            .find(|entry| entry["method"] == "notifications/cancelled");
        if let Some(notice) = notice {
            break notice;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "no notice");
        tokio::task::yield_now().await;
    };
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    // The way to the server and through its journal: some milliseconds, unless others use the machine.
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    println!("cancelled after {:?}", begin.elapsed());
    wait_until_back(&scripted).await;
    assert_eq!(scripted.journal.processes().len(), 1, "the server lives on");
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_is_cancelled() {
    let scripted = scripted(&[]).await;
    let (mut call, _progress) = call(json!({}));
    call.deadline = Instant::now() + Duration::from_millis(300);
    let begin = Instant::now();
    let ended = tool(&scripted.source, "hang").call(call).await;
    assert!(matches!(ended, Err(Error::Unknown(_))), "{ended:?}");
    assert!(begin.elapsed() >= Duration::from_millis(300));
    scripted.journal.hear("notifications/cancelled").await;
}

#[tokio::test]
async fn progress_is_told_while_the_tool_runs() {
    let scripted = scripted(&[]).await;
    let (call, mut progress) = call(json!({}));
    let running = tokio::spawn(tool(&scripted.source, "progress").call(call));
    let mut told = Vec::new();
    while let Some(piece) = progress.next().await {
        told.push(piece);
    }
    assert_eq!(told, ["step 1 (1/3)", "step 2 (2/3)", "step 3 (3/3)"]);
    let output = running.await.expect("it runs").expect("it succeeds");
    assert_eq!(text(&output), "done");
}

#[tokio::test]
async fn junk_on_the_output_is_passed_over() {
    let scripted = scripted(&[]).await;
    let output = run(&scripted.source, "junk", json!({})).await;
    assert_eq!(output.map(|output| text(&output)), Ok("after junk".into()));
    assert_eq!(scripted.journal.processes().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_each_get_their_own_answer() {
    let scripted = scripted(&[]).await;
    let calls = (0..100).map(|number| {
        let (call, _progress) = call(json!({"text": format!("number {number}")}));
        tokio::spawn(tool(&scripted.source, "echo").call(call))
    });
    let calls: Vec<_> = calls.collect();
    for (number, call) in calls.into_iter().enumerate() {
        let output = call.await.expect("it runs").expect("it is answered");
        assert_eq!(text(&output), format!("number {number}"));
    }
}

#[tokio::test]
async fn a_large_result_is_cut_and_one_that_is_too_large_is_refused() {
    let scripted = scripted(&[]).await;
    let large = run(&scripted.source, "large", json!({"bytes": 16_000_000})).await;
    let large = text(&large.expect("it fits into a message"));
    assert!(
        large.ends_with("[cut: 100000 of 16000000 bytes are shown]"),
        "{}",
        large.len()
    );
    let too_large = run(&scripted.source, "large", json!({"bytes": 17_000_000})).await;
    let Err(Error::Failed(why)) = too_large else {
        panic!("it is refused: {too_large:?}");
    };
    assert!(why.contains("more than 16 MiB"), "{why}");
    wait_until_back(&scripted).await;
    assert_eq!(scripted.journal.processes().len(), 1, "the server lives on");
}

#[tokio::test]
async fn a_server_that_asks_and_does_not_read_is_started_again() {
    let scripted = scripted(&[]).await;
    let lost = run(&scripted.source, "deaf", json!({})).await;
    assert!(matches!(lost, Err(Error::Unknown(_))), "{lost:?}");
    wait_until_back(&scripted).await;
    assert_eq!(scripted.journal.processes().len(), 2);
}

#[tokio::test]
async fn a_changed_list_is_told() {
    let scripted = scripted(&[]).await;
    let mut tools = scripted.source.tools();
    tools.borrow_and_update();
    run(&scripted.source, "change", json!({}))
        .await
        .expect("it is called");
    tools.changed().await.expect("the source lives");
    assert!(names(&tools.borrow()).contains(&"added".into()));
    let added = run(&scripted.source, "added", json!({})).await;
    assert_eq!(added.map(|output| text(&output)), Ok("called added".into()));
}

#[tokio::test]
async fn a_server_without_sessions_is_spoken_to_in_its_own_version() {
    let scripted = scripted(&["modern"]).await;
    let mut tools = scripted.source.tools();
    tools.borrow_and_update();
    let output = run(&scripted.source, "echo", json!({"text": "hello"}))
        .await
        .expect("it is called");
    let meta = json(&output)["meta"].clone();
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(meta["taiwa.v1/idempotency-key"], "key-1");
    scripted.journal.hear("subscriptions/listen").await;
    run(&scripted.source, "change", json!({}))
        .await
        .expect("it is called");
    tools.changed().await.expect("the source lives");
    assert!(names(&tools.borrow()).contains(&"added".into()));
}

#[tokio::test]
async fn what_the_server_asks_for_is_declined_by_the_protocols_error() {
    let scripted = scripted(&[]).await;
    let output = run(&scripted.source, "ask", json!({}))
        .await
        .expect("it is answered");
    let expected = json!({"sampling": -32601, "roots": -32601, "elicitation": -32601});
    assert_eq!(json(&output), expected);
}

#[tokio::test]
async fn failures_that_the_tool_and_the_server_tell_stay_apart() {
    let scripted = scripted(&[]).await;
    let failed = run(&scripted.source, "fail", json!({}))
        .await
        .expect("it has an output");
    assert!(failed.is_error);
    assert_eq!(text(&failed), "no such city");
    let refused = run(&scripted.source, "refuse", json!({})).await;
    let Err(Error::Failed(why)) = refused else {
        panic!("it did not run: {refused:?}");
    };
    assert!(why.contains("text is missing"), "{why}");
    run(&scripted.source, "complain", json!({}))
        .await
        .expect("its errors do not hold it");
}

#[tokio::test]
async fn the_environment_is_what_is_needed_and_what_is_given() {
    let scripted = scripted(&[]).await;
    let output = run(&scripted.source, "environment", json!({}))
        .await
        .expect("it is called");
    let environment = json(&output);
    assert!(environment["JOURNAL"].is_string());
    assert!(environment["PATH"].is_string());
    let ours = "CARGO_MANIFEST_DIR";
    assert!(
        std::env::vars().any(|(name, _)| name == ours),
        "cargo sets it"
    );
    assert!(environment[ours].is_null(), "{environment}");
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_does_not_want_to_end() {
    let scripted = scripted(&["stubborn"]).await;
    let output = run(&scripted.source, "family", json!({}))
        .await
        .expect("it is called");
    let family: Vec<u64> = text(&output)
        .split(' ')
        .map(|id| id.parse().expect("the id of a process"))
        .collect();
    assert_eq!(family.len(), 2);
    assert!(family.iter().all(|process| is_there(*process)));
    scripted.source.stop().await;
    assert!(!is_there(family[0]), "the server is killed and reaped");
    // What it left behind is reaped by whoever takes over orphans.
    eventually("its child is gone", || async {
        let state = fs::read_to_string(format!("/proc/{}/stat", family[1]));
        state
            .map_or(true, |state| state.contains(") Z "))
            .then_some(())
    })
    .await;
    let after = run(&scripted.source, "echo", json!({})).await;
    assert!(matches!(after, Err(Error::Failed(_))), "{after:?}");
}

#[tokio::test]
async fn dropping_the_source_ends_the_server() {
    let Scripted { source, journal } = scripted(&[]).await;
    let processes = journal.processes();
    assert!(is_there(processes[0]));
    drop(source);
    eventually("the server is gone", || async {
        (!is_there(processes[0])).then_some(())
    })
    .await;
}

#[test]
fn the_end_of_the_runtime_kills_the_server() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scripted = runtime.block_on(scripted(&["stubborn"]));
    let process = scripted.journal.processes()[0];
    assert!(is_there(process));
    drop(runtime);
    let gone = || {
        let state = fs::read_to_string(format!("/proc/{process}/stat"));
        state.map_or(true, |state| state.contains(") Z "))
    };
    let begin = Instant::now();
    while !gone() {
        assert!(begin.elapsed() < Duration::from_secs(10), "it lives on");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_command_that_is_not_found_is_named() {
    let transport = mcp::Transport::Stdio {
        command: "no-such-mcp-server".into(),
        args: Vec::new(),
        env: variables([]),
        cwd: None,
    };
    let error = mcp::Source::start(mcp::Config::new("weather", transport)).await;
    let error = error.expect_err("there is none").to_string();
    assert!(
        error.contains("'no-such-mcp-server'") && error.contains("'weather'"),
        "{error}"
    );
    assert!(error.contains("install it"), "{error}");
}

#[tokio::test]
async fn a_server_that_dies_at_its_start_is_tried_again() {
    let scripted = scripted(&["broken"]).await;
    assert!(scripted.source.tools().borrow().is_empty());
    eventually("it is started again", || async {
        (scripted.journal.processes().len() > 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_silent_at_its_start_is_started_again() {
    let journal = Journal::new();
    let mut config = mcp::Config::new("test", program(&journal, &["silent"]));
    config.start_timeout = Duration::from_millis(500);
    // Shorter than a start that fails, which is no good run.
    config.shortest_pause = Duration::from_millis(100);
    config.longest_pause = Duration::from_millis(400);
    let begin = Instant::now();
    let source = mcp::Source::start(config).await.expect("it goes on trying");
    assert!(begin.elapsed() >= Duration::from_millis(500));
    assert!(source.tools().borrow().is_empty());
    eventually("it is started again", || async {
        (journal.processes().len() > 3).then_some(())
    })
    .await;
    assert!(!is_there(journal.processes()[0]));
    // Four starts, and at least half of the pauses of 100, 200 and 400 ms between them.
    assert!(begin.elapsed() >= Duration::from_millis(3 * 500 + 50 + 100 + 200));
}
