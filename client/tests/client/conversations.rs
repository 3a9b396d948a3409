//! Converse.

use serde_json::json;
use taiwa_client::{Client, Error, Payload, Reconnect, Setup, Tools, pb};
use tokio::sync::mpsc;
use tonic::Status;

use crate::{
    fake::{Events, Fake, Frames, Running, client_of, soon},
    script::{Log, accepted, answer, ended, numbered, ready, started, text},
};
use pb::converse_request::Frame;

#[tokio::test]
async fn prompts_are_answered_and_half_closing_ends_well() {
    let server = echo().await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let setup = Setup::default()
        .agent("assistant")
        .input_policy(pb::InputPolicy::Steer);

    let mut conversation = client.converse(setup).await.unwrap();
    assert_eq!(conversation.session().session_id, "s1");
    conversation.send_prompt("one").await.unwrap();
    conversation.send_prompt("two").await.unwrap();
    conversation.finish();
    let mut said = String::new();
    while let Some(event) = soon(conversation.next()).await.unwrap() {
        said.push_str(event.text().unwrap_or_default());
    }

    assert_eq!(
        said,
        "assistant INPUT_POLICY_STEER: you said one. you said two. "
    );
    let error = conversation.send_prompt("three").await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
}

#[tokio::test]
async fn frames_are_named_and_arrive_as_what_they_are() {
    let (tx, mut frames) = mpsc::channel(8);
    let server = conversing(move |mut from_client, events| {
        let tx = tx.clone();
        async move {
            let _ = events.send(Ok(ready())).await;
            while let Ok(Some(frame)) = from_client.message().await {
                tx.send(frame).await.unwrap();
            }
        }
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let mut conversation = client.converse(Setup::default()).await.unwrap();
    let input = pb::UserInput {
        context_only: true,
        ..Default::default()
    };
    let answer = pb::ToolResult {
        tool_call_id: "c1".to_owned(),
        ..Default::default()
    };
    let update = pb::SessionUpdate {
        replace_client_tools: true,
        ..Default::default()
    };
    let sent = [
        conversation.send_prompt("hi").await.unwrap(),
        conversation.send_input(input.clone()).await.unwrap(),
        conversation.send_tool_result(answer.clone()).await.unwrap(),
        conversation.interrupt().await.unwrap(),
        conversation.update(update.clone()).await.unwrap(),
    ];
    conversation.finish();

    let mut got = Vec::new();
    while let Some(frame) = soon(frames.recv()).await {
        got.push(frame);
        if got.len() == 6 {
            break;
        }
    }
    let names: Vec<_> = got
        .iter()
        .skip(1)
        .map(|frame| frame.frame_id.clone())
        .collect();
    assert_eq!(names, sent);
    let contents: Vec<_> = got.into_iter().filter_map(|frame| frame.frame).collect();
    let Frame::Setup(setup) = &contents[0] else {
        panic!("{contents:?}");
    };
    let setup = pb::SessionSetup {
        // Made by the client, so that it may repeat the set-up.
        request_id: setup.request_id.clone(),
        ..Default::default()
    };
    let expected = [
        Frame::Setup(setup),
        Frame::Prompt("hi".to_owned()),
        Frame::Input(input),
        Frame::ToolResult(answer),
        Frame::Interrupt(pb::Interrupt::default()),
        Frame::Update(update),
    ];
    assert_eq!(contents, expected);
}

#[tokio::test]
async fn speaking_and_listening_go_on_at_once_in_two_tasks() {
    let server = conversing(|mut frames, events| async move {
        let _ = events.send(Ok(ready())).await;
        let mut log = Log::default();
        send(&events, log.numbered([started(), text("a")])).await;
        while let Ok(Some(frame)) = frames.message().await {
            if matches!(frame.frame, Some(Frame::Interrupt(_))) {
                let end = [accepted(&frame.frame_id), ended("a")];
                send(&events, log.numbered(end)).await;
            }
        }
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let conversation = client.converse(Setup::default()).await.unwrap();
    let (sender, mut receiver) = conversation.split();
    let sender = sender.unwrap();
    let (tx, mut heard) = mpsc::channel(1);
    let listening = tokio::spawn(async move {
        let mut ended = false;
        while let Some(event) = receiver.next().await.unwrap() {
            if event.text().is_some() {
                tx.send(()).await.unwrap();
            }
            ended |= event.turn_ended().is_some();
        }
        ended
    });
    soon(heard.recv()).await.unwrap();
    sender.interrupt().await.unwrap();
    sender.finish();

    assert!(soon(listening).await.unwrap());
}

#[tokio::test]
async fn tool_calls_are_answered_while_events_are_read() {
    let server = conversing(|mut frames, events| async move {
        let setup = frames.message().await.unwrap().unwrap();
        let Some(Frame::Setup(setup)) = setup.frame else {
            return;
        };
        let declared = setup.options.unwrap().client_tools[0].name.clone();
        let _ = events.send(Ok(ready())).await;
        let calls = [
            ("c1", "add", r#"{"a":1,"b":2}"#),
            ("c2", "fail", "{}"),
            ("c3", "panic", "{}"),
        ];
        let calls = calls.map(|(id, name, input)| {
            Payload::ToolCall(pb::ToolCall {
                tool_call_id: id.to_owned(),
                tool_name: name.to_owned(),
                input_json: input.to_owned(),
                executor: pb::ToolExecutor::Client.into(),
                ..Default::default()
            })
        });
        let mut log = Log::default();
        send(&events, log.numbered([started()].into_iter().chain(calls))).await;
        let mut answers = Vec::new();
        while answers.len() < 3 {
            let frame = frames.message().await.unwrap().unwrap();
            if let Some(Frame::ToolResult(result)) = frame.frame {
                send(&events, log.numbered([accepted(&frame.frame_id)])).await;
                answers.push(format!(
                    "{}={} {}",
                    result.tool_call_id, result.text, result.is_error
                ));
            }
        }
        answers.sort();
        let summary = format!("{declared}: {}", answers.join(", "));
        send(&events, log.numbered([text(&summary), ended(&summary)])).await;
        while let Ok(Some(_)) = frames.message().await {}
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let schema = json!({"type": "object"});
    let tools = Tools::new()
        .add("add", "Adds.", &schema, |input| async move {
            let number = |key: &str| input[key].as_i64().ok_or("no number");
            Ok::<_, &str>((number("a")? + number("b")?).to_string())
        })
        .add("fail", "Fails.", &schema, |_| async {
            Err::<String, _>("no luck")
        })
        .add("panic", "Breaks.", &schema, |input| async move {
            assert!(input.is_null(), "a tool's own bug");
            Ok::<_, &str>(String::new())
        });

    let conversation = client
        .converse(Setup::default().tools(&tools))
        .await
        .unwrap();
    let mut conversation = conversation.answer_with(tools);
    let mut said = String::new();
    while let Some(event) = soon(conversation.next()).await.unwrap() {
        said.push_str(event.text().unwrap_or_default());
        if event.turn_ended().is_some() {
            conversation.finish();
        }
    }

    assert_eq!(
        said,
        "add: c1=3 false, c2=no luck true, c3=the tool broke down true"
    );
}

#[tokio::test]
async fn a_cancelled_tool_call_is_stopped_and_not_answered() {
    struct Stopped(mpsc::Sender<()>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }
    let server = conversing(|mut frames, events| async move {
        let _ = events.send(Ok(ready())).await;
        let call = Payload::ToolCall(pb::ToolCall {
            tool_call_id: "c1".to_owned(),
            tool_name: "wait".to_owned(),
            input_json: "{}".to_owned(),
            executor: pb::ToolExecutor::Client.into(),
            ..Default::default()
        });
        let mut log = Log::default();
        send(&events, log.numbered([started(), call])).await;
        let mut answered = false;
        while let Ok(Some(frame)) = frames.message().await {
            match frame.frame {
                Some(Frame::ToolResult(_)) => answered = true,
                Some(Frame::Interrupt(_)) => {
                    let cancelled = Payload::ToolCallsCancelled(pb::ToolCallsCancelled {
                        tool_call_ids: vec!["c1".to_owned()],
                    });
                    let said = [accepted(&frame.frame_id), cancelled, ended("")];
                    send(&events, log.numbered(said)).await;
                }
                _ => {}
            }
        }
        let said = if answered { "answered" } else { "not answered" };
        send(&events, log.numbered([text(said)])).await;
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let (begun_tx, mut begun) = mpsc::channel(1);
    let (tx, mut stopped) = mpsc::channel(1);
    let tools = Tools::new().add("wait", "Waits.", &json!({"type": "object"}), move |_| {
        let stopped = Stopped(tx.clone());
        let begun = begun_tx.clone();
        async move {
            begun.send(()).await.unwrap();
            std::future::pending::<()>().await;
            drop(stopped);
            Ok::<_, &str>(String::new())
        }
    });

    let conversation = client
        .converse(Setup::default().tools(&tools))
        .await
        .unwrap();
    let mut conversation = conversation.answer_with(tools);
    let mut said = String::new();
    loop {
        tokio::select! {
            event = soon(conversation.next()) => match event.unwrap() {
                Some(event) => {
                    said.push_str(event.text().unwrap_or_default());
                    if event.turn_ended().is_some() {
                        soon(stopped.recv()).await.unwrap();
                        conversation.finish();
                    }
                }
                None => break,
            },
            Some(()) = begun.recv() => { conversation.interrupt().await.unwrap(); }
        }
    }

    assert_eq!(said, "not answered");
}

#[tokio::test]
async fn a_refused_setup_is_an_error_of_the_opening() {
    let server = conversing(|_, events| async move {
        let _ = events.send(Err(Status::not_found("no such agent"))).await;
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let error = client
        .converse(Setup::default().agent("nobody"))
        .await
        .unwrap_err();

    assert_eq!(error.to_string(), "no such agent");
}

#[tokio::test]
async fn a_conversation_that_does_not_begin_with_the_session_breaks_the_contract() {
    let server = conversing(|_, events| async move { send(&events, answer(&["hi"])).await }).await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let error = client.converse(Setup::default()).await.unwrap_err();

    assert!(matches!(error, Error::Contract(_)), "{error:?}");
}

#[tokio::test]
async fn an_end_in_mid_turn_was_cut_even_after_half_closing() {
    let server = conversing(|mut frames, events| async move {
        let _ = events.send(Ok(ready())).await;
        send(&events, numbered([started(), text("Hel")])).await;
        while let Ok(Some(_)) = frames.message().await {}
    })
    .await;
    let client = client_of(&server.endpoint, Reconnect::off()).await;

    let mut conversation = client.converse(Setup::default()).await.unwrap();
    conversation.finish();
    let error = loop {
        match soon(conversation.next()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it must not end well"),
            Err(error) => break error,
        }
    };

    let Error::Cut { turn_id, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(turn_id, "t1");
}

#[tokio::test]
async fn an_end_that_nobody_asked_for_was_cut() {
    let server = conversing(|_, events| async move {
        let _ = events.send(Ok(ready())).await;
    })
    .await;
    let client = client_of(&server.endpoint, Reconnect::off()).await;

    let mut conversation = client.converse(Setup::default()).await.unwrap();
    let error = soon(conversation.next()).await.unwrap_err();

    assert!(matches!(error, Error::Cut { .. }), "{error:?}");
}

#[tokio::test]
async fn dropping_a_conversation_closes_the_call_at_the_server() {
    let (tx, mut closed) = mpsc::channel(1);
    let server = conversing(move |_frames, events| {
        let tx = tx.clone();
        async move {
            let _ = events.send(Ok(ready())).await;
            events.closed().await;
            tx.send(()).await.unwrap();
        }
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    drop(client.converse(Setup::default()).await.unwrap());

    soon(closed.recv()).await.unwrap();
}

/// Answers each prompt, and names the set-up in the first answer.
async fn echo() -> Running {
    conversing(|mut frames, events| async move {
        let mut log = Log::default();
        let mut preface = String::new();
        let mut prompts = 0;
        while let Ok(Some(frame)) = frames.message().await {
            match frame.frame {
                Some(Frame::Setup(setup)) => {
                    let policy = setup.input_policy().as_str_name();
                    preface = format!("{} {policy}: ", setup.agent_id);
                    let _ = events.send(Ok(ready())).await;
                }
                Some(Frame::Prompt(prompt)) => {
                    prompts += 1;
                    let said = format!("{preface}you said {prompt}. ");
                    preface.clear();
                    send(&events, log.answer(&frame.frame_id, &[&said])).await;
                }
                _ => {}
            }
        }
        assert_eq!(prompts, 2);
    })
    .await
}

async fn conversing<F, Fut>(handler: F) -> Running
where
    F: Fn(Frames, Events) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Fake::default().converse(handler).start().await
}

async fn send(out: &Events, events: impl IntoIterator<Item = pb::Event>) {
    for event in events {
        if out.send(Ok(event)).await.is_err() {
            return;
        }
    }
}
