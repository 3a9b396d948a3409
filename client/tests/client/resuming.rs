//! Turns whose connection is lost, and what becomes of them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use taiwa_client::{Client, Connection, Error, Payload, Reconnect, Request, pb};
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    connections::Proxy,
    fake::{Events, Fake, Running, client_of, quick, soon},
    script::{answer, numbered, reply, result, resumed, started, text},
};

#[tokio::test]
async fn a_turn_cut_after_any_event_goes_on_without_loss_or_repeat() {
    let whole = answer(&["Hel", "lo", "."]);
    for cut in 0..=whole.len() {
        for how in [Cut::Ok, Cut::Unavailable, Cut::ShuttingDown] {
            let server = Server::cutting(whole.clone(), vec![cut], how).await;

            let (seen, error) = read(&server.running.client().await).await;

            assert_eq!(seen, whole, "{how:?} after {cut}");
            assert!(error.is_none(), "{how:?} after {cut}: {error:?}");
            let resumed = server.resumed();
            match cut {
                // Nothing told which turn it was.
                0 => assert_eq!(resumed, []),
                // The turn's end was there.
                5 => assert_eq!(resumed, []),
                _ => {
                    let request = pb::ResumeStreamRequest {
                        session_id: "s1".to_owned(),
                        turn_id: "t1".to_owned(),
                        after_sequence: i64::try_from(cut).unwrap(),
                        ..Default::default()
                    };
                    assert_eq!(resumed, [request]);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_turn_cut_again_and_again_goes_on_as_long_as_something_arrives() {
    let whole = answer(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    let cuts = (1..whole.len()).collect();
    let server = Server::cutting(whole.clone(), cuts, Cut::Unavailable).await;

    let (seen, error) = read(&server.running.client().await).await;

    assert_eq!(seen, whole);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(server.resumed().len(), 9, "more than the attempts in a row");
}

#[tokio::test]
async fn a_request_cut_before_its_first_event_is_repeated_under_its_name() {
    let server = Server::cutting(answer(&["Hi"]), vec![0, 0], Cut::Ok).await;

    read(&server.running.client().await).await;

    let requests = server.running.requests();
    assert_eq!(requests.len(), 3);
    assert!(!requests[0].request_id.is_empty());
    assert!(requests.iter().all(|request| *request == requests[0]));
    let policy = requests[0].stream.as_ref().unwrap().on_disconnect();
    assert_eq!(policy, pb::DisconnectPolicy::Continue);
}

#[tokio::test]
async fn a_broken_connection_is_made_again_and_the_user_can_see_it() {
    let whole = answer(&["Hel", "lo."]);
    let server = Server::cutting(whole.clone(), vec![2], Cut::Never).await;
    let proxy = Proxy::start().await;
    proxy.lead_to(&server.running.endpoint);
    let client = client_of(&proxy.endpoint, quick()).await;
    let (request, news) = watched("hi");

    let mut turn = client.stream(request).await.unwrap();
    for _ in 0..2 {
        soon(turn.next()).await.unwrap();
    }
    proxy.break_connections();
    let mut rest = String::new();
    while let Some(event) = soon(turn.next()).await.unwrap() {
        rest.push_str(event.text().unwrap_or_default());
    }

    assert_eq!(rest, "lo.");
    assert_eq!(told(&news), ["reconnecting 1: cut after 2", "resumed"]);
}

#[tokio::test]
async fn events_that_are_gone_are_told_before_the_stream_goes_on() {
    let whole = answer(&["a", "b", "c"]);
    let rest = whole[3..].to_vec();
    let server = Fake::default()
        .stream(move |_, out| send(out, answer(&["a", "b", "c"])[..2].to_vec()))
        .resume(move |request, out| {
            let mut events = vec![resumed(request.after_sequence, 5, 1)];
            events.extend(rest.clone());
            send(out, events)
        })
        .start()
        .await;
    let (request, news) = watched("hi");

    let mut turn = server.client().await.stream(request).await.unwrap();
    let mut seen = Vec::new();
    loop {
        match soon(turn.next()).await {
            Ok(Some(event)) => seen.push(event.sequence.to_string()),
            Ok(None) => break,
            Err(error) => seen.push(error.to_string()),
        }
    }

    let gap = "1 events after event 2 are gone for good";
    assert_eq!(seen, ["1", "2", gap, "4", "5"]);
    let missed = "resumed, 1 missing";
    assert_eq!(told(&news), ["reconnecting 1: cut after 2", missed]);
}

#[tokio::test]
async fn a_turn_whose_events_are_all_gone_still_has_its_result() {
    let server = Fake::default()
        .stream(|_, out| send(out, numbered([started(), text("Hel")])))
        .resume(|_, out| async move {
            let _ = out.send(Err(refusal("REPLAY_EXPIRED"))).await;
        })
        .get_turn(|request| {
            assert_eq!((&*request.session_id, &*request.turn_id), ("s1", "t1"));
            let result = pb::TurnResult {
                last_sequence: 9,
                ..result("Hello.")
            };
            Ok(pb::GetTurnResponse {
                result: Some(result),
            })
        })
        .start()
        .await;
    let client = server.client().await;

    let (seen, error) = read(&client).await;
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2].sequence, 9);
    let Some(Error::EventsLost { missing: 6, .. }) = error else {
        panic!("{error:?}");
    };
    // The result alone is whole, so its reader has lost nothing.
    let text = client.stream("hi").await.unwrap().text().await.unwrap();
    assert_eq!(text, "Hello.");
}

#[tokio::test]
async fn what_the_turn_itself_came_to_is_not_tried_again() {
    for reason in ["MODEL_THROTTLED", "CANCELLED", "UPSTREAM_UNAVAILABLE"] {
        let server = Fake::default()
            .stream(move |_, out| async move {
                let _ = out.send(Err(refusal(reason))).await;
            })
            .start()
            .await;

        let (_, error) = read(&server.client().await).await;

        assert_eq!(error.unwrap().reason().wire_name(), reason);
        assert_eq!(server.requests().len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn attempts_in_a_row_are_bounded() {
    let server = Fake::default()
        .stream(|_, out| send(out, numbered([started()])))
        .resume(|request, out| send(out, vec![resumed(request.after_sequence, 1, 0)]))
        .start()
        .await;
    let (request, news) = watched("hi");

    let mut turn = server.client().await.stream(request).await.unwrap();
    turn.next().await.unwrap();
    let error = soon(turn.next()).await.unwrap_err();

    let Error::Cut {
        last_sequence: 1, ..
    } = error
    else {
        panic!("{error:?}");
    };
    let told = told(&news);
    let attempts = told.iter().filter(|news| news.starts_with("reconnecting"));
    assert_eq!(attempts.count(), 4, "{told:?}");
}

#[tokio::test]
async fn a_deadline_bounds_all_attempts_together() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let server = Fake::default()
        .stream(move |_, out| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                let _ = out.send(Err(Status::unavailable("later"))).await;
            }
        })
        .start()
        .await;
    let wait = Duration::from_secs(1);
    let patient = Reconnect::default().attempts(u32::MAX).delays(wait, wait);
    let client = client_of(&server.endpoint, patient).await;

    let mut turn = client
        .stream(Request::new("hi").timeout(Duration::from_millis(300)))
        .await
        .unwrap();
    let error = soon(turn.finish()).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "later",
        "told at once, not at the deadline"
    );
    let calls = calls.load(Ordering::SeqCst);
    assert!(calls < 300, "{calls}");
    let headers = server.headers();
    let timeouts: Vec<_> = headers
        .iter()
        .map(|headers| headers.get("grpc-timeout").unwrap().len())
        .collect();
    assert_eq!(timeouts.len(), calls, "each call has a deadline");
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_kept_to() {
    let server = Fake::default()
        .invoke(|_| async {
            let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3600)));
            details.set_error_info("SHUTTING_DOWN", "taiwa.v1", []);
            Err(Status::with_error_details(
                Code::Unavailable,
                "bye",
                details,
            ))
        })
        .start()
        .await;

    let error = soon(server.client().await.invoke("hi")).await.unwrap_err();

    assert_eq!(error.reason(), pb::ErrorReason::ShuttingDown);
    assert_eq!(server.requests().len(), 1, "an hour is too long");
}

#[tokio::test]
async fn dropping_a_turn_cancels_it() {
    let (server, mut cancelled) = cancellable(vec![started()]).await;

    let mut turn = server.client().await.stream("hi").await.unwrap();
    turn.next().await.unwrap();
    drop(turn);

    assert_eq!(soon(cancelled.recv()).await, Some(this_turn()));
}

#[tokio::test]
async fn dropping_a_turn_before_its_first_event_cancels_it_too() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let (tx, mut cancelled) = mpsc::channel(1);
    let server = Fake::default()
        .stream(move |_, out| {
            let mut wait = wait.clone();
            async move {
                wait.wait_for(|go| *go).await.unwrap();
                send(out.clone(), numbered([started()])).await;
                out.closed().await;
            }
        })
        .cancel_turn(recording(tx))
        .start()
        .await;

    drop(server.client().await.stream("hi").await.unwrap());
    go.send(true).unwrap();

    assert_eq!(soon(cancelled.recv()).await, Some(this_turn()));
}

