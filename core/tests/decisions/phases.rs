//! What a user says, by policy, in each phase of a turn; then whatever may follow.
//!
//! Each test leads sessions into every phase on purpose and by several ways, and asserts that it
//! came there often.

use std::cell::RefCell;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use taiwa_core::{Limits, StopReason, TurnStatus, input::InputPolicy};

use crate::{
    acts::{Act, Call, Piece, Which, act, bounds, policy},
    life::{Life, Told},
};

/// Lives by each of the eight tests: 100,000 in all.
const LIVES: u32 = 12_500;

/// Of those, the ones that at least come into each phase.
const LEAST_MET: u32 = 500;

#[test]
fn input_without_a_policy_does_its_work_in_each_phase() {
    meet(Said::Whole(None));
}

#[test]
fn queue_does_its_work_in_each_phase() {
    meet(Said::Whole(Some(InputPolicy::Queue)));
}

#[test]
fn reject_does_its_work_in_each_phase() {
    meet(Said::Whole(Some(InputPolicy::Reject)));
}

#[test]
fn interrupt_does_its_work_in_each_phase() {
    meet(Said::Whole(Some(InputPolicy::Interrupt)));
}

#[test]
fn steer_does_its_work_in_each_phase() {
    meet(Said::Whole(Some(InputPolicy::Steer)));
}

#[test]
fn replace_does_its_work_in_each_phase() {
    meet(Said::Whole(Some(InputPolicy::Replace)));
}

#[test]
fn context_does_its_work_in_each_phase() {
    meet(Said::Context);
}

#[test]
fn a_message_in_parts_does_its_work_in_each_phase() {
    meet(Said::Parts);
}

/// What the user says.
#[derive(Clone, Copy, Debug)]
enum Said {
    Whole(Option<InputPolicy>),
    /// Of any policy.
    Context,
    /// Of any policy, and with something that happens between the parts.
    Parts,
}

/// Where a turn stands when the user says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The provider has not taken the call.
    Opening,
    /// It has, and the model is silent.
    Opened,
    Text,
    Reasoning,
    ToolInput,
    /// A call is whole, and its message is not.
    WholeCall,
    ToolsWait,
    SomeAnswered,
    Paused,
    /// The server runs as many tools as it may, and more wait.
    ToolsRun,
    /// A person is asked for consent.
    Asking,
    /// The same, and nobody is there.
    AskingPaused,
    Held,
    /// The model said why it stopped, and not what it cost.
    Stopped,
    Draining,
    /// In one of the phases above, the process ended, and another went on.
    Restored,
    /// In one of the phases above, another stream took over.
    TakenOver,
}

const PHASES: [Phase; 18] = [
    Phase::Idle,
    Phase::Opening,
    Phase::Opened,
    Phase::Text,
    Phase::Reasoning,
    Phase::ToolInput,
    Phase::WholeCall,
    Phase::ToolsWait,
    Phase::SomeAnswered,
    Phase::Paused,
    Phase::ToolsRun,
    Phase::Asking,
    Phase::AskingPaused,
    Phase::Held,
    Phase::Stopped,
    Phase::Draining,
    Phase::Restored,
    Phase::TakenOver,
];

/// A life: how it comes to its phase, what is said there, and what follows.
#[derive(Clone, Debug)]
struct Case {
    limits: Limits,
    way: Way,
    phase: Phase,
    /// The phase before a crash or a takeover.
    inner: Phase,
    any_policy: Option<InputPolicy>,
    between: Option<Act>,
    then: Then,
    tail: Vec<Act>,
}

/// How a turn came where it stands.
#[derive(Clone, Debug)]
struct Way {
    earlier: Earlier,
    by_call: bool,
    has_step_before: bool,
    waiting: Vec<Waiting>,
}

/// What was said before the turn.
#[derive(Clone, Copy, Debug)]
enum Earlier {
    Nothing,
    Context,
    Turn,
    CutTurn,
}

/// What becomes of streams and process right after that is said.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// The stream goes, and its work with it.
    Goes,
    /// Another takes over.
    TakenOver,
    /// Another takes over and goes, and the work with it.
    SuccessorGoes,
    /// Another takes over and leaves the work; then the first goes, which cancels nothing.
    PredecessorGoes,
    /// The process ends, and what the turn gave is replaced.
    CrashAndReplace,
}

/// Input that waits already.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Queued,
    Steering,
    Context,
}

/// Lets a session meet what is said in each phase, in many lives.
fn meet(said: Said) {
    let mut runner = TestRunner::new(Config {
        cases: Config::default().cases.max(LIVES),
        failure_persistence: None,
        ..Config::default()
    });
    let met = RefCell::new([0; PHASES.len()]);
    let outcome = runner.run(&case(), |case| {
        let mut life = Life::new(case.limits);
        life.foresee(&case.tail);
        case.way.lead(&mut life, case.phase, case.inner);
        if stands(&life, case.phase) {
            met.borrow_mut()[case.phase as usize] += 1;
        }
        say(&mut life, said, case.any_policy, case.between);
        case.then.happen(&mut life);
        life.live(case.tail);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}\n{runner}");
    }
    for (phase, met) in PHASES.iter().zip(met.into_inner()) {
        assert!(met >= LEAST_MET, "{said:?} met {phase:?} {met} times");
    }
}

