//! The `taiwa` command as it is built, against the fake: what it prints where,
//! and with which exit code it ends.

mod consent;
mod limits;
mod resuming;
mod sessions;
#[cfg(unix)]
mod tools;

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use taiwa_client::{Code, Payload, pb};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    process::Command,
};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    fake::{Fake, Running, soon, timeout_of},
    script::{Log, answer, numbered, ready, reply, result, started, text},
};
use pb::converse_request::Frame;

#[tokio::test]
async fn invoke_prints_the_answer_alone_and_as_it_is() {
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("**Hello**\n\n- you")) })
        .start()
        .await;

    let done = taiwa(&server, &["invoke", "hi"], "").await;

    assert_eq!(told(&done), (Some(0), "**Hello**\n\n- you\n", ""));
}

#[tokio::test]
async fn every_flag_of_a_turn_travels() {
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("")) })
        .start()
        .await;
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.PNG");
    let document = folder.path().join("my_notes.txt");
    std::fs::write(&image, b"png").unwrap();
    std::fs::write(&document, b"notes").unwrap();
    let flags = "invoke hi --agent a --session s --model m --system y --max-tokens 9 --temperature 0.5 --timeout 30s";
    let mut arguments: Vec<&str> = flags.split(' ').collect();
    arguments.extend([
        "--file",
        image.to_str().unwrap(),
        "--file",
        document.to_str().unwrap(),
    ]);

    let done = taiwa(&server, &arguments, "").await;

    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let data = |bytes: &'static [u8]| pb::MediaSource {
        source: Some(pb::media_source::Source::Data(bytes.into())),
    };
    let image = pb::content_block::Block::Image(pb::Image {
        media_type: "image/png".to_owned(),
        source: Some(data(b"png")),
        ..Default::default()
    });
    let document = pb::content_block::Block::Document(pb::Document {
        name: "my notes".to_owned(),
        media_type: "text/plain".to_owned(),
        body: Some(pb::document::Body::Source(data(b"notes"))),
        ..Default::default()
    });
    let content = [image, document].map(|block| pb::ContentBlock { block: Some(block) });
    let sent = pb::InvokeRequest {
        prompt: "hi".to_owned(),
        content: content.into(),
        agent_id: "a".to_owned(),
        session_id: "s".to_owned(),
        options: Some(pb::TurnOptions {
            model_id: "m".to_owned(),
            system: "y".to_owned(),
            max_tokens: Some(9),
            temperature: Some(0.5),
            ..Default::default()
        }),
        request_id: server.requests()[0].request_id.clone(),
        ..Default::default()
    };
    assert_eq!(server.requests(), [sent]);
    assert_eq!(timeout_of(&server.headers()[0]), 30);
}

#[tokio::test]
async fn a_prompt_is_read_from_a_pipe() {
    for arguments in [&["stream"][..], &["stream", "-"]] {
        let server = streaming(answer(&["ok"])).await;

        let done = taiwa(&server, arguments, "two\nlines\n").await;

        assert_eq!(told(&done), (Some(0), "ok\n", ""));
        assert_eq!(server.requests()[0].prompt, "two\nlines");
    }
}

#[tokio::test]
async fn stream_prints_pieces_as_they_come() {
    let server = Fake::default()
        .stream(|_, events| async move {
            for event in numbered([started(), text("Hel")]) {
                events.send(Ok(event)).await.unwrap();
            }
            events.closed().await;
        })
        .start()
        .await;
    let mut child = command(&server, &["stream", "hi"]).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();

    let mut piece = [0; 3];
    let read = tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut piece);
    soon(read).await.unwrap();

    assert_eq!(&piece, b"Hel", "before the answer ends");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn json_has_one_object_a_line() {
    let server = streaming(answer(&["Hi"])).await;

    let done = taiwa(&server, &["stream", "hi", "--json"], "").await;

    let stdout = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["textDelta"]["text"], "Hi");
    assert_eq!(lines[1]["sequence"], "2");
    assert_eq!(lines[2]["turnEnded"]["stopReason"], "STOP_REASON_END_TURN");

    let server = Fake::default()
        .invoke(|_| async { Ok(reply("Hi")) })
        .start()
        .await;
    let done = taiwa(&server, &["invoke", "hi", "--json"], "").await;
    let whole: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(whole["text"], "Hi");
    assert_eq!(whole["result"]["usage"]["outputTokens"], 5);
}

