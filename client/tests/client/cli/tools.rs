//! Scripts that the model calls, and what is shown of tool calls.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use taiwa_client::{Payload, pb};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command, sync::mpsc};

use super::{command, taiwa, told};
use crate::{
    fake::{Events, Fake, Frames, Running, soon},
    script::{Log, accepted, ended, numbered, ready, reply, result, started, text},
};
use pb::{converse_request::Frame, tool_result_block::Block};

#[tokio::test]
async fn chat_answers_calls_of_scripts_while_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let whoami = script(
        &folder,
        "whoami",
        "#!/bin/sh\n# Says who calls.\n\
         echo \"{\\\"in\\\": $(cat), \\\"call\\\": \\\"$TAIWA_TOOL_CALL_ID\\\", \
         \\\"key\\\": \\\"$TAIWA_IDEMPOTENCY_KEY\\\", \\\"session\\\": \\\"$TAIWA_SESSION_ID\\\"}\"\n",
    );
    let fail = script(
        &folder,
        "fail",
        "#!/bin/sh\necho half an answer\necho 'no such city' >&2\nexit 3\n",
    );
    let (tx, mut results) = mpsc::channel(8);
    let server = calling(
        &[("whoami", r#"{"a":1}"#), ("fail", "{}"), ("other", "{}")],
        tx,
    )
    .await;
    let (whoami, fail) = (flag("whoami", &whoami), flag("fail", &fail));

    let done = taiwa(
        &server,
        &["chat", "--tool", &whoami, "--tool", &fail],
        "hi\n",
    )
    .await;

    let (exit, stdout, stderr) = told(&done);
    assert_eq!((exit, stdout), (Some(0), "done\n"), "{stderr}");
    let specs = results.recv().await.unwrap().unwrap_left();
    let spec = |name: &str, description: &str| pb::ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(
            r#"{"type":"object"}"#.to_owned(),
        )),
        ..Default::default()
    };
    assert_eq!(specs, [spec("fail", ""), spec("whoami", "Says who calls.")]);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(results.recv().await.unwrap().unwrap_right());
    }
    answers.sort_by(|a, b| a.tool_call_id.cmp(&b.tool_call_id));
    let json = r#"{"in": {"a":1}, "call": "c0", "key": "k0", "session": "s1"}"#;
    assert_eq!(
        answers[0].content,
        [pb::ToolResultBlock {
            block: Some(Block::Json(json.to_owned())),
        }]
    );
    let said = |result: &pb::ToolResult| (result.text.clone(), result.is_error);
    assert_eq!(said(&answers[0]), (String::new(), false));
    let failed = "the script exited with 3:\nno such city".to_owned();
    assert_eq!(said(&answers[1]), (failed, true));
    let unknown = "this client has no tool of this name".to_owned();
    assert_eq!(said(&answers[2]), (unknown, true));
    for line in [
        "⚙ whoami {\"a\": 1}\n",
        "⚙ fail\n",
        " s: {\"in\": {\"a\":1}, \"call\": \"c0\", ",
        "✗ fail · failed · 0.",
        " s: the script exited with 3: …\n",
    ] {
        assert!(stderr.contains(line), "{line:?} in {stderr}");
    }
}

