//! Commands whose connection is lost, and conversations that go on another day.

use std::sync::{Arc, Mutex};

use taiwa_client::pb;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc,
};
use tonic::Status;

use super::{command, taiwa, told};
use crate::{
    fake::{Fake, Running, soon},
    script::{Log, answer, message, numbered, ready, reply, result, resumed, started, text},
};
use pb::converse_request::Frame;

const LOST: &str = "the connection was lost; trying to resume\nresumed\n";

#[tokio::test]
async fn stream_resumes_and_says_so_on_the_side() {
    let server = Fake::default()
        .stream(|_, out| async move {
            for event in numbered([started(), text("Hel")]) {
                out.send(Ok(event)).await.unwrap();
            }
        })
        .resume(|request, out| async move {
            out.send(Ok(resumed(request.after_sequence, 4, 0)))
                .await
                .unwrap();
            for event in answer(&["Hel", "lo."]).into_iter().skip(2) {
                out.send(Ok(event)).await.unwrap();
            }
        })
        .start()
        .await;

    let done = patient(&server, &["stream", "hi"], "").await;

    assert_eq!(told(&done), (Some(0), "Hello.\n", LOST));
}

#[tokio::test]
async fn an_answer_with_a_gap_is_code_7_and_the_rest_is_printed() {
    let server = Fake::default()
        .stream(|_, out| async move {
            for event in numbered([started(), text("a")]) {
                out.send(Ok(event)).await.unwrap();
            }
        })
        .resume(|request, out| async move {
            out.send(Ok(resumed(request.after_sequence, 5, 1)))
                .await
                .unwrap();
            for event in answer(&["a", "b", "c"]).into_iter().skip(3) {
                out.send(Ok(event)).await.unwrap();
            }
        })
        .start()
        .await;

    let done = patient(&server, &["stream", "hi"], "").await;

    let said = "the connection was lost; trying to resume\n\
                resumed; 1 events are gone for good\n\
                taiwa: 1 events after event 2 are gone for good\n";
    assert_eq!(told(&done), (Some(7), "ac\n", said));
}

#[tokio::test]
async fn invoke_asks_again_and_says_so_on_the_side() {
    let asked = Arc::new(Mutex::new(0));
    let server = Fake::default()
        .invoke(move |_| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            let answer = match *asked {
                1 => Err(Status::unavailable("a moment")),
                _ => Ok(reply("Hello.")),
            };
            async { answer }
        })
        .start()
        .await;

    let done = patient(&server, &["invoke", "hi"], "").await;

    assert_eq!(told(&done), (Some(0), "Hello.\n", LOST));
}

#[tokio::test]
async fn chat_goes_on_where_it_was() {
    let connections = Arc::new(Mutex::new(0));
    let server = Fake::default()
        .converse(move |mut frames, out| {
            let is_first = {
                let mut connections = connections.lock().unwrap();
                *connections += 1;
                *connections == 1
            };
            async move {
                frames.message().await.unwrap();
                out.send(Ok(ready())).await.unwrap();
                let mut log = Log::default();
                let mut events = log.answer("f", &["Hel", "lo."]);
                if is_first {
                    let prompt = frames.message().await.unwrap().unwrap();
                    events = Log::default().answer(&prompt.frame_id, &["Hel", "lo."]);
                    events.truncate(3);
                } else {
                    out.send(Ok(resumed(3, 5, 0))).await.unwrap();
                    events.drain(..3);
                }
                for event in events {
                    out.send(Ok(event)).await.unwrap();
                }
                while !is_first && frames.message().await.is_ok_and(|frame| frame.is_some()) {}
            }
        })
        .start()
        .await;

    let done = patient(&server, &["chat"], "hi\n").await;

    assert_eq!(told(&done), (Some(0), "Hello.\n", LOST));
}