#[tokio::test]
async fn usage_and_reasoning_go_to_standard_error() {
    let thought = Payload::ReasoningDelta(pb::ReasoningDelta {
        delta: Some(pb::reasoning_delta::Delta::Text("hm".to_owned())),
    });
    let ended = Payload::TurnEnded(result("ok").into());
    let server = streaming(numbered([started(), thought, text("ok"), ended])).await;

    let quiet = taiwa(&server, &["stream", "hi"], "").await;
    let chatty = taiwa(
        &server,
        &["stream", "hi", "--usage", "--show-reasoning"],
        "",
    )
    .await;

    assert_eq!(told(&quiet), (Some(0), "ok\n", ""));
    assert_eq!(
        told(&chatty),
        (Some(0), "ok\n", "hm\ntokens: 7 in, 5 out · session s1\n")
    );
}

#[tokio::test]
async fn colour_is_rendered_markdown_also_into_a_pipe_when_asked_for() {
    let server = streaming(answer(&["**H", "i** `x`\n\nyou"])).await;

    let done = taiwa(&server, &["stream", "hi", "--color", "always"], "").await;

    assert_eq!(
        told(&done).1,
        "\u{1b}[1mHi\u{1b}[0m \u{1b}[33mx\u{1b}[0m\n\nyou\n"
    );
}

#[tokio::test]
async fn a_failure_is_coloured_only_where_colours_are_wanted() {
    for (flags, said) in [
        (
            &["invoke", "hi", "--color", "always"][..],
            "\u{1b}[31mtaiwa:\u{1b}[0m no (Internal)\n",
        ),
        (
            &["invoke", "hi", "--color", "never"],
            "taiwa: no (Internal)\n",
        ),
    ] {
        let server = refusing(Status::internal("no")).await;

        let done = taiwa(&server, flags, "").await;

        assert_eq!(told(&done), (Some(1), "", said));
    }
}

#[tokio::test]
async fn the_exit_code_says_what_kind_of_failure_it_was() {
    for (code, exit) in [
        (Code::InvalidArgument, 3),
        (Code::NotFound, 3),
        (Code::Unauthenticated, 3),
        (Code::Unavailable, 4),
        (Code::ResourceExhausted, 5),
        (Code::DeadlineExceeded, 6),
        (Code::Cancelled, 7),
        (Code::Internal, 1),
    ] {
        let server = refusing(Status::new(code, "no")).await;

        let done = taiwa(&server, &["invoke", "hi"], "").await;

        assert_eq!(done.status.code(), Some(exit), "{code:?}");
        let said = format!("taiwa: no ({code:?})\n");
        assert_eq!(told(&done), (Some(exit), "", said.as_str()), "{code:?}");
    }
}

#[tokio::test]
async fn a_variable_that_is_empty_counts_as_unset() {
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("Hello")) })
        .start()
        .await;

    let done = command(&server, &["invoke", "hi"])
        .env("TAIWA_RECONNECT_FOR", "")
        .env("TAIWA_CERT_FILE", "")
        .env("EDITOR", "")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();

    assert_eq!(told(&done), (Some(0), "Hello\n", ""));
}

#[tokio::test]
async fn a_refusal_is_explained_field_by_field() {
    let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(2)));
    details.set_error_info("AGENT_NOT_FOUND", "taiwa.v1", []);
    details.add_bad_request_violation("agent_id", "no agent has this id");
    let status = Status::with_error_details(Code::NotFound, "there is no agent nobody", details);
    let server = refusing(status).await;

    let done = taiwa(&server, &["invoke", "hi"], "").await;

    let said = "taiwa: there is no agent nobody (AGENT_NOT_FOUND)\n  \
                agent_id: no agent has this id\n  \
                `taiwa agents` lists those that the server offers\n  \
                the server asks to wait 2s before the next try\n";
    assert_eq!(told(&done), (Some(3), "", said));
}

#[tokio::test]
async fn a_server_that_does_not_run_is_code_4_and_the_way_out_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);

    let mut command = Command::new(env!("CARGO_BIN_EXE_taiwa"));
    let done = command
        .args(["stream", "hi", "--endpoint", &endpoint])
        .output()
        .await
        .unwrap();

    let (exit, stdout, stderr) = told(&done);
    assert_eq!((exit, stdout), (Some(4), ""));
    assert!(
        stderr.contains(&format!("no connection to {endpoint}")),
        "{stderr}"
    );
    assert!(stderr.contains("taiwa-server --offline"), "{stderr}");
}

