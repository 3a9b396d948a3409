//! Frames, connections and receipts in; what is sent, and in which order, out.

use pb::ErrorReason as Reason;

use super::*;

#[test]
fn what_has_no_receipt_is_sent_again_by_its_name_and_in_order() {
    let mut frames = Frames::new(true);
    let first = frames.connect();
    for name in ["a", "b", "c"] {
        frames.push(prompt(name)).unwrap();
    }
    assert_eq!(sent(&mut frames, first), ["a", "b", "c"]);
    assert!(accept(&mut frames, "b", false));

    let second = frames.connect();
    assert_eq!(sent(&mut frames, second), ["a", "c"]);
    assert_eq!(frames.next(first), Next::End, "the lost one sends no more");
}

#[test]
fn a_receipt_is_told_once() {
    let mut frames = Frames::new(true);
    let first = frames.connect();
    frames.push(prompt("a")).unwrap();
    sent(&mut frames, first);
    let second = frames.connect();
    sent(&mut frames, second);

    assert!(accept(&mut frames, "a", false), "from before the cut");
    assert!(!accept(&mut frames, "a", true), "for the repeat");
    assert!(accept(&mut frames, "of somebody else", false));
}

#[test]
fn all_parts_of_an_unfinished_message_are_sent_again() {
    let mut frames = Frames::new(true);
    let first = frames.connect();
    for (name, more_follows) in [("a", true), ("b", true), ("c", false)] {
        frames.push(part(name, more_follows)).unwrap();
    }
    frames.push(prompt("d")).unwrap();
    sent(&mut frames, first);
    assert!(accept(&mut frames, "a", false));
    assert!(accept(&mut frames, "b", false));

    let second = frames.connect();
    assert_eq!(sent(&mut frames, second), ["a", "b", "c", "d"]);
    let dropped = reject(&mut frames, "b", Reason::FrameOutOfOrder);
    assert!(!dropped, "that was the lost connection's");
    let told = ["a", "b", "c", "d"].map(|name| accept(&mut frames, name, false));
    assert_eq!(told, [false, false, true, true], "the first two were told");
    let third = frames.connect();
    assert_eq!(sent(&mut frames, third), [""; 0]);
}

#[test]
fn a_message_refused_for_what_it_is_is_not_sent_again() {
    let mut frames = Frames::new(true);
    let first = frames.connect();
    frames.push(part("a", true)).unwrap();
    frames.push(part("b", true)).unwrap();
    sent(&mut frames, first);
    assert!(reject(&mut frames, "b", Reason::LimitExceeded));
    frames.push(part("c", true)).unwrap();
    assert_eq!(
        sent(&mut frames, first),
        ["c"],
        "the server waits for its end"
    );
    assert!(reject(&mut frames, "c", Reason::FrameOutOfOrder));

    let second = frames.connect();
    frames.push(part("d", false)).unwrap();
    frames.push(prompt("e")).unwrap();
    assert_eq!(sent(&mut frames, second), ["e"], "half a message is none");
}

#[test]
fn a_server_that_stops_gets_what_serves_its_turn_and_nothing_else() {
    let mut frames = Frames::new(true);
    let first = frames.connect();
    frames.push(prompt("early")).unwrap();
    sent(&mut frames, first);
    frames.drain();
    frames.push(prompt("late")).unwrap();
    frames.push(interrupt("stop")).unwrap();
    frames.close();

    assert_eq!(sent(&mut frames, first), ["stop"]);
    assert_eq!(frames.next(first), Next::Wait, "there is more to say");
    assert!(!reject(&mut frames, "early", Reason::ShuttingDown));
    assert!(!reject(&mut frames, "stop", Reason::ShuttingDown));
    assert_eq!(frames.next(first), Next::Wait, "it would be refused again");
    let second = frames.connect();
    assert_eq!(sent(&mut frames, second), ["early", "late", "stop"]);
    assert_eq!(frames.next(second), Next::End);
    assert!(!frames.is_finished(), "receipts are missing");
}

