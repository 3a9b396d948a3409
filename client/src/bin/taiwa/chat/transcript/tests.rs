//! Events in, lines out; escape sequences left out.

use clap::Parser as _;
use expect_test::{Expect, expect};
use taiwa_client::{Event, Payload, pb};

use super::Transcript;
use crate::{args::Args, output::Output};

#[test]
fn a_prompt_is_shown_when_its_turn_starts_and_the_answer_below() {
    check(
        |chat| {
            chat.send("f1", "why?");
            chat.hear(accepted("f1", pb::FrameOutcome::StartedTurn, 0));
            chat.hear(started("f1"));
            chat.hear(text("Because.\n\nIt"));
            chat.hear(ended(pb::TurnStatus::Completed));
        },
        expect![[r#"
            ~ * why?

            > › why?
            >
            ~ * answering

            > Because.
            ~
            ~ It
            ~ * answering

            >
            > It
            >

        "#]],
    );
}

#[test]
fn prompts_that_wait_are_listed_with_what_becomes_of_them() {
    check(
        |chat| {
            chat.hear(started("f0"));
            chat.send("f1", "one");
            chat.send("f2", "two");
            chat.hear(accepted("f1", pb::FrameOutcome::Queued, 0));
            chat.hear(accepted("f2", pb::FrameOutcome::Queued, 1));
            chat.hear(ended(pb::TurnStatus::Completed));
        },
        expect![[r#"
            ~ * answering

            ~ * answering
            ~ * one (waits for the answer to end)
            ~ * two

            ~ * answering
            ~ * one (waits for the answer to end)
            ~ * two (waits, 1 ahead)

            >
            ~ * one (waits for the answer to end)
            ~ * two (waits, 1 ahead)

        "#]],
    );
}

#[test]
fn an_interrupting_prompt_ends_the_answer_and_starts_its_own() {
    check(
        |chat| {
            chat.hear(started("f0"));
            chat.hear(text("on and"));
            chat.send("f1", "stop");
            chat.hear(accepted("f1", pb::FrameOutcome::Interrupted, 0));
            chat.hear(ended(pb::TurnStatus::Interrupted));
            chat.hear(started("f1"));
        },
        expect![[r#"
            ~ * answering

            ~ on and
            ~ * answering

            ~ on and
            ~ * answering
            ~ * stop (interrupts the answer)

            > on and
            > the answer was interrupted
            >
            ~ * stop (interrupts the answer)

            > › stop
            >
            ~ * answering

        "#]],
    );
}

#[test]
fn a_prompt_that_joins_the_answer_or_is_refused_stands_within_it() {
    check(
        |chat| {
            chat.hear(started("f0"));
            chat.hear(text("so far"));
            chat.send("f1", "shorter");
            chat.hear(accepted("f1", pb::FrameOutcome::Steered, 0));
            chat.hear(text("on"));
            chat.send("f2", "no");
            let rejected = pb::FrameRejected {
                frame_id: "f2".to_owned(),
                error: Some(pb::TurnError {
                    message: "busy".to_owned(),
                    ..Default::default()
                }),
            };
            chat.hear(Payload::FrameRejected(rejected));
        },
        expect![[r#"
            ~ * answering

            ~ so far
            ~ * answering

            > so far
            > › shorter (joins the answer)
            ~ * answering

            ~ on
            ~ * answering

            > on
            > refused: no (busy)
            ~ * answering

        "#]],
    );
}

struct Chat<'a> {
    transcript: Transcript<'a>,
    log: String,
}

impl Chat<'_> {
    fn send(&mut self, frame_id: &str, prompt: &str) {
        self.transcript.sent(frame_id.to_owned(), prompt.to_owned());
    }

    fn hear(&mut self, payload: Payload) {
        let event = pb::Event {
            payload: Some(payload),
            ..Default::default()
        };
        self.transcript.follow(&Event::read(event).unwrap());
        for line in self.transcript.take_finished() {
            self.log("> ", &line);
        }
        for line in self.transcript.unfinished("*") {
            self.log("~ ", &line);
        }
        self.log("", "");
    }

    fn log(&mut self, lead: &str, line: &str) {
        let mut parts = line.split("\x1b[");
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text));
        let line = format!("{lead}{}", rest.fold(first, |line, part| line + part));
        self.log.push_str(line.trim_end());
        self.log.push('\n');
    }
}

/// Each event's lines: `>` is final, `~` still changes.
#[track_caller]
fn check(script: impl FnOnce(&mut Chat<'_>), expected: Expect) {
    let args = Args::parse_from(["taiwa", "chat"]);
    let output = Output::new(&args.display);
    let mut chat = Chat {
        transcript: Transcript::new(&output),
        log: String::new(),
    };
    script(&mut chat);
    expected.assert_eq(&chat.log);
}

fn accepted(frame_id: &str, outcome: pb::FrameOutcome, queue_position: i32) -> Payload {
    Payload::FrameAccepted(pb::FrameAccepted {
        frame_id: frame_id.to_owned(),
        outcome: outcome.into(),
        queue_position,
        ..Default::default()
    })
}

fn started(frame_id: &str) -> Payload {
    Payload::TurnStarted(pb::TurnStarted {
        frame_id: frame_id.to_owned(),
        ..Default::default()
    })
}

fn text(text: &str) -> Payload {
    Payload::TextDelta(pb::TextDelta {
        text: text.to_owned(),
    })
}

fn ended(status: pb::TurnStatus) -> Payload {
    let result = pb::TurnResult {
        status: status.into(),
        ..Default::default()
    };
    Payload::TurnEnded(result.into())
}