#[tokio::test]
async fn a_turn_that_ended_or_runs_on_by_its_callers_wish_is_not_cancelled() {
    let (server, mut cancelled) = cancellable(vec![started()]).await;
    let client = server.client().await;
    let keep = pb::StreamOptions {
        on_disconnect: pb::DisconnectPolicy::Continue.into(),
        ..Default::default()
    };

    let mut kept = client
        .stream(Request::new("hi").stream_options(keep))
        .await
        .unwrap();
    kept.next().await.unwrap();
    drop(kept);
    let mut turn = client.stream("hi").await.unwrap();
    turn.next().await.unwrap();
    turn.cancel().await.unwrap();

    assert_eq!(soon(cancelled.recv()).await, Some(this_turn()));
    assert!(cancelled.try_recv().is_err(), "only the one");
}

#[tokio::test]
async fn a_turn_that_its_caller_ties_to_the_connection_is_not_resumed() {
    let server = Fake::default()
        .stream(|_, out| send(out, numbered([started(), text("Hel")])))
        .start()
        .await;
    let tie = pb::StreamOptions {
        on_disconnect: pb::DisconnectPolicy::Cancel.into(),
        ..Default::default()
    };
    let request = Request::new("hi").stream_options(tie);

    let mut turn = server.client().await.stream(request).await.unwrap();
    let error = turn.finish().await.unwrap_err();

    assert!(matches!(error, Error::Cut { .. }), "{error:?}");
}