#[tokio::test]
async fn a_paused_turn_is_answered_by_the_next_call_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    script(&folder, "look.sh", "#!/bin/sh\necho \"$1 $(cat)\"\n");
    fs::write(
        folder.path().join("schema.json"),
        r#"{"type":"object","title":"x"}"#,
    )
    .unwrap();
    let file = folder.path().join("tools.toml");
    let tools = "[[tools]]\nname = 'look'\ndescription = 'Looks.'\ncommand = ['./look.sh', 'saw']\n\
                 schema_file = 'schema.json'\napproval = 'always'\n";
    fs::write(&file, tools).unwrap();
    let file = file.to_str().unwrap();

    for verb in ["invoke", "stream"] {
        let server = pausing(2).await;
        let arguments = [
            verb,
            "hi",
            "--tools",
            file,
            "--agent",
            "a",
            "--timeout",
            "60s",
        ];
        let done = taiwa(&server, &arguments, "").await;

        let (exit, stdout, stderr) = told(&done);
        assert_eq!((exit, stdout), (Some(0), "done\n"), "{verb} {stderr}");
        let begun = stderr.matches("⚙ look {\"n\": ").count();
        let answered = stderr.matches("✓ look · 0.").count();
        assert_eq!((begun, answered), (4, 4), "{verb} {stderr}");
        let [first, second, third] = &server.requests()[..] else {
            panic!("three requests");
        };
        let spec = &first.options.as_ref().unwrap().client_tools[0];
        assert_eq!(
            (spec.description.as_str(), spec.approval()),
            ("Looks.", pb::ApprovalMode::Always)
        );
        let schema = r#"{"type":"object","title":"x"}"#.to_owned();
        assert_eq!(
            spec.input,
            Some(pb::tool_spec::Input::InputSchemaJson(schema))
        );
        for (request, round) in [(second, 1), (third, 2)] {
            let mut results = request.tool_results.clone();
            results.sort_by(|a, b| a.tool_call_id.cmp(&b.tool_call_id));
            let expected = [0, 1].map(|call| pb::ToolResult {
                tool_call_id: format!("c{round}{call}"),
                text: format!("saw {{\"n\":{call}}}"),
                ..Default::default()
            });
            assert_eq!(results, expected);
            assert_eq!((&*request.session_id, &*request.agent_id), ("s1", "a"));
            assert_eq!(request.options, first.options);
            assert_eq!(request.prompt, "");
        }
    }
}

#[tokio::test]
async fn a_turn_that_waits_for_a_tool_of_another_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let other = flag("other", &script(&folder, "other", "#!/bin/sh\n"));
    let server = pausing(1).await;

    let done = taiwa(&server, &["invoke", "hi", "--tool", &other], "").await;

    let said = "taiwa: the turn waits for the result of a tool that this command cannot run\n";
    assert_eq!(told(&done), (Some(1), "", said));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_a_script_may_take_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    script(
        &folder,
        "big",
        "#!/bin/sh\nexec head -c 3000000 /dev/zero\n",
    );
    script(&folder, "deaf", "#!/bin/sh\nexec 0<&-\necho ok\n");
    script(
        &folder,
        "slow",
        "#!/bin/sh\necho $$ > \"$(dirname \"$0\")/pid\"\nsleep 1000\n",
    );
    script(
        &folder,
        "left",
        "#!/bin/sh\nsleep 1000 &\necho $! > \"$(dirname \"$0\")/left_pid\"\necho ok\n",
    );
    let tool = |name: &str, more: &str| {
        format!("[[tools]]\nname = '{name}'\ncommand = './{name}'\n{more}\n")
    };
    let file = folder.path().join("tools.toml");
    let tools = [
        tool("big", ""),
        tool("deaf", ""),
        tool("slow", "timeout = '300ms'"),
        tool("left", ""),
    ];
    let missing = "[[tools]]\nname = 'missing'\ncommand = './nowhere'\n";
    fs::write(&file, tools.concat() + missing).unwrap();
    let (tx, mut results) = mpsc::channel(8);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(200_000));
    let calls = [
        ("big", "{}"),
        ("deaf", long.as_str()),
        ("slow", "{}"),
        ("left", "{}"),
        ("missing", "{}"),
    ];
    let server = calling(&calls, tx).await;

    let done = taiwa(
        &server,
        &["chat", "--tools", file.to_str().unwrap()],
        "hi\n",
    )
    .await;

    assert_eq!(told(&done).0, Some(0), "{done:?}");
    results.recv().await.unwrap().unwrap_left();
    let mut said = Vec::new();
    for _ in calls {
        let result = results.recv().await.unwrap().unwrap_right();
        said.push((result.tool_call_id, result.text, result.is_error));
    }
    said.sort();
    let expected = [
        (
            "c0",
            "the script wrote more than 1024 KiB and was stopped; ask for less",
            true,
        ),
        ("c1", "ok", false),
        (
            "c2",
            "the script did not end within 0.3 s and was stopped",
            true,
        ),
        ("c3", "ok", false),
    ];
    let expected = expected.map(|(id, text, failed)| (id.to_owned(), text.to_owned(), failed));
    assert_eq!(said[..4], expected);
    assert!(
        said[4].1.starts_with("the script cannot be started: "),
        "{:?}",
        said[4]
    );
    for file in ["pid", "left_pid"] {
        gone(&folder.path().join(file)).await;
    }
}

