//! A recorded turn, cut behind each of its inputs in each way that there is.
//!
//! The turn has reasoning, text, three tools that run at once, and a second step; in one kind of it
//! the tools are the client's, in another the server's, of which one needs consent. Events that
//! come of one input are one batch, so nothing can cut between them.

use std::sync::Arc;

use taiwa_core::{
    Block, Event, Input, Limits, Message, Payload, Role, StopReason, TurnStatus,
    input::{CallId, CancelCause, InputPolicy, StepId},
    tool::RunEnd,
};

use crate::{
    acts::{Act, How, Piece, Which},
    bedrock,
    life::Life,
};

/// How a turn is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    CancelTurn,
    CallerGone,
    Deadline,
    StreamGone,
    Interrupt,
    Discard,
    InterruptingInput,
    Replace,
    Kill,
    Fault,
    /// And the last so many batches are lost.
    Crash(usize),
}

/// Who asked for the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Call,
    Stream,
}

/// Who runs its tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tools {
    Client,
    Server,
}

#[test]
fn a_turn_of_a_call_can_be_cut_anywhere() {
    cut_everywhere(
        By::Call,
        &[
            Cut::CancelTurn,
            Cut::CallerGone,
            Cut::Deadline,
            Cut::Interrupt,
            Cut::Replace,
        ],
    );
}

#[test]
fn a_turn_of_a_stream_can_be_cut_anywhere() {
    cut_everywhere(
        By::Stream,
        &[
            Cut::CancelTurn,
            Cut::StreamGone,
            Cut::Interrupt,
            Cut::Discard,
            Cut::InterruptingInput,
            Cut::Replace,
            Cut::Kill,
            Cut::Fault,
        ],
    );
}

#[test]
fn a_process_can_end_anywhere() {
    let crashes = [0, 1, 2, 3].map(Cut::Crash);
    cut_everywhere(By::Call, &crashes);
    cut_everywhere(By::Stream, &crashes);
}

fn cut_everywhere(by: By, cuts: &[Cut]) {
    cut_with(by, Tools::Client, cuts);
    cut_with(by, Tools::Server, cuts);
}

fn cut_with(by: By, tools: Tools, cuts: &[Cut]) {
    let acts = recorded(by, tools);
    let mut whole = begun();
    for act in acts.clone() {
        whole.act(act);
    }
    let whole = whole.session.history().messages().to_vec();
    assert_eq!(whole.len(), 4, "the turn ran to its end");
    for cut in cuts {
        for at in 1..acts.len() {
            check(&acts, at, *cut, &whole);
        }
    }
}

fn check(acts: &[Act], at: usize, cut: Cut, whole: &[Arc<Message>]) {
    let case = format!("{cut:?} behind {:?}, input {at}", acts[at - 1]);
    let mut life = begun();
    for act in &acts[..at] {
        life.act(act.clone());
    }
    let step = life.reference.newest_step();
    let before = life.log.clone();
    make(&mut life, cut);
    let is_same = |(before, after): &(&Event, &Event)| before == after;
    let cut_at = before.iter().zip(&life.log).take_while(is_same).count();
    let told = text_told(&life.log, cut);
    let kept = life.session.history().messages();
    assert!(
        is_as_told(kept, whole, &told, cut),
        "{case}: {told:?} was told, and {kept:#?} is kept"
    );
    // What was on its way comes all the same.
    for act in &acts[at..] {
        late(&mut life, act.clone(), step);
    }
    life.live(Vec::new());
    let announced = life.log[cut_at..]
        .iter()
        .any(|event| matches!(event.payload, Payload::ToolCall(_)));
    assert!(!announced, "{case}: a call is announced");
    let history = life.session.history().messages();
    assert_eq!(bedrock::fault(history), None, "{case}");
    check_ends(&life.log, &case);
}