#[test]
fn input_that_was_taken_over_is_refused_and_not_taken_back() {
    let mut frames = Frames::new(true);
    let first = frames.connect();
    frames.push(prompt("a")).unwrap();
    sent(&mut frames, first);
    let told = reject(&mut frames, "a", Reason::InputTakenOver);
    assert!(!told, "this connection took it over from the one before");

    frames.take_over();
    assert!(reject(&mut frames, "a", Reason::InputTakenOver));
    assert_eq!(frames.push(prompt("b")), Err(Refused::TakenOver));
}

#[test]
fn what_waits_is_bounded_in_number_and_bytes() {
    let mut frames = Frames::new(true);
    let connection = frames.connect();
    for number in 0..MOST_FRAMES {
        frames.push(prompt(&number.to_string())).unwrap();
    }
    sent(&mut frames, connection);
    assert!(matches!(frames.push(prompt("x")), Err(Refused::Full(_))));
    accept(&mut frames, "0", false);
    frames.push(prompt("x")).unwrap();

    let mut frames = Frames::new(true);
    frames.push(long(MOST_BYTES)).unwrap();
    assert!(matches!(frames.push(prompt("x")), Err(Refused::Full(_))));
}

#[test]
fn a_message_of_many_bytes_in_parts_finds_room_for_its_last() {
    let mut frames = Frames::new(true);
    for more_follows in [true, true, true, false] {
        let mut frame = long(MOST_BYTES);
        if let Some(Frame::Input(input)) = &mut frame.frame {
            input.more_follows = more_follows;
        }
        frames.push(frame).unwrap();
    }
    assert!(matches!(frames.push(prompt("x")), Err(Refused::Full(_))));
}

#[test]
fn without_reconnecting_a_frame_is_forgotten_when_it_is_sent() {
    let mut frames = Frames::new(false);
    let connection = frames.connect();
    for number in 0..MOST_UNSENT {
        frames.push(prompt(&number.to_string())).unwrap();
    }
    assert!(matches!(frames.push(prompt("x")), Err(Refused::Full(_))));
    assert_eq!(sent(&mut frames, connection).len(), MOST_UNSENT);
    frames.push(prompt("x")).unwrap();
}

#[test]
fn acks_go_last_and_only_the_newest() {
    let mut frames = Frames::new(true);
    let connection = frames.connect();
    frames.acknowledge(3);
    frames.acknowledge(7);
    frames.push(prompt("a")).unwrap();

    assert_eq!(sent(&mut frames, connection), ["a", "ack 7"]);
}

fn prompt(name: &str) -> pb::ConverseRequest {
    frame(name, Frame::Prompt("hi".to_owned()))
}

fn interrupt(name: &str) -> pb::ConverseRequest {
    frame(name, Frame::Interrupt(pb::Interrupt::default()))
}

fn part(name: &str, more_follows: bool) -> pb::ConverseRequest {
    let input = pb::UserInput {
        more_follows,
        ..Default::default()
    };
    frame(name, Frame::Input(input))
}

fn long(bytes: usize) -> pb::ConverseRequest {
    let block = pb::content_block::Block::Text("x".repeat(bytes));
    let input = pb::UserInput {
        content: vec![pb::ContentBlock { block: Some(block) }],
        ..Default::default()
    };
    frame("long", Frame::Input(input))
}

fn frame(name: &str, frame: Frame) -> pb::ConverseRequest {
    pb::ConverseRequest {
        frame_id: name.to_owned(),
        frame: Some(frame),
    }
}

/// The names of the frames that the connection sends before it waits or ends.
fn sent(frames: &mut Frames, connection: u64) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        match frames.next(connection) {
            Next::Frame(frame) => names.push(match frame.frame {
                Some(Frame::Ack(ack)) => format!("ack {}", ack.sequence),
                Some(_) | None => frame.frame_id,
            }),
            Next::Wait | Next::End => return names,
        }
    }
}

fn accept(frames: &mut Frames, name: &str, duplicate: bool) -> bool {
    frames.accepted(&pb::FrameAccepted {
        frame_id: name.to_owned(),
        duplicate,
        ..Default::default()
    })
}

fn reject(frames: &mut Frames, name: &str, reason: Reason) -> bool {
    frames.rejected(&pb::FrameRejected {
        frame_id: name.to_owned(),
        error: Some(pb::TurnError {
            reason: reason.into(),
            ..Default::default()
        }),
    })
}