#[tokio::test]
async fn a_result_that_the_server_refuses_is_answered_by_why() {
    let folder = tempfile::tempdir().unwrap();
    let look = flag("look", &script(&folder, "look", "#!/bin/sh\necho much\n"));
    let (tx, mut results) = mpsc::channel(4);
    let server = conversing(move |mut frames, events| {
        let tx = tx.clone();
        async move {
            frames.message().await.unwrap();
            send(&events, [ready()]).await;
            let prompt = frames.message().await.unwrap().unwrap();
            let mut log = Log::default();
            let begun = [accepted(&prompt.frame_id), started(), call(0, "look", "{}")];
            send(&events, log.numbered(begun)).await;
            let first = frames.message().await.unwrap().unwrap();
            let error = pb::TurnError {
                reason: pb::ErrorReason::LimitExceeded.into(),
                message: "too much".to_owned(),
                ..Default::default()
            };
            let rejected = Payload::FrameRejected(pb::FrameRejected {
                frame_id: first.frame_id.clone(),
                error: Some(error),
            });
            send(&events, log.numbered([rejected])).await;
            let second = frames.message().await.unwrap().unwrap();
            let rest = [accepted(&second.frame_id), text("ok"), ended("ok")];
            for frame in [first, second] {
                let Some(Frame::ToolResult(result)) = frame.frame else {
                    panic!("{frame:?}");
                };
                tx.send((result.text, result.is_error)).await.unwrap();
            }
            send(&events, log.numbered(rest)).await;
            while let Ok(Some(_)) = frames.message().await {}
        }
    })
    .await;

    let done = taiwa(&server, &["chat", "--tool", &look], "hi\n").await;

    assert_eq!(told(&done).0, Some(0), "{done:?}");
    assert_eq!(results.recv().await, Some(("much".to_owned(), false)));
    let why = "the result was refused: too much".to_owned();
    assert_eq!(results.recv().await, Some((why, true)));
}

#[tokio::test]
async fn a_cancelled_call_is_killed_with_all_that_it_started_and_not_answered() {
    let folder = tempfile::tempdir().unwrap();
    let hang = flag("hang", &script(&folder, "hang", HANG));
    let pid = folder.path().join("pid");
    let waited_for = pid.clone();
    let (tx, mut heard) = mpsc::channel(4);
    let server = conversing(move |mut frames, events| {
        let (tx, pid) = (tx.clone(), waited_for.clone());
        async move {
            frames.message().await.unwrap();
            send(&events, [ready()]).await;
            let prompt = frames.message().await.unwrap().unwrap();
            let mut log = Log::default();
            let begun = [accepted(&prompt.frame_id), started(), call(0, "hang", "{}")];
            send(&events, log.numbered(begun)).await;
            written(&pid).await;
            let cancelled = Payload::ToolCallsCancelled(pb::ToolCallsCancelled {
                tool_call_ids: vec!["c0".to_owned()],
            });
            send(&events, log.numbered([cancelled])).await;
            gone(&pid).await;
            send(&events, log.numbered([text("ok"), ended("ok")])).await;
            while let Ok(Some(frame)) = frames.message().await {
                let _ = tx.send(frame).await;
            }
        }
    })
    .await;

    let done = taiwa(&server, &["chat", "--tool", &hang], "hi\n").await;

    let (exit, stdout, stderr) = told(&done);
    assert_eq!((exit, stdout), (Some(0), "ok\n"), "{stderr}");
    assert_eq!(stderr, "⚙ hang\n✗ hang · stopped\n");
    assert!(heard.try_recv().is_err(), "nothing is answered");
}

