//! Conversations whose connection is lost, and what becomes of their frames and events.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use taiwa_client::{Connection, Conversation, Error, Event, Payload, Setup, pb};
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    fake::{Events, Fake, Frames, Running, soon},
    script::{Log, accepted, ended, ready, resumed, started, text},
};
use pb::{ErrorReason as Reason, converse_request::Frame};

#[tokio::test]
async fn a_conversation_cut_after_any_event_goes_on_without_loss_or_repeat() {
    let said = || [started(), text("Hel"), text("lo."), ended("Hello.")];
    for cut in 0..=5 {
        let server = Server::start(move |number, mut call| async move {
            let mut log = Log::default();
            if number == 0 {
                let prompt = call.frame().await;
                let events = log.numbered([accepted(&prompt.frame_id)].into_iter().chain(said()));
                return call.say(events.into_iter().take(cut)).await;
            }
            let seen = call.resume(5).await;
            assert_eq!(seen, i64::try_from(cut).unwrap());
            // What was taken before and told is not sent again; a repeat is taken for one.
            let name = match cut {
                0 => call.frame().await.frame_id,
                _ => String::new(),
            };
            let events = log.numbered([accepted(&name)].into_iter().chain(said()));
            call.say(events.into_iter().skip(cut)).await;
            call.until_closed().await;
        })
        .await;
        let mut conversation = server.open(Setup::default()).await;

        let name = conversation.send_prompt("hi").await.unwrap();
        let mut seen = Vec::new();
        while let Some(event) = soon(conversation.next()).await.unwrap() {
            if event.turn_ended().is_some() {
                conversation.finish();
            }
            seen.push(event);
        }

        let sequences: Vec<_> = seen.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, [1, 2, 3, 4, 5], "cut after {cut}");
        let expected = [accepted(&name)].into_iter().chain(said());
        let payloads = seen.into_iter().map(|event| event.payload);
        assert!(payloads.eq(expected), "cut after {cut}");
    }
}

#[tokio::test]
async fn frames_without_a_receipt_are_sent_again_by_the_same_names_in_order() {
    let server = Server::start(|number, mut call| async move {
        let mut log = Log::default();
        if number == 0 {
            let first = call.frame().await;
            let receipt = log.numbered([accepted(&first.frame_id)]);
            for _ in 0..2 {
                call.frame().await;
            }
            return call.say(receipt).await;
        }
        log.numbered([accepted("the first")]);
        call.resume(1).await;
        for _ in 0..3 {
            let again = call.frame().await;
            call.say(log.numbered([accepted(&again.frame_id)])).await;
        }
        call.until_closed().await;
    })
    .await;
    let mut conversation = server.open(Setup::default()).await;

    let mut names = Vec::new();
    for prompt in ["one", "two", "three"] {
        names.push(conversation.send_prompt(prompt).await.unwrap());
    }
    // Taken while there is no connection, too.
    soon(conversation.next()).await.unwrap();
    names.push(conversation.interrupt().await.unwrap());
    conversation.finish();
    let mut receipts = vec![names[0].clone()];
    while let Some(event) = soon(conversation.next()).await.unwrap() {
        receipts.extend(receipt(&event));
    }

    assert_eq!(receipts, names);
    let [first, second] = &server.frames()[..] else {
        panic!("two connections");
    };
    assert_eq!(first[..], names[..3]);
    assert_eq!(second[..], names[1..]);
    let contents = server.contents(1);
    assert_eq!(contents[0], Frame::Prompt("two".to_owned()));
}

#[tokio::test]
async fn a_message_in_parts_is_sent_whole_again_and_each_receipt_told_once() {
    let (cut, wait) = tokio::sync::watch::channel(false);
    let server = Server::start(move |number, mut call| {
        let mut wait = wait.clone();
        async move {
            let mut log = Log::default();
            for _ in 0..2 {
                let part = call.frame().await;
                let receipt = log.numbered([accepted(&part.frame_id)]);
                if number == 0 {
                    call.say(receipt).await;
                }
            }
            if number == 0 {
                wait.wait_for(|cut| *cut).await.unwrap();
                return call.end(Status::unavailable("cut")).await;
            }
            call.resume(2).await;
            let names = call.names();
            // What the lost stream had gathered is dropped.
            let dropped = rejected(&names[1], Reason::FrameOutOfOrder);
            let receipts = names.iter().map(|name| accepted(name));
            call.say(log.numbered([dropped].into_iter().chain(receipts)))
                .await;
            let last = call.frame().await;
            call.say(log.answer(&last.frame_id, &["Hi"])).await;
            call.until_closed().await;
        }
    })
    .await;
    let mut conversation = server.open(Setup::default()).await;

    let part = |more_follows| pb::UserInput {
        more_follows,
        ..Default::default()
    };
    let mut names = Vec::new();
    let mut receipts = Vec::new();
    for _ in 0..2 {
        names.push(conversation.send_input(part(true)).await.unwrap());
        let event = soon(conversation.next()).await.unwrap().unwrap();
        receipts.extend(receipt(&event));
    }
    cut.send(true).unwrap();
    names.push(conversation.send_input(part(false)).await.unwrap());
    while let Some(event) = soon(conversation.next()).await.unwrap() {
        assert!(!matches!(event.payload, Payload::FrameRejected(_)));
        receipts.extend(receipt(&event));
        if event.turn_ended().is_some() {
            conversation.finish();
        }
    }

    assert_eq!(receipts, names);
    assert_eq!(server.frames()[1], names);
}