#[tokio::test]
async fn what_the_caller_leaves_out_stays_out_after_a_resume() {
    let thought = Payload::ReasoningDelta(pb::ReasoningDelta::default());
    let whole = numbered([started(), text("a"), thought, crate::script::ended("a")]);
    let rest = whole[1..].to_vec();
    let server = Fake::default()
        .stream(|_, out| send(out, numbered([started()])))
        .resume(move |request, out| {
            let mut events = vec![resumed(request.after_sequence, 4, 0)];
            events.extend(rest.clone());
            send(out, events)
        })
        .start()
        .await;
    let omit = pb::StreamOptions {
        omit_deltas: true,
        ..Default::default()
    };

    let request = Request::new("hi").stream_options(omit);
    let mut turn = server.client().await.stream(request).await.unwrap();
    let mut sequences = Vec::new();
    while let Some(event) = turn.next().await.unwrap() {
        sequences.push(event.sequence);
    }

    assert_eq!(sequences, [1, 4]);
}

#[tokio::test]
async fn another_process_goes_on_from_a_cursor_and_leaves_the_turn_to_run() {
    let (tx, mut cancelled) = mpsc::channel(1);
    let server = Fake::default()
        .resume(|request, out| async move {
            let rest = answer(&["Hel", "lo."]).into_iter().skip(2);
            let events = [resumed(request.after_sequence, 4, 0)];
            send(out, events.into_iter().chain(rest).collect()).await;
        })
        .cancel_turn(recording(tx))
        .start()
        .await;
    let client = server.client().await;

    let mut turn = client.resume("s1", "t1", 2).await.unwrap();
    let first = turn.next().await.unwrap().unwrap();
    assert!(matches!(first.payload, Payload::StreamResumed(_)));
    assert_eq!(turn.next().await.unwrap().unwrap().text(), Some("lo."));
    drop(turn);
    let text = client.resume("s1", "t1", 2).await.unwrap().text().await;

    assert_eq!(text.unwrap(), "Hello.");
    assert!(cancelled.try_recv().is_err());
}