#[tokio::test]
async fn scripts_end_with_the_command_however_it_is_ended() {
    for (signal, exit) in [("INT", 130), ("TERM", 143), ("HUP", 143)] {
        for verb in ["chat", "stream", "invoke"] {
            let folder = tempfile::tempdir().unwrap();
            let hang = flag("look", &script(&folder, "hang", HANG));
            let (tx, _results) = mpsc::channel(8);
            let server = match verb {
                "chat" => calling(&[("look", "{}")], tx).await,
                _ => pausing(1).await,
            };
            let arguments: &[&str] = match verb {
                "chat" => &["chat", "--tool", &hang],
                _ => &[verb, "hi", "--tool", &hang],
            };
            let mut child = command(&server, arguments).spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            AsyncWriteExt::write_all(&mut stdin, b"hi\n").await.unwrap();
            let pid = folder.path().join("pid");
            written(&pid).await;

            kill(signal, child.id().unwrap()).await;
            if (verb, signal) == ("chat", "INT") {
                // The first only interrupts the answer.
                gone(&pid).await;
                drop(stdin);
                assert!(soon(child.wait()).await.unwrap().code().is_some());
                continue;
            }
            let status = soon(child.wait()).await.unwrap();

            assert_eq!(status.code(), Some(exit), "{verb} {signal}");
            gone(&pid).await;
            if verb != "chat" {
                assert_eq!(server.cancelled(), ["t1"], "{verb} {signal}");
            }
        }
    }
}

#[tokio::test]
async fn calls_that_the_server_runs_are_shown_beside_the_answer() {
    let call = Payload::ToolCall(pb::ToolCall {
        tool_call_id: "c1".to_owned(),
        tool_name: "search".to_owned(),
        input_json: r#"{"q":"sky"}"#.to_owned(),
        executor: pb::ToolExecutor::Server.into(),
        ..Default::default()
    });
    let update = |status: pb::ToolCallStatus, progress: &str, text: &str| {
        Payload::ToolCallUpdate(pb::ToolCallUpdate {
            tool_call_id: "c1".to_owned(),
            tool_name: "search".to_owned(),
            status: status.into(),
            progress: progress.to_owned(),
            result: Some(pb::ToolResult {
                text: text.to_owned(),
                ..Default::default()
            }),
            duration: Some(prost_types::Duration {
                seconds: 2,
                nanos: 0,
            }),
        })
    };
    let answer = [
        started(),
        text("I look"),
        call,
        update(pb::ToolCallStatus::Running, "page 1", ""),
        update(pb::ToolCallStatus::Succeeded, "", "Blue.\n[2 more]"),
        text("Blue."),
        ended("I lookBlue."),
    ];
    let server = super::streaming(numbered(answer)).await;

    let done = taiwa(&server, &["stream", "hi"], "").await;
    let whole = taiwa(&server, &["stream", "hi", "--verbose"], "").await;

    let said = "⚙ search {\"q\": \"sky\"}\n⚙ search: page 1\n✓ search · 2.0 s: Blue. …\n";
    assert_eq!(told(&done), (Some(0), "I look\nBlue.\n", said));
    let said = "⚙ search\n    {\n      \"q\": \"sky\"\n    }\n⚙ search: page 1\n\
                ✓ search · 2.0 s\n  Blue.\n  [2 more]\n";
    assert_eq!(told(&whole), (Some(0), "I look\nBlue.\n", said));
}

