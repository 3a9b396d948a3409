//! Invoke and InvokeStream.

use std::time::Duration;

use serde_json::json;
use taiwa_client::{Client, Code, Error, Payload, Reconnect, Request, Tools, pb};
use tokio::sync::mpsc;
use tonic::Status;

use crate::{
    fake::{Events, Fake, client_of, soon, timeout_of},
    script::{answer, ended, numbered, reply, result, started, text},
};

#[tokio::test]
async fn a_string_is_a_whole_request_and_the_reply_is_whole() {
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("Hello.")) })
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let got = client.invoke("hi").await.unwrap();

    assert_eq!(got.text, "Hello.");
    assert_eq!(got.result, result("Hello."));
    let requests = server.requests();
    let sent = pb::InvokeRequest {
        prompt: "hi".to_owned(),
        // Made by the client, so that it may repeat the request.
        request_id: requests[0].request_id.clone(),
        ..Default::default()
    };
    assert_eq!(requests[0].request_id.len(), 36);
    assert_eq!(requests, [sent]);
}

#[tokio::test]
async fn every_setting_of_a_request_travels() {
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("")) })
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let request = Request::new("hi")
        .agent("a")
        .session("s")
        .request_id("r")
        .model("m")
        .system("y")
        .max_tokens(9)
        .temperature(0.5)
        .content(pb::content_block::Block::Text("more".to_owned()))
        .tool_result(pb::ToolResult::default())
        .stream_options(pb::StreamOptions {
            omit_deltas: true,
            ..Default::default()
        })
        .timeout(Duration::from_secs(30))
        .metadata("x-caller".parse().unwrap(), "me".parse().unwrap());

    client.invoke(request).await.unwrap();

    let block = pb::content_block::Block::Text("more".to_owned());
    let sent = pb::InvokeRequest {
        prompt: "hi".to_owned(),
        content: vec![pb::ContentBlock { block: Some(block) }],
        agent_id: "a".to_owned(),
        session_id: "s".to_owned(),
        request_id: "r".to_owned(),
        tool_results: vec![pb::ToolResult::default()],
        options: Some(pb::TurnOptions {
            model_id: "m".to_owned(),
            system: "y".to_owned(),
            max_tokens: Some(9),
            temperature: Some(0.5),
            ..Default::default()
        }),
        stream: Some(pb::StreamOptions {
            omit_deltas: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(server.requests(), [sent]);
    let headers = &server.headers()[0];
    assert_eq!(headers.get("x-caller").unwrap(), "me");
    assert_eq!(timeout_of(headers), 30);
}

#[tokio::test]
async fn events_arrive_in_order_and_the_end_is_the_turns_end() {
    let server = streaming(|events| send(events, answer(&["Hel", "lo."]))).await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let mut turn = client.stream("hi").await.unwrap();
    let mut seen = Vec::new();
    while let Some(event) = turn.next().await.unwrap() {
        seen.push((event.sequence, event.text().map(str::to_owned)));
    }

    let piece = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [(1, None), (2, piece("Hel")), (3, piece("lo.")), (4, None)]
    );
    assert_eq!(turn.result(), Some(&result("Hello.")));
    assert_eq!(turn.session_id(), "s1");
    assert_eq!(
        turn.next().await.unwrap(),
        None,
        "an ended turn stays ended"
    );
}

#[tokio::test]
async fn text_reads_a_stream_to_the_reply() {
    let server = streaming(|events| send(events, answer(&["Hel", "lo."]))).await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let text = client.stream("hi").await.unwrap().text().await.unwrap();

    assert_eq!(text, "Hello.");
}

#[tokio::test]
async fn an_event_that_this_version_does_not_know_is_skipped() {
    let server = streaming(|events| async {
        let mut all = answer(&["Hello."]);
        all[1].payload = None;
        send(events, all).await;
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let mut turn = client.stream("hi").await.unwrap();
    let mut sequences = Vec::new();
    while let Some(event) = turn.next().await.unwrap() {
        sequences.push(event.sequence);
    }

    assert_eq!(sequences, [1, 3]);
}

#[tokio::test]
async fn a_stream_that_ends_ok_without_turn_ended_was_cut() {
    let server = streaming(|events| send(events, numbered([started(), text("Hel")]))).await;
    let client = client_of(&server.endpoint, Reconnect::off()).await;

    let mut turn = client.stream("hi").await.unwrap();
    let error = turn.finish().await.unwrap_err();

    let Error::Cut {
        session_id,
        turn_id,
        last_sequence,
        source: None,
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (session_id.as_str(), turn_id.as_str(), *last_sequence),
        ("s1", "t1", 2)
    );
    assert!(!error.is_retryable(), "the turn may have run");
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_turn_is_a_cut_with_its_cause() {
    let (tx, mut kill) = mpsc::channel(1);
    let proxy = crate::connections::Proxy::start().await;
    let server = streaming(move |events| {
        let tx = tx.clone();
        async move {
            send(events.clone(), numbered([started(), text("Hel")])).await;
            tx.send(()).await.unwrap();
            events.closed().await;
        }
    })
    .await;
    proxy.lead_to(&server.endpoint);
    let client = client_of(&proxy.endpoint, Reconnect::off()).await;

    let mut turn = client.stream("hi").await.unwrap();
    kill.recv().await.unwrap();
    turn.next().await.unwrap();
    turn.next().await.unwrap();
    proxy.break_connections();
    let error = soon(turn.next()).await.unwrap_err();

    let Error::Cut {
        last_sequence: 2,
        source: Some(_),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
}

#[tokio::test]
async fn a_failed_turn_gives_its_last_event_and_then_the_error() {
    let failed = pb::TurnResult {
        status: pb::TurnStatus::Failed.into(),
        stop_reason: pb::StopReason::Incomplete.into(),
        ..result("Hel")
    };
    let events = numbered([
        started(),
        text("Hel"),
        Payload::TurnEnded(failed.clone().into()),
    ]);
    let server = streaming(move |out| {
        let events = events.clone();
        async move {
            send(out.clone(), events).await;
            let _ = out
                .send(Err(Status::unavailable("the model's stream broke")))
                .await;
        }
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let mut turn = client.stream("hi").await.unwrap();
    let error = turn.finish().await.unwrap_err();

    assert_eq!(error.to_string(), "the model's stream broke");
    assert_eq!(turn.result(), Some(&failed), "what was said is kept");
}

#[tokio::test]
async fn a_failed_turn_is_an_error_even_if_the_status_is_ok() {
    let error = pb::TurnError {
        grpc_code: Code::ResourceExhausted.into(),
        reason: pb::ErrorReason::ModelThrottled.into(),
        message: "slow down".to_owned(),
        retryable: true,
        retry_delay: Some(prost_types::Duration {
            seconds: 2,
            nanos: 0,
        }),
        ..Default::default()
    };
    let failed = pb::TurnResult {
        status: pb::TurnStatus::Failed.into(),
        error: Some(error),
        ..result("")
    };
    let events = numbered([started(), Payload::TurnEnded(failed.into())]);
    let server = streaming(move |out| send(out, events.clone())).await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let error = client.stream("hi").await.unwrap().text().await.unwrap_err();

    assert_eq!(error.reason(), pb::ErrorReason::ModelThrottled);
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(error.retry_delay(), Some(Duration::from_secs(2)));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn dropping_a_turn_closes_the_call_at_the_server() {
    let (tx, mut closed) = mpsc::channel(1);
    let server = streaming(move |events| {
        let tx = tx.clone();
        async move {
            send(events.clone(), numbered([started()])).await;
            events.closed().await;
            tx.send(()).await.unwrap();
        }
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let mut turn = client.stream("hi").await.unwrap();
    turn.next().await.unwrap();
    drop(turn);

    soon(closed.recv()).await.unwrap();
}

#[tokio::test]
async fn dropping_an_invoke_closes_the_call_at_the_server() {
    struct Told(mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }
    let (begun_tx, mut begun) = mpsc::channel(1);
    let (tx, mut closed) = mpsc::channel(1);
    let server = Fake::default()
        .invoke(move |_| {
            let told = Told(tx.clone());
            let begun = begun_tx.clone();
            async move {
                begun.send(()).await.unwrap();
                std::future::pending::<()>().await;
                drop(told);
                Ok(reply(""))
            }
        })
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    tokio::select! {
        _ = client.invoke("hi") => panic!("there is no answer"),
        _ = begun.recv() => {}
    }

    soon(closed.recv()).await.unwrap();
}

#[tokio::test]
async fn thousands_of_cancels_do_not_harm_another_turn_on_the_connection() {
    let server = Fake::default()
        .stream(|request, events| async move {
            let pieces = numbered(std::iter::once(started()).chain((0..40).map(|_| text("x"))));
            send(events.clone(), pieces).await;
            if request.prompt == "stay" {
                events.closed().await;
            }
        })
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let mut staying = client.stream("stay").await.unwrap();
    staying.next().await.unwrap();

    // Twice what HTTP/2 stacks put up with where they take it for an attack.
    for _ in 0..2_000 {
        // Dropped with more under way, which then arrives for a stream that is gone.
        let mut turn = client.stream("go").await.unwrap();
        turn.next().await.unwrap();
    }

    for _ in 0..40 {
        assert_eq!(
            soon(staying.next()).await.unwrap().unwrap().text(),
            Some("x")
        );
    }
    let calm = tokio::time::timeout(Duration::from_millis(50), staying.next());
    assert!(calm.await.is_err(), "it still runs");
}

#[tokio::test]
async fn a_timeout_holds_for_the_whole_stream() {
    let server = streaming(|events| async move {
        send(events.clone(), numbered([started()])).await;
        events.closed().await;
    })
    .await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let allowed = Duration::from_millis(200);

    let mut turn = client
        .stream(Request::new("hi").timeout(allowed))
        .await
        .unwrap();
    let error = soon(turn.finish()).await.unwrap_err();

    let Error::DeadlineExceeded { allowed: told } = error else {
        panic!("{error:?}");
    };
    assert_eq!(told, allowed);
}

#[tokio::test]
async fn a_timeout_holds_before_the_answer_begins() {
    let server = Fake::default()
        .invoke(|_| std::future::pending())
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let request = Request::new("hi").timeout(Duration::from_millis(100));

    let error = soon(client.invoke(request)).await.unwrap_err();

    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(error.reason(), pb::ErrorReason::DeadlineExceeded);
}

#[tokio::test]
async fn tools_are_declared_run_and_answered_until_the_turn_is_complete() {
    let server = Fake::default()
        .invoke(|request| async move {
            if !request.tool_results.is_empty() {
                return Ok(reply("It is sunny."));
            }
            let call = |id: &str, name: &str, input: &str| pb::ToolCall {
                tool_call_id: id.to_owned(),
                tool_name: name.to_owned(),
                input_json: input.to_owned(),
                executor: pb::ToolExecutor::Client.into(),
                ..Default::default()
            };
            Ok(pb::InvokeResponse {
                text: String::new(),
                result: Some(pb::TurnResult {
                    session_id: "s9".to_owned(),
                    status: pb::TurnStatus::Paused.into(),
                    pending_tool_calls: vec![
                        call("c1", "weather", r#"{"city":"Bern"}"#),
                        call("c2", "weather", "{}"),
                        call("c3", "oracle", "{}"),
                        call("c4", "weather", "{"),
                    ],
                    ..Default::default()
                }),
            })
        })
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let schema = json!({"type": "object"});
    let tools = Tools::new().add("weather", "The weather.", &schema, |input| async move {
        let city = input["city"].as_str().ok_or("which city?")?;
        Ok::<_, &str>(format!("Sunny in {city}."))
    });

    let got = client
        .invoke_with_tools(Request::new("weather?").agent("a"), &tools)
        .await
        .unwrap();

    assert_eq!(got.text, "It is sunny.");
    let [first, second] = &server.requests()[..] else {
        panic!("two requests");
    };
    let declared = &first.options.as_ref().unwrap().client_tools;
    assert_eq!(declared[..], tools.specs()[..]);
    assert_eq!(declared[0].name, "weather");
    let outcomes = second.tool_results.iter();
    let outcomes: Vec<_> = outcomes
        .map(|result| {
            (
                result.tool_call_id.as_str(),
                result.text.as_str(),
                result.is_error,
            )
        })
        .collect();
    assert_eq!(outcomes[0], ("c1", "Sunny in Bern.", false));
    assert_eq!(outcomes[1], ("c2", "which city?", true));
    assert_eq!(
        outcomes[2],
        ("c3", "there is no tool named \"oracle\"", true)
    );
    assert_eq!((outcomes[3].0, outcomes[3].2), ("c4", true));
    let continued = (
        second.session_id.as_str(),
        second.agent_id.as_str(),
        second.prompt.as_str(),
    );
    assert_eq!(continued, ("s9", "a", ""));
    assert_eq!(second.options, first.options);
}

#[tokio::test]
async fn a_timeout_holds_for_tools_too() {
    let server = Fake::default()
        .invoke(|_| async {
            let call = pb::ToolCall {
                tool_name: "wait".to_owned(),
                input_json: "{}".to_owned(),
                ..Default::default()
            };
            let paused = pb::TurnResult {
                status: pb::TurnStatus::Paused.into(),
                pending_tool_calls: vec![call],
                ..Default::default()
            };
            Ok(pb::InvokeResponse {
                text: String::new(),
                result: Some(paused),
            })
        })
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let tools = Tools::new().add("wait", "Waits.", &json!({"type": "object"}), |_| {
        std::future::pending::<Result<String, String>>()
    });
    let request = Request::new("wait").timeout(Duration::from_millis(200));

    let error = soon(client.invoke_with_tools(request, &tools))
        .await
        .unwrap_err();

    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_without_a_result_breaks_the_contract() {
    let server = Fake::default()
        .invoke(|_| async { Ok(pb::InvokeResponse::default()) })
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let error = client.invoke("hi").await.unwrap_err();

    assert!(matches!(error, Error::Contract(_)), "{error:?}");
}

#[tokio::test]
async fn an_ending_that_breaks_after_the_turns_end_is_no_error() {
    let (tx, mut done) = mpsc::channel(1);
    let proxy = crate::connections::Proxy::start().await;
    let server = streaming(move |events| {
        let tx = tx.clone();
        async move {
            send(events.clone(), numbered([started(), ended("")])).await;
            tx.send(()).await.unwrap();
            events.closed().await;
        }
    })
    .await;
    proxy.lead_to(&server.endpoint);
    let client = Client::connect(&proxy.endpoint).await.unwrap();

    let mut turn = client.stream("hi").await.unwrap();
    done.recv().await.unwrap();
    turn.next().await.unwrap();
    turn.next().await.unwrap();
    proxy.break_connections();

    assert_eq!(soon(turn.next()).await.unwrap(), None);
}

async fn streaming<F, Fut>(handler: F) -> crate::fake::Running
where
    F: Fn(Events) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Fake::default()
        .stream(move |_, events| handler(events))
        .start()
        .await
}

async fn send(out: Events, events: Vec<pb::Event>) {
    for event in events {
        if out.send(Ok(event)).await.is_err() {
            return;
        }
    }
}