#[tokio::test]
async fn a_cut_answer_is_code_7_and_its_part_is_printed() {
    let server = streaming(numbered([started(), text("Hel")])).await;

    let done = taiwa(&server, &["stream", "hi"], "").await;

    let (exit, stdout, stderr) = told(&done);
    assert_eq!((exit, stdout), (Some(7), "Hel\n"));
    assert!(
        stderr.contains("broke off") && stderr.contains("s1"),
        "{stderr}"
    );
}

#[tokio::test]
async fn an_incomplete_turn_is_code_7_whatever_its_status() {
    let failed = pb::TurnResult {
        status: pb::TurnStatus::Failed.into(),
        stop_reason: pb::StopReason::Incomplete.into(),
        ..result("Hel")
    };
    let events = numbered([started(), text("Hel"), Payload::TurnEnded(failed.into())]);
    let server = Fake::default()
        .stream(move |_, out| {
            let events = events.clone();
            async move {
                for event in events {
                    out.send(Ok(event)).await.unwrap();
                }
                let _ = out.send(Err(Status::unavailable("the stream broke"))).await;
            }
        })
        .start()
        .await;

    let done = taiwa(&server, &["stream", "hi"], "").await;

    assert_eq!(
        told(&done),
        (Some(7), "Hel\n", "taiwa: the stream broke (Unavailable)\n")
    );
}