#[tokio::test]
async fn tools_of_an_agent_are_listed() {
    let tool = |name: &str, description: &str, approval: pb::ApprovalMode| pb::ToolInfo {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema_json: r#"{"type":"object"}"#.to_owned(),
        approval: approval.into(),
        executor: pb::ToolExecutor::Server.into(),
    };
    let server = Fake::default()
        .list_agents(|_| {
            Ok(pb::ListAgentsResponse {
                agents: vec![pb::Agent {
                    agent_id: "helper".to_owned(),
                    is_default: true,
                    ..Default::default()
                }],
                ..Default::default()
            })
        })
        .get_agent(move |request| {
            let tools = match request.agent_id.as_str() {
                "helper" => vec![
                    tool("pay", "Pays.\nNow.", pb::ApprovalMode::Always),
                    tool("search", "Searches.", pb::ApprovalMode::Never),
                ],
                _ => Vec::new(),
            };
            Ok(pb::GetAgentResponse {
                agent: Some(pb::Agent {
                    tools,
                    ..Default::default()
                }),
            })
        })
        .start()
        .await;

    let listed = taiwa(&server, &["tools"], "").await;
    let schemas = taiwa(&server, &["tools", "helper", "--schema"], "").await;
    let json = taiwa(&server, &["tools", "--json"], "").await;
    let none = taiwa(&server, &["tools", "bare"], "").await;
    let flag = taiwa(&server, &["tools", "--agent", "bare"], "").await;
    let both = taiwa(&server, &["tools", "helper", "--agent", "bare"], "").await;

    let said = "pay     server  asks always          Pays.\n\
                search  server  runs without asking  Searches.\n";
    assert_eq!(told(&listed), (Some(0), said, ""));
    let schema = "    {\n      \"type\": \"object\"\n    }\n";
    assert_eq!(told(&schemas).1.matches(schema).count(), 2);
    let line: serde_json::Value =
        serde_json::from_str(told(&json).1.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["name"], &line["approval"], &line["inputSchemaJson"]),
        (
            &"pay".into(),
            &"APPROVAL_MODE_ALWAYS".into(),
            &r#"{"type":"object"}"#.into()
        )
    );
    for none in [none, flag] {
        assert_eq!(told(&none), (Some(0), "", "bare has no tools of its own\n"));
    }
    assert_eq!(told(&both).0, Some(2));
}

#[tokio::test]
async fn limits_on_tools_cost_and_output_travel_and_the_output_is_printed() {
    let server = Fake::default()
        .invoke(|_| async {
            let mut reply = reply("Here you are: {}");
            let result = reply.result.as_mut().unwrap();
            result.output_json = r#"{"a":1}"#.to_owned();
            result.usage.as_mut().unwrap().cost_usd = Some(0.012_34);
            Ok(reply)
        })
        .start()
        .await;
    let folder = tempfile::tempdir().unwrap();
    let schema = folder.path().join("schema.json");
    fs::write(&schema, "{\"type\": \"object\"}\n").unwrap();
    let flags = [
        "invoke",
        "hi",
        "--allow-tool",
        "a",
        "--allow-tool",
        "b",
        "--max-cost",
        "0.25",
        "--approval",
        "always",
        "--usage",
        "--output-schema",
    ];

    let from_file = taiwa(
        &server,
        &[&flags[..], &[schema.to_str().unwrap()]].concat(),
        "",
    )
    .await;
    let inline = taiwa(
        &server,
        &[&flags[..], &["{\"type\": \"object\"}"]].concat(),
        "",
    )
    .await;
    let plain = taiwa(&server, &["invoke", "hi"], "").await;

    let usage = "tokens: 7 in, 5 out · $0.0123 · session s1\n";
    assert_eq!(told(&from_file), (Some(0), "{\"a\":1}\n", usage));
    assert_eq!(told(&inline), (Some(0), "{\"a\":1}\n", usage));
    assert_eq!(told(&plain), (Some(0), "Here you are: {}\n", ""));
    let options = |schema: &str| pb::TurnOptions {
        allowed_tools: vec!["a".to_owned(), "b".to_owned()],
        max_cost_usd: 0.25,
        approval: pb::ApprovalMode::Always.into(),
        output: Some(pb::OutputFormat {
            json_schema: Some(pb::output_format::JsonSchema::SchemaJson(schema.to_owned())),
            ..Default::default()
        }),
        ..Default::default()
    };
    let sent: Vec<_> = server
        .requests()
        .into_iter()
        .filter_map(|request| request.options)
        .collect();
    let schemas = ["{\"type\": \"object\"}\n", "{\"type\": \"object\"}"];
    assert_eq!(sent[..2], schemas.map(options));
    assert_eq!(sent[2], pb::TurnOptions::default());
}