fn begun() -> Life {
    let mut life = Life::new(Limits::default());
    life.keeps_log = true;
    life.foresee(&[Act::Crash { lost: 1, gap: 0 }]);
    life.act(Act::Open(1));
    life
}

/// The inputs of the turn.
fn recorded(by: By, tools: Tools) -> Vec<Act> {
    let say = |piece| Act::Say {
        piece,
        stale: false,
    };
    let text = |index| Piece::Text { index, padding: 0 };
    let call = |index, id: u8, name, input| {
        [
            say(Piece::CallStart {
                index,
                id,
                name,
                provider_run: false,
            }),
            say(Piece::CallInput { index, input }),
            say(Piece::BlockStop(index)),
        ]
    };
    let answer = Act::Answer {
        stream: 1,
        id: None,
        call: Which::Current,
        padding: 0,
    };
    let mut acts = vec![if by == By::Call {
        Act::Start {
            words: Some(0),
            answers: 0,
            // Before the wait for the model's counts is over, which would end the step.
            deadline: Some(4),
            brings: false,
        }
    } else {
        input(99, None)
    }];
    acts.push(Act::Opened);
    acts.extend(
        [
            Piece::MessageStart,
            Piece::Thought(0),
            Piece::Thought(0),
            Piece::Signature(0),
            Piece::BlockStop(0),
            text(1),
            text(1),
            Piece::BlockStop(1),
        ]
        .map(say),
    );
    let (first, input, others) = match tools {
        Tools::Client => ("weather", r#"{"city":"Oslo"}"#, "clock"),
        Tools::Server => ("send", r#"{"to":"Ida"}"#, "look"),
    };
    acts.extend(call(2, 0, first, input));
    acts.extend(call(3, 1, others, "{}"));
    acts.extend(call(4, 2, others, ""));
    acts.extend([Piece::Stop(StopReason::ToolUse), Piece::Counts].map(say));
    let finish = Act::Finish {
        run: Which::Current,
        end: RunEnd::Succeeded,
        padding: 0,
    };
    match tools {
        Tools::Client => acts.extend([answer.clone(), answer.clone(), answer]),
        Tools::Server => acts.extend([
            finish.clone(),
            Act::Progress(Which::Current),
            Act::Decide {
                stream: 1,
                id: None,
                request: Which::Current,
                how: How::Approve,
                remember: false,
            },
            finish.clone(),
            finish,
        ]),
    }
    acts.push(Act::Opened);
    acts.extend(
        [
            text(0),
            text(0),
            Piece::BlockStop(0),
            text(1),
            Piece::BlockStop(1),
            Piece::Stop(StopReason::EndTurn),
            Piece::Counts,
        ]
        .map(say),
    );
    acts
}

fn input(id: u8, policy: Option<InputPolicy>) -> Act {
    Act::Input {
        stream: 1,
        id: Some(id),
        policy,
        context: false,
        more: false,
        padding: 0,
    }
}

fn make(life: &mut Life, cut: Cut) {
    let interrupt = |discard| Act::Interrupt {
        stream: 1,
        id: None,
        turn: Which::Current,
        discard,
    };
    let cancel = |cause| Input::Cancel {
        call: (cause == CancelCause::Requested).then_some(CallId(99)),
        turn_id: None,
        cause,
    };
    match cut {
        Cut::CancelTurn => life.handle(cancel(CancelCause::Requested)),
        Cut::CallerGone => life.handle(cancel(CancelCause::CallerGone)),
        Cut::Deadline => life.act(Act::Pass(4)),
        Cut::StreamGone => life.act(Act::Gone {
            stream: 1,
            cancel: true,
        }),
        Cut::Interrupt => life.act(interrupt(false)),
        Cut::Discard => life.act(interrupt(true)),
        Cut::InterruptingInput => life.act(input(98, Some(InputPolicy::Interrupt))),
        Cut::Replace => life.act(input(98, Some(InputPolicy::Replace))),
        Cut::Kill => life.act(Act::Kill),
        Cut::Fault => life.act(Act::Fault),
        Cut::Crash(lost) => life.act(Act::Crash { lost, gap: 0 }),
    }
}

/// Does what was to come behind the cut: the model speaks on, results come late.
fn late(life: &mut Life, act: Act, step: u64) {
    match act {
        Act::Say { piece, .. } => {
            let event = life.event(piece);
            let step = StepId(step);
            life.handle(Input::Model { step, event });
        }
        Act::Finish { end, padding, .. } => life.finish(Which::Earlier, end, padding),
        Act::Progress(_) => life.act(Act::Progress(Which::Earlier)),
        Act::Answer { .. } => {
            life.act(Act::Open(2));
            for call_id in ["p0", "p1", "p2"] {
                life.answer(2, call_id);
            }
        }
        _ => {}
    }
}

/// Every turn that started has one end at last, and a pause before each time that it goes on.
fn check_ends(log: &[Event], case: &str) {
    let turns = log.iter().filter_map(|event| match event.payload {
        Payload::TurnStarted {
            continued: false, ..
        } => event.turn_id.clone(),
        _ => None,
    });
    for turn in turns {
        let of_turn = log
            .iter()
            .filter(|event| event.turn_id.as_ref() == Some(&turn));
        let mut goes = 0;
        let mut ends = 0;
        let mut is_last = false;
        for event in of_turn {
            match &event.payload {
                Payload::TurnStarted { .. } => goes += 1,
                Payload::TurnEnded(result) => {
                    ends += 1;
                    is_last = result.status != TurnStatus::Paused;
                }
                _ => assert!(!is_last, "{case}: {event:?} behind the end"),
            }
        }
        assert_eq!(goes, ends, "{case}: starts and ends of {turn}");
        assert!(is_last, "{case}: {turn} does not end");
    }
}

/// The text that was told; without that of a step which did not end well, where it was discarded.
fn text_told(log: &[Event], cut: Cut) -> String {
    let is_kept = |told: &Event| {
        cut != Cut::Discard
            || log.iter().any(|event| {
                matches!(event.payload, Payload::StepCompleted(_))
                    && event.step_index == told.step_index
            })
    };
    let texts = log.iter().filter_map(|event| match &event.payload {
        Payload::TextDelta(text) if is_kept(event) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// True when the history holds the beginning of the turn, as far as it was told.
fn is_as_told(kept: &[Arc<Message>], whole: &[Arc<Message>], told: &str, cut: Cut) -> bool {
    let mut kept: Vec<Message> = kept.iter().map(|kept| Message::clone(kept)).collect();
    if matches!(cut, Cut::InterruptingInput | Cut::Replace) {
        // The words that cut the turn off stand last.
        let last = kept.last_mut().unwrap();
        assert_eq!(last.role, Role::User);
        last.content.pop();
        if last.content.is_empty() {
            kept.pop();
        }
    }
    if cut == Cut::Replace {
        return kept.is_empty();
    }
    let texts = kept.iter().filter(|kept| kept.role == Role::Assistant);
    let said: String = texts.map(Message::text).collect();
    let is_beginning = kept.len() <= whole.len()
        && kept
            .iter()
            .zip(whole)
            .all(|(kept, whole)| begins(whole, kept));
    said == told && is_beginning
}

/// True for a message that is the beginning of another, but for results that did not come.
fn begins(whole: &Message, kept: &Message) -> bool {
    let is_same = |(kept, whole): (&Block, &Block)| match (kept, whole) {
        (Block::Text(kept), Block::Text(whole)) => whole.starts_with(kept.as_str()),
        (Block::ToolResult(kept), Block::ToolResult(whole)) => {
            kept == whole || kept.is_error && kept.call_id == whole.call_id
        }
        (kept, whole) => kept == whole,
    };
    kept.role == whole.role
        && kept.content.len() <= whole.content.len()
        && kept.content.iter().zip(&whole.content).all(is_same)
}