#[tokio::test]
async fn a_session_is_resumed_by_its_cursor_alone_and_keeps_what_it_was_told() {
    let server = Server::start(|number, mut call| async move {
        let mut log = Log::default();
        if number == 0 {
            call.say(log.numbered([started(), ended("")])).await;
            return call.end(Status::unavailable("cut")).await;
        }
        call.resume(2).await;
        call.until_closed().await;
    })
    .await;
    let stream = pb::StreamOptions {
        omit_reasoning: true,
        ..Default::default()
    };
    let setup = Setup::from(pb::SessionSetup {
        agent_id: "assistant".to_owned(),
        messages: vec![pb::Message::default()],
        options: Some(pb::TurnOptions::default()),
        stream: Some(stream),
        ..Default::default()
    })
    .input_policy(pb::InputPolicy::Steer);
    let (setup, news) = watched(setup);

    let mut conversation = server.open(setup).await;
    read_turn(&mut conversation).await;
    conversation.finish();
    assert_eq!(soon(conversation.next()).await.unwrap(), None);

    let resuming = pb::SessionSetup {
        session_id: "s1".to_owned(),
        resume_after_sequence: Some(2),
        stream: Some(stream),
        input_policy: pb::InputPolicy::Steer.into(),
        ..Default::default()
    };
    assert_eq!(server.setups()[1], resuming);
    assert_eq!(told(&news), ["reconnecting 1", "resumed"]);
}

#[tokio::test]
async fn a_set_up_whose_answer_was_lost_is_repeated_as_it_was() {
    let server = Server::start_unready(|number, mut call| async move {
        if number == 0 {
            return;
        }
        call.say([ready()]).await;
        call.until_closed().await;
    })
    .await;

    let conversation = server.open(Setup::default().agent("assistant")).await;

    assert_eq!(conversation.session().session_id, "s1");
    let setups = server.setups();
    assert!(!setups[0].request_id.is_empty());
    assert_eq!(setups[0], setups[1]);
}

#[tokio::test]
async fn a_session_without_events_is_not_replayed_from_its_beginning() {
    let server = Server::start_unready(|number, mut call| async move {
        let mut ready = ready();
        if let Some(Payload::SessionReady(ready)) = &mut ready.payload {
            ready.last_sequence = 70;
        }
        call.say([ready]).await;
        if number == 0 {
            return call.end(Status::unavailable("cut")).await;
        }
        call.until_closed().await;
    })
    .await;

    let mut conversation = server.open(Setup::default().session("s1")).await;
    conversation.finish();
    soon(conversation.next()).await.unwrap();

    let setups = server.setups();
    let cursors = setups.iter().map(|setup| setup.resume_after_sequence);
    assert_eq!(cursors.collect::<Vec<_>>(), [None, Some(70)]);
}

#[tokio::test]
async fn a_server_that_stops_is_left_in_peace_and_the_next_gets_the_frames() {
    let (tx, mut warned) = mpsc::channel(1);
    let server = Server::start(move |number, mut call| {
        let tx = tx.clone();
        async move {
            let mut log = Log::default();
            if number == 0 {
                call.say([go_away(pb::GoAwayReason::Shutdown)]).await;
                let interrupt = call.frame().await;
                assert!(matches!(interrupt.frame, Some(Frame::Interrupt(_))));
                call.say(log.numbered([accepted(&interrupt.frame_id)]))
                    .await;
                tx.send(()).await.unwrap();
                return call.end(refusal("SHUTTING_DOWN")).await;
            }
            log.numbered([accepted("")]);
            call.resume(1).await;
            let prompt = call.frame().await;
            call.say(log.answer(&prompt.frame_id, &["Hi"])).await;
            call.until_closed().await;
        }
    })
    .await;
    let mut conversation = server.open(Setup::default()).await;
    let event = soon(conversation.next()).await.unwrap().unwrap();
    assert!(
        matches!(event.payload, Payload::GoAway(_)),
        "the user is told"
    );

    let prompt = conversation.send_prompt("hi").await.unwrap();
    let interrupt = conversation.interrupt().await.unwrap();
    soon(warned.recv()).await.unwrap();
    let said = read_turn(&mut conversation).await;

    assert_eq!(said, "Hi");
    assert_eq!(server.frames(), [vec![interrupt], vec![prompt]]);
}