#[tokio::test]
async fn tools_that_make_no_sense_are_code_2() {
    let server = Fake::default().start().await;
    let folder = tempfile::tempdir().unwrap();
    let look = flag("look", &script(&folder, "look", "#!/bin/sh\n"));
    for arguments in [
        &["chat", "--tool", "look"][..],
        &["chat", "--tool", "look=/nowhere/look"],
        &["chat", "--tools", "/nowhere/tools.toml"],
        &["invoke", "hi", "--tool", &look, "--tool", &look],
        &["invoke", "hi", "--max-cost", "0"],
    ] {
        let done = taiwa(&server, arguments, "").await;
        assert_eq!(done.status.code(), Some(2), "{arguments:?} {done:?}");
    }
}

#[tokio::test]
async fn an_output_schema_that_is_none_is_code_2_and_what_looks_like_json_is_no_file() {
    let server = Fake::default().start().await;
    for (schema, fault) in [
        ("[1]", "a JSON Schema is an object"),
        ("\"x\"", "a JSON Schema is an object"),
        ("{", "it is not JSON"),
        ("nowhere.json", "it cannot be read"),
    ] {
        let done = taiwa(&server, &["invoke", "hi", "--output-schema", schema], "").await;

        let (code, _, said) = told(&done);
        assert_eq!(code, Some(2), "{schema} {done:?}");
        assert!(said.contains(fault), "{schema} {said}");
    }
}

/// Writes the number of a process that only the group's end ends, and waits for it.
const HANG: &str = "#!/bin/sh\nsleep 1000 &\necho $! > \"$(dirname \"$0\")/new\"\n\
                    mv \"$(dirname \"$0\")/new\" \"$(dirname \"$0\")/pid\"\nwait\n";

/// What a client declared, and what it answered.
enum Heard {
    Specs(Vec<pb::ToolSpec>),
    Result(pb::ToolResult),
}

impl Heard {
    fn unwrap_left(self) -> Vec<pb::ToolSpec> {
        match self {
            Self::Specs(specs) => specs,
            Self::Result(result) => panic!("{result:?}"),
        }
    }

    fn unwrap_right(self) -> pb::ToolResult {
        match self {
            Self::Result(result) => result,
            Self::Specs(specs) => panic!("{specs:?}"),
        }
    }
}

/// Answers each prompt with calls, and ends the turn when all are answered or it is interrupted.
async fn calling(calls: &[(&str, &str)], tx: mpsc::Sender<Heard>) -> Running {
    let calls = calls.iter().enumerate();
    let calls: Vec<_> = calls
        .map(|(id, (name, input))| call(id, name, input))
        .collect();
    conversing(move |mut frames, events| {
        let (calls, tx) = (calls.clone(), tx.clone());
        async move {
            let mut log = Log::default();
            let mut open = 0;
            while let Ok(Some(frame)) = frames.message().await {
                let said = match frame.frame {
                    Some(Frame::Setup(setup)) => {
                        let specs = setup.options.unwrap_or_default().client_tools;
                        let _ = tx.send(Heard::Specs(specs)).await;
                        vec![ready()]
                    }
                    Some(Frame::Prompt(_)) => {
                        open = calls.len();
                        let begun = [accepted(&frame.frame_id), started()];
                        log.numbered(begun.into_iter().chain(calls.clone()))
                    }
                    Some(Frame::ToolResult(result)) => {
                        let _ = tx.send(Heard::Result(result)).await;
                        open -= 1;
                        let end = (open == 0).then(|| [text("done"), ended("done")]);
                        let receipt = [accepted(&frame.frame_id)];
                        log.numbered(receipt.into_iter().chain(end.into_iter().flatten()))
                    }
                    Some(Frame::Interrupt(_)) => {
                        log.numbered([accepted(&frame.frame_id), ended("")])
                    }
                    _ => Vec::new(),
                };
                send(&events, said).await;
            }
        }
    })
    .await
}