fn case() -> impl Strategy<Value = Case> {
    let limits = prop_oneof![1 => bounds(), 4 => bounds().prop_map(roomy)];
    let tail = vec(act(), 0..8);
    // The first two phases are no place for a crash or a takeover to begin.
    let phases = (select(&PHASES[..]), select(&PHASES[1..16]));
    let between = option::weighted(0.5, act());
    let then = select(
        &[
            Then::Nothing,
            Then::Nothing,
            Then::Goes,
            Then::TakenOver,
            Then::SuccessorGoes,
            Then::PredecessorGoes,
            Then::CrashAndReplace,
        ][..],
    );
    (limits, way(), phases, policy(), between, then, tail).prop_map(
        |(limits, way, (phase, inner), any_policy, between, then, tail)| Case {
            limits,
            way,
            phase,
            inner,
            any_policy,
            between,
            then,
            tail,
        },
    )
}

/// Limits that no lead reaches.
fn roomy(limits: Limits) -> Limits {
    Limits {
        max_steps: Limits::default().max_steps,
        max_total_tokens: None,
        max_history_bytes: 3_000,
        max_frame_ids: 1_024,
        ..limits
    }
}

fn way() -> impl Strategy<Value = Way> {
    let earlier = select(
        &[
            Earlier::Nothing,
            Earlier::Context,
            Earlier::Turn,
            Earlier::CutTurn,
        ][..],
    );
    let waiting = select(&[Waiting::Queued, Waiting::Steering, Waiting::Context][..]);
    let waiting = prop_oneof![2 => Just(Vec::new()), 1 => vec(waiting, 1..3)];
    (earlier, any::<bool>(), prop::bool::weighted(0.3), waiting).prop_map(
        |(earlier, by_call, has_step_before, waiting)| Way {
            earlier,
            by_call,
            has_step_before,
            waiting,
        },
    )
}

impl Way {
    fn lead(&self, life: &mut Life, phase: Phase, inner: Phase) {
        life.act(Act::Open(1));
        self.say_earlier(life);
        if phase == Phase::Idle {
            return;
        }
        if self.by_call {
            life.act(Act::Start {
                words: Some(0),
                answers: 0,
                deadline: None,
                brings: false,
            });
        } else {
            life.act(input(life, None, false, false));
        }
        if self.has_step_before {
            life.act(tools(1));
            life.act(answer(life));
        }
        for waiting in &self.waiting {
            let (policy, context) = match waiting {
                Waiting::Queued => (Some(InputPolicy::Queue), false),
                Waiting::Steering => (Some(InputPolicy::Steer), false),
                Waiting::Context => (None, true),
            };
            life.act(input(life, policy, context, false));
        }
        match phase {
            Phase::Restored => {
                enter(life, inner);
                life.act(Act::Crash { lost: 0, gap: 1 });
                life.act(Act::Open(3));
            }
            Phase::TakenOver => {
                enter(life, inner);
                life.act(Act::Open(3));
            }
            phase => enter(life, phase),
        }
        if life.reference.heard().is_none() {
            life.act(Act::Open(2));
        }
    }

    fn say_earlier(&self, life: &mut Life) {
        match self.earlier {
            Earlier::Nothing => {}
            Earlier::Context => life.act(input(life, None, true, false)),
            Earlier::Turn => {
                life.act(input(life, None, false, false));
                life.act(Act::Whole {
                    text: true,
                    calls: Vec::new(),
                    stop: StopReason::EndTurn,
                    counts: true,
                });
            }
            Earlier::CutTurn => {
                life.act(input(life, None, false, false));
                life.act(say_text());
                life.act(Act::Interrupt {
                    stream: 1,
                    id: None,
                    turn: Which::Current,
                    discard: false,
                });
            }
        }
    }
}

impl Then {
    fn happen(self, life: &mut Life) {
        let goes = |stream, cancel| Act::Gone { stream, cancel };
        let stream = life.reference.heard().unwrap_or(1);
        match self {
            Self::Nothing => {}
            Self::Goes => life.act(goes(stream, true)),
            Self::TakenOver => life.act(Act::Open(5)),
            Self::SuccessorGoes => {
                life.act(Act::Open(5));
                life.act(goes(5, true));
            }
            Self::PredecessorGoes => {
                life.act(Act::Open(5));
                life.act(goes(5, false));
                life.act(goes(stream, true));
            }
            Self::CrashAndReplace => {
                life.act(Act::Crash { lost: 0, gap: 2 });
                life.act(Act::Open(5));
                life.act(input(life, Some(InputPolicy::Replace), false, false));
            }
        }
    }
}