#[tokio::test]
async fn a_prompt_that_a_stopping_server_refused_is_sent_to_the_next() {
    let server = Server::start(|number, mut call| async move {
        let mut log = Log::default();
        let prompt = call.frame().await;
        if number == 0 {
            let refused = rejected(&prompt.frame_id, Reason::ShuttingDown);
            call.say(log.numbered([refused])).await;
            return call.end(refusal("SHUTTING_DOWN")).await;
        }
        log.numbered([rejected("", Reason::ShuttingDown)]);
        call.resume(1).await;
        call.say(log.answer(&prompt.frame_id, &["Hi"])).await;
        call.until_closed().await;
    })
    .await;
    let mut conversation = server.open(Setup::default()).await;

    let prompt = conversation.send_prompt("hi").await.unwrap();
    let mut receipts = Vec::new();
    while let Some(event) = soon(conversation.next()).await.unwrap() {
        assert!(!matches!(event.payload, Payload::FrameRejected(_)));
        receipts.extend(receipt(&event));
        if event.turn_ended().is_some() {
            break;
        }
    }

    assert_eq!(receipts, [prompt]);
}

#[tokio::test]
async fn input_that_another_took_over_is_not_taken_back_and_the_events_go_on() {
    let (tx, mut asked) = mpsc::channel(1);
    let fake = Fake::default().resume(move |request, out| {
        let tx = tx.clone();
        async move {
            let mut log = Log::default();
            log.numbered([started()]);
            let _ = out.send(Ok(resumed(request.after_sequence, 2, 0))).await;
            for event in log.numbered([ended("")]) {
                let _ = out.send(Ok(event)).await;
            }
            tx.send(request).await.unwrap();
            out.closed().await;
        }
    });
    let server = Server::start_with(fake, true, |_, mut call| async move {
        let mut log = Log::default();
        call.say(log.numbered([started()])).await;
        call.say([go_away(pb::GoAwayReason::InputTakenOver)]).await;
    })
    .await;
    let mut conversation = server.open(Setup::default()).await;

    soon(conversation.next()).await.unwrap();
    let event = soon(conversation.next()).await.unwrap().unwrap();
    let Payload::GoAway(go_away) = event.payload else {
        panic!("{event:?}");
    };
    assert_eq!(go_away.reason(), pb::GoAwayReason::InputTakenOver);
    let error = conversation.send_prompt("hi").await.unwrap_err();
    assert!(matches!(error, Error::InputTakenOver), "{error:?}");
    let event = soon(conversation.next()).await.unwrap().unwrap();
    assert!(event.turn_ended().is_some());

    let asked = soon(asked.recv()).await.unwrap();
    assert_eq!((asked.session_id.as_str(), asked.after_sequence), ("s1", 1));
    assert_eq!(server.setups().len(), 1, "it does not fight");
}