#[tokio::test]
async fn an_invoke_whose_answer_was_lost_is_answered_by_its_repeat() {
    let (tx, mut asked) = mpsc::channel(4);
    let answered = Arc::new(AtomicUsize::new(0));
    let server = Fake::default()
        .invoke(move |request| {
            let (tx, answered) = (tx.clone(), answered.clone());
            async move {
                tx.send(request.request_id).await.unwrap();
                if answered.fetch_add(1, Ordering::SeqCst) == 0 {
                    std::future::pending::<()>().await;
                }
                Ok(reply("Hello."))
            }
        })
        .start()
        .await;
    let proxy = Proxy::start().await;
    proxy.lead_to(&server.endpoint);
    let client = client_of(&proxy.endpoint, quick()).await;

    let asking = tokio::spawn(async move { client.invoke("hi").await });
    let first = soon(asked.recv()).await;
    proxy.break_connections();

    assert_eq!(soon(asking).await.unwrap().unwrap().text, "Hello.");
    assert_eq!(soon(asked.recv()).await, first, "the same request");
}

#[tokio::test]
async fn an_invoke_that_ended_with_its_connection_is_cut_and_not_run_twice() {
    let (tx, mut asked) = mpsc::channel(4);
    let answered = Arc::new(AtomicUsize::new(0));
    let server = Fake::default()
        .invoke(move |_| {
            let (tx, answered) = (tx.clone(), answered.clone());
            async move {
                tx.send(()).await.unwrap();
                if answered.fetch_add(1, Ordering::SeqCst) == 0 {
                    std::future::pending::<()>().await;
                }
                let facts = [("turn_id".to_owned(), "t1".to_owned())];
                let details = ErrorDetails::with_error_info("CANCELLED", "taiwa.v1", facts);
                Err(Status::with_error_details(Code::Cancelled, "gone", details))
            }
        })
        .start()
        .await;
    let proxy = Proxy::start().await;
    proxy.lead_to(&server.endpoint);
    let client = client_of(&proxy.endpoint, quick()).await;

    let asking = tokio::spawn(async move { client.invoke("hi").await });
    soon(asked.recv()).await.unwrap();
    proxy.break_connections();
    let error = soon(asking).await.unwrap().unwrap_err();

    let Error::Cut {
        turn_id,
        source: Some(_),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(turn_id, "t1");
    assert_eq!(server.requests().len(), 2);
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    Ok,
    Unavailable,
    ShuttingDown,
    /// The stream stays open until somebody else breaks it.
    Never,
}

/// Sends one turn, and breaks off where it is told to.
struct Server {
    running: Running,
    resumed: Arc<Mutex<Vec<pb::ResumeStreamRequest>>>,
}

impl Server {
    /// Cuts one call after the other when so many events of the turn were sent in all.
    async fn cutting(whole: Vec<pb::Event>, cuts: Vec<usize>, how: Cut) -> Self {
        let resumed_at: Arc<Mutex<Vec<pb::ResumeStreamRequest>>> = Arc::default();
        let log = resumed_at.clone();
        let cuts = Arc::new(Mutex::new(cuts.into_iter()));
        let later_cuts = cuts.clone();
        let later = whole.clone();
        let running = Fake::default()
            .stream(move |_, out| say(whole.clone(), 0, cuts.lock().unwrap().next(), how, out))
            .resume(move |request, out| {
                let after = usize::try_from(request.after_sequence).unwrap();
                log.lock().unwrap().push(request.clone());
                let cut = later_cuts.lock().unwrap().next();
                let rest = say(later.clone(), after, cut, how, out.clone());
                let newest = i64::try_from(later.len()).unwrap();
                async move {
                    send(out, vec![resumed(request.after_sequence, newest, 0)]).await;
                    rest.await;
                }
            })
            .start()
            .await;
        Self {
            running,
            resumed: resumed_at,
        }
    }

    fn resumed(&self) -> Vec<pb::ResumeStreamRequest> {
        self.resumed.lock().unwrap().clone()
    }
}

async fn say(whole: Vec<pb::Event>, after: usize, cut: Option<usize>, how: Cut, out: Events) {
    let Some(cut) = cut else {
        return send(out, whole[after..].to_vec()).await;
    };
    send(out.clone(), whole[after..cut].to_vec()).await;
    let status = match how {
        Cut::Ok => return,
        Cut::Unavailable => Status::unavailable("gone"),
        Cut::ShuttingDown => refusal("SHUTTING_DOWN"),
        Cut::Never => return out.closed().await,
    };
    let _ = out.send(Err(status)).await;
}

/// Every event as it was sent, and the last error.
async fn read(client: &Client) -> (Vec<pb::Event>, Option<Error>) {
    let mut turn = match soon(client.stream("hi")).await {
        Ok(turn) => turn,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut seen = Vec::new();
    let mut failed = None;
    loop {
        match soon(turn.next()).await {
            Ok(Some(event)) => seen.push(pb::Event::from(event)),
            Ok(None) => return (seen, failed),
            Err(error @ Error::EventsLost { .. }) => failed = Some(error),
            Err(error) => return (seen, Some(error)),
        }
    }
}

async fn cancellable(payloads: Vec<Payload>) -> (Running, mpsc::Receiver<pb::CancelTurnRequest>) {
    let (tx, rx) = mpsc::channel(4);
    let server = Fake::default()
        .stream(move |_, out| {
            let events = numbered(payloads.clone());
            async move {
                send(out.clone(), events).await;
                out.closed().await;
            }
        })
        .cancel_turn(recording(tx))
        .start()
        .await;
    (server, rx)
}

fn recording(
    tx: mpsc::Sender<pb::CancelTurnRequest>,
) -> impl Fn(pb::CancelTurnRequest) -> Result<pb::CancelTurnResponse, Status> {
    move |request| {
        tx.try_send(request).unwrap();
        Ok(pb::CancelTurnResponse {
            result: Some(result("")),
        })
    }
}

fn this_turn() -> pb::CancelTurnRequest {
    pb::CancelTurnRequest {
        session_id: "s1".to_owned(),
        turn_id: "t1".to_owned(),
        reason: "the client went away".to_owned(),
    }
}

fn watched(prompt: &str) -> (Request, Arc<Mutex<Vec<String>>>) {
    let news: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = news.clone();
    let request = Request::new(prompt).on_connection(move |connection| {
        log.lock().unwrap().push(match connection {
            Connection::Reconnecting { attempt, cause, .. } => {
                let Error::Cut { last_sequence, .. } = cause else {
                    panic!("{cause:?}");
                };
                format!("reconnecting {attempt}: cut after {last_sequence}")
            }
            Connection::Resumed { missing_events: 0 } => "resumed".to_owned(),
            Connection::Resumed { missing_events } => format!("resumed, {missing_events} missing"),
            other => format!("{other:?}"),
        });
    });
    (request, news)
}

fn told(news: &Mutex<Vec<String>>) -> Vec<String> {
    news.lock().unwrap().clone()
}

fn refusal(reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "taiwa.v1", []);
    Status::with_error_details(Code::Unavailable, "no", details)
}

async fn send(out: Events, events: Vec<pb::Event>) {
    for event in events {
        if out.send(Ok(event)).await.is_err() {
            return;
        }
    }
}