#[tokio::test]
async fn a_deadline_is_code_6() {
    let server = Fake::default()
        .invoke(|_| std::future::pending())
        .start()
        .await;

    let done = taiwa(&server, &["invoke", "hi", "--timeout", "100ms"], "").await;

    assert_eq!(done.status.code(), Some(6), "{done:?}");
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_code_2() {
    let server = Fake::default().start().await;
    for arguments in [
        &["invoke", "hi", "--max-tokens", "0"][..],
        &["invoke", "hi", "--timeout", "soon"],
        &["sing"],
        &["invoke", ""],
        &["invoke", "hi", "--file", "/nowhere/a.png"],
        &["invoke", "hi", "--file", "Cargo.lock"],
        &["invoke", "hi", "--endpoint", "localhost:1"],
    ] {
        let done = taiwa(&server, arguments, "").await;
        assert_eq!(done.status.code(), Some(2), "{arguments:?} {done:?}");
    }
}

#[tokio::test]
async fn a_reader_that_has_had_enough_is_no_failure() {
    let server = Fake::default()
        .stream(|_, events| async move {
            for event in answer(&["line\n"; 2000]) {
                if events.send(Ok(event)).await.is_err() {
                    return;
                }
            }
        })
        .start()
        .await;
    let mut child = command(&server, &["stream", "hi"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("line"));
    drop(lines);

    let done = soon(child.wait_with_output()).await.unwrap();

    assert_eq!(told(&done), (Some(0), "", ""));
}

#[tokio::test]
async fn chat_answers_each_line_of_a_pipe_and_ends_well() {
    let server = echo().await;

    let done = taiwa(
        &server,
        &["chat", "--while-busy", "steer"],
        "hi\n\nhow are you\n",
    )
    .await;

    let answers = "INPUT_POLICY_STEER 1: hi\nINPUT_POLICY_STEER 2: how are you\n";
    assert_eq!(told(&done), (Some(0), answers, ""));
}

#[tokio::test]
async fn chat_in_json_tells_every_event() {
    let server = echo().await;

    let done = taiwa(&server, &["chat", "--json"], "hi\n").await;

    let stdout = String::from_utf8(done.stdout).unwrap();
    let kinds: Vec<String> = stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| {
            let keys = [
                "turnStarted",
                "textDelta",
                "turnEnded",
                "sessionReady",
                "frameAccepted",
            ];
            keys.into_iter()
                .find(|key| event.get(key).is_some())
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "sessionReady",
            "frameAccepted",
            "turnStarted",
            "textDelta",
            "turnEnded"
        ]
    );
}

#[tokio::test]
async fn chat_goes_on_after_a_refused_prompt_and_says_so_in_the_end() {
    let server = Fake::default()
        .converse(|mut frames, events| async move {
            events.send(Ok(ready())).await.unwrap();
            let mut log = Log::default();
            while let Ok(Some(frame)) = frames.message().await {
                let event = match frame.frame {
                    Some(Frame::Prompt(prompt)) if prompt == "bad" => {
                        let error = pb::TurnError {
                            grpc_code: Code::InvalidArgument.into(),
                            reason: pb::ErrorReason::InvalidRequest.into(),
                            message: "not that".to_owned(),
                            ..Default::default()
                        };
                        let rejected = pb::FrameRejected {
                            frame_id: frame.frame_id,
                            error: Some(error),
                        };
                        log.numbered([Payload::FrameRejected(rejected)])
                    }
                    Some(Frame::Prompt(_)) => log.answer(&frame.frame_id, &["good"]),
                    _ => Vec::new(),
                };
                for event in event {
                    events.send(Ok(event)).await.unwrap();
                }
            }
        })
        .start()
        .await;

    let done = taiwa(&server, &["chat"], "bad\nfine\n").await;

    let said = "taiwa: not that (INVALID_REQUEST)\ntaiwa: not every prompt was answered\n";
    assert_eq!(told(&done), (Some(3), "good\n", said));
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_in_a_chat_interrupts_the_answer_and_the_chat_goes_on() {
    let server = Fake::default()
        .converse(|mut frames, events| async move {
            events.send(Ok(ready())).await.unwrap();
            let mut log = Log::default();
            while let Ok(Some(frame)) = frames.message().await {
                let said = match frame.frame {
                    Some(Frame::Prompt(prompt)) if prompt == "long" => {
                        log.numbered([started(), text("on and on\n")])
                    }
                    Some(Frame::Interrupt(_)) => {
                        let interrupted = pb::TurnResult {
                            status: pb::TurnStatus::Interrupted.into(),
                            stop_reason: pb::StopReason::Interrupted.into(),
                            ..result("on and on\n")
                        };
                        log.numbered([Payload::TurnEnded(interrupted.into())])
                    }
                    Some(Frame::Prompt(_)) => log.answer(&frame.frame_id, &["short"]),
                    _ => Vec::new(),
                };
                for event in said {
                    events.send(Ok(event)).await.unwrap();
                }
            }
        })
        .start()
        .await;
    let mut child = command(&server, &["chat"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(b"long\n").await.unwrap();
    assert_eq!(
        soon(lines.next_line()).await.unwrap().as_deref(),
        Some("on and on")
    );

    let pid = child.id().unwrap().to_string();
    Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .await
        .unwrap();
    stdin.write_all(b"next\n").await.unwrap();
    drop(stdin);

    assert_eq!(
        soon(lines.next_line()).await.unwrap().as_deref(),
        Some("short")
    );
    let done = soon(child.wait_with_output()).await.unwrap();
    assert_eq!(done.status.code(), Some(130));
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_ends_a_stream_with_130_and_cancels_the_turn() {
    let (tx, mut cancelled) = tokio::sync::mpsc::channel(1);
    let server = Fake::default()
        .stream(|_, events| async move {
            for event in numbered([started(), text("Hel\n")]) {
                events.send(Ok(event)).await.unwrap();
            }
            events.closed().await;
        })
        .cancel_turn(move |_| {
            tx.try_send(()).unwrap();
            Ok(pb::CancelTurnResponse {
                result: Some(result("")),
            })
        })
        .start()
        .await;
    let mut child = command(&server, &["stream", "hi"])
        .env("TAIWA_RECONNECT_FOR", "1m")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    soon(lines.next_line()).await.unwrap();

    let pid = child.id().unwrap().to_string();
    Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .await
        .unwrap();

    soon(cancelled.recv()).await.unwrap();
    let done = soon(child.wait_with_output()).await.unwrap();
    assert_eq!(told(&done), (Some(130), "", "taiwa: interrupted\n"));
}

#[tokio::test]
async fn agents_are_listed_over_all_pages_and_described() {
    let agent = |id: &str, is_default| pb::Agent {
        agent_id: id.to_owned(),
        display_name: id.to_uppercase(),
        model_id: "m".to_owned(),
        is_default,
        capabilities: Some(pb::AgentCapabilities {
            reasoning: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    let server = Fake::default()
        .list_agents(move |request| {
            let (agents, next_page_token) = if request.page_token.is_empty() {
                (vec![agent("assistant", true)], "2".to_owned())
            } else {
                (vec![agent("poet", false)], String::new())
            };
            Ok(pb::ListAgentsResponse {
                agents,
                next_page_token,
            })
        })
        .get_agent(move |request| {
            Ok(pb::GetAgentResponse {
                agent: Some(agent(&request.agent_id, false)),
            })
        })
        .start()
        .await;

    let list = taiwa(&server, &["agents"], "").await;
    let show = taiwa(&server, &["agents", "show", "poet"], "").await;
    let json = taiwa(&server, &["agents", "show", "poet", "--json"], "").await;

    assert_eq!(
        told(&list).1,
        "* assistant  m  ASSISTANT\n  poet       m  POET\n"
    );
    assert_eq!(
        told(&show).1,
        "agent    poet\nname     POET\nmodel    m\ntakes    reasoning\n"
    );
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["agentId"], "poet");
}

#[tokio::test]
async fn count_prints_the_number() {
    let server = Fake::default()
        .count_tokens(|request| {
            Ok(pb::CountTokensResponse {
                input_tokens: i32::try_from(request.prompt.len()).unwrap(),
                model_id: "m".to_owned(),
            })
        })
        .start()
        .await;

    let done = taiwa(&server, &["count", "four"], "").await;

    assert_eq!(told(&done), (Some(0), "4\n", ""));
}

#[tokio::test]
async fn compare_asks_both_ways_and_shows_both_answers_and_times() {
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("ok")) })
        .stream(|_, out| async move {
            for event in answer(&["o", "k"]) {
                out.send(Ok(event)).await.unwrap();
            }
        })
        .start()
        .await;

    let done = taiwa(&server, &["compare", "hi"], "").await;
    let stdout = String::from_utf8(done.stdout).unwrap();
    let (answers, table) = stdout.split_once("\n  ").unwrap();
    assert_eq!(
        answers,
        "Invoke: the whole answer at once\n\nok\n\n\
         InvokeStream: the answer as it comes\n\nok\n"
    );
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{stdout}");
    assert!(rows[0].starts_with("Invoke ") && rows[1].starts_with("InvokeStream "));
    assert_eq!(server.requests().len(), 2);

    let done = taiwa(&server, &["compare", "hi", "--json"], "").await;
    let stdout = String::from_utf8(done.stdout).unwrap();
    let calls = stdout.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["first_text_seconds"].as_f64() <= line["total_seconds"].as_f64());
        assert_eq!(line["output_tokens"], 5);
        assert_eq!(line["text"], "ok");
        line["call"].as_str().unwrap().to_owned()
    });
    assert_eq!(calls.collect::<Vec<_>>(), ["Invoke", "InvokeStream"]);
}

async fn streaming(events: Vec<pb::Event>) -> Running {
    Fake::default()
        .stream(move |_, out| {
            let events = events.clone();
            async move {
                for event in events {
                    if out.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
            }
        })
        .start()
        .await
}

async fn refusing(status: Status) -> Running {
    Fake::default()
        .invoke(move |_| std::future::ready(Err(status.clone())))
        .start()
        .await
}

/// Answers each prompt with the input policy, its number and itself.
async fn echo() -> Running {
    Fake::default()
        .converse(|mut frames, events| async move {
            let mut policy = "";
            let mut number = 0;
            let mut log = Log::default();
            while let Ok(Some(frame)) = frames.message().await {
                let said = match frame.frame {
                    Some(Frame::Setup(setup)) => {
                        policy = setup.input_policy().as_str_name();
                        vec![ready()]
                    }
                    Some(Frame::Prompt(prompt)) => {
                        number += 1;
                        log.answer(&frame.frame_id, &[&format!("{policy} {number}: {prompt}")])
                    }
                    _ => Vec::new(),
                };
                for event in said {
                    events.send(Ok(event)).await.unwrap();
                }
            }
        })
        .start()
        .await
}

async fn taiwa(server: &Running, arguments: &[&str], input: &str) -> Output {
    let mut child = command(server, arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that fails early does not read its input.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    soon(child.wait_with_output()).await.unwrap()
}

fn command(server: &Running, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taiwa"));
    command
        .args(arguments)
        .env("TAIWA_ENDPOINT", &server.endpoint)
        .env("TAIWA_RECONNECT_FOR", "0s")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn told(done: &Output) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}