#[tokio::test]
async fn lost_events_are_told_and_the_conversation_goes_on() {
    let server = Server::start(|number, mut call| async move {
        let mut log = Log::default();
        if number == 0 {
            return call.say(log.numbered([started()])).await;
        }
        call.say([ready(), resumed(1, 9, 7)]).await;
        log.numbered((0..8).map(|_| text("gone")));
        call.say(log.numbered([ended("")])).await;
        call.until_closed().await;
    })
    .await;
    let mut conversation = server.open(Setup::default()).await;

    soon(conversation.next()).await.unwrap();
    let error = soon(conversation.next()).await.unwrap_err();
    let Error::EventsLost {
        last_sequence: 1,
        missing: 7,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    let event = soon(conversation.next()).await.unwrap().unwrap();
    assert_eq!(event.sequence, 9);
}

#[tokio::test]
async fn attempts_in_a_row_are_bounded_and_the_frames_are_given_up() {
    let server = Server::start(|number, mut call| async move {
        if number > 0 {
            call.resume(0).await;
        }
    })
    .await;
    let (setup, news) = watched(Setup::default());
    let mut conversation = server.open(setup).await;
    conversation.send_prompt("hi").await.unwrap();

    let error = soon(conversation.next()).await.unwrap_err();

    assert!(matches!(error, Error::Cut { .. }), "{error:?}");
    assert_eq!(server.setups().len(), 5, "four attempts more");
    let told = told(&news);
    assert!(told.contains(&"reconnecting 4".to_owned()), "{told:?}");
    let error = conversation.send_prompt("more").await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
}

#[tokio::test]
async fn a_session_that_is_gone_is_not_tried_again() {
    let server = Server::start(|number, call| async move {
        if number > 0 {
            call.end(refusal("SESSION_NOT_FOUND")).await;
        }
    })
    .await;
    let mut conversation = server.open(Setup::default()).await;

    let error = soon(conversation.next()).await.unwrap_err();

    assert_eq!(error.reason(), Reason::SessionNotFound);
    assert_eq!(server.setups().len(), 2);
}

#[tokio::test]
async fn a_timeout_bounds_all_connections_together() {
    let server = Server::start(|number, mut call| async move {
        if number > 0 {
            call.resume(0).await;
            call.until_closed().await;
        }
    })
    .await;
    let setup = Setup::default().timeout(Duration::from_millis(300));
    let mut conversation = server.open(setup).await;

    let error = soon(conversation.next()).await.unwrap_err();

    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
}

#[tokio::test]
async fn events_from_before_a_conversation_are_not_acknowledged_by_it() {
    let (tx, mut acks) = mpsc::channel(1);
    let server = Server::start_unready(move |_, mut call| {
        let tx = tx.clone();
        async move {
            let mut ready = ready();
            if let Some(Payload::SessionReady(ready)) = &mut ready.payload {
                ready.last_sequence = 5000;
            }
            let mut last = Log::default().numbered([text("new")]);
            last[0].sequence = 5001;
            call.say([ready].into_iter().chain(last)).await;
            let first = call.frames.message().await.unwrap();
            tx.send(first).await.unwrap();
        }
    })
    .await;
    let mut conversation = server.open(Setup::default()).await;

    soon(conversation.next()).await.unwrap();
    let prompt = conversation.send_prompt("hi").await.unwrap();

    let first = soon(acks.recv()).await.unwrap().unwrap();
    assert_eq!(first.frame_id, prompt, "a prompt, and no ack before it");
}

#[tokio::test]
async fn the_server_is_told_at_the_end_of_a_turn_what_has_arrived_unless_switched_off() {
    for (on, expected) in [(true, vec![2]), (false, vec![])] {
        let (tx, mut acks) = mpsc::channel(4);
        let server = Server::start(move |_, mut call| {
            let tx = tx.clone();
            async move {
                let mut log = Log::default();
                call.say(log.numbered([started(), ended(""), text("later")]))
                    .await;
                let mut acks = Vec::new();
                while let Ok(Some(frame)) = call.frames.message().await {
                    let Some(Frame::Ack(ack)) = frame.frame else {
                        panic!("{frame:?}");
                    };
                    assert_eq!(frame.frame_id, "", "it needs no receipt");
                    acks.push(ack.sequence);
                }
                tx.send(acks).await.unwrap();
            }
        })
        .await;
        let mut conversation = server.open(Setup::default().acks(on)).await;

        read_turn(&mut conversation).await;
        // Whoever asks for the next event has handled those before.
        soon(conversation.next()).await.unwrap();
        conversation.finish();

        assert_eq!(soon(acks.recv()).await, Some(expected));
    }
}

/// Answers Converse as a test says, connection by connection.
struct Server {
    running: Running,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What a connection brought.
#[derive(Default)]
struct Seen {
    setup: pb::SessionSetup,
    frames: Vec<pb::ConverseRequest>,
}

/// One connection, from its set-up on.
struct Call {
    number: usize,
    setup: pb::SessionSetup,
    frames: Frames,
    out: Events,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Makes each session ready; those that resume do so when the handler says.
    async fn start<F, Fut>(handler: F) -> Self
    where
        F: Fn(usize, Call) -> Fut + Send + Sync + Clone + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::start_with(Fake::default(), true, handler).await
    }

    async fn start_unready<F, Fut>(handler: F) -> Self
    where
        F: Fn(usize, Call) -> Fut + Send + Sync + Clone + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::start_with(Fake::default(), false, handler).await
    }

    async fn start_with<F, Fut>(fake: Fake, readies: bool, handler: F) -> Self
    where
        F: Fn(usize, Call) -> Fut + Send + Sync + Clone + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let numbers = Arc::new(AtomicUsize::new(0));
        let log = seen.clone();
        let running = fake
            .converse(move |mut frames, out| {
                let number = numbers.fetch_add(1, Ordering::SeqCst);
                let (seen, handler) = (log.clone(), handler.clone());
                async move {
                    let first = frames.message().await.unwrap().unwrap();
                    let Some(Frame::Setup(setup)) = first.frame else {
                        panic!("{first:?}");
                    };
                    seen.lock().unwrap().push(Seen {
                        setup: setup.clone(),
                        frames: Vec::new(),
                    });
                    let mut call = Call {
                        number,
                        setup,
                        frames,
                        out,
                        seen,
                    };
                    if readies && number == 0 {
                        call.say([ready()]).await;
                    }
                    handler(number, call).await;
                }
            })
            .start()
            .await;
        Self { running, seen }
    }

    async fn open(&self, setup: Setup) -> Conversation {
        let client = self.running.client().await;
        soon(client.converse(setup)).await.unwrap()
    }

    fn setups(&self) -> Vec<pb::SessionSetup> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|seen| seen.setup.clone()).collect()
    }

    /// The names of the frames of each connection.
    fn frames(&self) -> Vec<Vec<String>> {
        let names = |seen: &Seen| {
            let names = seen.frames.iter().map(|frame| frame.frame_id.clone());
            names.collect()
        };
        self.seen.lock().unwrap().iter().map(names).collect()
    }

    fn contents(&self, connection: usize) -> Vec<Frame> {
        let seen = self.seen.lock().unwrap();
        let frames = seen[connection].frames.iter();
        frames.filter_map(|frame| frame.frame.clone()).collect()
    }
}