/// Brings a turn whose model is called into a phase.
fn enter(life: &mut Life, phase: Phase) {
    let say = |life: &mut Life, piece| {
        life.act(Act::Say {
            piece,
            stale: false,
        });
    };
    match phase {
        Phase::Idle | Phase::Opening | Phase::Restored | Phase::TakenOver => {}
        Phase::Opened => life.act(Act::Opened),
        Phase::Text => life.act(say_text()),
        Phase::Reasoning => say(life, Piece::Thought(0)),
        Phase::ToolInput | Phase::WholeCall => {
            life.act(say_text());
            let (index, id, name) = (1, 0, "weather");
            say(
                life,
                Piece::CallStart {
                    index,
                    id,
                    name,
                    provider_run: false,
                },
            );
            let input = r#"{"city":"#;
            say(life, Piece::CallInput { index, input });
            if phase == Phase::WholeCall {
                say(life, Piece::BlockStop(index));
            }
        }
        Phase::ToolsWait => life.act(tools(3)),
        Phase::SomeAnswered => {
            life.act(tools(3));
            life.act(answer(life));
        }
        Phase::Paused => {
            life.act(tools(2));
            life.act(Act::Gone {
                stream: 1,
                cancel: false,
            });
        }
        Phase::ToolsRun => life.act(calls("look", 3)),
        Phase::Asking => life.act(calls("send", 2)),
        Phase::AskingPaused => {
            life.act(calls("send", 2));
            life.act(Act::Gone {
                stream: 1,
                cancel: false,
            });
        }
        Phase::Held => {
            life.act(say_text());
            life.act(Act::Held(true));
        }
        Phase::Stopped => {
            life.act(say_text());
            say(life, Piece::Stop(StopReason::EndTurn));
        }
        Phase::Draining => {
            life.act(say_text());
            life.act(Act::Shutdown);
        }
    }
}

/// True when the session is where it was led, as it tells itself.
fn stands(life: &Life, phase: Phase) -> bool {
    let turn = life.session.turn(None, life.now);
    let turn = turn.filter(|_| life.session.active_turn().is_some());
    let Some(turn) = turn else {
        return match phase {
            Phase::Idle => true,
            Phase::Restored => life.told == Told::Restored,
            _ => false,
        };
    };
    let is_calling = turn.status == TurnStatus::Running && turn.pending_tool_calls.is_empty();
    let asks = turn.pending_approvals.len() == 2;
    let waits = turn.status == TurnStatus::Running && !turn.pending_tool_calls.is_empty();
    match phase {
        Phase::Idle => false,
        Phase::Opening => is_calling && life.told == Told::Step && !life.reference.is_taken(),
        Phase::Opened => is_calling && life.told == Told::Step && life.reference.is_taken(),
        Phase::Text => is_calling && life.told == Told::Text,
        Phase::Reasoning => is_calling && life.told == Told::Reasoning,
        Phase::ToolInput => is_calling && life.told == Told::ToolInput,
        Phase::WholeCall => is_calling && life.told == Told::WholeBlock,
        Phase::ToolsWait => waits && turn.pending_tool_calls.len() == 3,
        Phase::SomeAnswered => waits && turn.pending_tool_calls.len() == 2,
        Phase::Paused => turn.status == TurnStatus::Paused && turn.pending_approvals.is_empty(),
        Phase::ToolsRun => life.reference.runs() == 2,
        Phase::Asking => asks && turn.status == TurnStatus::Running,
        Phase::AskingPaused => asks && turn.status == TurnStatus::Paused,
        Phase::Held => is_calling && life.is_held,
        Phase::Stopped => is_calling && life.reference.has_stopped(),
        Phase::Draining => is_calling && life.reference.is_draining(),
        Phase::Restored => life.told == Told::Restored,
        Phase::TakenOver => life.told == Told::TakenOver,
    }
}

fn say(life: &mut Life, said: Said, any_policy: Option<InputPolicy>, between: Option<Act>) {
    match said {
        Said::Whole(policy) => life.act(input(life, policy, false, false)),
        Said::Context => life.act(input(life, any_policy, true, false)),
        Said::Parts => {
            life.act(input(life, any_policy, false, true));
            between.into_iter().for_each(|act| life.act(act));
            life.act(input(life, any_policy, false, true));
            life.act(input(life, any_policy, false, false));
        }
    }
}

/// A user's frame, on the stream that is heard, under an id that no other has.
fn input(life: &Life, policy: Option<InputPolicy>, context: bool, more: bool) -> Act {
    Act::Input {
        stream: life.reference.heard().unwrap_or(1),
        id: Some(life.next_frame()),
        policy,
        context,
        more,
        padding: 0,
    }
}

fn answer(life: &Life) -> Act {
    Act::Answer {
        stream: life.reference.heard().unwrap_or(1),
        id: Some(life.next_frame()),
        call: Which::Current,
        padding: 0,
    }
}

fn say_text() -> Act {
    let (index, padding) = (0, 0);
    Act::Say {
        piece: Piece::Text { index, padding },
        stale: false,
    }
}

/// A message that wants so many client tools run.
fn tools(count: usize) -> Act {
    calls("clock", count)
}

/// A message with so many calls of a tool.
fn calls(name: &'static str, count: usize) -> Act {
    let input = r#"{"to":"Ida"}"#;
    let call = Call { name, input };
    Act::Whole {
        text: false,
        calls: vec![call; count],
        stop: StopReason::ToolUse,
        counts: true,
    }
}