/// Pauses so many times for two calls of `look`, whole and streamed.
async fn pausing(rounds: usize) -> Running {
    let paused = move |request: &pb::InvokeRequest| {
        let round = match request.tool_results.first() {
            None => 1,
            Some(result) => result.tool_call_id[1..2].parse::<usize>().unwrap() + 1,
        };
        if round > rounds {
            return result("done");
        }
        let calls = [0, 1].map(|call| pb::ToolCall {
            tool_call_id: format!("c{round}{call}"),
            tool_name: "look".to_owned(),
            input_json: format!("{{\"n\":{call}}}"),
            executor: pb::ToolExecutor::Client.into(),
            ..Default::default()
        });
        pb::TurnResult {
            status: pb::TurnStatus::Paused.into(),
            stop_reason: pb::StopReason::ToolUse.into(),
            pending_tool_calls: calls.into(),
            message: None,
            ..result("")
        }
    };
    Fake::default()
        .invoke(move |request| async move {
            let result = paused(&request);
            let text = match result.message {
                Some(_) => "done",
                None => "",
            };
            Ok(pb::InvokeResponse {
                text: text.to_owned(),
                result: Some(result),
            })
        })
        .stream(move |request, events| async move {
            let result = paused(&request);
            let said = result.message.as_ref().map(|_| text("done"));
            let calls = result.pending_tool_calls.clone().into_iter();
            let said = calls.map(Payload::ToolCall).chain(said);
            let end = Payload::TurnEnded(result.clone().into());
            let payloads = std::iter::once(started()).chain(said).chain([end]);
            send(&events, numbered(payloads)).await;
        })
        .cancel_turn(|_| {
            Ok(pb::CancelTurnResponse {
                result: Some(result("")),
            })
        })
        .start()
        .await
}

async fn conversing<F, Fut>(handler: F) -> Running
where
    F: Fn(Frames, Events) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Fake::default().converse(handler).start().await
}

async fn send(events: &Events, said: impl IntoIterator<Item = pb::Event>) {
    for event in said {
        if events.send(Ok(event)).await.is_err() {
            return;
        }
    }
}

fn call(id: usize, name: &str, input: &str) -> Payload {
    Payload::ToolCall(pb::ToolCall {
        tool_call_id: format!("c{id}"),
        tool_name: name.to_owned(),
        input_json: input.to_owned(),
        executor: pb::ToolExecutor::Client.into(),
        idempotency_key: format!("k{id}"),
        ..Default::default()
    })
}

/// Writes a script. By another process: a file that this one had open for writing could not be run
/// while a child of another test still holds it.
pub(super) fn script(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    let mut writer = std::process::Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
    path
}

fn flag(name: &str, script: &Path) -> String {
    format!("{name}={}", script.display())
}

/// Waits until a process has written its number.
async fn written(file: &Path) {
    poll(|| std::future::ready(file.exists())).await;
}

/// Waits until the process of this number is no more.
async fn gone(file: &Path) {
    let pid = fs::read_to_string(file).unwrap().trim().to_owned();
    poll(|| async {
        let mut asking = Command::new("kill");
        let asked = asking.args(["-0", &pid]).stderr(Stdio::null()).status();
        !asked.await.unwrap().success() || is_zombie(&pid)
    })
    .await;
}

/// Killed, and not fetched by whoever adopts such processes here.
fn is_zombie(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|status| status.contains(") Z "))
}

pub(super) async fn kill(signal: &str, pid: u32) {
    let (signal, pid) = (format!("-{signal}"), pid.to_string());
    let killed = Command::new("kill").args([signal, pid]).status().await;
    assert!(killed.unwrap().success());
}

async fn poll<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    soon(async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