impl Call {
    /// The next frame that is no ack.
    async fn frame(&mut self) -> pb::ConverseRequest {
        loop {
            let frame = soon(self.frames.message()).await.unwrap().unwrap();
            if !matches!(frame.frame, Some(Frame::Ack(_))) {
                self.seen.lock().unwrap()[self.number]
                    .frames
                    .push(frame.clone());
                return frame;
            }
        }
    }

    /// Resumes the session; gives the cursor.
    async fn resume(&mut self, last_sequence: i64) -> i64 {
        let after = self.setup.resume_after_sequence.unwrap();
        self.say([ready(), resumed(after, last_sequence, 0)]).await;
        after
    }

    /// The names of the frames so far.
    fn names(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let frames = seen[self.number].frames.iter();
        frames.map(|frame| frame.frame_id.clone()).collect()
    }

    async fn say(&mut self, events: impl IntoIterator<Item = pb::Event>) {
        for event in events {
            if self.out.send(Ok(event)).await.is_err() {
                return;
            }
        }
    }

    async fn end(self, status: Status) {
        let _ = self.out.send(Err(status)).await;
    }

    /// Waits until no more input follows.
    async fn until_closed(&mut self) {
        while let Ok(Some(_)) = self.frames.message().await {}
    }
}

/// What is said in a turn, up to its end.
async fn read_turn(conversation: &mut Conversation) -> String {
    let mut said = String::new();
    loop {
        let event = soon(conversation.next()).await.unwrap().unwrap();
        said.push_str(event.text().unwrap_or_default());
        if event.turn_ended().is_some() {
            return said;
        }
    }
}

fn receipt(event: &Event) -> Option<String> {
    if let Payload::FrameAccepted(receipt) = &event.payload {
        Some(receipt.frame_id.clone())
    } else {
        None
    }
}

fn rejected(frame_id: &str, reason: Reason) -> Payload {
    Payload::FrameRejected(pb::FrameRejected {
        frame_id: frame_id.to_owned(),
        error: Some(pb::TurnError {
            reason: reason.into(),
            ..Default::default()
        }),
    })
}

fn go_away(reason: pb::GoAwayReason) -> pb::Event {
    pb::Event {
        payload: Some(Payload::GoAway(pb::GoAway {
            reason: reason.into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn refusal(reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "taiwa.v1", []);
    Status::with_error_details(Code::Unavailable, "no", details)
}

fn watched(setup: Setup) -> (Setup, Arc<Mutex<Vec<String>>>) {
    let news: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = news.clone();
    let setup = setup.on_connection(move |connection| {
        log.lock().unwrap().push(match connection {
            Connection::Reconnecting { attempt, .. } => format!("reconnecting {attempt}"),
            Connection::Resumed { .. } => "resumed".to_owned(),
            other => format!("{other:?}"),
        });
    });
    (setup, news)
}

fn told(news: &Mutex<Vec<String>>) -> Vec<String> {
    news.lock().unwrap().clone()
}