#[tokio::test]
async fn chat_recalls_what_was_said_in_its_session() {
    let (tx, mut setups) = mpsc::channel(1);
    let server = Fake::default()
        .list_messages(|request| {
            assert_eq!(request.session_id, "yesterday");
            Ok(pb::ListMessagesResponse {
                messages: vec![
                    message(pb::Role::User, "why?"),
                    message(pb::Role::Assistant, "Because."),
                ],
                ..Default::default()
            })
        })
        .converse(move |mut frames, out| {
            let tx = tx.clone();
            async move {
                let mut log = Log::default();
                while let Ok(Some(frame)) = frames.message().await {
                    let events = match frame.frame {
                        Some(Frame::Setup(setup)) => {
                            tx.send(setup.session_id).await.unwrap();
                            vec![ready()]
                        }
                        Some(Frame::Prompt(_)) => log.answer(&frame.frame_id, &["Yes."]),
                        _ => Vec::new(),
                    };
                    for event in events {
                        out.send(Ok(event)).await.unwrap();
                    }
                }
            }
        })
        .start()
        .await;

    let arguments = ["chat", "--session", "yesterday"];
    let done = taiwa(&server, &arguments, "really?\n").await;

    assert_eq!(told(&done), (Some(0), "Yes.\n", "› why?\n  Because.\n\n"));
    assert_eq!(soon(setups.recv()).await.unwrap(), "yesterday");
}

#[tokio::test]
async fn chat_begins_a_session_by_its_name_when_there_is_nothing_to_recall() {
    let server = Fake::default()
        .list_messages(|_| Err(Status::not_found("there is no such session")))
        .converse(|mut frames, out| async move {
            let mut log = Log::default();
            while let Ok(Some(frame)) = frames.message().await {
                let events = match frame.frame {
                    Some(Frame::Setup(_)) => vec![ready()],
                    Some(Frame::Prompt(_)) => log.answer(&frame.frame_id, &["Hi."]),
                    _ => Vec::new(),
                };
                for event in events {
                    out.send(Ok(event)).await.unwrap();
                }
            }
        })
        .start()
        .await;

    let done = taiwa(&server, &["chat", "--session", "new"], "hello\n").await;

    assert_eq!(told(&done), (Some(0), "Hi.\n", ""));
}

#[cfg(unix)]
#[tokio::test]
async fn leaving_a_chat_in_mid_answer_cancels_the_turn() {
    let (interrupted, mut saw_interrupt) = mpsc::channel(1);
    let (cancelled, mut saw_cancel) = mpsc::channel(1);
    let server = Fake::default()
        .converse(move |mut frames, out| {
            let interrupted = interrupted.clone();
            async move {
                let mut log = Log::default();
                while let Ok(Some(frame)) = frames.message().await {
                    let events = match frame.frame {
                        Some(Frame::Setup(_)) => vec![ready()],
                        Some(Frame::Prompt(_)) => log.numbered([started(), text("on and on\n")]),
                        Some(Frame::Interrupt(_)) => {
                            interrupted.send(()).await.unwrap();
                            Vec::new()
                        }
                        _ => Vec::new(),
                    };
                    for event in events {
                        out.send(Ok(event)).await.unwrap();
                    }
                }
            }
        })
        .cancel_turn(move |request| {
            cancelled.try_send(request).unwrap();
            Ok(pb::CancelTurnResponse {
                result: Some(result("")),
            })
        })
        .start()
        .await;
    let mut child = command(&server, &["chat"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"long\n").await.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    soon(lines.next_line()).await.unwrap();

    interrupt(&child).await;
    soon(saw_interrupt.recv()).await.unwrap();
    interrupt(&child).await;

    let request = soon(saw_cancel.recv()).await.unwrap();
    assert_eq!((&*request.session_id, &*request.turn_id), ("s1", ""));
    let done = soon(child.wait_with_output()).await.unwrap();
    assert_eq!(told(&done), (Some(130), "", "taiwa: interrupted\n"));
}

#[cfg(unix)]
async fn interrupt(child: &Child) {
    let pid = child.id().unwrap().to_string();
    let mut kill = Command::new("kill");
    kill.args(["-INT", &pid]).status().await.unwrap();
}

/// Runs the command as users do, who come back when the connection is lost.
async fn patient(server: &Running, arguments: &[&str], input: &str) -> std::process::Output {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--reconnect-for", "20s"]);
    taiwa(server, &arguments, input).await
}
